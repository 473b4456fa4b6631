"""KSWIN with arl0: both parts of the whole window compared at every observation."""

import numpy as np
from scipy import stats

from tests.naive._shared import restart


def chance_beyond(distance, old, recent):
    """Exact P(D > distance) for two samples without ties, by walking over all orders in which they interleave."""
    taken = np.arange(recent + 1)
    chance = np.zeros(recent + 1)
    chance[0], out = 1.0, 0.0
    for t in range(old + recent):
        left = old + recent - t
        step = chance * (recent - taken) / left
        chance = chance * np.clip(old - (t - taken), 0, None) / left
        chance[1:] += step[:-1]
        beyond = np.abs(taken * old - (t + 1 - taken) * recent) > distance * old * recent + 1e-6
        out += chance[beyond].sum()
        chance[beyond] = 0.0
    return out


def limit(old, recent, level):
    low, high = 0, old * recent
    while low < high:
        middle = (low + high) // 2
        low, high = (
            (low, middle) if chance_beyond(middle / (old * recent), old, recent) <= level else (middle + 1, high)
        )
    return low / (old * recent)


def twin(x, arl0, window_size, stat_size):
    every, old = max(1, stat_size // 32), window_size - stat_size
    threshold = limit(old, stat_size, every / (2 * arl0))

    def first(x):
        for n in range(window_size, len(x) + 1):
            if n % every == 0:
                window = x[n - window_size : n]
                statistic = stats.ks_2samp(window[:old], window[old:], method="asymp").statistic
                if statistic > threshold + 1e-12:
                    return n - 1, statistic, threshold
        return None

    return restart(x, first)
