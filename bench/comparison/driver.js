// The process in which DuckDB or ClickHouse runs: takes requests as lines of JSON on its standard input, and answers each with a line that has
// the request's id. usage: node driver.js NODE_MODULES, then {"id": 1, "do": "open", "engine": "duckdb", "path": …, "threads": 2} and others.
//
// What is timed is timed here, beside the engine: no socket and no other process is part of it, as it is for servers. Requests of different
// lanes may be under way at once; those of one lane follow each other.
"use strict";
const path = require("path");
const readline = require("readline");
const modules = path.resolve(process.argv[2]);
const from = (name) => require(require.resolve(name, { paths: [modules] }));

class DuckDB {
  async open(request) {
    this.instance = await from("@duckdb/node-api").DuckDBInstance.create(request.path, { threads: String(request.threads) });
    this.lanes = new Map();
  }
  async lane(name) {
    if (!this.lanes.has(name)) this.lanes.set(name, await this.instance.connect());
    return this.lanes.get(name);
  }
  // The whole result is in this process; its values are not made objects of JavaScript.
  async run(sql, lane) {
    await (await this.lane(lane)).runAndReadAll(sql);
  }
  async rows(sql, lane) {
    return (await (await this.lane(lane)).runAndReadAll(sql)).getRowsJson();
  }
  async close() {
    for (const connection of this.lanes.values()) connection.closeSync();
    this.instance.closeSync();
  }
}

class ClickHouse {
  async open(request) {
    this.session = new (from("chdb").Session)(request.path);
    for (const [name, value] of Object.entries({ max_threads: request.threads, max_insert_threads: request.threads, async_insert: 0 }))
      this.session.query(`SET ${name} = ${value}`);
  }
  async run(sql) {
    // Columns as they are: the fastest form that there is of a result.
    (await this.session.queryAsync(sql, { format: "Native" })).bytes();
  }
  async rows(sql) {
    const text = this.session.query(sql, "TSVRaw");
    return text.split("\n").filter((line) => line).map((line) => line.split("\t"));
  }
  async close() {
    this.session.close();
    await from("chdb").drainPending();
  }
}

const milliseconds = (since) => Number(process.hrtime.bigint() - since) / 1e6;
let engine;

async function ask(request, lane) {
  const times = [];
  let began;
  while (!times.length || (times.length <= request.repeats && (times.length < 2 || milliseconds(began) < request.seconds * 1e3))) {
    const start = process.hrtime.bigint();
    await engine.run(request.sql, lane);
    times.push(milliseconds(start));
    began = began || process.hrtime.bigint();
  }
  return { first_ms: times[0], times_ms: times.slice(1) };
}

async function answer(request) {
  const lane = request.lane || 0;
  if (request.do === "open") {
    engine = request.engine === "duckdb" ? new DuckDB() : new ClickHouse();
    await engine.open(request);
    return {};
  }
  if (request.do === "run") {
    const start = process.hrtime.bigint();
    for (const sql of request.sql) await engine.run(sql, lane);
    return { seconds: milliseconds(start) / 1e3 };
  }
  if (request.do === "rows") return { rows: await engine.rows(request.sql, lane) };
  if (request.do === "ask") return ask(request, lane);
  if (request.do === "close") {
    await engine.close();
    return {};
  }
  throw new Error(`unknown request ${request.do}`);
}

const lanes = new Map();
readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const request = JSON.parse(line);
  const say = (what) => process.stdout.write(JSON.stringify({ id: request.id, ...what }) + "\n");
  const before = lanes.get(request.lane || 0) || Promise.resolve();
  lanes.set(request.lane || 0, before.then(() => answer(request)).then(say, (error) => say({ error: String(error) })));
}).on("close", () => Promise.all(lanes.values()).then(() => process.exit(0)));
