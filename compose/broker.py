"""Apache Kafka without Docker: Maven artifacts, Java 17, KRaft, one node that is broker and controller.

As a script, a broker in the foreground until Ctrl-C or SIGTERM: python -m compose.broker --port 9092 --folder kafka
"""

import argparse
import contextlib
import random
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

from compose.artifacts import JAVA, KAFKA, OPENSSL, artifacts, found, run

USER, PASSWORD = "driftline", "secret"  # of the listener with SASL
START_TIMEOUT_S = 120.0  # takes 3 s on an idle machine
STOP_TIMEOUT_S = 30.0
PROBE_TIMEOUT_S = 5.0

JVM = ("-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true")
LOGGING = (
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
)
SETTINGS = {
    "node.id": 1,
    "process.roles": "broker,controller",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "auto.create.topics.enable": "false",
    "offsets.topic.replication.factor": 1,
    "offsets.topic.num.partitions": 4,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "transaction.state.log.num.partitions": 4,
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1000,
    "group.initial.rebalance.delay.ms": 0,
    "group.min.session.timeout.ms": 1000,
    "broker.heartbeat.interval.ms": 500,
    "broker.session.timeout.ms": 3000,
    "log.initial.task.delay.ms": 500,
    "log.retention.check.interval.ms": 1000,
    "log.cleaner.backoff.ms": 1000,
    "log.cleaner.dedupe.buffer.size": 8 << 20,
    "num.network.threads": 2,
    "num.io.threads": 4,
}


