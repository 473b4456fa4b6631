"""What `driftline top` shows: the documents of the dashboard as one table for a terminal."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, cast

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Column, Table
from rich.text import Text

from stream_app.board.asked import Around, Asked
from stream_app.board.documents import Budget, IncidentRow, Labels, Overview, PerformanceRow, SignalRow, Signals
from stream_app.board.fold import Board
from stream_app.board.views import NEAR, document
from stream_app.config import Config
from stream_app.edges.terminal import COLOURS, OUT, printable, when
from stream_app.messages import to_json

ALL = 1 << 31  # rows, where nothing has to fit
DRAWN = ("series", "rate", "error", "view", "title")  # members of the documents that only a page has use for
IN_TABLES = ("incidents", "detectors")
LONG = ("signal", "segment", "message")
BAR_WIDTH = 12
HEAD_LINES = 6  # of the figures above the tables, and the line of keys below them
TABLE_LINES = 5  # of a table besides its rows: title, head, borders
LEAST_ROWS = 2  # however low the terminal


class Feed(Protocol):
    """What knows the stream."""

    board: Board

    def around(self) -> Around: ...


def is_drawable() -> bool:
    """Whether standard output is a terminal on which one can go back and draw anew."""
    return OUT.is_terminal and not OUT.is_dumb_terminal


@contextlib.contextmanager
def live(feed: Feed) -> Iterator[Callable[[], None]]:
    """Hands out what draws the present state over the one before, on a screen of its own."""
    with Live(console=OUT, screen=True, auto_refresh=False) as drawn:

        def show() -> None:
            height = OUT.size.height
            shown = screen(feed.board.config, *_documents(feed, height), height)
            drawn.update(Group(shown, Text("q: leave", style="dim")), refresh=True)

        yield show


@contextlib.contextmanager
def printed(feed: Feed, *, as_json: bool) -> Iterator[Callable[[], None]]:
    """Hands out what prints all of the present state, as tables or as one line of JSON."""

    def show() -> None:
        overview, signals = _documents(feed, ALL)
        if as_json:
            OUT.out(to_json(told(overview, signals)).decode())
        else:
            OUT.print(screen(feed.board.config, overview, signals))

    yield show


def _documents(feed: Feed, rows: int) -> tuple[Overview, Signals]:
    asked, around = Asked(top=rows), feed.around()
    made = [document(feed.board, view, asked, around) for view in ("overview", "signals")]
    return cast("Overview", made[0]), cast("Signals", made[1])


def told(overview: Overview, signals: Signals) -> dict[str, Any]:
    """Both documents as one, without what is for drawing."""
    labels = overview["labels"]
    plain = {name: value for name, value in overview.items() if name not in DRAWN}
    return plain | {
        "labels": labels and {name: value for name, value in labels.items() if name not in DRAWN},
        "signals": [{name: value for name, value in row.items() if name not in DRAWN} for row in signals["signals"]],
    }


def screen(config: Config, overview: Overview, signals: Signals, height: int | None = None) -> Group:
    """Figures, open incidents, signals with the closest to its alarm first; as many rows as `height` lines hold."""
    opened, rows = overview["open"], signals["signals"]
    parts: list[RenderableType] = list(_figures(config, overview))
    if height is not None:
        room = max(height - HEAD_LINES - len(_notices(overview)) - TABLE_LINES * (1 + bool(opened)), LEAST_ROWS)
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
    lines = [flow, _labels(overview["labels"]) + _budget(overview["budget"]), _champion(overview["performance"])]
    head = Text(f"{printable(overview['name'])}  {time}  {overview['status']}", style="bold")
    notices = [Text(printable(text), style="yellow") for text in _notices(overview)]
    return [head, *(Text(printable(", ".join(filter(None, line)))) for line in lines), *notices]


def _notices(overview: Overview) -> list[str]:
    """What is not well and is not in the tables."""
    unwell = [each for each in overview["health"] if each["ok"] is False and each["name"] not in IN_TABLES]
    return [*overview["notices"], *(f"{each['name']}: {each['text']}" for each in unwell)]


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
        f"alarms {budget['raised']:,}",
        f"false ones expected {budget['spent']:.2g} and allowed {budget['allowed']:.2g}",
    ]


def _champion(rows: Sequence[PerformanceRow]) -> list[str]:
    mine = [row for row in rows if row["model"] == "champion" and row["rolling"] is not None]
    figures = [f"{row['metric']} {_number(row['rolling'])}" for row in mine]
    return [f"{mine[0]['version'] or 'champion'}: {figures[0]}", *figures[1:]] if mine else []


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
    table = _table(names, "open incidents", len(rows), total)
    for row in rows:
        since = when(config, row["opened_ms"])
        texts = (row["id"], row["severity"], row["status"], since, row["signal"], row["message"])
        table.add_row(*_plain(*texts), style=COLOURS[row["severity"]])
    return table


def _signals(rows: Sequence[SignalRow], total: int, *, sharded: bool) -> Table:
    names = ("signal", "segment", "detector", "statistic", "threshold", "closeness", "", "n", "incident")
    table = _table([*["shard"] * sharded, *names], "signals", len(rows), total)
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


def _table(names: Sequence[str], what: str, shown: int, total: int) -> Table:
    """Columns of which those with long texts give way where it is narrow."""
    title = f"{what}, {total - shown:,} more" if total > shown else what
    columns = (Column(name, no_wrap=name not in LONG) for name in names)
    return Table(*columns, title=title, title_justify="left")


def _plain(*texts: str) -> list[Text]:
    """Texts from outside, which cannot steer the terminal, in one line."""
    return [Text(printable(text), no_wrap=True, overflow="ellipsis") for text in texts]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _style(row: SignalRow) -> str:
    if row["state"] == "alarm":
        return "bold red"
    return "yellow" if row["closeness"] is not None and row["closeness"] >= NEAR else ""
