"""The subscribing commands over Kafka: where they begin, how they end, what comes again, what is said to whom."""

import asyncio
import fcntl
import json
import os
import signal
import struct
import termios
from collections import Counter
from pathlib import Path
from typing import IO

import pytest
from command import driftline, write_config
from monitors import Monitor, prediction, until
from waiting import TIMEOUT_S

from compose.broker import Broker
from stream_app.edges import kafka

NOBODY = "127.0.0.1:1"  # a port where nobody listens


@pytest.fixture
def monitor(broker: Broker, tmp_path: Path, request: pytest.FixtureRequest) -> Monitor:
    return Monitor.over(broker, tmp_path, request)


def test_without_a_broker_there_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    monitor = Monitor(tmp_path, "alone", NOBODY)

    done = monitor.call("alerts", "--follow")
    (tmp_path / "alone.db").touch()
    with_log, replay = monitor.call("alerts"), monitor.call("replay")

    assert (done.returncode, done.stdout) == (1, "")
    assert "correct $.kafka.bootstrap" in done.stderr
    assert "--state alone.db" not in done.stderr
    assert "--state alone.db reads the log of `driftline run`" in with_log.stderr
    assert "--state alone.db reads the log of `driftline run`" in replay.stderr


def test_state_means_the_log_in_a_file(tmp_path: Path) -> None:
    monitor = Monitor(tmp_path, "alone", NOBODY)

    for command in (["alerts"], ["features"], ["story", "e1"], ["acknowledge", "i-1"], ["dead-letters", "--resubmit"]):
        done = monitor.call(*command, "--state", "x.db")
        assert done.returncode == 1
        assert "no log yet at" in done.stderr


@pytest.mark.parametrize("command", ["topics", "play", "worker"])
def test_what_is_missing_for_kafka_names_the_file(tmp_path: Path, command: str) -> None:
    done = driftline(tmp_path, command, write_config(tmp_path, "events.csv"))

    assert done.returncode == 2
    assert f"{tmp_path / 'small.toml'}: 1 problem\n  $.kafka: missing" in done.stderr


@pytest.mark.parametrize(
    ("args", "way_out"),
    [
        (["alerts", "--after", "3"], "use --group NAME"),
        (["alerts", "--group", "g", "--state", "x.db"], "use --after"),
        (["dead-letters", "--resubmit", "--follow"], "leave out --follow"),
        (["dead-letters", "--resubmit", "--group", "g", "--exec", "cat"], "leave out --group, --exec"),
    ],
)
def test_options_that_do_not_fit_are_wrong_use(tmp_path: Path, args: list[str], way_out: str) -> None:
    done = Monitor(tmp_path, "alone", NOBODY).call(*args)

    assert (done.returncode, done.stdout) == (2, "")
    assert way_out in done.stderr


def test_an_empty_topic_is_said_to_people_only(monitor: Monitor) -> None:
    monitor.make("alerts")
    name = monitor.config.name

    assert monitor.call("alerts") == (0, "", f"{name}: no alerts in topic {name}.alerts\n")
    assert monitor.lines("alerts") == []


def test_a_topic_that_is_missing_is_refused_and_not_created(monitor: Monitor) -> None:
    for command in (["alerts"], ["alerts", "--group", "g"], ["features"], ["acknowledge", "i-1"], ["story", "e1"]):
        done = monitor.call(*command)
        assert (done.returncode, done.stdout) == (2, "")
        assert "`driftline topics CONFIG` creates it" in done.stderr

    async def topics() -> list[str]:
        async with kafka.admin(monitor.config) as admin:
            return await admin.list_topics()

    assert [topic for topic in asyncio.run(topics()) if topic.startswith(f"{monitor.config.name}.")] == []


def test_a_group_goes_on_where_it_stands(monitor: Monitor) -> None:
    monitor.make("predictions")
    monitor.write(prediction("e1"), prediction("e2", 1))
    first = monitor.lines("predictions", "--group", "g")
    again = monitor.lines("predictions", "--group", "g")
    monitor.write(prediction("e3", 1))
    later, other = monitor.lines("predictions", "--group", "g"), monitor.lines("predictions", "--group", "h")

    assert sorted(each["id"] for each in first) == ["e1", "e2"]
    assert again == []
    assert [each["id"] for each in later] == ["e3"]
    assert len(other) == 3


def waiting_bytes(pipe: IO[bytes]) -> int:
    (count,) = struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4))
    return count


def test_a_killed_subscriber_loses_nothing(monitor: Monitor) -> None:
    monitor.make("predictions")
    every = {f"e{i}" for i in range(4000)}
    monitor.write(*(prediction(name, int(name[1:]) % 2) for name in every))

    with monitor.running("predictions", "--group", "g", "--json", "--follow") as process:
        printed = [process.stdout.readline() for _ in range(2500)]
        until(lambda: waiting_bytes(process.stdout) > 60_000)  # the pipe is full: it is in the middle of a batch
        process.kill()
        printed += [line for line in process.stdout if line.endswith(b"\n")]
    rest = monitor.names(group="g")

    assert {json.loads(line)["id"] for line in printed} | set(rest) == every
    assert len(rest) < 4000, "what was printed and committed comes again"
    assert max(Counter(rest).values()) == 1


