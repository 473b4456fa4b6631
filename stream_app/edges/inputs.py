"""Bytes as they come, from a file or standard input; an empty block says "nothing now"."""

import os
import select
import sys
from collections.abc import Iterator
from pathlib import Path

from stream_app.edges.records import BLOCK_BYTES, BrokenInput


class File:
    """Bytes of a file as they come; at its end the end, or if followed an empty block until it grows."""

    def __init__(self, path: Path, *, follow: bool) -> None:
        self._path = path
        self._follow = follow
        self._file = path.open("rb", buffering=0)
        self._read_bytes = 0

    @property
    def progress(self) -> float | None:
        """The share of the bytes that has been read, None for a pipe."""
        size_bytes = os.fstat(self._file.fileno()).st_size if not self._file.closed else self._read_bytes
        return min(1.0, self._read_bytes / size_bytes) if size_bytes else None

    def blocks(self) -> Iterator[bytes]:
        """Give what comes, block by block."""
        while True:
            try:
                block = self._file.read(BLOCK_BYTES)
            except OSError as error:
                raise BrokenInput(f"cannot be read further ({error.strerror})") from None
            if block:
                self._read_bytes += len(block)
            elif not self._follow:
                return
            else:
                self._refuse_if_changed()
            yield block

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _refuse_if_changed(self) -> None:
        if os.fstat(self._file.fileno()).st_size < self._read_bytes:
            raise BrokenInput("shrank while it was followed; a log is only ever appended to: it ends")
        try:
            same = self._path.stat().st_ino == os.fstat(self._file.fileno()).st_ino
        except FileNotFoundError:
            same = False
        if not same:
            raise BrokenInput("was removed or replaced while it was followed (rotated, perhaps): it ends")


class StandardInput:
    """Bytes of standard input; an empty block while none are waiting, so that what was read can be committed."""

    progress = None

    def blocks(self) -> Iterator[bytes]:
        """Give what comes, block by block."""
        descriptor = sys.stdin.fileno()
        while True:
            if not select.select([descriptor], [], [], 0)[0]:
                yield b""
                continue
            block = os.read(descriptor, BLOCK_BYTES)
            if not block:
                return
            yield block

    def close(self) -> None:
        """Leave standard input open: it is not ours."""
