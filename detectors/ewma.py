"""EWMA chart: an average that forgets, against the limits it keeps in control."""

import functools
import math
from typing import Any

import numpy as np
from numba import njit
from scipy.optimize import brentq
from scipy.special import ndtr

from detectors._base import MISSING, Direction, Drift, Floats, N, number, register, sided, whole
from detectors._kernels import HUGE, finite
from detectors._scores import HALF, LOW, SPARE, Bag, Scored, add_raw, keep, normal_quantile, score

NOW, CROSSED = range(2)  # rows of `marks`: before this observation, before the average last crossed zero
LAMBDA, LIMIT, MEAN, SD, PUBLISHED, SIDE = range(6)  # places in `config`; SIDE: 1 up, -1 down, 0 both


def run_length(lambda_: float, limit: float, shift: float = 0.0) -> float:
    """Mean number of N(shift, 1) until |average| exceeds `limit` of its deviations, from 0 (integral equation)."""
    edge = limit * math.sqrt(lambda_ / (2 - lambda_))
    nodes, weights = np.polynomial.legendre.leggauss(40 + int(3 * edge / lambda_))
    y, weights = edge * nodes, edge * weights
    start = np.append(y, 0.0)
    step = (y[None, :] - (1 - lambda_) * start[:, None]) / lambda_ - shift
    kernel = np.exp(-step * step / 2) / math.sqrt(2 * math.pi) / lambda_ * weights
    lengths = np.linalg.solve(np.eye(len(y)) - kernel[:-1], np.ones(len(y)))
    return float(1 + kernel[-1] @ lengths)


def one_sided_run_length(lambda_: float, limit: float, shift: float = 0.0) -> float:
    """The same until max(0, average), from 0, exceeds the limit: an average that does not fall below zero."""
    edge = limit * math.sqrt(lambda_ / (2 - lambda_))
    nodes, weights = np.polynomial.legendre.leggauss(40 + int(1.5 * edge / lambda_))
    y, weights = edge / 2 * (nodes + 1), edge / 2 * weights
    start = np.append(y, 0.0)
    step = (y[None, :] - (1 - lambda_) * start[:, None]) / lambda_ - shift
    density = np.exp(-step * step / 2) / math.sqrt(2 * math.pi) / lambda_
    kernel = np.column_stack([density * weights, ndtr(-(1 - lambda_) / lambda_ * start - shift)])
    return float(np.linalg.solve(np.eye(len(start)) - kernel, np.ones(len(start)))[-1])


@functools.cache
def limit_of(lambda_: float, arl0: float, *, one_sided: bool = False) -> float:
    """The limit L, in deviations, whose mean run length is arl0; beyond 1e9 as that of a continuous average grows."""
    solved, length = min(arl0, 1e9), one_sided_run_length if one_sided else run_length
    limit = brentq(lambda limit: math.log(length(lambda_, limit) / solved), 0.5, 6.2, xtol=1e-10)
    growth = 2 * math.log(arl0 / solved)  # run lengths are as exp(L^2 / 2) / L, or longer
    return math.sqrt(limit * limit + growth + math.log1p(growth / (limit * limit)))


@njit(cache=True)
def _feed(x: Floats, start: int, config: Floats, bag: Bag, level: Floats, marks: Floats) -> int:
    for at in range(start, len(x)):
        keep(bag.floats, marks[NOW])
        if config[PUBLISHED] == 0.0:
            u = score(x[at], bag)
            if math.isnan(u):
                continue
            z = normal_quantile(u)
        else:
            if not finite(x[at]):
                bag.counts[MISSING] += 1
                continue
            bag.counts[N] += 1
            add_raw(x[at], bag.floats)
            z = (min(max(x[at], -HUGE), HUGE) - config[MEAN]) / config[SD]
        before = level[0]
        level[0] += config[LAMBDA] * (z - before)
        if level[0] * config[SIDE] < 0.0:
            level[0] = 0.0
        if before * level[0] <= 0.0:
            marks[CROSSED] = marks[NOW]
        if abs(level[0]) > config[LIMIT]:
            return at
    return -1


