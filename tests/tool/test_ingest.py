#!/usr/bin/env python3
"""`tally ingest` and `tally generate` from outside, against the contract: what is refused and where it says so, what is
in after kill -9 of the client and of the server, and that skipping a row moves nothing.

usage: test_ingest.py FOLDER           (searched for the programs tally and tallyd)
       --only=TEXT: only the checks with TEXT in their names
TALLY_SEED chooses the random moments. Ends with 'N passed, N failed'; exit status 1 if any failed."""

import gzip
import hashlib
import json
import os
import pty
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

COLUMNS = ("timestamp,user_id,service_name,endpoint,method,request_size,response_size,duration_ms,"
           "status_code,tokens_used,cost,metadata")
TIMEOUT = 120
LAST = re.compile(r"ingested (\d+) rows in (\d+) batches, (\d+) duplicate batches, (\d+) rows skipped")


class Failure(Exception):
    pass


def equal(got, expected, what=""):
    if got != expected:
        raise Failure(f"{what}\n      got {got!r}\n expected {expected!r}")


def holds(condition, what):
    if not condition:
        raise Failure(what)


# ---------------------------------------------------------------- programs

class Answer:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def counts(self):
        """The numbers of the last line on stderr: rows, batches, duplicate batches, rows skipped."""
        lines = self.err.splitlines()
        match = LAST.fullmatch(lines[-1]) if lines else None
        if not match:
            raise Failure(f"the last line on stderr is no sum: {self.err!r}")
        return tuple(int(n) for n in match.groups())


class Tool:
    """`tally` with the options that name a store, and a folder for files."""

    def __init__(self, programs, store, folder):
        self.programs, self.store, self.folder = programs, store, folder

    def path(self, name, content=None):
        path = os.path.join(self.folder, name)
        if content is not None:
            with open(path, "wb") as f:
                f.write(content if isinstance(content, bytes) else content.encode())
        return path

    def command(self, *arguments):
        return [self.programs["tally"], *self.store, *arguments]

    def run(self, *arguments, input=None):
        done = subprocess.run(self.command(*arguments), capture_output=True, cwd=self.folder, timeout=TIMEOUT,
                              input=input.encode() if isinstance(input, str) else input)
        return Answer(done.returncode, done.stdout.decode(), done.stderr.decode())

    def ingest(self, *arguments, code=0, counts=None, input=None):
        answer = self.run("ingest", *arguments, input=input)
        equal(answer.code, code, f"exit status of ingest {arguments}: {answer.err}")
        equal(answer.out, "", "stdout carries data only")
        if counts is not None:
            equal(answer.counts(), counts, answer.err)
        return answer

    def query(self, *arguments):
        answer = self.run("query", *arguments)
        equal(answer.code, 0, answer.err)
        return answer.out.splitlines()[1:]

    def count(self):
        return int(self.query()[0])


class Server:
    def __init__(self, programs, data, port="0"):
        self.log = data + ".log"
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([programs["tallyd"], "--data", data, "--listen", "127.0.0.1:" + port],
                                            stdout=subprocess.PIPE, stderr=log)
        match = re.search(r"127\.0\.0\.1:(\d+)", self.process.stdout.readline().decode())
        if not match:
            raise Failure(f"tallyd did not get ready: {open(self.log).read()[-500:]}")
        self.port = match.group(1)
        self.address = "127.0.0.1:" + self.port

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        try:
            return self.process.wait(TIMEOUT)
        finally:
            self.process.stdout.close()


class Store:
    """A fresh store, opened in the tool's process or behind a server."""

    def __init__(self, programs, folder, server):
        self.folder = tempfile.mkdtemp(dir=folder)
        data = os.path.join(self.folder, "store")
        self.programs, self.data = programs, data
        self.server = Server(programs, data) if server else None
        self.tool = Tool(programs, ["--server", self.server.address] if server else ["--db", data], self.folder)

    def __enter__(self):
        return self.tool

    def __exit__(self, *unused):
        if self.server and self.server.process.poll() is None:
            self.server.stop()
        shutil.rmtree(self.folder)


# ---------------------------------------------------------------- what is refused, and the words for it

U = "timestamp,user_id,duration_ms,cost,metadata\n"  # line 1 of the files below
GOOD = "2024-01-01T00:00:00Z,a,1,1,\n"

