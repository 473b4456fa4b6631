"""The configuration: one TOML file → one frozen tree of structs; every key: docs/configuration.md.

`load` reads and checks a file, `parse` a text. The reading of values is in `config/reading.py`, what is watched in
`config/watched.py`, the checks across the tree in `config/checks.py`, `config/watches.py` and `config/receivers.py`.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct, field, structs, to_builtins

from detectors import CALENDAR
from stream_app.config.checks import check
from stream_app.config.reading import Reader, duration_ms, nearest, plain_data, quoted
from stream_app.config.receivers import receivers as receivers  # offered here
from stream_app.config.spans import During
from stream_app.config.watched import Kind as Kind
from stream_app.config.watched import Signal as Signal
from stream_app.config.watched import arl0_of as arl0_of
from stream_app.config.watched import signals as signals
from stream_app.errors import ConfigError

TaskType = Literal["binary", "multiclass", "regression", "anomaly"]
Stat = Literal["count", "sum", "mean", "var", "min", "max", "quantile", "last", "rate", "unique", "target_mean"]

_WINDOW = re.compile(r"(rolling )?([\d_]{1,16}) events?")
_BUDGET = re.compile(r"(\d{1,15}(?:\.\d{1,9})?) per ([\d_]{1,16}) events?")


class Section(Struct, frozen=True, forbid_unknown_fields=True):
    """Base of every table of the file."""


class Window(Struct, frozen=True):
    """A stretch of the stream: `"500 events"` or a duration such as `"1h"`; exactly one is set.

    `rolling` marks a reference that moves along (`"rolling 10000 events"`).
    """

    events: int = 0
    duration_ms: int = 0
    rolling: bool = False

    @staticmethod
    def parse(text: str) -> "Window":
        """A window from its text; ValueError says how to write one.

        >>> Window.parse("rolling 500 events")
        Window(events=500, duration_ms=0, rolling=True)
        """
        found = _WINDOW.fullmatch(text.strip())
        try:
            window = Window(int(found[2]), 0, bool(found[1])) if found else Window(duration_ms=duration_ms(text))
        except ValueError:
            example = '"500 events", "rolling 10000 events" or a duration such as "1h"'
            raise ValueError(f"bad window {quoted(text)}; write for example {example}") from None
        if not window.events and not window.duration_ms:
            raise ValueError(f"window {quoted(text)} is empty; it must hold more than 0")
        return window


class Season(Struct, frozen=True):
    """The period of a signal: a number of observations such as `"288 events"`, or one of the calendar's in UTC."""

    period: int | str

    @staticmethod
    def parse(text: str) -> "Season":
        """A season from its text; ValueError says how to write one.

        >>> Season.parse("288 events"), Season.parse("hour-of-week")
        (Season(period=288), Season(period='hour-of-week'))
        """
        found = _WINDOW.fullmatch(text.strip())
        if text.strip() in CALENDAR:
            return Season(text.strip())
        if found is None or found[1] or int(found[2]) < 2:
            raise ValueError(f'bad season {quoted(text)}; write "288 events" or one of: {", ".join(CALENDAR)}')
        return Season(int(found[2]))


class Source(Section, frozen=True, kw_only=True):
    """Where `run` and `play` read from; paths are relative to the configuration file."""

    events: str  # "-" is JSON lines on standard input
    labels: str | None = None
    format: Literal["auto", "csv", "jsonl", "parquet"] = "auto"
    delimiter: str | None = None  # CSV only; None: found from the header
    max_record_bytes: int = 16 * 1024 * 1024  # longer records are dead letters


class Security(Section, frozen=True, kw_only=True):
    """How the worker and every other client proves who it is; secrets as `${NAME}` from the environment."""

    protocol: Literal["SSL", "SASL_PLAINTEXT", "SASL_SSL"]
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    username: str | None = None
    password: str | None = None
    ca_file: str | None = None  # None: the system's authorities
    cert_file: str | None = None
    key_file: str | None = None


