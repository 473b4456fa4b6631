"""The proof of `evidence.paired`, label by label as the papers write it."""

import math


def rounded(d, levels=1024):
    """Differences as they are counted."""
    return [round(each * levels) / levels for each in d]


def wealth(d, bets):
    """After each difference: mean over the bets of Π (1 + bet · d)."""
    d = rounded(d)
    lengths = range(1, len(d) + 1)
    return [sum(math.prod(1 + bet * x for x in d[:n]) for bet in bets) / len(bets) for n in lengths]


def interval(d, alpha, bets, steps=2000):
    """The means from -1 to 1, in steps, that neither player has refuted: the first and the last of them."""
    d = rounded(d)

    def refuted(mean, side):
        stakes = [1 + side * bet * (x - mean) for bet in bets for x in d]
        fortunes = [math.prod(stakes[i * len(d) : (i + 1) * len(d)]) for i in range(len(bets))]
        return sum(fortunes) / len(bets) >= 1 / alpha

    grid = [2 * k / steps - 1 for k in range(1, steps)]
    low = max([-1.0, *(mean for mean in grid if refuted(mean, 1))])
    high = min([1.0, *(mean for mean in grid if refuted(mean, -1))])
    return [low, high]
