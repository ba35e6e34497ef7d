#!/usr/bin/env python3
"""The client tool from outside: every command over --db and over --server, its output, its exit codes and
its mistakes, against the contract.

usage: test_tool.py FOLDER             (searched for the programs tally and tallyd)
       test_tool.py TALLY TALLYD
       --only=TEXT: only the checks with TEXT in their names
       --write-page: renew the output in docs/tool.md instead
Ends with 'N passed, N failed'; exit status 1 if any failed."""

import csv
import fcntl
import io
import json
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time

HEADER = ("timestamp,user_id,service_name,endpoint,method,request_size,response_size,duration_ms,"
          "status_code,tokens_used,cost,metadata\n")
EVENTS = HEADER + """\
2024-02-01T00:00:00Z,u1,chat,/v1/chat,POST,100,2000,10,200,50,0.0124,"{""region"":""eu"",""credits"":1.5}"
2024-02-01T00:30:00Z,u2,chat,/v1/chat,POST,110,0,20,500,0,0.00000015,"{""region"":""us""}"
2024-02-01T01:15:00.000001Z,u1,embed,/v1/embed,GET,,,30,404,7,-0.5,
2024-02-02T12:00:00+02:00,"",embed,,,1,2,40,,,1,
2024-03-01T00:00:00Z,,,"a ""b"",\tc",PUT,2147483647,-2147483648,50,200,1,,"{""region"":""日本""}"
"""
TIMEOUT = 60


class Failure(Exception):
    pass


def equal(got, expected, what=""):
    if got != expected:
        raise Failure(f"{what}\n      got {got!r}\n expected {expected!r}")


def holds(condition, what):
    if not condition:
        raise Failure(what)


class Answer:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err


class Tool:
    """`tally` with the options that name a store."""

    def __init__(self, programs, store_options, folder):
        self.programs, self.store, self.folder = programs, store_options, folder

    def run(self, *arguments, input=None, env=None, **more):
        environment = dict(os.environ, HOME=self.folder)
        environment.pop("TALLY_SERVER", None)
        environment.update(env or {})
        done = subprocess.run([self.programs["tally"], *self.store, *arguments], capture_output=True,
                              input=input.encode() if isinstance(input, str) else input,
                              env=environment, timeout=TIMEOUT, **more)
        return Answer(done.returncode, done.stdout.decode(), done.stderr.decode())

    def ok(self, *arguments, **more):
        answer = self.run(*arguments, **more)
        equal(answer.code, 0, f"exit status of {arguments}: {answer.err}")
        return answer.out

    def usage(self, *arguments, says=()):
        answer = self.run(*arguments)
        equal(answer.code, 2, f"exit status of {arguments}: {answer.err}{answer.out}")
        equal(answer.out, "", f"stdout of {arguments}")
        for text in [says] if isinstance(says, str) else says:
            holds(text in answer.err, f"{arguments} should say {text!r}: {answer.err}")
        return answer.err


class Server:
    def __init__(self, programs, data, port="0"):
        with open(data + ".log", "ab") as log:
            self.process = subprocess.Popen([programs["tallyd"], "--data", data, "--listen", "127.0.0.1:" + port],
                                            stdout=subprocess.PIPE, stderr=log)
        line = self.process.stdout.readline().decode()
        match = re.search(r"127\.0\.0\.1:(\d+)", line)
        if not match:
            raise Failure(f"tallyd did not get ready: {line!r}, {open(data + '.log').read()[-500:]}")
        self.address = "127.0.0.1:" + match.group(1)

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        try:
            code = self.process.wait(TIMEOUT)
        finally:
            self.process.stdout.close()
        return code


# ---------------------------------------------------------------- checks on a store with EVENTS, both ways

def query_counts_everything(t):
    equal(t.ok("query"), "count\n5\n")
    equal(t.ok("query", "--format", "json"), '[\n{"count":5}\n]\n')


def query_groups_and_sums_exactly(t):
    equal(t.ok("query", "--group-by", "service_name", "--agg", "count,sum:cost,avg:duration_ms,errors,error_rate"),
          "service_name\tcount\tsum:cost\tavg:duration_ms\terrors\terror_rate\n"
          "chat\t2\t0.01240015\t15.000000\t1\t0.500000\n"
          "embed\t2\t0.5000\t35.000000\t1\t1.000000\n"
          "\\N\t1\t\\N\t50.000000\t0\t0.000000\n")


