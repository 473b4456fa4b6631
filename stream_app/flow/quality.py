"""Signals of data quality that need a memory: unseen categories, values out of range, values that stand still.

The first `LEARN` observations of a field are its reference and give NaN: after them each observation is 0 or 1. Given
what was learned, observations of a stationary stream are as independent as the field itself.
"""

from typing import Any

import numpy as np
from numba import njit

from stream_app.messages import Floats, Ints

LEARN = 5000  # observations of a field that say what is usual; fewer where engine.max_values is less
RENOWN = 100  # occurrences after which an unseen category is known: enough to be reported, then the new normal
OUTSIDE = 0.001  # share of the reference beyond each bound of the range: a few outliers there do no harm


class Unseen:
    """1 where a category is not known: met neither while learning nor `RENOWN` times since; NaN where it is missing.

    Categories past `engine.max_categories` share the codes, so also the renown, of others.
    """

    def __init__(self, size: int, learn: int = LEARN) -> None:
        self.learn = learn
        self.n, self.met = 0, np.zeros(size, np.int64)

    def run(self, codes: Ints) -> Floats:
        x = np.full(len(codes), np.nan)
        self.n = int(_meet(self.met, self.n, self.learn, np.ascontiguousarray(codes), x))
        return x

    def to_state(self) -> list[Any]:
        return [self.n, self.met.copy()]

    def load(self, state: list[Any]) -> None:
        self.n, self.met = state[0], state[1].copy()  # a kernel writes into it


class Range:
    """1 where a number lies outside what all but `OUTSIDE` of the reference at each end lay in; NaN where missing."""

    def __init__(self, learn: int = LEARN) -> None:
        self.learn = learn
        self.seen, self.low, self.high = np.empty(0), np.nan, np.nan

    def run(self, x: Floats) -> Floats:
        found = np.full(len(x), np.nan)
        start = self._learn(x) if np.isnan(self.low) else 0
        rest = x[start:]
        found[start:] = np.where(np.isnan(rest), np.nan, (rest < self.low) | (rest > self.high))
        return found

    def _learn(self, x: Floats) -> int:
        """Takes what the reference lacks; returns the first row behind it."""
        finite = np.flatnonzero(np.isfinite(x))[: self.learn - len(self.seen)]
        self.seen = np.concatenate([self.seen, x[finite]])
        if len(self.seen) < self.learn:
            return len(x)
        beyond = int(OUTSIDE * self.learn)
        ordered = np.sort(self.seen)
        self.low, self.high, self.seen = float(ordered[beyond]), float(ordered[-1 - beyond]), np.empty(0)
        return int(finite[-1]) + 1

    def to_state(self) -> list[Any]:
        return [self.seen.copy(), self.low, self.high]

    def load(self, state: list[Any]) -> None:
        self.seen, self.low, self.high = state


class Frozen:
    """1 where a value equals the one before it of the same entity (without keys: of the stream); NaN where missing.

    A column that stands still is all ones. Values that are missing are passed over.
    """

    def __init__(self, size: int) -> None:
        self.last = np.full(size + 1, np.nan)  # the last, -1: events without a key

    def run(self, values: Floats, keys: Ints) -> Floats:
        x = np.full(len(values), np.nan)
        _repeat(self.last, np.ascontiguousarray(values), np.ascontiguousarray(keys), x)
        return x

    def to_state(self) -> list[Any]:
        return [self.last.copy()]

    def load(self, state: list[Any]) -> None:
        self.last = state[0].copy()  # a kernel writes into it


@njit(cache=True)
def _meet(met: Ints, n: int, learn: int, codes: Ints, x: Floats) -> int:
    """Answers for codes into `x`; how many were learned from."""
    for i in range(len(codes)):
        code = codes[i]
        if code < 0:
            continue
        if n < learn:
            n += 1
            met[code] = RENOWN
        else:
            x[i] = met[code] < RENOWN
            met[code] = min(RENOWN, met[code] + 1)
    return n


@njit(cache=True)
def _repeat(last: Floats, values: Floats, keys: Ints, x: Floats) -> None:
    """Answers for values into `x`; `last` holds the newest of each key."""
    for i in range(len(values)):
        value, key = values[i], keys[i]
        if value == value:
            before = last[key]
            if before == before:
                x[i] = value == before
            last[key] = value
