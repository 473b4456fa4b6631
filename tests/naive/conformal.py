"""The conformal martingales, every bet recomputed from the whole stream of scores."""

import numpy as np

from detectors.conformal import BINS, HEDGE, RATES, cell_of, payoffs
from tests.naive._scores import scored_restarts


def paid(u):
    """What every bet pays for the last of u, given all before."""
    _, fixed = payoffs()
    own = list(fixed[cell_of(u[-1])])
    for rate in RATES:
        shares = np.full(BINS, 1 / BINS)
        for old in u[:-1]:
            shares = (1 - rate) * shares + rate * (np.arange(BINS) == int(old * BINS))
        own.append(HEDGE + (1 - HEDGE) * BINS * shares[int(u[-1] * BINS)])
    return np.array(own)


def twin(x, arl0, warm_up):
    """Shiryaev-Roberts as it is defined: the sum over all starts of the products of payments since."""

    def first(scores):
        u, payments = [], []
        for at, value in scores:
            u.append(value)
            payments.append(paid(u))
            statistic = np.cumprod(payments[::-1], axis=0).sum(axis=0).mean()
            if statistic > arl0:
                return at, statistic, arl0
        return None

    return scored_restarts(x, warm_up, first)
