"""Figures, times and addresses as pages show them; the filters of the templates."""

import math
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

UNKNOWN = "–"
SHOWN_ROWS = 12  # of a series as a table: all of it is in the chart and under /api
HOUR_MS = 3_600_000
RANGES = (
    ("Last 6 hours", 6 * HOUR_MS),
    ("Last day", 24 * HOUR_MS),
    ("Last week", 168 * HOUR_MS),
    ("Last 30 days", 720 * HOUR_MS),
)
SPANS = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"), (1.0, "s"))
GLYPHS = {
    "critical": "▲",
    "warning": "◆",
    "info": "●",
    "open": "○",
    "acknowledged": "◐",
    "recovered": "✓",
    "closed": "✓",
    "alarm": "▲",
    "ok": "✓",
    "incident": "●",
    "trigger": "◆",
    "promoted": "▲",
    "rolled back": "▼",
    "champion": "★",
    "live": "●",
    "ended": "■",
    "waiting": "○",
}

Series = dict[str, list[Any]]


def num(value: float | None, digits: int = 4) -> str:
    """A figure to be read, not to be calculated with.

    >>> num(663552), num(0.78485), num(1234.567), num(1.2e-7), num(None)
    ('663,552', '0.7849', '1,235', '1.2e-07', '–')
    """
    if value is None or not math.isfinite(value):
        return UNKNOWN
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def share(value: float | None) -> str:
    """A share as a percentage.

    >>> share(0.97202), share(None)
    ('97.2 %', '–')
    """
    return UNKNOWN if value is None else f"{value:.1%}".replace("%", " %")


def span(seconds: float | None) -> str:
    """A stretch of time in the largest unit that fits.

    >>> span(9780.0), span(90), span(0.25), span(None)
    ('2.7 h', '1.5 min', '0.25 s', '–')
    """
    if seconds is None:
        return UNKNOWN
    size, unit = next(((size, unit) for size, unit in SPANS if abs(seconds) >= size), SPANS[-1])
    return f"{seconds / size:.2g} {unit}" if abs(seconds) < 100 * size else f"{seconds / size:,.0f} {unit}"


def when(time: int | None, timed: bool = True) -> str:
    """A time of the stream in UTC; an offset where the stream has no times.

    >>> when(1387328760000), when(12345, False), when(None)
    ('2013-12-18 01:06', 'record 12,345', '–')
    """
    if time is None:
        return UNKNOWN
    if not timed:
        return f"record {time:,}"
    found = moment(time)
    return UNKNOWN if found is None else f"{found:%Y-%m-%d %H:%M}"


def iso(time: int) -> str:
    """For machines: RFC 3339, or nothing for a time beyond the calendar."""
    found = moment(time)
    return "" if found is None else f"{found:%Y-%m-%dT%H:%M:%SZ}"


def moment(time_ms: int) -> datetime | None:
    """A time of the stream, unless no calendar has it."""
    try:
        return datetime.fromtimestamp(time_ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def known(series: Series) -> list[tuple[int, float]]:
    """Times and means of the points that are known."""
    return [(t, value) for t, value in zip(series["t"], series["mean"], strict=True) if value is not None]


def told(series: Series, timed: bool = True) -> str:
    """A series in one sentence.

    >>> told({"t": [1, 2, 3], "min": [1, 2, 3], "max": [1, 2, 3], "mean": [0.5, 0.75, 0.25]}, False)
    'Now 0.25; lowest 0.25 (record 3), highest 0.75 (record 2).'
    """
    points = known(series)
    if not points:
        return "Nothing is known yet."
    low, high = min(points, key=lambda point: point[1]), max(points, key=lambda point: point[1])
    ends = f"lowest {num(low[1])} ({when(low[0], timed)}), highest {num(high[1])} ({when(high[0], timed)})"
    return f"Now {num(points[-1][1])}; {ends}."


def some(series: Series) -> list[tuple[int, float | None, float | None, float | None]]:
    """A few of its points, evenly spread, the last among them: time, mean, least, largest."""
    rows = [
        (t, mean, low, high)
        for t, low, high, mean in zip(series["t"], series["min"], series["max"], series["mean"], strict=True)
        if mean is not None
    ]
    step = max(1, math.ceil(len(rows) / SHOWN_ROWS))
    return rows[::-1][::step][::-1]


def edges(values: list[Any]) -> str:
    """One bin of a distribution: its edges, or its name."""
    if len(values) == 2:
        return str(values[0])
    return num(values[0]) if values[0] == values[1] else f"{num(values[0])} to {num(values[1])}"


def glyph(word: str) -> str:
    """A sign that tells states apart without their colour."""
    return GLYPHS.get(word, "·")


# addresses


def query_of(document: dict[str, Any]) -> dict[str, Any]:
    """What the pages of one visit share: shard and stretch of time."""
    shared = {"shard": document["shard"], "from": document["from_ms"], "to": document["to_ms"]}
    return {name: value for name, value in shared.items() if value is not None}


def address_of(view: str, document: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Path and query of the page itself."""
    query = query_of(document)
    if view == "incident":
        return f"/incident/{document['title']}", query
    if view == "signal":
        row = document["row"] or {}
        names = {name: row[name] for name in ("segment", "detector") if row.get(name)}
        return "/signal", query | {"signal": document["title"]} | names
    if view == "signals":
        query |= {"sort": document["sort"]}
    return ("/" if view == "overview" else f"/{view}"), query


def link(path: str, query: dict[str, Any], **more: Any) -> str:
    """An address of the dashboard.

    >>> link("/signal", {"shard": 1}, signal="feature:a b&c")
    '/signal?shard=1&signal=feature%3Aa%20b%26c'
    """
    told = {name: value for name, value in (query | more).items() if value not in (None, "")}
    path = quote(path, safe="/:")
    return f"{path}?{urlencode(told, quote_via=quote)}" if told else path


def signal_link(row: dict[str, Any], query: dict[str, Any]) -> str:
    """The page of one detector."""
    names = ("shard", "signal", "segment", "detector")
    return link("/signal", query, **{name: row[name] for name in names if name in row})


def ranges(document: dict[str, Any]) -> list[tuple[str, int | None]]:
    """Stretches of time to choose from, each with its beginning; only those that are shorter than what there is."""
    first, last = document["known_from_ms"], document["known_to_ms"]
    shorter = [] if first is None or last is None or not document["timed"] else RANGES
    return [("All", None), *((name, last - size) for name, size in shorter if last - size > first)]


FILTERS = {
    "num": num,
    "share": share,
    "span": span,
    "when": when,
    "iso": iso,
    "told": told,
    "some": some,
    "edges": edges,
    "glyph": glyph,
}
