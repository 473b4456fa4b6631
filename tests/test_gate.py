"""The promotion gate: a command's exit code answers a proposal, beside a run as receivers do."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from command import driftline
from loops import CONFIG, configured, turning

from stream_app.config import Notify, receivers
from stream_app.edges.gate import Gate
from stream_app.edges.log import Log
from stream_app.edges.notices import Notice, event_of
from stream_app.edges.receivers import Answer, make
from stream_app.flow.outgoing import cloud_event
from stream_app.messages import Origin

PROPOSAL = {"model": "champion", "version": "v2", "against": "v1", "evidence": {"labels": 13}}


def notice(kind: str, data: dict[str, Any]) -> Notice:
    message = cloud_event(Origin("turns", 3), "triggers", kind, "v2/64", "champion", 64_000, data)
    return Notice(message.id, "triggers", "champion", event_of(message.value), message.value)


def answered(program: str, told: Notice) -> tuple[Answer, list[tuple[int, dict[str, Any]]]]:
    said: list[tuple[int, dict[str, Any]]] = []

    async def say(shard: int, command: bytes) -> None:
        said.append((shard, json.loads(command)))

    gate = Gate(make(configured(), Notify(program=program), lambda: 0.0), say)
    return asyncio.run(gate.send(told)), said


def test_exit_code_0_promotes(tmp_path: Path) -> None:
    answer, said = answered(f"cat > {tmp_path / 'event'}", notice("promotion", PROPOSAL))

    assert answer.end == "delivered"
    assert said == [(3, {"command": "promote", "version": "v2", "by": "gate", "why": "exit code 0"})]
    assert json.loads((tmp_path / "event").read_bytes())["data"] == PROPOSAL


def test_any_other_retires_and_says_why() -> None:
    _, said = answered("echo too few rows >&2; exit 3", notice("promotion", PROPOSAL))

    assert said == [(3, {"command": "retire", "version": "v2", "by": "gate", "why": "exit code 3: too few rows"})]


def test_other_triggers_do_not_concern_it() -> None:
    answer, said = answered("exit 1", notice("retrain", {"incident": "i", "reason": "why"}))

    assert (answer.end, said) == ("delivered", [])


def test_the_gate_is_a_receiver_of_triggers() -> None:
    assert receivers(configured()) == {}
    assert receivers(configured('gate = "true"'))["gate"].streams == ("triggers",)


@pytest.mark.parametrize(("code", "champion", "what"), [(0, "v2", "promote"), (1, "v1", "retire")])
def test_it_answers_beside_a_run(tmp_path: Path, code: int, champion: str, what: str) -> None:
    """The proposal is made by the first part of the stream; the second run finds the gate's answer in the log."""
    records = [raw for _, raw in turning(4000, (2500,))]
    text = CONFIG.replace("LINES", f'gate = "exit {code}"')
    text = text.replace("[schema]", '[source]\nevents = "e.jsonl"\n[schema]')
    (tmp_path / "turns.toml").write_text(text)
    for part in (3300, 4000):
        (tmp_path / "e.jsonl").write_bytes(b"\n".join(records[:part]) + b"\n")
        done = driftline(tmp_path, "run", "turns.toml")
        assert done.returncode == 0, done.stderr

    with Log(tmp_path / "turns.db") as log:
        audit = [json.loads(record.value) for record in log.read("audit")]
        last = [json.loads(record.value) for record in log.read("predictions")][-1]
    assert {"command": what, "by": "gate"}.items() <= next(entry for entry in audit if "command" in entry).items()
    assert last["model"] == champion
