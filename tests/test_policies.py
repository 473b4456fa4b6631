"""Policies: what they remember is bounded and comes back from plain data."""

from alarms import alarm
from chunks import TIMELESS, config_of

from stream_app.flow.incidents import Incident
from stream_app.flow.policies import LONGEST, MEMORY, Policies

COOLDOWN = '[alarms]\ncooldown = "10s"\n'


def test_recoveries_are_remembered_for_some_cooldowns_and_no_more() -> None:
    policies = Policies(config_of(COOLDOWN))
    for i in range(3 * LONGEST):
        policies.note_recovery(Incident.of("s-1", alarm()), i, 1000 * i)
    assert len(policies.recovered["error|"]) == LONGEST
    assert policies.flapping("error|", 30, 30_000) == LONGEST
    assert policies.flapping("other|", 30, 30_000) == 0

    last_ms = 1000 * (3 * LONGEST - 1)
    policies.forget(99, last_ms + MEMORY * 10_000 - 1)
    assert policies.recovered
    policies.forget(99, last_ms + MEMORY * 10_000)
    assert not policies.recovered


def test_an_incident_that_flaps_has_to_be_quiet_for_longer() -> None:
    policies = Policies(config_of('[alarms]\ncooldown = "10 events"\n', TIMELESS))

    assert [policies.quiet(0, n, 0) for n in (9, 10)] == [False, True]
    assert [policies.quiet(2, n, 0) for n in (29, 30)] == [False, True]
    assert [policies.quiet(99, n, 0) for n in (29, 30)] == [False, True]


def test_they_come_back_from_plain_data() -> None:
    policies, again = Policies(config_of(COOLDOWN)), Policies(config_of(COOLDOWN))
    policies.note_recovery(Incident.of("s-1", alarm()), 1, 1000)
    policies.counts["alarms"] += 2
    again.load(policies.to_state())

    assert again.to_state() == policies.to_state()
    assert again.counts["suppressed"] == 0
