"""What is left when workers are killed, stopped, paused and joined, and the broker is restarted: exactly the same.

A producer sends flights and their landings, as the year goes by, to a real broker with 4 partitions. Workers take them
while, in a seeded order, this happens to them:

    kill      SIGKILL of a worker, which is started again within a second
    join      one more worker; leave: SIGTERM to it
    zombie    SIGSTOP until its partitions have moved to others, then SIGCONT
    restart   the broker is stopped, or killed, and started again

A worker that ends by itself (fenced, or without a broker for too long) is started again, as a supervisor would; with
exit code 2 it must not end. Then each shard's read_committed output and state are compared with those of the embedded
engine over the records of its partition. Exit code 1 if anything was lost, repeated, out of order, or differs.

Run: python benchmarks/kafka_chaos.py [--flights 200000] [--kills 30] ...   (about 5 minutes)
"""

import asyncio
import json
import logging
import random
import signal
import sys
import tempfile
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self

import click
import pyarrow.csv

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from kafka_results import assert_equal, embedded, written  # noqa: E402
from kafka_runs import Worker, all_taken, append, create, producing, taken  # noqa: E402

from compose.broker import Broker, stop_at_signals  # noqa: E402
from stream_app.config import Config, load  # noqa: E402
from stream_app.edges import kafka  # noqa: E402
from stream_app.edges.demo import write_flights  # noqa: E402

PARTITIONS = 4
SESSION_S = 6.0
SETTLE_S = 180.0  # for what is left when the last record is sent
TICK_S = 0.1  # between two batches of the producer
KAFKA = f"""
[kafka]
bootstrap = "BOOTSTRAP"
partitions = {PARTITIONS}
session = "{SESSION_S:g}s"
snapshot = "3s"
max_wait = "120s"  # longer than the broker is away: the order of events and labels is that of their time
"""

Sent = tuple[str, int, bytes]  # stream, partition, value


class Feed(threading.Thread):
    """Sends the records at a steady pace, in order, each once, whatever the broker does."""

    def __init__(self, config: Config, records: list[Sent], per_s: float) -> None:
        super().__init__(daemon=True)
        self.config, self.records, self.per_s = config, records, per_s
        self.sent, self.error = 0, ""

    def run(self) -> None:
        try:
            asyncio.run(self._send())
        except Exception as error:  # noqa: BLE001
            self.error = repr(error)

    async def _send(self) -> None:
        started = time.monotonic()
        async with producing(self.config) as producer:
            while self.sent < len(self.records):
                due = min(int((time.monotonic() - started + TICK_S) * self.per_s), len(self.records))
                places: dict[tuple[str, int], list[bytes]] = {}
                for stream, partition, value in self.records[self.sent : due]:
                    places.setdefault((stream, partition), []).append(value)
                await asyncio.gather(
                    *(append(producer, kafka.topic(self.config, s), p, values) for (s, p), values in places.items())
                )
                self.sent = due
                await asyncio.sleep(TICK_S)


class Team:
    """The workers, and who starts those again that ended."""

    def __init__(self, file: Path, broker: Broker, rng: random.Random, report: Any) -> None:
        self.file, self.broker, self.rng, self.report = file, broker, rng, report
        self.workers: dict[str, Worker] = {}
        self.paused: dict[str, float] = {}  # until when
        self.happened: Counter[str] = Counter()
        for instance in ("w0", "w1"):
            self.start(instance)

    def start(self, instance: str) -> None:
        self.workers[instance] = Worker(self.file, instance)

    def look_after(self) -> None:
        """Starts again who has ended, wakes who has slept long enough."""
        for instance, until in list(self.paused.items()):
            if time.monotonic() > until:
                del self.paused[instance]
                if self.workers[instance].alive:
                    self.workers[instance].signal(signal.SIGCONT)
        for instance, worker in list(self.workers.items()):
            if not worker.alive:
                code = worker.ended()
                if code not in (0, 1):
                    raise RuntimeError(f"{instance} ended with {code}:\n{worker.told()}")
                self.happened[f"ended by itself with {code}"] += 1
                self.report(f"{instance} ended with exit code {code}: started again")
                self.start(instance)

    def awake(self) -> list[str]:
        return [name for name, worker in self.workers.items() if worker.alive and name not in self.paused]

    def do(self, what: str) -> None:
        """One of the things that happen."""
        self.report(what)
        self.happened[what] += 1
        getattr(self, what)()

    def kill(self) -> None:
        instance = self.rng.choice(self.awake())
        self.workers[instance].kill()
        time.sleep(self.rng.choice((0.0, self.rng.uniform(0, 1))))
        self.start(instance)

    def join(self) -> None:
        self.start(f"w{len(self.workers)}")

    def leave(self) -> None:
        instance = self.awake()[-1]
        worker = self.workers.pop(instance)
        code = worker.stop()
        if code not in (0, 1, -signal.SIGTERM):  # the last: it had not begun
            raise RuntimeError(f"{instance} left with {code}:\n{worker.told()}")
        self.happened[f"left with {code}"] += 1

    def zombie(self) -> None:
        instance = self.rng.choice(self.awake())
        self.workers[instance].signal(signal.SIGSTOP)
        self.paused[instance] = time.monotonic() + SESSION_S + 4

    def restart(self) -> None:
        if self.happened["restart"] % 2:
            self.broker.restart()
        else:
            self.broker.kill()
            time.sleep(1)
            self.broker.start()

    def stop(self) -> list[int]:
        """Stops all; their exit codes."""
        for instance in self.paused:
            self.workers[instance].signal(signal.SIGCONT)
        return [worker.stop() for worker in self.workers.values()]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers.values():
            worker.kill()


