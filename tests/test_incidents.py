"""Incidents: which alarms are one cause, how bad it is, how it ended, and how it reads."""

import pytest
from alarms import alarm
from streams import differences

from stream_app.config import Window
from stream_app.flow.incidents import Incident, is_worse, severity_of

HOUR = Window(duration_ms=3_600_000)
EVENTS = Window(events=100)


def opened(**options) -> Incident:
    return Incident.of("s-1", alarm(10_000, **options))


@pytest.mark.parametrize(
    ("other", "joins"),
    [
        (alarm(10_000 + 3600, signal="prediction", onset=13_590), True),  # close to the first alarm
        (alarm(10_000 + 3601, signal="prediction", onset=13_591), False),
        (alarm(10_000 + 9000, signal="prediction", onset=9_950 + 3600), True),  # fired late, began at the same time
        (alarm(10_000 + 9000, signal="prediction", onset=9_950 - 3600), True),
        (alarm(10_000 + 9000, signal="prediction", onset=9_950 - 3601), False),
        (alarm(10_000 + 90_000, signal="error"), True),  # the same signal
        (alarm(10_000 + 90_000, signal="error", segment="c=x"), False),  # of another segment: another signal
        (alarm(10_001, signal="prediction", time_ms=1_000_000, onset=10_001), False),  # of a late event, hours before
    ],
)
def test_alarms_of_one_cause_in_time(other, joins: bool) -> None:
    assert opened().near(other, HOUR) is joins


@pytest.mark.parametrize(
    ("other", "joins"),
    [
        (alarm(10_100, signal="prediction", onset=10_099), True),
        (alarm(10_101, signal="prediction", onset=10_099), False),
        (alarm(12_000, signal="prediction", onset=9_950 + 100), True),
        (alarm(12_000, signal="prediction", onset=9_950 + 101), False),
        (alarm(12_000, signal="prediction", onset=9_950 - 100), True),
        (alarm(99_000, signal="error"), True),
    ],
)
def test_alarms_of_one_cause_without_time(other, joins: bool) -> None:
    assert opened().near(other, EVENTS) is joins


def test_what_moves_a_signal_far_beyond_is_another_cause() -> None:
    later = {"onset": 80_000, "before": 0.4}

    assert opened().near(alarm(90_000, after=0.8, **later), HOUR)  # as far again: it goes on
    assert not opened().near(alarm(90_000, after=0.81, **later), HOUR)  # more than three times as far from where it was
    assert opened().near(alarm(90_000, after=0.9, onset=10_000, before=0.4), HOUR)  # which began before the last alarm
    assert opened().near(alarm(10_100, after=0.9, onset=10_050, before=0.4), HOUR)  # or at once


@pytest.mark.parametrize(("group", "step"), [(EVENTS, 1), (HOUR, 36)])
def test_causes_are_not_chained(group: Window, step: int) -> None:
    """Each alarm is near the one before it, but the last is far from the first."""
    incident = opened()
    for record, signal in ((10_000 + 90 * step, "prediction"), (10_000 + 95 * step, "feature:a")):
        assert incident.near(alarm(record, signal=signal, onset=record - 1), group)
        incident.add(alarm(record, signal=signal, onset=record - 1))
    far = 10_000 + 180 * step

    assert not incident.near(alarm(far, signal="rejects", onset=far - 1), group)


@pytest.mark.parametrize(
    ("made", "severity"),
    [
        (alarm(signal="error", before=0.5, after=0.625), "critical"),  # a quarter worse
        (alarm(signal="error", before=0.5, after=0.62), "warning"),
        (alarm(signal="error", before=0.0, after=0.01), "critical"),
        (alarm(signal="error", before=0.4, after=0.2), "info"),  # better
        (alarm(signal="missing:a", before=0.0, after=0.5), "warning"),
        (alarm(signal="missing:a", before=0.5, after=0.0), "info"),
        (alarm(signal="rejects"), "warning"),
        (alarm(signal="expired"), "warning"),
        (alarm(signal="label_delay"), "warning"),
        (alarm(signal="lateness"), "warning"),
        (alarm(signal="key:*"), "warning"),
        (alarm(signal="key"), "info"),
        (alarm(signal="feature:a", before=1, after=9), "info"),
        (alarm(signal="prediction"), "info"),
    ],
)
def test_how_bad_one_alarm_is(made, severity: str) -> None:
    assert severity_of(made) == severity
    assert Incident.of("s-1", made).severity == severity


