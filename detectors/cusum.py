"""CUSUM: a sum of all that lies above (below) what is expected, started again whenever it falls to zero."""

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

SCORES, TEXTBOOK, MOA = 0.0, 1.0, 2.0  # modes
MODE, K, LIMIT, MEAN, SD, MIN_INSTANCES, SIDE = range(7)  # places in `config`; SIDE: 1 up, -1 down, 0 both
UP, DOWN, RUNNING = range(3)  # places in `sums`: the two sums, then the running mean


def one_sided_run_length(k: float, h: float, shift: float = 0.0) -> float:
    """Mean number of N(shift, 1) until max(0, S + z - k), from 0, exceeds h (Page's integral equation, by Nystroem)."""
    size = 40 + int(2 * h)  # at least two nodes a deviation
    nodes, weights = np.polynomial.legendre.leggauss(size)
    s, weights = h / 2 * (nodes + 1), h / 2 * weights
    start = np.append(s, 0.0)
    step = s[None, :] - start[:, None] + k - shift
    density = np.exp(-step * step / 2) / math.sqrt(2 * math.pi)
    kernel = np.column_stack([density * weights, ndtr(k - shift - start)])
    return float(np.linalg.solve(np.eye(size + 1) - kernel, np.ones(size + 1))[-1])


def run_length(k: float, h: float, shift: float = 0.0) -> float:
    """The two-sided chart's mean run length, exact: the rates of alarms add up, as only one sum is ever high."""
    return 1 / (1 / one_sided_run_length(k, h, shift) + 1 / one_sided_run_length(k, h, -shift))


@functools.cache
def limit_of(k: float, arl0: float) -> float:
    """The h whose mean run length is arl0; beyond what solves well, grown by its asymptote exp(2 k h)."""
    solved = min(arl0, 1e9)
    most = math.log(2 * solved) / (2 * k)  # as the run length is at least exp(2 k h) / 2
    h = brentq(lambda h: math.log(run_length(k, h) / solved), 0.01, most, xtol=1e-10)
    return float(h + math.log(arl0 / solved) / (2 * k))


@njit(cache=True)
def _raw_step(x: float, config: Floats, sums: Floats, bag: Bag) -> float:
    """The published modes: how far x lies from its mean, in deviations (MOA: from the running mean, as it is)."""
    if not finite(x):
        bag.counts[MISSING] += 1
        return math.nan
    bag.counts[N] += 1
    add_raw(x, bag.floats)
    x = min(max(x, -HUGE), HUGE)
    centre = config[MEAN]
    if config[MODE] == MOA:
        sums[RUNNING] += (x - sums[RUNNING]) / bag.counts[N]
        centre = sums[RUNNING]
    z: float = (x - centre) / config[SD]
    return z


@njit(cache=True)
def _feed(x: Floats, start: int, config: Floats, bag: Bag, sums: Floats, marks: Floats) -> int:
    mode, k, limit = config[MODE], config[K], config[LIMIT]
    for at in range(start, len(x)):
        for side in range(2):
            if sums[side] == 0.0:
                keep(bag.floats, marks[side])
        if mode == SCORES:
            u = score(x[at], bag)
            if math.isnan(u):
                continue
            z = normal_quantile(u)
        else:
            z = _raw_step(x[at], config, sums, bag)
            if math.isnan(z):
                continue
        if config[SIDE] >= 0.0:
            sums[UP] = max(0.0, sums[UP] + z - k)
        if config[SIDE] <= 0.0:
            sums[DOWN] = max(0.0, sums[DOWN] - z - k)
        if max(sums[UP], sums[DOWN]) > limit and bag.counts[N] + 1 >= config[MIN_INSTANCES]:
            return at
    return -1


