"""Dashboards, rules and routes: as the code makes them, and each query on a real Prometheus that scrapes a real run."""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hooks import until
from programs import checked
from ruamel.yaml import YAML
from runs import LOOP, configured, jsonl, rows, running
from scraping import SCRAPE_S, Prometheus
from streams import SMALL
from test_prometheus import SHARED_OUT, WORKER

from compose.dashboards import DASHBOARDS, FOLDER, document
from stream_app.config import parse
from stream_app.edges import prometheus
from stream_app.edges.alertmanager import ALERT_NAME, labels_of
from stream_app.edges.meter import Meter
from stream_app.edges.notices import Data, Event
from stream_app.flow.incidents import SEVERITIES

ROOT = Path(__file__).parent.parent
RULES = ROOT / "compose" / "prometheus" / "rules.yml"
ROUTES = ROOT / "compose" / "alertmanager" / "alertmanager.yml"
GROUPS: list[dict[str, Any]] = YAML(typ="safe").load(RULES)["groups"]
ALERTS = {rule["alert"]: rule for group in GROUPS for rule in group["rules"] if "alert" in rule}
RECORDS = [rule for group in GROUPS for rule in group["rules"] if "record" in rule]
PARTS, EVENTS = 8, 4800
CHOSEN = {  # what a person chooses, and how Grafana sees the scrapes
    "$__rate_interval": f"{10 * SCRAPE_S:.0f}s",
    "$monitor": "small|worker",
    "$shard": ".*",
    "$metric": "accuracy",
    "$signal": ".*",
}
TOLD = '[[alarms.notify]]\nname = "team"\nexec = "true"\nseverity = "info"\n'
BY_SEGMENT = '[[watch]]\nsignal = "prediction"\ndetector = "ks"\nby = "c"\narl0 = 5000\n'