def null_differs_from_empty_in_every_format(t):
    ask = ["query", "--group-by", "user_id", "--agg", "count,sum:cost"]
    equal(t.ok(*ask, "--format", "csv"),
          'user_id,count,sum:cost\n"",1,1.0000\nu1,2,-0.4876\nu2,1,0.00000015\n,1,\n')
    equal(t.ok(*ask, "--format", "tsv"),
          "user_id\tcount\tsum:cost\n\t1\t1.0000\nu1\t2\t-0.4876\nu2\t1\t0.00000015\n\\N\t1\t\\N\n")
    equal(t.ok(*ask, "--format", "ndjson"),
          '{"user_id":"","count":1,"sum:cost":"1.0000"}\n{"user_id":"u1","count":2,"sum:cost":"-0.4876"}\n'
          '{"user_id":"u2","count":1,"sum:cost":"0.00000015"}\n{"user_id":null,"count":1,"sum:cost":null}\n')
    equal(t.ok(*ask, "--format", "table"),
          "user_id | count |   sum:cost\n--------+-------+-----------\n        |     1 |     1.0000\n"
          "u1      |     2 |    -0.4876\nu2      |     1 | 0.00000015\n        |     1 |\n")


def ranges_are_half_open(t):
    equal(t.ok("query", "--from", "2024-02-01", "--to", "2024-02-01T01:15:00.000001Z"), "count\n2\n")
    equal(t.ok("query", "--from", "2024-02-01T01:15:00.000001Z", "--to", "2024-03-01"), "count\n2\n")
    equal(t.ok("query", "--from", "2024-03-01"), "count\n1\n")
    equal(t.ok("query", "--to", "2024-02-01"), "count\n0\n")
    equal(t.ok("query", "--from", "2024-02-01", "--to", "2024-02-02", "--tz", "Asia/Tokyo"), "count\n3\n")
    equal(t.ok("query", "--from", "now-1d"), "count\n0\n")


def buckets_print_with_the_zones_offset(t):
    equal(t.ok("query", "--bucket", "1d"),
          "bucket\tcount\n2024-02-01T00:00:00Z\t3\n2024-02-02T00:00:00Z\t1\n2024-03-01T00:00:00Z\t1\n")
    equal(t.ok("query", "--bucket", "1h", "--tz", "Europe/Berlin", "--to", "2024-02-02"),
          "bucket\tcount\n2024-02-01T01:00:00+01:00\t2\n2024-02-01T02:00:00+01:00\t1\n")
    equal(t.ok("query", "--bucket", "1mo", "--agg", "sum:tokens_used"),
          "bucket\tsum:tokens_used\n2024-02-01T00:00:00Z\t57\n2024-03-01T00:00:00Z\t1\n")
    equal(t.ok("query", "--bucket", "1us", "--from", "2024-02-01T01:00:00Z", "--to", "2024-02-02"),
          "bucket\tcount\n2024-02-01T01:15:00.000001Z\t1\n")


def fill_adds_the_buckets_without_rows(t):
    equal(t.ok("query", "--bucket", "1d", "--from", "2024-02-01", "--to", "2024-02-04", "--fill",
               "--agg", "count,sum:cost"),
          "bucket\tcount\tsum:cost\n2024-02-01T00:00:00Z\t3\t-0.48759985\n2024-02-02T00:00:00Z\t1\t1.0000\n"
          "2024-02-03T00:00:00Z\t0\t\\N\n")


def predicates_hold_together(t):
    where = lambda *p: t.ok("query", *[w for x in p for w in ("--where", x)])
    equal(where("service_name=chat"), "count\n2\n")
    equal(where("service_name=chat", "status_code>=500"), "count\n1\n")
    equal(where("user_id in (u1, 'u2')", "cost < 0"), "count\n1\n")
    equal(where("user_id not in (u1)"), "count\n2\n")
    equal(where("user_id is null"), "count\n1\n")
    equal(where("user_id=''"), "count\n1\n")
    equal(where("endpoint ^= /v1/"), "count\n3\n")
    equal(where("metadata.region = 日本"), "count\n1\n")
    equal(where("metadata IS NOT NULL", "metadata.credits > 1.4"), "count\n1\n")
    equal(where("duration_ms < 20.5"), "count\n2\n")
    equal(where("timestamp >= 2024-02-02"), "count\n2\n")


