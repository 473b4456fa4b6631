"""Kill a run again and again, and compare the log with that of a run that nobody killed.

    python tests/kill.py CONFIG --kills 50 --seed 1        at random moments
    python tests/kill.py CONFIG --statements 40 --seed 1   before a statement of a commit, chosen at random

Prints one JSON object; exit code 1 if a log differs. Each victim is a fork of a process that has everything loaded and
compiled: a run lasts as long as its work, so that the kills strike at the work and not at the imports.
"""

import argparse
import json
import math
import os
import random
import select
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stream_app.cli import cli
from stream_app.config import load
from stream_app.edges.log import Log
from stream_app.edges.snapshots import state_key
from stream_app.runners import embedded

FINAL_S = 240.0  # a victim that nobody kills ends within this


def run(config: Path, state: Path) -> None:
    """The command, in this process; a configuration may name the job, as ${JOB}."""
    os.environ["JOB"] = state.stem
    cli(["run", str(config), "--state", str(state), "--json"], standalone_mode=False)


def fork(work: Callable[[], None], errors: Path) -> int:
    """Start `work` in a process of its own, which ends with 0, or with 1 and its reason in the file `errors`."""
    pid = os.fork()
    if pid:
        return pid
    sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115
    try:
        work()
    except BaseException as error:  # noqa: BLE001
        errors.write_text(f"{type(error).__name__}: {error}")
        os._exit(1)
    os._exit(0)


def ended(pid: int, timeout_s: float, errors: Path) -> bool:
    """Wait for a process, at most so long, then kill it; whether it ended by itself, which must be well."""
    waiting = os.pidfd_open(pid)
    by_itself = bool(select.select([waiting], [], [], timeout_s)[0])
    os.close(waiting)
    if not by_itself:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return False
    assert status == 0, errors.read_text()
    return True


def digest(state: Path) -> dict[str, str]:
    with Log(state) as log:
        return log.digest()


def kill_at_random(config: Path, kills: int, rng: random.Random) -> dict[str, Any]:
    """Jobs, each run and killed until it is done, until so many kills have hit."""
    folder, errors = config.parent, config.parent / "errors"
    run(config, folder / "warm.db")  # compiles
    started = time.monotonic()
    run(config, folder / "whole.db")
    whole_s = time.monotonic() - started
    expected, hits, jobs, different = digest(folder / "whole.db"), 0, 0, []
    while hits < kills:
        jobs += 1
        state = folder / f"job{jobs}.db"
        while not ended(fork(lambda: run(config, state), errors), rng.uniform(0, whole_s), errors):  # noqa: B023
            hits += 1
        if digest(state) != expected:
            different.append(state.name)
    return {"kills": hits, "jobs": jobs, "different": different, "streams": sorted(expected), "run_s": whole_s}


def run_until_statement(config: Path, state: Path, fatal: int) -> int:
    """Run until the SQL statement of this number (from 0) is about to be executed; returns how many there were."""
    count = 0

    def die(_: str) -> None:
        nonlocal count
        if count == fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        count += 1

    with Log(state, write=True) as log:
        log._file._db.set_trace_callback(die)
        embedded.Embedded(load(config), log, key=state_key(os.environ)).run(lambda _: None)
    return count


def kill_at_statements(config: Path, kills: int, rng: random.Random) -> dict[str, Any]:
    """One kill per job, each before another statement; the first run after it finishes the job."""
    embedded.COMMIT_SHARE = math.inf  # a commit for each batch, however long it takes: as many statements in every run
    folder, errors = config.parent, config.parent / "errors"
    statements = run_until_statement(config, folder / "whole.db", -1)
    expected, hits, different = digest(folder / "whole.db"), 0, []
    for fatal in sorted(rng.sample(range(statements), min(kills, statements))):
        state = folder / f"statement{fatal}.db"
        hits += not ended(fork(lambda: run_until_statement(config, state, fatal), errors), FINAL_S, errors)  # noqa: B023
        assert ended(fork(lambda: run(config, state), errors), FINAL_S, errors)  # noqa: B023
        if digest(state) != expected:
            different.append(state.name)
    return {"kills": hits, "statements": statements, "different": different, "streams": sorted(expected)}


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("config", type=Path)
    asked.add_argument("--kills", type=int, default=0)
    asked.add_argument("--statements", type=int, default=0)
    asked.add_argument("--batch", type=int, default=embedded.BATCH, help="records between two commits, at least")
    asked.add_argument("--seed", type=int, default=1)
    options = asked.parse_args()
    embedded.BATCH = options.batch
    started, rng = time.monotonic(), random.Random(options.seed)
    with Path(os.devnull).open("w") as nowhere:
        told, sys.stdout = sys.stdout, nowhere
        kill = kill_at_statements if options.statements else kill_at_random
        result = kill(options.config, options.statements or options.kills, rng)
        sys.stdout = told
    print(json.dumps(result | {"seconds": round(time.monotonic() - started, 1)}))
    sys.exit(bool(result["different"]))


if __name__ == "__main__":
    main()
