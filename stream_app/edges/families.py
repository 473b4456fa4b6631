"""What is exposed to Prometheus: every metric with its type, its labels and what it means, and its samples.

Each is described in docs/prometheus.md (a test compares). Rules:
1. Base units and the endings of Prometheus; a value that is not known has no sample, it is never NaN.
2. Labels come from the configuration, or from the data within bounds: at most MOST series a metric and shard, texts of
   at most LONGEST characters. What has no place is counted in `driftline_series_left_out`.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple

import xxhash
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from stream_app.edges.meter import Histogram

MOST = 500  # series of one metric and shard: some thousand lines a scrape, which cost a few percent of a core a second
LONGEST = 120  # characters of a label's text; categories may be of any length
LEFT_OUT = "driftline_series_left_out"

Kind = Literal["counter", "gauge", "histogram"]


Sample = tuple[str, tuple[str, ...], float | Histogram | None]  # name, texts of its own labels, value; None: not known


class Family(NamedTuple):
    """One metric; `labels` are its own, behind those of its group."""

    name: str
    kind: Kind
    text: str
    labels: tuple[str, ...] = ()


def _families(*rows: tuple[str, Kind, str, str]) -> tuple[Family, ...]:
    return tuple(Family(f"driftline_{name}", kind, text, tuple(labels.split())) for name, kind, labels, text in rows)


OF_PROCESS = _families(
    ("build_info", "gauge", "version", "1; the version of driftline."),
    ("monitor_info", "gauge", "engine config", "1; the engine (embedded, kafka) and the digest of the configuration."),
    ("notifications_total", "counter", "receiver outcome", "Notifications delivered or dead; attempts failed."),
    ("notifications_waiting", "gauge", "receiver", "Notifications that wait for their receiver."),
)
OF_WORKER = _families(
    ("worker_joined", "gauge", "", "1 while the worker is a member of its consumer group, else 0."),
    ("worker_shards", "gauge", "state", "Shards that the worker owns, recovering or running."),
    ("worker_rebalances_total", "counter", "", "Rebalances that gave this worker its shards anew."),
)
OF_SHARD_OF_WORKER = _families(
    ("recovered_ratio", "gauge", "", "Share of the shard's recovery that is done; 1 while it runs."),
    ("lag_duration_seconds", "gauge", "", "How long the lag has not been 0."),
)
OF_SHARD = _families(
    ("records_total", "counter", "", "Records of all inputs taken, since the log began."),
    ("events_total", "counter", "", "Events accepted, since the log began."),
    ("labels_total", "counter", "", "Labels that met their event, since the log began."),
    ("labels_expired_total", "counter", "", "Events whose label did not come in time, since the log began."),
    ("records_rejected_total", "counter", "", "Records that became dead letters, since the log began."),
    ("dead_letters_total", "counter", "kind", "Dead letters by the kind of what is wrong."),
    ("alerts_total", "counter", "status severity", "Alerts written."),
    ("triggers_total", "counter", "type", "Triggers written: requests to retrain, and proposed promotions."),
    ("incidents_opened_total", "counter", "", "Incidents ever opened."),
    ("incidents_open", "gauge", "severity acknowledged", "Incidents that are open."),
    ("lag_records", "gauge", "", "Records of the inputs that are read or known of and not committed."),
    ("stream_timestamp_seconds", "gauge", "", "Stream time, in seconds since 1970; without a time field, the offset."),
    ("last_commit_timestamp_seconds", "gauge", "", "When the last commit ended, in seconds since 1970."),
    ("commit_duration_seconds", "histogram", "", "How long commits took, in this process."),
    ("alarms_total", "counter", "", "Alarms of all detectors."),
    ("alarms_suppressed_total", "counter", "", "Of them those in windows of alarms.suppress."),
    ("incidents_flapping_total", "counter", "", "Incidents that came and went."),
    ("incidents_benign_total", "counter", "", "Incidents that cost nothing."),
    ("triggers_held_total", "counter", "", "Requests to retrain that were held back."),
    ("triggers_unpaid_total", "counter", "", "Of them those that would not have paid."),
    ("budget_events_per_alarm", "gauge", "", "Events per false alarm that alarms.budget allows."),
    ("budget_allowed_alarms", "gauge", "", "False alarms allowed up to here."),
    ("budget_spent_alarms", "gauge", "", "False alarms that the detectors may have raised, by their arl0."),
    ("labels_pending", "gauge", "", "Events that wait for their label."),
    ("label_coverage_ratio", "gauge", "", "Labelled share of all events whose label came or expired."),
    ("label_delay_median_seconds", "gauge", "", "Median delay of the newest labels."),
    ("label_delay_p95_seconds", "gauge", "", "95 % quantile of the delay of the newest labels."),
    ("performance", "gauge", "model metric window", "A figure of a model or baseline, rolling or since the start."),
    ("model_labels_total", "counter", "model", "Labels that the model was measured on since it came to its lane."),
    ("model_failures_total", "counter", "model", "Events that the model raised an error on."),
    ("model_info", "gauge", "model version", "1; the version that stands in a lane."),
    ("trial_labels", "gauge", "model", "Labels by which a model on trial is compared with the champion."),
    ("trial_gain", "gauge", "model", "How much less it loses per event than the champion."),
    ("trial_gain_lower", "gauge", "model", "Lower end of the gain's interval; above 0 it is proven."),
    ("trial_gain_upper", "gauge", "model", "Upper end of the gain's interval."),
    ("estimated_loss", "gauge", "model", "Mean loss of the newest events, estimated before their labels."),
    ("estimated_loss_lower", "gauge", "model", "Lower end of its interval."),
    ("estimated_loss_upper", "gauge", "model", "Upper end of its interval."),
    ("realised_loss", "gauge", "model", "Mean loss of those of the newest events whose label is there."),
    ("fused_loss", "gauge", "model", "Mean loss by the labels that are there, and by the estimate elsewhere."),
    ("ab_events_total", "counter", "arm", "Events predicted in an arm of [ab]."),
    ("ab_labels_total", "counter", "arm", "Of them those that have their label."),
    ("ab_loss", "gauge", "arm", "Mean loss of what was given out in an arm of [ab]."),
    ("detector_statistic", "gauge", "signal detector segment", "A detector's statistic."),
    ("detector_threshold", "gauge", "signal detector segment", "What the statistic has to exceed for an alarm."),
    ("detector_closeness_ratio", "gauge", "signal detector segment", "Statistic over threshold; 1 is an alarm."),
    ("detector_observations", "gauge", "signal detector segment", "Observations since the detector began anew."),
    ("detector_missing_total", "counter", "signal detector segment", "Missing values, counted and not fed."),
    ("detector_mean", "gauge", "signal detector segment", "Mean of the signal since the detector began anew."),
    ("series_left_out", "gauge", "family", "Series that are not exposed because there are too many."),
)
KINDS = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily, "histogram": HistogramMetricFamily}
MONITOR, SHARD = ("monitor",), ("monitor", "shard")
GROUPS = {OF_PROCESS: MONITOR, OF_WORKER: MONITOR, OF_SHARD: SHARD, OF_SHARD_OF_WORKER: SHARD}


class Exposition:
    """One scrape: the families of some groups, filled with samples."""

    def __init__(self, *groups: tuple[Family, ...]) -> None:
        self._made = {family.name: _made(family, GROUPS[group]) for group in groups for family in group}

    def add(self, before: tuple[str, ...], samples: Iterable[Sample]) -> None:
        """Takes what is known of one monitor, or of one shard; `before` are the texts of its group's labels."""
        taken: dict[str, int] = {}
        left_out: dict[str, int] = {}
        for name, texts, value in samples:
            if value is None:
                continue
            if taken.setdefault(name, 0) < MOST:
                taken[name] += 1
                told = value if isinstance(value, Histogram) else (value,)
                self._made[name].add_metric([*before, *map(shortened, texts)], *told)
            else:
                left_out[name] = left_out.get(name, 0) + 1
        for name, count in left_out.items():
            self._made[LEFT_OUT].add_metric([*before, name], count)

    def __iter__(self) -> Iterator[Metric]:
        yield from self._made.values()


def _made(family: Family, before: tuple[str, ...]) -> Any:
    return KINDS[family.kind](family.name, family.text, labels=[*before, *family.labels])


def shortened(text: str) -> str:
    """A text as a label: a long one ends with a digest of itself, so that two that begin alike stay two.

    >>> shortened("carrier=UA"), len(shortened("x" * 10_000))
    ('carrier=UA', 120)
    """
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 9]}~{xxhash.xxh32_hexdigest(text.encode())}"
