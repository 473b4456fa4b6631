"""Records of the worker and of the libraries under it, as text and as JSON: what is written, how, and how often."""

import io
import json
import logging
import os
import pty
import subprocess
import sys
import warnings
import weakref
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from waiting import TIMEOUT_S

from stream_app.edges import journal
from stream_app.edges.journal import FALSE_ALARMS, REPEAT_S, TRANSIENT_S

ROOT = Path(__file__).parent.parent
RETRYING = "Got error produce response on topic-partition %s, retrying. Error: %s"


class Clock:
    """Time that a test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Written:
    """The journal of this process, into memory, under a clock of the test."""

    def __init__(self) -> None:
        self.stream, self.clock = io.StringIO(), Clock()

    def start(self, form: str) -> None:
        journal.start(form, self.stream)
        (handler,) = logging.root.handlers
        handler.is_noise.clock = handler.rate.clock = self.clock

    @property
    def lines(self) -> list[str]:
        return self.stream.getvalue().splitlines()

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


@pytest.fixture
def written() -> Iterator[Written]:
    """The logging of this process is put back afterwards."""
    root, ours = logging.root, logging.getLogger("driftline")
    before = root.handlers[:], root.level, ours.level
    yield Written()
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])
    logging.captureWarnings(capture=False)


def library(name: str = "aiokafka.conn") -> logging.Logger:
    return logging.getLogger(name)


def test_json_has_the_fields_and_the_time(written: Written) -> None:
    written.start("json")

    journal.tell("shard opened", shard=3, records=10, topic="flights.events", share=0.5, none=None)

    (record,) = written.records
    time = record.pop("time")
    assert record == {
        "level": "info",
        "event": "shard opened",
        "logger": "driftline",
        "shard": 3,
        "records": 10,
        "topic": "flights.events",
        "share": 0.5,
        "none": None,
    }
    assert len(time) == len("2026-11-03T10:11:12.123Z")
    assert time.endswith("Z")
    assert timedelta() <= datetime.now(UTC) - datetime.fromisoformat(time) < timedelta(seconds=TIMEOUT_S)


def test_text_is_one_line_that_reads_well(written: Written) -> None:
    written.start("text")

    journal.warn("shard closed", shard=3, reason="no broker", instance="host-0")

    (line,) = written.lines
    time, level, rest = line.split(maxsplit=2)
    assert datetime.fromisoformat(time).tzinfo
    assert (level, rest) == ("WARNING", 'shard closed shard=3 reason="no broker" instance=host-0')


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("nasty", ["a\nb", "\x1b[2J", "\r", "\u2028", "\udcff", "\x85", '"', "a=b", ""])
def test_nothing_in_a_field_or_message_makes_a_second_line_or_moves_a_terminal(
    written: Written, form: str, nasty: str
) -> None:
    written.start(form)

    journal.tell("told", text=nasty, bytes=nasty.encode(errors="replace"), path=Path(nasty))
    library().warning("from %s", nasty)

    text = written.stream.getvalue().encode("utf-8", "backslashreplace").decode()
    assert len(text.splitlines()) == 2
    assert all(character.isprintable() or character == "\n" for character in text)
    if form == "json":
        assert [written.records[0]["text"], written.records[1]["event"]] == [nasty, f"from {nasty}"]


def test_json_is_json_whatever_the_numbers(written: Written) -> None:
    written.start("json")

    journal.tell("odd", nan=float("nan"), inf=float("inf"))

    assert json.loads(written.lines[0], parse_constant=pytest.fail)["nan"] == "nan"


def test_a_field_cannot_hide_what_the_record_is(written: Written) -> None:
    written.start("json")

    journal.tell("told", level="debug", logger="x", time=0)

    assert (written.records[0]["level"], written.records[0]["logger"]) == ("info", "driftline")


def test_an_exception_is_one_record_with_its_traceback(written: Written) -> None:
    written.start("json")
    try:
        int("broken\nin two")
    except ValueError as error:
        journal.fail("shard failed", error, shard=1)
        library().exception("Unexpected error")

    ours, theirs = written.records
    assert (ours["level"], ours["event"], ours["shard"]) == ("error", "shard failed", 1)
    for record in (ours, theirs):
        assert record["exception"].startswith("Traceback")
        assert record["exception"].splitlines()[-1].startswith("ValueError: ")


def test_text_has_the_traceback_below(written: Written) -> None:
    written.start("text")
    try:
        int("broken")
    except ValueError as error:
        journal.fail("shard failed", error)

    assert written.lines[0].endswith("ERROR   shard failed")
    assert written.lines[1].startswith("Traceback")
    assert written.lines[-1].startswith("ValueError: ")


def test_of_libraries_only_warnings_and_errors_are_written_with_their_logger(written: Written) -> None:
    written.start("json")

    for name in ("faust.app.base", "mode.worker", "aiokafka.consumer.fetcher", "asyncio"):
        library(name).debug("fine print")
        library(name).info("small print")
        library(name).warning("watch %s", "out")
    warnings.warn("old", DeprecationWarning, stacklevel=1)

    assert [(record["logger"], record["event"]) for record in written.records[:4]] == [
        (name, "watch out") for name in ("faust.app.base", "mode.worker", "aiokafka.consumer.fetcher", "asyncio")
    ]
    assert [record["logger"] for record in written.records[4:]] == ["py.warnings"]


def test_starting_again_does_not_write_twice(written: Written) -> None:
    written.start("json")
    written.start("text")

    journal.tell("told")

    assert len(written.lines) == 1


def test_known_false_alarms_are_not_written_and_others_of_the_same_logger_are(written: Written) -> None:
    written.start("json")
    log = library("faust.transport.drivers.aiokafka")

    for alarm in FALSE_ALARMS:
        template = f"[^---AIOKafkaConsumerThread]: {alarm} for %r"
        log.error(template, "TP(topic='x', partition=0)")
    log.error("[^---AIOKafkaConsumerThread]: Commit failed")

    assert [record["event"] for record in written.records] == ["[^---AIOKafkaConsumerThread]: Commit failed"]


def test_false_alarms_are_those_that_faust_and_mode_raise() -> None:
    sources = [Path(found) for found in sources_of("faust.transport.drivers.aiokafka", "mode.threads")]

    assert [alarm for alarm in FALSE_ALARMS if not any(alarm in source.read_text() for source in sources)] == []


def sources_of(*modules: str) -> list[str]:
    """The files of these modules; they are not imported here: only the worker may import Faust."""
    script = f"import importlib.util\nfor m in {modules}: print(importlib.util.find_spec(m).origin)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
    return done.stdout.split()


def test_a_flood_becomes_a_record_now_and_then_with_the_number_of_the_others(written: Written) -> None:
    written.start("json")

    for i in range(12_000):  # 12 s
        written.clock.now += 0.001
        library().warning("Unable connect to node with id %s: %s", i % 3, "refused")
        library("aiokafka.cluster").error("Topic %s is not available", "flights")
    logging.root.handlers[0].close()

    for name in ("aiokafka.conn", "aiokafka.cluster"):
        counts = [1 + record.get("suppressed", 0) for record in written.records if record["logger"] == name]
        assert len(counts) <= 12 / REPEAT_S + 2
        assert sum(counts) == 12_000


def test_the_last_of_a_flood_is_written_when_anything_else_is(written: Written) -> None:
    written.start("json")
    for i in range(10):
        library().warning("broker is away: attempt %d", i)
    assert [record["event"] for record in written.records] == ["broker is away: attempt 0"]

    written.clock.now += REPEAT_S
    journal.tell("told")

    assert (written.records[1]["event"], written.records[1]["suppressed"]) == ("broker is away: attempt 9", 8)
    assert written.records[2]["event"] == "told"


def test_different_warnings_and_our_own_records_are_not_held_back(written: Written) -> None:
    written.start("json")

    for shard in (1, 2, 2):
        journal.warn("gap", shard=shard)
    library().warning("one")
    library().warning("two")
    for error in (ValueError("one"), TypeError("two")):
        library().error("Unexpected error", exc_info=error)

    assert len(written.lines) == 7


def test_what_is_held_back_takes_no_room_for_ever(written: Written) -> None:
    written.start("json")
    (handler,) = logging.root.handlers

    for i in range(5000):
        written.clock.now += 0.1
        library().warning(f"Unable connect to port {i}")  # as some libraries do

    assert len(handler.rate.seen) <= REPEAT_S / 0.1 + 1


def test_what_is_held_back_keeps_nothing_else_alive(written: Written) -> None:
    class State:
        pass

    written.start("json")

    def attempt() -> weakref.ref[State]:
        state = State()
        try:
            int(state)
        except TypeError:
            library().exception("Unexpected error with %s", state)
        return weakref.ref(state)

    references = [attempt() for _ in range(2)]

    assert [reference() for reference in references] == [None, None]


def test_retries_on_a_new_partition_are_written_only_if_they_go_on(written: Written) -> None:
    written.start("json")
    log = library("aiokafka.producer.sender")

    def retry(times: int) -> None:
        for _ in range(times):
            written.clock.now += 0.1
            log.warning(RETRYING, "flights.events-0", "<class 'aiokafka.errors.NotEnoughReplicasError'>")

    retry(20)
    written.clock.now += 60
    retry(20)
    assert written.lines == []
    log.warning(RETRYING, "flights.events-0", "<class 'aiokafka.errors.NotLeaderForPartitionError'>")
    assert len(written.lines) == 1

    written.clock.now += 60
    retry(int(TRANSIENT_S * 10) + 20)

    assert "NotEnoughReplicasError" in written.records[-1]["event"]


def test_a_broken_record_of_a_library_neither_raises_nor_ends_the_journal(
    written: Written, capsys: pytest.CaptureFixture[str]
) -> None:
    written.start("json")

    library().warning("%d partitions", "no number")
    library().warning("after")

    assert [record["event"] for record in written.records] == ["after"]
    assert "no number" in capsys.readouterr().err


SCRIPT = "from stream_app.edges import journal; journal.start(); journal.tell('told', shard=1)"


def test_json_by_default_into_a_pipe_on_standard_error() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, timeout=TIMEOUT_S, check=True)

    assert done.stdout == b""
    assert json.loads(done.stderr)["shard"] == 1


def test_text_by_default_on_a_terminal() -> None:
    ours, theirs = pty.openpty()
    subprocess.run([sys.executable, "-c", SCRIPT], cwd=ROOT, stderr=theirs, timeout=TIMEOUT_S, check=True)

    assert os.read(ours, 1000).endswith(b"told shard=1\r\n")
    os.close(theirs)
    os.close(ours)


def test_what_was_held_back_is_written_at_the_end_of_the_process() -> None:
    script = "import logging\nfrom stream_app.edges import journal\njournal.start()\n"
    script += "for i in range(9): logging.getLogger('aiokafka').warning('away')"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, timeout=TIMEOUT_S, check=True)

    assert [json.loads(line).get("suppressed") for line in done.stderr.splitlines()] == [None, 7]
