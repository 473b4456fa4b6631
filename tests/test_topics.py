"""The topics of a configuration on a real broker: created as they must be, judged when they exist, never altered."""

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from aiokafka.admin import NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from command import driftline
from waiting import TIMEOUT_S

from compose.broker import Broker, free_ports
from stream_app.config import Config, load
from stream_app.edges import kafka, topics
from stream_app.edges.topics import Topic, checked, described, ensure, findings, wanted
from stream_app.errors import BrokerError, TopicError

DAY_MS = 86_400_000

CONFIG = """
name = "{name}"
[kafka]
bootstrap = "{bootstrap}"
{lines}
[schema]
id = "id"
label = "y"
[schema.fields]
x = {{ type = "number" }}
"""


def config(folder: Path, bootstrap: str, name: str, lines: str = "") -> Config:
    file = folder / f"{name}.toml"
    file.write_text(CONFIG.format(name=name, bootstrap=bootstrap, lines=lines))
    return load(file)


@pytest.fixture
def plain(tmp_path: Path) -> Config:
    return config(tmp_path, "127.0.0.1:9", "plain")


def create(tree: Config, changes: Mapping[str, tuple[int, dict[str, str]]]) -> None:
    """Topics made by somebody else: partitions and settings by stream."""

    async def work() -> None:
        async with asyncio.timeout(TIMEOUT_S), kafka.admin(tree) as client:
            new = [NewTopic(kafka.topic(tree, s), n, 1, topic_configs=given) for s, (n, given) in changes.items()]
            await client.create_topics(new)

    asyncio.run(work())


def names_on(tree: Config) -> list[str]:
    async def work() -> list[str]:
        async with asyncio.timeout(TIMEOUT_S), kafka.admin(tree) as client:
            return [name for name in await client.list_topics() if name.startswith(f"{tree.name}.")]

    return asyncio.run(work())


# what should be


def test_each_topic_is_wanted_as_its_stream_needs_it(plain: Config) -> None:
    made = wanted(plain, {})
    policies = {stream: topic.settings["cleanup.policy"] for stream, topic in made.items()}

    assert {stream for stream, policy in policies.items() if policy == "compact"} == {
        "features",
        "archive",
        "snapshots",
    }
    assert len(made) == 16
    assert {topic.partitions for topic in made.values()} == {4}
    assert all(t.number("retention.ms") == 7 * DAY_MS for s, t in made.items() if policies[s] == "delete")
    assert made["dead-letters"].number("max.message.bytes") == 16 << 20
    assert made["snapshots"].number("segment.bytes") == 64 << 20
    assert [finding.problems for finding in findings(plain, made)] == [[]] * 16
    assert [finding.warnings for finding in findings(plain, made)] == [[]] * 16


def test_without_labels_there_is_no_topic_for_them(tmp_path: Path) -> None:
    made = wanted(config(tmp_path, "127.0.0.1:9", "plain", "labels = false"), {})

    assert "labels" not in made
    assert len(made) == 15


def test_the_events_decide_how_many_partitions_the_others_have(plain: Config) -> None:
    events = replace(wanted(plain, {})["events"], partitions=6)

    assert {topic.partitions for topic in wanted(plain, {"events": events}).values()} == {6}


def test_outputs_take_the_largest_record_of_the_inputs_in_a_dead_letter(plain: Config) -> None:
    events = wanted(plain, {})["events"]
    larger = replace(events, settings={**events.settings, "max.message.bytes": str(10 << 20)})

    made = wanted(plain, {"events": larger})

    assert made["dead-letters"].number("max.message.bytes") >= 80 << 20
    assert made["snapshots"].number("segment.bytes") >= 80 << 20


def test_with_replicas_one_broker_may_be_away(tmp_path: Path) -> None:
    made = wanted(config(tmp_path, "127.0.0.1:9", "plain", "replication = 3"), {})

    assert {(topic.replicas, topic.settings["min.insync.replicas"]) for topic in made.values()} == {(3, "2")}


# what is wrong


@pytest.mark.parametrize(
    ("stream", "setting", "value"),
    [
        ("features", "cleanup.policy", "delete"),
        ("snapshots", "cleanup.policy", "delete"),
        ("snapshots", "cleanup.policy", "compact,delete"),  # deletes the state of a worker that pauses
        ("events", "cleanup.policy", "compact"),
        ("labels", "cleanup.policy", "compact,delete"),
        ("commits", "cleanup.policy", "compact"),
        ("alerts", "cleanup.policy", "compact"),
        ("events", "retention.ms", "29999"),  # a snapshot each 30 s
        ("labels", "retention.ms", "0"),
        ("commits", "retention.ms", "1000"),
        ("dead-letters", "max.message.bytes", str(8 << 20)),  # 1 MiB, escaped, and what is told about it
        ("commits", "max.message.bytes", "1048588"),
        ("control", "min.insync.replicas", "2"),
    ],
)
def test_a_wrong_setting_is_one_problem_with_a_cure(plain: Config, stream: str, setting: str, value: str) -> None:
    made = wanted(plain, {})
    made[stream] = replace(made[stream], settings={**made[stream].settings, setting: value})

    (wrong,) = [report for report in findings(plain, made) if report.state != "ok"]
    (problem,) = wrong.problems
    cure = re.search(r"--entity-name (\S+) --add-config ([a-z.]+)=(\S+?)`", problem)

    assert wrong.stream == stream
    assert cure
    assert cure[1] == f"plain.{stream}"
    made[stream] = replace(made[stream], settings={**made[stream].settings, cure[2]: cure[3]})
    assert [report.state for report in findings(plain, made)] == ["ok"] * 16


