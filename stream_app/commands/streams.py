"""The commands that subscribe to an output stream, in the embedded log or over Kafka."""

import contextlib
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from stream_app.cli import cli, on_log, over_kafka, stop_signals, words
from stream_app.config import Config
from stream_app.errors import DriftlineError
from stream_app.messages import counted, to_json

POLL_S = 0.2  # how often a followed log is looked at


def _reader(stream: str, what: str, example: str) -> click.Command:
    """A command that subscribes to one output stream."""

    @click.option("--follow", is_flag=True, help="Keep waiting for more.")
    @click.option("--after", type=int, help="Only records with a larger sequence number; not over Kafka.")
    @click.option("--group", help="Go on where this consumer group stands, and share with its members; over Kafka.")
    @click.option("--exec", "program", help="Run this command for each record, its JSON on standard input.")
    @on_log
    def command(config: Config, state: Path | None, *, resubmit: bool = False, **options: Any) -> None:
        if resubmit:
            _resubmit(config, state, **options)
        elif state is None:
            _subscribe(config, stream, **options)
        else:
            _read(config, state, stream, **options)

    if stream == "dead-letters":
        text = (
            "Send their raw bytes to where they came from, each letter once; over the log in a file: print them,"
            " one per line, to be appended to an input. Commands that were refused are left out."
        )
        command = click.option("--resubmit", is_flag=True, help=text)(command)
    command.__doc__ = f"{what}\n\nReads the topics if CONFIG has [kafka] and no --state is given.\n\nExample: {example}"
    return click.command(stream)(command)


for _stream, _what, _example in (
    ("alerts", "Alerts: incidents opened, updated, acknowledged, recovered.", "driftline alerts flights.toml --follow"),
    (
        "triggers",
        "Requests to retrain, with the offsets to train on.",
        "driftline triggers flights.toml --exec ./train.sh",
    ),
    ("predictions", "Every prediction of the champion.", "driftline predictions flights.toml --json | head"),
    ("outcomes", "Every label that met its event.", "driftline outcomes flights.toml --json | head"),
    ("metrics", "Figures of models, labels and detectors.", "driftline metrics flights.toml --json | tail"),
    (
        "dead-letters",
        "Records that were refused: why, where, and their raw bytes.",
        "driftline dead-letters flights.toml",
    ),
    ("panes", "Summaries of each watched signal per stretch of time.", "driftline panes flights.toml --json | head"),
    ("audit", "Who or what changed which decision.", "driftline audit flights.toml"),
):
    cli.add_command(_reader(_stream, _what, _example))


# the log in a file


def _read(
    config: Config,
    state: Path,
    stream: str,
    *,
    follow: bool,
    after: int | None,
    group: str | None,
    program: str | None,
    as_json: bool,
) -> None:
    from stream_app.edges.log import Log  # noqa: PLC0415

    if group is not None:
        raise click.UsageError(f"{state} knows no groups: use --after with the number where the last call ended")
    after = after or 0
    with Log(state) as log, stop_signals() as stopped:
        while not stopped():
            for record in log.read(stream, after):
                if stopped():
                    break
                _hand_out(config, stream, record, after, program, as_json=as_json)
                after = record.seq
            if not follow:
                break
            time.sleep(POLL_S)
    if program and after:
        click.echo(f"{config.name}: to go on from here: --after {after}", err=True)
    elif not follow and not after and not as_json:
        click.echo(f"{config.name}: no {stream} in {state}", err=True)


def _hand_out(config: Config, stream: str, record: Any, after: int, program: str | None, *, as_json: bool) -> None:
    from stream_app.edges.terminal import line_of  # noqa: PLC0415

    if not program:
        click.echo(record.value if as_json else line_of(config, stream, record))
        return
    done = subprocess.run(program, input=record.value, shell=True, check=False)  # noqa: S602 (the user's own command)
    if done.returncode:
        raise _failed(program, done.returncode, record.value, f"to go on from there: --after {after}")


def _failed(program: str, code: int, value: bytes, way_on: str) -> DriftlineError:
    return DriftlineError(f"{program!r} ended with exit code {code}; {way_on}. It was given {value.decode()}")


# the topics


