"""Files of models: the seal on pickles, what is refused and how it is told, and a pickle that would run a program."""

import json
import os
import pickle

import numpy as np
import pytest
from river import linear_model, naive_bayes

from stream_app import config
from stream_app.edges.artefacts import from_river_pickle, read
from stream_app.errors import SourceError, StateError
from stream_app.models import LEARN, Inputs
from stream_app.models.artefact import export, fresh, load
from stream_app.models.document import MAX_BYTES
from stream_app.models.pickling import dumps
from stream_app.models.seal import sign, verified

KEY, OTHER = b"k" * 32, b"o" * 32
TASK, CLASSES = config.Task(), ["0", "1"]
INPUTS = Inputs(("a",), (), 8, [])


def document_of(use):
    model = config.Model(use=use)
    scoring = fresh(model, TASK, INPUTS, 0)
    X = np.arange(6.0).reshape(-1, 1)
    scoring.run(np.full(6, LEARN, np.uint8), np.arange(6), np.arange(6.0) % 2, X, np.empty((6, 1)))
    return export(model, scoring, TASK, INPUTS, CLASSES)


def scores_of(document):
    return load(document, TASK, INPUTS, CLASSES, 0).scoring.peek(np.array([[2.5]])).tolist()


LINEAR, RIVER = document_of("linear"), document_of("river.naive_bayes.GaussianNB")


@pytest.mark.parametrize("document", [LINEAR, RIVER])
def test_what_was_signed_is_read_back(document):
    signed = sign(document, KEY)

    assert scores_of(verified(signed, KEY)) == scores_of(document)
    assert sign(signed, KEY) == signed
    assert verified(json.dumps(json.loads(signed), indent=3).encode(), KEY) == signed


def test_a_pickle_needs_a_signature_and_plain_data_none():
    assert scores_of(verified(LINEAR, KEY)) == scores_of(LINEAR)
    with pytest.raises(StateError, match=r"holds a pickle and is not signed: export it where it was trained"):
        verified(RIVER, KEY)


@pytest.mark.parametrize(
    "change",
    [
        {"use": "river.dummy.PriorClassifier"},
        {"state": {"river": "0", "pickle": ""}},
        {"params": {"x": 1}},
        {"signature": "0" * 64},
        {"signature": 7},
        {"signature": "é"},
        {"artefact": 1.0},
    ],
)
def test_any_change_is_found(change):
    tree = json.loads(sign(RIVER, KEY)) | change
    with pytest.raises(StateError, match=r"signed with another key, or altered: set DRIFTLINE_STATE_KEY"):
        verified(json.dumps(tree).encode(), KEY)


def test_a_use_that_is_not_known_to_be_plain_needs_a_signature():
    for use in ("Linear", "river", None, ["linear"]):
        with pytest.raises(StateError, match="not signed"):
            verified(json.dumps({"use": use}).encode(), KEY)


def test_another_key_is_found():
    with pytest.raises(StateError, match="signed with another key"):
        verified(sign(RIVER, OTHER), KEY)
    with pytest.raises(StateError, match="signed with another key"):
        verified(sign(LINEAR, OTHER), KEY)


def test_two_values_for_one_key_do_not_hide_a_pickle():
    """What is verified is written anew, so that no other reader finds another value in the same bytes."""
    twice = RIVER.replace(
        b'"use": "river.naive_bayes.GaussianNB"', b'"use": "river.naive_bayes.GaussianNB", "use": "linear"'
    )

    assert twice != RIVER
    assert b"river.naive" not in verified(twice, KEY)


@pytest.mark.parametrize("data", [b"", b"[1]", b"{", b"\xff\xfe", b"[" * 100_000, b" " * (MAX_BYTES + 1)])
def test_what_is_no_artefact_is_refused(data):
    with pytest.raises(StateError, match=r"^the artefact is (damaged|no JSON object|larger)"):
        verified(data, KEY)


def test_files_are_read_by_their_name(tmp_path):
    own = naive_bayes.GaussianNB()
    for i in range(6):
        own.learn_one({"a": float(i)}, bool(i % 2))
    (tmp_path / "own.pickle").write_bytes(pickle.dumps(own))
    (tmp_path / "safe.pkl").write_bytes(dumps(own))
    (tmp_path / "linear.json").write_bytes(LINEAR)
    (tmp_path / "river.json").write_bytes(sign(RIVER, KEY))
    given = TASK, INPUTS, CLASSES, KEY

    expected = own.predict_proba_one({"a": 2.5})[True]
    for name in ("own.pickle", "safe.pkl", "river.json"):
        assert scores_of(read(tmp_path / name, *given)) == [[expected]]
    assert scores_of(from_river_pickle(tmp_path / "own.pickle", TASK, INPUTS, CLASSES)) == [[expected]]
    assert scores_of(read(tmp_path / "linear.json", *given)) == scores_of(LINEAR)


def test_a_pickle_that_runs_a_program_does_not(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path}/ran",)

    path = tmp_path / "model.pickle"
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(
        SourceError, match=r"model\.pickle: the saved model asks for posix\.system, which is not allowed"
    ):
        from_river_pickle(path, TASK, INPUTS, CLASSES)
    path.rename(tmp_path / "model.json")
    with pytest.raises(SourceError, match=r"model\.json: the artefact is damaged, or no JSON"):
        read(tmp_path / "model.json", TASK, INPUTS, CLASSES, KEY)
    (tmp_path / "model.json").rename(tmp_path / "model.onnx")
    with pytest.raises(SourceError, match=r"model\.onnx: no ONNX file"):
        read(tmp_path / "model.onnx", TASK, INPUTS, CLASSES, KEY)

    assert not (tmp_path / "ran").exists()


def test_arrays_in_a_plain_pickle_are_refused_with_the_way_out(tmp_path):
    model = linear_model.BayesianLinearRegression()
    model.learn_one({"a": 1.0}, 1.0)
    path, task = tmp_path / "model.pickle", config.Task(type="regression")
    path.write_bytes(pickle.dumps(model))
    with pytest.raises(SourceError, match=r"numpy.*write it with stream_app\.models\.pickling\.dumps\(model\)"):
        from_river_pickle(path, task, INPUTS, [])
    path.write_bytes(dumps(model))

    assert from_river_pickle(path, task, INPUTS, [])


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(SourceError, match=r"none\.json cannot be read: No such file"):
        read(tmp_path / "none.json", TASK, INPUTS, CLASSES, KEY)
    large = tmp_path / "large.onnx"
    with large.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(SourceError, match=r"large\.onnx is larger than 64 MiB"):
        read(large, TASK, INPUTS, CLASSES, KEY)