# file content, the place, a piece of the reason
MALFORMED = [
    (U + GOOD + "2024-01-01T00:00:00Z,b,1,1\n", "line 3", "4 fields where the header has 5"),
    (U + GOOD + "2024-01-01T00:00:00Z,b,1,1,,\n", "line 3", "6 fields where the header has 5"),
    (U + GOOD + "2024-01-01T00:00:00Z,\"b\"x,1,1,\n", "line 3, column user_id", "text behind the closing quote"),
    (U + GOOD + "2024-01-01T00:00:00Z,b\"x\",1,1,\n", "line 3, column user_id", "a quote inside an unquoted field"),
    (U + GOOD + "2024-01-01T00:00:00Z,\"b,1,1,\n\n", "line 3, column user_id", "never closed"),
    (U + GOOD + "2024-01-01T00:00:00Z,\"b\n\",1,\"1\n\"x,\n", "line 5, column cost", "text behind the closing quote"),
    (U + GOOD + ",b,1,1,\n", "line 3, column timestamp", "it is empty"),
    (U + GOOD + "\"\",b,1,1,\n", "line 3, column timestamp", "'' is not a time"),
    (U + GOOD + "2024-01-01T00:00:00,b,1,1,\n", "line 3, column timestamp", "has no offset"),
    (U + GOOD + "2024-01-01,b,1,1,\n", "line 3, column timestamp", "is not a time"),
    (U + GOOD + "2024-02-30T00:00:00Z,b,1,1,\n", "line 3, column timestamp", "is not a time"),
    (U + GOOD + "2024-01-01T00:00:60Z,b,1,1,\n", "line 3, column timestamp", "is not a time"),
    (U + GOOD + "2024-01-01T00:00:00.0000001Z,b,1,1,\n", "line 3, column timestamp", "six decimals"),
    (U + GOOD + "1969-12-31T23:59:59Z,b,1,1,\n", "line 3, column timestamp", "1970"),
    (U + GOOD + "-1,b,1,1,\n", "line 3, column timestamp", "outside the years 1970 to 9999"),
    (U + GOOD + "9999-12-31T00:00:00Z,b,1,1,\n", "line 3, column timestamp", "max_future"),
    (U + GOOD + "2024-01-01T00:00:00Z,b,1.0,1,\n", "line 3, column duration_ms", "'1.0' is not an integer"),
    (U + GOOD + "2024-01-01T00:00:00Z,b,+1,1,\n", "line 3, column duration_ms", "'+1' is not an integer"),
    (U + GOOD + "2024-01-01T00:00:00Z,b, 1,1,\n", "line 3, column duration_ms", "' 1' is not an integer"),
    (U + GOOD + "2024-01-01T00:00:00Z,b,2147483648,1,\n", "line 3, column duration_ms", "does not fit 32 bits"),
    (U + GOOD + "2024-01-01T00:00:00Z,b,\"\",1,\n", "line 3, column duration_ms", "'' is not an integer"),
    (U + GOOD + "2024-01-01T00:00:00Z,b,1,x,\n", "line 3, column cost", "'x' is not a decimal number"),
    (U + GOOD + "2024-01-01T00:00:00Z,b,1,0.0000000001,\n", "line 3, column cost", "--cost-rounding half-even"),
    (U + GOOD + "2024-01-01T00:00:00Z,b,1,9000000000.1,\n", "line 3, column cost", "beyond ±9,000,000,000"),
    (U + GOOD + "2024-01-01T00:00:00Z,b,1,1,[1]\n", "line 3, column metadata", "JSON object"),
    (U + GOOD + "2024-01-01T00:00:00Z,b,1,1,\"{\"\"a\"\":}\"\n", "line 3, column metadata", "JSON object"),
    (U + GOOD + "2024-01-01T00:00:00Z,b,1,1,\"\"\n", "line 3, column metadata", "JSON object"),
    (U + GOOD + "2024-01-01T00:00:00Z," + "é" * 256 + ",1,1,\n", "line 3, column user_id", "the limit is 255"),
    (U.encode() + GOOD.encode() + b"2024-01-01T00:00:00Z,\xff,1,1,\n", "line 3, column user_id", "not valid UTF-8"),
    (U.encode() + GOOD.encode() + b"2024-01-01T00:00:00Z,\xc0\x80,1,1,\n", "line 3, column user_id", "not valid UTF-8"),
    (U.encode() + GOOD.encode() + b"2024-01-01T00:00:00Z,a\0b,1,1,\n", "line 3, column user_id", "NUL"),
    (U.encode() + GOOD.encode() + b"2024-01-01T00:00:00Z,b,1\0,1,\n", "line 3, column duration_ms", "not an integer"),
]
HEADERS = [
    ("", "line 1", "there is no header"),
    ("user_id\nx\n", "line 1, column timestamp", "the header lacks it"),
    ("timestamp,usr_id\n1,x\n", "line 1", "'usr_id' is no column of events"),
    ("timestamp,user_id,user_id\n1,x,y\n", "line 1, column user_id", "twice"),
    ("timestamp,\"user_id\n", "line 1", "quote"),
]
T = '{"timestamp":"2024-01-01T00:00:00Z"'
NDJSON = [
    (T + "}\n" + T + ',"usr":1}\n', "line 2", "'usr' is no column of events"),
    (T + "}\n" + T + ',"cost":1,"cost":1}\n', "line 2, column cost", "twice"),
    (T + "}\n" + T + ',"user_id":1}\n', "line 2, column user_id", "must be a string or null"),
    (T + "}\n" + T + ',"user_id":"\\ud800"}\n', "line 2, column user_id", "surrogate"),
    (T + "}\n" + T + ',"user_id":"\\u0000"}\n', "line 2, column user_id", "\\u0000"),
    (T + "}\n" + T + ',"duration_ms":1.5}\n', "line 2, column duration_ms", "'1.5' is not an integer"),
    (T + "}\n" + T + ',"duration_ms":"1"}\n', "line 2, column duration_ms", "must be a JSON number"),
    (T + "}\n" + T + ',"cost":true}\n', "line 2, column cost", "must be a number"),
    (T + "}\n" + T + ',"metadata":[1]}\n', "line 2, column metadata", "must be an object"),
    (T + "}\n" + T + ',"metadata":"x"}\n', "line 2, column metadata", "JSON object"),
    (T + "}\n" + '{"user_id":"a"}\n', "line 2, column timestamp", "missing"),
    (T + "}\n" + T + "\n", "line 2", "ends within it"),
    (T + "}\n" + T + "} x\n", "line 2", "more behind the object"),
    (T + "}\n" + "[1]\n", "line 2", "an array is no record"),
    (T + "}\n" + T + ',"duration_ms":01}\n', "line 2", "starts with a zero"),
]


