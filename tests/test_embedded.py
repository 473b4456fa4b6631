"""The embedded engine as an operator meets it: real files, real processes, killed, stopped, misled and resumed."""

import gzip
import hashlib
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from streams import SMALL, flat, made_stream, tape_of

from stream_app.config import load
from stream_app.edges.log import Log
from stream_app.errors import SourceError, StateError
from stream_app.messages import CONTROL, EVENT, LABEL
from stream_app.pipeline import Pipeline
from stream_app.runners import embedded
from stream_app.runners.embedded import Embedded

TIMEOUT_S = 60  # of any one process
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


def configured(folder: Path, events: str, labels: str = "", *, label_time: bool = True, name: str = "c.toml") -> Path:
    folder.mkdir(exist_ok=True)
    source = f'events = "{events}"' + (f'\nlabels = "{labels}"' if labels else "")
    text = CONFIG.replace("SOURCE", source).replace("LABEL_TIME", 'label_time = "ly"' if label_time else "")
    (folder / name).write_text(text)
    return folder / name


def command(*words: str | Path) -> list[str]:
    return [*DRIFTLINE, *map(str, words)]


def call(*words: str | Path, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command(*words), cwd=ROOT, input=given, capture_output=True, timeout=TIMEOUT_S, check=False)


def run(config: Path, state: Path, *more: str, given: bytes = b"") -> dict[str, Any]:
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

APART = ["e.csv l.csv", "e.jsonl l.jsonl", "e.parquet l.parquet", "e.csv.gz l.jsonl.gz", "- l.csv"]
IN_ROW = ["e.csv", "e.jsonl", "e.parquet", "-"]


@pytest.mark.parametrize(
    ("layout", "files"),
    [("apart", APART), ("in the row", IN_ROW), ("in the row, known at once", IN_ROW)],
    ids=["labels apart", "labels with a time", "labels known at once"],
)
def test_the_format_does_not_matter(tmp_path: Path, layout: str, files: list[str]) -> None:
    made = rows(seed=1, n=1200)
    events = {
        "apart": without(made, "y", "ly"),
        "in the row": made,
        "in the row, known at once": without(made, "ly"),
    }[layout]

    logs = []
    for names in map(str.split, files):
        folder = tmp_path / "_".join(names)
        config = configured(folder, *names, label_time="at once" not in layout)
        for name, part in zip(names, (events, landed(made)), strict=False):
            if name != "-":
                write(folder / name, part)
        if names[0] == "-":
            assert run(config, folder / "s.db", given=jsonl(events))["events"] == 1200
        else:
            in_process(config, folder / "s.db")
        logs.append(digest(folder / "s.db"))
    assert {"predictions", "outcomes", "alerts", "metrics"} <= set(logs[0])
    assert "dead-letters" not in logs[0]
    for name, log in zip(files, logs, strict=True):
        assert log == logs[0], name


# --- kill -9 ---------------------------------------------------------------------------------------------------------


def stream_with_everything(folder: Path, events: int, epoch: int) -> Path:
    """Events and labels as two files: late, early, repeated, missing, junk; and a configuration with many watches."""
    made = made_stream(seed=7, events=events)
    for kind, name in ((EVENT, "events.jsonl"), (LABEL, "labels.jsonl")):
        (folder / name).write_bytes(b"\n".join(raw for stream, raw in made if stream == kind))
    changes = {
        "[schema]\n": '[source]\nevents = "events.jsonl"\nlabels = "labels.jsonl"\n[schema]\n',
        "epoch = 16\n": f'epoch = {epoch}\ncommit = "0ms"\n',
        "every = 32\n": f"every = {2 * epoch}\n",
        'width = "1s"': 'width = "10s"',
    }
    text = SMALL
    for old, new in changes.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    (folder / "c.toml").write_text(text)
    return folder / "c.toml"


def killed(config: Path, *how: str) -> dict[str, Any]:
    script = [sys.executable, str(ROOT / "tests" / "kill.py"), str(config), *how]
    done = subprocess.run(script, cwd=ROOT, capture_output=True, timeout=280, check=False)
    assert done.stdout, done.stderr.decode()
    result: dict[str, Any] = json.loads(done.stdout)
    assert not result["different"], result
    return result


def test_kill_9_at_fifty_random_moments_changes_nothing(tmp_path: Path) -> None:
    config = stream_with_everything(tmp_path, events=20_000, epoch=512)
    result = killed(config, "--kills", "50", "--batch", "2048", "--seed", "5")
    assert result["kills"] >= 50
    written = {"predictions", "outcomes", "alerts", "metrics", "dead-letters", "panes", "features"}
    assert written <= set(result["streams"])


def test_kill_9_before_any_statement_of_a_commit_changes_nothing(tmp_path: Path) -> None:
    config = stream_with_everything(tmp_path, events=400, epoch=16)
    result = killed(config, "--statements", "24", "--batch", "128")
    assert result["kills"] == 24


# --- stopped and resumed ---------------------------------------------------------------------------------------------


