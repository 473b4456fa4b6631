"""Decide: incidents as alerts, retraining triggers, commands, the audit chain and dead letters."""

import json
import re
from datetime import datetime

import numpy as np
import pytest
from alarms import alarm
from chunks import SCHEMA, TIMELESS, config_of, event, label, through, values
from deciding import RETRAIN, Shard, statuses
from streams import flat, tape_of

from stream_app.flow.outgoing import rfc3339
from stream_app.messages import CONTROL, EVENT, NO_TIME, Message
from stream_app.pipeline import Pipeline

# incidents


def test_one_cause_is_one_incident() -> None:
    shard = Shard()
    alarms = [alarm(100), alarm(110, signal="feature:a"), alarm(120), alarm(130, signal="missing:a")]

    assert statuses(shard.take(*alarms, until=200)) == [("s-1", "opened")]
    assert len(shard.decide.open) == 1
    assert shard.decide.open[0].alarms == 4
    assert statuses(shard.take(until=300, closes=True)) == [("s-1", "updated")]  # once, with all that joined
    assert statuses(shard.take(until=400, closes=True)) == []


def test_what_gets_worse_is_told_at_once() -> None:
    shard = Shard()
    found = shard.take(alarm(100, signal="feature:a"), alarm(120), alarm(130), until=200)

    assert [(e["data"]["status"], e["data"]["severity"]) for e in values(found, "alerts")] == [
        ("opened", "info"), ("updated", "critical"),
    ]  # fmt: skip


def test_labels_and_columns_do_not_break_together() -> None:
    """Two causes at once; the error follows from either, so it joins the newest."""
    shard = Shard('[[watch]]\nsignal = "expired"\ndetector = "adwin"\n')
    alarms = [alarm(100, signal="expired"), alarm(101, signal="feature:a"), alarm(102)]

    assert statuses(shard.take(*alarms, until=200)) == [
        ("s-1", "opened"), ("s-2", "opened"), ("s-2", "updated"),
    ]  # fmt: skip


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
    shard.sees("error", 0.2)

    assert shard.take(until=191) == []  # not on the grid
    assert statuses(shard.take(until=192, closes=True))[-1] == ("s-1", "recovered")
    assert shard.decide.open == []


def test_silence_is_no_evidence_of_recovery() -> None:
    shard = Shard('[alarms]\ncooldown = "10s"\n')
    shard.take(alarm(5), until=60, closes=True)
    shard.sees("error", 0.2, n=29)
    assert statuses(shard.take(until=10_000, closes=True)) == []

    shard.sees("error", 0.2, n=1)
    assert statuses(shard.take(until=10_100, closes=True)) == [("s-1", "recovered")]


def test_it_does_not_recover_before() -> None:
    shard = Shard('[alarms]\ncooldown = "100s"\n')
    shard.take(alarm(50), until=60, closes=True)
    shard.sees("error", 0.2)

    assert statuses(shard.take(until=150, closes=True)) == []  # the clock stands at 149
    assert statuses(shard.take(until=151, closes=True)) == [("s-1", "recovered")]


@pytest.mark.parametrize(("now", "outcome"), [(0.1, "returned"), (0.9, "settled")])
def test_recovery_tells_where_the_signal_is_now(now: float, outcome: str) -> None:
    shard = Shard('[alarms]\ncooldown = "10s"\n')
    shard.take(alarm(5, watch=1, signal="feature:a", before=0.1, after=0.9), until=10, closes=True)
    shard.sees("feature:a", now, 2000)
    (found,) = values(shard.take(until=100, closes=True), "alerts")

    assert found["data"]["outcome"] == outcome
    assert found["time"] == rfc3339(99_000)
    assert float(found["data"]["message"].rpartition("(")[2][:-1]) == pytest.approx(now, abs=0.01)


def test_a_new_alarm_after_recovery_opens_the_next_incident() -> None:
    shard = Shard('[alarms]\ncooldown = "10s"\n')
    shard.sees("error", 0.2)
    shard.take(alarm(5), until=100, closes=True)

    assert statuses(shard.take(alarm(105), until=110)) == [("s-2", "opened")]


