"""Keys as they are pressed, where standard input is a terminal."""

import asyncio
import contextlib
import os
import select
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
    _never_wait(descriptor)

    def read() -> None:
        key = _key(descriptor)
        if key:
            pressed(key)

    loop.add_reader(descriptor, read)
    try:
        yield
    finally:
        loop.remove_reader(descriptor)
        with contextlib.suppress(termios.error):  # one that is gone has nothing to be left as it was
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _terminal() -> int | None:
    with contextlib.suppress(OSError, ValueError):  # closed, or no file at all
        if sys.stdin is not None and sys.stdin.isatty():
            return sys.stdin.fileno()
    return None


def _never_wait(descriptor: int) -> None:
    """A read answers at once: Ctrl-C takes away what was pressed before it, also what was announced already."""
    attributes = termios.tcgetattr(descriptor)
    attributes[6][termios.VMIN] = 0
    termios.tcsetattr(descriptor, termios.TCSANOW, attributes)


def _key(descriptor: int) -> str:
    """The next key, "" if there is none."""
    try:
        key = os.read(descriptor, 1).decode(errors="replace")
    except OSError:
        return END
    return key or (END if _is_gone(descriptor) else "")


def _is_gone(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, 0)  # that it hung up is told unasked
    return bool(poll.poll(0))
