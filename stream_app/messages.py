"""What goes into the core and what comes out of it: columns in, columns and JSON messages out.

`Rows` are decoded input records, `Tape` is the order in which the shard takes them, `Outputs` is what one call of
`Pipeline.handle` produced, `Progress` where a run stands. Nothing here does any work.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream_app import documents
from stream_app.texts import Coded, Pieces, Texts

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

NO_TIME = np.iinfo(np.int64).min  # the time of a record that has none, or none that can be read

EVENT, LABEL, CONTROL = 0, 1, 2  # the streams a tape is woven from
STREAMS = ("events", "labels", "control")
OUTPUTS = (
    *("predictions", "outcomes", "metrics", "alerts", "triggers", "features", "models", "dead-letters", "audit"),
    "panes",
)


to_json = msgspec.json.Encoder(enc_hook=np.generic.item).encode  # NaN becomes null, numpy scalars plain numbers
ARMS = ("A", "B")  # of [ab]: the champion's, and the other lane's


def counted(count: int, noun: str) -> str:
    """A number of things, for people.

    >>> counted(1, "trigger"), counted(1200, "event")
    ('1 trigger', '1,200 events')
    """
    return f"{count:,} {noun}{'s' * (count != 1)}"


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a record is a dead letter, and where in its document."""

    reason: str
    path: str = "$"
    kind: str = "schema"  # type, range, schema, duplicate, late or label


@dataclass(slots=True)
class Rows:
    """n records of one input stream in log order, decoded and checked against the schema, by columns.

    A row that is not `ok` has an entry in `problems`; its other columns hold NaN, None or NO_TIME.
    """

    offset: Ints  # [n] source offset
    time_ms: Ints  # [n] record time, NO_TIME where it cannot be known
    ok: Bools  # [n]
    id: Texts  # [n]
    id_hash: Ints  # [n] 64-bit hash of the id
    numbers: Floats  # [n, number fields in schema order], missing = NaN
    categories: list[Coded]  # [category fields][n]
    key: list[str | None]  # [n] entity; empty if the schema names none
    label: Coded | Floats  # [n] class text, or number for regression (NaN = none)
    label_time_ms: Ints  # [n] when the label becomes known, NO_TIME = with the record
    raw: Pieces  # [n] the record as it stood in the log
    problems: dict[int, Problem] = field(default_factory=dict)  # row → problem

    def __len__(self) -> int:
        return len(self.offset)

    def __getitem__(self, part: slice) -> "Rows":
        """The rows of a contiguous slice `[start:stop]`."""
        start, stop, _ = part.indices(len(self))
        problems = {row - start: problem for row, problem in self.problems.items() if start <= row < stop}
        return Rows(
            self.offset[part],
            self.time_ms[part],
            self.ok[part],
            self.id[part],
            self.id_hash[part],
            self.numbers[part],
            [column[part] for column in self.categories],
            self.key[part],
            self.label[part],
            self.label_time_ms[part],
            self.raw[part],
            problems,
        )

    def take(self, rows: Ints) -> "Rows":
        """The good rows with these numbers, in that order."""
        chosen = rows.tolist()
        return Rows(
            self.offset[rows],
            self.time_ms[rows],
            self.ok[rows],
            self.id[rows],
            self.id_hash[rows],
            self.numbers[rows],
            [column[rows] for column in self.categories],
            [self.key[i] for i in chosen] if self.key else [],
            self.label[rows],
            self.label_time_ms[rows],
            self.raw[rows],
        )


def join_rows(first: Rows, second: Rows) -> Rows:
    """The rows of `first`, then those of `second`."""
    start = len(first)
    if isinstance(first.label, Coded) and isinstance(second.label, Coded):
        label: Coded | Floats = Coded.joined([first.label, second.label])
    else:
        label = np.concatenate([np.asarray(first.label, float), np.asarray(second.label, float)])
    return Rows(
        np.concatenate([first.offset, second.offset]),
        np.concatenate([first.time_ms, second.time_ms]),
        np.concatenate([first.ok, second.ok]),
        Texts.joined([first.id, second.id]),
        np.concatenate([first.id_hash, second.id_hash]),
        np.concatenate([first.numbers, second.numbers]),
        [Coded.joined(both) for both in zip(first.categories, second.categories, strict=True)],
        first.key + second.key,
        label,
        np.concatenate([first.label_time_ms, second.label_time_ms]),
        Pieces.joined([first.raw, second.raw]),
        first.problems | {row + start: problem for row, problem in second.problems.items()},
    )