@register
class Ewma(Scored):
    """Finds a mean that has moved, up or down, by a recent average that forgets.

    With `arl0` (the default way): each observation becomes a normal score z, which in control is exactly independent
    N(0, 1) whatever the signal's distribution (`_scores`; the first `warm_up` are not scored). The average
    E = (1 - lambda_) E + lambda_ z fires where |E| > L sqrt(lambda_ / (2 - lambda_)). L solves the chart's integral
    equation, which is exact, for a mean run length of 1.5 arl0; the warm-up comes on top. A small
    lambda_ finds small shifts, a large one large shifts sooner.

    `direction` "up" or "down" looks for one side only: E = max(0, (1 - lambda_) E + lambda_ z), z turned for "down", so
    that it never lags behind on the other side; its limit solves an integral equation of its own. Changes of that side
    are found 2 to 8 % sooner: with lambda_ .005 a rise by a quarter of a deviation about as soon as can be.

    With `limit` (L) it is the textbook chart on (x - mean) / sd, `mean` and `sd` known, with the same constant limits.

    Input: any number; NaN and inf are counted, not fed. A drift starts over, ranks included. `age` counts from where
    the average last crossed zero (Nishina 1992); `before` and `after` are the means on either side (of values up to
    2**20 times the spread). Cost: 100 ns an observation, 4 kB. Source: Roberts, Control chart tests based on geometric
    moving averages, Technometrics 1959; Crowder, A simple method for studying run-length distributions of exponentially
    weighted moving average charts, Technometrics 1987; Crowder and Hamilton, An EWMA for monitoring a process standard
    deviation, Journal of Quality Technology 1992 (the one that stays above zero); Nishina, A comparison of control
    charts from the viewpoint of change-point estimation, Quality and Reliability Engineering International 1992.

    >>> x = np.random.default_rng(1).normal(size=6000)
    >>> x[5000:] += 1
    >>> [(at, drift)] = Ewma(arl0=1e5).update_many(x)
    >>> at, at - drift.age + 1, drift.direction
    (5031, 5009, 1)
    """

    published = {"limit": 2.814}  # noqa: RUF012

    def __init__(
        self,
        *,
        arl0: float = 1e6,
        lambda_: float | None = None,
        warm_up: int = 256,
        direction: Direction = "both",
        limit: float | None = None,
        mean: float = 0.0,
        sd: float = 1.0,
    ) -> None:
        arl0 = number("arl0", arl0, 100, 1e12)
        warm_up = whole("warm_up", warm_up, 20, 1 << 20)
        signs, mean, sd = sided(direction), number("mean", mean, -1e100, 1e100), number("sd", sd, 1e-100, 1e100)
        params: dict[str, Any] = {"arl0": arl0, "lambda_": 0.03 if lambda_ is None else lambda_, "warm_up": warm_up}
        if limit is not None:
            params = {"lambda_": 0.1 if lambda_ is None else lambda_, "limit": number("limit", limit, 0, 1e6)}
            params |= {"mean": mean, "sd": sd}
        lambda_ = params["lambda_"] = number("lambda_", params["lambda_"], 0.005 if limit is None else 1e-6, 1)
        params["direction"] = direction
        limit_in_force = limit_of(lambda_, SPARE * arl0, one_sided=len(signs) == 1) if limit is None else limit
        edge = limit_in_force * math.sqrt(lambda_ / (2 - lambda_))
        self._config = np.array([lambda_, edge, mean, sd, float(limit is not None), sum(signs)])
        chart = {"level": np.zeros(1), "marks": np.zeros((2, 3))}
        super().__init__(params, warm_up if limit is None else 0, chart)
        self._reset()

    @property
    def statistic(self) -> float:
        """How far the average lies from its mean in control, in deviations of the signal."""
        return abs(float(self._state["level"][0])) if self.scored else math.nan

    @property
    def threshold(self) -> float:
        """What that must exceed."""
        return float(self._config[LIMIT]) if self.scored else math.nan

    def detectable(self, n: int) -> float:
        """The shift whose expected average reaches the limit; with `limit` too in deviations."""
        return float(self._config[LIMIT] / -math.expm1(n * math.log1p(-min(self._config[LAMBDA], 1 - 1e-16))))

    def _reset(self) -> None:
        super()._reset()
        if self._config[PUBLISHED]:
            self._bag.floats[LOW], self._bag.floats[HALF] = self._config[MEAN], self._config[SD] / 2

    def _run(self, x: Floats, start: int) -> int:
        return int(_feed(x, start, self._config, self._bag, self._state["level"], self._state["marks"]))

    def _evidence(self) -> Drift:
        return self._since(self._state["marks"][CROSSED], 1 if self._state["level"][0] > 0 else -1)
