"""What the detectors of rows share: a bet, row by row, that the next row lies where the recent ones did.

1. The first `warm_up` rows are learned from and then frozen. Each column becomes normal scores by its place among
   them (scale, units and outliers do not matter); a detector makes points of the scores, coordinates that are
   uncorrelated and of variance 1 in control.
2. r_t: the point less the mean of all points so far, times sqrt((n - 1) / n), a recursive residual: mean 0, and no
   correlation with the earlier ones, though the mean is only estimated. The direction m is the exponentially weighted
   mean of the residuals before t (the classifier learns another); the payoff is y_t = m' r_t / |m|, over its standard
   deviation so far. After a change the payoffs are positive: a row lies where the recent ones did.
3. e_t = (1 + q + q^2 / 3) / (1 + h^2 / 3), q = h min(y_t, 6), is positive and has mean at most 1 for *any* law of y_t
   with mean 0 and variance 1. So R_t = (1 + R_{t-1}) e_t has R_t - t a supermartingale (Shiryaev-Roberts form), and an
   alarm at a mean over the stakes h of R > 2 arl0 comes at a mean of 2 arl0 rows or later, whatever the joint
   distribution. The 2 is for what is not known but estimated: the variance (which is taken 1 / sqrt(n) larger).

A cell that is missing (NaN, inf) takes the score 0, as in control; a row without a number counts in `missing`.
Source: Shin, Ramdas and Rinaldo, E-detectors, 2022 (the form); Delyon, Exponential inequalities for sums of weakly
dependent variables, EJP 2009 (the bet's shape: exp(q - q^2 / 6) <= 1 + q + q^2 / 3).
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from scipy.special import ndtri

from detectors._base import MISSING, Array, Detector, Drift, Floats, Interval, N, mean_interval, number, whole
from detectors._kernels import finite, learn_scale, locate, random_unit
from detectors._scores import HALF, LOW, SIZE, add_raw, keep, normal_quantile

ONSET = 2  # place in `counts`: n when EXCESS was last 0
STAKES = (0.125, 0.25, 0.5, 1.0)
SQUARES, EVIDENCE, EXCESS = 4, 5, 6  # places in `bets`, after R for each stake
WEIGHT, WARM_UP, QUIET, LIMIT = range(4)  # places in `config`
CAP = 6.0  # standard deviations: a larger payoff wins no more
SLACK = 0.25  # what a payoff must exceed to be a sign of the new regime
FEW = 50.0  # rows that the nominal variance, 1, counts for in that of the payoffs
KEPT = 64  # rows of the warm-up, and of the recent ones, that are kept
BLOCK = 256  # rows whose points are made at a time
FAINT = 0.05  # the least variance of scores: of a column that never changed, or rarely


class Memory(NamedTuple):
    """What the chart changes, all of it a detector's state."""

    counts: Array
    columns: Floats  # [d, 5] each as `add_raw` has it
    mark: Floats  # [d, 3] their sums at the onset
    recent: Floats  # [KEPT, d] the last scores
    mean: Floats  # [p] of the points
    direction: Floats  # [p]
    bets: Floats


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


@njit(cache=True)
def _payoff(point: Floats, fed: float, memory: Memory) -> float:
    """What the bet on the direction brings, in standard deviations; the point becomes its residual."""
    mean, direction = memory.mean, memory.direction
    shrink = math.sqrt((fed - 1.0) / fed)
    along, length = 0.0, 0.0
    for i in range(len(point)):
        off = point[i] - mean[i]
        mean[i] += off / fed
        point[i] = off * shrink
        along += direction[i] * point[i]
        length += direction[i] * direction[i]
    y = along / math.sqrt(length) if length > 0.0 else 0.0
    variance = (memory.bets[SQUARES] + FEW) / (fed - 1.0 + FEW) * (1.0 + 1.0 / math.sqrt(fed))
    memory.bets[SQUARES] += y * y
    return y / math.sqrt(variance)


@njit(cache=True)
def _logistic(point: Floats, other: Floats, weight: float, memory: Memory) -> None:
    """One step of a logistic regression that tells the recent row (1) from one of the reference (0)."""
    direction, mean = memory.direction, memory.mean
    mine, theirs = 0.0, 0.0
    for i in range(len(point)):
        mine += direction[i] * point[i]
        theirs += direction[i] * (other[i] - mean[i])
    wrong, wrong_other = 1.0 / (1.0 + math.exp(min(mine, 500.0))), 1.0 / (1.0 + math.exp(min(-theirs, 500.0)))
    for i in range(len(point)):
        step = wrong * point[i] - wrong_other * (other[i] - mean[i])
        direction[i] += weight * (step - direction[i])


