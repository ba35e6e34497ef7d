"""ClickHouse, through chdb: the whole engine in one process."""
import os

from comparison.in_process import InProcess

PACKAGE = "chdb@3.4.0"
COLUMNS = """timestamp DateTime64(6, 'UTC'), user_id String, service_name LowCardinality(String), endpoint LowCardinality(String),
 method LowCardinality(String), request_size Int32, response_size Int32, duration_ms Int32, status_code Int16, tokens_used Int32, cost Decimal(10, 4),
 metadata Nullable(String)"""
# What comes from a file: texts are made LowCardinality by the insertion.
STRUCTURE = COLUMNS.replace("LowCardinality(String)", "String").replace("\n", "").replace("'", "\\'")
SYNCED = ", fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_merge = 1"


class ClickHouse(InProcess):
    name, label, engine, dialect = "clickhouse", "ClickHouse (chdb)", "clickhouse", "clickhouse"
    tuning = ("MergeTree partitioned by month, ORDER BY (service_name, user_id, timestamp); LowCardinality for service, endpoint and method; as many"
              " threads as cores; no asynchronous inserts; durable: fsync_after_insert, fsync_part_directory and fsync after merges; OS-buffered: as it"
              " comes; OPTIMIZE TABLE FINAL counts as settling")
    native = "INSERT … SELECT from a file of its Native format: columns without compression"

    def version(self):
        return f"{self.packages.version('@chdb/lib-linux-x64-gnu') or '?'} (chdb {self.packages.version('chdb')})"

    def path(self, place):
        return os.path.join(place, "data")

    def attach(self, driver, place):
        driver.request("run", sql=["CREATE DATABASE IF NOT EXISTS b", "USE b"])

    def create(self, mode, data):
        synced = SYNCED if mode == "durable" else ""
        return [f"CREATE TABLE usage_events ({COLUMNS}) ENGINE = MergeTree PARTITION BY toYYYYMM(timestamp)"
                f" ORDER BY (service_name, user_id, timestamp) SETTINGS index_granularity = 8192{synced}"]

    def columns_file(self, data):
        return os.path.join(data.folder, "events.native")

    def prepare(self, place, data):
        if os.path.exists(self.columns_file(data)):
            return
        part = self.columns_file(data) + ".part"
        if os.path.exists(part):
            os.unlink(part)
        driver = self.start(place)
        driver.request("run", sql=[f"INSERT INTO FUNCTION file('{part}', 'Native', '{STRUCTURE}') SELECT * FROM usage_events"])
        driver.stop()
        os.replace(part, self.columns_file(data))

    def insert(self, way, data, kept):
        path, form = (data.csv, "CSVWithNames") if way == "csv" else (self.columns_file(data), "Native")
        return [f"INSERT INTO usage_events SELECT * FROM file('{path}', '{form}', '{STRUCTURE}') SETTINGS date_time_input_format = 'best_effort'"]

    def settle(self):
        return ["OPTIMIZE TABLE usage_events FINAL"]

    def bytes_of(self, driver, place):
        size = driver.request("rows", sql="SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND table = 'usage_events'")["rows"][0][0]
        return {"bytes": int(size), "bytes_kind": "active parts, after OPTIMIZE FINAL"}

    def pool(self, mode):
        synced = int(mode == "durable")
        return [f"ALTER TABLE usage_events MODIFY SETTING fsync_after_insert = {synced}, fsync_part_directory = {synced}",
                "CREATE TABLE IF NOT EXISTS pool ENGINE = Memory AS SELECT * FROM usage_events LIMIT 1000"]

    def export(self, path, where):
        return (f"INSERT INTO FUNCTION file('{path}', 'TSVRaw') SELECT toString(timestamp), user_id, service_name, endpoint, method, request_size,"
                f" response_size, duration_ms, status_code, tokens_used, toString(toDecimal64(cost, 4)), metadata FROM usage_events {where}")
