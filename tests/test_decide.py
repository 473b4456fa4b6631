"""Decide: incidents as alerts, retraining triggers, commands, the audit chain and dead letters."""

import hashlib
import json
import re
from datetime import datetime

import numpy as np
import pytest
from alarms import alarm
from chunks import SCHEMA, TIMELESS, config_of, event, label, through, values
from streams import flat, tape_of

from stream_app.flow.chunk import Alarm, Chunk
from stream_app.flow.decide import rfc3339
from stream_app.messages import CONTROL, EVENT, NO_TIME, Message, Outputs
from stream_app.pipeline import Pipeline

WATCH = """
[[watch]]
signal = "error"
detector = "adwin"
[[watch]]
signal = "feature:a"
detector = "adwin"
[[watch]]
signal = "missing:*"
detector = "page_hinkley"
"""
RETRAIN = '[retrain]\non = ["error"]\n'


class Shard:
    """A decide stage that is handed alarms as if they had come from the stream, one second a record."""

    def __init__(self, text: str = RETRAIN, schema: str = SCHEMA) -> None:
        self.pipeline = Pipeline(config_of(WATCH + text, schema))
        self.decide = self.pipeline.decide
        self.records = 0
        self.ms = 1000 if schema is SCHEMA else 1  # a record

    def take(self, *alarms: Alarm, until: int, closes: bool = False, control: tuple[bytes, ...] = ()) -> list[Message]:
        """Messages of the chunk that ends before record `until`; its commands are its last records."""
        n = until - self.records
        tape = tape_of(self.pipeline.config, [])
        tape.order = np.array([EVENT] * (n - len(control)) + [CONTROL] * len(control), np.uint8)
        tape.control = list(control)
        self.chunk = Chunk(tape, self.records, closes, Outputs(), alarms=list(alarms))
        self.chunk.clock_ms = self.ms * np.arange(self.records, until)
        self.decide.run(self.chunk)
        self.records = until
        return self.chunk.out.messages


def statuses(messages: list[Message]) -> list[tuple[str, str]]:
    return [(e["data"]["incident"], e["data"]["status"]) for e in values(messages, "alerts")]


# incidents


def test_one_cause_is_one_incident() -> None:
    shard = Shard()
    alarms = [alarm(100), alarm(110, signal="feature:a"), alarm(120), alarm(130, signal="missing:a")]

    assert statuses(shard.take(*alarms, until=200)) == [("s-1", "opened"), ("s-1", "updated"), ("s-1", "updated")]
    assert len(shard.decide.open) == 1
    assert shard.decide.open[0].alarms == 4


def test_another_cause_is_another_incident() -> None:
    shard = Shard('[alarms]\ngroup = "1m"\ncooldown = "1h"\n')

    assert statuses(shard.take(alarm(100), alarm(300, signal="feature:a"), until=400)) == [
        ("s-1", "opened"), ("s-2", "opened"),
    ]  # fmt: skip
    assert statuses(shard.take(alarm(500, signal="feature:a"), alarm(510, signal="missing:a"), until=600)) == [
        ("s-3", "opened")
    ]  # the first is the second incident's; the other is far from the start of both


@pytest.mark.parametrize(("schema", "span"), [(SCHEMA, '"100s"'), (TIMELESS, '"100 events"')])
def test_it_recovers_when_the_cooldown_has_passed_without_an_alarm(schema: str, span: str) -> None:
    shard = Shard(f"[alarms]\ncooldown = {span}\n", schema)
    shard.take(alarm(50, time_ms=50 * shard.ms), until=60)
    shard.take(alarm(90, time_ms=90 * shard.ms), until=100)

    assert shard.take(until=191) == []  # not on the grid
    assert shard.take(until=192, closes=True)[0].stream == "alerts"
    assert shard.decide.open == []


def test_it_does_not_recover_before() -> None:
    shard = Shard('[alarms]\ncooldown = "100s"\n')
    shard.take(alarm(50), until=60)

    assert shard.take(until=150, closes=True) == []  # the clock stands at 149
    assert statuses(shard.take(until=151, closes=True)) == [("s-1", "recovered")]


