"""Online MMD: the features stand for a Gaussian kernel; changes of spread and of dependence."""

import numpy as np

from detectors import make


def test_the_features_are_those_of_a_gaussian_kernel():
    x = np.random.default_rng(0).normal(size=(200, 3))
    detector = make("mmd", features=3)
    detector.update_many(x)
    z, _ = detector._scores(x)
    waves, v = detector._waves(z), z @ detector._state["white"]
    squares = ((v[:, None] - v) ** 2).sum(axis=2)
    width = np.median(np.sqrt(squares[-64:, -64:][np.triu_indices(64, 1)]))
    kernel = np.exp(-squares / (2 * width**2))

    assert np.sqrt(np.mean((waves @ waves.T / 32 - kernel) ** 2)) < 0.12  # of 32 frequencies: about 1 / sqrt(64)


def test_finds_a_change_of_spread_and_of_dependence():
    for seed in range(4):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(3000, 4))
        x[2000:, 2] *= 2
        (at, drift), *_ = make("mmd", arl0=1e5, features=4).update_many(x)
        assert 2000 <= at < 2150
        assert drift.detail["features"][0]["feature"] == 2

        x = rng.normal(size=(3000, 4))
        x[2000:, 0] = 0.9 * x[2000:, 3] + np.sqrt(0.19) * x[2000:, 0]
        (at, drift), *_ = make("mmd", arl0=1e5, features=4).update_many(x)
        assert 2000 <= at < 2200
