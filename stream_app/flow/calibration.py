"""The compiled part of `estimate`: an online calibration map, and what is known of the newest predictions and labels.

Both kernels walk the operations in tape order: an expected loss rests on the labels learned before it alone. At LEARN
it is what would be expected of the event now, before its label is learned.
"""

import math
from typing import Any

from numba import njit

from stream_app.messages import Floats, Ints
from stream_app.models import LEARN, PREDICT

BINS = 20  # of equal width over the score
MEMORY = 1000.0  # labels of a bin after which the older half of its evidence weighs less than 1/e
PRIOR = 10.0  # labels that the raw score is worth: a bin with few labels stays close to it
BLOCKS = 50.0  # blocks after which the inflation forgets
PRIOR_BLOCKS = 2.0  # blocks that "no dependence" is worth
WILDEST = 1e60  # larger losses teach nothing: their squares would drown all others

PREDICTED, LABELLED, RESIDUAL, VARIANCE, IN_BLOCK, BLOCK, INFLATION, RESIDUAL_2, EXPECTED_2 = range(9)  # of `totals`
TRUE, EXPECTED = range(2)  # of `losses`: what came true, at LEARN; what is expected, at both
N, SUM, SQUARES, WEIGHT, WEIGHTED, PAID = range(6)  # of a confidence sequence


@njit(cache=True, error_model="numpy")
def raw_loss(row: Floats, binary: bool) -> tuple[float, float]:
    """The score that is calibrated, and the expected 0/1 loss if it were a probability; NaN without a prediction."""
    if binary:
        return row[0], min(row[0], 1 - row[0])
    best = 0.0
    for c in range(row.shape[0]):
        best = max(best, row[c])  # NaN loses
    return (best, 1 - best) if best > 0 else (math.nan, math.nan)


@njit(cache=True, nogil=True, error_model="numpy")
def calibrate(kind: Any, slot: Ints, losses: Floats, scores: Floats, binary: bool, bins: Floats) -> None:
    """Fills `losses[EXPECTED]`: raw loss plus the shift of its bin, which at LEARN then follows loss minus raw loss.

    `bins` [2, BINS] holds labels, up to MEMORY, and shifts. The first MEMORY labels of a bin weigh the same, beside
    PRIOR labels without any shift; later ones 1 / (MEMORY + PRIOR) each.
    """
    for i in range(kind.shape[0]):
        score, raw = raw_loss(scores[slot[i]], binary)
        if not (0 <= score <= 1):
            continue
        b = min(int(score * BINS), BINS - 1)
        losses[EXPECTED, i] = min(max(raw + bins[1, b], 0.0), 1.0)
        if kind[i] == LEARN and not math.isnan(losses[TRUE, i]):
            bins[0, b] = min(bins[0, b] + 1, MEMORY)
            bins[1, b] += (losses[TRUE, i] - raw - bins[1, b]) / (bins[0, b] + PRIOR)


@njit(cache=True, nogil=True, error_model="numpy")
def follow(
    kind: Any, slot: Ints, losses: Floats, told: Floats, number: Ints, rings: Floats, totals: Floats, bets: Floats
) -> None:
    """Numbers the predictions, fills the rings, and measures how far residuals wander over blocks of a window.

    `told` and `number` are by slot: what was expected at PREDICT, of which prediction. `rings` [3, window]: expected
    losses of the newest predictions, their losses (NaN: no label yet), and the residuals of the newest labels: loss
    minus what is expected of the event now, so that nothing is corrected twice that labels have taught since.
    """
    window = rings.shape[1]
    for i in range(kind.shape[0]):
        s, loss, expected = slot[i], losses[TRUE, i], losses[EXPECTED, i]
        if kind[i] == PREDICT:
            told[s], number[s] = expected, int(totals[PREDICTED])
            place = number[s] % window
            rings[0, place], rings[1, place] = expected, math.nan
            totals[PREDICTED] += 1
        elif kind[i] == LEARN and abs(loss) <= WILDEST:
            if totals[PREDICTED] - number[s] <= window:
                rings[1, number[s] % window] = loss
            if abs(expected) <= WILDEST:
                _labelled(loss - expected, rings[2], totals, bets)
            if abs(told[s]) <= WILDEST:
                _compare(loss, told[s], window, totals)


@njit(cache=True, error_model="numpy")
def _labelled(residual: float, residuals: Floats, totals: Floats, bets: Floats) -> None:
    window = residuals.shape[0]
    residuals[int(totals[LABELLED]) % window] = residual
    totals[LABELLED] += 1
    bet(bets[0], residual, window)
    if bets[0, N] >= window:
        bets[1], bets[0] = bets[0], 0.0


@njit(cache=True, error_model="numpy")
def _compare(loss: float, told: float, window: int, totals: Floats) -> None:
    """What came true beside what was told, by blocks of a window of labels."""
    residual = loss - told
    keep = 1 - 1 / min(max(totals[LABELLED], 1.0), 10.0 * window)
    totals[RESIDUAL_2] = keep * totals[RESIDUAL_2] + (1 - keep) * residual * residual
    totals[EXPECTED_2] = keep * totals[EXPECTED_2] + (1 - keep) * told * told
    totals[RESIDUAL] += residual
    totals[VARIANCE] += variance(told, totals)
    totals[IN_BLOCK] += 1
    if totals[IN_BLOCK] < window:
        return
    if totals[VARIANCE] > 0:
        totals[BLOCK] = min(totals[BLOCK] + 1, BLOCKS)
        ratio = totals[RESIDUAL] * totals[RESIDUAL] / totals[VARIANCE]
        totals[INFLATION] += (ratio - totals[INFLATION]) / (totals[BLOCK] + PRIOR_BLOCKS)
    totals[RESIDUAL], totals[VARIANCE], totals[IN_BLOCK] = 0.0, 0.0, 0.0


@njit(cache=True, error_model="numpy")
def variance(expected: Any, totals: Floats) -> Any:
    """Of the loss of one event: e (1 - e) of a 0/1 loss; else c e², c being what residuals have shown so far."""
    if totals.shape[0] == EXPECTED_2 + 1:
        return expected * (1 - expected)
    return expected * expected * (totals[RESIDUAL_2] / totals[EXPECTED_2] if totals[EXPECTED_2] > 0 else 0.0)


@njit(cache=True, error_model="numpy")
def bet(sequence: Floats, residual: float, window: int) -> None:
    """One step of the predictable plug-in empirical-Bernstein confidence sequence (Waudby-Smith, Ramdas 2024, th. 2).

    x = (residual + 1) / 2 lies in [0, 1]; the rate is the best for a look after `window` labels, and valid at all.
    """
    x, n = (residual + 1) / 2, sequence[N]
    mean = (0.5 + sequence[SUM]) / (n + 1)
    spread = (0.25 + sequence[SQUARES]) / (n + 1)
    rate = min(0.5, math.sqrt(2 * math.log(40.0) / (spread * window)))
    sequence[WEIGHT] += rate
    sequence[WEIGHTED] += rate * x
    sequence[PAID] += (x - mean) ** 2 * (-math.log(1 - rate) - rate)
    sequence[N], sequence[SUM] = n + 1, sequence[SUM] + x
    sequence[SQUARES] += (x - (0.5 + sequence[SUM]) / (n + 2)) ** 2
