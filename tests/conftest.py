"""For all tests: settings of hypothesis (the same examples every time), and a broker."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from compose.broker import Broker

settings.register_profile(
    "driftline",
    deadline=None,  # the first call compiles kernels
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("driftline")


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """One real Kafka for the whole run, started at first use; every test takes topics of its own."""
    with Broker(tmp_path_factory.mktemp("kafka")) as running:
        yield running
