"""G-test: finds changed shares by their likelihood ratio."""

from detectors._base import register
from detectors._separable import ChiSquare, G


@register
class GTest(ChiSquare):
    """Finds shares in the recent window that differ from those of the reference, by the likelihood ratio.

    G = 2 sum over bins of W q ln(q / p) + R r ln(r / p), r and q the shares of the reference (R observations) and of
    the last `window` W, p those of both together: twice the logarithm of how much likelier the counts are with shares
    of their own. Empty bins need no correction. Bins, `categories` and the reference (`reference`, `reference_s`,
    `rolling`, `profile`): as in `psi`.

    How `arl0` is met: analytic, from the null of G for this reference (`_separable.Separable`), an approximation, as
    conservative as that of `psi`, for a number of two values up to 20-fold. `alpha` (published): a window alarms if the
    p-value of G is below it, that of scipy.stats.chi2_contingency(lambda_="log-likelihood") without correction;
    scipy.stats.power_divergence, which takes the reference's shares as exact, is its limit for R much greater than W.
    Input, NaN, reset, evidence and cost: as in `psi`. `detectable`: Cohen's w, the root of sum (q - r)^2 / r.
    Source: Wilks, The likelihood test of independence in contingency tables, Annals of Mathematical Statistics 1935.

    >>> import numpy as np
    >>> codes = np.random.default_rng(1).integers(0, 4, 7000).astype(float)
    >>> codes[6500::10] = 9
    >>> [(at, drift)] = GTest(arl0=1e5, categories=True).update_many(codes)
    >>> at - drift.age + 1, drift.detail["bins"][0]["category"]
    (6498, None)
    """

    _kind = G