def test_a_second_run_of_a_finished_job_does_nothing_and_says_so(tmp_path: Path) -> None:
    write(tmp_path / "e.csv", rows(seed=2, n=800))
    config, state = configured(tmp_path, "e.csv"), tmp_path / "s.db"
    first, before, content = run(config, state), digest(state), hashlib.sha256(state.read_bytes()).digest()
    done = call("run", config, "--state", state, "--json")
    assert done.returncode == 0
    assert "nothing new" in done.stderr.decode()
    again = json.loads(done.stdout)
    assert again["new_records"] == 0
    for told in ("events", "labels", "metrics"):
        assert again[told] == first[told]
    assert digest(state) == before
    assert hashlib.sha256(state.read_bytes()).digest() == content


@pytest.fixture
def whole(tmp_path: Path) -> tuple[bytes, dict[str, str]]:
    """A stream of events with labels in the row, as JSON lines, and the log of a run over all of it at once."""
    data = jsonl(rows(seed=3, n=2000))
    (tmp_path / "all.jsonl").write_bytes(data)
    in_process(configured(tmp_path, "all.jsonl", name="all.toml"), tmp_path / "all.db")
    return data, digest(tmp_path / "all.db")


def cut(data: bytes, seed: int, pieces: int) -> list[bytes]:
    """Pieces of the bytes, most of which end within a line."""
    places = [0, *sorted(random.Random(seed).sample(range(1, len(data)), pieces - 1)), len(data)]
    return [data[a:b] for a, b in pairwise(places)]


def test_a_growing_file_is_followed(tmp_path: Path, whole: tuple[bytes, dict[str, str]]) -> None:
    data, expected = whole
    config, state, file = configured(tmp_path, "e.jsonl"), tmp_path / "s.db", tmp_path / "e.jsonl"
    file.write_bytes(b"")
    pieces = cut(data, seed=1, pieces=8)
    for part, end in ((pieces[:4], "kill"), (pieces[4:], "interrupt")):
        with running("run", config, "--state", state, "--follow") as process:
            for piece in part:
                with file.open("ab") as grown:
                    grown.write(piece)
                lines = file.read_bytes().count(b"\n")
                wait_until(lambda: count(state, "predictions") == lines, process)  # noqa: B023
            if end == "interrupt":
                assert alerts(state)
                finish(process, signal.SIGINT)
            else:
                process.kill()
    assert digest(state) == expected


