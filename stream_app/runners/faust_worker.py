"""The Kafka worker: a Faust app that owns some shards of a monitor; start one, start ten, kill any.

Faust keeps the group, the fetching and the order of a rebalance. Three of its classes are extended, because a message
per record would cost 75 µs each and its group offsets are not what decides (tests/test_faust_worker.py pins what is
used of its inside):

BatchConsumer   one message per partition and fetch; seeks to the shards' commits; reads committed records only
BatchTopic      passes such a message on as it is
CoPartitioned   gives all inputs of a shard to the same worker
"""

import asyncio
import logging
import os
import signal
import threading
from collections.abc import AsyncIterator, Mapping
from types import MappingProxyType
from typing import Any

import faust
from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata
from faust.assignor.partition_assignor import PartitionAssignor
from faust.auth import SASLCredentials, SSLCredentials
from faust.tables.recovery import RebalanceAgain
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage
from mode import CrashingSupervisor

from stream_app.config import Config
from stream_app.edges import compiling, journal, kafka, prometheus, topics, transactions
from stream_app.edges.batches import Records
from stream_app.edges.fetching import by_columns
from stream_app.edges.health import Health
from stream_app.errors import BrokerError, DriftlineError
from stream_app.runners.member import Member
from stream_app.runners.rehearsal import rehearse

FETCH_PARTS = 2  # of up to fetching.MOST records, of all partitions together, at a time
FETCH_WAIT_MS = 50  # one request a broker at a time: while one for an idle partition waits, no other gets records
FULL_WAIT_S = 0.02  # between two looks at whether shards that had enough want more
HINT_TIMEOUT_S = 5.0
HINT_S = 1.0  # how often the group's offsets, which lag tools read, follow the commits
GRACE_S = 9.0  # a process that was asked to stop, or failed, ends after so long whatever hangs
NOTIFY_GRACE_S = 2.0  # of it, for deliveries under way; the others go on with the rest
REQUESTS = (signal.SIGINT, signal.SIGTERM)
RETRY_S = 2.0  # between two attempts to reach a broker at the start


class CommittedThread(driver.AIOKafkaConsumerThread):
    """The thread with aiokafka's consumer, which must not see records of aborted transactions."""

    app: "App"

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"  # noqa: SLF001  (only Faust's own transactions would set it)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS  # noqa: SLF001  (Faust has no setting for it)
        return consumer

    async def on_start(self) -> None:
        await super().on_start()
        by_columns(self._consumer, self.app.member.streams)

    async def hint(self, offsets: dict[TP, int]) -> bool:
        """Writes the group's offsets; True if they were."""
        places = {driver.ensure_aiokafka_TP(place): OffsetAndMetadata(at, "") for place, at in offsets.items()}
        try:
            async with asyncio.timeout(HINT_TIMEOUT_S):
                await self._ensure_consumer().commit(places)
        except (KafkaError, TimeoutError) as error:  # in a rebalance, or without a broker: nobody depends on them
            journal.warn("the group's offsets were not written", reason=repr(error))
            return False
        return True

    async def on_thread_stop(self) -> None:
        if self._consumer is not None and self.app.member.failure is None:
            # a static member that was asked to stop leaves too, so that others take its partitions at once
            self._consumer._coordinator._group_instance_id = None  # noqa: SLF001
        await super().on_thread_stop()


