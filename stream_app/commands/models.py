"""The commands about model versions: what there is, and what people say to the loop."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stream_app.cli import Group, cli, on_kafka, on_log, over_kafka, words
from stream_app.config import Config
from stream_app.errors import DriftlineError
from stream_app.messages import to_json

if TYPE_CHECKING:
    from stream_app.edges.versions_view import Told


class Verbs(Group):
    """Takes `models CONFIG list` for `models list CONFIG`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if len(args) > 1 and args[0] not in self.commands and (args[1] in self.commands or Path(args[0]).is_file()):
            args[:2] = [args[1], args[0]]
        return super().parse_args(ctx, args)


@cli.group(cls=Verbs)
def models() -> None:
    """Model versions: the champion, those that ask to take its place, those that were.

    Example: driftline models list flights.toml
    """


def _told(config: Config, state: Path | None) -> "Told":
    from stream_app.edges.versions_view import told_in, told_over_kafka  # noqa: PLC0415

    told = over_kafka(config, told_over_kafka(config)) if state is None else told_in(state)
    if not told:
        raise DriftlineError(f"{config.name}: nothing has run yet, so there are no model versions")
    return told


def _named(told: "Told", version: str, shard: int | None) -> list[int]:
    """The shards that have a version of this name."""
    shards = [place for place, name in told if name == version and shard in (None, place)]
    if not shards:
        known = ", ".join(dict.fromkeys(name for _, name in told))
        raise DriftlineError(f"no model version {version!r}; there are: {known}")
    return shards


def _one(told: "Told", version: str, shard: int | None) -> list[dict[str, Any]]:
    shards = _named(told, version, shard)
    if len(shards) > 1:
        places = ", ".join(map(str, shards))
        raise DriftlineError(f"each of the shards {places} has a {version} of its own: name one with --shard N")
    return told[shards[0], version]


def _of_shard(command: Callable[..., None]) -> Callable[..., None]:
    return click.option("--shard", type=click.IntRange(min=0), help="Over Kafka: of this shard only.")(command)


@models.command("list")
@on_log
def list_versions(config: Config, state: Path | None, *, as_json: bool) -> None:
    """Every version as it stands now.

    Example: driftline models list flights.toml
    """
    from stream_app.edges.versions_view import print_versions  # noqa: PLC0415

    told = _told(config, state)
    if as_json:
        for (shard, _), records in told.items():
            click.echo(to_json({"shard": shard, **records[-1]}))
    else:
        print_versions(config, told)


@models.command()
@on_log
@click.argument("version")
@_of_shard
def show(config: Config, state: Path | None, version: str, shard: int | None, *, as_json: bool) -> None:
    """The life of VERSION: where it came from, when it was in charge, and by what proof.

    Example: driftline models show flights.toml v3
    """
    from stream_app.edges.versions_view import print_version  # noqa: PLC0415

    records = _one(_told(config, state), version, shard)
    if as_json:
        for record in records:
            click.echo(to_json(record))
    else:
        print_version(config, records)


@models.command()
@on_log
@click.argument("version")
@click.argument("other")
@_of_shard
def diff(config: Config, state: Path | None, version: str, other: str, shard: int | None, *, as_json: bool) -> None:
    """What VERSION and OTHER do not have in common.

    Example: driftline models diff flights.toml v1 v3
    """
    from stream_app.edges.versions_view import differences, print_differences  # noqa: PLC0415

    told = _told(config, state)
    found = differences(_one(told, version, shard)[-1], _one(told, other, shard)[-1])
    if as_json:
        click.echo(to_json({name: [one, two] for name, one, two in found}))
    else:
        print_differences((version, other), found)


def _command(name: str, what: str, *, named: bool) -> None:
    """A command that people send to the loop."""

    @click.option("--by", default=lambda: os.environ.get("USER", "unknown"), help="Who; default: $USER.")
    @click.option("--why", help="Reason, for the audit.")
    @_of_shard
    def command(config: Config, state: Path | None, shard: int | None, *, as_json: bool, **said: str | None) -> None:
        told, version = _told(config, state), said.get("version")
        known = sorted({place for place, _ in told if shard in (None, place)})
        value = {"command": name, **{key: text for key, text in said.items() if text is not None}}
        send(config, state, _named(told, version, shard) if version else known, value, as_json=as_json)

    example = f"driftline models {name} flights.toml{' v3' * named}"
    taken = "A running or the next `driftline run` takes it up, over Kafka the workers."
    command.__doc__ = f"{what}\n\n{taken}\n\nExample: {example}"
    models.command(name)(on_log(click.argument("version")(command) if named else command))


for _name, _what, _has_version in (
    ("promote", "Makes VERSION the champion without a proof; the one before comes back if it proves better.", True),
    ("rollback", "Makes the version that was in charge before the champion again.", False),
    ("retire", "Sends VERSION, which is the candidate, to the archive.", True),
    ("retrain", "Trains a challenger now, on what is remembered.", False),
    ("reset", "Starts the champion over, as a new version that has learned nothing.", False),
):  # fmt: skip
    _command(_name, _what, named=_has_version)


