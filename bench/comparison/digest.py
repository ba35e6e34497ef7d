"""From the results of all steps at one scale to the figures that the report shows: medians, and least and most."""
from comparison import figures, questions


def parts(everything, prefix):
    """{rest of the key: result} of the steps below a prefix: turn after turn, and systems in their order of the comparison."""
    order = {name: i for i, name in enumerate(everything["meta"]["result"]["systems"])}
    keys = [key for key in everything if key.startswith(prefix)]
    keys.sort(key=lambda key: (order.get(key.rpartition("/")[2], len(order)), key))
    return {key[len(prefix):]: everything[key]["result"] for key in keys}


def digest(everything):
    meta = everything["meta"]["result"]
    busy = figures.summary([kept["busy_before"] for kept in everything.values()])
    took = {}
    for key, kept in everything.items():
        stage = key.partition("/")[0]
        took[stage] = took.get(stage, 0) + kept["took_seconds"]
    whens = sorted(kept["at"] for kept in everything.values())
    return {"rows": meta["rows"], "days": meta["days"], "machine": meta["machine"], "tallyd": meta["tallyd"], "systems": meta["systems"],
            "from": whens[0], "until": whens[-1], "busy_cores": busy, "took_seconds": took, "checked": checked(everything), "load": loads(everything, meta["rows"]),
            "warm": warm(everything), "cold": cold(everything),
            "peak_asked_mib": {name: figures.summary(values) for name, values in gather(everything, "warm/", lambda r: r["peak_mib"]).items()},
            "latency": latency(everything), "latency_turns": latency_turns(everything), "memory": everything.get("tally/memory", {}).get("result"),
            "restart": everything.get("tally/restart", {}).get("result"), "csv_bytes": everything["data/generate"]["result"]["bytes"]}


def checked(everything):
    """Nothing is reported that was not proved: None without the proofs."""
    if "check/answers" not in everything:
        return None
    return {"rows": {name: r["hash"] for name, r in parts(everything, "check/rows/").items()}, "compared": everything["check/rows/csv"]["result"]["rows"],
            "answers": everything["check/answers"]["result"]}


def gather(everything, prefix, value):
    """{system: [value of each turn]}; keys are prefix + turn + "/" + system."""
    out = {}
    for key, result in parts(everything, prefix).items():
        out.setdefault(key.split("/")[-1], []).append(value(result))
    return out


LOADED = {"events_per_second": lambda r, n: n / r["seconds"], "processor_seconds_per_million": lambda r, n: r["processor_seconds"] / n * 1e6,
          "processor_seconds_per_million_settled": lambda r, n: r["processor_seconds_settled"] / n * 1e6, "settle_seconds": lambda r, n: r["settle_seconds"],
          "peak_mib": lambda r, n: r["peak_mib_settled"], "bytes_per_event": lambda r, n: r["bytes"] / n, "disk_mb_per_second": lambda r, n: r["disk_mb_per_second"],
          "bytes_written_per_event": lambda r, n: r["bytes_written"] / n if "bytes_written" in r else None,
          "wire_bytes_per_event": lambda r, n: r.get("wire_bytes_per_event")}


def loads(everything, rows):
    """{"mode/way": {system: {figure: summary, "bytes_kind"}}}."""
    out = {}
    for mode in ("durable", "os"):
        for way in ("csv", "native"):
            turns = gather(everything, f"load/{mode}/{way}/", lambda r: r)
            for system, results in turns.items():
                kept = {"bytes_kind": results[0]["bytes_kind"]}
                for name, value in LOADED.items():
                    values = [v for v in (value(r, rows) for r in results) if v is not None]
                    if values:
                        kept[name] = figures.summary(values)
                out.setdefault(f"{mode}/{way}", {})[system] = kept
    return out


def warm(everything):
    """{system: {question: summary in ms}}: of each round the median of its times counts."""
    return {system: {name: figures.summary([figures.median(r[name]["times_ms"]) for r in rounds]) for name in questions.NAMES}
            for system, rounds in gather(everything, "warm/", lambda r: r).items()}


def cold(everything):
    return {system: {name: figures.summary([r[name] for r in rounds]) for name in questions.NAMES}
            for system, rounds in gather(everything, "cold/", lambda r: r).items()}


def latency(everything):
    out = {}
    for mode in ("durable", "os"):
        found = parts(everything, f"latency/{mode}/")
        if found:
            out[mode] = found
    return out


def latency_turns(everything):
    """Levels of durable Tally, turn after turn; the first is the one that stands beside the others' ones."""
    first = everything.get("latency/durable/tally")
    return [first["result"], *parts(everything, "latency/turns/").values()] if first else []


def peers(d):
    """Systems that Tally is measured against: those that answer from rows."""
    return [name for name, s in d["systems"].items() if s["peer"] and not name.startswith("tally")]


def best_peer(d, name, kind="warm"):
    """(system, median ms) of the fastest peer on a question; None without peers."""
    asked = [(d[kind][p][name]["median"], p) for p in peers(d) if p in d[kind]]
    if not asked:
        return None
    ms, system = min(asked)
    return system, ms


def speed_ups(d, system="tally", kind="warm", names=tuple(questions.TWELVE)):
    """{question: how many times faster than the best peer}."""
    if system not in d[kind]:
        return {}
    return {name: best_peer(d, name, kind)[1] / d[kind][system][name]["median"] for name in names if best_peer(d, name, kind)}
