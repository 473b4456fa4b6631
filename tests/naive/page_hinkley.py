"""Page-Hinkley with arl0, every sum computed from the whole stream."""

import math

import numpy as np

from tests.naive._shared import restart, scale, unit, variance_bound


def twin(x, arl0, warm_up):
    limit = math.log(16 * arl0) - 2 * math.log(0.999)

    def first(x):
        lo, hi = scale(x, warm_up)
        y = np.array([unit(value, lo, hi) for value in x[warm_up:]])
        sums = {}
        for i in range(warm_up, len(y)):
            if math.log2(i / warm_up) % 1 == 0:  # tune to all that came before
                log_inverse = math.log(4 * (math.log2(i / warm_up) + 1) * (math.log2(i / warm_up) + 2) / 0.001)
                v, m = max(variance_bound(y[:i], log_inverse), 1e-12), y[:i].mean()
                error = log_inverse / (3 * i) + math.sqrt((log_inverse / (3 * i)) ** 2 + 2 * v * log_inverse / i)
            mean = y[:i].mean()
            for side in (1, -1):
                b = min(1, (1 - m if side > 0 else m) + error)
                for shift in (0.15, 0.3, 0.6, 1.2):
                    w = math.log(1 + shift * b / math.sqrt(v)) / b
                    cost = w * error + v * (math.exp(w * b) - 1 - w * b) / b**2
                    sums[side, shift] = max(0, sums.get((side, shift), 0) + w * side * (y[i] - mean) - cost)
            if max(sums.values()) > limit:
                return warm_up + i, max(sums.values()), limit
        return None

    return restart(x, first)
