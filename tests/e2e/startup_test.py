"""What a stranger types wrong: one line that says what to do, an exit code, and nothing changed on disk."""
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile

from cluster import BINARY, Cluster, free_port, wait_until
from runner import Skip, check, check_eq, run

USAGE = 2


def serve(*arguments, directory, env=None, seconds=10, user=None, binary=BINARY):
    """Run `coracle serve`, which is expected to end by itself: exit code and what it said."""
    line = [binary, "serve", "--data-dir", str(directory)] + list(arguments)
    done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds,
                          env={**os.environ, **(env or {})}, user=user)
    return done.returncode, done.stderr.strip()


def listing(directory):
    directory = pathlib.Path(directory)
    if not directory.exists():
        return None
    return sorted((str(p.relative_to(directory)), p.stat().st_size) for p in directory.rglob("*"))


def settled(directory):
    """The listing once a node that has just started makes no more files ahead of need."""
    seen = []

    def same():
        seen.append(listing(directory))
        return seen[-1] if len(seen) > 5 and all(s == seen[-1] for s in seen[-5:]) else None
    return wait_until(f"nothing new in {directory}", 10, same, every=0.1)


class Place:
    def __enter__(self):
        self.top = pathlib.Path(tempfile.mkdtemp(prefix="coracle-start-"))
        return self.top

    def __exit__(self, kind, value, trace):
        shutil.rmtree(self.top, ignore_errors=True)


def refused(what, code, text, *words):
    print(f"      {text}")
    check(f"{what}: exit code {code}", code != 0)
    check_eq(f"{what}: lines", len(text.splitlines()), 1)
    for word in words:
        check(f"{what}: names {word!r}: {text}", word in text)


def wrong_flags_get_a_suggestion():
    with Place() as top:
        code, text = serve("--lisen", "127.0.0.1:1", directory=top / "d")
        refused("a wrong flag", code, text, "--lisen", "--listen")
        check_eq("exit code", code, USAGE)
        code, text = serve("--heartbeat", "soon", directory=top / "d")
        refused("a bad duration", code, text, "heartbeat", "soon")
        code, text = serve(directory=top / "d", env={"CORACLE_HEARTBEAT": "soon"})
        refused("a bad environment", code, text, "CORACLE_HEARTBEAT")
        check_eq("nothing was made", listing(top / "d"), None)


def a_cluster_without_the_own_name_is_refused():
    with Place() as top:
        cluster = f"n1=127.0.0.1:{free_port()},n2=127.0.0.1:{free_port()}"
        code, text = serve("--name", "n3", "--cluster", cluster, directory=top / "d")
        refused("a list without the own name", code, text, "n3")
        code, text = serve("--name", "n1", "--cluster", "n1=127.0.0.1:1,n1=127.0.0.1:2", directory=top / "d")
        refused("a name twice", code, text, "n1")
        code, text = serve("--name", "n1", "--cluster", "n1=nowhere", directory=top / "d")
        refused("an address without a port", code, text, "nowhere")
        check_eq("nothing was made", listing(top / "d"), None)


def beyond_loopback_only_with_insecure():
    with Place() as top:
        code, text = serve("--listen", f"0.0.0.0:{free_port()}", directory=top / "d")
        refused("a public address", code, text, "--insecure")
        check_eq("nothing was made", listing(top / "d"), None)


def a_port_in_use_is_named():
    with Place() as top, socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        code, text = serve("--listen", address, directory=top / "d")
        refused("a port in use", code, text, address)


def two_processes_do_not_share_a_directory():
    with Cluster(1) as c:
        c.start()
        node = c.nodes[0]
        before = settled(node.directory)
        code, text = serve("--listen", f"127.0.0.1:{free_port()}", "--name", "n1", directory=node.directory)
        refused("a second process", code, text, str(node.directory))
        check_eq("nothing changed", listing(node.directory), before)
        check_eq("the first goes on", node.put("k", "v").status, 200)


def a_foreign_directory_is_refused():
    with Cluster(3) as c:
        c.start()
        for node in c.nodes:
            node.stop()
        node = c.nodes[0]
        before = listing(node.directory)
        code, text = serve("--listen", f"127.0.0.1:{free_port()}", "--name", "other", directory=node.directory)
        refused("another name", code, text, "n1", "other")
        cluster = ",".join(f"{name}=127.0.0.1:{free_port()}" for name in ("n1", "n2"))
        code, text = serve("--listen", f"127.0.0.1:{free_port()}", "--name", "n1", "--cluster", cluster,
                           directory=node.directory)
        refused("another list of members", code, text)
        check_eq("nothing changed", listing(node.directory), before)


def a_directory_that_cannot_be_written_is_refused():
    with Place() as top:
        (top / "file").write_text("not a directory")
        code, text = serve("--listen", f"127.0.0.1:{free_port()}", directory=top / "file")
        refused("a file in its place", code, text, "file")
        if os.getuid() != 0:
            raise Skip("needs root to become somebody who may not write")
        locked = top / "locked"
        locked.mkdir(mode=0o755)
        top.chmod(0o755)
        reachable = shutil.copy(BINARY, top)  # this checkout may be in a home that others may not enter
        code, text = serve("--listen", f"127.0.0.1:{free_port()}", directory=locked, user=65534, binary=reachable)
        refused("a directory of somebody else", code, text, "locked")
        check_eq("nothing was made", listing(locked), [])


run(wrong_flags_get_a_suggestion, a_cluster_without_the_own_name_is_refused, beyond_loopback_only_with_insecure,
    a_port_in_use_is_named, two_processes_do_not_share_a_directory, a_foreign_directory_is_refused,
    a_directory_that_cannot_be_written_is_refused)
