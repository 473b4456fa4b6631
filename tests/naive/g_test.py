"""Likelihood ratio of the two rows of counts."""

from functools import partial

from scipy.special import rel_entr

from tests.naive._separable import run


def terms(q, r, w, **_):
    p = w * q + (1 - w) * r
    return 2 * (w * rel_entr(q, p) + (1 - w) * rel_entr(r, p)) / (w * (1 - w))


twin = partial(run, terms=terms, shown=lambda total, even: total * even)
