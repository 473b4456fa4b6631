"""ONNX models: the layouts that exporters make, row by row whatever the cut, and what is never run."""

import json
import math
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from waiting import TIMEOUT_S

from stream_app import config
from stream_app.edges.snapshots import decode, encode
from stream_app.models import FORGET, LEARN, PREDICT, Inputs, make_model
from stream_app.models.artefact import export, fresh, from_onnx, load
from stream_app.models.onnx_file import check

BINARY = config.Task(classes=("no", "yes"))
MULTI = config.Task(type="multiclass", max_classes=4)
REGRESSION = config.Task(type="regression")
INPUTS = Inputs(("a", "b b"), ("c",), 8, [["x", "y", "z"]])
FLOAT, TEXT = FloatTensorType([None, 1]), StringTensorType([None, 1])


def frame(rows=300, seed=0):
    rng = np.random.default_rng(seed)
    numbers = {name: rng.normal(size=rows).astype(np.float32) for name in ("a", "b b")}
    table = pd.DataFrame(numbers | {"c": rng.choice(["x", "y", ""], rows)})
    table.loc[::7, "a"] = np.nan
    return table


def matrix_of(table, inputs=INPUTS):
    """The rows as the monitor has them: numbers, then codes; the empty text is a missing category."""
    codes = table["c"].map({text: float(code) for code, text in enumerate(inputs.vocabulary[0])})
    return np.column_stack([table[[*inputs.numbers]].astype(float), codes])


def pipeline_of(table, y, model):
    parts = [("n", SimpleImputer(), ["a", "b b"]), ("c", OneHotEncoder(handle_unknown="ignore"), ["c"])]
    return make_pipeline(ColumnTransformer(parts, sparse_threshold=0), model).fit(table, y)


def exported(pipeline, **options):
    types = [("a", FLOAT), ("b b", FLOAT), ("c", TEXT)]
    return to_onnx(pipeline, initial_types=types, options=options or None).SerializeToString()


def loaded(data, task, known, monitor=INPUTS, params=None, /, **fields):
    """The model of a bare file in a monitor that knows some classes, some fields of the document set otherwise."""
    document = json.loads(from_onnx(data, task, monitor, known, params)) | fields
    return load(json.dumps(document).encode(), task, monitor, known, 0)


def graph(nodes, given, answers, initializers=(), **options):
    """A file made by hand; `given` and `answers` are name → (type, shape)."""
    put = [helper.make_tensor_value_info(name, *of) for name, of in given.items()]
    out = [helper.make_tensor_value_info(name, *of) for name, of in answers.items()]
    made = helper.make_graph(nodes, "made by hand", put, out, list(initializers))
    opsets = [helper.make_opsetid(domain, 1 if domain else 13) for domain in ("", *options.pop("domains", ()))]
    return helper.make_model(made, opset_imports=opsets, ir_version=8, **options)


def plain(op="Identity", shape=("n", 2), answer=("n", 2), element=TensorProto.FLOAT, **attributes):
    """One operator from "X" to "P"."""
    node = helper.make_node(op, ["X"], ["P"], **attributes)
    return graph([node], {"X": (element, shape)}, {"P": (element, answer)})


NUMBERS = Inputs(("p", "q"), (), 8, [])


def of_numbers(model, **fields):
    return loaded(model.SerializeToString(), BINARY, ["no", "yes"], NUMBERS, **fields)


def test_a_classifier_by_columns_answers_as_where_it_was_trained():
    table = frame()
    y = np.where(table["b b"] + (table["c"] == "x") > 0, "yes", "no")
    pipeline = pipeline_of(table, y, LogisticRegression())
    back = loaded(exported(pipeline, zipmap=False), BINARY, ["no", "yes"])
    swapped = loaded(exported(pipeline, zipmap=False), BINARY, ["yes", "no"], classes=["no", "yes"])
    X = matrix_of(table)

    np.testing.assert_allclose(back.scoring.peek(X)[:, 0], pipeline.predict_proba(table)[:, 1], atol=1e-6)
    np.testing.assert_allclose(swapped.scoring.peek(X)[:, 0], pipeline.predict_proba(table)[:, 0], atol=1e-6)
    assert back.told() == []


