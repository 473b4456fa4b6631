"""The `dashboard` command."""

import os
from pathlib import Path

import click

from stream_app.cli import cli, on_log, over_kafka
from stream_app.config import Config
from stream_app.errors import ConfigError
from stream_app.messages import to_json

DEFAULT = "127.0.0.1:8090"
NICE = 5  # beside a run: pages wait rather than the stream


@cli.command()
@on_log
@click.option("--listen", metavar="[HOST:]PORT", help=f"Where to answer. Default: {DEFAULT}, or a free port.")
@click.option(
    "--token-file",
    type=click.Path(path_type=Path),
    help="Holds the token that browsers must show; default: $DRIFTLINE_DASHBOARD_TOKEN. Needed beyond this machine.",
)
@click.option("--beside", hidden=True, help="The command beside which it is shown.")
@click.option("--read-only", is_flag=True, help="Nobody can acknowledge incidents on it.")
def dashboard(
    config: Config, state: Path | None, *, listen: str | None, token_file: Path | None, beside: str | None,
    read_only: bool, as_json: bool,
) -> None:  # fmt: skip
    """Shows CONFIG's stream in a browser, live: performance, signals, incidents, models, dead letters.

    Reads the log of `driftline run` while it is written, or the topics if CONFIG has [kafka] and no --state is given.

    Example: driftline dashboard flights.toml
    """
    from stream_app.edges.dashboard import DIRECT, TOKEN, Caller  # noqa: PLC0415
    from stream_app.runners.dashboard import serve  # noqa: PLC0415
    from stream_app.runners.supervisor import LIFELINE, follow_supervisor  # noqa: PLC0415

    if LIFELINE in os.environ:
        os.nice(NICE)
    follow_supervisor()
    token = _read(token_file) if token_file else os.environ.get(TOKEN, "").strip()

    def say(address: str) -> None:
        url = f"http://{address}/"
        if as_json:
            click.echo(to_json({"address": url}))
        else:
            hint = "?token=…" if token else ""
            click.echo(f"{config.name}: dashboard at {url}{hint}, until Ctrl-C", err=True)

    caller = Caller.beside(beside) if beside else DIRECT
    options = {"token": token, "read_only": read_only, "free": not listen, "caller": caller}
    over_kafka(config, serve(config, state, say, listen or DEFAULT, **options))


def _read(file: Path) -> str:
    token = file.read_text().strip()
    if not token:
        raise ConfigError([f"--token-file: {file} is empty; write a token into it"], "driftline dashboard")
    return token
