"""`coracle watch --type`: states of every kind, told to a program or printed, when they change and not otherwise."""
import json
import os
import signal
import subprocess

from cluster import BINARY, Cluster, wait_until
from runner import check, check_eq, run

APPEND = 'printf "%s " "$CONSUL_INDEX" >>"$0"; cat >>"$0"'  # index and state, a line for each


class Watch:
    """In the background, with what it has told so far."""

    def __init__(self, c, *arguments, handler=True):
        self.path = c.directory / f"told-{len(list(c.directory.iterdir()))}"
        self.path.touch()
        self.handler = handler
        env = {**os.environ, "CORACLE_ENDPOINTS": ",".join(n.client for n in c.nodes)}
        program = ["--", "sh", "-c", APPEND, str(self.path)] if handler else []
        with open(self.path, "ab") as out:
            self.process = subprocess.Popen([BINARY, "watch", "--type", *arguments, *program], env=env,
                                            stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def told(self):
        """[(index, state)]; the index is None when it was printed."""
        lines = self.path.read_text().splitlines()
        if not self.handler:
            return [(None, json.loads(line)) for line in lines]
        return [(int(line.split(" ", 1)[0]), json.loads(line.split(" ", 1)[1])) for line in lines]

    def wait(self, n):
        wait_until(f"{n} states, not {self.path.read_text()!r}", 10,
                   lambda: self.path.read_text().count("\n") >= n)
        told = self.told()
        check_eq("states", len(told), n)
        return told

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)


def put(node, key, value):
    check_eq(key, node.request("PUT", f"/v1/kv/{key}", value).body.strip(), b"true")


def register(node, service, status="passing", tags=("a",)):
    body = {"Node": "web1", "Address": "10.0.0.1",
            "Service": {"ID": service, "Service": service, "Port": 80, "Tags": list(tags)},
            "Check": {"CheckID": f"c-{service}", "Name": "alive", "Status": status, "ServiceID": service}}
    check_eq("register", node.request("PUT", "/v1/catalog/register", json.dumps(body)).status, 200)


def a_key_is_told_to_a_program_at_first_and_when_it_changes():
    with Cluster(3) as c:
        c.start()
        with Watch(c, "key", "k") as watch:
            check_eq("it is not there", watch.wait(1)[0][1], None)
            put(c.nodes[0], "k", "1")
            index, state = watch.wait(2)[1]
            check_eq("names", list(state),
                     ["Key", "CreateIndex", "ModifyIndex", "LockIndex", "Flags", "Value", "Session"])
            check_eq("state", (state["Key"], state["Value"], state["Session"]), ("k", "MQ==", ""))
            check_eq("index", index, state["ModifyIndex"])
            put(c.nodes[0], "k", "1")      # nothing changes
            put(c.nodes[1], "other", "1")  # nor here
            put(c.nodes[2], "k", "2")
            check_eq("the next one told", watch.wait(3)[2][1]["Value"], "Mg==")
            check_eq("raftd's", c.nodes[0].request("DELETE", "/db/k").status, 200)
            check_eq("it is gone", watch.wait(4)[3][1], None)


def keys_of_a_prefix_are_printed_without_a_program():
    with Cluster(1) as c:
        c.start()
        with Watch(c, "keyprefix", "a/", handler=False) as watch:
            check_eq("none", watch.wait(1)[0][1], None)
            put(c.nodes[0], "a/1", "x")
            put(c.nodes[0], "b", "x")
            check_eq("one", [p["Key"] for p in watch.wait(2)[1][1]], ["a/1"])
            check_eq("raftd's", c.nodes[0].put("a/2", "y").status, 200)
            check_eq("two", [p["Key"] for p in watch.wait(3)[2][1]], ["a/1", "a/2"])


