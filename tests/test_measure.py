"""Measure: figures beside the baselines, delays, coverage and counts, and the messages on the grid."""

import numpy as np
import pytest
from chunks import SCHEMA, TIMELESS, config_of, event, label, through, values
from hypothesis import given, settings
from hypothesis import strategies as st
from streams import tape_of

from stream_app.messages import EVENT
from stream_app.pipeline import Pipeline

EVERY = "[measure]\nwindow = 50\nevery = 64\n[engine]\nepoch = 16\n"


def run(config, stream) -> tuple[list, Pipeline]:
    pipeline = Pipeline(config)
    return pipeline.handle(tape_of(config, stream)).messages, pipeline


def sticky(n: int, same: float, seed: int = 1) -> list[int]:
    """Labels of which each is the one before it with this probability."""
    generator = np.random.default_rng(seed)
    return (np.cumsum(generator.random(n) >= same) % 2).tolist()


def test_no_change_shows_what_repeating_the_last_label_is_worth() -> None:
    ys = sticky(4000, same=0.85)
    _, pipeline = run(config_of(""), [event(f"e{i}", i, a=1, y=y) for i, y in enumerate(ys)])
    figures = pipeline.measure.performance()

    assert figures["no-change"]["since_start"]["accuracy"] == np.mean(np.array(ys[1:]) == ys[:-1])
    assert figures["no-change"]["since_start"]["accuracy"] == pytest.approx(0.85, abs=0.02)
    assert figures["champion"]["since_start"]["accuracy"] < 0.8  # it has nothing to go by but the share


def test_majority_says_the_class_seen_most_often_so_far() -> None:
    ys = ["p", "q", "q", "p", "q", "q", "r", "q"]
    config = config_of('[task]\ntype = "multiclass"\n')
    _, pipeline = run(config, [event(f"e{i}", i, y=y) for i, y in enumerate(ys)])
    said = [None, "p", "p", "q", "p", "q", "q", "q"]  # on a tie the class that came first

    assert pipeline.measure.performance()["majority"]["since_start"]["accuracy"] == np.mean(
        [a == b for a, b in zip(said[1:], ys[1:], strict=True)]
    )


def test_the_baselines_of_a_regression_are_the_last_value_and_the_mean() -> None:
    ys = [1.0, 3.0, 8.0, 4.0]
    config = config_of('[task]\ntype = "regression"\n')
    _, pipeline = run(config, [event(f"e{i}", i, y=y) for i, y in enumerate(ys)])
    figures = pipeline.measure.performance()

    assert figures["no-change"]["since_start"]["mae"] == pytest.approx((2 + 5 + 4) / 3)
    assert figures["majority"]["since_start"]["mae"] == pytest.approx((2 + 6 + 0) / 3)


@settings(max_examples=25)
@given(st.lists(st.integers(0, 99), max_size=5), st.sampled_from(["binary", "multiclass", "regression"]))
def test_baselines_do_not_see_the_cut(cuts: list[int], task: str) -> None:
    config = config_of(f'[task]\ntype = "{task}"\n')
    stream = [event(f"e{i}", i, y=y) for i, y in enumerate(sticky(100, 0.6))]
    _, pipeline = through(config, stream)
    other = Pipeline(config)
    for a, b in zip([0, *sorted(cuts)], [*sorted(cuts), 100], strict=True):
        other.handle(tape_of(config, stream[a:b], stream[:a]))

    assert repr(other.measure.performance()) == repr(pipeline.measure.performance())


@pytest.mark.parametrize("kind", ["rolling", "since_start"])
def test_figures_of_the_champion_are_those_of_its_predictions(kind: str) -> None:
    generator = np.random.default_rng(5)
    xs = generator.normal(size=300)
    ys = (xs + generator.normal(size=300) > 0).astype(int)
    stream = [event(f"e{i}", i, a=float(x), y=int(y)) for i, (x, y) in enumerate(zip(xs, ys, strict=True))]
    chunk, pipeline = through(config_of(EVERY), stream)
    last = slice(-50 if kind == "rolling" else 0, None)
    guess = chunk.out.predictions[0].code

    figures = pipeline.measure.performance()["champion"]
    assert figures["labels"] == 300
    assert figures[kind]["accuracy"] == pytest.approx(np.mean(guess[last] == ys[last]))
    assert chunk.error.tolist() == (guess != ys).astype(float).tolist()


def test_the_error_of_each_task() -> None:
    regression, _ = through(config_of('[task]\ntype = "regression"\n'), [event("a", 1, y=-3.0), event("b", 2, y=1.0)])
    classes, _ = through(config_of('[task]\ntype = "multiclass"\n'), [event("a", 1, y="p"), event("b", 2, y="p")])

    assert regression.error.tolist() == pytest.approx([np.nan, 4], nan_ok=True)  # it knew only -3
    assert classes.error.tolist() == pytest.approx([np.nan, 0], nan_ok=True)  # before the first class there is none


