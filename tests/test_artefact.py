"""Artefacts: what is exported comes back bit by bit, by names in another monitor, and what does not fit is refused."""

import json
import math
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import compose, dummy, linear_model, preprocessing, tree

from stream_app import config
from stream_app.models import LEARN, PREDICT, Inputs
from stream_app.models.artefact import MAX_BYTES, export, fresh, from_river, load
from stream_app.models.document import FORMAT
from stream_app.models.pickling import dumps

TASKS = ("binary", "multiclass", "regression")
CLASSES = {"binary": ["no", "yes"], "multiclass": ["red", "green", "blue"], "regression": []}
finite = st.floats(-1e6, 1e6)
cells = st.one_of(finite, st.just(math.nan), st.just(math.inf))


def task_of(kind):
    return config.Task(type=kind, classes=tuple(CLASSES[kind]), max_classes=5)


def inputs_of(texts=("ua", "ev", "")):
    return Inputs(("a", "b"), ("carrier",), 8, [list(texts)])


def pairs(rows):
    kind = np.tile(np.array([PREDICT, LEARN], np.uint8), rows)
    return kind, np.repeat(np.arange(rows), 2)


def stream(kind, rows=60, seed=0):
    """Rows with missing values, and labels of the task."""
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.normal(5, 2, rows), rng.normal(0, 1e3, rows), rng.integers(0, 3, rows)])
    X[rng.random(X.shape) < 0.1] = np.nan
    y = {
        "binary": rng.integers(0, 2, rows),
        "multiclass": rng.integers(0, 3, rows),
        "regression": rng.normal(0, 9, rows),
    }
    return X, y[kind].astype(float)


def run(model, X, y):
    kind, slot = pairs(len(X))
    scores = np.full((len(X), model.outputs), -1.0)
    messages = model.run(kind, slot, np.repeat(y, 2), X, scores)
    return scores, messages


def trained(kind, params=None, use="linear", texts=("ua", "ev", "")):
    model = config.Model(use=use, params=params or {})
    scoring = fresh(model, task_of(kind), inputs_of(texts), 0)
    run(scoring, *stream(kind))
    return model, scoring


def exported(kind, **options):
    return export(*trained(kind, **options), task_of(kind), inputs_of(), CLASSES[kind])


def loaded(document, kind, inputs=None, classes=None):
    return load(document, task_of(kind), inputs or inputs_of(), classes or CLASSES[kind], 0)


def changed(document, path, value):
    """The document with one place set, or removed."""
    tree = json.loads(document)
    *above, last = path
    place = tree
    for name in above:
        place = place[name]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return json.dumps(tree).encode()


@pytest.mark.parametrize("kind", TASKS)
def test_a_linear_model_comes_back_bit_by_bit_and_learns_on_alike(kind):
    model, scoring = trained(kind)
    back = loaded(export(model, scoring, task_of(kind), inputs_of(), CLASSES[kind]), kind)
    X, y = stream(kind, seed=1)

    assert back.model == model
    assert back.told() == []
    for name, array in scoring.to_state().items():
        assert back.scoring.to_state()[name].tobytes() == array.tobytes()
    assert run(back.scoring, X, y)[0].tobytes() == run(scoring, X, y)[0].tobytes()


@given(st.sampled_from(TASKS), st.lists(st.tuples(cells, cells, st.sampled_from([0.0, 1.0, 2.0, math.nan]), finite)))
@settings(max_examples=60, deadline=None)
def test_any_linear_model_comes_back(kind, rows):
    scoring = fresh(config.Model(), task_of(kind), inputs_of(), 0)
    X = np.array([row[:3] for row in rows]).reshape(-1, 3)
    y = np.array([row[3] if kind == "regression" else float(row[3] > 0) for row in rows])
    run(scoring, X, y)
    document = export(config.Model(), scoring, task_of(kind), inputs_of(), CLASSES[kind])
    back = loaded(document, kind)

    assert back.scoring.peek(X).tobytes() == scoring.peek(X).tobytes()
    assert export(back.model, back.scoring, task_of(kind), inputs_of(), CLASSES[kind]) == document


