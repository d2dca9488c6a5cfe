"""More connections than the system allows: who is connected is served, and the log goes on."""
import http.client
import os
import resource
import socket

from cluster import Cluster, key_path, wait_until
from runner import check, check_eq, run

LIMIT = 128


def connect(node):
    host, port = node.client.rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    connection.connect()
    return connection


def crowd(node, n):
    host, port = node.client.rsplit(":", 1)
    return [socket.create_connection((host, int(port)), 10) for _ in range(n)]


def a_crowd_at_the_door_stops_no_node():
    with Cluster(3) as c:
        c.start()
        for node in c.nodes:
            resource.prlimit(node.process.pid, resource.RLIMIT_NOFILE, (LIMIT, LIMIT))
        early = [connect(node) for node in c.nodes]
        late = [s for node in c.nodes for s in crowd(node, 2 * LIMIT)]
        wait_until("they ran out", 10, lambda: all(
            "accept_paused" in node.log.read_text(errors="replace") for node in c.nodes))
        value = os.urandom(100_000)
        for i in range(60):  # some new files of the log
            connection = early[i % 3]
            connection.request("POST", key_path(f"k{i}"), value)
            reply = connection.getresponse()
            check_eq(f"write {i}: {reply.read()!r}", reply.status, 200)
        for s in late:
            s.close()
        for node in c.nodes:
            check(f"{node.name} runs", node.alive())
            wait_until(f"{node.name} takes new clients", 10, node.is_ready)
            check_eq("what was written", node.get("k59").body, value)


run(a_crowd_at_the_door_stops_no_node)
