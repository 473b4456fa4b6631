"""Text keys → small codes, bounded: the least recently seen keys make room for new ones."""

from typing import Any

import numpy as np
from numba import njit

from stream_app.messages import Bools, Ints


class KeyTable:
    """Codes 0..max_keys-1 for text keys: events of the same key share a code.

    A missing key is the key "". A new key in a full table first evicts the least recently seen eighth (at least one),
    by the number of the last event of each key. It does so at exactly that event, so the codes do not depend on how the
    stream is cut into calls. Codes of evicted keys are given again; `fresh` marks where a code starts a new life.
    Cost: one dict look-up per event of a known key; memory O(max_keys).

    >>> table = KeyTable(max_keys=2)
    >>> codes, fresh = table.encode(["a", "b", "a", None])
    >>> codes.tolist(), fresh.tolist()
    ([0, 1, 0, 1], [True, True, False, True])
    >>> table.text(1)
    ''
    """

    def __init__(self, max_keys: int) -> None:
        self.max_keys = max_keys
        self._codes: dict[str, int] = {}
        self._texts: list[str | None] = []  # by code; None = evicted and not given again yet
        self._free: list[int] = []  # codes of evicted keys; the next to be given is last
        self._last_seen = np.zeros(max_keys, np.int64)  # number of the last event, by code
        self._events = 0

    def __len__(self) -> int:
        """The keys in the table."""
        return len(self._codes)

    @property
    def codes(self) -> int:
        """All codes given so far are below this number."""
        return len(self._texts)

    def text(self, code: int) -> str | None:
        """The key that has this code now, None if it was evicted."""
        return self._texts[code] if code < len(self._texts) else None

    def encode(self, values: list[str | None]) -> tuple[Ints, Bools]:
        """The code of each of n events in stream order, and whether its key is new (or new again) there."""
        get = self._codes.get
        codes = np.array([get(value or "", -1) for value in values], np.int64)
        fresh = np.zeros(len(values), np.bool_)
        unknown = np.flatnonzero(codes < 0)
        if len(self._codes) + len(unknown) <= self.max_keys:
            for i in unknown.tolist():
                codes[i], fresh[i] = self._code(values[i] or "")
            _touch(self._last_seen, codes, self._events)
        else:  # a key may be evicted between two of its events: one by one
            for i, value in enumerate(values):
                codes[i], fresh[i] = self._code(value or "")
                self._last_seen[codes[i]] = self._events + i
        self._events += len(values)
        return codes, fresh

    def _code(self, text: str) -> tuple[int, bool]:
        code = self._codes.get(text)
        if code is not None:
            return code, False
        if len(self._codes) == self.max_keys:
            self._evict()
        if self._free:
            code = self._free.pop()
            self._texts[code] = text
        else:
            code = len(self._texts)
            self._texts.append(text)
        self._codes[text] = code
        return code, True

    def _evict(self) -> None:
        eighth = max(1, self.max_keys // 8)
        by_age = np.argsort(self._last_seen)  # a full table uses every code, and no event number twice
        for code in by_age[:eighth][::-1].tolist():
            del self._codes[self._texts[code]]
            self._texts[code] = None
            self._free.append(code)

    def to_state(self) -> dict[str, Any]:
        """Plain data from which `from_state` goes on as if there had been no interruption."""
        return {
            "max_keys": self.max_keys,
            "texts": list(self._texts),
            "free": list(self._free),
            "last_seen": self._last_seen[: len(self._texts)].copy(),
            "events": self._events,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "KeyTable":
        """The table that `to_state` described."""
        table = cls(state["max_keys"])
        table._texts = list(state["texts"])
        table._codes = {text: code for code, text in enumerate(table._texts) if text is not None}
        table._free = list(state["free"])
        table._last_seen[: len(table._texts)] = state["last_seen"]
        table._events = state["events"]
        return table


@njit(cache=True)
def _touch(last_seen: Ints, codes: Ints, start: int) -> None:
    """Note that event `start + i` was of key `codes[i]`; the later of two counts."""
    for i in range(len(codes)):
        last_seen[codes[i]] = start + i
