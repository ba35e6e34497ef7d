"""The parts of bench/compare that could be wrong without anybody seeing: proofs, medians, schedules, verdicts.

usage: test_comparison.py BUILD_DIR     with -DTALLY_BENCH=ON. Installs nothing, starts tallyd alone.
"""
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import xml.dom.minidom

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "bench"), os.path.join(ROOT, "tests", "program")]
import measure  # noqa: E402
from comparison import answers, arrivals, clickhouse, data, digest, duckdb, figures, latency, plots, postgres, questions, report, run, steps, system, tally, verdicts  # noqa: E402
from harness import Counter  # noqa: E402

c = Counter()
CELLS = {"time": "2024-02-01 00:05:00", "text": "chat", "integer": "7", "decimal": "1.2500", "real": "0.025", "json": '{"req": "1", "region": "x"}'}
OTHERS = {"time": "2024-02-01 00:10:00", "text": "cha", "integer": "8", "decimal": "1.2501", "real": "0.026", "json": '{"req": "2", "region": "x"}'}


def refused(call):
    try:
        call()
    except answers.Differ as e:
        return str(e)
    return None


class Fake(system.System, system.Session):
    """A system that gives the answers that it was given."""

    def __init__(self, name, said):
        self.name, self.said = name, said

    def open(self, place, data, mode="durable"):
        return self

    def answer(self, name):
        return self.said[name]

    def close(self):
        pass


def row(question, cells=CELLS):
    return [cells[k] for k in question.kinds.split()]


def right_answers():
    return {q.name: [row(q), row(q, OTHERS)] for q in questions.QUESTIONS}


def checked(wrong):
    systems = [Fake("tally", right_answers()), Fake("good", right_answers()), Fake("bad", wrong)]
    return refused(lambda: run.check_answers(systems, lambda s: s.open(None, None)))


def a_wrong_answer_is_seen():
    c.equal(checked(right_answers()), None, "the same answers are taken")
    turned = {name: list(reversed(rows)) for name, rows in right_answers().items()}
    c.equal(checked(turned), None, "rows in another order are taken")
    for q in questions.QUESTIONS:
        for i, kind in enumerate(q.kinds.split()):
            wrong = right_answers()
            wrong[q.name][0][i] = OTHERS[kind]
            said = checked(wrong) or ""
            c.check(q.name + "," in said and "bad" in said, f"{q.name}: another {kind} in column {i} is seen: {said}")
            wrong[q.name][0][i] = None
            c.check(checked(wrong), f"{q.name}: NULL in column {i} is seen")
        for what, rows in (("a row less", [row(q)]), ("a row more", [row(q), row(q, OTHERS), row(q, OTHERS)]), ("a row twice for another", [row(q), row(q)]),
                           ("no row", []), ("a cell less", [row(q)[:-1], row(q, OTHERS)]), ("words for a number", [["?"] * len(row(q)), row(q, OTHERS)])):
            if what == "words for a number" and q.kinds.split() == ["text"] * len(row(q)):
                continue
            c.check(checked({**right_answers(), q.name: rows}), f"{q.name}: {what} is seen")


def nothing_is_timed_without_proof(folder):
    kept = steps.Steps(os.path.join(folder, "proofs"))
    good, bad = Fake("good", right_answers()), Fake("bad", {**right_answers(), "Q12": []})
    ours = tally.Tally("nowhere")
    ours.open = lambda *_: Fake("tally", right_answers())
    events = data.Data("nowhere", folder, 0, 91)
    for key in ("data/generate", "check/rows/csv", "check/rows/tally", "check/rows/good", "check/rows/bad"):
        kept.run(key, lambda: {"rows": 0})
    with open(events.csv, "w"):
        pass

    def comparison(*systems):
        return run.Run(folder, kept, list(systems), events, 1, 1)
    c.check(not comparison(ours, good).proved(), "at first nothing is proved")
    try:
        comparison(ours, good).do(["queries"])
        c.check(False, "no questions without proof")
    except SystemExit:
        c.check(True, "")
    comparison(ours, good).do(["check"])
    c.check(comparison(ours, good).proved(), "those that were compared are proved")
    c.check(not comparison(ours, good, bad).proved(), "another one is not")
    c.check("Q12" in (refused(lambda: comparison(ours, good, bad).do(["check"])) or ""), "and is compared, not taken for granted")
    os.unlink(events.csv)


