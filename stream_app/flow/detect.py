"""Detect: every watched signal runs through its detector, one per segment where asked, and fires at the exact record.

A detector measures; what follows from an alarm is for `flow.decide`. Missing observations are counted, never fed.
"""

from dataclasses import replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numba import njit

import detectors
from detectors import Detector, Drift
from stream_app.config import Config, Watch
from stream_app.config.watched import Signal, arl0_of, row_of, segments_of, signals
from stream_app.config.watches import kind_params, null_params, reference_params
from stream_app.flow.chunk import Alarm, Chunk, Column
from stream_app.flow.events import metric
from stream_app.flow.validate import Validate, Vocabulary
from stream_app.messages import Bools, Floats, Ints, Origin

WHOLE, OTHER = -2, -3  # segment codes: no segments; all segments past the first `max_segments`
UNNAMED = {OTHER: "(other)", -1: "(missing)"}


@njit(cache=True)
def _append(places: Ints, used: int, n: int, stride: int, finite: Bools, offset: Ints, time_ms: Ints) -> int:
    """Puts every `stride`-th finite observation (a power of two), counted from n, behind the places used; all used."""
    for i in range(len(offset)):
        if finite[i]:
            if n & (stride - 1) == 0:
                places[used] = n, offset[i], time_ms[i]
                used += 1
            n += 1
    return used


class Trail:
    """Where the k-th observation of a signal came from, for the onset: every `stride`-th place, about `LIMIT` of them.

    The stride doubles when the trail is full, so memory is bounded and an old onset is known more coarsely.
    """

    LIMIT = 1024

    def __init__(self) -> None:
        self.n, self.stride, self.used = 0, 1, 0
        self._places = np.empty((0, 3), np.int64)  # number of the observation, source offset, time

    @property
    def places(self) -> Ints:
        return self._places[: self.used]

    def add(self, finite: Bools, offset: Ints, time_ms: Ints) -> None:
        room = self.used + 1 + len(offset) // self.stride
        if room > len(self._places):
            self._places = np.concatenate([self.places, np.empty((room, 3), np.int64)])
        self.used = _append(self._places, self.used, self.n, self.stride, finite, offset, time_ms)
        self.n += int(np.count_nonzero(finite))

    def thin(self) -> None:
        """Only on the metrics grid: what an onset says must not depend on how the log was cut."""
        while self.used > self.LIMIT:
            self.stride *= 2
            kept = self.places[self.places[:, 0] % self.stride == 0]
            self.used = len(kept)
            self._places[: self.used] = kept

    def load(self, n: int, stride: int, places: Ints) -> None:
        self.n, self.stride, self.used, self._places = n, stride, len(places), places

    def find(self, number: int) -> tuple[int, int]:
        """Source offset and time of the last place known at or before observation `number`."""
        at = max(0, int(np.searchsorted(self.places[:, 0], number, side="right")) - 1)
        return int(self.places[at, 1]), int(self.places[at, 2])


class Observed(NamedTuple):
    """Observations of one signal in order, or those of one segment; views of them where they are a slice."""

    x: Floats
    finite: Bools
    record: Ints
    offset: Ints
    time_ms: Ints

    @classmethod
    def of(cls, column: Column, rows: Any) -> "Observed":
        x = column.x[rows]
        finite = np.isfinite(x) if x.ndim == 1 else np.isfinite(x).any(axis=1)
        return cls(x, finite, column.record[rows], column.offset[rows], column.time_ms[rows])

    def part(self, start: int, stop: int) -> "Observed":
        rows = slice(start, stop)
        return Observed(self.x[rows], self.finite[rows], self.record[rows], self.offset[rows], self.time_ms[rows])


class Segment:
    """One detector and the trail of what it was fed."""

    def __init__(self, detector: Detector) -> None:
        self.detector, self.trail = detector, Trail()

    def run(self, seen: Observed) -> list[tuple[int, Drift, tuple[int, int]]]:
        """(row, evidence, onset place) of each alarm among these rows."""
        fired = self.detector.update_many(seen.x, seen.time_ms)
        first = self.trail.n
        self.trail.add(seen.finite, seen.offset, seen.time_ms)
        found = []
        for i, drift in fired:
            number = first + int(np.count_nonzero(seen.finite[:i]))
            found.append((i, drift, self.trail.find(number - drift.age + 1)))
        return found


