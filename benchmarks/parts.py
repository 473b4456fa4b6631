"""Where the processor time of the embedded engine goes: clocks around the parts of one run."""

import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stream_app.config import Config
from stream_app.edges import snapshots
from stream_app.edges.log import Log, packed
from stream_app.runners import embedded
from stream_app.runners.embedded import Embedded


class Clocks:
    """Seconds of the processor spent in functions, each without those of the clocked functions it calls."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}
        self._open = threading.local()  # per clocked call that is open in a thread: seconds in clocked functions

    def add(self, owner: Any, name: str, part: str) -> None:
        """Put a clock around `owner.name`."""
        function = getattr(owner, name)

        def clocked(*args: Any, **options: Any) -> Any:
            inner = self._open.__dict__.setdefault("seconds", [0.0])
            inner.append(0.0)
            start = time.thread_time()
            try:
                return function(*args, **options)
            finally:
                seconds = time.thread_time() - start
                self.spent[part] = self.spent.get(part, 0.0) + seconds - inner.pop()
                inner[-1] += seconds

        setattr(owner, name, clocked)


def breakdown(config: Config, state: Path, key: bytes) -> dict[str, float]:
    """Microseconds of processor time per event in each part of one run; parts do not overlap."""
    state.unlink(missing_ok=True)
    pack, seal, clocks = snapshots.pack, snapshots.seal, Clocks()
    with Log(state, write=True) as log:
        start = time.process_time()
        engine = Embedded(config, log, key=key)
        clocks.spent["open"] = time.process_time() - start
        clocks.add(engine.inputs[0].source, "read", "read")
        clocks.add(engine.inputs[0], "decode", "decode")
        for name, stage in engine.pipeline.stages.items():
            clocks.add(stage, "run", name)
        clocks.add(engine.pipeline.measure.estimate, "run", "measure: estimate")
        clocks.add(engine.pipeline.measure.signals, "run", "measure: signals")
        for *_, panes in engine.pipeline.measure.panes:
            clocks.add(panes, "add", "measure: panes")
        clocks.add(engine.pipeline, "snapshot", "snapshot")
        clocks.add(snapshots, "pack", "snapshot: pack")
        clocks.add(snapshots, "seal", "snapshot: seal")
        clocks.add(log, "commit", "commit")
        clocks.add(embedded, "packed", "commit: pack")
        try:
            engine.run(lambda _: None)
        finally:
            snapshots.pack, snapshots.seal, embedded.packed = pack, seal, packed
        whole = time.process_time() - start
    clocks.spent["the rest"] = whole - sum(clocks.spent.values())
    return {part: seconds / engine.pipeline.records * 1e6 for part, seconds in clocks.spent.items()}


def quickest(runs: Iterable[dict[str, float]]) -> dict[str, float]:
    """The smallest time of each part: noise only ever adds."""
    found: dict[str, float] = {}
    for run in runs:
        found |= {part: min(us, found.get(part, us)) for part, us in run.items()}
    return found
