"""The compiled linear model against river step by step, cut anywhere, resumed anywhere, on bad input."""

import math
from itertools import pairwise

import numpy as np
import pytest
from naive_linear import Linear
from river import linear_model, optim, preprocessing

from stream_app import config
from stream_app.models import FORGET, LEARN, PREDICT, Inputs, make_model

NAMES = ("a", "b", "c")
TASKS = ("binary", "multiclass", "regression")


def model_of(task, params=None, numbers=NAMES, categories=(), width=8, classes=()):
    inputs = Inputs(numbers, categories, width, [[] for _ in categories])
    spec = config.Task(type=task, max_classes=5, classes=classes)
    return make_model(config.Model(params=params or {}), spec, inputs, 0)


def stream(task, rows, seed=0, columns=3):
    """Rows on very different scales, and targets that depend on them."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, columns)) * [1, 1000, 0.001][:columns] + [0, 5000, 1][:columns]
    signal = rng.normal(size=rows) + X[:, 0]
    targets = {"binary": signal > 0, "multiclass": np.clip(np.floor(signal + 2), 0, 4), "regression": 3 * signal}
    return X, targets[task].astype(float)


def late_tape(y, delay):
    """Predict each row, learn it `delay` predictions later; every seventh is forgotten."""
    kind, slot, target = [], [], []
    for i in range(len(y) + delay):
        if i < len(y):
            kind, slot, target = [*kind, PREDICT], [*slot, i], [*target, math.nan]
        if i >= delay:
            kind, slot = [*kind, FORGET if i % 7 == 0 else LEARN], [*slot, i - delay]
            target = [*target, y[i - delay]]
    return np.array(kind, np.uint8), np.array(slot, np.int64), np.array(target)


def run(model, tape, X, cuts=()):
    """Give the tape in pieces; return the score rows and the messages."""
    scores = np.full((len(X), model.outputs), -1.0)
    messages = []
    edges = [0, *cuts, len(tape[0])]
    for start, stop in pairwise(edges):
        found = model.run(*(part[start:stop] for part in tape), X, scores)
        messages += [(start + i, text) for i, text in found]
    return scores, messages


def test_binary_agrees_with_river():
    X, y = stream("binary", 2000)
    for l2 in (0.0, 0.01):
        twin = preprocessing.StandardScaler() | linear_model.LogisticRegression(
            optim.SGD(0.05), l2=l2, intercept_lr=0.02
        )
        scores, _ = run(model_of("binary", {"lr": 0.05, "intercept_lr": 0.02, "l2": l2}), late_tape(y, 0), X)
        for i, row in enumerate(X.tolist()):
            x = dict(zip(NAMES, row, strict=True))
            assert scores[i, 0] == pytest.approx(twin.predict_proba_one(x)[True], abs=1e-9)
            if i % 7:
                twin.learn_one(x, bool(y[i]))


def test_regression_agrees_with_river():
    X, y = stream("regression", 2000)
    twin = preprocessing.StandardScaler() | linear_model.LinearRegression(clip_gradient=5.0)
    scores, _ = run(model_of("regression", {"scale_target": False, "clip": 5.0}), late_tape(y, 0), X)
    for i, row in enumerate(X.tolist()):
        x = dict(zip(NAMES, row, strict=True))
        assert scores[i, 0] == pytest.approx(twin.predict_one(x), abs=1e-9)
        if i % 7:
            twin.learn_one(x, y[i])


def test_multiclass_agrees_with_river():
    X, y = stream("multiclass", 2000)
    twin = preprocessing.StandardScaler() | linear_model.SoftmaxRegression(optim.SGD(0.05))
    scores, _ = run(model_of("multiclass", {"lr": 0.05, "intercept_lr": 0.0}), late_tape(y, 0), X)
    for i, row in enumerate(X.tolist()):
        x = dict(zip(NAMES, row, strict=True))
        known = twin.predict_proba_one(x)
        expected = [known.get(code, 0.0) if known else math.nan for code in range(5)]
        assert scores[i].tolist() == pytest.approx(expected, abs=1e-9, nan_ok=True)
        if i % 7:
            twin.learn_one(x, int(y[i]))


FIVE = ("v", "w", "x", "y", "z")
WEIGHTED = [
    ("binary", (), {"1": 5.0}, {1: 5.0}),
    ("binary", ("no", "yes"), {"no": 0.2, "yes": 3}, {0: 0.2, 1: 3.0}),
    ("binary", (), "balanced", None),
    ("multiclass", FIVE, {"v": 4.0, "z": 0.5}, {0: 4.0, 4: 0.5}),
    ("multiclass", (), "balanced", None),
]


@pytest.mark.parametrize(("task", "classes", "given", "weights"), WEIGHTED)
def test_weighted_classes_agree_with_the_twin(task, classes, given, weights):
    X, y = stream(task, 400)
    if task == "binary":
        y *= np.arange(400) % 40 == 0  # rare
    twin = Linear(3, 2 if task == "binary" else 5, weights)
    scores, _ = run(model_of(task, {"class_weight": given}, classes=classes), late_tape(y, 0), X)
    for i, row in enumerate(X.tolist()):
        assert scores[i].tolist() == pytest.approx(twin.predict(row), abs=1e-6, nan_ok=True)
        if i % 7:
            twin.learn(row, int(y[i]))


def test_a_weighted_class_agrees_with_river():
    X, y = stream("binary", 1000)
    twin = preprocessing.StandardScaler() | linear_model.LogisticRegression(loss=optim.losses.Log(weight_pos=5.0))
    scores, _ = run(model_of("binary", {"class_weight": {"1": 5.0}}), late_tape(y, 0), X)
    for i, row in enumerate(X.tolist()):
        x = dict(zip(NAMES, row, strict=True))
        assert scores[i, 0] == pytest.approx(twin.predict_proba_one(x)[True], abs=1e-9)
        if i % 7:
            twin.learn_one(x, bool(y[i]))


def test_a_rare_class_is_found_when_it_is_balanced():
    X, y = stream("binary", 8000)
    y = (X[:, 0] > 2.2).astype(float)  # one in 70
    found = []
    for params in ({}, {"class_weight": "balanced"}):
        scores, _ = run(model_of("binary", params), late_tape(y, 0), X)
        found.append((scores[2000:, 0] > 0.5)[y[2000:] == 1].mean())

    assert found[0] < 0.5
    assert found[1] > 0.9


def test_categories_are_one_hot_weights():
    codes = np.random.default_rng(1).integers(0, 3, (1500, 1)).astype(float)
    codes[::11] = np.nan
    y = (codes[:, 0] == 2).astype(float)
    twin = linear_model.LogisticRegression(optim.SGD(0.1))
    model = model_of("binary", {"lr": 0.1}, numbers=(), categories=("colour",), width=3)
    scores, _ = run(model, late_tape(y, 0), codes)
    for i, code in enumerate(codes[:, 0].tolist()):
        x = {} if math.isnan(code) else {code: 1.0}
        assert scores[i, 0] == pytest.approx(twin.predict_proba_one(x)[True], abs=1e-9)
        if i % 7:
            twin.learn_one(x, bool(y[i]))


ALIKE = [*((task, {}) for task in TASKS), *((task, {"class_weight": "balanced"}) for task in TASKS[:2])]


@pytest.mark.parametrize(("task", "params"), ALIKE)
def test_the_cut_does_not_matter(task, params):
    X, y = stream(task, 300)
    tape = late_tape(y, 5)
    whole, _ = run(model_of(task, params), tape, X)
    one_by_one, _ = run(model_of(task, params), tape, X, range(1, len(tape[0])))
    cuts = np.sort(np.random.default_rng(3).choice(len(tape[0]), 9, replace=False))
    pieces, _ = run(model_of(task, params), tape, X, cuts)

    assert whole.tobytes() == one_by_one.tobytes() == pieces.tobytes()


@pytest.mark.parametrize(("task", "params"), ALIKE)
def test_resumes_at_every_operation(task, params):
    X, y = stream(task, 40)
    tape = late_tape(y, 5)
    whole, _ = run(model_of(task, params), tape, X)
    first = model_of(task, params)
    before = np.full(whole.shape, -1.0)
    for k in range(len(tape[0])):
        second = model_of(task, params)
        second.load(first.to_state())
        after = before.copy()
        second.run(*(part[k:] for part in tape), X, after)
        assert after.tobytes() == whole.tobytes()
        first.run(*(part[k : k + 1] for part in tape), X, before)


def test_missing_numbers_change_nothing_of_theirs():
    X, y = stream("binary", 500)
    X[:, 1] = [(np.nan, np.inf, -np.inf, 1e300)[i % 4] for i in range(len(X))]
    scores, _ = run(model_of("binary"), late_tape(y, 0), X)
    without, _ = run(model_of("binary", numbers=("a", "c")), late_tape(y, 0), X[:, [0, 2]])

    assert scores.tobytes() == without.tobytes()


@pytest.mark.parametrize("scale_target", [True, False])
def test_large_targets_stay_finite_and_are_learned(scale_target):
    rng = np.random.default_rng(4)
    X = rng.normal(size=(4000, 3))
    y = 1e6 * (3 + X @ [1.0, -2.0, 0.5])
    scores, _ = run(model_of("regression", {"scale_target": scale_target}), late_tape(y, 1), X)

    assert np.isfinite(scores[3:]).all()
    assert np.abs(scores[-500:, 0] - y[-500:]).mean() < 0.1 * y.std()


def test_many_inputs_converge_with_a_scaled_target():
    """Plain gradient descent with lr * inputs > 1 runs away; the step that stops at the target does not."""
    rng = np.random.default_rng(5)
    X = rng.normal(size=(6000, 300))
    y = X[:, 0] + 7
    names = tuple(str(i) for i in range(300))
    scores, _ = run(model_of("regression", numbers=names), late_tape(y, 0), X)

    assert np.abs(scores[-500:, 0] - y[-500:]).mean() < y.std()


@pytest.mark.parametrize("weight", [1e308, math.inf, math.nan])
def test_overflowed_weights_start_again(weight):
    X, y = stream("binary", 3000)
    model = model_of("binary")
    state = model.to_state()
    state["weights"][:] = [[weight], [-weight], [weight], [weight]]
    model.load(state)
    scores, _ = run(model, late_tape(y, 1), X)

    assert np.isfinite(scores[5:]).all()
    assert ((scores[-500:, 0] > 0.5) == y[-500:]).mean() > 0.7


def test_absurd_rates_do_not_blind():
    X, y = stream("binary", 500)
    scores, _ = run(model_of("binary", {"lr": 1e200, "l2": 1e200}), late_tape(y, 0), X)

    assert np.isfinite(scores[-100:]).all()


@pytest.mark.parametrize(
    ("task", "bad", "said"),
    [
        ("binary", [2.0, -1.0, 0.5, math.nan], "class code below 2"),
        ("multiclass", [5.0, -1.0, 1.5, math.nan, math.inf], "class code below 5"),
        ("regression", [math.nan, math.inf, 1e300], "not a number to learn from"),
    ],
)
def test_a_target_that_cannot_be_learned_is_a_message_and_nothing_else(task, bad, said):
    X, _ = stream(task, len(bad))
    model = model_of(task)
    before = {name: array.tobytes() for name, array in model.to_state().items()}
    tape = np.full(len(bad), LEARN, np.uint8), np.arange(len(bad)), np.array(bad)
    _, messages = run(model, tape, X)

    assert [i for i, _ in messages] == list(range(len(bad)))
    assert all(said in text for _, text in messages)
    assert {name: array.tobytes() for name, array in model.to_state().items()} == before


@pytest.mark.parametrize("task", TASKS)
def test_any_values_leave_scores_that_are_numbers(task):
    rng = np.random.default_rng(6)
    odd = np.array([0.0, -0.0, 1e-320, 1e308, -1e308, 1e150, -1e150, 1e-150, np.nan, np.inf, 1.0, 7.0])
    X = odd[rng.integers(0, len(odd), (3000, 4))]
    y = odd[rng.integers(0, len(odd), 3000)]
    model = model_of(task, {"lr": 10.0}, categories=("k",))
    run(model, late_tape(y, 3), X)
    clean, target = stream(task, 200)
    clean = np.column_stack([clean, np.zeros(200)])
    scores, _ = run(model, late_tape(target, 0), clean)

    assert np.isfinite(scores[-100:]).all()


def test_reset_equals_a_new_model():
    X, y = stream("multiclass", 200)
    model = model_of("multiclass")
    first, _ = run(model, late_tape(y, 2), X)
    model.reset()
    second, _ = run(model, late_tape(y, 2), X)

    assert first.tobytes() == second.tobytes()


def test_no_prediction_before_there_is_anything_to_say():
    X, _ = stream("binary", 1)
    tape = np.array([PREDICT], np.uint8), np.array([0]), np.array([math.nan])

    assert run(model_of("binary"), tape, X)[0].tolist() == [[0.5]]
    assert np.isnan(run(model_of("multiclass"), tape, X)[0]).all()
    assert np.isnan(run(model_of("regression"), tape, X)[0]).all()


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"learning_rate": 1}, 'unknown parameter "learning_rate" of linear; known: lr, intercept_lr'),
        ({"clipp": 1}, 'did you mean "clip"'),
        ({"lr": "fast"}, "lr must be a number of at least 0, not 'fast'"),
        ({"l2": -1}, "l2 must be"),
        ({"lr": math.nan}, "lr must be"),
        ({"scale_target": 1}, "scale_target must be true or false"),
        ({"class_weight": 5}, 'class_weight must be "balanced" or a table'),
        ({"class_weight": {"2": 5}}, 'unknown class "2" in class_weight; known: 0, 1'),
        ({"class_weight": {"1": -1}}, "class_weight of 1 must be a number of at least 0"),
    ],
)
def test_wrong_parameters(params, said):
    with pytest.raises(ValueError, match=said):
        model_of("binary", params)


def test_weights_of_classes_need_classes_and_their_names():
    with pytest.raises(ValueError, match=r"class_weight is for classes; task\.type is regression"):
        model_of("regression", {"class_weight": "balanced"})
    with pytest.raises(ValueError, match=r"task\.classes must say which there are"):
        model_of("multiclass", {"class_weight": {"x": 2}})


def test_anomaly_is_refused_with_a_way_out():
    with pytest.raises(ValueError, match=r"river\.anomaly\.HalfSpaceTrees"):
        model_of("anomaly")


def test_a_foreign_state_is_refused():
    with pytest.raises(ValueError, match="another linear model"):
        model_of("binary").load(model_of("multiclass").to_state())
