"""The twelve questions in the words of each peer, with what their answers consist of; those that ask for "one user" a second time, of the
heaviest instead of an ordinary one: an index makes the latter cheap for everybody.

Tally's requests are those of bench_ask, under the same names; answers.py proves that all of them ask the same. A question's SQL is one
text with words in braces for what the dialects say differently.
"""
from dataclasses import dataclass

MONTH = "timestamp >= '2024-02-01' AND timestamp < '2024-03-01'"
DAY = "timestamp >= '2024-02-14' AND timestamp < '2024-02-15'"
MONTHS = "timestamp >= '2024-01-01' AND timestamp < '2024-04-01'"
COLUMNS = ("timestamp", "user_id", "service_name", "endpoint", "method", "request_size", "response_size", "duration_ms", "status_code",
           "tokens_used", "cost", "metadata")
EVENT = "time text text text text integer integer integer integer integer decimal json"
SUMS = "count(*), sum(tokens_used), sum(cost)"

# The same thing in three dialects. ClickHouse's quantileExact takes the value at floor(level * n) counted from 0; a level that is smaller
# by a hair makes that the nearest rank, ceil(level * n) counted from 1, which is what the others give. Sums of its Decimal and integer
# types are exact already.
DIALECTS = {
    "postgres": {
        "day": "date_trunc('day', timestamp)", "hour": "date_trunc('hour', timestamp)",
        "five_minutes": "date_bin('5 minutes', timestamp, timestamp '2024-01-01')",
        "rank": lambda level: f"percentile_disc({level}) WITHIN GROUP (ORDER BY duration_ms)",
        "errors": "count(*) FILTER (WHERE status_code >= 400)", "error_rate": "avg((status_code >= 400)::int)",
        "distinct": "count(DISTINCT user_id)"},
    "duckdb": {
        "day": "date_trunc('day', timestamp)", "hour": "date_trunc('hour', timestamp)",
        "five_minutes": "time_bucket(INTERVAL '5 minutes', timestamp, timestamp '2024-01-01')",
        "rank": lambda level: f"quantile_disc(duration_ms, {level})",
        "errors": "count(*) FILTER (WHERE status_code >= 400)", "error_rate": "avg((status_code >= 400)::int)",
        "distinct": "count(DISTINCT user_id)"},
    "clickhouse": {
        "day": "toStartOfDay(timestamp)", "hour": "toStartOfHour(timestamp)", "five_minutes": "toStartOfFiveMinutes(timestamp)",
        "rank": lambda level: f"quantileExact({level - 1e-9:.9f})(duration_ms)",
        "errors": "countIf(status_code >= 400)", "error_rate": "avg(status_code >= 400)", "distinct": "uniqExact(user_id)"},
}


@dataclass(frozen=True)
class Question:
    name: str
    what: str
    kinds: str  # of the answer's columns, in order: time, text, integer, decimal, real, json
    sql: str
    view: str = ""  # the same from PostgreSQL's daily materialised view, where that can answer
    heavier: str = ""  # it is that question of the heaviest user


def week_of(user):
    return (f"SELECT {{hour}} AS h, {SUMS} FROM usage_events WHERE timestamp >= '2024-02-08' AND timestamp < '2024-02-15'"
            f" AND user_id = '{{{user}}}' GROUP BY h ORDER BY h")


def latest_of(user):
    return f"SELECT {', '.join(COLUMNS)} FROM usage_events WHERE user_id = '{{{user}}}' ORDER BY timestamp DESC LIMIT 100"


