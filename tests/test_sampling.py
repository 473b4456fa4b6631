"""Samplers around a river model: classes by their names, cuts and restarts, what is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import imblearn, linear_model
from tapes import rows_of, run, run_interrupted, tape_of

from stream_app import config
from stream_app.models import Inputs, make_model
from stream_app.models.estimators import PartError

INPUTS = Inputs(("a", "b", "n"), ("city", "sky"), 8, [["x", "y", "z", "w"], ["p", "q", "r", "s"]])
LOGISTIC, TREE = "river.linear_model.LogisticRegression", "river.tree.HoeffdingTreeClassifier"
LINEAR = "river.linear_model.LinearRegression"
STEPS = (config.Step(use="river.preprocessing.StandardScaler"), config.Step(use="river.preprocessing.OneHotEncoder"))
NAMES = {"binary": ("ok", "fraud"), "multiclass": ("low", "mid", "high")}
TWO, THREE = {"ok": 0.4, "fraud": 0.6}, {"low": 0.3, "mid": 0.3, "high": 0.4}
CASES = {
    "under": ("binary", LOGISTIC, "RandomUnderSampler", {"desired_dist": TWO}),
    "over": ("binary", LOGISTIC, "RandomOverSampler", {"desired_dist": TWO}),
    "both": ("binary", TREE, "RandomSampler", {"desired_dist": TWO, "sampling_rate": 0.8}),
    "hard": ("binary", LOGISTIC, "HardSamplingClassifier", {"size": 8, "p": 0.3}),
    "under, three": ("multiclass", TREE, "RandomUnderSampler", {"desired_dist": THREE}),
    "over, three": ("multiclass", "river.linear_model.SoftmaxRegression", "RandomOverSampler", {"desired_dist": THREE}),
    "both, three": ("multiclass", "river.naive_bayes.GaussianNB", "RandomSampler", {"desired_dist": THREE}),
    "hard, three": ("multiclass", TREE, "HardSamplingClassifier", {"size": 8, "p": 0.3}),
    "hard numbers": ("regression", LINEAR, "HardSamplingRegressor", {"size": 8, "p": 0.3}),
    "rare numbers": ("regression", LINEAR, "ChebyshevUnderSampler", {}),
    "rare numbers more": ("regression", LINEAR, "ChebyshevOverSampler", {}),
}


def model_of(task, use, sampler, params, steps=STEPS, classes=None):
    sampling = config.Sampling(use=f"river.imblearn.{sampler}", params=params)
    spec = config.Model(use=use, steps=steps, sampling=sampling)
    names = NAMES.get(task, ()) if classes is None else classes
    return make_model(spec, config.Task(type=task, max_classes=4, classes=names), INPUTS, 3)


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 99), delay=st.integers(0, 9), cuts=st.sets(st.integers(0, 80), max_size=6))
def test_cuts_questions_and_restarts_change_nothing(name, seed, delay, cuts):
    X, y = rows_of(CASES[name][0], 40, seed)
    whole, messages = run(model_of(*CASES[name]), tape_of(y, delay), X)
    again, found = run_interrupted(lambda: model_of(*CASES[name]), tape_of(y, delay), X, cuts)

    assert again.tobytes() == whole.tobytes()
    assert found == messages == []


@pytest.mark.parametrize("name", CASES)
def test_one_by_one_is_the_whole_and_reset_a_new_model(name):
    X, y = rows_of(CASES[name][0], 30)
    tape = tape_of(y, 2)
    model = model_of(*CASES[name])
    whole, _ = run(model, tape, X)
    model.reset()
    one_by_one, _ = run_interrupted(lambda: model_of(*CASES[name]), tape, X, range(1, len(tape[0])))

    assert run(model, tape, X)[0].tobytes() == whole.tobytes() == one_by_one.tobytes()


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if "desired_dist" in case[3]])
def test_the_model_learns_the_classes_in_the_shares_that_are_asked_for(name):
    task, _, _, params = CASES[name]
    X, y = rows_of(task, 6000)
    model = model_of(*CASES[name], steps=())
    run(model, tape_of(y, 0), X)
    sampler = model._estimator
    learned = sampler._trained_on_dist
    total = sum(learned.values())

    assert sampler.seed == 3
    assert [learned[label] / total for label in sampler.desired_dist] == pytest.approx(
        list(params["desired_dist"].values()), abs=0.05
    )


@pytest.mark.parametrize(
    ("task", "classes", "given", "expected"),
    [
        ("binary", (), {"1": 0.7, "0": 0.3}, {False: 0.3, True: 0.7}),
        ("binary", ("no", "yes"), {"yes": 0.7, "no": 0.3}, {False: 0.3, True: 0.7}),
        ("multiclass", ("x", "y", "z"), {"z": 0.5, "y": 0.3, "x": 0.2}, {0: 0.2, 1: 0.3, 2: 0.5}),
    ],
)
def test_class_names_become_what_river_gets(task, classes, given, expected):
    model = model_of(task, TREE, "RandomOverSampler", {"desired_dist": given}, (), classes)
    found = model._estimator.desired_dist

    assert found == expected
    assert {type(label) for label in found} == {bool if task == "binary" else int}


def test_it_samples_as_the_bare_sampler():
    X, y = rows_of("binary", 300)
    X = np.nan_to_num(X)
    model = make_model(
        config.Model(
            use=LOGISTIC,
            categories="drop",
            sampling=config.Sampling(
                use="river.imblearn.RandomUnderSampler", params={"desired_dist": {"0": 0.5, "1": 0.5}}
            ),
        ),
        config.Task(),
        INPUTS,
        3,
    )
    twin = imblearn.RandomUnderSampler(linear_model.LogisticRegression(), {False: 0.5, True: 0.5}, seed=3)
    scores, _ = run(model, tape_of(y, 0), X)
    for i, row in enumerate(X[:, :3].tolist()):
        x = dict(zip(INPUTS.numbers, row, strict=True))
        assert scores[i, 0] == twin.predict_proba_one(x)[True]
        if i % 7:
            twin.learn_one(x, bool(y[i]))


def test_a_sampled_model_without_probabilities_is_certain():
    use = "river.multiclass.OneVsOneClassifier"
    spec = config.Model(
        use=use,
        params={"classifier": LOGISTIC},
        sampling=config.Sampling(use="river.imblearn.RandomOverSampler", params={"desired_dist": THREE}),
    )
    model = make_model(spec, config.Task(type="multiclass", classes=NAMES["multiclass"], max_classes=4), INPUTS, 3)
    X, y = rows_of("multiclass", 200)
    scores, messages = run(model, tape_of(y, 0), X)

    assert messages == []
    assert set(scores[50:].ravel()) == {0.0, 1.0}


def test_what_a_sampled_model_makes_of_its_inputs_is_told():
    X, y = rows_of("binary", 300)
    model = model_of(*CASES["under"], steps=STEPS[:1])
    run(model, tape_of(y, 0), X)
    method, parts = model.contributions(X)
    scores = model.peek(X)[:, 0]

    assert method == "linear"
    assert np.ptp(np.log(scores / (1 - scores)) - parts[:, :, 0].sum(axis=1)) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("task", "sampler", "params", "said"),
    [
        ("binary", "RandomUnderSamplr", {}, '.use: river.imblearn has no class "RandomUnderSamplr", did you mean'),
        ("regression", "RandomUnderSampler", {}, ".use: RandomUnderSampler is not for a task of regression; use Cheb"),
        ("binary", "ChebyshevOverSampler", {}, ".use: ChebyshevOverSampler is not for a task of binary; use HardSamp"),
        ("anomaly", "RandomUnderSampler", {}, ".use: RandomUnderSampler is not for a task of anomaly, which learns no"),
        (
            "binary",
            "RandomUnderSampler",
            {},
            ".params.desired_dist: expected a table with the share of each class of ok",
        ),
        ("binary", "RandomUnderSampler", {"desired_dist": 0.5}, ".params.desired_dist: expected a table"),
        (
            "binary",
            "RandomUnderSampler",
            {"desired_dist": {"ok": 0.5, "fraudd": 0.5}},
            '.params.desired_dist: unknown class "fraudd"; known: ok, fraud, did you mean "fraud"?',
        ),
        ("binary", "RandomSampler", {"desired_dist": {"ok": 1.0}}, '.params.desired_dist: the share of "ok" must lie'),
        ("binary", "RandomSampler", {"desired_dist": {"ok": "1"}}, '.params.desired_dist: the share of "ok" must lie'),
        ("binary", "RandomSampler", {"desired_dist": {"ok": 0.9}}, ".params.desired_dist: no share for fraud"),
        (
            "binary",
            "RandomSampler",
            {"desired_dist": {"ok": 0.9, "fraud": 0.2}},
            ".params.desired_dist: the shares add up to 1.1, not 1",
        ),
        (
            "binary",
            "RandomSampler",
            {"desired_dist": TWO, "rate": 2},
            ".params: river.imblearn.RandomSampler has no par",
        ),
        (
            "binary",
            "HardSamplingClassifier",
            {"size": 5},
            ".params: river.imblearn.HardSamplingClassifier cannot be made",
        ),
        (
            "binary",
            "HardSamplingClassifier",
            {"classifier": TREE},
            ".params.classifier: is the model itself; remove it",
        ),
        (
            "regression",
            "HardSamplingRegressor",
            {"size": 5, "p": "0.1"},
            ": the model fails with it on every row: Type",
        ),
    ],
)
def test_mistakes_name_the_sampling(task, sampler, params, said):
    use = {"regression": LINEAR, "anomaly": "river.anomaly.HalfSpaceTrees"}.get(task, LOGISTIC)
    with pytest.raises(PartError) as caught:
        model_of(task, use, sampler, params, ())

    assert f"{caught.value.where}: {caught.value}".startswith(f".sampling{said}")


def test_shares_of_classes_that_are_found_in_the_stream_are_refused():
    with pytest.raises(PartError, match=r"task\.classes must say which there are"):
        model_of("multiclass", TREE, "RandomUnderSampler", {"desired_dist": THREE}, (), ())


def test_what_is_no_sampler_is_refused():
    spec = config.Model(use=LOGISTIC, sampling=config.Sampling(use="river.preprocessing.StandardScaler"))
    with pytest.raises(PartError, match=r"StandardScaler is no sampler; those of river\.imblearn: Cheb"):
        make_model(spec, config.Task(), INPUTS, 0)
