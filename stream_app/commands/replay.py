"""The command that goes over what a monitor took once more: to prove what it wrote, or as an experiment."""

import os
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from stream_app.cli import cli, in_file, loaded, on_kafka, on_log, over_kafka
from stream_app.commands.models import what_follows
from stream_app.config import Config
from stream_app.errors import DriftlineError

if TYPE_CHECKING:
    from stream_app.edges.contrast import Contrast
    from stream_app.edges.paired_losses import Judgement

T = TypeVar("T")


def _bound(_context: click.Context, _option: click.Parameter, text: str | None) -> Any:
    from stream_app.flow.cells import BadCell, time_ms  # noqa: PLC0415
    from stream_app.messages import NO_TIME  # noqa: PLC0415
    from stream_app.runners.history import Bound  # noqa: PLC0415

    if text is None or text.isdecimal():
        return text and Bound(offset=int(text))
    try:
        moment = time_ms(text)
    except BadCell:
        moment = NO_TIME
    if moment == NO_TIME:
        raise click.BadParameter(f"{text!r} is neither an offset such as 5000 nor a time such as 2013-07-01T12:00:00Z")
    return Bound(time_ms=moment)


class Promotion(NamedTuple):
    """What was said about promoting the winner."""

    file: Path
    anyway: bool
    by: str
    why: str | None

    def said(self) -> dict[str, str]:
        """Who and why, for the audit and the version."""
        return {"by": self.by, "why": f"replay against {self.file}" + (f": {self.why}" if self.why else "")}


@cli.command()
@on_log
@click.option("--against", type=click.Path(path_type=Path), help="Another configuration, to be put beside what was.")
@click.option(
    "--from", "start", metavar="OFFSET|TIME", callback=_bound, help="Begin at the first commit that reaches it."
)
@click.option("--to", "stop", metavar="OFFSET|TIME", callback=_bound, help="End before the first commit that does.")
@click.option("--cost", is_flag=True, help="With --against: run CONFIG again too, to measure what both cost.")
@click.option(
    "--processes", metavar="N", type=click.IntRange(min=1), help="That share partitions; default: as many as pay."
)
@click.option("--promote", is_flag=True, help="With --against: if OTHER's model proves better, it goes live.")
@click.option("--anyway", is_flag=True, help="With --promote: without that proof.")
@click.option("--by", default=lambda: os.environ.get("USER", "unknown"), help="With --promote: who; default: $USER.")
@click.option("--why", help="With --promote: a reason, for the audit.")
def replay(
    config: Config, state: Path | None, *, against: Path | None, start: Any, stop: Any, as_json: bool, cost: bool,
    processes: int | None, promote: bool, anyway: bool, by: str, why: str | None,
) -> None:  # fmt: skip
    """Runs CONFIG again over all it took, in the order in which it took it, and compares with what it wrote.

    Ends with 0 if every stream is identical, byte for byte, 1 if not. With --against: what OTHER makes of the same
    records, with a fresh state; incidents of the same signal within 1,000 events are the same. OFFSET is one of the
    events of each shard, TIME is RFC 3339, of the stream. Reads the topics if CONFIG has [kafka] and no --state is
    given, else the log and the files of [source]. Writes nothing, but for the one command that --promote sends: the
    model of OTHER, as of the last record replayed, becomes a version and the champion of CONFIG.

    Example: driftline replay flights.toml --against other.toml --from 2013-07-01
    """
    from stream_app.runners.history import Bounds  # noqa: PLC0415

    if (against is None and (cost or promote)) or (anyway and not promote):
        raise click.UsageError("--cost and --promote go with --against OTHER, and --anyway with --promote")
    bounds = Bounds(start, stop)
    if against is None:
        _same(config, state, bounds, processes, as_json=as_json)
        return
    promotion = Promotion(against, anyway, by, why) if promote else None
    _experiment(config, _other(against), state, bounds, processes, promotion, cost=cost, as_json=as_json)


