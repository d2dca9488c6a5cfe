"""The catalog and health on real processes: the article's line, cascades, watches, no leader; Consul's clients."""
import json
import os
import pathlib
import subprocess
import threading
import time

from cluster import ROOT, Cluster, wait_until
from runner import Skip, check, check_eq, run

CLIENTS = pathlib.Path(__file__).resolve().parent / "clients"
LINE = "http://HOST/v1/health/service/es?dc=dc1&passing=1&stale"  # the article's, with its port
FOO = {"Node": "foo", "Address": "10.0.0.1", "Service": {"ID": "es1", "Service": "es", "Tags": ["v1"], "Port": 9200},
       "Checks": [{"Name": "alive", "Status": "passing"},
                  {"CheckID": "http", "Name": "http", "ServiceID": "es1", "Status": "passing"}]}


def put(node, what, body):
    reply = node.request("PUT", f"/v1/catalog/{what}", json.dumps(body))
    check(f"{what} {body}: {reply}", reply.status == 200 and reply.body == b"true")


def get(node, path, timeout=15.0):
    reply = node.request("GET", f"/v1/{path}", timeout=timeout)
    check(f"{path}: {reply}", reply.status == 200)
    return reply


def waiters(node):
    lines = node.request("GET", "/metrics").body.decode().splitlines()
    return sum(int(line.split()[-1]) for line in lines if line.startswith("coracle_waiters"))


def ids(reply):
    return [entry["Service"]["ID"] for entry in reply.json()]


def curl(node):
    """The article's line as it stands: what came back, and the head of the answer."""
    done = subprocess.run(["curl", "-v", "-sS", "-m", "10", LINE.replace("HOST", node.client)], capture_output=True,
                          text=True, timeout=20)
    check(done.stderr, done.returncode == 0 and "< HTTP/1.1 200 OK" in done.stderr)
    return json.loads(done.stdout), done.stderr


def the_articles_line_works_on_every_node_and_without_a_leader():
    with Cluster(3) as c:
        c.start()
        put(c.nodes[1], "register", FOO)
        c.converged()
        for node in c.nodes:
            found, head = curl(node)
            check_eq(node.name, [e["Service"]["Port"] for e in found], [9200])
            check_eq(node.name, [x["CheckID"] for x in found[0]["Checks"]], ["alive", "http"])
            check(head, "X-Consul-Effective-Consistency: stale" in head and "X-Consul-Knownleader: true" in head)
        left = c.followers()[0]
        for node in c.nodes:
            if node is not left:
                node.kill()
        wait_until("no leader", 10, lambda: left.request("GET", "/v1/status/leader").body == b'""')
        found, head = curl(left)
        check_eq("without a leader", [e["Service"]["Port"] for e in found], [9200])
        check(head, "X-Consul-Knownleader: false" in head)
        for method, path in (("GET", "health/service/es"), ("PUT", "catalog/deregister")):
            reply = left.request(method, f"/v1/{path}", json.dumps({"Node": "foo"}) if method == "PUT" else None, 15)
            check(f"{reply}", reply.status == 500 and reply.body == b"No cluster leader")


def a_registration_is_seen_on_every_node_at_once():
    with Cluster(3) as c:
        c.start()
        for i, writer in enumerate(c.nodes * 3):
            put(writer, "register", {"Node": f"n{i}", "Address": "10.0.0.1", "Service": {"Service": "web"}})
            for reader in c.nodes:
                for mode in ("", "?consistent"):
                    check_eq(f"{i} {mode}", len(get(reader, f"catalog/service/web{mode}").json()), i + 1)
        c.converged()
        for reader in c.nodes:
            check_eq("stale", len(get(reader, "health/service/web?stale").json()), 9)


