"""Ingests the real data sets through `tally ingest`, over --server and --db, and asks for every figure of their facts.json.

usage: facts.py BINARIES          the data: $TALLY_DATA
"""
import gzip
import json
import os
import shutil
import sys

from harness import Counter, Server, Tool, temporary

NUMERIC = ["request_size", "response_size", "duration_ms", "status_code", "tokens_used", "cost"]
TEXTS = ["user_id", "service_name", "endpoint", "method"]


def check_file(c, tool, fact):
    name = fact["file"]
    row = tool.rows("query", "--agg", "count,distinct:timestamp,min:timestamp,max:timestamp," + ",".join(f"distinct:{t}" for t in TEXTS))[0]
    c.equal(int(row[0]), fact["rows"], f"{name}: rows")
    c.equal(int(row[1]), fact["distinct"]["timestamps"], f"{name}: distinct timestamps")
    for got, expected, what in ((row[2], fact["first"], "first"), (row[3], fact["last"], "last")):
        whole, _, fraction = expected.rstrip("Z").partition(".")
        c.equal(got, f"{whole}.{fraction:0<6}Z", f"{name}: {what}")
    for text, got in zip(TEXTS, row[4:]):
        c.equal(int(got), fact["distinct"][text], f"{name}: distinct {text}")
    months = tool.rows("query", "--bucket", "1mo")
    c.equal({m[0][:7]: int(m[1]) for m in months}, fact["rows_per_month"], f"{name}: rows a month")
    columns = list(fact["null"])
    counts = tool.rows("query", "--agg", ",".join(f"count:{n}" for n in columns))[0]
    c.equal({n: fact["rows"] - int(v) for n, v in zip(columns, counts)}, fact["null"], f"{name}: NULLs")
    for n in columns:
        c.equal(int(tool.rows("query", "--where", f"{n} is null")[0][0]), fact["null"][n], f"{name}: {n} is null")
    for n in NUMERIC:
        cells = tool.rows("query", "--agg", f"sum:{n},min:{n},max:{n}")[0]
        for kind, cell in zip(("sum", "min", "max"), cells):
            expected = fact.get(kind, {}).get(n)
            c.equal(cell, None if expected is None else str(expected), f"{name}: {kind} of {n}")
    codes = tool.rows("query", "--group-by", "status_code", "--where", "status_code is not null")
    c.equal({k: int(v) for k, v in codes}, fact["status_codes"], f"{name}: status codes")
    days = tool.rows("query", "--bucket", "1d")
    c.equal(len(days), fact["days"], f"{name}: days")


def main():
    binaries, data, c = sys.argv[1], os.environ.get("TALLY_DATA", ""), Counter()
    if not os.path.exists(os.path.join(data, "facts.json")):
        print("skipped: the real data sets are not here (set TALLY_DATA to their folder)")
        print("0 passed, 0 failed")
        return
    facts = json.load(open(os.path.join(data, "facts.json")))
    for fact in facts:
        with temporary() as folder:
            plain = os.path.join(folder, fact["file"][:-3])
            with gzip.open(os.path.join(data, fact["file"])) as source, open(plain, "wb") as target:
                shutil.copyfileobj(source, target)
            server = Server(binaries, os.path.join(folder, "served")).start()
            for place in (("--server", server.address), ("--db", os.path.join(folder, "local"))):
                tool = Tool(binaries, *place)
                done = tool.run("ingest", "--producer", "facts", plain)
                c.equal(done.returncode, 0, f"{fact['file']} {place[0]}: ingest {done.stderr.decode()[-300:]}")
                check_file(c, tool, fact)
                again = tool.run("ingest", "--producer", "facts", plain)
                c.equal(again.returncode, 0, f"{fact['file']} {place[0]}: the same command again")
                c.equal(int(tool.rows("query")[0][0]), fact["rows"], f"{fact['file']} {place[0]}: rows after a repeat")
            c.equal(server.stop(), 0, "tallyd stops")
    c.end()


main()
