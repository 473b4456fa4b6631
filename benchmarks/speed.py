"""Every figure of what is promised about speed, in one run on one machine: what `make bench` is.

Runs the benchmarks that measure them one after the other, each a process, and puts their figures together: a page with
a table of what is asked and what was measured, a picture, and all figures as JSON. A benchmark that fails is told as
what it is: its figures were not measured. Exit code 1 if a target is missed, or was not measured.

Run: python benchmarks/speed.py [DATA_DIR] [--out FOLDER] [--quick]   (25 minutes; --quick: 10, with figures for nobody)
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import click
import msgspec
from judged import judged, missed, tell
from machine import machine
from rich.console import Console
from speed_page import page, picture

HERE = Path(__file__).resolve().parent
FASTER_THAN_FAUST = 100.0  # the embedded engine


class Part(NamedTuple):
    """One benchmark, what it is run with, and what instead where figures do not matter."""

    script: str
    words: tuple[str, ...] = ()
    quick: tuple[str, ...] = ()


PARTS = {
    "embedded": Part("embedded.py", (), ("--pairs", "2", "--rows", "20000")),
    "kafka": Part("kafka.py", (), ("--repeats", "1", "--events", "300000", "--seconds", "5")),
    "workers": Part("kafka_workers.py", (), ("--repeats", "1", "--events", "600000", "--seconds", "4")),
    "replay": Part("replay.py", (), ("--turns", "1", "--events", "100000", "--topic-events", "1500000")),
    "wide": Part("wide.py", (), ("--features", "100", "--window", "2000")),
    "start": Part("start.py", ("--cold", "1"), ("--repeats", "1", "--only", "linear", "--events", "300")),
    "growth": Part("growth.py", (), ("--events", "100000", "--window", "10000", "--pairs", "2")),
}


def run(name: str, part: Part, words: list[str], folder: Path, console: Console) -> dict[str, Any] | None:
    """The figures of one benchmark; None if it ended without any."""
    figures, started = folder / f"{name}.json", time.monotonic()
    console.rule(f"{part.script} {' '.join(words)}")
    done = subprocess.run([sys.executable, str(HERE / part.script), *words, "--json", str(figures)], check=False)
    console.print(f"{part.script} took {time.monotonic() - started:.0f} s", style="dim", highlight=False)
    if done.returncode not in {0, 1} or not figures.exists():
        console.print(f"FAILED {part.script} ended with exit code {done.returncode}", style="bold", highlight=False)
        return None
    found: dict[str, Any] = msgspec.json.decode(figures.read_bytes())
    return found


def beside_faust(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The embedded engine's rate beside that of Faust with river, which was measured in the same run."""
    if not ("embedded" in found and "kafka" in found):
        return []
    quiet = found["embedded"]["quiet"]
    ours = [quiet["events"] / seconds for seconds in quiet["times"]["linear"]["wall_s"]]
    faust = statistics.median(run["rate"] for run in found["kafka"]["runs"]["faust"])
    return [judged("embedded linear / Faust + river", [rate / faust for rate in ours], FASTER_THAN_FAUST)]


def rows_of(found: dict[str, Any]) -> list[dict[str, Any]]:
    """All that is judged, in the order of the parts."""
    rows = []
    for name in PARTS:
        rows += [row | {"part": name} for row in found.get(name, {}).get("judged", [])]
        rows += [row | {"part": name} for row in beside_faust(found)] if name == "embedded" else []
    return rows


@click.command()
@click.argument("data_dir", type=click.Path(exists=True, path_type=Path), default=Path("../shared/data"))
@click.option("--out", type=click.Path(path_type=Path), default=HERE.parent / "docs", help="Default: docs.")
@click.option("--only", multiple=True, type=click.Choice(list(PARTS)), help="Only this part; may be repeated.")
@click.option("--again", multiple=True, type=click.Choice(list(PARTS)), help="This part; the others stay as they are.")
@click.option("--quick", is_flag=True, help="On little data: shows that it works, and nothing else.")
def main(data_dir: Path, out: Path, only: tuple[str, ...], again: tuple[str, ...], *, quick: bool) -> None:
    """Measure all of it; exit code 1 if a target is missed or was not measured."""
    console, started = Console(width=None if sys.stdout.isatty() else 120), time.monotonic()
    found: dict[str, Any] = {"machine": machine(), "quick": quick, "failed": [], "again": []}
    if again:
        found = msgspec.json.decode((out / "speed.json").read_bytes())
        found |= {"again": sorted({*found["again"], *again}), "failed": [*{*found["failed"]} - {*again}]}
    with tempfile.TemporaryDirectory() as folder:
        for name in again or only or PARTS:
            part = PARTS[name]
            words = [*([str(data_dir)] if name == "embedded" else []), *(part.quick if quick else part.words)]
            figures = run(name, part, words, Path(folder), console)
            found |= {name: figures} if figures else {}
            found["failed"] += [] if figures else [name]
    rows = rows_of(found)
    minutes = round((time.monotonic() - started) / 60, 1)
    found |= {"judged": rows, "minutes": found["minutes"] if again else minutes}
    problems = missed(rows) + [
        f"{PARTS[name].script} failed: its figures were not measured" for name in found["failed"]
    ]
    (out / "images").mkdir(parents=True, exist_ok=True)
    (out / "speed.json").write_bytes(msgspec.json.format(msgspec.json.encode(found | {"missed": problems})) + b"\n")
    (out / "speed.md").write_text(page(found))
    picture(rows, out / "images" / "speed.svg")
    console.rule(f"{minutes:g} minutes")
    tell(console, problems)
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
