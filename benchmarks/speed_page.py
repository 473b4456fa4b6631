"""What `speed.py` found as a page and as a picture."""

import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt

PEERS = Path(__file__).resolve().with_name("speed_peers")
WORK = {  # how the page says what is judged
    "loop / linear": "embedded, `linear`, everything on, JSON lines: times as fast as river's bare loop",
    "hosted / loop": "embedded, the same river model inside: its time beside that of the bare loop",
    "embedded linear / Faust + river": "embedded, `linear`: times as fast as Faust with river",
    "linear / count": "worker, `linear`, exactly once: times as fast as a Faust agent that only counts",
    "linear / faust": "worker, `linear`, exactly once: times as fast as Faust with river",
    "linear / quix": "worker, `linear`, exactly once: times as fast as Quix Streams with river, exactly once",
    "river / quix": "worker, the same river model inside: times as fast as Quix Streams with it",
    "two workers / one, per processor second": "two workers beside one, same topics: events a processor second",
    "replay / live, log": "replay of a log, compared byte for byte: times as fast as the run that wrote it",
    "replay --against / live, log": "replay of a log as a backfill: times as fast as the run that wrote it",
    "replay / live, topics, all cores": "replay of topics, compared byte for byte: times as fast as a worker a core",
    "replay --against / live, topics, all cores": "replay of topics as a backfill: times as fast as a worker a core",
    "seconds from the start to the first event": "`driftline run`, kernels on disk: seconds to the first event",
    "time per event, old / young": "after a long stream (5,000,000) beside its beginning (100,000): time per event",
    "memory, old / after five windows": "resident memory: the most on the way beside that after five windows (500,000)",
    "state, old / after five windows": "saved state: the same",
}
GROUPS = {  # the clocks of parts.py, as the profile shows them
    "decode": ("read", "decode"),
    "check and join": ("validate", "join"),
    "features": ("features",),
    "score and learn": ("score",),
    "measure": ("measure: estimate", "measure: signals", "measure: panes", "measure"),
    "detect": ("detect", "decide"),
    "write": ("snapshot", "snapshot: pack", "snapshot: seal", "commit: pack", "commit"),
}
WAYS = {
    "count": "Faust agent that only counts",
    "faust": "Faust, river, ADWIN, `send` per prediction",
    "quix": "Quix Streams, river, ADWIN, exactly once",
    "quix alo": "the same, at least once",
    "bytewax": "Bytewax, river, ADWIN, at least once",
    "river": "driftline worker, the same river model inside, exactly once",
    "linear": "driftline worker, `linear`, exactly once",
}
REPLAYS = """
A replay reads the events and what was written, and writes nothing; the live run writes. The log's columns are compared
as they are; of the topics a replay fetches events, predictions and outcomes, and makes each record's JSON anew to
compare it. On all cores there is a worker for each, or a replay that shares the partitions out among as many processes,
and the broker has its part of them too; on one core, which the broker does not have, there is one worker, or a replay
in one process. The latter is told, not judged.
"""
MET, MISSED = "#2f7d4f", "#b3541e"

PAGE = """<!-- made by benchmarks/speed.py: do not edit -->
# Speed

{warning}Made by `make bench` in {minutes:g} minutes{again}: each ratio is of programs that took turns on one machine,
on the same events; given are the median of the turns, the least and the most. Ratios hold elsewhere, absolute figures
do not. {machine}. Every single measurement is in [speed.json](speed.json), what is counted and what is not in
[benchmarks/README.md](../benchmarks/README.md).

![What was measured beside what was asked](images/speed.svg)

| work | asked | measured | least … most | |
|---|---|---|---|---|
{judged}

{missed}

{sections}
## The peers

Each is the program that a user would write (`benchmarks/speed_peers/`), installed by the benchmark with pinned
versions, in environments of their own where they are no dependencies of driftline: {peers}.
They take the same events; those on Kafka have the same model and detectors, and the first predictions of all must
agree. None of them keeps state that could be recovered, metrics, panes or outcomes; every live figure of driftline
includes it.
"""


def page(found: dict[str, Any]) -> str:
    """The page."""
    about = found["machine"]
    load = f"load at the start {about['load'][0]:g}"
    warning = "**Made with `--quick`: these figures only show that the benchmark works.** " if found["quick"] else ""
    sections = [section for make in (_embedded, _profile, _kafka, _workers, _wide) for section in make(found)]
    return PAGE.format(
        warning=warning,
        minutes=found["minutes"],
        again=f" (afterwards once more: {', '.join(found['again'])})" if found["again"] else "",
        machine=f"{about['processor']}, {about['cores']} cores, {load}, Python {about['python']}",
        judged="\n".join(map(_judged, found["judged"])),
        missed=_missed(found),
        sections="\n".join(sections),
        peers=", ".join([f"river {about['river']}", *_versions(found)]),
    )


