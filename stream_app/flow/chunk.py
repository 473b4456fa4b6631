"""One chunk of the tape on its way through the stages: each stage reads columns and adds its own."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from detectors import Drift
from stream_app.messages import Floats, Ints, Outputs, Problem, Rows, Tape

EMPTY = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Reject:
    """A record that goes to the dead letters."""

    record: int  # number of the record in the shard
    at: int  # number of the record at which it was rejected: a later one when it had waited for its event
    stream: str
    offset: int
    id: str  # as far as it could be read
    raw: bytes
    problem: Problem


@dataclass(slots=True)
class Column:
    """One signal over a chunk: m observations and where each of them came from."""

    x: Floats  # [m] NaN = missing
    record: Ints  # [m] number of the record in the shard
    offset: Ints  # [m] source offset of the event
    time_ms: Ints  # [m]
    groups: dict[str, Ints] = field(default_factory=dict)  # category field → code per observation, for segments


@dataclass(frozen=True, slots=True)
class Alarm:
    """A detector's evidence at a place in the stream."""

    watch: int
    signal: str
    segment: str  # "field=value", "" for the whole shard
    detector: str
    record: int
    offset: int
    time_ms: int
    onset_offset: int
    onset_time_ms: int
    drift: Drift
    detail: dict[str, Any]  # the detector's, with category codes as text


@dataclass(slots=True)
class Chunk:
    """Filled from left to right by the stages in the order of `flow.STAGES`."""

    tape: Tape
    first: int  # number of the first record in the shard
    closes: bool  # True: the chunk ends on the metrics grid
    out: Outputs

    @property
    def end(self) -> int:
        """Number of the record behind the last."""
        return self.first + len(self.tape.order)

    @property
    def end_ms(self) -> int:
        """Stream time behind the last record."""
        return int(self.clock_ms[-1])

    # validate
    order: Ints = field(default_factory=lambda: EMPTY)  # [r] stream of each accepted record
    record: Ints = field(default_factory=lambda: EMPTY)  # [r] its number in the shard
    now_ms: Ints = field(default_factory=lambda: EMPTY)  # [r] stream time when it was taken
    clock_ms: Ints = field(default_factory=lambda: EMPTY)  # [records of the tape] stream time after each
    events: Rows = None  # type: ignore[assignment]  # accepted events; after join: those scored
    labels: Rows = None  # type: ignore[assignment]  # accepted labels
    codes: Ints = field(default_factory=lambda: EMPTY)  # [n, category fields], -1 = missing
    target: Floats = field(default_factory=lambda: EMPTY.astype(float))  # [n] in-row labels, NaN = none
    label_target: Floats = field(default_factory=lambda: EMPTY.astype(float))  # [labels]
    lateness_s: Floats = field(default_factory=lambda: EMPTY.astype(float))  # [n]
    rejects: list[Reject] = field(default_factory=list)

    # join: operations in tape order
    kind: Any = None  # uint8[m] PREDICT, LEARN, FORGET
    slot: Ints = field(default_factory=lambda: EMPTY)  # [m] row of the kept matrices
    event: Ints = field(default_factory=lambda: EMPTY)  # [m] row of `events` for PREDICT
    value: Floats = field(default_factory=lambda: EMPTY.astype(float))  # [m] label for LEARN
    known_ms: Ints = field(default_factory=lambda: EMPTY)  # [m] when the operation happened
    op_record: Ints = field(default_factory=lambda: EMPTY)  # [m] record that caused it
    predicted: Ints = field(default_factory=lambda: EMPTY)  # [n] numbers of the operations that are PREDICT
    learned: Ints = field(default_factory=lambda: EMPTY)  # numbers of those that are LEARN

    # features
    features: Floats = field(default_factory=lambda: np.empty((0, 0)))  # [n, computed features]

    # score
    scores: list[Floats] = field(default_factory=list)  # per model [n, outputs] at PREDICT

    # measure, detect
    expected: Floats = field(default_factory=lambda: EMPTY.astype(float))  # [n] champion's expected loss, NaN = unknown
    error: Floats = field(default_factory=lambda: EMPTY.astype(float))  # [LEARN] the champion's loss, NaN = unknown
    losses: Floats = field(default_factory=lambda: np.empty((0, 0)))  # [LEARN, lanes] of every model, NaN = unknown
    numbers: Floats = field(default_factory=lambda: np.empty((0, 0)))  # [number fields, n] of the events, by columns
    signals: dict[str, Column] = field(default_factory=dict)
    alarms: list[Alarm] = field(default_factory=list)

    # decide: what takes effect at the next epoch boundary
    effects: list[dict[str, Any]] = field(default_factory=list)