@dataclass(slots=True)
class Tape:
    """Records in the order in which the shard takes them: `order[i]` says which stream gives the i-th."""

    order: NDArray[np.uint8]  # [records] EVENT, LABEL or CONTROL
    events: Rows
    labels: Rows
    control: list[bytes] = field(default_factory=list)

    def offsets(self) -> Ints:
        """Source offset of each record in tape order; a command's is its number in this tape."""
        return self._in_order(self.events.offset, self.labels.offset, np.arange(len(self.control)))

    def times(self) -> Ints:
        """Time of each record in tape order, in ms; a command has none."""
        return self._in_order(self.events.time_ms, self.labels.time_ms, np.full(len(self.control), NO_TIME))

    def _in_order(self, events: Ints, labels: Ints, control: Ints) -> Ints:
        found = np.empty(len(self.order), np.int64)
        for stream, column in ((EVENT, events), (LABEL, labels), (CONTROL, control)):
            found[self.order == stream] = column
        return found

    def led_by(self, commands: list[bytes]) -> "Tape":
        """The tape with commands in front, for one that has none."""
        if not commands:
            return self
        order = np.concatenate([np.full(len(commands), CONTROL, np.uint8), self.order])
        return Tape(order, self.events, self.labels, commands)

    def __getitem__(self, part: slice) -> "Tape":
        """The records of a contiguous slice `[start:stop]`."""
        start, _, _ = part.indices(len(self.order))
        order = self.order[part]
        begins = [np.count_nonzero(self.order[:start] == stream) for stream in (EVENT, LABEL, CONTROL)]
        events, labels, control = (
            slice(begin, begin + np.count_nonzero(order == stream)) for stream, begin in enumerate(begins)
        )
        return Tape(order, self.events[events], self.labels[labels], self.control[control])


@dataclass(slots=True)
class Predictions:
    """One block of scored events, all by the same model version unless [ab] shares them out."""

    version: str | list[str]  # of the model; a list has one for each row
    classes: tuple[str, ...]  # class names by code; empty for regression and anomaly
    offset: Ints
    id: Texts
    time_ms: Ints
    code: NDArray[np.int32]  # predicted class, -1 = no prediction; unused without classes
    score: Floats  # probability of the predicted class (binary: of the positive), value, or anomaly score
    arm: NDArray[np.uint8] | None = None  # number in ARMS; None without [ab]

    def values(self) -> Pieces:
        """Each prediction as the JSON document of the `predictions` stream."""
        scores = documents.values(self.score.tolist())
        members: dict[str, Pieces | str] = {
            "id": documents.texts(self.id),
            "prediction": documents.picked(self.classes, self.code) if self.classes else scores,
            "score": scores,
            "model": documents.values(self.version) if isinstance(self.version, list) else self.version,
            "time": documents.values(self.time_ms.tolist()),
            "offset": documents.values(self.offset.tolist()),
        }
        if self.arm is not None:
            members["arm"] = documents.picked(ARMS, self.arm)
        return documents.objects(members)


@dataclass(slots=True)
class Outcomes:
    """One block of labels that met their event."""

    offset: Ints  # of the event
    id: Texts
    time_ms: Ints  # when the label was known
    label: Coded | Floats
    delay_ms: Ints  # from event to label
    error: Floats  # the champion's: 0/1 loss, absolute error, NaN without prediction

    def values(self) -> Pieces:
        """Each outcome as the JSON document of the `outcomes` stream."""
        label = self.label
        return documents.objects(
            {
                "id": documents.texts(self.id),
                "label": (
                    documents.picked(label.names, label.codes)
                    if isinstance(label, Coded)
                    else documents.values(label.tolist())
                ),
                "error": documents.values(self.error.tolist()),
                "time": documents.values(self.time_ms.tolist()),
                "delay_ms": documents.values(self.delay_ms.tolist()),
                "offset": documents.values(self.offset.tolist()),
            }
        )


class Origin(NamedTuple):
    """Who writes: the monitor's name and the shard, which is the number of the source's partition."""

    name: str
    shard: int


@dataclass(frozen=True, slots=True)
class Message:
    """One record of any other output stream (alerts, triggers, metrics, dead-letters, audit, panes, features)."""

    stream: str
    id: str  # made from stream, shard and source offset: a sink may drop repeats by it
    key: str
    time_ms: int
    value: bytes  # UTF-8 JSON


@dataclass(slots=True)
class Outputs:
    """All that one call of `Pipeline.handle` produced, in order within each kind."""

    predictions: list[Predictions] = field(default_factory=list)
    outcomes: list[Outcomes] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)

    def add(self, more: "Outputs") -> None:
        """Appends what came next."""
        self.predictions += more.predictions
        self.outcomes += more.outcomes
        self.messages += more.messages


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands."""

    records: int  # handled since the log began
    new: int  # handled by this process
    seconds: float  # since this process began
    share: float | None  # of the input read, where its size is known
    time_ms: int  # stream time
    lag: int  # records read and not yet handled
    alerts: list[bytes]  # written since the last report
