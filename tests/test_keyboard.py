"""Keys of a terminal: each is told once, none is waited for, and a terminal that is gone says so."""

import asyncio
import contextlib
import os
import pty
import sys
import termios
from collections.abc import Iterator

import pytest
from waiting import TIMEOUT_S

from stream_app.edges import keyboard


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The other end of a terminal that is standard input."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs) as file:
        monkeypatch.setattr(sys, "stdin", file)
        yield ours
    with contextlib.suppress(OSError):
        os.close(ours)


async def pressed(ours: int, *moments: bytes) -> list[str]:
    """The keys of which is told, when some are pressed one moment after the other."""
    told: list[str] = []
    some = asyncio.Event()
    with keyboard.keys(lambda key: (told.append(key), some.set())):  # type: ignore[func-returns-value]
        for keys in moments:
            os.write(ours, keys)
            while len(told) < len(b"".join(moments[: moments.index(keys) + 1])):
                some.clear()
                await asyncio.wait_for(some.wait(), TIMEOUT_S)
    return told


def test_each_key_is_told_and_the_terminal_left_as_it_was(terminal: int) -> None:
    before = termios.tcgetattr(sys.stdin)

    assert asyncio.run(pressed(terminal, b"q", b"x\x04")) == ["q", "x", "\x04"]
    assert termios.tcgetattr(sys.stdin) == before


def test_a_key_that_was_announced_and_taken_away_is_not_waited_for(terminal: int) -> None:
    async def read() -> list[str]:
        told: list[str] = []
        with keyboard.keys(told.append):
            os.write(terminal, b"x")
            termios.tcflush(sys.stdin, termios.TCIFLUSH)  # as Ctrl-C does
            told.append(keyboard._key(sys.stdin.fileno()))
        return told

    assert asyncio.run(asyncio.wait_for(read(), TIMEOUT_S)) == [""]


def test_a_terminal_that_is_gone_is_the_end(terminal: int) -> None:
    async def read() -> str:
        with keyboard.keys(lambda _: None):
            os.close(terminal)
            return keyboard._key(sys.stdin.fileno())

    assert asyncio.run(read()) == keyboard.END
