"""`make kafka-demo` as a process: a broker, topics, two workers and a player; nothing is left of them."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

from test_broker import ROOT, wait_until_gone

TIMEOUT_S = 120


def demo(folder: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "compose.demo", "--folder", str(folder), *options]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def started(said: str, folder: Path) -> list[int]:
    """Process ids of the broker and of all workers."""
    lines = [line for log in folder.glob("worker-*.log") for line in log.read_text().splitlines()]
    workers = [json.loads(line).get("pid") for line in lines if line.startswith("{")]
    return [int(re.search(r"\(process (\d+)\)", said)[1]), *(pid for pid in workers if pid is not None)]


def test_the_demo_plays_flights_through_two_workers_and_stops_everything(tmp_path: Path) -> None:
    process = demo(tmp_path, "--limit", "2000")
    try:
        out, said = process.communicate(timeout=TIMEOUT_S)
    finally:
        process.terminate()

    assert process.returncode == 0, said
    assert re.search(
        r"^2,000 events and [\d,]+ labels through 2 workers in .* s: 2,000 predictions, .* lag 0$", out, re.MULTILINE
    )
    pids = started(said, tmp_path)
    assert len(pids) >= 3
    for pid in pids:
        wait_until_gone(pid)


def test_ctrl_c_stops_everything(tmp_path: Path) -> None:
    process = demo(tmp_path)
    try:
        said = process.stderr.readline() + process.stderr.readline()
        while "logs" not in (line := process.stderr.readline()):
            assert process.poll() is None, said
            said += line
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=TIMEOUT_S)
    finally:
        process.terminate()

    assert process.returncode == 128 + signal.SIGINT, said + rest
    for pid in started(said, tmp_path):
        wait_until_gone(pid)
