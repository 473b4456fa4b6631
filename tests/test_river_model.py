"""River estimators behind the tape: same answers as the bare loop, any cut, any restart, any category handling."""

import contextlib
import math
from itertools import pairwise

import numpy as np
import pytest
from river import linear_model, preprocessing, tree

from stream_app import config
from stream_app.models import FORGET, LEARN, PREDICT, Inputs, make_model

NAMES = ("a", "b", "c")
LOGISTIC = "river.preprocessing.StandardScaler | river.linear_model.LogisticRegression"
TREE = "river.tree.HoeffdingAdaptiveTreeClassifier"
MODELS = [
    ("binary", LOGISTIC, {}),
    ("binary", "river.forest.ARFClassifier", {"n_models": 2, "grace_period": 10}),
    ("multiclass", TREE, {"grace_period": 10}),
    ("multiclass", "river.naive_bayes.GaussianNB", {}),
    ("regression", "river.preprocessing.StandardScaler | river.linear_model.LinearRegression", {}),
    ("anomaly", "river.anomaly.HalfSpaceTrees", {"window_size": 10, "n_trees": 3}),
]


CUTS = ((), range(1, 20), (2, 6, 7, 12))  # of a tape of 20 operations: none, everywhere, some between pairs


def model_of(task, use, params=None, inputs=None, categories="auto"):
    spec = config.Model(use=use, params=params or {}, categories=categories)
    return make_model(spec, config.Task(type=task, max_classes=4), inputs or Inputs(NAMES, (), 8, []), 3)