@pytest.mark.parametrize("signal", ["error", "estimated_error", "expired", "missing:a", "rejects"])
def test_less_of_what_is_bad_is_no_reason_to_worry(signal: str) -> None:
    assert is_worse(alarm(signal=signal))
    assert not is_worse(alarm(signal=signal, before=0.4, after=0.2))
    assert is_worse(alarm(signal="prediction", before=0.4, after=0.2))


def test_three_signals_together_are_a_warning_segments_of_one_are_not() -> None:
    incident = opened(signal="feature:a")
    for segment in ("c=x", "c=y", "c=z"):
        incident.add(alarm(10_001, signal="feature:a", segment=segment))
    assert incident.severity == "info"

    incident.add(alarm(10_002, signal="feature:b"))
    assert incident.severity == "info"

    incident.add(alarm(10_003, signal="prediction"))
    assert incident.severity == "warning"


def test_severity_never_goes_down() -> None:
    incident = opened()
    incident.add(alarm(10_010, signal="error", before=0.4, after=0.2))

    assert incident.severity == "critical"


def test_what_is_worse_is_told_at_once_another_signal_is_news_for_later() -> None:
    incident = opened(signal="error", before=0.2, after=0.21)
    incident.news = False

    assert not incident.add(alarm(10_001, before=0.2, after=0.21))  # the same again
    assert incident.add(alarm(10_002, before=0.2, after=0.9))  # worse
    assert not incident.news
    assert not incident.add(alarm(10_003, signal="prediction"))
    assert incident.news
    assert incident.alarms == 4
    assert (incident.first_record, incident.last_record, incident.last_ms) == (10_000, 10_003, 10_003_000)


def test_the_error_leads() -> None:
    incident = opened(signal="feature:a")
    incident.add(alarm(10_001, signal="prediction"))
    assert incident.data("updated")["signal"] == "feature:a"

    incident.add(alarm(10_002, signal="error", segment="c=x", before=0.2, after=0.5))
    data = incident.data("updated")
    assert (data["signal"], data["segment"], data["offset"]) == ("error", "c=x", 10_002)
    assert {k: data["effect"][k] for k in ("before", "after", "direction", "n")} == {
        "before": 0.2, "after": 0.5, "direction": 1, "n": 500,
    }  # fmt: skip
    assert data["message"] == "error where c=x rose from 0.2 to 0.5 since offset 9950, with 2 other signals"


def test_contributions_hold_every_signals_newest_alarm_the_clearest_first() -> None:
    incident = opened(statistic=6)
    incident.add(alarm(10_001, signal="prediction", statistic=50))
    incident.add(alarm(10_002, signal="feature:a", statistic=7))
    incident.add(alarm(10_003, signal="feature:a", statistic=9))
    found = incident.data("updated")["contributions"]

    assert [(part["signal"], part["statistic"]) for part in found] == [
        ("prediction", 50), ("feature:a", 9), ("error", 6),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        ("returned", "; it is back where it was (0.22)"),
        ("settled", "; it has settled at a new level (0.22)"),
        ("quiet", "; no further alarm"),
        ("closed", "; closed by ann"),
    ],
)
def test_how_it_ended(outcome: str, told: str) -> None:
    incident = opened()
    incident.closed_by = "ann"
    incident.close(outcome, 0.22)

    assert incident.data("recovered")["outcome"] == outcome
    assert incident.message().endswith(told)


def test_it_reads_which_shares_changed() -> None:
    bins = [{"category": "x", "before": 0.2, "after": 0.6}, {"category": None, "before": 0.1, "after": 0.0}]
    incident = opened(signal="feature:c", detail={"bins": bins})

    assert incident.message().startswith("feature:c changed its shares, x from 20.0% to 60.0%, since offset 9950")


def test_it_reads_what_the_signal_did() -> None:
    assert opened(before=0.4, after=0.1).message() == "error fell from 0.4 to 0.1 since offset 9950"

    distribution = opened(signal="feature:a", before=1, after=2, detail={"bins": [{"low": 0}]})
    assert distribution.message() == "feature:a changed its distribution, mean from 1 to 2, since offset 9950"


def test_it_comes_back_from_plain_data() -> None:
    incident = opened()
    incident.add(alarm(10_001, signal="prediction"))

    assert not differences(Incident(**incident.to_state()).to_state(), incident.to_state())  # `now` is NaN
