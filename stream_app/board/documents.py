"""The documents that pages draw and `/api/…` answers: what is in them, by view.

Conventions: members that end in `_ms` and all `t` are epoch milliseconds of stream time, or offsets where `timed` is
false; `_s` are seconds; shares, coverage and accuracy lie in 0..1; null is "not known" or "none". Each document has the
members of `Head`; `document(board, view, …)` in `stream_app/board/views.py` makes it. With several shards, figures are
those of the shard that was asked for, or of all together (counts added, means weighted, extremes kept).
"""

from typing import Any, Literal, NotRequired, TypedDict

Severity = Literal["info", "warning", "critical"]
Bins = list[list[float | str]]  # [low, high, share], or of categories [name, share]


class Series(TypedDict):
    """Columns of equal length, at most 1,024; `min` and `max` are over the bucket that begins at `t`."""

    t: list[int]
    min: list[float | None]
    max: list[float | None]
    mean: list[float | None]


class Head(TypedDict):
    """What every document has."""

    name: str  # of the configuration
    view: str
    title: str  # for people
    time_ms: int | None  # stream time; null: nothing was told yet
    timed: bool  # false: times are offsets
    records: int  # taken up to the newest line of the metrics
    shards: list[int]
    shard: int | None  # the one shown; null: all
    status: Literal["live", "ended", "waiting"]
    read_only: bool
    notices: list[str]  # what keeps the page from being the whole truth
    from_ms: int | None  # the stretch that was asked for
    to_ms: int | None
    known_from_ms: int | None  # the stretch that there is
    known_to_ms: int | None


class Health(TypedDict):
    """One thing that is well or not."""

    name: str
    ok: bool | None  # null: cannot be said
    text: str


class Counts(TypedDict):
    """Records since the start."""

    records: int
    events: int
    labels: int
    expired: int
    rejected: int


class LabelSeries(TypedDict):
    coverage: Series
    delay_median_s: Series


class Labels(TypedDict):
    """How labels arrive; with all shards, the delays are those of the slowest."""

    coverage: float | None
    delay_median_s: float | None
    delay_p95_s: float | None
    pending: int | None
    series: LabelSeries


class Budget(TypedDict):
    """False alarms allowed, and those that the detectors may have raised by their arl0; `raised`: true ones too."""

    per_events: float
    allowed: float
    spent: float
    left: float
    expected: float
    raised: int


class PerformanceRow(TypedDict):
    """One figure of one model."""

    model: str
    version: str | None
    metric: str
    rolling: float | None
    since_start: float | None


class IncidentRow(TypedDict):
    """An incident in a table."""

    id: str
    shard: int
    status: Literal["open", "acknowledged", "recovered", "closed"]
    severity: Severity
    signal: str
    segment: str
    detector: str
    opened_ms: int
    onset_ms: int
    recovered_ms: int | None
    cost: str | None
    signals: int  # that alarmed in it
    by: str | None  # who looks after it
    message: str


class Overview(Head):
    health: list[Health]
    rate: Series  # records per second of stream time; of an untimed stream empty
    rate_now: float | None  # records per second of wall time while live
    lag: int | None  # records that wait; null: not known
    counts: Counts
    labels: Labels | None  # null: the schema has none
    open: list[IncidentRow]  # the worst 50
    budget: Budget | None
    performance: list[PerformanceRow]  # the main figures of every model
    error: Series  # the champion's rolling error: 1 - accuracy, or the mean absolute error


class Model(TypedDict):
    name: str
    kind: Literal["champion", "challenger", "candidate", "baseline"]
    version: str | None


class Estimate(TypedDict):
    """The champion's mean loss before the labels come (with its interval) and where they are there."""

    estimated: Series
    low: Series
    high: Series
    realised: Series


class Mark(TypedDict):
    """Something that happened, to be drawn into series."""

    time_ms: int
    kind: Literal["promoted", "rolled back", "trigger", "incident"]
    text: str
    link: str  # path of the page that tells more


class Performance(Head):
    metrics: list[str]
    better: dict[str, Literal["high", "low"]]  # by metric
    models: list[Model]
    series: dict[str, dict[str, Series]]  # metric → model → rolling figure
    estimate: Estimate | None
    marks: list[Mark]  # the newest 200
    since_start: dict[str, dict[str, float | None]]  # model → metric → figure
    choices: list[dict[str, Any]]  # `use = "auto"`: the newest `choice:MODEL` metric of each
    ab: dict[str, Any] | None  # the newest `ab` metric


class SignalSeries(TypedDict):
    statistic: Series
    threshold: Series


class SignalRow(TypedDict):
    """One detector of one signal and segment."""

    shard: int
    signal: str
    segment: str  # FIELD=VALUE; empty: the whole signal
    detector: str
    kind: Literal["number", "category", "vector"]
    statistic: float | None
    threshold: float | None
    closeness: float | None  # statistic / threshold: at 1 it alarms
    n: int
    missing: int
    estimate: float | None
    state: Literal["ok", "alarm"]
    incident: str | None  # the open one that it is part of
    series: SignalSeries  # 128 points; on the page of one signal 1,024


class Signals(Head):
    signals: list[SignalRow]  # at most `top`, in the order of `sort`
    total: int
    sort: str
    sorts: list[str]