def test_a_program_that_fails_gets_its_record_again(monitor: Monitor) -> None:
    monitor.make("predictions")
    monitor.write(*(prediction(f"e{i}") for i in range(5)))
    third_fails = "cat >> seen; echo >> seen; test $(wc -l < seen) != 3"

    failed = monitor.call("predictions", "--group", "g", "--exec", third_fails)
    monitor.call("predictions", "--group", "g", "--exec", third_fails)

    seen = [json.loads(line)["id"] for line in (monitor.folder / "seen").read_text().splitlines()]
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "ended with exit code 1; the next call with --group g begins with this record" in failed.stderr
    assert '"id": "e2"' in failed.stderr
    assert seen == ["e0", "e1", "e2", "e2", "e3", "e4"]


def test_followers_get_what_comes_later_and_end_well_when_asked(monitor: Monitor) -> None:
    monitor.make("predictions")
    monitor.write(prediction("e1"))
    follow = ("predictions", "--follow", "--json")
    with monitor.running(*follow) as alone, monitor.running(*follow, "--group", "g") as member:
        first = [json.loads(process.stdout.readline())["id"] for process in (alone, member)]
        monitor.write(prediction("e2", 1))
        second = [json.loads(process.stdout.readline())["id"] for process in (alone, member)]

        alone.send_signal(signal.SIGINT)
        member.send_signal(signal.SIGTERM)
        ends = [(process.wait(TIMEOUT_S), process.stderr.read()) for process in (alone, member)]

    assert (first, second) == (["e1", "e1"], ["e2", "e2"])
    assert ends == [(0, b""), (0, b"")]
    assert monitor.names(group="g") == []


def test_a_signal_waits_for_the_program(monitor: Monitor) -> None:
    monitor.make("predictions")
    monitor.write(prediction("e1"), prediction("e2"))
    program = "touch began; until test -e go; do sleep .02; done"
    with monitor.running("predictions", "--group", "g", "--exec", program) as process:
        until((monitor.folder / "began").exists)

        process.send_signal(signal.SIGTERM)
        (monitor.folder / "go").touch()

        assert (process.wait(TIMEOUT_S), process.stderr.read()) == (0, b"")
    assert monitor.names(group="g") == ["e2"]


def test_a_signal_that_ends_the_program_too_is_no_failure(monitor: Monitor) -> None:
    monitor.make("predictions")
    monitor.write(prediction("e1"))
    program = "echo $$ > pid; exec sleep 1000"
    with monitor.running("predictions", "--group", "g", "--exec", program) as process:
        until(lambda: (monitor.folder / "pid").exists() and bool((monitor.folder / "pid").read_text().strip()))

        process.send_signal(signal.SIGTERM)
        os.kill(int((monitor.folder / "pid").read_text()), signal.SIGTERM)

        assert (process.wait(TIMEOUT_S), process.stderr.read()) == (0, b"")
    assert monitor.names(group="g") == ["e1"]


def test_a_reader_that_stops_early_is_no_error(monitor: Monitor) -> None:
    monitor.make("predictions")
    monitor.write(*(prediction(f"e{i}") for i in range(3000)))

    with monitor.running("predictions", "--json", "--group", "g") as process:
        process.stdout.read(1)
        process.stdout.close()

        assert (process.wait(TIMEOUT_S), process.stderr.read()) == (0, b"")


def test_a_broker_that_goes_away_is_waited_for(tmp_path: Path) -> None:
    follow = ("predictions", "--follow", "--json")
    with Broker(tmp_path / "kafka") as own:
        monitor = Monitor(tmp_path, "outage", own.bootstrap)
        monitor.make("predictions")
        monitor.write(prediction("e1"))
        outlive(own, monitor, follow)


def outlive(broker: Broker, monitor: Monitor, follow: tuple[str, ...]) -> None:
    with (
        monitor.running(*follow) as alone,
        monitor.running(*follow, "--group", "g") as member,
        monitor.running(*follow) as stopped,
    ):
        for process in (alone, member, stopped):
            assert json.loads(process.stdout.readline())["id"] == "e1"
        broker.stop()
        try:
            assert stopped.stderr.readline(), "an outage is said"
            stopped.send_signal(signal.SIGTERM)
            assert stopped.wait(TIMEOUT_S) == 0
        finally:
            broker.start()
        monitor.write(prediction("e2"))

        for process in (alone, member):
            assert json.loads(process.stdout.readline())["id"] == "e2"
            assert process.poll() is None
