"""The shards that one worker process owns: opened after each rebalance, closed before the next."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from stream_app.config import Config
from stream_app.edges import commits, journal, kafka
from stream_app.edges.health import ShardStatus, WorkerStatus
from stream_app.edges.meter import Meter
from stream_app.edges.transactions import TIMEOUT_S, Writer
from stream_app.pipeline import Pipeline
from stream_app.runners.recovery import Position, pass_gaps, recover
from stream_app.runners.shard import Behind, Shard

CLOSE_S = 8.0  # for the commits in hand; SIGTERM promises an end within 10 s

Place = tuple[str, int]  # topic, partition


class Member:
    """The shards that this process owns at present."""

    partitions: int  # of every topic
    fail: Callable[[BaseException], None]  # ends the process
    behind: Behind

    def __init__(self, config: Config, key: bytes) -> None:
        self.config, self.key = config, key
        self.meter, self.rebalances = Meter(config, "kafka"), 0
        self.streams = {kafka.topic(config, stream): stream for stream in kafka.inputs(config)}
        self.shards: dict[int, Shard] = {}
        self.recovered: dict[int, float] = {}  # shards that are being opened, and the share that is done
        self._parked: dict[int, Shard] = {}  # closed at a commit; good if nobody else has had them meanwhile
        self._running: dict[int, asyncio.Task[None]] = {}
        self._opening: asyncio.Future[Any] | None = None
        self.generation = -1
        self._behind: dict[int, float] = {}  # since when a shard was seen with something to commit
        self._finished = False
        self.failure: BaseException | None = None
        self.rehearsed = False  # all kernels that it needs are compiled

    # a rebalance

    async def open(self, numbers: set[int], generation: int) -> bool:
        """Recovers and starts the shards of these partitions; False if another rebalance interrupted it."""
        await self.close()
        self.generation = generation
        self.recovered = dict.fromkeys(sorted(numbers), 0.0)
        self._opening = asyncio.gather(*(self._open(number) for number in sorted(numbers)))
        try:
            await self._opening
        except asyncio.CancelledError:
            if self.generation == generation:  # it was not `close` that cancelled
                raise
            journal.warn("opening interrupted by another rebalance", generation=generation)
            return False
        finally:
            self._opening, self.recovered = None, {}
        self._parked.clear()
        self.rebalances += 1
        for number, shard in self.shards.items():
            self._running[number] = asyncio.create_task(self._run(shard))
        return True

    async def _open(self, number: int) -> None:
        writer = Writer(self.config, number)
        names = [*self.streams, kafka.topic(self.config, "commits"), kafka.topic(self.config, "snapshots")]
        try:
            await writer.open()  # from here on no other process can write for this shard
            async with kafka.consumer(self.config, columns=self.streams) as client:
                client.assign([TopicPartition(name, number) for name in names])
                shard, position = await self._recovered(client, number)
                await pass_gaps(client, self.config, number, position)
        except BaseException:
            await writer.close()
            raise
        shard.stand_at(position, writer)
        self.shards[number] = shard
        self.meter.opened(number, shard.pipeline)
        journal.tell("shard opened", shard=number, records=shard.pipeline.records, **position.next)

    async def _recovered(self, client: AIOKafkaConsumer, number: int) -> tuple[Shard, Position]:
        parked = self._parked.get(number)
        if parked is not None:
            found = await commits.newest(client, self.config, number)
            if (found[1].number if found else 0) == parked.position.number:
                return parked, parked.position
        pipeline = Pipeline(self.config, number, self.key)

        def progress(share: float) -> None:
            self.recovered[number] = share

        position = await recover(client, self.config, pipeline, number, self.partitions, self.key, progress)
        return Shard(self.config, number, self.partitions, pipeline, self.key, self.behind, self.meter), position

    async def _run(self, shard: Shard) -> None:
        try:
            await shard.run()
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001  (whatever it is, the process must not go on)
            self.failed(error)

    async def close(self, *, finish: bool = False) -> None:
        """Commits what was handled and parks the shards; with `finish`, a snapshot of each is left."""
        self.generation = -1
        if self._opening is not None:
            self._opening.cancel()
        shards, self.shards, running, self._running = self.shards, {}, self._running, {}
        for shard in shards.values():
            shard.close()
        if self.failure is not None:  # nothing is repaired in place
            for task in running.values():
                task.cancel()
            return
        async with asyncio.timeout(CLOSE_S if finish else TIMEOUT_S):
            await asyncio.gather(*running.values())
            await asyncio.gather(*(self._leave(shard, finish=finish) for shard in shards.values()))
        for number in shards:
            self.meter.closed(number)
        self._parked |= shards
        self._finished = finish

    async def _leave(self, shard: Shard, *, finish: bool) -> None:
        if finish:
            await shard.finish()
        await shard.writer.close()
        journal.tell("shard closed", shard=shard.number, records=shard.pipeline.records)

    def failed(self, error: BaseException) -> None:
        """Ends the process: the first error is the one that is told."""
        if self.failure is None:
            self.failure = error
            self.fail(error)

    def status(self) -> WorkerStatus:
        """How this worker stands, for whoever asks whether it is alive and ready."""
        opening = [
            ShardStatus(shard=number, state="recovering", recovered=share) for number, share in self.recovered.items()
        ]
        return WorkerStatus(
            joined=self.generation >= 0,
            rehearsed=self.rehearsed,
            shards=(*opening, *map(self._status, self.shards.values())),
        )

    def _status(self, shard: Shard) -> ShardStatus:
        now = time.monotonic()
        lag = shard.waiting + sum(self.behind((stream, shard.number)) for stream in self.streams.values())
        since = self._behind.setdefault(shard.number, now) if lag else now
        if not lag:
            self._behind.pop(shard.number, None)
        return ShardStatus(
            shard=shard.number,
            state="running",
            lag=lag,
            waiting_s=now - since,
            committed_ago_s=now - shard.committed,
        )

    # records

    def take(self, message: Any) -> None:
        """Hands a batch to its shard; one of an earlier generation is read again by whoever owns it now."""
        shard = self.shards.get(message.partition)
        if shard is not None and message.generation_id == self.generation:
            shard.push(self.streams[message.topic], message.value)

    def wants(self, place: Place) -> bool:
        shard = self.shards.get(place[1])
        return shard is not None and shard.wants(self.streams[place[0]])

    def reading(self) -> dict[Place, int]:
        """Offset of the next record that each shard takes in, by input partition."""
        return {
            (topic, shard.number): shard.expected[stream]
            for shard in self.shards.values()
            for topic, stream in self.streams.items()
        }

    def committed(self) -> dict[Place, int]:
        """The same behind the last commits, those of the end included."""
        shards = self._parked if self._finished else self.shards
        return {place: at for shard in shards.values() for place, at in self._places_of(shard).items()}

    def idle(self) -> list[Place]:
        """Input partitions of the shards that have committed all they were given."""
        return [place for shard in self.shards.values() if not shard.waiting for place in self._places_of(shard)]

    def _places_of(self, shard: Shard) -> dict[Place, int]:
        return {(topic, shard.number): shard.position.next[stream] for topic, stream in self.streams.items()}
