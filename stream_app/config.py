"""The configuration: one TOML file → one frozen tree of structs (DESIGN section 6)."""

from typing import Any, Literal

from msgspec import Struct, field

TaskType = Literal["binary", "multiclass", "regression", "anomaly"]
Stat = Literal[
    "count", "sum", "mean", "var", "min", "max", "quantile", "last", "rate", "unique", "target_mean"
]


class Section(Struct, frozen=True, forbid_unknown_fields=True):
    """Base of every table of the file."""


class Window(Struct, frozen=True):
    """A stretch of the stream: `"500 events"` or a duration such as `"1h"`; exactly one is set.

    `rolling` marks a reference that moves along (`"rolling 10000 events"`).
    """

    events: int = 0
    duration_ms: int = 0
    rolling: bool = False


class Source(Section, kw_only=True):
    """Where `run` and `play` read from; paths are relative to the configuration file."""

    events: str  # "-" is JSON lines on standard input
    labels: str | None = None
    format: Literal["auto", "csv", "jsonl", "parquet"] = "auto"
    delimiter: str | None = None  # CSV only; None: found from the header
    max_record_bytes: int = 16 * 1024 * 1024  # longer records are dead letters


class Kafka(Section, kw_only=True):
    bootstrap: str = "127.0.0.1:9092"


class Field(Section, kw_only=True):
    """One column of an event."""

    type: Literal["number", "category"]
    required: bool = True  # a record without it is a dead letter
    min: float | None = None
    max: float | None = None
    values: tuple[str, ...] | None = None  # the only categories allowed
    unit: str | None = None
    input: bool = True  # False: kept for features, watches and segments, not fed to the model


class Schema(Section, kw_only=True):
    id: str | None = None  # None: the source offset
    time: str | None = None  # None: the source offset, one per record
    key: str | None = None
    label: str | None = None
    label_time: str | None = None
    fields: dict[str, Field]


class Task(Section, kw_only=True):
    type: TaskType = "binary"
    classes: tuple[str, ...] = ()  # binary: (negative, positive); empty: 0/1, true/false, yes/no
    label_timeout_ms: int = field(default=7 * 86_400_000, name="label_timeout")
    max_classes: int = 32


class Feature(Section, kw_only=True):
    """One online feature: `stat` of `of`, per value of `by`, over what came before the event."""

    name: str
    stat: Stat
    of: str | None = None  # a number or category field; not needed for count, rate, target_mean
    by: str | None = None  # a category field or the entity key; None: the whole shard
    over: Window = Window(events=1000)
    q: float = 0.5  # quantile only


class Model(Section, kw_only=True):
    use: str = "linear"
    params: dict[str, Any] = {}
    categories: Literal["auto", "keep", "one-hot", "drop"] = "auto"  # river models only


class Challenger(Model, kw_only=True):
    name: str


class Watch(Section, kw_only=True):
    signal: str  # feature:NAME, missing:NAME, prediction, error, label_delay, expired, rejects, lateness, key
    detector: str
    params: dict[str, Any] = {}
    reference: Window | None = None  # None: the detector's own default
    by: str | None = None  # a category field: one detector per value
    max_segments: int = 20
    arl0: float | None = None  # None: this watch's share of the alarm budget


class Notify(Section, kw_only=True):
    webhook: str | None = None


class Budget(Struct, frozen=True):
    """`alarms` false alarms per `events` events, over everything that is watched."""

    alarms: float = 1.0
    events: int = 1_000_000


class Alarms(Section, kw_only=True):
    budget: Budget = Budget()
    cooldown_ms: int = field(default=6 * 3_600_000, name="cooldown")
    group_ms: int = field(default=3_600_000, name="group")  # alarms whose onsets are this near share an incident
    notify: tuple[Notify, ...] = ()


class Retrain(Section, kw_only=True):
    on: tuple[str, ...] = ()
    action: Literal["notify", "reset", "challenge"] = "notify"
    cooldown_ms: int = field(default=24 * 3_600_000, name="cooldown")


class Measure(Section, kw_only=True):
    window: int = 1000  # labelled events in the rolling metrics
    every: int = 1024  # records between two metrics messages; a multiple of the epoch


class Panes(Section, kw_only=True):
    width_ms: int = field(default=3_600_000, name="width")


class Engine(Section, kw_only=True):
    epoch: int = 256  # records; decisions take effect at the next multiple
    commit_ms: int = field(default=200, name="commit")  # at most this often
    remember: int = 100_000  # ids kept for joining labels and finding duplicates
    lateness_ms: int = field(default=86_400_000, name="lateness")  # older events are dead letters
    max_keys: int = 100_000  # per feature grouping; the least recently seen eighth makes room
    max_values: int = 1_000_000  # values kept in all windows of one feature
    max_categories: int = 1024  # per field; later ones share these codes by hash
    seed: int = 0


class Config(Section, kw_only=True):
    name: str
    source: Source | None = None
    kafka: Kafka | None = None
    schema: Schema
    task: Task = Task()
    features: tuple[Feature, ...] = ()
    model: Model = Model()
    challengers: tuple[Challenger, ...] = ()
    watch: tuple[Watch, ...] = ()
    alarms: Alarms = Alarms()
    retrain: Retrain = Retrain()
    measure: Measure = Measure()
    panes: Panes = Panes()
    engine: Engine = Engine()