class Monitor:
    """All segments of one watched signal."""

    def __init__(
        self,
        config: Config,
        signal: Signal,
        params: dict[str, Any],
        names: Vocabulary | None,
        texts: list[str] | None,
    ) -> None:
        self.watch: Watch = config.watch[signal.watch]
        self.signal, self.names = signal, names  # of the segments
        self.texts = texts  # of the signal's own categories, or the names of a row's columns
        self.by = segments_of(self.watch, signal.name)
        self.params = params
        self.segments: dict[int, Segment] = {}

    def run(self, column: Column) -> list[Alarm]:
        if not self.by:
            return self._alarms(Observed.of(column, slice(None)), WHOLE)
        codes = self._segment_codes(column.groups[self.by])
        order = np.argsort(codes, kind="stable")
        seen, codes = Observed.of(column, order), codes[order]
        edges = np.flatnonzero(np.diff(codes, prepend=OTHER - 1, append=OTHER - 1)).tolist()
        alarms = []
        for start, stop in pairwise(edges):
            alarms += self._alarms(seen.part(start, stop), int(codes[start]))
        return sorted(alarms, key=lambda alarm: alarm.record)

    def _segment_codes(self, codes: Ints) -> Ints:
        """The segment of each observation; the first `max_segments` codes of the stream have one of their own."""
        for code in _in_order(codes):
            if code not in self.segments and len(self.segments) < self.watch.max_segments:
                self.segments[code] = self.fresh()
        return np.where(np.isin(codes, list(self.segments)), codes, OTHER)

    def fresh(self) -> Segment:
        """A segment with a detector that knows nothing."""
        return Segment(detectors.make(self.watch.detector, **self.params))

    def _alarms(self, seen: Observed, code: int) -> list[Alarm]:
        segment = self.segments.get(code) or self.segments.setdefault(code, self.fresh())
        places = ("record", "offset", "time_ms")
        return [
            self.alarm(code, drift, onset, **{name: int(getattr(seen, name)[row]) for name in places})
            for row, drift, onset in segment.run(seen)
        ]

    def alarm(
        self, code: int, drift: Drift, onset: tuple[int, int], *, record: int, offset: int, time_ms: int
    ) -> Alarm:
        """The evidence of one segment with its place in the stream; onset: source offset and time."""
        return Alarm(
            watch=self.signal.watch,
            signal=self.signal.name,
            segment=self.label(code),
            detector=self.watch.detector,
            record=record,
            offset=offset,
            time_ms=time_ms,
            onset_offset=onset[0],
            onset_time_ms=onset[1],
            drift=drift,
            detail=self.detail(drift),
        )

    def detail(self, drift: Drift) -> dict[str, Any]:
        """The detector's detail; the codes of categories as text, None for all rare and unseen ones together."""
        if self.texts is None:
            return drift.detail
        if "features" in drift.detail:
            named = [part | {"feature": self.texts[part["feature"]]} for part in drift.detail["features"]]
            return drift.detail | {"features": named}
        if "bins" not in drift.detail:
            return drift.detail
        bins = [part | {"category": self._text(part["category"])} for part in drift.detail["bins"]]
        return drift.detail | {"bins": bins}

    def _text(self, code: float | None) -> str | None:
        return None if code is None or self.texts is None else self.texts[int(code)]

    def label(self, code: int) -> str:
        """A segment as people read it: `origin=JFK`; empty for the whole signal."""
        if code == WHOLE or self.names is None:
            return ""
        text = UNNAMED.get(code)
        return f"{self.by}={text or self.names.texts[code]}"


