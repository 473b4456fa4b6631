"""Dead letters of one shard, counted by what is wrong with them."""

import base64
import binascii

import msgspec
from msgspec import Struct

MOST = 500  # reasons kept apart; a reason may quote the value that it is about, so there may be any number
OTHER = "(other reasons)"
EXAMPLE = 500  # characters


class _Letter(Struct, gc=False):
    stream: str
    offset: int
    reason: str
    kind: str
    path: str
    raw: str | None = None
    raw_base64: str | None = None


class Reason(Struct):
    """Dead letters of one reason."""

    kind: str
    stream: str
    path: str
    reason: str
    count: int = 0
    last_offset: int = 0
    last_time_ms: int = 0
    example: str = ""


class Letters(Struct):
    """Of one shard."""

    rows: dict[str, Reason] = {}
    total: int = 0

    def take(self, time_ms: int, value: bytes) -> None:
        """One dead letter; time_ms: when it was written."""
        now = _LETTER.decode(value)
        self.total += 1
        told = now.kind, now.stream, now.path, now.reason
        row = self.rows.get("\n".join(told))
        if row is None:
            if len(self.rows) >= MOST:
                told = now.kind, now.stream, "$", OTHER
            row = self.rows.setdefault("\n".join(told), Reason(*told))
        row.count += 1
        row.last_offset, row.last_time_ms, row.example = now.offset, time_ms, _example(now)


def _example(letter: _Letter) -> str:
    if letter.raw is not None:
        return letter.raw[:EXAMPLE]
    try:
        raw = base64.b64decode((letter.raw_base64 or "")[: 4 * EXAMPLE])
    except binascii.Error:
        return ""
    return raw.decode("utf-8", "backslashreplace")[:EXAMPLE]


_LETTER = msgspec.json.Decoder(_Letter)
