"""Who may not come in: a member whose directory was wiped, and a member of another cluster."""
import shutil

from cluster import Cluster, wait_until
from runner import check, check_eq, run


def said(node, *words):
    text = node.log.read_text(errors="replace")
    return all(word in text for word in words)


def a_wiped_member_is_refused_and_told_what_to_do():
    with Cluster(3) as c:
        c.start()
        check_eq("a write", c.nodes[0].put("k", "v").status, 200)
        victim = c.followers()[0]
        others = [node for node in c.nodes if node is not victim]
        victim.stop()
        shutil.rmtree(victim.directory)
        victim.start()
        wait_until(f"the wiped member says why\n{victim.tail()}", 15, lambda: said(victim, "wiped"))
        print(victim.tail(3))
        check("it is not ready", not victim.is_ready())
        check_eq("the others go on", others[0].put("k", "w").status, 200)
        # With one of the two others gone, the wiped one must not make up a majority.
        others[1].kill()
        reply = others[0].request("POST", "/db/k?timeout=2s", "x")
        check(f"no majority without the wiped member: {reply}", reply.status in (503, 504))


def a_peer_of_another_cluster_is_refused():
    with Cluster(3) as a, Cluster(3) as b:
        a.start()
        b.start()
        check_eq("a write", a.nodes[0].put("k", "a").status, 200)
        guest, host = b.nodes[0], a.nodes[0]
        for node in b.nodes:
            node.stop()
        host.stop()
        # n1 of cluster b comes with the addresses of cluster a, in the place of its n1.
        guest.peers = host.peers
        guest.start()
        wait_until(f"the guest is refused\n{guest.tail()}", 15, lambda: said(guest, "another"))
        print(guest.tail(3))
        check("it is not ready", not guest.is_ready())
        check_eq("the cluster goes on", a.nodes[1].put("k", "b").status, 200)
        guest.kill()
        host.start()
        a.wait_ready()
        check_eq("and its own member is welcome", host.get("k", "consistent").body, b"b")


run(a_wiped_member_is_refused_and_told_what_to_do, a_peer_of_another_cluster_is_refused)
