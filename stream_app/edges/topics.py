"""Topics: what those of a configuration should be, what is wrong with those that exist, and making what is missing.

The judgement (`wanted`, `findings`) is pure: descriptions in, findings out. Topics that exist are never altered.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, for_code

from stream_app.config import Config, receivers
from stream_app.config.checks import TOPICS
from stream_app.edges import kafka
from stream_app.edges.transactions import LARGEST_BYTES
from stream_app.errors import BrokerError, TopicError

INPUTS = ("events", "labels", "control")
COMPACTED = ("features", "archive", "snapshots")
INPUT_BYTES = 1_048_588  # the default of brokers, written down so that a change of it does not reach our topics
ESCAPED = 8  # times its size a record may take in a dead letter: six in JSON, and room
LETTER_BYTES = 64 << 10  # what else a dead letter holds, at most
SEGMENT_BYTES = 64 << 20  # small: only closed segments are compacted
DEADLINE_MS = 30_000  # until new topics have leaders


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it is or as it should be; `settings` as Kafka names and writes them."""

    name: str
    partitions: int
    replicas: int
    settings: Mapping[str, str]

    def number(self, setting: str) -> int:
        return int(self.settings[setting])


@dataclass(slots=True)
class Report:
    """What was found of one topic; `state` is "ok", "created", "missing" or "wrong"."""

    stream: str
    topic: Topic
    state: str = "ok"
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def streams(config: Config) -> tuple[str, ...]:
    """All streams of a configuration that have a topic."""
    left_out = {"labels"} if not kafka.has_labels(config) else set()
    left_out |= {"undelivered"} if not receivers(config) else set()
    return tuple(stream for stream in TOPICS if stream not in left_out)


# what should be


def wanted(config: Config, found: Mapping[str, Topic]) -> dict[str, Topic]:
    """Each stream's topic as it would be created beside those found: with as many partitions as the events have."""
    section = kafka.cluster(config)
    partitions = found["events"].partitions if "events" in found else section.partitions
    largest = max(LARGEST_BYTES, _required_bytes(config, found))
    made = {}
    for stream in streams(config):
        settings = {
            # acknowledged by all but one, so that one broker may be away and nothing is lost
            "min.insync.replicas": str(max(1, section.replication - 1)),
            "max.message.bytes": str(INPUT_BYTES if stream in INPUTS else largest),
        }
        if stream in COMPACTED:
            settings |= {"cleanup.policy": "compact"}
        else:
            settings |= {"cleanup.policy": "delete", "retention.ms": str(section.retention_ms)}
            settings["retention.bytes"] = "-1"  # whatever the brokers' default is
        if stream == "snapshots":
            settings |= {
                "segment.bytes": str(max(SEGMENT_BYTES, largest)),
                "segment.ms": "3600000",
                "min.cleanable.dirty.ratio": "0.1",
            }
        made[stream] = Topic(kafka.topic(config, stream), partitions, section.replication, settings)
    return made


def _required_bytes(config: Config, found: Mapping[str, Topic]) -> int:
    """The largest message that an output topic must take: a dead letter with the largest record of an input."""
    sizes = [found[s].number("max.message.bytes") if s in found else INPUT_BYTES for s in kafka.inputs(config)]
    return ESCAPED * max(sizes) + LETTER_BYTES


# what is wrong


def findings(config: Config, found: Mapping[str, Topic], only: Iterable[str] | None = None) -> list[Report]:
    """A report on each topic, existing or not; `only` some streams."""
    reports = []
    for stream, should in wanted(config, found).items():
        if only is not None and stream not in only:
            continue
        topic = found.get(stream)
        if topic is None:
            missing = f"{should.name} does not exist: `driftline topics` creates it"
            reports.append(Report(stream, should, "missing", [missing]))
        else:
            problems = [*_partitions(config, stream, found), *_cleanup(config, stream, topic)]
            problems += [*_retention(config, stream, topic), *_sizes(config, stream, found)]
            problems += _replicas(config, topic)
            warnings = list(_warnings(config, stream, topic))
            reports.append(Report(stream, topic, "wrong" if problems else "ok", problems, warnings))
    return reports


