"""What the documents tell people to type, typed by a script as it stands.

The README's five minutes are run in one shell, in a new directory. The first block ends with a server, and so has a
terminal of its own. Only ./dev is another: the binary is there already, and what the README says to ./dev is checked.
The documents name ports; where others use them, this is skipped.
"""
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile

from cluster import BINARY, ROOT, request, wait_until
from runner import Skip, check, check_eq, run

PORTS = (2379, 8500, 4001, 4002, 4003, 4101, 4102, 4103)
DEV = '#!/bin/sh\n[ "$*" = "build release" ] || { echo "the README says ./dev $*"; exit 1; }\n'


def blocks():
    text = (ROOT / "README.md").read_text()
    section = text.split("## Five minutes", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"```sh\n(.*?)```", section, re.DOTALL)


def ports_are_free():
    for port in PORTS:
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
            except OSError as error:
                raise Skip(f"port {port} is in use") from error


class Terminal:
    """A shell that reads commands from its standard input, as it would from somebody's keyboard."""

    def __init__(self, top, name, text):
        self.out = top / name
        env = {k: v for k, v in os.environ.items() if not k.startswith("CORACLE")}
        with open(self.out, "wb") as out:
            self.process = subprocess.Popen(["bash"], stdin=subprocess.PIPE, stdout=out, stderr=subprocess.STDOUT,
                                            cwd=top, env=env, start_new_session=True)
        self.process.stdin.write(text.encode())
        self.process.stdin.close()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        """End the shell and all that it has started: they are one session."""
        if kind is not None:
            print(f"--- {self.out.name}:\n{self.said()}")
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait(5)

    def said(self):
        return self.out.read_text(errors="replace")


def answers(address):
    try:
        return request(address, "GET", "/readyz", timeout=2).status == 200
    except OSError:
        return False


def the_five_minutes_work_as_they_are_written():
    ports_are_free()
    found = blocks()
    check_eq("shell blocks in the README's five minutes", len(found), 3)
    with tempfile.TemporaryDirectory(prefix="coracle-readme-") as name:
        top = pathlib.Path(name)
        (top / "build" / "release").mkdir(parents=True)
        (top / "build" / "release" / "coracle").symlink_to(BINARY)
        (top / "dev").write_text(DEV)
        (top / "dev").chmod(0o755)
        careful = "set -e\nshopt -s expand_aliases\n"
        with Terminal(top, "first", careful + found[0]):
            wait_until("the node of the first block", 20, lambda: answers("127.0.0.1:2379"))
            with Terminal(top, "second", careful + found[1] + found[2] + "echo; echo all done\n") as second:
                code = second.process.wait(60)
                check_eq(f"exit code of the shell, which said\n{second.said()}", code, 0)
                said = second.said()
        lines = said.splitlines()
        for line in ("bar", "foo\tbar", "all done"):  # get, get --prefix, the end
            check(f"a line {line!r} in\n{said}", line in lines)
        check(f"the write by curl is read:\n{said}", said.count("bar") >= 3)
        check(f"the value of /config/color:\n{said}", "blue" in said)
        for member in ("default", "n1", "n2", "n3"):
            check(f"status shows {member}:\n{said}", any(line.split()[:1] == [member] for line in lines))
        check(f"a leader of the three:\n{said}", sum(" Leader " in line for line in lines) == 2)


def the_requests_of_the_interface_document_are_understood():
    ports_are_free()
    lines = re.findall(r"^ {4}(curl .*)$", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE)
    check(f"there are requests: {lines}", len(lines) >= 9)
    with tempfile.TemporaryDirectory(prefix="coracle-readme-") as name:
        top = pathlib.Path(name)
        (top / "file").write_bytes(b"a value\n")
        with Terminal(top, "node", f"exec {BINARY} serve --log-level warn\n"):
            wait_until("the node", 20, lambda: answers("127.0.0.1:2379"))
            for line in lines:
                # -m: some go on for ever, or wait for a change; their head says enough
                line = line.replace("curl ", "curl -sS -m 1 -D head ", 1)
                (top / "head").unlink(missing_ok=True)
                done = subprocess.run(["bash", "-c", line], cwd=top, capture_output=True, text=True, timeout=20)
                head = (top / "head").read_text() if (top / "head").exists() else ""
                print(f"      {head.split(chr(10))[0].strip() or 'no answer yet'}: {line}")
                check(f"{line}: {done.stdout} {done.stderr}", done.returncode in (0, 28))
                check(f"{line}: understood: {head}{done.stdout}", head == "" or head.split()[1] in ("200", "404", "410"))


run(the_five_minutes_work_as_they_are_written, the_requests_of_the_interface_document_are_understood)
