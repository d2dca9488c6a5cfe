"""A full file system under one and under all members: writes refused, reads go on, freed space is noticed."""
import os
import pathlib
import subprocess
import tempfile

from cluster import Cluster, wait_until
from runner import Skip, check, check_eq, run


class SmallDisks:
    """A tmpfs of @megabytes for each member."""

    def __init__(self, n, megabytes):
        self.top = pathlib.Path(tempfile.mkdtemp(prefix="coracle-full-"))
        self.places = [self.top / f"n{i + 1}" for i in range(n)]
        self.size = megabytes

    def __enter__(self):
        self.mounted = []
        for place in self.places:
            place.mkdir()
            done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={self.size}m", "tmpfs", str(place)],
                                  capture_output=True, text=True)
            if done.returncode != 0:
                self.__exit__(None, None, None)
                raise Skip(f"cannot mount a tmpfs: {done.stderr.strip()}")
            self.mounted.append(place)
        return self

    def __exit__(self, kind, value, trace):
        for place in self.mounted:
            subprocess.run(["umount", "-l", str(place)], check=False)
        for place in self.places:
            if place.is_dir():
                place.rmdir()
        self.top.rmdir()


def fill(place):
    """Take all that is left there."""
    with open(place / "filler", "wb") as f:
        try:
            while True:
                f.write(b"\0" * 65536)
                f.flush()
        except OSError:
            pass


def write_until_refused(node, value):
    for i in range(4000):
        reply = node.put(f"fill/{i}", value)
        if reply.status != 200:
            return i, reply
    raise AssertionError("4000 writes of 64 KiB fit on a full disk")


def a_full_disk_refuses_writes_and_heals():
    with SmallDisks(3, 24) as disks, Cluster(3, directory=disks.top) as c:
        for node, place in zip(c.nodes, disks.places):
            node.directory, node.log = place / "data", place.with_suffix(".log")
        try:
            c.start()
            value = os.urandom(65536)
            check_eq("a write", c.nodes[0].put("before", "1").status, 200)
            for place in disks.places:
                fill(place)
            n, reply = write_until_refused(c.leader(), value)
            print(f"after {n} writes: {reply.status} {reply.body.decode(errors='replace').strip()}")
            check_eq("status", reply.status, 507)
            check("the text names the cause", b"space" in reply.body or b"disk" in reply.body)
            check_eq("reads go on", c.nodes[1].get("before", "consistent").body, b"1")
            check("status says so", any(s and s["disk_full"] for s in [node.status() for node in c.nodes]))
            for place in disks.places:
                (place / "filler").unlink()
            wait_until("freed space is noticed", 30, lambda: c.nodes[0].put("after", "2").status == 200)
            for node in c.nodes:
                node.kill()
            for node in c.nodes:
                node.start()
            c.wait_ready()
            for i in range(n):
                check(f"fill/{i} is there", c.nodes[i % 3].get(f"fill/{i}").body == value)
            c.converged()
        finally:
            for node in c.nodes:
                node.kill()
                node.log.unlink(missing_ok=True)


run(a_full_disk_refuses_writes_and_heals)