def test_sigterm_ends_a_run_well_and_the_next_goes_on(tmp_path: Path, whole: tuple[bytes, dict[str, str]]) -> None:
    data, expected = whole
    config, state = configured(tmp_path, "-"), tmp_path / "s.db"
    half = data.index(b"\n", len(data) // 2) + 1
    with running("run", config, "--state", state, stdin=subprocess.PIPE) as process:
        assert process.stdin
        process.stdin.write(data[:half])
        process.stdin.flush()
        wait_until(lambda: count(state, "predictions") == data[:half].count(b"\n"), process)
        finish(process, signal.SIGTERM)
    assert run(config, state, given=data[half:])["events"] == 2000
    assert digest(state) == expected


def test_one_file_has_one_writer(tmp_path: Path, whole: tuple[bytes, dict[str, str]]) -> None:
    data, expected = whole
    config, state = configured(tmp_path, "all.jsonl"), tmp_path / "s.db"
    with running("run", config, "--state", state, "--follow") as process:
        wait_until(lambda: count(state, "predictions") > 0, process)
        refused(config, state, 1, "s.db", f"process {process.pid}", "--state")
        wait_until(lambda: count(state, "predictions") == data.count(b"\n"), process)
        finish(process, signal.SIGINT)
    assert digest(state) == expected


def apart(folder: Path, n: int) -> Path:
    """Events and labels as two JSON-lines files."""
    made = rows(seed=4, n=n)
    write(folder / "e.jsonl", without(made, "y", "ly"))
    write(folder / "l.jsonl", landed(made))
    return configured(folder, "e.jsonl", "l.jsonl")


def test_a_stall_of_the_run_does_not_change_the_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Giving up a silent stream is for live inputs: a file is not silent because the terminal was."""
    monkeypatch.setattr(embedded, "BATCH", 50)
    monkeypatch.setattr(embedded, "MAX_WAIT_S", 0.001)
    config = apart(tmp_path, 1000)
    in_process(config, tmp_path / "a.db")
    in_process(config, tmp_path / "b.db", report=lambda _: time.sleep(0.002))
    assert digest(tmp_path / "b.db") == digest(tmp_path / "a.db")


@pytest.mark.parametrize("name", ["e.jsonl", "l.jsonl"])
def test_a_damaged_input_holds_the_other_back(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands before the damage is taken in its right order, so that a repaired file goes on as if nothing was."""
    monkeypatch.setattr(embedded, "BATCH", 50)
    config = apart(tmp_path, 1000)
    in_process(config, tmp_path / "whole.db")
    good = gzip.compress((tmp_path / name).read_bytes())
    (tmp_path / name).write_bytes(good[: len(good) // 2])
    with pytest.raises(SourceError, match="ends early"):
        in_process(config, tmp_path / "s.db")
    assert 0 < count(tmp_path / "s.db", "predictions") < 1000
    (tmp_path / name).write_bytes(good)
    in_process(config, tmp_path / "s.db")
    assert digest(tmp_path / "s.db") == digest(tmp_path / "whole.db")


def test_a_file_that_was_empty_at_first_is_still_the_same_file(tmp_path: Path) -> None:
    config = apart(tmp_path, 300)
    labels = (tmp_path / "l.jsonl").read_bytes()
    (tmp_path / "l.jsonl").write_bytes(b"")
    with running("run", config, "--state", tmp_path / "s.db", "--follow") as process:
        wait_until(lambda: count(tmp_path / "s.db", "predictions") == 300, process)
        finish(process, signal.SIGINT)
    (tmp_path / "l.jsonl").write_bytes(labels)
    assert run(config, tmp_path / "s.db")["labels"] == 300


# --- misled ----------------------------------------------------------------------------------------------------------


def test_a_state_of_something_else_is_refused(tmp_path: Path) -> None:
    made = rows(seed=5, n=600)
    write(tmp_path / "e.jsonl", made)
    config, state = configured(tmp_path, "e.jsonl"), tmp_path / "s.db"
    run(config, state)
    before = digest(state)

    other = tmp_path / "other.toml"
    other.write_text(config.read_text().replace("epoch = 64", "epoch = 32"))
    refused(other, state, 1, "configuration", "--state")

    write(tmp_path / "e.jsonl", rows(seed=6, n=700))
    refused(config, state, 1, "e.jsonl", "--state")

    write(tmp_path / "e.jsonl", made[:500])
    refused(config, state, 2, "has 500 records, but 600 were read")

    write(tmp_path / "e.jsonl", made)
    assert digest(state) == before
    assert run(config, state)["new_records"] == 0


# --- commands --------------------------------------------------------------------------------------------------------


def test_a_command_sent_between_two_runs_is_taken_and_can_be_replayed(tmp_path: Path) -> None:
    made = rows(seed=8, n=2000)
    write(tmp_path / "e.jsonl", made[:1200])
    config, state = configured(tmp_path, "e.jsonl"), tmp_path / "s.db"
    run(config, state)
    newest = {alert["incident"]: alert["status"] for alert in alerts(state)}
    incident = next(name for name, status in newest.items() if status != "recovered")
    done = call("acknowledge", config, incident, "--by", "ada", "--state", state)
    assert done.returncode == 0, done.stderr.decode()
    assert "acknowledged" not in {alert["status"] for alert in alerts(state)}

    write(tmp_path / "e.jsonl", made)
    run(config, state)
    taken = [alert for alert in alerts(state) if alert["status"] == "acknowledged"]
    assert [alert["incident"] for alert in taken] == [incident]
    assert "acknowledge" in call("audit", config, "--state", state, "--json").stdout.decode()
    assert replayed(config, state, made) == logged(state)


def replayed(config: Path, state: Path, made: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """The source records once more through a new core, in the order that the log recorded."""
    with Log(state) as log:
        order, commands = np.concatenate(list(log.interleaving())).tolist(), iter(log.controls(0))
    assert CONTROL in order
    events = iter(jsonl(made).splitlines())
    tree = load(config)
    tape = tape_of(tree, [(kind, next(commands if kind == CONTROL else events)) for kind in order])
    found = flat([Pipeline(tree).handle(tape)])
    found.pop("features", None)  # the log keeps the newest per key only
    return found


def logged(state: Path) -> dict[str, list[Any]]:
    streams = ("predictions", "outcomes", "alerts", "triggers", "metrics", "audit", "panes", "dead-letters")
    found: dict[str, list[Any]] = {}
    with Log(state) as log:
        for stream in streams:
            columnar = stream in ("predictions", "outcomes")
            records = [r.value if columnar else (r.id, r.key, r.time_ms, r.value) for r in log.read(stream)]
            if records or columnar:
                found[stream] = records
    return found


def test_the_summary_has_what_is_promised(tmp_path: Path) -> None:
    write(tmp_path / "e.csv", rows(seed=9, n=500))
    summary = run(configured(tmp_path, "e.csv"), tmp_path / "s.db", "--until-end")
    promised = "events labels rejected dead_letters alerts triggers metrics seconds events_per_second"
    assert set(promised.split()) <= set(summary)
    assert set(summary["metrics"]) == {"champion", "challengers", "baselines"}
    assert set(summary["metrics"]["baselines"]) == {"no-change", "majority"}
    assert summary["metrics"]["champion"]["since_start"]["accuracy"] > 0.5
    done = call("alerts", tmp_path / "c.toml", "--state", tmp_path / "s.db", "--json")
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert told
    fields = (
        "incident status severity signal segment detector statistic threshold offset time onset_offset effect"
        " contributions message"
    )
    for alert in told:
        assert set(fields.split()) <= set(alert["data"])
