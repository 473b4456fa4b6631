"""Population stability index: finds changed shares of a number's ranges, or of categories."""

from detectors._base import register
from detectors._separable import PSI, Separable


@register
class Psi(Separable):
    """Finds shares in the recent window that differ from those of the reference.

    PSI = sum over bins of (q - r) ln(q / r), r and q the shares of the reference and of the last `window` observations,
    half an observation added to each bin. Numbers: `bins` bins of equal share. With `categories`, x holds codes: the
    `bins` most frequent that expect at least 5 in the window have a bin each, all others, the unseen ones too, share
    the bins that are left, by a hash of their code, as far as each expects 5.

    The reference: the first `reference` observations; or those of the first `reference_s` seconds of event time; or
    `rolling`, the last `reference` before the window (in eighths; edges renewed once in its length); or `profile`, what
    `sketch.to_dict()` of another detector, or `Sketch.of(values)`, gave. It is kept as counts, edges come from its
    first 1,024 values. To see a class go from 0.2 % to 0.4 %, window = 30,000 and reference = 100,000 are enough.

    How `arl0` is met: analytic, from the null of the index for this reference (`_separable.Separable`), an
    approximation. Measured over declared, independent observations: 2 to 4 for continuous numbers and for categories,
    rare ones included; 4 to 10 for a number of two values, more for events of which the window expects less than 5, and
    where the window is above a quarter of the reference: the mean run length is then that of the good references.
    `alpha` (published): each window by itself, against chi-square / E, E = R W / (R + W), of (bins in use - 1) degrees
    of freedom.

    Input: numbers or codes; NaN and inf are counted, not fed, and have no bin. A drift starts over with a new reference
    (with `profile`, the same). `before`, `after`: means of reference and window; `age`: the most likely change point
    within the window. `detail["bins"]`: the five that contribute most, with 95 % intervals. Cost: about 150 ns an
    observation (rolling: 350), 8 max(W, 1024) bytes and the counts, 1 ms when the reference fills.
    Source: Yurdakul and Naranjo, Statistical properties of the population stability index, J. Risk Model Validation
    2020.

    >>> import numpy as np
    >>> codes = np.random.default_rng(1).integers(0, 4, 7000).astype(float)
    >>> codes[6500:][codes[6500:] == 3] = 0
    >>> [(at, drift)] = Psi(arl0=1e5, categories=True).update_many(codes)
    >>> at - drift.age + 1, drift.detail["bins"][0]["category"]
    (6497, 3.0)
    """

    unit = "PSI"
    _kind = PSI
    _pseudo = 0.5  # no share is 0

    def detectable(self, n: int) -> float:
        """The index between old and new that, with n of the window's observations new, is expected at the limit."""
        return super().detectable(n) ** 2

    def _shown(self, total: float) -> float:
        return total
