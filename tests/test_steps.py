"""Steps before a river model: what each does to a row, that cuts and restarts change nothing, every mistake."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import linear_model, preprocessing
from tapes import rows_of, run, run_interrupted, tape_of

from stream_app import config
from stream_app.models import Inputs, make_model
from stream_app.models.estimators import PartError
from stream_app.models.steps import prepared, restored, saved

INPUTS = Inputs(("a", "b", "n"), ("city", "sky"), 8, [["x", "y", "z", "w"], ["p", "q", "r", "s"]])
LOGISTIC, TREE = "river.linear_model.LogisticRegression", "river.tree.HoeffdingTreeClassifier"
LINEAR, FOREST = "river.linear_model.LinearRegression", "river.anomaly.HalfSpaceTrees"
PARAMS = {FOREST: {"n_trees": 3, "height": 4, "window_size": 10}}  # scores after ten rows
SCALER = config.Step(use="river.preprocessing.StandardScaler")
ONE_HOT = config.Step(use="river.preprocessing.OneHotEncoder")
ORDINAL = config.Step(use="river.preprocessing.OrdinalEncoder")
BEST = config.Step(
    use="river.feature_selection.SelectKBest", params={"similarity": "river.stats.PearsonCorr", "k": 3, "use_abs": True}
)
RATE = {"use": "river.stats.BayesianMean", "params": {"prior": 0.3, "prior_weight": 5}}
TARGET = config.Step(use="river.feature_extraction.TargetAgg", params={"by": "city", "how": RATE})
FREQUENCY = config.Step(
    use="river.feature_extraction.Agg", params={"on": "sky", "by": "sky", "how": "river.stats.Count"}
)
MEANS = config.Step(
    use="river.preprocessing.StatImputer",
    params={"imputers": {"a": "river.stats.Mean", "b": 7.0, "city": "river.stats.Mode"}},
)
LATEST = config.Step(use="river.preprocessing.PreviousImputer", only=("number",))


def named(path, *, only=(), keep=False, **params):
    return config.Step(use=f"river.{path}", params=params, only=only, keep=keep)


PROJECTOR = named("preprocessing.GaussianRandomProjector", n_components=2)
SPARSE = named("preprocessing.SparseRandomProjector", n_components=2, density=0.5, only=("a", "b"))
CASES = {
    "scaled and encoded": ("binary", LOGISTIC, [SCALER, ONE_HOT]),
    "imputed, scaled": ("binary", LOGISTIC, [MEANS, LATEST, SCALER, ONE_HOT]),
    "selected": ("binary", LOGISTIC, [ONE_HOT, SCALER, BEST]),
    "encoded by target and frequency": ("binary", LOGISTIC, [TARGET, FREQUENCY, SCALER]),
    "variance": ("multiclass", TREE, [named("feature_selection.VarianceThreshold", threshold=0.05)]),
    "ordinal": ("multiclass", TREE, [ORDINAL, named("preprocessing.MinMaxScaler", only=("a", "n"))]),
    "robust": ("regression", LINEAR, [named("preprocessing.RobustScaler"), ORDINAL]),
    "adaptive": ("regression", LINEAR, [ONE_HOT, named("preprocessing.AdaptiveStandardScaler")]),
    "greatest": ("regression", LINEAR, [ONE_HOT, named("preprocessing.MaxAbsScaler")]),
    "projected": ("binary", TREE, [PROJECTOR, SPARSE]),
    "projected, encoded": ("regression", LINEAR, [SCALER, ONE_HOT, PROJECTOR]),
    "hashed": ("binary", LOGISTIC, [named("preprocessing.FeatureHasher", n_features=6, only=("category",)), SCALER]),
    "extended": ("regression", LINEAR, [SCALER, named("feature_extraction.PolynomialExtender"), ONE_HOT]),
    "included at random": ("binary", TREE, [named("feature_selection.PoissonInclusion", p=0.3)]),
    "dropped": ("binary", LOGISTIC, [named("compose.Discard", keys=["city", "b"]), ONE_HOT]),
    "anomalies": ("anomaly", FOREST, [named("preprocessing.MinMaxScaler"), ONE_HOT]),
}


def model_of(task, use, steps, inputs=INPUTS, **keys):
    spec = config.Model(use=use, steps=tuple(steps), **{"params": PARAMS.get(use, {})} | keys)
    return make_model(spec, config.Task(type=task, max_classes=4), inputs, 3)


def chain_of(*steps):
    return prepared(linear_model.LogisticRegression(), steps, INPUTS, 3)


def problem_of(*steps, use=LOGISTIC, **keys):
    with pytest.raises(PartError) as caught:
        model_of("binary", use, steps, **keys)
    return f"{caught.value.where}: {caught.value}"


@pytest.mark.parametrize("name", CASES)
def test_a_run_has_numbers_as_scores_and_no_message(name):
    task, use, steps = CASES[name]
    X, y = rows_of(task, 150)
    scores, messages = run(model_of(task, use, steps), tape_of(y, 3), X)

    assert messages == []
    assert np.isfinite(scores[60:]).all()


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 99), delay=st.integers(0, 9), cuts=st.sets(st.integers(0, 80), max_size=6))
def test_cuts_questions_and_restarts_change_nothing(name, seed, delay, cuts):
    task, use, steps = CASES[name]
    X, y = rows_of(task, 40, seed)
    whole, messages = run(model_of(task, use, steps), tape_of(y, delay), X)
    again, found = run_interrupted(lambda: model_of(task, use, steps), tape_of(y, delay), X, cuts)

    assert again.tobytes() == whole.tobytes()
    assert found == messages == []


@pytest.mark.parametrize("name", CASES)
def test_one_by_one_is_the_whole_and_reset_a_new_model(name):
    task, use, steps = CASES[name]
    X, y = rows_of(task, 30)
    tape = tape_of(y, 2)
    model = model_of(task, use, steps)
    whole, _ = run(model, tape, X)
    model.reset()
    one_by_one, _ = run_interrupted(lambda: model_of(task, use, steps), tape, X, range(1, len(tape[0])))

    assert run(model, tape, X)[0].tobytes() == whole.tobytes() == one_by_one.tobytes()


def test_steps_do_as_the_bare_transformers():
    X, y = rows_of("binary", 300, categories=0)
    X = np.nan_to_num(X)
    scaler, best, model = preprocessing.StandardScaler(), chain_of(BEST).parts[0], linear_model.LogisticRegression()
    scores, _ = run(model_of("binary", LOGISTIC, [SCALER, BEST], Inputs(INPUTS.numbers, (), 8, [])), tape_of(y, 0), X)
    for i, row in enumerate(X.tolist()):
        x = dict(zip(INPUTS.numbers, row, strict=True))
        assert scores[i, 0] == model.predict_proba_one(best.transform_one(scaler.transform_one(x)))[True]
        if i % 7:
            scaler.learn_one(x)
            x = scaler.transform_one(x)
            selected = best.transform_one(x)
            best.learn_one(x, bool(y[i]))
            model.learn_one(selected, bool(y[i]))


def test_columns_that_were_not_selected_teach_nothing():
    """In a pipe of river 0.26.1 they do: its model learns what a supervised transformer would have left out."""
    select = {"similarity": "river.stats.PearsonCorr", "k": 1}
    inputs = Inputs(("a", "b"), (), 8, [])
    X = np.column_stack([np.arange(60) % 2, np.arange(60) % 3]).astype(float)
    piped = config.Model(use=f"river.feature_selection.SelectKBest | {LOGISTIC}", params={"SelectKBest": select})
    stepped = config.Model(use=LOGISTIC, steps=(named("feature_selection.SelectKBest", **select),))
    scores = []
    for spec in (piped, stepped):
        model = make_model(spec, config.Task(), inputs, 0)
        scores.append(run(model, tape_of(X[:, 0], 0), X)[0])
        last = model._estimator.steps["LogisticRegression"] if spec is piped else model._estimator.model
        assert set(last.weights) == {"a", "b"} or set(last.weights) == {"a"}
        assert abs(dict(last.weights).get("b", 0.0)) <= 0.01  # of the first row, before there was a selection

    assert scores[0].tobytes() == scores[1].tobytes()


ROW = {"a": 1.0, "b": 4.0, "city": "x", "sky": "p"}


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (SCALER, {"a": 0.0, "b": 0.0, "city": "x", "sky": "p"}),
        (named("preprocessing.StandardScaler", only=("b",)), {"a": 1.0, "b": 0.0, "city": "x", "sky": "p"}),
        (named("preprocessing.StandardScaler", only=("n",)), ROW),
        (ONE_HOT, {"a": 1.0, "b": 4.0, "city_x": 1, "sky_p": 1}),
        (named("preprocessing.OneHotEncoder", only=("sky",)), {"a": 1.0, "b": 4.0, "city": "x", "sky_p": 1}),
        (named("preprocessing.OneHotEncoder", only=("sky",), keep=True), ROW | {"sky_p": 1}),
        (ORDINAL, {"a": 1.0, "b": 4.0, "city": 1, "sky": 1}),
        (FREQUENCY, {"a": 1.0, "b": 4.0, "city": "x", "sky_count_by_sky": 1}),
        (named("feature_extraction.Agg", on="n", by="sky", how="river.stats.Mean"), {"a": 1.0, "b": 4.0, "city": "x"}),
        (named("preprocessing.StatImputer", imputers={"n": 8.0, "a": 9.0}), {"n": 8.0} | ROW),
        (named("preprocessing.StatImputer", imputers=[["n", "river.stats.Mode"]]), ROW),
        (named("preprocessing.PreviousImputer"), ROW),
        (named("compose.Discard", keys=["city", "b"]), {"a": 1.0, "sky": "p"}),
    ],
)
def test_what_a_step_makes_of_a_row(step, expected):
    chain = chain_of(step)
    chain.steps[0].learn(dict(ROW), True)

    assert chain.transform_one(dict(ROW)) == expected


def test_a_target_is_encoded_before_its_label_is_known():
    seen = []
    chain = chain_of(TARGET)
    chain.model.learn_one = lambda x, _: seen.append(dict(x))
    for y in (True, True, False):
        chain.learn_one({"city": "x"}, y)

    assert [x["y_bayes_mean_by_city"] for x in seen] == pytest.approx([0.3, 2.5 / 6, 3.5 / 7])


def test_missing_values_are_filled_with_the_last_ones():
    chain = chain_of(named("preprocessing.PreviousImputer"))
    chain.steps[0].learn({"a": 1.0, "city": "x"}, True)

    assert chain.transform_one({"b": 2.0}) == {"a": 1.0, "b": 2.0, "city": "x"}


def test_two_projectors_do_not_share_their_columns():
    chain = chain_of(named("preprocessing.GaussianRandomProjector", n_components=1, keep=True), PROJECTOR)
    made = chain.transform_one({"a": 1.0, "b": 2.0})

    assert set(made) == {f"GaussianRandomProjector{i}" for i in ("1.0", "1.1")}


def test_the_seed_is_that_of_the_engine_where_none_is_given():
    chain = chain_of(PROJECTOR, named("preprocessing.GaussianRandomProjector", seed=8))

    assert [step.transformer.seed for step in chain.steps] == [3, 8]


@pytest.mark.parametrize(
    ("use", "steps", "expected"),
    [
        (LOGISTIC, [SCALER, ONE_HOT], "keep"),
        (LOGISTIC, [SCALER], "one-hot"),
        (TREE, [SCALER], "keep"),
        (TREE, [named("preprocessing.StandardScaler", only=("number", "category"))], "one-hot"),
    ],
)
def test_texts_are_kept_where_steps_and_model_take_them(use, steps, expected):
    assert model_of("binary", use, steps)._categories == expected


def test_what_was_saved_goes_into_a_chain_made_alike_only():
    chain = chain_of(SCALER)
    chain.learn_one({"a": 3.0}, True)
    twin = restored(saved(chain), chain_of(SCALER))

    assert twin.transform_one({"a": 5.0}) == chain.transform_one({"a": 5.0})
    assert twin.parts[0] is not chain.parts[0]
    for other in (chain_of(ONE_HOT), chain_of(SCALER, SCALER), chain.model):
        with pytest.raises(ValueError, match="state of another model: StandardScaler, LogisticRegression"):
            restored(saved(chain), other)


@pytest.mark.parametrize("name", CASES)
def test_contributions_add_up_or_are_not_told(name):
    """For a linear model: the log-odds or value, less what stays when no input is there, is the sum over the inputs."""
    task, use, steps = CASES[name]
    X, y = rows_of(task, 120)
    model = model_of(task, use, steps)
    run(model, tape_of(y, 0), X)
    told = model.contributions(X)
    if told is None or told[0] != "linear":
        return
    scores = model.peek(X)[:, 0]
    raw = np.log(scores / (1 - scores)) if task == "binary" else scores

    assert np.ptp(raw - told[1][:, :, 0].sum(axis=1)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ([SCALER, named("compose.Discard", keys=["city", "sky"])], "linear"),
        ([MEANS, SCALER, ORDINAL, BEST], "linear"),
        ([SCALER, ONE_HOT], None),
        ([TARGET, FREQUENCY], None),
        ([ORDINAL, PROJECTOR], None),
        ([ORDINAL, named("compose.Renamer", mapping={"a": "b", "b": "a"})], None),  # would give a what b did
    ],
)
def test_contributions_are_told_where_columns_stay_what_they_are(steps, told):
    X, y = rows_of("binary", 120)
    model = model_of("binary", LOGISTIC, steps)
    run(model, tape_of(y, 0), X)
    found = model.contributions(X)

    assert (found and found[0]) == told


def test_a_tree_that_splits_on_made_columns_tells_nothing():
    X, y = rows_of("binary", 1500)
    made = model_of("binary", TREE, [PROJECTOR], params={"grace_period": 20, "delta": 0.1}, categories="drop")
    kept = model_of("binary", TREE, [SCALER], params={"grace_period": 20, "delta": 0.1})
    for model in (made, kept):
        run(model, tape_of(y, 0), X)

    assert made._estimator.model.n_branches
    assert made.contributions(X) is None
    assert kept.contributions(X)[0] == "tree path"


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (
            named("preprocessing.StandardScaller"),
            '.steps[1].use: river.preprocessing has no class "StandardScaller", did',
        ),
        (named("preprocesing.StandardScaler"), '.steps[1].use: "river.preprocesing" is not one of river\'s packages'),
        (named("linear_model.LogisticRegression"), ".steps[1].use: LogisticRegression is no transformer"),
        (named("preprocessing.TargetStandardScaler"), ".steps[1].use: TargetStandardScaler is no transformer"),
        (named("anomaly.QuantileFilter"), ".steps[1].use: QuantileFilter is no transformer"),
        (
            named("preprocessing.MinMaxScaler", window=5),
            ".steps[1].params: river.preprocessing.MinMaxScaler has no param",
        ),
        (
            named("feature_selection.SelectKBest"),
            ".steps[1].params: river.feature_selection.SelectKBest cannot be made",
        ),
        (
            named("feature_selection.SelectKBest", similarity="river.stats.Person"),
            ".steps[1].params: river.stats has no",
        ),
        (
            named("feature_extraction.TargetAgg", by="cty", how="river.stats.Mean"),
            '.steps[1].params: unknown column "cty"; known: a, b, n, city, sky, did you mean "city"?',
        ),
        (
            named("feature_extraction.TargetAgg", by="city", how="river.stats.Mean", only=("sky",)),
            ".steps[1].only: TargetAgg names its columns in its params",
        ),
        (named("feature_extraction.TargetAgg", by="a", how="river.stats.Mean"), '.steps[1].params: "a" is a number'),
        (named("preprocessing.OneHotEncoder", only=("a", "city")), ".steps[1].only: an encoder keeps each value apart"),
        (named("preprocessing.OrdinalEncoder", only=("number",)), ".steps[1].only: an encoder keeps each value apart"),
        (named("preprocessing.Normalizer", order="two"), ".steps: the model fails with it on every row: ValueError"),
    ],
)
def test_mistakes_name_the_step(step, said):
    assert problem_of(SCALER, step).startswith(said)


@pytest.mark.parametrize("form", ["one-hot", "drop"])
def test_a_step_for_categories_needs_categories(form):
    said = f'.steps[0]: there are no categories left for this step: categories = "{form}"'

    assert problem_of(ORDINAL, categories=form) == said


def test_a_category_that_nobody_encodes_takes_them_all_from_the_steps():
    assert problem_of(TARGET).endswith("some would reach the model as texts")  # sky


def test_a_row_that_a_step_fails_on_is_a_message_and_no_prediction():
    X, y = rows_of("binary", 20)
    X = np.nan_to_num(X, nan=1.0)
    X[4, :3] = 0.0  # has no direction
    model = model_of("binary", LOGISTIC, [named("preprocessing.Normalizer"), ONE_HOT])
    scores, messages = run(model, tape_of(y, 0), X)

    assert [i for i, _ in messages] == [8, 9]
    assert all("ZeroDivisionError" in text for _, text in messages)
    assert math.isnan(scores[4, 0])
    assert np.isfinite(np.delete(scores, 4)).all()