@pytest.mark.parametrize(
    ("stream", "setting", "value"),
    [
        ("features", "cleanup.policy", "compact,delete"),  # old entities may be forgotten
        ("events", "retention.ms", "-1"),
        ("events", "retention.ms", "30000"),
        ("predictions", "retention.ms", "1000"),  # nobody resumes from them
        ("alerts", "retention.bytes", "1000000"),
    ],
)
def test_what_harms_nobody_is_no_problem(plain: Config, stream: str, setting: str, value: str) -> None:
    made = wanted(plain, {})
    made[stream] = replace(made[stream], settings={**made[stream].settings, setting: value})

    assert [report.state for report in findings(plain, made)] == ["ok"] * 16
    assert [report.warnings for report in findings(plain, made)] == [[]] * 16


@pytest.mark.parametrize("stream", ["events", "labels", "control", "commits"])
def test_deleting_by_size_is_warned_of(plain: Config, stream: str) -> None:
    made = wanted(plain, {})
    made[stream] = replace(made[stream], settings={**made[stream].settings, "retention.bytes": "1000000"})

    assert {report.stream for report in findings(plain, made) if report.warnings} == {stream}
    assert {report.state for report in findings(plain, made)} == {"ok"}


def test_other_partitions_or_replicas_than_the_configuration_says_are_warned_of(tmp_path: Path, plain: Config) -> None:
    made = {stream: replace(topic, partitions=5) for stream, topic in wanted(plain, {}).items()}
    three = config(tmp_path, "127.0.0.1:9", "plain", "replication = 3")

    assert {report.stream for report in findings(plain, made) if report.warnings} == {"events"}
    assert all(report.warnings for report in findings(three, made))
    assert {report.state for report in findings(three, made)} == {"ok"}


@pytest.mark.parametrize("count", [2, 8])
def test_partitions_that_differ_from_the_events_are_a_problem_with_the_way_out(plain: Config, count: int) -> None:
    made = wanted(plain, {})
    made["labels"] = replace(made["labels"], partitions=count)

    (problem,) = [text for report in findings(plain, made) for text in report.problems]

    assert f"plain.labels has {count} partitions, but plain.events has 4" in problem
    assert "replay everything into a new $.name" in problem


def test_without_events_the_configuration_says_how_many_partitions_there_must_be(plain: Config) -> None:
    made = wanted(plain, {})
    labels = replace(made["labels"], partitions=3)

    problems = {report.stream: report.problems for report in findings(plain, {"labels": labels})}

    assert "$.kafka.partitions is 4" in problems["labels"][0]
    assert all("does not exist" in problems[stream][0] for stream in made if stream != "labels")


# a real broker


def test_missing_topics_are_created_once(broker: Broker, tmp_path: Path) -> None:
    tree = config(tmp_path, broker.bootstrap, "once", "partitions = 3\nretention = '2d'")

    first, second = asyncio.run(ensure(tree)), asyncio.run(ensure(tree))
    found = asyncio.run(described(tree))

    assert {report.state for report in first} == {"created"}
    assert {report.state for report in second} == {"ok"}
    assert asyncio.run(checked(tree)) == 3
    assert_as_wanted(found, wanted(tree, {}))
    assert found["commits"].number("retention.ms") == 2 * DAY_MS


def assert_as_wanted(found: Mapping[str, Topic], made: Mapping[str, Topic]) -> None:
    for stream, topic in made.items():
        same = {setting: found[stream].settings[setting] for setting in topic.settings}
        assert replace(found[stream], settings=same) == topic


def test_two_may_create_at_once(broker: Broker, tmp_path: Path) -> None:
    tree = config(tmp_path, broker.bootstrap, "twice")

    async def both() -> list[list[topics.Report]]:
        return await asyncio.gather(ensure(tree), ensure(tree))

    for reports in asyncio.run(both()):
        assert {report.state for report in reports} <= {"created", "ok"}
    assert len(names_on(tree)) == 16


def test_check_creates_nothing(broker: Broker, tmp_path: Path) -> None:
    tree = config(tmp_path, broker.bootstrap, "looked")

    done = driftline(tmp_path, "topics", "looked.toml", "--check", "--json")

    assert done.returncode == 2
    assert {json.loads(line)["state"] for line in done.stdout.splitlines()} == {"missing"}
    assert "16 problems" in done.stderr
    assert names_on(tree) == []
    with pytest.raises(TopicError, match=r"looked\.events does not exist"):
        asyncio.run(checked(tree))
    assert names_on(tree) == []


