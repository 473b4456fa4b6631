"""The standing of a shard as samples: its counts, and the figures of its newest line of metrics, by their types."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from stream_app.edges.families import Sample
from stream_app.edges.health import ShardStatus, WorkerStatus
from stream_app.edges.meter import Key, Standing
from stream_app.flow.incidents import SEVERITIES
from stream_app.schemas.metrics import Ab, Detector, Estimate, Incidents, Labels, Performance, Trial


def of_standing(standing: Standing, lag: int) -> Iterator[Sample]:
    """What one shard has done; `lag` may be known better than it was at the last commit."""
    counts, told = standing.counts, standing.told
    yield "driftline_records_total", (), counts["records"]
    yield "driftline_events_total", (), counts["events"]
    yield "driftline_labels_total", (), counts["labels"]
    yield "driftline_labels_expired_total", (), counts["expired"]
    yield "driftline_records_rejected_total", (), counts["rejected"]
    yield from _by_kind("driftline_dead_letters_total", told.get("dead-letters", Counter()))
    yield from _by_kind("driftline_alerts_total", told.get("alerts", Counter()))
    yield from _by_kind("driftline_triggers_total", told.get("triggers", Counter()))
    yield "driftline_incidents_opened_total", (), standing.opened
    yield from _by_kind("driftline_incidents_open", NONE_OPEN | dict(standing.open))
    yield "driftline_lag_records", (), lag
    yield "driftline_stream_timestamp_seconds", (), standing.time_ms / 1000 if counts["records"] else None
    yield "driftline_last_commit_timestamp_seconds", (), standing.committed_s
    yield "driftline_commit_duration_seconds", (), standing.took
    yield from _of_line(standing.line)


def of_worker(status: WorkerStatus, rebalances: int) -> Iterator[Sample]:
    """How a worker stands in its group."""
    states = [shard.state for shard in status.shards]
    yield "driftline_worker_joined", (), int(status.joined)
    yield "driftline_worker_rebalances_total", (), rebalances
    for state in ("recovering", "running"):
        yield "driftline_worker_shards", (state,), states.count(state)


def of_shard(status: ShardStatus) -> Iterator[Sample]:
    """How one shard of a worker stands."""
    yield "driftline_recovered_ratio", (), 1.0 if status.state == "running" else status.recovered
    yield "driftline_lag_duration_seconds", (), status.waiting_s


def of_notifications(receivers: dict[str, dict[str, int]]) -> Iterator[Sample]:
    """What became of the notifications for each receiver."""
    for receiver, figures in receivers.items():
        for outcome in ("delivered", "failed", "dead"):
            yield "driftline_notifications_total", (receiver, outcome), figures[outcome]
        yield "driftline_notifications_waiting", (receiver,), figures["waiting"]


def _by_kind(name: str, counts: Mapping[Key, int]) -> Iterator[Sample]:
    for kind, count in sorted(counts.items()):
        yield name, kind, count


def _of_line(line: dict[str, bytes]) -> Iterator[Sample]:
    """Whole signals before segments: where there are too many, those stay."""
    found: list[list[Sample]] = [[], []]
    for signal, value in line.items():
        kind, _, name = signal.partition(":")
        if kind in READ:
            type_, samples = READ[kind]
            record = msgspec.json.decode(value, type=type_)
            found[bool(getattr(record, "segment", ""))] += samples(name, record)
    for samples_of in found:
        yield from samples_of


def _performance(model: str, record: Performance) -> Iterable[Sample]:
    for window, figures in (("rolling", record.rolling), ("since_start", record.since_start)):
        for metric, value in figures.items():
            yield "driftline_performance", (model, metric, window), value
    yield "driftline_model_labels_total", (model,), record.labels
    if record.version is not msgspec.UNSET:
        yield "driftline_model_failures_total", (model,), record.failures
        yield "driftline_model_info", (model, str(record.version)), 1


def _trial(model: str, record: Trial) -> Iterable[Sample]:
    comparison = record.comparison
    yield "driftline_trial_labels", (model,), comparison.labels
    yield "driftline_trial_gain", (model,), comparison.gain
    yield "driftline_trial_gain_lower", (model,), comparison.interval[0]
    yield "driftline_trial_gain_upper", (model,), comparison.interval[1]


def _labels(_: str, record: Labels) -> Iterable[Sample]:
    yield "driftline_labels_pending", (), record.pending
    yield "driftline_label_coverage_ratio", (), record.coverage
    yield "driftline_label_delay_median_seconds", (), record.delay_median_s
    yield "driftline_label_delay_p95_seconds", (), record.delay_p95_s


def _incidents(_: str, record: Incidents) -> Iterable[Sample]:
    yield "driftline_alarms_total", (), record.alarms
    yield "driftline_alarms_suppressed_total", (), record.suppressed
    yield "driftline_incidents_flapping_total", (), record.flapping
    yield "driftline_incidents_benign_total", (), record.benign
    yield "driftline_triggers_held_total", (), record.triggers_held
    yield "driftline_triggers_unpaid_total", (), record.triggers_unpaid
    yield "driftline_budget_events_per_alarm", (), record.budget.per_events
    yield "driftline_budget_allowed_alarms", (), record.budget.allowed
    yield "driftline_budget_spent_alarms", (), record.budget.spent


def _detector(name: str, record: Detector) -> Iterable[Sample]:
    signal = name.removesuffix(f"/{record.segment}").removesuffix(f"/{record.detector}")
    where = signal, record.detector, record.segment
    yield "driftline_detector_statistic", where, record.statistic
    yield "driftline_detector_threshold", where, record.threshold
    yield "driftline_detector_closeness_ratio", where, closeness(record.statistic, record.threshold)
    yield "driftline_detector_observations", where, record.n
    yield "driftline_detector_missing_total", where, record.missing
    yield "driftline_detector_mean", where, record.estimate


def closeness(statistic: float | None, threshold: float | None) -> float | None:
    """How near a detector is to an alarm, which is 1; None where nothing says so.

    >>> closeness(0.5, 2.0), closeness(None, 2.0), closeness(0.0, 0.0)
    (0.25, None, None)
    """
    if statistic is None or threshold is None or threshold <= 0:
        return None
    ratio = statistic / threshold
    return ratio if math.isfinite(ratio) else None


def _estimate(model: str, record: Estimate) -> Iterable[Sample]:
    lower, upper = record.interval or (None, None)
    yield "driftline_estimated_loss", (model,), record.estimated
    yield "driftline_estimated_loss_lower", (model,), lower
    yield "driftline_estimated_loss_upper", (model,), upper
    yield "driftline_realised_loss", (model,), record.realised
    yield "driftline_fused_loss", (model,), record.fused


def _ab(_: str, record: Ab) -> Iterable[Sample]:
    for name, arm in (("A", record.arms.A), ("B", record.arms.B)):
        yield "driftline_ab_events_total", (name,), arm.events
        yield "driftline_ab_labels_total", (name,), arm.labels
        yield "driftline_ab_loss", (name,), arm.loss.mean if arm.loss else None


NONE_OPEN = {(severity, said): 0 for severity in SEVERITIES for said in ("false", "true")}
READ: dict[str, tuple[Any, Callable[[str, Any], Iterable[Sample]]]] = {  # by what a signal's name begins with
    "performance": (Performance, _performance),
    "trial": (Trial, _trial),
    "labels": (Labels, _labels),
    "incidents": (Incidents, _incidents),
    "detector": (Detector, _detector),
    "estimate": (Estimate, _estimate),
    "ab": (Ab, _ab),
}
