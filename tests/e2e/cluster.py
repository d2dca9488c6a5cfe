"""cluster.py - start, hurt and question real coracle processes on loopback.

Used by the end-to-end and fault tests. Standard library only. The binary is $CORACLE, or the
release build. Every process is started in its own session and ended by its own process id; every
wait is bounded.
"""
import http.client
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("CORACLE", str(ROOT / "build" / "release" / "coracle"))
given_ports = set()


def free_port():
    """A loopback port nobody listens on, and below those that the kernel gives to outgoing connections, so that none of
    them takes it while its node is down."""
    for _ in range(1000):
        port = random.randrange(10000, 32000)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in given_ports:
            given_ports.add(port)
            return port
    raise RuntimeError("no port is free")


def wait_until(what, seconds, check, every=0.02):
    """Poll check() until it is true; its value is returned. A timeout names what was waited for."""
    end = time.monotonic() + seconds
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds} s: {what}")
        time.sleep(every)


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.body[:200]!r}"


def request(address, method, path, body=None, timeout=10.0, headers=None):
    """One HTTP request on a connection of its own. OSError when the node cannot be reached."""
    host, port = address.rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port), timeout=timeout)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        reply = connection.getresponse()
        return Reply(reply.status, dict(reply.getheaders()), reply.read())
    except http.client.HTTPException as error:
        raise OSError(f"{method} {path}: {error!r}") from error
    finally:
        connection.close()


def key_path(key):
    return "/db/" + urllib.parse.quote(key, safe="")


class Node:
    """One member: its directory, addresses, and the process while there is one."""

    def __init__(self, name, directory, peers, extra=()):
        self.name, self.peers, self.extra = name, peers, list(extra)
        self.directory = pathlib.Path(directory)
        self.client = f"127.0.0.1:{free_port()}"
        self.process = None
        self.log = self.directory.with_suffix(".log")

    def command(self):
        cluster = ",".join(f"{name}={address}" for name, address in self.peers.items())
        line = [BINARY, "serve", "--name", self.name, "--data-dir", str(self.directory),
                "--listen", self.client, "--log-format", "logfmt"]
        return line + (["--cluster", cluster] if cluster else []) + self.extra

    def start(self):
        assert self.process is None, f"{self.name} runs already"
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, start_new_session=True)
        return self

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def send(self, number):
        if self.alive():
            self.process.send_signal(number)

    def kill(self):
        """kill -9, and wait for the process to be gone."""
        self.stop(signal.SIGKILL)

    def stop(self, number=signal.SIGTERM, seconds=15):
        """End the process; its exit status, or None when there was none."""
        if self.process is None:
            return None
        self.send(number)
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)
            raise TimeoutError(f"{self.name} did not end on signal {number}:\n{self.tail()}")
        finally:
            if self.process.poll() is not None:
                self.process = None
        return code

    def tail(self, lines=15):
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def request(self, method, path, body=None, timeout=10.0, headers=None):
        return request(self.client, method, path, body, timeout, headers)

    def put(self, key, value, timeout=10.0):
        return self.request("POST", key_path(key), value, timeout)

    def get(self, key, mode="", timeout=10.0):
        return self.request("GET", key_path(key) + (f"?{mode}" if mode else ""), timeout=timeout)

    def status(self, timeout=3.0):
        """The node's /status, or None while it cannot be asked."""
        try:
            reply = self.request("GET", "/status", timeout=timeout)
            return reply.json() if reply.status == 200 else None
        except (OSError, ValueError):
            return None

    def is_ready(self):
        try:
            return self.request("GET", "/readyz", timeout=2).status == 200
        except OSError:
            return False


class Cluster:
    """N members in a temporary directory: `with Cluster(3) as c: ...` ends every process."""

    def __init__(self, size, extra=(), directory=None):
        self.directory = pathlib.Path(directory or tempfile.mkdtemp(prefix="coracle-e2e-"))
        self.own_directory = directory is None
        names = [f"n{i + 1}" for i in range(size)]
        peers = {name: f"127.0.0.1:{free_port()}" for name in names} if size > 1 else {}
        self.nodes = [Node(name, self.directory / name, peers, extra) for name in names]

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is not None:
            for node in self.nodes:
                print(f"--- {node.name} ({node.client}) said last:\n{node.tail()}")
        for node in self.nodes:
            node.send(signal.SIGCONT)
            node.kill()
        if self.own_directory:
            shutil.rmtree(self.directory, ignore_errors=True)

    def start(self, seconds=20):
        for node in self.nodes:
            node.start()
        return self.wait_ready(seconds)

    def wait_ready(self, seconds=20, nodes=None):
        for node in nodes or self.nodes:
            wait_until(f"{node.name} ready\n{node.tail()}", seconds, node.is_ready)
        return self

    def running(self):
        return [node for node in self.nodes if node.alive()]

    def leader(self, seconds=10):
        """The node that says it leads, once a majority of the running ones agrees on it."""
        def find():
            says = [node.status() for node in self.running()]
            names = [s["leader"] for s in says if s and s.get("leader")]
            for name in set(names):
                node = next(n for n in self.nodes if n.name == name)
                own = node.status() if node.alive() else None
                if 2 * names.count(name) > len(self.nodes) and own and own["role"] == "Leader":
                    return node
            return None
        return wait_until("a leader", seconds, find)

    def followers(self):
        leader = self.leader()
        return [node for node in self.running() if node is not leader]

    def converged(self, seconds=15):
        """Wait until all running nodes have applied the same index and have the same state."""
        def same():
            says = [node.status() for node in self.running()]
            if not all(says):
                return None
            seen = {(s["applied"], s["state_hash"]) for s in says}
            return says[0] if len(seen) == 1 else None
        return wait_until("all nodes applied the same", seconds, same)
