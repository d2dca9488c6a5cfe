"""The commands of the binary, as the README shows them, against real nodes."""
import json
import os
import signal
import subprocess

from cluster import BINARY, Cluster, wait_until
from runner import check, check_eq, run


def coracle(c, *arguments, stdin=b"", code=0, endpoints=None):
    """Run a client command against the cluster; its standard output."""
    env = {**os.environ, "CORACLE_ENDPOINTS": endpoints or ",".join(node.client for node in c.nodes)}
    done = subprocess.run([BINARY, *arguments], input=stdin, capture_output=True, timeout=30, env=env)
    if done.returncode != code:
        raise AssertionError(f"{' '.join(arguments)}: exit {done.returncode}, want {code}\n"
                             f"{done.stdout!r}\n{done.stderr.decode(errors='replace')}")
    return done.stdout


class Watch:
    """`coracle watch` in the background; lines() is what it has printed so far."""

    def __init__(self, c, path, *arguments):
        self.path = path
        env = {**os.environ, "CORACLE_ENDPOINTS": ",".join(node.client for node in c.nodes)}
        with open(path, "wb") as out:
            self.process = subprocess.Popen([BINARY, "watch", *arguments], stdin=subprocess.DEVNULL,
                                            stdout=out, stderr=subprocess.STDOUT, env=env)

    def lines(self):
        return self.path.read_text(errors="replace").splitlines()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)


def watchers(c):
    total = 0
    for node in c.running():
        for line in node.request("GET", "/metrics").body.decode().splitlines():
            if "watchers" in line and not line.startswith("#"):
                total += int(float(line.split()[-1]))
    return total


def a_numbered_write_is_done_once():
    with Cluster(3) as c:
        c.start()
        session = coracle(c, "session", "open", "--ttl", "90s").decode().strip()
        first = coracle(c, "put", "k", "once", "--session", f"{session}:1")
        coracle(c, "put", "k", "later")
        check_eq("the same answer", coracle(c, "put", "k", "once", "--session", f"{session}:1"), first)
        check_eq("and no effect", coracle(c, "get", "k", "--consistent").rstrip(b"\n"), b"later")
        coracle(c, "put", "k", "other", "--session", f"{session}:1", code=1)
        deleted = coracle(c, "del", "k", "--session", f"{session}:2")
        check_eq("deleted", coracle(c, "del", "k", "--session", f"{session}:2"), deleted)
        for wrong in ("1", "1:", ":1", "0:1", "1:0", "a:b", "1:1 x"):
            coracle(c, "put", "k", "v", "--session", wrong, code=2)
        check_eq("closed", coracle(c, "session", "close", session).decode().strip(), session)
        coracle(c, "session", "close", session, code=3)
        coracle(c, "put", "k", "v", "--session", f"{session}:3", code=3)
        opened = json.loads(coracle(c, "session", "open", "--output", "json"))
        check_eq("ttl", opened["ttl_ms"], 3600000)


def put_get_and_delete():
    with Cluster(3) as c:
        c.start()
        coracle(c, "put", "foo", "bar")
        check_eq("get", coracle(c, "get", "foo").rstrip(b"\n"), b"bar")
        for mode in ("--consistent", "--stale"):
            coracle(c, "get", mode, "foo")
        coracle(c, "put", "blob", "-", stdin=bytes(range(256)))
        listed = json.loads(coracle(c, "get", "--output", "json", "foo"))
        check(f"json names the key: {listed}", "foo" in json.dumps(listed))
        coracle(c, "put", "fob", "baz")
        lines = coracle(c, "get", "--prefix", "fo").decode()
        check(f"both keys: {lines}", "foo" in lines and "fob" in lines and "blob" not in lines)
        coracle(c, "del", "foo")
        coracle(c, "get", "foo", code=1)
        check("status names all", all(n in coracle(c, "status").decode() for n in ("n1", "n2", "n3", "Leader")))


def listings_of_nothing_and_of_anything():
    with Cluster(1) as c:
        c.start()
        for form, want in (("plain", b""), ("json", b""), ("table", b"KEY")):
            check_eq(f"nothing, {form}", coracle(c, "get", "--prefix", "x", "--output", form)[:3], want)
        for key, value in (("x/ascii", b"1"), ("x/\u00e4\u00f6", b"2"), ("x/t\tab\\", b"\x9b\xff\n"), ("x/\u009b", b"4")):
            coracle(c, "put", key, "-", stdin=value)
        plain = coracle(c, "get", "--prefix", "x").decode().splitlines()
        check_eq("escaped", plain, ["x/ascii\t1", "x/t\\x09ab\\\\\t\\x9b\\xff\\x0a", "x/\\xc2\\x9b\t4",
                                    "x/\u00e4\u00f6\t2"])
        table = coracle(c, "get", "--prefix", "x", "--output", "table").decode().splitlines()
        column = table[0].index("VALUE")
        check_eq("aligned", [line[column:] for line in table[1:]], ["1", "\\x9b\\xff\\x0a", "4", "2"])
        table = coracle(c, "get", "--prefix", "x", "--keys-only", "--output", "table").decode().splitlines()
        check_eq("without values", [line.split()[-1] for line in table], ["VERSION", "1", "1", "1", "1"])
        check_eq("raw", coracle(c, "get", "x/t\tab\\", "--output", "raw"), b"\x9b\xff\n")
        coracle(c, "get", "--prefix", "x", "--output", "raw", code=2)


