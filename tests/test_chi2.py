"""Pearson's chi-square: scipy's statistic and p-value, window by window."""

import numpy as np
import pytest
from scipy import stats

from detectors import make


def table(codes, reference, window):
    """Counts of the reference and of the newest window, of the categories that occur in either."""
    counts = np.array([np.bincount(part, minlength=10) for part in (codes[:reference], codes[-window:])])
    return counts[:, counts.sum(axis=0) > 0]


def test_alpha_agrees_with_scipy_at_every_observation():
    """An unseen category appears too, and counts as one more degree of freedom from then on."""
    rng = np.random.default_rng(0)
    codes = np.concatenate([rng.integers(0, 6, 700), rng.choice(7, 300, p=[0.3, 0.2, 0.1, 0.1, 0.1, 0.1, 0.1])])
    alpha, reference, window, start = 1e-3, 400, 150, 0
    detector = make("chi2", alpha=alpha, categories=True, reference=reference, window=window)
    alarms = 0
    for at, code in enumerate(codes):
        drift = detector.update(float(code))
        seen = codes[start : at + 1]
        if len(seen) < reference + window:
            assert drift is None
            continue
        found = stats.chi2_contingency(table(seen, reference, window), correction=False, lambda_="pearson")
        assert (drift is not None) == (found.pvalue < alpha)
        if drift is not None:
            assert (drift.statistic, drift.threshold) == pytest.approx(
                (found.statistic, stats.chi2.isf(alpha, found.dof))
            )
            alarms, start = alarms + 1, at + 1
        else:
            assert detector.statistic == pytest.approx(found.statistic)
    assert alarms


def test_a_huge_reference_is_as_good_as_known_shares():
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 6, 300_200)
    detector = make("chi2", alpha=1e-9, categories=True, reference=300_000, window=200)
    detector.update_many(codes)
    old, new = table(codes, 300_000, 200)

    assert detector.statistic == pytest.approx(stats.chisquare(new, old / 300_000 * 200).statistic, rel=2e-3)
