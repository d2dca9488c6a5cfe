"""wires.py - real processes whose links can be cut, without privileges: a relay stands in each link between members.

Each member is given the addresses of relays for the others, so a link is one relay, and either of its directions can fall
silent: bytes then wait where they are, as behind a firewall that drops packets, and arrive after it heals if nobody gave
up. One thread relays for all.
"""
import selectors
import socket
import threading

from cluster import Cluster, free_port

CHUNK = 65536


class Wire:
    """One link: from the member that dials to the one that listens."""

    def __init__(self, dialer, listener, target):
        self.dialer, self.listener, self.target = dialer, listener, target
        self.silent = set()  # names of members whose bytes do not pass
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.address = "127.0.0.1:%d" % self.socket.getsockname()[1]


class Half:
    """One direction of one connection."""

    def __init__(self, wire, sender, source, sink):
        self.wire, self.sender, self.source, self.sink = wire, sender, source, sink
        self.twin = None


class Wires(threading.Thread):
    def __init__(self):
        super().__init__(daemon=True)
        self.wires, self.halves = [], []
        self.ended = threading.Event()

    def add(self, dialer, listener, target):
        wire = Wire(dialer, listener, target)
        self.wires.append(wire)
        return wire.address

    def cut(self, sender, receiver):
        """What @sender says does not reach @receiver."""
        for wire in self.wires:
            if {wire.dialer, wire.listener} == {sender, receiver}:
                wire.silent.add(sender)

    def isolate(self, name, others, deaf=True, mute=True):
        for other in others:
            if other != name and mute:
                self.cut(name, other)
            if other != name and deaf:
                self.cut(other, name)

    def heal(self):
        for wire in self.wires:
            wire.silent.clear()

    def accept(self, wire):
        try:
            near, _ = wire.socket.accept()
            host, port = wire.target.rsplit(":", 1)
            far = socket.create_connection((host, int(port)), timeout=1)
        except OSError:
            return  # nobody listens there now: the dialer finds a closed connection
        for s in (near, far):
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        there, back = Half(wire, wire.dialer, near, far), Half(wire, wire.listener, far, near)
        there.twin, back.twin = back, there
        self.halves += [there, back]

    def relay(self, half):
        try:
            data = half.source.recv(CHUNK)
            if data:
                half.sink.settimeout(5)
                half.sink.sendall(data)
                return
        except OSError:
            pass
        for each in (half, half.twin):
            self.halves.remove(each)
            each.source.close()

    def run(self):
        while not self.ended.is_set():
            with selectors.DefaultSelector() as ready:
                for wire in self.wires:
                    ready.register(wire.socket, selectors.EVENT_READ, wire)
                for half in self.halves:
                    if half.sender not in half.wire.silent:
                        ready.register(half.source, selectors.EVENT_READ, half)
                for key, _ in ready.select(0.02):
                    if isinstance(key.data, Wire):
                        self.accept(key.data)
                    elif key.data in self.halves:
                        self.relay(key.data)

    def stop(self):
        self.ended.set()
        self.join(10)
        for wire in self.wires:
            wire.socket.close()
        for half in self.halves:
            half.source.close()


class WiredCluster(Cluster):
    """A cluster whose members reach each other through wires."""

    def __init__(self, size, extra=()):
        super().__init__(size, extra)
        names = [node.name for node in self.nodes]
        own = {name: f"127.0.0.1:{free_port()}" for name in names}
        self.wires = Wires()
        for node in self.nodes:
            node.peers = {other: own[other] if other == node.name else
                          self.wires.add(node.name, other, own[other]) for other in names}
        self.wires.start()

    def __exit__(self, kind, value, trace):
        self.wires.heal()
        super().__exit__(kind, value, trace)
        self.wires.stop()
