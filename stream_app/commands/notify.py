"""The `notify` commands: deliver, try the way to each receiver, and look after what could not be delivered."""

import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import click
import msgspec

from stream_app.cli import Group, cli, complete, on_config, on_log, over_kafka, stop_signals
from stream_app.config import Config, receivers
from stream_app.config.reading import unknown
from stream_app.errors import ConfigError, DriftlineError
from stream_app.messages import counted, to_json

DRAIN_S = 60.0  # what `notify run` without --follow gives to receivers that do not answer


@cli.group(cls=Group)
def notify() -> None:
    """Delivers alerts to the receivers of [[alarms.notify]]; `run` and `worker` do it by themselves while they run.

    Example: driftline notify test flights.toml
    """


@notify.command(name="run")
@click.option("--follow", is_flag=True, help="Keep waiting for more.")
@click.option("--all", "everything", is_flag=True, help="A receiver that is new is told the whole history too.")
@on_log
def run_alone(config: Config, state: Path | None, *, follow: bool, everything: bool, as_json: bool) -> None:
    """Delivers what waits, over the topics if CONFIG has [kafka] and no --state is given, else over the log.

    Ends with 1 if something could not be delivered.

    Example: driftline notify run flights.toml --follow
    """
    from stream_app.edges import journal  # noqa: PLC0415
    from stream_app.runners.notifier import Notifier  # noqa: PLC0415

    _required(config)
    notifier = Notifier(config, state, follow=follow, everything=everything)
    if not follow:
        notifier.end_by(time.monotonic() + DRAIN_S)
    journal.start("text")
    with stop_signals() as stopped:
        work = notifier.run(stop=stopped)
        complete(work) if state is not None else over_kafka(config, work)
    for name, figures in notifier.metrics.items():
        _say({"receiver": name, **figures}, as_json=as_json)
    if any(figures["waiting"] or figures["dead"] for figures in notifier.metrics.values()) and not follow:
        raise DriftlineError("not everything was delivered; `driftline notify dead CONFIG` shows what was given up")


@notify.command(name="test")
@on_config
@click.argument("receiver", required=False)
def try_out(config: Config, state: Path, *, receiver: str | None, as_json: bool) -> None:  # noqa: ARG001
    """Sends a test alert and its recovery down the real path and says what was answered; exit code 1 if one failed.

    Example: driftline notify test flights.toml pager
    """
    from stream_app.edges import journal  # noqa: PLC0415
    from stream_app.runners.notifier import trials  # noqa: PLC0415

    _required(config, receiver)
    journal.start("text")
    answers = complete(trials(config, receiver, int(time.time() * 1000)))
    for name, given in answers.items():
        for status, answer in zip(("opened", "recovered"), given, strict=True):
            told = {"receiver": name, "sent": status, "delivered": answer.end == "delivered", "answer": answer.said}
            _say(told, as_json=as_json)
    failed = [name for name, given in answers.items() if any(answer.end != "delivered" for answer in given)]
    if failed:
        raise DriftlineError(f"not delivered: {', '.join(failed)}")


@notify.command()
@click.option("--retry", is_flag=True, help="Try each once more; what is delivered is no longer dead.")
@on_log
def dead(config: Config, state: Path | None, *, retry: bool, as_json: bool) -> None:
    """Lists the notifications that were given up; with --retry tries them again.

    Example: driftline notify dead flights.toml --retry
    """
    if state is not None:
        count, failed = complete(_over_log(config, state, retry=retry, as_json=as_json))
    else:
        count, failed = over_kafka(config, _over_topics(config, retry=retry, as_json=as_json))
    if not as_json:
        done = f", {count - failed} of them delivered now" if retry else ""
        click.echo(f"{config.name}: given up: {counted(count, 'notification')}{done}", err=True)
    if retry and failed:
        raise DriftlineError(f"{failed} of {count} were not delivered and stay where they are")


def _required(config: Config, receiver: str | None = None) -> None:
    known = receivers(config)
    if not known:
        raise ConfigError(["$.alarms.notify: missing; whom to notify?"], config.name)
    if receiver is not None and receiver not in known:
        raise click.UsageError(unknown("receiver", receiver, known))


def _say(told: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(to_json(told))
    else:
        click.echo("  ".join(f"{key} {value}" if key != "receiver" else str(value) for key, value in told.items()))


# what was given up

Sender = Callable[[str, str, Any], Awaitable[str | None]]


def _sender(config: Config) -> Sender:
    """One attempt at a record that was given up; returns why it failed."""
    from stream_app.edges.notices import Follower  # noqa: PLC0415
    from stream_app.runners.notifier import answers_of  # noqa: PLC0415

    known = receivers(config)

    async def send(receiver: str, stream: str, record: Any) -> str | None:
        if receiver not in known:
            return f"no receiver {receiver!r} in the configuration"
        every = msgspec.structs.replace(known[receiver], severity="info")
        notice = Follower(every).take(stream, record)
        assert notice is not None
        async for answer in answers_of(config, known[receiver], [notice]):
            return None if answer.end == "delivered" else answer.said
        return None

    return send


async def _over_log(config: Config, state: Path, *, retry: bool, as_json: bool) -> tuple[int, int]:
    from stream_app.edges.outbox import Outbox, beside  # noqa: PLC0415

    if not beside(state).exists():
        return 0, 0
    send, failed = _sender(config), 0
    with Outbox(state, write=retry) as outbox:
        letters = outbox.dead()
        for letter in letters:
            reason = await send(letter.receiver, letter.stream, letter.record) if retry else letter.reason
            _say_dead(letter.receiver, letter.record, letter.attempts, reason, as_json=as_json)
            if retry and reason is None:
                outbox.revived(letter.number)
            failed += reason is not None
    return len(letters), failed


async def _over_topics(config: Config, *, retry: bool, as_json: bool) -> tuple[int, int]:
    from stream_app.edges.topic_feed import undelivered, write_undelivered  # noqa: PLC0415

    send, count, failed = _sender(config), 0, 0
    async for partition, letter in undelivered(config, taken=retry):
        reason = await send(letter.receiver, letter.stream, letter.record) if retry else letter.reason
        _say_dead(letter.receiver, letter.record, letter.attempts, reason, as_json=as_json)
        count, failed = count + 1, failed + (reason is not None)
        if retry and reason is not None:
            await write_undelivered(config, partition, letter, reason)
    return count, failed


def _say_dead(receiver: str, record: Any, attempts: int, reason: str | None, *, as_json: bool) -> None:
    event = msgspec.json.decode(record.value)
    if as_json:
        click.echo(to_json({"receiver": receiver, "attempts": attempts, "reason": reason, "event": event}))
    else:
        click.echo(f"{receiver}  {event['id']}  after {counted(attempts, 'attempt')}: {reason or 'delivered now'}")
