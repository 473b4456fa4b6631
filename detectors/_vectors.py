"""What the detectors of rows share: normal scores, whitening, the evidence; how they bet stands in `_bets`.

The first `warm_up` rows are learned from and then frozen. Each column becomes normal scores by its place among them, so
that scale, units and outliers do not matter; a detector makes points of the scores: coordinates that are about
uncorrelated and of variance 1 in control, and whose mean moves when what it watches changes.

A cell that is missing (NaN, inf) takes the score 0, as in control; a row without a number counts in `missing`.
"""

import math
from typing import Any

import numpy as np
from numba import njit
from scipy.special import ndtri

from detectors._base import MISSING, Array, Detector, Drift, Floats, Interval, N, mean_interval, number, whole
from detectors._bets import EVIDENCE, EXCESS, KEPT, LIMIT, ONSET, QUIET, STAKES, WARM_UP, WEIGHT, Memory, chart
from detectors._kernels import finite, learn_scale, locate
from detectors._scores import HALF, LOW, SIZE, add_raw, normal_quantile

BLOCK = 256  # rows whose points are made at a time
MUTED = 0.75  # between 0 (all axes of the features weigh the same: kernel Fisher) and 1 (as they vary: plain MMD)
FAINT = 0.05  # the least variance of scores: of a column that never changed, or rarely


@njit(cache=True)
def product(rows: Floats, matrix: Floats) -> Floats:
    """The rows times the matrix, each row the same whatever the others are (as BLAS does not promise)."""
    out = np.zeros((rows.shape[0], matrix.shape[1]))
    for t in range(rows.shape[0]):
        for j in range(rows.shape[1]):
            for i in range(matrix.shape[1]):
                out[t, i] += rows[t, j] * matrix[j, i]
    return out


@njit(cache=True)
def normal_scores(x: Floats, ordered: Floats, known: Array, out: Floats, kept: Array) -> None:
    """Each cell's normal score by its place in its column of the warm-up; which rows have any number."""
    for t in range(len(x)):
        kept[t] = False
        for j in range(x.shape[1]):
            out[t, j] = 0.0
            if not finite(x[t, j]):
                continue
            kept[t] = True
            seen = known[j]
            low = locate(ordered[j], seen, x[t, j])
            high = low
            if low < seen and ordered[j, low] == x[t, j]:
                high = locate(ordered[j], seen, np.nextafter(x[t, j], math.inf))
            out[t, j] = normal_quantile((0.5 * (low + high) + 0.5) / (seen + 1.0))


def _axes(sample: Floats) -> tuple[Floats, Floats, Floats]:
    """The columns' standard deviations; variances along, and directions of, the axes of their correlation.

    Correlations shrink towards none by the intensity of Schaefer and Strimmer (2005), at least by a hundredth.
    """
    rows, d = sample.shape
    spread = np.sqrt(np.maximum(np.var(sample, axis=0, ddof=1), FAINT))
    standard = (sample - sample.mean(axis=0)) / spread
    correlation = standard.T @ standard / (rows - 1)
    off = correlation[~np.eye(d, dtype=bool)]
    noise = np.sum((1 - off**2) ** 2) / (rows - 1)
    correlation *= 1 - min(1.0, max(0.01, noise / max(float(np.sum(off**2)), 1e-12)))
    np.fill_diagonal(correlation, 1.0)
    variances, axes = np.linalg.eigh(correlation)
    return spread, variances, axes


def whitening(sample: Floats) -> Floats:
    """The matrix that makes the sample's columns uncorrelated, of variance 1, and keeps them as near as can be.

    Point j is about column j (Kessy, Lewin and Strimmer, Optimal whitening, 2018: ZCA-cor).
    """
    spread, variances, axes = _axes(sample)
    root: Floats = (axes / np.sqrt(variances)) @ axes.T / spread[:, None]
    return root


def muting(sample: Floats) -> tuple[Floats, Floats]:
    """The matrix to coordinates along the axes; their variances, `MUTED` of the way from 1 to what they were."""
    spread, variances, axes = _axes(sample)
    partly = (1 - MUTED) * variances + MUTED
    return axes / np.sqrt(partly) / spread[:, None], variances / partly


