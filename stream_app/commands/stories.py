"""The commands that ask for one thing, of the log or over Kafka, and those that say something of an incident."""

import contextlib
import os
from pathlib import Path
from typing import Any

import click
import msgspec

from stream_app.cli import cli, on_log, over_kafka
from stream_app.config import Config
from stream_app.errors import DriftlineError
from stream_app.messages import to_json


@cli.command()
@on_log
@click.option("--by", help="Only features of this grouping.")
@click.option("--key", help="Only this key.")
def features(config: Config, state: Path | None, *, by: str | None, key: str | None, as_json: bool) -> None:
    """The feature store: the newest feature values of each key.

    Over Kafka each shard has values of its own.

    Example: driftline features flights.toml --by carrier --key AA
    """
    from stream_app.edges.log import Log  # noqa: PLC0415
    from stream_app.edges.terminal import print_features  # noqa: PLC0415

    if state is None:
        rows = over_kafka(config, _newest_features(config, by, key))
    else:
        with Log(state) as log:
            rows = list(log.features(by, key))
    if as_json:
        for row in rows:
            click.echo(msgspec.json.encode(row))
    else:
        print_features(config, rows)


async def _newest_features(config: Config, by: str | None, key: str | None) -> list[dict[str, Any]]:
    from stream_app.edges.subscriber import history  # noqa: PLC0415

    newest = {(shard, record.key): record.value async for shard, record in history(config, "features")}
    rows = [{"shard": shard} | msgspec.json.decode(value) for (shard, _), value in sorted(newest.items())]
    return [row for row in rows if by in (None, row["by"]) and key in (None, row["key"])]


@cli.command()
@on_log
@click.argument("id")
def story(config: Config, state: Path | None, id: str, *, as_json: bool) -> None:  # noqa: A002
    """What happened to one event, one incident or one model version, and why.

    Over Kafka it tells of events and incidents, and reads whole topics to find an event.

    Example: driftline story flights.toml flights-3
    """
    from stream_app.edges.log import Log  # noqa: PLC0415
    from stream_app.edges.snapshots import state_key  # noqa: PLC0415
    from stream_app.edges.stories import print_story, tell, tell_from_topics  # noqa: PLC0415
    from stream_app.edges.terminal import ERR  # noqa: PLC0415

    if state is None:
        with ERR.status("reading") if ERR.is_terminal else contextlib.nullcontext() as status:
            told = over_kafka(config, tell_from_topics(config, id, status.update if status else lambda _: None))
    else:
        with Log(state) as log:
            told = tell(config, log, id, state_key(os.environ))
    if as_json:
        click.echo(to_json(told))
    else:
        print_story(config, told)


@cli.command()
@on_log
@click.argument("incident")
@click.option("--by", default=lambda: os.environ.get("USER", "unknown"), help="Who; default: $USER.")
def acknowledge(config: Config, state: Path | None, incident: str, by: str, *, as_json: bool) -> None:
    """Says that someone looks after INCIDENT: the monitor writes it into the log, and to its subscribers.

    A running or the next `driftline run` takes it up; over Kafka the worker of the incident's shard.

    Example: driftline acknowledge flights.toml flights-3 --by ada
    """
    _say(config, state, {"command": "acknowledge", "incident": incident, "by": by}, as_json=as_json)


@cli.command()
@on_log
@click.argument("incident")
@click.option("--by", default=lambda: os.environ.get("USER", "unknown"), help="Who; default: $USER.")
def close(config: Config, state: Path | None, incident: str, by: str, *, as_json: bool) -> None:
    """Says that INCIDENT is over, where the monitor cannot see it: its signal has ended, say.

    An incident recovers by itself when its signal is seen to be back, or settled; silence alone does not close it.

    Example: driftline close flights.toml flights-3 --by ada
    """
    _say(config, state, {"command": "close", "incident": incident, "by": by}, as_json=as_json)


def _say(config: Config, state: Path | None, command: dict[str, str], *, as_json: bool) -> None:
    """Puts a command about an incident into the control stream of its shard."""
    from stream_app.edges.log import Log  # noqa: PLC0415

    incident = command["incident"]
    if state is None:
        shard, number = over_kafka(config, _send_to_shard(config, incident, to_json(command)))
        place = {"shard": shard, "control": number}
        sent = f"{config.name}: sent to shard {shard} as command {number}; its worker takes it up"
    else:
        with Log(state) as log:
            told = [record.value for record in log.read("alerts") if record.key == incident]
            _check_open(incident, told, str(state))
            number = log.send_control(to_json(command))
        place = {"control": number}
        sent = f"{config.name}: sent as command {number}; a running or the next `driftline run` takes it up"
    click.echo(to_json(command | place) if as_json else sent, err=not as_json)


async def _send_to_shard(config: Config, incident: str, command: bytes) -> tuple[int, int]:
    from stream_app.edges import kafka  # noqa: PLC0415
    from stream_app.edges.sender import send_command  # noqa: PLC0415
    from stream_app.edges.subscriber import history  # noqa: PLC0415

    told = [received async for received in history(config, "alerts") if received.record.key == incident]
    _check_open(incident, [record.value for _, record in told], kafka.topic(config, "alerts"))
    shard = told[-1].partition
    return shard, await send_command(config, shard, command)


def _check_open(incident: str, alerts: list[bytes], where: str) -> None:
    if not alerts:
        raise DriftlineError(f"no incident {incident!r} in {where}; `driftline alerts CONFIG` lists them")
    if msgspec.json.decode(alerts[-1])["data"]["status"] == "recovered":
        raise DriftlineError(f"incident {incident!r} has recovered: there is nothing left to do")
