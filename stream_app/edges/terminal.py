"""What people see: progress while a run lasts, alerts as lines, tables.

Progress is drawn only on a terminal; elsewhere a run writes its alerts and its end, so that logs stay short.
All of it goes to standard error; only what was asked for goes to standard output.
"""

import base64
import json
import time
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from stream_app.config import Config
from stream_app.edges.log import Record
from stream_app.flow.outgoing import rfc3339
from stream_app.messages import Progress as Report
from stream_app.messages import counted

UNBROKEN = 10_000  # columns where there is no terminal: a line in a file or a pipe is never cut or broken


class Screen(Console):
    """Standard output or standard error."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False)
        if not self.is_terminal:
            self.width = UNBROKEN

    def on_broken_pipe(self) -> None:
        """A reader of the output that has seen enough ends the command; of what is only said, it goes on unheard."""
        if not self.stderr:
            raise BrokenPipeError
        self.quiet = True


OUT, ERR = Screen(), Screen(stderr=True)
COLOURS = {"critical": "bold red", "warning": "yellow", "info": "cyan"}
SHOWN = {
    "binary": ("accuracy", "kappa", "f1", "roc_auc", "log_loss"),
    "multiclass": ("accuracy", "kappa", "f1", "log_loss"),
    "regression": ("mae", "rmse", "r2"),
    "anomaly": ("roc_auc",),
}


class RunView:
    """Progress of one run, and its end; `called`: what the commands that look closer are to be given."""

    def __init__(self, config: Config, state: Path, called: str = "CONFIG") -> None:
        self.config, self.state, self.called = config, state, called
        self.started, self.resumed_at = time.monotonic(), 0
        columns = (
            TextColumn("{task.description}"), BarColumn(bar_width=24), TaskProgressColumn(),
            TextColumn("{task.fields[told]}"), TimeRemainingColumn(),
        )  # fmt: skip
        self.bar = Progress(*columns, console=ERR, transient=True) if ERR.is_terminal else None
        self.task = self.bar.add_task(config.name, total=1.0, told="starting") if self.bar else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar:
            self.bar.stop()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def begin(self, resumed_at: int) -> None:
        """The engine is ready: the clock of the run starts."""
        self.started, self.resumed_at = time.monotonic(), resumed_at
        if self.bar:
            self.bar.start()
        if resumed_at:
            ERR.print(f"{self.config.name}: goes on after record {resumed_at:,} of {escape(str(self.state))}")

    def report(self, report: Report) -> None:
        for value in report.alerts:
            ERR.print(alert_line(self.config, json.loads(value)))
        if self.bar and self.task is not None:
            rate = report.new / report.seconds if report.seconds else 0
            told = f"{when(self.config, report.time_ms)}  {report.records:,} records  {rate:,.0f}/s  lag {report.lag:,}"
            share = report.share
            total = None if share is None else 1.0
            self.bar.update(self.task, completed=share or 0, total=total, told=told)

    def end(self, summary: dict[str, Any], *, stopped: bool) -> None:
        if self.bar:
            self.bar.stop()
        name = self.config.name
        if not summary["new_records"]:
            handled = f"nothing new: all {summary['events']:,} events were handled before ({escape(str(self.state))})"
            ERR.print(f"{name}: {handled if self.resumed_at else 'no records in the input, so nothing was done'}")
            return
        ERR.print(
            f"{name}: {counted(summary['events'], 'event')}, {counted(summary['labels'], 'label')},"
            f" {summary['expired']:,} without a label in time, {summary['rejected']:,} rejected"
            f" → {counted(summary['incidents'], 'incident')}, {counted(summary['triggers'], 'trigger')};"
            f" {summary['events_per_second']:,} records/s in {summary['seconds']:.1f} s"
        )
        if summary["rejected"]:
            closer = f"`driftline dead-letters {self.called}` says why records were rejected"
            ERR.print(f"{name}: {closer}", soft_wrap=True, markup=False)
        if summary["labels"]:
            ERR.print(_performance(self.config, summary["metrics"]))
            for model, told in summary["choices"].items():
                ERR.print(f"{name}: {model} uses {_chosen(told)}", markup=False)
            if summary["estimate"] and summary["estimate"]["interval"]:
                ERR.print(f"{name}: {_estimate(summary['estimate'])}")
        elif self.config.schema.label:
            ERR.print(f"{name}: no label has come, so there is no error to measure")
        if stopped:
            ERR.print(f"stopped; run again to go on after record {self.resumed_at + summary['new_records']:,}")


def when(config: Config, time_ms: int) -> str:
    """A time for people, to the minute; where the stream has no time, the offset that stands for it."""
    return rfc3339(time_ms)[:16].replace("T", " ") if config.schema.time else f"offset {time_ms:,}"


def cloud_when(config: Config, event: dict[str, Any]) -> str:
    """The time of a CloudEvent for people."""
    return when(config, round(datetime.fromisoformat(event["time"]).timestamp() * 1000))


def alert_line(config: Config, event: dict[str, Any]) -> str:
    """One alert as a line: when, what, how bad, which incident, the sentence."""
    data = event["data"]
    colour = COLOURS[data["severity"]]
    how = f"[{colour}]{data['status']:<12} {data['severity']:<8}[/]"
    return f"{cloud_when(config, event)}  {how} {data['incident']}  {escape(printable(data['message']))}"


def line_of(config: Config, stream: str, record: Record, shard: int | None = None) -> str:
    """A record of an output stream as a line for people; `shard`: of a topic."""
    value = json.loads(record.value)
    if stream == "alerts":
        with OUT.capture() as captured:
            OUT.print(alert_line(config, value), soft_wrap=True, end="")
        return captured.get()
    if stream == "triggers":
        data = value["data"]
        if "train" not in data:
            return f"{cloud_when(config, value)}  promotion of {data['version']} proposed in place of {data['against']}"
        train = data["train"]
        return (
            f"{cloud_when(config, value)}  retrain {data['model']} {data['version']} ({data['action']}) on offsets"
            f" {train['from_offset']}..{train['to_offset']}: {data['reason']}"
        )
    if stream == "dead-letters":
        return _dead_letter_line(value, shard)
    return record.value.decode()


def _dead_letter_line(value: dict[str, Any], shard: int | None) -> str:
    """Where it came from, what it is, why, and how it begins."""
    raw = value["raw"] if "raw" in value else base64.b64decode(value["raw_base64"]).decode("utf-8", "backslashreplace")
    shown = raw if len(raw) <= 80 else f"{raw[:77]}..."
    place = f"{value['stream']} {value['offset']}{'' if shard is None else f' of shard {shard}'}"
    return printable(f"{place}  {value['kind']}  {value['path']}: {value['reason']}  |  {shown}")


def printable(text: str) -> str:
    r"""Text from outside as one line that cannot steer the terminal.

    >>> printable("a\x1b[31m\n")
    'a\\x1b[31m\\n'
    """
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def _performance(config: Config, metrics: dict[str, Any]) -> Table:
    names = SHOWN[config.task.type]
    table = whole("model", *names, title="since the start (rolling)", title_justify="left")
    rows = {"champion": metrics["champion"]} | metrics["challengers"] | metrics["baselines"]
    for name, figures in rows.items():
        cells = [_both(figures["since_start"].get(n), figures["rolling"].get(n)) for n in names]
        failed = f" ({counted(figures['failures'], 'failure')})" if figures["failures"] else ""
        table.add_row(name + failed, *cells)
    return table


def _estimate(figures: dict[str, Any]) -> str:
    low, high = figures["interval"]
    told = f"estimated error now {figures['estimated']:.4g} ({low:.4g} to {high:.4g})"
    if not figures["labels"]:
        return f"{told}, no label yet of the newest {figures['window']:,} predictions"
    labels = f"{figures['labels']:,} labels of the newest {figures['window']:,} predictions"
    return f"{told}, realised {figures['realised']:.4g} by the {labels}"


def _chosen(told: dict[str, Any]) -> str:
    left = sum(each["dropped"] is None for each in told["candidates"])
    rest = "the last of" if told["decided"] else f"one of {left} left of"
    spent = f"{told['spent']:,} of {told['budget']:,} model-events spent"
    return f"{told['chosen']}, {rest} {len(told['candidates'])}: {told['why']}; {spent}"


def _both(start: float | None, rolling: float | None) -> str:
    known = [f"{value:.4g}" if value is not None and value == value else "-" for value in (start, rolling)]
    return f"{known[0]} ({known[1]})" if known != ["-", "-"] else "-"


def print_features(config: Config, rows: list[dict[str, Any]]) -> None:
    """The feature store, one table per grouping."""
    if not rows:
        what = "has no [[features]]" if not config.features else "no features for this in the log"
        ERR.print(f"{config.name}: {what}", markup=False)
    for by in dict.fromkeys(row["by"] for row in rows):
        mine = [row for row in rows if row["by"] == by]
        names = list(mine[0]["features"])
        sharded = ["shard"] if "shard" in mine[0] else []
        table = whole(*sharded, escape(by or "all"), "time", *names)
        for row in mine:
            cells = ["-" if row["features"][n] is None else f"{row['features'][n]:.4g}" for n in names]
            place = [str(row[name]) for name in sharded]
            table.add_row(*place, escape(printable(row["key"])), when(config, row["time"]), *cells)
        OUT.print(table)


def whole(*names: str, **options: Any) -> Table:
    """A table that folds what is too long for its column, instead of cutting it."""
    return Table(*(Column(name, overflow="fold") for name in names), **options)
