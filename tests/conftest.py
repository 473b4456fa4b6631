"""For all tests: settings of hypothesis (the same examples every time), and a broker."""

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, settings

from compose.broker import Broker
from stream_app.edges.kernels import renew

STARTED = pytest.StashKey[Broker]()
FOLDER = pytest.StashKey["TemporaryDirectory[str]"]()
MANY = 1000  # tests, so that it is worth while to compile for all of them at first

settings.register_profile(
    "driftline",
    deadline=None,  # the first call compiles kernels
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("driftline")


@pytest.fixture(scope="session")
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator["Running"]:
    """One real Kafka for the whole run, started at first use; every test takes topics of its own."""
    given = getattr(request.config, "workerinput", None)
    if given is not None:
        yield Running(given["bootstrap"])
        return
    with Broker(tmp_path_factory.mktemp("kafka")) as started:
        yield Running(started.bootstrap)


class Running(NamedTuple):
    """The broker that all tests share: none of them may stop it."""

    bootstrap: str


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """With `-n`: the process that hands out the tests starts the broker for those that run them."""
    if STARTED not in node.config.stash:
        folder = node.config.stash[FOLDER] = TemporaryDirectory()
        node.config.stash[STARTED] = Broker(Path(folder.name)).__enter__()
    node.workerinput["bootstrap"] = node.config.stash[STARTED].bootstrap


def pytest_configure() -> None:
    renew(os.environ)  # kernels call each other across files


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """With `-n`: the processes share out what has to be compiled, instead of compiling all of it in each of them."""
    if hasattr(session.config, "workerinput") and len(session.items) > MANY:
        import warm  # noqa: F401, PLC0415


def pytest_unconfigure(config: pytest.Config) -> None:
    if STARTED in config.stash:
        config.stash[STARTED].stop()
        config.stash[FOLDER].cleanup()
