"""The supervisor: real processes that crash, hang, are killed and are asked to stop."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from waiting import TIMEOUT_S

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.timeout(2 * TIMEOUT_S)

SUPERVISOR = """
import json, sys
from stream_app.edges import journal
from stream_app.runners.supervisor import supervise
journal.start("json")
sys.exit(supervise(json.loads(sys.argv[1]), **json.loads(sys.argv[2])))
"""

CRASHING = """
import os, pathlib, signal, sys, time
runs = pathlib.Path(sys.argv[1])
with runs.open("a") as file:
    file.write(f"{time.time()}\\n")
how = sys.argv[2].split()[len(runs.read_text().splitlines()) - 1]
if how.startswith("SIG"):
    os.kill(os.getpid(), getattr(signal, how))
if how == "late":
    time.sleep(2.6)
    how = 1
sys.exit(int(how))
"""

SERVING = """
import signal, sys, time
from stream_app.runners.supervisor import follow_supervisor
def say(word):
    print(word, flush=True)
asked = []
def ask(*_):
    asked.append(1)
    say("asked")
signal.signal(signal.SIGTERM, ask)
signal.signal(signal.SIGINT, ask)
follow_supervisor(grace_s=0.3)
say("ready")
while "obeys" not in sys.argv or not asked:
    time.sleep(0.01)
say("stopped")
"""


def _obeys_signals() -> None:
    """Whoever runs the tests may ignore some, as `nohup` does and shells do for what they start in the background."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


@contextmanager
def supervised(command: list[str], before: tuple[str, ...] = (), **paces: float) -> Iterator[subprocess.Popen[str]]:
    """A supervisor in a session of its own; the child shares its standard output, which ends with the last of them."""
    with subprocess.Popen(
        [*before, sys.executable, "-c", SUPERVISOR, json.dumps(command), json.dumps(paces)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=_obeys_signals,  # noqa: PLW1509
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def python(script: str, *args: str) -> list[str]:
    return [sys.executable, "-c", script, *args]


def end(process: subprocess.Popen[str]) -> tuple[int, list[str], list[dict]]:
    """Waits until supervisor and child have ended: exit code, what the child said, what the supervisor told."""
    said, told = process.communicate(timeout=TIMEOUT_S)
    return process.returncode, said.split(), [json.loads(line) for line in told.splitlines()]


def crashes(tmp_path: Path, how: str, **paces: float) -> tuple[int, list[float], list[dict]]:
    """A child that ends in these ways, one after the other: exit code, when it was started, what was told."""
    runs = tmp_path / "runs"
    with supervised(python(CRASHING, str(runs), how), **paces) as process:
        code, _, told = end(process)
    return code, [float(line) for line in runs.read_text().splitlines()], told


@pytest.mark.parametrize("final", [0, 2])
def test_restarts_after_crashes_until_an_end_that_is_final(tmp_path: Path, final: int) -> None:
    code, runs, _ = crashes(tmp_path, f"1 SIGKILL SIGSEGV SIGTERM 77 {final} 1", first_s=0.01, longest_s=0.02)

    assert code == final
    assert len(runs) == 6


def test_waits_longer_after_each_crash_and_starts_over_after_a_calm_run(tmp_path: Path) -> None:
    _, runs, told = crashes(tmp_path, "1 1 1 1 late 1 0", first_s=0.05, longest_s=0.2, calm_s=2.5)
    waits = [record["in_s"] for record in told if "in_s" in record]

    assert waits == [0.05, 0.1, 0.2, 0.2, 0.05, 0.1]
    assert all(later - run >= wait for run, later, wait in zip(runs, runs[1:], waits, strict=False))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_request_to_stop_reaches_the_child_once_and_its_end_is_waited_for(number: signal.Signals) -> None:
    with supervised(python(SERVING, "obeys")) as process:
        assert process.stdout.readline() == "ready\n"
        os.killpg(process.pid, number)  # as a terminal does: to all processes of the group

        assert end(process)[:2] == (0, ["asked", "stopped"])


@pytest.mark.parametrize("paused", [False, True])
def test_a_child_that_does_not_stop_is_killed(paused: bool) -> None:
    with supervised(python(SERVING), grace_s=0.3) as process:
        assert process.stdout.readline() == "ready\n"
        if paused:
            os.kill(json.loads(process.stderr.readline())["pid"], signal.SIGSTOP)
        process.terminate()

        assert end(process)[:2] == (1, [] if paused else ["asked"])


def test_a_second_request_kills_at_once() -> None:
    with supervised(python(SERVING), grace_s=1e6) as process:
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        assert process.stdout.readline() == "asked\n"
        process.terminate()

        assert end(process)[0] == 1


def test_a_request_between_two_runs_ends_the_waiting(tmp_path: Path) -> None:
    with supervised(python(CRASHING, str(tmp_path / "runs"), "1"), first_s=1e6, longest_s=1e6) as process:
        while "in_s" not in json.loads(process.stderr.readline()):
            continue
        process.terminate()

        assert end(process)[0] == 0


def test_a_child_that_is_asked_before_it_can_answer_has_stopped_on_request() -> None:
    script = "import time; print('ready', flush=True); time.sleep(2.6)"
    with supervised(python(script)) as process:
        assert process.stdout.readline() == "ready\n"
        process.terminate()

        assert end(process)[0] == 0


def test_nohup_works() -> None:
    with supervised(python(SERVING, "obeys"), ("nohup",), grace_s=1e6) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGHUP)
        process.terminate()  # would be the second request, which kills

        assert end(process)[:2] == (0, ["asked", "stopped"])


@pytest.mark.parametrize("obeys", [False, True])
def test_no_child_outlives_a_killed_supervisor(obeys: bool) -> None:
    with supervised(python(SERVING, *["obeys"] * obeys)) as process:
        assert process.stdout.readline() == "ready\n"
        process.kill()

        assert end(process)[1] == ["asked", *["stopped"] * obeys]


def test_a_command_that_cannot_be_started_is_tried_again_until_it_can(tmp_path: Path) -> None:
    program, written = tmp_path / "worker", tmp_path / "written"
    written.write_text("#!/bin/sh\nexit 2\n")
    written.chmod(0o755)
    with supervised([str(program)], first_s=0.01, longest_s=0.05) as process:
        while "in_s" not in json.loads(process.stderr.readline()):
            continue
        written.rename(program)

        assert end(process)[0] == 2


def test_a_process_without_a_supervisor_follows_none() -> None:
    script = """
import threading
from stream_app.runners.supervisor import follow_supervisor
follow_supervisor()
assert threading.active_count() == 1
"""
    done = subprocess.run(python(script), cwd=ROOT, timeout=TIMEOUT_S, check=False)

    assert done.returncode == 0
