"""Has what nearly all tests need loaded and compiled, once for all processes: the core, and the detectors watched most.

Importing it is enough; the process from which commands are forked does so first. Where several processes begin at the
same time, each begins with another part and leaves the others to who is at it: on a fresh clone a part takes 15 s to
compile, and a moment to be read from numba's cache.
"""

import fcntl
import os
import sys
from collections.abc import Callable
from pathlib import Path

TESTS = Path(__file__).parent
sys.path[:0] = [] if str(TESTS) in sys.path else [str(TESTS.parent), str(TESTS)]

from detecting import small, stream  # noqa: E402
from streams import SMALL, made_stream, run_in_cuts  # noqa: E402
from tapes import rows_of, run, tape_of  # noqa: E402

import detectors  # noqa: E402
from stream_app import config, pipeline  # noqa: E402
from stream_app.models import Inputs, linear, make_model  # noqa: E402

WATCHING = ("ks", "psi", "adwin", "page_hinkley")


def detect() -> None:
    for name in WATCHING:
        small(name).update_many(stream(name, n=600))


def predict() -> None:
    X, y = rows_of("binary", 100)
    model = make_model(config.Model(), config.Task(), Inputs(("a", "b", "n", "p", "q"), (), 8, []), 0)
    run(model, tape_of(y, 3), X)


def take_in() -> None:
    run_in_cuts(config.parse(SMALL, "small.toml", {}), made_stream(seed=1, events=150), [])


PARTS: list[tuple[str, Callable[[], None]]] = [
    (detectors.__file__, detect),
    (linear.__file__, predict),
    (pipeline.__file__, take_in),
]


def warm(first: int) -> None:
    for file, part in PARTS[first:] + PARTS[:first]:
        with Path(file).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            part()


warm(int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % len(PARTS))
