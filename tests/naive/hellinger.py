"""Hellinger distance."""

from functools import partial

import numpy as np

from tests.naive._separable import run


def terms(q, r, **_):
    return (np.sqrt(q) - np.sqrt(r)) ** 2 / 2


twin = partial(run, terms=terms, shown=lambda total, **_: np.sqrt(total), scale=8)
