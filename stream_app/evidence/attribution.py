"""Attribution: which columns changed between two samples of events, how, and which columns hang together.

Pure functions of two tables of rows, those before an onset and those after it. Nothing here raises, whatever the rows
are: what the rows are too few to tell is left out. All answers are plain data without NaN.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import log10
from typing import Any

import numpy as np

from stream_app.evidence import compare, kinds
from stream_app.evidence.association import associated
from stream_app.evidence.compare import Difference
from stream_app.evidence.losses import harm, segments
from stream_app.evidence.table import Table, present
from stream_app.messages import Floats, Ints

__all__ = ["Table", "associated", "changes", "harm", "segments"]

BINS = 5  # shown of each column: those that changed most


@dataclass(frozen=True, slots=True)
class _Column:
    """One column before and after: sorted numbers or codes that are present, and how many rows there were."""

    name: str
    is_category: bool
    computed: bool
    before: Floats
    after: Floats
    n_before: int
    n_after: int

    @property
    def gaps(self) -> tuple[int, int]:
        """How many values are missing, before and after."""
        return self.n_before - len(self.before), self.n_after - len(self.after)


def changes(
    before: Table,
    after: Table,
    level: float = 1e-3,
    sources: Mapping[str, str] | None = None,
    leave_out: Callable[[str, float], bool] = lambda _name, _effect: False,
) -> list[dict[str, Any]]:
    """Which columns changed beyond chance, the largest effect first; `level` is for all columns together.

    Each has its `kind` (see `kinds`, or `missing`), a `text` that says it, `effect` in [0, 1] with its 95 % interval
    (Kolmogorov-Smirnov distance, total variation, or difference of the missing rate), `log10_p`, `before` and `after`
    (mean, share of the category that changed most, or missing rate), and up to five `bins` that changed most.
    The rows are taken as independent: where they are not, p-values overstate, but the order, by effect, does not.
    `sources` names the column that another is computed from ("" if none alone): one that changed stands ahead of what
    is made of it, and what is computed has no unit that could have become another. `leave_out` is asked of each column
    that changed, with its effect, before more is found out.
    """
    sources = sources or {}
    limit = log10(level / (2 * max(1, len(before.names))))
    found = []
    for place, name in enumerate(before.names):
        column = _column(before, after, name, is_category=before.categories[place], computed=name in sources)
        change = _change(column, after, limit, leave_out)
        if change:
            found.append(change)
    found.sort(key=lambda change: (-change["effect"], change["log10_p"]))
    return _sources_first(found, sources)


def _sources_first(found: list[dict[str, Any]], sources: Mapping[str, str]) -> list[dict[str, Any]]:
    """The same order, but what is computed from a column that changed comes behind it."""
    names = {change["feature"] for change in found}
    made = [
        change for change in found if sources.get(change["feature"], change["feature"]) in names - {change["feature"]}
    ]
    ordered = [change for change in found if change not in made]
    for change in made:
        source = next((i for i, other in enumerate(ordered) if other["feature"] == sources[change["feature"]]), -1)
        larger = next((i for i, other in enumerate(ordered) if other["effect"] < change["effect"]), len(ordered))
        ordered.insert(max(source + 1, larger), change)
    return ordered


def _column(before: Table, after: Table, name: str, *, is_category: bool, computed: bool) -> _Column:
    x, y = (np.sort(present(table.column(name))) for table in (before, after))
    return _Column(name, is_category, computed, x, y, len(before), len(after))


def _change(
    column: _Column, table: Table, limit: float, leave_out: Callable[[str, float], bool]
) -> dict[str, Any] | None:
    """What changed in a column: its missing rate if that explains all, else its values; None if neither is evident."""
    gone, gone_after = column.gaps
    missing = compare.rates(gone, column.n_before, gone_after, column.n_after)
    is_missing = missing.log10_p <= limit
    values = _Categories(column) if column.is_category else _Numbers(column)
    found = values.difference
    explained = is_missing and found.interval[0] <= missing.interval[1]  # what is gone changes the rest by so much
    evident = found if found.log10_p <= limit and not explained else missing if is_missing else None
    if evident is None or leave_out(column.name, evident.effect):
        return None
    if evident is missing:
        return _plain(column, missing, _missing(column))
    facts = values.facts(table)
    if is_missing:
        facts["text"] += f" and {_missing_phrase(column)}"
    return _plain(column, found, facts)


def _plain(column: _Column, difference: Difference, found: dict[str, Any]) -> dict[str, Any]:
    gone, gone_after = column.gaps
    return {
        "feature": column.name,
        "kind": found["kind"],
        "text": f"{column.name} {found['text']}",
        "log10_p": round(difference.log10_p, 3),
        "effect": difference.effect,
        "effect_interval": list(difference.interval),
        "before": found["before"],
        "after": found["after"],
        "missing_before": gone / column.n_before,
        "missing_after": gone_after / column.n_after,
        "n_before": column.n_before,
        "n_after": column.n_after,
        "bins": found["bins"],
        "detail": found["detail"],
    }


def _missing_phrase(column: _Column) -> str:
    before, after = (gone / n for gone, n in zip(column.gaps, (column.n_before, column.n_after), strict=True))
    return f"is missing in {after:.1%} instead of {before:.1%}"


def _missing(column: _Column) -> dict[str, Any]:
    gone, gone_after = column.gaps
    rate, rate_after = gone / column.n_before, gone_after / column.n_after
    facts = {"before": rate, "after": rate_after, "bins": [], "detail": {}}
    return {"kind": "missing", "text": _missing_phrase(column), **facts}


class _Numbers:
    """A column of numbers: how much it changed, and then how."""

    def __init__(self, column: _Column) -> None:
        self.column = column
        self.difference = compare.numbers(column.before, column.after)

    def facts(self, _table: Table) -> dict[str, Any]:
        before, after = self.column.before, self.column.after
        kind = kinds.of_numbers(before, after, self.difference.effect, has_unit=not self.column.computed)
        means = {"before": float(before.mean()), "after": float(after.mean())}
        return {"kind": kind.word, "text": kind.phrase, **means, "bins": _bins(before, after), "detail": kind.detail}


class _Categories:
    """The same for a column of categories."""

    def __init__(self, column: _Column) -> None:
        self.name = column.name
        self.codes = np.unique(np.concatenate([column.before, column.after]))
        self.before, self.after = (
            np.bincount(np.searchsorted(self.codes, x), minlength=len(self.codes))
            for x in (column.before, column.after)
        )
        self.difference, self.each = compare.shares(self.before, self.after)

    def facts(self, table: Table) -> dict[str, Any]:
        names = [table.text(self.name, int(code)) for code in self.codes]
        kind = kinds.of_categories(self.before, self.after, names, self.each)
        p, q = self.before / self.before.sum(), self.after / self.after.sum()
        most = np.argsort(-np.abs(q - p), kind="stable")[:BINS].tolist()
        bins = [{"category": names[i], "before": float(p[i]), "after": float(q[i])} for i in most]
        share = {"before": bins[0]["before"], "after": bins[0]["after"]}
        return {"kind": kind.word, "text": kind.phrase, **share, "bins": bins, "detail": kind.detail}


def _bins(before: Floats, after: Floats) -> list[dict[str, Any]]:
    """Shares between the deciles of the reference, those that changed most; a value that fills a decile is a bin."""
    edges, times = np.unique(np.quantile(before, np.linspace(0.1, 0.9, 9), method="nearest"), return_counts=True)
    atom = times > 1
    p, q = (_tally(x, edges, atom) / len(x) for x in (before, after))
    most = np.argsort(-np.abs(q - p), kind="stable")[:BINS].tolist()
    found = []
    for cell in most:
        at = cell // 2
        above = float(edges[at - 1]) if at else None
        to = float(edges[at]) if at < len(edges) else None
        where = {"value": float(edges[at])} if cell % 2 else {"above": above, "to": to}
        if p[cell] or q[cell]:
            found.append({**where, "before": float(p[cell]), "after": float(q[cell])})
    return found


def _tally(x: Floats, edges: Floats, atom: Any) -> Ints:
    """Counts below the first edge, on it, between it and the next …; what is on an edge counts below unless an atom."""
    left, right = np.searchsorted(edges, x, "left"), np.searchsorted(edges, x, "right")
    cell = left + right  # even: between two edges, odd: on one
    on = (cell % 2 == 1) & ~atom[np.minimum(cell // 2, len(edges) - 1)]
    return np.bincount(cell - on, minlength=2 * len(edges) + 1)
