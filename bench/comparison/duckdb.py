"""DuckDB, through @duckdb/node-api."""
import os

from comparison.in_process import InProcess

PACKAGE = "@duckdb/node-api@1.5.6-r.1"
TABLE = """CREATE TABLE usage_events (timestamp TIMESTAMP, user_id VARCHAR, service_name VARCHAR, endpoint VARCHAR, method VARCHAR,
 request_size INTEGER, response_size INTEGER, duration_ms INTEGER, status_code INTEGER, tokens_used INTEGER, cost DECIMAL(10,4), metadata VARCHAR)"""


class DuckDB(InProcess):
    name, label, engine, dialect = "duckdb", "DuckDB", "duckdb", "duckdb"
    modes = ("durable",)  # it always syncs what it commits
    tuning = "rows in order of arrival, so that its zone maps serve ranges of time; as many threads as cores; metadata as VARCHAR; CHECKPOINT counts as settling"
    native = "INSERT … SELECT from another database file that is attached, so column to column"

    def version(self):
        return self.packages.version("@duckdb/node-api")

    def path(self, place):
        return os.path.join(place, "events.duckdb")

    def create(self, mode, data):
        return [TABLE]

    def insert(self, way, data, kept):
        if way == "csv":
            return [f"COPY usage_events FROM '{data.csv}' (FORMAT csv, HEADER, NULLSTR '', TIMESTAMPFORMAT '%Y-%m-%dT%H:%M:%S.%fZ')"]
        return [f"ATTACH '{self.path(kept)}' AS kept (READ_ONLY)", "INSERT INTO usage_events SELECT * FROM kept.usage_events", "DETACH kept"]

    def settle(self):
        return ["CHECKPOINT"]

    def bytes_of(self, driver, place):
        files = [os.path.join(place, name) for name in os.listdir(place)]
        return {"bytes": sum(os.path.getsize(f) for f in files), "bytes_kind": "the database file and its WAL"}

    def pool(self, mode):
        return ["CREATE OR REPLACE TABLE pool AS SELECT * FROM usage_events LIMIT 1000"]

    def export(self, path, where):
        return (f"COPY (SELECT strftime(timestamp, '%Y-%m-%d %H:%M:%S.%f'), * EXCLUDE (timestamp) FROM usage_events {where}) TO '{path}'"
                " (FORMAT csv, DELIMITER '\t', HEADER false, QUOTE '', ESCAPE '', NULLSTR '\\N')")
