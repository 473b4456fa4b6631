"""Pearson's chi-square: finds changed shares, a new or rare category foremost."""

from detectors._base import register
from detectors._separable import CHI2, ChiSquare


@register
class Chi2(ChiSquare):
    """Finds shares in the recent window that differ from those of the reference, by Pearson's test of homogeneity.

    X2 = E sum over bins of (q - r)^2 / p, E = R W / (R + W), r and q the shares of the reference (R observations) and
    of the last `window` W, p those of both together: the chi-square of the 2 x bins table of counts, which takes the
    reference as uncertain as it is. Bins, `categories` and the reference (`reference`, `reference_s`, `rolling`,
    `profile`): as in `psi`.

    How `arl0` is met: analytic, from the null of X2 for this reference (`_separable.Separable`), an approximation, as
    conservative as that of `psi`; p is at least 1 / W (Cochran's rule), so that a few observations in a bin the
    reference does not know are not taken for much. `alpha` (published): a window alarms if the p-value of X2 is below
    it, that of scipy.stats.chi2_contingency without correction; scipy.stats.chisquare, which takes the reference's
    shares as exact, is its limit for R much greater than W. Input, NaN, reset, evidence and cost: as in `psi`.
    `detectable`: Cohen's w, the root of sum (q - r)^2 / r.
    Source: Pearson, On the probability that two independent distributions of frequency are really samples from the
    same population, Biometrika 1911; Cochran, Some methods for strengthening the common chi-square tests, Biometrics
    1954.

    >>> import numpy as np
    >>> codes = np.random.default_rng(1).integers(0, 4, 7000).astype(float)
    >>> codes[6500::10] = 9
    >>> [(at, drift)] = Chi2(arl0=1e5, categories=True).update_many(codes)
    >>> at - drift.age + 1, drift.detail["bins"][0]["category"]
    (6498, None)
    """

    _kind = CHI2