class Kafka(Section, frozen=True, kw_only=True):
    """The cluster that `topics`, `worker`, `play` and `replay` use; topics are named NAME.STREAM."""

    bootstrap: str = "127.0.0.1:9092"  # host:port, several with commas
    topics: dict[str, str] = {}  # stream → topic, where it has another name
    labels: bool | None = (
        None  # labels come in a topic of their own; None: as [source] says, else if the schema has ids
    )
    partitions: int = 4  # of topics that `topics` creates
    replication: int = 1
    retention_ms: int = field(default=7 * 86_400_000, name="retention")  # of topics that `topics` creates
    snapshot_ms: int = field(default=30_000, name="snapshot")  # between two snapshots of a shard's state
    max_wait_ms: int = field(default=1_000, name="max_wait")  # a stream that was silent for so long is not waited for
    session_ms: int = field(default=10_000, name="session")  # after so long without a sign a worker is taken for dead
    gaps: Literal["refuse", "alert"] = "refuse"  # records deleted before they were read
    security: Security | None = None


class Field(Section, frozen=True, kw_only=True):
    """One column of an event."""

    type: Literal["number", "category"]
    required: bool = True  # a record without it is a dead letter
    min: float | None = None
    max: float | None = None
    values: tuple[str, ...] | None = None  # the only categories allowed
    unit: str | None = None
    input: bool = True  # False: kept for features, watches and segments, not fed to the model


class Schema(Section, frozen=True, kw_only=True):
    id: str | None = None  # None: the source offset
    time: str | None = None  # None: the source offset, one per record
    key: str | None = None
    label: str | None = None
    label_time: str | None = None
    fields: dict[str, Field]


class Task(Section, frozen=True, kw_only=True):
    type: TaskType = "binary"
    classes: tuple[str, ...] = ()  # binary: (negative, positive); empty: 0/1, true/false, yes/no
    label_timeout_ms: int = field(default=7 * 86_400_000, name="label_timeout")
    max_classes: int = 32


class Feature(Section, frozen=True, kw_only=True):
    """One online feature: `stat` of `of`, per value of `by`, over what came before the event."""

    name: str
    stat: Stat
    of: str | None = None  # a number or category field; not needed for count, rate, target_mean
    by: str | None = None  # a category field or the entity key; None: the whole shard
    over: Window = Window(events=1000)
    q: float = 0.5  # quantile only


class Step(Section, frozen=True, kw_only=True):
    """One river transformer before the model."""

    use: str
    params: dict[str, Any] = {}
    only: tuple[str, ...] = ()  # columns by name, or by kind: number, category; empty: those that fit the step
    keep: bool = False  # the columns it was given stay beside what it makes of them


class Sampling(Section, frozen=True, kw_only=True):
    """A river sampler around the model: which labelled events it learns, and how often."""

    use: str
    params: dict[str, Any] = {}


class Model(Section, frozen=True, kw_only=True):
    use: str = "linear"
    params: dict[str, Any] = {}
    categories: Literal["auto", "keep", "one-hot", "drop"] = "auto"  # river models only
    steps: tuple[Step, ...] = ()  # river models only
    sampling: Sampling | None = None  # river models only


class Challenger(Model, frozen=True, kw_only=True):
    name: str

    def plain(self) -> Model:
        """The model without the name of its lane."""
        return Model(**{name: getattr(self, name) for name in Model.__struct_fields__})


class Choice(Section, frozen=True, kw_only=True):
    """`params` of a model with `use = "auto"`."""

    models: tuple[Model, ...] = ()  # empty: the default set of the task
    budget: int = 200_000  # model-events spent on others than the one in use
    memory: int = 2000  # labels that the fading loss remembers


class Watch(Section, frozen=True, kw_only=True):
    signal: str  # feature:NAME, features, missing:NAME, prediction, error, label_delay, expired, rejects, lateness, key
    detector: str
    params: dict[str, Any] = {}
    reference: Window | None = None  # None: the detector's own default
    season: Season | None = None
    dependence: Literal["ar"] | None = None  # each observation resembles the one before
    weight: float = 1.0  # of this watch's signals in the alarm budget
    by: str | None = None  # a category field: one detector per value
    max_segments: int = 20
    arl0: float | None = None  # None: this watch's share of the alarm budget