def every_malformed_input_names_file_line_and_column(t):
    for i, (content, place, reason) in enumerate(MALFORMED + HEADERS + NDJSON):
        t.path("bad file", content)
        answer = t.ingest("bad file", code=1, counts=(0, 0, 0, 0))
        first = answer.err.splitlines()[0]
        holds(first.startswith(f"tally: bad file, {place}: "), f"{i}: no 'bad file, {place}: ' in {first!r}")
        holds(reason in first, f"{i}: no {reason!r} in {first!r}")
        holds("correct the" in answer.err.splitlines()[1], f"{i}: {answer.err!r} does not say what to do")
    t.ingest("-", input=U + GOOD, counts=(1, 1, 0, 0))
    equal(t.count(), 1)


def skipping_leaves_out_exactly_the_bad_rows(t):
    for content, place, reason in MALFORMED + NDJSON:
        before = int(t.query()[0]) if os.path.exists(t.path("store")) or t.store[0] == "--server" else 0
        t.path("bad file", content)
        answer = t.ingest("--on-error", "skip", "bad file", code=3, counts=(1, 1, 0, 1))
        holds(f"tally: skipped: bad file, {place}: " in answer.err and reason in answer.err, answer.err)
        equal(t.count(), before + 1, content)
    for content, place, reason in HEADERS:  # nothing to skip: the file is at fault
        t.path("bad file", content)
        answer = t.ingest("--on-error", "skip", "bad file", code=1, counts=(0, 0, 0, 0))
        holds(f"tally: bad file, {place}: " in answer.err and reason in answer.err, answer.err)


def skipped_rows_are_shown_up_to_twenty_and_counted(t):
    rows = [f"2024-01-01T00:00:00Z,u{i},{'x' if i % 3 == 0 else i},1,\n" for i in range(100)]
    t.path("a.csv", U + "".join(rows))
    answer = t.ingest("--on-error", "skip", "--batch-rows", "7", "--producer", "p", "a.csv", code=3, counts=(66, 15, 0, 34))
    shown = [line for line in answer.err.splitlines() if line.startswith("tally: skipped: a.csv, line ")]
    equal(len(shown), 20)
    equal([int(re.search(r"line (\d+)", s).group(1)) for s in shown], [2 + 3 * i for i in range(20)])
    t.ingest("--on-error", "skip", "--batch-rows", "7", "--producer", "p", "a.csv", code=3, counts=(0, 0, 15, 34))
    equal(t.count(), 66)


