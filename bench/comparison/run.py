"""The order of a comparison at one scale: loads, proofs that all say the same, then everything that is timed, in turns."""
import os

import measure
from comparison import answers, latency, questions
from comparison.tally import Tally, TallyRows

STAGES = ("load", "check", "loads", "queries", "cold", "latency", "tally")
WARM_REPEATS, WARM_SECONDS = 5, 3.0
LATENCY_SECONDS = 12
LATENCY_TURNS = 3  # of durable Tally: the 99th percentile of some hundred syncs beside it is another each time


class Run:
    def __init__(self, work, steps, systems, data, rounds, loads):
        self.work, self.steps, self.systems, self.data, self.rounds, self.loads = work, steps, systems, data, rounds, loads
        self.tally = next(s for s in systems if type(s) is Tally)

    def place(self, system, name="store"):
        """Where a system's store is; variants of questions alone (TallyRows) use the same one."""
        return os.path.join(self.work, "stores", system.name, str(self.data.rows), name)

    def stores(self):
        """The systems that have a store of their own."""
        return [s for s in self.systems if not isinstance(s, TallyRows)]

    def home(self, system):
        return self.place(self.tally if isinstance(system, TallyRows) else system)

    def do(self, stages):
        if not os.path.exists(self.data.csv) or not self.steps.done("data/generate"):
            self.steps.run("data/generate", self.data.generate)
        for stage in stages:
            if stage not in ("load", "check") and not self.proved():
                measure.give_up(f"stage {stage}: nothing is timed before rows and answers are proved equal: run the stages load and check first")
            getattr(self, "stage_" + stage)()

    def proved(self):
        """Are the answers of all that take part compared?"""
        key = "check/answers"
        return self.steps.done(key) and {s.name for s in self.systems} <= set(self.steps.read(key)["systems"])

    # ------------------------------------------------------------------ loads

    def load(self, system, way, mode, turn, name):
        def once():
            rate = measure.disk_rate(self.work)
            figures = system.load(self.place(system, name), way, mode, self.data)
            if name != "store":
                system.drop(self.place(system, name))
            return {**figures, "disk_mb_per_second": rate}
        return self.steps.run(f"load/{mode}/{way}/{turn}/{system.name}", once)

    def stage_load(self):
        """The first load of everybody, which is kept."""
        for system in self.stores():
            self.load(system, "csv", "durable", 1, "store")
        self.data.users = self.steps.run("data/users", lambda: self.tally.find_users(self.place(self.tally)))

    def stage_loads(self):
        for system in self.stores():
            if "native" in system.ways:
                system.prepare(self.place(system), self.data)
        for turn in range(1, self.loads + 1):
            for mode in ("durable", "os"):
                for way in ("csv", "native"):
                    for system in self.stores():
                        if way in system.ways and mode in system.modes:
                            self.load(system, way, mode, turn, "scratch")

    # ------------------------------------------------------------------ proofs

    def stage_check(self):
        expected = self.steps.run("check/rows/csv", self.data.fingerprint)
        if self.data.compared_days() is None and expected["rows"] != self.data.rows:
            measure.give_up(f"the CSV has {expected['rows']} rows, not {self.data.rows}")
        for system in self.stores():
            self.steps.run(f"check/rows/{system.name}", lambda: self.check_rows(system, expected))
        if not self.proved():
            self.steps.forget("check/answers")
        self.steps.run("check/answers", lambda: check_answers(self.systems, self.open))

    def check_rows(self, system, expected):
        with self.open(system) as session:
            found = answers.fingerprint(session.lines(self.data.compared_days()))
        if found != expected:
            raise answers.Differ(f"the rows of {system.name} are not those of the CSV: {found}, expected {expected}")
        return found

    def open(self, system):
        return system.open(self.home(system), self.data)

    # ------------------------------------------------------------------ questions

    def stage_queries(self):
        for turn in range(1, self.rounds + 1):
            for system in self.systems:
                self.steps.run(f"warm/{turn}/{system.name}", lambda: self.ask_warm(system))

    def ask_warm(self, system):
        with self.open(system) as session:
            out = {name: session.ask(name, WARM_REPEATS, WARM_SECONDS) for name in questions.NAMES}
            out["peak_mib"] = session.peak_mib()
        return out

    def stage_cold(self):
        for turn in range(1, self.rounds + 1):
            for system in self.systems:
                self.steps.run(f"cold/{turn}/{system.name}", lambda: self.ask_cold(system))

    def ask_cold(self, system):
        out = {}
        for name in questions.NAMES:
            system.forget(self.home(system))
            with self.open(system) as session:
                out[name] = session.ask(name, 0, 0)["first_ms"]
        return out

    # ------------------------------------------------------------------ appends while it is asked

    def stage_latency(self):
        for mode in ("durable", "os"):
            for system in self.stores():
                if mode in system.modes and system.counted_as_peer:
                    self.steps.run(f"latency/{mode}/{system.name}", lambda: self.latency(system, mode))
        for turn in range(2, LATENCY_TURNS + 1) if self.tally in self.stores() else ():
            self.steps.run(f"latency/turns/{turn}/{self.tally.name}", lambda: self.latency(self.tally, "durable"))

    def latency(self, system, mode):
        scratch = self.place(system, "scratch")
        system.copy(self.home(system), scratch)
        os.sync()
        with system.open(scratch, self.data, mode) as session:
            out = latency.measure(session, LATENCY_SECONDS, os.path.join(self.work, "probe"))
        system.drop(scratch)
        return out

    # ------------------------------------------------------------------ what is asked of Tally alone

    def stage_tally(self):
        self.steps.run("tally/memory", self.memory)
        self.steps.run("tally/restart", self.restart)

    def memory(self):
        """Peak of the server while all events come in and the twelve questions are asked again and again."""
        scratch = self.place(self.tally, "scratch")
        out = self.tally.load(scratch, "csv", "durable", self.data, lambda server: self.tally.ask_on(server, self.data.users))
        self.tally.drop(scratch)
        return out

    def restart(self):
        """Seconds from the start of a server, after a kill -9 of the one before, until it says that it is ready: right after all events were
        acknowledged, with what is in memory; three times."""
        scratch = self.place(self.tally, "scratch")
        seconds = []
        for _ in range(3):
            self.tally.load(scratch, "csv", "durable", self.data, kill=True)
            server = self.tally.server(scratch)
            seconds.append(server.ready_seconds)
            server.stop()
        self.tally.drop(scratch)
        return {"ready_seconds": seconds}


def check_answers(systems, open_one):
    """All questions to all systems; raises Differ unless everybody says what the first one does. How many rows each answer has."""
    first, expected, rows = systems[0], {}, {}
    for system in systems:
        with open_one(system) as session:
            for question in questions.QUESTIONS:
                said = answers.canonical(question, session.answer(question.name))
                if system is first:
                    expected[question.name], rows[question.name] = said, len(said)
                else:
                    answers.compare(question, first.name, expected[question.name], system.name, said)
    return {"rows": rows, "systems": [s.name for s in systems]}
