"""What a season and its own past do not explain of a signal: the compiled part of `_null.Adjusted`.

Values of which many are the same (0 and 1, counts, zeros among numbers) are replaced by the normal quantiles of their
sequential ranks, ties broken at random (`_scores`): their residuals would be a few atoms that wander while the season
is learned, and every rank of them would wander along.
A season: Welford's mean and spread for each phase. Its past: recursive least squares on (1, the last ORDER values).
"""

import math

import numpy as np
from numba import njit

from detectors._base import Array, Floats, N
from detectors._kernels import HUGE, random_unit
from detectors._scores import Bag, normal_quantile, score, standing

ORDER = 3  # of the autoregression
VISITS, FITTED = 4, 64  # observations that a phase, and the autoregression, learn from before any is fed
TIED_VISITS = 8  # of a phase of scores, whose distribution differs by phase: the mean of four would show it
SHRINK = 16.0  # observations that the spread of all phases counts for in the spread of one
FIRST, SAME = 64, 6  # a signal is tied if so many of its first are one value

SEEN, DRAWS, STRIDE = range(3)  # places in `counts`
# Places in a column's row of `columns`.
SCALE, RAW_N, RAW_MEAN, LEFT_N, LEFT_MEAN, WITHIN, WITHIN_N, FITS, BASE = range(9)
RAW_M2, SCORES, SCORE_MEAN, COMOMENT, TIES, COLUMN = range(9, 15)
UNDECIDED, UNTIED, TIED = 0.0, 1.0, 2.0  # values of TIES
PHASE_N, PHASE_MEAN, PHASE_M2 = range(3)  # places in a phase


@njit(cache=True)
def _deseason(y: float, phase: Floats, column: Floats) -> float:
    """What the phase does not explain, in the unit of y; NaN while the phase is young. The phase learns y."""
    n = phase[PHASE_N]
    off = y - phase[PHASE_MEAN]
    left = math.nan
    if n >= (TIED_VISITS if column[TIES] == TIED else VISITS):
        left = off / math.sqrt(1.0 + 1.0 / n)
        if column[WITHIN] > 0.0:
            pooled = column[WITHIN] / column[WITHIN_N]
            left *= math.sqrt(pooled * (n - 1.0 + SHRINK) / (phase[PHASE_M2] + SHRINK * pooled))
    phase[PHASE_N] = n + 1.0
    phase[PHASE_MEAN] += off / (n + 1.0)
    grown = off * (y - phase[PHASE_MEAN])
    phase[PHASE_M2] += grown
    if n > 0.0:
        column[WITHIN] += grown
        column[WITHIN_N] += 1.0
    return left


@njit(cache=True)
def _whiten(
    d: float, chance: float, column: Floats, lags: Floats, weights: Floats, spread: Floats, row: Floats, gain: Floats
) -> tuple[float, float]:
    """(d less its prediction from the past, over its standard error; the prediction); NaN while the fit is young.

    Recursive least squares on (1, the last ORDER values, without what is chance in them); row and gain are its scratch.
    """
    if column[FITS] == 0.0:
        for i in range(ORDER + 1):
            spread[i, i] = 1e8
    row[0], row[1:] = 1.0, lags
    expected, leverage = 0.0, 0.0
    for i in range(ORDER + 1):
        expected += weights[i] * row[i]
        gain[i] = 0.0
        for j in range(ORDER + 1):
            gain[i] += spread[i, j] * row[j]
        leverage += row[i] * gain[i]
    off = d - expected
    for i in range(ORDER + 1):
        weights[i] += gain[i] * off / (1.0 + leverage)
        for j in range(ORDER + 1):
            spread[i, j] -= gain[i] * gain[j] / (1.0 + leverage)
    for i in range(ORDER - 1, 0, -1):
        lags[i] = lags[i - 1]
    lags[0] = d - chance
    column[FITS] += 1.0
    if column[FITS] <= FITTED:
        return math.nan, math.nan
    return off / math.sqrt(1.0 + leverage), expected


@njit(cache=True)
def _couple(x: float, expected: float, base: float, u: float) -> float:
    """0 or 1 with the expectation `base` if that of x is `expected`."""
    error = min(max(x, 0.0), 1.0)
    expected = min(max(expected, 1e-3), 1.0 - 1e-3)
    if expected > base:
        chance = error * base / expected
    else:
        chance = error + (1.0 - error) * (base - expected) / (1.0 - expected)
    return 1.0 if u < chance else 0.0


@njit(cache=True)
def _tied(sample: Floats) -> bool:
    """Whether SAME of the values or more are one."""
    ordered = np.sort(sample)
    return bool(np.any(ordered[SAME - 1 :] == ordered[: len(ordered) - SAME + 1]))


@njit(cache=True)
def _middle(y: float, bag: Bag) -> float:
    """The normal quantile of y's rank, half of what it is tied with below it."""
    below, same, _, _ = standing(y, bag.edges, bag.cells)
    return normal_quantile((below + 0.5 * same) / bag.counts[N])