def rows_that_the_store_refuses_are_skipped_with_numbers_kept(t):
    future = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3 * 86400))
    rows = [f"{future if i % 10 == 4 else '2024-01-01T00:00:00Z'},u{i},{i},1,\n" for i in range(1000)]
    t.path("a.csv", U + "".join(rows))
    answer = t.ingest("--producer", "p", "--batch-rows", "50", "a.csv", code=1)
    holds("a.csv, line 6, column timestamp: it is further ahead" in answer.err, answer.err)
    equal(answer.counts()[0], 0)
    skip = ["--producer", "p", "--batch-rows", "50", "--on-error", "skip", "a.csv"]
    t.ingest(*skip, code=3, counts=(900, 20, 0, 100))
    t.ingest(*skip, code=0, counts=(0, 0, 20, 0))
    equal(t.query("--agg", "count,distinct:user_id,sum:duration_ms"),
          [f"900\t900\t{sum(i for i in range(1000) if i % 10 != 4)}"])
    t.path("b.csv", U + f"{future},a,1,1,\n")
    t.ingest("--producer", "q", "--on-error", "skip", "b.csv", code=3, counts=(0, 0, 0, 1))


# ---------------------------------------------------------------- what is accepted

def csv_and_ndjson_give_the_same_events(t):
    lines = [
        '2024-01-01T01:00:00.5+01:00,"a ""quoted"", name",é,/v1,GET,1,-2,3,200,5,0.00000015,"{""k"": ""v,\\n""}"',
        '2024-01-02 00:00:00Z,,"",,,,,,,,-1e2,',
        '1704240000000000,"x\ny",,,,2147483647,-2147483648,0,,,9000000000,{}',
    ]
    t.path("a.csv", b"\xef\xbb\xbf" + "\r\n".join([COLUMNS, *lines, ""]).encode())
    objects = [
        {"timestamp": "2024-01-01T00:00:00.500Z", "user_id": 'a "quoted", name', "service_name": "é", "endpoint": "/v1",
         "method": "GET", "request_size": 1, "response_size": -2.0, "duration_ms": 3, "status_code": 200,
         "tokens_used": 5, "cost": "0.00000015"},
        {"timestamp": "2024-01-02T00:00:00Z", "service_name": "", "user_id": None, "cost": -100},
        {"timestamp": 1704240000000000, "user_id": "x\ny", "request_size": 2147483647, "response_size": -2147483648,
         "duration_ms": 0, "cost": 9000000000, "metadata": {}},
    ]
    texts = [json.dumps(o) for o in objects]
    texts[0] = texts[0][:-1] + ', "metadata": {"k": "v,\\n"}}'
    t.path("a.ndjson", "\n".join(texts))
    with Store(t.programs, t.folder, False) as other:
        t.ingest(t.path("a.csv"), counts=(3, 1, 0, 0))
        other.ingest(t.path("a.ndjson"), counts=(3, 1, 0, 0))
        expected = t.run("events", "--format", "ndjson").out
        equal(other.run("events", "--format", "ndjson").out, expected)
        equal([json.loads(line)["user_id"] for line in expected.splitlines()], ['a "quoted", name', None, "x\ny"])
        holds('"metadata":{"k": "v,\\n"}' in expected, expected)


def options_change_how_values_are_read(t):
    t.ingest("--tz", "Europe/Berlin", "-", input="timestamp\n2024-07-01T02:00:00\n2024-10-27 02:30:00\n", counts=(2, 1, 0, 0))
    t.ingest("--time-unit", "s", "-", input="timestamp\n1704067200\n", counts=(1, 1, 0, 0))
    t.ingest("--time-unit", "ms", "-", input="timestamp\n1704067200001\n", counts=(1, 1, 0, 0))
    t.ingest("--cost-rounding", "half-even", "-", input="timestamp,cost\n1,0.0000000025\n1,0.0000000035\n", counts=(2, 1, 0, 0))
    t.ingest("--ignore", "a,b", "--ignore", "user_id", "-", input="a,timestamp,user_id,b\nx,1,u,\"y\n\"\n", counts=(1, 1, 0, 0))
    t.ingest("--input", "csv", "-", input="timestamp\n\n2\n\n", counts=(1, 1, 0, 0))
    t.ingest("--input", "ndjson", "-", input="", counts=(0, 0, 0, 0))
    t.ingest("-", input='\n {"timestamp": 3, "metadata": {\n"a":\r\n1}}\n', counts=(1, 1, 0, 0))
    equal([line.split("\t")[0] for line in t.run("events", "--columns", "timestamp,cost,user_id,metadata").out.splitlines()[1:]],
          ["1970-01-01T00:00:00.000001Z"] * 3 + ["1970-01-01T00:00:00.000002Z", "1970-01-01T00:00:00.000003Z",
           "2024-01-01T00:00:00.000000Z", "2024-01-01T00:00:00.001000Z", "2024-07-01T00:00:00.000000Z",
           "2024-10-27T00:30:00.000000Z"])
    equal(t.query("--agg", "sum:cost,count:user_id"), ["0.000000006\t0"])
    equal(t.run("events", "--where", "metadata is not null", "--columns", "metadata").out, 'metadata\n{ "a":  1}\n')


