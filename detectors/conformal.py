"""Conformal test martingales: bets against exchangeability that pay when any part of a distribution changes."""

import dataclasses
import math
from typing import Any

import numpy as np
from numba import njit
from scipy.special import ndtri

from detectors._base import Array, Direction, Drift, Floats, flag, number, register, sided, whole
from detectors._scores import SIZE, SQUARES, SUM, Bag, Scored, score

MIDDLE, OCTAVES = 64, 10  # cells of u: 1/64 wide, but the outer two halved ten times towards 0 and 1
CELLS = MIDDLE + 2 * OCTAVES
BINS = 16  # of a histogram
RATES = 1 / 64, 1 / 512  # at which the histograms forget
HEDGE = 0.5  # share of a histogram's stake that is not bet
TURNED = (0.5, 0.25), (0.5, 0.5), (1.0, 0.2)  # one-sided bets: shift, and which share of the observations has it

MARGIN = 1.25  # on arl0 of the one-sided: their small bets hardly overshoot the bound, runs measured would fall below


@njit(cache=True)
def cell_of(u: float) -> int:
    """The cell of u: 0 and CELLS - 1 are the outermost."""
    place = int(u * MIDDLE)
    if 0 < place < MIDDLE - 1:
        return place + OCTAVES
    near = u if place == 0 else 1.0 - u
    depth = 0
    while depth < OCTAVES and near * MIDDLE * (2 << depth) < 1.0:
        depth += 1
    return OCTAVES - depth if place == 0 else MIDDLE - 1 + OCTAVES + depth


def _cells() -> tuple[Floats, Floats]:
    """The middle of each cell of u, and its width."""
    tails = [2.0**-OCTAVES, *2.0 ** np.arange(-OCTAVES, 0)]
    widths = np.array([*tails, *[1.0] * (MIDDLE - 2), *tails[::-1]]) / MIDDLE
    return np.cumsum(widths) - widths / 2, widths


def one_sided_payoffs(side: float) -> tuple[list[str], Floats]:
    """As `payoffs`, the bets that some of a normal signal's observations have moved to one side."""
    u, widths = _cells()
    names, rows = [], []
    for shift, share in TURNED:
        names.append(f"{share:g} of them {side * shift:+g}")
        moved = np.exp(side * shift * ndtri(u))
        rows.append(1 - share + share * moved / (moved @ widths))
    return names, np.ascontiguousarray(np.array(rows).T)


def payoffs() -> tuple[list[str], Floats]:
    """The fixed bets: their names, and what each pays in each cell[cells, bets]; on average 1 in control."""
    u, widths = _cells()
    far = ndtri(np.maximum(np.abs(2 * u - 1), 1e-3))
    shapes = {"mean": (ndtri(u), (0.2, 0.5, 1.2)), "spread": (far, (0.3, 0.8))}
    shapes |= {"shape": (np.cos(4 * np.pi * u), (0.5,)), "skew": (np.sin(4 * np.pi * u), (0.5,))}
    names, rows = [], []
    for name, (values, sizes) in shapes.items():
        for size in (side * size for size in sizes for side in (1, -1)):
            names.append(f"{name} {size:+g}")
            rows.append(np.exp(size * values))
    for depth in (7, 10):
        for side, place in (("low", u), ("high", 1 - u)):
            names.append(f"{side} 1/{1 << depth}")
            rows.append(1 + (place < 2.0**-depth) * 8.0)
    pay = np.array(rows)
    return names, np.ascontiguousarray((pay / (pay @ widths)[:, None]).T)


@njit(cache=True)
def _keep(floats: Floats, since: Floats, marks: Floats) -> None:
    """Copy the sums for each bet that starts anew: what comes next may be the first of a new regime."""
    n, total, squares = floats[SIZE], floats[SUM], floats[SQUARES]
    for i in range(len(since)):
        new = since[i] <= 1.0
        marks[0, i] = n if new else marks[0, i]
        marks[1, i] = total if new else marks[1, i]
        marks[2, i] = squares if new else marks[2, i]


@njit(cache=True)
def _remember(u: float, shares: Floats, paid: Floats) -> None:
    """What each histogram pays for u, by the density it has learned; then it learns u."""
    place = int(u * BINS)
    for h in range(len(paid)):
        paid[h] = 1.0 + (1.0 - HEDGE) * BINS * shares[h, place]
        for j in range(BINS):
            shares[h, j] -= RATES[h] * (shares[h, j] + 1.0 / BINS)  # kept less 1 / BINS: 0 is an even start
        shares[h, place] += RATES[h]


@njit(cache=True)
def _add(paid: Floats, sums: Floats, since: Floats) -> float:
    """Each bet's Shiryaev-Roberts sum and its product of payments; the total of the sums."""
    total = 0.0
    for i in range(len(paid)):
        sums[i] = (1.0 + sums[i]) * paid[i]
        since[i] = (max(1.0, since[i])) * paid[i]
        total += sums[i]
    return total