def _subscribe(config: Config, stream: str, *, after: int | None, as_json: bool, **options: Any) -> None:
    from stream_app.edges import kafka  # noqa: PLC0415

    if after is not None:
        raise click.UsageError("--after counts in the log of a file: use --group NAME, which goes on where it ended")
    with stop_signals() as stopped:
        work = _pass_on(config, stream, as_json=as_json, stopped=stopped, **options)
        if not over_kafka(config, work) and not as_json and not stopped():
            more = f"no more {stream} for group {options['group']}" if options["group"] else f"no {stream}"
            click.echo(f"{config.name}: {more} in topic {kafka.topic(config, stream)}", err=True)


async def _pass_on(
    config: Config,
    stream: str,
    *,
    follow: bool,
    group: str | None,
    program: str | None,
    as_json: bool,
    stopped: Callable[[], bool],
) -> int:
    """Prints the records of a topic or runs the program on them; returns for how many."""
    import asyncio  # noqa: PLC0415  (as in cli.complete)

    from stream_app.edges.subscriber import MOST, records  # noqa: PLC0415
    from stream_app.edges.terminal import line_of  # noqa: PLC0415

    count = 0
    most = 1 if program else MOST  # what a batch holds may come again
    async with contextlib.aclosing(
        records(config, stream, group=group, follow=follow, most=most, stop=stopped)
    ) as batches:
        async for batch in batches:
            values = [record.value for _, record in batch]
            if program:
                for value in values:
                    if not await _execute(program, value, group, stopped):
                        return count
            else:
                lines = (line_of(config, stream, record, shard) for shard, record in batch)
                # in a thread: a reader that is slow must not keep us from telling the group that we live
                await asyncio.to_thread(click.echo, b"\n".join(values) if as_json else "\n".join(lines))
            count += len(batch)
    return count


async def _execute(program: str, value: bytes, group: str | None, stopped: Callable[[], bool]) -> bool:
    """Whether the record was handled; not if the signal that stops us stopped the program."""
    import asyncio  # noqa: PLC0415  (as in cli.complete)

    if stopped():
        return False
    process = await asyncio.create_subprocess_shell(program, stdin=subprocess.PIPE)
    await process.communicate(value)
    code = process.returncode or 0
    if not code or stopped():
        return not code
    again = f"the next call with --group {group}" if group else "with --group NAME the next call"
    raise _failed(program, code, value, f"{again} begins with this record")


def _resubmit(config: Config, state: Path | None, *, as_json: bool, **options: Any) -> None:
    names = {"follow": "--follow", "after": "--after", "group": "--group", "program": "--exec"}
    given = options | {"program": options["program"] or None}
    unfit = [option for name, option in names.items() if given[name] is not None and given[name] is not False]
    if unfit:
        raise click.UsageError(f"--resubmit sends each dead letter once and ends: leave out {', '.join(unfit)}")
    if state is not None:
        _print_raw(config, state, as_json=as_json)
        return
    from stream_app.edges.sender import resubmit  # noqa: PLC0415

    count = over_kafka(config, resubmit(config))
    said = (
        f"{config.name}: sent {counted(count, 'dead letter')} once more"
        if count
        else f"{config.name}: no new dead letters"
    )
    click.echo(to_json({"resubmitted": count}) if as_json else said, err=not as_json)


def _print_raw(config: Config, state: Path, *, as_json: bool) -> None:
    from stream_app.edges.log import Log  # noqa: PLC0415
    from stream_app.edges.sender import of_inputs, raw_of  # noqa: PLC0415

    if as_json:
        raise click.UsageError("--resubmit prints the records as they came, which may be no JSON: leave out --json")
    with Log(state) as log:
        letters = of_inputs(record.value for record in log.read("dead-letters"))
    counts = Counter(letter["stream"] for letter in letters)
    if len(counts) > 1:
        some = " and ".join(f"{count:,} of {stream}" for stream, count in sorted(counts.items()))
        stream = min(counts)
        select = f"driftline dead-letters {words(config, state)} --json | jq -r 'select(.stream==\"{stream}\") | .raw'"
        raise DriftlineError(f"{state} holds records {some}, which belong into different inputs; for one: {select}")
    for letter in letters:
        click.echo(raw_of(letter))
    said = (
        "".join(f"{counted(count, 'record')} of {stream}" for stream, count in counts.items())
        or "no dead letters of an input"
    )
    click.echo(f"{config.name}: {said} in {state}", err=True)