@pytest.mark.parametrize("kind", TASKS)
def test_inputs_categories_and_classes_are_matched_by_name(kind):
    """The same model in a monitor with all in another order, and more of each, answers the same."""
    model, scoring = trained(kind)
    document = export(model, scoring, task_of(kind), inputs_of(), CLASSES[kind])
    other = Inputs(("new", "b", "a"), ("carrier",), 16, [["", "zz", "ev", "ua"]])
    classes = ["blue", "white", "red", "green"] if kind == "multiclass" else CLASSES[kind][::-1]
    back = load(document, config.Task(type=kind, max_classes=7), other, classes, 0)
    X, _ = stream(kind, seed=1)
    code = np.array([3.0, 2.0, 0.0])
    there = np.column_stack([np.ones(len(X)), X[:, 1], X[:, 0], X[:, 2]])
    known = ~np.isnan(X[:, 2])
    there[known, 3] = code[X[known, 2].astype(int)]
    here, expected = back.scoring.peek(there), scoring.peek(X)

    assert back.unused == ("new",)
    assert back.told() == ["not used by it: 1 of this monitor's inputs: new"]
    if kind == "binary":
        expected = 1 - expected  # the classes are the other way round
    if kind == "multiclass":
        expected = np.column_stack([expected[:, [2]], 0 * expected[:, 0], expected[:, :2]])
    np.testing.assert_allclose(here[:, : expected.shape[1]], expected, atol=1e-12)


def test_what_this_monitor_has_not_seen_is_left_out_and_told():
    document = exported("multiclass")
    back = loaded(document, "multiclass", inputs_of(("ev",)), ["green", "red"])

    assert back.unknown == {"carrier": ("ua", "")}
    assert back.unknown_classes == ("blue",)
    assert back.told() == [
        "left out, for not seen here yet: 2 of its categories of carrier: ua, ",
        "left out, for not seen here yet: 1 of its classes: blue",
    ]
    assert np.isfinite(back.scoring.peek(np.array([[1.0, 2.0, 0.0]]))).all()


def test_another_program_can_write_one():
    document = {
        "artefact": 1,
        "use": "linear",
        "task": "binary",
        "classes": ["no", "yes"],
        "inputs": {"numbers": ["a"], "categories": ["carrier"]},
        "state": {
            "numbers": {"a": {"mean": 10, "variance": 4, "count": 500, "weight": 1.5}},
            "categories": {"carrier": {"ev": -1}},
            "intercept": 0.25,
        },
        "about": {"by": "hand"},
    }
    back = loaded(json.dumps(document).encode(), "binary")
    score = 0.25 + 1.5 * (13 - 10) / 2 - 1

    assert back.about == {"by": "hand"}
    assert back.unused == ("b",)
    assert back.scoring.peek(np.array([[13.0, 7.0, 1.0]])).tolist() == [[1 / (1 + math.exp(-score))]]
    assert back.scoring.peek(np.array([[math.nan, 7.0, math.nan]])).tolist() == [[1 / (1 + math.exp(-0.25))]]


@pytest.mark.parametrize("kind", TASKS)
@pytest.mark.parametrize("use", ["river.tree.HoeffdingTreeClassifier", "river.naive_bayes.GaussianNB"])
def test_a_river_model_comes_back_and_learns_on_alike(kind, use):
    use = "river.tree.HoeffdingTreeRegressor" if kind == "regression" else use
    model, scoring = trained(kind, use=use)
    back = loaded(export(model, scoring, task_of(kind), inputs_of(), CLASSES[kind]), kind)
    X, y = stream(kind, seed=1)

    assert back.model == model
    assert run(back.scoring, X, y)[0].tobytes() == run(scoring, X, y)[0].tobytes()


