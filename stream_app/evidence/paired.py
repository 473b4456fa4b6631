"""Which of two models is better on the same events: a proof that may be looked at after every label."""

from typing import Any

import numpy as np

from stream_app.messages import Floats

BETS = 2.0 ** -np.arange(1, 8)  # shares of the wealth that are staked: from gains seen at once to small ones seen late
BOLDEST = 0.5  # weight of an observation in the confidence sequence
PRIOR = 0.25  # variance assumed of differences in [0, 1] before there are any


class Paired:
    """The differences d = loss of the one - loss of the other in [-1, 1], label by label; state: sums.

    `better` and `worse` are the logs of two e-processes: the wealth of a player who bets on d > 0 (or d < 0) at fair
    odds, the mean over `BETS`. Whatever the losses' distribution and dependence, while the mean of d given the past is
    not above 0, `better` ever reaches log(1 / alpha) with a probability of at most alpha (Ville 1939). `interval` is a
    confidence sequence of the mean of d: it holds at all times together (Waudby-Smith and Ramdas, Estimating means of
    bounded random variables by betting, JRSS B 2023, theorem 2: predictable plug-in empirical Bernstein).

    >>> paired = Paired()
    >>> better, worse = paired.add(np.where(np.arange(200) % 4, 0.0, 1.0), 0.05)
    >>> int(np.argmax(better > np.log(20))), bool((worse > np.log(20)).any())
    (44, False)
    """

    def __init__(self) -> None:
        self.wealth = np.zeros((2, len(BETS)))  # log wealth by bet, on better and on worse
        self.sums = np.zeros(5)  # n, Σ x, Σ x² of x = (1 + d) / 2; Σ weight, Σ weight · x
        self.paid = 0.0  # Σ of what the confidence sequence pays for the variance

    def add(self, d: Floats, alpha: float) -> tuple[Floats, Floats]:
        """Takes n differences; the logs of both e-processes after each of them, [n] and [n]."""
        steps = np.log1p(np.stack([d, -d])[:, :, None] * BETS)
        path = np.cumsum(np.concatenate([self.wealth[:, None], steps], axis=1), axis=1)[:, 1:]
        if len(d):
            self.wealth = path[:, -1]
            self._narrow((1 + d) / 2, alpha)
        top = path.max(axis=2, keepdims=True)
        mean: Floats = np.log(np.exp(path - top).mean(axis=2)) + top[:, :, 0]
        return mean[0], mean[1]

    def _narrow(self, x: Floats, alpha: float) -> None:
        steps = np.column_stack([np.ones(len(x)), x, x * x])
        before = np.cumsum(np.vstack([self.sums[:3], steps]), axis=0)
        n, total, squares = before[:-1].T
        mean = (0.5 + total) / (n + 1)
        variance = (PRIOR + np.maximum(squares - 2 * mean * total + n * mean * mean, 0)) / (n + 1)
        bold = np.sqrt(2 * np.log(2 / alpha) / (variance * (n + 1) * np.log(2 + n)))
        weight = np.minimum(bold, BOLDEST)
        paid = 4 * (x - mean) ** 2 * (-np.log1p(-weight) - weight) / 4
        weighed = np.cumsum(np.vstack([self.sums[3:], np.column_stack([weight, weight * x])]), axis=0)[-1]
        self.paid = float(np.cumsum(np.concatenate([[self.paid], paid]))[-1])
        self.sums = np.concatenate([before[-1], weighed])

    @property
    def n(self) -> int:
        """Differences taken."""
        return int(self.sums[0])

    @property
    def mean(self) -> float:
        """Mean difference; NaN without any."""
        return float(2 * self.sums[1] / self.sums[0] - 1) if self.sums[0] else float("nan")

    def interval(self, alpha: float) -> list[float]:
        """Of the mean difference, at level 1 - alpha whenever it is looked at; all of [-1, 1] without any."""
        weight = self.sums[3]
        if not weight:
            return [-1.0, 1.0]
        centre = 2 * self.sums[4] / weight - 1
        reach = 2 * (np.log(2 / alpha) + self.paid) / weight
        return [float(max(-1.0, centre - reach)), float(min(1.0, centre + reach))]

    def to_state(self) -> dict[str, Any]:
        return {"wealth": self.wealth.copy(), "sums": self.sums.copy(), "paid": self.paid}

    def load(self, state: dict[str, Any]) -> None:
        self.wealth, self.sums, self.paid = state["wealth"].copy(), state["sums"].copy(), state["paid"]
