"""The client commands against a node that breaks its connections where it hurts most."""
import subprocess
import threading

import socketserver

from cluster import BINARY
from runner import check, check_eq, run


class Node:
    """Answers each connection with the next of a list: bytes as they are, then the end of the connection."""

    def __init__(self, answers):
        self.answers, self.requests = list(answers), []
        node = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                node.requests.append(self.rfile.readline().decode().strip())
                while self.rfile.readline().strip():
                    pass
                if node.answers:
                    self.wfile.write(node.answers.pop(0))

        self.server = socketserver.TCPServer(("127.0.0.1", 0), Handler)
        self.address = "127.0.0.1:%d" % self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, kind, value, trace):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def stream(*lines, whole):
    """A chunk for each line; without its last chunk unless whole."""
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(line) + 1, line + b"\n") for line in lines)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + (b"0\r\n\r\n" if whole else b"")


def coracle(node, *arguments):
    return subprocess.run([BINARY, *arguments, "--endpoints", node.address, "--timeout", "5s"],
                          capture_output=True, timeout=20)


def item(key):
    return b'{"key":"%s","value":"v","create_revision":2,"mod_revision":3,"version":1}' % key


def a_listing_goes_on_behind_the_last_key_at_the_same_revision():
    head = b'{"revision":9,"index":7,"items":['
    answers = [stream(head, item(b"a") + b",", item(b"b") + b",", whole=False),
               stream(head, item(b"c"), b'],"more":false}', whole=True)]
    with Node(answers) as node:
        done = coracle(node, "get", "--prefix", "")
        check_eq(f"exit code {done.stderr}", done.returncode, 0)
        check_eq("each key once", done.stdout, b"a\tv\nb\tv\nc\tv\n")
        check_eq("requests", len(node.requests), 2)
        check(node.requests[1], "revision=9" in node.requests[1] and "after=b" in node.requests[1])
        check(node.requests[0], "after=" not in node.requests[0])


def a_listing_that_cannot_go_on_is_an_error():
    head = b'{"revision":9,"index":7,"items":['
    answers = [stream(head, item(b"a") + b",", b'],"error":"compacted meanwhile","code":"compacted"}', whole=False)]
    with Node(answers) as node:
        done = coracle(node, "get", "--prefix", "")
        check_eq("exit code", done.returncode, 3)
        check(f"says why: {done.stderr}", b"compacted meanwhile" in done.stderr)


def change(revision, key):
    return b'{"type":"put","revision":%d,"key":"%s","value":"v","create_revision":2,"version":1}' % (revision, key)


def a_watch_broken_inside_a_revision_prints_each_change_once():
    end = b'{"error":"gone","code":"compacted","resume_revision":9}'
    answers = [stream(b'{"revision":4}', change(5, b"a"), change(6, b"b"), change(6, b"c"), whole=False),
               b"",
               stream(b'{"revision":7}', change(6, b"b"), change(6, b"c"), change(6, b"d"), change(7, b"e"), end,
                      whole=True)]
    with Node(answers) as node:
        done = coracle(node, "watch", "--prefix", "")
        check_eq("each change once", [line.split(b"\t")[2] for line in done.stdout.splitlines()],
                 [b"a", b"b", b"c", b"d", b"e"])
        check_eq("exit code", done.returncode, 3)
        check(f"says why: {done.stderr}", b"gone" in done.stderr and b"7" in done.stderr)
        check(node.requests[2], "start_revision=6" in node.requests[2])


def a_watch_that_saw_nothing_yet_begins_where_it_began():
    end = b'{"error":"gone","code":"compacted","resume_revision":9}'
    answers = [stream(b'{"revision":4}', whole=False), stream(b'{"revision":8}', change(5, b"a"), end, whole=True)]
    with Node(answers) as node:
        done = coracle(node, "watch", "k")
        check_eq("the change that fell between", done.stdout, b"5\tput\ta\tv\n")
        check(node.requests[1], "start_revision=5" in node.requests[1])


def a_write_is_sent_once():
    for name, answer, code in (("no answer", b"", 5), ("half an answer", b"HTTP/1.1 200 OK\r\nContent-Le", 5),
                               ("unknown", b"HTTP/1.1 504 x\r\nContent-Length: 2\r\n\r\n{}", 5)):
        with Node([answer]) as node:
            done = coracle(node, "put", "k", "v")
            check_eq(f"{name}: exit code", done.returncode, code)
            check_eq(f"{name}: requests", len(node.requests), 1)
            check(f"{name}: one line", done.stderr.count(b"\n") == 1)


def a_stranger_is_not_taken_for_a_node():
    for answer in (b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n" + b"x" * 9000000):
        with Node([answer] * 100) as node:
            done = coracle(node, "get", "k")
            check_eq(f"exit code {done.stderr}", done.returncode, 3)
            check("few requests", len(node.requests) < 100)


run(a_listing_goes_on_behind_the_last_key_at_the_same_revision, a_listing_that_cannot_go_on_is_an_error,
    a_watch_broken_inside_a_revision_prints_each_change_once, a_watch_that_saw_nothing_yet_begins_where_it_began,
    a_write_is_sent_once, a_stranger_is_not_taken_for_a_node)