def a_node_goes_with_all_that_is_on_it_everywhere():
    with Cluster(3) as c:
        c.start()
        put(c.nodes[0], "register", FOO)
        put(c.nodes[1], "register", {**FOO, "Node": "bar", "Service": {"Service": "es", "ID": "es2"},
                                     "Checks": []})
        put(c.nodes[2], "deregister", {"Node": "foo"})
        c.converged()
        for node in c.nodes:
            check_eq("service", ids(get(node, "health/service/es")), ["es2"])
            check_eq("node", get(node, "catalog/node/foo").json(), None)
            check_eq("checks", get(node, "health/state/any?stale").json(), [])
        paths = ("catalog/nodes", "catalog/services", "health/service/es", "health/service/none", "health/node/foo")
        before = [get(c.nodes[0], path).headers["X-Consul-Index"] for path in paths]
        for node in c.nodes:  # and after a restart from the log
            node.stop()
        c.start()
        check_eq("indexes", [get(c.nodes[0], path).headers["X-Consul-Index"] for path in paths], before)
        check_eq("after a restart", ids(get(c.nodes[0], "health/service/es?consistent")), ["es2"])


def a_blocked_request_wakes_on_its_service_and_on_no_other():
    with Cluster(3) as c:
        c.start()
        put(c.nodes[0], "register", FOO)
        c.converged()
        asks = []
        for node in c.nodes:
            for mode in ("", "&consistent", "&stale"):
                index = get(node, "health/service/es").headers["X-Consul-Index"]
                seen = []
                ask = threading.Thread(target=lambda n=node, m=mode, i=index, s=seen: s.append(
                    (get(n, f"health/service/es?passing&index={i}&wait=30s{m}", 45), time.monotonic())))
                ask.start()
                asks.append((ask, seen))
        for node in c.nodes:
            wait_until(f"three wait at {node.name}", 10, lambda n=node: waiters(n) == 3)
        put(c.nodes[1], "register", {"Node": "other", "Address": "10.0.0.2", "Service": {"Service": "other"}})
        put(c.nodes[1], "register", FOO)  # as before
        c.converged()  # so whoever was to be woken has been
        check_eq("still waiting", [waiters(node) for node in c.nodes], [3, 3, 3])
        check_eq("too early", [s for _, s in asks if s], [])
        put(c.nodes[2], "register", {"Node": "foo", "SkipNodeUpdate": True,
                                     "Check": {"Name": "alive", "Status": "critical"}})
        done = time.monotonic()
        for ask, seen in asks:
            ask.join(40)
            check_eq("woken to", ids(seen[0][0]), [])
            check(f"{seen[0][1] - done:.2f} s later", seen[0][1] - done < 10)


def run_client(command, tests, **how):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, **how)
    check(f"{command[0]}: {done.stdout[-3000:]}{done.stderr[-3000:]}", done.returncode == 0)
    check_eq("tests", done.stdout.count("ok "), tests)


def python3_consul_works_on_every_node():
    python = "/usr/bin/python3"
    if not os.path.exists(python) or subprocess.run([python, "-c", "import consul"], capture_output=True,
                                                    timeout=30).returncode != 0:
        raise Skip("python3-consul is not installed")
    with Cluster(3) as c:
        c.start()
        for node in c.nodes:
            run_client([python, str(CLIENTS / "catalog_python.py"), node.client.split(":")[1]], 3)


def npm_consul_works():
    modules = ROOT / "build" / "npm" / "node_modules"  # where consul_test.py puts it
    if not (modules / "consul").is_dir():
        raise Skip("npm's consul is not installed: consul_test.py does it")
    with Cluster(3) as c:
        c.start()
        run_client(["node", str(CLIENTS / "catalog_node.js"), c.nodes[2].client.split(":")[1]], 2,
                   env={**os.environ, "NODE_PATH": str(modules)})


run(the_articles_line_works_on_every_node_and_without_a_leader, a_registration_is_seen_on_every_node_at_once,
    a_node_goes_with_all_that_is_on_it_everywhere, a_blocked_request_wakes_on_its_service_and_on_no_other,
    python3_consul_works_on_every_node, npm_consul_works)
