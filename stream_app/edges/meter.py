"""What a process has done, shard by shard, as its newest commits left it: put down by the engine, read by scrapes.

A standing is never changed, only replaced by that of the next commit. So a scrape takes no lock, sees whole commits
only, and decodes what it shows by itself: putting it down costs the engine some microseconds a commit.
"""

import math
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import msgspec

from stream_app.config import Config, digest
from stream_app.messages import Message, Outputs
from stream_app.pipeline import Pipeline

Engine = Literal["embedded", "kafka"]
Key = tuple[str, ...]  # texts of labels
BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, math.inf)


class Histogram(NamedTuple):
    """How many values there were up to each bound; the last bound is infinite."""

    up_to: tuple[tuple[str, int], ...]
    total: float


NO_COMMITS = Histogram(tuple(("+Inf" if bound == math.inf else str(bound), 0) for bound in BOUNDS_S), 0.0)
KINDS_MOST = 32  # kinds of one stream's records that are counted apart
OTHER = "(other)"


class _Severe(msgspec.Struct):
    severity: str = ""


class _Event(msgspec.Struct):
    """What is counted of an alert or a trigger."""

    type: str
    data: _Severe


class _Letter(msgspec.Struct):
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A shard behind one commit."""

    counts: dict[str, int]  # of `flow.measure`, since the log began
    opened: int  # incidents
    open: Counter[Key]  # severity, acknowledged
    time_ms: int  # stream time
    line: dict[str, bytes] = field(default_factory=dict)  # signal → its record on the newest line of the metrics grid
    told: dict[str, Counter[Key]] = field(default_factory=dict)  # stream → how many of which kind
    lag: int = 0
    committed_s: float | None = None  # of the epoch; None: not yet
    took: Histogram = NO_COMMITS  # how long the commits of this process took


@dataclass(frozen=True, slots=True)
class Step:
    """What a commit will have written, taken when its records have been handled and before others are."""

    counts: dict[str, int]
    opened: int
    open: Counter[Key]
    time_ms: int
    messages: list[Message]

    @classmethod
    def of(cls, pipeline: Pipeline, out: Outputs) -> "Step":
        decide = pipeline.decide
        standing = Counter[Key]((each.severity, "true" if each.acknowledged_by else "false") for each in decide.open)
        return cls(dict(pipeline.measure.counts), decide.opened, standing, pipeline.validate.now_ms, out.messages)


class Meter:
    """Of one process and monitor."""

    def __init__(self, config: Config, engine: Engine) -> None:
        self.name, self.engine, self.config = config.name, engine, digest(config)
        self._standings: dict[int, Standing] = {}

    def opened(self, shard: int, pipeline: Pipeline, before: Iterable[tuple[str, bytes]] = ()) -> None:
        """A shard begins or goes on; `before`: stream and value of alerts, triggers and dead letters already there."""
        step = Step.of(pipeline, Outputs(messages=pipeline.figures()))
        standing = Standing(
            counts=step.counts, opened=step.opened, open=step.open, time_ms=step.time_ms, told=_counted({}, before)
        )
        self._put(shard, replace(standing, line=_line(step.messages)))

    def committed(self, shard: int, step: Step, seconds: float, lag: int) -> None:
        """A commit that took so long has ended; `lag`: records that are read and not committed."""
        before = self._standings[shard]
        standing = Standing(
            counts=step.counts,
            opened=step.opened,
            open=step.open,
            time_ms=step.time_ms,
            line=_line(step.messages) or before.line,
            told=_counted(before.told, ((message.stream, message.value) for message in step.messages)),
            lag=lag,
            committed_s=time.time(),
            took=_observed(before.took, seconds),
        )
        self._put(shard, standing)

    def closed(self, shard: int) -> None:
        """Another process has it now, or nobody."""
        self._standings = {number: each for number, each in self._standings.items() if number != shard}

    def standings(self) -> dict[int, Standing]:
        """Each shard's, by number; not to be changed."""
        return self._standings

    def _put(self, shard: int, standing: Standing) -> None:
        self._standings = self._standings | {shard: standing}


def _line(messages: list[Message]) -> dict[str, bytes]:
    """The newest line of the metrics grid among them: each line has every signal that there is."""
    metrics = [message for message in messages if message.stream == "metrics"]
    record = metrics[-1].id.rpartition("/")[2] if metrics else ""
    return {message.key: message.value for message in metrics if message.id.rpartition("/")[2] == record}


def _observed(before: Histogram, seconds: float) -> Histogram:
    counts = zip(before.up_to, BOUNDS_S, strict=True)
    return Histogram(tuple((name, n + (seconds <= bound)) for (name, n), bound in counts), before.total + seconds)


def _counted(told: dict[str, Counter[Key]], values: Iterable[tuple[str, bytes]]) -> dict[str, Counter[Key]]:
    """The counts with these records, as new ones where anything is new."""
    found: dict[str, Counter[Key]] = {}
    for stream, value in values:
        if stream in KIND_OF:
            kind = KIND_OF[stream](value)
            counts = found.setdefault(stream, Counter(told.get(stream, {})))
            counts[kind if kind in counts or len(counts) < KINDS_MOST else tuple(OTHER for _ in kind)] += 1
    return told | found


def _of_alert(value: bytes) -> Key:
    event = msgspec.json.decode(value, type=_Event)
    return event.type.rpartition(".")[2], event.data.severity


def _of_trigger(value: bytes) -> Key:
    return (msgspec.json.decode(value, type=_Event).type.rpartition(".")[2],)


def _of_letter(value: bytes) -> Key:
    return (msgspec.json.decode(value, type=_Letter).kind,)


KIND_OF = {"alerts": _of_alert, "triggers": _of_trigger, "dead-letters": _of_letter}
