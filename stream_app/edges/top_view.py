"""What `driftline top` shows: the documents of the dashboard as one table for a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from stream_app.config import Config
from stream_app.edges.terminal import COLOURS, printable, when, whole

Document = Mapping[str, Any]

NEAR = 0.8  # of its threshold: a signal that is worth a look
BAR_WIDTH = 12
HEAD_LINES = 4  # of the figures above the tables
TABLE_LINES = 5  # of a table besides its rows: title, borders, heads


def screen(config: Config, overview: Document, signals: Document, height: int | None = None) -> Group:
    """Figures, open incidents, signals with the closest to its alarm first; as many rows as `height` lines hold."""
    opened, rows = list(overview["open"]), list(signals["signals"])
    parts: list[RenderableType] = [*_figures(config, overview)]
    room = None if height is None else max(height - HEAD_LINES - TABLE_LINES * (1 + bool(opened)) - 1, 2)
    for_incidents = None if room is None else min(len(opened), max(room // 3, 1))
    if opened:
        parts.append(_incidents(config, opened[:for_incidents], len(opened)))
    for_signals = None if room is None or for_incidents is None else max(room - for_incidents, 1)
    parts.append(_signals(rows[:for_signals], len(rows)))
    return Group(*parts)


def _figures(config: Config, overview: Document) -> list[Text]:
    labels, budget, counts = overview["labels"], overview["budget"], overview["counts"]
    time = "-" if overview["time_ms"] is None else when(config, overview["time_ms"])
    head = Text(f"{overview['name']}  {time}  {overview['status']}", style="bold")
    flow = _line(
        f"{overview['records']:,} records",
        _rate(overview.get("rate_now")),
        "lag unknown" if overview["lag"] is None else f"lag {overview['lag']:,}",
        f"{counts['rejected']:,} rejected",
    )
    of_labels = _line(
        "no label yet" if labels["coverage"] is None else f"labels {labels['coverage']:.1%} of events",
        f"{labels['pending']:,} pending" if labels["pending"] is not None else None,
        f"median delay {_span(labels['delay_median_s'])}" if labels["delay_median_s"] is not None else None,
    )
    spent = _line(
        f"false alarms: {budget['spent']:.3g} of {budget['allowed']:.3g} allowed are spent"
        if budget["allowed"] is not None
        else None,
        f"{budget['raised']:,} alarms raised" if budget["raised"] is not None else None,
    )
    notices = [Text(printable(text), style="yellow") for text in overview["notices"]]
    return [head, Text(flow), Text(" | ".join(filter(None, (of_labels, spent)))), *notices]


def _line(*parts: str | None) -> str:
    return ", ".join(part for part in parts if part)


def _rate(rate: float | None) -> str | None:
    return None if rate is None else f"{rate:,.0f} records/s"


def _span(seconds: float) -> str:
    """A stretch of time for people.

    >>> _span(42), _span(5400), _span(200_000)
    ('42 s', '1.5 h', '2.3 d')
    """
    for name, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {name}"
    return f"{seconds:.0f} s"


def _incidents(config: Config, rows: Sequence[Document], count: int) -> Table:
    table = whole(
        "incident", "severity", "status", "since", "signal", "message", **_titled("open incidents", rows, count)
    )
    for row in rows:
        colour = COLOURS.get(row["severity"], "")
        texts = (
            row["id"],
            row["severity"],
            row["status"],
            when(config, row["opened_ms"]),
            row["signal"],
            row["message"],
        )
        table.add_row(*(Text(printable(text)) for text in texts), style=colour)
    return table


def _signals(rows: Sequence[Document], count: int) -> Table:
    sharded = len({row["shard"] for row in rows}) > 1
    names = ["signal", "segment", "detector", "statistic", "threshold", "closeness", "", "n", "incident"]
    table = whole(*(["shard"] if sharded else []), *names, **_titled("signals", rows, count))
    for row in rows:
        near = row["closeness"]
        bar = "" if near is None else ProgressBar(total=1.0, completed=min(near, 1.0), width=BAR_WIDTH)
        shard = [str(row["shard"])] if sharded else []
        texts = (row["signal"], row["segment"] or "", row["detector"])
        figures = (_number(row["statistic"]), _number(row["threshold"]), "-" if near is None else f"{near:.0%}")
        table.add_row(
            *shard, *(Text(printable(text)) for text in texts), *figures, bar,
            f"{row['n'] or 0:,}", row["incident"] or "", style=_style(row),
        )  # fmt: skip
    return table


def _titled(what: str, rows: Sequence[Document], count: int) -> dict[str, Any]:
    more = f", {count - len(rows):,} more" if count > len(rows) else ""
    return {"title": f"{what}{more}", "title_justify": "left"}


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _style(row: Document) -> str:
    if row["state"] == "alarm":
        return "bold red"
    return "yellow" if row["closeness"] is not None and row["closeness"] >= NEAR else ""
