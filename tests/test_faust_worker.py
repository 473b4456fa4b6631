"""What the worker uses of Faust's inside: a new release that changes it must be seen here, not in production."""

import inspect
from importlib.metadata import version
from typing import Any

import aiokafka
import faust
import pytest
from faust.assignor.client_assignment import CopartitionedAssignment
from faust.assignor.copartitioned_assignor import CopartitionedAssignor
from faust.tables import recovery
from faust.transport.drivers import aiokafka as driver
from mode import CrashingSupervisor
from msgspec import structs
from runs import KEY
from streams import SMALL

from stream_app.config import Config, Kafka, parse
from stream_app.runners import faust_worker
from stream_app.runners.member import Member


def app_of(config: Config) -> faust_worker.App:
    return faust_worker.application(config, Member(config, KEY), "host-0")


@pytest.fixture(scope="module")
def app() -> faust_worker.App:
    return app_of(structs.replace(parse(SMALL, "small", {}), kafka=Kafka(bootstrap="a:1, b:2", session_ms=6000)))


def parameters(function: Any) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name != "self"]


def test_the_versions_are_those_that_were_read() -> None:
    assert version("faust-streaming").startswith("0.15.")
    assert version("aiokafka").startswith("0.14.")


@pytest.mark.parametrize(
    ("owner", "name", "expected"),
    [
        (driver.Consumer, "_new_consumer_thread", []),
        (driver.Consumer, "_getmany", ["active_partitions", "timeout"]),
        (driver.Consumer, "getmany", ["timeout"]),
        (driver.Consumer, "_wait_next_records", ["timeout"]),
        (driver.Consumer, "perform_seek", []),
        (driver.Consumer, "seek_wait", ["partitions"]),
        (driver.Consumer, "commit", ["topics", "start_new_transaction"]),
        (driver.AIOKafkaConsumerThread, "_ensure_consumer", []),
        (driver.AIOKafkaConsumerThread, "call_thread", ["fun", "args", "kwargs"]),
        (driver.Consumer, "_add_gap", ["tp", "offset_from", "offset_to"]),
        (driver.AIOKafkaConsumerThread, "_create_worker_consumer", ["transport"]),
        (faust.Topic, "_compile_decode", []),
        (faust.Topic, "_create_event", ["key", "value", "headers", "message"]),
        (faust.App, "_create_directories", []),
        (faust.Worker, "install_signal_handlers", []),
        (faust.Worker, "_schedule_shutdown", ["signal"]),
    ],
)
def test_what_is_extended_is_there(owner: type, name: str, expected: list[str]) -> None:
    assert parameters(getattr(owner, name)) == expected


def test_another_rebalance_may_interrupt_the_signal_that_holds_records_back() -> None:
    source = inspect.getsource(recovery.Recovery._restart_recovery.fun)
    complete = inspect.getsource(recovery.Recovery._resume_streams)

    assert "except RebalanceAgain" in source
    assert complete.index("on_rebalance_complete.send()") < complete.index("perform_seek()")
    assert complete.index("perform_seek()") < complete.index("resume_flow()")


def test_how_to_fetch_is_read_when_the_consumer_starts() -> None:
    source = inspect.getsource(aiokafka.AIOKafkaConsumer.start)

    assert "isolation_level=self._isolation_level" in source
    assert "fetch_max_wait_ms=self._fetch_max_wait_ms" in source


def test_the_app_extends_what_it_must(app: faust_worker.App) -> None:
    assert app.conf.Topic is faust_worker.BatchTopic
    assert app.transport.Consumer is faust_worker.BatchConsumer
    assert isinstance(app.assignor, faust_worker.CoPartitioned)
    assert app.conf.agent_supervisor is CrashingSupervisor
    assert app.conf.consumer_group_instance_id == "host-0"
    assert [str(url) for url in app.conf.broker] == ["kafka://a:1", "kafka://b:2"]
    assert app.conf.broker_session_timeout == 6.0
    assert not app.conf.web_enabled
    assert not app.conf.topic_allow_declare


def test_it_reads_events_labels_and_control_by_one_agent(app: faust_worker.App) -> None:
    (agent,) = app.agents.values()

    assert set(agent.channel.topics) == {"small.events", "small.labels", "small.control"}


@pytest.mark.parametrize("workers", [1, 2, 3, 4])
def test_equal_partitions_of_all_topics_go_to_the_same_worker(workers: int) -> None:
    names = ["s.events", "s.labels", "s.control"]
    assignments = {f"w{i}": CopartitionedAssignment(topics=set(names)) for i in range(workers)}
    given = CopartitionedAssignor(
        topics=set(names), cluster_asgn=assignments, num_partitions=4, replicas=0
    ).get_assignment()

    assert sorted(p for each in given.values() for p in each.actives) == [0, 1, 2, 3]
    assert all(each.actives for each in given.values())
    assert all(set(each.topics) == set(names) for each in given.values())