class BatchConsumer(driver.Consumer):
    """Fetches for shards that have room, a message per partition; the shards' commits are the only positions."""

    app: "App"
    _thread: CommittedThread
    _seeks = 0
    _positions: Mapping[TP, int] = MappingProxyType({})

    def _new_consumer_thread(self) -> CommittedThread:
        return CommittedThread(self, loop=self.loop, beacon=self.beacon)

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:  # noqa: ASYNC109
        wanted = {place for place in active_partitions or () if self.app.member.wants(place)}
        if not wanted:
            await asyncio.sleep(FULL_WAIT_S)
            return {}
        seeks = self._seeks
        found = await super()._getmany(wanted, timeout if wanted == active_partitions else FULL_WAIT_S)
        if seeks == self._seeks:
            return found
        await self.perform_seek()  # nobody knows whether these are from before or behind the last one
        return {}

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Any]]:  # noqa: ASYNC109
        records, _ = await self._wait_next_records(timeout)
        generation = self.app.consumer_generation_id
        if not records or self.should_stop:
            return
        for place, batch in records.items():
            if not self.flow_active or generation != self.app.consumer_generation_id:
                return  # a rebalance: its end seeks to the commits
            yield place, _message(place, Records.joined(batch), generation)

    async def perform_seek(self) -> None:
        self._seeks += 1
        self._read_offset.clear()
        await self.seek_wait({TP(*place): offset for place, offset in self.app.member.reading().items()})

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:  # noqa: ARG002
        """The group's offsets are a hint for lag tools; nobody resumes from them."""
        offsets = {TP(*place): offset for place, offset in self.app.member.committed().items()}
        offsets |= {place: read for place, read in self._rested().items() if read > offsets[place]}
        new = {place: at for place, at in offsets.items() if self._committed_offset.get(place) != at}
        if not new or not await self._thread.call_thread(self._thread.hint, new):
            return False
        self._committed_offset.update(new)
        return True

    def behind(self, place: tuple[str, int]) -> int:
        """How many committed records of a partition the broker was seen to have and were not read; unknown is 1."""
        state = self._state(place)
        return 1 if state is None or state.lso is None else max(state.lso - state.position, 0)

    def _rested(self) -> dict[TP, int]:
        """Positions that have not moved since the last call, of idle shards: behind them are only markers."""
        states = {TP(*place): self._state(place) for place in self.app.member.idle()}
        now = {place: state.position for place, state in states.items() if state is not None}
        rested = {place: read for place, read in now.items() if self._positions.get(place) == read}
        self._positions = now
        return rested

    def _state(self, place: tuple[str, int]) -> Any:
        """What aiokafka knows of an assigned partition; None before its first fetch."""
        subscription = self._thread._ensure_consumer()._subscription.subscription  # noqa: SLF001
        place = driver.ensure_aiokafka_TP(TP(*place))
        if subscription is None or subscription.assignment is None or place not in subscription.assignment.tps:
            return None
        state = subscription.assignment.state_value(place)
        return state if state.has_valid_position else None

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Nothing: holes in the offsets, such as markers of transactions, are no concern of the commits."""


def _message(place: TP, records: Records, generation: int) -> ConsumerMessage:
    """What Faust hands on; nothing but the place and the value is looked at."""
    last, sent_s = int(records.offset[-1]), int(records.time_ms[-1]) / 1000
    value: Any = records
    return ConsumerMessage(*place, last, sent_s, 0, None, None, value, None, tp=place, generation_id=generation)


class BatchTopic(faust.Topic):
    """Topics whose messages are `Records`."""

    def _compile_decode(self) -> None:
        async def decode(message: Any, *, propagate: bool = False) -> Any:  # noqa: ARG001
            return self._create_event(message.key, message.value, message.headers, message)

        self.decode = decode  # type: ignore[method-assign]


class CoPartitioned(PartitionAssignor):
    """Faust's assignor, which keeps equal partitions of all topics together, without its standby replicas."""

    def __init__(self, app: Any, replicas: int = 0) -> None:  # noqa: ARG002
        super().__init__(app, replicas=0)


class App(faust.App):
    """The Faust app of one member."""

    member: Member

    def _create_directories(self) -> None:
        """None: there are no tables."""


def application(config: Config, member: Member, instance: str) -> App:
    """The Faust app: every setting that differs from the default has its reason in the design notes."""
    section = kafka.cluster(config)
    app = App(
        config.name,
        broker=";".join(f"kafka://{host.strip()}" for host in section.bootstrap.split(",")),
        broker_credentials=_credentials(config),
        broker_session_timeout=section.session_ms / 1000,
        broker_heartbeat_interval=min(1.0, section.session_ms / 3000),
        broker_request_timeout=max(90.0, section.session_ms / 1000),
        broker_max_poll_records=FETCH_PARTS,
        broker_commit_interval=HINT_S,
        consumer_group_instance_id=instance,
        consumer_max_fetch_size=kafka.FETCH_BYTES,
        stream_buffer_maxsize=8,
        stream_wait_empty=False,  # what was handed to a shard is committed when the shard is closed
        agent_supervisor=CrashingSupervisor,
        PartitionAssignor=CoPartitioned,
        table_standby_replicas=1,  # without it Faust takes an assignor that splits the topics
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        store="memory://",
        worker_redirect_stdouts=False,
    )
    app.member, extended = member, {"Consumer": BatchConsumer}
    vars(app.transport).update(extended)
    app.conf.Topic = BatchTopic  # type: ignore[assignment]
    source = app.topic(*member.streams, key_serializer="raw", value_serializer="raw", value_type=bytes)

    @app.agent(source)
    async def shards(stream: Any) -> None:
        async for event in stream.noack().events():
            member.take(event.message)

    _connect(app)
    return app


