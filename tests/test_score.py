"""Score: predict before learning, all models on the same events, versions, and what a prediction is."""

import json

import numpy as np
import pytest
from chunks import TIMELESS, config_of, event, label, through
from streams import flat, tape_of

from stream_app.messages import EVENT
from stream_app.models import LEARN, PREDICT, Inputs, make_model
from stream_app.pipeline import Pipeline

CONFIG = config_of("")


def labelled(n: int) -> list[tuple[int, bytes]]:
    generator = np.random.default_rng(3)
    return [event(f"e{i}", i, a=float(x), c="x", y=int(x > 0)) for i, x in enumerate(generator.normal(size=n))]


def scores(config, stream) -> list[float]:
    out = Pipeline(config).handle(tape_of(config, stream))
    return [float(score) for block in out.predictions for score in block.score]


def test_a_prediction_is_made_before_its_own_label_is_learned() -> None:
    stream = labelled(50)
    flipped = [*stream[:-1], event("e49", 49, a=1.0, c="x", y=0)]
    other = [*stream[:-1], event("e49", 49, a=1.0, c="x", y=1)]

    assert scores(CONFIG, flipped) == scores(CONFIG, other)
    assert scores(CONFIG, [*flipped, event("z", 60, a=1.0)])[-1] < scores(CONFIG, [*other, event("z", 60, a=1.0)])[-1]


def test_a_label_that_comes_later_changes_only_what_follows_it() -> None:
    stream = [event("a", 1, a=1), event("b", 2, a=1), label("a", 1, 3), event("c", 4, a=1)]
    a, b, c = scores(CONFIG, stream)

    assert a == b == 0.5
    assert c > 0.5


def test_the_model_sees_numbers_then_features_then_codes() -> None:
    text = '[[features]]\nname = "n"\nstat = "count"\nby = "c"\nover = "100 events"\n'
    chunk, pipeline = through(config_of(text), [event("a", 1, a=7, c="x"), event("b", 2, c="x"), event("c", 3, a=9)])
    rows = pipeline.join.kept.X[chunk.slot[chunk.predicted]]

    assert rows[:, 0].tolist() == pytest.approx([7, np.nan, 9], nan_ok=True)
    assert rows[:2, 1].tolist() == [0, 1]
    assert rows[:, 2].tolist() == pytest.approx([0, 0, np.nan], nan_ok=True)


def test_fields_that_are_no_input_are_kept_from_the_model() -> None:
    config = config_of("", TIMELESS.replace("required = false }", "required = false, input = false }", 1))
    _, pipeline = through(config, [event("a", 1, a=7, c="x")])

    assert pipeline.join.kept.X.shape[1] == 1
    assert pipeline.join.kept.codes.shape[1] == 1


def test_the_stage_scores_as_the_model_alone_one_by_one() -> None:
    stream = labelled(40)
    chunk, _ = through(CONFIG, stream)
    model = make_model(CONFIG.model, CONFIG.task, Inputs(("a",), ("c",), 1024, [["x"]]), CONFIG.engine.seed)
    X, written, slot = np.zeros((1, 2)), np.empty((1, 1)), np.zeros(1, np.int64)
    alone = []
    for x, y in zip(chunk.events.numbers[:, 0], chunk.target, strict=True):
        X[0] = x, 0
        for kind in (PREDICT, LEARN):
            model.run(np.array([kind], np.uint8), slot, np.array([y]), X, written)
            alone += [written[0, 0]] if kind == PREDICT else []

    assert chunk.scores[0][:, 0].tolist() == alone


def test_challengers_take_the_same_events() -> None:
    text = '[[challengers]]\nname = "twin"\nuse = "linear"\n[[challengers]]\nname = "prior"\n'
    config = config_of(text + 'use = "river.dummy.PriorClassifier"\n')
    chunk, pipeline = through(config, labelled(30))
    twin, prior = chunk.scores[1], chunk.scores[2]
    seen = np.concatenate([[0], np.cumsum(chunk.target)[:-1]])

    assert pipeline.score.names == ["champion", "twin", "prior", "candidate"]
    assert np.array_equal(twin, chunk.scores[0])
    assert prior[5:, 0] == pytest.approx(seen[5:] / np.arange(5, 30))