def wrong_usage_is_said_and_changes_nothing(t):
    t.path("a.csv", U + GOOD)
    for arguments, says in [
        ([], "name a FILE"), (["-", "-"], "only once"), (["--epoch", "2", "a.csv"], "--producer"),
        (["--epoch", "0", "--producer", "p", "a.csv"], "--epoch"), (["--batch-rows", "0", "a.csv"], "65536"),
        (["--batch-rows", "65537", "a.csv"], "65536"), (["--input", "xml", "a.csv"], "csv, ndjson"),
        (["--durability", "ram", "a.csv"], "disk, os"), (["--on-error", "x", "a.csv"], "stop, skip"),
        (["--tz", "Mars/Olympus", "a.csv"], "Mars/Olympus"), (["--time-unit", "ns", "a.csv"], "us, ms, s"),
        (["--cost-rounding", "up", "a.csv"], "half-even"), (["--retry-for", "10", "a.csv"], "500ms"),
        (["--producer", "", "a.csv"], "1 to 100"), (["--producer", "x" * 101, "a.csv"], "1 to 100"),
        (["--nonsense", "a.csv"], "nonsense"),
    ]:
        answer = t.run("ingest", *arguments)
        equal(answer.code, 2, answer.err)
        holds(says in answer.err and answer.out == "", f"{arguments}: {answer.err}")
    for arguments, says in [(["a.csv", "missing.csv"], "cannot open missing.csv"), (["a.csv", "."], "is a directory")]:
        answer = t.run("ingest", *arguments)
        equal(answer.code, 1)
        holds(says in answer.err, answer.err)
    t.path("a.gz", gzip.compress(b"x"))
    holds("zcat a.gz | tally ingest -" in t.ingest("a.gz", code=1).err, "gzip")
    t.path("utf16.csv", U.encode("utf-16"))
    holds("iconv" in t.ingest("utf16.csv", code=1).err, "UTF-16")
    t.ingest("a.csv", counts=(1, 1, 0, 0))
    equal(t.count(), 1)


def records_beyond_16_mib_end_the_command(t):
    t.path("long.csv", U + GOOD + "2024-01-01T00:00:00Z,\"" + "x,\n" * (6 << 20))
    answer = t.ingest("--on-error", "skip", "long.csv", code=1)
    holds("long.csv, line 3: the record that starts here is longer than 16 MiB" in answer.err, answer.err)
    big = "x" * (9 << 20)
    t.path("big.csv", "junk," + U + "".join(f"{big}," + GOOD for i in range(3)))
    t.ingest("--ignore", "junk", "big.csv", counts=(3, 3, 0, 0))


# ---------------------------------------------------------------- exactly once

def workload(t, rows, seed=1):
    path = os.path.join(t.folder, f"rows{rows}-{seed}.csv")
    with open(path, "wb") as f:
        subprocess.run([t.programs["tally"], "generate", "--rows", str(rows), "--seed", str(seed)], stdout=f, check=True)
    return path


ASK = ["--agg", "count,sum:tokens_used,sum:cost,sum:duration_ms,distinct:user_id,count:metadata"]


def sums_of(path):
    import csv
    from decimal import Decimal
    rows = list(csv.DictReader(open(path, newline="")))
    cost = sum(Decimal(r["cost"]) for r in rows)
    return "\t".join([str(len(rows)), str(sum(int(r["tokens_used"]) for r in rows)), f"{cost:.4f}",
                      str(sum(int(r["duration_ms"]) for r in rows)), str(len({r["user_id"] for r in rows})),
                      str(sum(1 for r in rows if r["metadata"]))])


