"""The `driftline` command. Data goes to standard output, everything said to people to standard error.

Exit codes: 0 done, 1 failed, 2 wrong use or configuration.
"""

import contextlib
import functools
import io
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from stream_app.config import Config, load, receivers
from stream_app.config.reading import nearest
from stream_app.errors import BrokerError, ConfigError, DriftlineError, TopicError
from stream_app.messages import to_json

T = TypeVar("T")


class Group(click.Group):
    """Commands; a wrong name gets the nearest."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            error.message = error.message.rstrip(".") + nearest(args[0], self.commands)
            raise


class Commands(Group):
    """All of them; a reader of our output that has seen enough ends us quietly."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # caught here because click would make an exit code 1 of it
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_name="driftline")
def cli() -> None:
    """Watches a stream of events for drift: features, a model that learns, detectors, alerts, retraining triggers.

    \b
    driftline demo                  a year of real flights
    driftline init data.csv         writes a configuration for your data
    driftline run data.toml         runs it
    """  # noqa: D301  (\b is for click)


def main() -> None:
    """Entry point: turns errors meant for people into one message and an exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as standard error is: not every terminal knows an arrow
    try:
        cli(standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except DriftlineError as error:
        click.echo(f"driftline: {error}", err=True)
        sys.exit(error.exit_code)
    except OSError as error:
        if error.filename is None:  # no file of the user's: a mistake of ours
            raise
        hint = "check that its folder exists and is yours to write"
        click.echo(f"driftline: cannot use {error.filename} ({error.strerror}): {hint}", err=True)
        sys.exit(1)


def loaded(config: Path) -> Config:
    """The configuration of a file: to check its detectors is to compute their limits, which may have to be compiled."""
    from stream_app.edges import compiling  # noqa: PLC0415

    with compiling.shown():
        return load(config)


def on_config(command: Callable[..., None]) -> Callable[..., None]:
    """CONFIG, --state and --json, shared by most commands: passes `config`, `state` (path of the log) and `as_json`."""

    @click.argument("config", type=click.Path(path_type=Path))
    @click.option("--state", type=click.Path(path_type=Path), help="The log file; default: NAME.db in this folder.")
    @click.option("--json", "as_json", is_flag=True, help="One JSON object per line on standard output.")
    @functools.wraps(command)
    def wrapped(config: Path, state: Path | None, **options: Any) -> None:
        tree = loaded(config)
        with in_file(config, tree):
            command(config=tree, state=state or Path(f"{tree.name}.db"), **options)

    return wrapped


@contextlib.contextmanager
def in_file(file: Path, config: Config) -> Iterator[None]:
    """What is found wrong with a configuration after it was read names its file too: only its name is known by then."""
    try:
        yield
    except ConfigError as error:
        if error.file != config.name:
            raise
        raise ConfigError(error.problems, str(file)) from error


def words(config: Config, state: Path | None, file: Path | None = None) -> str:
    """CONFIG and, where it is needed, --state, by which another command finds the same: for what is said to people."""
    file = file or click.get_current_context().params["config"]
    needed = state is not None and (config.kafka is not None or state != Path(f"{config.name}.db"))
    return shlex.join([str(file), *(["--state", str(state)] if needed else [])])


def on_log(command: Callable[..., None]) -> Callable[..., None]:
    """As `on_config`; `state` is None where the topics are meant: CONFIG has [kafka] and --state was not given."""

    @on_config
    @functools.wraps(command)
    def wrapped(config: Config, state: Path, **options: Any) -> None:
        given = click.get_current_context().get_parameter_source("state") is ParameterSource.COMMANDLINE
        command(config=config, state=state if given or config.kafka is None else None, **options)

    return wrapped


def with_dashboard(command: Callable[..., None]) -> Callable[..., None]:
    """--dashboard, with or without an address: passes `dashboard`, None where it was not given."""
    told = "Shows the stream in a browser meanwhile, there or at 127.0.0.1:8090; until Ctrl-C on a terminal."
    option = click.option("--dashboard", metavar="[[HOST:]PORT]", is_flag=False, flag_value="", help=told)
    return option(command)


@cli.command()
@click.option("--data", type=click.Path(path_type=Path), help="Your own CSV, JSON-lines or Parquet file instead.")
@click.option(
    "--folder", type=click.Path(path_type=Path), default=Path("demo"), show_default=True, help="Where data and log go."
)
@click.option("--json", "as_json", is_flag=True, help="End with one JSON object on standard output.")
@with_dashboard
def demo(data: Path | None, folder: Path, *, dashboard: str | None, as_json: bool) -> None:
    """A year of real flights, each label arriving when the plane has landed.

    Its dashboard stays until Ctrl-C on a terminal, and with --dashboard.

    Example: driftline demo
    """
    from stream_app.edges.demo import report_by_month, write_flights  # noqa: PLC0415

    config_file = _profiled(data, folder) if data else write_flights(folder)
    config, state = loaded(config_file), folder / f"{config_file.stem}.db"
    with shown(config, config_file, state, dashboard or "") as page:
        called = words(config, state, config_file)
        summary = _run(config, state, called, follow=False, as_json=as_json)
        if not data:
            report_by_month(state)
        closer = [f"alerts {called}", f"story {called} {config.name}-1"]
        program = "driftline" if shutil.which("driftline") else os.path.relpath(sys.argv[0])
        lines = [f"  {program} {each}" for each in (closer if summary["incidents"] else [f"predictions {called}"])]
        click.echo("\n".join(["\nLook closer:", *lines]), err=True)
        if dashboard is not None or sys.stderr.isatty():
            _stay(page)


@cli.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Default: the data's name with .toml.")
@click.option("--force", is_flag=True, help="Write over an existing configuration.")
def init(file: Path, output: Path | None, *, force: bool) -> None:
    """Looks at a sample of FILE and writes a commented configuration that `driftline run` accepts as it is.

    Example: driftline init data.csv
    """
    from stream_app.edges.profile import profile  # noqa: PLC0415

    output = output or Path(f"{file.name.split('.')[0]}.toml")
    if output.exists() and not force:
        raise click.UsageError(f"{output} exists: name another with --output, or write over it with --force")
    output.write_text(profile(str(file), os.path.relpath(file, output.parent)))
    click.echo(f"wrote {output}; next: driftline check {output}, driftline run {output}", err=True)


@cli.command()
@on_config
@click.option(
    "--compile", "compiles", is_flag=True,
    help="Also compile what a run or a worker needs, for later starts; the files of [source] need not be there yet.",
)  # fmt: skip
def check(config: Config, state: Path, *, compiles: bool, as_json: bool) -> None:
    """Validates CONFIG and its files; prints the flow, the streams, the false alarms to expect, what can be detected.

    Example: driftline check flights.toml
    """
    from stream_app.edges.plan import print_plan  # noqa: PLC0415
    from stream_app.edges.sources import check_inputs  # noqa: PLC0415
    from stream_app.pipeline import Pipeline  # noqa: PLC0415

    Pipeline(config)  # refuses models that cannot be made
    if not compiles:
        check_inputs(config)
    if compiles:
        from stream_app.edges import compiling  # noqa: PLC0415
        from stream_app.runners.rehearsal import rehearse  # noqa: PLC0415

        with compiling.shown():
            for form in (None, (tuple(config.schema.fields), ",")):  # JSON and CSV
                rehearse(config, (form, form))
    print_plan(config, state, as_json=as_json)


@cli.command()
@on_config
@click.option("--follow", is_flag=True, help="Wait for more when the end of the input is reached.")
@click.option("--until-end", is_flag=True, help="Stop at the end of the input (the default without --follow).")
@click.option("--no-notify", is_flag=True, help="Notify nobody; `driftline notify run` or a later run does.")
@click.option("--metrics", metavar="[HOST:]PORT", help="Answer Prometheus at /metrics there; HOST is 127.0.0.1.")
@with_dashboard
def run(
    config: Config,
    state: Path,
    *,
    follow: bool,
    until_end: bool,
    no_notify: bool,
    metrics: str | None,
    dashboard: str | None,
    as_json: bool,
) -> None:
    """Runs CONFIG on this machine: files or standard input in, one SQLite file out. Resumes where it stopped.

    Example: driftline run flights.toml
    """
    if follow and until_end:
        raise click.UsageError("--follow never ends: leave out one of --follow and --until-end")
    config_file = Path(click.get_current_context().params["config"])
    page = contextlib.nullcontext() if dashboard is None else shown(config, config_file, state, dashboard)
    with page as beside:
        called = words(config, state)
        _run(config, state, called, follow=follow, as_json=as_json, notifies=not no_notify, metrics=metrics)
        if beside and sys.stderr.isatty():
            _stay(beside)


def _run(
    config: Config, state: Path, called: str, *, follow: bool, as_json: bool, notifies: bool = True,
    metrics: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    from stream_app.edges import compiling  # noqa: PLC0415
    from stream_app.edges.log import Log  # noqa: PLC0415
    from stream_app.edges.snapshots import state_key  # noqa: PLC0415
    from stream_app.edges.sources import check_inputs  # noqa: PLC0415
    from stream_app.edges.terminal import RunView  # noqa: PLC0415
    from stream_app.runners.embedded import Embedded  # noqa: PLC0415
    from stream_app.runners.rehearsal import rehearse  # noqa: PLC0415

    check_inputs(config, follow=follow)  # before there is a log
    with (
        Log(state, write=True) as log,
        RunView(config, state, called) as view,
        stop_signals() as stopped,
        notified(config, state) if notifies else contextlib.nullcontext() as notifier,
        contextlib.nullcontext() if metrics is None else metered(config, metrics, notifier) as meter,
    ):
        with compiling.shown():
            engine = Embedded(config, log, follow=follow, key=state_key(os.environ), meter=meter)
            rehearse(config, engine.forms)
        view.begin(engine.resumed_at)
        try:
            engine.run(view.report, stop=stopped)
        finally:
            summary = engine.summary(view.seconds)
            view.end(summary, stopped=stopped())
        if as_json:
            click.echo(to_json(summary))
        return summary


def shown(config: Config, config_file: Path, state: Path, where: str) -> Any:
    """A dashboard of the log meanwhile, in a process of its own."""
    from stream_app.edges.terminal import ERR  # noqa: PLC0415
    from stream_app.runners.dashboard import Beside  # noqa: PLC0415

    def say(address: str) -> None:
        ERR.print(f"{config.name}: dashboard at {address}", soft_wrap=True, markup=False)

    return Beside(config_file, state, where, say, f"driftline {click.get_current_context().info_name}")


def _stay(page: Any) -> None:
    click.echo("the dashboard stays until Ctrl-C", err=True)
    page.wait()


def notified(config: Config, state: Path | None, **options: Any) -> contextlib.AbstractContextManager[Any]:
    """Delivers to the receivers of a configuration meanwhile, if it has any."""
    if not receivers(config):
        return contextlib.nullcontext()
    from stream_app.edges import journal  # noqa: PLC0415
    from stream_app.runners.notifier import Background  # noqa: PLC0415

    if state is not None:
        journal.start("text")
    return Background(config, state, **options)


@contextlib.contextmanager
def metered(config: Config, where: str, notifier: Any) -> Iterator[Any]:
    """Answers Prometheus meanwhile, from what is told to the meter that this gives."""
    from stream_app.edges import prometheus  # noqa: PLC0415
    from stream_app.edges.meter import Meter  # noqa: PLC0415

    meter = Meter(config, "embedded")
    collector = prometheus.Collector(meter, (lambda: notifier.metrics) if notifier else dict)
    with prometheus.served(where, prometheus.registry(collector)) as address:
        click.echo(f"{config.name}: metrics at http://{address}/metrics", err=True)
        yield meter


@contextlib.contextmanager
def stop_signals() -> Iterator[Callable[[], bool]]:
    """SIGINT and SIGTERM finish the batch in hand and its commit; a second one ends at once."""
    asked: list[int] = []

    def ask(number: int, _frame: Any) -> None:
        if asked:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        asked.append(number)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def on_kafka(work: Coroutine[Any, Any, T]) -> T:
    """Runs what talks to a broker."""
    from stream_app.edges import journal  # noqa: PLC0415

    journal.start_command()
    return complete(work)


def complete(work: Coroutine[Any, Any, T]) -> T:
    """Runs it to its end; what needs no loop starts without asyncio, which takes as long to import as numpy."""
    import asyncio  # noqa: PLC0415

    return asyncio.run(work)


def over_kafka(config: Config, work: Coroutine[Any, Any, T]) -> T:
    """The same for a reader; where that fails and there is a log, the error names it."""
    try:
        return on_kafka(work)
    except (BrokerError, TopicError) as error:
        log = Path(f"{config.name}.db")
        if not log.exists():
            raise
        raise type(error)(f"{error}; --state {log} reads the log of `driftline run`") from error


def _profiled(data: Path, folder: Path) -> Path:
    """A configuration for the user's own file, in the demo's folder."""
    from stream_app.edges.profile import profile  # noqa: PLC0415

    folder.mkdir(parents=True, exist_ok=True)
    config_file = folder / f"{data.name.split('.')[0]}.toml"
    config_file.write_text(profile(str(data.resolve())))
    return config_file


import stream_app.commands.ab  # noqa: E402 (these register their commands on `cli`)
import stream_app.commands.cluster  # noqa: E402
import stream_app.commands.dashboard  # noqa: E402
import stream_app.commands.models  # noqa: E402
import stream_app.commands.notify  # noqa: E402
import stream_app.commands.replay  # noqa: E402
import stream_app.commands.schemas  # noqa: E402
import stream_app.commands.stories  # noqa: E402
import stream_app.commands.streams  # noqa: E402
import stream_app.commands.top  # noqa: E402
import stream_app.commands.worker  # noqa: E402

if __name__ == "__main__":
    stream_app.cli.main()  # not this copy's, which is named __main__ and has only the commands above
