"""`make kafka-demo` as a process: broker, topics, workers, player, dashboard, Prometheus; nothing is left of them."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

from test_broker import ROOT, wait_until_gone
from waiting import TIMEOUT_S

from compose.monitoring import ALERTMANAGER, PROMETHEUS, installed


def demo(folder: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "compose.demo", "--folder", str(folder), *options]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def started(said: str, folder: Path) -> list[int]:
    """Process ids of the broker and of all workers."""
    lines = [line for log in folder.glob("worker-*.log") for line in log.read_text().splitlines()]
    workers = [json.loads(line).get("pid") for line in lines if line.startswith("{")]
    return [int(re.search(r"\(process (\d+)\)", said)[1]), *(pid for pid in workers if pid is not None)]


def descendants(pid: int) -> list[int]:
    """Process ids of the children of a process, and of theirs."""
    children = [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [each for child in children for each in (child, *descendants(child))]


def read_until(process: subprocess.Popen[str], beginning: str) -> str:
    """What it says up to the line that begins so."""
    said = ""
    while not said.rpartition("\n")[0].rpartition("\n")[2].startswith(beginning):
        line = process.stderr.readline()
        assert line, said
        said += line
    return said


def test_the_demo_plays_flights_through_two_workers_and_stops_everything(tmp_path: Path) -> None:
    process = demo(tmp_path, "--limit", "2000")
    try:
        said = read_until(process, "dashboard:")
        children = descendants(process.pid)
        out, rest = process.communicate(timeout=TIMEOUT_S)
    finally:
        process.terminate()

    said += rest
    assert process.returncode == 0, said
    assert re.search(
        r"^2,000 events and [\d,]+ labels through 2 workers in .* s: 2,000 predictions, .* lag 0$", out, re.MULTILINE
    )
    assert re.search(r"^dashboard: http://127\.0\.0\.1:\d+/\?token=\w{32}$", said, re.MULTILINE)
    assert re.search(r"^the dashboard shows 4 shards and the same \d+ incidents$", out, re.MULTILINE)
    assert (installed(ALERTMANAGER) is None) == ("no Alertmanager here" in said)
    if installed(PROMETHEUS) and installed(ALERTMANAGER):
        assert "Prometheus has scraped 4 targets and counted the same 2,000 events" in out
    pids = {*children, *started(said, tmp_path)}
    assert len(pids) >= 4
    for pid in pids:
        wait_until_gone(pid)


def test_ctrl_c_stops_everything(tmp_path: Path) -> None:
    process = demo(tmp_path)
    try:
        said = read_until(process, "starting 2 workers")
        children = descendants(process.pid)
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=TIMEOUT_S)
    finally:
        process.terminate()

    assert process.returncode == 128 + signal.SIGINT, said + rest
    assert len(children) >= 5
    for pid in (*children, *started(said, tmp_path)):
        wait_until_gone(pid)