def a_second_run_finds_everything_in(t):
    path = workload(t, 20000)
    arguments = ["--producer", "p", "--batch-rows", "1000", path]
    t.ingest(*arguments, counts=(20000, 20, 0, 0))
    equal(t.query(*ASK), [sums_of(path)])
    t.ingest(*arguments, counts=(0, 0, 20, 0))
    equal(t.query(*ASK), [sums_of(path)])
    with open(path, "rb") as f:  # the same input another way
        t.ingest("--producer", "p", "--batch-rows", "1000", "-", input=f.read(), counts=(0, 0, 20, 0))
    other = workload(t, 20000, 2)
    for wrong in (["--producer", "p", "--batch-rows", "1000", other], ["--producer", "p", "--batch-rows", "900", path],
                  ["--producer", "p", path]):
        answer = t.ingest(*wrong, code=1)
        equal(answer.counts()[0], 0)
        holds("one producer name and epoch number one unchanged input" in answer.err and "--epoch" in answer.err, answer.err)
    equal(t.count(), 20000)
    t.ingest("--producer", "p", "--epoch", "2", other, counts=(20000, 2, 0, 0))
    t.ingest("--producer", "q", "--durability", "os", other, counts=(20000, 2, 0, 0))
    answer = t.ingest("--producer", "p", "--epoch", "1", workload(t, 40000), code=1)
    holds(answer.err, "an older epoch takes nothing new")
    equal(t.count(), 60000)


def correcting_a_line_and_running_again_goes_on(t):
    rows = [f"2024-01-01T00:00:00Z,u{i},{i},1,\n" for i in range(5000)]
    bad = list(rows)
    bad[3456] = "2024-01-01T00:00:00Z,u3456,oops,1,\n"
    arguments = ["--producer", "p", "--batch-rows", "500", "a.csv"]
    t.path("a.csv", U + "".join(bad))
    answer = t.ingest(*arguments, code=1, counts=(3000, 6, 0, 0))
    holds("a.csv, line 3458, column duration_ms: 'oops' is not an integer" in answer.err, answer.err)
    holds("run the same command again" in answer.err, answer.err)
    t.path("a.csv", U + "".join(rows))
    t.ingest(*arguments, counts=(2000, 4, 6, 0))
    equal(t.query("--agg", "count,distinct:user_id"), ["5000\t5000"])
    # without a producer it says from where on
    t.path("a.csv", U + "".join(bad))
    answer = t.ingest("--batch-rows", "500", "a.csv", code=1)
    holds("in front of line 3002 of a.csv" in answer.err, answer.err)


