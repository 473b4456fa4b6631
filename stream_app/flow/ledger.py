"""The ledger of ids: one compiled pass that joins events and labels in tape order.

A ring holds the newest ids (events, and labels whose event has not come); a hash table finds them. Each entry is
PENDING (scored, waits for its label), LABELLED, EXPIRED, or EARLY (a label that waits for its event). Labels that came
with their event but become known later wait in a binary heap ordered by (due time, arrival).
Cost: about 50 ns a record; memory: 50 bytes × ring size, whatever the length of the stream.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stream_app.messages import EVENT, NO_TIME, Floats, Ints
from stream_app.models import FORGET, LEARN, PREDICT

REJECT, WAIT = 3, 4  # operations that end here, after those of the models
VACANT, PENDING, LABELLED, EXPIRED, EARLY = 0, 1, 2, 3, 4
DUPLICATE, REPEATED, TOO_LATE, NO_EVENT = 0, 1, 2, 3  # why a record is rejected
KIND, RECORD, ROW, SLOT, TIME, KEY = range(6)  # rows of the operations
COUNT, TAIL, HEAP, FREE = 0, 1, 2, 3  # scalars: entries ever made, next to expire, heap length, free slots


Places = NDArray[np.int32]


class Ledger(NamedTuple):
    """Arrays of the ring (D entries), the hash table over it, the heap of labels due, and the free slots."""

    id_hash: Ints  # [D]
    status: Ints  # [D]
    time_ms: Ints  # [D] stream time at arrival
    slot: Ints  # [D]
    label: Floats  # [D] of EARLY entries, and of PENDING ones whose label is scheduled
    table: Places  # [power of two >= 2 D] ring index, -1 = free
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


@njit(inline="always")
def _place(table: Places, key: int) -> int:
    return (key ^ (key >> 32)) & (len(table) - 1)


@njit(cache=True)
def find(table: Places, id_hash: Ints, key: int) -> int:
    """Ring index of an id hash, or -1."""
    at = _place(table, key)
    while table[at] >= 0:
        if id_hash[table[at]] == key:
            return int(table[at])
        at = (at + 1) & (len(table) - 1)
    return -1


@njit(cache=True)
def _insert(table: Places, id_hash: Ints, index: int) -> None:
    at = _place(table, id_hash[index])
    while table[at] >= 0:
        at = (at + 1) & (len(table) - 1)
    table[at] = index


@njit(cache=True)
def _remove(table: Places, id_hash: Ints, index: int) -> None:
    """Linear probing without tombstones: later entries of the run move up (Knuth 6.4, algorithm R)."""
    mask = len(table) - 1
    hole = _place(table, id_hash[index])
    while table[hole] != index:
        hole = (hole + 1) & mask
    at = hole
    while True:
        at = (at + 1) & mask
        if table[at] < 0:
            break
        home = _place(table, id_hash[table[at]])
        if (at - home) & mask >= (at - hole) & mask:
            table[hole] = table[at]
            hole = at
    table[hole] = -1


@njit(inline="always")
def _before(due_ms: Ints, due_entry: Ints, a: int, b: int) -> bool:
    return bool(due_ms[a] < due_ms[b] or (due_ms[a] == due_ms[b] and due_entry[a] < due_entry[b]))


@njit(inline="always")
def _swap(due_ms: Ints, due_entry: Ints, a: int, b: int) -> None:
    due, entry = due_ms[a], due_entry[a]
    due_ms[a], due_entry[a] = due_ms[b], due_entry[b]
    due_ms[b], due_entry[b] = due, entry


@njit(cache=True)
def _schedule(due_ms: Ints, due_entry: Ints, scalars: Ints, due: int, entry: int) -> None:
    at = scalars[HEAP]
    due_ms[at], due_entry[at] = due, entry
    scalars[HEAP] += 1
    while at > 0 and _before(due_ms, due_entry, at, (at - 1) // 2):
        _swap(due_ms, due_entry, at, (at - 1) // 2)
        at = (at - 1) // 2


@njit(cache=True)
def _unschedule(due_ms: Ints, due_entry: Ints, scalars: Ints) -> int:
    """Takes the entry that is due first."""
    entry = due_entry[0]
    last = scalars[HEAP] - 1
    _swap(due_ms, due_entry, 0, last)
    scalars[HEAP] = last
    at = 0
    while True:
        child = 2 * at + 1
        if child >= last:
            return int(entry)
        if child + 1 < last and _before(due_ms, due_entry, child + 1, child):
            child += 1
        if _before(due_ms, due_entry, at, child):
            return int(entry)
        _swap(due_ms, due_entry, at, child)
        at = child


@njit(inline="always")
def _stale(age_ms: int, timeout_ms: int) -> bool:
    """Too old, or from the future: then the clock was set back."""
    return age_ms > timeout_ms or age_ms < 0


@njit(inline="always")
def _emit(ops: Ints, m: int, kind: int, record: int, row: int, slot: int, time_ms: int, key: int) -> int:
    ops[KIND, m], ops[RECORD, m], ops[ROW, m] = kind, record, row
    ops[SLOT, m], ops[TIME, m], ops[KEY, m] = slot, time_ms, key
    return m + 1


@njit(cache=True)
def _expire_oldest(  # the arrays one by one: each look into a tuple of arrays would count references
    id_hash: Ints, status: Ints, slot: Ints, scalars: Ints, ops: Ints, m: int, record: int, now: int
) -> int:
    index = scalars[TAIL] % len(status)
    scalars[TAIL] += 1
    if status[index] == PENDING:
        status[index] = EXPIRED
        return _emit(ops, m, FORGET, record, -1, slot[index], now, 0)
    if status[index] == EARLY:
        status[index] = EXPIRED
        return _emit(ops, m, REJECT, record, NO_EVENT, -1, now, id_hash[index])
    return m


@njit(cache=True)
def _enter(id_hash: Ints, status: Ints, table: Places, scalars: Ints, key: int) -> int:
    """Ring index of a new entry at the head; the one it overwrites must have expired."""
    index = scalars[COUNT] % len(status)
    if status[index] != VACANT:
        _remove(table, id_hash, index)
    id_hash[index] = key
    _insert(table, id_hash, index)
    scalars[COUNT] += 1
    return int(index)


@njit(cache=True)
def _fetch(table: Places, event_hash: Ints, id_hash: Ints, oldest: int, ops: Ints) -> None:
    """Has many of the places that new ids and the oldest ones need come into the processor's cache at a time."""
    found = 0
    for i in range(len(event_hash)):
        found += table[_place(table, event_hash[i])]
    for i in range(oldest, min(oldest + len(event_hash), len(id_hash))):
        found += table[_place(table, id_hash[i])]
    if len(event_hash):
        ops[KEY, 0] = found  # is written over: nothing is read whose sum nobody takes