@register
class Cusum(Scored):
    """Finds a mean that has moved to a new level, up or down, and since when.

    With `arl0` (the default way): each observation becomes a normal score z, which in control is exactly independent
    N(0, 1) whatever the signal's distribution (`_scores`; the first `warm_up` are not scored). Up = max(0, Up + z - k)
    and Down = max(0, Down - z - k) fire above h. h solves the chart's integral equation, which is exact, for a mean
    run length of 1.5 arl0; the warm-up comes on top. k is half the shift, in deviations, that is found soonest: .25 is
    best for half a deviation, slower by half for a quarter and for two.

    `direction` "up" or "down" keeps one of the sums only, with the lower h of its own exact run length, and finds the
    changes of that side 5 to 10 % sooner.

    With `h` it is the textbook chart on (x - mean) / sd, `mean` and `sd` known. With any of `delta, lambda_,
    min_num_instances` it is MOA's CusumDM: max(0, S + x - running mean - delta) > lambda_, rises only.

    Input: any number; NaN and inf are counted, not fed. A drift starts over, ranks included. `age` counts from the last
    zero of the sum that fired; `before` and `after` are the means on either side (of values up to 2**20 times the
    spread). Cost: 100 ns an observation, 4 kB. Source: Page, Continuous inspection schemes, Biometrika 1954; Hawkins
    and Olwell, Cumulative sum charts, 1998.

    >>> x = np.random.default_rng(1).normal(size=6000)
    >>> x[5000:] -= 1
    >>> [(at, drift)] = Cusum(arl0=1e5).update_many(x)
    >>> at, at - drift.age + 1, drift.direction
    (5017, 4921, -1)
    """

    published = {"h": 5.0}  # noqa: RUF012

    def __init__(
        self,
        *,
        arl0: float = 1e6,
        k: float | None = None,
        warm_up: int = 256,
        direction: Direction = "both",
        h: float | None = None,
        mean: float = 0.0,
        sd: float = 1.0,
        delta: float | None = None,
        lambda_: float | None = None,
        min_num_instances: int | None = None,
    ) -> None:
        moa = not delta is lambda_ is min_num_instances is None
        arl0 = number("arl0", arl0, 100, 1e12)
        warm_up = whole("warm_up", warm_up, 20, 1 << 20)
        signs, mean, sd = sided(direction), number("mean", mean, -1e100, 1e100), number("sd", sd, 1e-100, 1e100)
        params: dict[str, Any]
        if moa:
            params = {
                "delta": number("delta", 0.005 if delta is None else delta, 0, 1e100),
                "lambda_": number("lambda_", 50.0 if lambda_ is None else lambda_, 0, 1e100),
                "min_num_instances": whole(
                    "min_num_instances", 30 if min_num_instances is None else min_num_instances, 0, 1 << 40
                ),
            }
            config = [MOA, params["delta"], params["lambda_"], 0.0, 1.0, params["min_num_instances"], 1.0]
        elif h is not None:
            params = {
                "k": number("k", 0.5 if k is None else k, 0, 100),
                "h": number("h", h, 0, 1e100),
                "mean": mean,
                "sd": sd,
            }
            config = [TEXTBOOK, *params.values(), 0.0, sum(signs)]
            params["direction"] = direction
        else:
            params = {"arl0": arl0, "k": number("k", 0.25 if k is None else k, 0.05, 2), "warm_up": warm_up}
            params["direction"] = direction
            h = limit_of(params["k"], SPARE * arl0 * len(signs) / 2)  # one side alone alarms half as often
            config = [SCORES, params["k"], h, 0.0, 1.0, 0.0, sum(signs)]
        self._config = np.array(config, np.float64)
        calibrated = self._config[MODE] == SCORES
        super().__init__(params, warm_up if calibrated else 0, {"sums": np.zeros(3), "marks": np.zeros((2, 3))})
        self._reset()

    @property
    def statistic(self) -> float:
        """The larger of the two sums."""
        return float(self._state["sums"][:RUNNING].max()) if self.scored else math.nan

    @property
    def threshold(self) -> float:
        """What it must exceed: h."""
        return float(self._config[LIMIT]) if self.scored else math.nan

    def detectable(self, n: int) -> float:
        """The shift whose expected sum reaches the limit; MOA's in the signal's own unit."""
        return float(self._config[LIMIT] / n + self._config[K])

    def _reset(self) -> None:
        super()._reset()
        if self._config[MODE] != SCORES:
            self._bag.floats[LOW], self._bag.floats[HALF] = self._config[MEAN], self._config[SD] / 2

    def _run(self, x: Floats, start: int) -> int:
        return int(_feed(x, start, self._config, self._bag, self._state["sums"], self._state["marks"]))

    def _evidence(self) -> Drift:
        sums = self._state["sums"]
        side = UP if sums[UP] >= sums[DOWN] else DOWN
        return self._since(self._state["marks"][side], 1 if side == UP else -1)
