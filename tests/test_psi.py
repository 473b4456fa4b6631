"""PSI: the threshold against the simulated null, categories rare and unseen."""

import numpy as np
import pytest

from detectors import make
from detectors.psi import chernoff_threshold
from tests.naive import psi as naive


@pytest.mark.parametrize(
    "before",
    [
        [500] * 10,
        [4000, 900, 50, 50, 0],
        [50] * 20 + [4000],
        [2500, 2500],
        [4990, 10],
    ],
)
def test_threshold_is_exceeded_at_most_once_in_twice_arl0(before):
    """Reference and window drawn anew from the same shares; 400,000 pairs, far more than 1 in 2,000 is allowed."""
    reference, window, arl0 = sum(before), 500, 1e3
    rng = np.random.default_rng(0)
    share = np.array(before) / reference
    beyond = total = 0
    for _ in range(40):
        old = rng.multinomial(reference, share)
        r = (old + 0.5) / (reference + 0.5 * len(before))
        q = (rng.multinomial(window, share, 10_000) + 0.5) / (window + 0.5 * len(before))
        statistic = ((q - r) * np.log(q / r)).sum(axis=1)
        beyond += np.sum(statistic > chernoff_threshold(old, len(old), window, np.log(2 * arl0)))
        total += len(q)
    assert beyond / total <= 1 / (2 * arl0)


def test_threshold_agrees_with_its_slow_twin():
    for before in ([30, 40, 0, 130], [500] * 10):
        ours = chernoff_threshold(np.array(before), len(before), 100, np.log(2e6))
        assert ours == pytest.approx(naive.threshold(before, 100, 1e6), rel=1e-9)


def test_unseen_category_is_found_and_pooled():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 5, 7000).astype(float)
    codes[6500:][rng.random(500) < 0.3] = 17
    (at, found), *_ = make("psi", categories=True).update_many(codes)
    top = found.detail["bins"][0]

    assert 6500 < at < 6650
    assert abs(at - found.age + 1 - 6500) < 60
    assert top["category"] is None
    assert top["before"] == 0
    assert found.direction == 0


def test_only_the_most_frequent_categories_have_a_bin():
    sizes = {7: 100, 3: 50, 1: 50, 9: 200, 5: 50}
    codes = np.random.default_rng(0).permutation(np.repeat(list(sizes), list(sizes.values()))).astype(float)
    detector = make("psi", categories=True, reference=450, window=100, bins=3)
    detector.update_many(codes)

    assert detector.to_state()["edges"][:3].tolist() == [1, 7, 9]


def test_rare_categories_share_one_bin():
    codes = np.random.default_rng(0).permutation(np.repeat(np.arange(260.0), [*[200] * 10, *[2] * 250]))
    detector = make("psi", categories=True, reference=2500, window=500)
    detector.update_many(codes)

    assert detector.to_state()["counts"][2] == 10


def test_detail_names_the_range_that_changed():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.random(6000), 0.95 + 0.05 * rng.random(400)])
    (_, found), *_ = make("psi").update_many(x)
    top = found.detail["bins"][0]

    assert top["above"] == pytest.approx(0.9, abs=0.02)
    assert top["to"] is None
    assert top["after"] > top["before"] == pytest.approx(0.1, abs=0.01)
    assert found.direction == 1


def test_categories_batch_blind():
    codes = np.random.default_rng(0).integers(0, 30, 4000).astype(float)
    codes[3000:] = np.floor(codes[3000:] / 3)
    params = {"categories": True, "arl0": 1e3, "reference": 400, "window": 200}
    one = make("psi", **params)
    expected = make("psi", **params).update_many(codes)

    assert expected
    assert [(i, found) for i, value in enumerate(codes) if (found := one.update(value))] == expected


def test_categories_agree_with_their_slow_twin():
    rng = np.random.default_rng(0)
    codes = (
        np.concatenate([rng.zipf(1.6, 1000), rng.integers(1, 9, 800), rng.zipf(1.6, 800)]).clip(0, 10**6).astype(float)
    )
    params = {"arl0": 1e3, "reference": 300, "window": 100, "categories": True, "bins": 5}
    found = [(at, found.statistic, found.threshold) for at, found in make("psi", **params).update_many(codes)]

    expected = naive.twin(codes, **params)
    assert expected
    np.testing.assert_allclose(found, expected, rtol=1e-9)
