import numpy as np

from detectors._vectors import random_normals
from tests.naive._vectors import bets, whitening


def points_of(sample):
    directions = random_normals(sample.shape[1], 32)
    projection = whitening(sample) @ directions / np.linalg.norm(directions, axis=0)

    def steps(z):
        return np.hstack([(z @ projection > at) * 1.0 for at in (-1, -1 / 3, 1 / 3, 1)])

    mixed = whitening(steps(sample), 0.5)
    return lambda z: steps(z) @ mixed


twin = bets(points_of)