PLACES = [
    (("artefact",), 2, r"\$\.artefact: version 2 of the format"),
    (("use",), "linaer", r'\$\.use: unknown model "linaer"'),
    (("task",), "regression", r"\$\.task: the model is for a regression task, this monitor's is binary"),
    (("params",), {"lrr": 1}, r'\$\.params: unknown parameter "lrr"'),
    (("inputs", "numbers"), ["a", "b", "age"], r"\$\.inputs\.numbers: this monitor has no number age.*it has: a, b;"),
    (("inputs", "categories"), ["a"], r"\$\.inputs\.categories: this monitor has no category a"),
    (("inputs", "numbers"), ["a", "b", "b"], r"\$\.inputs: a number stands there twice"),
    (("inputs", "numbers"), ["a"], r"\$\.state\.numbers: b must stand both here and in \$\.inputs\.numbers"),
    (("classes",), ["no", "maybe"], r"\$\.classes: the model tells no, maybe apart, this monitor's are no, yes"),
    (("state", "numbers", "a", "weight"), "x", r"\$\.state\.numbers\[\.\.\.\]\.weight: expected"),
    (("state", "numbers", "a", "weight"), math.nan, "damaged, or no JSON"),
    (("state", "numbers", "a", "weight"), {"no": 1}, r'\$\.state\.numbers\["a"\]\.weight: must be one number'),
    (("state", "numbers", "a", "mean"), 1e200, r'\$\.state\.numbers\["a"\]\.mean: 1e\+200 is beyond'),
    (("state", "numbers", "a", "variance"), -1, r'\$\.state\.numbers\["a"\]: variance and count must be at least 0'),
    (("state", "numbers", "a", "count"), None, r"\$\.state\.numbers\[\.\.\.\]: object missing required field `count`"),
    (("state", "intercept"), None, r"\$\.state: object missing required field `intercept`"),
    (("surprise",), 1, "unknown field `surprise`"),
]


@pytest.mark.parametrize(("path", "value", "message"), PLACES)
def test_what_does_not_fit_is_refused_by_its_place(path, value, message):
    with pytest.raises(ValueError, match=message):
        loaded(changed(exported("binary"), path, value), "binary")