class Detect:
    """The stage; state: every detector of every segment."""

    def __init__(self, config: Config, origin: Origin, validate: Validate, keys: Vocabulary) -> None:
        self.origin = origin
        self.forgotten = 0.0  # expected false alarms of detectors that were replaced
        vocabularies = validate.vocabularies | {"key": keys}
        self.monitors = []
        share = arl0_of(config)
        for signal in signals(config):
            by = segments_of(config.watch[signal.watch], signal.name)
            field = signal.name.removeprefix("feature:")
            own = validate.classes if signal.name == "prediction" else vocabularies.get(field)
            texts = own.texts if own is not None and signal.kind == "category" else None
            if signal.kind == "vector":
                texts = row_of(config)
            params = detector_params(config, signal, share)
            self.monitors.append(Monitor(config, signal, params, vocabularies[by] if by else None, texts))

    def run(self, chunk: Chunk) -> None:
        for monitor in self.monitors:
            chunk.alarms += monitor.run(chunk.signals[monitor.signal.name])
        chunk.alarms.sort(key=lambda alarm: alarm.record)
        if chunk.closes:
            record, now_ms = chunk.end, chunk.end_ms
            for segment in (segment for monitor in self.monitors for segment in monitor.segments.values()):
                segment.trail.thin()
            for signal, figures in self.figures():
                chunk.out.messages.append(metric(self.origin, signal, record, now_ms, figures))

    def together(self, chunk: Chunk, already: int) -> list[Alarm]:
        """Alarms of signals with too little evidence each, but enough beside one another and `already` alarmed ones."""
        watching = [(m, code, segment) for m in self.monitors for code, segment in m.segments.items()]
        e_values = [segment.detector.e_value for *_, segment in watching]
        alarms = []
        arl0 = [segment.detector.params["arl0"] for *_, segment in watching]
        who = detectors.together(e_values, arl0, already)
        for i in who.tolist():
            monitor, code, segment = watching[i]
            n, crowd = segment.trail.n, already + len(who)
            drift = replace(segment.detector.take(), statistic=e_values[i], threshold=arl0[i] / crowd)
            drift.detail["together"] = crowd
            new = chunk.signals[monitor.signal.name].offset
            offset = int(new[-1]) if len(new) else segment.trail.find(n - 1)[0]
            place = {"record": chunk.end - 1, "offset": offset, "time_ms": chunk.end_ms}
            alarms.append(monitor.alarm(code, drift, segment.trail.find(n - drift.age), **place))
        return alarms

    def figures(self) -> list[tuple[str, dict[str, Any]]]:
        """(signal, statistic and threshold) of each detector as it stands."""
        found = []
        for monitor in self.monitors:
            for code, segment in monitor.segments.items():
                detector, label = segment.detector, monitor.label(code)
                name = f"{monitor.signal.name}/{monitor.watch.detector}" + (f"/{label}" if label else "")
                figures = {
                    "segment": label,
                    "detector": monitor.watch.detector,
                    "statistic": detector.statistic,
                    "threshold": detector.threshold,
                    "n": detector.n,
                    "missing": detector.missing,
                    "estimate": detector.estimate,
                }
                found.append((f"detector:{name}", figures))
        return found

    def level(self, watch: int, signal: str, segment: str) -> tuple[float, int]:
        """Mean of one watched signal and segment since its last alarm (NaN: unknown), and of how many observations."""
        for monitor in self.monitors:
            if (monitor.signal.watch, monitor.signal.name) == (watch, signal):
                for code, known in monitor.segments.items():
                    if monitor.label(code) == segment:
                        return known.detector.estimate, known.detector.n
        return float("nan"), 0

    def expected_false(self) -> float:
        """False alarms that all detectors together may have raised so far, by their `arl0`."""
        segments = (segment for monitor in self.monitors for segment in monitor.segments.values())
        return self.forgotten + sum(_expected_false(segment) for segment in segments)

    def restart(self, signal: str) -> None:
        """Fresh detectors for a signal: what comes next is the new reference."""
        for monitor in self.monitors:
            if monitor.signal.name == signal:
                self.forgotten += sum(_expected_false(segment) for segment in monitor.segments.values())
                monitor.segments = {}

    def to_state(self, _live: Ints) -> dict[str, Any]:
        saved = [[_saved(code, segment) for code, segment in m.segments.items()] for m in self.monitors]
        return {"monitors": saved, "forgotten": self.forgotten}

    def load(self, state: dict[str, Any]) -> None:
        self.forgotten = state["forgotten"]
        for monitor, segments in zip(self.monitors, state["monitors"], strict=True):
            monitor.segments = {}
            for code, saved, n, stride, places in segments:
                segment = monitor.fresh()
                segment.detector.load(saved)
                segment.trail.load(n, stride, places)
                monitor.segments[code] = segment


def detector_params(config: Config, signal: Signal, share: float) -> dict[str, Any]:
    """What a watched signal's detector is made with: its part of the budget, its reference, its own parameters.

    share: `arl0_of(config)`.
    """
    watch = config.watch[signal.watch]
    params: dict[str, Any] = {"arl0": watch.arl0 or share / watch.weight}
    params |= null_params(watch) | kind_params(config, signal.kind)
    if watch.reference is not None:
        params |= reference_params(watch.reference)
    return params | watch.params


def _in_order(codes: Ints) -> list[int]:
    """Distinct codes by first appearance, so that segments are opened in the order of the stream."""
    values, first = np.unique(codes, return_index=True)
    return [int(code) for code in values[np.argsort(first)]]


def _expected_false(segment: Segment) -> float:
    return segment.trail.n / float(segment.detector.params["arl0"])


def _saved(code: int, segment: Segment) -> list[Any]:
    trail = segment.trail
    return [code, segment.detector.to_state(), trail.n, trail.stride, trail.places.copy()]
