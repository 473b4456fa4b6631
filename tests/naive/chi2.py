"""Pearson's chi-square of the two rows of counts."""

from functools import partial

import numpy as np

from tests.naive._separable import run


def terms(q, r, w, least):
    return (q - r) ** 2 / np.maximum(w * q + (1 - w) * r, least)


twin = partial(run, terms=terms, shown=lambda total, even: total * even, floor=1)