def flights(folder: Path, count: int) -> Iterator[Sent]:
    """Flights and landings in the order of their time, by the partition of the carrier, then what ends the waiting."""
    events = pyarrow.csv.read_csv(folder / "flights.csv", convert_options=_TEXT).slice(0, count).to_pylist()
    partition = {event["id"]: zlib.crc32(event["carrier"].encode()) % PARTITIONS for event in events}
    landings = pyarrow.csv.read_csv(folder / "landings.csv", convert_options=_TEXT).to_pylist()
    labels = [landing for landing in landings if landing["id"] in partition]
    rows = [(event["time"], 0, "events", event) for event in events]
    rows += [(label["landed"], 1, "labels", label) for label in labels]
    rows.sort(key=lambda row: row[:2])
    for _, _, stream, row in rows:
        if stream == "events":
            row |= {"distance": float(row["distance"]), "hour": float(row["hour"])}
        yield stream, partition[row["id"]], json.dumps(row).encode()
    end = (datetime.fromisoformat(rows[-1][0]) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%MZ")
    for number in range(PARTITIONS):
        yield "events", number, json.dumps(events[-1] | {"id": f"end-{number}", "time": end}).encode()
        yield "labels", number, json.dumps({"id": "none", "late": "0", "landed": end}).encode()


_TEXT = pyarrow.csv.ConvertOptions(
    column_types=dict.fromkeys(("id", "time", "landed", "late", "weekday"), pyarrow.string())
)


def ends_of(records: list[Sent]) -> dict[str, list[int]]:
    """How far each shard must come; the last label of each has nothing behind it and waits."""
    counts = Counter((stream, partition) for stream, partition, _ in records)
    return {
        "events": [counts["events", number] for number in range(PARTITIONS)],
        "labels": [counts["labels", number] - 1 for number in range(PARTITIONS)],
    }


def differences(folder: Path, config: Config) -> list[str]:
    """What is not as the embedded engine has it."""
    found = []
    for shard in range(PARTITIONS):
        try:
            assert_equal(written(config, shard), embedded(folder, config, shard))
        except AssertionError as error:
            found.append(f"shard {shard}: {error}")
    return found


@click.command()
@click.option("--flights", "count", default=200_000)
@click.option("--kills", default=30)
@click.option("--joins", default=3, help="Each is followed by a leave.")
@click.option("--zombies", default=3)
@click.option("--restarts", default=2)
@click.option("--per-s", default=2500.0, help="Records that are sent in a second.")
@click.option("--seed", default=1)
@click.option("--folder", type=click.Path(path_type=Path), help="Keeps everything there.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def main(
    count: int, kills: int, joins: int, zombies: int, restarts: int, per_s: float, seed: int, folder: Path | None, *,
    as_json: bool,
) -> None:  # fmt: skip
    """Runs the chaos and compares."""
    stop_at_signals()
    logging.disable(logging.ERROR)  # of the producer, while the broker is away
    with tempfile.TemporaryDirectory() as temporary:
        work = folder or Path(temporary)
        with Broker(work / "broker") as broker:
            plan = ["kill"] * kills + ["zombie"] * zombies + ["restart"] * restarts + ["join", "leave"] * joins
            result = chaos(work, broker, count, plan, per_s, random.Random(seed))
    print(json.dumps(result) if as_json else "\n".join(f"{name}: {value}" for name, value in result.items()))
    sys.exit(bool(result["differences"]))


def chaos(work: Path, broker: Broker, count: int, plan: list[str], per_s: float, rng: random.Random) -> dict[str, Any]:
    """What happened and what differs."""
    started = time.monotonic()

    def report(what: str) -> None:
        print(f"{time.monotonic() - started:6.1f} s  {what}", file=sys.stderr, flush=True)

    file = write_flights(work)
    file.write_text(file.read_text() + KAFKA.replace("BOOTSTRAP", broker.bootstrap))
    config = load(file)
    create(config)
    records = list(flights(work, count))
    feed = Feed(config, records, per_s)
    with Team(file, broker, rng, report) as team:
        feed.start()
        pause_s = len(records) / per_s / (len(plan) + 1)
        for what in _in_order(plan, rng):
            wait(team, rng.uniform(0.4, 1.6) * pause_s)
            team.do(what)
            report(f"{feed.sent} records sent")
        while feed.is_alive():
            wait(team, 0.1)
        if feed.sent < len(records):
            raise RuntimeError(f"the producer sent {feed.sent} of {len(records)} records: {feed.error}")
        report("all is sent")
        settle(config, team, ends_of(records))
        report(f"all is taken: {taken(config)}")
        codes = team.stop()
    report(f"stopped with {codes}")
    found = {"records": len(records), **team.happened, "differences": differences(work, config)}
    return found | {"seconds": round(time.monotonic() - started, 1)}


def wait(team: Team, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        team.look_after()
        time.sleep(0.05)


def settle(config: Config, team: Team, ends: dict[str, list[int]]) -> None:
    """Until everything is taken; RuntimeError if it takes too long."""
    until = time.monotonic() + SETTLE_S
    while not all_taken(config, ends):
        if time.monotonic() > until:
            raise RuntimeError(f"after {SETTLE_S:g} s {taken(config)} is taken of {ends}")
        wait(team, 0.3)


def _in_order(plan: list[str], rng: random.Random) -> list[str]:
    """The plan shuffled, a leave only where more than two workers are there."""
    rng.shuffle(plan)
    found, extra = [], 0
    for what in plan:
        word = "join" if what == "leave" and not extra else "leave" if what == "join" and extra else what
        extra += (word == "join") - (word == "leave")
        found.append(word)
    return found


if __name__ == "__main__":
    main()