def test_everything_wrong_is_told_at_once_and_altered_by_nobody(broker: Broker, tmp_path: Path) -> None:
    """The other topics are created all the same; what is advised makes the wrong ones right."""
    tree = config(tmp_path, broker.bootstrap, "wrong", "topics = { alerts = 'wrong.alarms' }")
    large = {"max.message.bytes": str(16 << 20)}
    create(
        tree,
        {
            "events": (3, {"retention.ms": "1000"}),
            "control": (3, {"retention.bytes": "1000000"}),
            "features": (3, large),
            "snapshots": (3, large | {"cleanup.policy": "compact,delete"}),
            "alerts": (3, large | {"cleanup.policy": "compact"}),
            "commits": (3, large | {"min.insync.replicas": "2"}),
            "dead-letters": (3, {}),
        },
    )
    before = asyncio.run(described(tree))

    done = driftline(tmp_path, "topics", "wrong.toml")
    after = asyncio.run(described(tree))
    cures = re.findall(r"--entity-name (\S+) --add-config ([a-z.]+)=(\S+?)`", done.stderr)

    assert done.returncode == 2
    assert "6 problems" in done.stderr
    assert {name for name, _, _ in cures} == {
        *(f"wrong.{stream}" for stream in ("events", "control", "features", "snapshots", "commits", "dead-letters")),
        "wrong.alarms",
    }
    assert {stream: after[stream] for stream in before} == before
    assert len(after) == 16
    assert {topic.partitions for topic in after.values()} == {3}

    follow(tree, after, cures)
    assert asyncio.run(checked(tree)) == 3


def follow(tree: Config, found: Mapping[str, Topic], cures: list[tuple[str, str, str]]) -> None:
    """Does what kafka-configs.sh would do; its request of today alters one setting, this older one sets all."""
    kept = ("cleanup.policy", "retention.ms", "retention.bytes", "max.message.bytes", "min.insync.replicas")
    settings = {topic.name: {name: topic.settings[name] for name in kept} for topic in found.values()}
    for name, setting, value in cures:
        settings[name][setting] = value

    async def work() -> None:
        async with asyncio.timeout(TIMEOUT_S), kafka.admin(tree) as client:
            altered = {name for name, _, _ in cures}
            resources = [ConfigResource(ConfigResourceType.TOPIC, name, settings[name]) for name in altered]
            for response in await client.alter_configs(resources):
                assert [resource[0] for resource in response.resources] == [0] * len(altered)

    asyncio.run(work())


def test_a_topic_with_other_partitions_is_refused(broker: Broker, tmp_path: Path) -> None:
    tree = config(tmp_path, broker.bootstrap, "uneven")
    create(tree, {"events": (2, {}), "labels": (3, {})})

    reports = {report.stream: report for report in asyncio.run(ensure(tree))}

    assert [stream for stream, report in reports.items() if report.problems] == ["labels"]
    assert reports["predictions"].state == "created"
    assert reports["predictions"].topic.partitions == 2
    with pytest.raises(TopicError, match=r"uneven\.labels has 3 partitions, but uneven\.events has 2"):
        asyncio.run(checked(tree))
    with pytest.raises(TopicError, match="1 problem "):
        asyncio.run(checked(tree, ("events", "labels")))


def test_what_the_broker_refuses_is_told(broker: Broker, tmp_path: Path) -> None:
    tree = config(tmp_path, broker.bootstrap, "copies", "replication = 3")

    done = driftline(tmp_path, "topics", "copies.toml")

    assert done.returncode == 2
    assert "copies.events could not be created" in done.stderr
    assert "16 problems" in done.stderr
    assert names_on(tree) == []


def test_only_some_streams_can_be_asked_for(broker: Broker, tmp_path: Path) -> None:
    tree = config(tmp_path, broker.bootstrap, "inputs")
    create(tree, {"events": (2, {}), "labels": (2, {})})

    assert asyncio.run(checked(tree, ("events", "labels"))) == 2
    with pytest.raises(TopicError, match="14 problems"):
        asyncio.run(checked(tree))


def test_without_a_broker_it_says_so(tmp_path: Path) -> None:
    tree = config(tmp_path, f"127.0.0.1:{free_ports(1)[0]}", "alone")

    done = driftline(tmp_path, "topics", "alone.toml")

    assert done.returncode == 1
    assert "no broker answers" in done.stderr
    with pytest.raises(BrokerError):
        asyncio.run(checked(tree))


def test_a_configuration_without_a_cluster_is_wrong(tmp_path: Path) -> None:
    config(tmp_path, "127.0.0.1:9", "none")
    text = (tmp_path / "none.toml").read_text()
    (tmp_path / "none.toml").write_text(text.replace("[kafka]\nbootstrap", "# "))

    done = driftline(tmp_path, "topics", "none.toml")

    assert done.returncode == 2
    assert "$.kafka: missing" in done.stderr