class Distribution(TypedDict):
    """Shares of the values in a stretch of time; bins [low, high, share], of categories [name, share]."""

    from_ms: int
    to_ms: int
    n: int
    missing: int
    mean: float | None
    bins: Bins


class Signal(Head):
    row: SignalRow | None  # null: no detector watches it
    detectors: list[SignalRow]  # all of this signal and segment, `row` among them
    unit: str | None
    estimate_series: Series  # mean of the signal since its detector began
    panes: Series  # mean, smallest and largest value per stretch of time
    reference: Distribution | None  # before the onset of the newest incident; without one, all but the newest eighth
    current: Distribution | None  # what came after
    onset_ms: int | None
    segments: list[SignalRow]
    incidents: list[IncidentRow]  # the newest 50 of this signal


class Incidents(Head):
    incidents: list[IncidentRow]  # newest first, at most 1,000
    counts: dict[str, int]  # by status and by severity; `opened`: since the start
    total: int


class Update(TypedDict):
    """One alert of an incident."""

    time_ms: int
    status: Literal["opened", "updated", "acknowledged", "recovered"]
    severity: Severity
    message: str
    by: str | None


class Contribution(TypedDict):
    """A signal that alarmed, and its part of what all of them show."""

    feature: str  # signal, with its segment
    share: float
    text: str


class Evidence(TypedDict):
    """Why it was raised; `changes`, `segments`, `explanation`: as in docs/schemas, alerts."""

    statistic: float | None
    threshold: float | None
    n: int
    before: float | None
    after: float | None
    before_interval: list[float | None] | None
    interval: list[float | None] | None  # of `after`
    direction: int
    effect: float | None  # after - before
    contributions: list[Contribution]
    kind: str | None  # of the first change
    causes: list[str]
    examples: list[str]  # ids of events
    changes: list[dict[str, Any]]
    segments: list[dict[str, Any]]
    explanation: list[dict[str, Any]]
    harm: dict[str, Any] | None


class Acknowledge(TypedDict):
    allowed: bool
    by: str | None  # who looks after it already
    note: str  # why not, or what happens


class IncidentSeries(TypedDict):
    """Of the leading signal and of the model, around the onset."""

    signal: Series  # mean, smallest, largest per pane; empty for categories
    statistic: Series
    threshold: Series
    error: Series


class Incident(Head):
    incident: IncidentRow | None  # null: no such incident
    updates: list[Update]
    evidence: Evidence | None
    offsets: dict[str, Any]  # onset_offset, onset_interval, offset of the alarm
    series: IncidentSeries
    triggers: list["TriggerRow"]
    acknowledge: Acknowledge


class TrainedOn(TypedDict):
    """Labelled events that a version was trained on before it entered."""

    rows: int
    passes: int
    from_offset: NotRequired[int]
    to_offset: NotRequired[int]


class VersionRow(TypedDict):
    version: str
    shard: int
    status: Literal["champion", "challenger", "candidate", "proposed", "predecessor", "archived"]
    kind: str
    parent: str | None
    model: str  # class and parameters
    trained: TrainedOn | None
    metrics: dict[str, float | None]  # since it came where it is; empty: it is in no lane
    since_ms: int  # in this status
    why: str | None
    verdict: str | None  # why it left
    comparison: dict[str, Any] | None  # what decided


class Decision(TypedDict):
    """An entry of the audit."""

    time_ms: int
    shard: int
    number: int
    action: str
    version: str | None
    reason: str | None
    by: str | None


class TriggerRow(TypedDict):
    """A request to retrain, or a proposed promotion."""

    id: str
    shard: int
    time_ms: int
    kind: Literal["retrain", "promotion"]
    model: str
    version: str
    action: str
    reason: str
    incident: str | None
    excess: float | None  # loss per event that the change costs
    train: dict[str, Any] | None


class Trial(TypedDict):
    """A model beside the champion, as the newest metrics show it."""

    shard: int
    lane: str
    version: str
    against: str
    comparison: dict[str, Any]


class Models(Head):
    versions: list[VersionRow]
    lineage: list[tuple[str, str]]  # parent, child; with several shards SHARD/VERSION
    decisions: list[Decision]  # newest first, at most 1,000
    triggers: list[TriggerRow]  # newest first, at most 500
    trials: list[Trial]


class ReasonRow(TypedDict):
    """Dead letters of one reason."""

    kind: str
    stream: str
    path: str
    reason: str
    count: int
    last_offset: int
    last_time_ms: int
    example: str  # the newest record as it came, cut to 500 characters


class DeadLetters(Head):
    reasons: list[ReasonRow]  # the most frequent first
    total: int
    series: Series  # share of the records that were refused, between two lines of the metrics


class Stage(TypedDict):
    name: str
    text: str


Arrow = TypedDict("Arrow", {"from": str, "to": str, "label": str, "count": int | None})


class Flow(Head):
    stages: list[Stage]
    arrows: list[Arrow]


BY_VIEW: dict[str, Any] = {
    "overview": Overview,
    "performance": Performance,
    "signals": Signals,
    "signal": Signal,
    "incidents": Incidents,
    "incident": Incident,
    "models": Models,
    "dead-letters": DeadLetters,
    "flow": Flow,
}