@njit(cache=True)
def _untie(y: float, column: Floats, bag: Bag) -> float:
    """What is to be explained of y: y, or its normal score if the first FIRST are tied; NaN where it has none yet."""
    u = score(y, bag)
    if bag.counts[N] < FIRST:
        return y
    if bag.counts[N] == FIRST:
        column[TIES] = TIED if _tied(bag.sample) else UNTIED
        return math.nan if column[TIES] == TIED else y
    if math.isnan(u):
        return math.nan
    z = normal_quantile(u)
    column[SCORES] += 1.0
    off = z - column[SCORE_MEAN]
    column[SCORE_MEAN] += off / column[SCORES]
    column[COMOMENT] += off * (y - column[RAW_MEAN])
    return z


@njit(cache=True)
def _restart(season: Floats, column: Floats, lags: Floats, weights: Floats, spread: Floats) -> None:
    """Forget what was learned of the values: it is their scores that are to be explained."""
    season[:] = 0.0
    lags[:] = 0.0
    weights[:] = 0.0
    spread[:] = 0.0
    column[WITHIN] = column[WITHIN_N] = column[FITS] = 0.0


@njit(cache=True)
def residuals(
    x: Floats,
    phases: Array,
    whiten: bool,
    couple: bool,
    counts: Array,
    columns: Floats,
    season: Floats,
    lags: Floats,
    weights: Floats,
    spread: Floats,
    bags: Bag,
    out: Floats,
    places: Array,
) -> int:
    """Writes the residual of each row that is to be fed, and where it came from; how many. Missing cells stay NaN."""
    fed, row, gain = 0, np.empty(ORDER + 1), np.empty(ORDER + 1)
    for at in range(len(x)):
        counts[SEEN] += 1
        ready = True
        for c in range(x.shape[1]):
            column, value = columns[c], x[at, c]
            out[fed, c] = math.nan
            if not math.isfinite(value):
                continue
            if column[SCALE] == 0.0 and value != 0.0:
                column[SCALE] = math.ldexp(1.0, min(1000, -math.frexp(value)[1]))
            scale = column[SCALE] if column[SCALE] > 0.0 else 1.0
            y = min(max(value * scale, -HUGE), HUGE)
            column[RAW_N] += 1.0
            off = y - column[RAW_MEAN]
            column[RAW_MEAN] += off / column[RAW_N]
            column[RAW_M2] += off * (y - column[RAW_MEAN])
            left, expected, chance, young = y, 0.0, 0.0, False
            if not couple and column[TIES] != UNTIED:
                young = column[TIES] == UNDECIDED
                bag = Bag(bags.counts[c], bags.floats[c], bags.edges[c], bags.cells[c], bags.sample[c])
                left = _untie(y, column, bag)
                if young and column[TIES] == TIED:
                    _restart(season[:, c], column, lags[c], weights[c], spread[c])
                if math.isnan(left):
                    ready = ready and x.shape[1] > 1  # a constant column is a missing cell
                    continue
                if whiten and column[TIES] == TIED:
                    chance = left - _middle(y, bag)
            if len(season) > 0:
                phase = season[phases[at], c]
                expected = phase[PHASE_MEAN]
                left = _deseason(left, phase, column)
            if whiten and not math.isnan(left):
                left, ahead = _whiten(left, chance, column, lags[c], weights[c], spread[c], row, gain)
                expected += ahead
            if young or math.isnan(left):
                ready = False
                continue
            if couple:
                if column[BASE] == 0.0:
                    column[BASE] = min(max(column[RAW_MEAN] / scale, 1e-3), 1.0 - 1e-3)
                counts[DRAWS] += 1
                left = _couple(value, expected / scale, column[BASE], random_unit(counts[DRAWS]))
            else:
                left = min(max(left, -HUGE), HUGE)
                column[LEFT_N] += 1.0
                column[LEFT_MEAN] += (left - column[LEFT_MEAN]) / column[LEFT_N]
            out[fed, c] = left
        if ready:
            places[fed] = at
            fed += 1
    return fed


@njit(cache=True)
def _learn_stride(sample: Floats) -> int:
    """Every how many-th code must be taken for a correlation of at most .05, if it decays geometrically."""
    n = len(sample)
    ordered = np.sort(sample)
    by_chance, run, same = 0.0, 1.0, 0.0
    for i in range(1, n + 1):
        if i < n and ordered[i] == ordered[i - 1]:
            run += 1.0
        else:
            by_chance += (run / n) ** 2
            run = 1.0
    for i in range(1, n):
        same += sample[i] == sample[i - 1]
    if by_chance >= 1.0:
        return 1
    correlation = (same / (n - 1.0) - by_chance) / (1.0 - by_chance)
    return 1 if correlation <= 0.05 else min(1000, math.ceil(math.log(0.05) / math.log(min(correlation, 0.999))))


@njit(cache=True)
def thin(x: Floats, counts: Array, sample: Floats, out: Floats, places: Array) -> int:
    """Writes every stride-th code and where it came from; how many. The first len(sample) give the stride."""
    fed = 0
    for at in range(len(x)):
        if math.isfinite(x[at, 0]):
            counts[SEEN] += 1
            if counts[SEEN] <= len(sample):
                sample[counts[SEEN] - 1] = x[at, 0]
                if counts[SEEN] == len(sample):
                    counts[STRIDE] = _learn_stride(sample)
                continue
            if counts[SEEN] % counts[STRIDE] != 0:
                continue
        out[fed, 0], places[fed] = x[at, 0], at
        fed += 1
    return fed
