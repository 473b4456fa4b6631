"""`/metrics` for Prometheus: what a process exposes, and a server where it has none.

A scrape reads what the newest commits have put down (`meter`), in a thread of its own.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from importlib.metadata import version

from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder

from stream_app.edges.families import OF_PROCESS, OF_SHARD, OF_SHARD_OF_WORKER, OF_WORKER, Exposition
from stream_app.edges.health import WorkerStatus, host_and_port, joined, not_listening
from stream_app.edges.meter import Meter
from stream_app.edges.samples import of_notifications, of_shard, of_standing, of_worker

CONFIG_DIGITS = 12  # of the configuration's digest: enough to tell them apart

Notifications = Callable[[], dict[str, dict[str, int]]]


class Collector:
    """What one process tells when it is scraped: itself, its shards by their newest commits, how a worker stands."""

    def __init__(
        self, meter: Meter, notifications: Notifications = dict, worker: WorkerStatus | None = None, rebalances: int = 0
    ) -> None:
        self._meter, self._notifications, self._worker, self._rebalances = meter, notifications, worker, rebalances

    def collect(self) -> Iterator[Metric]:
        """One scrape."""
        meter, lags = self._meter, {}
        found = Exposition(OF_PROCESS, OF_SHARD, *([OF_WORKER, OF_SHARD_OF_WORKER] if self._worker else []))
        of_process = [
            ("driftline_build_info", (version("driftline"),), 1.0),
            ("driftline_monitor_info", (meter.engine, meter.config[:CONFIG_DIGITS]), 1.0),
            *of_notifications(self._notifications()),
        ]
        if self._worker is not None:
            of_process += of_worker(self._worker, self._rebalances)
            lags = {shard.shard: shard.lag for shard in self._worker.shards}
            for shard in self._worker.shards:
                found.add((meter.name, str(shard.shard)), of_shard(shard))
        found.add((meter.name,), of_process)
        for number, standing in meter.standings().items():
            found.add((meter.name, str(number)), of_standing(standing, lags.get(number, standing.lag)))
        yield from found


def registry(collector: Collector) -> CollectorRegistry:
    """All that a process exposes, the usual figures of any process included."""
    found = CollectorRegistry()
    for each in (collector, ProcessCollector(registry=None)):
        found.register(each)
    return found


@contextlib.contextmanager
def served(where: str, found: CollectorRegistry) -> Iterator[str]:
    """Answers at [HOST:]PORT from a thread, meanwhile; gives the address. ConfigError if nothing can listen there."""
    option = "driftline run", "--metrics"
    host, port = host_and_port(where, *option)
    try:
        server, thread = start_http_server(port, host, found)
    except OSError as error:
        raise not_listening(host, port, error, *option) from None
    try:
        yield joined(str(server.server_address[0]), server.server_port)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


async def answer(request: web.Request, found: CollectorRegistry) -> web.Response:
    """The answer to a scrape, made in a thread: the event loop has records to handle."""
    encode, kind = choose_encoder(request.headers.get("Accept", ""))
    response = web.Response(body=await asyncio.to_thread(encode, found), headers={"Content-Type": kind})
    response.enable_compression()
    return response
