"""An experiment over Kafka: each shard gets its own model, at a record of its own control partition."""

import asyncio
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kafka_results import records
from kafka_runs import Worker, all_taken, monitor, own, send, shared, wait_until
from runs import CONFIG, KEY, rows

from compose.broker import Broker
from stream_app.cli import cli
from stream_app.config import Config, load
from stream_app.models.seal import KEY_VARIABLE
from stream_app.runners.replay import contrasted

PARTITIONS = 2
ROWS = 3000
Patch, Captured = pytest.MonkeyPatch, pytest.CaptureFixture[str]
STILL = (
    CONFIG + '[model]\nparams = { lr = 0.0, intercept_lr = 0.0 }\n[retrain]\non = ["error"]\nrollback = false\n'
)  # the drift makes it the worse one


def halves(config: Config, begin: int, stop: int) -> dict[int, list[bytes]]:
    made: dict[int, list[bytes]] = shared(rows(7, ROWS)[begin:stop], PARTITIONS, lambda row: int(row["id"][1:]))
    send(config, "events", made)
    return made


def of(config: Config, stream: str, shard: int) -> list[dict[str, Any]]:
    return [json.loads(record.value) for record in records(config, stream, shard)]


@pytest.fixture
def _logging_put_back() -> Iterator[None]:
    """A command in this process takes its logging over, which other tests look at."""
    root, ours, theirs = logging.root, logging.getLogger("driftline"), logging.getLogger("aiokafka")
    handlers, levels = root.handlers[:], [each.level for each in (root, ours, theirs)]
    yield
    root.handlers[:] = handlers
    for each, level in zip((root, ours, theirs), levels, strict=True):
        each.setLevel(level)
    logging.captureWarnings(capture=False)


@pytest.mark.usefixtures("_logging_put_back")
def test_each_shard_gets_its_own_model(tmp_path: Path, broker: Broker, monkeypatch: Patch, capsys: Captured) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY.decode())
    file = monitor(tmp_path, broker.bootstrap, own("promoted"), partitions=PARTITIONS, text=STILL, labels=False)
    other = file.with_name("other.toml")
    other.write_text(file.read_text().replace("params = { lr = 0.0, intercept_lr = 0.0 }", ""))
    config, half = load(file), ROWS // 2
    halves(config, 0, half)
    with Worker(file) as worker:
        wait_until(lambda: all_taken(config, {"events": [half // 2] * PARTITIONS}), worker)
        assert worker.stop() == 0

    # in this process: those of `command` may have been forked before it had the key
    cli(["replay", str(file), "--against", str(other), "--promote", "--cost", "--json"], standalone_mode=False)
    found = json.loads(capsys.readouterr().out)
    assert found["judgement"]["outcome"] == "better"
    assert found["judgement"]["labels"] + found["judgement"]["unpaired"] == sum(
        len(of(config, "outcomes", shard)) for shard in range(PARTITIONS)
    )
    assert [(place["shard"], place["control"]) for place in found["promotion"]["sent"]] == [(0, 0), (1, 0)]
    winners = asyncio.run(contrasted(config, load(other), key=KEY, promote=True)).winners
    assert len({winner.document for winner in winners.values()}) == PARTITIONS

    with Worker(file) as worker:
        wait_until(lambda: all_taken(config, {"control": [1, 1]}), worker)
        halves(config, half, ROWS)
        wait_until(lambda: all_taken(config, {"events": [half] * PARTITIONS}), worker)
        assert worker.stop() == 0
    for shard in range(PARTITIONS):
        crowned = [each for each in of(config, "models", shard) if each["status"] == "champion"]
        assert [each["kind"] for each in crowned] == ["initial", "imported"]
        assert of(config, "predictions", shard)[-1]["model"] == crowned[-1]["version"]
