"""Delivery beside a run, by real processes: everybody is told everything, nobody waits, kills lose nothing."""

import asyncio
import itertools
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from command import PROCESSES, driftline
from hooks import HANG, Hook, until
from runs import (
    KEY,
    ROOT,
    alerts,
    configured,
    count,
    digest,
    finish,
    in_process,
    jsonl,
    rows,
    running,
    wait_until,
    write,
)
from waiting import TIMEOUT_S

from stream_app.config import load
from stream_app.edges import outbox
from stream_app.edges.log import Log
from stream_app.runners.embedded import Embedded
from stream_app.runners.notifier import GRACE_S, Background, Notifier

STRIDE = 7  # statements between two that are fatal


def told_to(config: Path, *receivers: str) -> Path:
    """The configuration with these receivers, each a few lines of TOML; they hear of every incident."""
    tables = "\n".join(f'[[alarms.notify]]\nseverity = "info"\ntimeout = "1s"\n{lines}' for lines in receivers)
    config.write_text(config.read_text() + tables + "\n")
    return config


def ids(state: Path, stream: str = "alerts") -> list[str]:
    with Log(state) as log:
        return [record.id for record in log.read(stream)]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    write(tmp_path / "e.jsonl", rows(seed=5, n=3000))
    return configured(tmp_path, "e.jsonl")


def test_every_receiver_is_told_all_of_it_in_order_and_once(tmp_path: Path, config: Path) -> None:
    with Hook() as hook, Hook(503, 503) as shaky:
        program = f'name = "file"\nexec = "cat >> {tmp_path}/told; echo >> {tmp_path}/told"'
        told_to(config, f'webhook = "{hook.url}"', f'name = "shaky"\nwebhook = "{shaky.url}"', program, "log = true")
        done = driftline(tmp_path, "run", config, "--state", tmp_path / "s.db")
        written = ids(tmp_path / "s.db")

    assert done.returncode == 0, done.stderr
    assert len(written) >= 3
    assert hook.ids == written
    by_program = [json.loads(line)["id"] for line in (tmp_path / "told").read_text().splitlines()]
    assert by_program == written
    assert sorted(set(shaky.ids)) == sorted(written)
    assert all(name in done.stderr for name in written)


def test_the_log_is_the_same_whoever_is_told_and_the_end_does_not_wait_long(tmp_path: Path, config: Path) -> None:
    in_process(config, tmp_path / "alone.db")
    with Hook(usual=HANG) as hanging, Hook() as fine:
        told_to(config, f'name = "hangs"\nwebhook = "{hanging.url}"', f'name = "fine"\nwebhook = "{fine.url}"')
        started = time.monotonic()
        done = driftline(tmp_path, "run", config, "--state", tmp_path / "told.db")
        seconds = time.monotonic() - started
        assert done.returncode == 0, done.stderr
        assert digest(tmp_path / "told.db") == digest(tmp_path / "alone.db")
        written = ids(tmp_path / "told.db")
        assert fine.ids == written
        assert seconds < GRACE_S + 40  # starting and running included
        assert "hangs" in done.stderr

        hanging.usual = 200
        later = driftline(tmp_path, "notify", "run", config, "--state", tmp_path / "told.db", "--json")
        figures = {line["receiver"]: line for line in map(json.loads, later.stdout.splitlines())}

    assert later.returncode == 0, later.stderr
    assert figures["hangs"] == {
        "receiver": "hangs", "delivered": len(written), "failed": 0, "dead": 0, "waiting": 0,
    }  # fmt: skip
    assert figures["fine"]["delivered"] == 0
    assert set(hanging.ids) == set(written)


def test_a_follower_of_a_log_is_told_at_once_and_stops_well(tmp_path: Path, config: Path) -> None:
    file, data = tmp_path / "e.jsonl", jsonl(rows(seed=5, n=3000))
    half = data.index(b"\n", len(data) // 4) + 1
    file.write_bytes(data[:half])
    with Hook() as hook:
        told_to(config, f'webhook = "{hook.url}"')
        with running("run", config, "--state", tmp_path / "s.db", "--follow") as process:
            wait_until(lambda: count(tmp_path / "s.db", "predictions") == data[:half].count(b"\n"), process)
            with file.open("ab") as grown:
                grown.write(data[half:])
            wait_until(lambda: count(tmp_path / "s.db", "predictions") == 3000, process)
            written = ids(tmp_path / "s.db")
            wait_until(lambda: hook.ids[: len(written)] == written, process)
            finish(process, signal.SIGTERM)
        assert hook.ids == ids(tmp_path / "s.db")


def test_a_second_process_leaves_the_delivery_to_the_first(tmp_path: Path, config: Path) -> None:
    with Hook() as hook:
        told_to(config, f'webhook = "{hook.url}"')
        driftline(tmp_path, "run", config, "--state", tmp_path / "s.db", "--no-notify")
        assert hook.requests == []
        with running("notify", "run", config, "--state", tmp_path / "s.db", "--follow", "--all") as process:
            wait_until(lambda: hook.ids == ids(tmp_path / "s.db"), process)
            again = driftline(tmp_path, "notify", "run", config, "--state", tmp_path / "s.db")
            assert again.returncode == 1
            assert "is being written by process" in again.stderr
            assert driftline(tmp_path, "run", config, "--state", tmp_path / "s.db").returncode == 0
            finish(process, signal.SIGTERM)
        assert hook.ids == ids(tmp_path / "s.db")


def test_kill_9_loses_no_notification_and_repeats_have_the_same_id(tmp_path: Path) -> None:
    write(tmp_path / "e.jsonl", rows(seed=5, n=12_000))
    config = configured(tmp_path, "e.jsonl")
    with Hook() as hook:
        told_to(config, f'webhook = "http://127.0.0.1:{hook.port}/${{JOB}}"')
        script = [sys.executable, str(ROOT / "tests" / "kill.py"), str(config)]
        how = ["--kills", "15", "--batch", "512", "--seed", "3"]
        done = subprocess.run([*script, *how], cwd=ROOT, capture_output=True, timeout=TIMEOUT_S, check=False)
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout)
        told = defaultdict(list)
        for request in hook.requests:
            told[request.path.strip("/")].append(request.event["id"])
        written = ids(tmp_path / "whole.db")

    assert result["kills"] >= 15
    assert len(written) >= 5
    for job in ("whole", *(f"job{n + 1}" for n in range(result["jobs"]))):
        assert sorted(set(told[job])) == sorted(written), job
        firsts = list(dict.fromkeys(told[job]))
        assert firsts == written, job