def test_anomaly_scores_rank_but_do_not_predict() -> None:
    trees = '[model]\nuse = "river.anomaly.HalfSpaceTrees"\nparams = { seed = 1 }\n'
    config = config_of('[task]\ntype = "anomaly"\n' + trees)
    stream = [event(f"e{i}", i, a=(i % 7) / 7, y=0) for i in range(300)]
    stream += [event(f"o{i}", 300 + i, a=0.99 if i % 9 == 0 else (i % 7) / 7, y=int(i % 9 == 0)) for i in range(99)]
    chunk, pipeline = through(config, stream)
    figures = pipeline.measure.performance()["champion"]["since_start"]

    assert np.isnan(chunk.error).all()
    assert np.isnan(figures["accuracy"])
    assert 0 <= figures["roc_auc"] <= 1


def test_counts_and_coverage() -> None:
    stream = [
        event("a", 0, y=1), event("b", 0), event("c", 10), label("c", 0, 20), (EVENT, b"{"), event("a", 30),
        event("d", 1011, y=1),
    ]  # fmt: skip
    config = config_of('[task]\nlabel_timeout = "1s"\n')
    chunk, pipeline = through(config, stream, closes=True)
    found = {message["signal"]: message for message in values(chunk.out.messages, "metrics")}

    assert pipeline.summary()["counts"] == {"records": 7, "events": 4, "labels": 3, "expired": 1, "rejected": 2}
    assert {key: found["stream"][key] for key in ("record", "events", "rejected")} == {
        "record": 7, "events": 4, "rejected": 2,
    }  # fmt: skip
    assert found["labels"]["coverage"] == 0.75
    assert found["labels"]["pending"] == 0
    assert found["labels"]["delay_median_s"] == 0
    assert found["labels"]["delay_p95_s"] == pytest.approx(0.009)


def test_before_the_first_label_coverage_is_unknown() -> None:
    chunk, _ = through(config_of(""), [event("a", 1)], closes=True)
    (figures,) = [m for m in values(chunk.out.messages, "metrics") if m["signal"] == "labels"]

    assert (figures["coverage"], figures["delay_median_s"], figures["pending"]) == (None, None, 1)


@pytest.mark.parametrize("schema", [SCHEMA, TIMELESS])
def test_metrics_come_on_the_grid_and_nowhere_else(schema: str) -> None:
    stream = [event(f"e{i}", i, a=1, y=i % 2) for i in range(200)]
    messages, _ = run(config_of(EVERY, schema), stream)
    metrics = values(messages, "metrics")

    assert [m["record"] for m in metrics if m["signal"] == "stream"] == [64, 128, 192]
    assert {m["signal"] for m in metrics} == {
        "stream", "labels", "incidents", "performance:champion", "performance:no-change", "performance:majority",
        "estimate:champion",
    }  # fmt: skip
    assert [m["time"] for m in metrics if m["signal"] == "stream"] == [63, 127, 191]
    assert [m["version"] for m in metrics if m["signal"] == "performance:champion"] == ["v1"] * 3
    assert len({m.id for m in messages}) == len(messages)


def test_without_labels_there_is_no_performance() -> None:
    schema = TIMELESS.replace('label = "y"\n', "")
    config = config_of(EVERY + '[task]\ntype = "anomaly"\n[model]\nuse = "river.anomaly.HalfSpaceTrees"\n', schema)
    messages, pipeline = run(config, [event(f"e{i}", i, a=1) for i in range(64)])

    assert [m["signal"] for m in values(messages, "metrics")] == ["stream", "incidents"]
    assert pipeline.summary()["performance"] == {}


def test_a_closed_pane_holds_what_was_watched_in_it() -> None:
    text = '[[watch]]\nsignal = "feature:a"\ndetector = "adwin"\n[panes]\nwidth = "1s"\n'
    stream = [event(f"e{i}", 100 * i, a=i) for i in range(64)]
    messages, _ = run(config_of(EVERY + text), stream)
    panes = values(messages, "panes")

    assert [(p["start"], p["n"], p["mean"]) for p in panes] == [(1000 * i, 10, 10 * i + 4.5) for i in range(5)]
    assert {p["signal"] for p in panes} == {"feature:a"}
    assert {p["width_ms"] for p in panes} == {1000}


def test_a_pane_of_categories_names_them() -> None:
    text = '[[watch]]\nsignal = "feature:c"\ndetector = "psi"\n[panes]\nwidth = "1s"\n'
    stream = [event(f"e{i}", 100 * i, a=i, c="vuw"[i // 20 % 3]) for i in range(64)]
    messages, _ = run(config_of(EVERY + text), stream)
    panes = values(messages, "panes")

    assert [(p["bins"], p["names"]) for p in panes[1:3]] == [([[0, 10]], ["v"]), ([[1, 10]], ["u"])]


def test_a_models_failures_are_in_its_figures() -> None:
    _, pipeline = run(config_of(""), [event("a", 1, y=1)])
    pipeline.score.champion.failures, pipeline.score.champion.last_failure = 3, "overflow"

    assert pipeline.measure.performance()["champion"]["failures"] == 3
    assert pipeline.measure.performance()["champion"]["last_failure"] == "overflow"
    assert pipeline.measure.performance()["no-change"]["failures"] == 0
