"""Performance figures against river's and against their definitions written down slowly."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.flow import metrics

river = pytest.importorskip("river.metrics")
SEEDS = [1, 2, 3]


def binary(seed: int, n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    y = (generator.random(n) < 0.3).astype(int)
    return y, np.clip(generator.normal(0.3 + 0.3 * y, 0.2), 0.001, 0.999).round(2)


def of_one(truth, guess, classes: int, *, binary: bool) -> dict[str, float]:
    """The figures of a single predictor."""
    matrix = metrics.confusion(np.asarray(truth, float), np.asarray(guess, float)[:, None], classes)
    return {name: float(figure) for name, (figure,) in metrics.classification(matrix, binary=binary).items()}


def by_river(metric, truth, predicted) -> float:
    for y, p in zip(truth.tolist(), predicted.tolist(), strict=True):
        metric.update(y, p)
    return metric.get()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ["Accuracy", "CohenKappa", "Precision", "Recall", "F1"])
def test_binary_figures_as_river(seed: int, name: str) -> None:
    y, p = binary(seed)
    guess = (p > 0.5).astype(int)
    mine = of_one(y, guess, 2, binary=True)
    theirs = by_river(getattr(river, name)(), y, guess)

    assert mine[name.lower().replace("cohenkappa", "kappa")] == pytest.approx(theirs)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ["Accuracy", "CohenKappa", "MacroPrecision", "MacroRecall", "MacroF1"])
def test_multiclass_figures_as_river(seed: int, name: str) -> None:
    generator = np.random.default_rng(seed)
    y = generator.integers(0, 5, 300)
    guess = np.where(generator.random(300) < 0.6, y, generator.integers(0, 5, 300))
    mine = of_one(y, guess, 32, binary=False)
    key = name.lower().removeprefix("macro").replace("cohenkappa", "kappa")

    assert mine[key] == pytest.approx(by_river(getattr(river, name)(), y, guess))


def test_events_without_prediction_are_left_out_each_predictor_for_itself() -> None:
    truth, point = np.array([0.0, 1, 1, 1]), np.array([[0.0, 2], [1, -1], [-1, 1], [0, -1]])

    assert metrics.confusion(truth, point, 3).tolist() == [
        [[1, 0, 0], [1, 1, 0], [0, 0, 0]],
        [[0, 0, 1], [0, 1, 0], [0, 0, 0]],
    ]


def test_what_is_not_defined_is_nan() -> None:
    empty = of_one([], [], 2, binary=True)
    no_positives = of_one([0] * 5, [0] * 5, 2, binary=True)
    nothing = metrics.regression(*np.zeros((4, 1)))

    assert all(math.isnan(value) for value in empty.values())
    assert no_positives["accuracy"] == 1
    assert [math.isnan(no_positives[name]) for name in ("kappa", "precision", "recall", "f1")] == [True] * 4
    assert math.isnan(metrics.roc_auc(np.ones(3), np.arange(3.0)))
    assert math.isnan(metrics.binned_auc(np.zeros(5, int), np.ones(5, int)))
    assert all(math.isnan(value) for (value,) in nothing.values())
    assert math.isnan(metrics.regression(*np.array([[2.0], [1], [1], [0]]))["r2"][0])


def test_a_class_that_never_occurs_does_not_count_in_the_macro_average() -> None:
    assert of_one([0, 2, 2], [0, 2, 2], 9, binary=False)["f1"] == 1


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=40))
def test_roc_auc_counts_the_pairs(pairs: list[tuple[bool, int]]) -> None:
    ones, zeros = ([s for y, s in pairs if y == side] for side in (True, False))
    won = sum((a > b) + (a == b) / 2 for a in ones for b in zeros)
    mine = metrics.roc_auc(np.array([float(y) for y, _ in pairs]), np.array([float(s) for _, s in pairs]))

    if ones and zeros:
        assert mine == pytest.approx(won / (len(ones) * len(zeros)))
    else:
        assert math.isnan(mine)


@pytest.mark.parametrize("seed", SEEDS)
def test_roc_auc_as_river(seed: int) -> None:
    y, p = binary(seed, 2000)

    theirs = by_river(river.ROCAUC(n_thresholds=500), y == 1, p)  # an approximation

    assert metrics.roc_auc(y.astype(float), p) == pytest.approx(theirs, abs=0.005)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=12))
def test_binned_auc_is_exact_where_each_bin_is_one_score(counts: list[tuple[int, int]]) -> None:
    negatives, positives = np.array(counts).T
    bins = np.arange(len(counts))
    scores = np.concatenate([np.repeat(bins, negatives), np.repeat(bins, positives)])
    truth = np.concatenate([np.zeros(negatives.sum()), np.ones(positives.sum())])

    assert metrics.binned_auc(negatives, positives) == pytest.approx(
        metrics.roc_auc(truth, scores.astype(float)), nan_ok=True
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_log_loss_as_river(seed: int) -> None:
    y, p = binary(seed)
    mine = metrics.losses(np.where(y == 1, p, 1 - p)).mean()

    assert mine == pytest.approx(by_river(river.LogLoss(), y == 1, p))


def test_a_probability_of_zero_costs_much_but_not_all() -> None:
    assert metrics.losses(np.array([0.0, 1.0])).tolist() == pytest.approx([-math.log(1e-15), 0])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ["MAE", "RMSE", "R2"])
def test_regression_figures_as_river(seed: int, name: str) -> None:
    generator = np.random.default_rng(seed)
    y = generator.normal(50, 3, 300)
    p = y + generator.normal(size=300)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = by_river(getattr(river, name)(), y, p)
    sums = 300, np.abs(y - p).sum(), ((y - p) ** 2).sum(), ((y - y.mean()) ** 2).sum()
    mine = metrics.regression(*np.array(sums)[:, None])

    assert mine[name.lower()][0] == pytest.approx(expected)
