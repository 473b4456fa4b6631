"""What the metrics of one shard tell, as they stand and over time: counts, models, labels, detectors, the budget."""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct, field

from stream_app.board.series import Series

MOST_MODELS, MOST_DETECTORS = 64, 2000  # more than any configuration should have; what is beyond is counted
WHOLE_ROOM, SEGMENT_ROOM = 1024, 256  # buckets of a signal's series, and of one of its segments'

Values = dict[str, float | None]
Interval = tuple[float | None, float | None] | None


class Counts(Struct, gc=False):
    """A metric `stream`."""

    record: int = 0
    time: int = 0
    records: int = 0
    events: int = 0
    labels: int = 0
    expired: int = 0
    rejected: int = 0


class Labels(Struct, gc=False):
    """A metric `labels`."""

    delay_median_s: float | None
    delay_p95_s: float | None
    coverage: float | None
    pending: int
    time: int = 0


class Budget(Struct, gc=False):
    per_events: float
    allowed: float
    spent: float
    left: float
    alarms: int


class Alarms(Struct, gc=False):
    """A metric `incidents`."""

    opened: int
    budget: Budget


class _Performance(Struct, gc=False):
    time: int
    labels: int
    rolling: Values
    since_start: Values
    failures: int
    last_failure: str
    version: str | None = None


class _Estimate(Struct, gc=False):
    time: int
    estimated: float | None
    interval: Interval
    realised: float | None


class _Detector(Struct, gc=False):
    time: int
    segment: str
    detector: str
    statistic: float | None
    threshold: float | None
    n: int
    missing: int
    estimate: float | None


class Trial(Struct):
    """A metric `trial:LANE`."""

    version: str
    against: str
    comparison: dict[str, Any]
    time: int


class Model(Struct):
    """A model or baseline: its newest figures, and each rolling one over time."""

    version: str | None = None
    labels: int = 0
    failures: int = 0
    last_failure: str = ""
    rolling: Values = {}
    since_start: Values = {}
    series: dict[str, Series] = {}


class Detector(Struct):
    """A detector of one signal and segment."""

    signal: str
    segment: str
    detector: str
    statistic: float | None = None
    threshold: float | None = None
    n: int = 0
    missing: int = 0
    estimate: float | None = None
    statistics: Series = field(default_factory=Series.of)
    thresholds: Series = field(default_factory=Series.of)
    estimates: Series = field(default_factory=Series.of)

    @property
    def closeness(self) -> float | None:
        """How far the statistic has come: at 1 it alarms; None where that cannot be said."""
        if self.statistic is None or self.threshold is None or self.threshold <= 0:
            return None
        return self.statistic / self.threshold


class Figures(Struct):
    """The metrics of one shard."""

    counts: Counts = field(default_factory=Counts)
    labels: Labels | None = None
    alarms: Alarms | None = None
    models: dict[str, Model] = {}
    detectors: dict[str, Detector] = {}  # by the key of their metric
    trials: dict[str, Trial] = {}  # by lane
    choices: dict[str, dict[str, Any]] = {}
    ab: dict[str, Any] | None = None
    series: dict[str, Series] = {}  # rate, refused, coverage, delay_median_s, error, estimated, low, high, realised
    left_out: int = 0  # records of models or detectors beyond the limits
    first_ms: int | None = None

    def take(self, key: str, value: bytes) -> None:
        """One metric; a key that is not known is a later version's and is passed over."""
        kind, _, name = key.partition(":")
        taker = TAKERS.get(kind)
        if taker is not None:
            taker(self, name, value)

    def add(self, name: str, time_ms: int, value: float | None) -> None:
        """A value of one of the series."""
        if value is None:
            return
        series = self.series.get(name)
        if series is None:
            series = self.series[name] = Series.of()
        series.add(time_ms, value)


def _counts(figures: Figures, _name: str, value: bytes) -> None:
    before, now = figures.counts, _COUNTS.decode(value)
    figures.counts = now
    if figures.first_ms is None:
        figures.first_ms = now.time
    records = now.records - before.records
    if records > 0:
        figures.add("refused", now.time, (now.rejected - before.rejected) / records)
        if before.records and now.time > before.time:
            figures.add("rate", now.time, 1000 * records / (now.time - before.time))


