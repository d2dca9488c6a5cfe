"""The article, chapter by chapter, on three real processes. docs/article.md says which requirement each test shows."""
import base64
import json
import subprocess
import time

from cluster import BINARY, Cluster, wait_until
from runner import check, check_eq, run

ROLES = {"Leader", "Candidate", "Follower"}


def entries_of(directory):
    """The log of a stopped node: what of each entry counts, by index."""
    done = subprocess.run([BINARY, "log", "dump", str(directory), "--json"], capture_output=True, timeout=30, check=True)
    entries = {}
    for line in map(json.loads, done.stdout.splitlines()):
        if line["kind"] == "truncate":
            entries = {index: e for index, e in entries.items() if index < line["index"]}
        elif line["kind"] == "entry":
            entries[line["Index"]] = (line["Term"], line["CommandName"], line.get("Command"))
    return entries


def messages_of(node):
    return node.request("GET", "/debug/trace?format=article").json()


def a_node_is_always_leader_candidate_or_follower():
    with Cluster(3) as c:
        c.start()
        old = c.leader()
        old.kill()
        seen, end = set(), time.monotonic() + 10
        while time.monotonic() < end and not any(s == "Leader" for s in seen):
            for node in c.running():
                status = node.status()
                if status:
                    check_eq("one role", status["role"] in ROLES, True)
                    seen.add(status["role"])
        check(f"a new leader was seen among {seen}", "Leader" in seen)
        for field in ("term", "leader", "commit", "applied", "peers"):
            check(f"the status has {field}", field in c.leader().status())


def log_state_and_database_are_kept_apart_and_the_database_is_made_of_the_log():
    with Cluster(1) as c:
        c.start()
        node = c.nodes[0]
        for i in range(50):
            check_eq("put", node.put(f"k{i % 7}", f"v{i}").status, 200)
        before = node.status()
        names = {p.name for p in node.directory.iterdir()}
        check(f"a log and a state file: {names}", {"state-a", "state-b", "0000000001.wal"} <= names)
        node.kill()
        c.start()
        after = node.status()
        check_eq("the same database", after["state_hash"], before["state_hash"])
        check_eq("the same revision", after["revision"], before["revision"])


def each_leadership_is_a_no_op_and_each_write_a_record_also_an_equal_one():
    with Cluster(3) as c:
        c.start()
        for _ in range(3):
            check_eq("put", c.leader().put("foo", "bar").status, 200)
        c.leader().kill()
        c.leader(15).put("aaa", "bbb")
        node = c.leader()
        term = node.status()["term"]
        for each in c.running():
            each.stop()
        entries = entries_of(node.directory)
        nops = [t for t, name, _ in entries.values() if name == "raft:nop"]
        check_eq("one no-op for each term that has entries", sorted(nops), sorted({t for t, _, _ in entries.values()}))
        check("the last leader's is there", term in nops)
        check_eq("no-ops say nothing", {c for _, name, c in entries.values() if name == "raft:nop"}, {None})
        writes = [base64.b64decode(command) for _, name, command in entries.values() if name == "write"]
        check_eq("writes", writes, [b'{"key":"foo","value":"bar"}\n'] * 3 + [b'{"key":"aaa","value":"bbb"}\n'])


def all_nodes_have_the_same_committed_log():
    with Cluster(3) as c:
        c.start()
        for i in range(30):
            check_eq("put", c.nodes[i % 3].put(f"k{i}", "v").status, 200)
        commit = c.converged()["applied"]
        for node in c.nodes:
            node.stop()
        logs = [{i: e for i, e in entries_of(node.directory).items() if i <= commit} for node in c.nodes]
        check_eq("entries", sorted(logs[0]), list(range(1, commit + 1)))
        check("the same everywhere", logs[0] == logs[1] == logs[2])


def term_and_members_survive_a_restart_of_all():
    with Cluster(3) as c:
        c.start()
        check_eq("put", c.leader().put("a", "1").status, 200)
        before = c.converged()
        for node in c.nodes:
            node.kill()
        c.start()
        for node in c.nodes:
            after = node.status()
            check("the term did not go back", after["term"] >= before["term"])
            check_eq("members", [p["name"] for p in after["peers"]], ["n1", "n2", "n3"])
            check_eq("cluster", after["cluster_id"], before["cluster_id"])
        check_eq("get", c.leader().get("a").body, b"1")


def the_leader_tells_followers_in_the_articles_words():
    with Cluster(3) as c:
        c.start()
        leader = c.leader()
        check_eq("put", leader.put("aae", "bbb").status, 200)
        c.converged()
        for node in c.nodes:
            m = next(m for m in reversed(messages_of(node)) if m["Entries"])
            check_eq("fields", list(m),
                     ["Term", "PrevLogIndex", "PrevLogTerm", "CommitIndex", "LeaderName", "Entries"])
            check_eq("leader", m["LeaderName"], leader.name)
            entry = m["Entries"][-1]
            check_eq("fields of an entry", list(entry), ["Index", "Term", "CommandName", "Command"])
            check_eq("command", entry["Command"], "eyJrZXkiOiJhYWUiLCJ2YWx1ZSI6ImJiYiJ9Cg==")
            check_eq("index", entry["Index"], m["PrevLogIndex"] + len(m["Entries"]))


