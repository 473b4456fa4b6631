"""Hellinger distance: finds changed shares, those that appear or vanish foremost."""

from detectors._base import register
from detectors._separable import HELLINGER, Separable


@register
class Hellinger(Separable):
    """Finds shares in the recent window that differ from those of the reference, by the distance of their roots.

    H = sqrt(sum over bins of (sqrt(q) - sqrt(r))^2 / 2), r and q the shares of the reference and of the last `window`
    observations: from 0 to 1. The root makes all shares equally uncertain, so that a bin that empties counts as much
    as one that fills. Bins, `categories` and the reference (`reference`, `reference_s`, `rolling`, `profile`): as in
    `psi`.

    How `arl0` is met: analytic, from the null of H for this reference (`_separable.Separable`), an approximation, as
    conservative as that of `psi`. `alpha` (published): each window by itself, 8 E H^2 against chi-square of (bins in
    use - 1) degrees of freedom, E = R W / (R + W). Input, NaN, reset, evidence and cost: as in `psi`.
    Source: Ditzler and Polikar, Hellinger distance based drift detection for nonstationary environments, IEEE CIDUE
    2011 (the distance; its threshold, a t-interval of the distances seen, is not used); Cressie and Read, Multinomial
    goodness-of-fit tests, J. Royal Statistical Society B 1984 (the law).

    >>> import numpy as np
    >>> x = np.random.default_rng(1).normal(size=8000)
    >>> x[7000:] *= 2
    >>> [(at, drift)] = Hellinger(arl0=1e5).update_many(x)
    >>> at - drift.age + 1, round(drift.statistic, 2)
    (7004, 0.1)
    """

    unit = "Hellinger distance"
    _kind = HELLINGER
