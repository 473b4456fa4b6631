"""Measure: how good the models are, rolling and since the start, beside the baselines any model has to beat.

No-change predicts the label seen last, majority the class seen most often (regression: the mean so far). On many
streams "same as last" is hard to beat, and a monitor that hides this misleads.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from stream_app.config import Config
from stream_app.config.watched import Kind
from stream_app.config.watched import signals as config_signals
from stream_app.flow.chunk import Chunk
from stream_app.flow.estimate import Estimate
from stream_app.flow.join import Kept
from stream_app.flow.outgoing import message, metric
from stream_app.flow.panes import Panes
from stream_app.flow.sample import Sample
from stream_app.flow.score import CHAMPION, Score
from stream_app.flow.signals import Signals
from stream_app.flow.tracks import Tracks, majorities, means
from stream_app.flow.validate import Validate
from stream_app.messages import Floats, Ints, Message, Origin, Outcomes
from stream_app.models import FORGET
from stream_app.texts import Coded

BASELINES = ("no-change", "majority")
ALONE = np.zeros(1, np.int64)  # the only row of a signal that is on its own
Paned = tuple[tuple[str, ...], Ints | None, Panes]  # signals, their rows of `chunk.numbers`, their panes


class Measure:
    """The stage; state: the figures of every predictor, label delays and counts, the signals' panes."""

    def __init__(
        self,
        config: Config,
        origin: Origin,
        validate: Validate,
        score: Score,
        signals: Signals,
        kept: Kept,
        sample: Sample,
    ) -> None:
        self.origin, self.window = origin, config.measure.window
        self.score, self.signals, self.kept, self.sample = score, signals, kept, sample
        self.estimate = Estimate(config, score, kept)
        self.classes = validate.classes.texts
        self.regression, self.anomaly = config.task.type == "regression", config.task.type == "anomaly"
        self.one_score = config.task.type != "multiclass"
        self.labels = bool(config.schema.label)
        names = [*score.names, *BASELINES]
        width = 0 if self.regression else validate.classes.size
        self.tracks = Tracks(names, len(score.names), self.window, width, binary=self.one_score)
        self.last = float("nan")  # the newest label: the no-change baseline
        self.seen = np.zeros(2 if self.regression else width)  # labels a class, or their number and sum
        self.delay_s = np.empty(0)
        self.counts = {"records": 0, "events": 0, "labels": 0, "expired": 0, "rejected": 0}
        kinds = {signal.name: signal.kind for signal in config_signals(config) if signal.kind != "vector"}
        self.watched, self.width_ms, self.panes = tuple(kinds), config.panes.width_ms, _paned(config, kinds)
        words = {f"feature:{name}": known for name, known in validate.vocabularies.items()}
        words |= {"prediction": validate.classes, "key": signals.keys}
        self.texts = {name: words[name].texts for name, kind in kinds.items() if kind == "category"}

    def run(self, chunk: Chunk) -> None:
        self._learned(chunk)
        self.estimate.run(chunk)
        self._count(chunk)
        self.signals.run(chunk)
        self.sample.run(chunk)
        for names, rows, panes in self.panes:
            column = chunk.signals[names[0]]
            x = column.x[None] if rows is None else chunk.numbers
            panes.add(x, ALONE if rows is None else rows, column.time_ms)
        if chunk.closes:
            figures = self.figures().items()
            told = [metric(self.origin, signal, chunk.end, chunk.end_ms, value) for signal, value in figures]
            chunk.out.messages += told + self._closed_panes(chunk)

    def _learned(self, chunk: Chunk) -> None:
        slots, truth = chunk.slot[chunk.learned], chunk.value[chunk.learned]
        decided = [self._point_and_chance(scores[slots], truth) for scores in self.kept.scores]
        no_change, majority = self._baselines(truth)
        point = np.column_stack([point for point, _ in decided] + [no_change, majority])
        chance = np.column_stack([chance for _, chance in decided])
        self.tracks.add(truth, point, chance)
        models = point[:, : len(self.score.lanes)]
        missed = np.where(models < 0, np.nan, models != truth[:, None])
        chunk.losses = np.abs(truth[:, None] - models) if self.regression else missed
        chunk.error = chunk.losses[:, 0].copy()
        if self.score.arms is not None:
            self.score.arms.learn(slots, truth, chunk.error)
        delay_ms = chunk.known_ms[chunk.learned] - self.kept.time_ms[slots]
        self.delay_s = np.concatenate([self.delay_s, delay_ms / 1000])[-self.window :]
        if len(slots):
            label = truth if self.regression else Coded(self.classes.copy(), truth.astype(np.int64))
            offset, ids = self.kept.offset[slots], self.kept.id[slots]
            known_ms = chunk.known_ms[chunk.learned]
            chunk.out.outcomes.append(Outcomes(offset, ids, known_ms, label, delay_ms, chunk.error))

    def _point_and_chance(self, scores: Floats, truth: Floats) -> tuple[Floats, Floats]:
        if self.regression:
            return scores[:, 0], np.full(len(truth), np.nan)
        if self.anomaly:  # a score without a threshold ranks, it does not predict
            return np.full(len(truth), -1.0), scores[:, 0]
        code, _ = self.score.decide(scores)
        if self.one_score:
            return code.astype(float), scores[:, 0]
        return code.astype(float), np.where(code < 0, np.nan, scores[np.arange(len(truth)), truth.astype(np.int64)])

    def _baselines(self, truth: Floats) -> tuple[Floats, Floats]:
        """What no-change and majority (or mean) would have said before each label."""
        before = np.concatenate([[self.last], truth])[:-1]
        if len(truth):
            self.last = float(truth[-1])
        if self.regression:
            return before, means(truth, self.seen)
        return np.where(np.isnan(before), -1, before), majorities(truth, self.seen)

    def _count(self, chunk: Chunk) -> None:
        counts = self.counts
        counts["records"] += len(chunk.tape.order)
        counts["events"] += len(chunk.events)
        counts["labels"] += len(chunk.learned)
        counts["expired"] += int((chunk.kind == FORGET).sum()) if self.labels else 0
        counts["rejected"] += len(chunk.rejects)

    def performance(self) -> dict[str, dict[str, Any]]:
        """Rolling and since-start figures of each predictor; of a lane, since its model came there."""
        lanes = [*self.score.lanes, *([None] * len(BASELINES))]
        rolling, since_start = self.tracks.rolling(), self.tracks.since_start()
        return {
            name: {
                "labels": int(self.tracks.labels[j]),
                "rolling": {figure: float(values[j]) for figure, values in rolling.items()},
                "since_start": {figure: float(values[j]) for figure, values in since_start.items()},
                "failures": lane.failures if lane else 0,
                "last_failure": lane.last_failure if lane else "",
                **({"version": lane.version.name} if lane and lane.version else {}),
            }
            for j, (name, lane) in enumerate(zip(self.tracks.names, lanes, strict=True))
            if lane is None or lane.model is not None
        }

    def figures(self) -> dict[str, dict[str, Any]]:
        """By signal, as they stand."""
        values: dict[str, dict[str, Any]] = {"stream": dict(self.counts)}
        if self.labels:
            values |= {f"performance:{name}": figures for name, figures in self.performance().items()}
            values["labels"] = self._label_figures()
            values |= {f"choice:{name}": told for name, told in self.score.choices().items()}
        if self.estimate.active:
            values["estimate:" + CHAMPION] = self.estimate.figures()
        if self.score.arms is not None:
            values["ab"] = self.score.arms.figures()
        return values

    def _label_figures(self) -> dict[str, Any]:
        quantiles = [0.0, 0.0] if len(self.delay_s) else [None, None]
        if self.delay_s.any():  # labels that stand in their event's row are not sorted
            quantiles = np.quantile(self.delay_s, [0.5, 0.95]).tolist()
        resolved = self.counts["labels"] + self.counts["expired"]
        return {
            "delay_median_s": quantiles[0],
            "delay_p95_s": quantiles[1],
            "coverage": self.counts["labels"] / resolved if resolved else None,
            "pending": self.counts["events"] - resolved,
        }

    def _closed_panes(self, chunk: Chunk) -> list[Message]:
        record, now_ms = chunk.end, chunk.end_ms
        closed: dict[str, list[tuple[int, dict[str, Any]]]] = {}
        for names, _, panes in self.panes:
            for start, summaries in panes.close(now_ms):
                for signal, summary in zip(names, summaries, strict=True):
                    closed.setdefault(signal, []).append((start, summary))
        messages = []
        for signal in self.watched:
            for start, summary in closed.get(signal, ()):
                value = {"signal": signal, "start": start, "width_ms": self.width_ms} | summary
                if signal in self.texts:  # codes are the shard's own
                    value["names"] = [self.texts[signal][code] for code, _ in summary["bins"]]
                messages.append(message(self.origin, "panes", f"{signal}/{start}/{record}", signal, start, value))
        return messages

    def to_state(self, _live: Ints) -> dict[str, Any]:
        return {
            "tracks": self.tracks.to_state(),
            "estimate": self.estimate.to_state(),
            "signals": self.signals.to_state(),
            "sample": self.sample.to_state(),
            "last": self.last,
            "seen": self.seen.copy(),
            "delay_s": self.delay_s,
            "counts": dict(self.counts),
            "panes": [panes.to_state() for *_, panes in self.panes],
        }

    def load(self, state: dict[str, Any]) -> None:
        self.tracks.load(state["tracks"])
        self.estimate.load(state["estimate"])
        self.signals.load(state["signals"])
        self.sample.load(state["sample"])
        self.last, self.seen, self.delay_s = state["last"], state["seen"].copy(), state["delay_s"]
        self.counts = dict(state["counts"])
        for (*_, panes), saved in zip(self.panes, state["panes"], strict=True):
            panes.load(saved)


def _paned(config: Config, kinds: Mapping[str, Kind]) -> list[Paned]:
    """The panes of number fields, which are columns of one matrix, together; those of others one by one."""
    width_ms, fields = config.panes.width_ms, config.schema.fields
    names = (f"feature:{name}" for name, field in fields.items() if field.type == "number")
    numbers = {name: row for row, name in enumerate(names)}
    together = [name for name in kinds if name in numbers]
    found: list[Paned] = [
        ((name,), None, Panes(width_ms, categories=kind == "category"))
        for name, kind in kinds.items()
        if name not in together
    ]
    if together:
        rows = np.array([numbers[name] for name in together])
        found.append((tuple(together), rows, Panes(width_ms, categories=False, signals=len(together))))
    return found
