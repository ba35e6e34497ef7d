"""The report: everything in it is computed from the results of the steps; nothing is typed."""
import json
import os

from comparison import digest, figures, latency, plots, questions, verdicts
from comparison.run import LATENCY_SECONDS

MODES = {"durable": "durable", "os": "OS-buffered"}
WAYS = {"csv": "CSV", "native": "native"}
BUSY_CORES = 0.15  # of others, in the median, from which a run is not worth its figures


def number(v):
    return f"{v:,.0f}" if v >= 100 else f"{v:.3g}"


def millions(rows):
    return f"{rows // 1_000_000} M" if rows % 1_000_000 == 0 else f"{rows:,}"


def spread(s, scale=1.0):
    """median (least - most)"""
    if s["count"] == 1:
        return number(s["median"] * scale)
    return f"{number(s['median'] * scale)} ({number(s['least'] * scale)} - {number(s['most'] * scale)})"


def table(head, rows):
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *("| " + " | ".join(r) + " |" for r in rows), ""]


def labels(d):
    return {name: s["label"] for name, s in d["systems"].items()}


def verdict_table(found):
    words = {True: "met", False: "**missed**", None: "not measured"}
    rows = [[v.what, v.reach, v.figure, millions(v.scale) if v.scale else "", words[v.met]] for v in found]
    met, missed = sum(v.met is True for v in found), sum(v.met is False for v in found)
    return [f"{met} met, {missed} missed, {len(found) - met - missed} not measured.", "", *table(["what", "reach", "figure", "rows", ""], rows)]


def load_table(d):
    rows = []
    for key, systems in d["load"].items():
        mode, way = key.split("/")
        for name, s in systems.items():
            rows.append([f"{WAYS[way]}, {MODES[mode]}", labels(d)[name], spread(s["events_per_second"], 1e-6), spread(s["processor_seconds_per_million"]),
                         spread(s["processor_seconds_per_million_settled"]), spread(s["settle_seconds"]), number(s["peak_mib"]["most"]),
                         number(s["bytes_written_per_event"]["median"]) if "bytes_written_per_event" in s else "", spread(s["disk_mb_per_second"])])
    return table(["load", "system", "M events/s", "CPU s per M events", "with settling", "settling, s", "peak MiB", "bytes written an event", "disk before, MB/s"], rows)


def bytes_table(d):
    systems = d["load"].get("durable/csv", {})
    return table(["system", "bytes an event", "what counts"],
                 [[labels(d)[n], number(s["bytes_per_event"]["median"]), s["bytes_kind"]] for n, s in systems.items()])


def question_table(d, kind):
    asked = [n for n in d["systems"] if n in d[kind]]
    rows = []
    for q in questions.QUESTIONS:
        best = digest.best_peer(d, q.name, kind)
        ours = d[kind]["tally"][q.name]["median"]
        ratio = [f"{best[1] / ours:.3g} x ({labels(d)[best[0]]})"] if best else [""]
        rows.append([q.name, q.what] + [spread(d[kind][n][q.name]) + (" (view)" if n == "postgres_view" and q.view else "") for n in asked] + ratio)
    out = table(["", "question"] + [f"{labels(d)[n]}, ms" for n in asked] + ["best peer / Tally"], rows)
    for name in ("tally", "tally_rows"):
        for names, of in ((questions.TWELVE, ""), (questions.HEAVIER, f", with {' and '.join(questions.HEAVY.values())}")):
            ratios = digest.speed_ups(d, name, kind, names)
            if ratios:
                out.append(f"- {labels(d)[name]}{of}: {figures.geometric_mean(list(ratios.values())):.3g} times faster than the best peer in the geometric mean,"
                           f" {min(ratios.values()):.3g} times at least ({min(ratios, key=ratios.get)}).")
    if "postgres_view" in d[kind]:
        viewed = [q.name for q in questions.QUESTIONS if q.view]
        ratios = [d[kind]["postgres_view"][n]["median"] / d[kind]["tally"][n]["median"] for n in viewed]
        out.append(f"- Against the daily view on {', '.join(viewed)}, beside Tally's rollups: {figures.geometric_mean(ratios):.3g} times faster in the"
                   f" geometric mean, {min(ratios):.3g} times at least.")
    return out + [""]


def latency_table(d):
    rows = []
    for mode, systems in d["latency"].items():
        for name, levels in systems.items():
            for level, found in levels.items():
                append, sync = found["append"], found.get("fdatasync")
                rows.append([MODES[mode], labels(d)[name], level, number(found["appends_per_second"]), number(append["count"]), number(append["p50_ms"]), number(append["p99_ms"]),
                             number(append["p999_ms"]), number(found["question"]["p50_ms"]), number(found["question"]["p99_ms"]), number(sync["p99_ms"]) if sync else ""])
    return table(["mode", "system", "level", "appends/s", "appends", "p50 ms", "p99 ms", "p99.9 ms", "question p50", "question p99", "fdatasync p99"], rows)


def warning(digests):
    busy = [millions(d["rows"]) for d in digests if d["busy_cores"]["median"] > BUSY_CORES]
    if not busy:
        return []
    return [f"**The machine was not quiet at {', '.join(busy)}: other programs took processor and disk from what was timed. Rates and times of that run, and what is judged"
            " by them, say little; answers, bytes and processor seconds hold.**", ""]


