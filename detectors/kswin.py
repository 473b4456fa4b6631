"""KSWIN: Kolmogorov-Smirnov between the recent and the older part of one sliding window."""

import math
from typing import Any, ClassVar

import numpy as np
from numba import njit

from detectors._base import MISSING, Array, Detector, Drift, Floats, N, mean_interval, mean_of, number, register, whole
from detectors._kernels import finite
from detectors._mersenne import WORDS, pooled, sample, seeded
from detectors._sketch import squares_of

TOP = 2  # place in `counts`: the last distance, times the sizes of both parts (published: times stat_size)
WINDOW, RECENT, EVERY, LIMIT, PUBLISHED, POOLED = range(6)  # places in `config`


@njit(cache=True)
def chance_beyond(old: int, recent: int, limit: int) -> float:
    """P(distance times old times recent > limit) for exchangeable samples: all orders in which they interleave."""
    chance, beyond = np.zeros(recent + 2), 0.0
    chance[0] = 1.0
    for t in range(old + recent):
        left = old + recent - t
        for j in range(min(t, recent), -1, -1):
            come = chance[j]
            chance[j + 1] += come * (recent - j) / left
            chance[j] = come * max(0, old - t + j) / left
            # All that moves to j + 1 has arrived there by now.
            if abs((j + 1) * old - (t - j) * recent) > limit:
                beyond += chance[j + 1]
                chance[j + 1] = 0.0
        if (t + 1) * recent > limit:
            beyond += chance[0]
            chance[0] = 0.0
    return beyond


def exact_limit(old: int, recent: int, level: float) -> int:
    """The least limit that `chance_beyond` keeps within the level."""
    low, high = -1, old * recent
    while high - low > 1:
        middle = (low + high) // 2
        if chance_beyond(old, recent, middle) <= level:
            high = middle
        else:
            low = middle
    return high


