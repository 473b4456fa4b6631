"""The compiled Hoeffding tree against river's, cut anywhere, resumed anywhere, in little memory, on bad input."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river.tree import hoeffding_tree, utils
from river.tree.nodes import branch, htc_nodes
from river.tree.split_criterion import gini_split_criterion, info_gain_split_criterion
from river.tree.splitter import nominal_splitter_classif
from river.utils import norm
from tapes import check_targets_that_are_no_class, rows_of, run, run_interrupted, tape_of

from stream_app import config
from stream_app.models import PREDICT, Inputs, make_model
from stream_app.models.tree_arrays import CELLS, CLASSES, NODES, ROWS, bytes_each

TASKS = ("binary", "multiclass")
INPUTS = Inputs(("a", "b", "c"), ("k", "m"), 8, [["r", "p", "s", "q"], ["w", "x", "y", "z"]])
RIVER = "river.tree.HoeffdingTreeClassifier"
EAGER = {"grace_period": 20, "tau": 0.2, "delta": 1e-3}  # splits within a few hundred rows


def plain_sum(values):
    """As Python 3.11 sums: later ones compensate what rounding loses, and river's trees with them differ in a bit."""
    total = 0
    for value in values:
        total += value
    return total


class Sorted(set):
    """Where river goes through texts in the order of their hashes, which are drawn anew for each process."""

    def __iter__(self):
        return iter(sorted(super().__iter__()))


@pytest.fixture(autouse=True)
def settled_river(monkeypatch):
    for module in (utils, branch, htc_nodes, gini_split_criterion, info_gain_split_criterion, norm, hoeffding_tree):
        monkeypatch.setattr(module, "sum", plain_sum, raising=False)
    monkeypatch.setattr(nominal_splitter_classif, "set", Sorted, raising=False)


def model_of(task, params=None, use="hoeffding_tree", inputs=INPUTS, classes=5):
    spec = config.Task(type=task, max_classes=classes)
    return make_model(config.Model(use=use, params=params or {}), spec, inputs, 0)


def same(task, X, y, params=None, delay=0, inputs=INPUTS):
    """Both trees over the same tape: as many nodes, and probabilities to 1e-9. Answers how many nodes."""
    tape = tape_of(y, delay)
    mine, river = model_of(task, params, inputs=inputs), model_of(task, params, RIVER, inputs)
    (ours, told), (theirs, complaints) = run(mine, tape, X), run(river, tape, X)

    assert [i for i, _ in told] == [i for i, _ in complaints]
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9)
    assert mine.to_state()["meta"][NODES] == (river._estimator.n_nodes or 1)
    return mine.to_state()["meta"][NODES]


PARAMS = [
    {},
    {"leaf_prediction": "mc"},
    {"leaf_prediction": "nb", "nb_threshold": 30},
    {"binary_split": True},
    {"split_criterion": "gini", "tau": 0.4},
    {"max_depth": 2},
    {"merit_preprune": False, "max_share_to_split": 0.95},
    {"min_branch_fraction": 0.3, "delta": 0.1},
]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("params", PARAMS)
def test_agrees_with_river(task, params):
    X, y = rows_of(task, 2500, seed=len(params))

    assert same(task, X, y, EAGER | params, delay=3) > 4


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("delay", [0, 200])
def test_agrees_with_river_by_default(task, delay):
    X, y = rows_of(task, 6000, seed=9)
    inputs = Inputs(INPUTS.numbers, (), 8, [])

    assert same(task, X, y, delay=delay) > 2
    assert same(task, X[:, :3], y, delay=delay, inputs=inputs) > 2


def test_agrees_with_river_on_interactions_ties_and_constants():
    rng = np.random.default_rng(3)
    X = np.column_stack([rng.poisson(2, 4000), rng.normal(size=4000), np.full(4000, 3.0), rng.integers(0, 2, 4000)])
    X = np.column_stack([X, X[:, 3]])  # twice the same category: of equals, river takes the last
    y = np.where(X[:, 3] == 1, X[:, 0] > 2, X[:, 1] > 0.3) & (rng.random(4000) < 0.9)

    assert same("binary", X, y.astype(float), {"grace_period": 50, "tau": 0.1}) > 5


