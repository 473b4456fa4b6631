"""The ledger of ids: one compiled pass that joins events and labels in tape order.

A ring holds the newest ids (events, and labels whose event has not come); a hash table finds them. Each entry is
PENDING (scored, waits for its label), LABELLED, EXPIRED, or EARLY (a label that waits for its event). Labels that came
with their event but become known later wait in a binary heap ordered by (due time, arrival).
Cost: about 50 ns a record; memory: 50 bytes × ring size, whatever the length of the stream.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from stream_app.messages import EVENT, NO_TIME, Floats, Ints

PREDICT, LEARN, FORGET, REJECT, WAIT = 0, 1, 2, 3, 4
VACANT, PENDING, LABELLED, EXPIRED, EARLY = 0, 1, 2, 3, 4
DUPLICATE, REPEATED, TOO_LATE, NO_EVENT = 0, 1, 2, 3  # why a record is rejected
KIND, RECORD, ROW, SLOT, TIME, KEY = 0, 1, 2, 3, 4, 5  # columns of the operations
COUNT, TAIL, HEAP, FREE = 0, 1, 2, 3  # scalars: entries ever made, next to expire, heap length, free slots


class Ledger(NamedTuple):
    """Arrays of the ring (D entries), the hash table over it, the heap of labels due, and the free slots."""

    id_hash: Ints  # [D]
    status: Ints  # [D]
    time_ms: Ints  # [D] stream time at arrival
    slot: Ints  # [D]
    label: Floats  # [D] of EARLY entries, and of PENDING ones whose label is scheduled
    table: Ints  # [power of two >= 2 D] ring index, -1 = free
    due_ms: Ints  # [heap]
    due_entry: Ints  # [heap] entry number
    free: Ints  # [slots] stack of free slots
    scalars: Ints  # [4]


class Incoming(NamedTuple):
    """The accepted records of one chunk."""

    order: Ints  # [r]
    now_ms: Ints  # [r] stream time
    event_hash: Ints
    event_ms: Ints
    event_label: Floats  # NaN = not in the row
    event_due: Ints  # NO_TIME = known at once
    label_hash: Ints
    label_ms: Ints
    label_value: Floats


@njit(cache=True)
def _place(table: Ints, key: int) -> int:
    return int((key ^ (key >> 32)) & (len(table) - 1))


@njit(cache=True)
def find(ledger: Ledger, key: int) -> int:
    """Ring index of an id hash, or -1."""
    at = _place(ledger.table, key)
    while ledger.table[at] >= 0:
        if ledger.id_hash[ledger.table[at]] == key:
            return int(ledger.table[at])
        at = (at + 1) & (len(ledger.table) - 1)
    return -1


@njit(cache=True)
def _insert(ledger: Ledger, index: int) -> None:
    at = _place(ledger.table, ledger.id_hash[index])
    while ledger.table[at] >= 0:
        at = (at + 1) & (len(ledger.table) - 1)
    ledger.table[at] = index


@njit(cache=True)
def _remove(ledger: Ledger, index: int) -> None:
    """Linear probing without tombstones: later entries of the run move up (Knuth 6.4, algorithm R)."""
    table, mask = ledger.table, len(ledger.table) - 1
    hole = _place(table, ledger.id_hash[index])
    while table[hole] != index:
        hole = (hole + 1) & mask
    at = hole
    while True:
        at = (at + 1) & mask
        if table[at] < 0:
            break
        home = _place(table, ledger.id_hash[table[at]])
        if (at - home) & mask >= (at - hole) & mask:
            table[hole] = table[at]
            hole = at
    table[hole] = -1


@njit(cache=True)
def _before(ledger: Ledger, a: int, b: int) -> bool:
    if ledger.due_ms[a] != ledger.due_ms[b]:
        return bool(ledger.due_ms[a] < ledger.due_ms[b])
    return bool(ledger.due_entry[a] < ledger.due_entry[b])


@njit(cache=True)
def _swap(ledger: Ledger, a: int, b: int) -> None:
    due, entry = ledger.due_ms[a], ledger.due_entry[a]
    ledger.due_ms[a], ledger.due_entry[a] = ledger.due_ms[b], ledger.due_entry[b]
    ledger.due_ms[b], ledger.due_entry[b] = due, entry


@njit(cache=True)
def _schedule(ledger: Ledger, due: int, entry: int) -> None:
    at = ledger.scalars[HEAP]
    ledger.due_ms[at], ledger.due_entry[at] = due, entry
    ledger.scalars[HEAP] += 1
    while at > 0 and _before(ledger, at, (at - 1) // 2):
        _swap(ledger, at, (at - 1) // 2)
        at = (at - 1) // 2


@njit(cache=True)
def _unschedule(ledger: Ledger) -> int:
    """Takes the entry that is due first."""
    entry = ledger.due_entry[0]
    last = ledger.scalars[HEAP] - 1
    _swap(ledger, 0, last)
    ledger.scalars[HEAP] = last
    at = 0
    while True:
        child = 2 * at + 1
        if child >= last:
            return int(entry)
        if child + 1 < last and _before(ledger, child + 1, child):
            child += 1
        if _before(ledger, at, child):
            return int(entry)
        _swap(ledger, at, child)
        at = child


@njit(cache=True)
def _emit(ops: Ints, m: int, kind: int, record: int, row: int, slot: int, time_ms: int, key: int) -> int:
    ops[m, KIND], ops[m, RECORD], ops[m, ROW] = kind, record, row
    ops[m, SLOT], ops[m, TIME], ops[m, KEY] = slot, time_ms, key
    return m + 1


@njit(cache=True)
def _expire_oldest(ledger: Ledger, ops: Ints, m: int, record: int, now: int) -> int:
    entry = ledger.scalars[TAIL]
    index = entry % len(ledger.status)
    ledger.scalars[TAIL] += 1
    if ledger.status[index] == PENDING:
        ledger.status[index] = EXPIRED
        return _emit(ops, m, FORGET, record, -1, ledger.slot[index], now, 0)
    if ledger.status[index] == EARLY:
        ledger.status[index] = EXPIRED
        return _emit(ops, m, REJECT, record, NO_EVENT, -1, now, ledger.id_hash[index])
    return m


@njit(cache=True)
def _enter(ledger: Ledger, ops: Ints, m: int, record: int, key: int, status: int, now: int) -> int:
    """A new entry at the head of the ring; what it overwrites must have expired."""
    size = len(ledger.status)
    if ledger.scalars[COUNT] - ledger.scalars[TAIL] >= size:
        m = _expire_oldest(ledger, ops, m, record, now)
    index = ledger.scalars[COUNT] % size
    if ledger.status[index] != VACANT:
        _remove(ledger, index)
    ledger.id_hash[index], ledger.status[index], ledger.time_ms[index] = key, status, now
    _insert(ledger, index)
    ledger.scalars[COUNT] += 1
    return m


@njit(cache=True)
def _due(ledger: Ledger, ops: Ints, values: Floats, m: int, record: int, now: int, timeout: int) -> int:
    """Labels that became known before `now` are learned; entries older than the timeout expire."""
    size = len(ledger.status)
    while ledger.scalars[HEAP] > 0 and ledger.due_ms[0] < now:
        due = ledger.due_ms[0]
        entry = _unschedule(ledger)
        index = entry % size
        if ledger.scalars[COUNT] - entry > size or ledger.status[index] != PENDING:
            continue
        if due - ledger.time_ms[index] <= timeout:
            ledger.status[index] = LABELLED
            values[m] = ledger.label[index]
            m = _emit(ops, m, LEARN, record, -1, ledger.slot[index], due, 0)
    while ledger.scalars[TAIL] < ledger.scalars[COUNT]:
        if now - ledger.time_ms[ledger.scalars[TAIL] % size] <= timeout:
            break
        m = _expire_oldest(ledger, ops, m, record, now)
    return m


@njit(cache=True)
def _take_event(
    ledger: Ledger, new: Incoming, timeout_ms: int, ops: Ints, values: Floats, m: int, record: int, i: int
) -> int:
    key, now, label = new.event_hash[i], new.now_ms[record], new.event_label[i]
    index = find(ledger, key)
    if index >= 0 and ledger.status[index] != EARLY:
        return _emit(ops, m, REJECT, record, DUPLICATE, i, now, key)
    ledger.scalars[FREE] -= 1
    slot = ledger.free[ledger.scalars[FREE]]
    at_once = label == label and (new.event_due[i] == NO_TIME or new.event_due[i] <= new.event_ms[i])
    was_early = index >= 0
    if was_early:
        label, at_once = ledger.label[index], True
        ledger.status[index] = LABELLED
    else:
        m = _enter(ledger, ops, m, record, key, LABELLED if at_once else PENDING, now)
        index = (ledger.scalars[COUNT] - 1) % len(ledger.status)
    ledger.slot[index] = slot
    m = _emit(ops, m, PREDICT, record, i, slot, new.event_ms[i], key if was_early else 0)
    if at_once:
        values[m] = label
        return _emit(ops, m, LEARN, record, -1, slot, new.event_ms[i], 0)
    if label == label and new.event_due[i] - now <= timeout_ms:
        ledger.label[index] = label
        _schedule(ledger, new.event_due[i], ledger.scalars[COUNT] - 1)
    return m


@njit(cache=True)
def _take_label(ledger: Ledger, new: Incoming, ops: Ints, values: Floats, m: int, record: int, k: int) -> int:
    key, now = new.label_hash[k], new.now_ms[record]
    index = find(ledger, key)
    if index < 0:
        m = _enter(ledger, ops, m, record, key, EARLY, now)
        ledger.label[(ledger.scalars[COUNT] - 1) % len(ledger.status)] = new.label_value[k]
        return _emit(ops, m, WAIT, record, k, -1, now, key)
    if ledger.status[index] != PENDING:
        reason = TOO_LATE if ledger.status[index] == EXPIRED else REPEATED
        return _emit(ops, m, REJECT, record, reason, k, now, key)
    ledger.status[index] = LABELLED
    values[m] = new.label_value[k]
    return _emit(ops, m, LEARN, record, -1, ledger.slot[index], new.label_ms[k], 0)


@njit(cache=True)
def weave(ledger: Ledger, new: Incoming, timeout_ms: int, ops: Ints, values: Floats) -> int:
    """Runs a chunk's records through the ledger; fills `ops` and `values` and returns how many operations there are.

    `ops` needs room for two operations a record plus one for each entry that may expire.
    """
    m = i = k = 0
    for record in range(len(new.order)):
        m = _due(ledger, ops, values, m, record, new.now_ms[record], timeout_ms)
        if new.order[record] == EVENT:
            m = _take_event(ledger, new, timeout_ms, ops, values, m, record, i)
            i += 1
        else:
            m = _take_label(ledger, new, ops, values, m, record, k)
            k += 1
    return m


def new_ledger(size: int) -> Ledger:
    """An empty ledger that remembers `size` ids."""
    return Ledger(
        np.zeros(size, np.int64),
        np.zeros(size, np.int64),
        np.zeros(size, np.int64),
        np.full(size, -1, np.int64),
        np.full(size, np.nan),
        np.full(1 << (2 * size - 1).bit_length(), -1, np.int64),
        np.zeros(0, np.int64),
        np.zeros(0, np.int64),
        np.zeros(0, np.int64),
        np.zeros(4, np.int64),
    )


@njit(cache=True)
def reindex(ledger: Ledger) -> None:
    """Fills the hash table from the ring, oldest entry first."""
    size = len(ledger.status)
    ledger.table[:] = -1
    for entry in range(max(0, ledger.scalars[COUNT] - size), ledger.scalars[COUNT]):
        _insert(ledger, entry % size)