def come_and_go(shard: Shard, times: int) -> list[dict]:
    """The error alarms and recovers so often, 100 s each; the alerts."""
    found = []
    for i in range(times):
        at = 100 * i
        found += values(shard.take(alarm(at + 5), until=at + 10), "alerts")
        shard.sees("error", 0.2)
        found += values(shard.take(until=at + 100, closes=True), "alerts")
    return found


def test_what_comes_and_goes_is_marked_and_stays_open_longer() -> None:
    shard = Shard('[alarms]\ncooldown = "50s"\n')
    found = come_and_go(shard, times=4)
    told = [(e["data"]["incident"], e["data"]["flapping"]) for e in found if e["data"]["status"] == "opened"]

    assert told == [("s-1", 0), ("s-2", 0), ("s-3", 2)]  # which is open still at its next alarm, and takes it
    assert found[-1]["data"]["status"] == "updated"
    assert shard.decide.open[0].alarms == 2
    assert "it comes and goes (recovered 2 times before)" in found[-1]["data"]["message"]


def test_what_goes_back_says_to_where() -> None:
    shard = Shard('[alarms]\ncooldown = "50s"\n')
    alarms = [alarm(5, before=0.1, after=0.4), alarm(105, before=0.4, after=0.15), alarm(205, before=0.15, after=0.4)]
    told = []
    for at, raised in zip((0, 100, 200), alarms, strict=True):
        told += values(shard.take(raised, until=at + 10), "alerts")
        shard.sees("error", 0.2)
        shard.take(until=at + 100, closes=True)

    assert [e["data"]["returns"] for e in told] == [None, "s-1", "s-2"]
    assert "back where it was before s-1" in told[1]["data"]["message"]


def test_what_happened_long_ago_does_not_make_it_flap() -> None:
    shard = Shard('[alarms]\ncooldown = "50s"\n')
    come_and_go(shard, times=2)
    shard.take(until=1000, closes=True)

    assert values(shard.take(alarm(1005), until=1010), "alerts")[0]["data"]["flapping"] == 0
    assert shard.decide.policies.recovered == shard.decide.policies.last == {}


def test_what_is_held_back_calls_nobody_and_is_counted() -> None:
    window = 'during = "00:01-00:02"\nsignals = ["err*"]\nwhy = "the nightly load"\n'
    shard = Shard(f"[[alarms.suppress]]\n{window}")
    (held,) = values(shard.take(alarm(70), until=80), "alerts")
    assert (held["data"]["severity"], held["data"]["suppressed"]) == ("info", "the nightly load")
    assert held["data"]["message"].endswith("held back: the nightly load")

    found = shard.take(alarm(119, signal="missing:a"), alarm(120), until=4096, closes=True)
    told = [(e["data"]["status"], e["data"]["severity"], e["data"]["suppressed"]) for e in values(found, "alerts")]
    assert told[0] == ("updated", "warning", None)  # of another signal, which is not held back
    assert told[1] == ("updated", "critical", None)  # after the window
    figures = next(m for m in values(found, "metrics") if m["signal"] == "incidents")
    assert {k: figures[k] for k in ("alarms", "suppressed", "opened", "open")} == {
        "alarms": 3, "suppressed": 1, "opened": 1, "open": 1,
    }  # fmt: skip


def test_the_budget_stands_in_each_alert_and_in_the_metrics() -> None:
    shard = Shard('[alarms]\nbudget = "2 per 1000 events"\n')
    found = shard.take(alarm(70), alarm(71, signal="feature:a"), until=80, closes=True)
    budgets = [e["data"]["budget"] for e in values(found, "alerts")]
    figures = next(m for m in values(found, "metrics") if m["signal"] == "incidents")

    assert [(b["per_events"], b["alarms"]) for b in budgets] == [(500, 1), (500, 2)]
    assert figures["budget"] == budgets[-1]
    assert (budgets[0]["spent"], budgets[0]["left"]) == (0, budgets[0]["allowed"])


