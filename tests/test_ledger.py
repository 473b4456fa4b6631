"""The join kernel against its slow twin: the same operations in the same order, however the tape was cut."""

from collections import Counter
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_ledger import NaiveLedger

from stream_app.flow.ledger import (
    COUNT,
    DUPLICATE,
    FORGET,
    FREE,
    HEAP,
    KIND,
    LEARN,
    NO_EVENT,
    PREDICT,
    RECORD,
    REJECT,
    REPEATED,
    ROW,
    SLOT,
    TAIL,
    TIME,
    TOO_LATE,
    WAIT,
    Incoming,
    Ledger,
    find,
    new_ledger,
    reindex,
    weave,
)
from stream_app.messages import EVENT, LABEL, NO_TIME

SIZE = 8  # ids in the ring: its hash table has 16 places
TIMEOUT_MS = 40
NAN = float("nan")


class Record(NamedTuple):
    """One accepted record of the tape."""

    stream: int
    now: int  # stream time
    key: int
    time_ms: int
    value: float  # NaN: an event without a label
    due: int | None


# Places 13, 14, 15, 0, 1 of the table, three ids each: runs of collisions that reach over its end.
keys = st.sampled_from([place + 16 * turn for place in (13, 14, 15, 0, 1) for turn in (0, 1, 5)])
steps = st.tuples(
    st.booleans(),
    st.sampled_from((0, 0, 0, 1, 1, 3, 10, 41)),  # stream time goes on by
    st.one_of(keys, st.integers(-(2**63), 2**63 - 1)),
    st.sampled_from((0, 0, 0, 2, 30)),  # how late the record is
    st.sampled_from((NAN, NAN, 0.0, 1.0)),
    st.sampled_from((None, -5, 0, 1, 2, 7, 39, 40, 41, 60)),  # the label becomes known, from the event's time
)


@st.composite
def tapes(draw: st.DrawFn) -> list[Record]:
    tape, now = [], 1000
    for is_event, passed, key, late, value, delay in draw(st.lists(steps, max_size=80)):
        now += passed
        known = 1.0 if not is_event and value != value else value
        due = None if delay is None else now - late + delay
        tape.append(Record(EVENT if is_event else LABEL, now, key, now - late, known, due))
    return tape


def slowly(tape: list[Record]) -> list[tuple]:
    twin = NaiveLedger(SIZE, TIMEOUT_MS, list(range(len(tape))))
    events = labels = 0
    for i, r in enumerate(tape):
        if r.stream == EVENT:
            twin.event(i, events, r.now, r.key, r.time_ms, r.value, r.due)
            events += 1
        else:
            twin.label(i, labels, r.now, r.key, r.time_ms, r.value)
            labels += 1
    return twin.ops


def incoming(tape: list[Record]) -> Incoming:
    events, labels = ([r for r in tape if r.stream == stream] for stream in (EVENT, LABEL))
    return Incoming(
        np.array([r.stream for r in tape], np.uint8),
        np.array([r.now for r in tape], np.int64),
        np.array([r.key for r in events], np.int64),
        np.array([r.time_ms for r in events], np.int64),
        np.array([r.value for r in events], np.float64),
        np.array([NO_TIME if r.due is None else r.due for r in events], np.int64),
        np.array([r.key for r in labels], np.int64),
        np.array([r.time_ms for r in labels], np.int64),
        np.array([r.value for r in labels], np.float64),
    )


def ready(slots: int) -> Ledger:
    heap = np.zeros(slots, np.int64)
    ledger = new_ledger(SIZE)._replace(free=np.arange(slots), due_ms=heap, due_entry=heap.copy())
    ledger.scalars[FREE] = slots
    return ledger