def _judged(row: dict[str, Any]) -> str:
    work = (
        WORK.get(row["work"])
        or f"{row['work'].replace(' / Evidently', '')} watched for drift: times Evidently's rows/s"
    )
    spread = f"{_ratio(row['min'])} … {_ratio(row['max'])}"
    asked = f"{'at most' if row['at_most'] else 'at least'} {row['asked']:g}"
    return f"| {work} | {asked} | **{_ratio(row['median'])}** | {spread} | {'' if row['met'] else 'missed'} |"


def _missed(found: dict[str, Any]) -> str:
    missed = sum(not row["met"] for row in found["judged"])
    told = [f"{missed} of {len(found['judged'])} are missed." if missed else "All of these are met."]
    told += [f"Not measured, because the benchmark failed: {name}." for name in found["failed"]]
    without = found.get("kafka", {}).get("without", {})
    return " ".join([*told, *(f"Left out: {library}, which {why}." for library, why in without.items())])


def _versions(found: dict[str, Any]) -> Iterator[str]:
    if "kafka" in found:
        yield f"faust-streaming {found['kafka']['machine']['faust']}"
    for file in sorted(PEERS.glob("*.txt")):
        library, _, version = file.read_text().split()[0].partition("==")
        yield f"{library} {version}"


def _embedded(found: dict[str, Any]) -> Iterator[str]:
    """Rates of all data sets; only one of them is judged."""
    if "embedded" not in found:
        return
    yield "## Embedded\n\n| | river's loop alone | `linear` | river inside |\n|---|---|---|---|"
    for name in ("quiet", "elec2", "covtype"):
        each = found["embedded"].get(name)
        if each:
            rates = [
                _spread([each["events"] / s for s in each["times"][way]["wall_s"]])
                for way in ("loop", "linear", "hosted")
            ]
            told = each["ratios"]
            faster, dearer = (_ratio(told[r]["median"]) for r in ("loop / linear", "hosted / loop"))
            yield f"| `{name}` | {rates[0]} | {rates[1]}: **{faster}×** | {rates[2]}: **{dearer}×** its time |"
    yield """
Events a second. `quiet` is a made stream of JSON lines with 8 numbers in which nothing drifts, with KS and ADWIN on
each and ADWIN on the error; it is what is judged. Elec2 (8 numbers) and Covertype (54) are gzipped CSV and drift from
beginning to end: what is found out about their incidents is a good part of their time. The loop is
`predict_proba_one(x); learn_one(x, y)` over dicts in memory and does nothing else.
"""


def _profile(found: dict[str, Any]) -> Iterator[str]:
    """Where the time goes."""
    columns: dict[str, dict[str, float]] = {}
    if "embedded" in found and "quiet" in found["embedded"]:
        parts = found["embedded"]["quiet"]["parts"]
        columns = {"`linear`": parts["linear"], "river inside": parts["hosted"]}
    for width, each in found.get("wide", {}).get("widths", {}).items():
        columns[f"{int(width):,} features"] = each["parts"]
    if not columns:
        return
    yield f"## Where driftline's time goes\n\n| µs an event | {' | '.join(columns)} |\n|{'---|' * (len(columns) + 1)}"
    for group, names in GROUPS.items():
        yield f"| {group} | {' | '.join(f'{sum(parts.get(n, 0) for n in names):.2f}' for parts in columns.values())} |"
    known = {name for names in GROUPS.values() for name in names}
    rest = [sum(us for name, us in parts.items() if name not in known) for parts in columns.values()]
    yield f"| the rest | {' | '.join(f'{us:.2f}' for us in rest)} |"
    yield f"| **sum** | {' | '.join(f'**{sum(parts.values()):.2f}**' for parts in columns.values())} |"
    yield """
Processor time of runs of their own with clocks in them (`benchmarks/parts.py`), over `quiet` and, with `linear`, over
the wide streams below. `decode` reads the file too; `write` is state, predictions, outcomes and metrics into SQLite.
"""


