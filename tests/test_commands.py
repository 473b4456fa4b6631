"""Commands: what people and runners say to a shard, what follows, and the audit chain of it."""

import hashlib
import json

import pytest
from alarms import alarm
from chunks import config_of, event, values
from deciding import WATCH, Shard, statuses
from streams import tape_of

from stream_app.messages import CONTROL, Message
from stream_app.pipeline import Pipeline


def obeyed(*commands: bytes, shard: Shard | None = None) -> tuple[list[Message], Shard]:
    shard = shard or Shard()
    found = shard.take(until=shard.records + 10, control=commands)
    return [message for message in found if message.stream != "models"], shard


def test_an_incident_is_acknowledged_by_command() -> None:
    shard = Shard()
    shard.take(alarm(100), until=200)
    found, _ = obeyed(b'{"command": "acknowledge", "incident": "s-1", "by": "ann"}', shard=shard)
    (told,) = values(found, "alerts")

    assert (told["data"]["status"], told["data"]["acknowledged_by"]) == ("acknowledged", "ann")
    assert told["type"] == "driftline.alert.acknowledged"
    assert shard.decide.open[0].acknowledged_by == "ann"
    assert [m.stream for m in found] == ["alerts", "audit"]


def test_an_incident_is_closed_by_command() -> None:
    shard = Shard()
    shard.take(alarm(100), until=200)
    found, _ = obeyed(b'{"command": "close", "incident": "s-1", "by": "ann"}', shard=shard)
    (told,) = values(found, "alerts")

    assert (told["data"]["status"], told["data"]["outcome"]) == ("recovered", "closed")
    assert told["data"]["message"].endswith("; closed by ann")
    assert shard.decide.open == []


def test_records_that_were_lost_open_an_incident_of_their_own() -> None:
    found, shard = obeyed(b'{"command": "gap", "stream": "events", "from": 100, "to": 150}')
    (told,) = values(found, "alerts")
    data = told["data"]

    assert (data["status"], data["severity"], data["signal"], data["statistic"]) == (
        "opened", "critical", "gap:events", 50.0
    )  # fmt: skip
    assert (data["onset_offset"], data["offset"]) == (100, 150)
    assert data["message"] == "50 records of events were deleted before they were read, since offset 100"
    assert values(found, "audit")[0]["from"] == 100
    closing = shard.take(until=shard.records + 100_000, closes=True)
    assert statuses(closing)[-1] == (data["incident"], "recovered")


LATE = b'{"command": "lag", "stream": "events", "from": 100, "records": 40, "seconds": 613.4, "limit": 300}'
CAUGHT_UP = (
    b'{"command": "lag", "stream": "events", "from": 140, "records": 0, "seconds": 0, "limit": 300, "ended": true}'
)


def test_a_lag_of_the_monitor_is_an_incident_until_the_runner_says_that_it_has_ended() -> None:
    found, shard = obeyed(LATE)
    (told,) = values(found, "alerts")
    data = told["data"]

    assert (data["status"], data["severity"], data["signal"]) == ("opened", "warning", "lag:events")
    assert (data["statistic"], data["threshold"], data["onset_offset"]) == (613.4, 300, 100)
    assert data["message"] == "the monitor is 613 s late with events, 40 records behind, since offset 100"
    assert values(found, "audit")[0]["seconds"] == 613.4
    later = statuses(shard.take(until=shard.records + 100_000, closes=True))
    assert (data["incident"], "recovered") not in later  # no silence ends it
    (ended,) = values(obeyed(CAUGHT_UP, shard=shard)[0], "alerts")
    assert (ended["data"]["status"], ended["data"]["outcome"]) == ("recovered", "ended")
    assert ended["data"]["message"].endswith("; it has ended")
    assert shard.decide.open == []


def test_the_end_of_a_lag_that_somebody_closed_already_is_no_mistake() -> None:
    shard = Shard()
    assert [m.stream for m in obeyed(CAUGHT_UP, shard=shard)[0]] == ["audit"]


def test_the_end_of_one_streams_lag_leaves_the_others_incident_open() -> None:
    _, shard = obeyed(LATE)
    obeyed(CAUGHT_UP.replace(b"events", b"labels"), shard=shard)
    assert [incident.lead["signal"] for incident in shard.decide.open] == ["lag:events"]


