"""Running figures: the last window and since the start, against the same figures of all labels at once."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.flow import metrics
from stream_app.flow.tracks import Tracks

N, WINDOW = 500, 60


def labels(seed: int, kind: str):
    """Truth, point and chance of two predictors; some predictions are missing."""
    generator = np.random.default_rng(seed)
    if kind == "regression":
        truth = generator.normal(1e6, 3, N)
        point = truth[:, None] + generator.normal(size=(N, 2)) * (1, 4)
        point[generator.random((N, 2)) < 0.1] = np.nan
        return truth, point, np.full((N, 2), np.nan)
    truth = generator.integers(0, 2 if kind == "binary" else 4, N)
    chance = np.clip(generator.normal(0.5, 0.2, (N, 2)) + (0.3 * (truth - 0.5))[:, None] * (1, 0.2), 0.001, 0.999)
    point = (chance > 0.5).astype(float) if kind == "binary" else generator.integers(0, 4, (N, 2)).astype(float)
    missing = generator.random((N, 2)) < 0.1
    point[missing], chance[missing] = -1, np.nan
    return truth.astype(float), point, chance


def tracks(kind: str) -> Tracks:
    classes = {"regression": 0, "binary": 2, "multiclass": 4}[kind]
    return Tracks(["one", "two"], 2, WINDOW, classes, binary=kind == "binary")


def one(figures: dict[str, np.ndarray], j: int) -> dict[str, float]:
    """The figures of one predictor."""
    return {name: float(values[j]) for name, values in figures.items()}


def fed(kind: str, data, cuts: list[int]) -> Tracks:
    made = tracks(kind)
    places = [0, *sorted(cut for cut in cuts if cut < N), N]
    for a, b in pairwise(places):
        made.add(*(part[a:b] for part in data))
    return made


def at_once(kind: str, truth, point, chance) -> dict[str, float]:
    """All figures of one predictor by their definitions."""
    if kind == "regression":
        known = ~np.isnan(point)
        error, y = (truth - point)[known], truth[known]
        if not len(y):
            return dict.fromkeys(("mae", "rmse", "r2"), math.nan)
        r2 = 1 - (error**2).sum() / ((y - y.mean()) ** 2).sum() if len(y) > 1 else math.nan
        return {"mae": np.abs(error).mean(), "rmse": (error**2).mean() ** 0.5, "r2": r2}
    classes = 2 if kind == "binary" else 4
    matrix = metrics.confusion(truth, point[:, None], classes)
    figures = one(metrics.classification(matrix, binary=kind == "binary"), 0)
    known = ~np.isnan(chance)
    y, p = truth[known], chance[known]
    given = [q if kind != "binary" or t == 1 else 1 - q for t, q in zip(y, p, strict=True)]
    figures["log_loss"] = sum(-math.log(q) for q in given) / len(given) if given else math.nan
    if kind == "binary":
        figures["roc_auc"] = metrics.roc_auc(y, p)
    return figures


KINDS = ["binary", "multiclass", "regression"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("j", [0, 1])
def test_since_the_start_is_all_labels(kind: str, j: int) -> None:
    truth, point, chance = labels(1, kind)
    mine = one(fed(kind, (truth, point, chance), [100, 101, 300]).since_start(), j)
    expected = at_once(kind, truth, point[:, j], chance[:, j])

    assert mine.pop("roc_auc", 0.5) == pytest.approx(expected.pop("roc_auc", 0.5), abs=1e-3)  # from bins
    assert mine == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stop", [1, WINDOW - 1, WINDOW, WINDOW + 1, N])
def test_rolling_is_the_last_window(kind: str, stop: int) -> None:
    truth, point, chance = (part[:stop] for part in labels(2, kind))
    made = tracks(kind)
    made.add(truth, point, chance)
    last = slice(max(0, stop - WINDOW), stop)

    assert one(made.rolling(), 1) == pytest.approx(
        at_once(kind, truth[last], point[last, 1], chance[last, 1]), rel=1e-9, nan_ok=True
    )


@pytest.mark.parametrize("kind", KINDS)
@given(cuts=st.lists(st.integers(0, N), max_size=8))
def test_the_cut_into_calls_does_not_show(kind: str, cuts: list[int]) -> None:
    data = labels(3, kind)
    whole, cut = fed(kind, data, []), fed(kind, data, cuts)

    for name, value in whole.to_state().items():
        assert np.array_equal(cut.to_state()[name], value, equal_nan=True), name


@pytest.mark.parametrize("kind", KINDS)
def test_before_the_first_label_nothing_is_known(kind: str) -> None:
    made = tracks(kind)

    assert all(np.isnan(values).all() for values in [*made.rolling().values(), *made.since_start().values()])


@pytest.mark.parametrize("kind", KINDS)
def test_a_predictor_that_never_predicts_has_no_figures(kind: str) -> None:
    truth, point, chance = labels(4, kind)
    made = fed(kind, (truth, np.full_like(point, np.nan if kind == "regression" else -1), chance * np.nan), [7])

    assert all(np.isnan(values).all() for values in [*made.rolling().values(), *made.since_start().values()])


def test_predictors_past_the_models_have_no_probabilities() -> None:
    truth, point, chance = labels(4, "binary")
    made = Tracks(["model", "baseline"], 1, WINDOW, 2, binary=True)
    made.add(truth, point, chance[:, :1])

    for figures in (made.rolling(), made.since_start()):
        assert np.isnan(figures["log_loss"]).tolist() == np.isnan(figures["roc_auc"]).tolist() == [False, True]
        assert not np.isnan(figures["accuracy"]).any()


def test_regression_far_from_zero_loses_no_digits() -> None:
    truth = 1e9 + np.arange(200.0) % 7
    made = Tracks(["one"], 1, 50, 0, binary=False)
    made.add(truth, (truth + 1)[:, None], np.full((200, 1), np.nan))
    spread = ((truth - truth.mean()) ** 2).sum()

    assert one(made.since_start(), 0)["r2"] == pytest.approx(1 - 200 / spread, rel=1e-9)


def test_state_comes_back() -> None:
    for kind in KINDS:
        truth, point, chance = labels(5, kind)
        half = fed(kind, (truth, point, chance), [])
        again = tracks(kind)
        again.load(half.to_state())
        for made in (half, again):
            made.add(truth[:30], point[:30], chance[:30])

        assert one(again.since_start(), 1) == one(half.since_start(), 1)
        assert again.labels.tolist() == [N + 30] * len(again.names)
