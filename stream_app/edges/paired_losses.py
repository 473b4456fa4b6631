"""Two champions on the same labels: what each of them lost, and which is better, by the proof that the loop asks for.

Labels are matched by their event. Those of all shards are judged in the order of stream time, each shard's in its own
order, so that a longer log goes on where a shorter one ended and the interval may be looked at after each.
"""

from typing import Any, Literal, NamedTuple

import numpy as np

from stream_app.config import Config
from stream_app.errors import StateError
from stream_app.evidence.paired import Paired
from stream_app.flow.readers import JsonReader
from stream_app.flow.trial import SCALE, Trial
from stream_app.messages import Floats, Ints, Outcomes
from stream_app.texts import Pieces, Texts

PART = 65_536  # labels judged at a time: the proof needs 400 bytes for each meanwhile

Outcome = Literal["better", "worse", "unproven", "unknown"]


class Pairs(NamedTuple):
    """Labels that both sides have, in the order of one shard."""

    time_ms: Ints  # never falls
    losses: Floats  # [labels, live and other], NaN = it had predicted nothing


class Losses:
    """Of one shard; 40 bytes a label."""

    def __init__(self, shard: int) -> None:
        self.shard = shard
        self._read = JsonReader(["error", "time", "delay_ms", "offset"], set())  # quickest in the order of the document
        self._live: list[tuple[Ints, Floats]] = []  # offsets of the events, losses
        self._other: list[Outcomes] = []

    def live(self, values: Pieces) -> None:
        """Takes the next records of the stream `outcomes` that were written; StateError if one is none."""
        table, foreign = self._read(values)
        offset, error = table.matrix(["offset", "error"]).T
        foreign |= ~np.isfinite(offset) | np.isinf(error)
        if foreign.any():
            value = values[int(foreign.argmax())]
            raise StateError(f"outcomes, shard {self.shard}: a record is not of driftline, {value[:80]!r}")
        self._live.append((offset.astype(np.int64), error))

    def live_columns(self, outcomes: Outcomes) -> None:
        """The same of records that come as columns."""
        self._live.append((outcomes.offset, outcomes.error))

    def other(self, outcomes: list[Outcomes]) -> None:
        """Takes what the other one made of the next labels."""
        nothing = Texts.of([])
        self._other += [Outcomes(o.offset, nothing, o.time_ms, o.error[:0], o.offset[:0], o.error) for o in outcomes]

    def pairs(self) -> Pairs:
        """The labels of events of which both sides know one."""
        empty = np.empty(0, np.int64)
        live = np.concatenate([empty, *(offset for offset, _ in self._live)])
        other = np.concatenate([empty, *(outcomes.offset for outcomes in self._other)])
        in_live, in_other = _places(live, other)
        lost = np.concatenate([np.empty(0), *(losses for _, losses in self._live)])[in_live]
        others = np.concatenate([np.empty(0), *(outcomes.error for outcomes in self._other)])[in_other]
        time_ms = np.concatenate([empty, *(outcomes.time_ms for outcomes in self._other)])[in_other]
        return Pairs(np.maximum.accumulate(time_ms), np.column_stack([lost, others]))


def _places(live: Ints, other: Ints) -> tuple[Any, Any]:
    """Where in each of two columns what both have stands, in the order of `other`, which has no repeats."""
    if np.array_equal(live, other):  # as nearly always: the same labels met the same events
        return slice(None), slice(None)
    _, in_live, in_other = np.intersect1d(live, other, return_indices=True)
    order = np.argsort(in_other)
    return in_live[order], in_other[order]


class Judgement(NamedTuple):
    """Which champion is better, on the labels of events that both predicted."""

    outcome: Outcome  # of the other one; unknown: there is nothing to judge by
    labels: int
    unpaired: int  # labels of both whose event only one of them, or none, predicted
    live: float | None  # mean loss: error rate, or mean absolute error
    other: float | None
    gain: float | None  # live's less the other's, regression: in shares of live's mean error, single ones clipped
    interval: tuple[float, float] | None  # of the gain, whenever it is looked at
    confidence: float
    relative: bool  # the gain is a share
    why: str = ""  # nothing can be said

    def sentence(self) -> str:
        """For people.

        >>> Judgement("better", 45312, 0, 0.134, 0.122, 0.012, (0.004, 0.02), 0.95, relative=False).sentence()
        'the other is better by 0.012 (0.004 … 0.02) on 45,312 labels, at a confidence of 0.95'
        """
        if self.gain is None or self.interval is None:
            return f"nothing can be said of which is better: {self.why}"
        low, high = self.interval
        sign = -1 if self.outcome == "worse" else 1
        low, high = sorted((sign * low, sign * high))
        unit = " of the live one's error" if self.relative else ""
        on = f"on {self.labels:,} labels, at a confidence of {self.confidence:g}"
        found = f"{sign * self.gain:.3g} ({low:.3g} … {high:.3g}){unit} {on}"
        if self.outcome == "unproven":
            return f"no difference is shown: {found}"
        return f"the other is {self.outcome} by {found}"

    def as_json(self) -> dict[str, Any]:
        return {**self._asdict(), "sentence": self.sentence()}


def judged(config: Config, other: Config, shards: list[Pairs]) -> Judgement:
    """The verdict over all shards, at the confidence that `config` asks of its loop."""
    time_ms = np.concatenate([np.empty(0, np.int64), *(pairs.time_ms for pairs in shards)])
    losses = np.concatenate([np.empty((0, 2)), *(pairs.losses for pairs in shards)])
    losses = losses[np.argsort(time_ms, kind="stable")]
    told = ~np.isnan(losses).any(axis=1)
    regression, confidence = config.task.type == "regression", config.retrain.confidence
    why = _incomparable(config, other) or ("" if told.any() else _unlabelled(config, len(told)))
    if why:
        return Judgement("unknown", 0, len(told), None, None, None, None, confidence, regression, why)
    losses = losses[told]
    scale = SCALE if regression else 1.0
    paired, alpha = _paired(losses, confidence, regression=regression), 1 - confidence
    low, high = (scale * each for each in paired.interval(alpha))
    outcome: Outcome = "better" if low > 0 else "worse" if high < 0 else "unproven"
    live, others = losses.mean(axis=0).tolist()
    unpaired = int((~told).sum())
    return Judgement(
        outcome, len(losses), unpaired, live, others, scale * paired.mean, (low, high), confidence, regression
    )


def _paired(losses: Floats, confidence: float, *, regression: bool) -> Paired:
    trial, paired = Trial(confidence, 1, regression=regression), Paired()
    rows = np.column_stack([np.ones(len(losses)), losses])
    sums = np.cumsum(np.vstack([np.zeros(3), rows]), axis=0)
    for begin in range(0, len(rows), PART):
        part = rows[begin : begin + PART]
        paired.add(trial.differences(part, sums[begin : begin + len(part) + 1]))
    return paired


def _incomparable(config: Config, other: Config) -> str:
    """Why the losses of two configurations cannot be compared."""
    kinds = {"binary": "classes", "multiclass": "classes"}
    one, two = (kinds.get(each.task.type, each.task.type) for each in (config, other))
    if one != two:
        return f"a {config.task.type} task and a {other.task.type} task have losses of different kinds"
    if config.schema.label != other.schema.label:
        return f"one predicts {config.schema.label}, the other {other.schema.label}"
    return ""


def _unlabelled(config: Config, pairs: int) -> str:
    if config.task.type == "anomaly":
        return "an anomaly score is no prediction that a label could show wrong; see their ROC AUC"
    return "no event that both predicted has a label" if pairs else "no event has a label in both"