def order_by_and_limit(t):
    equal(t.ok("query", "--group-by", "service_name", "--agg", "sum:cost", "--order-by", "sum:cost desc",
               "--limit", "2"), "service_name\tsum:cost\nembed\t0.5000\nchat\t0.01240015\n")
    equal(t.ok("query", "--group-by", "user_id", "--order-by", "count desc, user_id desc", "--limit", "1"),
          "user_id\tcount\nu1\t2\n")
    equal(t.ok("query", "--limit", "0"), "count\n")
    equal(t.ok("query", "--limit", "0", "--format", "json"), "[]\n")


def aggregates_of_every_kind(t):
    out = t.ok("query", "--agg", "count:user_id,min:cost,max:cost,p50:duration_ms,p99.9:duration_ms,"
               "distinct:user_id,min:timestamp,sum:metadata.credits,sum:response_size", "--format", "json")
    equal(json.loads(out), [{"count:user_id": 4, "min:cost": "-0.5000", "max:cost": "1.0000",
                             "p50:duration_ms": 30, "p99.9:duration_ms": 50, "distinct:user_id": 3,
                             "min:timestamp": "2024-02-01T00:00:00.000000Z", "sum:metadata.credits": "1.5",
                             "sum:response_size": -2147481646}])


def explain_and_no_rollups(t):
    holds(len(t.ok("query", "--explain", "--agg", "sum:cost").splitlines()) >= 2, "--explain prints rows")
    equal(t.ok("query", "--no-rollups", "--group-by", "method"), "method\tcount\nGET\t1\nPOST\t2\nPUT\t1\n\\N\t1\n")


def events_print_every_column(t):
    out = t.ok("events", "--format", "csv")
    equal(out, HEADER +
          '2024-02-01T00:00:00.000000Z,u1,chat,/v1/chat,POST,100,2000,10,200,50,0.0124,'
          '"{""region"":""eu"",""credits"":1.5}"\n'
          '2024-02-01T00:30:00.000000Z,u2,chat,/v1/chat,POST,110,0,20,500,0,0.00000015,"{""region"":""us""}"\n'
          '2024-02-01T01:15:00.000001Z,u1,embed,/v1/embed,GET,,,30,404,7,-0.5000,\n'
          '2024-02-02T10:00:00.000000Z,"",embed,,,1,2,40,,,1.0000,\n'
          '2024-03-01T00:00:00.000000Z,,,"a ""b"",\tc",PUT,2147483647,-2147483648,50,200,1,,'
          '"{""region"":""日本""}"\n')
    equal(len(list(csv.reader(io.StringIO(out)))), 6)


def events_embed_metadata_in_json(t):
    rows = [json.loads(line) for line in t.ok("events", "--format", "ndjson").splitlines()]
    equal(rows[0], {"timestamp": "2024-02-01T00:00:00.000000Z", "user_id": "u1", "service_name": "chat",
                    "endpoint": "/v1/chat", "method": "POST", "request_size": 100, "response_size": 2000,
                    "duration_ms": 10, "status_code": 200, "tokens_used": 50, "cost": "0.0124",
                    "metadata": {"region": "eu", "credits": 1.5}})
    equal(rows[4]["endpoint"], 'a "b",\tc')
    equal(json.loads(t.ok("events", "--format", "json")), rows)


def events_order_columns_and_limit(t):
    equal(t.ok("events", "--order", "desc", "--limit", "2", "--columns", "tokens_used,user_id"),
          "tokens_used\tuser_id\n1\t\\N\n\\N\t\n")
    equal(sorted(t.ok("events", "--order", "none", "--columns", "duration_ms").split()),
          ["10", "20", "30", "40", "50", "duration_ms"])
    equal(t.ok("events", "--where", "user_id=u1", "--from", "2024-02-01T01:00:00Z", "--columns", "timestamp"),
          "timestamp\n2024-02-01T01:15:00.000001Z\n")
    equal(t.ok("events", "--limit", "0", "--columns", "cost"), "cost\n")
    equal(t.ok("events", "--columns", "endpoint", "--where", "user_id is null"), 'endpoint\na "b",\\tc\n')


def stats_verify_and_flush(t):
    figures = dict(line.split("\t") for line in t.ok("stats").splitlines()[1:])
    equal(figures["rows"], "5")
    answer = t.run("verify")
    equal((answer.code, len(answer.out.splitlines())), (0, 1), answer.err)
    holds("0 problems" in answer.err and "segments" in answer.err, answer.err)
    equal(t.run("verify", "--quiet").err, "")
    equal(t.ok("flush"), "")
    equal(t.ok("compact"), "month\tsegments_before\tsegments_after\trows\tbytes_before\tbytes_after\n", "one segment a month is settled")
    figures = dict(line.split("\t") for line in t.ok("stats").splitlines()[1:])
    equal((figures["rows"], figures["rows_in_memory"]), ("5", "0"))
    equal(t.run("verify").code, 0)


