"""Many features watched for drift, beside Evidently on the same windows of 10,000 rows.

    driftline    the whole embedded pipeline: JSON lines from a file, checks, a `linear` model that predicts and learns,
                 metrics, panes, KS on each feature with a reference and a window of 10,000 rows each, tested every few
                 hundred rows; predictions, outcomes, metrics and state committed to SQLite
    evidently    `Report([DataDriftPreset()])` of one window beside the reference, its own choice of tests, a process
                 for each window; frames in memory before the clock runs, so no decoding, no model, nothing written

Both get the same numbers, in turn; imports, compiling and the preparation of the reference are not counted. Nothing
drifts but the first feature in the last window, which both must find, and nothing else. Judged is the median of the
turns' ratios of rows a second, at least 100; exit code 1 if it is missed.

Run: python benchmarks/wide.py [--json FILE]   (7 minutes; Evidently is installed into a folder of its own)
"""

import json
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
SHIFT = 1.0  # of the first feature in the last window, in standard deviations
TIMEOUT_S = 1800.0


class Case(NamedTuple):
    """One width, and how much of it is looked at; Evidently's time grows with the width, so wide ones get few turns."""

    features: int
    windows: int
    turns: int


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
    return Stream(*files, rows=(case.windows + 1) * window)


def driftline(stream: Stream, config: Config, state: Path) -> tuple[float, float]:
    """Rows a second by the clock and of the processor; RuntimeError if it finds anything but the one drift."""
    state.unlink(missing_ok=True)
    with Log(state, write=True) as log:
        wall, cpu = time.perf_counter(), time.process_time()
        Embedded(config, log).run(lambda _: None)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        alerts = [msgspec.json.decode(record.value)["data"] for record in log.read("alerts")]
    opened = [alert["signal"] for alert in alerts if alert["status"] == "opened"]
    if opened != ["feature:x0"]:
        raise RuntimeError(f"driftline found {opened} where x0 alone drifts")
    return stream.rows / wall, stream.rows / cpu


def evidently(python: Path, reference: Path, window: Path, drifted: list[str]) -> dict[str, Any]:
    """What the peer tells of one window; RuntimeError if it finds anything but `drifted`."""
    command = [str(python), str(PEERS / "evidently_drift.py"), str(reference), str(window)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with exit code {done.returncode}:\n{done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    if found["drifted"] != drifted:
        raise RuntimeError(f"Evidently found {found['drifted']} in {window.name}, where {drifted} drifts")
    return found


def compare(console: Console, python: Path, case: Case, window: int) -> dict[str, Any]:
    """Both in turn, the last window first: what both must find is found before much time is spent."""
    found: dict[str, Any] = {"ours": [], "ours_cpu": [], "theirs": [], "theirs_cpu": [], "rows": 0}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stream = write_stream(folder, case, window)
        config = stream.config(case.features, window)
        driftline(stream, config, folder / "warm.db")
        for turn in range(case.turns):
            ours, ours_cpu = driftline(stream, config, folder / "ours.db")
            shown, drifted = (stream.quiet, []) if turn % 2 else (stream.drifted, ["x0"])
            theirs = evidently(python, stream.reference, shown, drifted)
            found["ours"].append(ours)
            found["ours_cpu"].append(ours_cpu)
            found["theirs"].append(window / theirs["wall_s"])
            found["theirs_cpu"].append(window / theirs["cpu_s"])
            console.print(
                f"{case.features:,} features, turn {turn + 1}: {ours:,.0f} and {found['theirs'][-1]:,.0f} rows/s",
                style="dim",
                highlight=False,
            )
        found["parts"] = breakdown(config, folder / "parts.db", b"")
        found |= {"rows": stream.rows, "method": theirs["method"]}
    found["ratios"] = [a / b for a, b in zip(found["ours"], found["theirs"], strict=True)]
    found["ratios_cpu"] = [a / b for a, b in zip(found["ours_cpu"], found["theirs_cpu"], strict=True)]
    return found


def report(console: Console, found: dict[str, dict[str, Any]], rows: list[dict[str, Any]]) -> None:
    """Print the rates, and where the time goes."""
    table = Table()
    for column in ("features", "driftline", "Evidently", "ratio", "min … max", "of the processor"):
        table.add_column(column, justify="right")
    for (width, each), row in zip(found.items(), rows, strict=True):
        rates = (f"{np.median(each[name]):,.0f}/s" for name in ("ours", "theirs"))
        spread = f"{row['min']:.0f} … {row['max']:.0f}"
        table.add_row(width, *rates, f"{row['median']:.0f}", spread, f"{np.median(each['ratios_cpu']):.0f}")
    console.print(table)
    parts = Table("part, µs a row", *found)
    for part in next(iter(found.values()))["parts"]:
        parts.add_row(part, *(f"{each['parts'].get(part, 0):.2f}" for each in found.values()))
    console.print(parts)


@click.command()
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write all figures to this file.")
@click.option("--window", default=10_000, show_default=True, help="Rows of a window.")
@click.option("--features", type=int, multiple=True, help="One turn of this many instead; may be repeated.")
def main(json_file: Path | None, window: int, features: tuple[int, ...]) -> None:
    """Compare with Evidently; exit code 1 if the target is missed."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    about = describe(console)
    python = environment(PEERS / "evidently.txt")
    cases = [Case(width, 2, 1) for width in features] or CASES
    found = {f"{case.features}": compare(console, python, case, window) for case in cases}
    rows = [judged(f"{int(width):,} features / Evidently", each["ratios"], FASTER) for width, each in found.items()]
    report(console, found, rows)
    if json_file:
        document = {"machine": about, "window": window, "widths": found, "judged": rows, "missed": missed(rows)}
        json_file.write_bytes(msgspec.json.format(msgspec.json.encode(document)))
    tell(console, missed(rows))
    sys.exit(bool(missed(rows)))


if __name__ == "__main__":
    main()