def a_write_on_a_follower_reaches_its_log_through_the_leader():
    with Cluster(3) as c:
        c.start()
        leader, follower = c.leader(), c.followers()[0]
        check_eq("put", follower.put("via", "follower").status, 200)
        c.converged()
        steps = {s["name"] for s in follower.request("GET", "/debug/trace").json()["steps"]}
        check(f"it logs nothing as a leader: {steps}", "leader_log" not in steps and "follower_commit" in steps)
        carried = [e for m in messages_of(follower) for e in m["Entries"] if e["CommandName"] == "write"]
        check_eq("it came from the leader", len(carried), 1)
        check_eq("under the leader's name", {m["LeaderName"] for m in messages_of(follower) if m["Entries"]},
                 {leader.name})


def an_acknowledged_write_is_read_at_once_and_reaches_all_soon():
    with Cluster(3) as c:
        c.start()
        for i in range(20):
            check_eq("put", c.nodes[i % 3].put("k", str(i)).status, 200)
            for node in c.nodes:
                for mode in ("", "consistent"):
                    check_eq(f"{mode or 'default'} on {node.name}", node.get("k", mode).body, str(i).encode())
        for node in c.nodes:
            wait_until("a stale read converges", 5, lambda: node.get("k", "stale").body == b"19")


def stale_reads_need_nobody_and_others_do_not_answer_alone():
    with Cluster(3) as c:
        c.start()
        check_eq("put", c.leader().put("k", "v").status, 200)
        c.converged()
        survivor = c.followers()[0]
        for node in c.nodes:
            if node is not survivor:
                node.kill()
        check_eq("stale", survivor.get("k", "stale").body, b"v")
        for mode in ("", "consistent"):
            reply = survivor.request("GET", f"/db/k?{mode}&timeout=1s" if mode else "/db/k?timeout=1s")
            check(f"{mode or 'default'} has no answer: {reply}", reply.status == 503)
        def as_of_consul():
            reply = survivor.request("GET", "/v1/kv/k?stale&raw")
            check_eq("stale, asked as of Consul", (reply.status, reply.body), (200, b"v"))
            return {name.lower(): value for name, value in reply.headers.items()}
        wait_until("no leader is known", 5, lambda: as_of_consul()["x-consul-knownleader"] == "false")


def the_articles_curl_works_unchanged_on_every_node_and_without_a_leader():
    def curl(node):
        url = f"http://{node.client}/v1/health/service/es?dc=dc1&passing=1&stale"
        done = subprocess.run(["curl", "-v", url], capture_output=True, text=True, timeout=20)
        check_eq(done.stderr, done.returncode, 0)
        headers = {line[2:].split(":")[0].lower(): line.split(":", 1)[1].strip()
                   for line in done.stderr.splitlines() if line.startswith("< ") and ":" in line}
        return headers, json.loads(done.stdout)

    with Cluster(3) as c:
        c.start()
        check_eq("an unknown service", curl(c.leader())[1], [])
        for name, status in (("es1", "passing"), ("es2", "critical")):
            body = {"Node": name, "Address": "10.0.0.1", "Service": {"ID": name, "Service": "es", "Port": 9200},
                    "Check": {"CheckID": name, "Name": "alive", "Status": status, "ServiceID": name}}
            check_eq(name, c.leader().request("PUT", "/v1/catalog/register", json.dumps(body)).status, 200)
        c.converged()
        for node in c.nodes:
            headers, body = curl(node)
            check_eq("those that pass", [i["Service"]["ID"] for i in body], ["es1"])
            check_eq("parts of an instance", list(body[0]), ["Node", "Service", "Checks"])
            check("an index", int(headers["x-consul-index"]) > 0)
            check_eq("a leader is known", headers["x-consul-knownleader"], "true")
            check_eq("mode", headers["x-consul-effective-consistency"], "stale")
        survivor = c.followers()[0]
        for node in c.nodes:
            if node is not survivor:
                node.kill()
        wait_until("no leader is known", 5, lambda: curl(survivor)[0]["x-consul-knownleader"] == "false")
        headers, body = curl(survivor)
        check_eq("the same", [i["Service"]["ID"] for i in body], ["es1"])
        wait_until("the time since then grows", 5, lambda: int(curl(survivor)[0]["x-consul-lastcontact"]) > 500)


run(the_articles_curl_works_unchanged_on_every_node_and_without_a_leader,
    a_node_is_always_leader_candidate_or_follower,
    log_state_and_database_are_kept_apart_and_the_database_is_made_of_the_log,
    each_leadership_is_a_no_op_and_each_write_a_record_also_an_equal_one,
    all_nodes_have_the_same_committed_log,
    term_and_members_survive_a_restart_of_all,
    the_leader_tells_followers_in_the_articles_words,
    a_write_on_a_follower_reaches_its_log_through_the_leader,
    an_acknowledged_write_is_read_at_once_and_reaches_all_soon,
    stale_reads_need_nobody_and_others_do_not_answer_alone)
