"""The embedded engine as an operator meets it: real files, real processes, killed, stopped, misled and resumed."""

import gzip
import hashlib
import json
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runs import (
    LOOP,
    ROOT,
    alerts,
    call,
    configured,
    count,
    digest,
    finish,
    in_process,
    jsonl,
    landed,
    refused,
    rows,
    run,
    running,
    wait_until,
    without,
    write,
)
from streams import SMALL, flat, made_stream, tape_of
from waiting import TIMEOUT_S

from stream_app.config import load
from stream_app.edges.log import Log
from stream_app.errors import SourceError
from stream_app.messages import CONTROL, EVENT, LABEL
from stream_app.pipeline import Pipeline
from stream_app.runners import embedded

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


CHALLENGE = 'action = "challenge"\nmemory = 300\nleast = 30\npace = 2.0\ntrial = 100\nproof = 1\nconfidence = 0.5\n'
CHALLENGER = '[[challengers]]\nname = "fast"\nparams = { lr = 0.2 }\n'


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
        'action = "reset"\n': CHALLENGE,
        "[alarms]\n": f"{CHALLENGER}[alarms]\n",
    }
    text = SMALL
    for old, new in changes.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    (folder / "c.toml").write_text(text)
    return folder / "c.toml"


def killed(config: Path, *how: str) -> dict[str, Any]:
    script = [sys.executable, str(ROOT / "tests" / "kill.py"), str(config), *how]
    done = subprocess.run(script, cwd=ROOT, capture_output=True, timeout=TIMEOUT_S, check=False)
    assert done.stdout, done.stderr.decode()
    result: dict[str, Any] = json.loads(done.stdout)
    assert not result["different"], result
    return result


def test_kill_9_at_fifty_random_moments_changes_nothing(tmp_path: Path) -> None:
    config = stream_with_everything(tmp_path, events=20_000, epoch=512)
    result = killed(config, "--kills", "50", "--batch", "2048", "--seed", "5")
    assert result["kills"] >= 50
    written = {"predictions", "outcomes", "alerts", "metrics", "dead-letters", "panes", "features"}
    written |= {"models", "triggers", "audit"}
    assert written <= set(result["streams"])


def test_kill_9_before_any_statement_of_a_commit_changes_nothing(tmp_path: Path) -> None:
    config = stream_with_everything(tmp_path, events=600, epoch=16)
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
    return configured(folder, "e.jsonl", "l.jsonl", more=LOOP)


def test_a_stall_of_the_run_does_not_change_the_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Giving up a silent stream is for live inputs: a file is not silent because the terminal was."""
    monkeypatch.setattr(embedded, "BATCH", 50)
    monkeypatch.setattr(embedded, "MAX_WAIT_S", 0.001)
    config = apart(tmp_path, 1000)
    in_process(config, tmp_path / "a.db")
    in_process(config, tmp_path / "b.db", report=lambda _: time.sleep(0.002))
    assert digest(tmp_path / "b.db") == digest(tmp_path / "a.db")


def with_wrong_clock(folder: Path, at: int) -> None:
    """One more event, of the year 2096, as record number `at`."""
    lines = (folder / "e.jsonl").read_bytes().splitlines(keepends=True)
    wrong = json.loads(lines[0]) | {"id": "wrong", "t": 4_000_000_000_000}
    (folder / "e.jsonl").write_bytes(b"".join([*lines[:at], json.dumps(wrong).encode() + b"\n", *lines[at:]]))


def scores(state: Path) -> list[float]:
    with Log(state) as log:
        return [json.loads(record.value)["score"] for record in log.read("predictions")]


def test_one_wrong_clock_does_not_touch_the_other_events(tmp_path: Path) -> None:
    """The streams are not woven by the time of a record that nothing confirms: labels stay behind their events."""
    config = apart(tmp_path, 800)
    in_process(config, tmp_path / "good.db")
    with_wrong_clock(tmp_path, 400)
    in_process(config, tmp_path / "wrong.db")

    assert scores(tmp_path / "wrong.db") == scores(tmp_path / "good.db")
    assert count(tmp_path / "wrong.db", "dead-letters") == 1


def test_a_wrong_first_clock_costs_two_records(tmp_path: Path) -> None:
    config = apart(tmp_path, 800)
    with_wrong_clock(tmp_path, 0)
    in_process(config, tmp_path / "wrong.db")

    assert count(tmp_path / "wrong.db", "predictions") == 799
    assert count(tmp_path / "wrong.db", "dead-letters") == 2


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
    refused(other, state, 2, "configuration", "--state")

    write(tmp_path / "e.jsonl", rows(seed=6, n=700))
    refused(config, state, 2, "e.jsonl", "--state")

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


class SlowLog(Log):
    """A log on a disk that needs a tenth of a second for whatever it is given."""

    def commit(self, *given: Any) -> None:
        time.sleep(0.1)
        super().commit(*given)


def test_outputs_that_take_long_to_write_do_not_put_off_the_next_commit(tmp_path: Path) -> None:
    """Else what waits for a commit grows from one to the next: more outputs take longer still."""
    write(tmp_path / "e.jsonl", without(rows(seed=3, n=500), "ly"))
    with SlowLog(tmp_path / "slow.db", write=True) as log:
        engine = embedded.Embedded(load(configured(tmp_path, "e.jsonl")), log, key=b"signs")
        with ThreadPoolExecutor(1) as writing:
            cost = engine._commit(writing, 0.0).written.result()

            assert cost.state_s <= cost.commit_s - 0.1


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
    streams = ("predictions", "outcomes", "alerts", "triggers", "metrics", "models", "audit", "panes", "dead-letters")
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
    promised = "events labels rejected dead_letters alerts triggers metrics estimate seconds events_per_second"
    assert set(promised.split()) <= set(summary)
    assert set(summary["metrics"]) == {"champion", "challengers", "baselines"}
    assert set(summary["metrics"]["baselines"]) == {"no-change", "majority"}
    assert summary["metrics"]["champion"]["since_start"]["accuracy"] > 0.5
    assert 0 < summary["estimate"]["estimated"] < 0.5
    done = call("alerts", tmp_path / "c.toml", "--state", tmp_path / "s.db", "--json")
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert told
    fields = (
        "incident status severity signal segment detector statistic threshold offset time onset_offset effect"
        " contributions message"
    )
    for alert in told:
        assert set(fields.split()) <= set(alert["data"])
