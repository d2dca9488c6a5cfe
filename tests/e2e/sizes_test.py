"""Clusters of 1, 2, 3, 4, 5, 7 and 8 real processes form, elect, replicate, and survive what they should."""
import time

from cluster import Cluster, wait_until
from runner import check, check_eq, run

LIMIT = 2  # seconds a request may take by its own ?timeout


def survives_a_minority_and_refuses_without_a_majority(size):
    with Cluster(size) as c:
        c.start(30)
        c.leader()
        for i, node in enumerate(c.nodes):
            check_eq(f"a write through {node.name} of {size}", node.put(f"k{i}", f"v{i}").status, 200)
        for node in c.nodes:
            for mode in ("", "consistent"):
                check_eq(f"{mode or 'default'} read on {node.name}", node.get("k0", mode).body, b"v0")
        c.converged()

        minority = (size - 1) // 2
        victims = ([c.leader()] + c.followers())[:minority]
        for node in victims:
            node.kill()
        survivor = c.running()[-1]
        wait_until(f"a write without {minority} of {size}", 15,
                   lambda: survivor.put("after", "loss").status == 200)
        check_eq("a consistent read", survivor.get("after", "consistent").body, b"loss")
        if size == 1:
            return

        # One more goes: no majority is left.
        extra = next(node for node in c.running() if node is not survivor)
        extra.kill()
        began = time.monotonic()
        reply = survivor.request("POST", f"/db/never?timeout={LIMIT}s", "x")
        check(f"a write is refused: {reply}", reply.status in (503, 504) and b"error" in reply.body)
        reply = survivor.request("GET", f"/db/after?consistent&timeout={LIMIT}s")
        check(f"a consistent read is refused: {reply}", reply.status in (503, 504) and b"error" in reply.body)
        check("within the time limit", time.monotonic() - began < 2 * LIMIT + 1)
        check_eq("a stale read", survivor.get("after", "stale").body, b"loss")

        for node in victims + [extra]:
            node.start()
        c.wait_ready(20)
        check_eq("all are back", survivor.put("back", "1").status, 200)
        c.converged()


def one_node():
    survives_a_minority_and_refuses_without_a_majority(1)


def two_nodes():
    survives_a_minority_and_refuses_without_a_majority(2)


def three_nodes():
    survives_a_minority_and_refuses_without_a_majority(3)


def four_nodes():
    survives_a_minority_and_refuses_without_a_majority(4)


def five_nodes():
    survives_a_minority_and_refuses_without_a_majority(5)


def seven_nodes():
    survives_a_minority_and_refuses_without_a_majority(7)


def eight_nodes():
    survives_a_minority_and_refuses_without_a_majority(8)


run(one_node, two_nodes, three_nodes, four_nodes, five_nodes, seven_nodes, eight_nodes)