class Vectors(Detector):
    """A detector of rows: `white` is learned from the warm-up's scores, `_fit` adds what else `_points` needs."""

    kinds = frozenset({"vector"})
    unit = "shift of the mean point, in standard deviations"

    def __init__(
        self, params: dict[str, Any], points: int, *, inner: int = 0, outer: int = 0, opponents: int = 0
    ) -> None:
        d = params["features"]
        warm_up = params["warm_up"] = whole("warm_up", params["warm_up"], 20, 100_000)
        limit = 2 * number("arl0", params["arl0"], 100, 1e12)
        weight = params["weight"] = number("weight", params["weight"], 1e-4, 0.5)
        params["arl0"] = limit / 2
        self._config = np.array([weight, warm_up, warm_up + warm_up // 2, limit])
        memory = Memory(
            counts=np.zeros(4, np.int64),
            columns=np.zeros((d, 5)),
            mark=np.zeros((d, 3)),
            recent=np.zeros((KEPT, d)),
            mean=np.zeros(points),
            direction=np.zeros(points),
            variances=np.zeros(points),
            bets=np.zeros(EXCESS + 1),
        )
        learned = {
            "ordered": np.zeros((d, warm_up)),
            "known": np.zeros(d, np.int64),
            "reference": np.zeros((KEPT, d)),
            "opponents": np.zeros((opponents, points)),
            "white": np.zeros((d, d)),
            "inner": np.zeros((d, inner)),
            "outer": np.zeros((outer, points)),
        }
        super().__init__(params, memory._asdict() | learned)
        self._memory = memory

    @property
    def statistic(self) -> float:
        """The mean of R over the stakes."""
        return float(self._memory.bets[EVIDENCE]) if self.n > self._config[QUIET] else math.nan

    @property
    def threshold(self) -> float:
        """Twice `arl0`."""
        return float(self._config[LIMIT]) if self.n > self._config[QUIET] else math.nan

    @property
    def e_value(self) -> float:
        """Half the statistic: as cautious as the threshold."""
        return self.statistic / 2

    @property
    def estimate(self) -> float:
        """How far the mean point of the recent rows lies from that of all, in standard deviations."""
        return float(np.linalg.norm(self._memory.direction)) if self.n >= self._config[WARM_UP] else math.nan

    def detectable(self, n: int) -> float:
        """At the best stake, once the direction is as clear as the weight of a row lets it become."""
        needed = min(math.log(self._config[LIMIT]) / (n * stake) + stake / 2 for stake in STAKES)
        noise = len(self._memory.direction) * float(self._config[WEIGHT]) / 2
        return math.sqrt((needed**2 + math.sqrt(needed**4 + 4 * needed**2 * noise)) / 2)

    def _fit(self, z: Floats) -> None:
        """Learn `inner` and `outer` from the scores of the warm-up, where there are any."""

    def _points(self, z: Floats) -> Floats:
        """Coordinates of each row of scores, uncorrelated and of `variances` in control."""
        raise NotImplementedError

    def _run(self, x: Floats, start: int) -> int:
        while start < len(x):
            need = int(self._config[WARM_UP]) - self.n
            if need > 0:
                start += self._warm(x[start : start + need])
                continue
            block = x[start : start + BLOCK]
            z, kept = self._scores(block)
            at = int(chart(block, z, self._points(z), kept, self._state["opponents"], self._config, self._memory))
            if at >= 0:
                return start + at
            start += len(block)
        return -1

    def _warm(self, x: Floats) -> int:
        """Take rows into the warm-up, which has room for all; how many they are."""
        kept = x[np.isfinite(x).any(axis=1)]
        self._state["ordered"][:, self.n : self.n + len(kept)] = kept.T
        self._counts[MISSING] += len(x) - len(kept)
        self._counts[N] += len(kept)
        if self.n == self._config[WARM_UP]:
            self._learn()
        return len(x)

    def _learn(self) -> None:
        state = self._state
        rows = np.where(np.isfinite(state["ordered"]), state["ordered"], math.nan).T.copy()
        state["ordered"][...] = np.sort(rows.T)  # NaN last
        state["known"][...] = np.isfinite(rows).sum(axis=0)
        for column, values, known in zip(state["columns"], state["ordered"], state["known"], strict=True):
            if known:
                low, high = learn_scale(values[:known])
                column[LOW], column[HALF] = low, high / 2 - low / 2
            for value in values[:known]:
                add_raw(value, column)
        state["mark"][...] = state["columns"][:, SIZE:]
        state["counts"][ONSET] = self.n
        z, _ = self._scores(rows)
        state["reference"][...] = z[np.arange(-KEPT, 0) % len(z)]
        state["white"][...] = whitening(z)
        state["variances"][...] = 1.0
        self._fit(z)
        if len(state["opponents"]):
            state["opponents"][...] = self._points(state["reference"])

    def _scores(self, x: Floats) -> tuple[Floats, Array]:
        """Normal scores of rows, and which of them have any number."""
        z, kept = np.empty_like(x), np.empty(len(x), np.bool_)
        normal_scores(x, self._state["ordered"], self._state["known"], z, kept)
        return z, kept

    def _evidence(self) -> Drift:
        age = max(1, self.n - int(self._counts[ONSET]))
        shares = self._shares(age)
        sides = [self._sides(j) for j in range(len(shares))]
        order = np.argsort(-shares, kind="stable")
        (before, before_interval), (after, after_interval) = sides[order[0]]
        features = [
            {"feature": int(j), "share": float(shares[j]), "before": sides[j][0][0], "after": sides[j][1][0]}
            for j in order
        ]
        return Drift(
            statistic=self.statistic,
            threshold=self.threshold,
            n=self.n,
            before=before,
            after=after,
            age=age,
            direction=0,
            detail={"features": features},
            before_interval=before_interval,
            after_interval=after_interval,
        )

    def _shares(self, age: int) -> Floats:
        """How much of the recent rows' payoff each column takes with it when it is as in the warm-up.

        "As in the warm-up": what is its own, uncorrelated with the others, is taken from rows of the warm-up.
        """
        white = self._state["white"]
        recent = self._state["recent"][(self.n - np.arange(KEPT) % age) % KEPT]
        own, back = (self._state["reference"] - recent) @ white, np.linalg.inv(white)
        payoff = self._points(recent) @ self._memory.direction
        lost = np.zeros(len(white))
        for j in range(len(lost)):
            without = self._points(recent + np.outer(own[:, j], back[j])) @ self._memory.direction
            lost[j] = max(0.0, float(np.mean(payoff - without)))
        return lost / lost.sum() if lost.any() else np.full(len(lost), 1 / len(lost))

    def _sides(self, j: int) -> list[tuple[float, Interval]]:
        """Mean and interval of column j before and since the onset."""
        column, mark = self._memory.columns[j], self._memory.mark[j]
        parts = [mark, column[SIZE:] - mark]
        off = sum(max(0.0, float(s[2] - s[1] ** 2 / s[0])) for s in parts if s[0])
        return [_side(column, part, off / max(1.0, column[SIZE])) for part in parts]


def _side(column: Floats, sums: Floats, spread: float) -> tuple[float, Interval]:
    """Mean and interval, in the column's own unit, of what has those sums."""
    n = float(sums[0])
    if n < 1:
        return math.nan, (math.nan, math.nan)
    places = sums[1] / n, *mean_interval(float(sums[1]) / n, spread, max(2.0, n))
    mean, low, high = (2 * min(max(float(column[LOW] / 2 + y * column[HALF]), -8.9e307), 8.9e307) for y in places)
    return mean, (low, high)


def columns(features: object) -> int:
    """The parameter `features`."""
    return whole("features", features, 1, 1000)


def random_normals(rows: int, columns: int) -> Floats:
    """The same independent standard normal numbers every time."""
    bits = np.random.PCG64(1).random_raw(rows * columns) >> np.uint64(12)
    return np.asarray(ndtri((bits + 0.5) * 2.0**-52)).reshape(rows, columns)
