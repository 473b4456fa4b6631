"""`use = "auto"`: agrees with its slow twin, finds the better model, keeps to its budget, and tells what it did."""

import json
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from command import csv_text, driftline, records, write_config
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_auto import NaiveAuto
from streams import differences, made_stream, run_in_cuts
from test_pipeline import variant
from test_river_model import NAMES, late_tape, paired_tape, stream

from stream_app import config
from stream_app.models import LEARN, PREDICT, Inputs, make_model, width

INPUTS = Inputs(NAMES, (), 8, [])
CLASSES = [
    {"use": "linear"},
    {"use": "linear", "params": {"lr": 1.0}},
    {"use": "river.naive_bayes.GaussianNB"},
    {"use": "river.tree.HoeffdingTreeClassifier", "params": {"grace_period": 20}},
    {"use": "river.neighbors.KNNClassifier", "params": {"engine": {"use": "river.neighbors.LazySearch"}}},
]
NUMBERS = [
    {"use": "linear"},
    {"use": "linear", "params": {"lr": 0.3}},
    {"use": "river.tree.HoeffdingTreeRegressor", "params": {"grace_period": 20}},
]
SETS = {"binary": CLASSES, "multiclass": CLASSES, "regression": NUMBERS}


def models_of(task):
    return [config.Model(use=each["use"], params=each.get("params", {})) for each in SETS[task]]


def task_of(name):
    return config.Task(type=name, max_classes=4)


def auto(task, budget=400, memory=100, models=None):
    params = {"models": models or SETS[task], "budget": budget, "memory": memory}
    return make_model(config.Model(use="auto", params=params), task_of(task), INPUTS, 3)


def scores_for(model, X):
    return np.full((len(X), width(model)), -1.0)


def run(model, tape, X, cuts=(), scores=None):
    scores = scores_for(model, X) if scores is None else scores
    messages = []
    for start, stop in pairwise([0, *cuts, len(tape[0])]):
        messages += [(start + i, text) for i, text in model.run(*(part[start:stop] for part in tape), X, scores)]
    return scores, messages


class Failing:
    """A model that never says anything."""

    outputs = 1

    def run(self, kind, slot, _target, _X, scores):
        scores[slot] = np.nan
        return [(i, "fails") for i in range(len(kind))]


@pytest.mark.parametrize("task", SETS)
@pytest.mark.parametrize("delay", [0, 7])
@pytest.mark.parametrize("budget", [37, 400, 100_000])
def test_agrees_with_its_slow_twin(task, delay, budget):
    X, y = stream(task, 400)
    tape = late_tape(y, delay)
    model = auto(task, budget)
    twin = NaiveAuto([make_model(each, task_of(task), INPUTS, 3) for each in models_of(task)], task, budget, 100)

    scores, messages = run(model, tape, X)
    expected = np.full((len(X), model.outputs), np.nan)
    for kind, slot, target in zip(*tape, strict=True):
        answer = twin.operation(kind, slot, target, X)
        if kind == PREDICT:
            expected[slot] = answer
    told = model.told()

    assert messages == []
    assert scores[:, : model.outputs].tobytes() == expected.tobytes()
    assert (told["spent"], told["labels"], told["events"]) == (twin.spent, twin.labels, 400)
    gone = {k: each["dropped"] for k, each in enumerate(told["candidates"]) if each["dropped"]}
    assert {k: (each["rung"], each["events"]) for k, each in gone.items()} == twin.dropped


@settings(max_examples=25)
@given(st.sampled_from(list(SETS)), st.integers(12, 600), st.integers(0, 9), st.data())
def test_the_cut_does_not_matter(task, budget, delay, data):
    X, y = stream(task, 120)
    tape = late_tape(y, delay)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(tape[0]) - 1), max_size=9)))
    one, other = auto(task, budget), auto(task, budget)

    whole, _ = run(one, tape, X)
    cut, _ = run(other, tape, X, cuts)

    assert whole.tobytes() == cut.tobytes()
    assert one.told() == other.told()
    assert not differences(one.to_state(), other.to_state())