class Watched(NamedTuple):
    """A Prometheus, and the time in which it scraped a run."""

    server: Prometheus
    start_s: float
    end_s: float


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A Prometheus that has scraped a run part by part, beside the metrics of a worker that stands still."""
    folder = tmp_path_factory.mktemp("watched")
    file = configured(folder, "-", more=BY_SEGMENT + LOOP + SHARED_OUT + TOLD)
    made, size = rows(3, EVENTS), EVENTS // PARTS
    made[size + 1]["id"] = made[size]["id"]  # so that one is refused
    meter = Meter(parse(SMALL.replace('"small"', '"worker"'), "worker", {}), "kafka")
    worker = prometheus.registry(prometheus.Collector(meter, dict, WORKER))
    words = ("run", file, "--state", folder / "log.db", "--follow", "--metrics", "0")
    with running(*words, stdin=subprocess.PIPE) as run, prometheus.served("0", worker) as beside:
        line = re.search(rb"metrics at http://([^/]+)/", run.stderr.readline())
        with Prometheus(folder, RULES, line[1].decode(), beside) as server:
            until(lambda: server.now("sum(up)") == [2])
            start_s = time.time()
            for part in range(1, PARTS + 1):
                run.stdin.write(jsonl(made[(part - 1) * size : part * size]))
                run.stdin.flush()
                until(lambda part=part: server.now("driftline_events_total > 0")[-1:] == [part * size - (part > 1)])
            until(lambda: server.now(RECORDS[0]["record"]))
            yield Watched(server, start_s, time.time())


def panels() -> Iterator[tuple[str, dict[str, Any]]]:
    for name in DASHBOARDS:
        for panel in json.loads(document(name))["panels"]:
            yield name, panel


def chosen(expression: str) -> str:
    for variable, value in CHOSEN.items():
        expression = expression.replace(variable, value)
    assert "$" not in expression
    return expression


@pytest.mark.parametrize("name", DASHBOARDS)
def test_each_dashboard_is_what_the_code_makes(name: str) -> None:
    assert (FOLDER / f"{name}.json").read_text() == document(name), "run: make dashboards"


def test_there_is_no_dashboard_that_no_code_makes() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == set(DASHBOARDS)


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_say_what_they_show_and_have_their_places(name: str) -> None:
    dashboard = json.loads(document(name))
    drawn = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    ids = [panel["id"] for panel in dashboard["panels"]]

    assert dashboard["uid"] == f"driftline-{name}"
    assert len(set(ids)) == len(ids)
    assert all(panel["title"] and panel["description"] and panel["options"] for panel in drawn)
    assert all(panel["datasource"]["uid"] == "${datasource}" for panel in drawn)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in drawn)


def test_every_query_of_every_panel_returns_data(watched: Watched) -> None:
    asked = [(name, panel["title"], target["expr"]) for name, panel in panels() for target in panel.get("targets", ())]
    times = watched.start_s, watched.end_s
    empty = [(*place, query) for *place, query in asked if not watched.server.ever(chosen(query), *times)]

    assert len(asked) > 60
    assert empty == []


def test_every_variable_has_values(watched: Watched) -> None:
    queries = {
        variable["query"]
        for name in DASHBOARDS
        for variable in json.loads(document(name))["templating"]["list"]
        if variable["type"] == "query"
    }
    for query in queries:
        metric, label = re.fullmatch(r"label_values\((.+), (\w+)\)", query).groups()
        span = {"start": watched.start_s, "end": watched.end_s}
        assert watched.server.get(f"label/{label}/values", **{"match[]": chosen(metric)}, **span), query


def test_all_that_the_rules_ask_for_is_exposed_and_what_they_record_is_there(watched: Watched) -> None:
    server, times = watched.server, (watched.start_s, watched.end_s)
    until(lambda: all(rule["health"] == "ok" for group in server.get("rules")["groups"] for rule in group["rules"]))
    loaded = {rule["name"] for group in server.get("rules")["groups"] for rule in group["rules"]}
    known = {*server.get("label/__name__/values"), "driftline_series_left_out"}  # there was room for all
    asked = {
        name
        for group in GROUPS
        for rule in group["rules"]
        for name in re.findall(
            r"\b(?:driftline_\w+|up|process_\w+)\b(?!:)", re.sub(r"\w+:driftline_\w+:\w+", "", rule["expr"])
        )
    }

    assert loaded == {*ALERTS, *(rule["record"] for rule in RECORDS)}
    assert asked - known == set()
    assert [rule["record"] for rule in RECORDS if not server.ever(rule["expr"], *times)] == []


def test_the_rules_fire_when_they_must_and_only_then() -> None:
    told = checked("promtool", "test", "rules", RULES.parent / "rules_test.yml")
    cases = YAML(typ="safe").load(RULES.parent / "rules_test.yml")["tests"]
    fired, silent = set(), set()
    for case in (each for tests in cases for each in tests.get("promql_expr_test", ())):
        named = re.search(r'ALERTS\{alertname="(\w+)", alertstate="firing"\}', case["expr"])
        if named:
            (fired if case["exp_samples"] else silent).add(named[1])

    assert "SUCCESS" in told
    assert fired == silent == set(ALERTS)


def test_a_rule_that_is_wrong_fails_its_test(tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(
        RULES.read_text().replace('up{job="driftline"} == 0', 'up{job="driftline"} == 2')
    )
    (tmp_path / "rules_test.yml").write_text((RULES.parent / "rules_test.yml").read_text())

    with pytest.raises(AssertionError, match="DriftlineDown"):
        checked("promtool", "test", "rules", tmp_path / "rules_test.yml")


def test_the_configurations_of_the_servers_are_right() -> None:
    checked("promtool", "check", "config", RULES.parent / "prometheus.yml")
    checked("amtool", "check-config", ROUTES)


def test_alerts_say_how_bad_they_are_and_what_to_do() -> None:
    for name, rule in ALERTS.items():
        assert rule["labels"]["severity"] in SEVERITIES, name
        assert {"summary", "description"} == set(rule["annotations"]), name
        assert f"| `{name}` |" in (ROOT / "docs" / "prometheus.md").read_text()


def routed(labels: dict[str, str]) -> None:
    receiver = {"critical": "pager", "warning": "team", "info": "record"}[labels["severity"]]
    words = [f"{label}={text}" for label, text in labels.items()]

    checked("amtool", "config", "routes", "test", f"--config.file={ROUTES}", f"--verify.receivers={receiver}", *words)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_routes_fit_the_incidents_that_driftline_sends_by_itself(severity: str) -> None:
    data = Data(incident="m-1", status="opened", severity=severity, signal="error", segment="c=x")

    routed(labels_of("m", Event(source="driftline/m/0", data=data)))


@pytest.mark.parametrize("name", ALERTS)
def test_routes_fit_the_alerts_of_the_rules(name: str) -> None:
    routed({"alertname": name, "monitor": "m", "shard": "0", **ALERTS[name]["labels"]})


def test_what_is_held_back_exists() -> None:
    rules = YAML(typ="safe").load(ROUTES)["inhibit_rules"]
    named = {
        name for rule in rules for each in rule.values() for text in each for name in re.findall(r"Driftline\w+", text)
    }

    assert named <= {*ALERTS, ALERT_NAME}
