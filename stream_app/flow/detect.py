"""Detect: every watched signal runs through its detector, one per segment where asked, and fires at the exact record.

A detector measures; what follows from an alarm is for `flow.decide`. Missing observations are counted, never fed.
"""

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

import detectors
from detectors import Drift
from stream_app.config import Config, Watch
from stream_app.config.watched import Signal, arl0_of, row_of, segments_of, signals
from stream_app.config.watches import kind_params, null_params, reference_params, with_arl0
from stream_app.flow.chunk import Alarm, Chunk, Column
from stream_app.flow.outgoing import metric
from stream_app.flow.segments import Abreast, Fired, Observed, Segment, side_by_side, take_apart
from stream_app.flow.validate import Validate, Vocabulary
from stream_app.messages import Ints, Origin

WHOLE, OTHER = -2, -3  # segment codes: no segments; all segments past the first `max_segments`
UNNAMED = {OTHER: "(other)", -1: "(missing)"}


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
        return self.placed(code, seen, self.segment(code).run(seen))

    def segment(self, code: int) -> Segment:
        """The segment, which begins if it is not known."""
        return self.segments.get(code) or self.segments.setdefault(code, self.fresh())

    def placed(self, code: int, seen: Observed, fired: list[Fired]) -> list[Alarm]:
        """The alarms of a segment, with their places in the stream."""
        places = ("record", "offset", "time_ms")
        return [
            self.alarm(code, drift, onset, **{name: int(getattr(seen, name)[row]) for name in places})
            for row, drift, onset in fired
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
        numbers = [f"feature:{name}" for name, field in config.schema.fields.items() if field.type == "number"]
        self.rows = {name: row for row, name in enumerate(numbers)}  # of `chunk.numbers`
        self.alike = self._alike()
        self.abreast: list[Abreast | None] = [None] * len(self.alike)

    def _alike(self) -> list[list[int]]:
        """Which monitors of number fields belong to one watch: their detectors are the same."""
        found: dict[int, list[int]] = {}
        for i, monitor in enumerate(self.monitors):
            if monitor.signal.name in self.rows and not monitor.by:
                found.setdefault(monitor.signal.watch, []).append(i)
        return [places for places in found.values() if len(places) > 1]

    def run(self, chunk: Chunk) -> None:
        alarms = self._run_abreast(chunk)
        for i, monitor in enumerate(self.monitors):
            chunk.alarms += alarms[i] if i in alarms else monitor.run(chunk.signals[monitor.signal.name])
        chunk.alarms.sort(key=lambda alarm: alarm.record)
        if chunk.closes:
            record, now_ms = chunk.end, chunk.end_ms
            for segment in (segment for monitor in self.monitors for segment in monitor.segments.values()):
                segment.trail.thin()
            for signal, figures in self.figures():
                chunk.out.messages.append(metric(self.origin, signal, record, now_ms, figures))

    def _run_abreast(self, chunk: Chunk) -> dict[int, list[Alarm]]:
        """Alarms of the monitors whose detectors can be fed by one call, by their places."""
        alarms: dict[int, list[Alarm]] = {}
        for i, places in enumerate(self.alike):
            monitors = [self.monitors[place] for place in places]
            segments = [monitor.segment(WHOLE) for monitor in monitors]
            abreast = self.abreast[i]
            if abreast is None or abreast.segments != segments:
                rows = np.array([self.rows[monitor.signal.name] for monitor in monitors])
                abreast = self.abreast[i] = Abreast(segments, rows)
            if abreast.fed is not None:
                columns = [chunk.signals[monitor.signal.name] for monitor in monitors]
                fired = abreast.run(chunk.numbers, columns)
                alarms |= {
                    place: monitors[j].placed(WHOLE, *fired[j]) if j in fired else [] for j, place in enumerate(places)
                }
        return alarms

    def together(self, chunk: Chunk, already: int) -> list[Alarm]:
        """Alarms of signals with too little evidence each, but enough beside one another and `already` alarmed ones."""
        watching = [(m, code, segment) for m in self.monitors for code, segment in m.segments.items()]
        e_values = [segment.detector.e_value for *_, segment in watching]
        alarms = []
        arl0 = [_arl0(segment) for *_, segment in watching]
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
        """Detectors that are alike stand side by side; trails that are equal, as without missing values, there once."""
        segments = [segment for monitor in self.monitors for segment in monitor.segments.values()]
        contents = {key: trail.content() for key, trail in {id(each.trail): each.trail for each in segments}.items()}
        numbers = {content: number for number, content in enumerate(dict.fromkeys(contents.values()))}
        trails = {numbers[contents[id(each.trail)]]: each.trail for each in segments}
        return {
            "monitors": [
                [[code, numbers[contents[id(each.trail)]]] for code, each in monitor.segments.items()]
                for monitor in self.monitors
            ],
            "detectors": [self._side_by_side(alike) for alike in self._same_detectors()],
            "trails": [trails[i].to_state() for i in range(len(trails))],
            "forgotten": self.forgotten,
        }

    def load(self, state: dict[str, Any]) -> None:
        self.forgotten = state["forgotten"]
        for monitor, segments in zip(self.monitors, state["monitors"], strict=True):
            monitor.segments = {}
            for code, number in segments:
                monitor.segment(code).trail.load(*state["trails"][number])
        for alike, saved in zip(self._same_detectors(), state["detectors"], strict=True):
            take_apart(saved, alike)

    def _same_detectors(self) -> list[list[Segment]]:
        """Segments by what their detectors are made with."""
        found: dict[tuple[int, str], list[Segment]] = {}
        for monitor in self.monitors:
            found.setdefault((monitor.signal.watch, monitor.signal.kind), []).extend(monitor.segments.values())
        return [segments for segments in found.values() if segments]

    def _side_by_side(self, segments: list[Segment]) -> dict[str, Any]:
        for abreast in self.abreast:
            if abreast is not None and abreast.fed is not None and abreast.segments == segments:
                return abreast.fed.to_state()  # type: ignore[no-any-return]
        return side_by_side(segments)


def detector_params(config: Config, signal: Signal, share: float) -> dict[str, Any]:
    """What a watched signal's detector is made with: its part of the budget, its reference, its own parameters.

    share: `arl0_of(config)`.
    """
    watch = config.watch[signal.watch]
    params = kind_params(config, signal.kind)
    if watch.reference is not None:
        params |= reference_params(watch.reference)
    return with_arl0(watch, share, params | watch.params) | null_params(watch)


def _in_order(codes: Ints) -> list[int]:
    """Distinct codes by first appearance, so that segments are opened in the order of the stream."""
    values, first = np.unique(codes, return_index=True)
    return [int(code) for code in values[np.argsort(first)]]


def _expected_false(segment: Segment) -> float:
    return segment.trail.n / _arl0(segment)


def _arl0(segment: Segment) -> float:
    """A detector with parameters of the literature promises nothing."""
    return float(segment.detector.params.get("arl0", math.inf))