class Notify(Section, frozen=True, kw_only=True):
    """One receiver of alerts; exactly one of alertmanager, webhook, exec, email and log says of what kind it is."""

    name: str | None = None  # None: its kind; its place in the stream is kept under this name
    alertmanager: str | None = None
    webhook: str | None = None
    program: str | None = field(default=None, name="exec")  # a shell command; the event on its standard input
    email: str | None = None
    log: bool = False
    streams: tuple[str, ...] = ("alerts",)
    severity: Literal["info", "warning", "critical"] = "warning"  # incidents that were never so bad are not told
    timeout_ms: int = field(default=10_000, name="timeout")  # of one attempt
    attempts: int = 30  # with the pauses of edges/deliverer.py: almost two hours
    secret: str | None = None  # webhook: key of the signature
    headers: dict[str, str] = {}  # webhook, alertmanager: sent with each request
    smtp: str | None = None  # email: host:port
    sender: str | None = field(default=None, name="from")
    username: str | None = None
    password: str | None = None
    starttls: bool = False


class Budget(Struct, frozen=True):
    """`alarms` false alarms per `events` events, over everything that is watched."""

    alarms: float = 1.0
    events: int = 1_000_000

    @staticmethod
    def parse(text: str) -> "Budget":
        """A budget from its text; ValueError says how to write one.

        >>> Budget.parse("2 per 1000000 events")
        Budget(alarms=2.0, events=1000000)
        """
        found = _BUDGET.fullmatch(text.strip())
        if found is None or not float(found[1]) or not int(found[2].replace("_", "") or 0):
            raise ValueError(f'bad budget {quoted(text)}; write for example "1 per 1000000 events"')
        return Budget(float(found[1]), int(found[2].replace("_", "")))


class Suppress(Section, frozen=True, kw_only=True):
    """Alarms in these hours call nobody; they are recorded as held back."""

    during: During
    signals: tuple[str, ...] = ("*",)
    why: str = "a window of [[alarms.suppress]]"


class Alarms(Section, frozen=True, kw_only=True):
    budget: Budget = Budget()
    cooldown: Window | None = None  # None: 6 hours; 5,000 events where the stream has no time
    group: Window | None = None  # alarms this near may share an incident; None: 1 hour, or 500 events
    lag_ms: int | None = field(default=None, name="lag")  # a worker so late raises an incident; None: none does
    tolerance: float = 0.05  # a rise of the loss by this share of what it was costs nothing
    suppress: tuple[Suppress, ...] = ()
    notify: tuple[Notify, ...] = ()


class Limit(Struct, frozen=True):
    """At most `count` within a stretch of the stream."""

    count: int
    within: Window

    @staticmethod
    def parse(text: str) -> "Limit":
        """A limit from its text; ValueError says how to write one.

        >>> Limit.parse("2 per 1d")
        Limit(count=2, within=Window(events=0, duration_ms=86400000, rolling=False))
        """
        count, _, within = text.strip().partition(" per ")
        if not count.isdecimal() or not int(count) or not within or len(count) > 9:
            raise ValueError(f'bad limit {quoted(text)}; write for example "2 per 1d" or "1 per 100000 events"')
        return Limit(int(count), Window.parse(within))


class Retrain(Section, frozen=True, kw_only=True):
    """When to ask for a retraining, and what then happens."""

    on: tuple[str, ...] = ()
    action: Literal["notify", "reset", "fine-tune", "challenge"] = "notify"
    cooldown: Window | None = None  # None: 24 hours, or 5,000 events
    reasons: int = 1  # signals of `on` that must have changed in one incident
    limit: Limit | None = None  # retrainings, over all signals; None: as many as the cooldown lets through
    cost: float = 0.0  # of one retraining, in units of the loss (errors, for classes)
    horizon: int = 100_000  # events over which a retraining has to pay
    memory: int = 20_000  # labelled events kept for challengers to be trained on
    least: int = 200  # labelled events since the change that a training waits for
    passes: int = 1  # over them
    pace: float = 1.0  # remembered events replayed per record of the stream
    trial: int = 10_000  # labels within which a candidate has to prove that it is better
    confidence: float = 0.95  # of that proof, whenever it falls
    proof: int = 300  # labels that it rests on at least
    rollback: bool = True  # a champion worse than the one before goes back by the same proof
    gate: str | None = None  # a shell command that must exit 0 before a proven model is promoted
    archive: int = 3  # versions kept whole, to come back to