def deliver(config_file: Path, state: Path, fatal: int, port: int) -> None:
    """In a process of its own: delivers all, until the SQL statement of this number (from 0) is to be executed."""
    os.environ["PORT"], begin, statements = str(port), outbox.Outbox.__init__, itertools.count()

    def traced(self: outbox.Outbox, *args: Any, **options: Any) -> None:
        begin(self, *args, **options)
        self._file._db.set_trace_callback(lambda _: next(statements) == fatal and os.kill(os.getpid(), signal.SIGKILL))

    outbox.Outbox.__init__ = traced
    asyncio.run(Notifier(load(config_file), state, follow=False, everything=True).run())


def test_kill_9_before_any_statement_of_the_outbox_loses_nothing(
    tmp_path: Path, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORT", "1")
    told_to(config, 'webhook = "http://127.0.0.1:${PORT}/"')
    in_process(config, tmp_path / "s.db")
    written, kills = ids(tmp_path / "s.db"), 0
    for fatal in range(0, 99, STRIDE):
        state = tmp_path / f"s{fatal}.db"
        shutil.copy(tmp_path / "s.db", state)
        with Hook() as hook:
            ends = [_ended(deliver, config, state, last, hook.port) for last in (fatal, -1)]
            assert list(dict.fromkeys(hook.ids)) == written, fatal
            assert len(hook.ids) <= len(written) + 1
        if ends == [0, 0]:
            break
        kills += ends == [-signal.SIGKILL, 0]

    assert ends == [0, 0]
    assert kills == fatal // STRIDE >= 3


def _ended(*work: Any) -> int:
    process = PROCESSES.Process(target=work[0], args=work[1:])
    process.start()
    process.join(TIMEOUT_S)
    return process.exitcode


def test_a_receiver_that_hangs_takes_no_speed_from_the_stream(tmp_path: Path) -> None:
    write(tmp_path / "e.jsonl", rows(seed=5, n=30_000))
    config = configured(tmp_path, "e.jsonl")
    in_process(config, tmp_path / "warm.db")
    with Hook(usual=HANG) as hook:
        alone, told = load(config), load(told_to(config, f'webhook = "{hook.url}"\nsecret = "s"'))
        seconds: dict[str, list[float]] = {"alone": [], "told": []}
        for turn in range(3):
            for name, tree in (("alone", alone), ("told", told)):
                seconds[name].append(_seconds(tree, tmp_path / f"{name}{turn}.db"))
        assert hook.requests

    assert digest(tmp_path / "told0.db") == digest(tmp_path / "alone0.db")
    assert statistics.median(seconds["told"]) < 1.5 * statistics.median(seconds["alone"])


def _seconds(config: Any, state: Path) -> float:
    """The time of the engine's loop, which is all that a receiver could slow."""
    with Log(state, write=True) as log, Background(config, state, grace_s=0.0):
        engine = Embedded(config, log, key=KEY)
        started = time.perf_counter()
        engine.run(lambda _: None)
        return time.perf_counter() - started


def test_what_keeps_delivery_from_its_work_does_not_end_the_run(tmp_path: Path, config: Path) -> None:
    told_to(config, 'webhook = "http://127.0.0.1:1/"')
    (tmp_path / "s.notify.db").write_bytes(b"no database, but long enough to be looked at" * 100)
    done = driftline(tmp_path, "run", config, "--state", tmp_path / "s.db", "--json")

    assert done.returncode == 0
    assert "s.notify.db" in done.stderr
    assert json.loads(done.stdout)["alerts"] == len(alerts(tmp_path / "s.db"))


def test_the_metrics_say_what_became_of_deliveries(tmp_path: Path, config: Path) -> None:
    with Hook(400) as hook:
        tree = load(told_to(config, f'webhook = "{hook.url}"', 'name = "away"\nwebhook = "http://127.0.0.1:1/"'))
        with Log(tmp_path / "s.db", write=True) as log, Background(tree, tmp_path / "s.db", grace_s=0.5) as notifier:
            Embedded(tree, log, key=KEY).run(lambda _: None)
            written = log.count("alerts")
            until(lambda: notifier.metrics["webhook"]["delivered"] == written - 1)
            until(lambda: notifier.metrics["away"]["failed"] > 0)

    assert notifier.metrics["webhook"] == {"delivered": written - 1, "failed": 1, "dead": 1, "waiting": 0}
    assert notifier.metrics["away"]["waiting"] == written