def published_limit(size: int, alpha: float) -> int:
    """The largest distance, times size, that river's rule (p-value <= alpha and distance > 0.1) lets pass."""
    paths = math.comb(2 * size, size)
    low, high = size // 10, size + 1
    while high - low > 1:
        middle = (low + high) // 2
        signs = ((-1) ** (j + 1) * math.comb(2 * size, size - j * middle) for j in range(1, size // middle + 1))
        if 2 * sum(signs) / paths <= alpha:
            high = middle
        else:
            low = middle
    return low


@njit(cache=True)
def _rank(values: Floats, slots: Array, size: int, x: float, after: bool) -> int:
    """How many of the sorted values lie below x; with `after`, below or at x."""
    low, some = 0, size > 0
    while size > 1:  # as many steps for every x, and no branch to guess wrong
        half = size >> 1
        value = values[slots[low + half - 1]]
        low += half * (value < x or (after and value == x))
        size -= half
    if not some:
        return 0
    value = values[slots[low]]
    return low + (value < x or (after and value == x))


@njit(cache=True)
def _replace(values: Floats, slots: Array, n: int, x: float) -> None:
    """Put observation n into the ring; slots keeps the order of the values, equal ones by age."""
    room = len(values)
    slot, size = (n - 1) % room, min(n - 1, room)
    to = _rank(values, slots, size, x, after=True)
    gone = size
    if size == room:
        gone = _rank(values, slots, size, values[slot], after=False)
        to -= to > gone
    for i in range(gone, to):
        slots[i] = slots[i + 1]
    for i in range(gone, to, -1):
        slots[i] = slots[i - 1]
    slots[to] = slot
    values[slot] = x


@njit(cache=True)
def _distance(values: Floats, slots: Array, oldest: int, weights: Array) -> int:
    """The largest |sum of the weights of all values up to one of them|; weights by age, oldest first."""
    room = len(values)
    top = total = 0
    value = values[slots[0]]
    for i in range(room):
        age = slots[i] - oldest
        total += weights[age + room if age < 0 else age]
        following = values[slots[i + 1]] if i + 1 < room else math.inf
        top = max(top, abs(total) * (following != value))  # no branch: whether it grows cannot be guessed
        value = following
    return top


@njit(cache=True)
def _feed(x: Floats, start: int, config: Array, counts: Array, values: Floats, slots: Array, words: Array) -> int:
    room, recent, published = config[WINDOW], config[RECENT], config[PUBLISHED] == 1
    old = room - recent
    weights, pool = np.empty(room, np.int64), np.empty(old, np.int64)
    weights[:old], weights[old:] = recent, -1 if published else -old
    for at in range(start, len(x)):
        if not finite(x[at]):
            counts[MISSING] += 1
            continue
        counts[N] += 1
        n = counts[N]
        _replace(values, slots, n, x[at])
        if n < room or n % config[EVERY] != 0:
            continue
        if published:
            sample(words, old, recent, config[POOLED] == 1, pool, weights)
        counts[TOP] = _distance(values, slots, n % room, weights)
        if counts[TOP] > config[LIMIT]:
            return at
    return -1


def onset(below: Array) -> int:
    """How many of the newest differ most clearly from all before them in their share of `below`; at least 1."""
    n, newest = len(below), np.arange(1, len(below))
    off = np.cumsum(below[::-1] - np.mean(below))[:-1]
    return 1 + int(np.argmax(off**2 / (newest * (n - newest))))


def means(before: Floats, after: Floats) -> dict[str, Any]:
    """`before`, `after` and their intervals, as a Drift has them."""
    found: dict[str, Any] = {}
    for name, values in (("before", before), ("after", after)):
        mean = mean_of(values)
        found[name] = mean
        found[f"{name}_interval"] = mean_interval(mean, squares_of(values, mean) / len(values), len(values))
    return found


@register
class Kswin(Detector):
    """Finds a change of the distribution within the last `window_size` observations; needs no reference.

    With `arl0` (the default way): the newest `stat_size` against all the others of the window, every g-th observation
    (g = stat_size / 32), at the exact tail of the two-sample distance: the least z with P(D > z) <= g / (2 arl0), by
    counting the orders in which two samples of these sizes interleave (ties make D smaller). Then P(false alarm within
    t) <= t / (2 arl0) and ARL >= arl0, for independent observations of any distribution.

    With `alpha` or `seed` it is the published KSWIN, river 0.26 step by step: the newest 30 of 100 against 30 that
    Python's random.sample draws anew from the older 70 (the same Mersenne Twister, its words in the state), a drift
    if the exact p-value is at most alpha and the distance above 0.1. Testing every observation at .005 it alarms
    about every 1,000 observations in control; only few distances are possible, so few run lengths are.

    Input: any number; NaN and inf are counted, not fed. A drift drops the window (and starts the generator over).
    `before`, `after`: means of the window before and since the onset; `age`: the split of the window where the share
    at the most different value changed. Cost: 16 bytes a value of the window (published: and 5 kB), 0.7 us an
    observation either way.
    Source: Raab, Heusinger and Schleif, Reactive soft prototype computing for concept drift streams, Neurocomputing
    2020, section 3.

    >>> x = np.random.default_rng(1).normal(size=4000)
    >>> x[3000:] += 1
    >>> [(at, drift)] = Kswin(arl0=1e5).update_many(x)
    >>> at - drift.age + 1, drift.direction
    (2984, 1)
    """

    monitors = "distribution"
    unit = "distance between distribution functions"
    published: ClassVar[dict[str, Any]] = {"alpha": 0.005}

    def __init__(
        self,
        *,
        arl0: float = 1e6,
        window_size: int | None = None,
        stat_size: int | None = None,
        alpha: float | None = None,
        seed: int | None = None,
    ) -> None:
        published = alpha is not None or seed is not None
        arl0 = number("arl0", arl0, 100, 1e12)
        window = whole("window_size", (100 if published else 1000) if window_size is None else window_size, 4, 10_000)
        recent = whole("stat_size", (30 if published else 200) if stat_size is None else stat_size, 2, window // 2)
        params: dict[str, Any] = {"arl0": arl0, "window_size": window, "stat_size": recent}
        every, self._scale, self._seed = 1, recent, 0 if seed is None else whole("seed", seed, 0, 1 << 62)
        if published:
            alpha = number("alpha", 0.005 if alpha is None else alpha, 0, 1)
            params = {"alpha": alpha, "window_size": window, "stat_size": recent, "seed": self._seed}
            limit = published_limit(recent, alpha)
        else:
            every, self._scale = max(1, recent // 32), recent * (window - recent)
            limit = exact_limit(window - recent, recent, every / (2 * arl0))
            if limit == self._scale:
                raise ValueError(f"stat_size: {recent} beside {window - recent} can never alarm at arl0 = {arl0:g}")
        pool = pooled(window - recent, recent)
        self._config = np.array([window, recent, every, limit, published, pool], np.int64)
        state = {"counts": np.zeros(3, np.int64), "values": np.zeros(window), "slots": np.zeros(window, np.int64)}
        super().__init__(params, {**state, "words": np.zeros(WORDS + 1 if published else 0, np.int64)})
        self._reset()

    @property
    def statistic(self) -> float:
        """The distance between the two parts at the last test."""
        return int(self._counts[TOP]) / self._scale if self._full else math.nan

    @property
    def threshold(self) -> float:
        """What that distance must exceed."""
        return int(self._config[LIMIT]) / self._scale if self._full else math.nan

    @property
    def estimate(self) -> float:
        """The mean of the newest `stat_size` (before the window is full, of all there is)."""
        return mean_of(self._ordered()[-int(self._config[RECENT]) :] if self._full else self._ordered())

    def detectable(self, n: int) -> float:
        """The distance that, once n of the newest observations are new, is expected to reach the threshold."""
        found = int(self._config[LIMIT]) / self._scale * max(1.0, int(self._config[RECENT]) / n)
        return found if found < 1 else math.inf

    @property
    def _full(self) -> bool:
        return self.n >= int(self._config[WINDOW])

    def _ordered(self) -> Floats:
        """The window, oldest first."""
        values = self._state["values"]
        return np.roll(values, -(self.n % len(values))) if self._full else values[: self.n]

    def _reset(self) -> None:
        super()._reset()
        if self._config[PUBLISHED]:
            self._state["words"][:] = seeded(self._seed)

    def _run(self, x: Floats, start: int) -> int:
        state = self._state
        return int(_feed(x, start, self._config, self._counts, state["values"], state["slots"], state["words"]))

    def _evidence(self) -> Drift:
        window, recent = self._ordered(), int(self._config[RECENT])
        ordered, old, new = np.sort(window), np.sort(window[:-recent]), np.sort(window[-recent:])
        off = np.searchsorted(old, ordered, "right") / len(old) - np.searchsorted(new, ordered, "right") / len(new)
        where = int(np.argmax(np.abs(off)))
        age = onset(window <= ordered[where])
        return Drift(
            statistic=self.statistic,
            threshold=self.threshold,
            n=self.n,
            age=age,
            direction=int(np.sign(off[where])),
            detail={"at": float(ordered[where])},
            **means(window[:-age], window[-age:]),
        )