def test_many_classes_are_matched_by_their_text():
    table = frame()
    y = np.array(["blue", "green", "red"])[np.arange(len(table)) % 3]
    pipeline = pipeline_of(table, y, LogisticRegression())
    data, theirs = exported(pipeline, zipmap=False), pipeline.predict_proba(table)
    back = loaded(data, MULTI, ["red", "white", "blue"], classes=["blue", "green", "red"])
    scores = back.scoring.peek(matrix_of(table))

    np.testing.assert_allclose(scores[:, [0, 2]], theirs[:, [2, 0]], atol=1e-6)
    assert (scores[:, [1, 3]] == 0).all()
    assert back.unknown_classes == ("green",)


def test_a_regression_and_one_matrix_for_all_numbers():
    table = frame().fillna(0)
    y = 3 * table["a"] - table["b b"]
    model = GradientBoostingRegressor(n_estimators=20).fit(table[["a", "b b"]].to_numpy(), y)
    data = to_onnx(model, initial_types=[("X", FloatTensorType([None, 2]))]).SerializeToString()
    turned = Inputs(("b b", "other", "a"), (), 8, [])
    numbers = {"numbers": ["a", "b b"], "categories": []}
    back = loaded(data, REGRESSION, [], turned, inputs=numbers)
    X = np.column_stack([table["b b"], np.ones(len(table)), table["a"]]).astype(float)

    np.testing.assert_allclose(back.scoring.peek(X)[:, 0], model.predict(table[["a", "b b"]].to_numpy()), rtol=1e-5)
    assert back.unused == ("other",)


def test_one_matrix_of_texts_beside_one_of_numbers():
    text = helper.make_node("Gather", ["C", "one"], ["second"], axis=1)
    encode = helper.make_node(
        "LabelEncoder", ["second"], ["code"], domain="ai.onnx.ml", keys_strings=["x", "y"], values_floats=[1.0, 2.0]
    )
    first = helper.make_node("Gather", ["X", "one"], ["number"], axis=1)
    total = helper.make_node("Add", ["code", "number"], ["P"])
    one = numpy_helper.from_array(np.array([1]), "one")
    model = graph(
        [text, encode, first, total],
        {"X": (TensorProto.FLOAT, ("n", 2)), "C": (TensorProto.STRING, ("n", 2))},
        {"P": (TensorProto.FLOAT, ("n", 1))},
        [one],
        domains=["ai.onnx.ml"],
    )
    model.opset_import[1].version = 2
    inputs = Inputs(("p", "q"), ("c", "d"), 8, [["y", "x"], ["x", "y"]])
    scoring = loaded(model.SerializeToString(), REGRESSION, [], inputs).scoring

    assert scoring.peek(np.array([[5.0, 7.0, 1.0, 1.0], [5.0, 8.0, 1.0, 0.0]]))[:, 0].tolist() == [9.0, 9.0]


def batch_sensitive():
    """A regression whose answer depends on how many rows go into one call, and its rows."""
    table = frame(500).fillna(0)
    numbers = table[["a", "b b"]].to_numpy()
    model = GradientBoostingRegressor().fit(numbers, np.random.default_rng(1).normal(size=len(table)))
    return to_onnx(model, initial_types=[("X", FloatTensorType([None, 2]))]).SerializeToString(), numbers


def test_the_answer_does_not_depend_on_the_cut_though_the_kernels_do():
    data, numbers = batch_sensitive()
    session = onnxruntime.InferenceSession(data)
    together = session.run(None, {"X": numbers})[0][:, 0]
    scoring = loaded(data, REGRESSION, [], NUMBERS).scoring
    X = numbers.astype(float)
    whole = scoring.peek(X)[:, 0]
    one_by_one = np.concatenate([scoring.peek(X[i : i + 1])[:, 0] for i in range(len(X))])
    pieces = np.concatenate([scoring.peek(part)[:, 0] for part in np.split(X, [3, 64, 65, 300])])

    assert whole.tobytes() == one_by_one.tobytes() == pieces.tobytes()
    np.testing.assert_allclose(whole, together, atol=1e-5)


