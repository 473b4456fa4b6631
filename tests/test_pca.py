"""PCA reconstruction: errors of what the components leave out; broken correlations."""

import numpy as np
import pytest

from detectors import make


def test_a_row_within_the_components_has_no_error():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 1)) * np.ones(4) + 1e-6 * rng.normal(size=(200, 4))
    detector = make("pca", features=4)
    detector.update_many(x)
    errors = np.abs(np.ones((1, 4)) @ detector._state["inner"])

    assert errors.max() < 1e-6 * np.abs(np.eye(4) @ detector._state["inner"]).max()


def test_a_correlation_that_flips_is_found_at_equal_margins():
    for seed in range(5):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(3000, 6))
        sign = np.where(np.arange(3000) < 2000, 0.9, -0.9)
        x[:, 4] = sign * x[:, 1] + np.sqrt(0.19) * x[:, 4]
        (at, drift), *_ = make("pca", arl0=1e5, features=6).update_many(x)

        assert 2000 <= at < 2040
        assert drift.detail["features"][0]["feature"] in (1, 4)


def test_more_explained_leaves_fewer_axes():
    x = np.random.default_rng(0).normal(size=(200, 5))
    ranks = []
    for explained in (0.0, 0.5, 0.9, 1.0):
        detector = make("pca", features=5, explained=explained)
        detector.update_many(x)
        ranks.append(np.linalg.matrix_rank(detector._state["inner"]))

    assert ranks == sorted(ranks, reverse=True)
    assert (ranks[0], ranks[-1]) == (5, 1)
    with pytest.raises(ValueError, match="explained: expected a number from 0 to 1"):
        make("pca", explained=2)