def test_a_scaled_regression_needs_its_target_and_many_classes_their_weights():
    with pytest.raises(ValueError, match=r"\$\.state\.target: missing"):
        loaded(changed(exported("regression"), ("state", "target"), None), "regression")
    many = exported("multiclass")
    with pytest.raises(ValueError, match=r"\$\.state\.intercept: must be an object"):
        loaded(changed(many, ("state", "intercept"), 1.0), "multiclass")
    with pytest.raises(ValueError, match=r'\$\.state\.intercept: class "pink" does not stand in \$\.classes'):
        loaded(changed(many, ("state", "intercept"), {"pink": 1.0}), "multiclass")


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_damage_is_a_value_error_or_harmless(data):
    document = bytearray(exported("multiclass"))
    for _ in range(data.draw(st.integers(1, 4))):
        document[data.draw(st.integers(0, len(document) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.one_of(st.none(), st.integers(0, len(document))))
    try:
        back = loaded(bytes(document[:cut]), "multiclass")
    except ValueError:
        return
    back.scoring.peek(np.array([[1.0, 2.0, 0.0]]))


@pytest.mark.parametrize("document", [b"", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"artefact": "1"}'])
def test_what_is_no_artefact_is_refused(document):
    with pytest.raises(ValueError, match=r"damaged|expected|missing"):
        loaded(document, "binary")


def test_what_is_too_large_is_refused():
    with pytest.raises(ValueError, match=r"64\.0 MiB, at most 64 are taken: train a smaller one"):
        loaded(b" " * (MAX_BYTES + 1), "binary")


def test_parameters_that_json_cannot_hold_are_refused():
    model = config.Model(use="river.tree.HoeffdingTreeClassifier", params={"max_size": math.inf})
    scoring = fresh(model, task_of("binary"), inputs_of(), 0)
    with pytest.raises(ValueError, match=r"\$\.params\.max_size: inf cannot be written"):
        export(model, scoring, task_of("binary"), inputs_of(), CLASSES["binary"])


def of_river(estimator, kind="binary"):
    return from_river(dumps(estimator), task_of(kind), inputs_of(), CLASSES[kind])


def test_a_river_object_of_the_users_own_goes_on_where_it_was():
    own = preprocessing.StandardScaler() | linear_model.LogisticRegression(l2=0.01)
    X, y = stream("binary")
    rows = [{name: value for name, value in zip("ab", row, strict=False) if value == value} for row in X.tolist()]
    for row, label in zip(rows, y, strict=True):
        own.learn_one(row, bool(label))
    back = loaded(of_river(own), "binary")

    assert back.model.use == "river.preprocessing.StandardScaler | river.linear_model.LogisticRegression"
    assert back.model.params == {"LogisticRegression": {"l2": 0.01}}
    expected = [own.predict_proba_one(row)[True] for row in rows]
    no_category = np.column_stack([X[:, :2], np.full(len(X), np.nan)])
    assert back.scoring.peek(no_category)[:, 0].tolist() == expected


def test_what_of_a_river_object_cannot_be_told_is_named():
    model = tree.HoeffdingTreeClassifier(nominal_attributes={1, 2})
    assert loaded(of_river(model), "binary").about == {
        "parameters_left_out": ["HoeffdingTreeClassifier.nominal_attributes"]
    }
    with pytest.raises(ValueError, match="Select takes its parts by position"):
        of_river(compose.Select("a") | linear_model.LogisticRegression())
    with pytest.raises(ValueError, match="needs a classifier"):
        of_river(linear_model.LinearRegression())
    with pytest.raises(ValueError, match="holds dict, which is no river model"):
        from_river(dumps({}), task_of("binary"), inputs_of(), [])


def test_labels_of_another_form_are_found():
    model = dummy.PriorClassifier()
    model.learn_one({}, "yes")
    with pytest.raises(ValueError, match="has learned the label 'yes'; a binary monitor gives it False and True"):
        of_river(model)


def test_a_river_model_with_other_codes_or_another_river_is_refused():
    document = exported("multiclass", use="river.naive_bayes.GaussianNB")
    with pytest.raises(
        ValueError, match=r"\$\.classes: the model was trained for the classes red, green, blue, in this"
    ):
        loaded(document, "multiclass", classes=["green", "red", "blue"])
    with pytest.raises(ValueError, match=r"saved by river 0\.1.*install river==0\.1"):
        loaded(changed(document, ("state", "river"), "0.1"), "multiclass")
    with pytest.raises(ValueError, match=r"\$\.state\.pickle: state of another model"):
        loaded(changed(document, ("use",), "river.dummy.PriorClassifier"), "multiclass")
    with pytest.raises(ValueError, match=r"\$\.state\.pickle: the saved model is damaged"):
        loaded(changed(document, ("state", "pickle"), "AAAA"), "multiclass")


def test_the_example_of_the_documents_loads():
    text = (Path(__file__).parent.parent / "docs" / "training.md").read_text()
    (example,) = re.findall(r"^```json\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    inputs = Inputs(("distance",), ("carrier",), 8, [["EV"]])
    back = load(example.encode(), config.Task(), inputs, ["0", "1"], 0)
    score = -1.3 - 0.31 * (900 - 1040.2) / math.sqrt(541000) - 0.4

    assert back.scoring.peek(np.array([[900.0, 0.0]]))[0, 0] == pytest.approx(1 / (1 + math.exp(-score)))
    assert back.unknown == {"carrier": ("UA",)}


def test_the_format_has_a_version():
    assert json.loads(exported("binary"))["artefact"] == FORMAT == 1


def test_the_cut_of_the_stream_does_not_matter_after_loading():
    document = exported("binary")
    X, y = stream("binary", seed=3)
    whole, _ = run(loaded(document, "binary").scoring, X, y)
    model, pieces = loaded(document, "binary").scoring, []
    for start, stop in pairwise([0, 7, 8, 40, len(X)]):
        pieces.append(run(model, X[start:stop], y[start:stop])[0])

    assert np.vstack(pieces).tobytes() == whole.tobytes()
