"""The dashboards for Grafana, as code: `make dashboards` writes compose/grafana/*.json anew.

Four of them: overview, performance, signals, worker. Each panel says what it shows and asks Prometheus for metrics of
docs/prometheus.md; tests run every query against a real Prometheus.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.builders import common, prometheus, stat, table, timeseries
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models

FOLDER = Path(__file__).parent / "grafana"
SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
HERE, SHARD = '{monitor=~"$monitor"}', '{monitor=~"$monitor", shard=~"$shard"}'
WIDTH = 24  # columns of a dashboard
REFRESH = "30s"

Query = tuple[str, str]  # expression, legend


def of(**labels: str) -> str:
    """The chosen monitor and shards, and more labels; `$NAME` is what is chosen of a variable."""
    more = [f'{name}{"=~" if text.startswith("$") else "="}"{text}"' for name, text in labels.items()]
    return "{" + ", ".join([SHARD.strip("{}"), *more]) + "}"


def query(expression: str, legend: str, *, instant: bool = False) -> prometheus.Dataquery:
    """One query of a panel."""
    made = prometheus.Dataquery().expr(expression).legend_format(legend)
    return made.instant().format("table") if instant else made.range()


def lines(title: str, text: str, *queries: Query, unit: str = "short", span: int = 12, repeat: str = "") -> Any:
    """Figures over time; `repeat` makes one panel for each value of a variable."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(text)
        .datasource(SOURCE)
        .unit(unit)
        .height(8)
        .span(WIDTH if repeat else span)
    )
    panel.fill_opacity(0).show_points("never").tooltip(common.VizTooltipOptions().mode("multi").sort("desc"))
    panel.legend(common.VizLegendOptions().display_mode("list").placement("bottom").show_legend(True))
    for number, each in enumerate(queries):
        panel.with_target(query(*each).ref_id(chr(ord("A") + number)))
    return panel.repeat(repeat).repeat_direction("h") if repeat else panel


def number(title: str, text: str, expression: str, *, unit: str = "short", bad: float | None = None) -> Any:
    """One figure as it is now, red from `bad` on."""
    panel = stat.Panel().title(title).description(text).datasource(SOURCE).unit(unit).span(4).height(4)
    steps = [models.Threshold(value=None, color="green")]
    steps += [] if bad is None else [models.Threshold(value=bad, color="red")]
    panel.thresholds(build.ThresholdsConfig().mode("absolute").steps(steps))
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    return panel.with_target(query(expression, "").ref_id("A"))


def rows(title: str, text: str, expression: str, *, unit: str = "short", span: int = WIDTH) -> Any:
    """A table of series as they are now."""
    panel = table.Panel().title(title).description(text).datasource(SOURCE).unit(unit).span(span).height(10)
    panel.show_header(True)
    return panel.with_target(query(expression, "", instant=True).ref_id("A"))