def _connect(app: App) -> None:
    """The signals of a rebalance: only the last of them is a barrier that holds records back."""
    member = app.member

    async def opened(*_: Any, **__: Any) -> None:
        numbers = {place.partition for place in app.consumer.assignment()}
        try:
            whole = await member.open(numbers, app.consumer_generation_id)
        except Exception as error:
            member.failed(error)
            raise
        if not whole:
            raise RebalanceAgain  # so that Faust does not let records flow in the middle of it

    async def closed(*_: Any, **__: Any) -> None:
        await member.close()

    async def stopping(*_: Any, **__: Any) -> None:
        await member.close(finish=True)

    app.on_rebalance_complete.connect(opened)
    app.on_partitions_revoked.connect(closed)
    app.on_before_shutdown.connect(stopping)


def _credentials(config: Config) -> Any:
    found = kafka.connection(config)
    if "sasl_mechanism" in found:
        return SASLCredentials(
            username=found["sasl_plain_username"],
            password=found["sasl_plain_password"],
            mechanism=found["sasl_mechanism"],
            ssl_context=found.get("ssl_context"),
        )
    return SSLCredentials(context=found["ssl_context"]) if "ssl_context" in found else None


class Process(faust.Worker):
    """Runs the app until a signal or a failure, and ends in any case."""

    def __init__(self, app: App, **options: Any) -> None:
        super().__init__(app, quiet=True, override_logging=False, **options)
        self.spinner = None

    def install_signal_handlers(self) -> None:
        """Not the loop's own: to take one away is to be killed by a signal that comes just then."""

        def ask(number: int, _frame: Any) -> None:
            for again in REQUESTS:  # who asks again must not get another exit code
                signal.signal(again, signal.SIG_IGN)
            if not self.loop.is_closed():
                self.loop.call_soon_threadsafe(self._asked, signal.Signals(number))

        for number in REQUESTS:
            signal.signal(number, ask)

    def _asked(self, number: signal.Signals) -> None:
        journal.tell("stopping", signal=number.name)
        end_after(GRACE_S, 1)
        self._schedule_shutdown(number)

    def failed(self, error: BaseException) -> None:
        if isinstance(error, DriftlineError):
            journal.fail("worker failed", reason=str(error))  # it says all there is to say
        else:
            journal.fail("worker failed", error)
        journal.end()
        end_after(GRACE_S, 1)
        self.add_future(self.app.crash(error))


def end_after(seconds: float, code: int) -> None:
    """Ends this process then, if it still lives: clients of a broker that is away can wait for ever."""

    def end() -> None:
        journal.fail("did not end in time", seconds=seconds)
        logging.shutdown()
        os._exit(code)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


def run(
    config: Config,
    *,
    key: bytes,
    instance: str,
    health: str | None = None,
    notifications: prometheus.Notifications = dict,
) -> None:
    """Works until SIGTERM or SIGINT; raises what made it fail. `health`: [HOST:]PORT of the HTTP endpoints."""
    for number in REQUESTS:
        # nothing is to be finished before the app has started; an exception might be lost in whatever runs just then
        signal.signal(number, lambda *_: os._exit(0))
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    member = Member(config, key)
    if health is not None:
        server = loop.run_until_complete(_answering(health, member, notifications).__aenter__())
        journal.tell("health", address=server.address)
    # before it joins the group, where a member that compiles would look like a dead one; health is answered meanwhile
    loop.run_until_complete(asyncio.to_thread(_rehearsed, config))
    member.rehearsed = True
    member.partitions = loop.run_until_complete(_prepared(config))
    app = application(config, member, instance)
    process = Process(app, loop=loop)
    member.fail = process.failed
    member.behind = lambda place: app.consumer.behind((kafka.topic(config, place[0]), place[1]))  # type: ignore[attr-defined]
    journal.tell("started", name=config.name, instance=instance, partitions=member.partitions)
    try:
        process.execute_from_commandline()
    except SystemExit as ended:
        if member.failure is not None:
            raise member.failure from None
        if ended.code:
            raise BrokerError("the worker ended without having been asked to; its log says why") from None


def _answering(where: str, member: Member, notifications: prometheus.Notifications) -> Health:
    """Health, readiness and metrics of this process."""

    async def metrics(request: Any) -> Any:
        collector = prometheus.Collector(member.meter, notifications, member.status(), member.rebalances)
        return await prometheus.answer(request, prometheus.registry(collector))

    return Health(where, member.status, metrics)


def _rehearsed(config: Config) -> None:
    with compiling.logged():
        rehearse(config, written=transactions.rehearsed)


async def _prepared(config: Config) -> int:
    """The number of partitions, once a broker answers; TopicError where the topics are not as they must be."""
    while True:
        try:
            return await topics.checked(config)
        except BrokerError as error:
            journal.warn("waiting for a broker", reason=str(error))
            await asyncio.sleep(RETRY_S)
