"""The example trainers: what they train answers in the monitor as in scikit-learn, and the whole program runs."""

import base64
import csv
import importlib
import io
import json
import math
import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command import driftline
from loops import CONFIG, turning
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from waiting import TIMEOUT_S

from stream_app import config
from stream_app.models import Inputs
from stream_app.models.artefact import load

EXAMPLES = Path(__file__).parent.parent / "docs" / "examples"
CLASSES = {"binary": ["late", "early"], "multiclass": ["red", "green", "blue"], "regression": []}
LABELS = {"binary": lambda s: "late" if s > 0 else "early", "regression": lambda s: repr(3 * s + 40)}
LABELS["multiclass"] = lambda s: "red" if s < -0.5 else "green" if s < 0.5 else "blue"
TEXT = """
name = "example"
[schema]
label = "y"
[schema.fields]
distance = {{ type = "number" }}
"dep delay" = {{ type = "number", required = false }}
carrier = {{ type = "category", required = false }}
gate = {{ type = "category" }}
[task]
type = "{task}"
classes = {classes}
"""


@pytest.fixture
def examples(monkeypatch):
    """The example programs as modules."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return importlib.import_module("retrain"), importlib.import_module("retrain_onnx")


def config_text(task):
    return TEXT.format(task=task, classes=json.dumps(CLASSES[task]))


def rows_of(task, rows=400, seed=0):
    """What `driftline rows` prints: texts of digits, gaps, a constant feature, rows that have no label yet."""
    rng = np.random.default_rng(seed)
    out = io.StringIO()
    write = csv.writer(out).writerow
    write(["offset", "id", "time", "distance", "dep delay", "mean_1h", "carrier", "gate", "y"])
    for i in range(rows):
        distance, delay = rng.normal(900, 300), rng.normal(0, 20)
        carrier, gate = rng.choice(["UA", "EV", 'ü,"x"', ""]), rng.choice(["1", "2"])
        signal = (distance - 900) / 300 + delay / 40 + (carrier == "EV") - (gate == "1") / 2 + rng.normal(0, 0.3)
        shown = "" if i % 11 == 0 else repr(float(np.float32(delay)))
        label = "" if i % 13 == 0 else LABELS[task](float(signal))
        write(
            [i, f"id{i}", 1_700_000_000_000 + i, repr(float(np.float32(distance))), shown, "5.0", carrier, gate, label]
        )
    return out.getvalue().encode()


def inputs_of(X, texts):
    """The monitor's inputs, with texts seen in an order of their own."""
    numbers = ("mean_1h", "distance", "dep delay")
    return Inputs(numbers, ("gate", "carrier"), 16, [list(dict.fromkeys(X[name])) for name in texts])


def matrix_of(X, inputs):
    columns = [X[name].to_numpy() for name in inputs.numbers]
    for field, texts in zip(inputs.categories, inputs.vocabulary, strict=True):
        columns.append([texts.index(text) if text else math.nan for text in X[field]])
    return np.column_stack(columns).astype(float)


def scores_of(document, X, task):
    """What the monitor answers with the artefact, as many columns as it has answers, and what it says of it."""
    inputs = inputs_of(X, ("gate", "carrier"))
    found = config.Task(type=task, classes=tuple(CLASSES[task]), max_classes=8)
    back = load(document.encode(), found, inputs, CLASSES[task], 0)
    columns = 3 if task == "multiclass" else 1
    return back.scoring.peek(matrix_of(X, inputs))[:, :columns], back.told()


def expected(model, X, task):
    """What scikit-learn answers, in the monitor's order."""
    if task == "regression":
        return model.predict(X)[:, None]
    order = list(model.classes_)
    shares = model.predict_proba(X)[:, [order.index(text) for text in CLASSES[task]]]
    return shares[:, 1:] if task == "binary" else shares


