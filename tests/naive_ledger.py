"""The join written down slowly: lists and searches, no ring, no hash table, no heap."""

from dataclasses import dataclass, field

from stream_app.flow.ledger import (
    DUPLICATE,
    EARLY,
    EXPIRED,
    FORGET,
    LABELLED,
    LEARN,
    NO_EVENT,
    PENDING,
    PREDICT,
    REJECT,
    REPEATED,
    TOO_LATE,
    WAIT,
)

NAN = float("nan")


@dataclass
class Entry:
    """One id: an event, or a label whose event has not come."""

    key: int
    status: int
    time_ms: int
    slot: int = -1
    label: float = NAN


@dataclass
class NaiveLedger:
    """Operations are (kind, record, row, slot, time, key, value), as `ledger.weave` writes them."""

    size: int
    timeout_ms: int
    free: list[int]  # stack of free slots
    entries: list[Entry] = field(default_factory=list)  # all that ever came
    tail: int = 0  # number of the first that has not expired
    scheduled: list[tuple[int, int]] = field(default_factory=list)  # (due, entry number)
    ops: list[tuple] = field(default_factory=list)

    def known(self, key: int) -> Entry | None:
        found = [entry for entry in self.entries[-self.size :] if entry.key == key]
        assert len(found) <= 1
        return found[0] if found else None

    def enter(self, record: int, key: int, status: int, now: int) -> Entry:
        if len(self.entries) - self.tail == self.size:
            self.expire(record, now)
        self.entries.append(Entry(key, status, now))
        return self.entries[-1]

    def expire(self, record: int, now: int) -> None:
        entry = self.entries[self.tail]
        self.tail += 1
        if entry.status == PENDING:
            self.ops.append((FORGET, record, -1, entry.slot, now, 0, NAN))
        elif entry.status == EARLY:
            self.ops.append((REJECT, record, NO_EVENT, -1, now, entry.key, NAN))
        if entry.status in (PENDING, EARLY):
            entry.status = EXPIRED

    def passed(self, record: int, now: int) -> None:
        """What time alone brings: labels that became known before now, then what is too old."""
        for due, number in sorted(self.scheduled):
            if due >= now:
                break
            self.scheduled.remove((due, number))
            entry = self.entries[number]
            remembered = number >= len(self.entries) - self.size
            if remembered and entry.status == PENDING and due - entry.time_ms <= self.timeout_ms:
                entry.status = LABELLED
                self.ops.append((LEARN, record, -1, entry.slot, due, 0, entry.label))
        while self.tail < len(self.entries) and now - self.entries[self.tail].time_ms > self.timeout_ms:
            self.expire(record, now)

    def event(self, record: int, row: int, now: int, key: int, time_ms: int, label: float, due: int | None) -> None:
        self.passed(record, now)
        entry = self.known(key)
        if entry is not None and entry.status != EARLY:
            self.ops.append((REJECT, record, DUPLICATE, row, now, key, NAN))
            return
        slot = self.free.pop()
        has_label = label == label
        if entry is not None:
            self.ops.append((PREDICT, record, row, slot, time_ms, key, NAN))
            self.ops.append((LEARN, record, -1, slot, time_ms, 0, entry.label))
            entry.status, entry.slot = LABELLED, slot
            return
        at_once = has_label and (due is None or due <= time_ms)
        entry = self.enter(record, key, LABELLED if at_once else PENDING, now)
        entry.slot, entry.label = slot, label
        self.ops.append((PREDICT, record, row, slot, time_ms, 0, NAN))
        if at_once:
            self.ops.append((LEARN, record, -1, slot, time_ms, 0, label))
        elif has_label and due - now <= self.timeout_ms:
            self.scheduled.append((due, len(self.entries) - 1))

    def label(self, record: int, row: int, now: int, key: int, time_ms: int, value: float) -> None:
        self.passed(record, now)
        entry = self.known(key)
        if entry is None:
            self.enter(record, key, EARLY, now).label = value
            self.ops.append((WAIT, record, row, -1, now, key, NAN))
        elif entry.status == PENDING:
            entry.status = LABELLED
            self.ops.append((LEARN, record, -1, entry.slot, time_ms, 0, value))
        else:
            reason = TOO_LATE if entry.status == EXPIRED else REPEATED
            self.ops.append((REJECT, record, reason, row, now, key, NAN))
