"""Kolmogorov-Smirnov: finds any change of the distribution of a number."""

import math
from typing import Any

import numpy as np
from numba import njit

from detectors._base import MISSING, Array, Detector, Drift, Floats, N, flag, mean_of, number, register, whole
from detectors._kernels import bin_counts, equiprobable, finite, locate

EDGES, WAIT = 2, 3  # places in `counts`: edges in use, updates for which the statistic cannot reach the threshold


def distance_threshold(arl0: float, reference: int, window: int) -> float:
    """The distance exceeded with probability at most 1 / (2 arl0) at any one time (docstring of Ks)."""
    effective = reference * window / (reference + window)
    return math.sqrt((1 + math.log(2 * arl0)) / (2 * effective))


@njit(cache=True)
def _furthest(counts: Array, before: Array, recent: Array, reference: int, window: int) -> tuple[int, int]:
    """The largest |difference of the distribution functions| times reference times window, and at which edge."""
    old = new = top = where = 0
    for j in range(counts[EDGES]):
        old += before[j]
        new += recent[j]
        off = abs(new * reference - old * window)
        if off > top:
            top, where = off, j
    return top, where


@njit(cache=True)
def _rebin(
    counts: Array, edges: Floats, before: Array, recent: Array, values: Floats, reference: int, bins: int
) -> None:
    """New edges from the reference stretch of the ring; both windows counted into them."""
    room = len(values)
    ordered = np.empty(room)
    for i in range(room):
        ordered[i] = values[(counts[N] + i) % room]
    k = equiprobable(ordered[:reference], bins, edges)
    counts[EDGES], counts[WAIT] = k, 0
    bin_counts(ordered[:reference], edges, k, before)
    bin_counts(ordered[reference:], edges, k, recent)


@njit(cache=True)
def _feed(
    x: Floats, start: int, config: Array, limit: float, counts: Array, values: Floats, edges: Floats, tallies: Array
) -> int:
    reference, window, bins, rolling = config[0], config[1], config[2], config[3] == 1
    room = reference + window
    before, recent = tallies[0], tallies[1]
    for at in range(start, len(x)):
        value = x[at]
        if not finite(value):
            counts[MISSING] += 1
            continue
        counts[N] += 1
        n = counts[N]
        if n <= reference:
            values[n - 1] = value
            if n == reference:
                counts[EDGES] = equiprobable(values[:reference], bins, edges)
                bin_counts(values[:reference], edges, counts[EDGES], before)
            continue
        k = counts[EDGES]
        slot = (n - 1) % room if rolling else reference + (n - 1 - reference) % window
        if n > room:
            if rolling:
                before[locate(edges, k, values[slot])] -= 1
                passed = locate(edges, k, values[(n - 1 - window) % room])
                recent[passed] -= 1
                before[passed] += 1
            else:
                recent[locate(edges, k, values[slot])] -= 1
        values[slot] = value
        recent[locate(edges, k, value)] += 1
        if n < room:
            continue
        if rolling and n > room and (n - room) % (4 * reference) == 0:
            _rebin(counts, edges, before, recent, values, reference, bins)
        if counts[WAIT] > 0:
            counts[WAIT] -= 1
            continue
        top, _ = _furthest(counts, before, recent, reference, window)
        if top > limit:
            return at
        # One observation moves either distribution function by at most one of its own counts.
        counts[WAIT] = int((limit - top) / (room if rolling else reference))
    return -1


