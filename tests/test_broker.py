"""The broker of the tests and the demo itself: it keeps data, leaves nothing behind, and takes only whom it should."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewTopic
from waiting import TIMEOUT_S

from compose import artifacts
from compose.broker import PASSWORD, USER, Broker
from stream_app.config import Config, parse
from stream_app.edges import kafka
from stream_app.errors import BrokerError

ROOT = Path(__file__).parent.parent

LOGIN = 'protocol = "SASL_PLAINTEXT"\nmechanism = "{}"\nusername = "{}"\npassword = "{}"'


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker of this file: it is stopped and killed, and has listeners for those who must prove who they are."""
    with Broker(tmp_path_factory.mktemp("own"), sasl=True) as running:
        yield running


def config(bootstrap: str, security: str = "") -> Config:
    section = f"[kafka.security]\n{security}" if security else ""
    kafka_section = f'[kafka]\nbootstrap = "{bootstrap}"\n{section}'
    text = f'name = "own"\n{kafka_section}\n[schema]\nlabel = "y"\n[schema.fields]\nx = {{ type = "number" }}'
    return parse(text, "own.toml", {})


async def write(tree: Config, topic: str, *values: bytes) -> None:
    async with kafka.admin(tree) as admin:
        if topic not in await admin.list_topics():
            await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
    async with AIOKafkaProducer(**kafka.connection(tree)) as producer:
        for value in values:
            await producer.send_and_wait(topic, value, partition=0)


async def read(tree: Config, topic: str, count: int) -> list[bytes]:
    async with asyncio.timeout(TIMEOUT_S), kafka.consumer(tree, topic) as consumer:
        return [(await consumer.getone()).value for _ in range(count)]


async def refusal(tree: Config) -> str:
    with pytest.raises(BrokerError) as caught:
        async with kafka.admin(tree):
            pass
    return str(caught.value)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while is_running(pid):
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.02)


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_data_and_ports_outlive_a_stop_and_a_crash(own: Broker, end: str) -> None:
    tree = config(own.bootstrap)
    asyncio.run(write(tree, end, b"before"))
    pid = own.pid

    getattr(own, end)()
    gone = not is_running(pid)
    nobody = asyncio.run(refusal(tree))
    own.restart()
    asyncio.run(write(tree, end, b"after"))

    assert gone
    assert "no broker answers" in nobody
    assert own.pid != pid
    assert asyncio.run(read(config(own.bootstrap), end, 2)) == [b"before", b"after"]


def test_a_login_is_accepted(own: Broker) -> None:
    tree = config(own.sasl_bootstrap, LOGIN.format("PLAIN", USER, PASSWORD))

    asyncio.run(write(tree, "login", b"1", b"2"))

    assert asyncio.run(read(tree, "login", 2)) == [b"1", b"2"]


def test_an_encrypted_connection_is_accepted(own: Broker) -> None:
    tree = config(own.ssl_bootstrap, f'protocol = "SSL"\nca_file = "{own.ca_file}"')

    asyncio.run(write(tree, "encrypted", b"1", b"2"))

    assert asyncio.run(read(tree, "encrypted", 2)) == [b"1", b"2"]


@pytest.mark.parametrize(
    ("listener", "security", "way_out"),
    [
        ("sasl", LOGIN.format("PLAIN", USER, "wrong"), "correct $.kafka.security.username and password"),
        ("sasl", LOGIN.format("SCRAM-SHA-512", USER, PASSWORD), "correct $.kafka.security.mechanism"),
        ("sasl", "", "correct $.kafka.security.protocol"),
        ("ssl", 'protocol = "SSL"', "correct $.kafka.security.ca_file"),
        ("ssl", "", "correct $.kafka.security.protocol"),
        ("plain", 'protocol = "SSL"', "correct $.kafka.security.protocol"),
        ("plain", LOGIN.format("PLAIN", USER, PASSWORD), "correct $.kafka.security.protocol"),
    ],
)
def test_who_is_refused_is_told_what_to_correct(own: Broker, listener: str, security: str, way_out: str) -> None:
    bootstraps = {"plain": own.bootstrap, "sasl": own.sasl_bootstrap, "ssl": own.ssl_bootstrap}

    said = asyncio.run(refusal(config(bootstraps[listener], security)))

    assert bootstraps[listener] in said
    assert way_out in said
    assert PASSWORD not in said


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGKILL])
def test_the_script_leaves_no_process_however_it_ends(own: Broker, tmp_path: Path, sign: signal.Signals) -> None:
    port = own.port + 1 if own.port % 2 else own.port - 1
    command = [sys.executable, "-m", "compose.broker", "--port", str(port), "--folder", str(tmp_path)]
    script = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        said = script.stdout.readline()
        java = int(re.search(rf"127\.0\.0\.1:{port} \(process (\d+)\)", said)[1])
        running = is_running(java)
        script.send_signal(sign)
        script.communicate(timeout=TIMEOUT_S)
    finally:
        script.kill()

    assert running
    wait_until_gone(java)


def test_a_port_that_is_taken_is_named(own: Broker, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=f"port {own.port} is taken"):
        Broker(tmp_path, port=own.port).start()


def test_a_broker_that_cannot_start_shows_its_log_and_is_gone(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "meta.properties").write_text("version=1\ncluster.id=other\nnode.id=77\n")
    broken = Broker(tmp_path)

    with pytest.raises(RuntimeError, match=r"exit code 1; its log ends with:\n(.*\n)*.*77"):
        broken.start()
    with pytest.raises(RuntimeError, match="not running"):
        _ = broken.pid


def test_missing_programs_are_named_with_their_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(RuntimeError, match="install openjdk-17-jre-headless"):
        Broker(tmp_path).start()
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n")
    java.chmod(0o755)
    with pytest.raises(RuntimeError, match="needs Java 17 or newer: install openjdk-17-jre-headless; found:\nopenjdk"):
        Broker(tmp_path).start()
    java.write_text(java.read_text().replace("11.0.2", "21.0.2"))
    with pytest.raises(RuntimeError, match="install maven"):
        Broker(tmp_path).start()


def test_an_interrupted_download_is_done_again_and_by_one_of_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    torn = tmp_path / "driftline" / f"kafka-{artifacts.KAFKA}.part" / "torn.jar"
    torn.parent.mkdir(parents=True)
    torn.write_bytes(b"half a jar")
    fetches = []
    fetch = artifacts.fetch
    monkeypatch.setattr(artifacts, "fetch", lambda folder: fetches.append(folder) or fetch(folder))

    with ThreadPoolExecutor() as pool:
        first, second = pool.map(lambda _: artifacts.artifacts(), range(2))

    names = {path.name for path in first.iterdir()}
    assert first == second
    assert f"kafka_2.13-{artifacts.KAFKA}.jar" in names
    assert "torn.jar" not in names
    assert not torn.parent.exists()
    assert len(fetches) == 1