class Broker:
    """One broker on loopback ports; a context manager that starts and stops it.

    `folder` holds its settings, data and log; a folder that was used before is started with the data in it. `sasl` adds
    a listener with SASL_PLAINTEXT (PLAIN, driftline / secret) and one with SSL (a certificate of its own).
    """

    def __init__(self, folder: Path, *, sasl: bool = False, port: int | None = None) -> None:
        self.folder = folder.resolve()
        self.sasl = sasl
        free = free_ports(4)
        self.port = port or free[0]
        self._controller_port, self._sasl_port, self._ssl_port = free[1:]
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def sasl_bootstrap(self) -> str:
        return f"127.0.0.1:{self._sasl_port}"

    @property
    def ssl_bootstrap(self) -> str:
        return f"127.0.0.1:{self._ssl_port}"

    @property
    def ca_file(self) -> Path:
        """What a client of the SSL listener has to trust."""
        return self.folder / "certificate.pem"

    @property
    def log_file(self) -> Path:
        return self.folder / "broker.log"

    @property
    def pid(self) -> int:
        """The process id of its Java; RuntimeError when it was not started or was stopped."""
        if self._process is None:
            raise RuntimeError("this broker is not running")
        return self._process.pid

    def start(self) -> None:
        """Answers requests when this returns; RuntimeError with the end of its log if it does not come up."""
        jars = artifacts()
        if not is_free(self.port):
            raise RuntimeError(f"port {self.port} is taken: stop what listens there, or choose another")
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.sasl and not self.ca_file.exists():
            make_certificate(self.folder)
        settings = self._write_settings()
        if not (self.folder / "data" / "meta.properties").exists():
            self._format(jars, settings)
        with self.log_file.open("ab") as log:
            # a session of its own: Ctrl-C reaches whoever runs the broker, who stops it after its clients
            self._process = subprocess.Popen(
                java(jars, "kafka.Kafka", str(settings)), stdout=log, stderr=log, start_new_session=True
            )
        self._guard = guard(self._process.pid)
        try:
            self._wait()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """SIGTERM, then SIGKILL after STOP_TIMEOUT_S; returns when the process is gone."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL, as a crash; the data stays."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stops it if it runs, and starts it on the same ports and data."""
        self.stop()
        self.start()

    def wait(self) -> int:
        """Blocks until the process ends by itself; its exit code."""
        assert self._process is not None
        return self._process.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def log_tail(self) -> str:
        return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-20:])

    def _write_settings(self) -> Path:
        listeners = {"PLAINTEXT": self.port, "CONTROLLER": self._controller_port}
        protocols = {"PLAINTEXT": "PLAINTEXT", "CONTROLLER": "PLAINTEXT"}
        settings: dict[str, Any] = SETTINGS | {
            "controller.quorum.voters": f"1@127.0.0.1:{self._controller_port}",
            "log.dirs": self.folder / "data",
        }
        if self.sasl:
            listeners |= {"SASL": self._sasl_port, "SSL": self._ssl_port}
            protocols |= {"SASL": "SASL_PLAINTEXT", "SSL": "SSL"}
            module = "org.apache.kafka.common.security.plain.PlainLoginModule"
            settings |= {
                "listener.name.sasl.sasl.enabled.mechanisms": "PLAIN",
                "listener.name.sasl.plain.sasl.jaas.config": f'{module} required user_{USER}="{PASSWORD}";',
                "listener.name.ssl.ssl.keystore.type": "PEM",
                "listener.name.ssl.ssl.keystore.location": self.folder / "keystore.pem",
            }
        settings["listeners"] = ",".join(f"{name}://127.0.0.1:{port}" for name, port in listeners.items())
        settings["listener.security.protocol.map"] = ",".join(":".join(pair) for pair in protocols.items())
        file = self.folder / "server.properties"
        file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        return file

    def _format(self, jars: Path, settings: Path) -> None:
        cluster_id = "driftlineAAAAAAAAAAAAA"  # 16 bytes in base64
        command = java(jars, "kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(settings))
        run(command, "Kafka's storage could not be formatted")

    def _wait(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_TIMEOUT_S
        while not answers(self.port):
            code = self._process.poll()
            if code is not None:
                raise RuntimeError(f"Kafka ended with exit code {code}; its log ends with:\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"Kafka did not answer in {START_TIMEOUT_S:g} s; its log:\n{self.log_tail()}")
            time.sleep(0.05)

    def _end(self, sign: signal.Signals) -> None:
        if self._guard is not None:
            self._guard.kill()
            self._guard.communicate()
            self._guard = None
        if self._process is None:
            return
        self._process.send_signal(sign)
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


def java(jars: Path, main: str, *arguments: str) -> list[str]:
    return [found(*JAVA), *JVM, *LOGGING, "-cp", f"{jars}/*", main, *arguments]


def make_certificate(folder: Path) -> None:
    """A self-signed certificate for 127.0.0.1, for ten years."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    extensions = ("subjectAltName=IP:127.0.0.1", "keyUsage=critical,digitalSignature,keyEncipherment,keyCertSign")
    options = [word for extension in extensions for word in ("-addext", extension)]
    who = ["-newkey", "rsa:2048", "-noenc", "-days", "3650", "-subj", "/CN=driftline", *options]
    command = [found(*OPENSSL), "req", "-x509", *who, "-keyout", str(key), "-out", str(certificate)]
    run(command, "no certificate could be made")
    (folder / "keystore.pem").write_text(key.read_text() + certificate.read_text())


def guard(pid: int) -> subprocess.Popen[bytes]:
    """A process that stops `pid` when this one ends in whatever way, SIGKILL included: its stdin is closed then."""
    command = ["sh", "-c", 'read -r _; kill "$0"', str(pid)]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet, start_new_session=True)


def free_ports(count: int) -> list[int]:
    """Loopback ports that are free, below those which the system gives to clients: a restart finds them free too."""
    candidates = iter(random.SystemRandom().sample(range(20_000, 32_000), 1000))
    return [next(port for port in candidates if is_free(port)) for _ in range(count)]


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that have ended do not count
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def answers(port: int) -> bool:
    """Whether a metadata request (version 1, no topics) brings a broker that is ready."""
    request = struct.pack(">hhihi", 3, 1, 0, -1, 0)
    with contextlib.suppress(OSError, struct.error), socket.create_connection(("127.0.0.1", port), 1) as connection:
        connection.settimeout(PROBE_TIMEOUT_S)
        connection.sendall(struct.pack(">i", len(request)) + request)
        answer = connection.makefile("rb").read(12)
        _size, _correlation, brokers = struct.unpack(">iii", answer)
        return bool(brokers > 0)
    return False


def stop_at_signals() -> None:
    """Ctrl-C, SIGTERM and a closed terminal end this process in order, through every `with` and `finally`."""

    def leave(number: int, _frame: object) -> NoReturn:
        sys.exit(128 + number)

    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, leave)


def main() -> str:
    parser = argparse.ArgumentParser(prog="python -m compose.broker", description="Apache Kafka until Ctrl-C.")
    parser.add_argument("--port", type=int, default=9092)
    parser.add_argument("--folder", type=Path, required=True, help="for its data; used again at the next start")
    options = parser.parse_args()
    stop_at_signals()
    try:
        with Broker(options.folder, port=options.port) as broker:
            print(f"Kafka {KAFKA} answers at {broker.bootstrap} (process {broker.pid}); Ctrl-C stops it", flush=True)
            code = broker.wait()
    except RuntimeError as error:
        return f"no broker: {error}"
    return f"Kafka ended with exit code {code}; its log ends with:\n{broker.log_tail()}"


if __name__ == "__main__":
    sys.exit(main())
