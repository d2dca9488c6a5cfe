"""SIGSTOP on the leader for five seconds under load: nobody reads the past, not even whoever asked it meanwhile."""
import signal
import threading
import time

from cluster import Cluster, wait_until
from load import Load
from runner import check, check_eq, run

PAUSE = 5.0


def a_paused_leader_answers_nothing_stale():
    with Cluster(3) as c:
        c.start()
        with Load(c) as load:
            load.wait_for_write(time.monotonic(), 10)
            old = c.leader()
            others = [node for node in c.nodes if node is not old]
            check_eq("the first value", others[0].put("paused", "1").status, 200)
            stopped = time.monotonic()
            old.send(signal.SIGSTOP)
            load.wait_for_write(stopped + 0.001, 10)
            wait_until("a write through the others", 10,
                       lambda: others[0].put("paused", "2").status == 200)

            # Asked while it sleeps: what comes after it wakes must be of now, or an error.
            answers = []

            def ask(mode):
                try:
                    answers.append((mode, old.get("paused", mode, timeout=15)))
                except OSError as error:
                    answers.append((mode, error))
            asking = [threading.Thread(target=ask, args=(mode,)) for mode in ("", "consistent") * 5]
            for thread in asking:
                thread.start()
            time.sleep(max(0.0, stopped + PAUSE - time.monotonic()))
            check_eq("nobody answered from the pause", answers, [])
            old.send(signal.SIGCONT)
            for thread in asking:
                thread.join(20)
            for mode, reply in answers:
                stale = not isinstance(reply, OSError) and reply.status == 200 and reply.body != b"2"
                check(f"{mode or 'default'} read after the pause: {reply}", not stale)
            check_eq("all were answered", len(answers), len(asking))
            c.wait_ready(15)
        c.converged()
        load.book.judge(c.nodes)
        print(load.book.counts)


run(a_paused_leader_answers_nothing_stale)
