"""One budget of false alarms for many watches: one per `arl0` observations of all of them together.

`split` gives each watch an `arl0` of its own. Expected numbers add up, so the budget holds however the signals depend
on one another, at any lag. A watch then alarms by itself, at its exact observation.

`together`, on top of `split`, lets a watch join others with less evidence: k watches make one incident when each has
1/k of what it would need alone (e-BH, the e-values' form of Benjamini and Hochberg; those that alarmed since the
incident opened count). It needs an `e_value`: a process M from 0 of which M - n is a supermartingale in control
(Shiryaev-Roberts). It costs nothing: the watches S of an incident start over, which takes away a sum of M_i / arl0_i
over S of at least 1; in control that sum over all watches grows by at most sum of 1 / arl0_i = 1 / arl0 an observation.
So, however the signals depend on one another at the same time (equal copies too), up to any stopping time t
    E(incidents) <= t / arl0, where nothing changed; and
    E(sum over incidents of the share of their watches that did not change) <= t / arl0, where some did.
The second is the false discovery rate over patience of Dandapanthula and Ramdas. Not bounded is the number of wrong
watches: equal copies are wrong together. And each M must be fair given the past of all signals, which fails where the
past of one tells the future of another. Looking now and then instead of always keeps both bounds. Only ln k of
ln(arl0_i) nats can be gained: where 10 of 50 signals move by .2 deviations, 9 to 15 % of their delay, of 40, 21 %.

`ELond` is for a sequence of questions, each answered once (has this feature changed since training, week after week):
the expected share of false ones among the answers "yes" stays below `level` for ever, whatever the dependence. It knows
no mean time between false alarms, and the n-th question needs some n^2 / level of evidence, so it is not for a monitor
that alarms. An e-value is anything >= 0 whose mean is at most 1 in control: M / n of a detector, at an n fixed before.

Source: Wang and Ramdas, False discovery rate control with e-values, JRSS B 2022; Dandapanthula and Ramdas, Multiple
testing in multi-stream sequential change detection, 2025; Xu and Ramdas, Online multiple testing with e-values, AISTATS
2024.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from detectors._base import number


def split(arl0: float, weights: Sequence[float]) -> list[float]:
    """The `arl0` of each watch: false alarms in proportion to the weights, one per `arl0` observations in all.

    >>> split(1e6, [1, 1, 2])
    [4000000.0, 4000000.0, 2000000.0]
    """
    arl0 = number("arl0", arl0, 1, 1e300)
    shares = np.array(weights, np.float64)
    if shares.ndim != 1 or not len(shares) or not np.all((shares > 0) & (shares < math.inf)):
        raise ValueError(f"weights: expected numbers more than 0, got {weights!r}")
    shares = shares.tolist()
    return [arl0 * sum(shares) / share for share in shares]


def together(e_values: Sequence[float], arl0: Sequence[float], already: int = 0) -> NDArray[np.intp]:
    """Which watches join `already` alarmed ones: as many as possible, such that each has an e-value >= its arl0 / k.

    k counts both. NaN (warming up, or a detector that has none) takes no part.

    >>> e_values, arl0 = [30.0, 600.0, 550.0, float("nan")], split(250, [1, 1, 1, 1])
    >>> together(e_values, arl0), together(e_values, arl0, already=31)
    (array([1, 2]), array([0, 1, 2]))
    """
    evidence = np.nan_to_num(np.asarray(e_values, np.float64) / np.asarray(arl0, np.float64), nan=0.0)
    order = np.argsort(-evidence, kind="stable")
    enough = np.flatnonzero(evidence[order] * (already + np.arange(1, len(order) + 1)) >= 1.0)
    return np.sort(order[: enough[-1] + 1 if len(enough) else 0])


class ELond:
    """Answers questions one after another; of the answers "yes" an expected share of at most `level` is false.

    >>> questions = ELond(level=0.1)
    >>> [questions.ask(e_value) for e_value in (25.0, 25.0, 61.0, 60.0)]
    [True, False, True, False]
    """

    def __init__(self, level: float) -> None:
        self.level = number("level", level, 1e-12, 1.0)
        self.asked = self.yes = 0

    def ask(self, e_value: float) -> bool:
        """Whether the evidence is enough for the next question; NaN is none."""
        self.asked += 1
        share = (self.yes + 1) / (self.asked * (self.asked + 1))  # 1 / (n (n + 1)) add up to 1
        answer = bool(e_value * self.level * share >= 1.0)
        self.yes += answer
        return answer
