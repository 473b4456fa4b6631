"""Kernels being compiled, as people see it: a cold start takes tens of seconds and must not look like one that hangs.

What was compiled is kept on disk, and compiled again only for another processor, another numba, a changed source.
Of several processes that start together one compiles; the others wait for it, and then read what it has kept.
"""

import contextlib
import functools
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Self

from numba.core import event
from numba.core.dispatcher import Dispatcher
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from stream_app.edges import journal, kernels
from stream_app.edges.terminal import ERR

PACKAGES = ("stream_app", "detectors")
EVERY_S = 10.0  # between two lines where there is no terminal
WHY = "compiling for this machine, once"


class Compiling(event.Listener):
    """What has been compiled so far; `tell` is called with it when a kernel begins and when it is done."""

    def __init__(self, tell: Callable[["Compiling"], None]) -> None:
        self.done = 0
        self.kernel = ""  # the one that was begun last
        self.started_s = time.monotonic()
        self._tell = tell
        self._alone = contextlib.ExitStack()

    def __enter__(self) -> Self:
        _renewed()
        self._alone.enter_context(event.install_listener("numba:compile", self))
        return self

    def __exit__(self, *_: object) -> None:
        self._alone.close()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started_s

    def on_start(self, event: Any) -> None:
        kernel = event.data["dispatcher"]
        if not _ours(kernel):
            return
        if not self.kernel:
            self.started_s = time.monotonic()
            self._alone.enter_context(kernels.alone(kernels.folder(os.environ), self._waits))
        self.kernel = f"{kernel.py_func.__module__}.{kernel.py_func.__name__}"
        self._tell(self)

    def on_end(self, event: Any) -> None:
        if _ours(event.data["dispatcher"]):
            self.done += 1
            self._tell(self)

    def _waits(self) -> None:
        self.kernel = "waiting for another process that compiles"
        self._tell(self)


def most() -> int:
    """How many kernels the imported modules have: not all of them are needed."""
    modules = [module for name, module in sys.modules.items() if name.partition(".")[0] in PACKAGES]
    return len({id(kernel) for module in modules for kernel in vars(module).values() if isinstance(kernel, Dispatcher)})


@contextlib.contextmanager
def shown() -> Iterator[None]:
    """Shows meanwhile what is compiled: a bar on a terminal, else a line now and then; nothing if nothing is."""
    columns = TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeElapsedColumn()
    with contextlib.ExitStack() as bar:
        drawn = Progress(*columns, TextColumn("{task.fields[kernel]}"), console=ERR, transient=True)
        task = drawn.add_task(WHY, kernel="")
        told_s = -EVERY_S

        def tell(now: Compiling) -> None:
            nonlocal told_s
            if ERR.is_terminal:
                if not drawn.live.is_started:
                    bar.enter_context(drawn)
                drawn.update(task, completed=now.done, total=most(), kernel=now.kernel)
            elif now.seconds - told_s >= EVERY_S:
                told_s = now.seconds
                ERR.print(f"{WHY}: {now.done} of at most {most()} kernels, {now.seconds:.0f} s ({now.kernel})")

        with Compiling(tell) as compiling:
            yield
    if compiling.done:
        ERR.print(
            f"compiled in {compiling.seconds:.0f} s, kernels: {compiling.done}; the next start finds them on disk"
        )


@contextlib.contextmanager
def logged() -> Iterator[None]:
    """The same for a worker: records of its log."""
    told_s = -EVERY_S

    def tell(now: Compiling) -> None:
        nonlocal told_s
        if now.seconds - told_s >= EVERY_S:
            told_s = now.seconds
            journal.tell("compiling", done=now.done, most=most(), seconds=round(now.seconds), kernel=now.kernel)

    with Compiling(tell) as compiling:
        yield
    if compiling.done:
        journal.tell("compiled", kernels=compiling.done, seconds=round(compiling.seconds))


@functools.cache
def _renewed() -> None:
    """Once a process: before it calls its first kernel."""
    kernels.renew(os.environ)


def _ours(kernel: Any) -> bool:
    return kernel.py_func.__module__.partition(".")[0] in PACKAGES
