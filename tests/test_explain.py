"""What a model makes of its inputs: the one that moved leads, and the model stays as it is."""

import json
import math

import numpy as np
import pytest
from river import linear_model, preprocessing

from stream_app import config
from stream_app.models import LEARN, PREDICT, Inputs, make_model
from stream_app.models.explain import explain

NAMES = ("a", "b", "c", "kind")
INPUTS = Inputs(NAMES[:3], NAMES[3:], 8, [["x", "y", "z"]])
SCALED = "river.preprocessing.StandardScaler | "
MODELS = [
    ("linear", "binary", "linear"),
    ("linear", "multiclass", "linear"),
    ("linear", "regression", "linear"),
    (SCALED + "river.linear_model.LogisticRegression", "binary", "linear"),
    (SCALED + "river.linear_model.LinearRegression", "regression", "linear"),
    ("hoeffding_tree", "binary", "tree path"),
    ("hoeffding_tree", "multiclass", "tree path"),
    ("naive_bayes", "multiclass", "permutation"),
    ("river.tree.HoeffdingTreeClassifier", "binary", "tree path"),
    ("river.tree.HoeffdingAdaptiveTreeClassifier", "multiclass", "tree path"),
    ("river.tree.HoeffdingTreeRegressor", "regression", "tree path"),
    (SCALED + "river.tree.HoeffdingAdaptiveTreeRegressor", "regression", "tree path"),
    ("river.forest.ARFClassifier", "binary", "tree path"),
    ("river.forest.ARFRegressor", "regression", "tree path"),
    ("river.naive_bayes.GaussianNB", "multiclass", "permutation"),
    ("river.neighbors.KNNClassifier", "binary", "permutation"),
    ("river.anomaly.HalfSpaceTrees", "anomaly", "permutation"),
]


def stream(task, n=1200):
    """Rows of which `a` says most, `c` nothing, and category `y` something."""
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=(n, 3)), rng.integers(0, 3, n)]).astype(float)
    s = 3 * X[:, 0] - X[:, 1] + (X[:, 3] == 1)
    return X, {"binary": s > 0, "multiclass": np.searchsorted([-1.5, 1.5], s)}.get(task, s).astype(float)


def trained(use, task):
    X, y = stream(task)
    params = {"n_models": 3} if "ARF" in use else {}
    model = make_model(config.Model(use=use, params=params), config.Task(type=task, max_classes=4), INPUTS, 3)
    kind, slot = np.tile(np.array([PREDICT, LEARN], np.uint8), len(y)), np.repeat(np.arange(len(y)), 2)
    assert model.run(kind, slot, np.repeat(y, 2), X, np.full((len(y), model.outputs), math.nan)) == []
    return model, X


@pytest.mark.parametrize(("use", "task", "method"), MODELS)
def test_the_input_that_moved_leads_and_the_model_stays_as_it_is(use, task, method):
    model, X = trained(use, task)
    after = X[-300:].copy()
    after[:, 0] += 1.5
    state = model.to_state()
    first = explain(model, NAMES, X, after, 7)
    again = explain(model, NAMES, X, after, 7)
    same = {name: np.array_equal(value, state[name]) for name, value in model.to_state().items()}

    assert first[0]["feature"] == "a"
    assert {each["method"] for each in first} == {method}
    assert sorted(each["feature"] for each in first) == sorted(NAMES)
    assert json.dumps(first, allow_nan=False) == json.dumps(again)
    assert all(same.values())


@pytest.mark.parametrize(("use", "task", "_method"), MODELS)
def test_any_rows_are_explained_or_said_to_be_unknown(use, task, _method):
    model, X = trained(use, task)
    odd = np.array([[math.nan] * 4, [math.inf, 1e308, -1e308, 7], [0, 0, 0, 1]])
    odd[1, 3] = 2
    none = explain(model, NAMES, X, X[:0], 0)

    json.dumps(explain(model, NAMES, odd, X, 0) + explain(model, NAMES, X, odd, 0), allow_nan=False)
    assert [each["feature"] for each in none] == list(NAMES)
    assert all(each["after"] is None and each["change"] is None for each in none)
    assert explain(model, NAMES, X[:0], X[:0], 0)[0]["before"] is None


def test_contributions_of_the_linear_model_add_up_to_its_score():
    model, X = trained("linear", "binary")
    _, parts = model.contributions(X)
    log_odds = np.log(model.peek(X)[:, 0] / (1 - model.peek(X)[:, 0]))
    rest = log_odds - parts[:, :, 0].sum(axis=1)

    assert np.ptp(rest) < 1e-6  # the intercept


def test_contributions_of_a_scaled_regression_are_in_the_unit_of_the_target():
    model, X = trained("linear", "regression")
    _, parts = model.contributions(X)

    assert np.ptp(model.peek(X)[:, 0] - parts[:, :, 0].sum(axis=1)) < 1e-9


def test_contributions_of_a_river_pipeline_are_weight_times_scaled_input():
    X, y = stream("binary")
    twin = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    inputs = Inputs(NAMES[:3], (), 8, [])
    model = make_model(config.Model(use=SCALED + "river.linear_model.LogisticRegression"), config.Task(), inputs, 0)
    kind, slot = np.full(len(y), LEARN, np.uint8), np.arange(len(y))
    model.run(kind, slot, y, X[:, :3], np.full((len(y), 1), math.nan))
    for row, label in zip(X[:, :3].tolist(), y, strict=True):
        twin.learn_one(dict(zip(NAMES[:3], row, strict=True)), bool(label))
    _, parts = model.contributions(X[:1, :3])
    scaled = twin["StandardScaler"].transform_one(dict(zip(NAMES[:3], X[0, :3].tolist(), strict=True)))
    expected = [twin["LogisticRegression"].weights[name] * scaled[name] for name in NAMES[:3]]

    assert parts[0, :, 0].tolist() == pytest.approx(expected)


def test_a_path_through_a_tree_adds_up_to_the_mean_of_its_leaf():
    model, X = trained("river.tree.HoeffdingTreeRegressor", "regression")
    _, parts = model.contributions(X)
    root = model._estimator._root
    leaves = [
        root.traverse(dict(zip(NAMES[:3], row[:3].tolist(), strict=True)) | {"kind": "xyz"[int(row[3])]}) for row in X
    ]
    means = np.array([leaf.stats.mean.get() for leaf in leaves])

    assert root.n_leaves > 3
    assert np.ptp(means - parts[:, :, 0].sum(axis=1)) < 1e-9


def test_rows_that_wait_for_their_label_are_not_touched():
    model, X = trained("river.naive_bayes.GaussianNB", "multiclass")
    model.run(np.zeros(5, np.uint8), np.arange(5), np.full(5, math.nan), X, np.zeros((5, model.outputs)))
    waiting = {slot: dict(row) for slot, row in model._rows.items()}
    explain(model, NAMES, X, X, 0)

    assert len(waiting) == 5
    assert model._rows == waiting