@pytest.mark.parametrize(("now", "outcome"), [(0.1, "returned"), (0.9, "settled")])
def test_recovery_tells_where_the_signal_is_now(now: float, outcome: str) -> None:
    shard = Shard('[alarms]\ncooldown = "10s"\n')
    shard.take(alarm(5, watch=1, signal="feature:a", before=0.1, after=0.9), until=10)
    monitor = next(m for m in shard.pipeline.detect.monitors if m.signal.name == "feature:a")
    monitor.segments[-2] = monitor.fresh()
    monitor.segments[-2].detector.update_many(np.full(2000, now) + np.random.default_rng(1).normal(0, 0.01, 2000))
    (found,) = values(shard.take(until=100, closes=True), "alerts")

    assert found["data"]["outcome"] == outcome
    assert found["time"] == rfc3339(99_000)
    assert float(found["data"]["message"].rpartition("(")[2][:-1]) == pytest.approx(now, abs=0.01)


def test_a_new_alarm_after_recovery_opens_the_next_incident() -> None:
    shard = Shard('[alarms]\ncooldown = "10s"\n')
    shard.take(alarm(5), until=100, closes=True)

    assert statuses(shard.take(alarm(105), until=110)) == [("s-2", "opened")]


def test_alerts_are_cloud_events() -> None:
    shard = Shard()
    found = shard.take(alarm(100, segment="c=x"), alarm(100, signal="feature:a"), until=200)
    (opened, _) = values(found, "alerts")

    assert {k: opened[k] for k in opened if k not in ("data", "id")} == {
        "specversion": "1.0",
        "source": "driftline/s/0",
        "type": "driftline.alert.opened",
        "subject": "s-1",
        "time": "1970-01-01T00:01:40.000Z",
        "datacontenttype": "application/json",
    }
    assert {k: opened["data"][k] for k in opened["data"] if k not in ("effect", "contributions", "message")} == {
        "incident": "s-1", "status": "opened", "severity": "critical", "signal": "error", "segment": "c=x",
        "detector": "adwin", "statistic": 8.0, "threshold": 5.0, "offset": 100, "time": 100_000,
        "onset_offset": 50, "onset_time": 50_000, "alarms": 1, "acknowledged_by": None, "outcome": None,
    }  # fmt: skip
    assert opened["data"]["effect"]["before"] == 0.2
    assert opened["data"]["contributions"][0]["signal"] == "error"
    assert opened["data"]["message"].startswith("error where c=x rose from 0.2 to 0.4")
    assert [(m.key, m.time_ms) for m in found if m.stream == "alerts"] == [("s-1", 100_000)] * 2


def test_ids_are_unique_even_for_alarms_of_one_record() -> None:
    shard = Shard('[retrain]\non = ["feature:*", "error"]\n[alarms]\ncooldown = "10s"\n')
    one_record = [alarm(100, signal=s) for s in ("error", "feature:a", "missing:a", "missing:c")]
    found = shard.take(*one_record, until=200, closes=True, control=(b'{"command": "reset"}',) * 2)

    assert len([m for m in found if m.stream == "alerts"]) == 5
    assert len([m for m in found if m.stream == "triggers"]) == 1
    assert len({m.id for m in found}) == len(found)
    assert all(json.loads(m.value)["id"] == m.id for m in found if m.stream in ("alerts", "triggers"))


# triggers


def triggers(messages: list[Message]) -> list[dict]:
    return values(messages, "triggers")


def test_a_trigger_says_what_to_train_on_and_what_it_costs() -> None:
    (found,) = triggers(Shard().take(alarm(100, onset=40), until=200))

    assert (found["type"], found["subject"]) == ("driftline.trigger.retrain", "champion")
    data = found["data"]
    assert data["train"] == {"stream": "events", "from_offset": 40, "to_offset": 100}
    assert data["cost"] == {"excess_error_per_event": pytest.approx(0.2), "labels_since_onset": 60}
    assert (data["model"], data["version"], data["action"], data["incident"]) == ("champion", "v1", "notify", "s-1")
    assert data["deadline"] == rfc3339(100_000 + 24 * 3_600_000)
    assert data["evidence"]["signal"] == "error"
    assert data["reason"].startswith("error rose")


