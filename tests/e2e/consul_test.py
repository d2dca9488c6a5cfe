"""Consul's dialect on real processes: its clients from their package managers, curl, other dialects, no leader."""
import base64
import http.client
import json
import os
import pathlib
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

from cluster import ROOT, Cluster, wait_until
from runner import Skip, check, check_eq, run

CLIENTS = pathlib.Path(__file__).resolve().parent / "clients"
GO_SUITE = pathlib.Path("/usr/share/gocode/src/github.com/armon/consul-api")
# What concerns KV, status, catalog and health. The others need sessions, events, the agent, ACLs: docs/consul.md.
GO_TESTS = ("TestClientPutGetDelete|TestClient_List_DeleteRecurse|TestClient_CAS|TestClient_WatchGet|"
            "TestClient_WatchList|TestClient_Keys_DeleteRecurse|TestStatusLeader|TestStatusPeers|"
            "TestSetQueryOptions|TestSetWriteOptions|TestRequestToHTTP|TestParseQueryMeta|"
            "TestCatalog_Datacenters|TestCatalog_Nodes|TestCatalog_Services|TestCatalog_Service|TestCatalog_Registration|"
            "TestCatalog_Deregistration|TestHealth_Service|TestHealth_State")
# These expect that servers register themselves, which ours do not.
GO_SERVER = {"Node": "server", "Address": "127.0.0.1", "Service": {"Service": "consul"},
             "Check": {"Name": "serfHealth", "Status": "passing"}}


def kv(node, method, key, query="", body=None, timeout=15.0):
    return node.request(method, f"/v1/kv/{key}" + (f"?{query}" if query else ""), body, timeout)


def wait_for_waiters(node, n):
    """Until so many requests are blocked there."""
    wait_until(f"{n} blocked requests", 20,
               lambda: f"coracle_waiters {n}\n" in node.request("GET", "/metrics").body.decode())


def value_of(reply):
    return base64.b64decode(reply.json()[0]["Value"] or "")


def run_client(command, seconds=60, **how):
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, **how)
    check(f"{command[0]}: {done.stdout[-3000:]}{done.stderr[-3000:]}", done.returncode == 0)
    return done.stdout


# ---- clients ----------------------------------------------------------------------------------------------


def python_consul():
    for python in (sys.executable, "/usr/bin/python3"):
        if shutil.which(python) and subprocess.run([python, "-c", "import consul"], capture_output=True,
                                                   timeout=30).returncode == 0:
            return python
    raise Skip("python3-consul is not installed")


def python3_consul_works_on_every_node():
    python = python_consul()
    with Cluster(3) as c:
        c.start()
        for node in c.nodes:
            out = run_client([python, str(CLIENTS / "kv_python.py"), node.client.split(":")[1]])
            check_eq("tests", out.count("ok "), 8)