def services_nodes_and_checks_are_told():
    with Cluster(1) as c:
        c.start()
        node = c.nodes[0]
        with Watch(c, "service", "web", "--passing", "--tag", "a") as service, Watch(c, "services") as services, \
                Watch(c, "nodes") as nodes, Watch(c, "checks", "--state", "critical") as critical, \
                Watch(c, "checks", "--service", "web") as checks:
            check_eq("no instance", service.wait(1)[0][1], [])
            check_eq("no service", services.wait(1)[0][1], {})
            check_eq("no node", nodes.wait(1)[0][1], [])
            check_eq("nothing critical", critical.wait(1)[0][1], [])
            check_eq("no check", checks.wait(1)[0][1], [])
            register(node, "web")
            instance = service.wait(2)[1][1][0]
            check_eq("instance", (instance["Node"]["Node"], instance["Service"]["Port"]), ("web1", 80))
            check_eq("services", services.wait(2)[1][1], {"web": ["a"]})
            check_eq("nodes", [n["Node"] for n in nodes.wait(2)[1][1]], ["web1"])
            check_eq("checks", [k["Status"] for k in checks.wait(2)[1][1]], ["passing"])
            register(node, "web", status="critical")
            check_eq("critical", [k["CheckID"] for k in critical.wait(2)[1][1]], ["c-web"])
            check_eq("it passes no more", service.wait(3)[2][1], [])
            check_eq("checks", [k["Status"] for k in checks.wait(3)[2][1]], ["critical"])
            check_eq("services are as before", len(services.told()), 2)


def a_watch_goes_on_when_its_node_dies():
    with Cluster(3) as c:
        c.start()
        with Watch(c, "key", "k") as watch:
            watch.wait(1)
            c.nodes[0].kill()  # the first of the endpoints
            wait_until("a write", 15, lambda: c.nodes[1].put("k", "v").status == 200)
            check_eq("told by another", watch.wait(2)[1][1]["Value"], "dg==")


def a_program_that_fails_ends_the_watch():
    with Cluster(1) as c:
        c.start()
        for program, word in ((["sh", "-c", "exit 4"], "sh ended with 4"), (["/nowhere/x"], "No such file")):
            done = subprocess.run([BINARY, "watch", "--type", "key", "k", "--endpoints", c.nodes[0].client, "--",
                                   *program], capture_output=True, text=True, timeout=20)
            check_eq("exit code", done.returncode, 3)
            check(done.stderr, word in done.stderr)


def a_program_need_not_read():
    with Cluster(1) as c:
        c.start()
        put(c.nodes[0], "big", "x" * 400000)
        with Watch(c, "key", "big", handler=False) as control:
            control.wait(1)
        told = c.directory / "ran"
        process = subprocess.Popen([BINARY, "watch", "--type", "key", "big", "--endpoints", c.nodes[0].client, "--",
                                    "sh", "-c", 'echo ran >>"$0"', str(told)])
        try:
            wait_until("it ran", 10, lambda: told.exists() and told.read_text() == "ran\n")
            put(c.nodes[0], "big", "y")
            wait_until("it ran again", 10, lambda: told.read_text() == "ran\nran\n")
        finally:
            process.kill()
            process.wait(5)


def what_makes_no_sense_is_said():
    for arguments, word in ((["--type", "key"], "which KEY?"), (["--type", "key", ""], "which KEY?"),
                            (["--type", "bad", "x"], "type"), (["--type", "nodes", "--passing"], "--type service"),
                            (["--type", "key", "k", "--prefix"], "keyprefix"), (["k", "--passing"], "need a --type"),
                            (["--type", "checks", "--state", "any", "--service", "s"], "not both"),
                            (["a", "b"], "too many"), ([], "missing")):
        done = subprocess.run([BINARY, "watch", *arguments], capture_output=True, text=True, timeout=10)
        check_eq(f"{arguments}: exit code: {done.stderr}", done.returncode, 2)
        check(f"{arguments}: {done.stderr}", word in done.stderr)


run(a_key_is_told_to_a_program_at_first_and_when_it_changes,
    keys_of_a_prefix_are_printed_without_a_program,
    services_nodes_and_checks_are_told,
    a_watch_goes_on_when_its_node_dies,
    a_program_that_fails_ends_the_watch,
    a_program_need_not_read,
    what_makes_no_sense_is_said)