def test_alerts_are_cloud_events() -> None:
    shard = Shard()
    found = shard.take(alarm(100, segment="c=x"), alarm(100, signal="feature:a"), until=200)
    (opened,) = values(found, "alerts")

    assert {k: opened[k] for k in opened if k not in ("data", "id")} == {
        "specversion": "1.0",
        "source": "driftline/s/0",
        "type": "driftline.alert.opened",
        "subject": "s-1",
        "time": "1970-01-01T00:01:40.000Z",
        "datacontenttype": "application/json",
    }
    nested = ("effect", "contributions", "message", "causes", "harm", "budget")
    assert {k: opened["data"][k] for k in opened["data"] if k not in nested} == {
        "incident": "s-1", "status": "opened", "severity": "critical", "signal": "error", "segment": "c=x",
        "detector": "adwin", "statistic": 8.0, "threshold": 5.0, "offset": 100, "time": 100_000,
        "onset_offset": 50, "onset_time": 50_000, "onset_interval": None, "alarms": 1, "acknowledged_by": None,
        "outcome": None, "changes": [], "segments": [], "explanation": None, "examples": [], "benign": None,
        "flapping": 0, "suppressed": None, "signals": 1, "returns": None,
    }  # fmt: skip
    assert [cause["signal"] for cause in opened["data"]["causes"]] == ["error"]
    assert (opened["data"]["harm"]["basis"], opened["data"]["harm"]["benign"]) == ("unknown", None)
    assert opened["data"]["effect"]["before"] == 0.2
    assert opened["data"]["contributions"][0]["signal"] == "error"
    assert opened["data"]["message"].startswith("error where c=x rose from 0.2 to 0.4")
    assert [(m.key, m.time_ms) for m in found if m.stream == "alerts"] == [("s-1", 100_000)]


def test_ids_are_unique_even_for_alarms_of_one_record() -> None:
    shard = Shard('[retrain]\non = ["feature:*", "error"]\n[alarms]\ncooldown = "10s"\n')
    one_record = [alarm(100, signal=s) for s in ("error", "feature:a", "missing:a", "missing:c")]
    found = shard.take(*one_record, until=200, closes=True, control=(b'{"command": "reset"}',) * 2)

    assert len([m for m in found if m.stream == "alerts"]) == 2
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
    cost = {"avoided": pytest.approx(20_000), "horizon": 100_000, "training": 0}
    assert data["cost"] == {"excess_error_per_event": pytest.approx(0.2), "labels_since_onset": 60, **cost}
    assert data["reasons"] == ["error"]
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
    last = shard.decide.triggers.last
    assert [last[signal][0] for signal in ("error", "feature:a", "missing:a")] == [10, 50, 100]


def test_an_incident_that_goes_on_asks_again_after_the_cooldown() -> None:
    shard = Shard('[retrain]\non = ["error", "feature:a"]\ncooldown = "100s"\n[alarms]\ncooldown = "1000s"\n')
    places = ((10, "error"), (50, "feature:a"), (90, "error"), (120, "error"), (150, "feature:a"))
    found = triggers(shard.take(*[alarm(at, signal=s, onset=5) for at, s in places], until=200))

    assert [t["data"]["evidence"]["offset"] for t in found] == [10, 120]
    assert {t["data"]["incident"] for t in found} == {"s-1"}


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


@pytest.mark.parametrize(
    ("action", "commands"),
    [("reset", ["reset"]), ("notify", []), ("challenge", ["retrain"]), ("fine-tune", ["retrain"])],
)
def test_what_a_trigger_does(action: str, commands: list[str]) -> None:
    shard = Shard(RETRAIN + f'action = "{action}"\n')
    shard.take(alarm(100, onset=40), until=200)

    told = {"record": 100, "why": "s-1", "by": "policy", "from_offset": 40}
    assert shard.chunk.effects == [{"command": command, **told} for command in commands]


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
