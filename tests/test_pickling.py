"""River models survive as bytes and learn on identically; bytes that ask for anything else are refused."""

import builtins
import io
import os
import pickle
import random
import subprocess
import sys

import numpy as np
import pytest
from river import anomaly, compose, forest, linear_model, naive_bayes, neighbors, optim, preprocessing, rules, tree

from stream_app.models.pickling import dumps, loads

CLASSIFIERS = {
    "logistic": lambda: preprocessing.StandardScaler() | linear_model.LogisticRegression(optim.Adam()),
    "softmax": lambda: preprocessing.StandardScaler() | linear_model.SoftmaxRegression(),
    "passive aggressive": linear_model.PAClassifier,
    "adaptive tree": lambda: tree.HoeffdingAdaptiveTreeClassifier(grace_period=50, seed=1),
    "random forest": lambda: forest.ARFClassifier(n_models=3, seed=1),
    "mondrian forest": lambda: forest.AMFClassifier(n_estimators=2, seed=1),
    "naive bayes": naive_bayes.GaussianNB,
    "neighbours": lambda: neighbors.KNNClassifier(engine=neighbors.LazySearch(50)),
}
REGRESSORS = {
    "bayesian": linear_model.BayesianLinearRegression,
    "tree": lambda: tree.HoeffdingTreeRegressor(grace_period=50),
    "rules": lambda: rules.AMRules(n_min=50),
    "arf": lambda: forest.ARFRegressor(n_models=2, seed=1),
}


def rows(count, seed=0):
    rng = random.Random(seed)
    return [{name: rng.random() for name in "abcd"} for _ in range(count)]


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers_learn_on_identically(name):
    model = CLASSIFIERS[name]()
    for x in rows(300):
        model.learn_one(x, x["a"] > x["b"])
    copy = loads(dumps(model))
    for x in rows(300, seed=1):
        assert copy.predict_proba_one(x) == model.predict_proba_one(x)
        model.learn_one(x, x["a"] < x["c"])
        copy.learn_one(x, x["a"] < x["c"])


@pytest.mark.parametrize("name", REGRESSORS)
def test_regressors_learn_on_identically(name):
    model = REGRESSORS[name]()
    for x in rows(300):
        model.learn_one(x, x["a"] - x["b"])
    copy = loads(dumps(model))
    for x in rows(300, seed=1):
        assert copy.predict_one(x) == model.predict_one(x)
        model.learn_one(x, x["a"] * x["c"])
        copy.learn_one(x, x["a"] * x["c"])


def test_an_anomaly_detector_learns_on_identically():
    model = compose.Pipeline(preprocessing.MinMaxScaler(), anomaly.HalfSpaceTrees(window_size=50, seed=1))
    for x in rows(120):
        model.learn_one(x)
    copy = loads(dumps(model))
    for x in rows(120, seed=1):
        assert copy.score_one(x) == model.score_one(x)
        model.learn_one(x)
        copy.learn_one(x)


def test_a_chain_deeper_than_the_stack():
    """A rising input makes a search tree that is a list; a plain pickler runs out of stack at some 300 links."""
    model = tree.HoeffdingTreeRegressor(grace_period=10**6)
    for i in range(3000):
        model.learn_one({"t": float(i)}, float(i % 13))
    with pytest.raises(RecursionError):
        pickle.dumps(model)
    copy = loads(dumps(model))
    for i in range(3000, 3100):
        model.learn_one({"t": float(i)}, 1.0)
        copy.learn_one({"t": float(i)}, 1.0)

    assert dumps(copy) == dumps(loads(dumps(model)))


@pytest.mark.parametrize(
    "value",
    [
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.array(["a", "bc"]),
        np.float64(0.1),
        np.bool_(1),
        np.zeros((0, 3)),
    ],
)
def test_numpy_values(value):
    copy = loads(dumps([value, value]))

    assert copy[0] is copy[1]
    assert type(copy[0]) is type(value)
    assert (copy[0].dtype, copy[0].shape, copy[0].tolist()) == (value.dtype, value.shape, value.tolist())
    assert copy[0].flags.f_contiguous == value.flags.f_contiguous


def test_generators_go_on():
    for generator in (random.Random(3), np.random.RandomState(3)):
        generator.random()
        copy = loads(dumps(generator))

        assert [copy.random() for _ in range(1000)] == [generator.random() for _ in range(1000)]