class Ab(Section, frozen=True, kw_only=True):
    """A share of the keys gets the predictions of a model beside the champion."""

    lane: str  # name of one of [[challengers]], or "candidate": whatever stands there
    share: float = 0.1  # of the keys
    by: Literal["key", "id"] | None = None  # None: key where the schema has one, else id
    salt: str = ""  # another one gives another assignment


class Measure(Section, frozen=True, kw_only=True):
    window: int = 1000  # labelled events in the rolling metrics
    every: int = 4096  # records between two metrics messages; a multiple of the epoch


class Panes(Section, frozen=True, kw_only=True):
    width_ms: int = field(default=3_600_000, name="width")


class Engine(Section, frozen=True, kw_only=True):
    epoch: int = 256  # records; decisions take effect at the next multiple
    commit_ms: int = field(default=200, name="commit")  # at most this often
    remember: int = 100_000  # ids kept for joining labels and finding duplicates
    lateness_ms: int = field(default=86_400_000, name="lateness")  # older events are dead letters
    ahead_ms: int = field(default=366 * 86_400_000, name="ahead")  # a larger jump forward must be confirmed
    max_keys: int = 100_000  # per feature grouping; the least recently seen eighth makes room
    max_values: int = 1_000_000  # values kept in all windows of one feature
    max_categories: int = 1024  # per field; later ones share these codes by hash
    seed: int = 0


class Config(Section, frozen=True, kw_only=True):
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
    ab: Ab | None = None
    measure: Measure = Measure()
    panes: Panes = Panes()
    engine: Engine = Engine()


def load(path: str | Path) -> Config:
    """The checked configuration of a TOML file, paths in [source] relative to its folder; ConfigError otherwise."""
    path = Path(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        siblings = sorted(item.name for item in path.parent.iterdir()) if path.parent.is_dir() else []
        raise ConfigError([f"no such file{nearest(path.name, siblings)}"], str(path)) from None
    except UnicodeDecodeError as error:
        reason = f"not UTF-8 text (byte {error.start}); a configuration is a TOML file{_if_data(str(path))}"
        raise ConfigError([reason], str(path)) from None
    except OSError as error:
        raise ConfigError([f"cannot be read: {error.strerror}"], str(path)) from None
    config = parse(text, str(path), os.environ)
    return structs.replace(config, source=config.source and _beside(path, config.source))


def parse(text: str, file: str, environ: Mapping[str, str]) -> Config:
    """The checked configuration of a TOML text; one ConfigError holds every problem found, each with its path."""
    reader = Reader(environ)
    try:
        config = reader.value(Config, reader.filled(plain_data(text)), "$")
    except ValueError as error:
        raise ConfigError([f"{error}{_if_data(file)}"], file) from None
    except RecursionError:
        raise ConfigError(["arrays or tables are nested too deeply"], file) from None
    found = [(path, problem) for path, problem in check(config, signals(config)) if not reader.broken(path)]
    if reader.problems or found:
        raise ConfigError([f"{path}: {problem}" for path, problem in reader.problems + found], file)
    assert isinstance(config, Config)
    return config


def digest(config: Config) -> str:
    """SHA-256 (hex) of everything that changes the outputs: not where records come from, nor who is told, nor when."""
    tree: dict[str, Any] = to_builtins(config)
    del tree["source"], tree["kafka"], tree["alarms"]["notify"], tree["alarms"]["lag"], tree["engine"]["commit"]
    tree["retrain"]["gate"] = config.retrain.gate is not None
    if tree["ab"] is None:
        del tree["ab"]  # states and versions of before there was such a table stay what they are
    tree["schema"]["fields"] = list(tree["schema"]["fields"].items())  # the order of the columns matters
    return hashlib.sha256(json.dumps(tree, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _if_data(file: str) -> str:
    return "" if Path(file).suffix in ("", ".toml") else f"; `driftline init {file}` writes a configuration for data"


def _beside(config_file: Path, source: Source) -> Source:
    def resolved(path: str) -> str:
        return path if path == "-" else str(config_file.parent / path)

    return structs.replace(source, events=resolved(source.events), labels=source.labels and resolved(source.labels))
