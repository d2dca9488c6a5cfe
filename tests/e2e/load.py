"""load.py - clients that write and read while a test hurts the cluster, and the judge of what they saw.

Each writer owns its keys and writes ascending numbers to them, so a key's value says how far its writer has
come, and two readings can be put in order without trusting any revision of ours. The sentences:

  * an acknowledged write is never lost: later readings, and every node at the end, show that number or
    a higher one;
  * a write that was refused as not done (503) is never seen;
  * a `default` or `consistent` reading shows at least what had been acknowledged, or read by anybody in these
    modes, before it was asked;
  * what is lost in between (504, a broken connection) may be seen or not.
"""
import bisect
import http.client
import threading
import time

from cluster import key_path, wait_until

DONE, NOT_DONE, UNKNOWN = "done", "not done", "unknown"


class Book:
    """What is known of all keys; shared by the clients."""

    def __init__(self):
        self.lock = threading.Lock()
        self.acknowledged = {}  # key: highest number known to be there
        self.written = {}       # key: highest number asked for
        self.refused = {}       # key: numbers that must never be seen
        self.counts = {DONE: 0, NOT_DONE: 0, UNKNOWN: 0, "read": 0, "read failed": 0}
        self.done_at = []       # when writes were acknowledged
        self.broken = []        # broken sentences

    def floor(self, key):
        with self.lock:
            return self.acknowledged.get(key, 0)

    def asked(self, key, number):
        with self.lock:
            self.written[key] = number

    def wrote(self, key, number, outcome):
        with self.lock:
            self.counts[outcome] += 1
            if outcome == DONE:
                self.done_at.append(time.monotonic())
                self.acknowledged[key] = max(number, self.acknowledged.get(key, 0))
            elif outcome == NOT_DONE:
                self.refused.setdefault(key, set()).add(number)

    def saw(self, key, number, floor, where):
        """A reading that began when @floor was known shows @number (0: no such key)."""
        with self.lock:
            self.counts["read"] += 1
            if number < floor:
                self.broken.append(f"{where}: {key} is {number}, but {floor} was there before")
            self._check_possible(key, number, where)
            self.acknowledged[key] = max(number, self.acknowledged.get(key, 0))

    def read_failed(self):
        with self.lock:
            self.counts["read failed"] += 1

    def _check_possible(self, key, number, where):
        if number in self.refused.get(key, ()):
            self.broken.append(f"{where}: {key} is {number}, which was refused as not done")
        if number > self.written.get(key, 0):
            self.broken.append(f"{where}: {key} is {number}, which nobody wrote")

    def judge(self, nodes):
        """At the end: hold each node's own copy against the book."""
        for node in nodes:
            for key, floor in sorted(self.acknowledged.items()):
                reply = node.get(key, "stale")
                number = int(reply.body) if reply.status == 200 else 0
                if number < floor:
                    self.broken.append(f"{node.name}, at the end: {key} is {number}, {floor} was acknowledged")
                self._check_possible(key, number, f"{node.name}, at the end")
        if self.broken:
            raise AssertionError("\n".join(self.broken[:10]) + f"\n{len(self.broken)} in all; {self.counts}")


class Client(threading.Thread):
    """One connection at a time; moves on to the next node when one does not answer."""

    def __init__(self, book, nodes, start, timeout):
        super().__init__(daemon=True)
        self.book, self.nodes, self.at, self.timeout = book, nodes, start, timeout
        self.connection = None
        self.stopped = threading.Event()

    def stop(self):
        self.stopped.set()
        self.join(30)
        assert not self.is_alive(), "a client hangs"

    def move_on(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None
        self.at += 1
        self.stopped.wait(0.01)

    def connect(self):
        """False: nobody listens there."""
        if self.connection is not None:
            return True
        host, port = self.nodes[self.at % len(self.nodes)].client.rsplit(":", 1)
        connection = http.client.HTTPConnection(host, int(port), timeout=self.timeout)
        try:
            connection.connect()
        except OSError:
            return False
        self.connection = connection
        return True

    def ask(self, method, path, body=None):
        """Status and body; (0, b"") when the connection broke on the way."""
        try:
            self.connection.request(method, path, body=body)
            reply = self.connection.getresponse()
            return reply.status, reply.read()
        except (OSError, http.client.HTTPException):
            return 0, b""

    def run(self):
        while not self.stopped.is_set():
            if not self.connect() or not self.turn():
                self.move_on()


class Writer(Client):
    def __init__(self, book, nodes, start, name, n_keys=20, timeout=10.0):
        super().__init__(book, nodes, start, timeout)
        self.keys = [f"{name}/{i}" for i in range(n_keys)]
        self.number = 0

    def turn(self):
        self.number += 1
        key = self.keys[self.number % len(self.keys)]
        self.book.asked(key, self.number)
        status, _ = self.ask("POST", key_path(key), str(self.number))
        outcome = DONE if status == 200 else NOT_DONE if status in (429, 503, 507) else UNKNOWN
        self.book.wrote(key, self.number, outcome)
        return outcome == DONE


class Reader(Client):
    def __init__(self, book, nodes, start, mode, timeout=10.0):
        super().__init__(book, nodes, start, timeout)
        self.mode, self.turns = mode, 0

    def path(self, key):
        return key_path(key) + (f"?{self.mode}" if self.mode else "")

    def turn(self):
        with self.book.lock:
            keys = list(self.book.written)
        if not keys:
            self.stopped.wait(0.01)
            return True
        self.turns += 1
        key = keys[(self.turns * 7) % len(keys)]
        floor = self.book.floor(key)
        status, body = self.ask("GET", self.path(key))
        if status not in (200, 404):
            self.book.read_failed()
            return False
        where = f"{self.nodes[self.at % len(self.nodes)].name}, {self.mode or 'default'} read"
        self.book.saw(key, int(body) if status == 200 else 0, floor, where)
        return True


class Load:
    """`with Load(cluster) as load:` writers and readers on all nodes; the test hurts them meanwhile."""

    def __init__(self, cluster, n_writers=4, n_readers=4):
        self.cluster, self.book = cluster, Book()
        nodes = cluster.nodes
        self.clients = [Writer(self.book, nodes, i, f"w{i}") for i in range(n_writers)]
        self.clients += [Reader(self.book, nodes, i, ("", "consistent")[i % 2]) for i in range(n_readers)]

    def __enter__(self):
        for client in self.clients:
            client.start()
        return self

    def __exit__(self, kind, value, trace):
        for client in self.clients:
            client.stopped.set()
        for client in self.clients:
            client.stop()

    def wait_for_write(self, after, seconds):
        """When the first write was acknowledged after the moment @after."""
        def first():
            with self.book.lock:
                place = bisect.bisect_right(self.book.done_at, after)
                return self.book.done_at[place] if place < len(self.book.done_at) else None
        return wait_until(f"a write acknowledged; {self.book.counts}", seconds, first, every=0.005)