@njit(cache=True)
def chart(
    x: Floats, z: Floats, points: Floats, kept: Array, opponents: Floats, config: Floats, memory: Memory
) -> int:
    """Bet on each row in turn; the first that raises an alarm, or -1. With opponents the direction is a classifier's."""
    counts, bets, direction = memory.counts, memory.bets, memory.direction
    for t in range(len(x)):
        if not kept[t]:
            counts[MISSING] += 1
            continue
        counts[N] += 1
        memory.recent[counts[N] % KEPT] = z[t]
        y = min(CAP, _payoff(points[t], counts[N] - config[WARM_UP], memory))
        if len(opponents) > 0:
            _logistic(points[t], opponents[int(random_unit(counts[N]) * len(opponents))], config[WEIGHT], memory)
        else:
            for i in range(len(direction)):
                direction[i] += config[WEIGHT] * (points[t, i] - direction[i])
        bets[EXCESS] = max(0.0, bets[EXCESS] + y - SLACK)
        if bets[EXCESS] == 0.0:
            counts[ONSET] = counts[N]
        for j in range(x.shape[1]):
            if finite(x[t, j]):
                add_raw(x[t, j], memory.columns[j])
            if bets[EXCESS] == 0.0:
                keep(memory.columns[j], memory.mark[j])
        if counts[N] <= config[QUIET]:
            continue
        bets[EVIDENCE] = 0.0
        for k in range(len(STAKES)):
            q = STAKES[k] * y
            bets[k] = (1.0 + bets[k]) * (1.0 + q + q * q / 3.0) / (1.0 + STAKES[k] ** 2 / 3.0)
            bets[EVIDENCE] += bets[k] / len(STAKES)
        if bets[EVIDENCE] > config[LIMIT]:
            return t
    return -1


def whitening(sample: Floats, least: float = 0.01) -> Floats:
    """The matrix that makes the sample's columns uncorrelated, of variance 1, and keeps them as near as can be.

    Point j is about column j (Kessy, Lewin and Strimmer, Optimal whitening, 2018: ZCA-cor). Correlations shrink towards
    none by the intensity of Schaefer and Strimmer (2005), at least by `least`, which mutes what hardly varies.
    """
    rows, d = sample.shape
    spread = np.sqrt(np.maximum(np.var(sample, axis=0, ddof=1), FAINT))
    standard = (sample - sample.mean(axis=0)) / spread
    correlation = standard.T @ standard / (rows - 1)
    off = correlation[~np.eye(d, dtype=bool)]
    noise = np.sum((1 - off**2) ** 2) / (rows - 1)
    shrink = min(1.0, max(least, noise / max(float(np.sum(off**2)), 1e-12)))
    correlation = (1 - shrink) * correlation
    np.fill_diagonal(correlation, 1.0)
    sizes, axes = np.linalg.eigh(correlation)
    root: Floats = (axes / np.sqrt(sizes)) @ axes.T / spread[:, None]
    return root


class Vectors(Detector):
    """A detector of rows: `white` is learned from the warm-up's scores, `_fit` adds what else `_points` needs."""

    kinds = frozenset({"vector"})
    monitors = "distribution"
    unit = "shift of the mean point, in standard deviations"

    def __init__(self, params: dict[str, Any]) -> None:
        d = params["features"] = whole("features", params["features"], 1, 1000)
        warm_up = params["warm_up"] = whole("warm_up", params["warm_up"], 20, 100_000)
        limit = 2 * number("arl0", params["arl0"], 100, 1e12)
        weight = params["weight"] = number("weight", params["weight"], 1e-4, 0.5)
        params["arl0"] = limit / 2
        inner, outer, points, opponents = self._shapes(d)
        self._config = np.array([weight, warm_up, warm_up + warm_up // 2, limit])
        memory = Memory(
            counts=np.zeros(4, np.int64),
            columns=np.zeros((d, 5)),
            mark=np.zeros((d, 3)),
            recent=np.zeros((KEPT, d)),
            mean=np.zeros(points),
            direction=np.zeros(points),
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

    def _shapes(self, d: int) -> tuple[int, int, int, int]:
        """Columns of `inner`, rows of `outer`, coordinates of a point, rows that a classifier is told from."""
        raise NotImplementedError

    def _fit(self, z: Floats) -> None:
        """Learn `inner` and `outer` from the scores of the warm-up, where there are any."""

    def _points(self, z: Floats) -> Floats:
        """Coordinates of each row of scores, uncorrelated and of variance 1 in control."""
        raise NotImplementedError

    def _run(self, x: Floats, start: int) -> int:
        start = self._warm(x, start)
        while start < len(x):
            block = x[start : start + BLOCK]
            z, kept = self._scores(block)
            at = int(chart(block, z, self._points(z), kept, self._state["opponents"], self._config, self._memory))
            if at >= 0:
                return start + at
            start += len(block)
        return -1

    def _warm(self, x: Floats, start: int) -> int:
        """Take rows up to the end of the warm-up; where the next one is."""
        need = int(self._config[WARM_UP]) - self.n
        if need <= 0:
            return start
        kept = np.isfinite(x[start:]).any(axis=1)
        taken = start + np.flatnonzero(kept)[:need]
        end = int(taken[-1]) + 1 if len(taken) == need else len(x)
        self._state["ordered"][:, self.n : self.n + len(taken)] = x[taken].T
        self._counts[MISSING] += end - start - len(taken)
        self._counts[N] += len(taken)
        if len(taken) == need:
            self._learn()
        return end

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
        self._fit(z)

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


def random_normals(rows: int, columns: int) -> Floats:
    """The same independent standard normal numbers every time."""
    bits = np.random.PCG64(1).random_raw(rows * columns) >> np.uint64(12)
    return np.asarray(ndtri((bits + 0.5) * 2.0**-52)).reshape(rows, columns)