def _partitions(config: Config, stream: str, found: Mapping[str, Topic]) -> Iterator[str]:
    topic = found[stream]
    events = found.get("events")
    count = events.partitions if events else kafka.cluster(config).partitions
    if topic.partitions == count:
        return
    whose = f"{events.name} has {count}" if events else f"$.kafka.partitions is {count}"
    yield (
        f"{topic.name} has {topic.partitions} partitions, but {whose}: all topics need the same number, and it cannot "
        "be changed under a worker because keys would move between shards. If nothing in it is needed, delete it with "
        f"`{_shell(config, 'topics')} --delete --topic {topic.name}` and create it anew with `driftline topics`; "
        f"else name another under $.kafka.topics.{stream}, or replay everything into a new $.name"
    )


def _cleanup(config: Config, stream: str, topic: Topic) -> Iterator[str]:
    policy = topic.settings["cleanup.policy"]
    policies = {name.strip() for name in policy.split(",")}
    if stream in COMPACTED and "compact" not in policies:
        yield f"{topic.name} is not compacted: {_alter(config, topic, 'cleanup.policy=compact')}"
    elif stream == "snapshots" and "delete" in policies:
        fix = _alter(config, topic, "cleanup.policy=compact")
        yield f"{topic.name} is compacted and deleted by age, which takes the state of a worker that pauses: {fix}"
    elif stream not in COMPACTED and "compact" in policies:
        fix = _alter(config, topic, "cleanup.policy=delete")
        yield f"{topic.name} is compacted, which loses records that have the same key: {fix}"


def _retention(config: Config, stream: str, topic: Topic) -> Iterator[str]:
    section = kafka.cluster(config)
    if not _decides_recovery(stream, topic) or not 0 <= topic.number("retention.ms") < section.snapshot_ms:
        return
    fix = _alter(config, topic, f"retention.ms={section.retention_ms}")
    yield (
        f"{topic.name} keeps records for {topic.settings['retention.ms']} ms (retention.ms), less than the "
        f"{section.snapshot_ms} ms between two snapshots, from which a restart reads on: {fix}"
    )


def _sizes(config: Config, stream: str, found: Mapping[str, Topic]) -> Iterator[str]:
    topic, required = found[stream], _required_bytes(config, found)
    if stream not in INPUTS and topic.number("max.message.bytes") < required:
        fix = _alter(config, topic, f"max.message.bytes={max(LARGEST_BYTES, required)}")
        yield (
            f"{topic.name} takes messages of {topic.number('max.message.bytes')} bytes, but a dead letter "
            f"of the largest record of the inputs can have {required} (max.message.bytes): {fix}"
        )


def _replicas(config: Config, topic: Topic) -> Iterator[str]:
    needed = topic.number("min.insync.replicas")
    if needed > topic.replicas:
        fix = _alter(config, topic, f"min.insync.replicas={max(1, topic.replicas - 1)}")
        yield f"{topic.name} has {topic.replicas} replicas and takes no write with fewer than {needed} in sync: {fix}"


def _warnings(config: Config, stream: str, topic: Topic) -> Iterator[str]:
    section = kafka.cluster(config)
    if _decides_recovery(stream, topic) and topic.number("retention.bytes") >= 0:
        fix = _alter(config, topic, "retention.bytes=-1")
        kept = topic.settings["retention.bytes"]
        yield f"{topic.name} drops what exceeds {kept} bytes (retention.bytes), whether it was read or not: {fix}"
    if topic.replicas < section.replication:
        yield (
            f"{topic.name} has {topic.replicas} replicas, but $.kafka.replication is {section.replication}: "
            f"`kafka-reassign-partitions.sh` adds some"
        )
    if stream == "events" and topic.partitions != section.partitions:
        yield (
            f"{topic.name} has {topic.partitions} partitions, and so must all topics have: "
            f"set $.kafka.partitions = {topic.partitions}"
        )


def _decides_recovery(stream: str, topic: Topic) -> bool:
    """Whether records that are deleted here are missed by a worker that starts again."""
    return stream in (*INPUTS, "commits") and "delete" in topic.settings["cleanup.policy"]


