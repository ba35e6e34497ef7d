"""What the project asks of Tally (issue 5), line by line: met, missed, or not measured, each with its figure.

A line that is asked at a scale which was not measured is judged at the largest that was, and says so.
"""
from dataclasses import dataclass

from comparison import digest, figures, questions

# Milliseconds at 10,000,000 rows that TimescaleDB 2.22 and PostgreSQL 15 were measured with beside each other: TimescaleDB is not
# part of this comparison, so its time is taken as PostgreSQL's of this run by that ratio. Which user those times are of is not known;
# PostgreSQL's are far from what an ordinary one takes here.
TIMESCALE = {"Q4": (4.2, 580.0), "Q10": (4.3, 28.0)}


@dataclass
class Verdict:
    what: str
    reach: str
    figure: str = "not measured"
    met: bool | None = None
    scale: int | None = None


def judge(what, reach, scale, value, limit, unit, least=True, more=""):
    met = value >= limit if least else value <= limit
    return Verdict(what, reach, f"{value:.3g}{unit}{more}", met, scale)


def pick(digests, wanted, usable):
    """The digest of the scale that is asked for, or of the largest one below or else above it that can say something."""
    able = sorted((d for d in digests if usable(d)), key=lambda d: d["rows"])
    below = [d for d in able if d["rows"] <= wanted]
    return below[-1] if below else able[0] if able else None


def loaded(d, key, system, figure="events_per_second"):
    found = d["load"].get(key, {}).get(system, {}).get(figure)
    return found["median"] if found else None


def csv_lines(digests):
    out = []
    for peer, label, limit, keys in (("postgres", "PostgreSQL COPY", 35, ["durable/csv"]), ("clickhouse", "ClickHouse's CSV load, the faster of its modes", 4, ["durable/csv", "os/csv"])):
        what, reach = f"CSV to durable and queryable over TCP, against {label}", f"at least {limit} x"
        d = pick(digests, 10_000_000, lambda d: loaded(d, "durable/csv", "tally") and loaded(d, "durable/csv", peer))
        if not d:
            out.append(Verdict(what, reach))
            continue
        ours, theirs = loaded(d, "durable/csv", "tally"), max(filter(None, (loaded(d, k, peer) for k in keys)))
        out.append(judge(what, reach, d["rows"], ours / theirs, limit, " x", more=f" ({ours / 1e6:.3g} M/s to {theirs / 1e6:.3g} M/s)"))
    return out


def ready_batches(digests):
    what, reach = "ready batches to durable over TCP", "at least 7 M events/s, or 0.8 x disk MB/s / bytes written an event"
    d = pick(digests, 10_000_000, lambda d: loaded(d, "durable/native", "tally"))
    if not d:
        return Verdict(what, reach)
    ours = loaded(d, "durable/native", "tally")
    disk, written = loaded(d, "durable/native", "tally", "disk_mb_per_second"), loaded(d, "durable/native", "tally", "bytes_written_per_event")
    limit = min(7e6, 0.8 * disk * 1e6 / written)
    return judge(what, reach, d["rows"], ours / 1e6, limit / 1e6, " M/s", more=f" (asked: {limit / 1e6:.3g} M/s, with {disk:.0f} MB/s and {written:.1f} bytes)")


def size(digests):
    what, reach = "bytes an event, everything included, after settling", "at most 14.5"
    d = pick(digests, 10_000_000, lambda d: loaded(d, "durable/csv", "tally"))
    return judge(what, reach, d["rows"], loaded(d, "durable/csv", "tally", "bytes_per_event"), 14.5, "", least=False) if d else Verdict(what, reach)


def each_and_mean(d, what, names):
    """The worst of the questions against the best peer, and the geometric mean of all."""
    each, mean = f"each of {what} over TCP, warm, against the best peer", f"{what}, the geometric mean"
    if not d:
        return [Verdict(each, "at least 3 x"), Verdict(mean, "at least 25 x")]
    ratios = digest.speed_ups(d, names=names)
    short = {name: r for name, r in ratios.items() if r < 3}
    least = min(ratios, key=ratios.get)
    more = f" ({least})" + (f"; below 3: {', '.join(f'{n} {r:.2g} x' for n, r in short.items())}" if short else "")
    return [judge(each, "at least 3 x", d["rows"], ratios[least], 3, " x", more=more),
            judge(mean, "at least 25 x", d["rows"], figures.geometric_mean(list(ratios.values())), 25, " x")]


