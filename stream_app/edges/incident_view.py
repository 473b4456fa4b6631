"""An incident for people: what, since when, at what cost, why, which columns changed, and the signal over time."""

import textwrap
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from stream_app.config import Config
from stream_app.edges.plot import Points, bar, plot
from stream_app.edges.terminal import OUT, cloud_when, printable, when

WIDEST = 100  # columns, however wide the terminal is
BAR = 20
AROUND = 2  # times the stretch from onset to alarm that is plotted on either side
LEAST = 8  # points on either side
ERROR = "performance:champion"
TOP = 5


def series(panes: Iterable[dict[str, Any]]) -> list[tuple[int, float]]:
    """Mean of a signal per pane, parts and shards added up, in order of time."""
    sums: dict[int, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for pane in panes:
        if pane["n"] and pane["mean"] is not None:
            total = sums[pane["start"]]
            total[0] += pane["n"] * pane["mean"]
            total[1] += pane["n"]
    return [(start, total / n) for start, (total, n) in sorted(sums.items())]


def errors(metrics: Iterable[dict[str, Any]]) -> list[tuple[int, float]]:
    """The champion's rolling error: 1 - accuracy, or the mean absolute error."""
    found = []
    for metric in metrics:
        rolling = metric["rolling"]
        value = rolling["mae"] if "mae" in rolling else rolling.get("accuracy")
        if value is not None:
            found.append((metric["time"], value if "mae" in rolling else 1 - value))
    return sorted(found)


def around(points: Points, data: dict[str, Any]) -> list[tuple[int, float]]:
    """The part of a series from well before the onset to well after the alarm."""
    if "onset_time" not in data or len(points) < 2:
        return []
    step = (points[-1][0] - points[0][0]) / (len(points) - 1)
    margin = max(AROUND * (data["time"] - data["onset_time"]), LEAST * step)
    return [point for point in points if data["onset_time"] - margin <= point[0] <= data["time"] + margin]


def print_incident(config: Config, told: dict[str, Any]) -> None:
    """All of it but the table of evidence."""
    data = told["alerts"][-1]["data"]
    width = min(OUT.width, WIDEST)
    for text in [*_head(config, told, data), *_cost(data), *_causes(data)]:
        for line in textwrap.wrap(printable(text), width, subsequent_indent="  "):
            _say(line)
    for part in (_changes(data), _segments(data), _explanation(data), _plots(config, told, data, width)):
        for line in part:
            _say(_cut(printable(line), width))
    _say("")
    for text in _rest(data):
        for line in textwrap.wrap(printable(text), width, subsequent_indent="  "):
            _say(line)


def _say(line: str) -> None:
    OUT.print(printable(line), markup=False, soft_wrap=True)


def _head(config: Config, told: dict[str, Any], data: dict[str, Any]) -> Iterator[str]:
    yield f"{data['incident']}  {data['severity']}: {data['message']}"
    interval = data["onset_interval"]
    between = f", between offsets {interval[0]:,} and {interval[1]:,}" if interval else ""
    yield f"since {when(config, data['onset_time'])} (offset {data['onset_offset']:,}{between})"
    yield f"alarmed {when(config, data['time'])} (offset {data['offset']:,})"
    steps = [f"{cloud_when(config, a)} {a['data']['status']} ({a['data']['severity']})" for a in told["alerts"]]
    yield f"history: {', '.join(steps)}"
    if data["acknowledged_by"]:
        yield f"{data['acknowledged_by']} looks after it"


def _cost(data: dict[str, Any]) -> Iterator[str]:
    harm = data["harm"] or {}
    said = {True: "costs nothing so far", False: "costs something", None: "not clear yet"}[harm.get("benign")]
    yield f"harm: {said}"
    for name, words in (("realised", "by its labels"), ("estimated", "estimated before the labels")):
        rise = harm.get(name)
        if rise:
            low, high = rise["interval"]
            figures = f"{_figure(rise['before'])} → {_figure(rise['after'])}"
            yield f"  mean loss {figures}, {words}: {_signed(rise['change'])} ({_signed(low)} to {_signed(high)})"
        else:
            yield f"  {words}: not known{' yet' if name == 'realised' else ''}"


def _causes(data: dict[str, Any]) -> Iterator[str]:
    yield from (f"cause {i}: {cause['what'].rstrip(',')}" for i, cause in enumerate(data["causes"][:TOP], 1))


def _changes(data: dict[str, Any]) -> Iterator[str]:
    for change in data["changes"][:TOP]:
        bins = change["bins"] or [{"missing": True, "before": change["before"], "after": change["after"]}]
        yield ""
        yield change["text"]
        names = [_bin(each) for each in bins]
        size = min(24, max(map(len, names)))
        for name, each in zip(names, bins, strict=True):
            yield f"  {_cut(name, size):>{size}}  before {each['before']:>6.1%} {bar(each['before'], BAR)}"
            yield f"  {'':>{size}}  after  {each['after']:>6.1%} {bar(each['after'], BAR)}"


def _bin(part: dict[str, Any]) -> str:
    if "category" in part:
        return printable(str(part["category"]))
    if "value" in part:
        return f"= {part['value']:.4g}"
    if "missing" in part:
        return "missing"
    low, high = part.get("above"), part.get("to")
    if low is None:
        return f"<= {high:.4g}" if high is not None else "any"
    return f"> {low:.4g}" if high is None else f"{low:.4g} to {high:.4g}"


def _segments(data: dict[str, Any]) -> Iterator[str]:
    if data["segments"]:
        yield ""
        yield "where the loss rose most"
    for part in data["segments"]:
        figures = f"{_figure(part['before'])} → {_figure(part['after'])}"
        yield f"  {_cut(printable(part['segment']), 34):<34}  {figures:<18}  {part['share']:.1%} of the events"


def _explanation(data: dict[str, Any]) -> Iterator[str]:
    rows = (data["explanation"] or [])[:TOP]
    if rows:
        yield ""
        yield f"what the model makes of its inputs, before → after ({rows[0]['method']})"
    for row in rows:
        name = _cut(printable(row["feature"]), 24)
        yield f"  {name:<24}  {_figure(row['before']):>10} → {_figure(row['after'])}"


def _plots(config: Config, told: dict[str, Any], data: dict[str, Any], width: int) -> Iterator[str]:
    onset, alarm = when(config, data["onset_time"]), when(config, data["time"])
    marks = {f"onset {onset}": data["onset_time"], f"alarm {alarm}": data["time"]}
    titles = {"panes": f"{data['signal']}, mean per pane", "errors": "rolling error of the champion"}
    for name, title in titles.items():
        points = told.get(name, [])
        if len(points) > 1:
            yield ""
            yield f"{title}, {when(config, points[0][0])} to {when(config, points[-1][0])}"
            yield from plot(points, marks, width)


def _rest(data: dict[str, Any]) -> Iterator[str]:
    budget = data["budget"]
    if budget:
        allowed = f"one per {budget['per_events']:,.0f} events, so {budget['allowed']:.2g} up to here"
        spent = f"{budget['spent']:.2g} spent, {budget['left']:.2g} left"
        yield f"budget of false alarms: {allowed}; {spent}; {budget['alarms']} alarms in all, true or false"
    if data["examples"]:
        yield f"events that show it: {', '.join(data['examples'])}; `driftline story CONFIG ID` tells of one"


def _cut(text: str, size: int) -> str:
    return text if len(text) <= size else text[: size - 1] + "…"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2g}"
