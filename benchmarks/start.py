"""From the start of the process to the first committed prediction, as a user waits for it.

`driftline run --follow` is started over JSON lines of 8 numbers with the detectors of `embedded.py`'s quiet stream (an
ADWIN on the error, a KS and an ADWIN on each feature); its log is looked at every 5 ms until a prediction stands there.
The first start, not counted, compiles what is not on disk yet. The median of the others is judged: with `linear` at
most 2 s. With a model of river in it, to import river takes most of a second more: told, not judged. `--cold` gives
some starts an empty cache each: how long that takes, how many kernels are compiled and in how many lines it says so.

Run: python benchmarks/start.py [--cold 1] [--json FILE]   (some 20 seconds; a cold start takes half a minute)
"""

import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import msgspec
import numpy as np
from judged import judged, missed
from machine import describe
from rich.console import Console
from turns import report

from stream_app.edges.log import Log
from stream_app.errors import DriftlineError

MOST_S = 2.0
LOOK_S = 0.005  # between two looks at the log
TIMEOUT_S = 300.0  # a cold start on a slow machine
TOLD = re.compile(r"compiled in .*kernels: (\d+)")
CONFIG = """
name = "start"
[source]
events = "events.jsonl"
[schema]
label = "y"
[schema.fields]
{fields}
[model]
use = "{use}"
[[watch]]
signal = "error"
detector = "adwin"
[[watch]]
signal = "feature:*"
detector = "ks"
[[watch]]
signal = "feature:*"
detector = "adwin"
"""
USES = {"linear": "linear", "river": "river.preprocessing.StandardScaler | river.linear_model.LogisticRegression"}
JUDGED = "linear"


def write(folder: Path, use: str, events: int) -> Path:
    """Write a seeded stream and its configuration."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(events, 8)).round(4)
    names = [f"x{i}" for i in range(8)]
    rows = [dict(zip(names, row, strict=True)) | {"y": int(row[0] > 0)} for row in X.tolist()]
    (folder / "events.jsonl").write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
    config = folder / "start.toml"
    config.write_text(CONFIG.format(fields="\n".join(f'{name} = {{ type = "number" }}' for name in names), use=use))
    return config


def first_event(log: Path, process: subprocess.Popen[str]) -> None:
    """Wait until a prediction is committed."""
    until = time.monotonic() + TIMEOUT_S
    while time.monotonic() < until and process.poll() is None:
        try:
            with closing(Log(log)) as opened:
                if next(iter(opened.read("predictions")), None) is not None:
                    return
        except (DriftlineError, OSError):  # it is being made
            pass
        time.sleep(LOOK_S)
    raise RuntimeError(f"no prediction was committed: {process.communicate()[1]}")


def start(config: Path, log: Path, cache: Path | None = None) -> tuple[dict[str, float], str]:
    """Start once: seconds to the first event, of the processor until the process has ended; and what was said."""
    environment = os.environ | ({} if cache is None else {"NUMBA_CACHE_DIR": str(cache)})
    command = [sys.executable, "-m", "stream_app.cli", "run", str(config), "--state", str(log), "--follow"]
    before, began = os.times(), time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        first_event(log, process)
        took = time.monotonic() - began
    finally:
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=TIMEOUT_S)
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return {"seconds": took, "processor_s": spent}, said


def measured(config: Path, folder: Path, repeats: int, *, cold: bool) -> dict[str, Any]:
    """All starts of one kind, and their medians."""
    starts, kernels, lines = [], 0, 0
    for i in range(repeats):
        kind = "cold" if cold else "warm"
        cache = folder / f"{config.parent.name}-kernels-{i}" if cold else None
        figures, said = start(config, folder / f"{config.parent.name}-{kind}-{i}.db", cache)
        starts.append(figures)
        kernels, lines = sum(map(int, TOLD.findall(said))), said.count("compil")
    medians = {name: statistics.median(each[name] for each in starts) for name in ("seconds", "processor_s")}
    return {"starts": starts, **medians, "kernels": kernels, "lines": lines}


def tell(console: Console, use: str, kind: str, found: dict[str, Any]) -> None:
    """Print one kind of start."""
    taken = [each["seconds"] for each in found["starts"]]
    spread = f"{min(taken):.2f} … {max(taken):.2f}"
    compiled = f"; {found['kernels']} kernels compiled, told in {found['lines']} lines" if found["kernels"] else ""
    processor = f"{found['processor_s']:.2f} s of the processor, to the end of the process"
    console.print(f"{use}, {kind}: first event after {found['seconds']:.2f} s ({spread}); {processor}{compiled}")


@click.command()
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write all figures to this file.")
@click.option("--repeats", default=5, show_default=True, help="Starts with a warm cache.")
@click.option("--cold", default=0, show_default=True, help="Starts with an empty cache.")
@click.option("--only", type=click.Choice(list(USES)), help="One model.")
@click.option("--events", default=1000, show_default=True, help="In the file that is read.")
def main(json_file: Path | None, repeats: int, cold: int, only: str | None, events: int) -> None:
    """Measure the time to the first event; exit code 1 if it takes longer than it may with a warm cache."""
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    found: dict[str, Any] = {"machine": describe(console), "missed": []}
    with tempfile.TemporaryDirectory() as name:
        for use, model in USES.items():
            if only not in {None, use}:
                continue
            folder = Path(name) / use
            folder.mkdir()
            config = write(folder, model, events)
            start(config, folder / "before.db")
            found[use] = {"warm": measured(config, folder, repeats, cold=False)}
            tell(console, use, "warm", found[use]["warm"])
            if use == JUDGED:
                taken = [each["seconds"] for each in found[use]["warm"]["starts"]]
                found["judged"] = [judged("seconds from the start to the first event", taken, MOST_S, at_most=True)]
                found["missed"] = missed(found["judged"])
            if cold:
                found[use]["cold"] = measured(config, folder, cold, cold=True)
                tell(console, use, "cold", found[use]["cold"])
    sys.exit(report(console, found, json_file))


if __name__ == "__main__":
    main()
