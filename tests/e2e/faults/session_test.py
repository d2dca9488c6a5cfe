"""Leaders are killed while clients send numbered writes again and again until they know: each is done exactly once.

Every client counts in a key of its own: the key's version says how often it was written, and the revisions that
were answered say in which order. $SESSION_ROUNDS sets the number of rounds (8).
"""
import itertools
import os
import threading

from cluster import Cluster, wait_until
from runner import check, check_eq, run

ROUNDS = int(os.environ.get("SESSION_ROUNDS", "8"))
CLIENTS = 4


def ask(c, start, method, path, body=None, headers=None, seconds=30):
    """Ask one node after the other until one knows the answer. 503 and 504 and broken connections are none."""
    tries = itertools.count(1)

    def ask_next():
        number = next(tries)
        node = c.nodes[(start + number - 1) % len(c.nodes)]
        try:
            reply = node.request(method, path, body, timeout=1, headers=headers)
        except OSError:
            return None
        return None if reply.status in (503, 504) else (reply, number)
    return wait_until(f"an answer to {method} {path}", seconds, ask_next, every=0.01)


def open_session(c):
    reply, _ = ask(c, 0, "POST", "/session")
    return reply.json()["session"]


class Writer(threading.Thread):
    def __init__(self, c, name):
        super().__init__()
        self.c, self.name, self.session = c, name, open_session(c)
        self.ended = threading.Event()
        self.revisions, self.retries, self.wrong = [], 0, None

    def run(self):
        try:
            while not self.ended.is_set():
                number = len(self.revisions) + 1
                key = {"Idempotency-Key": f"{self.session}:{number}"}
                reply, tries = ask(self.c, number, "PUT", f"/db/{self.name}", str(number), key)
                if reply.status != 200:
                    raise AssertionError(f"{number}: {reply}")
                self.revisions.append(int(reply.headers["X-Coracle-Revision"]))
                self.retries += tries - 1
        except Exception as error:  # told by the main thread
            self.wrong = repr(error)


def wait_for_all(writers):
    """Until each has had ten more answers, or went wrong."""
    was = [len(writer.revisions) for writer in writers]
    wait_until("every client gets on", 30, lambda: all(
        writer.wrong or len(writer.revisions) >= n + 10 for writer, n in zip(writers, was)))


def numbered_writes_are_done_once_while_leaders_die():
    with Cluster(3) as c:
        c.start()
        writers = [Writer(c, f"w{i}") for i in range(CLIENTS)]
        for writer in writers:
            writer.start()
        try:
            for _ in range(ROUNDS):
                wait_for_all(writers)
                leader = c.leader()
                leader.kill()
                wait_for_all(writers)
                leader.start()
                c.wait_ready(15, [leader])
        finally:
            for writer in writers:
                writer.ended.set()
            for writer in writers:
                writer.join(60)
        c.converged()
        done, retries = 0, 0
        for writer in writers:
            check_eq(f"{writer.name} met", writer.wrong, None)
            reply = c.nodes[0].get(writer.name, "consistent")
            n = len(writer.revisions)
            check_eq(f"{writer.name}: how often it was written", reply.headers["X-Coracle-Version"], str(n))
            check_eq(f"{writer.name}: its value", reply.body, str(n).encode())
            check(f"{writer.name}: answered in order", writer.revisions == sorted(set(writer.revisions)))
            done, retries = done + n, retries + writer.retries
        revision = int(c.nodes[0].get("w0", "consistent").headers["X-Coracle-Revision"])
        check_eq("revisions are writes", revision, done + 1)
        print(f"{ROUNDS} leaders killed, {done} numbered writes, {retries} sent again: each done once")


def one_number_a_hundred_times_over_a_failover_has_one_effect():
    with Cluster(3) as c:
        c.start()
        key = {"Idempotency-Key": f"{open_session(c)}:1"}
        answers = set()
        for i in range(100):
            if i == 50:
                c.leader().kill()
            reply, _ = ask(c, i, "PUT", "/db/k", "once", key)
            answers.add((reply.status, reply.headers.get("X-Coracle-Revision"), reply.body))
        check_eq("answers", len(answers), 1)
        check_eq("status", answers.pop()[0], 200)
        reply, _ = ask(c, 0, "PUT", "/db/k", "another", key)
        check_eq("another body under the number", reply.status, 409)
        check("and the code", b"number_reused" in reply.body)
        reply, _ = ask(c, 1, "GET", "/db/k?consistent")
        check_eq("value", reply.body, b"once")
        check_eq("version", reply.headers["X-Coracle-Version"], "1")


run(numbered_writes_are_done_once_while_leaders_die, one_number_a_hundred_times_over_a_failover_has_one_effect)