def test_the_range_runs_forward_though_labels_come_out_of_order() -> None:
    (found,) = triggers(Shard().take(alarm(100, onset=140), until=200))

    assert found["data"]["train"] == {"stream": "events", "from_offset": 100, "to_offset": 140}


@pytest.mark.parametrize(
    ("schema", "span"), [(SCHEMA, '"100s"'), (TIMELESS, '"100 events"')], ids=["timed", "timeless"]
)
def test_one_trigger_per_incident_and_cooldown(schema: str, span: str) -> None:
    """Causes 40 records apart, each an incident of its own; one alarm of the first comes twice."""
    policy = f"[alarms]\ngroup = {span.replace('100', '1')}\ncooldown = {span.replace('100', '1000')}\n"
    shard = Shard(f'[retrain]\non = ["error", "feature:a", "missing:a"]\ncooldown = {span}\n{policy}', schema)
    places = ((10, "error"), (50, "feature:a"), (90, "error"), (100, "missing:a"), (140, "missing:a"))
    alarms = [alarm(at, signal=s, onset=at, time_ms=at * shard.ms) for at, s in places]
    found = triggers(shard.take(*alarms, until=200))

    assert [t["data"]["evidence"]["offset"] for t in found] == [10, 50, 100]
    assert [t["data"]["incident"] for t in found] == ["s-1", "s-2", "s-3"]
    assert [shard.decide.triggered[signal][0] for signal in ("error", "feature:a", "missing:a")] == [10, 50, 100]


def test_an_improvement_alerts_but_does_not_trigger() -> None:
    found = Shard().take(alarm(100, before=0.4, after=0.1), until=200)

    assert statuses(found) == [("s-1", "opened")]
    assert values(found, "alerts")[0]["data"]["severity"] == "info"
    assert triggers(found) == []


def test_only_the_signals_asked_for_trigger() -> None:
    assert triggers(Shard().take(alarm(100, signal="feature:a"), until=200)) == []


def test_a_wildcard_asks_for_all_its_signals() -> None:
    shard = Shard('[retrain]\non = ["missing:*"]\n')

    assert triggers(shard.take(alarm(100), until=200)) == []
    assert len(triggers(shard.take(alarm(300, signal="missing:c"), until=400))) == 1


@pytest.mark.parametrize(("action", "effects"), [("reset", 1), ("notify", 0)])
def test_what_a_trigger_does(action: str, effects: int) -> None:
    shard = Shard(RETRAIN + f'action = "{action}"\n')
    shard.take(alarm(100), until=200)

    assert shard.chunk.effects == [{"command": "reset", "why": "s-1", "by": "policy"}] * effects


# commands


def obeyed(*commands: bytes, shard: Shard | None = None) -> tuple[list[Message], Shard]:
    shard = shard or Shard()
    return shard.take(until=shard.records + 10, control=commands), shard


def test_an_incident_is_acknowledged_by_command() -> None:
    shard = Shard()
    shard.take(alarm(100), until=200)
    found, _ = obeyed(b'{"command": "acknowledge", "incident": "s-1", "by": "ann"}', shard=shard)
    (told,) = values(found, "alerts")

    assert (told["data"]["status"], told["data"]["acknowledged_by"]) == ("acknowledged", "ann")
    assert told["type"] == "driftline.alert.acknowledged"
    assert shard.decide.open[0].acknowledged_by == "ann"
    assert [m.stream for m in found] == ["alerts", "audit"]


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
    assert statuses(closing) == [(data["incident"], "recovered")]


