"""Liveness and readiness: the judgement by itself, and the answers of a real server."""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from contextlib import closing
from typing import Any

import aiohttp
import pytest
from waiting import TIMEOUT_S

from stream_app.edges.health import Health, ShardStatus, WorkerStatus, judge
from stream_app.errors import ConfigError

FINE = WorkerStatus(joined=True, shards=(ShardStatus(shard=0, state="running"),))
RECOVERING = WorkerStatus(
    joined=True,
    shards=(
        ShardStatus(shard=0, state="running", committed_ago_s=0.1),
        ShardStatus(shard=2, state="recovering", recovered=0.5),
    ),
)
STUCK = ShardStatus(shard=7, state="running", lag=12, waiting_s=61, committed_ago_s=61)


def alone(**changes: Any) -> WorkerStatus:
    """A worker with one shard that is stuck but for the changes."""
    fields = {"shard": 7, "state": "running", "lag": 12, "waiting_s": 61.0, "committed_ago_s": 61.0}
    return WorkerStatus(joined=True, shards=(ShardStatus(**fields | changes),))


@pytest.mark.parametrize(
    ("status", "alive", "ready"),
    [
        (FINE, True, True),
        (WorkerStatus(joined=True), True, True),  # more workers than partitions
        (WorkerStatus(joined=False), True, False),
        (RECOVERING, True, False),
        (alone(), False, True),
        (alone(committed_ago_s=60.0), False, True),
        (alone(committed_ago_s=None), False, True),  # has never committed
        (alone(committed_ago_s=59.9), True, True),
        (alone(waiting_s=59.9), True, True),  # was idle for a minute, and then something came
        (alone(committed_ago_s=None, waiting_s=59.9), True, True),
        (alone(lag=0), True, True),
        (alone(state="recovering"), True, False),  # a recovery commits nothing, however long it takes
        (WorkerStatus(joined=True, shards=(*FINE.shards, STUCK)), False, True),  # one is enough
        (WorkerStatus(joined=False, shards=(STUCK,)), False, False),
    ],
)
def test_alive_and_ready(status: WorkerStatus, alive: bool, ready: bool) -> None:
    verdict = judge(status)

    assert (verdict.alive, verdict.ready) == (alive, ready)
    assert len(verdict.reasons) == (not alive) + (not ready)


def test_the_reasons_name_the_shard() -> None:
    (recovering,), (stuck,) = judge(RECOVERING).reasons, judge(alone()).reasons

    assert "shard 2 " in recovering
    assert "50 %" in recovering
    assert "shard 7 " in stuck
    assert "61 s" in stuck


def served(status: Callable[[], WorkerStatus], use: Callable[[str, aiohttp.ClientSession], Awaitable[None]]) -> None:
    """Runs a server on a free port, and `use` with its URL and a client."""

    async def main() -> None:
        async with (
            asyncio.timeout(TIMEOUT_S),
            Health("0", status) as health,
            aiohttp.ClientSession() as client,
        ):
            await use(f"http://{health.address}", client)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("status", "health", "ready"),
    [(FINE, 200, 200), (RECOVERING, 200, 503), (alone(), 503, 200), (WorkerStatus(joined=False), 200, 503)],
)
def test_answers_by_status_and_document(status: WorkerStatus, health: int, ready: int) -> None:
    async def use(url: str, client: aiohttp.ClientSession) -> None:
        for path, code in (("/health", health), ("/ready", ready)):
            answer = await client.get(url + path)
            document = await answer.json()

            assert answer.status == code
            assert document["status"] == ("ok" if code == 200 else "failed")
            assert document["reasons"] == judge(status).reasons
            assert [shard["shard"] for shard in document["shards"]] == [each.shard for each in status.shards]

    served(lambda: status, use)


def test_the_document_says_how_each_shard_stands() -> None:
    async def use(url: str, client: aiohttp.ClientSession) -> None:
        answer = await client.get(url + "/ready")

        assert json.loads(await answer.read())["shards"] == [
            {"shard": 0, "state": "running", "lag": 0, "waiting_s": 0, "committed_ago_s": 0.1, "recovered": 1},
            {"shard": 2, "state": "recovering", "lag": 0, "waiting_s": 0, "committed_ago_s": None, "recovered": 0.5},
        ]

    served(lambda: RECOVERING, use)


def test_each_request_asks_for_the_status_anew() -> None:
    statuses = iter([RECOVERING, FINE])

    async def use(url: str, client: aiohttp.ClientSession) -> None:
        assert [(await client.get(url + "/ready")).status for _ in range(2)] == [503, 200]

    served(lambda: next(statuses), use)


def test_heads_other_paths_and_other_methods() -> None:
    async def use(url: str, client: aiohttp.ClientSession) -> None:
        head = await client.head(url + "/health")
        assert (head.status, await head.read()) == (200, b"")
        assert [(await client.get(url + path)).status for path in ("/", "/healthz", "/ready/x")] == [404] * 3
        assert (await client.post(url + "/health")).status == 405

    served(lambda: FINE, use)


def test_a_status_that_cannot_be_told_is_no_health_and_ends_nothing() -> None:
    statuses = iter([FINE])  # the second request finds none

    async def use(url: str, client: aiohttp.ClientSession) -> None:
        assert [(await client.get(url + "/health")).status for _ in range(3)] == [200, 500, 500]

    served(lambda: next(statuses), use)


def test_a_port_in_use_is_a_wrong_configuration_that_names_it() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"

        async def main() -> None:
            async with asyncio.timeout(TIMEOUT_S), Health(where, lambda: FINE):
                pytest.fail("two servers on one port")

        with pytest.raises(ConfigError, match=rf"--health: .*{where}") as raised:
            asyncio.run(main())
    assert raised.value.exit_code == 2


@pytest.mark.parametrize("where", ["", "x", ":80", "80:", "127.0.0.1:", "127.0.0.1:x", "65536", "-1", "٣", "host:1.5"])
def test_what_is_no_address_is_refused(where: str) -> None:
    with pytest.raises(ConfigError, match="--health: "):
        Health(where, lambda: FINE)


def test_a_host_that_is_not_ours_is_refused() -> None:
    async def main() -> None:
        async with asyncio.timeout(TIMEOUT_S), Health("192.0.2.1:0", lambda: FINE):
            pytest.fail("listens on an address for documentation")

    with pytest.raises(ConfigError, match=r"192\.0\.2\.1:0"):
        asyncio.run(main())


def test_a_port_alone_is_of_the_loopback_and_free_again_afterwards() -> None:
    async def address_of(where: str) -> str:
        async with asyncio.timeout(TIMEOUT_S), Health(where, lambda: FINE) as health:
            return health.address

    address = asyncio.run(address_of("0"))

    assert address.startswith("127.0.0.1:")
    assert asyncio.run(address_of(address.partition(":")[2])) == address


def test_a_client_that_keeps_its_connection_does_not_keep_the_worker() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(TIMEOUT_S), aiohttp.ClientSession() as client:
            async with Health("0", lambda: FINE) as health:
                await (await client.get(f"http://{health.address}/health")).read()
                host, _, port = health.address.partition(":")
                _, silent = await asyncio.open_connection(host, int(port))
                asked = loop.time()
            took = loop.time() - asked
            silent.close()
            return took

    assert asyncio.run(main()) < 5
