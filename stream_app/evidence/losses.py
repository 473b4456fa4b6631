"""What a change costs: the loss before and after it, over all events and in the segments where it rose most.

Two figures of the same loss: `error`, realised, where the label is known, and `expected`, estimated before it is. The
intervals are those of sampling alone: an estimate that is itself off (the model is no longer calibrated, the concept
has changed) may be off by more, and labels that come late are those of events that have ended, not of all.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from math import log10
from types import MappingProxyType
from typing import Any

import numpy as np
from scipy.special import log_ndtr, stdtrit

from stream_app.evidence.table import Table, known
from stream_app.evidence.usual import widened
from stream_app.messages import Bools, Floats

LEAST = 5  # rows on each side: fewer tell nothing
TRUSTED = 30  # labels on each side, for segments by realised losses
MOST = 5  # segments named
LOG_10 = float(np.log(10))

Mask = tuple[str, Bools, Bools]  # the name of a segment, and which rows before and after are in it


@dataclass(frozen=True, slots=True)
class Rise:
    """Mean loss before and after, and the 95 % interval of the difference; its standard error."""

    before: float
    after: float
    low: float
    high: float
    error: float

    @property
    def by(self) -> float:
        return self.after - self.before

    def plain(self) -> dict[str, Any]:
        return {"before": self.before, "after": self.after, "change": self.by, "interval": [self.low, self.high]}


def harm(
    before: Table,
    after: Table,
    tolerance: float = 0.05,
    least: float = 1e-3,
    varies: Mapping[str, float] = MappingProxyType({}),
) -> dict[str, Any]:
    """Loss before and after, `estimated` and `realised`; `excess_per_event` by the better known of the two (`basis`).

    Realised counts unless its interval is more than twice as wide, and includes no change. `benign`: True if the loss
    rose by less than `tolerance` of what it was (or `least`, in units of the loss), False if it rose for sure, None if
    that is not clear, by fewer than `TRUSTED` labels a side, or nothing is known. Intervals: Welch, one more row at
    each end of the range (as Agresti and Caffo do for rates), so that a few equal losses do not look certain; `varies`,
    the deviation of the `estimated` and the `realised` mean loss from one such stretch of time to the next, makes them
    wider.
    """
    estimated = _varying(_rise(known(before.expected), known(after.expected)), varies.get("estimated", 0.0))
    realised = _varying(_rise(known(before.error), known(after.error)), varies.get("realised", 0.0))
    basis, best = _better(realised, estimated)
    facts: dict[str, Any] = {
        "basis": basis,
        "excess_per_event": best.by if best else None,
        "interval": [best.low, best.high] if best else None,
        "benign": None,
        "estimated": estimated.plain() if estimated else None,
        "realised": realised.plain() if realised else None,
        "labels_before": int(np.isfinite(before.error).sum()),
        "labels_after": int(np.isfinite(after.error).sum()),
    }
    few = basis == "realised" and min(facts["labels_before"], facts["labels_after"]) < TRUSTED
    if best is None or few:
        return facts
    if best.low > 0:
        facts["benign"] = False
    elif best.high < max(tolerance * abs(best.before), least):
        facts["benign"] = True
    return facts


def _varying(rise: Rise | None, deviation: float) -> Rise | None:
    if rise is None:
        return None
    low, high = widened((rise.low, rise.high), deviation)
    return replace(rise, low=low, high=high, error=float(np.hypot(rise.error, deviation)))


def _better(realised: Rise | None, estimated: Rise | None) -> tuple[str, Rise | None]:
    if realised and estimated:
        sure = realised.low > 0 or realised.high < 0
        close = realised.high - realised.low <= 2 * (estimated.high - estimated.low)
        return ("realised", realised) if sure or close else ("estimated", estimated)
    if realised:
        return "realised", realised
    return ("estimated", estimated) if estimated else ("unknown", None)


def _rise(before: Floats, after: Floats, ends: tuple[float, float] | None = None) -> Rise | None:
    """The means of two samples and their difference; None if there are too few. `ends`: the range of the loss."""
    x, y = before[~np.isnan(before)], after[~np.isnan(after)]
    if min(len(x), len(y)) < LEAST:
        return None
    low, high = ends or _range(x, y)
    parts = [float(np.append(z, [low, high]).var(ddof=1)) / (len(z) + 2) for z in (x, y)]
    total = sum(parts)
    by, error = float(y.mean() - x.mean()), float(np.sqrt(total))
    squares = sum((part / total) ** 2 / (len(z) + 1) for part, z in zip(parts, (x, y), strict=True)) if total else 1.0
    half = float(stdtrit(1 / squares, 0.975)) * error
    return Rise(float(x.mean()), float(y.mean()), by - half, by + half, error)


def _range(x: Floats, y: Floats) -> tuple[float, float]:
    """From where to where losses go: 0 to 1 for right or wrong, else as far as was seen."""
    both = np.concatenate([x, y])
    if ((both == 0) | (both == 1)).all():
        return 0.0, 1.0
    return float(both.min(initial=0.0)), float(both.max(initial=0.0))


def segments(before: Table, after: Table, level: float = 0.01) -> list[dict[str, Any]]:
    """Where the loss rose most: up to five values of categories and quarters of numbers, those that carry it first.

    Each has its loss before and after, the interval of the difference, `excess` = its share of the events after times
    the rise (how much of the rise of the whole it makes), `stands_out` (it rose by more than elsewhere, beyond chance),
    `basis` (realised or estimated loss). Named are those that rose beyond chance at `level` over all looked at: those
    that stand out, by how much more of the rise they hold than their share of events; if none does, the largest excess.
    Each further one is found among the rows that are not in those before it, so that none says the same thing again.
    """
    basis, loss, loss_after = _losses(before, after)
    masks = [] if basis == "unknown" else _masks(before, after)
    seen, seen_after = ~np.isnan(loss), ~np.isnan(loss_after)
    loss, loss_after = loss[seen], loss_after[seen_after]
    masks = [(name, inside[seen], inside_after[seen_after]) for name, inside, inside_after in masks]
    limit = log10(level / max(1, len(masks)))
    found: list[dict[str, Any]] = []
    rest, rest_after = (np.ones(len(x), np.bool_) for x in (loss, loss_after))
    while len(found) < MOST:
        best, masks = _first(loss[rest], loss_after[rest_after], masks, (rest, rest_after), limit)
        if best is None or (found and found[0]["stands_out"] and not best[0]["stands_out"]):
            break
        _, (name, inside, inside_after) = best
        whole = _segment(loss, loss_after, inside, inside_after, limit)
        if whole:
            found.append({"segment": name, "basis": basis, **whole[1]})
        rest, rest_after = rest & ~inside, rest_after & ~inside_after
    return found


def _first(
    loss: Floats, loss_after: Floats, masks: list[Mask], rest: tuple[Bools, Bools], limit: float
) -> tuple[tuple[dict[str, Any], Mask] | None, list[Mask]]:
    """Of the rows that rest, the segment that carries most of the rise; and all the segments that rose."""
    found, ends = [], _range(loss, loss_after)
    for name, inside, inside_after in masks:
        here, here_after = inside[rest[0]], inside_after[rest[1]]
        rise = _rise(loss[here], loss_after[here_after], ends)
        if rise is None or _rounded_log10_p(rise) > limit:  # most of them
            continue
        segment = _segment(loss, loss_after, here, here_after, limit)
        if segment:
            found.append((segment[0], segment[1], (name, inside, inside_after)))
    best = min(found, key=lambda each: each[0], default=None)
    return (best[1:] if best else None), [mask for _, _, mask in found]


def _losses(before: Table, after: Table) -> tuple[str, Floats, Floats]:
    for basis, least, pair in (
        ("realised", TRUSTED, (before.error, after.error)),
        ("estimated", LEAST, (before.expected, after.expected)),
        ("realised", LEAST, (before.error, after.error)),
    ):
        x, y = (known(loss) for loss in pair)
        if min(np.count_nonzero(~np.isnan(x)), np.count_nonzero(~np.isnan(y))) >= least:
            return basis, x, y
    return "unknown", before.error, after.error


def _segment(
    loss: Floats, loss_after: Floats, inside: Bools, inside_after: Bools, limit: float
) -> tuple[tuple[bool, float], dict[str, Any]] | None:
    """The figures of a segment, and its place among others: the smallest first."""
    ends = _range(loss, loss_after)
    here, elsewhere = (
        _rise(loss[a], loss_after[b], ends) for a, b in ((inside, inside_after), (~inside, ~inside_after))
    )
    if here is None:
        return None
    share = float(inside_after.mean())
    more = share * (here.by - float(loss_after.mean() - loss.mean()))
    stands_out = bool(
        elsewhere and _log10_p(here.by - elsewhere.by, float(np.hypot(here.error, elsewhere.error))) <= limit
    )
    facts = {
        **here.plain(),
        "share": share,
        "excess": share * here.by,
        "n_before": int(inside.sum()),
        "n_after": int(inside_after.sum()),
        "log10_p": _rounded_log10_p(here),
        "stands_out": stands_out,
    }
    return (not stands_out, -more if stands_out else -share * here.by), facts


def _rounded_log10_p(rise: Rise) -> float:
    return round(_log10_p(rise.by, rise.error), 3)


def _log10_p(rise: float, error: float) -> float:
    """One-sided, of the normal distribution."""
    return float(log_ndtr(-rise / error)) / LOG_10 if rise > 0 and error > 0 else 0.0


def _masks(before: Table, after: Table) -> list[Mask]:
    """Every segment looked at."""
    found: list[Mask] = []
    for name, is_category in zip(before.names, before.categories, strict=True):
        x, y = before.column(name), after.column(name)
        found.append((f"{name}=(missing)", np.isnan(x), np.isnan(y)))
        if is_category:
            codes = np.intersect1d(x[~np.isnan(x)], y[~np.isnan(y)])
            found += [(f"{name}={after.text(name, int(code))}", x == code, y == code) for code in codes]
        elif not np.isnan(x).all():
            edges = np.unique(np.quantile(x[~np.isnan(x)], [0.25, 0.5, 0.75], method="nearest"))
            found += _quarters(name, x, y, [-np.inf, *edges.tolist(), np.inf])
    return [mask for mask in found if min(np.count_nonzero(mask[1]), np.count_nonzero(mask[2])) >= LEAST]


def _quarters(name: str, x: Floats, y: Floats, edges: list[float]) -> list[Mask]:
    found = []
    for low, high in pairwise(edges):
        label = f"{name}>{low:.4g}" if high == np.inf else f"{name}<={high:.4g}"
        between = f"{low:.4g}<{label}" if -np.inf < low and high < np.inf else label
        found.append((between, (x > low) & (x <= high), (y > low) & (y <= high)))
    return found
