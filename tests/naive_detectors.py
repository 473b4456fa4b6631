"""Slow, obvious twins of the detectors: each keeps the whole stream since the last reset and recomputes everything.

`TWINS[name](x, **params)` gives (index, statistic, threshold) of each drift.
"""

import itertools
import math

import numpy as np
from scipy import stats


def scale(x, warm_up):
    """The clipped range of a signal; if it starts constant, up to its first other value."""
    if len(x) < warm_up:
        return 0, 0
    s = sorted(x[:warm_up])
    n = len(s)
    low, high = s[n // 20], s[n - 1 - n // 20]
    if s[0] == s[-1]:
        other = next((value for value in x if value != s[0]), s[0])
        return min(s[0], other), max(s[0], other)
    if low == high:
        return s[0], s[-1]
    return max(s[0], low - (high - low) / 2), min(s[-1], high + (high - low) / 2)


def unit(x, lo, hi):
    if lo == hi:
        return 0.0
    return min(1.0, max(0.0, (x - lo) / (hi - lo)))


def variance_bound(y, log_inverse):
    """What the variance of values in [0, 1] is below, but for probability exp(-log_inverse)."""
    slack = max(np.mean(y), 1 - np.mean(y)) ** 2 * log_inverse / (2 * len(y))
    return min((math.sqrt(np.var(y) + slack) + math.sqrt(slack)) ** 2, 0.25)


def restart(x, first_drift):
    """Run `first_drift` over what follows each of its drifts."""
    found, start = [], 0
    while (hit := first_drift(x[start:])) is not None:
        found.append((start + hit[0], *hit[1:]))
        start += hit[0] + 1
    return found


def adwin(x, arl0, warm_up, clock=32, room=5):
    def first(x):
        lo, hi = scale(x, warm_up)
        window, sizes = [], []  # sizes of buckets, oldest first
        for at in range(warm_up, len(x)):
            window.append(unit(x[at], lo, hi))
            sizes.append(1)
            size = 1
            while sizes.count(size) > room:
                oldest = sizes.index(size)
                sizes[oldest : oldest + 2] = [2 * size]
                size *= 2
            n = len(window)
            if n % clock or n <= 10:
                continue
            y = np.array(window)
            log_term = math.log(2 * len(sizes) * 2 * arl0 / (0.999**2 * clock))
            v = variance_bound(y, math.log((math.log2(n) + 1) ** 2 * 2 / 0.001))
            best = (0, 0.0, 0.0)
            for n0 in np.cumsum(sizes)[:-1]:
                n1 = n - n0
                if min(n0, n1) < 5:
                    continue
                third = log_term / (3 * min(n0, n1))
                bound = third + math.sqrt(third**2 + 2 * v * log_term * (1 / n0 + 1 / n1))
                off = abs(y[:n0].mean() - y[n0:].mean())
                best = max(best, (off / bound, off, bound))
            if best[1] > best[2]:
                return at, best[1], best[2]
        return None

    return restart(x, first)


def page_hinkley(x, arl0, warm_up):
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


def ddm(x, arl0):
    limit = math.sqrt(1 - 2 * math.log(100 / (2.5 * 2 * arl0)))

    def first(x):
        x = np.clip(x, 0, 1)
        levels = {}
        for n in range(101, len(x) + 1):
            errors = x[:n].sum()
            if not levels and min(errors, n - errors) < 30:
                continue
            rate = 2 * math.asin(math.sqrt(errors / n))
            levels[n] = rate
            at = min(levels, key=lambda i: (levels[i] + 1 / math.sqrt(i), -i))
            statistic = (rate + 1 / math.sqrt(n) - levels[at]) * math.sqrt(at)
            if statistic > limit:
                return n - 1, statistic, limit
        return None

    return restart(x, first)


def cuts(sample, bins):
    """Edges: the quantiles, and right below each that takes a whole step and below the lowest value."""
    s = np.sort(sample)
    n = len(s)
    steps = [s[max(0, j * n // bins - 1)] for j in range(1, bins + 1)]
    edges = set(steps[:-1])
    for value, following in itertools.pairwise(steps):
        if value in (following, s[0]):
            edges.add(np.nextafter(value, -np.inf))
    return np.array(sorted(edges))


def ks(x, arl0, reference, window, bins=64, rolling=False):
    limit = math.sqrt((1 + math.log(2 * arl0)) * (reference + window) / (2 * reference * window))

    def first(x):
        room = reference + window
        for n in range(room, len(x) + 1):
            if n == room:
                edges = cuts(x[:reference], bins)
            old = x[n - room : n - window] if rolling else x[:reference]
            if rolling and n > room and (n - room) % (4 * reference) == 0:
                edges = cuts(old, bins)
            new = x[n - window : n]
            statistic = max(abs(np.mean(old <= edge) - np.mean(new <= edge)) for edge in edges)
            if statistic > limit:
                return n - 1, statistic, limit
        return None

    return restart(x, first)


def psi_threshold(before, window, arl0):
    reference, bins = sum(before), len(before)
    counts = np.arange(window + 1)
    q = (counts + 0.5) / (window + 0.5 * bins)
    found = []
    for s in reference * window / (reference + window) * np.linspace(0.04, 0.5, 24):
        total = 0.0
        for seen in before:
            r = (seen + 0.5) / (reference + 0.5 * bins)
            log_chance = stats.nbinom.logpmf(counts, seen + 0.5, reference / (reference + window))
            total += np.logaddexp.reduce(log_chance + s * (q - r) * np.log(q / r))
        found.append((total + math.log(2 * arl0)) / s)
    return min(found)


def psi(x, arl0, reference, window, bins=None, categories=False):
    bins = bins or (20 if categories else 10)

    def place(values, keys):
        if categories:
            return np.array([np.sum(values == key) for key in keys] + [np.sum(~np.isin(values, keys))])
        return np.bincount(np.searchsorted(keys, values), minlength=len(keys) + 1)

    def first(x):
        if len(x) < reference:
            return None
        old = x[:reference]
        if categories:
            codes, sizes = np.unique(old, return_counts=True)
            keep = np.flatnonzero(sizes >= 5 * reference / window)
            keys = codes[sorted(sorted(keep, key=lambda i: (-sizes[i], i))[:bins])]
        else:
            keys = cuts(old, bins)
        before = place(old, keys)
        limit = psi_threshold(before, window, arl0)
        r = (before + 0.5) / (reference + 0.5 * len(before))
        for n in range(reference + window, len(x) + 1):
            q = (place(x[n - window : n], keys) + 0.5) / (window + 0.5 * len(before))
            statistic = np.sum((q - r) * np.log(q / r))
            if statistic > limit:
                return n - 1, statistic, limit
        return None

    return restart(x, first)


TWINS = {"adwin": adwin, "ddm": ddm, "ks": ks, "page_hinkley": page_hinkley, "psi": psi}