def forms_of_one_value():
    same = [("time", "2024-02-01T00:00:00Z", "2024-02-01 00:00:00"), ("time", "2024-02-01", "2024-02-01 00:00:00.000000"), ("time", "2024-02-01T01:02:03.5Z", "2024-02-01 01:02:03.500000"),
            ("decimal", "0.0000", "0"), ("decimal", "12.5000", "12.5"), ("decimal", "100", "100.0000"), ("json", '{"a":1,"b":2}', '{"b": 2, "a": 1}'), ("text", "\\N", None)]
    for kind, a, b in same:
        c.equal(answers.cell_of(kind, a), answers.cell_of(kind, b), f"{kind} {a}")
    c.check(answers.cell_of("time", "2024-02-01T01:02:03.5Z") != answers.cell_of("time", "2024-02-01 01:02:03.05"), "half a second is not a twentieth")
    c.check(answers.same(0.029834, 0.0298337), "a rate to the sixth decimal")
    c.check(not answers.same(0.029834, 0.029837), "a rate that is off by three of the sixth decimal")
    c.check(not answers.same(7, 8) and not answers.same(7, None), "integers are exact")


def rows_of_a_store():
    lines = ["a", "b", "b", "c"]
    whole = answers.fingerprint(lines)
    c.equal(answers.fingerprint(["b", "c", "a", "b"]), whole, "the order of rows does not count")
    for other in (["a", "b", "c", "c"], ["a", "b", "c"], ["a", "b", "b", "d"], ["ab", "b", "c", ""]):
        c.check(answers.fingerprint(other) != whole, f"{other} are other rows")
    c.check(answers.fingerprint(["a", "a"]) != answers.fingerprint(["b", "b"]), "rows that are there twice count twice")
    cells = ["2024-01-07T16:22:45.17Z", "u", "s", "e", "GET", "1", "2", "3", "200", "5", "0.02", ""]
    c.equal(answers.canonical_line(cells), "2024-01-07 16:22:45.170000\tu\ts\te\tGET\t1\t2\t3\t200\t5\t0.0200\t\\N", "the canonical line")


def rows_of_some_days(build, folder):
    """What is expected of a store of which some days are compared, and what Tally has of them."""
    few = data.Data(build, os.path.join(folder, "few"), 20000, 91)
    few.generate()
    whole = few.fingerprint()
    few.compared_days = lambda: ["2024-01-07", "2024-02-14", "2024-03-31"]
    some = few.fingerprint()
    c.check(whole["rows"] == 20000 and 300 < some["rows"] < 1000, f"all rows, and those of three days: {whole['rows']}, {some['rows']}")
    few.users = {"heavy": "", "ordinary": ""}
    here, place = tally.Tally(build), os.path.join(folder, "few", "store")
    here.load(place, "csv", "durable", few)
    with here.open(place, few) as session:
        c.equal(answers.fingerprint(session.lines(None)), whole, "Tally's rows")
        c.equal(answers.fingerprint(session.lines(few.compared_days())), some, "Tally's rows of three days")


def medians_and_percentiles():
    c.equal(figures.median([5, 1, 3]), 3, "median of three")
    c.equal(figures.median([4, 1, 3, 2]), 2.5, "median of four")
    c.equal(figures.median([9]), 9, "median of one")
    c.equal([figures.percentile(range(1, 101), p) for p in (50, 99, 99.9, 100)], [50, 99, 100, 100], "percentiles of a hundred")
    c.equal(figures.percentile(range(1, 1001), 99.9), 999, "99.9 % of a thousand are 999")
    c.equal(figures.percentile([7], 50), 7, "a percentile of one")
    for nothing in (figures.median, lambda v: figures.percentile(v, 50)):
        try:
            nothing([])
            c.check(False, "no values have none")
        except ValueError:
            c.check(True, "")
    c.check(abs(figures.geometric_mean([1, 4, 16]) - 4) < 1e-9, "geometric mean")
    shuffled = list(range(101))
    random.Random(1).shuffle(shuffled)
    c.equal(figures.summary(shuffled), {"median": 50, "least": 0, "most": 100, "count": 101}, "summary")


def a_stall_counts_for_all_that_waited():
    """Four appenders at 200 a second, each stuck for half a second once: 100 appends fall due meanwhile."""
    stalled = threading.Event()
    began = time.monotonic()

    def appender():
        mine = {"stalled": False}

        def append():
            if not mine["stalled"] and time.monotonic() - began > 0.3:
                mine["stalled"] = True
                stalled.set()
                time.sleep(0.5)
        return append
    came = arrivals.run(200, 1.5, [appender() for _ in range(4)])
    late = [ms for ms in came["latencies_ms"] if ms > 50]
    c.check(stalled.is_set(), "there was a stall")
    c.equal(len(came["latencies_ms"]), 300, "every append of the schedule was made")
    c.check(len(late) >= 70, f"those that fell due in the stall are late: {len(late)}")
    c.check(figures.percentile(came["latencies_ms"], 99) > 400, "p99 shows the stall")
    c.equal(arrivals.due(300, 200, 10.0), 11.5, "what is due depends on its number alone")
    closed = arrivals.run(0, 0.3, [lambda: time.sleep(0.01)] * 2)
    c.check(20 <= len(closed["latencies_ms"]) <= 62, f"without a rate each appends as it is answered: {len(closed['latencies_ms'])}")