def quickly(tape: list[Record], cuts: list[int]) -> list[tuple]:
    """What the kernel does with the tape cut at these places; record and row numbers counted through."""
    ledger, told = ready(len(tape)), []
    for start, stop in pairwise([0, *sorted(set(cuts)), len(tape)]):
        part = tape[start:stop]
        scalars = ledger.scalars
        room = 2 * len(part) + int(scalars[COUNT] - scalars[TAIL] + scalars[HEAP])
        ops, values = np.zeros((6, room), np.int64), np.full(room, NAN)
        m = weave(ledger, incoming(part), TIMEOUT_MS, ops, values)
        assert m <= room
        events = sum(r.stream == EVENT for r in tape[:start])
        for op, value in zip(ops[:, :m].T.tolist(), values[:m].tolist(), strict=True):
            op[RECORD] += start
            if op[KIND] in (PREDICT, WAIT):
                op[ROW] += events if op[KIND] == PREDICT else start - events
            elif op[KIND] == REJECT and op[ROW] != NO_EVENT:
                op[SLOT] += events if op[ROW] == DUPLICATE else start - events
            told.append((*op, value))
        reindex_keeps_all(ledger)
    return told


def reindex_keeps_all(ledger: Ledger) -> None:
    count = int(ledger.scalars[COUNT])
    ring = [entry % SIZE for entry in range(max(0, count - SIZE), count)]
    assert [find(ledger.table, ledger.id_hash, ledger.id_hash[index]) for index in ring] == ring
    assert (ledger.table >= 0).sum() == len(ring)  # nothing stale is left in the table
    reindex(ledger)
    assert [find(ledger.table, ledger.id_hash, ledger.id_hash[index]) for index in ring] == ring


def same(a: list[tuple], b: list[tuple]) -> bool:
    return repr(a) == repr(b)  # NaN equals NaN


@settings(max_examples=400)
@given(tapes(), st.lists(st.integers(0, 80), max_size=5))
def test_kernel_and_slow_twin_do_the_same(tape: list[Record], cuts: list[int]) -> None:
    expected = slowly(tape)
    assert same(quickly(tape, [cut for cut in cuts if cut < len(tape)]), expected)


def made(seed: int, records: int) -> list[Record]:
    """A long tape with every kind of label: at once, scheduled, apart, early, late, repeated, never."""
    rng = np.random.default_rng(seed)
    tape, now = [], 0
    for i in range(records):
        now += int(rng.choice((0, 1, 5, 20)))
        key = int(max(0, i - rng.integers(0, 12)) % 40) * 16 + int(rng.integers(0, 2)) * 15
        event = bool(rng.random() < 0.6)
        value = float(rng.choice((NAN, 0.0, 1.0))) if event else 1.0
        due = None if rng.random() < 0.5 else now + int(rng.integers(-3, 50))
        tape.append(Record(EVENT if event else LABEL, now, key, now - int(rng.integers(0, 5)), value, due))
    return tape


def test_a_long_tape_meets_every_case() -> None:
    tape = made(seed=3, records=4000)
    expected = slowly(tape)
    assert same(quickly(tape, [1, 2, 100, 1777, 3999]), expected)
    kinds = Counter(op[KIND] for op in expected)
    reasons = Counter(op[ROW] for op in expected if op[KIND] == REJECT)
    assert min(kinds[kind] for kind in (PREDICT, LEARN, FORGET, REJECT, WAIT)) > 50
    assert min(reasons[reason] for reason in (DUPLICATE, REPEATED, TOO_LATE, NO_EVENT)) > 20
    learned = [op[SLOT] for op in expected if op[KIND] == LEARN]
    assert len(set(learned)) == len(learned)  # no event learns twice


@given(st.lists(st.integers(1, 5), max_size=SIZE - 1))
def test_labels_are_learned_in_the_order_in_which_they_become_known(delays: list[int]) -> None:
    tape = [Record(EVENT, 1000, i, 1000, 1.0, 1000 + delay) for i, delay in enumerate(delays)]
    tape.append(Record(EVENT, 1010, 99, 1010, NAN, None))
    learned = [(op[TIME] - 1000, len(delays) - op[SLOT]) for op in quickly(tape, []) if op[KIND] == LEARN]
    assert learned == sorted((delay, i) for i, delay in enumerate(delays))  # slots are given out from the last
