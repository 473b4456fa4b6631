"""A Hoeffding tree as a document: it comes back, by names in another monitor, and what does not fit is refused."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tapes import rows_of, run, tape_of

from stream_app import config
from stream_app.models import Inputs, make_model
from stream_app.models.artefact import export, load

TASKS = ("binary", "multiclass")
INPUTS = Inputs(("a", "b", "c"), ("k", "m"), 8, [["p", "q", "r", "s"], ["w", "x", "y", "z"]])
CLASSES = {"binary": ["0", "1"], "multiclass": ["red", "green", "blue"]}
MODEL = config.Model(use="hoeffding_tree", params={"grace_period": 20, "tau": 0.2, "delta": 1e-3})


def task_of(task, classes=5):
    return config.Task(type=task, max_classes=classes)


def trained(task, model=MODEL):
    X, y = rows_of(task, 1500, seed=4)
    made = make_model(model, task_of(task), INPUTS, 0)
    run(made, tape_of(y, 0), X)
    return made, X, y


def exported(task, model=MODEL):
    return export(model, trained(task, model)[0], task_of(task), INPUTS, CLASSES[task])


def back_from(document, task, inputs=INPUTS, classes=None):
    return load(document, task_of(task), inputs, classes or CLASSES[task], 0)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("params", [{}, {"binary_split": True, "leaf_prediction": "nb"}, {"max_depth": 1}])
def test_it_comes_back_and_learns_on_alike(task, params):
    model = config.Model(use="hoeffding_tree", params=MODEL.params | params)
    mine, X, y = trained(task, model)
    document = exported(task, model)
    back = back_from(document, task)

    assert back.told() == []
    assert export(model, back.scoring, task_of(task), INPUTS, CLASSES[task]) == document
    assert {node["node"] for node in json.loads(document)["state"]["nodes"]} >= {"leaf", "number"}
    shuffled = back_from(json.dumps(json.loads(document), sort_keys=True).encode(), task)
    assert export(model, shuffled.scoring, task_of(task), INPUTS, CLASSES[task]) == document
    again, _ = run(back.scoring, tape_of(y, 3), X)
    assert again.tobytes() == run(mine, tape_of(y, 3), X)[0].tobytes()


@pytest.mark.parametrize("task", TASKS)
def test_inputs_categories_and_classes_are_matched_by_name(task):
    mine, X, _ = trained(task)
    vocabulary = [["z", "x", "new", "w", "y"], ["s", "r", "q", "p"]]
    inputs = Inputs(("c", "new", "a", "b"), ("m", "k"), 9, vocabulary)
    classes = ["blue", "white", "red", "green"] if task == "multiclass" else ["1", "0"]
    back = back_from(exported(task), task, inputs, classes)
    there = np.column_stack([X[:, 2], np.ones(len(X)), X[:, :2], X[:, [4, 3]]])
    for j, (theirs, ours) in enumerate(zip(vocabulary, INPUTS.vocabulary[::-1], strict=True), 4):
        known = ~np.isnan(there[:, j])
        there[known, j] = [theirs.index(ours[int(code)]) for code in there[known, j]]
    here, expected = back.scoring.peek(there), mine.peek(X)

    assert back.unused == ("new",)
    assert back.told() == ["not used by it: 1 of this monitor's inputs: new"]
    if task == "binary":
        np.testing.assert_allclose(here, 1 - expected, atol=1e-12)
    else:
        np.testing.assert_allclose(here[:, [2, 3, 0]], expected[:, :3], atol=1e-12)


def test_what_this_monitor_has_not_seen_is_left_out_and_told():
    inputs = Inputs(INPUTS.numbers, INPUTS.categories, 8, [["r"], ["z", "w"]])
    back = back_from(exported("multiclass"), "multiclass", inputs, ["blue", "red"])
    X = rows_of("multiclass", 200)[0]
    X[:, 3:] = np.clip(X[:, 3:], 0, 0)
    scores = back.scoring.peek(X)
    again = export(MODEL, back.scoring, task_of("multiclass"), inputs, ["blue", "red"])

    assert back.unknown["m"] == ("x", "y")
    assert set(back.unknown["k"]) <= {"p", "q", "s"}
    assert back.unknown_classes == ("green",)
    assert (scores[:, 2:][~np.isnan(scores[:, 2:])] == 0).all()
    assert back_from(again, "multiclass", inputs, ["blue", "red"]).scoring.peek(X).tobytes() == scores.tobytes()


LEAF = {"node": "leaf", "counts": {"0": 3.0}}
NUMBER = {"node": "number", "input": "a", "threshold": 1.0, "branches": [1, 2]}
MOMENTS = {"count": 3, "mean": 1, "squares": 2, "least": 0, "most": 2}
SEEN = {"input": "a", "moments": {"0": MOMENTS}}


def document_of(*nodes):
    found = json.loads(exported("binary"))
    found["state"]["nodes"] = list(nodes)
    return json.dumps(found).encode()


def test_another_program_can_write_one():
    one = {"node": "category", "input": "k", "category": "q", "branches": [3, 4]}
    yes = {"node": "leaf", "counts": {"0": 1.0, "1": 3.0}, "right": 1.0}
    back = back_from(document_of(NUMBER, one, LEAF, yes, LEAF), "binary")
    X = np.array([[0.5, 0, 0, 1, 0], [0.5, 0, 0, 2, 0], [2.0, 0, 0, 1, 0], [math.nan, 0, 0, math.nan, 0]])

    assert back.scoring.peek(X)[:, 0].tolist() == [0.75, 0.0, 0.0, 0.75]


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ([], r"\$\.state\.nodes: must begin with the root"),
        ([LEAF, LEAF], r"\$\.state\.nodes: must begin with the root, and each other node be a branch"),
        ([NUMBER, LEAF], r"nodes\[0\]\.branches: 2 is no node behind this one"),
        ([NUMBER | {"branches": [1, 1]}, LEAF], r"nodes\[0\]\.branches: 1 is no node behind this one that is no other"),
        ([NUMBER | {"branches": [0, 1]}, LEAF], r"nodes\[0\]\.branches: 0 is no node behind this one"),
        ([NUMBER | {"branches": [1]}, LEAF], r"nodes\[0\]\.branches: must be 2, not 1"),
        ([NUMBER | {"input": "k"}, LEAF, LEAF], r'nodes\[0\]\.input: "k" does not stand in \$\.inputs\.numbers'),
        ([NUMBER | {"input": "age"}, LEAF, LEAF], r'nodes\[0\]\.input: "age" does not stand in'),
        ([{"node": "categories", "input": "k", "categories": [], "branches": []}], r"must be one or more, not 0"),
        ([LEAF | {"counts": {"2": 1.0}}], r'nodes\[0\]\.counts: class "2" does not stand in \$\.classes: 0, 1'),
        ([LEAF | {"counts": {"0": -1.0}}], r"nodes\[0\]\.counts: must be at least 0, not -1"),
        ([LEAF | {"classes": ["0", "1"]}], r"nodes\[0\]\.counts: its classes must name each of 0 once"),
        ([LEAF | {"watched": [{"input": "a"}]}], r"nodes\[0\]\.watched\[0\]\.input: \"a\" does not stand in"),
        ([LEAF | {"watched": [{"input": "k"}]}], r"nodes\[0\]\.watched\[0\]: must have moments or counts"),
        (
            [LEAF | {"watched": [SEEN, SEEN]}],
            r"watched\[1\]: must have moments or counts, of an input that",
        ),
        ([LEAF | {"watched": [SEEN | {"input": "k"}]}], r'\.input: "k" does not stand in \$\.inputs\.numbers'),
        (
            [LEAF | {"watched": [SEEN | {"moments": {"0": MOMENTS | {"mean": 1e200}}}]}],
            r"nodes\[0\]\.watched\[0\]: mean, least and most must be within",
        ),
        ([{"node": "twig"}], r"\$\.state\.nodes\[0\]\.node: invalid value 'twig'"),
    ],
)
def test_what_does_not_fit_is_refused_by_its_place(nodes, said):
    with pytest.raises(ValueError, match=said):
        back_from(document_of(*nodes), "binary")


@settings(max_examples=60)
@given(st.data())
def test_damage_is_a_value_error_or_harmless(data):
    document = bytearray(exported("multiclass", config.Model(use="hoeffding_tree")))
    for _ in range(data.draw(st.integers(1, 4))):
        document[data.draw(st.integers(0, len(document) - 1))] = data.draw(st.integers(0, 255))
    try:
        back = back_from(bytes(document), "multiclass")
    except ValueError:
        return
    X, y = rows_of("multiclass", 50)
    run(back.scoring, tape_of(y, 0), X)