def a_failed_append_fails_the_run():
    def broken():
        raise KeyError("planted")
    try:
        arrivals.run(100, 5, [broken, lambda: None])
        c.check(False, "an appender's failure is the run's")
    except KeyError:
        c.check(True, "")


def bench_arrivals_counts_a_stall(build, folder):
    """The same of the program that does it for Tally: the server is stopped for half a second."""
    csv = os.path.join(folder, "events.csv")
    with open(csv, "wb") as f:
        subprocess.run([os.path.join(build, "bin", "tally"), "generate", "--rows", "20000"], stdout=f, check=True)
    server = subprocess.Popen([os.path.join(build, "bin", "tallyd"), "--data", os.path.join(folder, "store"), "--listen", "127.0.0.1:0"],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    address = re.search(r"127\.0\.0\.1:\d+", server.stdout.readline()).group(0)
    try:
        sender = subprocess.Popen([os.path.join(build, "bench", "bench_arrivals"), "--server", address, "--csv", csv, "--rate", "100", "--seconds", "2",
                                   "--connections", "4", "--rows", "100"], stdout=subprocess.PIPE, text=True)
        c.equal(sender.stdout.readline(), "ready\n", "bench_arrivals is ready")
        time.sleep(0.5)
        server.send_signal(signal.SIGSTOP)
        time.sleep(0.5)
        server.send_signal(signal.SIGCONT)
        came = json.loads(sender.communicate(timeout=60)[0])
        c.equal(sender.returncode, 0, "bench_arrivals ends")
        c.equal(len(came["latencies_ms"]), 200, "every append of the schedule was made")
        c.equal(came["rows"], 20000, "with all its rows")
        late = sorted(ms for ms in came["latencies_ms"] if ms > 50)
        c.check(len(late) >= 35, f"those that fell due in the stall are late: {len(late)}")
        c.check(late and late[-1] > 400, "the first of them by nearly all of it")
    finally:
        server.send_signal(signal.SIGCONT)
        server.send_signal(signal.SIGTERM)
        server.wait(60)


def nothing_outlives_it():
    code = "import measure, sys; print(measure.start(['sleep', '100'], stdout=-3).pid); sys.exit(3)"
    done = subprocess.run([sys.executable, "-c", code], cwd=os.path.join(ROOT, "bench"), stdout=subprocess.PIPE, text=True, timeout=60)
    c.equal(done.returncode, 3, "an exit in the middle")
    c.check(not os.path.exists(f"/proc/{int(done.stdout)}"), "ends what was started")


def others_are_seen():
    spin = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        time.sleep(0.2)
        c.check(measure.busy_cores(0.5) > 0.3, "a program that is busy is seen")
    finally:
        spin.kill()
        spin.wait()


def steps_are_resumed(folder):
    calls = []

    def step(name):
        return lambda: calls.append(name) or {"is": name}
    kept = steps.Steps(os.path.join(folder, "steps"))
    c.equal(kept.run("a/1/x", step("a")), {"is": "a"}, "a step's result")
    again = steps.Steps(os.path.join(folder, "steps"), seconds=1e-9)
    c.equal(again.run("a/1/x", step("a")), {"is": "a"}, "what is kept is not done again, even when time is over")
    try:
        again.run("b", step("b"))
        c.check(False, "no step begins when time is over")
    except steps.Paused:
        c.check(True, "")
    c.equal(calls, ["a"], "each step was called once")
    c.equal(list(again.everything()), ["a/1/x"], "everything there is")

    def broken():
        raise answers.Differ("planted")
    refused(lambda: kept.run("c", broken))
    c.check(not kept.done("c"), "a step that failed is not done")


def meta():
    return {"rows": 10_000_000, "days": 91, "machine": {"processor": "p", "cores": 2, "memory_mib": 1024, "kernel": "k", "file_system": "f"}, "tallyd": "0" * 64,
            "systems": {n: {"label": n.upper(), "version": "1", "tuning": "", "native": "", "in_process": False, "peer": n != "postgres_view"}
                        for n in ("tally", "tally_rows", "postgres", "postgres_view", "duckdb", "clickhouse")}}


def everything(rows=10_000_000, ours=1.0, view=0.1):
    """Results of a whole comparison; the best peer needs 30 ms for each question, Tally `ours`."""
    m = {**meta(), "rows": rows}
    ms = {"tally": ours, "tally_rows": ours * 2, "postgres": 300.0, "postgres_view": view, "duckdb": 30.0, "clickhouse": 60.0}
    seconds = {"tally": 2.0, "postgres": 100.0, "postgres_view": 90.0, "duckdb": 20.0, "clickhouse": 10.0}
    out = {"meta": m, "data/generate": {"bytes": rows * 118}, "check/rows/csv": {"rows": rows, "hash": "ab"}, "check/answers": {"rows": {"Q1": 1}, "systems": []}}
    for turn in (1, 2, 3):
        for name in m["systems"]:
            noise = 1 + 0.1 * (turn - 2)
            out[f"warm/{turn}/{name}"] = {**{q: {"first_ms": 99.0, "times_ms": [ms[name] * noise, ms[name] * noise * 0.9, ms[name] * noise * 5]} for q in questions.NAMES}, "peak_mib": 100.0}
            out[f"cold/{turn}/{name}"] = {q: ms[name] * 2 for q in questions.NAMES}
            if name == "tally_rows":
                continue
            for key in ("durable/csv", "durable/native", "os/csv"):
                out[f"load/{key}/{turn}/{name}"] = {"seconds": seconds[name] * noise, "processor_seconds": 1.0, "processor_seconds_settled": 2.0, "settle_seconds": 1.0, "peak_mib": 1.0,
                                                    "peak_mib_settled": 2.0, "bytes": rows * 14, "bytes_kind": "k", "disk_mb_per_second": 500.0, "bytes_written": rows * 40,
                                                    "wire_bytes_per_event": 23.0}
    found = {"append": {"count": 9, "p50_ms": 1.0, "p99_ms": 5.0, "p999_ms": 9.0}, "question": {"p50_ms": 1.0, "p99_ms": 2.0}, "fdatasync": {"p99_ms": 2.0}, "appends_per_second": 10.0}
    out["latency/durable/tally"] = {level: found for level in ("saturation", "50%", "80%")}
    for turn, p99 in ((2, 30.0), (3, 4.0)):
        out[f"latency/turns/{turn}/tally"] = {level: {**found, "append": {**found["append"], "p99_ms": p99}} for level in ("saturation", "50%", "80%")}
    out["tally/memory"] = {"peak_mib_settled": 300.0, "questions_meanwhile": 3}
    out["tally/restart"] = {"ready_seconds": [0.5, 2.5, 1.0]}
    return {k: {"result": v, "busy_before": 0.25, "at": "2026-01-01 00:00:00", "took_seconds": 1} for k, v in out.items()}


def verdict(found, beginning):
    return next(v for v in found if v.what.startswith(beginning))


def figures_become_verdicts():
    d = digest.digest(everything())
    c.equal(d["warm"]["tally"]["Q1"], {"median": 1.0, "least": 0.9, "most": 1.1, "count": 3}, "the median of the rounds' medians, not the best")
    c.equal(digest.best_peer(d, "Q1"), ("duckdb", 30.0), "the best peer is not the view")
    found = verdicts.all_of([d])
    c.equal(d["busy_cores"]["median"], 0.25, "what others did meanwhile")
    c.equal(verdict(found, "CSV to durable and queryable over TCP, against PostgreSQL").met, True, "50 x COPY")
    c.equal(verdict(found, "CSV to durable and queryable over TCP, against ClickHouse").met, True, "5 x ClickHouse")
    c.equal(verdict(found, "ready batches").figure.split()[0], "5", "5 M/s of ready batches")
    c.equal(verdict(found, "ready batches").met, False, "5 M/s of ready batches are less than 7 M/s and than the disk's 10")
    c.equal(verdict(found, "bytes an event").met, True, "14 bytes")
    c.equal(verdict(found, "each of").met, True, "30 x each")
    c.equal(verdict(found, "Q1-Q12, the geometric mean").met, True, "30 x in the mean")
    c.equal(verdict(found, "Q1-Q12 with --no-rollups").met, True, "15 x from rows")
    c.equal(verdict(found, "Q1-Q12 with Q4h and Q10h for Q4 and Q10, the geometric mean").met, True, "and of the heaviest user")
    c.equal(verdict(found, "Q10h against").met, True, "which has its own time")
    c.equal(verdict(found, "Q4 against").met, False, "300 ms * 4.2 / 580 are 2.17 ms, which is not 3 x 1 ms")
    c.equal(verdict(found, "Q10 against").met, True, "300 ms * 4.3 / 28 are 46 ms")
    c.equal(verdict(found, "Q1, Q3, Q5").met, None, "one scale tells nothing of growth")
    c.equal(verdict(found, "server's peak").met, True, "300 MiB")
    c.equal(verdict(found, "restart").met, False, "the slowest restart counts")
    c.equal(verdict(found, "p99").met, True, "5 ms, the median of 5, 30 and 4, are less than 3 x 2 ms")
    c.check("2.5 x" in verdict(found, "p99").figure and "2 - 15" in verdict(found, "p99").figure, "and all turns are shown")
    once = {k: v for k, v in everything().items() if not k.startswith("latency/turns")}
    c.equal(verdict(verdicts.all_of([digest.digest(once)]), "p99").figure.split()[0], "2.5", "one turn is its own median")
    slow = verdicts.all_of([digest.digest(everything(ours=12.0))])
    c.equal(verdict(slow, "each of").met, False, "2.5 x is missed")
    c.check("below 3: Q1 2.5 x" in verdict(slow, "each of").figure, "and says where")
    both = verdicts.all_of([digest.digest(everything()), digest.digest(everything(100_000_000, ours=2.5))])
    c.equal((verdict(both, "Q1, Q3, Q5").met, verdict(both, "each of").scale, verdict(both, "restart").scale), (False, 10_000_000, 100_000_000), "each line at its scale")
    bare = {k: v for k, v in everything().items() if not k.startswith(("warm", "cold", "load", "latency", "tally"))}
    c.equal({v.met for v in verdicts.all_of([digest.digest(bare)])}, {None}, "what was not measured is neither met nor missed")


def the_report_is_whole(folder):
    d = digest.digest(everything())
    report.write([d], os.path.join(folder, "report"))
    with open(os.path.join(folder, "report", "comparison.md")) as f:
        text = f.read()
    c.check("The machine was not quiet" in text, "a quarter of a core of others is worth a warning")
    for name in questions.NAMES:
        c.check(f"| {name} |" in text, f"{name} is in the report")
    for name in re.findall(r"!\[.*?\]\((.*?)\)", text):
        picture = xml.dom.minidom.parse(os.path.join(folder, "report", name))
        c.equal(picture.documentElement.tagName, "svg", f"{name} is a picture")
    c.equal(text.count("!["), 3, "three pictures")
    with open(os.path.join(folder, "report", "comparison.json")) as f:
        c.equal(len(json.load(f)["verdicts"]), len(verdicts.all_of([d])), "the verdicts are in the JSON")
    dot = plots.dots("t", "a", [("r", {"tally": {"median": 10.0, "least": 1.0, "most": 100.0}})], {"tally": "T"})
    c.check(f'cx="{plots.LEFT + plots.WIDTH / 2:.1f}"' in dot, "ten is in the middle between one and a hundred")


def probes_and_askers_go_on():
    beside = latency.Beside(lambda: None, 0.01)
    beside.start()
    time.sleep(0.2)
    c.check(5 <= len(beside.stop()) <= 25, "what goes on beside keeps its pace")


def statements_are_complete():
    users = {"heavy": "user_1", "ordinary": "user_2"}
    for q in questions.QUESTIONS:
        for dialect in ("postgres", "duckdb", "clickhouse"):
            c.check("{" not in questions.sql(q, dialect, users), f"{q.name} in {dialect}")
        c.check(questions.sql(q, "postgres", users, view=True).count("usage_daily") == bool(q.view), f"{q.name} from the view where it can be")
    c.check({s.name for s in (postgres.Postgres, postgres.PostgresBrin, duckdb.DuckDB, clickhouse.ClickHouse)} <= set(plots.COLOURS), "every system has its colour")
    c.check(not postgres.PostgresBrin.counted_as_peer, "the view is no peer")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    build, folder = os.path.abspath(sys.argv[1]), tempfile.mkdtemp(prefix="tally-comparison-")
    try:
        a_wrong_answer_is_seen()
        nothing_is_timed_without_proof(folder)
        forms_of_one_value()
        rows_of_a_store()
        rows_of_some_days(build, folder)
        medians_and_percentiles()
        a_stall_counts_for_all_that_waited()
        a_failed_append_fails_the_run()
        bench_arrivals_counts_a_stall(build, folder)
        nothing_outlives_it()
        others_are_seen()
        steps_are_resumed(folder)
        figures_become_verdicts()
        the_report_is_whole(folder)
        probes_and_askers_go_on()
        statements_are_complete()
    finally:
        shutil.rmtree(folder)
    c.end()


main()
