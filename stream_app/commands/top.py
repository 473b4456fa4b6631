"""The command `top`: the live page as a table on a terminal."""

from pathlib import Path

import click

from stream_app.cli import cli, on_log, over_kafka
from stream_app.config import Config


@cli.command()
@on_log
@click.option("--follow", is_flag=True, help="Go on where standard output is no terminal, and with --json.")
def top(config: Config, state: Path | None, *, follow: bool, as_json: bool) -> None:
    """Open incidents and signals, the closest to its alarm first, with rate, lag, labels and budget; until q or Ctrl-C.

    Where standard output is no terminal, or with --json, it prints once and ends; with --follow it goes on and prints
    again after each change. Reads the topics if CONFIG has [kafka] and no --state is given.

    Example: driftline top flights.toml
    """
    from stream_app.edges import top_view  # noqa: PLC0415

    live = top_view.is_drawable() and not as_json
    work = _watch(config, state, follow=follow or live, live=live, as_json=as_json)
    over_kafka(config, work)


async def _watch(config: Config, state: Path | None, *, follow: bool, live: bool, as_json: bool) -> None:
    from stream_app.edges import board_topics, top_view  # noqa: PLC0415
    from stream_app.runners.dashboard import over_log  # noqa: PLC0415
    from stream_app.runners.top import watch  # noqa: PLC0415

    async with over_log(config, state) if state is not None else board_topics.opened(config) as feed:
        with top_view.live(feed) if live else top_view.printed(feed, as_json=as_json) as show:
            await watch(feed, show, follow=follow, ticks=live)
