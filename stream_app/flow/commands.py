"""Commands: records of the control stream, from people and from the runner; what is none is a dead letter."""

import hashlib
from typing import Any

import msgspec

from stream_app.flow.members import MAX_DEPTH
from stream_app.messages import Problem

COMMANDS = (
    *("acknowledge", "close", "set-reference", "reset", "retrain", "promote", "rollback", "retire", "add"),
    *("gap", "lag"),
)


class Command(msgspec.Struct):
    """A record of the control stream; other members are ignored."""

    command: str
    incident: str | None = None
    signal: str | None = None
    version: str | None = None
    artefact: bytes | None = None  # packed (`models.seal`), in base64
    trigger: str | None = None
    promote: bool | None = None
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
    given = msgspec.to_builtins(command, builtin_types=(bytes,))
    return {name: value for name, value in given.items() if value is not None}, None


def shown(command: dict[str, Any]) -> dict[str, Any]:
    """The command as the audit holds it: a model by its SHA-256."""
    if "artefact" not in command:
        return command
    return command | {"artefact": hashlib.sha256(command["artefact"]).hexdigest()}
