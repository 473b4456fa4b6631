"""Population stability index, half an observation added to each bin."""

from functools import partial

import numpy as np

from tests.naive._separable import run


def terms(q, r, **_):
    return (q - r) * np.log(q / r)


twin = partial(run, terms=terms, shown=lambda total, **_: total, pseudo=0.5)