def test_it_does_not_learn_and_comes_back_from_its_state():
    scoring = of_numbers(plain()).scoring
    X = np.array([[0.25, 0.75], [1.0, 0.0]])
    tape = np.array([PREDICT, LEARN, PREDICT, FORGET], np.uint8), np.array([0, 0, 1, 1])
    scores = np.full((2, 1), -1.0)
    messages = scoring.run(*tape, np.array([math.nan, 1.0, math.nan, math.nan]), X, scores)
    scoring.reset()
    other = fresh(config.Model(use="onnx"), BINARY, NUMBERS, 0)
    before = other.peek(X)
    other.load(decode(encode(scoring.to_state(), config_digest="", key=None), config_digest="", key=None))

    assert (scores.tolist(), messages) == ([[0.75], [0.0]], [])
    assert np.isnan(before).all()
    assert other.peek(X).tolist() == scoring.peek(X).tolist() == scores.tolist()
    assert scoring.contributions(X) is None


def test_doubles_are_not_rounded():
    scoring = of_numbers(plain(element=TensorProto.DOUBLE)).scoring

    assert scoring.peek(np.array([[0.0, 0.1], [0.0, math.inf]]))[0].tolist() == [0.1]


def test_export_and_load_give_the_same_document():
    model = config.Model(use="onnx", params={"input": "X"})
    data = plain().SerializeToString()
    document = from_onnx(data, BINARY, NUMBERS, ["no", "yes"], model.params)
    back = load(document, BINARY, NUMBERS, ["no", "yes"], 0)

    assert back.model == model
    assert export(back.model, back.scoring, BINARY, NUMBERS, ["no", "yes"]) == document


def test_what_is_no_probability_is_no_prediction():
    scoring = of_numbers(plain()).scoring
    X = np.array([[0.5, 0.5], [math.nan, 0.5], [3.0, -2.0], [math.inf, 0.5], [1e300, 0.5], [0.0, 1.0000001]])
    scores = np.full((6, 1), -1.0)
    kind = np.zeros(6, np.uint8)
    messages = scoring.run(kind, np.arange(6), np.full(6, math.nan), X, scores)

    assert scores[[0, 5], 0].tolist() == [0.5, 1.0]
    assert np.isnan(scores[1:5]).all()
    assert [i for i, _ in messages] == [1, 2, 3, 4]
    assert messages[0][1] == "the model answered [nan, 0.5]"
    assert messages[1][1] == "the model answered [3.0, -2.0], which are no probabilities"


def test_the_probability_of_the_second_class_alone_is_enough():
    model = plain("ReduceMax", answer=("n", 1), axes=[1], keepdims=1)
    X = np.array([[0.25, 0.0]])

    assert of_numbers(model).scoring.peek(X).tolist() == [[0.25]]
    assert of_numbers(model, classes=["yes", "no"]).scoring.peek(X).tolist() == [[0.75]]


def refusal(model, task=BINARY, known=("no", "yes"), monitor=NUMBERS, params=None, /, **fields):
    data = model if isinstance(model, bytes) else model.SerializeToString()
    with pytest.raises(ValueError, match=r".") as error:
        loaded(data, task, list(known), monitor, params, **fields)
    return str(error.value)


def test_what_does_not_fit_the_monitor_is_refused():
    integers = plain(element=TensorProto.INT64)

    assert 'input "X" takes 3 numbers, the artefact lists 2' in refusal(plain(shape=("n", 3), answer=("n", 3)))
    assert 'input "X" takes tensor(int64); declare it float' in refusal(integers)
    assert "must be [n, columns] for any n" in refusal(plain(shape=(10, 2), answer=(10, 2)))
    assert "must be [n, columns] for any n" in refusal(plain(shape=("n", 2, 2), answer=("n", 2, 2)))
    assert "gives 2 values for a row, not one value" in refusal(plain(), REGRESSION, ())
    assert "gives 2 values for a row, not 3 probabilities" in refusal(plain(), MULTI, "abc")
    assert "name the classes in the order" in refusal(plain(), MULTI, ())
    assert "does not do task anomaly" in refusal(plain(), config.Task(type="anomaly"))
    assert "takes params input and output" in refusal(plain(), BINARY, ("no", "yes"), NUMBERS, {"threads": 2})
    assert "name the output of floats in params.output; outputs: P" in refusal(
        plain(), BINARY, ("no", "yes"), NUMBERS, {"output": "Q"}
    )
    assert '"X" is named like none of the categories' in refusal(plain(element=TensorProto.STRING))
    assert "tells no, maybe apart, this monitor's are no, yes" in refusal(plain(), classes=["no", "maybe"])