def requests_that_are_wrong(t):
    for arguments, says in [
            (["--agg", "sum:nope"], "nope"), (["--agg", "sum:endpoint"], "endpoint"), (["--agg", "p0:cost"], "p0"),
            (["--where", "nope=1"], "nope"), (["--where", "user_id ~ x"], "user_id"), (["--where", "user_id="], ""),
            (["--from", "yesterday"], "yesterday"), (["--bucket", "3q"], "3q"), (["--tz", "Mars/Phobos"], "Mars/Phobos"),
            (["--group-by", "cost"], "cost"), (["--group-by", "nope"], "nope"), (["--order-by", "nope"], "nope"),
            (["--fill"], ""), (["--fill", "--bucket", "1d"], ""), (["--agg", ""], ""),
            (["--limit", "x"], "--limit"), (["--where"], "--where needs a value"), (["x"], "unexpected 'x'"),
            (["--grop-by", "x"], "did you mean --group-by"), (["--agg", "count", "--agg", "errors"], "twice")]:
        t.usage("query", *arguments, says=says)
    t.usage("events", "--columns", "nope", says="nope")
    t.usage("events", "--order", "up", says="up")
    t.usage("stats", "--verbose", says="--verbose")
    t.usage("flush", "now", says="now")
    t.usage("compact", "now", says="now")


def global_options_on_both_sides(t):
    equal(t.ok("--format", "csv", "query", "--quiet", "--no-color"), "count\n5\n")
    equal(t.ok("query", "--format=ndjson", "--quiet"), '{"count":5}\n')
    t.usage("--format", "xml", "query", says="xml")
    t.usage("query", "--server", "127.0.0.1:1", "--db", "x", says="exclude each other")


def broken_output_fails(t):
    with open("/dev/full", "w") as full:
        done = subprocess.run([t.programs["tally"], *t.store, "events"], stdout=full, stderr=subprocess.PIPE,
                              timeout=TIMEOUT)
    equal(done.returncode, 1)
    holds(b"No space left" in done.stderr, done.stderr)


def shell_from_a_pipe(t):
    answer = t.run("shell", input="query --where status_code>=500 --format csv\n"
                   "\\format ndjson\nquery --agg 'count:user_id' # a comment\nevents --limit 1 \\\n --columns cost;"
                   "query --where \"user_id is null\"\n\\watch 0 2\n\\quit\nquery\n")
    equal((answer.code, answer.out),
          (0, 'count\n1\n{"count:user_id":4}\n{"cost":"0.0124"}\n{"count":1}\n{"count":1}\n{"count":1}\n'), answer.err)


def shell_goes_on_behind_mistakes(t):
    answer = t.run("shell", input="qurey\n\\timing on\nquery --agg nope\nquery\n")
    equal((answer.code, answer.out), (1, "count\n5\n"), answer.err)
    for text in ["did you mean 'query'", "nope", "input line 1", "input line 3", "time: "]:
        holds(text in answer.err, f"{text!r} in {answer.err}")
    equal(t.run("shell", input="query --where 'x").code, 1)


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, tool, *arguments, env=None, columns=120):
        self.pid, self.file = pty.fork()
        if self.pid == 0:
            try:
                for name in ["XDG_STATE_HOME", "NO_COLOR", "TALLY_SERVER"]:
                    os.environ.pop(name, None)
                os.environ.update({"HOME": tool.folder, "TERM": "xterm", "LANG": "C.UTF-8", **(env or {})})
                fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
                os.execv(tool.programs["tally"], [tool.programs["tally"], *tool.store, *arguments])
            finally:
                os._exit(127)
        self.seen = b""

    def read(self, seconds):
        """False at the end."""
        if select.select([self.file], [], [], max(0, seconds))[0]:
            try:
                data = os.read(self.file, 65536)
            except OSError:
                data = b""
            self.seen += data
            return bool(data)
        return True

    def until(self, text, what):
        end = time.time() + TIMEOUT
        while text not in self.seen:
            if not self.read(end - time.time()) or time.time() > end:
                raise Failure(f"{what}: no {text!r} in {self.seen[-1000:]!r}")
        self.seen = self.seen[self.seen.index(text) + len(text):]

    def type(self, data):
        os.write(self.file, data)

    def end(self):
        """Waits for the end and gives the exit status and what was shown since the last until."""
        end = time.time() + TIMEOUT
        while self.read(end - time.time()):
            if time.time() > end:
                os.kill(self.pid, signal.SIGKILL)
                raise Failure(f"it does not end: {self.seen[-1000:]!r}")
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]), self.seen.decode().replace("\r\n", "\n")

    def __enter__(self):
        return self

    def __exit__(self, *problem):
        os.close(self.file)
        if problem[0]:
            try:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
            except (ChildProcessError, ProcessLookupError):
                pass


