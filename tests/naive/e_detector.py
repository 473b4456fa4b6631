"""The e-detector, every bet on every cell recomputed from the whole stream."""

import numpy as np

from tests.naive._shared import cuts, restart, scale, unit


def cells(x, warm_up):
    """In which cell each observation lies, rows that add up to 1, and what the shares start from."""
    sample = x[:warm_up]
    lo, hi = scale(x, warm_up)
    if len(set(sample)) <= 2:
        y = np.array([unit(value, lo, hi) for value in x])
        return np.stack([1 - y, y], axis=1), np.array([0.5, 0.5])
    edges = cuts(sample, min(32, warm_up // 4))
    rows = np.eye(len(edges) + 1)[np.searchsorted(edges, x)]
    prior = np.where(rows[:warm_up].sum(axis=0) == 0, 0.5, 0.0)
    prior[-1] = 1
    return rows, prior


def payoffs(share, ratio):
    """Shares once the odds to lie above any edge are multiplied, over those before; what a bet on them loses."""
    p = share / share.sum()
    below = np.cumsum(p)[:-1]
    q = np.diff(np.concatenate([[0], below / (below + ratio * (1 - below)), [1]]))
    return q / p, -np.sum(p * np.log(q / p))


def twin(x, arl0, warm_up, form="sr", direction="both", baseline=None, odds=None):
    signs = {"both": (1, -1), "up": (1,), "down": (-1,)}[direction]
    changes = [np.exp(0.0625 * 2**k) for k in range(7)] if odds is None else [odds]
    ratios = [change**sign for sign in signs for change in changes]
    limit = 1.25 * arl0

    def first(x):
        if baseline is None:
            begin = warm_up
            if len(x) <= warm_up:
                return None
            rows, prior = cells(x, warm_up)
            while begin < len(x) and np.all(x[: begin + 1] == x[0]):
                begin += 1
            tunings = {warm_up * 2**k for k in range(30)} | {begin}
        else:
            begin, tunings = 0, {0}
            rows = np.stack([1 - np.clip(x, 0, 1), np.clip(x, 0, 1)], axis=1)
        open_bets = np.zeros((0, len(ratios)))
        for i in range(begin, len(x)):
            share = np.array([1 - baseline, baseline]) if baseline is not None else prior + rows[:i].sum(axis=0)
            if i in tunings:
                tuned = [payoffs(share, ratio) for ratio in ratios]
            gain = np.array([rows[i] @ pays / (share @ pays / share.sum()) for pays, _ in tuned])
            stake = np.array([min(1 / loss, 0.05 * arl0) for _, loss in tuned])
            open_bets = np.vstack([open_bets, np.ones_like(gain) if form == "sr" else stake]) * gain
            statistic = np.mean(open_bets.sum(axis=0) if form == "sr" else open_bets.max(axis=0))
            if statistic > limit:
                return i, statistic, limit
        return None

    return restart(x, first)
