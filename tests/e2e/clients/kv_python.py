"""kv_python.py PORT - python3-consul against a node: KV and status. Run by consul_test.py."""
import sys
import threading
import time

import consul

c = consul.Consul(port=int(sys.argv[1]))


def eq(what, got, want):
    assert got == want, f"{what}: got {got!r}, want {want!r}"


def keys_come_and_go():
    index, data = c.kv.get("py/none")
    eq("no key", data, None)
    assert int(index) >= 1, index  # the header is there on a 404 too
    eq("put", c.kv.put("py/foo", "bar"), True)
    index, data = c.kv.get("py/foo")
    eq("value", data["Value"], b"bar")
    eq("index", int(index), data["ModifyIndex"])
    eq("delete", c.kv.delete("py/foo"), True)
    eq("gone", c.kv.get("py/foo")[1], None)


def values_are_bytes_and_may_be_empty():
    for value in (b"\xc3\xa9\x00\xff" * 100, bytes(range(256))):
        c.kv.put("py/v", value)
        eq("value", c.kv.get("py/v")[1]["Value"], value)
    c.kv.put("py/v", None)
    eq("empty", c.kv.get("py/v")[1]["Value"], None)


def flags_are_kept_to_the_last_bit():
    for flags in (0, 50, 3304740253564472344, 2 ** 64 - 1):
        eq("put", c.kv.put("py/flags", "x", flags=flags), True)
        eq("flags", c.kv.get("py/flags")[1]["Flags"], flags)


def check_and_set_decides():
    eq("create", c.kv.put("py/cas", "1", cas=0), True)
    eq("create again", c.kv.put("py/cas", "2", cas=0), False)
    index = c.kv.get("py/cas")[1]["ModifyIndex"]
    eq("other index", c.kv.put("py/cas", "2", cas=index + 100), False)
    eq("this index", c.kv.put("py/cas", "2", cas=index), True)
    index = c.kv.get("py/cas")[1]["ModifyIndex"]
    eq("delete another", c.kv.delete("py/cas", cas=index - 1), False)
    eq("delete", c.kv.delete("py/cas", cas=index), True)
    eq("gone", c.kv.get("py/cas")[1], None)


def prefixes_are_listed_and_deleted():
    for name in ("a", "b", "c/d", "c/e"):
        c.kv.put("py/list/" + name, name)
    index, data = c.kv.get("py/list/", recurse=True)
    eq("keys", [d["Key"] for d in data], ["py/list/a", "py/list/b", "py/list/c/d", "py/list/c/e"])
    eq("values", [d["Value"] for d in data], [b"a", b"b", b"c/d", b"c/e"])
    eq("names", c.kv.get("py/list/", keys=True, separator="/")[1],
       ["py/list/a", "py/list/b", "py/list/c/"])
    c.kv.delete("py/list/", recurse=True)
    eq("none", c.kv.get("py/list/", recurse=True)[1], None)
    assert int(c.kv.get("py/list/", keys=True)[0]) > int(index)


def a_subscriber_hears_of_a_change():
    c.kv.put("py/sub", "before")
    index, _ = c.kv.get("py/sub")
    began = time.monotonic()
    eq("nothing new", c.kv.get("py/sub", index=index, wait="300ms")[1]["Value"], b"before")
    assert time.monotonic() - began >= 0.3
    writer = threading.Timer(0.2, lambda: consul.Consul(port=int(sys.argv[1])).kv.put("py/sub", "after"))
    writer.start()
    later, data = c.kv.get("py/sub", index=index, wait="20s")
    writer.join()
    eq("value", data["Value"], b"after")
    assert int(later) > int(index)


def reads_have_modes():
    c.kv.put("py/mode", "x")
    for mode in ("default", "consistent", "stale"):
        data = c.kv.get("py/mode", consistency=mode)[1]
        assert data is not None or mode == "stale"


def status_names_addresses():
    leader, peers = c.status.leader(), c.status.peers()
    assert leader in peers, (leader, peers)
    assert all(":" in peer for peer in peers), peers


for test in (keys_come_and_go, values_are_bytes_and_may_be_empty, flags_are_kept_to_the_last_bit,
             check_and_set_decides, prefixes_are_listed_and_deleted, a_subscriber_hears_of_a_change,
             reads_have_modes, status_names_addresses):
    test()
    print("ok", test.__name__)
