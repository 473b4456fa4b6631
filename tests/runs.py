"""Seeded streams as files, and real processes of the command over them; for the tests of the embedded engine."""

import gzip
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from command import driftline
from waiting import TIMEOUT_S

from stream_app.config import load
from stream_app.edges.log import Log
from stream_app.errors import StateError
from stream_app.runners.embedded import Embedded

DRIFTLINE = [sys.executable, "-m", "stream_app.cli"]
ROOT = Path(__file__).parent.parent
KEY = b"a key only for these tests"

CONFIG = """
name = "small"
[source]
SOURCE
[schema]
id = "id"
time = "t"
key = "who"
label = "y"
LABEL_TIME
[schema.fields]
a = { type = "number", required = false }
b = { type = "number" }
c = { type = "category", required = false }
[task]
label_timeout = "20s"
[[features]]
name = "mean_a"
stat = "mean"
of = "a"
by = "c"
over = "500ms"
[[watch]]
signal = "feature:*"
detector = "ks"
reference = "200 events"
params = { window = 80 }
arl0 = 5000
[[watch]]
signal = "error"
detector = "adwin"
[alarms]
budget = "1 per 1000 events"
cooldown = "5s"
group = "1s"
[measure]
every = 128
window = 50
[engine]
epoch = 64
commit = "0ms"
"""

LOOP = """
[[challengers]]
name = "fast"
params = { lr = 0.1, intercept_lr = 0.1 }
[retrain]
on = ["error", "feature:*"]
action = "challenge"
cooldown = "1s"
memory = 200
least = 50
trial = 300
passes = 3
pace = 2.0
confidence = 0.5
proof = 1
"""  # with it the rows below bring trainings, promotions and a predecessor that leaves


def rows(seed: int, n: int) -> list[dict[str, Any]]:
    """Events with a drift in the middle, each with its label and the time at which that is known."""
    rng = random.Random(seed)
    made = []
    for i in range(n):
        shifted = i >= n // 2
        a = None if rng.random() < 0.1 else rng.gauss(2 if shifted else 0, 1)
        t = 1_700_000_000_000 + 10 * i
        made.append(
            {
                "id": f"e{i}",
                "t": t,
                "who": rng.choice("pqr"),
                "a": a,
                "b": round(rng.uniform(0, 9), 3),
                "c": rng.choice(("x", "y", None)),
                "y": int(((a or 0) > 0) != shifted),
                "ly": t + rng.randrange(1, 3000),
            }
        )
    return made


def without(made: list[dict[str, Any]], *columns: str) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in columns} for row in made]


def landed(made: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The labels, as records of their own."""
    return sorted(({k: row[k] for k in ("id", "y", "ly")} for row in made), key=lambda row: row["ly"])


def jsonl(made: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in made)


def write(path: Path, made: list[dict[str, Any]]) -> None:
    """A file in the format that its name says."""
    if ".jsonl" in path.name:
        data = jsonl(made)
    else:
        table = pa.Table.from_pylist(made)
        if path.suffix == ".parquet":
            pq.write_table(table, path)
            return
        buffer = pa.BufferOutputStream()
        pa.csv.write_csv(table, buffer)
        data = buffer.getvalue().to_pybytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def configured(
    folder: Path, events: str, labels: str = "", *, label_time: bool = True, name: str = "c.toml", more: str = ""
) -> Path:
    folder.mkdir(exist_ok=True)
    source = f'events = "{events}"' + (f'\nlabels = "{labels}"' if labels else "")
    text = CONFIG.replace("SOURCE", source).replace("LABEL_TIME", 'label_time = "ly"' if label_time else "")
    (folder / name).write_text(text + more)
    return folder / name


def command(*words: str | Path) -> list[str]:
    return [*DRIFTLINE, *map(str, words)]


def call(*words: str | Path, given: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    """The command to its end; in a fresh interpreter, whose start takes longer, if it is given an input."""
    if given is not None:
        return subprocess.run(
            command(*words), cwd=ROOT, input=given, capture_output=True, timeout=TIMEOUT_S, check=False
        )
    with TemporaryDirectory() as folder:
        code, out, told = driftline(Path(folder), *words, home=Path.home())
    return subprocess.CompletedProcess(words, code, out.encode(), told.encode())


def run(config: Path, state: Path, *more: str, given: bytes | None = None) -> dict[str, Any]:
    """A run that must succeed; its summary."""
    done = call("run", config, "--state", state, "--json", *more, given=given)
    assert done.returncode == 0, done.stderr.decode()
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary


def refused(config: Path, state: Path, exit_code: int, *words: str) -> None:
    """A run that must fail in one line that holds these words, not in a traceback."""
    done = call("run", config, "--state", state)
    told = done.stderr.decode()
    assert done.returncode == exit_code, told
    assert "Traceback" not in told
    plain = " ".join(told.split())
    for word in words:
        assert word in plain, told


@contextmanager
def running(*words: str | Path, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is killed if the test leaves it behind."""
    with subprocess.Popen(command(*words), cwd=ROOT, stderr=subprocess.PIPE, **options) as process:
        try:
            yield process
        finally:
            process.kill()


def finish(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Stops a process by a signal; it must end well."""
    process.send_signal(number)
    _, told = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, told.decode()


def wait_until(true: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    """Polls; fails when the process has ended, or at the deadline."""
    deadline = time.monotonic() + TIMEOUT_S
    while not true():
        assert process.poll() is None, process.communicate()[1].decode()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def count(state: Path, stream: str) -> int:
    try:
        with Log(state) as log:
            return log.count(stream)
    except StateError:  # not made yet
        return 0


def digest(state: Path) -> dict[str, str]:
    with Log(state) as log:
        return log.digest()


def alerts(state: Path) -> list[dict[str, Any]]:
    with Log(state) as log:
        return [json.loads(record.value)["data"] for record in log.read("alerts")]


def in_process(config: Path, state: Path, report: Callable[[Any], None] = lambda _: None) -> None:
    """A run in this process that reports at each commit."""
    with Log(state, write=True) as log:
        Embedded(load(config), log, key=KEY).run(report, report_s=0)


# --- formats ---------------------------------------------------------------------------------------------------------
