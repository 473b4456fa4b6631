"""Energy distance: steps of projections measure distances; the test finds what means alone do not show."""

import numpy as np

from detectors import make


def test_steps_between_two_rows_are_their_distance():
    x = np.random.default_rng(0).normal(size=(200, 3))
    detector = make("energy", features=3)
    detector.update_many(x)
    z, _ = detector._scores(x)
    passed, v = detector._passed(z), z @ detector._state["white"]
    pairs = np.triu_indices(200, 1)
    steps = ((passed[:, None] - passed) ** 2).sum(axis=2)[pairs]
    distances = np.sqrt(((v[:, None] - v) ** 2).sum(axis=2))[pairs]

    assert np.corrcoef(steps, distances)[0, 1] > 0.9


def test_finds_a_mean_a_spread_and_a_dependence():
    def shift(x):
        x[:, 1] += 1

    def spread(x):
        x[:, 1] *= 3

    def tie(x):
        x[:, 0] = x[:, 1] + 0.1 * x[:, 0]

    for change, within in ((shift, 100), (spread, 200), (tie, 200)):
        for seed in (2, 3):
            x = np.random.default_rng(seed).normal(size=(3000, 3))
            change(x[2000:])
            (at, drift), *_ = make("energy", arl0=1e5, features=3).update_many(x)
            assert 2000 <= at < 2000 + within
            assert drift.detail["features"][0]["feature"] in ((0, 1) if change is tie else (1,))
