"""E-detector: has the mean moved away from all that came before? Bets on it, in Shiryaev-Roberts or CUSUM form."""

import math
from typing import Literal, NamedTuple

import numpy as np
from numba import njit

from detectors._base import (
    MISSING,
    Array,
    Detector,
    Direction,
    Drift,
    Floats,
    Interval,
    N,
    mean_interval,
    number,
    rate_interval,
    register,
    sided,
    whole,
)
from detectors._kernels import equiprobable, finite, learn_scale, locate, to_unit

EDGES, RETUNE = 2, 3  # places in `counts`: edges between the cells (0: a rate, two cells), n at which to tune next
LO, HI, EVIDENCE, SEEN, SUM, SQUARES = range(6)  # places in `floats`
NORM, START, SR, CUSUM = range(4)  # rows of `bets`
BINS = 32
LOG_ODDS = 0.0625 * 2.0 ** np.arange(7)  # the changes bet on: .04 to 2.4 deviations of a normal signal
MARGIN = (
    1.25  # on arl0: the bound is so sharp that without it a run measured in control falls below it every other time
)
LARGEST_START = 0.04  # of a CUSUM, over the threshold: it takes in up to 2 starts more than 1 an observation


class Book(NamedTuple):
    """What a bet needs: all of the detector's state, and what is bet on."""

    ratios: Floats  # [bets] by which the odds to lie above any edge are multiplied
    counts: Array
    floats: Floats
    edges: Floats
    share: Floats  # [cells] how many lie in each
    odds: Floats  # [cells, bets] what a bet pays for each cell, before it is made fair
    bets: Floats  # [4, bets] what makes a bet fair, what a CUSUM starts with, its sums
    marks: Floats  # [bets, 3] n, sum and squares when the CUSUM of a bet last started
    sample: Floats


@njit(cache=True)
def _tune(limit: float, book: Book) -> None:
    """What each bet pays for a cell: its share if the odds were multiplied, over its share so far."""
    seen, cells = book.floats[SEEN], max(2, book.counts[EDGES] + 1)
    for j in range(len(book.ratios)):
        below, last, loss = 0.0, 0.0, 0.0
        for i in range(cells):
            below += book.share[i]
            here = 1.0 if i == cells - 1 else below / (below + book.ratios[j] * max(0.0, seen - below))
            book.odds[i, j] = max(1e-300, here - last) * seen / book.share[i]
            loss -= book.share[i] / seen * math.log(book.odds[i, j])
            last = here
        book.bets[NORM, j], book.bets[START, j] = seen, 1.0 / max(loss, 1.0 / (LARGEST_START * limit))


