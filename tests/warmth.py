"""A program for test_rehearsal.py: rehearses, runs a real stream, prints the overloads that only the stream needed."""

import json
import sys
from pathlib import Path
from typing import Any

from numba.core.dispatcher import Dispatcher
from runs import KEY
from streams import SMALL, made_stream, run_in_cuts

from stream_app.config import load, parse
from stream_app.edges.log import Log
from stream_app.edges.transactions import rehearsed
from stream_app.runners.embedded import Embedded
from stream_app.runners.rehearsal import rehearse


def overloads() -> set[tuple[str, str]]:
    """Kernel and signature of all that has been called."""
    kernels = {
        id(value): value
        for name, module in list(sys.modules.items())
        if name.partition(".")[0] in {"stream_app", "detectors"}
        for value in vars(module).values()
        if isinstance(value, Dispatcher)
    }
    return {(kernel.py_func.__qualname__, str(args)) for kernel in kernels.values() for args in kernel.overloads}


def run_small() -> None:
    """Late, early and missing labels, segments, junk, commands: cut anywhere."""
    run_in_cuts(parse(SMALL, "small.toml", {}), made_stream(1, 2500), [1, 400, 401, 1500])


def run_file(path: Path) -> dict[str, Any]:
    """The whole of a source, in two runs: the second resumes."""
    calls = iter([False] * 2 + [True])
    for stop in (lambda: next(calls), bool):
        with Log(path.with_suffix(".db"), write=True) as log:
            engine = Embedded(load(path), log, key=KEY)
            engine.run(lambda _: None, stop=stop)
            summary = engine.summary(0.0)
    return summary


def main() -> None:
    """Argument: a configuration, or nothing for the tests' small one."""
    summary = {}
    if len(sys.argv) > 1:
        path = Path(sys.argv[1])
        config = load(path)
        with Log(path.with_suffix(".warm.db"), write=True) as log:
            rehearse(config, Embedded(config, log, key=KEY).forms)
    else:
        rehearse(parse(SMALL, "small.toml", {}), written=rehearsed)
    before = overloads()
    if len(sys.argv) > 1:
        summary = run_file(path)
    else:
        run_small()
    missed = sorted(overloads() - before)
    print(json.dumps({"kernels": len(before), "missed": missed, "summary": summary}, default=float))


if __name__ == "__main__":
    main()
