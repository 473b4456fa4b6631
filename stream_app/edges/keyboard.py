"""Keys as they are pressed, where standard input is a terminal."""

import contextlib
import os
import select
import sys
import termios
import tty
from collections.abc import Callable, Iterator

Pressed = Callable[[float], str]
END = "\x04"  # Ctrl-D, and what a terminal that is gone is taken for


@contextlib.contextmanager
def keys() -> Iterator[Pressed]:
    """Hands out a function that waits so many seconds for a key: its character, or nothing.

    The terminal is left as it was. Where standard input is no terminal no key ever comes.
    """
    descriptor = _terminal()
    if descriptor is None:
        yield _none
        return
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)
    try:
        yield lambda wait_s: _key(descriptor, wait_s)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _terminal() -> int | None:
    with contextlib.suppress(OSError, ValueError):  # closed, or no file at all
        if sys.stdin is not None and sys.stdin.isatty():
            return sys.stdin.fileno()
    return None


def _key(descriptor: int, wait_s: float) -> str:
    ready, _, _ = select.select((descriptor,), (), (), wait_s)
    return (os.read(descriptor, 1).decode(errors="replace") or END) if ready else ""


def _none(wait_s: float) -> str:
    select.select((), (), (), wait_s)
    return ""