@register
class Ks(Detector):
    """Finds a recent window that comes from another distribution than the reference.

    The first `reference` observations are the reference (with `rolling`, the stretch right before the window, edges
    renewed every 4 R observations); its quantiles at `bins` equal steps are the edges e. After `window` more, every
    observation is tested: max over e of |F_window(e) - F_reference(e)| > sqrt((1 + ln(2 arl0)) (W + R) / (2 W R)).

    Why: at any one time window and reference are W and R exchangeable observations, so the two-sample
    Dvoretzky-Kiefer-Wolfowitz-Massart inequality P(D > z) <= C exp(-2 z^2 W R / (W + R)) holds without regard to the
    reference being random; C = e is safe (Wei and Dudley 2012: C = 2 asymptotically and for equal sizes above 457;
    tests/test_ks.py counts lattice paths exactly for unequal sizes). Ties and a choice of edges only make D smaller.
    With the right side 1 / (2 arl0), P(false alarm within t) <= t / (2 arl0) and so ARL >= arl0, for independent
    observations of any distribution, discrete ones too.

    Input: any number; NaN and inf are counted, not fed. A drift starts over with a new reference. `age`: where within
    the window the share at the most different edge changed, at most W. `detail`: that edge (`at`), the shares at or
    below it, `edges` and the bins' shares `before` and `after`. Cost: 40 ns an observation, 8 (R + W) bytes.
    Source: Massart, The tight constant in the DKW inequality, Annals of Probability 1990; Wei and Dudley, 2012.

    >>> x = np.random.default_rng(1).normal(size=8000)
    >>> x[7000:] *= 2
    >>> [(at, drift)] = Ks(arl0=1e5).update_many(x)
    >>> at - drift.age + 1, round(drift.statistic, 2), drift.detail["at"] > 0
    (7036, 0.12, False)
    """

    monitors = "distribution"
    unit = "distance between distribution functions"

    def __init__(
        self, *, arl0: float = 1e6, reference: int = 5000, window: int = 500, bins: int = 64, rolling: bool = False
    ) -> None:
        params: dict[str, Any] = {
            "arl0": number("arl0", arl0, 100, 1e12),
            "reference": whole("reference", reference, 20, 10_000_000),
            "window": whole("window", window, 10, 100_000),
            "bins": whole("bins", bins, 2, 4096),
            "rolling": flag("rolling", rolling),
        }
        self._threshold = distance_threshold(arl0, reference, window)
        if self._threshold >= 1:
            raise ValueError(f"window: {window} observations beside {reference} can never alarm at arl0 = {arl0:g}")
        self._config = np.array([reference, window, bins, int(rolling)], np.int64)
        self._scale = reference * window
        super().__init__(
            params,
            {
                "counts": np.zeros(4, np.int64),
                "values": np.zeros(reference + window),
                "edges": np.zeros(2 * bins),
                "tallies": np.zeros((2, 2 * bins + 1), np.int64),
            },
        )

    @property
    def statistic(self) -> float:
        """The largest distance between the two distribution functions at the edges."""
        return self._top()[0] / self._scale if self._full else math.nan

    @property
    def threshold(self) -> float:
        """What that distance must exceed."""
        return self._threshold if self._full else math.nan

    @property
    def estimate(self) -> float:
        """The mean of the recent window (before it is full, of all there is)."""
        return mean_of(self._stretches()[1]) if self.n > self._config[0] else mean_of(self._state["values"][: self.n])

    def detectable(self, n: int) -> float:
        """The distance that, once n of the window's observations are new, is expected to reach the threshold."""
        found = self._threshold * max(1.0, float(self._config[1]) / max(n, 1))
        return found if found < 1 else math.inf

    @property
    def _full(self) -> bool:
        return self.n >= int(self._config[0] + self._config[1])

    def _top(self) -> tuple[int, int]:
        before, recent = self._state["tallies"]
        top, where = _furthest(self._counts, before, recent, int(self._config[0]), int(self._config[1]))
        return int(top), int(where)

    def _stretches(self) -> tuple[Floats, Floats]:
        """The reference and the recent window, oldest first."""
        reference, window, values, n = int(self._config[0]), int(self._config[1]), self._state["values"], self.n
        if n <= reference + window:
            return values[:reference], values[reference:n]
        if self._config[3]:
            ring = np.roll(values, -(n % len(values)))
            return ring[:reference], ring[reference:]
        return values[:reference], np.roll(values[reference:], -((n - reference) % window))

    def _run(self, x: Floats, start: int) -> int:
        state, limit = self._state, self._threshold * self._scale
        arrays = self._counts, state["values"], state["edges"], state["tallies"]
        return int(_feed(x, start, self._config, limit, *arrays))

    def _evidence(self) -> Drift:
        top, where = self._top()
        reference, recent = self._stretches()
        edges, k = self._state["edges"], int(self._counts[EDGES])
        shares = self._state["tallies"][:, : k + 1] / np.array([[len(reference)], [len(recent)]])
        old, new = shares[0, : where + 1].sum(), shares[1, : where + 1].sum()
        from_end = np.cumsum((recent <= edges[where])[::-1] - old)
        before, after = mean_of(reference), mean_of(recent)
        return Drift(
            statistic=top / self._scale,
            threshold=self._threshold,
            n=self.n,
            before=before,
            after=after,
            age=1 + int(np.argmax(from_end**2 / np.arange(1, len(recent) + 1))),  # most likely, the old share known
            direction=int(new < old) - int(new > old),
            detail={
                "at": float(edges[where]),
                "below_before": float(old),
                "below_after": float(new),
                "edges": edges[:k].tolist(),
                "before": shares[0].tolist(),
                "after": shares[1].tolist(),
            },
        )
