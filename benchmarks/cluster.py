"""What the benchmarks of the Kafka worker share: a broker, topics of seeded events, programs on one core.

The program that is measured has one core to itself; the broker and this process share the others.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

sys.path.insert(0, str(Path(__file__).parents[1]))  # compose is not installed with the package

from compose.broker import Broker

CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []  # Linux only
WORKER_CORE = CORES[-1:]
OTHER_CORES = CORES[:-1] or CORES
DRIFTLINE = str(Path(sys.executable).with_name("driftline"))
FEATURES = [f"x{i}" for i in range(8)]
BLOCK = 5_000  # events made and sent at a time
BATCH_BYTES = 900_000  # below the broker's default limit of 1 MiB
STOP_TIMEOUT_S = 30.0
TICKS = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

CONFIG = """
name = "{name}"
[kafka]
bootstrap = "{bootstrap}"
topics = {{ events = "{events}" }}
labels = false
partitions = {partitions}
{kafka}
[schema]
id = "id"
label = "y"
[schema.fields]
{fields}
[task]
type = "binary"
[model]
use = "{use}"
[[watch]]
signal = "feature:*"
detector = "adwin"
{params}
[[watch]]
signal = "error"
detector = "adwin"
{more}
"""


def placing() -> str:
    """How the processors are shared, in words."""
    if len(CORES) < 2:
        return "NOT PINNED: one core, or no Linux; the broker disturbs what is measured"
    return f"the measured program on core {WORKER_CORE[0]}, broker and benchmark on core {OTHER_CORES}"


@contextmanager
def broker() -> Iterator[Broker]:
    """A broker in a temporary folder, not on the core of what is measured."""
    if CORES:
        os.sched_setaffinity(0, OTHER_CORES)
    with tempfile.TemporaryDirectory() as folder, Broker(Path(folder)) as running:
        yield running


def blocks(events: int, shift: float = 0.0, every: int = 0) -> Iterator[list[bytes]]:
    """Seeded JSON events in lists of BLOCK: an id, 8 numbers, a label that depends on them.

    With `every`, each feature goes up by `shift` and back after so many events, one feature after the other.
    """
    weights = np.random.default_rng(1).normal(size=len(FEATURES))
    form = '{"id":"e%d",' + "".join(f'"{name}":%r,' for name in FEATURES) + '"y":%d}'
    for first in range(0, events, BLOCK):
        rng = np.random.default_rng([7, first])
        number = np.arange(first, min(events, first + BLOCK))
        X = rng.normal(size=(len(number), len(FEATURES)))
        label = (X @ weights + rng.logistic(size=len(number)) > 0).tolist()
        if every:
            phase = np.arange(len(FEATURES)) * every // len(FEATURES)
            X += shift * ((number[:, None] + phase) // every % 2)
        rows = zip(number.tolist(), np.round(X, 4).tolist(), label, strict=True)
        yield [(form % (i, *x, y)).encode() for i, x, y in rows]


async def create(bootstrap: str, topics: list[str], partitions: int = 1, **settings: str) -> None:
    """New topics; `settings` with _ for the dots in their names."""
    client = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    configs = {name.replace("_", "."): value for name, value in settings.items()}
    await client.start()
    try:
        await client.create_topics([NewTopic(topic, partitions, 1, topic_configs=configs) for topic in topics])
    finally:
        await client.close()


async def load(bootstrap: str, topic: str, events: int, partitions: int = 1) -> None:
    """Fill a topic with events, the blocks going round its partitions."""
    async with producing(bootstrap, max_batch_size=BATCH_BYTES, linger_ms=0) as producer:
        sent = []
        for number, block in enumerate(blocks(events)):
            batch = producer.create_batch()
            for value in block:
                if batch.append(timestamp=None, key=None, value=value) is None:
                    raise RuntimeError(f"a block of {BLOCK} events does not fit into {BATCH_BYTES} bytes")
            sent.append(await producer.send_batch(batch, topic, partition=number % partitions))
        for acknowledged in sent:
            await acknowledged


@asynccontextmanager
async def producing(bootstrap: str, **options: Any) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", **options)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


class Reader:
    """Reads what is committed in all partitions of one topic."""

    def __init__(self, bootstrap: str, topic: str, partitions: int = 1) -> None:
        self.places = [TopicPartition(topic, p) for p in range(partitions)]
        self.client = AIOKafkaConsumer(
            bootstrap_servers=bootstrap,
            isolation_level="read_committed",
            enable_auto_commit=False,
            max_partition_fetch_bytes=4 << 20,
            fetch_max_wait_ms=100,
        )

    async def __aenter__(self) -> Self:
        self.client.assign(self.places)
        await self.client.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.stop()

    async def ends(self) -> int:
        """Sum of the committed end offsets: the number of records, and one per transaction."""
        return sum((await self.client.end_offsets(self.places)).values())

    async def records(self) -> AsyncIterator[Any]:
        """All committed records, from the first."""
        ends = await self.client.end_offsets(self.places)
        await self.client.seek_to_beginning(*self.places)
        while any([await self.client.position(place) < end for place, end in ends.items()]):
            for batch in (await self.client.getmany(timeout_ms=100)).values():
                for record in batch:
                    yield record


class Program:
    """A process on its cores, else the worker's one, in a temporary folder; what it says is in its log."""

    def __init__(self, command: list[str], cores: list[int] = WORKER_CORE, **environment: str) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.folder = Path(self._folder.name)
        self.log_file = self.folder / "log"
        self.command, self.cores, self.environment = command, cores, os.environ | environment

    def __enter__(self) -> Self:
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, cwd=self.folder, env=self.environment)
        if CORES:
            os.sched_setaffinity(self.process.pid, self.cores)  # before it has a second thread
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._folder.cleanup()

    def check(self) -> None:
        """RuntimeError with the end of its log if it is no longer there."""
        code = self.process.poll()
        if code is not None:
            tail = "\n".join(self.log_file.read_text(errors="replace").splitlines()[-20:])
            raise RuntimeError(f"{' '.join(self.command)} ended with exit code {code}:\n{tail}")

    def resident(self) -> int:
        """Resident memory in bytes."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * PAGE_BYTES


def worker(folder: Path, name: str, bootstrap: str, events: str, *, use: str = "linear", **more: Any) -> list[str]:
    """Write the configuration `name` and create its topics; the command that runs a worker on it."""
    fields = "\n".join(f'{feature} = {{ type = "number" }}' for feature in FEATURES)
    values = {"partitions": 1, "kafka": "", "params": "", "more": ""} | more
    file = folder / f"{name}.toml"
    file.write_text(CONFIG.format(name=name, bootstrap=bootstrap, events=events, use=use, fields=fields, **values))
    done = subprocess.run([DRIFTLINE, "topics", str(file)], check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"driftline topics {file.name} ended with exit code {done.returncode}:\n{done.stderr}")
    return [DRIFTLINE, "worker", str(file)]


def cpu_s(pid: int) -> float:
    """Processor time that a process has used."""
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(stat[11]) + int(stat[12])) / TICKS


def now_ms() -> float:
    """The clock that stands in records."""
    return time.time() * 1000
