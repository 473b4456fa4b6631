"""`driftline top` as people and programs use it: once, on a real terminal, over a growing log, over real topics."""

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any, cast

import pytest
from command import DRIFTLINE, csv_text, driftline, records, write_config
from monitors import Monitor
from rich.console import Console
from waiting import TIMEOUT_S

from compose.broker import Broker
from stream_app.board.fold import Board
from stream_app.board.views import document
from stream_app.config import load
from stream_app.edges.log import Log
from stream_app.edges.top_view import screen

ROWS = 1200
STREAMS = ("metrics", "alerts", "triggers", "models", "dead-letters", "audit", "panes")
NOBODY = "127.0.0.1:1"  # a port where nobody listens
LINES, COLUMNS = 30, 110


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run whose x is gone from 400 on, with a dead letter and an incident that is still open."""
    made = tmp_path_factory.mktemp("top")
    rows = records(ROWS)
    for row in rows[400:]:
        row["x"] = ""
    rows[50]["c"] = "[other]"
    (made / "events.csv").write_text(csv_text(rows))
    file = write_config(made, "events.csv")
    file.write_text(file.read_text().replace('cooldown = "30m"', 'cooldown = "30d"'))
    done = driftline(made, "run", file, "--json")
    assert done.returncode == 0, done.stderr
    return made


def once(folder: Path, *words: str) -> dict[str, Any]:
    done = driftline(folder, "top", "small.toml", "--json", *words)
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = done.stdout.splitlines()
    return cast("dict[str, Any]", json.loads(line))


def test_json_is_one_object_with_the_figures_of_the_log_and_the_closest_signal_first(folder: Path) -> None:
    told = once(folder)
    with Log(folder / "small.db") as log:
        alerts = [json.loads(record.value)["data"] for record in log.read("alerts")]
        newest = {record.key: json.loads(record.value) for record in log.read("metrics")}

    assert told["records"] == newest["stream"]["records"] == told["counts"]["records"]
    assert told["counts"]["rejected"] == 1
    assert told["status"] in ("live", "ended")
    assert {row["id"] for row in told["open"]} == {alert["incident"] for alert in alerts}
    detectors = {name for name in newest if name.startswith("detector:")}
    assert {f"detector:{row['signal']}/{row['detector']}" for row in told["signals"]} == detectors
    near = [row["closeness"] for row in told["signals"] if row["closeness"] is not None]
    assert near == sorted(near, reverse=True)
    assert "series" not in str(told)


def test_where_there_is_no_terminal_it_prints_one_table_and_ends(folder: Path) -> None:
    done = driftline(folder, "top", "small.toml")

    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert all(row["signal"] in done.stdout for row in once(folder)["signals"])
    assert "open incidents" in done.stdout
    assert "small-1" in done.stdout
    assert "1 rejected" in done.stdout


def test_without_a_log_it_says_that_there_is_none(tmp_path: Path) -> None:
    done = driftline(tmp_path, "top", write_config(tmp_path, "events.csv"))

    assert "no records yet" in done.stdout
    assert "there is no log" in done.stdout
    assert done.returncode == 0


# on a terminal


class Terminal:
    """A command on a pseudo-terminal."""

    def __init__(self, ours: int, theirs: int, process: subprocess.Popen[bytes]) -> None:
        self.ours, self.theirs, self.process, self.shown = ours, theirs, process, ""

    def wait_for(self, text: str) -> None:
        deadline = time.monotonic() + TIMEOUT_S
        while text not in self.shown:
            assert time.monotonic() < deadline, self.shown[-2000:]
            ready, _, _ = select.select([self.ours], [], [], 0.2)
            if ready:
                self.shown += os.read(self.ours, 65_536).decode(errors="replace")

    def press(self, key: str) -> None:
        os.write(self.ours, key.encode())

    def ended(self) -> int:
        """Its exit code, while what it says is read."""
        deadline = time.monotonic() + TIMEOUT_S
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.shown[-2000:]
            if select.select([self.ours], [], [], 0.1)[0]:
                self.shown += os.read(self.ours, 65_536).decode(errors="replace")
        return self.process.returncode

    def attributes(self) -> list[Any]:
        return termios.tcgetattr(self.theirs)


@contextmanager
def on_a_terminal(folder: Path, *words: str, kind: str = "xterm") -> Iterator[Terminal]:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    environment = os.environ | {"TERM": kind, "HOME": str(folder)}

    def controlled() -> None:
        os.setsid()
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)  # so that its Ctrl-C is a SIGINT

    process = subprocess.Popen(
        [*DRIFTLINE, "top", *words], cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs,
        preexec_fn=controlled,  # noqa: PLW1509  (nothing else runs in this process)
    )  # fmt: skip
    try:
        yield Terminal(ours, theirs, process)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(theirs)


@pytest.mark.parametrize("key", ["q", "\x03", "\x04"])
def test_on_a_terminal_it_stays_until_a_key_and_leaves_the_terminal_as_it_was(folder: Path, key: str) -> None:
    with on_a_terminal(folder, "small.toml") as terminal:
        before = terminal.attributes()
        terminal.wait_for("q: leave")
        during = terminal.attributes()
        terminal.press("x")  # no key of ours
        terminal.press(key)

        assert terminal.ended() == 0
        assert "missing:x" in terminal.shown
        assert "small-1" in terminal.shown
        assert not during[3] & termios.ECHO
        assert terminal.attributes() == before
        assert terminal.shown.count("\x1b[?1049h") == terminal.shown.count("\x1b[?1049l") == 1


def test_on_a_terminal_that_cannot_go_back_it_prints_once(folder: Path) -> None:
    with on_a_terminal(folder, "small.toml", kind="dumb") as terminal:
        terminal.wait_for("adwin")

        assert terminal.ended() == 0
        assert "\x1b" not in terminal.shown


def test_a_log_that_grows_is_followed(tmp_path: Path) -> None:
    rows = records(ROWS)
    (tmp_path / "events.csv").write_text(csv_text(rows[:600]))
    assert driftline(tmp_path, "run", write_config(tmp_path, "events.csv")).returncode == 0
    words = [*DRIFTLINE, "top", "small.toml", "--json", "--follow"]

    with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        try:
            first = json.loads(process.stdout.readline())
            (tmp_path / "events.csv").write_text(csv_text(rows))
            assert driftline(tmp_path, "run", "small.toml").returncode == 0
            newest = first
            while newest["records"] < once(tmp_path)["records"]:
                newest = json.loads(process.stdout.readline())
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=TIMEOUT_S)
        finally:
            process.kill()

    assert first["records"] < newest["records"] <= ROWS
    assert process.returncode == 0


# over Kafka


def test_over_topics_it_shows_what_it_shows_over_the_log(
    folder: Path, broker: Broker, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    monitor = Monitor.over(broker, tmp_path, request)
    monitor.make(*STREAMS, "control")
    with Log(folder / "small.db") as log:
        for stream in STREAMS:
            written = [(stream, 0, record.key, json.loads(record.value)) for record in log.read(stream)]
            monitor.write(*written)

    done = monitor.call("top", "--json")
    told, expected = json.loads(done.stdout), once(folder)

    assert (done.returncode, done.stderr) == (0, "")
    for name in ("records", "time_ms", "counts", "labels", "budget", "performance", "signals"):
        assert told[name] == expected[name], name
    assert [row["id"] for row in told["open"]] == [row["id"] for row in expected["open"]]
    assert (told["status"], told["notices"]) == ("live", [])  # what was just written is news


def test_without_a_broker_there_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    done = Monitor(tmp_path, "alone", NOBODY).call("top")

    assert (done.returncode, done.stdout) == (1, "")
    assert "correct $.kafka.bootstrap" in done.stderr


# what fits


def drawn(folder: Path, height: int | None) -> list[str]:
    config = load(folder / "small.toml")
    board = Board(config)
    with Log(folder / "small.db") as log:
        for stream in STREAMS:
            for record in log.read(stream):
                board.take(stream, 0, record)
    overview, signals = (cast("Any", document(board, view)) for view in ("overview", "signals"))
    overview["open"] *= 9
    signals["signals"] = [row | {"segment": "c=\x1b[2J[red]"} for row in signals["signals"] * 9]
    signals["total"] = len(signals["signals"])
    out = Console(file=StringIO(), width=COLUMNS, height=height, force_terminal=True, color_system=None)
    out.print(screen(config, overview, signals, height))
    return cast("StringIO", out.file).getvalue().splitlines()


@pytest.mark.parametrize("height", [12, 24, 60])
def test_what_is_drawn_fits_the_terminal_and_says_what_it_leaves_out(folder: Path, height: int) -> None:
    lines = drawn(folder, height)

    assert len(lines) <= max(height - 1, 20)
    assert any(line.startswith("signals, ") and line.rstrip().endswith("more") for line in lines)
    assert all(len(line) <= COLUMNS for line in lines)


def test_texts_from_outside_cannot_steer_the_terminal(folder: Path) -> None:
    text = "\n".join(drawn(folder, 60))

    assert "\x1b" not in text
    assert "c=\\x1b[2…" in text