def node_modules():
    """Where npm's consul is: installed into build/ once, when the registry can be reached."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        raise Skip("npm is not installed")
    folder = ROOT / "build" / "npm"
    if not (folder / "node_modules" / "consul").is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        try:
            done = subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder),
                                   "consul@2.0.1"], capture_output=True, text=True, timeout=60)
        except subprocess.TimeoutExpired:
            raise Skip("npm install consul: the registry does not answer") from None
        if done.returncode != 0:
            raise Skip(f"npm install consul: {done.stderr.strip().splitlines()[:1]}")
    return folder / "node_modules"


def npm_consul_works():
    modules = node_modules()
    with Cluster(3) as c:
        c.start()
        node = c.nodes[1]
        out = run_client(["node", str(CLIENTS / "kv_node.js"), node.client.split(":")[1]],
                         env={**os.environ, "NODE_PATH": str(modules)})
        check_eq("tests", out.count("ok "), 6)


def the_go_suite_of_debian_passes():
    if shutil.which("go") is None or not GO_SUITE.is_dir():
        raise Skip("golang-go and golang-github-armon-consul-api-dev are not installed")
    path = pathlib.Path(tempfile.mkdtemp(prefix="coracle-go-"))
    try:
        with Cluster(3) as c:
            c.start()
            check_eq("server", c.nodes[0].request("PUT", "/v1/catalog/register", json.dumps(GO_SERVER)).body, b"true")
            copy = path / "src" / "github.com" / "armon" / "consul-api"
            copy.mkdir(parents=True)
            for source in GO_SUITE.glob("*.go"):  # its address is a constant: the only change
                text = source.read_text().replace("127.0.0.1:8500", c.nodes[2].client)
                (copy / source.name).write_text(text)
            out = run_client(["go", "test", "-vet=off", "-v", "-run", f"^({GO_TESTS})$", "./..."], seconds=150, cwd=copy,
                             env={**os.environ, "GO111MODULE": "off", "GOPATH": str(path), "GOFLAGS": "",
                                  "GOCACHE": str(ROOT / "build" / "go-cache"), "GOPROXY": "off"})
            check_eq(f"tests\n{out}", out.count("--- PASS"), GO_TESTS.count("|") + 1)
    finally:
        shutil.rmtree(path, ignore_errors=True)


def curl(node, *words, seconds=15):
    return run_client(["curl", "-sS", "-m", str(seconds), *[w.replace("HOST", node.client) for w in words]],
                      seconds=seconds + 5)


def curl_writes_reads_and_watches():
    with Cluster(3) as c:
        c.start()
        one, two, three = c.nodes
        check_eq("put", curl(one, "-X", "PUT", "-d", "bar", "http://HOST/v1/kv/foo"), "true")
        check_eq("raw", curl(two, "http://HOST/v1/kv/foo?raw"), "bar")
        check_eq("raw", curl(three, "http://HOST/v1/kv/foo?raw&consistent"), "bar")
        head = curl(two, "-v", "-o", "/dev/null", "-D", "-", "http://HOST/v1/kv/foo?dc=dc1&stale")
        check(head, "X-Consul-Index: 2" in head and "X-Consul-Knownleader: true" in head)
        index = json.loads(curl(two, "http://HOST/v1/kv/foo"))[0]["ModifyIndex"]
        writer = threading.Timer(0.3, lambda: one.put("foo", "changed"))
        writer.start()
        check_eq("watched", curl(three, f"http://HOST/v1/kv/foo?raw&index={index}&wait=10s"), "changed")
        writer.join()


# ---- dialects ---------------------------------------------------------------------------------------------


def what_raftd_writes_consul_reads_and_watches():
    with Cluster(3) as c:
        c.start()
        one, two, three = c.nodes
        one.put("pair/\u00fc x", b"\x00\xff")
        got = kv(two, "GET", "pair/%C3%BC%20x")
        check_eq("value", value_of(got), b"\x00\xff")
        check_eq("flags", got.json()[0]["Flags"], 0)
        check_eq("listed", kv(three, "GET", "pair/", "keys").json(), ["pair/\u00fc x"])
        index = got.headers["X-Consul-Index"]
        seen = []
        watcher = threading.Thread(target=lambda: seen.append(kv(two, "GET", "pair/", f"recurse&index={index}&wait=20s")))
        watcher.start()
        wait_for_waiters(two, 1)
        one.put("elsewhere", "x")
        three.request("DELETE", "/db/pair%2F%C3%BC%20x")
        watcher.join(25)
        check_eq("deleted", seen[0].status, 404)


def what_consul_writes_raftd_reads_and_watches():
    with Cluster(3) as c:
        c.start()
        one, two, three = c.nodes
        host, port = three.client.split(":")
        watch = http.client.HTTPConnection(host, int(port), timeout=20)
        watch.request("GET", "/db?watch&prefix=pair/")
        stream = watch.getresponse()
        check_eq("put", kv(one, "PUT", "pair/a", "flags=9", b"one").body, b"true")
        check_eq("read", two.get("pair/a").body, b"one")
        check_eq("delete", kv(two, "DELETE", "pair/", "recurse").body, b"true")
        events = []
        while len(events) < 2:
            line = json.loads(stream.readline())
            events += [line] if "key" in line else []
        watch.close()
        check(f"{events}", events[0]["key"] == "pair/a" and events[0]["value"] == "one" and events[1]["key"] == "pair/a")
        # Flags belong to the version that Consul wrote: another dialect's write has none.
        kv(one, "PUT", "pair/b", "flags=9", b"1")
        two.put("pair/b", "2")
        check_eq("flags", kv(three, "GET", "pair/b").json()[0]["Flags"], 0)


# ---- every node, many clients -----------------------------------------------------------------------------


def a_write_is_seen_at_once_on_every_node_but_by_stale_reads():
    with Cluster(3) as c:
        c.start()
        for i in range(30):
            writer = c.nodes[i % 3]
            check_eq("put", kv(writer, "PUT", "k", body=str(i).encode()).body, b"true")
            for node in c.nodes:
                for mode in ("", "consistent"):
                    check_eq(f"{node.name} {mode}", value_of(kv(node, "GET", "k", mode)), str(i).encode())
        for node in c.nodes:
            wait_until("stale converges", 5, lambda n=node: value_of(kv(n, "GET", "k", "stale")) == b"29")


def blocked_clients_cost_four_kilobytes_and_wake_alone():
    n = 1000
    with Cluster(1) as c:
        c.start()
        node = c.nodes[0]
        host, port = node.client.split(":")

        def anonymous():
            status = pathlib.Path(f"/proc/{node.process.pid}/status").read_text()
            return int(status.split("RssAnon:")[1].split()[0]) * 1024

        kv(node, "PUT", "first", body=b"x")
        before = anonymous()
        clients = [socket.create_connection((host, int(port)), timeout=10) for _ in range(n)]
        try:
            for i, s in enumerate(clients):
                s.sendall(f"GET /v1/kv/b/{i}?index=2&wait=5m HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            wait_for_waiters(node, n)
            each = (anonymous() - before) / n
            check(f"{each:.0f} bytes", each <= 4096)
            kv(node, "PUT", "b/7", body=b"x")
            check("woken", clients[7].recv(65536).startswith(b"HTTP/1.1 200"))
            kv(node, "PUT", "first", body=b"y")
            # Whoever this woke was answered before the next change woke the eighth.
            kv(node, "PUT", "b/8", body=b"x")
            check("woken in its turn", clients[8].recv(65536).startswith(b"HTTP/1.1 200"))
            awake = select.select(clients, [], [], 0)[0]
            check_eq("others woken", len(awake), 0)
        finally:
            for s in clients:
                s.close()
        wait_for_waiters(node, 0)


# ---- elections --------------------------------------------------------------------------------------------


def requests_outlast_an_election_and_blocked_ones_too():
    with Cluster(3) as c:
        c.start()
        kv(c.nodes[0], "PUT", "k", body=b"1")
        leader = c.leader()
        others = [node for node in c.nodes if node is not leader]
        index = kv(others[0], "GET", "k").headers["X-Consul-Index"]
        seen = []
        blocked = threading.Thread(target=lambda: seen.append(kv(others[0], "GET", "k", f"index={index}&wait=30s", timeout=40)))
        blocked.start()
        wait_for_waiters(others[0], 1)
        leader.kill()
        reply = kv(others[1], "PUT", "k", body=b"2")
        check(f"{reply}", reply.status == 200 or (reply.status == 500 and b"may or may not" in reply.body))
        if reply.status != 200:
            kv(others[1], "PUT", "k", body=b"2")
        check_eq("read", value_of(kv(others[1], "GET", "k", "consistent")), b"2")
        blocked.join(40)
        check_eq("woken", (seen[0].status, value_of(seen[0])), (200, b"2"))


def without_a_leader_stale_reads_and_status_are_answered_and_the_rest_is_held():
    with Cluster(3) as c:
        c.start()
        kv(c.nodes[0], "PUT", "k", body=b"1")
        leader = c.leader()
        left = [node for node in c.nodes if node is not leader][0]
        check_eq("applied", kv(left, "GET", "k").status, 200)
        for node in c.nodes:
            if node is not left:
                node.kill()
        wait_until("no leader", 10, lambda: left.request("GET", "/v1/status/leader").body == b'""')
        stale = kv(left, "GET", "k", "stale")
        check_eq("stale", (stale.status, stale.headers["X-Consul-Knownleader"]), (200, "false"))
        check("contact", int(stale.headers["X-Consul-Lastcontact"]) > 0)
        check_eq("peers", len(left.request("GET", "/v1/status/peers").json()), 3)
        began = time.monotonic()
        replies = []
        asks = [threading.Thread(target=lambda m=m, q=q: replies.append(kv(left, m, "k", q, b"x" if m == "PUT" else None)))
                for m, q in (("GET", ""), ("GET", "consistent"), ("PUT", ""))]
        for ask in asks:
            ask.start()
        for ask in asks:
            ask.join(20)
        took = time.monotonic() - began
        check(f"{replies}", all(r.status == 500 and r.body == b"No cluster leader" for r in replies) and len(replies) == 3)
        check(f"held for {took:.1f} s", 6.5 <= took <= 9)


def a_paused_node_serves_no_past_after_a_write():
    with Cluster(3) as c:
        c.start()
        kv(c.nodes[0], "PUT", "k", body=b"old")
        leader = c.leader()
        others = [node for node in c.nodes if node is not leader]
        leader.send(signal.SIGSTOP)
        wait_until("another leader", 15, lambda: kv(others[0], "PUT", "k", body=b"new").status == 200)
        leader.send(signal.SIGCONT)
        for mode in ("", "consistent"):
            check_eq(mode, value_of(kv(leader, "GET", "k", mode)), b"new")


run(python3_consul_works_on_every_node, npm_consul_works, the_go_suite_of_debian_passes,
    curl_writes_reads_and_watches, what_raftd_writes_consul_reads_and_watches,
    what_consul_writes_raftd_reads_and_watches, a_write_is_seen_at_once_on_every_node_but_by_stale_reads,
    blocked_clients_cost_four_kilobytes_and_wake_alone, requests_outlast_an_election_and_blocked_ones_too,
    without_a_leader_stale_reads_and_status_are_answered_and_the_rest_is_held,
    a_paused_node_serves_no_past_after_a_write)