@pytest.mark.parametrize("task", SETS)
@pytest.mark.parametrize("at", [0, 1, 60, 200, 333])
def test_restored_it_goes_on_alike(task, at):
    X, y = stream(task, 200)
    tape = late_tape(y, 5)
    whole, _ = run(auto(task, 300), tape, X)

    before, after = auto(task, 300), auto(task, 300)
    run(after, tape, X, scores=scores_for(after, X))  # a model in use may be loaded too
    scores, _ = run(before, [part[:at] for part in tape], X)
    after.load(before.to_state())
    run(after, [part[at:] for part in tape], X, scores=scores)

    assert scores.tobytes() == whole.tobytes()


def test_the_better_model_is_found_and_the_others_are_gone():
    rng = np.random.default_rng(1)
    X = rng.random((3000, 3))
    y = ((X[:, 0] > 0.5) != (X[:, 1] > 0.5)).astype(float)  # no linear model can tell
    model = auto("binary", 4000)
    scores, _ = run(model, paired_tape(y), X)
    told = model.told()
    alive = [state for state in model.to_state()["models"] if state is not None]
    late = (scores[-500:, 0] > 0.5) == y[-500:]

    assert told["decided"]
    assert told["chosen"].startswith(("KNNClassifier", "HoeffdingTree"))
    assert "the last that was dropped had" in told["why"]
    assert len(alive) == 1
    assert late.mean() > 0.75
    assert all(
        each["dropped"]["worst_kept"] <= each["dropped"]["loss"] for each in told["candidates"] if each["dropped"]
    )


@settings(max_examples=50)
@given(st.integers(9, 3000), st.integers(0, 40))
def test_the_budget_holds_at_every_operation(budget, delay):
    model = auto("regression", budget, models=[*NUMBERS[:2], {"use": "linear", "params": {"lr": 0.1}}])
    X, y = stream("regression", 300)
    scores, spent = scores_for(model, X), []
    for i in range(0, 600, 25):
        run(model, [part[i : i + 25] for part in late_tape(y, delay)], X, scores=scores)
        spent.append(model.told()["spent"])

    assert spent == sorted(spent)
    assert spent[-1] <= budget
    assert model.told()["decided"] == (budget - spent[-1] < 2)


def test_without_labels_the_first_of_the_set_stays():
    model = auto("binary", 100)
    X = np.random.default_rng(0).random((200, 3))
    run(model, (np.full(200, PREDICT, np.uint8), np.arange(200), np.full(200, math.nan)), X)
    told = model.told()

    assert (told["chosen"], told["decided"], told["labels"]) == ("linear", True, 0)
    assert told["why"] == "first of the set: no label was there to choose by"
    assert {each["loss"] for each in told["candidates"]} == {None}


def test_it_explains_and_peeks_as_the_model_in_use_and_stays_as_it_is():
    X, y = stream("binary", 300)
    model = auto("binary", 300, models=CLASSES[:2])
    alone = make_model(models_of("binary")[1], task_of("binary"), INPUTS, 3)
    run(model, paired_tape(y), X)
    run(alone, paired_tape(y), X, scores=np.full((300, 1), -1.0))
    before = model.to_state()

    assert model.told()["chosen"] == "linear(lr=1.0)"
    assert model.peek(X).tobytes() == alone.peek(X).tobytes()
    assert np.array_equal(model.contributions(X)[1], alone.contributions(X)[1])
    assert not differences(model.to_state(), before)


def test_a_reset_begins_a_new_choice_that_counts_no_older_row():
    X, y = stream("binary", 300)
    model, fresh = auto("binary", 100), auto("binary", 100)
    tape = late_tape(y, 20)
    scores, _ = run(model, [part[:200] for part in tape], X)
    spent = model.told()["spent"]
    model.reset()
    begun = model.told()
    waiting = sorted(set(tape[1][:200]) - set(tape[1][:200][tape[0][:200] != PREDICT]))
    learn = (np.full(len(waiting), LEARN, np.uint8), np.array(waiting), y[waiting])
    run(model, learn, X, scores=scores)

    assert spent > 0
    assert (begun["spent"], begun["choice"], begun["decided"]) == (0, 2, False)
    assert [each["dropped"] for each in begun["candidates"]] == [None] * 5
    assert (len(waiting) > 9, model.told()["labels"]) == (True, 0)

    run(fresh, learn, X, scores=scores_for(fresh, X))
    rest = [part[300:] for part in tape]
    assert run(model, rest, X)[0][:, 0].tobytes() == run(fresh, rest, X)[0][:, 0].tobytes()


