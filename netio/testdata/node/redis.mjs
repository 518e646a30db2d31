// Drives a server with ioredis and node-redis: connect, set, get, expire, incr, pipeline, scan.
// redis.mjs PORT [CA PASSWORD]: with the two, through TLS and as the user bob, who has the keys
// that begin with own: and, being no admin, no INFO.
import Redis from "ioredis";
import { createClient } from "redis";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

const port = Number(process.argv[2]);

async function withIoredis() {
  const r = new Redis({ host: "127.0.0.1", port, connectionName: "io", maxRetriesPerRequest: 0 });
  assert.equal(await r.set("io:a", "1"), "OK");
  assert.equal(await r.get("io:a"), "1");
  assert.equal(await r.get("io:none"), null);
  assert.equal(await r.incr("io:a"), 2);
  assert.equal(await r.set("io:lock", "me", "PX", 10000, "NX"), "OK");
  assert.equal(await r.set("io:lock", "you", "PX", 10000, "NX"), null);
  assert.equal(await r.expire("io:a", 100), 1);
  assert.equal(await r.ttl("io:a"), 100);
  assert.equal(await r.mset("io:b", "2", "io:c", Buffer.from([0xff, 0])), "OK");
  assert.deepEqual(await r.mgetBuffer("io:b", "io:c"), [Buffer.from("2"), Buffer.from([0xff, 0])]);
  const p = r.pipeline();
  for (let i = 0; i < 500; i++) p.set("io:p" + i, "v" + i);
  p.get("io:p499");
  const answers = await p.exec();
  assert.equal(answers.length, 501);
  assert.deepEqual(answers[500], [null, "v499"]);
  const seen = new Set();
  for await (const keys of r.scanStream({ match: "io:p*", count: 100 })) keys.forEach(k => seen.add(k));
  assert.equal(seen.size, 500);
  await assert.rejects(r.multi().set("a", "b").exec(), /not served|EXEC/);
  await assert.rejects(r.lpush("l", "x"), /unknown command/);
  assert.match(await r.info(), /redis_version:/);
  assert.equal(await r.flushall(), "OK");
  await r.quit();
}

async function withNodeRedis(RESP) {
  const r = createClient({ url: `redis://127.0.0.1:${port}`, name: "node", RESP, socket: { reconnectStrategy: false } });
  await r.connect();
  assert.equal(await r.set("n:a", "1", { EX: 100 }), "OK");
  assert.equal(await r.get("n:a"), "1");
  assert.equal(await r.ttl("n:a"), 100);
  assert.equal(await r.get("n:none"), null);
  assert.equal(await r.incrBy("n:a", 41), 42);
  assert.deepEqual(await r.mGet(["n:a", "n:none"]), ["42", null]);
  assert.deepEqual(await Promise.all(Array.from({ length: 200 }, (_, i) => r.set("n:p" + i, "v"))), Array(200).fill("OK"));
  const seen = new Set();
  for await (const keys of r.scanIterator({ MATCH: "n:p*", COUNT: 50 })) keys.forEach(k => seen.add(k));
  assert.equal(seen.size, 200);
  assert.equal(await r.del(["n:a", "n:p0", "n:none"]), 2);
  assert.equal(await r.flushDb(), "OK");
  await r.close();
}

async function secured(ca, password) {
  const r = new Redis({ host: "localhost", port, tls: { ca }, username: "bob", password, enableReadyCheck: false, maxRetriesPerRequest: 0 });
  assert.equal(await r.set("own:io", "1"), "OK");
  assert.equal(await r.incr("own:io"), 2);
  await assert.rejects(r.get("others"), /NOPERM/);
  await r.quit();
  for (const RESP of [2, 3]) {
    const r = createClient({ username: "bob", password, RESP, socket: { host: "localhost", port, tls: true, ca, reconnectStrategy: false } });
    await r.connect();
    assert.equal(await r.set("own:n", "1"), "OK");
    assert.equal(await r.get("own:n"), "1");
    await assert.rejects(r.get("others"), /NOPERM/);
    await r.close();
    const wrong = createClient({ username: "bob", password: "wrong", RESP, socket: { host: "localhost", port, tls: true, ca, reconnectStrategy: false } });
    wrong.on("error", () => {});
    await assert.rejects(wrong.connect(), /WRONGPASS/);
  }
}

if (process.argv.length > 3) {
  await secured(readFileSync(process.argv[3]), process.argv[4]);
  console.log("ok");
  process.exit();
}
await withIoredis();
await withNodeRedis(2);
await withNodeRedis(3);
console.log("ok");
