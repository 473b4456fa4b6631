"""`/metrics`: the figures of the log, documented one by one, bounded, and never in the way of the stream."""

import json
import re
import signal
import socket
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from command import csv_text, driftline, records, write_config
from programs import checked
from prometheus_client import generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from runs import KEY, LOOP, configured, finish, jsonl, rows, running, wait_until, write
from scraping import fetched
from streams import SMALL, made_stream, tape_of

from stream_app.config import Config, load, parse
from stream_app.edges import families, prometheus
from stream_app.edges.health import ShardStatus, WorkerStatus
from stream_app.edges.log import Log
from stream_app.edges.meter import KINDS_MOST, Meter, Step
from stream_app.errors import ConfigError
from stream_app.messages import Message, Outputs, to_json
from stream_app.pipeline import Pipeline
from stream_app.runners.embedded import Embedded

DOCS = (Path(__file__).parent.parent / "docs" / "prometheus.md").read_text()
EVENTS = 4000
SHARED_OUT = '[ab]\nlane = "candidate"\nshare = 0.5\nby = "id"\n'
WORKER = WorkerStatus(
    joined=True,
    shards=(
        ShardStatus(shard=0, state="running", lag=7, waiting_s=1.5),
        ShardStatus(shard=1, state="recovering", recovered=0.25),
    ),
)
Samples = dict[tuple[str, tuple[str, ...]], float]  # name and the texts of its own labels, by their names


def samples_of(meter: Meter, collector: prometheus.Collector | None = None) -> Samples:
    text = generate_latest(prometheus.registry(collector or prometheus.Collector(meter))).decode()
    return parsed(text)


