"""Online classifier: it learns which columns tell recent rows apart, and not from the rows it meets again and again."""

import numpy as np

from detectors import make


def test_says_by_which_columns_rows_are_told_apart():
    for seed in range(4):
        x = np.random.default_rng(seed).normal(size=(3000, 6))
        x[2000:, 4] += 1
        x[2000:, 1] *= 2
        (at, drift), *_ = make("classifier", arl0=1e5, features=6).update_many(x)

        assert 2000 <= at < 2100
        assert {column["feature"] for column in drift.detail["features"][:2]} == {1, 4}


def test_a_few_old_rows_met_again_and_again_are_no_evidence():
    x = np.random.default_rng(0).normal(size=(60_000, 2))

    assert len(make("classifier", arl0=1e4, warm_up=20).update_many(x)) <= 6


def test_finds_a_correlation_that_flips():
    for seed in range(4):
        x = np.random.default_rng(seed).normal(size=(3000, 4))
        x[:, 1] = np.where(np.arange(3000) < 2000, 0.9, -0.9) * x[:, 0] + np.sqrt(0.19) * x[:, 1]
        (at, drift), *_ = make("classifier", arl0=1e5, features=4).update_many(x)

        assert 2000 <= at < 2060
        assert drift.detail["features"][0]["feature"] in (0, 1)
