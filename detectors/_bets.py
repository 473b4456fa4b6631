"""Bets, row by row, that the next point lies where the recent ones did: an alarm for any joint distribution.

1. r_t: the t-th point less the mean of all so far, times sqrt((t - 1) / t), a recursive residual: of mean 0 and not
   correlated with the earlier ones, though the mean is only estimated.
2. The direction m is the exponentially weighted mean of the residuals before t (or what a classifier learned from
   them); the payoff y_t = m' r_t is divided by its standard deviation. A change makes payoffs positive.
3. e_t = (1 + q + q^2 / 3) / (1 + h^2 / 3), q = h min(y_t, 6), is positive and has mean at most 1 for *any* law of y_t
   with mean 0 and variance 1. So R_t = (1 + R_{t-1}) e_t has R_t - t a supermartingale (Shiryaev-Roberts form), and an
   alarm when the mean of R over the stakes h exceeds 2 arl0 comes after 2 arl0 rows or more on average. The 2 is for
   what is not known but estimated: the variance, which is taken 1 / sqrt(t) larger, and the mean.

Source: Shin, Ramdas and Rinaldo, E-detectors, 2022 (the form); Delyon, Exponential inequalities for sums of weakly
dependent variables, EJP 2009 (the bet: exp(q - q^2 / 6) <= 1 + q + q^2 / 3); Brown, Durbin and Evans, JRSS B 1975.
"""

import math
from typing import NamedTuple

from numba import njit

from detectors._base import MISSING, Array, Floats, N
from detectors._kernels import finite, random_unit
from detectors._scores import add_raw, keep

ONSET = 2  # place in `counts`: n when EXCESS was last 0
STAKES = (0.125, 0.25, 0.5, 1.0)
SQUARES, EVIDENCE, EXCESS = 4, 5, 6  # places in `bets`, after R for each stake
WEIGHT, WARM_UP, QUIET, LIMIT = range(4)  # places in `config`
CAP = 6.0  # standard deviations: a larger payoff wins no more
SLACK = 0.25  # what a payoff must exceed to be a sign of the new regime
FEW = 50.0  # rows that the nominal variance, 1, counts for in that of the payoffs
KEPT = 64  # rows of the warm-up, and of the recent ones, that are kept


class Memory(NamedTuple):
    """What the chart changes, all of it a detector's state."""

    counts: Array
    columns: Floats  # [d, 5] each as `add_raw` has it
    mark: Floats  # [d, 3] their sums at the onset
    recent: Floats  # [KEPT, d] the last scores
    mean: Floats  # [p] of the points
    direction: Floats  # [p]
    variances: Floats  # [p] of the points, in control
    bets: Floats


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
        length += direction[i] * direction[i] * memory.variances[i]
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
def chart(x: Floats, z: Floats, points: Floats, kept: Array, opponents: Floats, config: Floats, memory: Memory) -> int:
    """Bet on each row in turn; the first that raises an alarm, or -1. With opponents a classifier chooses the bet."""
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
