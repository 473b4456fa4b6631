"""Keys as they are pressed, where standard input is a terminal."""

import asyncio
import contextlib
import os
import sys
import termios
import tty
from collections.abc import Callable, Iterator

END = "\x04"  # Ctrl-D, and what a terminal that is gone is taken for


@contextlib.contextmanager
def keys(pressed: Callable[[str], None]) -> Iterator[None]:
    """Calls `pressed` with each key, on the running event loop; the terminal is left as it was."""
    descriptor = _terminal()
    if descriptor is None:
        yield
        return
    loop, before = asyncio.get_running_loop(), termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)
    loop.add_reader(descriptor, lambda: pressed(_key(descriptor)))
    try:
        yield
    finally:
        loop.remove_reader(descriptor)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _terminal() -> int | None:
    with contextlib.suppress(OSError, ValueError):  # closed, or no file at all
        if sys.stdin is not None and sys.stdin.isatty():
            return sys.stdin.fileno()
    return None


def _key(descriptor: int) -> str:
    try:
        return os.read(descriptor, 1).decode(errors="replace") or END
    except OSError:
        return END
