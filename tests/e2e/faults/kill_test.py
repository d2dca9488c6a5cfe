"""Rounds of kill -9 on random nodes of three, the leader preferred, under load: nothing acknowledged is lost.

$KILL_ROUNDS sets the number of rounds (100). Prints the time from the death of a leader to the next
acknowledged write of any client.
"""
import os
import random
import statistics
import time

from cluster import Cluster
from load import Load
from runner import check, run

ROUNDS = int(os.environ.get("KILL_ROUNDS", "100"))


def rounds_of_kill_lose_nothing():
    seed = int(os.environ.get("SEED", time.time_ns() % 1_000_000))
    print(f"SEED={seed}")
    dice = random.Random(seed)
    gaps = []
    with Cluster(3) as c:
        c.start()
        with Load(c) as load:
            load.wait_for_write(time.monotonic(), 10)
            for number in range(ROUNDS):
                leader = c.leader()
                victim = leader if dice.random() < 0.7 else dice.choice(c.followers())
                victim.kill()
                died = time.monotonic()  # now that it is gone: what it still answered does not count
                first = load.wait_for_write(died, 10)
                if victim is leader:
                    gaps.append(first - died)
                time.sleep(dice.random() * 0.2)
                victim.start()
                c.wait_ready(15, [victim])
        c.converged()
        load.book.judge(c.nodes)
        counts = load.book.counts
    mean = statistics.mean(gaps)
    print(f"{ROUNDS} rounds, {len(gaps)} leaders: {counts}; from a leader's death to the next acknowledged "
          f"write: mean {1000 * mean:.0f} ms, max {1000 * max(gaps):.0f} ms")
    check("some writes were acknowledged", counts["done"] > 10 * ROUNDS)
    check(f"a leader's death costs {mean:.2f} s on average, 0.5 s are allowed", mean <= 0.5)


run(rounds_of_kill_lose_nothing)