@pytest.mark.parametrize(
    ("raw", "reason", "path"),
    [
        (b'{"command": "dance"}', "unknown command 'dance'; known: acknowledge, close, set-ref", "$.command"),
        (b'{"command": "acknowledge", "incident": "s-9"}', "no open incident 's-9'; open: none", "$.incident"),
        (b'{"command": "set-reference", "signal": "mood"}', "signal 'mood' is not watched; watched: err", "$.signal"),
        (b'{"command": "set-reference"}', "signal None is not watched", "$.signal"),
        (
            b'{"command": "gap", "stream": "moods", "from": 1, "to": 2}',
            "a gap needs stream (events, labels",
            "$.stream",
        ),
        (
            b'{"command": "gap", "stream": "events", "from": 2, "to": 2}',
            "a gap needs stream (events, labels",
            "$.stream",
        ),
        (b'{"command": "gap", "stream": "events", "from": 0, "to": %d}' % 2**70, "a gap needs", "$.stream"),
        (LATE.replace(b"events", b"moods"), "a lag needs stream (events, labels", "$.stream"),
        (LATE.replace(b"613.4", b"-1"), "a lag needs stream", "$.stream"),
        (LATE.replace(b"100", b"%d" % 2**70), "a lag needs stream", "$.stream"),
        (b'{"command": "lag", "stream": "events"}', "a lag needs stream", "$.stream"),
        (b'{"command": ["reset"]}', "not a command: ", "$"),
        (b'{"by": "ann"}', "not a command: ", "$"),
        (b'["reset"]', "not a command: ", "$"),
        (b"", "not a command: ", "$"),
        (b'{"command": "\xff"}', "not a command: ", "$"),
        (b'{"command": "reset", "why": ' + b"[" * 100_000, "not a command: ", "$"),
    ],
)
def test_what_is_no_command_is_a_dead_letter(raw: bytes, reason: str, path: str) -> None:
    found, shard = obeyed(raw)
    (letter,) = values(found, "dead-letters")

    assert [m.stream for m in found] == ["dead-letters"]
    assert letter["reason"].startswith(reason)
    assert (letter["path"], letter["stream"], letter["offset"]) == (path, "control", 9)
    assert shard.chunk.effects == []


def test_a_command_waits_for_the_epoch_with_what_is_known_of_it_and_nothing_else() -> None:
    huge = b"9" * 400
    raw = b'{"command": "reset", "why": "tired", "by": "ann", "before": "x", "what": "y", "z": %b}' % huge
    found, shard = obeyed(raw)

    assert shard.chunk.effects == [{"record": 9, "command": "reset", "why": "tired", "by": "ann"}]
    (entry,) = values(found, "audit")
    assert entry == {
        "number": 0, "record": 9, "time": 9000, "before": "", "what": "command",
        "command": "reset", "why": "tired", "by": "ann",
    }  # fmt: skip


def test_the_audit_is_a_chain_that_breaks_where_it_is_altered() -> None:
    config = config_of(WATCH + "[engine]\nepoch = 16\n[measure]\nevery = 32\n")
    commands = [
        (CONTROL, b'{"command": "reset", "by": "ann"}'),
        (CONTROL, b'{"command": "set-reference", "signal": "error", "before": "forged", "number": 7}'),
        (CONTROL, b'{"command": "reset", "by": "bob"}'),
    ]
    stream = [event(f"e{i}", i) for i in range(60)]
    for i, command in enumerate(commands):
        stream.insert(20 + 21 * i, command)
    out = Pipeline(config).handle(tape_of(config, stream))
    entries = [m.value for m in out.messages if m.stream == "audit"]

    def holds(chain: list[bytes]) -> bool:
        hashes = ["", *(hashlib.sha256(entry).hexdigest() for entry in chain)]
        numbers = [json.loads(entry)["number"] for entry in chain]
        return numbers == list(range(len(chain))) and all(
            json.loads(entry)["before"] == before for entry, before in zip(chain, hashes, strict=False)
        )

    what = [json.loads(entry)["what"] for entry in entries]

    assert what == ["command", "reset", "command", "set-reference", "command"]
    assert holds(entries)
    for i in range(len(entries) - 1):
        altered = [e.replace(b'"what"', b'"When"') if k == i else e for k, e in enumerate(entries)]
        assert not holds(altered)
        assert not holds(entries[:i] + entries[i + 1 :])


def test_a_reference_set_by_command_starts_the_detectors_over() -> None:
    config = config_of(WATCH + "[engine]\nepoch = 16\n[measure]\nevery = 32\n")
    pipeline = Pipeline(config)
    stream = [event(f"e{i}", i, a=1, y=1) for i in range(40)]
    stream.insert(20, (CONTROL, b'{"command": "set-reference", "signal": "feature:a"}'))
    pipeline.handle(tape_of(config, stream))
    seen = {m.signal.name: m.segments[-2].detector.n for m in pipeline.detect.monitors}

    assert seen == {"error": 40, "feature:a": 9, "missing:a": 40, "missing:c": 40}  # from record 32 on