def shell_on_a_terminal(t):
    with Terminal(t, "shell") as shell:
        shell.until(b"tally> ", "prompt")
        shell.type(b"que\t--gro\tservi\t\n")
        shell.until(b"(3 rows)", "completion and a table")
        shell.until(b"tally> ", "prompt")
        shell.type(b"half a line")
        shell.until(b"line", "echo")
        shell.type(b"\x03")
        shell.until(b"tally> ", "Ctrl-C drops the line")
        shell.type(b"query --where 'user_id\n")
        shell.until(b"> ", "a quote goes on")
        shell.type(b"=u1' --format csv\n")
        shell.until(b"count\r\n", "its answer")
        shell.until(b"tally> ", "prompt")
        shell.type(b"\\quit\n")
        equal(shell.end()[0], 0)
    history = os.path.join(t.folder, ".tally_history")
    equal(os.stat(history).st_mode & 0o777, 0o600)
    holds("service_name" in open(history).read(), "the history is kept")
    os.unlink(history)


def a_terminal_gets_a_coloured_table(t):
    plain = "method | count\n-------+------\nGET    |     1\nPOST   |     2\nPUT    |     1\n       |     1\n(4 rows)\n"
    ask = ["query", "--group-by", "method"]
    for arguments, env in [([*ask, "--no-color"], {}), (ask, {"NO_COLOR": "1"}), (ask, {"TERM": "dumb"})]:
        with Terminal(t, *arguments, env=env) as shown:
            equal(shown.end(), (0, plain), f"{arguments} {env}")
    with Terminal(t, *ask) as shown:
        code, text = shown.end()
    equal((code, re.sub(r"\033\[\d*m", "", text)), (0, plain))
    holds("\033[1mmethod" in text, repr(text))
    with Terminal(t, *ask, "--format", "csv") as shown:
        equal(shown.end(), (0, "method,count\nGET,1\nPOST,2\nPUT,1\n,1\n"))
    with Terminal(t, "events", "--no-color", columns=60) as shown:
        code, text = shown.end()
    holds(code == 0 and "…" in text and "(5 rows; …" in text, text)


ON_EVENTS = [query_counts_everything, query_groups_and_sums_exactly, null_differs_from_empty_in_every_format,
             ranges_are_half_open, buckets_print_with_the_zones_offset, fill_adds_the_buckets_without_rows,
             predicates_hold_together, order_by_and_limit, aggregates_of_every_kind, explain_and_no_rollups,
             events_print_every_column, events_embed_metadata_in_json, events_order_columns_and_limit,
             requests_that_are_wrong, global_options_on_both_sides, broken_output_fails, shell_from_a_pipe,
             shell_goes_on_behind_mistakes, shell_on_a_terminal, a_terminal_gets_a_coloured_table,
             stats_verify_and_flush]


# ---------------------------------------------------------------- checks on their own

def help_of_every_command(t):
    bare = Tool(t.programs, [], t.folder)
    text = bare.ok("--help")
    equal(re.findall(r"^  (\w+) ", text.split("Global options")[0], re.M),
          ["ingest", "query", "events", "generate", "stats", "flush", "compact", "verify", "backup", "restore", "retention", "erase", "pseudonymize", "shell"])
    for command in ["ingest", "query", "events", "generate", "stats", "flush", "compact", "verify", "backup", "restore", "retention", "erase", "pseudonymize", "shell"]:
        text = bare.ok(command, "--help")
        holds(re.match(rf"Usage: tally (--db DIR )?{command}\b", text) and "Examples:" in text, text)
    holds(re.fullmatch(r"tally \d+\.\d+\.\d+\n", bare.ok("--version")), "--version")


