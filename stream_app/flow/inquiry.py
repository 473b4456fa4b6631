"""Inquiry: what an incident's rows tell beyond the detectors: since when, what changed, where, at what cost.

At an alarm the sample is cut at the onset into rows before and after, and these are compared (`evidence.attribution`).
The onset itself is first made more precise where the signal is a column of the sample or the error: a detector knows
when it had seen enough, the rows know when they began to differ.
"""

from typing import Any

import numpy as np

from stream_app.config import Config
from stream_app.evidence.attribution import changes, harm, segments
from stream_app.evidence.causes import COLUMN, Subject
from stream_app.evidence.onset import change_point
from stream_app.evidence.usual import is_usual, spread, stretches
from stream_app.flow.chunk import Alarm
from stream_app.flow.sample import ERROR, EXPECTED, SCORE, Sample, View
from stream_app.messages import Bools, Floats, Ints
from stream_app.models import ScoringModel
from stream_app.models.explain import explain

EXAMPLES = 5  # event ids in an alert
TOLD = 20  # columns in an alert: it must fit into a record of Kafka, however many there are
NEAR, LONGER = 1000, 3  # events before the onset that are looked at; or so many times those since, if that is more
FIGURES = {"error": ERROR, "estimated_error": EXPECTED, "prediction": SCORE}


class Cut:
    """The rows of a sample on either side of an onset, evenly spread over a stretch before it and all the time since.

    And stretches of the past as long as the time since.
    """

    def __init__(self, view: View, first: int) -> None:
        self.view = view
        onset = int(view.number[first]) if first < len(view) else view.events
        start = onset - max(NEAR, LONGER * (view.events - onset))
        row = np.arange(len(view))
        self.is_before = (row < first) & (view.number >= start) & view.even(start)
        self.is_after = (row >= first) & view.even(onset)
        self.before, self.after = view.table(self.is_before), view.table(self.is_after)
        self.past = view.table(row < first)
        self.stretches = [mask[:first] for mask in stretches(view.offset, first)]


class Inquiry:
    """Asks the sample."""

    def __init__(self, config: Config, sample: Sample) -> None:
        self.sample = sample
        self.tolerance = config.alarms.tolerance
        self.sources = {feature.name: feature.of or "" for feature in config.features}
        self.seed = config.engine.seed

    def onset(self, alarm: Alarm) -> dict[str, Any]:
        """Offset and time at which it began, between which offsets; as the alarm says if the rows know no better."""
        view = self.sample.until(alarm.record)
        known = {"onset_offset": alarm.onset_offset, "onset_time": alarm.onset_time_ms, "onset_interval": None}
        values = self._values(view, alarm)
        if values is None:
            return known
        x, rows = values
        guess = int(np.searchsorted(view.offset[rows], alarm.onset_offset))
        start = max(0, guess - max(NEAR, LONGER * (len(rows) - guess)))
        found = change_point(x[start:], guess - start, categories=_is_category(view, alarm))
        if found is None:
            return known
        at, low, high = (int(rows[start + i]) for i in found)
        return {
            "onset_offset": int(view.offset[at]),
            "onset_time": int(view.time_ms[at]),
            "onset_interval": [int(view.offset[low]), int(view.offset[high])],
        }

    def cut(self, offset: int, record: int) -> Cut:
        """The rows known when a record had been handled, on either side of an onset."""
        view = self.sample.until(record)
        return Cut(view, int(np.searchsorted(view.offset, offset)))

    def glance(self, cut: Cut, alarmed: set[str]) -> dict[str, Any]:
        """At an alarm: what happened to the columns that alarmed, what it costs, and events that show it."""
        found = changes(cut.before.of(alarmed), cut.after.of(alarmed), sources=self.sources)
        return {"changes": found[:TOLD], "harm": self.harm(cut), "examples": cut.view.ids(_showing(cut, found))}

    def compare(self, cut: Cut, alarmed: set[str]) -> dict[str, Any]:
        """The same of all columns, and where the loss rose, if it did.

        Columns in which no detector alarmed count as changed only if they are beyond what is usual (`evidence.usual`).
        """
        harm, usual = self.harm(cut), set[str]()

        def is_as_always(name: str, effect: float) -> bool:
            if name not in alarmed and is_usual(cut.past, cut.stretches, name, effect):
                usual.add(name)
            return name in usual

        told = changes(cut.before, cut.after, sources=self.sources, leave_out=is_as_always)
        unusual = set(cut.view.kinds.names) - usual
        return {
            "changes": told[:TOLD],
            "segments": segments(cut.before.of(unusual), cut.after.of(unusual)) if harm["benign"] is False else [],
            "harm": harm,
            "examples": cut.view.ids(_showing(cut, told)),
        }

    def harm(self, cut: Cut) -> dict[str, Any]:
        """The part of `compare` that labels make better known as they come."""
        varies = {
            "estimated": spread(cut.past.expected, cut.stretches),
            "realised": spread(cut.past.error, cut.stretches),
        }
        return harm(cut.before, cut.after, tolerance=self.tolerance, varies=varies)

    def explain(self, cut: Cut, model: ScoringModel) -> list[dict[str, Any]]:
        """What the model as it is now makes of the rows on either side, input by input."""
        names = tuple(cut.view.kinds.names[i] for i in cut.view.kinds.inputs)
        before, after = (cut.view.inputs(rows) for rows in (cut.is_before, cut.is_after))
        return explain(model, names, before, after, self.seed)[:TOLD]

    def _values(self, view: View, alarm: Alarm) -> tuple[Floats, Ints] | None:
        """The signal's values in the sample and their rows; None where the sample does not hold it."""
        source, of = Subject.named(alarm.signal)
        if source in FIGURES:
            x = view.figures[:, FIGURES[source]]
            mine = np.isfinite(x)
        elif source in COLUMN:
            x, mine = view.column(of), np.ones(len(view), np.bool_)
        else:
            return None
        mine &= _segment(view, alarm.segment)
        rows = np.flatnonzero(mine)
        return (x[rows], rows) if len(rows) else None


def _is_category(view: View, alarm: Alarm) -> bool:
    return Subject.named(alarm.signal).of in view.kinds.texts


def _segment(view: View, segment: str) -> Bools:
    """The rows of a segment `field=value`; all, where it is none or not a column."""
    field, _, value = segment.partition("=")
    texts = view.kinds.texts.get(field)
    if texts is None or value not in texts:
        return np.ones(len(view), np.bool_)
    mine: Bools = view.column(field) == texts.index(value)
    return mine


def _showing(cut: Cut, found: list[dict[str, Any]]) -> Ints:
    """The first events after the onset that hold what has become frequent in the column that changed most."""
    rows = np.flatnonzero(cut.is_after)
    showing = rows[_gained(cut, found[0])[rows]] if found else rows
    return (showing if len(showing) else rows)[:EXAMPLES]


def _gained(cut: Cut, change: dict[str, Any]) -> Bools:
    """Rows in the bin whose share rose most; where it is not known which, all."""
    x = cut.view.column(change["feature"])
    if change["kind"] == "missing":
        return np.isnan(x)
    most: dict[str, Any] = max(change["bins"], key=lambda part: part["after"] - part["before"], default={})
    texts = cut.view.kinds.texts.get(change["feature"], [])
    value = texts.index(most["category"]) if most.get("category") in texts else most.get("value")
    if value is not None:
        return np.asarray(x == value)
    low, high = most.get("above"), most.get("to")
    return np.asarray((x > (-np.inf if low is None else low)) & (x <= (np.inf if high is None else high)))