def parsed(text: str) -> Samples:
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = {name: value for name, value in sample.labels.items() if name not in {"monitor", "shard"}}
            key = sample.name, tuple(value for _, value in sorted(labels.items()))
            assert key not in found
            found[key] = sample.value
    return found


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> tuple[Log, Samples, str]:
    """A log that was written in two runs, and what the second one exposed at its end."""
    folder = tmp_path_factory.mktemp("log")
    made = rows(3, EVENTS)
    for number, row in enumerate(made[100:200:10]):
        row |= {"b": "many"} if number % 2 else {"id": made[number]["id"]}
    file = configured(folder, str(folder / "events.jsonl"), more=LOOP + SHARED_OUT)
    state = folder / "log.db"
    for part in (made[: EVENTS // 2], made):
        (folder / "events.jsonl").write_bytes(jsonl(part))
        meter = Meter(load(file), "embedded")
        with Log(state, write=True) as written:
            Embedded(load(file), written, key=KEY, meter=meter).run(lambda _: None)
    text = generate_latest(prometheus.registry(prometheus.Collector(meter))).decode()
    return Log(state), parsed(text), text


def newest_line(log: Log) -> dict[str, Any]:
    records = [json.loads(record.value) for record in log.read("metrics")]
    return {each["signal"]: each for each in records if each["record"] == records[-1]["record"]}


def test_counts_are_those_of_the_log(log: tuple[Log, Samples, str]) -> None:
    written, found, _ = log
    taken = sum(len(order) for order in written.interleaving())
    letters = Counter(json.loads(record.value)["kind"] for record in written.read("dead-letters"))
    events = [json.loads(record.value) for record in written.read("alerts")]
    alerts = Counter((each["data"]["severity"], each["data"]["status"]) for each in events)
    triggers = Counter(json.loads(record.value)["type"].rpartition(".")[2] for record in written.read("triggers"))
    standing = {each["data"]["incident"]: each["data"] for each in events}
    still_open = Counter(each["severity"] for each in standing.values() if each["status"] != "recovered")

    assert found["driftline_records_total", ()] == taken
    assert found["driftline_events_total", ()] == written.count("predictions")
    assert found["driftline_labels_total", ()] == written.count("outcomes")
    assert found["driftline_records_rejected_total", ()] == written.count("dead-letters") > 0
    assert values(found, "driftline_dead_letters_total") == {(kind,): count for kind, count in letters.items()}
    assert set(letters) == {"type", "duplicate"}
    assert values(found, "driftline_alerts_total") == alerts
    assert values(found, "driftline_triggers_total") == {(kind,): count for kind, count in triggers.items()}
    assert found["driftline_incidents_opened_total", ()] == len(standing)
    severities = {severity for _, severity in values(found, "driftline_incidents_open")}
    assert severities == {"critical", "info", "warning"}
    assert {s: found["driftline_incidents_open", ("false", s)] for s in severities} == {
        s: still_open[s] for s in severities
    }


def values(found: Samples, name: str) -> dict[tuple[str, ...], float]:
    return {labels: value for (each, labels), value in found.items() if each == name}


def test_figures_are_those_of_the_newest_line_of_the_metrics(log: tuple[Log, Samples, str]) -> None:
    written, found, _ = log
    line = newest_line(written)
    expected: dict[tuple[str, tuple[str, ...]], float | None] = {}
    for key, record in line.items():
        kind, _, name = key.partition(":")
        if kind == "performance":
            for window in ("rolling", "since_start"):
                for metric, value in record[window].items():
                    expected["driftline_performance", (metric, name, window)] = value
            expected["driftline_model_labels_total", (name,)] = record["labels"]
        elif kind == "detector":
            where = record["detector"], record["segment"], name.split("/")[0]
            for member in ("statistic", "threshold"):
                expected[f"driftline_detector_{member}", where] = record[member]
            expected["driftline_detector_observations", where] = record["n"]
            expected["driftline_detector_mean", where] = record["estimate"]
            expected["driftline_detector_missing_total", where] = record["missing"]
        elif kind == "labels":
            expected["driftline_label_coverage_ratio", ()] = record["coverage"]
            expected["driftline_labels_pending", ()] = record["pending"]
            expected["driftline_label_delay_median_seconds", ()] = record["delay_median_s"]
            expected["driftline_label_delay_p95_seconds", ()] = record["delay_p95_s"]
        elif kind == "incidents":
            expected["driftline_alarms_total", ()] = record["alarms"]
            for member in ("allowed", "spent"):
                expected[f"driftline_budget_{member}_alarms", ()] = record["budget"][member]
        elif kind == "estimate":
            expected["driftline_estimated_loss", (name,)] = record["estimated"]
            expected["driftline_fused_loss", (name,)] = record["fused"]
        elif kind == "ab":
            for arm in "AB":
                expected["driftline_ab_loss", (arm,)] = record["arms"][arm]["loss"]["mean"]
                expected["driftline_ab_events_total", (arm,)] = record["arms"][arm]["events"]
    known = {key: value for key, value in expected.items() if value is not None}

    assert {"performance", "detector", "labels", "incidents", "estimate", "ab"} <= {
        key.partition(":")[0] for key in line
    }
    assert {key: found.get(key) for key in known} == known
    assert not {key for key in expected if key not in known} & set(found)


def test_closeness_is_the_statistic_over_the_threshold(log: tuple[Log, Samples, str]) -> None:
    found = log[1]
    near = values(found, "driftline_detector_closeness_ratio")

    assert near
    for where, ratio in near.items():
        statistic, threshold = (found[f"driftline_detector_{member}", where] for member in ("statistic", "threshold"))
        assert ratio == pytest.approx(statistic / threshold)


def test_every_commit_is_in_the_histogram(log: tuple[Log, Samples, str]) -> None:
    written, found, _ = log
    buckets = values(found, "driftline_commit_duration_seconds_bucket")

    assert 0 < found["driftline_commit_duration_seconds_count", ()] < sum(1 for _ in written.interleaving())
    assert buckets["+Inf",] == found["driftline_commit_duration_seconds_count", ()]
    assert found["driftline_commit_duration_seconds_sum", ()] > 0


def test_promtool_has_nothing_against_them(log: tuple[Log, Samples, str]) -> None:
    assert checked("promtool", "check", "metrics", given=log[2]) == ""


def test_the_documents_are_of_what_is_exposed() -> None:
    meter = Meter(load_small(), "kafka")
    told = list(prometheus.registry(prometheus.Collector(meter, dict, WORKER)).collect())
    row = re.compile(r"^\| `(driftline_\w+)` \| (\w+) \|((?: `\w+`,?)*) \| (.+) \|$", re.MULTILINE)
    documented = {
        name: (kind, tuple(re.findall(r"\w+", labels)), text) for name, kind, labels, text in row.findall(DOCS)
    }
    labels = {family.name: family.labels for group in families.GROUPS for family in group}

    assert documented == {
        name_of(family): (family.type, labels.get(name_of(family), ()), family.documentation)
        for family in told
        if family.name.startswith("driftline_")
    }
    assert {name_of(family) for family in told if not family.name.startswith("driftline_")} >= {
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
    }


def name_of(family: Metric) -> str:
    return f"{family.name}_total" if family.type == "counter" else family.name


def load_small() -> Config:
    return parse(SMALL, "small", {})


def test_a_pipeline_tells_its_figures_as_the_metrics_stream_does() -> None:
    config = load_small()
    pipeline = Pipeline(config)
    tape = tape_of(config, made_stream(1, 40 * config.measure.every))
    written = pipeline.handle(tape[: 8 * config.measure.every]).messages
    line = {m.key: m.value for m in written if m.stream == "metrics" and m.id.endswith(f"/{pipeline.records}")}

    assert pipeline.records == 8 * config.measure.every
    assert {m.key: m.value for m in pipeline.figures()} == line


# bounds


def commit_of(meter: Meter, messages: list[Message]) -> None:
    pipeline = Pipeline(load_small())
    meter.opened(0, pipeline)
    meter.committed(0, Step.of(pipeline, Outputs(messages=messages)), 0.01, 0)


def detector(segment: str, signal: str = "error", record: int = 7) -> Message:
    name = f"detector:{signal}/adwin" + (f"/{segment}" if segment else "")
    value = {
        "signal": name, "record": record, "time": 0, "segment": segment, "detector": "adwin", "statistic": 1.0,
        "threshold": 2.0, "n": 3, "missing": 0, "estimate": 0.5,
    }  # fmt: skip
    return Message("metrics", f"small/metrics/0/{name}/{record}", name, 0, to_json(value))


def test_segments_are_bounded_and_whole_signals_stay() -> None:
    meter = Meter(load_small(), "embedded")
    many = families.MOST + 30
    commit_of(meter, [*(detector(f"c={i}") for i in range(many)), detector("", "prediction")])

    found = samples_of(meter)
    means = values(found, "driftline_detector_mean")

    assert len(means) == families.MOST
    assert ("adwin", "", "prediction") in means
    assert found["driftline_series_left_out", ("driftline_detector_mean",)] == 31
    assert len(found) < 7 * families.MOST + 100


def test_long_categories_are_cut_and_stay_apart() -> None:
    meter = Meter(load_small(), "embedded")
    commit_of(meter, [detector("c=" + 10_000 * "x" + end) for end in ("1", "2")] + [detector('c="\n\\')])

    segments = {labels[1] for labels in values(samples_of(meter), "driftline_detector_mean")}

    assert len(segments) == 3
    assert all(len(segment) <= families.LONGEST for segment in segments)
    assert 'c="\n\\' in segments


def test_kinds_of_dead_letters_are_bounded() -> None:
    meter = Meter(load_small(), "embedded")
    letters = [Message("dead-letters", str(i), "", 0, to_json({"kind": f"k{i}"})) for i in range(KINDS_MOST + 5)]
    commit_of(meter, letters)

    found = values(samples_of(meter), "driftline_dead_letters_total")

    assert len(found) == KINDS_MOST + 1
    assert found["(other)",] == 5


def test_what_is_not_watched_any_more_is_gone() -> None:
    meter = Meter(load_small(), "embedded")
    commit_of(meter, [detector("c=old", record=7), detector("c=new", record=14)])

    assert {labels[1] for labels in values(samples_of(meter), "driftline_detector_mean")} == {"c=new"}


# scrapes and the stream


def test_a_commit_during_a_scrape_waits_for_nothing_and_is_in_the_next_one() -> None:
    meter = Meter(load_small(), "embedded")
    commit_of(meter, [detector("c=a")])
    standing = meter.standings()
    scrape = iter(prometheus.Collector(meter).collect())
    next(scrape)
    commit_of(meter, [detector("c=b")])
    seen = {sample.labels["segment"] for family in scrape for sample in family.samples if "segment" in sample.labels}

    assert seen == {"c=a"}
    assert standing[0].line.keys() == {"detector:error/adwin/c=a"}
    assert {labels[1] for labels in values(samples_of(meter), "driftline_detector_mean")} == {"c=b"}


def test_a_shard_that_has_gone_is_told_no_more() -> None:
    meter = Meter(load_small(), "kafka")
    commit_of(meter, [])
    meter.closed(0)
    found = samples_of(meter)

    assert not [name for name, _ in found if name.startswith("driftline_records") or "commit" in name]


def test_a_worker_tells_how_it_stands_and_its_lag_as_it_is_now() -> None:
    meter = Meter(load_small(), "kafka")
    commit_of(meter, [])
    notifications = {"team": {"delivered": 3, "failed": 2, "dead": 1, "waiting": 4}}
    collector = prometheus.Collector(meter, lambda: notifications, WORKER, 5)
    text = generate_latest(prometheus.registry(collector)).decode()

    assert 'driftline_worker_joined{monitor="small"} 1.0' in text
    assert 'driftline_worker_rebalances_total{monitor="small"} 5.0' in text
    assert 'driftline_worker_shards{monitor="small",state="recovering"} 1.0' in text
    assert 'driftline_recovered_ratio{monitor="small",shard="1"} 0.25' in text
    assert 'driftline_lag_records{monitor="small",shard="0"} 7.0' in text
    assert 'driftline_lag_duration_seconds{monitor="small",shard="0"} 1.5' in text
    assert 'driftline_notifications_total{monitor="small",outcome="dead",receiver="team"} 1.0' in text
    assert checked("promtool", "check", "metrics", given=text) == ""


# the command


def test_a_run_answers_while_it_follows(tmp_path: Path) -> None:
    write(tmp_path / "events.jsonl", rows(1, 500))
    file = configured(tmp_path, str(tmp_path / "events.jsonl"))
    told: list[str] = []

    def exposed() -> bool:
        if not told:
            line = process.stderr.readline().decode()
            told.extend(re.findall(r"metrics at (http://127\.0\.0\.1:\d+/metrics)", line))
        return bool(told) and "driftline_records_total" in fetched(told[0]) and events() == 500

    def events() -> float:
        return parsed(fetched(told[0])).get(("driftline_events_total", ()), 0)

    with running("run", file, "--state", tmp_path / "log.db", "--follow", "--metrics", "0") as process:
        wait_until(exposed, process)
        assert "# EOF" in fetched(told[0], Accept="application/openmetrics-text; version=1.0.0")
        finish(process, signal.SIGTERM)


def test_a_run_that_cannot_listen_does_not_begin(tmp_path: Path) -> None:
    file = write_config(tmp_path, "events.csv")
    (tmp_path / "events.csv").write_text(csv_text(records(10)))
    done = driftline(tmp_path, "run", file, "--metrics", "nowhere")

    assert done.returncode == 2
    assert '--metrics: "nowhere" is no address' in done.stderr
    assert "[HOST:]PORT" in done.stderr


@pytest.mark.parametrize("where", ["", "x", ":80", "127.0.0.1:", "65536"])
def test_what_is_no_address_is_refused(where: str) -> None:
    meter = Meter(load_small(), "embedded")
    serving = prometheus.served(where, prometheus.registry(prometheus.Collector(meter)))

    with pytest.raises(ConfigError, match="--metrics: ") as raised, serving:
        pytest.fail("served")
    assert raised.value.exit_code == 2


def test_a_port_in_use_is_refused() -> None:
    meter = Meter(load_small(), "embedded")
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        serving = prometheus.served(str(port), prometheus.registry(prometheus.Collector(meter)))

        with pytest.raises(ConfigError, match=rf"--metrics: cannot listen on 127.0.0.1:{port}"), serving:
            pytest.fail("two servers on one port")


def test_the_port_is_free_again_afterwards() -> None:
    meter = Meter(load_small(), "embedded")
    found = prometheus.registry(prometheus.Collector(meter))
    with prometheus.served("0", found) as address:
        assert "driftline_build_info" in fetched(f"http://{address}/metrics")
    with prometheus.served(address, found) as again:
        assert again == address