def test_categories_that_come_late_get_branches_of_their_own():
    rng = np.random.default_rng(4)
    X = np.column_stack([rng.normal(size=3000), np.repeat([0, 1, 2], 1000) - rng.integers(0, 2, 3000)])
    X[X < 0] = 0
    X[2500:, 1] = 3
    y = (X[:, 1] == 1) | (X[:, 0] > 1)
    inputs = Inputs(("a",), ("k",), 8, INPUTS.vocabulary[:1])

    assert same("binary", X, y.astype(float), {"grace_period": 30}, inputs=inputs) > 4


def test_texts_that_become_known_while_it_runs_have_their_place():
    X, y = rows_of("binary", 2000, seed=6)
    order = np.argsort(X[:, 3], kind="stable")  # one category after the other
    X, y = X[order], y[order]
    vocabulary = [["r"], ["w", "x", "y", "z"]]
    inputs = Inputs(("a", "b", "c"), ("k", "m"), 8, vocabulary)
    models = [model_of("binary", EAGER, use, inputs) for use in ("hoeffding_tree", RIVER)]
    answers = [[], []]
    for code, text in enumerate("rpsq"):
        vocabulary[0][code:] = [text]
        rows = X[:, 3] == code
        for model, found in zip(models, answers, strict=True):
            found.append(run(model, tape_of(y[rows], 0), X[rows])[0])

    np.testing.assert_allclose(np.vstack(answers[0]), np.vstack(answers[1]), rtol=0, atol=1e-9)


cells = st.one_of(st.integers(-3, 3).map(float), st.floats(-5, 5), st.sampled_from([math.nan, math.inf, 1e300, -1e150]))
codes = st.sampled_from([0.0, 1.0, 2.0, 3.0, math.nan])
tables = st.lists(st.tuples(cells, cells, codes, codes, st.integers(0, 4)), min_size=1, max_size=60)
choices = st.fixed_dictionaries(
    {"grace_period": st.sampled_from([1, 5, 12]), "tau": st.sampled_from([0.0, 0.05, 0.6])},
    optional={
        "delta": st.sampled_from([1e-7, 0.1, 0.9]),
        "max_depth": st.integers(0, 3),
        "leaf_prediction": st.sampled_from(["mc", "nb", "nba"]),
        "nb_threshold": st.sampled_from([0, 3]),
        "split_criterion": st.sampled_from(["info_gain", "gini"]),
        "binary_split": st.booleans(),
        "merit_preprune": st.booleans(),
        "min_branch_fraction": st.sampled_from([0.0, 0.1, 0.4]),
        "max_share_to_split": st.sampled_from([0.6, 1.0]),
    },
)


@settings(max_examples=300)
@given(st.sampled_from(TASKS), tables, choices, st.integers(0, 5))
def test_any_stream_agrees_with_river(task, rows, params, delay):
    X = np.array([row[:4] for row in rows])
    y = np.array([min(row[4], 1 if task == "binary" else 4) for row in rows], float)
    same(task, X, y, params, delay, Inputs(("a", "b"), ("k", "m"), 8, INPUTS.vocabulary))


VARIANTS = [("binary", {}), ("multiclass", {}), ("binary", {"leaf_prediction": "mc", "binary_split": True})]


@pytest.mark.parametrize(("task", "params"), VARIANTS)
def test_the_cut_does_not_matter_nor_does_an_interruption(task, params):
    X, y = rows_of(task, 300, seed=1)
    tape = tape_of(y, 5)
    whole, _ = run(model_of(task, EAGER | params), tape, X)
    every, _ = run_interrupted(lambda: model_of(task, EAGER | params), tape, X, range(1, len(tape[0])))

    assert every.tobytes() == whole.tobytes()


def test_the_state_does_not_tell_where_it_was_cut_and_restored():
    X, y = rows_of("multiclass", 400, seed=1)
    tape = tape_of(y, 5)
    first, second = model_of("multiclass", EAGER), model_of("multiclass", EAGER)
    run(first, tape, X)
    for start in range(0, len(tape[0]), 50):
        second.run(*(part[start : start + 50] for part in tape), X, np.empty((len(X), 5)))
        state, second = second.to_state(), model_of("multiclass", EAGER)
        second.load(state)

    for name, array in first.to_state().items():
        assert second.to_state()[name].tobytes() == array.tobytes()


