"""Shards side by side: work on each of them, in one process or several, with what they tell of how far they are."""

import asyncio
import contextlib
import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple, TypeVar, cast

from stream_app.edges import journal
from stream_app.errors import DriftlineError

T = TypeVar("T")
WORTH = 250_000  # records for which one more process is started: it takes 1 to 2 s to do so

_SPAWN = multiprocessing.get_context("spawn")


class Reached(NamedTuple):
    """How far the work on a shard is."""

    handled: int  # records
    passed: int  # of those that were to be gone through, the ones that need not be handled too
    time_ms: int  # of its stream


Tell = Callable[[Reached], None]
Work = Callable[[int, Tell], Coroutine[Any, Any, T]]  # on a shard; what is sent to a process and back is pickled
Processes = dict["Connection[Any, Any]", Any]  # by how they are talked to


def processes_for(records: dict[int, int], most: int | None) -> int:
    """How many processes, at most one a shard; `most` None: as many as there are cores, if it is worth while."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wanted = min(cores, 1 + sum(records.values()) // WORTH) if most is None else most
    return max(1, min(wanted, len(records)))


async def abreast(work: Work[T], shards: list[int], processes: int, tell: Callable[[int, Reached], None]) -> list[T]:
    """The results of the shards in their order; whatever fails ends all of them."""
    if processes == 1:
        return [await work(shard, partial(tell, shard)) for shard in shards]
    with _started(work, processes) as at:
        found = await asyncio.to_thread(_shared_out, at, shards, tell)
        return [found[shard] for shard in shards]


class Done(NamedTuple):
    """What came of a shard."""

    shard: int
    result: Any


@contextlib.contextmanager
def _started(work: Work[Any], count: int) -> Iterator[Processes]:
    """Processes that are killed at the end, whatever they are at: nothing that they do is seen outside of them."""
    at: Processes = {}
    try:
        for _ in range(count):
            ours, theirs = _SPAWN.Pipe()
            at[ours] = _SPAWN.Process(target=_serve, args=(theirs, work), daemon=True)
            at[ours].start()
            theirs.close()
        yield at
    finally:
        for connection, process in at.items():
            process.kill()
            process.join()
            connection.close()


def _shared_out(at: Processes, shards: list[int], tell: Callable[[int, Reached], None]) -> dict[int, Any]:
    """Gives each process a shard whenever it has none; raises what went wrong in one of them."""
    found: dict[int, Any] = {}
    waiting = iter(shards)
    for connection in at:
        connection.send(next(waiting))
    while len(found) < len(shards):
        for connection in cast("list[Connection[Any, Any]]", wait(list(at))):
            try:
                told = connection.recv()
            except EOFError:
                at[connection].join()
                code = at[connection].exitcode
                raise DriftlineError(
                    f"a process that worked on a shard ended with exit code {code} (-9 is how a system ends one that "
                    "takes too much memory): try again with fewer --processes"
                ) from None
            if isinstance(told, Exception):
                raise told
            if isinstance(told, Done):
                found[told.shard] = told.result
                if len(found) + len(at) <= len(shards):
                    connection.send(next(waiting))
            else:
                tell(*told)
    return found


def _serve(connection: "Connection[Any, Any]", work: Work[Any]) -> None:
    """The life of a worker; Ctrl-C is for who started it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    journal.start_command()
    with contextlib.suppress(EOFError, BrokenPipeError):  # nobody waits for it any more
        while True:
            shard = connection.recv()
            connection.send(_result(work, shard, lambda *told: connection.send(told)))


def _result(work: Work[Any], shard: int, tell: Callable[[int, Reached], None]) -> Done | Exception:
    """What came of a shard, or what stopped it."""
    try:
        return Done(shard, asyncio.run(work(shard, partial(tell, shard))))
    except DriftlineError as error:
        return error
    except Exception:  # noqa: BLE001  (it is raised where somebody sees it)
        return RuntimeError(f"in a process of shard {shard}:\n{traceback.format_exc()}")
