"""Paths and tables of the configuration become river estimators; every mistake is an error that helps."""

import pytest
from river import drift, ensemble, linear_model, optim, preprocessing

from stream_app.models.estimators import build, check_fit


def test_a_single_class_takes_the_parameters():
    model = build("river.linear_model.PAClassifier", {"C": 0.5}, 0)

    assert isinstance(model, linear_model.PAClassifier)
    assert model.C == 0.5


def test_a_pipe_takes_a_table_by_step():
    scaler = "river.preprocessing.StandardScaler"
    use = f"{scaler} | {scaler} | river.linear_model.LogisticRegression"
    params = {"StandardScaler1": {"with_std": False}, "LogisticRegression": {"l2": 0.5}}
    model = build(use, params, 0)

    assert list(model.steps) == ["StandardScaler", "StandardScaler1", "LogisticRegression"]
    assert (model[0].with_std, model[1].with_std, model[2].l2) == (True, False, 0.5)


def test_a_supervised_transformer_in_a_pipe_works_while_it_learns():
    """Alone in a pipe of river 0.26.1, what follows learns the values as they were before it."""
    use = "river.feature_extraction.TargetAgg | river.linear_model.LogisticRegression"
    model = build(use, {"TargetAgg": {"by": "c", "how": "river.stats.Mean"}}, 0)
    for i in range(20):
        model.learn_one({"c": "xy"[i % 2]}, bool(i % 2))

    assert set(model["LogisticRegression"].weights) == {"y_mean_by_c"}


@pytest.mark.parametrize("imputers", [{"a": "river.stats.Mean", "b": 7.0}, [["a", "river.stats.Mean"], ["b", 7.0]]])
def test_parameters_without_a_name_of_their_own_are_a_list_or_a_table(imputers):
    model = build("river.preprocessing.StatImputer", {"imputers": imputers}, 0)
    union = build("river.compose.TransformerUnion", {"transformers": ["river.preprocessing.StandardScaler"]}, 0)

    assert model.transform_one({"a": None, "b": None}) == {"a": 0.0, "b": 7.0}
    assert list(union.transformers) == ["StandardScaler"]


def test_parameters_are_built_recursively():
    params = {
        "model": {
            "use": "river.preprocessing.StandardScaler | river.linear_model.LogisticRegression",
            "params": {"LogisticRegression": {"optimizer": {"use": "river.optim.SGD", "params": {"lr": 0.5}}}},
        },
        "n_models": 3,
    }
    model = build("river.ensemble.BaggingClassifier", params, 7)

    assert isinstance(model, ensemble.BaggingClassifier)
    assert model.seed == 7
    assert model.model["LogisticRegression"].optimizer.learning_rate == 0.5


def test_a_text_that_names_a_class_is_made():
    model = build("river.linear_model.LogisticRegression", {"optimizer": "river.optim.Adam"}, 0)

    assert isinstance(model.optimizer, optim.Adam)


def test_lists_are_built_item_by_item():
    models = ["river.linear_model.LogisticRegression", {"use": "river.naive_bayes.GaussianNB"}]
    model = build("river.ensemble.VotingClassifier", {"models": models}, 0)

    assert [type(part).__name__ for part in model.models] == ["LogisticRegression", "GaussianNB"]


def test_the_seed_is_set_where_none_is_given():
    params = {"drift_detector": "river.drift.DummyDriftDetector"}
    model = build("river.forest.ARFClassifier", params, 5)

    assert model.seed == 5
    assert isinstance(model.drift_detector, drift.DummyDriftDetector)
    assert model.drift_detector.seed == 5
    assert build("river.forest.ARFClassifier", {"seed": 8}, 5).seed == 8


SCALED_BAYES = "river.preprocessing.StandardScaler | river.naive_bayes.GaussianNB"


@pytest.mark.parametrize(
    ("use", "params", "said"),
    [
        ("os.system", {}, 'only paths that begin with "river."'),
        ("river.preprocessing.StandardScaler | sklearn.svm.SVC", {}, 'only paths that begin with "river."'),
        ("river.tree.HoefdingTreeClassifier", {}, 'did you mean "HoeffdingTreeClassifier"'),
        ("river.trees.HoeffdingTreeClassifier", {}, 'did you mean "river.tree"'),
        ("river.linear_model.nothing_here.X", {}, "cannot be imported"),
        ("river.HoeffdingTreeClassifier", {}, "not one of river's packages"),
        ("river.datasets.Phishing", {}, "not one of river's packages"),
        ("river.stream.Cache", {}, "not one of river's packages"),
        ("river.utils.pandas.importlib", {}, 'has no class "importlib"'),
        ("river.base.Classifier", {}, "abstract base"),
        ("river.tree.HoeffdingTreeClassifier", {"grace_perod": 5}, 'did you mean "grace_period"'),
        (SCALED_BAYES, {"GaussNB": {}}, 'did you mean "GaussianNB"'),
        (SCALED_BAYES, {"GaussianNB": 1}, "tables by step"),
        ("river.ensemble.BaggingClassifier", {}, "cannot be made: .*model"),
        ("river.linear_model.LogisticRegression", {"l1": 0.1, "l2": 0.1}, "cannot be made"),
        ("river.ensemble.BaggingClassifier", {"model": {"use": "river.tree.X"}}, 'river.tree has no class "X"'),
        ("river.ensemble.BaggingClassifier", {"model": {"use": "river.tree.X", "seed": 1}}, 'not "seed"'),
        ("river.ensemble.BaggingClassifier", {"model": {"use": 5}}, "takes a path"),
        ("river.ensemble.BaggingClassifier", {"model": {"use": "river.tree.X", "params": 5}}, "takes a path"),
        ("river.preprocessing.StandardScaler |", {}, "only paths that begin"),
    ],
)
def test_mistakes_are_explained(use, params, said):
    with pytest.raises(ValueError, match=said):
        build(use, params, 0)


@pytest.mark.parametrize(
    ("use", "task", "said"),
    [
        ("river.linear_model.LinearRegression", "binary", "needs a classifier, LinearRegression is none"),
        ("river.linear_model.LogisticRegression", "regression", "needs a regressor"),
        ("river.naive_bayes.GaussianNB", "anomaly", "needs an unsupervised anomaly detector"),
        ("river.anomaly.GaussianScorer", "anomaly", "needs an unsupervised anomaly detector"),
        ("river.preprocessing.StandardScaler", "binary", "needs a classifier"),
        ("river.linear_model.LogisticRegression", "multiclass", "OneVsRestClassifier"),
    ],
)
def test_the_estimator_must_fit_the_task(use, task, said):
    with pytest.raises(ValueError, match=said):
        check_fit(build(use, {}, 0), task, use)


def test_a_pipe_fits_by_its_last_step():
    model = preprocessing.StandardScaler() | linear_model.LinearRegression()
    check_fit(model, "regression", "a pipe")
