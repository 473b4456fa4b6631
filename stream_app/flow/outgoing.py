"""Output messages: plain ones, figures, alerts and triggers as CloudEvents, dead letters."""

from datetime import UTC, datetime
from typing import Any

from stream_app.flow.chunk import Reject
from stream_app.messages import Message, Origin, to_json


def message(origin: Origin, stream: str, place: str, key: str, time_ms: int, value: dict[str, Any]) -> Message:
    """An output message; `place` makes its id unique within stream and shard."""
    return Message(stream, f"{origin.name}/{stream}/{origin.shard}/{place}", key, time_ms, to_json(value))


def metric(origin: Origin, signal: str, record: int, time_ms: int, value: dict[str, Any]) -> Message:
    """A message of the metrics stream: the figures of one signal as they stood before record number `record`."""
    head = {"signal": signal, "record": record, "time": time_ms}
    return message(origin, "metrics", f"{signal}/{record}", signal, time_ms, head | value)


def cloud_event(
    origin: Origin, stream: str, kind: str, place: str, key: str, time_ms: int, data: dict[str, Any]
) -> Message:
    """A message of `alerts` or `triggers`; `place` makes its id unique within stream and shard."""
    name, shard = origin
    event = {
        "specversion": "1.0",
        "id": f"{name}/{stream}/{shard}/{place}/{kind}",
        "source": f"driftline/{name}/{shard}",
        "type": f"driftline.{stream.removesuffix('s')}.{kind}",
        "subject": key,
        "time": rfc3339(time_ms),
        "datacontenttype": "application/json",
        "data": data,
    }
    return Message(stream, event["id"], key, time_ms, to_json(event))  # type: ignore[arg-type]


def dead_letter(origin: Origin, reject: Reject, now_ms: int) -> Message:
    """A refused record: why, where, and its bytes."""
    value: dict[str, Any] = {
        "stream": reject.stream,
        "offset": reject.offset,
        "kind": reject.problem.kind,
        "reason": reject.problem.reason,
        "path": reject.problem.path,
    }
    try:
        value["raw"] = reject.raw.decode()
    except UnicodeDecodeError:
        value["raw_base64"] = reject.raw  # msgspec writes bytes as base64
    place = f"{reject.stream}/{reject.offset}"
    return message(origin, "dead-letters", place, reject.id or place, now_ms, value)


def rfc3339(time_ms: int) -> str:
    """UTC time of the record as RFC 3339 with milliseconds.

    >>> rfc3339(1356998400000)
    '2013-01-01T00:00:00.000Z'
    """
    limit = 253_402_300_799_999  # the last millisecond of year 9999
    time_ms = max(-62_135_596_800_000, min(time_ms, limit))
    moment = datetime.fromtimestamp(time_ms // 1000, UTC)
    return f"{moment.isoformat()[:19]}.{time_ms % 1000:03d}Z"
