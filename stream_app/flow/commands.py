"""Commands: records of the control stream, from people and from the runner; what is none is a dead letter."""

from typing import Any

import msgspec

from stream_app.flow.decode import MAX_DEPTH
from stream_app.messages import Problem

COMMANDS = (
    *("acknowledge", "close", "set-reference", "reset", "retrain", "promote", "rollback", "retire"),
    *("gap", "lag"),
)


class Command(msgspec.Struct):
    """A record of the control stream; other members are ignored."""

    command: str
    incident: str | None = None
    signal: str | None = None
    version: str | None = None
    why: str | None = None
    by: str | None = None
    stream: str | None = None
    start: int | None = msgspec.field(default=None, name="from")
    stop: int | None = msgspec.field(default=None, name="to")
    seconds: float | None = None
    limit: float | None = None
    records: int | None = None
    ended: bool | None = None


def read_command(raw: bytes) -> tuple[dict[str, Any], Problem | None]:
    """The command as plain data, or why the bytes are none."""
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH:
        return {}, Problem("not a command: nested too deeply")
    try:
        command = msgspec.json.decode(raw, type=Command)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return {}, Problem(f"not a command: {error}")
    if command.command not in COMMANDS:
        return {}, Problem(f"unknown command {command.command!r}; known: {', '.join(COMMANDS)}", "$.command")
    return {name: given for name, given in msgspec.to_builtins(command).items() if given is not None}, None
