"""Partitions of three real processes under load, through raftd's interface and Consul's: nothing acknowledged is lost,
nobody reads the past, and a stale read says how far behind it may be."""
import itertools
import time
import urllib.parse

from cluster import wait_until
from load import DONE, NOT_DONE, UNKNOWN, Load, Reader, Writer
from runner import check, check_eq, run
from wires import WiredCluster

SECONDS = 2.5  # a partition lasts


class ConsulWriter(Writer):
    def turn(self):
        self.number += 1
        key = self.keys[self.number % len(self.keys)]
        self.book.asked(key, self.number)
        status, body = self.ask("PUT", "/v1/kv/" + urllib.parse.quote(key), str(self.number))
        sure = status == 500 and b"may or may not" not in body
        outcome = DONE if status == 200 else NOT_DONE if sure else UNKNOWN
        self.book.wrote(key, self.number, outcome)
        return outcome == DONE


class ConsulReader(Reader):
    def path(self, key):
        return "/v1/kv/" + urllib.parse.quote(key) + "?raw" + (f"&{self.mode}" if self.mode else "")


def load_of_both(c):
    load = Load(c, n_writers=2, n_readers=2)
    for i in range(2):
        load.clients.append(ConsulWriter(load.book, c.nodes, i, f"c{i}", timeout=8))
        load.clients.append(ConsulReader(load.book, c.nodes, i + 1, ("", "consistent")[i], timeout=8))
    return load


def shapes(c):
    """Ways to part three members; each is called with the leader's name and the others'."""
    w = c.wires
    return [
        ("the leader is cut off", lambda leader, a, b: w.isolate(leader, [a, b])),
        ("a follower is cut off", lambda leader, a, b: w.isolate(a, [leader, b])),
        ("nobody hears the leader", lambda leader, a, b: w.isolate(leader, [a, b], deaf=False)),
        ("the leader hears nobody", lambda leader, a, b: w.isolate(leader, [a, b], mute=False)),
        ("the followers do not hear each other", lambda leader, a, b: w.isolate(a, [b])),
        ("a follower hears nobody", lambda leader, a, b: w.isolate(a, [leader, b], mute=False)),
        ("the leader and one follower are parted", lambda leader, a, b: w.isolate(leader, [a])),
    ]


def partitions_lose_nothing_and_nobody_reads_the_past():
    with WiredCluster(3) as c:
        c.start()
        with load_of_both(c) as load:
            for what, part in shapes(c):
                leader = c.leader()
                others = [node.name for node in c.nodes if node is not leader]
                part(leader.name, *others)
                began = time.monotonic()
                first = load.wait_for_write(began + 1.0, 10)
                print(f"      {what}: a write is acknowledged {first - began:.2f} s later, the latest")
                time.sleep(max(0.0, began + SECONDS - time.monotonic()))
                c.wires.heal()
                wait_until("all are ready again", 15, lambda: all(node.is_ready() for node in c.nodes))
        c.converged()
        load.book.judge(c.nodes)
        print(f"      {load.book.counts}")
        check("there was load", load.book.counts["done"] > 200)


def a_cut_off_member_says_how_old_its_copy_is():
    with WiredCluster(3) as c:
        c.start()
        check_eq("a write", c.nodes[0].put("k", "1").status, 200)
        c.converged()
        alone = c.followers()[0]
        others = [node for node in c.nodes if node is not alone]
        c.wires.isolate(alone.name, [node.name for node in others])
        check_eq("a write through the others", others[0].put("k", "2").status, 200)
        for node, mode in itertools.product(others, ("", "consistent")):
            check_eq(f"{mode or 'default'} read on {node.name}", node.get("k", mode).body, b"2")
        check_eq("its own copy", alone.get("k", "stale").body, b"1")
        wait_until("it says how old that may be", 10,
                   lambda: int(alone.get("k", "stale").headers["X-Coracle-Last-Contact"]) >= 500)
        check_eq("and it is still its own", alone.get("k", "stale").body, b"1")
        for mode in ("", "consistent&"):
            reply = alone.get("k", mode + "timeout=1s")
            check(f"no read that would have to be fresh: {reply}", reply.status == 503)
        c.wires.heal()
        wait_until("it catches up", 15, lambda: alone.get("k", "stale").body == b"2")


run(partitions_lose_nothing_and_nobody_reads_the_past, a_cut_off_member_says_how_old_its_copy_is)