class Reduced:
    """Pickles as the call of anything."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def named(module, name, protocol=4):
    """Write a pickle that calls `module.name()`."""
    if protocol < 4:
        return f"c{module}\n{name}\n(tR.".encode()
    texts = b"".join(b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, name))
    return b"\x80\x04" + texts + b"\x93)R."


@pytest.mark.parametrize(
    "call",
    [
        (os.system, "true"),
        (builtins.eval, "1"),
        (builtins.exec, "1"),
        (builtins.open, "x"),
        (builtins.__import__, "os"),
        (getattr, random.Random, "__init__"),
        (getattr, "text", "format"),
        (setattr, [], "x", 1),
        (subprocess.Popen, ["true"]),
        (io.open, "x"),
        (np.load, "x"),
        (np.save, "x", 1),
        (np.dtype, "O"),
        (np.ndarray, (2,), "O", b"A" * 16),
        (np.frombuffer, b"A" * 8),
        (type, "X", (), {}),
    ],
)
def test_foreign_calls_are_refused(call):
    with pytest.raises(ValueError, match="not allowed"):
        loads(pickle.dumps(Reduced(*call)))


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("posix", "system"),
        ("river.utils.pandas", "importlib.util.find_spec"),  # what a river module has imported
        ("river.utils.pandas", "importlib"),
        ("river.base.base", "inspect"),
        ("river.base.base", "copy.os.system"),
        ("river.compose.pipeline", "io.open"),
        ("river.compose.pipeline", "Pipeline.__init__"),
        ("river.compose.pipeline", "Pipeline.__init__.__globals__"),
        ("river.naive_bayes.gaussian", "GaussianNB._make_gaussian.__globals__"),
        ("river.naive_bayes.gaussian", "GaussianNB.mutate"),
        ("river.linear_model", "LogisticRegression"),  # only where it is written
        ("river.datasets", "Keystroke"),
        ("river.datasets.base", "RemoteDataset"),
        ("river.bandit.datasets.news", "NewsArticles"),
        ("river.stream.iter_csv", "iter_csv"),
        ("river.compat.river_to_sklearn", "River2SKLClassifier"),
        ("river.utils.context_managers", "log_method_calls"),
        ("river.no_such_module", "X"),
        ("river", "datasets"),
        ("riverbank.tree", "X"),
        ("numpy.testing", "runstring"),
        ("numpy.testing._private.utils", "runstring"),
        ("numpy", "fromfile"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("builtins", "compile"),
        ("builtins", "dict.fromkeys"),
        ("collections", "namedtuple"),
        ("collections", "_sys"),
        ("operator", "attrgetter"),
        ("random", "_os.system"),
        ("random", "Random.__class__"),
        ("functools", "reduce"),
        ("copy", "copyreg"),
        ("stream_app.models.pickling", "import_module"),
        ("stream_app.models.pickling", "pickle"),
        ("", ""),
    ],
)
def test_foreign_names_are_refused(module, name, protocol):
    with pytest.raises(ValueError, match=r"not allowed|damaged"):
        loads(named(module, name, protocol))


GENERAL = ["__class__", "__init__", "__globals__", "learn_one", "clone", "mutate", "_get_params"]


@pytest.mark.parametrize("name", GENERAL)
def test_getattr_finds_no_general_method(name):
    with pytest.raises(ValueError, match="not allowed"):
        loads(pickle.dumps(Reduced(getattr, naive_bayes.GaussianNB(), name)))


def test_arrays_are_never_made_from_pointers():
    forged = dumps(np.zeros(2)).replace(b"\x8c\x03<f8", b"\x8c\x03|O8")

    with pytest.raises(ValueError, match="numpy array of"):
        loads(forged)


@pytest.mark.parametrize("data", [b"", b"\x80", b"garbage", b".", b"\x80\x05N", b"\x80\x05P1\n."])
def test_damaged_bytes_are_an_error_that_says_so(data):
    with pytest.raises(ValueError, match="damaged"):
        loads(data)


def test_any_truncation_is_an_error():
    data = dumps(naive_bayes.GaussianNB())
    for stop in range(len(data)):
        with pytest.raises(ValueError, match=r"damaged|not allowed"):
            loads(data[:stop])


@pytest.mark.parametrize("value", [lambda: 0, sys, np.array([None])])
def test_what_cannot_be_saved_is_an_error(value):
    with pytest.raises(ValueError, match="cannot be saved"):
        dumps(value)
