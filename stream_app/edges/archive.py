"""The stream `archive`: trained models in parts, put together again."""

from collections.abc import Iterable

import msgspec

from stream_app.errors import DriftlineError
from stream_app.models.seal import unpacked


class Part(msgspec.Struct):
    """One record of the stream, as far as it is needed here."""

    version: str
    record: int
    part: int
    parts: int
    data: bytes
    problem: str = ""


def newest(values: Iterable[bytes], version: str) -> bytes:
    """The newest artefact of a version that is whole; DriftlineError says why there is none."""
    wanted = [part for part in (msgspec.json.decode(value, type=Part) for value in values) if part.version == version]
    by_record: dict[int, dict[int, Part]] = {}
    for part in wanted:
        by_record.setdefault(part.record, {})[part.part] = part
    whole = [parts for _, parts in sorted(by_record.items()) if len(parts) == parts[min(parts)].parts]
    if not whole:
        raise DriftlineError(f"{version} is not in the archive: it goes there when it is promoted, and when it leaves")
    problem = whole[-1][0].problem
    if problem:
        raise DriftlineError(f"{version} could not be written down: {problem}")
    return unpacked(b"".join(part.data for _, part in sorted(whole[-1].items())))
