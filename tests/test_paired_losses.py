"""Losses on the same labels beside a naive join, and the verdict: better, equal, worse, or unknown."""

import json
import math
import random
from typing import Any

import numpy as np
import pytest

from stream_app.config import Config, Field, Retrain, Schema, Task
from stream_app.edges.paired_losses import Judgement, Losses, Pairs, judged
from stream_app.errors import StateError
from stream_app.evidence.paired import Paired
from stream_app.flow.trial import SCALE, UNSCALED
from stream_app.messages import Floats, Outcomes
from stream_app.texts import Coded, Pieces, Texts

Lost = dict[int, tuple[int, float]]  # offset of the event → time and loss, in the order of the labels


def config(kind: Any = "binary", label: str | None = "y", confidence: float = 0.95) -> Config:
    schema = Schema(label=label, fields={"x": Field(type="number")})
    return Config(name="n", schema=schema, task=Task(type=kind), retrain=Retrain(confidence=confidence))


def values(lost: Lost) -> list[bytes]:
    return [
        json.dumps({"id": f"e{o}", "offset": o, "time": t, "error": None if math.isnan(x) else x}).encode()
        for o, (t, x) in lost.items()
    ]


def outcomes(lost: Lost) -> Outcomes:
    offset, n = np.array(list(lost), np.int64), len(lost)
    time_ms, error = np.array([t for t, _ in lost.values()], np.int64), np.array([x for _, x in lost.values()], float)
    return Outcomes(offset, Texts.of(f"e{o}" for o in lost), time_ms, Coded.of(["1"] * n), np.zeros(n, np.int64), error)


def shard_of(live: Lost, other: Lost, cut: int = 7) -> Pairs:
    losses = Losses(0)
    written, made = values(live), list(other.items())
    for begin in range(0, len(written), cut):
        losses.live(Pieces.of(written[begin : begin + cut]))
    for begin in range(0, len(made), cut):
        losses.other([outcomes(dict(made[begin : begin + cut]))])
    return losses.pairs()


def lost(seed: int, n: int, rate: float) -> Lost:
    """Labels in another order than their events, some missing, some of events that were not predicted."""
    rng = random.Random(seed)
    places = random.Random(n).sample(range(2 * n), n)
    found = {
        at: (10 * i, math.nan if rng.random() < 0.02 else float(rng.random() < rate)) for i, at in enumerate(places)
    }
    return {at: each for at, each in found.items() if rng.random() > 0.1}


@pytest.mark.parametrize("cut", [1, 7, 10_000])
def test_labels_are_matched_by_their_event_in_the_order_of_the_labels(cut: int) -> None:
    live, other = lost(1, 500, 0.3), lost(2, 500, 0.2)
    naive = [(time, live[at][1], loss) for at, (time, loss) in other.items() if at in live]
    pairs = shard_of(live, other, cut)

    assert pairs.time_ms.tolist() == [time for time, _, _ in naive]
    np.testing.assert_array_equal(pairs.losses, np.array([both for _, *both in naive]))


def test_no_label_of_both_is_no_pair() -> None:
    assert shard_of({}, {}).losses.shape == (0, 2)
    assert shard_of({1: (5, 0.0)}, {2: (5, 0.0)}).losses.shape == (0, 2)


@pytest.mark.parametrize("value", [b"{}", b"no JSON", b'{"offset": "x", "error": 1}', b'{"offset": 1, "error": "x"}'])
@pytest.mark.parametrize("n", [0, 20])  # few are read one by one, many by columns
def test_what_is_no_outcome_is_refused(value: bytes, n: int) -> None:
    good = [b'{"offset": %d, "error": null}' % i for i in range(n)]
    with pytest.raises(StateError, match="not of driftline") as raised:
        Losses(0).live(Pieces.of([*good, value]))
    assert repr(value) in str(raised.value)


