"""The bet of the detectors of rows, each row recomputed from the whole stream since the last reset."""

import math

import numpy as np
from scipy.linalg import sqrtm
from scipy.stats import norm

from detectors._kernels import random_unit
from tests.naive._shared import restart

STAKES = (0.125, 0.25, 0.5, 1.0)


def scores(x, sample):
    """Normal scores of each column by its place in the sample's."""
    below = (sample[None] < x[:, None]).sum(axis=1)
    same = (sample[None] == x[:, None]).sum(axis=1)
    return norm.ppf((below + same / 2 + 0.5) / (len(sample) + 1))


def shrunken(sample):
    """Standard deviations and the correlation, shrunk by the intensity of Schaefer and Strimmer."""
    spread = np.sqrt(np.maximum(sample.var(axis=0, ddof=1), 0.05))
    correlation = np.cov(sample, rowvar=False) / np.outer(spread, spread)
    off = correlation[~np.eye(len(spread), dtype=bool)]
    shrink = min(1, max(0.01, np.sum((1 - off**2) ** 2) / (len(sample) - 1) / max(np.sum(off**2), 1e-12)))
    correlation = (1 - shrink) * correlation
    np.fill_diagonal(correlation, 1)
    return spread, correlation


def whitening(sample):
    spread, correlation = shrunken(sample)
    return np.linalg.inv(sqrtm(correlation).real) / spread[:, None]


def muting(sample):
    """A matrix that whitens a quarter of the correlation, and the covariance that this leaves."""
    spread, correlation = shrunken(sample)
    root = np.linalg.inv(sqrtm(0.25 * correlation + 0.75 * np.eye(len(spread))).real)
    return root / spread[:, None], root @ correlation @ root


def averaged(residuals, _before, _means, weight):
    """The direction: the exponentially weighted mean of the residuals so far."""
    t = len(residuals)
    return weight * (1 - weight) ** np.arange(t)[::-1] @ residuals


def logistic(residuals, before, means, weight):
    """The direction: a logistic regression that tells the rows so far (1) from drawn ones of the warm-up (0)."""
    direction, warm_up = np.zeros(before.shape[1]), len(before)
    others = before[np.arange(-64, 0) % warm_up]
    for t, (mine, mean) in enumerate(zip(residuals, means, strict=True)):
        theirs = others[int(random_unit(warm_up + t + 1) * 64)] - mean
        step = mine / (1 + math.exp(direction @ mine)) - theirs / (1 + math.exp(-direction @ theirs))
        direction = (1 - weight) * direction + weight * step
    return direction


def bets(points_of, learn=averaged):
    """A twin: `points_of(scores of the warm-up)` gives the function from scores to points, and their covariance."""

    def twin(x, arl0, warm_up, weight=0.02):
        def first(x):
            if len(x) <= warm_up:
                return None
            z = scores(x, x[:warm_up])
            to_points, covariance = points_of(z[:warm_up])
            points = to_points(z)
            before, after = points[:warm_up], points[warm_up:]
            steps = np.arange(1, len(after) + 1)[:, None]
            means = np.cumsum(after, axis=0) / steps
            residuals = (after - means) * np.sqrt(steps / np.maximum(steps - 1, 1))
            payoffs, evidence = np.zeros(len(after)), np.zeros(len(STAKES))
            for t in range(len(after)):
                direction = learn(residuals[:t], before, means[:t], weight)
                length = math.sqrt(direction @ covariance @ direction)
                payoffs[t] = direction @ residuals[t] / length if length else 0
                variance = (np.sum(payoffs[:t] ** 2) + 50) / (t + 50) * (1 + 1 / math.sqrt(t + 1))
                q = np.array(STAKES) * min(payoffs[t] / math.sqrt(variance), 6)
                if t >= warm_up // 2:
                    evidence = (1 + evidence) * (1 + q + q**2 / 3) / (1 + np.array(STAKES) ** 2 / 3)
                if evidence.mean() > 2 * arl0:
                    return warm_up + t, evidence.mean(), 2 * arl0
            return None

        return restart(x, first)

    return twin