def against_timescale(d, name, like):
    """`name` asks as `like` does, whose times are known of both."""
    what, reach = f"{name} against TimescaleDB's share of PostgreSQL's time", "at least 3 x"
    if not d or "postgres" not in d["warm"]:
        return Verdict(what, reach)
    timescale, postgres = TIMESCALE[like]
    theirs, ours = d["warm"]["postgres"][name]["median"] * timescale / postgres, d["warm"]["tally"][name]["median"]
    return judge(what, reach, d["rows"], theirs / ours, 3, " x", more=f" ({ours:.3g} ms to {theirs:.3g} ms)")


def question_lines(digests):
    raw = "Q1-Q12 with --no-rollups, the geometric mean"
    d = pick(digests, 10_000_000, digest.speed_ups)
    out = each_and_mean(d, "Q1-Q12", questions.TWELVE)
    out += each_and_mean(d, f"Q1-Q12 with {' and '.join(questions.HEAVY.values())} for {' and '.join(questions.HEAVY)}", questions.HEAVIER)
    out += [against_timescale(d, name, name) for name in TIMESCALE] + [against_timescale(d, heavy, name) for name, heavy in questions.HEAVY.items()]
    rows = digest.speed_ups(d, "tally_rows") if d else None
    out.append(judge(raw, "at least 8 x", d["rows"], figures.geometric_mean(list(rows.values())), 8, " x") if rows else Verdict(raw, "at least 8 x"))
    return out


def wire(digests):
    what, reach = "a ready batch of 16 K events on the wire, bytes an event", "at most 24"
    d = pick(digests, 10_000_000, lambda d: loaded(d, "durable/native", "tally"))
    return judge(what, reach, d["rows"], loaded(d, "durable/native", "tally", "wire_bytes_per_event"), 24, "", least=False) if d else Verdict(what, reach)


def growth(digests):
    what, reach = "Q1, Q3, Q5 at 100 M against 10 M", "time grows at most 2 x"
    by_rows = {d["rows"]: d for d in digests if "tally" in d["warm"]}
    if not {10_000_000, 100_000_000} <= set(by_rows):
        return Verdict(what, reach)
    grown = {n: by_rows[100_000_000]["warm"]["tally"][n]["median"] / by_rows[10_000_000]["warm"]["tally"][n]["median"] for n in ("Q1", "Q3", "Q5")}
    return judge(what, reach, 100_000_000, max(grown.values()), 2, " x", least=False, more=f" ({', '.join(f'{n} {g:.2g} x' for n, g in grown.items())})")


def memory(digests):
    what, reach = "server's peak memory while all events come in and Q1-Q12 run", "at most 512 MiB"
    d = pick(digests, 100_000_000, lambda d: d["memory"])
    return judge(what, reach, d["rows"], d["memory"]["peak_mib_settled"], 512, " MiB", least=False) if d else Verdict(what, reach)


def restart(digests):
    what, reach = "restart after kill -9, until ready", "at most 2 s"
    d = pick(digests, 100_000_000, lambda d: d["restart"])
    return judge(what, reach, d["rows"], max(d["restart"]["ready_seconds"]), 2, " s", least=False, more=" (the slowest)") if d else Verdict(what, reach)


def append_latency(digests):
    what, reach = "p99 of a durable 1,000-event append at 50 % of saturation", "at most 3 x fdatasync's of 64 KB beside it"
    d = pick(digests, 10_000_000, lambda d: d["latency_turns"])
    if not d:
        return Verdict(what, reach)
    ours, disk = ([turn["50%"][of]["p99_ms"] for turn in d["latency_turns"]] for of in ("append", "fdatasync"))
    ratios = figures.summary([a / b for a, b in zip(ours, disk)])
    more = f" (median of {len(ours)}, {ratios['least']:.3g} - {ratios['most']:.3g}: " + ", ".join(f"{a:.3g} ms to {b:.3g} ms" for a, b in zip(ours, disk)) + ")"
    return judge(what, reach, d["rows"], ratios["median"], 3, " x", least=False, more=more)


def all_of(digests):
    return [*csv_lines(digests), ready_batches(digests), size(digests), *question_lines(digests), wire(digests), growth(digests), memory(digests),
            restart(digests), append_latency(digests)]
