"""The command `ab`, over a log of shares, a promotion and a rollback, which a replay makes again byte for byte."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from command import driftline
from kafka_runs import Worker, all_taken, monitor, own, send, two_streams, wait_until
from runs import CONFIG, LOOP, configured, in_process, landed, rows, without, write

from compose.broker import Broker
from stream_app.config import Config, load
from stream_app.edges.ab_view import sentence
from stream_app.edges.log import Log
from stream_app.messages import OUTPUTS
from stream_app.runners.history import Bound, Bounds
from stream_app.runners.replay import EVERYTHING, replayed

ROWS = 6000
SHARED = """
[[challengers]]
name = "slow"
use = "linear"
params = { lr = 0.0001 }
[ab]
lane = "slow"
share = 0.4
by = "id"
"""
COMMANDS = [
    b'{"command": "promote", "version": "v2"}',
    b'{"command": "rollback"}',
    b'{"command": "retire", "version": "v2"}',  # back into the lane that it was configured for
]
PHASES = len(COMMANDS) + 1


def with_shares(text: str) -> str:
    """A configuration with [ab], in which models change by commands only."""
    return text + SHARED + "[retrain]\nrollback = false\n"


def shared_run(folder: Path) -> tuple[Path, Path]:
    """Runs of the embedded engine, each on what has come since, with a command in between."""
    made = rows(2, ROWS)
    file, state = configured(folder, "events.jsonl", "labels.jsonl"), folder / "log.db"
    file.write_text(with_shares(file.read_text()))
    for part, command in zip(range(1, PHASES + 1), [*COMMANDS, None], strict=True):
        come = made[: part * ROWS // PHASES]
        write(folder / "events.jsonl", without(come, "y", "ly"))
        now = come[-1]["t"] if command else float("inf")
        write(folder / "labels.jsonl", [each for each in landed(made) if each["ly"] <= now])
        in_process(file, state)
        if command:
            with Log(state) as log:
                log.send_control(command)
    return file, state


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Path]:
    file, state = shared_run(tmp_path_factory.mktemp("shared"))
    return load(file), state


def values(state: Path, stream: str) -> list[dict[str, Any]]:
    with Log(state) as log:
        return [json.loads(record.value) for record in log.read(stream)]


def test_a_replay_of_shares_promotions_and_rollbacks_is_identical(logged: tuple[Config, Path]) -> None:
    config, state = logged
    found = asyncio.run(replayed(config, state=state, bounds=EVERYTHING))

    with Log(state) as log:
        written = {stream: log.count(stream) for stream in OUTPUTS}
    assert found.identical
    assert {stream: tally.same for stream, tally in found.streams.items()} == written
    assert found.records == 2 * ROWS + len(COMMANDS)
    served = [(each["arm"], each["model"]) for each in values(state, "predictions")]
    phases = [set(served[part * ROWS // PHASES + 200 : (part + 1) * ROWS // PHASES]) for part in range(PHASES)]
    shares, only_v2, only_v1 = {("A", "v1"), ("B", "v2")}, {("A", "v2"), ("B", "v2")}, {("A", "v1"), ("B", "v1")}
    assert phases == [shares, only_v2, only_v1, shares]
    done = [each["what"] for each in values(state, "audit") if each["what"] != "command"]
    assert done == ["promote", "rollback", "retire"]

    half = Bound(offset=ROWS // 2)
    for bounds in (Bounds(stop=half), Bounds(start=half)):
        assert asyncio.run(replayed(config, state=state, bounds=bounds)).identical


def test_a_replay_of_the_loop_with_shares_of_its_candidate_is_identical(tmp_path: Path) -> None:
    made = rows(5, ROWS // 2)
    write(tmp_path / "events.jsonl", made)
    file, state = configured(tmp_path, "events.jsonl"), tmp_path / "log.db"
    file.write_text(file.read_text() + LOOP + '[ab]\nlane = "candidate"\nby = "id"\nshare = 0.3\n')
    in_process(file, state)

    assert asyncio.run(replayed(load(file), state=state, bounds=EVERYTHING)).identical
    told = [each for each in values(state, "metrics") if each["signal"] == "ab"]
    assert len({each["since"] for each in told}) > 2  # candidates and champions came and went
    assert any(each["arms"]["B"]["labels"] for each in told)


def test_predictions_are_found_and_read_in_the_order_of_events(logged: tuple[Config, Path]) -> None:
    state = logged[1]
    read = values(state, "predictions")

    assert [each["offset"] for each in read] == list(range(ROWS))
    with Log(state) as log:
        assert log.find("e700")["predictions"] == [read[700]]
        assert [json.loads(each.value) for each in log.read("predictions", 4321)] == read[4321:]


def test_the_command_tells_of_both_arms(logged: tuple[Config, Path]) -> None:
    config, state = logged
    done = driftline(state.parent, "ab", "c.toml", "--state", state)
    (newest,) = [json.loads(line) for line in driftline(
        state.parent, "ab", "c.toml", "--state", state, "--json").stdout.splitlines()]  # fmt: skip
    assert done.returncode == 0, done.stderr

    told = [each for each in values(state, "metrics") if each["signal"] == "ab"]
    assert newest == {"shard": 0} | told[-1]
    assert len({each["since"] for each in told}) == PHASES
    assert "A v1, B v2 (lane slow, 0.4 by id)" in done.stdout
    assert done.stdout.startswith("A v1, B v2 (lane slow, 0.4 by id), records 0 to")  # the one before, in a line
    assert "no model" not in done.stdout  # while v2 was the champion there was no comparison
    assert done.stdout.strip().splitlines()[-1].startswith(("A is better", "not decided yet", "B is better"))
    assert config.ab is not None


def test_without_shares_or_metrics_it_says_so(tmp_path: Path) -> None:
    write(tmp_path / "events.jsonl", rows(1, 20))
    file, state = configured(tmp_path, "events.jsonl"), tmp_path / "log.db"
    done = driftline(tmp_path, "ab", file, "--state", state)
    assert done.returncode == 2
    assert "has no [ab]" in done.stderr

    file.write_text(with_shares(file.read_text()))
    in_process(file, state)
    done = driftline(tmp_path, "ab", file, "--state", state)
    assert done.returncode == 0
    assert "no line of the metrics yet" in done.stderr


def figures(better: str | None, **more: Any) -> dict[str, Any]:
    arms = {name: {"version": f"v{number}", "labels": 500} for number, name in enumerate("AB", 1)}
    gap = {"mean": -0.05, "interval": [-0.08, -0.02] if better else [-0.12, 0.02]}
    told = {"lane": "slow", "level": 0.95, "arms": arms, "better": better, "difference": {"loss": gap}}
    return told | {"labels_more": 0 if better else 1234} | more


def test_one_sentence_says_how_it_stands() -> None:
    won = "B is better: its loss is less by 0.05 (between 0.02 and 0.08, at 95%), on 1,000 labels"
    assert sentence(figures("B")) == won
    assert sentence(figures(None)) == "not decided yet; about 1,200 labels more at this difference, -0.05"
    assert "far more labels" in sentence(figures(None, labels_more=None))
    assert "no label" in sentence(figures(None, difference={"loss": {"mean": None, "interval": None}}))
    alone = {name: {"version": "v1" if name == "A" else None} for name in "AB"}
    assert sentence(figures(None, arms=alone)).startswith("no model in lane slow: everyone gets")
    assert "no loss" in sentence(figures(None, difference={"loss": None}))


def test_over_kafka_each_shard_has_a_comparison_of_its_own(tmp_path: Path, broker: Broker) -> None:
    file = monitor(tmp_path, broker.bootstrap, own("shared"), partitions=2, text=with_shares(CONFIG))
    config, made = load(file), rows(1, 2000)
    send(config, "control", {0: [COMMANDS[0]]})
    with Worker(file) as worker:
        wait_until(lambda: all_taken(config, {"control": [1, 0]}), worker)
        ends = two_streams(config, made)
        wait_until(lambda: all_taken(config, ends), worker)
        assert worker.stop() == 0

    assert asyncio.run(replayed(config, bounds=EVERYTHING)).identical
    done = driftline(tmp_path, "ab", file, "--json")
    zero, one = map(json.loads, done.stdout.splitlines())
    assert [zero["shard"], one["shard"]] == [0, 1]
    assert [zero["arms"][name]["version"] for name in "AB"] == ["v2", None]  # promoted in this shard only
    assert [one["arms"][name]["version"] for name in "AB"] == ["v1", "v2"]
    told = driftline(tmp_path, "ab", file).stdout
    assert "shard 0: A v2, B none" in told
    assert "shard 1: A v1, B v2" in told
