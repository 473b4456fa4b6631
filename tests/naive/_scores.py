"""Uniform scores, each recomputed from the whole stream since the last reset."""

import bisect


def tie_breaker(ordinal):
    mask = 2**64 - 1
    h = ordinal * 0x9E3779B97F4A7C15 & mask
    h = (h ^ h >> 30) * 0xBF58476D1CE4E5B9 & mask
    h = (h ^ h >> 27) * 0x94D049BB133111EB & mask
    return (((h ^ h >> 31) >> 12) + 0.5) / 2**52


def uniform_scores(x, start, warm_up, ever=0):
    """(index, u) of each value that is scored when the detector starts over at `start`."""
    yield from ((at, u) for at, u, _ in ranked(x, start, warm_up, ever))


def ranked(x, start, warm_up, ever=0):
    """The same, and what u would be if half of the equal values lay below."""
    ordered = sorted(x[start : start + warm_up])
    edges = sorted({ordered[j * (warm_up - 1) // 63] for j in range(64)}) if len(x) >= start + warm_up else []

    def cell(value):
        return 2 * bisect.bisect_left(edges, value) + (value in edges)

    cells = sorted(cell(value) for value in ordered)
    for at in range(start + warm_up, len(x)):
        place, seen = cell(x[at]), at - start
        below = bisect.bisect_left(cells, place)
        same = bisect.bisect_right(cells, place) - below
        if len(set(x[start:at])) > 1:
            u = (below + tie_breaker(ever + at + 1) * (same + 1)) / (seen + 1)
            yield at, u, (below + (same + 1) / 2) / (seen + 1)
        bisect.insort(cells, place)


def scored_restarts(x, warm_up, first_drift):
    """Run `first_drift` over the scores, from the start and again after each of its drifts."""
    found, start = [], 0
    while (hit := first_drift(uniform_scores(x, start, warm_up))) is not None:
        found.append(hit)
        start = hit[0] + 1
    return found
