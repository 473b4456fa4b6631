"""The worker as an operator meets it: the real command, secured, asked for its health, supervised, without a broker."""

import json
import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import pytest
from kafka_results import Entry, written
from kafka_runs import create, send
from programs import checked
from runs import KEY, command
from scraping import fetched
from waiting import TIMEOUT_S

from compose.broker import PASSWORD, USER, Broker, free_ports
from stream_app.config import Config, load
from stream_app.edges.snapshots import KEY_VARIABLE

CONFIG = """
name = "{name}"
[kafka]
bootstrap = "{bootstrap}"
partitions = 1
session = "6s"
{security}
[schema]
label = "y"
[schema.fields]
x = {{ type = "number" }}
"""
SASL = f"""[kafka.security]
protocol = "SASL_PLAINTEXT"
mechanism = "PLAIN"
username = "{USER}"
password = "${{THE_PASSWORD}}"
"""
SSL = """[kafka.security]
protocol = "SSL"
ca_file = "{}"
"""
EVENTS = 500


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with Broker(tmp_path_factory.mktemp("secured"), sasl=True) as running:
        yield running


def configured(folder: Path, name: str, bootstrap: str, security: str = "") -> Path:
    file = folder / "c.toml"
    file.write_text(CONFIG.format(name=name, bootstrap=bootstrap, security=security))
    return file


@contextmanager
def worker(file: Path, *more: str) -> Iterator[Popen[str]]:
    """The command in a process of its own, which is killed if the test leaves it behind."""
    environ = os.environ | {KEY_VARIABLE: KEY.decode(), "THE_PASSWORD": PASSWORD}
    with Popen(command("worker", file, "--log", "json", *more), env=environ, stderr=PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def told(process: Popen[str], event: str) -> dict[str, Any]:
    """The next record of the log that tells of an event."""
    assert process.stderr is not None
    for line in process.stderr:
        record: dict[str, Any] = json.loads(line)
        if record["event"] == event:
            return record
    raise AssertionError(f"ended with {process.wait()} without {event!r}")


def asked(address: str, path: str) -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(f"http://{address}/{path}", timeout=TIMEOUT_S) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused)


def predicted(config: Config, count: int) -> list[Entry]:
    """The predictions, once there are so many."""
    deadline = time.monotonic() + TIMEOUT_S
    while len(found := written(config, 0).streams["predictions"]) < count:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


def sent(config: Config, count: int = EVENTS) -> None:
    send(config, "events", {0: [b'{"x": %d, "y": %d}' % (i, i % 2) for i in range(count)]})


def finish(process: Popen[str]) -> None:
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0


@pytest.mark.parametrize("kind", ["sasl", "ssl"])
def test_it_works_over_tls_and_with_a_password(
    tmp_path: Path, secured: Broker, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THE_PASSWORD", PASSWORD)
    bootstrap = secured.sasl_bootstrap if kind == "sasl" else secured.ssl_bootstrap
    file = configured(tmp_path, kind, bootstrap, SASL if kind == "sasl" else SSL.format(secured.ca_file))
    config = load(file)
    create(config)
    sent(config)
    with worker(file) as process:
        assert len(predicted(config, EVENTS)) == EVENTS
        finish(process)


def test_health_readiness_and_metrics(tmp_path: Path, broker: Broker) -> None:
    file = configured(tmp_path, "health", broker.bootstrap)
    config = load(file)
    create(config)
    with worker(file, "--health", "0") as process:
        address = told(process, "health")["address"]
        assert asked(address, "health")[0] == 200
        told(process, "shard opened")
        deadline = time.monotonic() + TIMEOUT_S
        while asked(address, "ready")[0] != 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        status, document = asked(address, "ready")
        assert (status, document["joined"], [shard["shard"] for shard in document["shards"]]) == (200, True, [0])
        sent(config)
        while f'driftline_events_total{{monitor="health",shard="0"}} {EVENTS}.0' not in (
            text := fetched(f"http://{address}/metrics")
        ):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert 'driftline_worker_joined{monitor="health"} 1.0' in text
        assert 'driftline_recovered_ratio{monitor="health",shard="0"} 1.0' in text
        assert 'driftline_commit_duration_seconds_bucket{le="+Inf",monitor="health",shard="0"}' in text
        assert checked("promtool", "check", "metrics", given=text) == ""
        finish(process)


def test_topics_that_are_wrong_end_it_with_2(tmp_path: Path, broker: Broker) -> None:
    with worker(configured(tmp_path, "nothing-there", broker.bootstrap), "--supervise") as process:
        _, log = process.communicate(timeout=TIMEOUT_S)

    assert process.returncode == 2
    assert "driftline topics" in log


def test_a_supervised_worker_is_started_again_and_goes_on(tmp_path: Path, broker: Broker) -> None:
    file = configured(tmp_path, "supervised", broker.bootstrap)
    config = load(file)
    create(config)
    sent(config)
    with worker(file, "--supervise") as process:
        first = told(process, "worker started")["pid"]
        predicted(config, EVENTS)
        os.kill(first, signal.SIGKILL)
        assert told(process, "worker started")["pid"] != first
        sent(config)
        offsets = [json.loads(value)["offset"] for _, _, value in predicted(config, 2 * EVENTS)]
        assert offsets == list(range(2 * EVENTS))
        finish(process)


def test_it_waits_for_a_broker(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    file = configured(tmp_path, "early", f"127.0.0.1:{port}")
    with Broker(tmp_path / "late", port=port):
        create(load(file))
    with worker(file) as process:
        told(process, "waiting for a broker")
        with Broker(tmp_path / "late", port=port):
            told(process, "shard opened")
            finish(process)