def send(config: Config, state: Path | None, shards: list[int], value: dict[str, Any], *, as_json: bool) -> None:
    """Appends a command to the control stream of each shard, and says where."""
    from stream_app.edges.log import Log  # noqa: PLC0415

    if state is None:
        places = [{"shard": shard, "control": on_kafka(_sent(config, shard, value))} for shard in shards]
    else:
        with Log(state) as log:
            places = [{"control": log.send_control(to_json(value))}]
    for place in places:
        said = ", ".join(f"{name} {number}" for name, number in place.items())
        shown = {name: each for name, each in value.items() if name != "artefact"}
        text = f"{config.name}: {value['command']} was sent as {said}; {what_follows(config, state)}"
        click.echo(to_json(shown | place) if as_json else text, err=not as_json)


def what_follows(config: Config, state: Path | None) -> str:
    """Who obeys a command that was sent, when, and where that is told."""
    called, taker = words(config, state), "the worker" if state is None else "a running or the next `driftline run`"
    return (
        f"{taker} takes it up, with effect at the end of an epoch; then `driftline audit {called}` tells of it, "
        f"or, where it is refused, `driftline dead-letters {called}` says why"
    )


async def _sent(config: Config, shard: int, value: dict[str, Any]) -> int:
    from stream_app.edges.sender import send_command  # noqa: PLC0415

    return await send_command(config, shard, to_json(value))


@models.command()
@on_log
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--trigger", help="Id of the trigger that it answers: a trigger is answered once.")
@click.option("--promote", is_flag=True, help="At once, without a proof.")
@click.option("--by", default=lambda: os.environ.get("USER", "unknown"), help="Who; default: $USER.")
@click.option("--why", help="Reason, for the audit.")
@_of_shard
def add(config: Config, state: Path | None, file: Path, shard: int | None, *, as_json: bool, **said: Any) -> None:
    """Registers the model in FILE: it stands beside the champion, and takes its place when it is proven better.

    FILE is an artefact (docs/training.md), an ONNX file (.onnx) or a river object (.pickle).

    Example: driftline models add flights.toml model.json --trigger flights/triggers/0/flights-3/123/error/retrain
    """
    from stream_app.edges.artefacts import read  # noqa: PLC0415
    from stream_app.edges.snapshots import state_key  # noqa: PLC0415
    from stream_app.models.seal import packed, sign  # noqa: PLC0415
    from stream_app.pipeline import Pipeline  # noqa: PLC0415

    key, told = state_key(os.environ), _told(config, state)
    score = Pipeline(config).score
    document = sign(read(file, config.task, score.inputs, score.classes, key), key)
    value = {"command": "add", "artefact": packed(document), **{name: each for name, each in said.items() if each}}
    shards = sorted({place for place, _ in told if shard in (None, place)})
    send(config, state, shards, value, as_json=as_json)


@models.command()
@on_log
@click.argument("version")
@click.argument("file", type=click.Path(path_type=Path))
@_of_shard
def export(config: Config, state: Path | None, version: str, file: Path, shard: int | None, *, as_json: bool) -> None:
    """Writes VERSION to FILE as an artefact: as it is now, or was when it left.

    Over Kafka: as it was when it was promoted or left.

    Example: driftline models export flights.toml v3 v3.json
    """
    from stream_app.edges.archive import newest  # noqa: PLC0415
    from stream_app.edges.log import Log  # noqa: PLC0415
    from stream_app.edges.snapshots import state_key  # noqa: PLC0415
    from stream_app.runners.restored import of_log  # noqa: PLC0415

    _one(_told(config, state), version, shard)
    if state is None:
        document = newest(over_kafka(config, _archived(config, shard)), version)
    else:
        document = of_log(config, state, state_key(os.environ)).retraining.lanes.current(version) or b""
        with Log(state) as log:
            document = document or newest((record.value for record in log.read("archive")), version)
    file.write_bytes(document)
    said = f"{config.name}: wrote {version} to {file}, {len(document):,} bytes"
    click.echo(
        to_json({"version": version, "file": str(file), "bytes": len(document)}) if as_json else said, err=not as_json
    )


async def _archived(config: Config, shard: int | None) -> list[bytes]:
    from stream_app.edges.subscriber import history  # noqa: PLC0415

    return [record.value async for place, record in history(config, "archive") if shard in (None, place)]


@cli.command()
@on_log
@click.option("--from", "start", type=click.IntRange(min=0), default=0, help="First source offset.")
@click.option("--to", "stop", type=click.IntRange(min=0), help="Last source offset; default: the newest.")
@_of_shard
def rows(config: Config, state: Path | None, start: int, stop: int | None, shard: int | None, *, as_json: bool) -> None:
    """The labelled events that are remembered for retraining, as the model saw them, as CSV.

    Columns: offset, id, time, the inputs (features too), the label; categories as text, missing values empty. At most
    retrain.memory events. Over Kafka of one shard.

    Example: driftline rows flights.toml --from 1000 --to 2000 > rows.csv
    """
    from stream_app.edges.snapshots import state_key  # noqa: PLC0415
    from stream_app.edges.training_rows import write  # noqa: PLC0415
    from stream_app.runners.restored import of_log, of_shard  # noqa: PLC0415

    key = state_key(os.environ)
    pipeline = of_log(config, state, key) if state else over_kafka(config, of_shard(config, shard or 0, key))
    write(config, pipeline, start, stop, as_json=as_json)