def setup(d):
    m = d["machine"]
    out = [f"{m['cores']} cores of {m['processor']}, {m['memory_mib'] / 1024:.0f} GiB, Linux {m['kernel']}, {m['file_system']}. "
           f"Measured from {d['from']} to {d['until']} UTC; tallyd's SHA-256 begins with {d['tallyd'][:16]}."
           f" Right before a step, when nothing of the comparison ran, other programs used {d['busy_cores']['median']:.2f} cores in the median and"
           f" {d['busy_cores']['most']:.2f} at most.", "",
           "The steps took: " + ", ".join(f"{stage} {seconds / 60:.1f} min" for stage, seconds in d["took_seconds"].items() if seconds >= 3) + ".", ""]
    out += table(["system", "version", "how it is set up", "native load"],
                 [[s["label"], s["version"], s["tuning"] + ("; **timed inside its own process**, without a socket, which favours it" if s["in_process"] else ""), s["native"]]
                  for s in d["systems"].values()])
    return out


def proof(d):
    c = d["checked"]
    what = "all rows" if c["compared"] == d["rows"] else f"all {c['compared']:,} rows of three days"
    return [f"Before anything else was timed than the first loads, {what} of every store were compared with the CSV's (a sum of hashes, {c['rows']['csv'][:16]}…),"
            f" and the answers of all systems to all questions with each other: {sum(c['answers']['rows'].values()):,} rows of answers, equal.", ""]


def write_plots(d, folder):
    """Their names, in order."""
    names, tag = [], millions(d["rows"]).replace(" ", "").replace(",", "").lower()

    def put(name, content):
        names.append(f"{name}-{tag}.svg")
        with open(os.path.join(folder, names[-1]), "w") as f:
            f.write(content)

    if digest.speed_ups(d):
        rows = []
        for q in questions.NAMES:
            best = digest.best_peer(d, q)[1]
            rows.append((q, {n: {"median": best / s[q]["median"], "least": best / s[q]["most"], "most": best / s[q]["least"]} for n, s in d["warm"].items()}))
        put("questions", plots.dots(f"Warm questions, {millions(d['rows'])} events", "times faster than the best peer from rows (to the right is faster)", rows, labels(d), 1))
    if d["load"]:
        rows = [(f"{WAYS[k.split('/')[1]]}, {MODES[k.split('/')[0]]}", {n: s["events_per_second"] for n, s in v.items()}) for k, v in d["load"].items()]
        put("load", plots.dots(f"Loading {millions(d['rows'])} events", "events a second (to the right is faster)", rows, labels(d)))
        put("bytes", plots.bars(f"Bytes on disk an event, {millions(d['rows'])} events", "bytes an event (shorter is better)",
                                {n: s["bytes_per_event"]["median"] for n, s in d["load"]["durable/csv"].items()}, labels(d)))
    return names


def section(d, pictures):
    out = [f"## {millions(d['rows'])} events over {d['days']} days", "", *setup(d), *proof(d)]
    out += [f"![{name}]({name})\n" for name in pictures]
    if d["load"]:
        out += ["### Loading", "", f"The CSV has {d['csv_bytes'] / d['rows']:.1f} bytes an event. Medians of the turns, least and most behind them.", "", *load_table(d),
                "### Bytes on disk", "", *bytes_table(d)]
    for kind, title, more in (("warm", "Warm questions", "Each round's median of up to five times after one that warms; of the rounds the median, least and most."),
                              ("cold", "Cold questions", "The first question to a system that was just started, with its files out of the system's cache.")):
        if "tally" in d[kind]:
            out += [f"### {title}", "", more, "", *question_table(d, kind)]
    if d["peak_asked_mib"]:
        out += ["Peak memory while the warm questions are asked, MiB: " + "; ".join(f"{labels(d)[n]} {number(s['most'])}" for n, s in d["peak_asked_mib"].items()) + ".", ""]
    if d["latency"]:
        out += ["### Appends at a fixed rate", "",
                f"Appends of 1,000 events are due at a fixed rate for {LATENCY_SECONDS} s, and their latency counts from when they were due (no coordinated omission), while one"
                f" client asks {', '.join(latency.ASKED)} in turn, at most {1 / latency.BETWEEN_QUESTIONS:.0f} a second. Saturation is what connections reach that append as fast as they are answered,"
                " with the same questions; the levels are shares of it. Servers: 16 connections over TCP; in-process engines: 2 lanes, appending rows they have already."
                " A question of Tally here includes the start of the process that asks.", "", *latency_table(d)]
    if d["memory"]:
        out += [f"Tally's peak memory while all events came in as CSV and the twelve questions were asked {d['memory']['questions_meanwhile']} times over: {number(d['memory']['peak_mib_settled'])} MiB.", ""]
    if d["restart"]:
        out += ["Ready again after kill -9, right after the last acknowledgement: " + ", ".join(f"{s:.2f} s" for s in d["restart"]["ready_seconds"]) + ".", ""]
    return out


def write(digests, folder):
    os.makedirs(folder, exist_ok=True)
    found = verdicts.all_of(digests)
    with open(os.path.join(folder, "comparison.json"), "w") as f:
        json.dump({"verdicts": [vars(v) for v in found], "scales": digests}, f, indent=1)
        f.write("\n")
    out = ["# Tally beside other stores", "", "Generated by `bench/compare` (`bench/README.md`); every figure is computed from one run on one machine. Figures of different runs should not be compared.", "",
           "## What was to be shown", "", *warning(digests), *verdict_table(found)]
    for d in digests:
        out += section(d, write_plots(d, folder))
    with open(os.path.join(folder, "comparison.md"), "w") as f:
        f.write("\n".join(out).rstrip() + "\n")
