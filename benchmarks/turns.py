"""What benchmarks share in which the same events are run in turn, with and without something beside them."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from pyarrow import csv
from rich.console import Console


def write_stream(path: Path, X: np.ndarray, names: Sequence[str], label: np.ndarray, **more: np.ndarray) -> None:
    """A CSV of events, ten a second of stream time: their numbers [events, names], the label `y`, more columns."""
    columns = {"time": 1_700_000_000_000 + 100 * np.arange(len(X)), "y": label.astype(np.int8), **more}
    csv.write_csv(pa.table(columns | dict(zip(names, np.round(X.T, 4), strict=True))), path)


def slower(
    console: Console, measure: str, ratios: list[float], most: float, said: str
) -> tuple[dict[str, Any], list[str]]:
    """The ratios of the pairs and their median, told; and what is missed if that is more than `most`."""
    median = statistics.median(ratios)
    console.print(f"{measure}: {median:.3f} times as long {said} ({min(ratios):.3f} … {max(ratios):.3f})")
    missed = [f"{measure}: {median:.3f} times as long; at most {most}"] if median > most else []
    return {"ratio": median, "ratios": ratios}, missed


def report(console: Console, found: Mapping[str, Any], figures: Path | None) -> bool:
    """Tells what was missed, writes all figures if they are asked for; whether anything was missed."""
    for missed in found["missed"]:
        console.print(f"missed: {missed}")
    if figures is not None:
        figures.write_bytes(msgspec.json.encode(found))
    return bool(found["missed"])
