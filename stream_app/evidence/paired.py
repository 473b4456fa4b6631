"""Which of two models is better on the same events: a proof that may be looked at after every label."""

from typing import Any

import numpy as np

from stream_app.messages import Floats

BETS = 2.0 ** -np.arange(1, 8)  # shares of the wealth that are staked: from gains seen at once to small ones seen late
LEVELS = 1024  # differences are rounded to this part of 1, so that their counts say all that bets need
GRID = np.arange(-LEVELS, LEVELS + 1) / LEVELS
HALVINGS = 30  # of the interval in which an end is sought


class Paired:
    """The differences d = loss of the one - loss of the other in [-1, 1], label by label; state: wealth and counts.

    `better` and `worse` are the logs of two e-processes: the wealth of a player who bets on d > 0 (or d < 0) at fair
    odds, the mean over `BETS`. Whatever the losses' distribution and dependence, while the mean of d given the past is
    not above 0, `better` ever reaches log(1 / alpha) with a probability of at most alpha (Ville 1939). `interval` is
    what the same players would not have refuted: the mean gains against which they are not rich (Waudby-Smith and
    Ramdas, Estimating means of bounded random variables by betting, JRSS B 2023, section 4).

    >>> paired = Paired()
    >>> better, worse = paired.add(np.where(np.arange(200) % 4, 0.0, 1.0))
    >>> int(np.argmax(better > np.log(20))), bool((worse > np.log(20)).any())
    (44, False)
    >>> [round(end, 2) for end in paired.interval(0.05)]
    [0.16, 0.35]
    """

    def __init__(self) -> None:
        self.wealth = np.zeros((2, len(BETS)))  # log wealth by bet, on better and on worse
        self.counts = np.zeros(len(GRID), np.int64)  # of differences, by their level

    def add(self, d: Floats) -> tuple[Floats, Floats]:
        """Takes n differences; the logs of both e-processes after each of them, [n] and [n]."""
        levels = np.rint(d * LEVELS).astype(np.int64)
        d = levels / LEVELS
        steps = np.log1p(np.stack([d, -d])[:, :, None] * BETS)
        path = np.cumsum(np.concatenate([self.wealth[:, None], steps], axis=1), axis=1)
        self.wealth = path[:, -1]
        self.counts = self.counts + np.bincount(levels + LEVELS, minlength=len(GRID))
        better, worse = _mean_of_logs(path[:, 1:])
        return better, worse

    @property
    def n(self) -> int:
        """Differences taken."""
        return int(self.counts.sum())

    @property
    def mean(self) -> float:
        """Mean difference; NaN without any."""
        return float(GRID @ self.counts / self.n) if self.n else float("nan")

    def interval(self, alpha: float) -> list[float]:
        """Ends between which the mean difference lies, each at level 1 - alpha, whenever they are looked at."""
        low, high = self._refuted(GRID, alpha), -self._refuted(-GRID, alpha)
        return [min(low, high), max(low, high)]

    def _refuted(self, d: Floats, alpha: float) -> float:
        """The largest mean that a player who bets on more than it has refuted; -1 if none."""
        seen = self.counts > 0
        d, counts, rich = d[seen], self.counts[seen].astype(float), np.log(1 / alpha)
        low, high = -1.0, 1.0
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            if float(_mean_of_logs(counts @ np.log1p((d - middle)[:, None] * BETS))) >= rich:
                low = middle
            else:
                high = middle
        return low

    def to_state(self) -> dict[str, Any]:
        return {"wealth": self.wealth.copy(), "counts": self.counts.copy()}

    def load(self, state: dict[str, Any]) -> None:
        self.wealth, self.counts = state["wealth"].copy(), state["counts"].copy()


def _mean_of_logs(logs: Floats) -> Floats:
    """The log of the mean over the last axis."""
    top = logs.max(axis=-1, keepdims=True)
    mean: Floats = np.log(np.exp(logs - top).mean(axis=-1)) + top[..., 0]
    return mean
