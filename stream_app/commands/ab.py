"""The command `ab`: how the arms of an A/B comparison stand."""

from pathlib import Path
from typing import Any

import click
import msgspec

from stream_app.cli import cli, on_log, over_kafka
from stream_app.config import Config
from stream_app.messages import to_json


@cli.command()
@on_log
def ab(config: Config, state: Path | None, *, as_json: bool) -> None:
    """Which arm of [ab] does better, by the newest line of the metrics; one may look as often as one likes.

    Over Kafka each shard has models of its own, and so a comparison of its own.

    Example: driftline ab flights.toml
    """
    from stream_app.edges.ab_view import print_ab  # noqa: PLC0415

    if config.ab is None:
        raise click.UsageError(f"the configuration of {config.name} has no [ab]: name the lane that gets a share")
    told = over_kafka(config, _from_topics(config)) if state is None else _from_log(state)
    if as_json:
        for shard, figures in told:
            click.echo(to_json({"shard": shard} | figures[-1]))
    else:
        print_ab(config, told)


def _from_log(state: Path) -> list[tuple[int, list[dict[str, Any]]]]:
    from stream_app.edges.log import Log  # noqa: PLC0415

    with Log(state) as log:
        values = [record.value for record in log.read("metrics") if record.key == "ab"]
    return [(0, _last_of_each(values))] if values else []


async def _from_topics(config: Config) -> list[tuple[int, list[dict[str, Any]]]]:
    from stream_app.edges.subscriber import history  # noqa: PLC0415

    found: dict[int, list[bytes]] = {}
    async for shard, record in history(config, "metrics"):
        if record.key == "ab":
            found.setdefault(shard, []).append(record.value)
    return [(shard, _last_of_each(values)) for shard, values in sorted(found.items())]


def _last_of_each(values: list[bytes]) -> list[dict[str, Any]]:
    """Of each comparison, in their order, the figures as they stood last."""
    figures = map(msgspec.json.decode, values)
    return list({each["since"]: each for each in figures}.values())