def _labels(figures: Figures, _name: str, value: bytes) -> None:
    figures.labels = now = _LABELS.decode(value)
    figures.add("coverage", now.time, now.coverage)
    figures.add("delay_median_s", now.time, now.delay_median_s)


def _alarms(figures: Figures, _name: str, value: bytes) -> None:
    figures.alarms = _ALARMS.decode(value)


def _performance(figures: Figures, name: str, value: bytes) -> None:
    model = figures.models.get(name)
    if model is None:
        if len(figures.models) == MOST_MODELS:
            figures.left_out += 1
            return
        model = figures.models[name] = Model()
    now = _PERFORMANCE.decode(value)
    model.version, model.labels, model.rolling, model.since_start = (
        now.version,
        now.labels,
        now.rolling,
        now.since_start,
    )
    model.failures, model.last_failure = now.failures, now.last_failure
    for metric, figure in now.rolling.items():
        if figure is not None:
            series = model.series.get(metric)
            if series is None:
                series = model.series[metric] = Series.of()
            series.add(now.time, figure)
    if name == "champion":
        figures.add("error", now.time, error_of(now.rolling))


def error_of(rolling: Values) -> float | None:
    """The error among the figures: the mean absolute one, or 1 - accuracy."""
    if "mae" in rolling:
        return rolling["mae"]
    accuracy = rolling.get("accuracy")
    return None if accuracy is None else 1 - accuracy


def _estimate(figures: Figures, _name: str, value: bytes) -> None:
    now = _ESTIMATE.decode(value)
    low, high = now.interval or (None, None)
    for name, figure in (("estimated", now.estimated), ("low", low), ("high", high), ("realised", now.realised)):
        figures.add(name, now.time, figure)


def _detector(figures: Figures, name: str, value: bytes) -> None:
    now = _DETECTOR.decode(value)
    detector = figures.detectors.get(name)
    if detector is None:
        if len(figures.detectors) == MOST_DETECTORS:
            figures.left_out += 1
            return
        ending = f"/{now.detector}" + (f"/{now.segment}" if now.segment else "")
        room = SEGMENT_ROOM if now.segment else WHOLE_ROOM
        detector = Detector(name.removesuffix(ending), now.segment, now.detector)
        detector.statistics, detector.thresholds, detector.estimates = (Series.of(room) for _ in range(3))
        figures.detectors[name] = detector
    detector.statistic, detector.threshold, detector.estimate = now.statistic, now.threshold, now.estimate
    detector.n, detector.missing = now.n, now.missing
    detector.statistics.add(now.time, now.statistic)
    detector.thresholds.add(now.time, now.threshold)
    detector.estimates.add(now.time, now.estimate)


def _trial(figures: Figures, name: str, value: bytes) -> None:
    if name in figures.trials or len(figures.trials) < MOST_MODELS:
        figures.trials[name] = _TRIAL.decode(value)


def _choice(figures: Figures, name: str, value: bytes) -> None:
    if name in figures.choices or len(figures.choices) < MOST_MODELS:
        figures.choices[name] = msgspec.json.decode(value, type=dict[str, Any])


def _ab(figures: Figures, _name: str, value: bytes) -> None:
    figures.ab = msgspec.json.decode(value, type=dict[str, Any])


_COUNTS, _LABELS, _ALARMS = msgspec.json.Decoder(Counts), msgspec.json.Decoder(Labels), msgspec.json.Decoder(Alarms)
_PERFORMANCE, _ESTIMATE = msgspec.json.Decoder(_Performance), msgspec.json.Decoder(_Estimate)
_DETECTOR, _TRIAL = msgspec.json.Decoder(_Detector), msgspec.json.Decoder(Trial)

TAKERS: dict[str, Callable[[Figures, str, bytes], None]] = {  # by the first part of a metric's key
    "stream": _counts,
    "labels": _labels,
    "incidents": _alarms,
    "performance": _performance,
    "estimate": _estimate,
    "detector": _detector,
    "trial": _trial,
    "choice": _choice,
    "ab": _ab,
}
