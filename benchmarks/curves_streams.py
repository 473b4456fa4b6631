"""The seeded streams and configurations of `curves.py`: one quantity differs, everything else is as in `Case()`."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from stream_app.config import Config, parse

BLOCK = 20_000  # events made at a time
START_MS, STEP_MS = 1_700_000_000_000, 100  # of the first event; between two
FILLED = 8192  # events after which every detector compares
BY_REGION = ("feature:x0", "feature:x1", "error")  # watched by region where there are several


@dataclass(frozen=True)
class Case:
    """How much there is of each quantity."""

    features: int = 8
    watches: int = 0  # besides those of every case: ADWIN and KS on each feature, ADWIN on the error
    keys: int = 100
    segments: int = 1
    pending: int = 0  # events that wait for their label; 0: it comes with the event
    partitions: int = 1

    @property
    def settled(self) -> int:
        """Events of a partition after which nothing grows any more: all is seen that there is, detectors are full."""
        by_segment = min(100 * self.segments, 20 * FILLED) if self.segments > 1 else 0
        return max(FILLED, self.keys, self.pending, by_segment)


def write(file: Path, case: Case, events: int) -> None:
    """JSON lines; labels that come later in a file of their own beside it."""
    with file.open("wb") as out, file.with_suffix(".labels").open("wb") as late:
        for first in range(0, events, BLOCK):
            for event in _block(case, first, min(BLOCK, events - first)):
                if case.pending:
                    known_ms = event["time"] + STEP_MS * case.pending
                    late.write(msgspec.json.encode({"id": event["id"], "time": known_ms, "y": event.pop("y")}) + b"\n")
                out.write(msgspec.json.encode(event) + b"\n")


def _block(case: Case, first: int, n: int) -> Iterator[dict[str, float | str]]:
    """Events in which nothing drifts; keys and regions take turns, so that all are seen equally often."""
    rng = np.random.default_rng([11, first])
    X = rng.normal(size=(n, case.features)).round(4)
    y = (X[:, :8].sum(axis=1) + rng.logistic(size=n) > 0).astype(int).tolist()
    names = [f"x{i}" for i in range(case.features)]
    for i, row in enumerate(X.tolist()):
        number = first + i
        event: dict[str, float | str] = {"id": str(number), "time": START_MS + STEP_MS * number, "y": y[i]}
        event |= {"key": f"key-{number * 7919 % case.keys}", "region": f"region-{number * 101 % case.segments}"}
        yield event | dict(zip(names, row, strict=True))


def config(case: Case, file: Path) -> Config:
    """Everything on: a feature by key, a compiled model, detectors, panes, all outputs; limits just above the case."""
    labels = f'labels = "{file.with_suffix(".labels")}"' if case.pending else ""
    fields = "\n".join(f'x{i} = {{ type = "number" }}' for i in range(case.features))
    watches = [_watch("error", "adwin"), _watch("feature:*", "adwin"), _watch("feature:*", "ks")]
    if case.segments > 1:
        watches += [_watch(signal, "adwin", f'by = "region"\nmax_segments = {case.segments}') for signal in BY_REGION]
    watches += [_further(case, i) for i in range(case.watches)]
    return parse(
        f"""
        name = "curves"
        [source]
        events = "{file}"
        {labels}
        [schema]
        id = "id"
        time = "time"
        key = "key"
        label = "y"
        [schema.fields]
        region = {{ type = "category", input = false }}
        {fields}
        [[features]]
        name = "mean_x0"
        stat = "mean"
        of = "x0"
        by = "key"
        over = "5 events"
        [engine]
        max_keys = {max(100_000, case.keys)}
        max_values = {max(1_000_000, 5 * case.keys)}
        max_categories = {max(1024, case.segments)}
        remember = {max(100_000, 2 * case.pending)}
        {"".join(watches)}
        """,
        "curves",
        {},
    )


def _further(case: Case, i: int) -> str:
    """ADWIN and KS in turn; no two the same, else their states would compress to that of one."""
    detector, size, least = (("adwin", "warm_up", 256), ("ks", "window", 500))[i % 2]
    return _watch(f"feature:x{i // 2 % case.features}", detector, f"params = {{ {size} = {least + i % 97} }}")


def _watch(signal: str, detector: str, more: str = "") -> str:
    return f'[[watch]]\nsignal = "{signal}"\ndetector = "{detector}"\n{more}\n'
