"""The estimate's kernels written down slowly: each figure from the whole list of what happened."""

import math

import numpy as np

from stream_app.flow.calibration import BINS, BLOCKS, MEMORY, PRIOR, PRIOR_BLOCKS, WILDEST
from stream_app.models import LEARN, PREDICT

NAN = math.nan


def raw_of(row, binary):
    """(score, expected 0/1 loss at its word)."""
    if binary:
        return row[0], min(row[0], 1 - row[0])
    known = [value for value in row if value > 0]
    return (max(known), 1 - max(known)) if known else (NAN, NAN)


def shift_of(misses):
    """The weighted mean of loss minus raw loss in a bin: the older the lighter, PRIOR zeros the oldest."""
    steps = [1 / (min(i + 1, MEMORY) + PRIOR) for i in range(len(misses))]
    return sum(
        miss * step * math.prod(1 - later for later in steps[i + 1 :])
        for i, (miss, step) in enumerate(zip(misses, steps, strict=True))
    )


def expectations(kind, slot, loss, scores, binary):
    """What is expected at each operation, and per bin the misses learned from."""
    misses = {b: [] for b in range(BINS)}
    expected = []
    for i in range(len(kind)):
        score, raw = raw_of(list(scores[slot[i]]), binary)
        if not 0 <= score <= 1:
            expected.append(NAN)
            continue
        b = min(math.floor(score * BINS), BINS - 1)
        expected.append(min(1.0, max(0.0, raw + shift_of(misses[b]))))
        if kind[i] == LEARN and not math.isnan(loss[i]):
            misses[b].append(loss[i] - raw)
    return expected, misses


def followed(kind, slot, loss, expected, window, regression):
    """The figures of `totals`, `rings` and `bets` by name, after the last operation."""
    predictions, pairs, residuals, at = [], [], [], {}
    for i in range(len(kind)):
        if kind[i] == PREDICT:
            at[slot[i]] = len(predictions)
            predictions.append([expected[i], NAN])
        elif kind[i] == LEARN and abs(loss[i]) <= WILDEST:
            mine = predictions[at[slot[i]]]
            mine[1] = loss[i]
            if abs(expected[i]) <= WILDEST:
                residuals.append(loss[i] - expected[i])
            if abs(mine[0]) <= WILDEST:
                pairs.append((loss[i], mine[0], len(residuals)))
    ratios = block_ratios(pairs, window, regression)
    newest = predictions[-window:]
    last_block = len(residuals) // window * window
    return {
        "predicted": len(predictions),
        "labelled": len(residuals),
        "blocks": min(len(pairs) // window, BLOCKS),
        "inflation": inflation(ratios),
        "newest": newest,
        "residuals": residuals[-window:],
        "young": bets(residuals[last_block:], window),
        "old": bets(residuals[:last_block][-window:], window),
    }


def block_ratios(pairs, window, regression):
    """(Σ residual)² / Σ variance of each whole block."""
    ratios = []
    for start in range(0, len(pairs) - window + 1, window):
        block = range(start, start + window)
        off = sum(pairs[j][0] - pairs[j][1] for j in block)
        ratios.append(off**2 / sum(variance(pairs, j, window, regression) for j in block))
    return ratios


def variance(pairs, j, window, regression):
    """Of the loss of one event, by what was known when its label came."""
    expected = pairs[j][1]
    if not regression:
        return expected * (1 - expected)
    squares = [(each[0] - each[1]) ** 2 for each in pairs[: j + 1]]
    expected_squares = [each[1] ** 2 for each in pairs[: j + 1]]
    steps = [1 / min(max(each[2], 1), 10 * window) for each in pairs[: j + 1]]
    left = np.append(np.cumprod(1 - np.array(steps[:0:-1]))[::-1], 1.0)  # of each, after all later ones
    weights = left * steps
    return expected**2 * np.dot(weights, squares) / np.dot(weights, expected_squares)


def inflation(ratios):
    value = 1.0
    for n, ratio in enumerate(ratios, 1):
        value += (ratio - value) / (min(n, BLOCKS) + PRIOR_BLOCKS)
    return value


def bets(residuals, window):
    """(mean weight, weighted, paid) of the predictable plug-in empirical-Bernstein sequence."""
    x = [(r + 1) / 2 for r in residuals]
    means = [(0.5 + sum(x[:i])) / (i + 1) for i in range(len(x) + 1)]  # of those before i
    rates = []
    for i in range(len(x)):
        spread = (0.25 + sum((x[j] - means[j + 1]) ** 2 for j in range(i))) / (i + 1)
        rates.append(min(0.5, math.sqrt(2 * math.log(2 / 0.05) / (spread * window))))
    paid = [(x[i] - means[i]) ** 2 * (-math.log(1 - rate) - rate) for i, rate in enumerate(rates)]
    return sum(rates), sum(rate * value for rate, value in zip(rates, x, strict=True)), sum(paid)
