"""Steps along random directions."""

import numpy as np

from detectors._vectors import random_normals
from tests.naive._vectors import bets, muting, whitening


def points_of(sample):
    directions = random_normals(sample.shape[1], 32)
    projection = whitening(sample) @ directions / np.linalg.norm(directions, axis=0)

    def steps(z):
        return np.hstack([(z @ projection > at) * 1.0 for at in (-1, -1 / 3, 1 / 3, 1)])

    mixed, covariance = muting(steps(sample))
    return lambda z: steps(z) @ mixed, covariance


twin = bets(points_of)
