"""What clients may send to a real node: the good ones are answered right, the bad ones with the right status."""
import socket
import threading
import time

from cluster import Cluster, wait_until
from runner import check, check_eq, run


def raw(node, data, seconds=15.0):
    """Send bytes as they are and read until the node closes or falls silent."""
    host, port = node.client.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=seconds) as s:
        s.sendall(data)
        s.settimeout(0.5)
        got = b""
        try:
            while True:
                part = s.recv(65536)
                if not part:
                    break
                got += part
        except (TimeoutError, ConnectionResetError):
            pass
        return got


def status_of(answer):
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.") else 0


def requests_get_the_right_status():
    rows = [
        ("PUT", "/db/a", b"x", 200), ("POST", "/db/a", b"", 200), ("GET", "/db/a", None, 200),
        ("HEAD", "/db/a", None, 200), ("GET", "/db/none", None, 404), ("DELETE", "/db/none", None, 200),
        ("GET", "/db/a?stale", None, 200), ("GET", "/db/a?consistent", None, 200),
        ("GET", "/db/a?stale&consistent", None, 400), ("GET", "/db/a?index=x", None, 400),
        ("GET", "/db/a?index=-1", None, 400), ("GET", "/db/a?index=1&wait=forever", None, 400),
        ("GET", "/db/a?index=99999999999999999999999", None, 400), ("GET", "/db/%zz", None, 400),
        ("GET", "/db/%4", None, 400), ("GET", "/db/a?color=blue", None, 400), ("PATCH", "/db/a", b"x", 405),
        ("POST", "/db/a?prev_revision=0", b"x", 409), ("GET", "/nowhere", None, 404), ("GET", "/", None, 200),
        ("POST", "/db/" + "k" * 8192, b"x", 200), ("POST", "/db/" + "k" * 8193, b"x", 414),
        ("GET", "/db/" + "k" * 20000, None, 414), ("POST", "/db/big", b"x" * (1 << 20), 200),
        ("POST", "/db/big", b"x" * ((1 << 20) + 1), 413), ("GET", "/health", None, 200),
        ("GET", "/livez", None, 200), ("GET", "/readyz", None, 200), ("GET", "/status", None, 200),
        ("GET", "/metrics", None, 200), ("GET", "/debug/trace", None, 200), ("DELETE", "/metrics", None, 405),
    ]
    with Cluster(1) as c:
        c.start()
        wrong = []
        for method, path, body, want in rows:
            reply = c.nodes[0].request(method, path, body)
            if reply.status != want:
                wrong.append(f"{method} {path[:60]}: got {reply}, want {want}")
            if want >= 400 and b"error" not in reply.body:
                wrong.append(f"{method} {path[:60]}: no reason in {reply.body!r}")
        check("\n".join(wrong), not wrong)


def broken_bytes_get_400_and_the_node_lives():
    head = b"Host: 127.0.0.1\r\n"
    rows = [
        ("length and chunks", b"POST /db/a HTTP/1.1\r\n" + head +
         b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("two lengths", b"POST /db/a HTTP/1.1\r\n" + head + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nx", 400),
        ("a bad chunk", b"POST /db/a HTTP/1.1\r\n" + head + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        ("garbage", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 100, 400),
        ("no version", b"GET /\r\n\r\n", 400),
        ("huge headers", b"GET / HTTP/1.1\r\n" + head + b"X: " + b"y" * 40000 + b"\r\n\r\n", 431),
        ("many headers", b"GET / HTTP/1.1\r\n" + head + b"X: y\r\n" * 1000 + b"\r\n", 431),
        ("an announced giant", b"POST /db/a HTTP/1.1\r\n" + head + b"Content-Length: 99999999999\r\n\r\n", 413),
        ("a stranger's host", b"GET /db/a HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
    ]
    with Cluster(1) as c:
        c.start()
        for what, data, want in rows:
            answer = raw(c.nodes[0], data)
            check(f"{what}: got {answer[:200]!r}, want {want}", status_of(answer) == want)
        for cut in (1, 5, 20, 60):  # half requests: nothing comes back, nobody else is hurt
            raw(c.nodes[0], (b"POST /db/a HTTP/1.1\r\n" + head + b"Content-Length: 10\r\n\r\nabc")[:cut])
        check_eq("it lives", c.nodes[0].get("a").status, 404)


def values_are_bytes_and_keys_may_have_slashes():
    value = bytes(range(256)) * 8
    with Cluster(1) as c:
        c.start()
        node = c.nodes[0]
        check_eq("put", node.put("a/b c\u00fc", value).status, 200)
        check("same bytes", node.get("a/b c\u00fc").body == value)
        check("plain slashes name the same key", node.request("GET", "/db/a/b%20c%C3%BC").body == value)
        reply = node.request("DELETE", "/db/a%2Fb%20c%C3%BC")
        check_eq("delete", reply.status, 200)
        check_eq("gone", node.get("a/b c\u00fc").status, 404)


def a_blocking_read_wakes_on_change_and_only_then():
    with Cluster(3) as c:
        c.start()
        first = c.nodes[0].put("k", "1")
        check_eq("put", first.status, 200)
        index = c.nodes[1].get("k", "consistent").headers["X-Coracle-Index"]
        answers = []
        waiting = threading.Thread(
            target=lambda: answers.append(c.nodes[1].get("k", f"index={index}&wait=20s", timeout=30)))
        waiting.start()
        wait_until("the reader waits", 10, lambda: b"waiters 1\n" in c.nodes[1].request("GET", "/metrics").body)
        for i in range(20):
            c.nodes[0].put(f"other/{i}", "x")
        check_eq("other keys do not wake it", answers, [])
        c.nodes[2].put("k", "2")
        waiting.join(10)
        check_eq("the answer", answers[0].body, b"2")
        began = time.monotonic()
        reply = c.nodes[1].get("k", f"index={answers[0].headers['X-Coracle-Index']}&wait=200ms")
        check_eq("unchanged after its time", reply.body, b"2")
        check("it took its time", time.monotonic() - began >= 0.2)


def pipelined_requests_are_answered_in_order():
    with Cluster(1) as c:
        c.start()
        parts = []
        for i in range(50):
            body = str(i).encode()
            parts.append(b"POST /db/p%d HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s"
                         % (i, len(body), body))
            parts.append(b"GET /db/p%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % i)
        parts.append(b"GET /db/none HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = raw(c.nodes[0], b"".join(parts))
        check_eq("answers", answer.count(b"HTTP/1.1 "), 101)
        bodies = [part.split(b"\r\n\r\n", 1)[1] for part in answer.split(b"HTTP/1.1 ")[1:]]
        check_eq("values in order", [b for b in bodies[1:100:2]], [str(i).encode() for i in range(50)])


run(requests_get_the_right_status, broken_bytes_get_400_and_the_node_lives,
    values_are_bytes_and_keys_may_have_slashes, a_blocking_read_wakes_on_change_and_only_then,
    pipelined_requests_are_answered_in_order)