def test_maps_of_probabilities_are_refused_with_the_way_out():
    table = frame()
    pipeline = pipeline_of(table, np.where(table["b b"] > 0, "yes", "no"), LogisticRegression())

    assert "options={'zipmap': False}" in refusal(exported(pipeline), BINARY, ("no", "yes"), INPUTS)


def test_a_model_that_refuses_unknown_categories_is_refused():
    table = frame()
    parts = [("c", OneHotEncoder(), ["c"])]
    y = np.where(table["b b"] > 0, "yes", "no")
    strict = make_pipeline(ColumnTransformer(parts, sparse_threshold=0), LogisticRegression()).fit(
        table[["c"]].replace("", "z"), y
    )
    data = to_onnx(strict, initial_types=[("c", TEXT)], options={"zipmap": False}).SerializeToString()

    assert 'OneHotEncoder(handle_unknown="ignore")' in refusal(data, BINARY, ("no", "yes"), INPUTS)


def test_only_standard_operators_are_run():
    custom = helper.make_node("Anything", ["X"], ["P"], domain="com.example")
    put, out = {"X": (TensorProto.FLOAT, ("n", 2))}, {"P": (TensorProto.FLOAT, ("n", 2))}
    inner = helper.make_graph([custom], "inner", [], [helper.make_tensor_value_info("P", TensorProto.FLOAT, None)])
    yes = numpy_helper.from_array(np.array(True), "yes")
    hidden = helper.make_node("If", ["yes"], ["P"], then_branch=inner, else_branch=inner)
    noise = helper.make_node("RandomNormalLike", ["X"], ["P"])

    assert "operator com.example.Anything is not of the ONNX standard" in refusal(
        graph([custom], put, out, domains=["com.example"])
    )
    assert "operator com.example.Anything" in refusal(graph([hidden], put, out, [yes], domains=["com.example"]))
    assert "operator RandomNormalLike is random" in refusal(graph([noise], put, out))
    assert "operator Loop may never end" in refusal(
        graph([helper.make_node("Loop", ["", ""], ["P"], body=inner)], put, out)
    )


def test_data_outside_the_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret").write_bytes(np.ones(2, np.float32).tobytes())
    weights = numpy_helper.from_array(np.ones(2, np.float32), "w")
    onnx.external_data_helper.set_external_data(weights, "secret")
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    add = helper.make_node("Mul", ["X", "w"], ["P"])
    put, out = {"X": (TensorProto.FLOAT, ("n", 2))}, {"P": (TensorProto.FLOAT, ("n", 2))}
    constant = helper.make_node("Constant", [], ["w"], value=weights)

    assert 'tensor "w" lies in another file' in refusal(graph([add], put, out, [weights]))
    assert 'tensor "w" lies in another file' in refusal(graph([constant, add], put, out))


@pytest.mark.parametrize("data", [b"", b"junk", b"\x80\x04K\x01.", b"{}"])
def test_what_is_no_onnx_file_is_refused(data):
    with pytest.raises(ValueError, match="no ONNX file"):
        check(data)


def test_a_damaged_file_is_a_value_error_or_harmless():
    data = plain().SerializeToString()
    rng = np.random.default_rng(5)
    for _ in range(300):
        broken = bytearray(data)
        broken[rng.integers(len(data))] = rng.integers(256)
        try:
            scoring = loaded(
                bytes(broken[: rng.integers(len(data) // 2, len(data) + 1)]), BINARY, ["no", "yes"], NUMBERS
            )
        except ValueError:
            continue
        scoring.scoring.peek(np.array([[0.5, 0.5]]))


def test_a_configuration_cannot_name_one():
    with pytest.raises(ValueError, match="comes in by `driftline models add CONFIG FILE`"):
        make_model(config.Model(use="onnx"), BINARY, NUMBERS, 0)


def test_without_onnxruntime_the_way_out_is_told():
    program = (
        "import sys; sys.modules['onnxruntime'] = None\n"
        "from stream_app import config\n"
        "from stream_app.models import Inputs\n"
        "from stream_app.models.artefact import fresh\n"
        "fresh(config.Model(use='onnx'), config.Task(), Inputs(('a',), (), 8, []), 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=TIMEOUT_S
    )

    assert "ValueError: ONNX models need onnxruntime: pip install 'driftline[onnx]'" in done.stderr
