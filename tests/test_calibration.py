"""The estimate's kernels against their slow twin, compiled and not, however the tape was cut."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from naive_estimate import expectations, followed
from waiting import TIMEOUT_S

from stream_app.flow import calibration as c
from stream_app.models import FORGET, LEARN, PREDICT

TESTS = Path(__file__).parent
WINDOW, SLOTS, N = 40, 60, 1000
TASKS = ("binary", "multiclass", "regression")


def tape_of(task: str, seed: int = 4) -> tuple[np.ndarray, ...]:
    """Kind, slot, loss and what stands in each operation's score row; slots come round again, some values are odd.

    Labels come when their prediction is the oldest of the window.
    """
    rng = np.random.default_rng(seed)
    scores = rng.dirichlet(np.ones(3), N) if task == "multiclass" else rng.random((N, 1))
    scores[rng.random(N) < 0.05] = np.nan
    scores[7] = 1.0
    kind, slot, row, loss = [], [], [], []
    for i in range(N):
        for which, event in ((PREDICT, i), (LEARN if rng.random() < 0.8 else FORGET, i - WINDOW + 1)):
            if event >= 0:
                kind.append(which)
                slot.append(event % SLOTS)
                row.append(event)
                size = float(rng.random() < 0.3) if task != "regression" else float(rng.exponential())
                odd = [np.nan, 1e70][rng.integers(2)] if task == "regression" else np.nan
                loss.append(np.nan if which != LEARN else odd if rng.random() < 0.03 else size)
    return np.array(kind, np.uint8), np.array(slot), np.array(loss), scores[row]


def compiled(task: str, cuts: int = 1) -> dict[str, list]:
    """What the kernels leave behind, in `cuts` calls."""
    kind, slot, loss, rows = tape_of(task)
    bins, rings, bets = np.zeros((2, c.BINS)), np.full((3, WINDOW), np.nan), np.zeros((2, c.PAID + 1))
    totals = np.zeros(c.EXPECTED_2 + 1 + (task == "regression"))
    totals[c.INFLATION] = 1.0
    told, number, losses = np.full(SLOTS, np.nan), np.zeros(SLOTS, np.int64), np.full((2, len(kind)), np.nan)
    losses[c.TRUE] = loss
    for part in np.array_split(np.arange(len(kind)), cuts):
        some = losses[:, part].copy()
        if task == "regression":
            some[c.EXPECTED] = rows[part, 0]
        else:
            c.calibrate(kind[part], np.arange(len(part)), some, rows[part], task == "binary", bins)
        c.follow(kind[part], slot[part], some, told, number, rings, totals, bets)
        losses[:, part] = some
    arrays = {"expected": losses[c.EXPECTED], "bins": bins, "rings": rings, "totals": totals, "bets": bets}
    return {name: values.tolist() for name, values in arrays.items()}


@pytest.mark.parametrize("task", TASKS)
def test_the_kernels_do_what_their_twin_does(task: str) -> None:
    kind, slot, loss, rows = tape_of(task)
    expected, misses = expectations(kind, slot=range(len(kind)), loss=loss, scores=rows, binary=task == "binary")
    expected = rows[:, 0].tolist() if task == "regression" else expected
    twin = followed(kind, slot, loss, expected, WINDOW, regression=task == "regression")
    found = {name: np.array(values) for name, values in compiled(task).items()}
    totals = found["totals"]
    newest = (np.arange(WINDOW) + int(totals[c.PREDICTED])) % WINDOW
    newest_labels = (np.arange(WINDOW) + int(totals[c.LABELLED])) % WINDOW

    assert twin["blocks"] > 15
    if task != "regression":
        np.testing.assert_allclose(found["expected"], expected, rtol=1e-9, atol=1e-12)
        assert found["bins"][0].tolist() == [min(len(misses[b]), c.MEMORY) for b in range(c.BINS)]
    assert [totals[c.PREDICTED], totals[c.LABELLED], totals[c.BLOCK]] == [
        twin["predicted"], twin["labelled"], twin["blocks"]
    ]  # fmt: skip
    assert totals[c.INFLATION] == pytest.approx(twin["inflation"], rel=1e-9)
    np.testing.assert_allclose(found["rings"][:2, newest].T, twin["newest"], rtol=1e-9)
    np.testing.assert_allclose(found["rings"][2, newest_labels], twin["residuals"], rtol=1e-9, atol=1e-12)
    for sequence, name in zip(found["bets"], ("young", "old"), strict=True):
        np.testing.assert_allclose(sequence[[c.WEIGHT, c.WEIGHTED, c.PAID]], twin[name], rtol=1e-9)


@pytest.mark.parametrize("task", TASKS)
def test_cuts_change_nothing(task: str) -> None:
    whole, cut = compiled(task), compiled(task, cuts=700)

    for name, values in whole.items():
        np.testing.assert_array_equal(values, cut[name])


def test_uncompiled_code_gives_the_same() -> None:
    code = "import json; from test_calibration import *; print(json.dumps({task: compiled(task) for task in TASKS}))"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, timeout=TIMEOUT_S, stdout=subprocess.PIPE, cwd=TESTS,
        env=os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONWARNINGS": "ignore"},
    )  # fmt: skip
    slow = json.loads(done.stdout)

    for task in TASKS:
        for name, values in compiled(task).items():
            np.testing.assert_allclose(slow[task][name], values, rtol=1e-9, atol=1e-12, err_msg=f"{task}: {name}")
