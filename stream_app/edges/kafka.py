"""The cluster of a configuration: names of topics, ways to connect, and reading a known stretch of a partition."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Collection
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import KafkaConnectionError, KafkaError, SaslAuthenticationFailed, UnsupportedSaslMechanismError

from stream_app.config import Config, Kafka
from stream_app.edges.ahead import ahead
from stream_app.edges.batches import Records
from stream_app.edges.fetching import by_columns
from stream_app.errors import BrokerError, ConfigError

REQUEST_TIMEOUT_S = 30.0
POLL_S = 0.1
STOP_TIMEOUT_S = 5.0  # for a goodbye to a broker that may be away
CLOSED = "closed at once: correct $.kafka.security.protocol or $.kafka.bootstrap, or wait until the broker is up"
FETCH_BYTES = 4 << 20  # of one partition in one request


def cluster(config: Config) -> Kafka:
    """The [kafka] section; ConfigError where there is none."""
    if config.kafka is None:
        problem = '$.kafka: missing; add [kafka] with bootstrap = "HOST:PORT"'
        raise ConfigError([problem], config.name)
    return config.kafka


def topic(config: Config, stream: str) -> str:
    """The topic of a stream."""
    return cluster(config).topics.get(stream, f"{config.name}.{stream}")


def has_labels(config: Config) -> bool:
    """Whether labels come in a topic of their own."""
    kafka, schema = cluster(config), config.schema
    if kafka.labels is not None:
        return kafka.labels
    if config.source is not None:
        return config.source.labels is not None
    return schema.label is not None and schema.id is not None


def inputs(config: Config) -> tuple[str, ...]:
    """The streams that a worker reads."""
    return ("events", "labels", "control") if has_labels(config) else ("events", "control")


def connection(config: Config) -> dict[str, Any]:
    """Arguments by which every aiokafka client reaches the cluster."""
    kafka = cluster(config)
    found: dict[str, Any] = {"bootstrap_servers": [host.strip() for host in kafka.bootstrap.split(",")]}
    security = kafka.security
    if security is None:
        return found
    found["security_protocol"] = security.protocol
    if security.protocol != "SASL_PLAINTEXT":
        found["ssl_context"] = ssl_context(config)
    if security.protocol != "SSL":
        found |= {
            "sasl_mechanism": security.mechanism,
            "sasl_plain_username": security.username,
            "sasl_plain_password": security.password,
        }
    return found


def ssl_context(config: Config) -> ssl.SSLContext:
    """Trust and, if there is one, the client's certificate; ConfigError for files that cannot be used."""
    security = cluster(config).security
    assert security is not None
    try:
        context = ssl.create_default_context(cafile=security.ca_file)
        if security.cert_file is not None:
            context.load_cert_chain(security.cert_file, security.key_file)
    except OSError as error:
        problem = f"$.kafka.security: a certificate or key file cannot be used: {error}"
        raise ConfigError([problem], config.name) from None
    return context


@contextlib.asynccontextmanager
async def admin(config: Config) -> AsyncIterator[AIOKafkaAdminClient]:
    """A client that creates and describes; BrokerError if no broker answers."""
    client = AIOKafkaAdminClient(**connection(config), request_timeout_ms=int(REQUEST_TIMEOUT_S * 1000))
    async with answering(config):
        await client.start()
    try:
        async with answering(config):
            yield client
    finally:
        await client.close()


async def partitions(config: Config) -> dict[str, list[int]]:
    """The numbers of each topic's partitions, for all topics there are: to ask for one by its name might create it."""
    async with admin(config) as client:
        found = await client.describe_topics()
    return {topic["topic"]: sorted(part["partition"] for part in topic["partitions"]) for topic in found}


