"""Sizes a user can see at once: the binary, an empty directory, an idle process."""
import pathlib
import shutil
import subprocess
import tempfile
import time

from cluster import BINARY, Cluster
from runner import check, run


def the_stripped_binary_is_small():
    with tempfile.TemporaryDirectory() as top:
        small = pathlib.Path(top) / "coracle"
        shutil.copy(BINARY, small)
        subprocess.run(["strip", str(small)], check=True)
        print(f"      {small.stat().st_size} bytes")
        check("at most 1.5 MB", small.stat().st_size <= 1_500_000)


def disk_bytes(directory):
    return sum(p.stat().st_blocks * 512 for p in pathlib.Path(directory).iterdir())


def an_empty_directory_is_small():
    with Cluster(3) as c:
        c.start()
        for node in c.nodes:
            used = disk_bytes(node.directory)
            print(f"      {node.name}: {used} bytes on disk")
            check("at most 1 MB", used <= 1_000_000)


def voluntary_switches(pid):
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        for line in (task / "status").read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches"):
                total += int(line.split()[1])
    return total


def an_idle_single_node_sleeps():
    with Cluster(1) as c:
        c.start()
        node = c.nodes[0]
        node.put("k", "v")
        pid = node.process.pid
        seen, quiet_since = voluntary_switches(pid), time.monotonic()
        end = time.monotonic() + 60
        while time.monotonic() < end and time.monotonic() - quiet_since < 10:
            time.sleep(1)
            now = voluntary_switches(pid)
            if now != seen:
                seen, quiet_since = now, time.monotonic()
        check("ten seconds without a wake-up within a minute", time.monotonic() - quiet_since >= 10)


def an_idle_member_is_small():
    with Cluster(3) as c:
        c.start()
        c.nodes[0].put("k", "v")
        for node in c.nodes:
            fields = dict(line.split(":", 1) for line in
                          pathlib.Path(f"/proc/{node.process.pid}/status").read_text().splitlines())
            print(f"      {node.name}: resident {fields['VmRSS'].split()[0]} kB, "
                  f"anonymous {fields['RssAnon'].split()[0]} kB")
            check("at most 6 MB resident", int(fields["VmRSS"].split()[0]) <= 6144)


run(the_stripped_binary_is_small, an_empty_directory_is_small, an_idle_single_node_sleeps, an_idle_member_is_small)