@njit(cache=True)
def _learn(limit: float, book: Book) -> None:
    """Cells, range and sums from the full warm-up sample."""
    sample, counts, floats, share = book.sample, book.counts, book.floats, book.share
    lo, hi = learn_scale(sample)
    lowest, highest = np.min(sample), np.max(sample)
    others, ups = 0, 0.0
    for x in sample:
        y = to_unit(x, lo, hi)
        floats[SUM] += y
        floats[SQUARES] += y * y
        others += x != lowest and x != highest
        ups += x == highest and lowest != highest
    floats[LO], floats[HI], floats[SEEN] = lo, hi, len(sample) + 1.0
    counts[RETUNE] = 2 * len(sample)
    if others == 0:
        share[0], share[1] = len(sample) - ups + 0.5, ups + 0.5
    else:
        counts[EDGES] = equiprobable(sample, min(BINS, len(sample) // 4), book.edges)
        for x in sample:
            share[locate(book.edges, counts[EDGES], x)] += 1.0
        share[counts[EDGES]] += 1.0  # n order statistics leave n + 1 equally likely gaps: the last ends the last cell
        floats[SEEN] = 0.0
        for i in range(counts[EDGES] + 1):
            share[i] = max(share[i], 0.5)
            floats[SEEN] += share[i]
    _tune(limit, book)


@njit(cache=True)
def _complete_range(x: float, limit: float, book: Book) -> None:
    """Make x the other end of the range of what was constant; that was fed as 0, which is to be 1 if x lies below."""
    floats, share = book.floats, book.share
    floats[LO], floats[HI] = min(x, floats[LO]), max(x, floats[HI])
    if x == floats[LO]:
        share[0], share[1] = share[1], share[0]
        floats[SUM] = floats[SQUARES] = book.counts[N] - 1.0
    _tune(limit, book)


@njit(cache=True)
def _bet(low: int, high: int, part: float, learns: bool, book: Book) -> None:
    """Take part of an observation in cell `high`, the rest in `low`, into every bet; the shares learn it afterwards."""
    floats, bets, odds, marks = book.floats, book.bets, book.odds, book.marks
    n, seen = book.counts[N] - 1.0, floats[SEEN]
    for j in range(len(book.ratios)):
        pays = odds[low, j] * (1.0 - part) + odds[high, j] * part
        gain = pays * seen / bets[NORM, j]
        if bets[CUSUM, j] <= bets[START, j]:
            bets[CUSUM, j] = bets[START, j]
            marks[j, 0], marks[j, 1], marks[j, 2] = n, floats[SUM], floats[SQUARES]
        bets[CUSUM, j] *= gain
        bets[SR, j] = (1.0 + bets[SR, j]) * gain
        if learns:
            bets[NORM, j] += pays


@njit(cache=True)
def _feed(x: Floats, start: int, limit: float, form: int, learns: bool, book: Book) -> int:
    counts, floats, share, bets = book.counts, book.floats, book.share, book.bets
    warm = len(book.sample)
    for at in range(start, len(x)):
        if not finite(x[at]):
            counts[MISSING] += 1
            continue
        counts[N] += 1
        if counts[N] <= warm:
            book.sample[counts[N] - 1] = x[at]
            if counts[N] == warm:
                _learn(limit, book)
            continue
        if floats[LO] == floats[HI] and x[at] != floats[LO]:
            _complete_range(x[at], limit, book)
        y = to_unit(x[at], floats[LO], floats[HI])
        low, high, part = 0, 1, y
        if counts[EDGES] > 0:
            low = high = locate(book.edges, counts[EDGES], x[at])
            part = 1.0
        if floats[LO] < floats[HI]:
            _bet(low, high, part, learns, book)
        if learns:
            share[low] += 1.0 - part
            share[high] += part
            floats[SEEN] += 1.0
            if counts[N] == counts[RETUNE]:
                counts[RETUNE] *= 2
                _tune(limit, book)
        floats[SUM] += y
        floats[SQUARES] += y * y
        floats[EVIDENCE] = np.mean(bets[form])
        if floats[EVIDENCE] > limit:
            return at
    return -1


@register
class EDetector(Detector):
    """Finds a mean that has moved, up or down, by a little or by much: of 0/1 errors, of fractions, of any number.

    The first `warm_up` observations show whether there are two values (a rate) or more; then their quantiles make up to
    32 cells. Each later observation is bet on: bet r pays q_i / p_i for cell i, where p_i is the share of cell i in all
    seen before, and the q are what the p become if the odds to lie above any edge are multiplied by r; 14 bets, log r
    from ±.0625 to ±4. In control the gain g has mean 1. A bet begins anew with every observation (Shiryaev-Roberts:
    R = (1 + R) g), or where it has lost its stake (`form = "cusum"`: C = max(s, C) g, s the inverse of what it loses on
    average in control, so that in control both take in 1 an observation). The mean of the 14 sums fires above 1.25
    arl0. As R - n is a martingale, E n = E R > 1.25 arl0 at an alarm: a bound without asymptotics. It is exact for
    independent observations
    of a rate known in advance (`baseline`); fractions pay on the line between 0 and 1, fair for any distribution on
    [0, 1] with that mean;
    of any continuous distribution: n order statistics leave n + 1 gaps that the next observation hits with equal
    chance, so the p (a cell's gaps over all) are its true chances, given the ranks so far;
    of two values at an unknown rate, on average over the rates (Jeffreys' prior): p = (count + 1/2) / (n + 1).
    At each single rate, and for values with ties, it is a calibration: measured 1.3 to 1.9 arl0 for rates from 1e-4 to
    .95, counts, rounded and zero-inflated numbers. "cusum" takes in up to 8 % more; its stakes are limited, so it is
    several times too careful where arl0 < 1e5. Above that it finds changes as soon as "sr".

    A long past costs nothing: only the new regime's share in it makes a delay of m after n observations m^2 / n longer.
    `direction` "up" or "down" makes only the 7 bets of that side: 8 % sooner. `odds` bets on one size of change only:
    that the odds become so many times (up) or parts (down) of what they were, and finds what is like it up to 15 %
    sooner, much smaller and larger changes later. 1.3 takes a rate from .2 to .25, 1.7 to .3.
    With two values, others between are fractions, beyond count as the nearer; after a constant the first that differs
    is the second value, and a constant is not bet on. With `baseline` the signal is clipped to [0, 1] and there is no
    warm-up. Input: any number; NaN and inf are counted, not fed. A drift starts over. `before`, `after`: means (of
    values clipped to the bulk of the range) until and since the last start of the CUSUM that has grown most; `age`
    counts from there. `e_value`: the mean of the R, see detectors/_budget.py. Cost: 65 ns for two values, 125 ns for
    more; 12 kB.
    Source: Shin, Ramdas and Rinaldo, E-detectors: a nonparametric framework for sequential change detection, 2022,
    section 2; fractions: Waudby-Smith and Ramdas, Estimating means of bounded random variables by betting, JRSS B 2024.

    >>> detector = EDetector(arl0=1e5)
    >>> errors = np.random.default_rng(1).random(6000) < np.repeat([0.1, 0.3], [5000, 1000])
    >>> [(at, at - drift.age + 1, drift.direction) for at, drift in detector.update_many(errors)]
    [(5110, 5000, 1)]
    """

    def __init__(
        self,
        *,
        arl0: float = 1e6,
        warm_up: int = 256,
        form: Literal["sr", "cusum"] = "sr",
        direction: Direction = "both",
        baseline: float | None = None,
        odds: float | None = None,
    ) -> None:
        arl0 = number("arl0", arl0, 100, 1e12)
        warm_up = whole("warm_up", warm_up, 50, 1 << 20)
        if form not in ("sr", "cusum"):
            raise ValueError(f"form: expected 'sr' or 'cusum', got {form!r}")
        if baseline is not None:
            baseline = number("baseline", baseline, 1e-9, 1 - 1e-9)
        if odds is not None:
            odds = number("odds", odds, 1.01, 100)
        self._limit, self._form, self._baseline = MARGIN * arl0, {"sr": SR, "cusum": CUSUM}[form], baseline
        self._log_odds = LOG_ODDS if odds is None else np.array([math.log(odds)])
        ratios = np.exp(np.outer(sided(direction), self._log_odds).ravel())
        state: dict[str, Array] = {"counts": np.zeros(4, np.int64), "floats": np.zeros(6), "edges": np.zeros(2 * BINS)}
        state |= {"share": np.zeros(2 * BINS), "odds": np.zeros((2 * BINS, len(ratios)))}
        state |= {"bets": np.zeros((4, len(ratios))), "marks": np.zeros((len(ratios), 3))}
        state["sample"] = np.zeros(warm_up if baseline is None else 0)
        params = {"arl0": arl0, "warm_up": warm_up, "form": form, "direction": direction, "baseline": baseline}
        params["odds"] = odds
        super().__init__(params, state)
        self._book = Book(ratios, *state.values())
        self._reset()

    @property
    def statistic(self) -> float:
        """The mean of the bets' sums."""
        return float(self._book.floats[EVIDENCE]) if self._warm else math.nan

    @property
    def threshold(self) -> float:
        """1.25 arl0."""
        return self._limit if self._warm else math.nan

    @property
    def e_value(self) -> float:
        """The evidence for a change; its mean in control is at most n."""
        return float(np.mean(self._book.bets[SR])) if self._warm else math.nan

    @property
    def estimate(self) -> float:
        """The mean since the last reset, of values clipped to the range."""
        return self._raw(float(self._book.floats[SUM]) / self.n) if self._warm else math.nan

    @property
    def _warm(self) -> bool:
        return bool(self._counts[N] and self._counts[N] >= len(self._book.sample))

    def detectable(self, n: int) -> float:
        """With a long past, of a normal signal; a bet of log odds b is right for a change of .6 b deviations."""
        found = math.inf
        for bet in (0.6 * self._log_odds).tolist():
            starts = 1.0 + min(n, 2.0 / bet**2)  # that share in the sum
            log_limit = math.log(max(2.0, self._limit * len(self._book.ratios) / starts))
            found = min(found, log_limit / (n * bet) + bet / 2)
        return found

    def _reset(self) -> None:
        super()._reset()
        if self._baseline is not None:
            self._book.share[:2] = 1 - self._baseline, self._baseline
            self._book.floats[[HI, SEEN]] = 1.0
            _tune(self._limit, self._book)

    def _run(self, x: Floats, start: int) -> int:
        return int(_feed(x, start, self._limit, self._form, self._baseline is None, self._book))

    def _raw(self, y: float) -> float:
        lo, hi = float(self._book.floats[LO]), float(self._book.floats[HI])
        return lo * (1 - y) + hi * y

    def _interval(self, mean: float, variance: float, n: float) -> Interval:
        if self._counts[EDGES]:  # asked for two, as it knows no variance of one; this one is the past's
            low, high = mean_interval(mean, 2 * variance / max(1.0, n), 2)
        else:
            low, high = rate_interval(mean, max(1.0, n))
        return self._raw(max(0.0, low)), self._raw(min(1.0, high))

    def _evidence(self) -> Drift:
        book = self._book
        winner = int(np.argmax(book.bets[CUSUM] / book.bets[START]))
        quiet, total, squares = book.marks[winner].tolist()
        age = self.n - quiet
        before = min(1.0, total / max(1.0, quiet))
        after = min(1.0, max(0.0, (float(book.floats[SUM]) - total) / age))
        variance = max(0.0, squares / max(1.0, quiet) - before * before)
        recent = max(variance, (float(book.floats[SQUARES]) - squares) / age - after * after)
        known = self._baseline
        return Drift(
            statistic=self.statistic,
            threshold=self.threshold,
            n=self.n,
            before=self._raw(before) if known is None else known,
            after=self._raw(after),
            age=int(age),
            direction=1 if book.ratios[winner] > 1 else -1,
            before_interval=self._interval(before, variance, quiet) if known is None else (known, known),
            after_interval=self._interval(after, recent, age),
        )
