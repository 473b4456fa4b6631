"""The proof of `evidence.paired`, label by label as the papers write it."""

import math


def wealth(d, bets):
    """After each difference: mean over the bets of Π (1 + bet · d)."""
    lengths = range(1, len(d) + 1)
    return [sum(math.prod(1 + bet * x for x in d[:n]) for bet in bets) / len(bets) for n in lengths]


def interval(d, alpha):
    """Waudby-Smith and Ramdas 2023, theorem 2, for x = (1 + d) / 2, after the last difference; λ at most 1/2."""
    x = [(1 + each) / 2 for each in d]
    weights, paid = [], 0.0
    for i in range(len(x)):
        past = x[:i]
        mean = (0.5 + sum(past)) / (i + 1)
        variance = (0.25 + sum((each - mean) ** 2 for each in past)) / (i + 1)
        weight = min(math.sqrt(2 * math.log(2 / alpha) / (variance * (i + 1) * math.log(i + 2))), 0.5)
        paid += (x[i] - mean) ** 2 * (-math.log(1 - weight) - weight)
        weights.append(weight)
    centre = sum(w * each for w, each in zip(weights, x, strict=True)) / sum(weights)
    reach = (math.log(2 / alpha) + paid) / sum(weights)
    return [max(-1.0, 2 * (centre - reach) - 1), min(1.0, 2 * (centre + reach) - 1)]
