"""Waves of random frequencies."""

import numpy as np
from scipy.spatial.distance import pdist

from detectors._vectors import random_normals
from tests.naive._vectors import bets, muting, whitening


def points_of(sample):
    white = whitening(sample)
    width = np.median(pdist(sample[np.arange(-64, 0) % len(sample)] @ white))
    frequencies = white @ random_normals(sample.shape[1], 32) / width

    def waves(z):
        return np.hstack([np.cos(z @ frequencies), np.sin(z @ frequencies)])

    mixed, covariance = muting(waves(sample))
    return lambda z: waves(z) @ mixed, covariance


twin = bets(points_of)