@pytest.mark.parametrize("categories", [0, 2])
def test_memory_is_bounded(categories):
    """With no room left a tree keeps learning in the leaves it has."""
    rng = np.random.default_rng(5)
    X = np.column_stack([rng.normal(size=(4000, 2)), rng.integers(0, 12, (4000, categories))])
    y = ((X[:, 0] > 0) != (X[:, 1] > 0)).astype(float)
    inputs = Inputs(("a", "b"), ("k", "m")[:categories], 12, [[f"{i:02}" for i in range(12)]] * categories)
    params = EAGER | {"tau": 0.9, "max_size": 0.03 if categories else 0.008}
    model = model_of("binary", params, inputs=inputs)
    scores, _ = run(model, tape_of(y, 0), X)
    used = model.to_state()["meta"]
    node, row, row_class, cell, cell_class = bytes_each(2 + categories)
    size = used[NODES] * node + used[ROWS] * (row + 2 * row_class) + used[CELLS] * (cell + 2 * cell_class)

    limit = params["max_size"] * 2**20

    assert size <= limit < size + 13 * (node + row + 2 * row_class)
    assert sum(array.nbytes for array in model.to_state().values()) <= size + 48
    assert np.isfinite(scores[7:]).all()
    one_by_one, _ = run_interrupted(
        lambda: model_of("binary", params, inputs=inputs), tape_of(y, 0), X, range(1, 8000, 97)
    )
    assert one_by_one.tobytes() == scores.tobytes()


def test_the_path_through_the_tree_tells_what_each_input_adds():
    X, y = rows_of("multiclass", 2500, seed=2)
    mine, river = model_of("multiclass", EAGER), model_of("multiclass", EAGER, RIVER)
    assert mine.contributions(X[:9]) is None
    for model in (mine, river):
        run(model, tape_of(y, 0), X)
    (how, ours), (also, theirs) = mine.contributions(X[:300]), river.contributions(X[:300])

    assert how == also == "tree path"
    np.testing.assert_allclose(ours, theirs, atol=1e-9)


@pytest.mark.parametrize("task", TASKS)
def test_targets_that_are_no_class_are_messages_and_nothing_else(task):
    X, _ = rows_of(task, 5)
    check_targets_that_are_no_class(model_of(task), X, 2 if task == "binary" else 5)


def test_nothing_is_said_before_the_first_label_and_after_a_reset():
    X, y = rows_of("binary", 300)
    model = model_of("binary", EAGER)
    ask = np.array([PREDICT], np.uint8), np.array([0]), np.array([math.nan])

    assert np.isnan(run(model, ask, X)[0][0]).all()
    first, _ = run(model, tape_of(y, 0), X)
    assert np.isfinite(model.peek(X)).all()
    model.reset()
    assert np.isnan(model.peek(X)).all()
    assert run(model, tape_of(y, 0), X)[0].tobytes() == first.tobytes()


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"grace_perid": 5}, 'unknown parameter "grace_perid" of hoeffding_tree; .*did you mean "grace_period"'),
        ({"grace_period": 2.5}, "grace_period must be a whole number of at least 0, not 2.5"),
        ({"grace_period": True}, "grace_period must be a whole number"),
        ({"delta": 0}, "delta must be a number from 1e-300 to 1, not 0"),
        ({"max_depth": 10**30}, "max_depth must be a whole number from 0 to 1e[+]09"),
        ({"tau": math.inf}, "tau must be a number of at least 0"),
        ({"leaf_prediction": "best"}, "leaf_prediction must be one of mc, nb, nba, not 'best'"),
        ({"split_criterion": "hellinger"}, "split_criterion must be one of info_gain, gini"),
        ({"binary_split": 1}, "binary_split must be true or false, not 1"),
    ],
)
def test_wrong_parameters(params, said):
    with pytest.raises(ValueError, match=said):
        model_of("binary", params)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"hoeffding_tree tells classes apart; task\.type is regression"):
        model_of("regression")
    state = model_of("binary").to_state()
    with pytest.raises(ValueError, match="meta does not have the shape"):
        model_of("binary").load({})
    with pytest.raises(ValueError, match="seen does not have the shape"):
        model_of("binary", inputs=Inputs(("a",), (), 8, [])).load(state)
    many = model_of("multiclass")
    run(many, tape_of(rows_of("multiclass", 300)[1], 0), rows_of("multiclass", 300)[0])
    assert many.to_state()["meta"][CLASSES] == 3
    with pytest.raises(ValueError, match="it has 3 classes"):
        model_of("binary").load(many.to_state())
