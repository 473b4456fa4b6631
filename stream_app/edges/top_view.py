"""What `driftline top` shows: the documents of the dashboard as one table for a terminal."""

from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from stream_app.board.documents import Budget, IncidentRow, Labels, Overview, SignalRow, Signals
from stream_app.config import Config
from stream_app.edges.terminal import COLOURS, printable, when, whole

NEAR = 0.8  # of its threshold: a signal that is worth a look
BAR_WIDTH = 12
HEAD_LINES = 5  # of the figures above the tables, and the line of keys below them
TABLE_LINES = 5  # of a table besides its rows: title, head, borders
LEAST_ROWS = 2  # however low the terminal


def screen(config: Config, overview: Overview, signals: Signals, height: int | None = None) -> Group:
    """Figures, open incidents, signals with the closest to its alarm first; as many rows as `height` lines hold."""
    opened, rows = overview["open"], signals["signals"]
    parts: list[RenderableType] = list(_figures(config, overview))
    if height is not None:
        room = max(height - HEAD_LINES - len(overview["notices"]) - TABLE_LINES * (1 + bool(opened)), LEAST_ROWS)
        opened = opened[: max(room // 3, 1)]
        rows = rows[: max(room - len(opened), 1)]
    if opened:
        parts.append(_incidents(config, opened, len(overview["open"])))
    parts.append(_signals(rows, signals["total"], sharded=len(overview["shards"]) > 1))
    return Group(*parts)


def _figures(config: Config, overview: Overview) -> list[Text]:
    time = "no records yet" if overview["time_ms"] is None else when(config, overview["time_ms"])
    flow = [
        f"{overview['records']:,} records",
        "" if overview["rate_now"] is None else f"{overview['rate_now']:,.0f} records/s",
        "lag unknown" if overview["lag"] is None else f"lag {overview['lag']:,}",
        f"{overview['counts']['rejected']:,} rejected",
    ]
    lines = [flow, _labels(overview["labels"]) + _budget(overview["budget"])]
    head = Text(f"{printable(overview['name'])}  {time}  {overview['status']}", style="bold")
    notices = [Text(printable(text), style="yellow") for text in overview["notices"]]
    return [head, *(Text(", ".join(filter(None, line))) for line in lines), *notices]


def _labels(labels: Labels | None) -> list[str]:
    if labels is None:
        return []
    if labels["coverage"] is None:
        return ["no label yet"]
    delay = labels["delay_median_s"]
    return [
        f"labels of {labels['coverage']:.1%}",
        "" if delay is None else f"after {span(delay)} (median)",
        "" if labels["pending"] is None else f"{labels['pending']:,} pending",
    ]


def _budget(budget: Budget | None) -> list[str]:
    if budget is None:
        return []
    return [
        f"{budget['raised']:,} alarms",
        f"{budget['spent']:.2g} of them may be false, {budget['allowed']:.2g} are allowed",
    ]


def span(seconds: float) -> str:
    """A stretch of time for people.

    >>> span(42), span(5400), span(200_000)
    ('42 s', '1.5 h', '2.3 d')
    """
    for name, length_s in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length_s:
            return f"{seconds / length_s:.1f} {name}"
    return f"{seconds:.0f} s"


def _incidents(config: Config, rows: Sequence[IncidentRow], total: int) -> Table:
    names = ("incident", "severity", "status", "since", "signal", "message")
    table = whole(*names, **_titled("open incidents", len(rows), total))
    for row in rows:
        since = when(config, row["opened_ms"])
        texts = (row["id"], row["severity"], row["status"], since, row["signal"], row["message"])
        table.add_row(*_plain(*texts), style=COLOURS[row["severity"]])
    return table


def _signals(rows: Sequence[SignalRow], total: int, *, sharded: bool) -> Table:
    names = ("signal", "segment", "detector", "statistic", "threshold", "closeness", "", "n", "incident")
    table = whole(*["shard"] * sharded, *names, **_titled("signals", len(rows), total))
    for row in rows:
        near = row["closeness"]
        bar = "" if near is None else ProgressBar(total=1.0, completed=min(near, 1.0), width=BAR_WIDTH)
        share = "-" if near is None else f"{near:.0%}"
        texts = [row["signal"], row["segment"], row["detector"], _number(row["statistic"]), _number(row["threshold"])]
        shard = [str(row["shard"])] * sharded
        table.add_row(
            *_plain(*shard, *texts, share), bar, *_plain(f"{row['n']:,}", row["incident"] or ""), style=_style(row)
        )
    return table


def _titled(what: str, shown: int, total: int) -> dict[str, Any]:
    return {"title": f"{what}, {total - shown:,} more" if total > shown else what, "title_justify": "left"}


def _plain(*texts: str) -> list[Text]:
    """Texts from outside, which cannot steer the terminal."""
    return [Text(printable(text)) for text in texts]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _style(row: SignalRow) -> str:
    if row["state"] == "alarm":
        return "bold red"
    return "yellow" if row["closeness"] is not None and row["closeness"] >= NEAR else ""
