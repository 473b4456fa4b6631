"""One point of one curve of `curves.py`, in a process of its own: its memory is its own, its kernels are warm.

    python curves_point.py CASE_JSON FILE EVENTS WARM_FILE

Prints µs of processor time per event once everything has settled, with what it costs to commit the outputs but without
the states, which the engine writes the more rarely the larger they are; bytes that are resident more than before; a
state's bytes and seconds.
"""

import ctypes
import gc
import json
import sys
import tempfile
import time
from pathlib import Path

from curves_streams import Case, config
from growth import resident

from stream_app.config import digest
from stream_app.edges import snapshots
from stream_app.edges.log import Log
from stream_app.runners.embedded import Embedded


def engines(case: Case, file: Path, folder: Path) -> list[Embedded]:
    """One engine a partition; what they commit holds no state."""
    tree = config(case, file)
    logs = [Log(folder / f"{case.partitions}-{shard}.db", write=True) for shard in range(case.partitions)]
    found = [Embedded(tree, log, shard=shard) for shard, log in enumerate(logs)]
    for engine in found:
        engine.pipeline.snapshot = dict
    return found


def take(shards: list[Embedded], events: int) -> int:
    """Batch by batch and in turns until all have taken so many events; how many all have taken."""
    for engine in shards:
        engine.run(lambda _: None, stop=lambda: True)
    while any(engine.pipeline.measure.counts["events"] < events for engine in shards):
        for engine in shards:
            engine.run(lambda _: None, stop=lambda: True)
    return sum(engine.pipeline.measure.counts["events"] for engine in shards)


def warm(file: Path, folder: Path) -> None:
    """Compiles or loads the kernels."""
    take(engines(Case(segments=2, pending=1, watches=2), file, folder), Case().settled + 1)


def point(case: Case, file: Path, folder: Path, events: int) -> dict[str, float]:
    """What the module says."""
    give_back()
    before = resident()
    shards = engines(case, file, folder)
    settled = take(shards, case.settled)
    start = time.process_time()
    taken = take(shards, settled // case.partitions + events) - settled
    us = (time.process_time() - start) / taken * 1e6
    memory = resident() - before
    start, size = time.process_time(), 0
    for engine in shards:
        del engine.pipeline.snapshot
        size += len(snapshots.encode(engine.pipeline.snapshot(), config_digest=digest(engine.config), key=None))
    return {"us": us, "memory": memory, "state": size, "state_s": time.process_time() - start, "events": taken}


def give_back() -> None:
    """What the warming left free would hide what comes (glibc; elsewhere it does)."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def main() -> None:
    """Measure one point."""
    case, file, events, warm_file = Case(**json.loads(sys.argv[1])), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    with tempfile.TemporaryDirectory() as name:
        Path(name, "warm").mkdir()
        warm(Path(warm_file), Path(name, "warm"))
        print(json.dumps(point(case, file, Path(name), events)))


if __name__ == "__main__":
    main()
