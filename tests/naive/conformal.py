"""The conformal martingales, every bet recomputed from the whole stream of scores."""

import numpy as np

from detectors.conformal import BINS, HEDGE, RATES, cell_of, one_sided_payoffs, payoffs
from tests.naive._scores import scored_restarts


def paid(u, direction):
    """What every bet pays for the last of u, given all before."""
    if direction != "both":
        return one_sided_payoffs(1 if direction == "up" else -1)[1][cell_of(u[-1])]
    _, fixed = payoffs()
    own = list(fixed[cell_of(u[-1])])
    for rate in RATES:
        shares = np.full(BINS, 1 / BINS)
        for old in u[:-1]:
            shares = (1 - rate) * shares + rate * (np.arange(BINS) == int(old * BINS))
        own.append(HEDGE + (1 - HEDGE) * BINS * shares[int(u[-1] * BINS)])
    return np.array(own)


def twin(x, arl0, warm_up, direction):
    """Shiryaev-Roberts as it is defined: the sum over all starts of the products of payments since."""
    limit = arl0 if direction == "both" else 1.25 * arl0

    def first(scores):
        u, payments = [], []
        for at, value in scores:
            u.append(value)
            payments.append(paid(u, direction))
            statistic = np.cumprod(payments[::-1], axis=0).sum(axis=0).mean()
            if statistic > limit:
                return at, statistic, limit
        return None

    return scored_restarts(x, warm_up, first)