def test_only_what_goes_wrong_in_the_model_in_use_is_told():
    X, y = stream("binary", 200)
    model = auto("binary", 10_000, models=CLASSES[:2])
    model._models[0] = Failing()
    _, messages = run(model, paired_tape(y), X)
    told = model.told()

    assert messages == [(i, "fails") for i in range(100)]  # fifty labels until somebody looks
    assert [each["failures"] for each in told["candidates"]] == [400, 0]
    assert (told["candidates"][0]["loss"], told["chosen"]) == (1.0, "linear(lr=1.0)")


def test_targets_that_cannot_be_learned_change_no_choice():
    X, y = stream("regression", 200)
    bad = y.copy()
    bad[::3] = np.nan
    bad[1::3] = 1e300
    model = auto("regression", 1000)
    _, messages = run(model, paired_tape(bad), X)

    assert len(messages) == 134
    assert model.told()["labels"] == 66
    assert all(math.isfinite(each["loss"]) for each in model.told()["candidates"])


def test_a_state_of_another_set_is_refused():
    with pytest.raises(ValueError, match=r"state of another set of models: linear, linear\(lr=1.0\)"):
        auto("binary", models=CLASSES[:2]).load(auto("binary").to_state())


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"modls": []}, "params.modls: unknown key"),
        ({"models": [{"use": "linear", "params": {"lrr": 1}}, {"use": "linear"}]}, r'params.models\[0\]: .*"lrr"'),
        ({"models": [{"use": "river.cluster.KMeans"}, {"use": "linear"}]}, r"params.models\[0\]: .*needs a classifier"),
    ],
)
def test_parameters_that_cannot_be_are_refused(params, told):
    with pytest.raises(ValueError, match=told):
        make_model(config.Model(use="auto", params=params), task_of("binary"), INPUTS, 3)


def test_an_anomaly_task_has_no_labels_to_choose_by():
    with pytest.raises(ValueError, match="params: auto chooses by labels"):
        make_model(config.Model(use="auto"), task_of("anomaly"), INPUTS, 3)


@pytest.mark.parametrize("task", SETS)
def test_the_default_set_can_be_made(task):
    model = make_model(config.Model(use="auto"), task_of(task), INPUTS, 3)
    X, y = stream(task, 50)

    assert run(model, paired_tape(y), X)[1] == []
    assert len(model.told()["candidates"]) > 4


def test_the_core_tells_the_choice_in_its_metrics():
    found, pipeline = run_in_cuts(variant("auto"), made_stream(seed=1, events=1500), [])
    choices = [json.loads(value) for _, key, _, value in found["metrics"] if key == "choice:champion"]
    told = pipeline.score.choices()["champion"]

    assert {each["choice"] for each in choices} == {1}
    assert any(each["decided"] for each in choices)
    assert len({each["chosen"] for each in choices}) > 1
    assert pipeline.summary()["choices"] == {"champion": told}
    assert set(told) <= set(choices[-1])


def test_the_command_line_prints_the_set_the_budget_and_what_was_chosen(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text(csv_text(records(600)))
    file = write_config(tmp_path, "events.csv")
    text = (tmp_path / file).read_text()
    (tmp_path / file).write_text(text.replace("[measure]", '[model]\nuse = "auto"\n[measure]', 1))
    plan = driftline(tmp_path, "check", file)
    done = driftline(tmp_path, "run", file, "--json")
    (summary,) = [json.loads(line) for line in done.stdout.splitlines()]
    told = summary["choices"]["champion"]

    assert "champion: one of linear(lr=0.01), linear(lr=0.1)" in plan.stdout
    assert "200,000 model-events may be spent on the others" in plan.stdout
    assert told["spent"] == 6 * summary["events"]
    assert f"champion uses {told['chosen']}, one of 7 left of 7: fading loss" in done.stderr
