"""The `worker` command."""

import contextlib
import os
import sys
from pathlib import Path
from typing import Any

import click

from stream_app.cli import cli, in_file, notified
from stream_app.config import load


@cli.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--instance", help="Name in the group; the same after a restart. Default: HOSTNAME-N, N the first free.")
@click.option("--health", metavar="[HOST:]PORT", help="Answer GET /health, /ready and /metrics there.")
@click.option("--supervise", is_flag=True, help="Start the worker again whenever it fails.")
@click.option("--no-notify", is_flag=True, help="Notify nobody; `driftline notify run --follow` does.")
@click.option("--log", "form", type=click.Choice(["text", "json"]), help="Default: text on a terminal, else JSON.")
def worker(
    config: Path, instance: str | None, health: str | None, form: Any, *, supervise: bool, no_notify: bool
) -> None:
    """Runs CONFIG on Kafka until SIGTERM: start one, start ten, kill any.

    Ends with 0 when asked to, 1 when it failed (start it again), 2 when its configuration or topics are wrong.

    Example: driftline worker flights.toml --supervise --health 8080
    """
    from stream_app.edges import compiling, journal  # noqa: PLC0415
    from stream_app.edges.instance import instance as free_instance  # noqa: PLC0415
    from stream_app.edges.snapshots import state_key  # noqa: PLC0415

    journal.start(form)
    with compiling.logged():
        tree = load(config)
    if supervise:
        from stream_app.runners import supervisor  # noqa: PLC0415

        words = [word for word in sys.argv[1:] if word != "--supervise"]
        sys.exit(supervisor.supervise([sys.executable, "-m", "stream_app.cli", *words]))
    from stream_app.runners import faust_worker  # noqa: PLC0415
    from stream_app.runners.supervisor import follow_supervisor  # noqa: PLC0415

    follow_supervisor()
    key = state_key(os.environ)
    with in_file(config, tree), contextlib.ExitStack() as stack:
        notifier = None if no_notify else stack.enter_context(notified(tree, None, grace_s=faust_worker.NOTIFY_GRACE_S))
        found = instance or stack.enter_context(free_instance(tree.name, os.environ))
        told = (lambda: notifier.metrics) if notifier else dict
        faust_worker.run(tree, key=key, instance=found, health=health, notifications=told)