def twin(X, y, task):
    """The same model as retrain.linear by scikit-learn's own preprocessing; a missing value is the mean."""
    fields = ["carrier", "gate"]
    known = [sorted({*X[field]} - {""}) for field in fields]
    parts = [
        ("n", StandardScaler(), ["distance", "dep delay", "mean_1h"]),
        ("c", OneHotEncoder(categories=known, handle_unknown="ignore", sparse_output=False), fields),
    ]
    filled = X.fillna({"dep delay": X["dep delay"].mean()})
    if task == "regression":
        mean, deviation = y.astype(float).mean(), y.astype(float).std(ddof=0)
        model = make_pipeline(ColumnTransformer(parts), Ridge()).fit(filled, (y.astype(float) - mean) / deviation)
        return lambda: model.predict(filled)[:, None] * deviation + mean
    model = make_pipeline(ColumnTransformer(parts), LogisticRegression(max_iter=1000)).fit(filled, y)
    return lambda: expected(model, filled, task)


@pytest.mark.parametrize("task", CLASSES)
def test_the_linear_model_answers_in_the_monitor_as_in_scikit_learn(examples, task):
    retrain, _ = examples
    X, y = retrain.table(rows_of(task), {"schema": {"fields": fields()}})
    scores, told = scores_of(retrain.artefact(X, y, task, "linear", retrain.linear, {}), X, task)

    assert told == []
    # there the mean stands in for a missing value before the variance is taken, here after: close, not equal
    np.testing.assert_allclose(scores, twin(X, y, task)(), atol=0.03)


@pytest.mark.parametrize("task", CLASSES)
def test_without_gaps_they_agree_to_rounding(examples, task):
    retrain, _ = examples
    X, y = retrain.table(rows_of(task), {"schema": {"fields": fields()}})
    X = X.fillna(1.5)
    scores, _ = scores_of(retrain.artefact(X, y, task, "linear", retrain.linear, {}), X, task)

    np.testing.assert_allclose(scores, twin(X, y, task)(), atol=1e-3)


@pytest.mark.parametrize("task", CLASSES)
def test_the_boosted_trees_pass_through_onnx(examples, task):
    retrain, retrain_onnx = examples
    X, y = retrain.table(rows_of(task), {"schema": {"fields": fields()}})
    scores, told = scores_of(retrain.artefact(X, y, task, "onnx", retrain_onnx.boosted, {}), X, task)
    truth = y.astype(float) if task == "regression" else [CLASSES[task].index(text) for text in y]

    assert told == []
    if task == "regression":
        assert np.corrcoef(scores[:, 0], truth)[0, 1] > 0.95
    else:
        guess = scores[:, 0] > 0.5 if task == "binary" else scores.argmax(axis=1)
        assert np.mean(guess == np.array(truth)) > 0.9


def test_two_of_many_classes_are_enough(examples):
    retrain, _ = examples
    X, y = retrain.table(rows_of("multiclass"), {"schema": {"fields": fields()}})
    X, y = X[y != "green"], y[y != "green"]
    scores, _ = scores_of(retrain.artefact(X, y, "multiclass", "linear", retrain.linear, {}), X, "multiclass")

    np.testing.assert_allclose(scores[:, [0, 2]].sum(axis=1), 1)
    assert np.mean((scores[:, 0] > 0.5) == (y == "red")) > 0.9


def test_an_exporters_mistake_is_not_registered(examples):
    _, retrain_onnx = examples
    X, y = examples[0].table(rows_of("regression"), {"schema": {"fields": fields()}})
    state, _ = retrain_onnx.boosted(X, y, "regression")
    data = base64.b64decode(state["onnx"])
    X = X.astype(dict.fromkeys(("distance", "dep delay", "mean_1h"), "float32"))
    with pytest.raises(SystemExit, match="answers otherwise"):
        retrain_onnx.check(data, X, np.zeros(len(X)))


def fields():
    return {"distance": {"type": "number"}, "carrier": {"type": "category"}, "gate": {"type": "category"}}