QUESTIONS = [
    Question("Q1", "month: count, sums, average duration, error rate", "integer integer decimal real real",
             f"SELECT {SUMS}, avg(duration_ms), {{error_rate}} FROM usage_events WHERE {MONTH}",
             "SELECT sum(events), sum(tokens), sum(cost), sum(duration) / sum(events), sum(errors) / sum(events) FROM usage_daily"
             " WHERE day >= '2024-02-01' AND day < '2024-03-01'"),
    Question("Q2", "service x day, three months: count, sums", "time text integer integer decimal",
             f"SELECT {{day}} AS d, service_name, {SUMS} FROM usage_events WHERE {MONTHS} GROUP BY d, service_name ORDER BY d, service_name",
             "SELECT day, service_name, sum(events), sum(tokens), sum(cost) FROM usage_daily WHERE day >= '2024-01-01' AND day < '2024-04-01'"
             " GROUP BY day, service_name ORDER BY day, service_name"),
    Question("Q3", "the heaviest user, month, by service", "text integer integer decimal",
             f"SELECT service_name, {SUMS} FROM usage_events WHERE {MONTH} AND user_id = '{{heavy}}' GROUP BY service_name ORDER BY service_name"),
    Question("Q4", "one user, hourly, 7 days", "time integer integer decimal", week_of("ordinary")),
    Question("Q4h", "the heaviest user, hourly, 7 days", "time integer integer decimal", week_of("heavy"), heavier="Q4"),
    Question("Q5", "top 10 users by cost, month", "text decimal integer",
             f"SELECT user_id, sum(cost) AS c, count(*) FROM usage_events WHERE {MONTH} GROUP BY user_id ORDER BY c DESC, user_id LIMIT 10"),
    Question("Q6", "p50, p95, p99 of duration by service and hour, one day", "time text integer integer integer",
             "SELECT {hour} AS h, service_name, {p50}, {p95}, {p99} FROM usage_events"
             f" WHERE {DAY} GROUP BY h, service_name ORDER BY h, service_name"),
    Question("Q7", "errors by endpoint, one day", "text integer integer",
             f"SELECT endpoint, count(*), {{errors}} FROM usage_events WHERE {DAY} GROUP BY endpoint ORDER BY endpoint",
             "SELECT endpoint, sum(events), sum(errors) FROM usage_daily WHERE day = '2024-02-14' GROUP BY endpoint ORDER BY endpoint"),
    Question("Q8", "distinct users a day, three months", "time integer",
             f"SELECT {{day}} AS d, {{distinct}} FROM usage_events WHERE {MONTHS} GROUP BY d ORDER BY d"),
    Question("Q9", "service x user, month", "text text integer integer decimal",
             f"SELECT service_name, user_id, {SUMS} FROM usage_events WHERE {MONTH} GROUP BY service_name, user_id ORDER BY service_name, user_id"),
    Question("Q10", "latest 100 events of a user", EVENT, latest_of("ordinary")),
    Question("Q10h", "latest 100 events of the heaviest user", EVENT, latest_of("heavy"), heavier="Q10"),
    Question("Q11", "5xx of one service in 5-minute buckets, one day", "time integer",
             f"SELECT {{five_minutes}} AS b, count(*) FROM usage_events WHERE {DAY} AND service_name = 'chat' AND status_code >= 500"
             " GROUP BY b ORDER BY b"),
    Question("Q12", "everything: count, sums, max", "integer integer decimal integer",
             f"SELECT {SUMS}, max(duration_ms) FROM usage_events",
             "SELECT sum(events), sum(tokens), sum(cost), max(longest) FROM usage_daily"),
]
NAMES = [q.name for q in QUESTIONS]
TWELVE = [q.name for q in QUESTIONS if not q.heavier]
HEAVY = {q.heavier: q.name for q in QUESTIONS if q.heavier}
HEAVIER = [HEAVY.get(name, name) for name in TWELVE]  # the twelve with the heaviest user wherever one user is asked for


def sql(question, dialect, users, view=False):
    """users: {"heavy": …, "ordinary": …}; view: PostgreSQL's daily view where it can answer."""
    if view and question.view:
        return question.view
    words = dict(DIALECTS[dialect])
    rank = words.pop("rank")
    return question.sql.format(p50=rank(0.5), p95=rank(0.95), p99=rank(0.99), **words, **users)
