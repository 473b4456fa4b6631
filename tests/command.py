"""The real command line in a process of its own, and a small configuration and its data to run it on."""

import multiprocessing
import os
import random
import sys
from pathlib import Path
from typing import NamedTuple

from waiting import TIMEOUT_S

ROOT = Path(__file__).parent.parent
DRIFTLINE = [sys.executable, "-m", "stream_app.cli"]
CAPTURED = ".stdout", ".stderr"  # files in the folder of the command
PROCESSES = multiprocessing.get_context("forkserver")
HEAVY = ["runners.embedded", "runners.faust_worker", "edges.profile", "cli"]
PROCESSES.set_forkserver_preload([f"stream_app.{name}" for name in HEAVY] + ["rich.progress", "pandas", "tests.warm"])

CONFIG = """
name = "small"
[source]
events = "{events}"
{source}
[schema]
id = "id"
time = "time"
label = "y"
[schema.fields]
x = {{ type = "number", required = false }}
z = {{ type = "number", required = false }}
c = {{ type = "category", required = false, values = ["a", "b"] }}
[[features]]
name = "z_mean"
stat = "mean"
of = "z"
by = "c"
over = "50 events"
[[watch]]
signal = "missing:*"
detector = "page_hinkley"
[[watch]]
signal = "error"
detector = "adwin"
[alarms]
cooldown = "30m"
budget = "1 per 10000 events"
[retrain]
on = ["error"]
[measure]
every = {every}
[engine]
epoch = 16
commit = "1ms"
"""


class Done(NamedTuple):
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


def driftline(folder: Path, *args: str | Path, home: Path | None = None) -> Done:
    """One command in `folder`, in a process of its own; whatever it is given, it must end and show no traceback.

    The process is forked from one that has imports and kernels behind it: a fresh interpreter takes 2 s for them.
    """
    environment = os.environ | {"HOME": str(home or folder)}
    process = PROCESSES.Process(target=_main, args=(folder, ["driftline", *map(str, args)], environment))
    process.start()
    process.join(TIMEOUT_S)
    if process.exitcode is None:
        process.kill()
        raise AssertionError(f"{args} did not end within {TIMEOUT_S} s")
    out, err = ((folder / name).read_text() for name in CAPTURED)
    assert "Traceback" not in err, err
    return Done(process.exitcode, out, err)


def _main(folder: Path, args: list[str], environment: dict[str, str]) -> None:
    os.chdir(folder)
    os.environ.update(environment)
    for descriptor, name in enumerate(CAPTURED, 1):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    sys.argv = args
    from stream_app.cli import main  # noqa: PLC0415

    main()


def write_config(folder: Path, events: str, *, every: int = 32, source: str = "") -> Path:
    """small.toml in `folder`, over the file `events`."""
    path = folder / "small.toml"
    path.write_text(CONFIG.format(events=events, every=every, source=source))
    return path


def records(n: int, *, seed: int = 1) -> list[dict[str, str]]:
    """Events a minute apart whose label follows x + z, as the cells of a CSV file."""
    chance = random.Random(seed)
    rows = []
    for i in range(n):
        x, z = chance.gauss(0, 1), chance.gauss(0, 1)
        cells = {"id": f"e{i}", "time": str(1_600_000_000_000 + 60_000 * i), "x": f"{x:.4f}", "z": f"{z:.4f}"}
        rows.append(cells | {"c": chance.choice("ab"), "y": str(int(x + z > 0))})
    return rows


def csv_text(rows: list[dict[str, str]], delimiter: str = ",") -> str:
    """The rows as CSV with a header."""
    return "".join(delimiter.join(cells) + "\n" for cells in [list(rows[0]), *(row.values() for row in rows)])