def unknown_commands(t):
    bare = Tool(t.programs, [], t.folder)
    bare.usage("qurey", says="did you mean 'query'")
    for command in ["vacuum", "delete"]:
        bare.usage(command, says=f"unknown command '{command}'")
    bare.usage(says="Usage: tally")


def a_server_that_is_not_there(t):
    bare = Tool(t.programs, [], t.folder)
    for command in ["query", "events", "stats", "flush", "compact", "verify", "backup /b", "retention", "erase u", "pseudonymize u", "shell"]:
        answer = bare.run("--server", "127.0.0.1:1", *command.split())
        equal((answer.code, answer.out), (1, ""), answer.err)
        holds("127.0.0.1:1" in answer.err, answer.err)
    answer = bare.run("stats", env={"TALLY_SERVER": "127.0.0.1:2"})
    equal(answer.code, 1)
    holds("127.0.0.1:2" in answer.err, answer.err)
    bare.usage("--server", "no port:x", "stats", says="no port:x")


def a_store_that_is_not_there_is_not_made(t):
    missing = os.path.join(t.folder, "missing")
    for command in ["query", "events", "stats", "flush", "compact", "verify", "backup b", "retention", "erase u", "pseudonymize u", "shell"]:
        answer = Tool(t.programs, ["--db", missing], t.folder).run(*command.split(), input="")
        equal((answer.code, answer.out), (1, ""), f"{command}: {answer.err}")
        holds(missing in answer.err, answer.err)
    holds(not os.path.exists(missing), "the store was made")


def a_store_that_another_process_has(t):
    folder = os.path.join(t.folder, "locked")
    Tool(t.programs, ["--db", folder], t.folder).ok("ingest", "-", input=EVENTS)
    server = Server(t.programs, folder)
    try:
        answer = Tool(t.programs, ["--db", folder], t.folder).run("query")
        equal((answer.code, answer.out), (1, ""), answer.err)
        holds(str(server.process.pid) in answer.err, answer.err)
        equal(Tool(t.programs, [], t.folder).ok("query", env={"TALLY_SERVER": server.address}), "count\n5\n")
    finally:
        equal(server.stop(), 0, "exit status of tallyd")
    equal(Tool(t.programs, ["--db", folder], t.folder).ok("query"), "count\n5\n")


def generate_is_the_same_every_time(t):
    bare = Tool(t.programs, [], t.folder)
    flags = ["generate", "--rows", "500", "--days", "3", "--users", "20", "--start", "2024-01-01", "--seed", "7"]
    once = bare.ok(*flags)
    equal(bare.ok(*flags), once)
    equal(len(list(csv.reader(io.StringIO(once)))), 501)
    holds(bare.ok(*flags[:-1], "8") != once, "another seed gives other events")