def _kafka(found: dict[str, Any]) -> Iterator[str]:
    """Rates of the worker and its peers."""
    if "kafka" not in found:
        return
    yield "## On Kafka\n\n| | events/s | processor, µs an event | broker, cores |\n|---|---|---|---|"
    for way, text in WAYS.items():
        runs = found["kafka"]["runs"].get(way)
        if runs:
            cpu = statistics.median(run["worker"] / run["rate"] * 1e6 for run in runs)
            broker = statistics.median(run["broker"] for run in runs)
            yield f"| {text} | {_spread([run['rate'] for run in runs])} | {cpu:.1f} | {broker:.2f} |"
    yield f"\nOne partition, 8 numbers, the label in the row, every prediction written; {found['kafka']['placing']}.\n"


def _workers(found: dict[str, Any]) -> Iterator[str]:
    """Two workers beside one, and replays beside live."""
    if "workers" in found:
        yield "## More workers, and replays\n"
        yield "| workers | events/s | a second of their processors | broker, of the machine |\n|---|---|---|---|"
        for workers, runs in found["workers"]["runs"].items():
            broker = statistics.median(run["broker"] for run in runs) / max(1, found["workers"]["cores"])
            rates = (_spread([run[name] for run in runs]) for name in ("rate", "per_cpu_s"))
            yield f"| {workers} | {' | '.join(rates)} | {broker:.0%} |"
        yield ""
    if "replay" in found:
        yield "| | live, events/s | `replay` | `replay --against` |\n|---|---|---|---|"
        for where, rates in found["replay"]["rates"].items():
            times = [f"{_ratio(row['median'])}×" for row in found["replay"]["ratios"][where]]
            cells = [
                f"{_spread(rates[way])}: **{faster}**" for way, faster in zip(("replay", "against"), times, strict=True)
            ]
            yield f"| {where} | {_spread(rates['live'])} | {' | '.join(cells)} |"
        yield REPLAYS


def _wide(found: dict[str, Any]) -> Iterator[str]:
    """Many features beside Evidently."""
    if "wide" not in found:
        return
    yield "## Many features\n\n| features | driftline, rows/s | Evidently, rows/s |\n|---|---|---|"
    for width, each in found["wide"]["widths"].items():
        yield f"| {int(width):,} | {_spread(each['ours'])} | {_spread(each['theirs'])} |"
        method = each["method"]
    widths = found["wide"]["widths"].values()
    named = {side: sum(map(len, (x for each in widths for x in each["others"][side]))) for side in ("ours", "theirs")}
    yield f"""
Windows of {found["wide"]["window"]:,} rows beside a reference of as many. driftline decodes JSON lines, predicts and
learns with `linear`, tests each feature with KS every few hundred rows, and commits predictions, outcomes, metrics and
state. Evidently makes its `DataDriftPreset` report of frames that are in memory, by its own choice of test ({method}),
once a window: no decoding, no model, nothing written, but its report holds what its pictures are drawn from. Both must
find the one feature that drifts; named though they do not drift: {named["ours"]} by driftline, {named["theirs"]} by
Evidently.
"""


def picture(rows: list[dict[str, Any]], path: Path) -> None:
    """What was measured over what was asked, so that 1 is just met; at most: the other way round."""
    mpl.rcParams.update({"svg.hashsalt": "driftline", "svg.fonttype": "none", "font.size": 8})
    figure, axis = plt.subplots(figsize=(7.5, 0.6 + 0.27 * len(rows)))
    for place, row in enumerate(reversed(rows)):
        reached = [_reached(row, row[name]) for name in ("median", "min", "max")]
        axis.barh(place, reached[0] - 1, left=1, height=0.6, color=MET if row["met"] else MISSED)
        axis.plot(sorted(reached[1:]), [place, place], color="#333333", linewidth=1)
    axis.axvline(1, color="#333333", linewidth=0.8)
    axis.set_xscale("log")
    for formatted in (axis.xaxis.set_major_formatter, axis.xaxis.set_minor_formatter):
        formatted(lambda value, _: f"{value:g}" if f"{value:e}"[0] in "125" else "")
    axis.set_yticks(range(len(rows)), [_label(row) for row in reversed(rows)])
    axis.set_xlabel("measured / asked (green: met)")
    axis.grid(visible=True, axis="x", which="both", color="#eeeeee", linewidth=0.6)
    axis.set_axisbelow(True)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _reached(row: dict[str, Any], ratio: float) -> float:
    return float(row["asked"] / ratio if row["at_most"] else ratio / row["asked"])


def _label(row: dict[str, Any]) -> str:
    return f"{row['work']}: {_ratio(row['median'])} ({'≤' if row['at_most'] else '≥'} {row['asked']:g})"


def _ratio(ratio: float) -> str:
    return f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.1f}" if ratio >= 10 else f"{ratio:.2f}"


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):,.0f} ({min(values):,.0f} … {max(values):,.0f})"