def _alter(config: Config, topic: Topic, setting: str) -> str:
    return (
        f"`{_shell(config, 'configs')} --alter --entity-type topics --entity-name {topic.name} --add-config {setting}`"
    )


def _shell(config: Config, tool: str) -> str:
    return f"kafka-{tool}.sh --bootstrap-server {kafka.cluster(config).bootstrap}"


def refuse(config: Config, reports: Iterable[Report]) -> None:
    """TopicError with every problem of the reports, if there is one."""
    problems = [problem for report in reports for problem in report.problems]
    if problems:
        count = f"{len(problems)} problem{'s' * (len(problems) != 1)} with its topics"
        raise TopicError("\n".join([f"{config.name}: {count}", *(f"  {problem}" for problem in problems)]))


# what is there


async def described(config: Config) -> dict[str, Topic]:
    """The topics that exist, by stream; BrokerError if no broker answers."""
    async with kafka.admin(config) as client:
        return await _described(config, client)


async def checked(config: Config, only: Iterable[str] | None = None) -> int:
    """The number of partitions that every topic has; TopicError with all that is wrong (`only` with some streams)."""
    found = await described(config)
    refuse(config, findings(config, found, only))
    return found["events"].partitions


async def ensure(config: Config, *, create: bool = True) -> list[Report]:
    """Creates what is missing unless told not to, and reports on every topic; may run twice at once."""
    async with kafka.admin(config) as client:
        found = await _described(config, client)
        missing = {stream: topic for stream, topic in wanted(config, found).items() if stream not in found}
        if not create or not missing:
            return findings(config, found)
        refused = await _create(client, missing.values())
        made = {stream: topic for stream, topic in missing.items() if topic.name not in refused}
        await _wait_for_leaders(config, made.values())
        found = await _described(config, client)
    late = [topic.name for stream, topic in made.items() if stream not in found]
    if late:
        raise BrokerError(f"{', '.join(late)} was created, but is not known to every broker yet: try again")
    reports = findings(config, found)
    for report in reports:
        if report.stream in missing:
            report.problems = refused.get(report.topic.name, report.problems)
            report.state = "created" if report.state == "ok" else report.state
    return reports


async def _described(config: Config, client: AIOKafkaAdminClient) -> dict[str, Topic]:
    # all topics of the cluster, because to ask for one by its name may create it
    there = {topic["topic"]: topic["partitions"] for topic in await client.describe_topics()}
    names = {kafka.topic(config, stream): stream for stream in streams(config)}
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names if name in there]
    found = {}
    for response in await client.describe_configs(resources) if resources else []:
        for code, reason, _, name, entries in response.resources:
            if code:
                raise for_code(code)(f"{name}: {reason}")
            settings = {entry[0]: entry[1] for entry in entries if entry[1] is not None}
            replicas = min(len(partition["replicas"]) for partition in there[name])
            found[names[name]] = Topic(name, len(there[name]), replicas, settings)
    return found


async def _create(client: AIOKafkaAdminClient, topics: Iterable[Topic]) -> dict[str, list[str]]:
    """Asks for new topics; returns the reason for each that the broker does not want to have."""
    new = [NewTopic(t.name, t.partitions, t.replicas, topic_configs=dict(t.settings)) for t in topics]
    refused: dict[str, list[str]] = {}
    response: Any = await client.create_topics(new)
    for name, code, *reason in response.topic_errors:
        error: Any = for_code(code)
        if code in (0, TopicAlreadyExistsError.errno):  # another has just created it
            continue
        if error.retriable:
            raise error(f"{name}: {reason}")
        refused[name] = [f"{name} could not be created: {reason[0] if reason and reason[0] else error.message}"]
    return refused


async def _wait_for_leaders(config: Config, topics: Iterable[Topic]) -> None:
    places = [TopicPartition(topic.name, number) for topic in topics for number in range(topic.partitions)]
    if not places:
        return
    async with kafka.consumer(config, request_timeout_ms=DEADLINE_MS) as client:
        await client.end_offsets(places)