def naive_judgement(
    shards: list[Pairs], confidence: float, scale: bool
) -> tuple[int, float, float, float, list[float]]:
    """Label by label."""
    rows = sorted((int(t), s, i) for s, pairs in enumerate(shards) for i, t in enumerate(pairs.time_ms))
    paired, sums, n = Paired(), [0.0, 0.0], 0
    for _, shard, i in rows:
        live, other = shards[shard].losses[i].tolist()
        if math.isnan(live) or math.isnan(other):
            continue
        d = live - other
        if scale:
            unit = SCALE * sums[0] / n if n >= UNSCALED else 0.0
            d = min(1.0, max(-1.0, d / unit)) if unit else 0.0
        paired.add(np.array([d]))
        sums, n = [sums[0] + live, sums[1] + other], n + 1
    return n, sums[0] / n, sums[1] / n, paired.mean, paired.interval(1 - confidence)


@pytest.mark.parametrize("kind", ["binary", "regression"])
def test_the_figures_are_those_of_a_naive_count(kind: str) -> None:
    shards = [shard_of(lost(s, 400, 0.3), lost(s + 9, 400, 0.2)) for s in (1, 2)]
    found = judged(config(kind, confidence=0.9), config(kind), shards)
    n, live, other, gain, interval = naive_judgement(shards, 0.9, kind == "regression")
    scale = SCALE if kind == "regression" else 1.0

    assert (found.labels, found.unpaired) == (n, sum(len(pairs.time_ms) for pairs in shards) - n)
    assert [found.live, found.other, found.gain] == pytest.approx([live, other, scale * gain])
    assert found.interval == pytest.approx([scale * each for each in interval])
    assert found.confidence == 0.9


def verdict(live: Floats, other: Floats, kind: str = "binary") -> Judgement:
    pairs = Pairs(np.arange(len(live)), np.column_stack([live, other]))
    return judged(config(kind), config(kind), [pairs])


def test_better_worse_and_equal_are_said() -> None:
    rng = np.random.default_rng(3)
    bad, good = (rng.random(4000) < 0.4).astype(float), (rng.random(4000) < 0.2).astype(float)

    better, worse = verdict(bad, good), verdict(good, bad)
    assert better.outcome == "better"
    assert better.interval[0] > 0
    assert better.sentence().startswith("the other is better by 0.2")
    assert "4,000 labels" in better.sentence()
    assert worse.outcome == "worse"
    assert worse.interval == pytest.approx([-each for each in better.interval[::-1]])
    assert worse.sentence() == better.sentence().replace("better", "worse")
    assert verdict(good, good).outcome == "unproven"
    assert verdict(good, good).sentence().startswith("no difference is shown: 0 (-")


def test_errors_of_a_regression_are_told_as_shares() -> None:
    rng = np.random.default_rng(4)
    live = rng.exponential(50.0, 4000)
    found = verdict(live, 0.8 * live, "regression")

    assert found.outcome == "better"
    assert found.gain == pytest.approx(0.2, abs=0.02)
    assert "of the live one's error" in found.sentence()
    assert found.other == pytest.approx(0.8 * found.live)


@pytest.mark.parametrize(
    ("one", "two", "why"),
    [
        (config("binary"), config("regression"), "losses of different kinds"),
        (config(), config(label="z"), "one predicts y, the other z"),
        (config(), config(), "no event has a label in both"),
        (config("anomaly"), config("anomaly"), "ROC AUC"),
    ],
)
def test_where_nothing_can_be_said_it_says_why(one: Config, two: Config, why: str) -> None:
    found = judged(one, two, [Pairs(np.empty(0, np.int64), np.empty((0, 2)))])

    assert found.outcome == "unknown"
    assert why in found.sentence()
    assert json.loads(json.dumps(found.as_json()))["interval"] is None


def test_a_long_history_is_judged_in_parts() -> None:
    rng = np.random.default_rng(5)
    losses = (rng.random((150_000, 2)) < (0.105, 0.1)).astype(float)
    paired = Paired()
    paired.add(losses[:, 0] - losses[:, 1])

    assert verdict(losses[:, 0], losses[:, 1]).interval == pytest.approx(paired.interval(1 - 0.95))