@pytest.mark.parametrize(
    ("raw", "reason", "path"),
    [
        (b'{"command": "dance"}', "unknown command 'dance'; known: acknowledge, reset, set-reference", "$.command"),
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

    assert shard.chunk.effects == [{"command": "reset", "why": "tired", "by": "ann"}]
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


# dead letters and the rest


def test_dead_letters_keep_the_bytes() -> None:
    stream = [event("a", 1000), (EVENT, b'{"id": "\xff"'), (EVENT, '{"id": "ü"'.encode()), label("a", "maybe", 1)]
    chunk, _ = through(config_of(""), stream)
    binary, text, wrong = values(chunk.out.messages, "dead-letters")

    assert binary["raw_base64"] == "eyJpZCI6ICL/Ig=="
    assert text["raw"] == '{"id": "ü"'
    assert (wrong["stream"], wrong["offset"], wrong["path"]) == ("labels", 0, "$.y")
    assert [m.key for m in chunk.out.messages if m.stream == "dead-letters"] == ["events/1", "events/2", "labels/0"]


def test_dead_letters_stand_in_the_order_of_the_stream() -> None:
    stream = [event("a", 0), event("a", 1), (EVENT, b"{"), event("a", 2), (CONTROL, b"x"), (EVENT, b"{")]
    found = flat([Pipeline(config_of("")).handle(tape_of(config_of(""), stream))])

    offsets = [json.loads(value)["offset"] for *_, value in found["dead-letters"]]

    assert offsets == [1, 2, 3, 4, 4]  # a command's is the number of its record


@pytest.mark.parametrize("time_ms", [0, 999, -1, 1_356_998_400_123, -62_135_596_800_000, 253_402_300_799_999])
def test_rfc3339_is_read_back_as_the_same_instant(time_ms: int) -> None:
    text = rfc3339(time_ms)
    moment = datetime.fromisoformat(text)

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text)
    assert (moment - datetime.fromisoformat("1970-01-01T00:00:00Z")).total_seconds() == pytest.approx(time_ms / 1000)


@pytest.mark.parametrize("time_ms", [NO_TIME, 2**62])
def test_times_out_of_the_calendar_are_its_ends(time_ms: int) -> None:
    assert rfc3339(time_ms) in ("0001-01-01T00:00:00.000Z", "9999-12-31T23:59:59.999Z")


def test_state_comes_back_with_the_open_incidents() -> None:
    shard, again = Shard(), Shard()
    shard.take(alarm(100), until=200, control=(b'{"command": "reset"}',))
    again.decide.load(shard.decide.to_state(np.empty(0, np.int64)))
    again.records = shard.records
    rest = {"until": 90_000, "closes": True, "control": (b'{"command": "reset"}',)}
    alarms = [alarm(210), alarm(215, signal="feature:a"), alarm(50_000, signal="feature:a")]

    assert [m.value for m in again.take(*alarms, **rest)] == [m.value for m in shard.take(*alarms, **rest)]


MANY = """
name = "s"
[schema]
id = "id"
time = "t"
[schema.fields]
""" + "".join(f'f{i} = {{ type = "number" }}\n' for i in range(20))


def test_signals_that_move_together_alarm_together() -> None:
    """On the grid at 8,192, of what no signal could say alone; a wave later each would have been sure by itself."""
    config = config_of(
        '[[watch]]\nsignal = "feature:*"\ndetector = "e_detector"\n[alarms]\nbudget = "1 per 100000 events"\n'
        '[task]\ntype = "anomaly"\n[model]\nuse = "river.anomaly.HalfSpaceTrees"',
        MANY,
    )
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(8192, 20)) + 0.28 * (np.arange(8192) >= 7792)[:, None] * (np.arange(20) < 15)
    names = [f"f{i}" for i in range(20)]
    stream = [event(f"e{k}", k, **dict(zip(names, row, strict=True))) for k, row in enumerate(rows.tolist())]
    chunk, _ = through(config, stream, closes=True)
    opened = values(chunk.out.messages, "alerts")
    last = opened[-1]["data"]

    assert {e["data"]["incident"] for e in opened} == {"s-1"}
    joint = [c for c in last["contributions"] if "together" in c["detail"]]
    assert len(joint) > 1
    for seen in joint:
        assert seen["signal"] in {f"feature:f{i}" for i in range(15)}
        assert 2e6 > seen["statistic"] >= seen["threshold"] == 2e6 / seen["detail"]["together"]
        assert seen["offset"] == 8191
