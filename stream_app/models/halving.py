"""Successive halving on a live stream: who leads, who is dropped and when; knows losses and counts, but no model.

Jamieson, Talwalkar (2016), Non-stochastic Best Arm Identification and Hyperparameter Optimization, AISTATS: a budget is
shared equally among rungs, the share of a rung among those still alive, and at its end the worse half is dropped: the
fewer are left, the longer each is tried. Losses are prequential (test, then train) and fade as in Gama, Sebastião,
Rodrigues (2013), On evaluating stream learning algorithms, Machine Learning 90: what was long ago says little about
now, and models that are slow to learn are judged by what they have become.
"""

from typing import Any

import numpy as np
from numba import njit

from stream_app.config.choice import rungs
from stream_app.messages import Floats, Ints

GRID = 50  # counted labels between two looks at who leads


class Halving:
    """The state of one choice among `titles`; what it costs is counted in model-events.

    A model-event is one candidate that takes one event: predicts it and, when its label comes, learns it. Those of
    candidates beyond the one in use are `spent`, never more than `budget`. Rung r of R (from 1) ends before the event
    that would bring `spent` above `budget * r / R`; then the better half (rounded up) by fading loss goes on.
    """

    def __init__(self, titles: list[str], budget: int, memory: int) -> None:
        self.titles, self.budget, self.memory = titles, budget, memory
        self.rungs = rungs(len(titles))
        self.restart()

    def restart(self) -> None:
        """All are alive again, and nothing is known of them."""
        n = len(self.titles)
        self.alive = list(range(n))
        self.leader, self.rung, self.spent, self.events = 0, 0, 0, 0
        self.sums = np.zeros(n)  # fading sums of losses
        self.counted = np.zeros(2)  # labels: fading, and all
        self.dropped: list[dict[str, Any] | None] = [None] * n

    @property
    def room(self) -> int | None:
        """How many events may be taken before some are to be dropped; None where one is left."""
        extra = len(self.alive) - 1
        return (self.budget * (self.rung + 1) // self.rungs - self.spent) // extra if extra else None

    def take(self, events: int) -> None:
        """So many events are predicted by all that are alive."""
        self.events += events
        self.spent += events * (len(self.alive) - 1)

    def judge(self, losses: Floats) -> Ints:
        """Counts the losses [labels, alive]; who leads before the first label and after each.

        Labels whose first loss is NaN are not counted.
        """
        leaders = np.full(len(losses) + 1, self.leader)
        alive = np.array(self.alive)
        _judge(losses, alive, 1 - 1 / self.memory, self.sums, self.counted, leaders)
        self.leader = int(leaders[-1])
        return leaders

    def halve(self) -> list[int]:
        """Drops the worse half and says who that was; of equals the first of the set stay."""
        keep = (len(self.alive) + 1) // 2
        order = sorted(self.alive, key=lambda k: (self.sums[k], k != self.leader, k))
        self.rung += 1
        for k in order[keep:]:
            self.dropped[k] = {
                "rung": self.rung,
                "events": self.events,
                "labels": int(self.counted[1]),
                "loss": self.loss(k),
                "worst_kept": self.loss(order[keep - 1]),
            }
        self.alive, self.leader = sorted(order[:keep]), order[0]
        return sorted(order[keep:])

    def loss(self, k: int) -> float | None:
        """The fading loss; None before the first label."""
        return float(self.sums[k] / self.counted[0]) if self.counted[0] else None

    def why(self) -> str:
        """Why the leader leads, as a sentence."""
        if not self.counted[1]:
            return "first of the set: no label was there to choose by"
        others = [k for k in self.alive if k != self.leader]
        told = "the next has"
        if not others:
            others = [k for k, dropped in enumerate(self.dropped) if dropped and dropped["rung"] == self.rungs]
            told = "the last that was dropped had"
        other = min(others, key=lambda k: self.sums[k])
        mine, its = self.loss(self.leader), self.loss(other)
        return f"fading loss {mine:.4g}; {told} {its:.4g}: {self.titles[other]}"

    def to_state(self) -> dict[str, Any]:
        """Plain data."""
        names = ("alive", "leader", "rung", "spent", "events")
        arrays = {"sums": self.sums.copy(), "counted": self.counted.copy()}
        return (
            {name: getattr(self, name) for name in names}
            | arrays
            | {"dropped": list(self.dropped), "titles": list(self.titles)}
        )

    def load(self, state: dict[str, Any]) -> None:
        """Goes on from `to_state()`; ValueError if the set was another."""
        if list(state["titles"]) != self.titles:
            raise ValueError(f"state of another set of models: {', '.join(state['titles'])}")
        self.alive, self.dropped = list(state["alive"]), list(state["dropped"])
        self.leader, self.rung = state["leader"], state["rung"]
        self.spent, self.events = state["spent"], state["events"]
        self.sums, self.counted = state["sums"].copy(), state["counted"].copy()


@njit(cache=True, error_model="numpy")
def _judge(losses: Floats, alive: Ints, keep: float, sums: Floats, counted: Floats, leaders: Ints) -> None:
    for i in range(losses.shape[0]):
        leader = leaders[i]
        if losses[i, 0] == losses[i, 0]:
            counted[0] = keep * counted[0] + 1
            counted[1] += 1
            for j in range(alive.shape[0]):
                sums[alive[j]] = keep * sums[alive[j]] + losses[i, j]
            if counted[1] % GRID == 0:
                for j in range(alive.shape[0]):
                    if sums[alive[j]] < sums[leader]:
                        leader = alive[j]
        leaders[i + 1] = leader
