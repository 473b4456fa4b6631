"""Many features watched for drift, beside Evidently on the same windows of 10,000 rows.

    driftline    the whole embedded pipeline: JSON lines from a file, checks, a `linear` model that predicts and learns,
                 metrics, panes, KS on each feature with a reference and a window of 10,000 rows each, tested every few
                 hundred rows; predictions, outcomes, metrics and state committed to SQLite
    evidently    `Report([DataDriftPreset()])` of one window beside the reference, its own choice of tests, a process
                 for each window; frames in memory before the clock runs, so no decoding, no model, nothing written

Both get the same numbers, in turn; imports, compiling and the preparation of the reference are not counted. Nothing
drifts but the first feature in the last window, which both must find; what else they name is told. Judged is the median
of the turns' ratios of rows a second, at least 100; exit code 1 if it is missed.

Run: python benchmarks/wide.py [--json FILE]   (7 minutes; Evidently is installed into a folder of its own)
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import click
import msgspec
import numpy as np
from environment import environment
from judged import judged, missed, tell
from machine import describe
from parts import breakdown
from rich.console import Console
from rich.table import Table

from stream_app.config import Config, parse
from stream_app.edges.log import Log
from stream_app.runners.embedded import Embedded

FASTER = 100.0
PEERS = Path(__file__).resolve().with_name("speed_peers")
DRIFTS, SHIFT = "x0", 1.0  # the first feature, in the last window, by so many standard deviations
TIMEOUT_S = 1800.0


class Case(NamedTuple):
    """One width, and how much of it is looked at; Evidently's time grows with the width, so wide ones get few turns."""

    features: int
    windows: int
    turns: int

    def rows(self, window: int) -> int:
        """With the reference."""
        return (self.windows + 1) * window


CASES = (Case(100, 10, 3), Case(1_000, 3, 2))


class Stream(NamedTuple):
    """The same rows: a file of JSON lines, and matrices of the reference, a quiet window and the one that drifts."""

    file: Path
    reference: Path
    quiet: Path
    drifted: Path
    rows: int

    def config(self, features: int, window: int) -> Config:
        """Everything on; the label stands in the row."""
        fields = "\n".join(f'x{i} = {{ type = "number" }}' for i in range(features))
        return parse(
            f"""
            name = "wide"
            source.events = "{self.file}"
            schema.label = "y"
            model.use = "linear"
            [schema.fields]
            {fields}
            [[watch]]
            signal = "feature:*"
            detector = "ks"
            reference = "{window} events"
            params = {{ window = {window} }}
            """,
            "wide",
            {},
        )


def write_stream(folder: Path, case: Case, window: int) -> Stream:
    """Seeded rows: the reference, then windows."""
    files = [folder / name for name in ("stream.jsonl", "reference.npy", "quiet.npy", "drifted.npy")]
    names, rng = [f"x{i}" for i in range(case.features)], np.random.default_rng(1)
    with files[0].open("wb") as out:
        for number in range(case.windows + 1):
            X = rng.normal(size=(window, case.features))
            X[:, 0] += SHIFT * (number == case.windows)
            X, label = X.round(4), X[:, -1] + rng.logistic(size=window) > 0
            for row, y in zip(X.tolist(), label.tolist(), strict=True):
                out.write(msgspec.json.encode(dict(zip(names, row, strict=True)) | {"y": int(y)}) + b"\n")
            place = {0: files[1], 1: files[2], case.windows: files[3]}.get(number)
            if place:
                np.save(place, X)
    return Stream(*files, rows=case.rows(window))


def driftline(config: Config, state: Path) -> dict[str, Any]:
    """What driftline takes for all rows; RuntimeError if it does not find the feature that drifts."""
    state.unlink(missing_ok=True)
    with Log(state, write=True) as log:
        wall, cpu = time.perf_counter(), time.process_time()
        Embedded(config, log).run(lambda _: None)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        alerts = [msgspec.json.decode(record.value)["data"] for record in log.read("alerts")]
    named = [alert["signal"].removeprefix("feature:") for alert in alerts if alert["status"] == "opened"]
    check("driftline", named)
    return {"wall_s": wall, "cpu_s": cpu, "drifted": named}


