"""The seeded streams and configurations of `curves.py`: one quantity differs, everything else is as in `BASE`."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from stream_app.config import Config, parse

BATCH = 8192  # events that the engine takes at a time
BLOCK = 20_000  # events made at a time
START_MS, STEP_MS = 1_700_000_000_000, 100  # of the first event; between two
FILLED = 8192  # events after which every detector compares
CELLS = 24_000_000  # numbers in a stream at most: wide ones are shorter
REGIONS_BY = ("feature:x0", "feature:x1", "error")  # watched by region where there are several


@dataclass(frozen=True)
class Case:
    """How much there is of each quantity."""

    features: int = 8
    watches: int = 0  # besides ADWIN and KS on each feature, and ADWIN on the error
    keys: int = 100
    segments: int = 1
    pending: int = 0  # events that wait for their label; 0: it comes with the event
    partitions: int = 1

    @property
    def settled(self) -> int:
        """Events of a partition after which nothing grows any more: every key and segment seen, every detector full."""
        return max(FILLED, self.keys, self.pending, min(100 * self.segments, 20 * FILLED))


BASE = Case()


def write(folder: Path, case: Case, events: int) -> list[Path]:
    """JSON lines of each partition; with labels that come later, these in a file of their own beside it."""
    files = [folder / f"{part}.jsonl" for part in range(case.partitions)]
    for part, file in enumerate(files):
        with file.open("wb") as out, file.with_suffix(".labels").open("wb") as late:
            for first in range(0, events, BLOCK):
                for event in _block(case, part, first, min(BLOCK, events - first)):
                    if case.pending:
                        known = {"time": event["time"] + STEP_MS * case.pending, "id": event["id"], "y": event.pop("y")}
                        late.write(msgspec.json.encode(known) + b"\n")
                    out.write(msgspec.json.encode(event) + b"\n")
    return files


def _block(case: Case, part: int, first: int, n: int) -> Iterator[dict[str, float | str]]:
    """Events in which nothing drifts; keys and regions take turns, so that all are seen equally often."""
    rng = np.random.default_rng([11, part, first])
    X = rng.normal(size=(n, case.features)).round(4)
    y = (X[:, :8].sum(axis=1) + rng.logistic(size=n) > 0).astype(int).tolist()
    names = [f"x{i}" for i in range(case.features)]
    for i, row in enumerate(X.tolist()):
        number = first + i
        event: dict[str, float | str] = {"id": str(number), "time": START_MS + STEP_MS * number, "y": y[i]}
        event |= {"key": f"key-{number * 7919 % case.keys}", "region": f"region-{number * 101 % case.segments}"}
        yield event | dict(zip(names, row, strict=True))


def config(case: Case, file: Path) -> Config:
    """Everything on: a feature by key, a compiled model, detectors, panes, predictions and metrics written."""
    labels = f'labels = "{file.with_suffix(".labels")}"' if case.pending else ""
    fields = "\n".join(f'x{i} = {{ type = "number" }}' for i in range(case.features))
    by_region = "".join(_watch(s, "adwin", 'by = "region"\nmax_segments = 4096') for s in REGIONS_BY)
    more = "".join(_watch(f"feature:x{i // 2 % 8}", ("adwin", "ks")[i % 2]) for i in range(case.watches))
    return parse(
        f"""
        name = "curves"
        [source]
        events = "{file}"
        format = "jsonl"
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
        max_categories = 4096
        remember = {max(100_000, 2 * case.pending)}
        [[watch]]
        signal = "error"
        detector = "adwin"
        [[watch]]
        signal = "feature:x*"
        detector = "adwin"
        [[watch]]
        signal = "feature:x*"
        detector = "ks"
        {by_region if case.segments > 1 else ""}
        {more}
        """.replace("feature:x*", "feature:*"),
        "curves",
        {},
    )


def _watch(signal: str, detector: str, more: str = "") -> str:
    return f'[[watch]]\nsignal = "{signal}"\ndetector = "{detector}"\n{more}\n'
