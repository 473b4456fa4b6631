"""What kind of change two different samples of a column show, in a word, in a phrase and in figures.

For numbers, in this order: `frozen` (one value took a large share), then whatever maps the old values onto the new
ones so that no difference is left: `unit` (times a constant), `shifted` (plus a constant), `spread` (wider or narrower
around the same middle); `distribution` if nothing does. For categories: `renamed`, `new`, `vanished`, `frozen`,
`shares`.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stream_app.messages import Bools, Floats, Ints

CONVERSIONS = (  # what became what, factor, offset: after = factor * before + offset
    ("mile", "km", 1.609344, 0.0),
    ("inch", "cm", 2.54, 0.0),
    ("inch", "mm", 25.4, 0.0),
    ("inch", "m", 0.0254, 0.0),
    ("foot", "m", 0.3048, 0.0),
    ("pound", "kg", 0.45359237, 0.0),
    ("m/s", "km/h", 3.6, 0.0),
    ("hour", "minute", 60.0, 0.0),
    ("hour", "second", 3600.0, 0.0),
    ("share", "percent", 100.0, 0.0),
    ("thousands", "ones", 1000.0, 0.0),
    ("millions", "ones", 1e6, 0.0),
    ("Celsius", "Fahrenheit", 1.8, 32.0),
    ("Celsius", "Kelvin", 1.0, 273.15),
)
WAYS = [
    way
    for old, new, factor, offset in CONVERSIONS
    for way in ((old, new, factor, offset), (new, old, 1 / factor, -offset / factor))
]  # there and back
FACTORS, OFFSETS = (np.array([way[i] for way in WAYS]) for i in (2, 3))
NEAR = 0.1  # of the range: new quantiles farther than this from the converted old ones need no closer look
LEAST_FACTOR = 1.2  # nearer to 1, a shift or a spread says it as well
FAR = 10.0  # a factor beyond it is a unit even around zero
LEFT = 0.2  # of the effect: a mapping that leaves less explains the change, whatever else goes on
MOVED = 0.15  # of the width (5 % to 95 %): a middle that moved less has stayed
EACH = -2  # log10 of the p-value that both the old and the new name of a category need
GAINED, VARIED = 0.1, 6  # of a frozen value: the share it gained at least, among so many values at least
BLUR = 0.005  # of the width: values this near are the same, or rounding would look like a change
RECURRING = 0.3  # share of rows whose value another row has, from which values are known ones (prices, distances)
EXACT, DETUNED = 0.9, 1.003  # share of new values that a conversion maps onto old ones; a factor that is not quite it
QUANTILES = np.linspace(0.05, 0.95, 19)


@dataclass(frozen=True, slots=True)
class Kind:
    """`phrase` goes on after the name of the column."""

    word: str
    phrase: str
    detail: dict[str, Any] = field(default_factory=dict)


Mapping = tuple[float, float, Kind]  # factor and offset from the old values to the new ones


def of_numbers(before: Floats, after: Floats, effect: float, *, has_unit: bool = True) -> Kind:
    """The kind of change between two sorted, non-empty samples that lie `effect` apart."""
    with np.errstate(all="ignore"):
        return _frozen(before, after, effect) or _mapped(before, after, effect, has_unit) or _otherwise(before, after)


def of_categories(before: Ints, after: Ints, names: list[str], log10_p: Floats) -> Kind:
    """The kind of change between two tallies of the same categories, given the evidence for each of them."""
    p, q = before / before.sum(), after / after.sum()
    top = int(np.lexsort((-np.abs(q - p), log10_p))[0])
    appeared, gone = (after > 0) & (p < 0.02 * q), (before > 0) & (q < 0.02 * p)
    sure = log10_p <= EACH
    pair = _pair(before, after, top, appeared & sure, gone & sure)
    if pair:
        old, new = (names[i] for i in pair)
        return Kind("renamed", f"has {new} instead of {old}: {old} → {new}", {"from": old, "to": new})
    most = int(q.argmax())
    if q[most] > 0.95 and p[most] < 0.8:
        return Kind("frozen", f"is {names[most]} in {q[most]:.1%} instead of {p[most]:.1%}", {"value": names[most]})
    share = f"{names[top]} in {q[top]:.1%} instead of {p[top]:.1%}"
    if appeared[top]:
        return Kind("new", f"has the new category {share}", {"category": names[top]})
    if gone[top]:
        return Kind("vanished", f"has lost a category: {share}", {"category": names[top]})
    return Kind("shares", f"changed its shares, {share}", {"category": names[top]})


def _pair(before: Ints, after: Ints, top: int, appeared: Bools, gone: Bools) -> tuple[int, int] | None:
    """The category that vanished and the new one of about the same share, if the strongest evidence is one of them."""
    n, m = int(before.sum()), int(after.sum())
    others = np.flatnonzero(gone if appeared[top] else appeared)
    if not ((appeared[top] or gone[top]) and len(others)):
        return None
    p, q = before / n, after / m
    mine, theirs = (q, p) if appeared[top] else (p, q)
    other = int(others[np.abs(theirs[others] - mine[top]).argmin()])
    share = (mine[top] + theirs[other]) / 2
    noise = np.sqrt(share * (1 - share) * (1 / n + 1 / m))
    if abs(mine[top] - theirs[other]) > 3 * noise + 0.1 * share:
        return None
    return (other, top) if appeared[top] else (top, other)


def _frozen(before: Floats, after: Floats, effect: float) -> Kind | None:
    """One value gained far more than any other, and as much as the whole distribution moved."""
    values, counts = np.unique(after, return_counts=True)
    had = np.searchsorted(before, values, "right") - np.searchsorted(before, values, "left")
    shares = counts / len(after)
    gains = shares - had / len(before)
    top, second = int(gains.argmax()), float(np.partition(gains, -2)[-2]) if len(gains) > 1 else 0.0
    if gains[top] < max(GAINED, 0.9 * effect, 3 * second) or _different(before) < VARIED:
        return None
    value = float(values[top])
    phrase = f"is {value:.6g} in {shares[top]:.1%} instead of {shares[top] - gains[top]:.1%}"
    return Kind("frozen", phrase, {"value": value, "share": float(shares[top])})


def _mapped(before: Floats, after: Floats, effect: float, has_unit: bool) -> Kind | None:
    """The mapping that leaves least of the difference, a known conversion first."""
    q, r = quantiles(before, QUANTILES), quantiles(after, QUANTILES)
    chance = 1.63 * np.sqrt(1 / len(before) + 1 / len(after)) + BLUR  # of two like samples, 1 in 100 lies farther apart
    allowed = float(max(min(0.5 * effect, chance), LEFT * effect)) if before[0] < before[-1] else 0.5
    candidates = _known_values(before, after, _candidates(q, r, has_unit))
    found = [
        (round(_distance(before, (after - offset) / factor), 2), order, kind)
        for order, (factor, offset, kind) in enumerate(candidates)
    ]
    if len(found) == 1 and "unit" in found[0][2].detail:
        return found[0][2]
    fits = sorted(each[:2] for each in found if each[0] <= allowed)
    kinds = {order: kind for _, order, kind in found}
    named = [(left, kinds[order]) for left, order in fits if "unit" in kinds[order].detail]
    clear = len(named) == 1 or (len(named) > 1 and named[1][0] > 2 * named[0][0] + BLUR)  # else too few rows to tell
    if clear and not _needless(before, after, named[0][1], allowed):
        return named[0][1]
    others = [kinds[order] for _, order in fits if "unit" not in kinds[order].detail]
    return others[0] if others else None


def _known_values(before: Floats, after: Floats, candidates: list[Mapping]) -> list[Mapping]:
    """Where values recur, a conversion maps new ones onto old ones: that one alone is left, or none of a unit."""
    if _different(before) > (1 - RECURRING) * len(before):
        return candidates
    whole = bool((after == np.round(after)).all())
    kept = []
    for factor, offset, kind in candidates:
        if "unit" not in kind.detail:
            kept.append((factor, offset, kind))
            continue
        mapped = (after - offset) / factor
        blur = 0.5 / abs(factor) if whole else 1e-6 * np.abs(before).max()
        if _recurring(before, mapped * DETUNED, blur) > 0.5:  # old values are everywhere: they tell nothing
            kept.append((factor, offset, kind))
        elif _recurring(before, mapped, blur) >= EXACT:
            return [(factor, offset, kind)]
    return kept


def _recurring(before: Floats, mapped: Floats, blur: float) -> float:
    """The share of values that are within a blur of some old value."""
    at = np.clip(np.searchsorted(before, mapped), 1, len(before) - 1)
    return float((np.minimum(np.abs(before[at] - mapped), np.abs(before[at - 1] - mapped)) <= blur).mean())


def _needless(before: Floats, after: Floats, kind: Kind, allowed: float) -> bool:
    """Whether it does as well without the offset, which then says nothing."""
    return bool(kind.detail["offset"]) and _distance(before, after / kind.detail["factor"]) <= allowed


def _candidates(q: Floats, r: Floats, has_unit: bool) -> list[Mapping]:
    """Mappings (factor, offset) from the old quantiles to the new ones."""
    shift = float(np.median(r - q))
    moved = f"{'rose' if shift > 0 else 'fell'} by {abs(shift):.4g}"
    found = [(1.0, shift, Kind("shifted", moved, {"shift": shift}))] if shift else []
    if not (q[-1] > q[0] and r[-1] > r[0]):
        return found
    times = _times(q, r)
    spread = _stayed(q, r) and times > 0 and not 1 / LEAST_FACTOR < times < LEAST_FACTOR
    away = np.abs(q) > 0.05 * np.abs(q).max()
    factor = float(np.median(r[away] / q[away]))
    if has_unit and factor and not (spread and q[0] < 0 < q[-1]) and abs(np.log(abs(factor))) > np.log(LEAST_FACTOR):
        found.insert(0, (factor, 0.0, Kind("unit", f"is {factor:.4g} times what it was", {"factor": factor})))
    if spread:
        phrase = f"is spread {times:.3g} times as wide as before, around the same middle"
        found.append((times, float(np.median(r) - times * np.median(q)), Kind("spread", phrase, {"factor": times})))
    named = _conversions(q, r) if has_unit else []
    if spread and q[0] < 0 < q[-1]:  # around zero, a factor is a spread as well
        named = [each for each in named if not 1 / FAR < each[0] < FAR]
    return named + found


def _conversions(q: Floats, r: Floats) -> list[Mapping]:
    """Known conversions, there or back, whose quantiles are near those found; and the turned sign."""
    found = []
    off = np.median(np.abs(FACTORS[:, None] * q + OFFSETS[:, None] - r), axis=1)
    for i in np.flatnonzero(off <= NEAR * (r[-1] - r[0])).tolist():
        old, new, a, b = WAYS[i]
        plus = f" {'+-'[b < 0]} {abs(b):.4g}" if b else ""
        phrase = f"is {a:.4g} times what it was{plus}, as from {old} to {new}"
        found.append((a, b, Kind("unit", phrase, {"factor": a, "offset": b, "unit": f"{old} → {new}"})))
    return [*found, (-1.0, 0.0, Kind("unit", "has the opposite sign", {"factor": -1.0, "offset": 0.0, "unit": "sign"}))]


def _distance(before: Floats, mapped: Floats) -> float:
    """The gap of the distribution functions that remains, values within a blur being the same (as Levy's distance)."""
    mapped = mapped if mapped[0] <= mapped[-1] else mapped[::-1]  # a mapping keeps the order, or turns it
    if not np.isfinite(mapped).all():
        return 1.0
    low, high = quantiles(before, QUANTILES[[0, -1]])
    blur = BLUR * (high - low) + 1e-9 * max(abs(before[0]), abs(before[-1]))
    at = np.arange(1, len(before) + 1) / len(before)
    over = at - np.searchsorted(mapped, before + blur, "right") / len(mapped)
    under = np.searchsorted(mapped, before - blur, "left") / len(mapped) - (at - 1 / len(before))
    return float(max(over.max(), under.max(), 0.0))


def quantiles(ordered: Floats, q: Floats) -> Floats:
    """Quantiles of sorted numbers, by linear interpolation, as numpy's default."""
    at = q * (len(ordered) - 1)
    below = at.astype(np.int64)
    above, part = np.minimum(below + 1, len(ordered) - 1), at - below
    found: Floats = ordered[below] * (1 - part) + ordered[above] * part
    return found


def _different(ordered: Floats) -> int:
    """How many different values there are among sorted ones."""
    return 1 + int(np.count_nonzero(ordered[1:] != ordered[:-1]))


def _otherwise(before: Floats, after: Floats) -> Kind:
    means = f"mean from {before.mean():.4g} to {after.mean():.4g}"
    return Kind("distribution", f"changed its distribution, {means}")


def _stayed(q: Floats, r: Floats) -> bool:
    """Whether the middle is where it was."""
    return bool(abs(np.median(r) - np.median(q)) < MOVED * (q[-1] - q[0]))


def _times(q: Floats, r: Floats) -> float:
    """How many times as far apart the quartiles are; 0 if one of them is a single value."""
    inner, inner_after = q[14] - q[4], r[14] - r[4]
    return float(inner_after / inner) if inner > 0 and np.isfinite(inner_after / inner) else 0.0
