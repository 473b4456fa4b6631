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
    ("nautical mile", "km", 1.852, 0.0),
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
NEAR = 0.03  # how far a factor that was found may be from a known one
LEAST_FACTOR = 1.2  # nearer to 1, a shift or a spread says it as well
LEFT = 0.35  # of the effect: more than this left over, and a mapping does not explain the change
MOVED = 0.15  # of the width (5 % to 95 %): a middle that moved less has stayed
FROZEN = 0.25  # share that a single value gained
BLUR = 0.005  # of the width: values this near are the same, or rounding would look like a change
QUANTILES = np.linspace(0.05, 0.95, 19)


@dataclass(frozen=True, slots=True)
class Kind:
    """`phrase` goes on after the name of the column."""

    word: str
    phrase: str
    detail: dict[str, Any] = field(default_factory=dict)


def of_numbers(before: Floats, after: Floats, effect: float) -> Kind:
    """The kind of change between two sorted, non-empty samples that lie `effect` apart."""
    with np.errstate(all="ignore"):
        return _frozen(before, after, effect) or _mapped(before, after, effect) or _otherwise(before, after)


def of_categories(before: Ints, after: Ints, names: list[str], log10_p: Floats) -> Kind:
    """The kind of change between two tallies of the same categories, given the evidence for each of them."""
    p, q = before / before.sum(), after / after.sum()
    top = int(np.lexsort((-np.abs(q - p), log10_p))[0])
    appeared, gone = (after > 0) & (p < 0.02 * q), (before > 0) & (q < 0.02 * p)
    pair = _pair(before, after, top, appeared, gone)
    if pair:
        old, new = (names[i] for i in pair)
        return Kind("renamed", f"calls {old} now {new}: {old} → {new}", {"from": old, "to": new})
    most = int(q.argmax())
    if q[most] > 0.95 and p[most] < 0.8:
        return Kind("frozen", f"is {names[most]} in {q[most]:.1%} instead of {p[most]:.1%}", {"value": names[most]})
    share = f"{names[top]} in {q[top]:.1%} instead of {p[top]:.1%}"
    if appeared[top]:
        return Kind("new", f"has a new category, {share}", {"category": names[top]})
    if gone[top]:
        return Kind("vanished", f"has lost a category, {share}", {"category": names[top]})
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
    values, counts = np.unique(after, return_counts=True)
    shares = counts / len(after)
    had = np.searchsorted(before, values, "right") - np.searchsorted(before, values, "left")
    gains = shares - had / len(before)
    top = int(gains.argmax())
    others = len(np.unique(before)) / len(before)
    if gains[top] < max(FROZEN, 0.5 * effect) or (others < 0.1 and shares[top] < 1) or before[0] == before[-1]:
        return None  # of a few values, one is always frequent
    value = float(values[top])
    phrase = f"is {value:.6g} in {shares[top]:.1%} instead of {shares[top] - gains[top]:.1%}"
    return Kind("frozen", phrase, {"value": value, "share": float(shares[top])})


def _mapped(before: Floats, after: Floats, effect: float) -> Kind | None:
    """The simplest mapping that removes the difference: a known conversion, then what leaves least of it."""
    q, r = np.quantile(before, QUANTILES), np.quantile(after, QUANTILES)
    en = len(before) * len(after) / (len(before) + len(after))
    allowed = min(LEFT * effect, 1.36 / np.sqrt(en) + 0.02) if before[0] < before[-1] else 0.5 * effect
    found = []
    for order, (factor, offset, kind) in enumerate(_candidates(q, r)):
        left = _distance(before, (after - offset) / factor)
        if left <= allowed:
            found.append((round(left - (0.02 if "unit" in kind.detail else 0.0), 3), order, kind))
    return min(found, key=lambda each: each[:2])[2] if found else None


def _candidates(q: Floats, r: Floats) -> list[tuple[float, float, Kind]]:
    width, middle = q[-1] - q[0], r[len(r) // 2] - q[len(q) // 2]
    found = []
    if width > 0 and r[-1] > r[0]:
        found += _conversions(q, r)
        away = np.abs(q) > 0.05 * np.abs(q).max()
        factor = float(np.median(r[away] / q[away]))
        if abs(np.log(abs(factor) or 1.0)) > np.log(LEAST_FACTOR) and np.isfinite(factor):
            detail = {"factor": factor}
            found.append((factor, 0.0, Kind("unit", f"is {factor:.4g} times what it was", detail)))
    shift = float(np.median(r - q))
    moved = f"{'rose' if shift > 0 else 'fell'} by {abs(shift):.4g}"
    if shift:
        found.append((1.0, shift, Kind("shifted", moved, {"shift": shift})))
    if width > 0 and r[-1] > r[0] and abs(middle) < MOVED * max(width, r[-1] - r[0]):
        times = float(_width(r) / _width(q)) if _width(q) > 0 else 0.0
        if times > 0:
            phrase = f"is spread {times:.3g} times as wide as before, around the same middle"
            offset = float(np.median(r) - times * np.median(q))
            found.append((times, offset, Kind("spread", phrase, {"factor": times})))
    return found


def _conversions(q: Floats, r: Floats) -> list[tuple[float, float, Kind]]:
    """Known conversions, there or back, whose quantiles are near those found; and the turned sign."""
    found = []
    scale = np.abs(r).max()
    for old, new, factor, offset in CONVERSIONS:
        for a, b, names in ((factor, offset, (old, new)), (1 / factor, -offset / factor, (new, old))):
            if np.median(np.abs(a * q + b - r)) <= NEAR * min(scale, max(r[-1] - r[0], NEAR * scale)):
                detail = {"factor": a, "offset": b, "unit": f"{names[0]} → {names[1]}"}
                plus = f" {b:+.4g}" if b else ""
                phrase = f"is {a:.4g} times what it was{plus}, as from {names[0]} to {names[1]}"
                found.append((a, b, Kind("unit", phrase, detail)))
    turned = Kind("unit", "has the opposite sign", {"factor": -1.0, "offset": 0.0, "unit": "sign"})
    return [*found, (-1.0, 0.0, turned)]


def _distance(before: Floats, mapped: Floats) -> float:
    """The gap of the distribution functions that remains, values within a blur being the same (as Levy's distance)."""
    mapped = np.sort(mapped)
    if not np.isfinite(mapped).all():
        return 1.0
    blur = BLUR * (np.quantile(before, 0.95) - np.quantile(before, 0.05)) + 1e-9 * np.abs(before).max()
    at = np.arange(1, len(before) + 1) / len(before)
    over = at - np.searchsorted(mapped, before + blur, "right") / len(mapped)
    under = np.searchsorted(mapped, before - blur, "left") / len(mapped) - (at - 1 / len(before))
    return float(max(over.max(), under.max(), 0.0))


def _otherwise(before: Floats, after: Floats) -> Kind:
    q, r = (np.quantile(x, QUANTILES) for x in (before, after))
    means = f"mean from {before.mean():.4g} to {after.mean():.4g}"
    if abs(np.median(r) - np.median(q)) < MOVED * _width(q) and _width(q) > 0:
        times = _width(r) / _width(q)
        if not 1 / LEAST_FACTOR < times < LEAST_FACTOR and np.isfinite(times):
            return Kind("spread", f"is spread {times:.3g} times as wide as before, {means}", {"factor": float(times)})
    return Kind("distribution", f"changed its distribution, {means}")


def _width(quantiles: Floats) -> Any:
    """Between the quartiles; of all quantiles if those are one."""
    inner = quantiles[14] - quantiles[4]
    return inner if inner > 0 else quantiles[-1] - quantiles[0]
