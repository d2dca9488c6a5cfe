// catalog_node.js PORT - npm's consul against a node: catalog and health. Run by consul_catalog_test.py.
"use strict";
const assert = require("assert");
const Consul = require("consul");

const consul = new Consul({ host: "127.0.0.1", port: Number(process.argv[2]) });

const tests = {
  async the_catalog_is_read() {
    const body = { Node: "js1", Address: "10.0.0.1", Service: { Service: "js-web", Tags: ["a"], Port: 80 } };
    const put = await fetch(`http://127.0.0.1:${process.argv[2]}/v1/catalog/register`,
      { method: "PUT", body: JSON.stringify(body) });
    assert.strictEqual(await put.text(), "true");
    assert.deepStrictEqual(await consul.catalog.datacenters(), ["dc1"]);
    assert.ok((await consul.catalog.nodes()).some((n) => n.Node === "js1"));
    assert.deepStrictEqual((await consul.catalog.services())["js-web"], ["a"]);
    assert.strictEqual((await consul.catalog.service.nodes("js-web"))[0].ServicePort, 80);
    assert.deepStrictEqual(Object.keys((await consul.catalog.node.services("js1")).Services), ["js-web"]);
  },
  async health_is_read_and_watched() {
    assert.strictEqual((await consul.health.service({ service: "js-web", passing: true })).length, 1);
    const watch = consul.watch({ method: consul.health.service, options: { service: "js-web" }, backoffMax: 1000 });
    const seen = new Promise((done, failed) => {
      let n = 0;
      watch.on("change", (data) => { if (++n === 2) done(data); else change().catch(failed); });
      watch.on("error", failed);
    });
    const change = () => fetch(`http://127.0.0.1:${process.argv[2]}/v1/catalog/register`, {
      method: "PUT",
      body: JSON.stringify({ Node: "js1", SkipNodeUpdate: true, Check: { Name: "disk", Status: "critical" } }),
    });
    const data = await seen;
    watch.end();
    assert.strictEqual(data[0].Checks[0].Status, "critical");
    assert.strictEqual((await consul.health.node("js1"))[0].CheckID, "disk");
    assert.strictEqual((await consul.health.state("critical"))[0].Node, "js1");
    assert.deepStrictEqual(await consul.health.checks("js-web"), []);
  },
};

(async () => {
  for (const [name, test] of Object.entries(tests)) {
    await test();
    console.log("ok", name);
  }
  process.exit(0);
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
