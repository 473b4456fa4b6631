"""Losses of two models, one as good as the other or better by a known amount, and what the proof makes of them."""

import math
from collections.abc import Callable

import numpy as np

from stream_app.evidence.paired import BETS, Paired
from stream_app.flow.trial import Trial

CONFIDENCES = (0.9, 0.95, 0.99)
RATE = 0.3  # of the champion's errors, where the other is better
Rng = np.random.Generator
Losses = tuple[np.ndarray, np.ndarray]  # of the champion and of the other, label by label
Make = Callable[[Rng, int], Losses]  # so many labels


def independent(rate: float) -> Make:
    return lambda rng, n: (_errors(rng, rate, n), _errors(rng, rate, n))


def in_common(rate: float, share: float) -> Make:
    """With this share of the labels both are right or both are wrong."""

    def make(rng: Rng, n: int) -> Losses:
        one, other = _errors(rng, rate, n), _errors(rng, rate, n)
        return one, np.where(rng.random(n) < share, one, other)

    return make


def heavy(kind: str) -> Make:
    """Absolute errors: of Student's t with 2 degrees of freedom, or Pareto with an exponent of 1.5."""

    def one(rng: Rng, n: int) -> np.ndarray:
        return np.abs(rng.standard_t(2, n)) if kind == "t" else rng.pareto(1.5, n)

    return lambda rng, n: (one(rng, n), one(rng, n))


def wandering(rng: Rng, n: int) -> Losses:
    """Both have the same error rate, which wanders (logistic AR(1), coefficient .99)."""
    steps, level, rate = rng.normal(0, 0.2, n), 0.0, np.empty(n)
    for i, step in enumerate(steps.tolist()):
        level = 0.99 * level + step
        rate[i] = 1 / (1 + math.exp(1.4 - level))
    return (rng.random(n) < rate).astype(float), (rng.random(n) < rate).astype(float)


def bursts(rng: Rng, n: int) -> Losses:
    """One of both errs, either as likely: in 40 % of labels after the other has won, else in 5 %."""
    chance, side = rng.random(n).tolist(), rng.random(n).tolist()
    d = np.zeros(n)
    won = False
    for i in range(n):
        if chance[i] < (0.4 if won else 0.05):
            won = side[i] < 0.5
            d[i] = 1 if won else -1
    return (d > 0).astype(float), (d < 0).astype(float)


EQUAL: dict[str, Make] = {
    "independent errors, rate .05": independent(0.05),
    "independent errors, rate .2": independent(0.2),
    "independent errors, rate .4": independent(0.4),
    "errors in common (half of the labels), rate .2": in_common(0.2, 0.5),
    "errors in common (nine of ten labels), rate .2": in_common(0.2, 0.9),
    "absolute errors, t with 2 degrees of freedom": heavy("t"),
    "absolute errors, Pareto 1.5": heavy("pareto"),
    "error rate of both wanders": wandering,
    "disagreement in bursts": bursts,
}


def _errors(rng: Rng, rate: float, n: int) -> np.ndarray:
    return (rng.random(n) < rate).astype(float)


def outcomes(losses: Losses, *, regression: bool) -> list[bool]:
    """Whether a trial ends with a promotion, by confidence; one that did not end has not at a higher confidence."""
    found = []
    ended = True
    for confidence in CONFIDENCES:
        verdict = None
        if ended:
            trial = Trial(confidence, len(losses[0]) + 1, regression=regression)
            verdict = trial.run(*losses)
            ended = verdict is not None
        found.append(verdict is not None and verdict.outcome == "better")
    return found


def bet(d: np.ndarray, mean: float) -> np.ndarray:
    """Log wealth after each label of one who bets that d is more than this on average, as `Paired` does."""
    logs = np.cumsum(np.log1p((d - mean)[:, None] * BETS), axis=0)
    top = logs.max(axis=1)
    wealth: np.ndarray = np.log(np.exp(logs - top[:, None]).mean(axis=1)) + top
    return wealth


def misses(d: np.ndarray, truth: float) -> list[bool]:
    """Whether the lower end of the gain is ever above the truth, by confidence: when that bet has won."""
    most = bet(d, truth).max()
    return [bool(most >= np.log(1 / (1 - confidence))) for confidence in CONFIDENCES]


def checked() -> None:
    """The lower end of `Paired` is above a mean where the bet against that mean has won."""
    d = np.random.default_rng(0).choice([-1.0, 0.0, 1.0], 500, p=[0.1, 0.7, 0.2])
    paired = Paired()
    paired.add(d)
    low = paired.interval(0.05)[0]
    for mean in np.linspace(-0.2, 0.4, 61):
        assert (bet(d, mean)[-1] >= np.log(20)) == (low >= mean), mean


def waits(gain: float, shared: float, streams: int, labels: int) -> tuple[list[float], list[list[bool]]]:
    """Labels until a model better by `gain` is promoted (inf: never), and whether the sequences missed that."""
    waited, missed = [], []
    for seed in range(streams):
        rng = np.random.default_rng([int(1000 * gain), int(10 * shared), seed])
        u = rng.random((2, labels))
        u[1] = np.where(rng.random(labels) < shared, u[0], u[1])
        champion, other = (u[0] < RATE).astype(float), (u[1] < RATE - gain).astype(float)
        verdict = Trial(0.95, labels, regression=False).run(champion, other)
        better = verdict is not None and verdict.outcome == "better"
        waited.append(verdict.row + 1 if verdict is not None and better else math.inf)
        missed.append(misses(champion - other, gain))
    return waited, missed
