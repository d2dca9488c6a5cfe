"""A goraft directory, the article's own, through a node and back; and what raftd's clients meet."""
import base64
import json
import pathlib
import shutil
import subprocess
import tempfile

from cluster import BINARY, ROOT, Node, wait_until
from runner import check, check_eq, run

GOLDEN = ROOT / "tests" / "golden" / "goraft-article"


def coracle(*arguments, code=0):
    done = subprocess.run([BINARY, *map(str, arguments)], capture_output=True, timeout=30)
    if done.returncode != code:
        raise AssertionError(f"{arguments}: exit {done.returncode}, want {code}\n{done.stdout!r}\n{done.stderr!r}")
    return (done.stdout + done.stderr).decode()


def files_of(directory):
    return {str(p.relative_to(directory)): p.read_bytes() if p.is_file() else None
            for p in sorted(directory.rglob("*"))}


class Workplace:
    """The article's directory in a temporary one; a node on what was imported, ended at the end."""

    def __enter__(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="coracle-goraft-"))
        self.source = self.root / "raftd"
        shutil.copytree(GOLDEN, self.source)
        (self.source / "snapshot").mkdir()
        self.node = Node("default", self.root / "d1", {})
        return self

    def start(self):
        self.node.start()
        wait_until("ready", 10, self.node.is_ready)
        return self.node

    def __exit__(self, kind, value, trace):
        self.node.stop()
        shutil.rmtree(self.root)


def the_articles_directory_is_served_and_comes_back_byte_for_byte():
    with Workplace() as w:
        said = coracle("import-goraft", w.source, "--data-dir", w.root / "d1")
        check_eq("said", said, "6 writes and 7 other entries, 1 to 13 of terms up to 3, are in "
                               f"{w.root / 'd1'} now\n")
        coracle("export-goraft", w.root / "d1", w.root / "out")
        check_eq("exported", files_of(w.root / "out"), files_of(w.source))
        node = w.start()
        for key, value in (("foo", "bar"), ("aaa", "bbb"), ("bbb", "ccc"), ("ddd", "eee")):
            check_eq(key, node.get(key).body.decode(), value)
        check_eq("a missing key", node.get("2832bfa").status, 404)


def what_is_written_afterwards_follows_in_the_export():
    with Workplace() as w:
        coracle("import-goraft", w.source, "--data-dir", w.root / "d1")
        node = w.start()
        check_eq("put", node.put("aae", "bbb").status, 200)
        coracle("export-goraft", w.root / "d1", w.root / "locked", code=3)
        node.stop()
        coracle("export-goraft", w.root / "d1", w.root / "out")
        log, before = (w.root / "out" / "log").read_bytes(), (w.source / "log").read_bytes()
        # One raft:nop for one more leadership, and one write; both as goraft writes them.
        check_eq("log", log, before + b"       e\n\x08\x0e\x10\x04\x1a\x08raft:nop"
                 + b"      29\n\x08\x0f\x10\x04\x1a\x05write\x22\x1c{\"key\":\"aae\",\"value\":\"bbb\"}\n")
        again = coracle("import-goraft", w.root / "out", "--data-dir", w.root / "d2")
        check(again, "7 writes and 8 other entries" in again)


def a_deletion_stops_the_export_and_can_be_skipped():
    with Workplace() as w:
        coracle("import-goraft", w.source, "--data-dir", w.root / "d1")
        check_eq("deleted", w.start().request("DELETE", "/db/foo").status, 200)
        w.node.stop()
        said = coracle("export-goraft", w.root / "d1", w.root / "out", code=1)
        check(said, "entry 17 cannot be expressed in goraft: it deletes" in said)
        check("nothing was made", not (w.root / "out").exists())
        said = coracle("export-goraft", w.root / "d1", w.root / "out", "--lossy")
        check(said, "1 that goraft cannot express were skipped" in said)


def a_directory_that_is_used_is_never_written_over():
    with Workplace() as w:
        (w.root / "d1").mkdir()
        (w.root / "d1" / "precious").write_text("x")
        said = coracle("import-goraft", w.source, "--data-dir", w.root / "d1", code=3)
        check(said, "is not empty, there is 'precious'" in said)
        coracle("import-goraft", w.source, "--data-dir", w.root / "d2")
        coracle("export-goraft", w.root / "d2", w.root / "d1", code=3)
        check_eq("files", list(files_of(w.root / "d1")), ["precious"])


def damage_is_said_entry_by_entry():
    with Workplace() as w:
        log = w.source / "log"
        whole = log.read_bytes()
        log.write_bytes(whole[:-7])
        said = coracle("import-goraft", w.source, "--data-dir", w.root / "torn")
        check(said, "log: offset 606: entry 13: cut:" in said and "5 writes" in said)
        log.write_bytes(whole[:-50] + bytes(30) + whole[-50:])
        said = coracle("import-goraft", w.source, "--data-dir", w.root / "hole")
        check(said, "log: offset 606: entry 13: repaired:" in said and "6 writes" in said)
        log.write_bytes(whole[:-100] + whole[-50:])
        said = coracle("import-goraft", w.source, "--data-dir", w.root / "gap", code=1)
        check(said, "entry 13 comes after entry 11" in said)
        check("nothing was made", not (w.root / "gap").exists())
        said = coracle("import-goraft", w.source, "--data-dir", w.root / "gap", "--truncate")
        check(said, "4 writes" in said)


def an_interrupted_import_is_no_node():
    with Workplace() as w:
        coracle("import-goraft", w.source, "--data-dir", w.root / "d1")
        for name in ("state-a", "state-b"):
            (w.root / "d1" / name).unlink()
        said = coracle("serve", "--data-dir", w.root / "d1", "--listen", w.node.client, code=3)
        check(said, "no state file" in said)


def the_log_is_printed_with_the_articles_names():
    with Workplace() as w:
        coracle("import-goraft", w.source, "--data-dir", w.root / "d1")
        entries = [e for e in map(json.loads, coracle("log", "dump", w.root / "d1", "--json").splitlines())
                   if e["kind"] == "entry"]
        check_eq("names", [e["CommandName"] for e in entries[:13]],
                 ["raft:join", "raft:nop", "raft:join", "raft:join", "raft:nop", "write", "write", "write",
                  "write", "raft:nop", "raft:nop", "write", "write"])
        check_eq("indexes", [e["Index"] for e in entries[:13]], list(range(1, 14)))
        check_eq("terms", [e["Term"] for e in entries[:13]], [1, 1, 1, 1, 2, 2, 2, 2, 2, 3, 4, 4, 4])
        check_eq("the last command", base64.b64decode(entries[12]["Command"]), b'{"key":"foo","value":"bar"}\n')
        check("a no-op has none", "Command" not in entries[1])


run(the_articles_directory_is_served_and_comes_back_byte_for_byte,
    what_is_written_afterwards_follows_in_the_export,
    a_deletion_stops_the_export_and_can_be_skipped,
    a_directory_that_is_used_is_never_written_over,
    damage_is_said_entry_by_entry,
    an_interrupted_import_is_no_node,
    the_log_is_printed_with_the_articles_names)
