"""PostgreSQL 15: a private cluster on loopback, with the seed's schema, and a second variant of it.

The seed's schema: usage_events by monthly partitions, with indexes on user_id, timestamp and service_name. Of its `id SERIAL PRIMARY KEY` the
id stays; the key would have to hold the timestamp in a partitioned table and would be a fourth index, so it is left out, which favours
PostgreSQL. The variant: BRIN on timestamp, one B-tree on (user_id, timestamp), and a daily materialised view that answers Q1, Q2, Q7, Q12.
"""
import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import threading
import time

import measure
from comparison import answers, arrivals, libpq, questions
from comparison.system import Session, System, timed

TABLE = """CREATE TABLE usage_events (id BIGINT GENERATED ALWAYS AS IDENTITY, user_id VARCHAR(255), service_name VARCHAR(100), endpoint VARCHAR(255),
 method VARCHAR(10), request_size INTEGER, response_size INTEGER, duration_ms INTEGER, status_code INTEGER, tokens_used INTEGER, cost DECIMAL(10,4),
 timestamp TIMESTAMP DEFAULT NOW(), metadata JSONB) PARTITION BY RANGE (timestamp);"""
INDEXES = """CREATE INDEX idx_usage_events_user_id ON usage_events(user_id);
CREATE INDEX idx_usage_events_timestamp ON usage_events(timestamp);
CREATE INDEX idx_usage_events_service ON usage_events(service_name);"""
INDEXES_BRIN = """CREATE INDEX idx_usage_events_timestamp ON usage_events USING brin(timestamp);
CREATE INDEX idx_usage_events_user ON usage_events(user_id, timestamp);"""
VIEW = """CREATE MATERIALIZED VIEW usage_daily AS SELECT date_trunc('day', timestamp) AS day, service_name, endpoint, count(*) AS events,
 sum(tokens_used) AS tokens, sum(cost) AS cost, sum(duration_ms) AS duration, max(duration_ms) AS longest,
 count(*) FILTER (WHERE status_code >= 400) AS errors FROM usage_events GROUP BY 1, 2, 3"""
CANONICAL = """to_char(timestamp, 'YYYY-MM-DD HH24:MI:SS.US'), user_id, service_name, endpoint, method, request_size, response_size, duration_ms,
 status_code, tokens_used, cost, '{"region":"' || (metadata->>'region') || '","req":"' || (metadata->>'req') || '"}'"""
MODES = {"durable": {"fsync": "on", "synchronous_commit": "on"}, "os": {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}}


def memory_mib():
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20


def settings():
    """A quarter of the machine to buffers; long checkpoints; parallel queries; no replication, so that new tables need no WAL."""
    return {"shared_buffers": f"{min(4096, memory_mib() // 4)}MB", "effective_cache_size": f"{memory_mib() * 3 // 4}MB",
            "work_mem": "256MB", "maintenance_work_mem": "1GB", "max_wal_size": "16GB", "checkpoint_timeout": "30min", "wal_level": "minimal",
            "max_wal_senders": "0", "wal_compression": "lz4", "random_page_cost": "1.1", "effective_io_concurrency": "200",
            "max_parallel_workers_per_gather": "2", "enable_partitionwise_aggregate": "on", "listen_addresses": "127.0.0.1"}