def a_reader_that_goes_away_is_no_failure(big):
    process = subprocess.Popen([big.programs["tally"], *big.store, "events", "--order", "none", "--format", "csv"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.read(1000)
    process.stdout.close()
    equal((process.wait(TIMEOUT), process.stderr.read()), (0, b""))
    process.stderr.close()


def an_interrupt_cancels_and_says_incomplete(big):
    process = subprocess.Popen([big.programs["tally"], *big.store, "events", "--order", "none", "--format", "csv"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.read(1000)
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    out, err = process.communicate(timeout=TIMEOUT)
    equal(process.returncode, 1, err)
    holds(b"cancelled" in err and b"incomplete" in err, err)
    equal(big.ok("query"), "count\n60000\n")


def an_interrupt_in_the_shell_goes_on(big):
    with Terminal(big, "shell", "--no-color") as shell:
        shell.until(b"tally> ", "prompt")
        shell.type(b"events --order none --format csv\n")
        shell.until(b"Z,", "rows")
        shell.type(b"\x03")
        shell.until(b"cancelled", "the query is cancelled")
        shell.until(b"incomplete", "and said to be incomplete")
        shell.until(b"tally> ", "prompt")
        shell.type(b"query --format ndjson\n")
        shell.until(b'{"count":60000}', "the next command")
        shell.type(b"\\quit\n")  # Ctrl-D would be lost if it came before the editor reads
        equal(shell.end()[0], 0)
    os.unlink(os.path.join(big.folder, ".tally_history"))


def long_answers_are_whole(big):
    out = big.ok("events", "--format", "ndjson", "--columns", "timestamp,cost")
    rows = [json.loads(line) for line in out.splitlines()]
    equal(len(rows), 60000)
    holds(all(a["timestamp"] <= b["timestamp"] for a, b in zip(rows, rows[1:])), "in order")
    table = big.ok("events", "--format", "table", "--columns", "timestamp,user_id").splitlines()
    equal(len(table), 60002)


def verify_finds_damage(t):
    folder = os.path.join(t.folder, "damaged")
    tool = Tool(t.programs, ["--db", folder], t.folder)
    tool.ok("ingest", "-", input=EVENTS)
    tool.ok("flush")
    equal(tool.run("verify").code, 0)
    names = [os.path.join(at, name) for at, _, files in os.walk(folder) for name in files]
    names = [n for n in names if "seg" in os.path.relpath(n, folder)]
    holds(names, f"a segment among {os.listdir(folder)}")
    largest = max(names, key=os.path.getsize)
    with open(largest, "r+b") as file:
        file.seek(os.path.getsize(largest) // 3)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 0x20]))
    answer = tool.run("verify", "--format", "csv")
    equal(answer.code, 1, answer.err)
    holds(os.path.basename(largest) in answer.out or os.path.basename(largest) in answer.err, answer.out + answer.err)


def a_shell_outlives_its_server(t):
    folder = os.path.join(t.folder, "outlived")
    Tool(t.programs, ["--db", folder], t.folder).ok("ingest", "-", input=EVENTS)
    server = Server(t.programs, folder)
    port = server.address.split(":")[1]
    shell = subprocess.Popen([t.programs["tally"], "--server", server.address, "shell"], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def say(line):
        shell.stdin.write(line.encode() + b"\n")
        shell.stdin.flush()

    try:
        say("query --format csv")
        equal(shell.stdout.readline() + shell.stdout.readline(), b"count\n5\n")
        equal(server.stop(), 0)
        say("query")
        say("\\connect 127.0.0.1:1")
        holds(b"tally: connection" in shell.stderr.readline(), "a lost connection is told")
        server = Server(t.programs, folder, port)
        say("query --format csv")
        equal(shell.stdout.readline() + shell.stdout.readline(), b"count\n5\n")
    finally:
        server.stop()
        shell.communicate(timeout=TIMEOUT)
    equal(shell.returncode, 1, "commands failed")


def run_page(t):
    """docs/tool.md as it stands, and as it is with what its commands really print."""
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../docs/tool.md"), encoding="utf-8") as f:
        page = f.read()
    folder = os.path.join(t.folder, "page")
    os.mkdir(folder)
    path = os.path.join(t.folder, "bin")
    os.mkdir(path)
    for name in ["tally", "tallyd"]:
        os.symlink(t.programs[name], os.path.join(path, name))
    environment = {"PATH": path + ":/usr/bin:/bin", "HOME": t.folder, "LANG": "C.UTF-8"}

    def block(match):
        lines = []
        for line in match.group(1).splitlines():
            if line.startswith("$ "):
                done = subprocess.run(["sh", "-c", line[2:]], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                      cwd=folder, env=environment, timeout=TIMEOUT)
                lines += [line, *done.stdout.decode().splitlines()]
        return "\n".join(["```console", *lines, "```"])

    return page, re.sub(r"```console\n(.*?)```", block, page, flags=re.S)


def the_page_is_true(t):
    page, real = run_page(t)
    for stands, prints in zip(page.splitlines(), real.splitlines()):
        equal(prints, stands, "docs/tool.md is not what is printed (--write-page renews it)")
    equal(len(real), len(page), "docs/tool.md")


def a_script_may_hold_the_data_of_its_ingest(t):
    tool = Tool(t.programs, ["--db", os.path.join(t.folder, "script")], t.folder)
    tool.ok("ingest", "-", input=EVENTS)
    answer = tool.run("shell", input="query\ningest -\n" + EVENTS)
    equal((answer.code, answer.out), (0, "count\n5\n"), answer.err)
    equal(tool.ok("query"), "count\n10\n")


def progress_of_a_job_is_shown_on_a_terminal_only(t):
    folder = os.path.join(t.folder, "jobs")
    events = t.ok("generate", "--rows", "400000", "--days", "2")
    store = Tool(t.programs, ["--db", folder], t.folder)

    def job(tool, *options):
        for _ in range(2):
            tool.ok("ingest", "-", input=events)
            tool.ok("flush")
        with Terminal(tool, *options, "compact", "--format", "csv") as shown:
            return shown.end()

    line = r"\rcompact, 0:\d\d: [\d,]+ of [\d,]+ rows rewritten, \d+ %\033\[K"
    for served in [False, True]:
        server = Server(t.programs, folder) if served else None
        tool = Tool(t.programs, ["--server", server.address], t.folder) if served else store
        try:
            code, text = job(tool)
            equal(code, 0, text)
            holds(re.search(line, text), text)
            holds(re.fullmatch(r"(((\r[^\r\n\033]+\033\[K)+\r\033\[K)?[\d\w,-]+\n)+", text), "the line is gone when a row of the answer comes: " + repr(text))
            code, text = job(tool, "--quiet")
            holds(code == 0 and text.startswith("month,segments_before"), repr(text))
            equal(tool.run("compact").err, "", "not in a pipe")
        finally:
            if server:
                equal(server.stop(), 0, "exit status of tallyd")


ALONE = [progress_of_a_job_is_shown_on_a_terminal_only, the_page_is_true, help_of_every_command, unknown_commands, a_server_that_is_not_there, a_store_that_is_not_there_is_not_made,
         a_store_that_another_process_has, generate_is_the_same_every_time, verify_finds_damage,
         a_shell_outlives_its_server, a_script_may_hold_the_data_of_its_ingest]
ON_MANY = [a_reader_that_goes_away_is_no_failure, an_interrupt_cancels_and_says_incomplete,
           an_interrupt_in_the_shell_goes_on, long_answers_are_whole]


# ---------------------------------------------------------------- running

class Runner:
    def __init__(self, only):
        self.passed, self.failed, self.only = 0, 0, only

    def check(self, function, tool, where):
        name = f"{function.__name__} ({where})"
        if self.only and self.only not in name:
            return
        try:
            function(tool)
            self.passed += 1
        except (Failure, subprocess.TimeoutExpired, OSError, ValueError, KeyError) as problem:
            self.failed += 1
            print(f"FAILED {name}: {problem}", flush=True)


def with_store(programs, folder, name, load, run):
    """Runs over --db, and then over a server on the same store."""
    path = os.path.join(folder, name)
    load(Tool(programs, ["--db", path], folder))
    run(Tool(programs, ["--db", path], folder), "--db")
    server = Server(programs, path)
    try:
        run(Tool(programs, ["--server", server.address], folder), "--server")
    finally:
        code = server.stop()
    if code != 0:
        raise Failure(f"tallyd ended with {code}")


def find(programs):
    if len(programs) == 2 and os.path.isfile(programs[0]):
        return dict(zip(["tally", "tallyd"], map(os.path.abspath, programs)))
    found = {}
    for name in ["tally", "tallyd"]:
        for at, _, files in os.walk(programs[0]):
            path = os.path.abspath(os.path.join(at, name))
            if name in files and os.access(path, os.X_OK) and name not in found:
                found[name] = path
        if name not in found:
            sys.exit(f"there is no {name} in {programs[0]}")
    return found


def write_page(t):
    _, real = run_page(t)
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../docs/tool.md"), "w",
              encoding="utf-8") as f:
        f.write(real)
    shutil.rmtree(t.folder)
    return 0


def main():
    arguments = [a for a in sys.argv[1:] if not a.startswith("--")]
    only = next((a[7:] for a in sys.argv[1:] if a.startswith("--only=")), None)
    if len(arguments) not in (1, 2):
        sys.exit(__doc__)
    programs = find(arguments)
    folder = tempfile.mkdtemp(prefix="tally-tool-")
    runner = Runner(only)
    if "--write-page" in sys.argv:
        return write_page(Tool(programs, [], folder))
    bare = Tool(programs, [], folder)
    try:
        for function in ALONE:
            runner.check(function, bare, "alone")
        with_store(programs, folder, "events", lambda t: t.ok("ingest", "-", input=EVENTS),
                   lambda t, where: [runner.check(f, t, where) for f in ON_EVENTS])
        many = bare.ok("generate", "--rows", "60000", "--days", "10", "--users", "100", "--start", "2024-01-01",
                       "--seed", "1")
        with_store(programs, folder, "many", lambda t: t.ok("ingest", "-", input=many),
                   lambda t, where: [runner.check(f, t, where) for f in ON_MANY])
    except Failure as problem:
        runner.failed += 1
        print(f"FAILED {problem}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{runner.passed} passed, {runner.failed} failed")
    return 1 if runner.failed else 0


if __name__ == "__main__":
    sys.exit(main())