@njit(cache=True, nogil=True)
def weave(ledger: Ledger, new: Incoming, timeout_ms: int, ops: Ints, values: Floats) -> int:
    """Runs a chunk's records through the ledger; fills `ops` and `values` and returns how many operations there are.

    `ops` needs room for two operations a record plus one for each entry that may expire.
    """
    id_hash, status, time_ms, slot, label, table, due_ms, due_entry, free, scalars = ledger
    order, now_ms, event_hash, event_ms, event_label, event_due, label_hash, label_ms, label_value = new
    size, m, i, k = len(status), 0, 0, 0
    _fetch(table, event_hash, id_hash, scalars[COUNT] % size, ops)
    for record in range(len(order)):
        now = now_ms[record]
        # 1. labels that became known before now are learned
        while scalars[HEAP] > 0 and due_ms[0] < now:
            due = due_ms[0]
            entry = _unschedule(due_ms, due_entry, scalars)
            index = entry % size
            overwritten = scalars[COUNT] - entry > size
            if not overwritten and status[index] == PENDING and due - time_ms[index] <= timeout_ms:
                status[index] = LABELLED
                values[m] = label[index]
                m = _emit(ops, m, LEARN, record, -1, slot[index], due, 0)
        # 2. entries older than the timeout expire
        while scalars[TAIL] < scalars[COUNT] and _stale(now - time_ms[scalars[TAIL] % size], timeout_ms):
            m = _expire_oldest(id_hash, status, slot, scalars, ops, m, record, now)
        # 3. the record itself: an event is scored, a label is learned, or waits for its event
        is_event = order[record] == EVENT
        row = i if is_event else k
        key = event_hash[row] if is_event else label_hash[row]
        i, k = i + is_event, k + (not is_event)
        index = find(table, id_hash, key)
        if not is_event and index >= 0:
            if status[index] == PENDING:
                status[index] = LABELLED
                values[m] = label_value[row]
                m = _emit(ops, m, LEARN, record, -1, slot[index], label_ms[row], 0)
            else:
                m = _emit(ops, m, REJECT, record, TOO_LATE if status[index] == EXPIRED else REPEATED, row, now, key)
            continue
        if is_event and index >= 0 and status[index] != EARLY:
            m = _emit(ops, m, REJECT, record, DUPLICATE, row, now, key)
            continue
        known = event_label[row] if is_event else label_value[row]
        at_once = is_event and known == known and (event_due[row] == NO_TIME or event_due[row] <= event_ms[row])
        was_early = index >= 0
        if was_early:
            known, at_once = label[index], True
            status[index] = LABELLED
        else:
            if scalars[COUNT] - scalars[TAIL] >= size:
                m = _expire_oldest(id_hash, status, slot, scalars, ops, m, record, now)
            index = _enter(id_hash, status, table, scalars, key)
            time_ms[index], label[index] = now, known
            status[index] = LABELLED if at_once else PENDING if is_event else EARLY
        if not is_event:
            m = _emit(ops, m, WAIT, record, row, -1, now, key)
            continue
        scalars[FREE] -= 1
        slot[index] = free[scalars[FREE]]
        m = _emit(ops, m, PREDICT, record, row, slot[index], event_ms[row], key if was_early else 0)
        if at_once:
            values[m] = known
            m = _emit(ops, m, LEARN, record, -1, slot[index], event_ms[row], 0)
        elif known == known and event_due[row] - now <= timeout_ms:
            _schedule(due_ms, due_entry, scalars, event_due[row], scalars[COUNT] - 1)
    return m


def new_ledger(size: int) -> Ledger:
    """An empty ledger that remembers `size` ids."""
    return Ledger(
        np.zeros(size, np.int64),
        np.zeros(size, np.int64),
        np.zeros(size, np.int64),
        np.full(size, -1, np.int64),
        np.full(size, np.nan),
        np.full(1 << (2 * size - 1).bit_length(), -1, np.int32),
        np.zeros(0, np.int64),
        np.zeros(0, np.int64),
        np.zeros(0, np.int64),
        np.zeros(4, np.int64),
    )


@njit(cache=True)
def reindex(ledger: Ledger) -> None:
    """Fills the hash table from the ring, oldest entry first."""
    size, count = len(ledger.status), ledger.scalars[COUNT]
    ledger.table[:] = -1
    for entry in range(max(0, count - size), count):
        _insert(ledger.table, ledger.id_hash, entry % size)