class Cluster:
    """One data directory, started when it is needed, in the mode that is needed."""

    def __init__(self, folder):
        self.programs = libpq.folder_of_programs()
        self.folder, self.data = folder, os.path.join(folder, "data")
        self.process, self.mode, self.port = None, None, None
        # initdb and postgres refuse to be root.
        self.user = next((p for p in ("postgres", "nobody") if any(u.pw_name == p for u in pwd.getpwall())), None) if os.getuid() == 0 else None

    def owner(self):
        if not self.user:
            return {}
        known = pwd.getpwnam(self.user)
        return {"user": known.pw_uid, "group": known.pw_gid, "extra_groups": []}

    def program(self, name):
        return os.path.join(self.programs, name)

    def make(self):
        if os.path.exists(os.path.join(self.data, "PG_VERSION")):
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder)
        if self.user:
            shutil.chown(self.folder, self.user)
        measure.run([self.program("initdb"), "-D", self.data, "-U", "compare", "--auth=trust", "--encoding=UTF8", "--locale=C"],
                    cwd=self.folder, **self.owner())

    def start(self, mode):
        if self.process and self.mode == mode:
            return
        self.stop()
        self.make()
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        words = {**settings(), **MODES[mode], "port": str(self.port), "unix_socket_directories": self.folder}
        log = open(os.path.join(self.folder, "log"), "ab")
        self.process = measure.start([self.program("postgres"), "-D", self.data, *(w for k, v in words.items() for w in ("-c", f"{k}={v}"))],
                                        cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **self.owner())
        log.close()
        self.mode = mode
        for _ in range(600):
            try:
                self.connect("postgres").close()
                return
            except libpq.Failed:
                if self.process.poll() is not None:
                    break
                time.sleep(0.05)
        measure.give_up(f"PostgreSQL did not start: see {os.path.join(self.folder, 'log')}")

    def connect(self, database):
        return libpq.Connection(host="127.0.0.1", port=self.port, user="compare", dbname=database, options="-c client_min_messages=warning")

    def psql(self, database, *words):
        return [self.program("psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(self.port), "-U", "compare", "-d", database, *words]

    def processes(self):
        """The postmaster and what it has forked."""
        found = [self.process.pid]
        for entry in os.listdir("/proc"):
            try:
                if entry.isdigit() and int(measure.stat_fields(entry)[1]) == self.process.pid:
                    found.append(int(entry))
            except (FileNotFoundError, ProcessLookupError):
                pass
        return found

    def sum_of(self, measured):
        total = 0
        for pid in self.processes():
            try:
                total += measured(pid)
            except (FileNotFoundError, ProcessLookupError, PermissionError, AttributeError):
                pass
        return total

    def processor_seconds(self):
        return self.sum_of(lambda pid: measure.processor_seconds(pid, children=pid == self.process.pid))

    def memory_mib(self):
        """Memory of all processes, what they share counted once."""
        return self.sum_of(lambda pid: measure.proportional_mib(pid))

    def stop(self):
        if self.process:
            self.process.send_signal(signal.SIGINT)  # fast shutdown, with a checkpoint
            self.process.wait(600)
        self.process = self.mode = None


class Peak(threading.Thread):
    """The most that a cluster's processes have taken together, looked at ten times a second."""

    def __init__(self, cluster):
        super().__init__(daemon=True)
        self.cluster, self.ended, self.most = cluster, threading.Event(), cluster.memory_mib()

    def run(self):
        while not self.ended.wait(0.1):
            self.most = max(self.most, self.cluster.memory_mib())

    def stop(self):
        self.ended.set()
        self.join()
        return self.most


class Postgres(System):
    name, label = "postgres", "PostgreSQL 15"
    indexes, view = INDEXES, False
    tuning = ("monthly partitions, B-trees on user_id, timestamp and service_name (the seed's), no primary key (favours it); "
              + ", ".join(f"{k}={v}" for k, v in settings().items() if k not in ("listen_addresses", "shared_buffers", "effective_cache_size"))
              + ", shared_buffers a quarter of the memory up to 4 GB, effective_cache_size three quarters; durable: fsync and"
              " synchronous_commit on; OS-buffered: fsync and full_page_writes off; VACUUM ANALYZE before it is asked")
    native = "COPY of the binary format into tables made in the same transaction (so without WAL), indexes built afterwards"

    def __init__(self, cluster):
        self.cluster = cluster

    def version(self):
        return measure.run([self.cluster.program("postgres"), "--version"])[0].split()[2]

    def database(self, place):
        return f"{self.name}_{os.path.basename(os.path.dirname(place))}_{os.path.basename(place)}"

    def schema(self, data):
        months = [(2024 + n // 12, n % 12 + 1) for n in range(data.days // 28 + 2)]
        parts = [f"CREATE TABLE usage_events_{y}_{m:02} PARTITION OF usage_events FOR VALUES FROM ('{y}-{m:02}-01') TO ('{y + m // 12}-{m % 12 + 1:02}-01');"
                 for y, m in months]
        return "\n".join([TABLE, *parts])

    def fresh(self, place):
        connection = self.cluster.connect("postgres")
        connection.run(f"DROP DATABASE IF EXISTS {self.database(place)}")
        connection.run(f"CREATE DATABASE {self.database(place)}")
        connection.close()

    def binary(self, data):
        return os.path.join(data.folder, "events.pgcopy")

    def prepare(self, place, data):
        if os.path.exists(self.binary(data)):
            return
        self.cluster.start("durable")
        part = self.binary(data) + ".part"
        measure.run(self.cluster.psql(self.database(place), "-c", f"\\copy (SELECT {', '.join(questions.COLUMNS)} FROM usage_events)"
                                      f" TO '{part}' WITH (FORMAT binary)"))
        os.replace(part, self.binary(data))

    def copy_words(self, way, data):
        what = ("CSV", data.csv, "FORMAT csv, HEADER") if way == "csv" else ("binary", self.binary(data), "FORMAT binary")
        return f"\\copy usage_events({', '.join(questions.COLUMNS)}) FROM '{what[1]}' WITH ({what[2]})"

    def load(self, place, way, mode, data):
        self.cluster.start(mode)
        self.fresh(place)
        database = self.database(place)
        connection = self.cluster.connect(database)
        if way == "csv":
            connection.run(self.schema(data) + self.indexes)
            command = self.cluster.psql(database, "-c", self.copy_words(way, data))
        else:
            words = [self.schema(data), self.copy_words(way, data), self.indexes]
            command = self.cluster.psql(database, "-1", *(w for text in words for w in ("-c", text)))
        connection.run("CHECKPOINT")
        os.sync()
        before, peak = self.cluster.processor_seconds(), Peak(self.cluster)
        peak.start()
        _, seconds, client = measure.run(command)
        figures = {"seconds": seconds, "client_processor_seconds": client, "processor_seconds": client + self.cluster.processor_seconds() - before}
        start = time.monotonic()
        if self.view:
            connection.run(VIEW)
            figures["view_seconds"] = time.monotonic() - start
        connection.run("VACUUM ANALYZE")
        connection.run("CHECKPOINT")
        figures["settle_seconds"] = time.monotonic() - start
        figures["peak_mib"] = figures["peak_mib_settled"] = peak.stop()
        figures["processor_seconds_settled"] = client + self.cluster.processor_seconds() - before
        figures["bytes"], figures["bytes_kind"] = int(connection.rows("SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c JOIN pg_namespace n"
                                                                     " ON n.oid = relnamespace WHERE relkind IN ('r', 'm') AND nspname = 'public'")[0][0]), \
            "tables, indexes, maps and the view; without WAL and the system's tables"
        connection.close()
        self.cluster.stop()
        return figures

    def open(self, place, data, mode="durable"):
        self.cluster.start(mode)
        return PostgresSession(self, place, data)

    def drop(self, place):
        self.cluster.start("durable")
        connection = self.cluster.connect("postgres")
        connection.run(f"DROP DATABASE IF EXISTS {self.database(place)}")
        connection.close()
        self.cluster.stop()

    def copy(self, place, to):
        self.cluster.start("durable")
        connection = self.cluster.connect("postgres")
        connection.run(f"DROP DATABASE IF EXISTS {self.database(to)}")
        connection.run(f"CREATE DATABASE {self.database(to)} TEMPLATE {self.database(place)} STRATEGY file_copy")
        connection.close()
        self.cluster.stop()

    def forget(self, place):
        self.cluster.stop()
        measure.forget_pages(self.cluster.data)

    def shut(self):
        self.cluster.stop()


class PostgresBrin(Postgres):
    name, label = "postgres_view", "PostgreSQL 15, BRIN and daily view"
    indexes, view = INDEXES_BRIN, True
    ways, modes, counted_as_peer = ("csv",), ("durable",), False
    tuning = ("the same, with BRIN on timestamp, a B-tree on (user_id, timestamp), and a materialised view by day, service and endpoint, which answers"
              " Q1, Q2, Q7 and Q12; it is made once, and stale from the next event on")


class PostgresSession(Session):
    def __init__(self, system, place, data):
        self.system, self.cluster, self.data, self.users = system, system.cluster, data, data.users
        self.database = system.database(place)
        self.connection, self.connections = self.cluster.connect(self.database), []
        self.peak = Peak(self.cluster)
        self.peak.start()

    def sql(self, name):
        question = next(q for q in questions.QUESTIONS if q.name == name)
        return questions.sql(question, "postgres", self.users, self.system.view)

    def ask(self, name, repeats, seconds):
        text = self.sql(name)
        return timed(lambda: self.connection.run(text), repeats, seconds)

    def answer(self, name):
        return self.connection.rows(self.sql(name))

    def lines(self, days):
        where = "" if days is None else "WHERE date_trunc('day', timestamp) IN (" + ", ".join(f"'{d}'" for d in days) + ")"
        # Metadata with other keys than the two would be lost in CANONICAL, so there must be none.
        odd = self.connection.rows(f"SELECT count(*) FROM usage_events {where or 'WHERE true'} AND metadata - 'region' - 'req' <> '{{}}'")[0][0]
        if odd != "0":
            raise answers.Differ(f"{self.system.name}: {odd} rows have metadata with other keys")
        with subprocess.Popen(self.cluster.psql(self.database, "-c", f"COPY (SELECT {CANONICAL} FROM usage_events {where}) TO STDOUT"),
                              stdout=subprocess.PIPE, text=True) as copy:
            for line in copy.stdout:
                yield answers.canonical_line(line.rstrip("\n").split("\t"))
        if copy.returncode:
            measure.give_up("COPY TO failed")

    def appender(self, number):
        connection = self.cluster.connect(self.database)
        self.connections.append(connection)
        pieces = arrivals.pieces(self.data.csv)
        turn = itertools.count(number)
        words = f"COPY usage_events({', '.join(questions.COLUMNS)}) FROM STDIN WITH (FORMAT csv)"
        return lambda: connection.copy_in(words, pieces[next(turn) % len(pieces)])

    def peak_mib(self):
        return self.peak.most

    def close(self):
        self.peak.stop()
        for connection in [self.connection, *self.connections]:
            connection.close()
        self.cluster.stop()