def a_watch_goes_on_when_its_node_dies():
    with Cluster(3) as c:
        c.start()
        with Watch(c, c.directory / "watch.txt", "--prefix", "w/") as watch:
            wait_until("the watch", 10, lambda: watchers(c) == 1)
            for i in range(10):
                coracle(c, "put", f"w/{i}", "x")
            wait_until(f"ten events {watch.lines()}", 10,
                       lambda: all(any(f"w/{i}" in line for line in watch.lines()) for i in range(10)))
            victim = next(node for node in c.nodes
                          if any("watchers" in line and line.endswith(" 1") for line in
                                 node.request("GET", "/metrics").body.decode().splitlines()))
            victim.kill()
            for i in range(10, 20):
                coracle(c, "put", f"w/{i}", "x")
            wait_until(f"all events {watch.lines()}", 15,
                       lambda: all(any(f"w/{i}" in line for line in watch.lines()) for i in range(20)))
            for i in range(20):
                check_eq(f"events of w/{i}", sum(f"w/{i}" in line.split() for line in watch.lines()), 1)


def offline_commands_read_a_directory():
    with Cluster(1) as c:
        c.start()
        node = c.nodes[0]
        coracle(c, "put", "seen", "in the log")
        node.stop()
        directory = str(node.directory)
        before = sorted((p.name, p.read_bytes()) for p in node.directory.iterdir())
        check("dump", b"seen" in coracle(c, "log", "dump", directory))
        rows = [json.loads(line) for line in coracle(c, "log", "dump", directory, "--json").splitlines()]
        check(f"json dump: {rows[-3:]}", any("seen" in json.dumps(row) for row in rows))
        check("inspect", b"n1" in coracle(c, "inspect", directory))
        coracle(c, "verify", directory)
        check("nothing changed", before == sorted((p.name, p.read_bytes()) for p in node.directory.iterdir()))

        log = max(node.directory.glob("*.wal"), key=lambda p: b"in the log" in p.read_bytes())
        data = bytearray(log.read_bytes())
        data[data.index(b"in the log")] ^= 1
        log.write_bytes(data)
        env = {**os.environ}
        done = subprocess.run([BINARY, "verify", directory], capture_output=True, text=True, env=env, timeout=30)
        check(f"rot is found: {done}", done.returncode != 0 and log.name in done.stdout + done.stderr)
        served = subprocess.run(node.command(), capture_output=True, text=True, timeout=30)
        print("      " + served.stderr.strip().splitlines()[-1])
        check("rot stops the node", served.returncode != 0 and log.name in served.stderr)


def mistakes_get_an_answer():
    with Cluster(1) as c:
        c.start()
        for arguments, word in ((["putt", "a", "b"], b"put"), (["put", "a"], b"VALUE"), (["get"], b"KEY"),
                                (["get", "a", "--prefx"], b"--prefix"), (["get", "a", "--output", "xml"], b"table")):
            done = subprocess.run([BINARY, *arguments], capture_output=True, timeout=10)
            check_eq(f"{arguments}: exit code ({done.stderr})", done.returncode, 2)
            check(f"{arguments}: says {word}: {done.stderr}", word.lower() in done.stderr.lower())
        coracle(c, "put", "k" * 8193, "v", code=2)
        coracle(c, "put", "k", "-", stdin=bytes(1048577), code=2)
        c.nodes[0].stop()
        coracle(c, "bench", "put", "--no-floors", "--time", "1s", code=3)
        done = subprocess.run([BINARY, "get", "a", "--endpoints", "127.0.0.1:1"], capture_output=True, timeout=30)
        check(f"nobody there: {done}", done.returncode not in (0, 2) and b"127.0.0.1:1" in done.stderr)
        for arguments in (["--help"], ["help"], ["serve", "--help"], ["put", "--help"], ["bench", "--help"],
                          ["--version"]):
            done = subprocess.run([BINARY, *arguments], capture_output=True, timeout=10)
            check(f"{arguments} is not empty", done.returncode == 0 and done.stdout)


def a_graceful_stop_ends_with_zero():
    with Cluster(3) as c:
        c.start()
        check_eq("a write", c.nodes[0].put("k", "v").status, 200)
        for node in c.nodes:
            check_eq(f"{node.name} on SIGTERM", node.stop(), 0)
        for node in c.nodes:
            node.start()
        c.wait_ready()
        check_eq("it is there", c.nodes[1].get("k", "consistent").body, b"v")


run(put_get_and_delete, a_numbered_write_is_done_once, listings_of_nothing_and_of_anything, a_watch_goes_on_when_its_node_dies, offline_commands_read_a_directory,
    mistakes_get_an_answer, a_graceful_stop_ends_with_zero)