def dashboard(name: str, title: str, text: str, *parts: Any, variables: tuple[str, ...] = ()) -> build.Dashboard:
    """A dashboard with the variables monitor and shard, and further ones: labels by the metric that has them."""
    made = build.Dashboard(f"driftline {title}").uid(f"driftline-{name}").description(text).tags(["driftline"])
    made.refresh(REFRESH).time("now-6h", "now").tooltip(models.DashboardCursorSync.CROSSHAIR).readonly()
    made.link(
        build.DashboardLink("driftline").type("dashboards").tags(["driftline"]).keep_time(True).include_vars(True)
    )
    made.with_variable(build.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    made.with_variable(variable("monitor", "driftline_monitor_info", all_of_them=False))
    made.with_variable(variable("shard", "driftline_records_total" + HERE))
    for each in variables:
        label, _, metric = each.partition(" of ")
        made.with_variable(variable(label, metric + SHARD))
    for place, part in enumerate(parts, 1):
        if isinstance(part, str):
            made.with_row(build.Row(part).id(place))
        else:
            made.with_panel(part.id(place))
    return made


def variable(label: str, metric: str, *, all_of_them: bool = True) -> build.QueryVariable:
    """The values of a label, to choose from."""
    made = build.QueryVariable(label).datasource(SOURCE).query(f"label_values({metric}, {label})")
    made.refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(models.VariableSort.ALPHABETICAL_ASC)
    return made.multi(True).include_all(True).all_value(".*") if all_of_them else made


def overview() -> build.Dashboard:
    """How it goes."""
    rate = f"sum by (monitor) (rate(driftline_%s_total{SHARD}[$__rate_interval]))"
    labels, expired = rate % "labels", rate % "labels_expired"
    return dashboard(
        "overview",
        "overview",
        "Whether the monitor works, whether its labels come, what has drifted.",
        "Health",
        number("Processes", "Workers or runs that tell of this monitor.", f"count(driftline_monitor_info{HERE})"),
        number(
            "Since the last commit",
            "A stream without records commits nothing.",
            f"time() - max(driftline_last_commit_timestamp_seconds{SHARD})",
            unit="s",
        ),
        number("Lag", "Records that wait.", f"sum(driftline_lag_records{SHARD})"),
        number("Critical incidents", "Open now.", f"sum(driftline_incidents_open{of(severity='critical')})", bad=1),
        number("Warnings", "Open incidents.", f"sum(driftline_incidents_open{of(severity='warning')})", bad=1),
        number(
            "Alerts",
            "Of the rules, firing now.",
            'count(ALERTS{alertstate="firing", monitor=~"$monitor"}) or vector(0)',
            bad=1,
        ),
        "Stream",
        lines(
            "Rate",
            "Records a second, of all inputs; events and labels apart.",
            *((rate % each, each) for each in ("records", "events", "labels")),
        ),
        lines("Lag", "Records that wait.", (f"driftline_lag_records{SHARD}", "shard {{shard}}")),
        lines(
            "Stream time behind the clock",
            "Old events make a large figure; one that grows in a live stream is a lag.",
            (f"time() - driftline_stream_timestamp_seconds{SHARD}", "shard {{shard}}"),
            unit="s",
        ),
        lines(
            "Dead letters",
            "Refused records a second, by what is wrong with them.",
            (f"sum by (kind) (rate(driftline_dead_letters_total{SHARD}[$__rate_interval]))", "{{kind}}"),
        ),
        "Labels",
        lines(
            "Coverage",
            "Share of the events that get their label in time: lately, and since the log began.",
            (f"{labels} / ({labels} + {expired})", "lately"),
            (f"driftline_label_coverage_ratio{SHARD}", "since the start, shard {{shard}}"),
            unit="percentunit",
        ),
        lines(
            "Delay",
            "From the event to its label.",
            (f"driftline_label_delay_median_seconds{SHARD}", "median, shard {{shard}}"),
            (f"driftline_label_delay_p95_seconds{SHARD}", "95 %, shard {{shard}}"),
            unit="s",
        ),
        lines("Pending", "Events that wait.", (f"driftline_labels_pending{SHARD}", "shard {{shard}}"), span=WIDTH),
        "Incidents",
        lines("Open", "Open now.", (f"sum by (severity) (driftline_incidents_open{SHARD})", "{{severity}}")),
        lines(
            "Alerts and triggers",
            "Written within the last interval.",
            (f"sum by (status) (increase(driftline_alerts_total{SHARD}[$__rate_interval]))", "{{status}}"),
            (f"sum by (type) (increase(driftline_triggers_total{SHARD}[$__rate_interval]))", "{{type}}"),
        ),
        lines(
            "Alarms",
            "Of all detectors, since the log began; those that called nobody; requests to retrain that were held back.",
            (f"sum(driftline_alarms_total{SHARD})", "alarms"),
            (f"sum(driftline_alarms_suppressed_total{SHARD})", "suppressed"),
            (f"sum(driftline_incidents_benign_total{SHARD})", "incidents that cost nothing"),
            (f"sum(driftline_triggers_held_total{SHARD})", "triggers held back"),
        ),
        lines(
            "Budget",
            "False alarms that alarms.budget allows up to here, and those that the detectors may have raised.",
            (f"sum(driftline_budget_allowed_alarms{SHARD})", "allowed"),
            (f"sum(driftline_budget_spent_alarms{SHARD})", "spent"),
        ),
    )


def performance() -> build.Dashboard:
    """How good the models are."""
    figure = "driftline_performance" + of(metric="$metric", window="%s")
    bounds = ("", "_lower", "_upper")
    return dashboard(
        "performance",
        "performance",
        "The champion beside its challengers and the baselines; what is known before the labels come.",
        "Models",
        rows("Versions", "Which version stands in which lane.", f"driftline_model_info{SHARD}"),
        "Figures",
        lines(
            "$metric, rolling",
            "Of the newest labels.",
            (figure % "rolling", "{{model}}, shard {{shard}}"),
            repeat="metric",
        ),
        lines(
            "Since the start",
            "The same figures over all labels.",
            (figure % "since_start", "{{metric}} of {{model}}, shard {{shard}}"),
            span=WIDTH,
        ),
        lines(
            "Labels",
            "Labels a second.",
            (f"sum by (model) (rate(driftline_model_labels_total{SHARD}[$__rate_interval]))", "{{model}}"),
        ),
        lines(
            "Failures",
            "Events on which a model raised an error.",
            (f"driftline_model_failures_total{SHARD}", "{{model}}, shard {{shard}}"),
        ),
        "Before the labels",
        lines(
            "Estimated loss",
            "The champion's mean loss as it is estimated, with its interval; and as far as labels are there.",
            *(
                (f"driftline_estimated_loss{end}{SHARD}", f"estimated{end}, shard {{{{shard}}}}".replace("_", " "))
                for end in bounds
            ),
            (f"driftline_realised_loss{SHARD}", "realised, shard {{shard}}"),
            (f"driftline_fused_loss{SHARD}", "both together, shard {{shard}}"),
            span=WIDTH,
        ),
        "On trial",
        lines(
            "Gain",
            "How much less the model on trial loses than the champion, with its interval: above 0 it is proven.",
            *(
                (
                    f"driftline_trial_gain{end}{SHARD}",
                    f"gain{end} of {{{{model}}}}, shard {{{{shard}}}}".replace("_", " "),
                )
                for end in bounds
            ),
        ),
        lines(
            "Labels of the trial", "That it rests on.", (f"driftline_trial_labels{SHARD}", "{{model}}, shard {{shard}}")
        ),
        lines(
            "A/B",
            "Mean loss of what was given out in each arm.",
            (f"driftline_ab_loss{SHARD}", "{{arm}}, shard {{shard}}"),
        ),
        lines(
            "A/B, events",
            "Predicted in each arm, a second.",
            (f"sum by (arm) (rate(driftline_ab_events_total{SHARD}[$__rate_interval]))", "{{arm}}"),
        ),
        variables=("metric of driftline_performance",),
    )


def signals() -> build.Dashboard:
    """What is watched."""
    chosen, whole = of(signal="$signal"), of(signal="$signal", segment="")
    name = "{{signal}} {{detector}} {{segment}} shard {{shard}}"
    return dashboard(
        "signals",
        "signals",
        "Every detector beside its threshold, the nearest to an alarm first.",
        "Nearest to an alarm",
        rows(
            "Detectors",
            "Statistic over threshold: 1 is an alarm.",
            f"sort_desc(topk(50, driftline_detector_closeness_ratio{SHARD}))",
            unit="percentunit",
        ),
        lines(
            "Closeness",
            "The twenty nearest at each time.",
            (f"topk(20, driftline_detector_closeness_ratio{SHARD})", name),
            unit="percentunit",
            span=WIDTH,
        ),
        "Chosen signals",
        lines(
            "$signal",
            "Statistic and threshold of each detector of the whole signal.",
            (f"driftline_detector_statistic{whole}", "{{detector}}, shard {{shard}}"),
            (f"driftline_detector_threshold{whole}", "threshold of {{detector}}, shard {{shard}}"),
            repeat="signal",
        ),
        lines("Mean", "Of the signal since its detector began anew.", (f"driftline_detector_mean{chosen}", name)),
        lines(
            "Missing values", "A second.", (f"rate(driftline_detector_missing_total{chosen}[$__rate_interval])", name)
        ),
        lines(
            "Observations",
            "Since the detector began anew: an alarm begins at 0.",
            (f"driftline_detector_observations{chosen}", name),
        ),
        lines(
            "Left out",
            "Series that are not exposed because there are too many.",
            (f"sum by (family) (driftline_series_left_out{SHARD}) or vector(0)", "{{family}}"),
        ),
        variables=("signal of driftline_detector_observations",),
    )


def worker() -> build.Dashboard:
    """How the processes do."""
    bucket = f"sum by (le) (rate(driftline_commit_duration_seconds_bucket{SHARD}[$__rate_interval]))"
    process = '%s{job="driftline"}'
    return dashboard(
        "worker",
        "worker",
        "The processes: the group, recovery, commits, memory, delivery.",
        "Group",
        number("Workers", "Members of the group.", f"sum(driftline_worker_joined{HERE})"),
        number(
            "Running shards", "Of all workers.", 'sum(driftline_worker_shards{state="running", monitor=~"$monitor"})'
        ),
        number("Recovering", "Shards.", 'sum(driftline_worker_shards{state="recovering", monitor=~"$monitor"})'),
        number(
            "Not answering", "Processes that cannot be scraped.", 'count(up{job="driftline"} == 0) or vector(0)', bad=1
        ),
        number(
            "Dead notifications",
            "Given up.",
            'sum(driftline_notifications_total{outcome="dead", monitor=~"$monitor"}) or vector(0)',
            bad=1,
        ),
        number(
            "Waiting notifications", "For their receiver.", f"sum(driftline_notifications_waiting{HERE}) or vector(0)"
        ),
        "Shards",
        lines("Lag", "Records that wait.", (f"driftline_lag_records{SHARD}", "shard {{shard}}")),
        lines(
            "Not at 0 for",
            "How long the lag has not been 0.",
            (f"driftline_lag_duration_seconds{SHARD}", "shard {{shard}}"),
            unit="s",
        ),
        lines(
            "Recovery",
            "Share that is done.",
            (f"driftline_recovered_ratio{SHARD}", "shard {{shard}}"),
            unit="percentunit",
        ),
        lines("Rebalances", "In an hour.", (f"increase(driftline_worker_rebalances_total{HERE}[1h])", "{{instance}}")),
        "Commits",
        lines(
            "Duration",
            "How long commits take.",
            *((f"histogram_quantile({share}, {bucket})", f"{share}") for share in (0.5, 0.95, 0.99)),
            unit="s",
        ),
        lines(
            "Commits",
            "A second.",
            (
                f"sum by (shard) (rate(driftline_commit_duration_seconds_count{SHARD}[$__rate_interval]))",
                "shard {{shard}}",
            ),
        ),
        "Process",
        lines(
            "Processor",
            "Cores in use.",
            (f"rate({process % 'process_cpu_seconds_total'}[$__rate_interval])", "{{instance}}"),
        ),
        lines("Memory", "Resident.", (process % "process_resident_memory_bytes", "{{instance}}"), unit="bytes"),
        lines("Open files", "Of each process.", (process % "process_open_fds", "{{instance}}")),
        lines(
            "Delivery",
            "Notifications a second.",
            (
                f"sum by (receiver, outcome) (rate(driftline_notifications_total{HERE}[$__rate_interval]))",
                "{{receiver}} {{outcome}}",
            ),
        ),
    )


DASHBOARDS: dict[str, Callable[[], build.Dashboard]] = {
    "overview": overview,
    "performance": performance,
    "signals": signals,
    "worker": worker,
}


def document(name: str) -> str:
    """A dashboard as it stands in its file."""
    return JSONEncoder(sort_keys=True, indent=1).encode(DASHBOARDS[name]().build()) + "\n"


def main() -> None:
    """Writes all files anew."""
    for name in DASHBOARDS:
        (FOLDER / f"{name}.json").write_text(document(name))
        print(f"wrote {FOLDER / name}.json", file=sys.stderr)


if __name__ == "__main__":
    main()