def stream(task, count, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.random((count, 3))
    y = {"binary": X[:, 0] > 0.5, "multiclass": np.floor(3.99 * X[:, 0])}.get(task, 10 * X[:, 0] - X[:, 1])
    return X, y.astype(float)


def late_tape(y, delay):
    """Predict each row, learn it `delay` predictions later; every seventh is forgotten."""
    operations = [(i, PREDICT, i, math.nan) for i in range(len(y))]
    operations += [(i + delay, FORGET if i % 7 == 0 else LEARN, i, y[i]) for i in range(len(y))]
    operations.sort(key=lambda operation: operation[0])
    _, kind, slot, target = zip(*operations, strict=True)
    return np.array(kind, np.uint8), np.array(slot, np.int64), np.array(target)


def paired_tape(y):
    """Predict each row and learn it at once, as with labels in the row."""
    n = len(y)
    target = np.column_stack([np.full(n, math.nan), y]).ravel()
    return np.tile(np.array([PREDICT, LEARN], np.uint8), n), np.repeat(np.arange(n), 2), target


def run(model, tape, X, cuts=()):
    scores = np.full((len(X), model.outputs), -1.0)
    messages = []
    edges = [0, *cuts, len(tape[0])]
    for start, stop in pairwise(edges):
        found = model.run(*(part[start:stop] for part in tape), X, scores)
        messages += [(start + i, text) for i, text in found]
    return scores, messages


def test_agrees_with_the_bare_loop():
    X, y = stream("binary", 500)
    twin = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    scores, messages = run(model_of("binary", LOGISTIC), late_tape(y, 0), X)
    for i, row in enumerate(X.tolist()):
        x = dict(zip(NAMES, row, strict=True))
        assert scores[i, 0] == twin.predict_proba_one(x)[True]
        if i % 7:
            twin.learn_one(x, bool(y[i]))
    assert messages == []


def test_class_probabilities_stand_at_their_codes():
    X, y = stream("multiclass", 300)
    twin = tree.HoeffdingAdaptiveTreeClassifier(grace_period=10, seed=3)
    scores, _ = run(model_of("multiclass", TREE, {"grace_period": 10}), late_tape(y, 0), X)
    for i, row in enumerate(X.tolist()):
        x = dict(zip(NAMES, row, strict=True))
        known = twin.predict_proba_one(x)
        expected = [known.get(code, 0.0) if known else math.nan for code in range(4)]
        assert scores[i].tolist() == pytest.approx(expected, abs=0, nan_ok=True)
        if i % 7:
            twin.learn_one(x, int(y[i]))


@pytest.mark.parametrize(("task", "use", "params"), MODELS)
def test_the_cut_does_not_matter(task, use, params):
    X, y = stream(task, 100)
    tape = late_tape(y, 5)
    whole, messages = run(model_of(task, use, params), tape, X)
    one_by_one, _ = run(model_of(task, use, params), tape, X, range(1, len(tape[0])))
    pieces, _ = run(model_of(task, use, params), tape, X, (3, 50, 51, 120))

    assert messages == []
    assert whole.tobytes() == one_by_one.tobytes() == pieces.tobytes()


@pytest.mark.parametrize(("task", "use", "params"), MODELS)
def test_labels_in_the_row_are_cut_as_well(task, use, params):
    X, y = stream(task, 100)
    X[::9, 1] = np.nan
    tape = paired_tape(y)
    model, single = model_of(task, use, params), model_of(task, use, params)
    whole, messages = run(model, tape, X)
    one_by_one, _ = run(single, tape, X, range(1, len(tape[0])))
    pieces, _ = run(model_of(task, use, params), tape, X, (3, 50, 51, 120))

    assert messages == []
    assert whole.tobytes() == one_by_one.tobytes() == pieces.tobytes()
    assert model._rows == single._rows == {}


@pytest.mark.parametrize("make_tape", [lambda y: late_tape(y, 5), paired_tape], ids=["late", "paired"])
@pytest.mark.parametrize(("task", "use", "params"), MODELS)
def test_resumes_at_every_operation(task, use, params, make_tape):
    X, y = stream(task, 40)
    tape = make_tape(y)
    whole, _ = run(model_of(task, use, params), tape, X)
    first = model_of(task, use, params)
    before = np.full(whole.shape, -1.0)
    for k in range(len(tape[0])):
        second = model_of(task, use, params)
        second.load(first.to_state())
        after = before.copy()
        second.run(*(part[k:] for part in tape), X, after)
        assert after.tobytes() == whole.tobytes()
        first.run(*(part[k : k + 1] for part in tape), X, before)


def test_reset_equals_a_new_model():
    X, y = stream("binary", 100)
    model = model_of("binary", "river.forest.ARFClassifier", {"n_models": 2, "grace_period": 10})
    first, _ = run(model, late_tape(y, 2), X)
    model.reset()
    second, _ = run(model, late_tape(y, 2), X)

    assert first.tobytes() == second.tobytes()


def test_rows_that_wait_are_bounded_by_their_slots():
    for task, use, params in MODELS:
        X, y = stream(task, 50)
        model = model_of(task, use, params)
        run(model, late_tape(y, 3), X)

        assert model._rows == {}


INPUTS = Inputs(("n",), ("colour",), 8, [["red", "a=b"]])
VALUES = np.array([[1.0, 0.0], [2.0, 1.0], [np.nan, np.nan], [np.inf, 1.0]])


@pytest.mark.parametrize(
    ("categories", "expected"),
    [
        ("keep", [{"n": 1.0, "colour": "red"}, {"n": 2.0, "colour": "a=b"}, {}, {"colour": "a=b"}]),
        ("one-hot", [{"n": 1.0, "colour=red": 1.0}, {"n": 2.0, "colour=a=b": 1.0}, {}, {"colour=a=b": 1.0}]),
        ("drop", [{"n": 1.0}, {"n": 2.0}, {}, {}]),
    ],
)
def test_rows_as_river_sees_them(categories, expected):
    model = model_of("binary", TREE, inputs=INPUTS, categories=categories)

    assert list(model._dicts(VALUES)) == expected


@pytest.mark.parametrize(
    ("use", "params", "expected"),
    [
        (TREE, {}, "keep"),
        ("river.forest.ARFClassifier", {}, "keep"),
        ("river.linear_model.LogisticRegression", {}, "one-hot"),
        ("river.naive_bayes.GaussianNB", {}, "one-hot"),  # a Gaussian of a text is not
        (f"river.preprocessing.StandardScaler | {TREE}", {}, "one-hot"),
        ("river.ensemble.BaggingClassifier", {"model": {"use": "river.linear_model.LogisticRegression"}}, "one-hot"),
        ("river.ensemble.BaggingClassifier", {"model": {"use": TREE}}, "keep"),
    ],
)
def test_auto_keeps_texts_where_they_are_taken(use, params, expected):
    model = model_of("binary", use, params, inputs=INPUTS)
    X = np.column_stack([np.arange(60.0), np.arange(60) % 2])
    _, messages = run(model, late_tape(X[:, 1], 0), X)

    assert model._categories == expected
    assert messages == []


def test_missing_values_do_not_poison():
    X, y = stream("binary", 400)
    X[::3, 1] = np.nan
    X[1::5, 2] = np.inf
    X[2::5, 0] = 1e300
    scores, messages = run(model_of("binary", LOGISTIC), late_tape(y, 2), X)

    assert messages == []
    assert np.isfinite(scores).all()


def test_an_estimator_that_raises_is_a_message_and_no_prediction():
    X, y = stream("binary", 4)
    model = model_of("binary", LOGISTIC)
    bare, learned = model._predict, []

    def predict(x):
        if x["a"] == X[1, 0]:
            raise KeyError("a")
        return math.nan if x["a"] == X[2, 0] else bare(x)

    model._predict = predict
    model._learn = lambda x, _: learned.append(x["a"])
    scores, messages = run(model, late_tape(y, 0), X)

    assert messages == [(2, "KeyError: 'a'"), (4, "the model answered nan")]
    assert np.isnan(scores[:, 0]).tolist() == [False, True, True, False]
    assert learned == X[1:, 0].tolist()


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("use", [LOGISTIC, f"river.feature_extraction.PolynomialExtender | {LOGISTIC}"])
def test_a_pipe_taken_step_by_step_answers_as_river_does(use, whole):
    X, y = stream("binary", 60)
    X[:5], X[10:, 2] = X[0], X[10, 2]
    X[::7, 1] = X[::7, 1] if whole else np.nan
    bare, expected = model_of("binary", use)._build(), []
    for row, label in zip(X.tolist(), y.tolist(), strict=True):
        x = {name: value for name, value in zip(NAMES, row, strict=True) if value == value}
        expected.append(bare.predict_proba_one(x)[True])
        bare.learn_one(x, label == 1)
    model = model_of("binary", use)
    scores, messages = run(model, paired_tape(y), X)

    assert messages == []
    assert scores[:, 0].tolist() == expected
    assert statistics(model._estimator) == statistics(bare)


def test_a_scaler_that_fails_at_a_value_is_left_as_river_leaves_it():
    model = model_of("binary", LOGISTIC)
    bare = model._build()
    for x in ({"a": 1.0, "b": 2.0}, {"a": 3.0, "b": "text", "c": 1.0}, {"c": "text"}, {"a": 2.0, "b": 0.5}):
        for teach in (model._learn, bare.learn_one):
            with contextlib.suppress(TypeError):
                teach(dict(x), True)

    assert statistics(model._estimator) == statistics(bare)


def statistics(pipe):
    scaler = pipe["StandardScaler"]
    return scaler.counts, scaler.means, scaler.vars


@pytest.fixture
def failing(monkeypatch):
    """Has logistic regressions note, by their ids, what they are asked for, and fail at some of the calls."""
    seen, last = {}, linear_model.LogisticRegression
    predict, learn = last.predict_proba_one, last.learn_one

    def number(model, what, row):
        calls = seen.setdefault(id(model), [])
        calls.append((what, row))
        return sum(kind == what for kind, _ in calls) - 1

    def fail(predicts, learns):
        def predict_proba_one(self, x):
            if number(self, "predict", dict(x)) in predicts:
                raise ZeroDivisionError
            return predict(self, x)

        def learn_one(self, x, y):
            learn(self, x, y)
            if number(self, "learn", dict(x)) in learns:
                raise StopIteration

        monkeypatch.setattr(last, "predict_proba_one", predict_proba_one)
        monkeypatch.setattr(last, "learn_one", learn_one)
        return lambda model: seen.get(id(model._estimator["LogisticRegression"]), [])

    return fail


@pytest.mark.parametrize("use", [LOGISTIC, LOGISTIC.replace("Standard", "MaxAbs")])
@pytest.mark.parametrize(
    ("predicts", "learns"),
    [((0,), ()), ((), (0,)), ((9,), (9,)), ((4, 5, 9), (5, 6)), ((), (9,)), ((3,), (0, 3)), (range(10), range(10))],
)
def test_where_an_estimator_fails_nothing_is_done_twice_and_nothing_left_out(failing, use, predicts, learns):
    X, y = stream("binary", 10)
    models = [model_of("binary", use) for _ in range(3)]
    seen = failing(predicts, learns)
    once, *others = [run(model, paired_tape(y), X, cuts) for model, cuts in zip(models, CUTS, strict=True)]

    assert len(seen(models[0])) == 20
    assert len(once[1]) == len(predicts) + len(learns)
    for model, (scores, messages) in zip(models[1:], others, strict=True):
        assert seen(model) == seen(models[0])
        assert messages == once[1]
        assert scores.tobytes() == once[0].tobytes()
        assert model.to_state() == models[0].to_state()
        assert model._rows == {}


def test_a_bad_target_among_labels_in_the_row_stops_no_other(failing):
    X, y = stream("binary", 10)
    y[4] = 7.0
    model = model_of("binary", LOGISTIC)
    seen = failing((), ())
    scores, messages = run(model, paired_tape(y), X)

    assert messages == [(9, "target 7.0 is not a class code below 2")]
    assert np.isfinite(scores).all()
    assert [what for what, _ in seen(model)] == ["predict", "learn"] * 4 + ["predict"] + ["predict", "learn"] * 5


@pytest.mark.parametrize(
    ("task", "use", "bad", "said"),
    [
        ("binary", LOGISTIC, [2.0, math.nan, 0.5], "class code below 2"),
        ("multiclass", TREE, [4.0, -1.0, 0.5, math.nan, math.inf], "class code below 4"),
        ("regression", "river.tree.HoeffdingTreeRegressor", [math.nan, math.inf, 1e300], "not a number to learn from"),
    ],
)
def test_a_target_that_cannot_be_learned_is_a_message(task, use, bad, said):
    X, _ = stream(task, len(bad))
    model = model_of(task, use)
    before = model.to_state()
    tape = np.full(len(bad), LEARN, np.uint8), np.arange(len(bad)), np.array(bad)
    _, messages = run(model, tape, X)

    assert [i for i, _ in messages] == list(range(len(bad)))
    assert all(said in text for _, text in messages)
    assert model.to_state() == before


def test_no_prediction_before_the_first_label():
    X, _ = stream("binary", 1)
    tape = np.array([PREDICT], np.uint8), np.array([0]), np.array([math.nan])
    scores, messages = run(model_of("binary", TREE), tape, X)

    assert np.isnan(scores).all()
    assert messages == []


def test_a_classifier_without_probabilities_is_certain():
    X, y = stream("multiclass", 300)
    use, params = "river.multiclass.OneVsOneClassifier", {"classifier": "river.linear_model.LogisticRegression"}
    scores, messages = run(model_of("multiclass", use, params), late_tape(y, 0), X)

    assert messages == []
    assert set(scores[50:].ravel()) == {0.0, 1.0}
    assert (scores[50:].sum(axis=1) == 1).all()


def test_anomalies_are_scored_before_they_are_learned_and_labels_ignored():
    X, y = stream("anomaly", 200)
    X[-1] = 40.0
    model = model_of("anomaly", "river.anomaly.HalfSpaceTrees", {"window_size": 20})
    scores, _ = run(model, late_tape(y, 0), X)
    again, _ = run(model_of("anomaly", "river.anomaly.HalfSpaceTrees", {"window_size": 20}), late_tape(y[::-1], 0), X)

    assert scores.tobytes() == again.tobytes()
    assert scores[-1, 0] > np.median(scores[20:, 0])


def test_rows_do_not_wait_for_labels_that_teach_nothing():
    X, y = stream("anomaly", 20)
    model = model_of("anomaly", "river.anomaly.HalfSpaceTrees", {"window_size": 20})
    _, messages = run(model, late_tape(y * math.nan, 10), X, (8,))

    assert messages == []
    run(model, (np.full(20, PREDICT, np.uint8), np.arange(20), y), X)
    assert model._rows == {}


def test_what_cannot_be_saved_is_refused_at_once():
    models = ["river.linear_model.LinearRegression", "river.linear_model.PARegressor"]
    params = {"models": models, "metric": "river.metrics.MAE"}
    params["policy"] = {"use": "river.bandit.EpsilonGreedy", "params": {"epsilon": 0.1, "decay": 0.0}}
    with pytest.raises(ValueError, match="not allowed"):
        model_of("regression", "river.model_selection.BanditRegressor", params)


def test_a_foreign_state_is_refused():
    with pytest.raises(ValueError, match="another model"):
        model_of("binary", TREE).load(model_of("binary", LOGISTIC).to_state())


@pytest.mark.parametrize(
    ("use", "said"),
    [("lineal", 'unknown model "lineal"; known: linear'), ("sklearn.svm.SVC", "unknown model"), ("", "unknown model")],
)
def test_an_unknown_model(use, said):
    with pytest.raises(ValueError, match=said):
        model_of("binary", use)
