"""Online features: statistics of what came before each event, per key, over a sliding window."""

from collections.abc import Iterable, Sequence
from math import isnan
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from stream_app.config import Config, Feature
from stream_app.flow.keys import KeyTable
from stream_app.flow.pool import (
    BIRTHS,
    LIVE,
    LOWEST,
    STATS,
    STREAM_TIME,
    Spec,
    arrivals,
    make_room,
    new_groups,
    new_store,
)
from stream_app.flow.windows import look, rebuild, run_events, run_labels
from stream_app.messages import Bools, Floats, Ints
from stream_app.models import LEARN, PREDICT

CATEGORIES_KEPT = 65_536  # hashes of texts kept at hand; a miss costs about half a microsecond
NO_TICKET = -1
KEPT_OF_GROUP = ("time", "clock", "count", "birth", "touched")
KEPT_OF_ENTRY = ("position", "value", "group", "in_front")

Kinds = NDArray[np.uint8]
Tape = tuple[Kinds, Ints, Floats]


class Features:
    """Statistics of each event's group as they stood just before the event.

    Point in time: an event sees the earlier events of its group, never itself; a mean of targets sees the labels that
    have arrived. Time is event time and never goes back within a group: t = max(own time, last time of the group). A
    window over a duration is (t - duration, t]; one of N events is the last N events of the group, where a missing
    value leaves a gap. A label arrives at the largest event time seen so far; a mean of targets over N events is over
    the last N labels.

    count (events, or values of `of`), sum, mean, var (sample), min, max, last, quantile (linear interpolation), unique
    (distinct values; texts by 53 bits of a hash), rate (per second: n / duration, or (n - 1) / span of the last N). An
    empty window gives 0 for count, sum, rate, unique, else NaN; var of one value and rate over no time are NaN.
    NaN and missing values do not enter. Infinite and huge values do, and are forgotten with their window.

    Bounded: a grouping keeps `engine.max_keys` keys (see `KeyTable`); a label for an event of an evicted group is
    dropped.
    A feature keeps `engine.max_values` values over all groups: when full, the value that arrived first makes room, even
    if it is in the window of its group still. (The values of a group expire with its own next event, not before.)
    Cost per event: amortised O(1), about 0.1 microseconds; quantile and unique O(log window).

    >>> from stream_app.config import Field, Schema, Window
    >>> schema = Schema(key="carrier", fields={"delay": Field(type="number")})
    >>> mean = Feature(name="recent", stat="mean", of="delay", by="carrier", over=Window(events=2))
    >>> features = Features(Config(name="flights", schema=schema, features=(mean,)))
    >>> row = np.arange(3)
    >>> delay = np.array([[4.0], [8.0], [0.0]])
    >>> features.run(np.zeros(3, np.uint8), row, row, np.zeros(3), row, delay, [], ["AA"] * 3).tolist()
    [[nan], [4.0], [6.0]]
    >>> features.newest()
    [('carrier', 'AA', 2, {'recent': 4.0})]
    """

    names: tuple[str, ...]

    def __init__(self, config: Config) -> None:
        fields = config.schema.fields
        numbers = [name for name, field in fields.items() if field.type == "number"]
        categories = [name for name, field in fields.items() if field.type == "category"]
        self._number = {name: i for i, name in enumerate(numbers)}
        self._category = {name: i for i, name in enumerate(categories)}
        self.names = tuple(feature.name for feature in config.features)
        self._windows = [_Windows(feature, config.engine.max_values) for feature in config.features]
        self._groupings = tuple(dict.fromkeys(feature.by for feature in config.features))
        self._keys = {by: KeyTable(config.engine.max_keys) for by in self._groupings if by is not None}
        self._hashes: dict[str | None, float] = {None: np.nan}

    def run(
        self,
        kind: Kinds,
        slot: Ints,
        event: Ints,
        target: Floats,
        time_ms: Ints,
        numbers: Floats,
        categories: Sequence[Iterable[str | None]],
        key: list[str | None],
    ) -> Floats:
        """The features [n, names] of the n events of a chunk, NaN in rows it does not predict.

        The tape is m operations in order: PREDICT row `event[i]` (ascending), which takes `slot[i]`; LEARN that the
        event at `slot[i]`, perhaps of an earlier call, has the label `target[i]` (NaN does not enter); FORGET it.
        """
        if not self.names:
            return np.empty((len(numbers), 0))
        tape = (kind, slot, target)
        rows = event[kind == PREDICT]
        time_ms = np.maximum(np.minimum(time_ms[rows], -LOWEST), LOWEST)
        columns = _Columns(rows, numbers, categories, key)
        groups = {by: self._groups(by, columns) for by in self._groupings}
        values = np.empty((len(self.names), len(rows)))
        for windows, out in zip(self._windows, values, strict=True):
            codes, fresh = groups[windows.feature.by]
            if windows.feature.stat == "target_mean":
                windows.run_labels(tape, codes, fresh, time_ms, out)
            else:
                windows.run_events(codes, fresh, time_ms, self._values(windows.feature, columns), out)
        return columns.spread(values)

    def _groups(self, by: str | None, columns: "_Columns") -> tuple[Ints, Bools]:
        n = len(columns.rows)
        if by is None:
            return np.zeros(n, np.int64), np.zeros(n, np.bool_)
        return self._keys[by].encode(columns.texts(self._category.get(by)))

    def _values(self, feature: Feature, columns: "_Columns") -> Floats:
        """One number per predicted event; NaN does not enter the window."""
        if feature.of is None:
            return np.zeros(len(columns.rows))
        if feature.of in self._number:
            return columns.numbers(self._number[feature.of])
        return self._hashed(columns.texts(self._category.get(feature.of)))

    def _hashed(self, texts: list[str | None]) -> Floats:
        """A number for each text: 53 bits of its hash, exact as a float."""
        hashes = self._hashes
        for text in set(texts).difference(hashes):
            hashes[text] = float(xxh3_64_intdigest((text or "").encode("utf-8", "surrogatepass")) >> 11)
        values = np.array([hashes[text] for text in texts], np.float64)
        if len(hashes) > CATEGORIES_KEPT:
            self._hashes = {None: np.nan}
        return values

    def newest(self) -> list[tuple[str, str, int, dict[str, float | None]]]:
        """The feature store's news: (by, key, time_ms of its last event, features by name), sorted by (by, key).

        One for each group that an event or a label touched since the last call. "" stands for no `by`, None for NaN.
        The time is the group's own, which never goes back. Looking changes no later result.
        """
        news: list[tuple[str, str, int, dict[str, float | None]]] = []
        for by in self._groupings:
            features = [windows for windows in self._windows if windows.feature.by == by]
            codes = np.unique(np.concatenate([windows.touched() for windows in features]))
            texts = [self._keys[by].text(code) for code in codes.tolist()] if by is not None else [""] * len(codes)
            times = features[0].store.groups["time"][codes].tolist()
            table = np.column_stack([windows.look(codes) for windows in features])
            values = [[None if isnan(value) else value for value in row] for row in table.tolist()]
            names = [windows.feature.name for windows in features]
            news += [
                (by or "", text, time, dict(zip(names, row, strict=True)))
                for text, time, row in zip(texts, times, values, strict=True)
                if text is not None  # evicted
            ]
        return sorted(news, key=lambda group: group[:2])

    def to_state(self, live: Ints) -> dict[str, Any]:
        """Plain data from which `load` goes on bit for bit; `live[i]`, a slot waiting for its label, becomes slot i."""
        return {
            "keys": {by: table.to_state() for by, table in self._keys.items()},
            "windows": [windows.to_state(live) for windows in self._windows],
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over what `to_state` of the same configuration described."""
        self._keys = {by: KeyTable.from_state(table) for by, table in state["keys"].items()}
        for windows, part in zip(self._windows, state["windows"], strict=True):
            windows.load(part)


class _Columns:
    """The columns of a chunk, at the predicted rows only."""

    def __init__(
        self, rows: Ints, numbers: Floats, categories: Sequence[Iterable[str | None]], key: list[str | None]
    ) -> None:
        self.rows = rows
        self._n = len(numbers)
        self._all = len(rows) == self._n
        self._numbers = numbers
        self._categories = categories
        self._key = key

    def numbers(self, column: int) -> Floats:
        return np.ascontiguousarray(self._numbers[:, column] if self._all else self._numbers[self.rows, column])

    def texts(self, column: int | None) -> list[str | None]:
        """A category field, or the entity key for None."""
        texts = self._key if column is None else list(self._categories[column])
        return texts if self._all else [texts[row] for row in self.rows.tolist()]

    def spread(self, values: Floats) -> Floats:
        """Values [names, rows] as a table [n, names], NaN in the other rows."""
        if self._all:
            return np.ascontiguousarray(values.T)
        table = np.full((self._n, len(values)), np.nan)
        table[self.rows] = values.T
        return table


class _Windows:
    """One feature's windows, and which group the event at each slot belonged to."""

    def __init__(self, feature: Feature, max_values: int) -> None:
        stat = "mean" if feature.stat == "target_mean" else feature.stat
        width = feature.over.duration_ms or feature.over.events
        self.feature = feature
        self._spec = Spec(STATS.index(stat), width, feature.over.duration_ms > 0, feature.q)
        self._max_values = max_values
        self._ranked = stat in ("quantile", "unique")
        self.store = new_store()
        self._tickets = np.zeros((0, 2), np.int64)  # [slots] (code, birth), code -1: none

    def run_events(self, codes: Ints, fresh: Bools, time_ms: Ints, values: Floats, out: Floats) -> None:
        self._make_room(codes, len(codes))
        run_events(self._spec, self.store, codes, fresh, time_ms, values, out)

    def run_labels(self, tape: Tape, codes: Ints, fresh: Bools, time_ms: Ints, out: Floats) -> None:
        kind, slot, _ = tape
        self._make_room(codes, int(np.count_nonzero(kind == LEARN)))
        missing = int(slot.max(initial=-1)) + 1 - len(self._tickets)
        if missing > 0:
            more = np.full((max(missing, len(self._tickets)), 2), NO_TICKET, np.int64)
            self._tickets = np.concatenate([self._tickets, more])
        run_labels(self._spec, self.store, self._tickets, tape, codes, fresh, time_ms, out)

    def _make_room(self, codes: Ints, values: int) -> None:
        groups = int(codes.max(initial=0)) + 1
        self.store = make_room(self.store, groups, values, self._max_values, ranked=self._ranked)

    def touched(self) -> Ints:
        """The groups touched since the last call."""
        flags = self.store.groups["touched"]
        codes = np.flatnonzero(flags)
        flags[codes] = False
        return codes

    def look(self, codes: Ints) -> Floats:
        """The present value of each group."""
        out = np.empty(len(codes))
        look(self._spec, self.store, codes, out)
        return out

    def to_state(self, live: Ints) -> dict[str, Any]:
        groups, pool, _, heads = self.store
        slots = np.zeros(heads[LIVE], np.int64)
        arrivals(self.store, slots)
        begun = 1 + int(np.flatnonzero(groups["birth"]).max(initial=0))
        return {
            "groups": {name: groups[name][:begun].copy() for name in KEPT_OF_GROUP},
            "entries": {name: pool[name][slots] for name in KEPT_OF_ENTRY},
            "births": int(heads[BIRTHS]),
            "stream_time": int(heads[STREAM_TIME]),
            "tickets": self._tickets[live] if self.feature.stat == "target_mean" else None,
        }

    def load(self, state: dict[str, Any]) -> None:
        groups = new_groups(len(state["groups"]["time"]))
        for name, column in state["groups"].items():
            groups[name] = column
        position, value, group, in_front = (state["entries"][name] for name in KEPT_OF_ENTRY)
        store = new_store()._replace(groups=groups)
        self.store = make_room(store, len(groups), len(value), self._max_values, ranked=self._ranked)
        rebuild(self._spec, self.store, group, position, value, in_front)
        self.store.heads[BIRTHS] = state["births"]
        self.store.heads[STREAM_TIME] = state["stream_time"]
        if state["tickets"] is not None:
            self._tickets = state["tickets"].copy()