def kill_at_random(t, chance, path, arguments, rows):
    """Starts the command until it is through, killing it at random moments. Returns how often it was killed."""
    kills = 0
    while True:
        process = subprocess.Popen(t.command("ingest", *arguments, path), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            _, err = process.communicate(timeout=chance.uniform(0.005, 0.25) if kills < 12 else TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            kills += 1
            continue
        equal(process.returncode, 0, err.decode())
        return kills


def a_client_killed_at_random_moments_loses_and_doubles_nothing(t):
    chance = random.Random(SEED)
    path = workload(t, 150000)
    arguments = ["--producer", "p", "--batch-rows", "500"]
    kills = kill_at_random(t, chance, path, arguments, 150000)
    holds(kills > 0, "it was never killed")
    equal(t.query(*ASK), [sums_of(path)], f"after {kills} kills")
    t.ingest(*arguments, path, counts=(0, 0, 300, 0))


def a_server_killed_at_random_moments_loses_and_doubles_nothing(programs, folder):
    chance = random.Random(SEED + 1)
    store = Store(programs, folder, True)
    with store as t:
        path = workload(t, 300000)
        arguments = ["--producer", "p", "--batch-rows", "300", "--retry-for", "60s", path]
        process = subprocess.Popen(t.command("ingest", *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        kills = 0
        while process.poll() is None and kills < 12:
            time.sleep(chance.uniform(0.01, 0.1))
            if process.poll() is not None:
                break
            store.server.stop(signal.SIGKILL)
            kills += 1
            store.server = Server(programs, store.data, store.server.port)
        _, err = process.communicate(timeout=TIMEOUT)
        equal(process.returncode, 0, err.decode())
        holds(kills > 0, "it was never killed")
        equal(Answer(0, "", err.decode()).counts(), (300000, 1000, 0, 0), f"after {kills} kills")
        equal(t.query(*ASK), [sums_of(path)], f"after {kills} kills")


def a_server_that_stays_away_ends_the_command(programs, folder):
    store = Store(programs, folder, True)
    with store as t:
        path = workload(t, 300000)
        for producer in (["--producer", "p"], []):
            arguments = [*producer, "--batch-rows", "50", "--retry-for", "300ms", path]
            process = subprocess.Popen(t.command("ingest", *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            time.sleep(0.1)
            store.server.stop(signal.SIGKILL)
            _, err = process.communicate(timeout=TIMEOUT)
            equal(process.returncode, 1, err.decode())
            holds(("run the same command again" if producer else "without --producer nobody can tell") in err.decode(),
                  err.decode())
            Answer(1, "", err.decode()).counts()
            store.server = Server(programs, store.data, store.server.port)
        store.server.stop()
        answer = t.run("ingest", path)
        equal(answer.code, 1)
        holds("connection" in answer.err, answer.err)


def an_interrupted_command_can_be_run_again(t):
    path = workload(t, 300000)
    arguments = ["--producer", "p", "--batch-rows", "200", path]
    process = subprocess.Popen(t.command("ingest", *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    time.sleep(0.08)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=TIMEOUT)
    if process.returncode == 0:
        return  # it was faster
    equal(process.returncode, 1, err.decode())
    rows, batches, _, _ = Answer(1, "", err.decode()).counts()
    holds("interrupted: run the same command again" in err.decode(), err.decode())
    equal(t.count(), rows)
    t.ingest(*arguments, counts=(300000 - rows, 1500 - batches, batches, 0))
    equal(t.count(), 300000)


def progress_is_shown_on_a_terminal_only(t):
    path = workload(t, 50000)
    for options, shown in (([], True), (["--quiet"], False)):
        leader, follower = pty.openpty()
        process = subprocess.Popen(t.command(*options, "ingest", "--batch-rows", "1000", path), stdout=subprocess.PIPE,
                                   stderr=follower)
        os.close(follower)
        text = b""
        while True:
            try:
                piece = os.read(leader, 65536)
            except OSError:
                break
            if not piece:
                break
            text += piece
        os.close(leader)
        process.communicate()
        equal(process.returncode, 0)
        equal(b"rows/s" in text, shown, text.decode())
        holds(text.decode().splitlines()[-1].endswith("0 rows skipped"), text.decode())
    holds("rows/s" not in t.ingest(path).err, "not in a pipe")


# ---------------------------------------------------------------- generate

GOLDEN = {
    ("--rows", "1000"): "0312c6fc346dc6d51422cdf7b67efe417efa04a697bc88c884ddc0e74a577c1d",
    ("--rows", "500", "--days", "2", "--users", "50", "--start", "2023-12-31T12:00:00+02:00", "--seed", "7"): "a155df588c34dac734d8a1942f09681753620ceef1d65d2cd62443a87afdb53b",
}


def generated_bytes_are_the_same_on_every_machine(programs, folder):
    tool = Tool(programs, [], folder)
    for options, digest in GOLDEN.items():
        out = tool.run("generate", *options).out
        equal(hashlib.sha256(out.encode()).hexdigest(), digest, out[:300])
    holds(tool.run("generate", "--rows", "10", "--seed", "2").out != tool.run("generate", "--rows", "10").out, "seeds differ")
    equal(tool.run("generate", "--rows", "0").out, COLUMNS + "\n")
    for wrong in ([], ["--rows", "x"], ["--rows", "1", "--start", "yesterday"], ["--rows", "1", "--users", "0"],
                  ["--rows", "1", "extra"], ["--rows", "1", "--days", "36500", "--start", "9998-01-01"]):
        equal(tool.run("generate", *wrong).code, 2, str(wrong))


def generated_events_are_the_workload(programs, folder):
    import csv
    import io
    tool = Tool(programs, [], folder)
    count = 50000
    rows = list(csv.DictReader(io.StringIO(tool.run("generate", "--rows", str(count), "--days", "10").out)))
    equal(len(rows), count)
    near = lambda name, share, expected, by: holds(abs(share - expected) < by, f"{name}: {share}, expected {expected}")
    stamps = [r["timestamp"] for r in rows]
    holds(all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", s) for s in stamps), "timestamps")
    holds("2023-12-31T23:59:00" <= min(stamps) and max(stamps) < "2024-01-11", f"{min(stamps)} {max(stamps)}")
    near("halfway", stamps[count // 2] > "2024-01-05T22" and stamps[count // 2] < "2024-01-06T02", 1, 0.5)
    near("out of order", sum(b < a for a, b in zip(stamps, stamps[1:])) / count, 0.0144, 0.002)  # 2 %, less those within a gap
    near("status", sum(r["status_code"] != "200" for r in rows) / count, 0.03, 0.004)
    errors = [r["status_code"] for r in rows if r["status_code"] != "200"]
    near("429", errors.count("429") / len(errors), 0.6, 0.06)
    equal(set(errors), {"429", "500", "400"})
    near("metadata", sum(r["metadata"] != "" for r in rows) / count, 0.3, 0.01)
    holds(all(re.fullmatch(r'\{"region":"[a-z0-9-]+","req":"[0-9a-f]{8}"\}', r["metadata"]) for r in rows if r["metadata"]), "metadata")
    equal(len({r["endpoint"] for r in rows}), 60)
    equal(len({(r["method"], r["endpoint"].split("/")[2]) for r in rows}), 8)
    services = {}
    for r in rows:
        services[r["service_name"]] = services.get(r["service_name"], 0) + 1
    equal(len(services), 12)
    near("first service", max(services.values()) / count, (1 + 2.4849) / 12, 0.01)  # P(u v < 1/12)
    holds(all(re.fullmatch(r"user_[0-9a-f]{8}", r["user_id"]) for r in rows), "user_id")
    weight = [k ** -1.05 for k in range(1, 100001)]
    top = f"user_{2654435761 % 2 ** 32:08x}"
    near("first user", sum(r["user_id"] == top for r in rows) / count, 1 / sum(weight), 0.006)
    median = lambda name: sorted(int(r[name]) for r in rows)[count // 2]
    near("request_size", median("request_size"), 403, 12)
    near("response_size", median("response_size"), 1096, 30)
    near("duration_ms", median("duration_ms"), 244, 7)
    tokens = sorted(int(r["tokens_used"]) for r in rows if r["service_name"] not in ("storage", "auth", "search", "webhook"))
    near("tokens_used", tokens[len(tokens) // 2], 403, 14)
    for r in rows[:5000]:
        price = {"chat": 300, "completion": 20, "vision": 150, "speech": 100, "rerank": 10, "embedding": 1,
                 "agent": 200}.get(r["service_name"], 0)
        equal(round(float(r["cost"]) * 10000), (int(r["tokens_used"]) * price + 500) // 1000, str(r))


# ---------------------------------------------------------------- running

BOTH = [every_malformed_input_names_file_line_and_column, skipped_rows_are_shown_up_to_twenty_and_counted,
        rows_that_the_store_refuses_are_skipped_with_numbers_kept, csv_and_ndjson_give_the_same_events,
        a_second_run_finds_everything_in, correcting_a_line_and_running_again_goes_on,
        a_client_killed_at_random_moments_loses_and_doubles_nothing, an_interrupted_command_can_be_run_again]
IN_PROCESS = [skipping_leaves_out_exactly_the_bad_rows, options_change_how_values_are_read,
              wrong_usage_is_said_and_changes_nothing, records_beyond_16_mib_end_the_command,
              progress_is_shown_on_a_terminal_only]
APART = [a_server_killed_at_random_moments_loses_and_doubles_nothing, a_server_that_stays_away_ends_the_command,
         generated_bytes_are_the_same_on_every_machine, generated_events_are_the_workload]


def find_programs(places):
    if len(places) == 1:
        found = {}
        for folder, _, names in os.walk(places[0]):
            for name in ("tally", "tallyd"):
                path = os.path.join(folder, name)
                if name in names and os.access(path, os.X_OK) and os.path.isfile(path):
                    found.setdefault(name, os.path.abspath(path))
        return found
    return dict(zip(("tally", "tallyd"), (os.path.abspath(p) for p in places)))


def main():
    global SEED
    SEED = int(os.environ.get("TALLY_SEED", "1"))
    only = [a.split("=", 1)[1] for a in sys.argv[1:] if a.startswith("--only=")]
    programs = find_programs([a for a in sys.argv[1:] if not a.startswith("--")])
    if set(programs) != {"tally", "tallyd"}:
        sys.exit(__doc__)
    os.environ.pop("TALLY_SERVER", None)
    folder = tempfile.mkdtemp(prefix="tally-ingest-")
    checks = []
    for check in BOTH + IN_PROCESS:
        for server in (False, True) if check in BOTH else (False,):
            def over(check=check, server=server):
                with Store(programs, folder, server) as tool:
                    check(tool)
            checks.append((f"{check.__name__} ({'server' if server else 'db'})", over))
    for check in APART:
        checks.append((check.__name__, lambda check=check: check(programs, folder)))
    passed = failed = 0
    for name, check in checks:
        if only and not any(o in name for o in only):
            continue
        try:
            check()
            passed += 1
        except (Failure, subprocess.SubprocessError, OSError, ValueError) as e:
            failed += 1
            print(f"FAIL {name} (TALLY_SEED={SEED}): {e}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
