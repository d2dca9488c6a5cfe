#!/usr/bin/env python3
"""consul_blocked.py [N] - what N (10,000) idle and N blocked clients of one node cost: memory, and others' writes.

Three nodes; all clients are at the leader, the worst place. First they are only connected; then each blocks in
`GET /v1/kv/blocked/I?index=...` on a key of its own. Writes at a fixed rate go to other keys without and with them, in
turns, so that both see the same machine; the medians of the turns are printed. One key changes; then one that
all had asked for.
Called by tools/bench; needs $CORACLE, and room for 2 N file handles.
"""
import json
import os
import pathlib
import resource
import selectors
import socket
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
from cluster import BINARY, Cluster, wait_until  # noqa: E402

N = int(sys.argv[1]) if len(sys.argv) > 1 else 10000
SECONDS = max(int(os.environ.get("BENCH_SECONDS", "10")) // 3, 2)  # of each turn
TURNS = 5
RATE = int(os.environ.get("BENCH_RATE", "500"))
DATA = ROOT / "build" / "bench-data"


def anonymous_kb(node):
    status = pathlib.Path(f"/proc/{node.process.pid}/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0])


def cpu_seconds(node):
    words = pathlib.Path(f"/proc/{node.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def writes(node):
    """p50 and p99 in milliseconds, and the node's CPU seconds, of writes at a fixed rate."""
    before = cpu_seconds(node)
    out = subprocess.run([BINARY, "bench", "put", "--endpoints", node.client, "--clients", "8", "--rate", str(RATE),
                          "--time", f"{SECONDS}s", "--no-floors", "--output", "json"], capture_output=True, text=True,
                         check=True, timeout=SECONDS + 60).stdout
    got = json.loads(out)
    assert got["answers"]["ok"] == got["requests"], got["answers"]
    latency = got["latency"]
    return latency["p50_ns"] / 1e6, latency["p99_ns"] / 1e6, cpu_seconds(node) - before


def connect(node):
    host, port = node.client.split(":")
    clients = []
    for _ in range(N):
        s = socket.create_connection((host, int(port)), timeout=10)
        clients.append(s)
    return clients


def receive(clients, want, seconds):
    """How many have an answer before that many have, or time is up; and when."""
    selector = selectors.DefaultSelector()
    for i, s in enumerate(clients):
        s.setblocking(False)
        selector.register(s, selectors.EVENT_READ, i)
    began, heard, last = time.monotonic(), set(), 0.0
    while len(heard) < want and time.monotonic() - began < seconds:
        for key, _ in selector.select(0.1):
            data = key.fileobj.recv(65536)
            assert data.startswith(b"HTTP/1.1 200") or key.data in heard, data[:100]
            heard.add(key.data)
            last = time.monotonic() - began
    selector.close()
    return heard, last


def row(name, value):
    print(f"  {name:<58} {value}", flush=True)


def show_memory(name, node, before):
    each = (anonymous_kb(node) - before) * 1024 / N
    row(f"memory of the process per {name}", f"{each:.0f} bytes")


def block(node, clients, index, what=None):
    for i, s in enumerate(clients):
        path = what or f"blocked/{i}?"
        s.sendall(f"GET /v1/kv/{path}index={index}&wait=10m HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    wait_until("all are blocked", 60, lambda: f"coracle_waiters {N}\n" in
               node.request("GET", "/metrics").body.decode(), every=0.2)


def newest(node):
    return node.request("GET", "/v1/kv/none").headers["X-Consul-Index"]


def leave(node, clients):
    for s in clients:
        s.close()
    wait_until("all have gone", 30, lambda: node.status()["connections"] < 10, every=0.2)


def compare(node):
    """Writes of others with nobody there, with N idle and with N blocked, in turns."""
    runs = {"nobody there": [], f"{N} idle": [], f"{N} blocked": []}
    for _ in range(TURNS):
        runs["nobody there"].append(writes(node))
        clients = connect(node)
        wait_until("all are connected", 60, lambda: node.status()["connections"] > N, every=0.2)
        runs[f"{N} idle"].append(writes(node))
        block(node, clients, newest(node))
        runs[f"{N} blocked"].append(writes(node))
        leave(node, clients)
    for name, turns in runs.items():
        p50, p99, cpu = (statistics.median(column) for column in zip(*turns))
        spread = ", ".join(f"{turn[1]:.1f}" for turn in turns)
        row(f"{RATE} writes/s, {name}: p50, p99, CPU per second", f"{p50:.2f} ms, {p99:.2f} ms ({spread}), {cpu / SECONDS:.3f} s")


def main():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    DATA.mkdir(parents=True, exist_ok=True)
    with Cluster(3, directory=DATA) as c:
        c.start()
        node = c.leader()
        writes(node)  # the store has the keys now, and the log its segments
        before = anonymous_kb(node)
        clients = connect(node)
        wait_until("all are connected", 60, lambda: node.status()["connections"] > N, every=0.2)
        show_memory("idle connection", node, before)
        block(node, clients, newest(node))
        show_memory("blocked request, its connection included", node, before)
        node.put("blocked/7", "x")
        heard, _ = receive(clients, N, 1.0)
        row("one key changed: woken", f"{sorted(heard)}")
        leave(node, clients)
        compare(node)
        clients = connect(node)
        block(node, clients, newest(node), "all/?recurse&")
        began = cpu_seconds(node)
        node.put("all/x", "x")
        heard, last = receive(clients, N, 60)
        row("one key changed that all had asked for: woken", f"{len(heard)} in {last:.2f} s, "
            f"CPU of the node {cpu_seconds(node) - began:.2f} s")
    print()


if __name__ == "__main__":
    main()
