"""Processes of the demo: each in a session of its own, ended with its parent, asked over HTTP how it stands."""

import contextlib
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from compose.broker import guard

DRIFTLINE = (sys.executable, "-m", "stream_app.cli")
READY_TIMEOUT_S = 120.0  # the first start compiles kernels
STOP_TIMEOUT_S = 30.0
ANSWER_TIMEOUT_S = 5.0
LOOK_S = 0.5


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def ended(command: list[str], **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a session of its own, so that Ctrl-C is ours; it gets SIGTERM at the end, and if we are killed."""
    process = subprocess.Popen(command, start_new_session=True, **options)
    watch = guard(process.pid)
    try:
        yield process
    finally:
        watch.kill()
        watch.communicate()
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def logged(command: list[str], log: Path, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """The same, with all it says in a file."""
    with log.open("wb") as output, ended(command, stdout=output, stderr=output, **options) as process:
        yield process


def wait_until(true: Callable[[], bool], problem: str, logs: list[Path]) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while not true():
        if time.monotonic() > deadline:
            give_up(f"{problem} after {READY_TIMEOUT_S:g} s", logs)
        time.sleep(LOOK_S)


def answers(url: str) -> bool:
    """Whether a GET is answered with success."""
    try:
        with urllib.request.urlopen(url, timeout=ANSWER_TIMEOUT_S) as given:
            return bool(given.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):  # not up, or 503
        return False


def answer(url: str, token: str | None = None) -> Any:
    """The JSON that a GET is answered with."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    with urllib.request.urlopen(request, timeout=ANSWER_TIMEOUT_S) as given:
        return json.load(given)


def give_up(problem: str, logs: list[Path]) -> None:
    tails = ["\n".join([f"-- {log}", *log.read_text(errors="replace").splitlines()[-15:]]) for log in logs]
    sys.exit("\n".join([problem, *tails]))
