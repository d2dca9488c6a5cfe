// kv_node.js PORT - npm's consul against a node: KV, status, watch. Run by consul_test.py, with NODE_PATH set.
"use strict";
const assert = require("assert");
const { once } = require("events");
const Consul = require("consul");

const consul = new Consul({ host: "127.0.0.1", port: Number(process.argv[2]) });

const tests = {
  async keys_come_and_go() {
    assert.strictEqual(await consul.kv.get("js/none"), undefined);
    assert.strictEqual(await consul.kv.set("js/foo", "bar"), true);
    const got = await consul.kv.get("js/foo");
    assert.strictEqual(got.Value, "bar");
    assert.strictEqual(got.LockIndex, 0);
    await consul.kv.del("js/foo");
    assert.strictEqual(await consul.kv.get("js/foo"), undefined);
  },
  async values_are_read_raw() {
    const value = Buffer.from([0, 255, 10, 13]);
    assert.strictEqual(await consul.kv.set("js/raw", value), true);
    assert.ok(value.equals(await consul.kv.get({ key: "js/raw", raw: true })));
    assert.strictEqual(await consul.kv.set({ key: "js/flags", value: "x", flags: 12345 }), true);
    assert.strictEqual((await consul.kv.get("js/flags")).Flags, 12345);
  },
  async check_and_set_decides() {
    assert.strictEqual(await consul.kv.set({ key: "js/cas", value: "1", cas: "0" }), true);
    assert.ok(!(await consul.kv.set({ key: "js/cas", value: "2", cas: "0" }))); // it makes false undefined
    const index = (await consul.kv.get("js/cas")).ModifyIndex;
    assert.strictEqual(await consul.kv.set({ key: "js/cas", value: "2", cas: String(index) }), true);
  },
  async prefixes_are_listed() {
    for (const name of ["a", "b", "c/d"]) await consul.kv.set("js/list/" + name, name);
    const all = await consul.kv.get({ key: "js/list/", recurse: true });
    assert.deepStrictEqual(all.map((item) => item.Value), ["a", "b", "c/d"]);
    assert.deepStrictEqual(await consul.kv.keys({ key: "js/list/", separator: "/" }),
      ["js/list/a", "js/list/b", "js/list/c/"]);
    await consul.kv.del({ key: "js/list/", recurse: true });
    assert.strictEqual(await consul.kv.get({ key: "js/list/", recurse: true }), undefined);
  },
  async a_watch_hears_of_changes() {
    await consul.kv.set("js/watch", "0");
    const seen = [];
    const watch = consul.watch({ method: consul.kv.get, options: { key: "js/watch", wait: "5s" } });
    const told = () => once(watch, "told", { signal: AbortSignal.timeout(10000) });
    watch.on("change", (data) => data && seen.push(data.Value) && watch.emit("told"));
    watch.on("error", (error) => seen.push(String(error)) && watch.emit("told"));
    await told();
    const second = told();
    await consul.kv.set("js/watch", "1");
    await second;
    watch.end();
    assert.deepStrictEqual(seen, ["0", "1"]);
  },
  async status_names_addresses() {
    const peers = await consul.status.peers();
    assert.ok(peers.includes(await consul.status.leader()));
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
