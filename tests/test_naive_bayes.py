"""Compiled naive Bayes against river's, cut anywhere, resumed anywhere, on bad input; and as a document."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tapes import check_targets_that_are_no_class, rows_of, run, run_interrupted, tape_of

from stream_app import config
from stream_app.models import PREDICT, Inputs, make_model
from stream_app.models.artefact import export, load

TASKS = ("binary", "multiclass")
INPUTS = Inputs(("a", "b", "c"), ("k", "m"), 8, [["p", "q", "r", "s"], ["w", "x", "y", "z"]])
RIVER = "river.naive_bayes.GaussianNB"
CLASSES = {"binary": ["0", "1"], "multiclass": ["red", "green", "blue"]}


def model_of(task, use="naive_bayes", params=None, inputs=INPUTS, classes=5):
    spec = config.Task(type=task, max_classes=classes)
    return make_model(config.Model(use=use, params=params or {}), spec, inputs, 0)


def same(task, X, y, delay=0, inputs=INPUTS):
    """Both models over the same tape: probabilities to 1e-9, and so the same class unless two are as likely."""
    tape = tape_of(y, delay)
    ours, told = run(model_of(task, inputs=inputs), tape, X)
    theirs, complaints = run(model_of(task, RIVER, inputs=inputs), tape, X)

    assert [i for i, _ in told] == [i for i, _ in complaints]
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9)
    return ours


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("delay", [0, 3, 50])
def test_agrees_with_river(task, delay):
    scores = same(task, *rows_of(task, 1200, seed=delay), delay)
    known = scores[100:]

    assert np.isfinite(known).all()
    assert known.std(axis=0)[0] > 0.1


def test_agrees_with_river_on_counts_constants_and_shares_of_very_different_scales():
    rng = np.random.default_rng(7)
    X = np.column_stack([rng.poisson(2, 800), np.full(800, 3.0), 1e-6 * rng.random(800), 1e6 * rng.normal(size=800)])
    y = (X[:, 0] > 2).astype(float)
    same("binary", X, y, 2, Inputs(("a", "b", "c", "d"), (), 8, []))


cells = st.one_of(
    st.floats(-1e3, 1e3), st.sampled_from([0.0, 1.0, -0.0, math.nan, math.inf, 1e300, 1e150, -1e150, 1e-320])
)
codes = st.sampled_from([0.0, 1.0, 3.0, math.nan])


@settings(max_examples=80)
@given(st.sampled_from(TASKS), st.lists(st.tuples(cells, cells, codes, st.integers(0, 4)), max_size=40), st.data())
def test_any_stream_agrees_with_river(task, rows, data):
    X = np.array([row[:3] for row in rows]).reshape(-1, 3)
    y = np.array([min(row[3], 1 if task == "binary" else 4) for row in rows], float)
    delay = data.draw(st.integers(0, 6))
    if len(rows):
        same(task, X, y, delay, Inputs(("a", "b"), ("k",), 8, [["p", "q", "r", "s"]]))


@pytest.mark.parametrize("task", TASKS)
def test_the_cut_does_not_matter_nor_does_an_interruption(task):
    X, y = rows_of(task, 200, seed=1)
    tape = tape_of(y, 5)
    whole, _ = run(model_of(task), tape, X)
    every, _ = run_interrupted(lambda: model_of(task), tape, X, range(1, len(tape[0])))

    assert every.tobytes() == whole.tobytes()


@pytest.mark.parametrize("task", TASKS)
def test_a_missing_value_changes_nothing_of_its_number_and_categories_say_nothing(task):
    X, y = rows_of(task, 400, seed=2)
    X[:, 1] = [(np.nan, np.inf, -np.inf, 1e300)[i % 4] for i in range(len(X))]
    X[:, 3] = np.arange(len(X)) % 4
    tape = tape_of(y, 0)
    whole, _ = run(model_of(task), tape, X)
    without, _ = run(model_of(task, inputs=Inputs(("a", "c"), (), 8, [])), tape, X[:, [0, 2]])

    assert whole.tobytes() == without.tobytes()


@pytest.mark.parametrize("task", TASKS)
def test_targets_that_are_no_class_are_messages_and_nothing_else(task):
    X, _ = rows_of(task, 5)
    check_targets_that_are_no_class(model_of(task), X, 2 if task == "binary" else 5)


def test_nothing_is_said_before_the_first_label_and_after_a_reset():
    X, y = rows_of("binary", 20)
    model = model_of("binary")
    ask = np.array([PREDICT], np.uint8), np.array([0]), np.array([math.nan])

    assert np.isnan(run(model, ask, X)[0][0]).all()
    run(model, tape_of(y, 0), X)
    assert np.isfinite(model.peek(X)).all()
    model.reset()
    assert np.isnan(model.peek(X)).all()


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"naive_bayes tells classes apart; task\.type is regression"):
        model_of("regression")
    with pytest.raises(ValueError, match=r'naive_bayes takes no parameters, but was given "alpha"'):
        model_of("binary", params={"alpha": 1})
    with pytest.raises(ValueError, match="state of another naive_bayes model: counts does not have the shape"):
        model_of("multiclass").load(model_of("binary").to_state())


def trained(task):
    X, y = rows_of(task, 300, seed=3)
    model = model_of(task)
    run(model, tape_of(y, 0), X)
    return model, X


def exported(task):
    model, _ = trained(task)
    return export(config.Model(use="naive_bayes"), model, config.Task(type=task, max_classes=5), INPUTS, CLASSES[task])


@pytest.mark.parametrize("task", TASKS)
def test_it_comes_back_from_its_document_bit_by_bit(task):
    model, X = trained(task)
    back = load(exported(task), config.Task(type=task, max_classes=5), INPUTS, CLASSES[task], 0)

    assert back.told() == []
    assert back.scoring.peek(X).tobytes() == model.peek(X).tobytes()
    for name, array in model.to_state().items():
        assert back.scoring.to_state()[name].tobytes() == array.tobytes()


@pytest.mark.parametrize("task", TASKS)
def test_inputs_and_classes_are_matched_by_name(task):
    model, X = trained(task)
    inputs = Inputs(("c", "new", "a", "b"), ("m", "k"), 9, [["x"], ["p"]])
    classes = ["blue", "white", "red", "green"] if task == "multiclass" else ["1", "0"]
    back = load(exported(task), config.Task(type=task, max_classes=6), inputs, classes, 0)
    there = np.column_stack([X[:, 2], np.ones(len(X)), X[:, :2], X[:, [4, 3]]])
    here, expected = back.scoring.peek(there), model.peek(X)

    assert back.unused == ("new",)
    if task == "binary":
        np.testing.assert_allclose(here, 1 - expected, atol=1e-12)
    else:
        np.testing.assert_allclose(here[:, [2, 3, 0]], expected[:, :3], atol=1e-12)


def changed(path, value):
    document = json.loads(exported("multiclass"))
    place = document["state"]
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("counts", "pink"), 1, r'\$\.state\.counts: class "pink" does not stand in \$\.classes: red, green, blue'),
        (("counts", "red"), -1, r'\$\.state\.counts\["red"\]: must be at least 0'),
        (("numbers", "d"), {}, r"\$\.state\.numbers: d must stand both here and in \$\.inputs\.numbers"),
        (("numbers", "a", "pink"), {"count": 1, "mean": 1, "squares": 1}, r'numbers\["a"\]: class "pink" does not'),
        (("numbers", "a", "red", "mean"), 1e200, r'numbers\["a"\]\["red"\]\.mean: 1e\+200 is beyond'),
        (("numbers", "a", "red", "squares"), -1, r'numbers\["a"\]\["red"\]: count and squares must be at least 0'),
    ],
)
def test_what_does_not_fit_in_a_document_is_refused_by_its_place(path, value, said):
    with pytest.raises(ValueError, match=said):
        load(changed(path, value), config.Task(type="multiclass", max_classes=5), INPUTS, CLASSES["multiclass"], 0)


def test_a_class_that_this_monitor_has_not_seen_is_left_out():
    back = load(exported("multiclass"), config.Task(type="multiclass", max_classes=5), INPUTS, ["blue", "red"], 0)
    scores = back.scoring.peek(trained("multiclass")[1])

    assert back.unknown_classes == ("green",)
    assert np.isfinite(scores).all()
    assert (scores[:, 2:] == 0).all()
