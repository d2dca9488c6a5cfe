"""catalog_python.py PORT - python3-consul against a node: catalog and health. Run by consul_catalog_test.py."""
import sys
import threading
import time

import consul

c = consul.Consul(port=int(sys.argv[1]))


def eq(what, got, want):
    assert got == want, f"{what}: got {got!r}, want {want!r}"


def nodes_and_services_come_and_go():
    eq("datacenters", c.catalog.datacenters(), ["dc1"])
    eq("register", c.catalog.register("py1", "10.10.10.11"), True)
    eq("register", c.catalog.register("py1", "10.10.10.11", service={"service": "py-web", "tags": ["a", "b"],
                                                                     "port": 80}), True)
    eq("node", [n["Address"] for n in c.catalog.nodes()[1] if n["Node"] == "py1"], ["10.10.10.11"])
    eq("services", sorted(c.catalog.services()[1]["py-web"]), ["a", "b"])
    index, found = c.catalog.service("py-web", tag="b")
    eq("service", (found[0]["ServicePort"], found[0]["Node"]), (80, "py1"))
    assert int(index) > 1, index
    eq("node", list(c.catalog.node("py1")[1]["Services"]), ["py-web"])
    eq("deregister", c.catalog.deregister("py1", service_id="py-web"), True)
    eq("gone", c.catalog.service("py-web")[1], [])
    eq("deregister", c.catalog.deregister("py1"), True)
    eq("gone", c.catalog.node("py1")[1], None)


def health_follows_its_checks():
    service = {"service": "py-db", "id": "py-db-1"}
    check = {"name": "tcp", "checkid": "py-db-tcp", "serviceid": "py-db-1"}
    for status, passing in (("passing", 1), ("warning", 0), ("critical", 0)):
        c.catalog.register("py2", "10.0.0.2", service=service, check={**check, "status": status})
        eq(status, len(c.health.service("py-db", passing=True)[1]), passing)
        eq(status, c.health.checks("py-db")[1][0]["Status"], status)
        eq(status, [x["CheckID"] for x in c.health.state(status)[1] if x["Node"] == "py2"], ["py-db-tcp"])
    eq("node", c.health.node("py2")[1][0]["ServiceName"], "py-db")
    c.catalog.deregister("py2")


def a_watch_of_a_service_wakes():
    index, nodes = c.health.service("py-watched")
    eq("nobody", nodes, [])
    writer = threading.Timer(0.3, lambda: consul.Consul(port=int(sys.argv[1])).catalog.register(
        "py3", "10.0.0.3", service={"service": "py-watched"}))
    writer.start()
    began = time.monotonic()
    later, nodes = c.health.service("py-watched", index=index, wait="20s")
    assert time.monotonic() - began < 10
    eq("somebody", [n["Node"]["Node"] for n in nodes], ["py3"])
    assert int(later) > int(index), (later, index)
    writer.join()
    c.catalog.deregister("py3")


for test in (nodes_and_services_come_and_go, health_follows_its_checks, a_watch_of_a_service_wakes):
    test()
    print("ok", test.__name__)
