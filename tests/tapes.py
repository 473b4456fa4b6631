"""Tapes for models, and a run of one that is interrupted as often as a test likes."""

import math
from itertools import pairwise

import numpy as np

from stream_app.models import FORGET, LEARN, PREDICT

MISSING = 0.1  # share of the values that rows_of leaves out


def tape_of(y, delay):
    """Predict each row, learn it `delay` predictions later; every seventh is forgotten."""
    operations = [(i, PREDICT, i, math.nan) for i in range(len(y))]
    operations += [(i + delay, FORGET if i % 7 == 0 else LEARN, i, y[i]) for i in range(len(y))]
    operations.sort(key=lambda operation: operation[0])
    _, kind, slot, target = zip(*operations, strict=True)
    return np.array(kind, np.uint8), np.array(slot, np.int64), np.array(target)


def rows_of(task, count, seed=0, categories=2):
    """Three numbers on different scales, category fields of four values, a tenth of all missing; and the targets."""
    rng = np.random.default_rng(seed)
    X = np.hstack([rng.normal([0, 50, 1], [1, 9, 0.1], (count, 3)), rng.integers(0, 4, (count, categories))])
    signal = X[:, 0] + (X[:, -1] == 1)
    y = {"binary": signal > 1, "multiclass": np.searchsorted([-0.5, 1.2], signal)}.get(task, 3 * signal)
    X[rng.random(X.shape) < MISSING] = np.nan
    return X, y.astype(float)


def run(model, tape, X):
    """Scores and messages of the whole tape in one call."""
    scores = np.full((len(X), model.outputs), -1.0)
    return scores, model.run(*tape, X, scores)


def run_interrupted(make, tape, X, cuts):
    """The same, but at each cut the model is asked about rows, explained, saved, and another one goes on."""
    model, edges = make(), [0, *sorted(cuts), len(tape[0])]
    scores, messages = np.full((len(X), model.outputs), -1.0), []
    for start, stop in pairwise(edges):
        found = model.run(*(part[start:stop] for part in tape), X, scores)
        messages += [(start + i, text) for i, text in found]
        model.peek(X[:5])
        model.contributions(X[:5])
        state, model = model.to_state(), make()
        model.load(state)
    return scores, messages


def check_targets_that_are_no_class(model, X, classes):
    """Each is told, and changes nothing."""
    bad = np.array([-1.0, 0.5, 5.0, math.nan, math.inf])
    before = {name: array.tobytes() for name, array in model.to_state().items()}
    tape = np.full(len(bad), LEARN, np.uint8), np.arange(len(bad)), bad
    _, messages = run(model, tape, X)

    assert [i for i, _ in messages] == list(range(len(bad)))
    assert all(f"not a class code below {classes}" in text for _, text in messages)
    assert {name: array.tobytes() for name, array in model.to_state().items()} == before
