"""Jensen-Shannon distance: finds changed shares, bounded whatever changed."""

from detectors._base import register
from detectors._separable import JS, Separable


@register
class Js(Separable):
    """Finds shares in the recent window that differ from those of the reference, by a distance that is bounded.

    D = sqrt(sum over bins of q ln(q / m) / 2 + r ln(r / m) / 2), m = (q + r) / 2, r and q the shares of the reference
    and of the last `window` observations: 0 if they are the same, sqrt(ln 2) = 0.83 if no bin is in both. Empty bins
    need no correction. Bins, `categories` and the reference (`reference`, `reference_s`, `rolling`, `profile`): as in
    `psi`.

    How `arl0` is met: analytic, from the null of D for this reference (`_separable.Separable`), an approximation, as
    conservative as that of `psi`. `alpha` (published): each window by itself, 8 E D^2 against chi-square of (bins in
    use - 1) degrees of freedom, E = R W / (R + W). Input, NaN, reset, evidence and cost: as in `psi`.
    Source: Lin, Divergence measures based on the Shannon entropy, IEEE Trans. Information Theory 1991, section IV.

    >>> import numpy as np
    >>> x = np.random.default_rng(1).normal(size=8000)
    >>> x[7000:] *= 2
    >>> [(at, drift)] = Js(arl0=1e5).update_many(x)
    >>> at - drift.age + 1, round(drift.statistic, 2)
    (7004, 0.1)
    """

    unit = "Jensen-Shannon distance"
    _kind = JS