@njit(cache=True)
def _feed(
    x: Floats,
    start: int,
    limit: float,
    bag: Bag,
    pay: Floats,
    sums: Floats,
    since: Floats,
    shares: Floats,
    marks: Floats,
) -> int:
    fixed = pay.shape[1]
    paid = np.empty(len(sums))
    for at in range(start, len(x)):
        _keep(bag.floats, since, marks)
        u = score(x[at], bag)
        if math.isnan(u):
            continue
        row = pay[cell_of(u)]
        for i in range(fixed):
            paid[i] = row[i]
        _remember(u, shares, paid[fixed:])
        if _add(paid, sums, since) > limit * len(sums):
            return at
    return -1


@register
class Conformal(Scored):
    """Finds any change of a distribution: mean, spread, shape, tails, or anything that stays different for a while.

    Each observation becomes its conformal p-value u, which in control is exactly independent and uniform whatever the
    signal's distribution (`_scores`; the first `warm_up` are not scored). Twenty gamblers bet on u: eighteen always the
    same way (that u lies high, low, far out, in the middle, in a tail ...), two on the histogram of the u they
    remember, of the last 64 or 512 or so. A bet is fair: it pays f(u) >= 0 with mean 1. Each keeps the Shiryaev-Roberts
    sum R = (1 + R) f(u), and the mean of all R fires above arl0.

    `direction` "up" or "down" makes other bets, three: that a quarter or half of the observations are larger (smaller)
    by half a deviation, or a fifth by a whole one. That is what a new regime looks like that comes in bit by bit: it is
    found sooner than by an average, an abrupt change by up to half a deviation as soon.

    `arl0` is met by a non-asymptotic bound: in control (mean R) - t is a martingale, so the mean run length is the
    expected statistic at the alarm (about 1.4 arl0; with a `direction`, where 1.25 arl0 must be exceeded, as much).
    It holds for any exchangeable signal.

    Input: any number, or with `categories` codes, whose order then means nothing (direction 0); NaN and inf are
    counted, not fed. A drift starts over, ranks included. `age` counts from where the winner's product of payments was
    last below 1; `before` and `after` are the means on either side (of values up to 2**20 times the spread).
    `detail`: the winner's `bet` and its share of the statistic. Cost: 180 ns an observation, 6 kB. Source: Vovk,
    Testing randomness online, Statistical Science 2021; Vovk et al., Retrain or not retrain: conformal test martingales
    for change-point detection, COPA 2021.

    >>> x = np.random.default_rng(1).normal(size=6000)
    >>> x[5000:] = np.sign(x[5000:])
    >>> [(at, drift)] = Conformal(arl0=1e5).update_many(x)
    >>> at, at - drift.age + 1, drift.detail["bet"]
    (5025, 4976, 'histogram of 64')
    """

    kinds = frozenset({"number", "category"})
    monitors = "distribution"

    def __init__(
        self, *, arl0: float = 1e6, warm_up: int = 256, categories: bool = False, direction: Direction = "both"
    ) -> None:
        params: dict[str, Any] = {
            "arl0": number("arl0", arl0, 100, 1e12),
            "warm_up": whole("warm_up", warm_up, 20, 1 << 20),
            "categories": flag("categories", categories),
            "direction": direction,
        }
        sides = sided(direction)
        if categories and len(sides) == 1:
            raise ValueError("direction: the codes of categories have no order")
        self._sign = int(sum(sides))
        self._names, self._pay = one_sided_payoffs(self._sign) if self._sign else payoffs()
        rates = () if self._sign else RATES
        self._names += [f"histogram of {1 / rate:g}" for rate in rates]
        self._limit = arl0 * (MARGIN if self._sign else 1.0)
        chart: dict[str, Array] = {
            "sums": np.zeros(len(self._names)),
            "since": np.zeros(len(self._names)),
            "shares": np.zeros((len(rates), BINS)),
            "marks": np.zeros((3, len(self._names))),
        }
        super().__init__(params, warm_up, chart)

    @property
    def statistic(self) -> float:
        """The mean of the gamblers' sums."""
        return float(self._state["sums"].mean()) if self.scored else math.nan

    @property
    def threshold(self) -> float:
        """What that must exceed."""
        return self._limit if self.scored else math.nan

    def detectable(self, n: int) -> float:
        """The shift of a normal mean for which one of the bets on the mean is expected to reach the threshold."""
        return math.sqrt(2 * math.log(len(self._names) * self._limit) / n)

    def _run(self, x: Floats, start: int) -> int:
        chart = (self._state[key] for key in ("sums", "since", "shares", "marks"))
        return int(_feed(x, start, self._limit, self._bag, self._pay, *chart))

    def _evidence(self) -> Drift:
        sums = self._state["sums"]
        winner = int(np.argmax(sums))
        detail = {"bet": self._names[winner], "share": float(sums[winner] / sums.sum())}
        drift = self._since(self._state["marks"][:, winner], self._sign, detail)
        rose, fell = (
            low > high
            for low, high in (
                (drift.after_interval[0], drift.before_interval[1]),
                (drift.before_interval[0], drift.after_interval[1]),
            )
        )
        if self._sign or self.params["categories"] or not (rose or fell):
            return drift
        return dataclasses.replace(drift, direction=1 if rose else -1)