def check(who: str, named: list[str]) -> None:
    """RuntimeError if the feature that drifts is not named."""
    if DRIFTS not in named:
        raise RuntimeError(f"{who} names {named or 'nothing'} where {DRIFTS} drifts")


def evidently(python: Path, reference: Path, window: Path) -> dict[str, Any]:
    """What Evidently takes for one window; RuntimeError if it fails."""
    command = [str(python), str(PEERS / "evidently_drift.py"), str(reference), str(window)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with exit code {done.returncode}:\n{done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def compare(console: Console, python: Path | None, case: Case, window: int) -> dict[str, Any]:
    """Both in turn, the window that drifts first; driftline alone without a Python for the other."""
    found: dict[str, Any] = {"rows": case.rows(window), "others": {}}
    found |= {name: [] for name in ("ours", "ours_cpu", "theirs", "theirs_cpu")}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stream = write_stream(folder, case, window)
        config = stream.config(case.features, window)
        driftline(config, folder / "warm.db")
        for turn in range(case.turns):
            add(found, "ours", stream.rows, driftline(config, folder / "ours.db"))
            if python is not None:
                drifts = not turn % 2
                told = evidently(python, stream.reference, stream.drifted if drifts else stream.quiet)
                if drifts:
                    check("Evidently", told["drifted"])
                add(found, "theirs", window, told)
                found["method"] = told["method"]
            rates = ", ".join(f"{name} {found[name][-1]:,.0f} rows/s" for name in ("ours", "theirs") if found[name])
            console.print(f"{case.features:,} features, turn {turn + 1}: {rates}", style="dim", highlight=False)
        found["parts"] = breakdown(config, folder / "parts.db", b"")
    return found


def add(found: dict[str, Any], side: str, rows: int, told: dict[str, Any]) -> None:
    """Rows a second by the clock and of the processor, and which features were named that do not drift."""
    found[side].append(rows / told["wall_s"])
    found[f"{side}_cpu"].append(rows / told["cpu_s"])
    found["others"].setdefault(side, []).append([name for name in told["drifted"] if name != DRIFTS])


def ratios(found: dict[str, Any], clock: str = "") -> list[float]:
    """Rows a second of both, of each turn."""
    return [a / b for a, b in zip(found["ours" + clock], found["theirs" + clock], strict=False)]


def report(console: Console, found: dict[str, dict[str, Any]], rows: list[dict[str, Any]]) -> None:
    """Print the ratios, and where the time goes."""
    for row, each in zip(rows, found.values(), strict=False):
        spread = f"{row['min']:.0f} … {row['max']:.0f}"
        cpu = f"{statistics.median(ratios(each, '_cpu')):.0f} of the processor"
        console.print(f"{row['work']}: {row['median']:.0f} ({spread}), {cpu}", highlight=False)
    table = Table("part, µs a row", *found)
    for part in next(iter(found.values()))["parts"]:
        table.add_row(part, *(f"{each['parts'].get(part, 0):.2f}" for each in found.values()))
    console.print(table)


@click.command()
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write all figures to this file.")
@click.option("--window", default=10_000, show_default=True, help="Rows of a window.")
@click.option("--features", type=int, multiple=True, help="One turn of this many instead; may be repeated.")
@click.option("--alone", is_flag=True, help="Without Evidently: the rates of driftline, and where its time goes.")
def main(json_file: Path | None, window: int, features: tuple[int, ...], *, alone: bool) -> None:
    """Compare with Evidently; exit code 1 if the target is missed."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    about = describe(console)
    python = None if alone else environment(PEERS / "evidently.txt")
    cases = [Case(width, 2, 1) for width in features] or CASES
    found = {f"{case.features}": compare(console, python, case, window) for case in cases}
    told = {} if alone else {f"{int(width):,} features / Evidently": ratios(each) for width, each in found.items()}
    rows = [judged(work, each, FASTER) for work, each in told.items()]
    report(console, found, rows)
    if json_file:
        document = {"machine": about, "window": window, "widths": found, "judged": rows, "missed": missed(rows)}
        json_file.write_bytes(msgspec.json.format(msgspec.json.encode(document)))
    tell(console, missed(rows))
    sys.exit(bool(missed(rows)))


if __name__ == "__main__":
    main()
