"""The commands that need a cluster: topics, play."""

import functools
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import click

from stream_app.cli import cli, in_file, loaded, on_kafka, stop_signals
from stream_app.config import Config
from stream_app.messages import counted, to_json

if TYPE_CHECKING:
    from stream_app.edges.topics import Report
    from stream_app.runners.player import Played


def on_cluster(command: Callable[..., None]) -> Callable[..., None]:
    """CONFIG and --json: passes `config`, which has [kafka], and `as_json`."""

    @click.argument("config", type=click.Path(path_type=Path))
    @click.option("--json", "as_json", is_flag=True, help="One JSON object per line on standard output.")
    @functools.wraps(command)
    def wrapped(config: Path, **options: Any) -> None:
        from stream_app.edges.kafka import cluster  # noqa: PLC0415

        tree = loaded(config)
        with in_file(config, tree):
            cluster(tree)
            command(config=tree, **options)

    return wrapped


@cli.command()
@on_cluster
@click.option("--check", is_flag=True, help="Create nothing: a missing topic is a problem.")
def topics(config: Config, *, check: bool, as_json: bool) -> None:
    """Creates the topics that are missing, and says what is wrong with those that exist, which it never alters.

    Example: driftline topics flights.toml
    """
    from stream_app.edges.topics import ensure, refuse  # noqa: PLC0415

    reports = on_kafka(ensure(config, create=not check))
    if as_json:
        for report in reports:
            click.echo(to_json(_described(report)))
    else:
        _print_topics(reports)
    for report in reports:
        for warning in report.warnings:
            click.echo(f"driftline: note: {warning}", err=True)
    refuse(config, reports)


def _described(report: "Report") -> dict[str, Any]:
    topic = report.topic
    return {
        "stream": report.stream,
        "topic": topic.name,
        "state": report.state,
        "partitions": topic.partitions,
        "replicas": topic.replicas,
        "cleanup": topic.settings["cleanup.policy"],
        "retention_ms": int(topic.settings["retention.ms"]) if "delete" in topic.settings["cleanup.policy"] else None,
        "problems": report.problems,
        "warnings": report.warnings,
    }


def _print_topics(reports: list["Report"]) -> None:
    from stream_app.edges.terminal import OUT, whole  # noqa: PLC0415

    colours = {"ok": "green", "created": "cyan", "missing": "yellow", "wrong": "bold red"}
    table = whole("stream", "topic", "partitions", "replicas", "cleanup", "kept for", "state")
    for report in reports:
        row = _described(report)
        kept = "for ever" if row["retention_ms"] in (None, -1) else f"{row['retention_ms'] / 3_600_000:g} h"
        counts = str(row["partitions"]), str(row["replicas"])
        state = f"[{colours[report.state]}]{report.state}[/]"
        table.add_row(report.stream, row["topic"], *counts, row["cleanup"], kept, state)
    OUT.print(table)


@cli.command()
@on_cluster
@click.option("--speed", type=click.FloatRange(min=0), default=0.0, help="Times real time; default, or 0: at once.")
@click.option("--limit", type=click.IntRange(min=1), help="Only the first so many events, and labels up to the next.")
def play(config: Config, *, speed: float, limit: int | None, as_json: bool) -> None:
    """Sends the events and labels of [source] to their topics in the order of time, as a producer would.

    The same file played twice is sent twice: events that come again are dead letters, if they have ids.

    Example: driftline play flights.toml --speed 3600
    """
    from stream_app.runners.player import play  # noqa: PLC0415

    with _View(config) as view, stop_signals() as stopped:
        played = on_kafka(play(config, speed=speed, limit=limit, report=view.report, stop=stopped))
    view.end(played, stopped=stopped())
    if as_json:
        rate = round((played.events + played.labels) / played.seconds) if played.seconds else 0
        left_out = ("time_ms", "share")
        summary = {name: value for name, value in asdict(played).items() if name not in left_out}
        click.echo(to_json(summary | {"seconds": round(played.seconds, 3), "records_per_second": rate}))


class _View:
    """Progress of playing, drawn only on a terminal, and its end; all on standard error."""

    def __init__(self, config: Config) -> None:
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn  # noqa: PLC0415

        from stream_app.edges.terminal import ERR  # noqa: PLC0415

        told = TextColumn("{task.fields[told]}")
        columns = TextColumn("{task.description}"), BarColumn(bar_width=24), TaskProgressColumn(), told
        self.config = config
        self.bar = Progress(*columns, TimeRemainingColumn(), console=ERR, transient=True, disable=not ERR.is_terminal)
        self.task = self.bar.add_task(config.name, total=1.0, told="connecting")

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def report(self, played: "Played") -> None:
        from stream_app.edges.terminal import when  # noqa: PLC0415

        count = played.events + played.labels
        rate = count / played.seconds if played.seconds else 0
        told = f"{when(self.config, played.time_ms)}  {count:,} records  {rate:,.0f}/s" if count else "waiting"
        total = None if played.share is None else 1.0
        self.bar.update(self.task, completed=played.share or 0, total=total, told=told)

    def end(self, played: "Played", *, stopped: bool) -> None:
        rate = (played.events + played.labels) / played.seconds if played.seconds else 0
        click.echo(
            f"{self.config.name}: sent {counted(played.events, 'event')}, {counted(played.labels, 'label')}"
            f" ({played.unmatched:,} without their event, {counted(played.rejected, 'record')} to become dead letters);"
            f" {rate:,.0f} records/s in {played.seconds:.1f} s" + "; stopped before the end" * stopped,
            err=True,
        )
