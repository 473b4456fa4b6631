"""Prints the records a second of a replay of topics, measured as a worker is: from SETTLE_S after its first step.

Run: python benchmarks/paced.py replay|against CONFIG   (replay.py does)
"""

import asyncio
import sys
import time
from pathlib import Path

from kafka import SETTLE_S

from stream_app.config import load
from stream_app.messages import Progress
from stream_app.runners.replay import contrasted, replayed


async def rate(way: str, file: Path) -> float:
    """RuntimeError where it is over before it can be measured, or is not identical."""
    config, told = load(file), list[tuple[float, int]]()

    def report(progress: Progress) -> None:
        told.append((time.monotonic(), progress.records))

    if way == "against":
        records = (await contrasted(config, config, report=report)).records
    else:
        found = await replayed(config, report=report)
        records = found.records if found.identical else 0
    begun = [(at, done) for at, done in told if at >= told[0][0] + SETTLE_S]
    if not records or not begun:
        raise RuntimeError(f"{way} {file}: nothing to measure, or it differs")
    return (records - begun[0][1]) / (time.monotonic() - begun[0][0])


if __name__ == "__main__":
    print(asyncio.run(rate(sys.argv[1], Path(sys.argv[2]))))
