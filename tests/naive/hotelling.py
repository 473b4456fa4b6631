"""T of the normal scores' points."""

import numpy as np

from tests.naive._vectors import bets, whitening

twin = bets(lambda sample: (lambda z: z @ whitening(sample), np.eye(sample.shape[1])))