@pytest.mark.parametrize("program", ["retrain.py", "retrain_onnx.py"])
@pytest.mark.parametrize("task", ["binary", "regression"])
def test_the_whole_program_asks_for_the_rows_and_adds_the_model(tmp_path, program, task):
    done, calls = start(tmp_path, program, task, rows_of(task))
    X = pd.read_csv(io.BytesIO(rows_of(task)), dtype=str, keep_default_na=False)
    X = X.astype({"distance": float, "mean_1h": float}).assign(**{"dep delay": pd.to_numeric(X["dep delay"])})
    document = (tmp_path / "added.json").read_text()
    scores, told = scores_of(document, X, task)

    assert done.returncode == 0, done.stderr
    assert calls[0] == ["rows", "monitor.toml", "--from", "17", "--shard", "3"]
    assert calls[1][:3] == ["models", "add", "monitor.toml"]
    assert calls[1][4:] == ["--trigger", "example/0/t1", "--shard", "3"]
    assert json.loads(document)["about"]["trigger"] == "example/0/t1"
    assert told == []
    assert np.isfinite(scores).all()


def test_too_few_rows_are_no_failure(tmp_path):
    done, calls = start(tmp_path, "retrain.py", "binary", rows_of("binary", 40))

    assert done.returncode == 0, done.stderr
    assert "36 labelled rows, 2 different labels: too few to learn from" in done.stderr
    assert [call[0] for call in calls] == ["rows"]


def start(folder, program, task, rows):
    """Runs the program with a trigger, a `driftline` on the PATH that notes how it was called, and its calls."""
    (folder / "rows.csv").write_bytes(rows)
    (folder / "monitor.toml").write_text(config_text(task))
    stand_in = folder / "driftline"
    stand_in.write_text(
        f"#!{sys.executable}\nimport json, shutil, sys\n"
        "print(json.dumps(sys.argv[1:]), file=open('calls', 'a'))\n"
        "if sys.argv[1] == 'rows': sys.stdout.buffer.write(open('rows.csv', 'rb').read())\n"
        "else: shutil.copy(sys.argv[4], 'added.json')\n"
    )
    stand_in.chmod(stand_in.stat().st_mode | stat.S_IXUSR)
    trigger = {
        "id": "example/0/t1",
        "source": "driftline/example/3",
        "data": {"train": {"stream": "events", "from_offset": 17, "to_offset": 416}},
    }
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / program), "monitor.toml"],
        check=False,
        input=json.dumps(trigger),
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=TIMEOUT_S,
        env=os.environ | {"PATH": f"{folder}:{os.environ['PATH']}", "PATIENCE_S": "0"},
    )
    return done, [json.loads(line) for line in (folder / "calls").read_text().splitlines()]


@pytest.mark.parametrize("program", ["retrain.py", "retrain_onnx.py"])
def test_a_trigger_is_answered_by_a_real_model_that_proves_better(tmp_path, monkeypatch, program):
    """The whole way: run, trigger, training outside, registration, trial, promotion; the trigger answered once."""
    records = [raw for _, raw in turning(4500, (2500,))]
    text = CONFIG.replace("LINES", "").replace('action = "challenge"', 'action = "notify"')
    (tmp_path / "turns.toml").write_text(text.replace("[schema]", '[source]\nevents = "e.jsonl"\n[schema]'))
    command = tmp_path / "driftline"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m stream_app.cli "$@"\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(EXAMPLES.parent.parent))

    def call(*words):
        done = driftline(tmp_path, *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    (tmp_path / "e.jsonl").write_bytes(b"\n".join(records[:2800]) + b"\n")
    call("run", "turns.toml")
    for _ in range(2 if program == "retrain.py" else 1):  # twice: as a subscriber that begins again
        call("triggers", "turns.toml", "--exec", f"{sys.executable} {EXAMPLES / program} turns.toml")
    (tmp_path / "e.jsonl").write_bytes(b"\n".join(records) + b"\n")
    call("run", "turns.toml")
    versions = [json.loads(line) for line in call("models", "list", "turns.toml", "--json").splitlines()]

    assert [(each["version"], each["status"], each["kind"]) for each in versions] == [
        ("v1", "archived", "initial"),
        ("v2", "champion", "imported"),
    ]
    assert versions[1]["use"] == ("linear" if program == "retrain.py" else "onnx")