def test_a_challenger_keeps_what_it_learned_when_the_champion_is_reset() -> None:
    config = config_of('[[challengers]]\nname = "twin"\nuse = "linear"\n')
    _, pipeline = through(config, labelled(30))
    pipeline.retraining.apply({"command": "reset"}, 30, 30)
    later, _ = through(config, [event("z", 100, a=2.0)], pipeline)

    assert later.scores[0][0, 0] == 0.5
    assert later.scores[1][0, 0] > 0.5


def test_a_reset_makes_a_new_version_and_names_it() -> None:
    _, pipeline = through(CONFIG, labelled(30))

    entry, told = pipeline.retraining.apply({"command": "reset"}, 30, 30)
    assert entry is not None
    assert entry["version"] == "v2"
    assert [(m.key, json.loads(m.value)["status"]) for m in told if m.stream == "models"] == [
        ("v1", "archived"),
        ("v2", "champion"),
    ]

    chunk, _ = through(CONFIG, [event("z", 100, a=2.0)], pipeline)
    assert [block.version for block in chunk.out.predictions] == ["v2"]
    assert chunk.out.predictions[0].score.tolist() == [0.5]


@pytest.mark.parametrize(
    "use", ["linear", "hoeffding_tree", "river.linear_model.LogisticRegression", "river.tree.HoeffdingTreeClassifier"]
)
def test_rows_with_nothing_in_them_poison_nothing(use: str) -> None:
    config = config_of(f'[model]\nuse = "{use}"\n')
    empty = [event(f"m{i}", i, y=i % 2) for i in range(20)]
    found = scores(config, [*empty, *labelled(30), event("last", 60)])

    assert np.isfinite(found[1:]).all()  # a tree that has learned nothing predicts nothing


def test_no_events_no_block() -> None:
    chunk, _ = through(CONFIG, [(EVENT, b"{"), label("a", 1, 5)])

    assert chunk.out.predictions == []


def test_what_a_binary_score_decides() -> None:
    stage = Pipeline(CONFIG).score
    code, score = stage.decide(np.array([[0.2], [0.5], [0.51], [np.nan]]))

    assert code.tolist() == [0, 0, 1, -1]
    assert score.tolist() == pytest.approx([0.2, 0.5, 0.51, np.nan], nan_ok=True)


def test_what_a_multiclass_score_decides() -> None:
    stage = Pipeline(config_of('[task]\ntype = "multiclass"\nmax_classes = 3\n')).score
    code, score = stage.decide(np.array([[0.2, 0.5, 0.3], [0.4, 0.4, 0.2], [0, 0, 0], [np.nan] * 3]))

    assert code.tolist() == [1, 0, -1, -1]
    assert score.tolist() == pytest.approx([0.5, 0.4, np.nan, np.nan], nan_ok=True)
    assert [len(part) for part in stage.decide(np.empty((0, 3)))] == [0, 0]


def test_a_regression_predicts_its_value() -> None:
    config = config_of('[task]\ntype = "regression"\n')
    stream = [event(f"e{i}", i, a=i % 5, y=10.0 * (i % 5)) for i in range(300)]
    chunk, _ = through(config, stream)
    block = chunk.out.predictions[0]

    assert block.classes == ()
    assert np.abs(block.score[-20:] - chunk.target[-20:]).mean() < 2


def test_multiclass_predictions_are_named() -> None:
    config = config_of('[task]\ntype = "multiclass"\n')
    stream = [event(f"e{i}", i, a=i % 3, c="pqr"[i % 3], y="pqr"[i % 3]) for i in range(120)]
    found = flat([Pipeline(config).handle(tape_of(config, stream))])["predictions"]

    assert b'"prediction":null' in found[0]  # no class was seen yet
    assert [b'"prediction":"%c"' % b"pqr"[i % 3] in value for i, value in enumerate(found)][-9:] == [True] * 9


def test_failures_of_a_model_are_counted_not_raised() -> None:
    config = config_of('[model]\nuse = "river.linear_model.LogisticRegression"\n')
    stream = [event(f"e{i}", i, a=1e308 * (-1) ** i, c="x", y=i % 2) for i in range(30)]
    _, pipeline = through(config, [*stream, *labelled(5)])
    again = Pipeline(config)
    again.restore(pipeline.snapshot())

    assert again.score.champion.failures == pipeline.score.champion.failures
    assert again.score.champion.last_failure == pipeline.score.champion.last_failure
