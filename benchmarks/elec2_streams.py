"""The errors of a tree on Elec2 with injected drifts: the streams of elec2_drift.py.

Shuffles, onsets and what is changed follow the authors' random numbers, draw by draw: the published default results
were made with seed 123 (the code at its last commit says 12), and the onsets drawn here are checked against the
published ones. Only the column of `x_exceed_skip` is our own draw, as theirs had no seed. The tree is river's, theirs
MOA's, with the same parameters.
"""

import copy
import csv
import gzip
import random
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console
from river import tree

RUNS, SEED, REGION = 50, 123, (0.5, 0.8)
WIDTHS = {"abrupt": 0, "gradual": 2500}
KINDS = ("x_permutations", "x_exceed_skip", "y_prior_skip", "y_swaps")
SKIPPED = 2  # in a stream of errors: no event here
SKIP = 0.75  # share of the chosen class that no longer comes
PUBLISHED_ONSETS = {
    ("abrupt", False): [24577, 26157, 29798, 26117, 30538, 32588],
    ("abrupt", True): [24577, 28573, 31726, 24353, 28008, 28989],
    ("gradual", False): [24577, 28126, 35199, 23626, 24524, 29739],
    ("gradual", True): [24577, 30741, 23672, 32881, 24026, 28671],
}


class Elec2(NamedTuple):
    """The data set as the authors' code reads it."""

    columns: list[str]
    X: np.ndarray
    y: np.ndarray  # 0: UP, 1: DOWN

    @classmethod
    def read(cls, folder: Path) -> "Elec2":
        with gzip.open(folder / "elec2.csv.gz", "rt") as file:
            rows = list(csv.DictReader(file))
        columns = [name for name in rows[0] if name != "class"]
        X = np.array([[float(row[name]) for name in columns] for row in rows])
        return cls(columns, X, np.array([row["class"] == "DOWN" for row in rows], dtype=np.int64))


class Plan(NamedTuple):
    """One run: the order of the rows, the onset and where the change applies."""

    order: np.ndarray
    onset: int
    label: int  # the class that is chosen
    columns: np.ndarray  # their new order
    changed: np.ndarray  # of each event
    kept: np.ndarray  # of each event: whether the class, when it is to come seldom, comes


def plans(data: Elec2, width: int, prior: bool, runs: int) -> Iterator[Plan]:
    """The authors' draws, one by one in their order."""
    rng, n = np.random.RandomState(SEED), len(data.y)
    for _ in range(runs):
        order = rng.choice(n, n, replace=False)
        rng.uniform(*REGION, 1)
        onset = int(n * rng.uniform(*REGION, 1)[0])
        label = int(rng.choice([0, 1], 1)[0])
        rng.choice([1 - label], 1)
        columns = rng.permutation(data.X.shape[1])
        changed, kept = np.zeros(n, dtype=bool), np.ones(n, dtype=bool)
        for i in range(onset, n):
            changed[i] = i >= onset + width or rng.random_sample() < (i - onset) / width
            if prior and changed[i] and data.y[order[i]] == label:
                kept[i] = rng.binomial(1, 1 - SKIP) == 1
        yield Plan(order, onset, label, columns, changed, kept)


def injected(data: Elec2, plan: Plan, kind: str, run: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The run's rows, labels and which of them come."""
    X, y, here = data.X[plan.order], data.y[plan.order], np.ones(len(data.y), dtype=bool)
    changed = plan.changed
    if kind == "x_permutations":
        X[changed] = X[changed][:, plan.columns]
    elif kind == "y_swaps":
        y[changed & (y == plan.label)] = 1 - plan.label
    elif kind == "y_prior_skip":
        here = plan.kept
    else:
        column = random.Random(SEED + run).randrange(X.shape[1])
        here = ~(changed & (X[:, column] > np.median(data.X[:, column])))
    return X, y, here


def errors(data: Elec2, plan: Plan, kinds: list[str], run: int) -> dict[str, np.ndarray]:
    """The tree's errors under each kind of change; up to the onset all are the same."""
    found = {}
    model = tree.HoeffdingTreeClassifier(delta=1e-3)
    before = np.full(len(data.y), SKIPPED, dtype=np.uint8)

    def go(X: np.ndarray, y: np.ndarray, here: np.ndarray, start: int, stop: int, into: np.ndarray) -> None:
        for i in range(start, stop):
            if here[i]:
                row, label = dict(zip(data.columns, X[i].tolist(), strict=True)), int(y[i])
                into[i] = model.predict_one(row) != label
                model.learn_one(row, label)

    go(*injected(data, plan, kinds[0], run), 0, plan.onset, before)
    young = model
    for kind in kinds:
        model, found[kind] = copy.deepcopy(young), before.copy()
        go(*injected(data, plan, kind, run), plan.onset, len(data.y), found[kind])
    return found


def all_errors(data: Elec2, runs: int, processes: int, console: Console) -> dict[str, np.ndarray]:
    """By pace and kind [run, event]; and the onsets."""
    streams: dict[str, np.ndarray] = {}
    with ProcessPoolExecutor(processes) as pool:
        tasks = {}
        for pace, width in WIDTHS.items():
            for prior in (False, True):
                kinds = [kind for kind in KINDS if (kind == "y_prior_skip") == prior]
                drawn = list(plans(data, width, prior, runs))
                onsets = np.array([plan.onset for plan in drawn])
                if list(onsets[:6]) != PUBLISHED_ONSETS[pace, prior][: len(onsets)]:
                    raise SystemExit(f"{pace}: the onsets are not the published ones")
                for kind in kinds:
                    streams[f"{pace} {kind}"] = np.zeros((runs, len(data.y)), dtype=np.uint8)
                    streams[f"{pace} {kind} onset"] = onsets
                for run, plan in enumerate(drawn):
                    tasks[pool.submit(errors, data, plan, kinds, run)] = pace, run
        for done, task in enumerate(as_completed(tasks), 1):
            pace, run = tasks[task]
            for kind, found in task.result().items():
                streams[f"{pace} {kind}"][run] = found
            if done % 10 == 0 or done == len(tasks):
                console.print(f"tree: {done}/{len(tasks)} runs", style="dim")
    return streams