@contextlib.asynccontextmanager
async def consumer(
    config: Config, *topics: str, columns: Collection[str] = (), **options: Any
) -> AsyncIterator[AIOKafkaConsumer]:
    """A read_committed consumer, unless it is asked for otherwise; BrokerError if no broker answers, now or later.

    Of the topics in `columns` it gets `Records` of many records each.
    """
    defaults = {
        "isolation_level": "read_committed",
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        "max_partition_fetch_bytes": FETCH_BYTES,
    }
    client = AIOKafkaConsumer(*topics, **connection(config), **(defaults | options))
    try:
        async with answering(config):
            await client.start()
            by_columns(client, columns)
            yield client
    finally:
        # a task of its own: where the broker is away, aiokafka lets the cancellation of its fetches out of `stop`
        await asyncio.wait({asyncio.ensure_future(client.stop())}, timeout=STOP_TIMEOUT_S)


@contextlib.asynccontextmanager
async def answering(config: Config) -> AsyncIterator[None]:
    """Turns the errors of a client into one for people."""
    where = cluster(config).bootstrap
    try:
        yield
    except KafkaConnectionError as error:
        raise BrokerError(f"no connection to {where}: {await obstacle(config)}") from error
    except KafkaError as error:
        raise BrokerError(f"the broker at {where} refused: {error}") from error
    except TimeoutError as error:
        raise BrokerError(f"the broker at {where} did not answer in {REQUEST_TIMEOUT_S:g} s: try again") from error


async def obstacle(config: Config) -> str:
    """What keeps a client from connecting, and what to do about it; aiokafka's errors do not say."""
    options = connection(config) | {"request_timeout_ms": int(REQUEST_TIMEOUT_S * 1000)}
    host, port, _family = collect_hosts(options.pop("bootstrap_servers"))[0]
    try:
        client = await create_conn(host, port, **options)
    except SaslAuthenticationFailed as error:
        return f"{error.args[0]}: correct $.kafka.security.username and password"
    except UnsupportedSaslMechanismError:
        mechanism = options["sasl_mechanism"]
        return f"the broker does not offer SASL mechanism {mechanism}: correct $.kafka.security.mechanism"
    except ssl.SSLCertVerificationError as error:
        return f"its certificate is not trusted ({error.verify_message}): correct $.kafka.security.ca_file"
    except (ConnectionResetError, ssl.SSLError, KafkaError):
        return CLOSED
    except (OSError, TimeoutError) as error:
        return f"no broker answers ({error}): start it, or correct $.kafka.bootstrap"
    client.close()
    return CLOSED


async def read_between(
    client: AIOKafkaConsumer, place: TopicPartition, start: int, stop: int
) -> AsyncIterator[list[ConsumerRecord]]:
    """The committed records of one assigned partition with start ≤ offset < stop, in batches.

    Offsets need not be contiguous: markers of transactions and compacted records leave holes. TimeoutError when the
    broker sends nothing for REQUEST_TIMEOUT_S.
    """
    async for found in _between(client, place, start, stop):
        records = [record for record in found if record.offset < stop]
        if records:
            yield records


async def read_columns(
    client: AIOKafkaConsumer, place: TopicPartition, start: int, stop: int
) -> AsyncGenerator[Records]:
    """The same by columns, of a consumer that has them of this topic; a fetch ahead."""
    async with contextlib.aclosing(ahead(_between(client, place, start, stop))) as fetched:
        async for found in fetched:
            for some in found:
                if some.offset[0] < stop:
                    yield some.before(stop)


async def _between(client: AIOKafkaConsumer, place: TopicPartition, start: int, stop: int) -> AsyncGenerator[list[Any]]:
    client.seek(place, start)
    position = start
    while position < stop:
        yield await polled(client, place, stop)
        position = await client.position(place)


async def polled(client: AIOKafkaConsumer, place: TopicPartition, stop: int) -> list[Any]:
    """What comes next of an assigned partition; nothing where the client has come to offset `stop`.

    TimeoutError when the broker sends nothing for REQUEST_TIMEOUT_S; time in which this process did not listen, because
    it was busy, does not count.
    """
    for _ in range(int(REQUEST_TIMEOUT_S / POLL_S)):
        found = await client.getmany(place, timeout_ms=int(POLL_S * 1000))
        if found:
            return list(found[place])
        if await client.position(place) >= stop:
            return []
    raise TimeoutError