def _other(file: Path) -> Config:
    """OTHER, whose models can be made: what is found wrong later may be taken for CONFIG's, which may have its name."""
    from stream_app.pipeline import Pipeline  # noqa: PLC0415

    other = loaded(file)
    with in_file(file, other):
        Pipeline(other)
    return other


def _through(config: Config, state: Path | None, work: Coroutine[Any, Any, T]) -> T:
    """Goes over the topics, or the log."""
    return over_kafka(config, work) if state is None else on_kafka(work)


def _same(config: Config, state: Path | None, bounds: Any, processes: int | None, *, as_json: bool) -> None:
    from stream_app.edges.replay_view import print_replay  # noqa: PLC0415
    from stream_app.edges.snapshots import state_key  # noqa: PLC0415
    from stream_app.edges.terminal import RunView  # noqa: PLC0415
    from stream_app.runners.replay import replayed  # noqa: PLC0415

    with RunView(config, state or Path()) as view:
        view.begin(0)
        key = state_key(os.environ)
        options: dict[str, Any] = {"bounds": bounds, "report": view.report, "processes": processes}
        found = _through(config, state, replayed(config, state=state, key=key, **options))
    print_replay(config, found, as_json=as_json)
    if not found.identical:
        sys.exit(1)


def _experiment(
    config: Config, other: Config, state: Path | None, bounds: Any, processes: int | None,
    promotion: Promotion | None, *, cost: bool, as_json: bool,
) -> None:  # fmt: skip
    from stream_app.edges.contrast_view import contrast_json, print_contrast  # noqa: PLC0415

    found = _contrast(config, other, state, bounds, processes, promotion, cost=cost)
    verdict = found.judgement(config, other)
    if not as_json:
        print_contrast(config, found, verdict)
    told = _promote(config, state, found, verdict, promotion) if promotion else None
    if as_json:
        click.echo(contrast_json(found, verdict, told))
    if told and "refused" in told:
        raise DriftlineError(told["refused"])
    for place in told["sent"] if told else []:
        where = f"shard {place['shard']}, control {place['control']}"
        text = f"{config.name}: {place['version']} of the replay was sent to be the champion as {where}"
        click.echo(f"{text}; {what_follows(config, state)}", err=True)


def _contrast(
    config: Config, other: Config, state: Path | None, bounds: Any, processes: int | None,
    promotion: Promotion | None, *, cost: bool,
) -> "Contrast":  # fmt: skip
    from stream_app.edges.snapshots import state_key  # noqa: PLC0415
    from stream_app.edges.terminal import RunView  # noqa: PLC0415
    from stream_app.runners.promotion import refuse_unpromotable  # noqa: PLC0415
    from stream_app.runners.replay import contrasted  # noqa: PLC0415

    if promotion:
        refuse_unpromotable(config, other, promotion.file, topics=state is None)
    key, promote = state_key(os.environ), promotion is not None
    with RunView(config, state or Path()) as view:
        view.begin(0)
        options = {"state": state, "key": key, "bounds": bounds, "report": view.report, "processes": processes}
        return _through(config, state, contrasted(config, other, **options, cost=cost, promote=promote))


def _promote(
    config: Config, state: Path | None, found: "Contrast", verdict: "Judgement", promotion: Promotion
) -> dict[str, Any]:
    """What was sent, or why not."""
    from stream_app.edges.snapshots import state_key  # noqa: PLC0415
    from stream_app.runners.promotion import promoted, refusal  # noqa: PLC0415

    why = refusal(found, verdict, anyway=promotion.anyway)
    if why:
        return {"refused": why}
    key = state_key(os.environ)
    try:
        sent = on_kafka(promoted(config, state, key, found.winners, promotion.said()))
    except DriftlineError as error:
        return {"refused": str(error)}
    return {"forced": verdict.outcome != "better", **promotion.said(), "sent": sent}
