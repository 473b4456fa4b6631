"""Trial: a model beside the champion, judged on the events that both have predicted."""

import math
from typing import Any, NamedTuple

import numpy as np

from stream_app.evidence.paired import Paired
from stream_app.messages import Floats

SCALE = 4.0  # mean losses of the champion that a difference of absolute errors counts to at most
UNSCALED = 30  # labels without bets, by which that mean gets known


class Verdict(NamedTuple):
    """How a trial ended, and by what evidence."""

    outcome: str  # better, worse or unproven
    row: int  # of the losses at which it ended
    evidence: dict[str, Any]
    over: bool  # no labels are left for another comparison


class Trial:
    """One comparison from its start to its verdict; state: all of it.

    The loss of a class is 0 or 1. Differences of absolute errors are divided by `SCALE` times the champion's mean
    error in this trial until then, and clipped to [-1, 1], so that no few wild errors decide. It is "better" or "worse"
    by `least` labels at the earliest: labels resemble those before them, and one run of them must not decide.
    """

    def __init__(self, confidence: float, labels: int, least: int = 0, *, regression: bool) -> None:
        self.alpha, self.labels, self.least, self.regression = 1 - confidence, labels, least, regression
        self.begin()

    def begin(self) -> None:
        """Forgets what was compared."""
        self.paired = Paired()
        self.losses = np.zeros(3)  # labels, Σ of the champion's loss, Σ of the other's
        self.ended = False
        self.seen = 0  # labels since then, those behind a verdict too

    def again(self) -> None:
        """Begins another comparison, within the same number of labels."""
        seen = self.seen
        self.begin()
        self.seen = seen

    def run(self, champion: Floats, other: Floats) -> Verdict | None:
        """Takes the losses of labels [n] in their order, NaN where one had no prediction; the verdict if it falls."""
        rows = np.flatnonzero(~np.isnan(champion) & ~np.isnan(other))
        seen = self.seen + np.arange(1, len(rows) + 1)
        self.seen += len(rows)
        if self.ended or not len(rows):
            return None
        both = np.column_stack([np.ones(len(rows)), champion[rows], other[rows]])
        sums = np.cumsum(np.vstack([self.losses, both]), axis=0)
        d = self.differences(both, sums)
        trial = Paired()
        trial.load(self.paired.to_state())
        better, worse = trial.add(d)
        proof = math.log(1 / self.alpha)
        proven = ((better >= proof) | (worse >= proof)) & (sums[1:, 0] >= self.least)
        ends = proven | (seen >= self.labels)
        stop = int(ends.argmax()) + 1 if ends.any() else len(rows)
        self.paired.add(d[:stop])
        self.losses, self.ended = sums[stop], bool(ends.any())
        if not self.ended:
            return None
        outcome = "better" if better[stop - 1] >= proof else "worse" if worse[stop - 1] >= proof else "unproven"
        return Verdict(outcome, int(rows[stop - 1]), self.evidence(), bool(seen[stop - 1] >= self.labels))

    def differences(self, both: Floats, sums: Floats) -> Floats:
        """As they are judged: of rows 1, the champion's loss, the other's; and of their sums before and behind each."""
        d: Floats = both[:, 1] - both[:, 2]
        if self.regression:
            n, total = sums[:-1, 0], sums[:-1, 1]
            scale = SCALE * np.divide(total, n, out=np.zeros(len(n)), where=n >= UNSCALED)
            d = np.divide(d, scale, out=np.zeros(len(d)), where=scale > 0).clip(-1, 1)
        return d

    def evidence(self) -> dict[str, Any]:
        """What is known so far: both mean losses, the mean difference as it is judged, and its interval."""
        n, champion, other = self.losses.tolist()
        return {
            "labels": int(n),
            "loss_champion": champion / n if n else None,
            "loss": other / n if n else None,
            "gain": self.paired.mean if n else None,
            "interval": self.paired.interval(self.alpha),
            "confidence": 1 - self.alpha,
        }

    def to_state(self) -> dict[str, Any]:
        known = {"losses": self.losses.copy(), "ended": self.ended, "seen": self.seen}
        return {"paired": self.paired.to_state(), **known}

    def load(self, state: dict[str, Any]) -> None:
        self.paired.load(state["paired"])
        self.losses, self.ended, self.seen = state["losses"].copy(), state["ended"], state["seen"]
