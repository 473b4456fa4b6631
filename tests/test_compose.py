"""The Docker Compose file, as far as it can be checked without running it."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from waiting import TIMEOUT_S

from compose import broker, monitoring
from compose.artifacts import KAFKA
from compose.flights import write_flights_on
from stream_app.cli import cli
from stream_app.config import load
from stream_app.edges import kafka
from stream_app.edges.guard import LEAST_TOKEN

ROOT = Path(__file__).parent.parent
FILE = ROOT / "compose" / "compose.yaml"
DOCKERFILE = ROOT / "compose" / "Dockerfile"
WHOLE: dict[str, Any] = YAML(typ="safe").load(FILE)
SERVICES: dict[str, dict[str, Any]] = WHOLE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "driftline"}


def test_the_file_fits_the_schema_of_compose_files() -> None:
    done = run(sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(FILE))

    assert done.returncode == 0, done.stdout + done.stderr


def test_docker_compose_itself_accepts_the_file() -> None:
    """Where it is installed; elsewhere the schema above has to do."""
    if shutil.which("docker") and run("docker", "compose", "version").returncode == 0:
        done = run("docker", "compose", "-f", str(FILE), "config", "--format", "json")

        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["services"].keys() == SERVICES.keys()


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=TIMEOUT_S)


@pytest.mark.parametrize("name", OURS)
def test_the_command_of_a_service_is_one_of_driftline(name: str) -> None:
    program, command, *arguments = OURS[name]["command"]

    context = cli.commands[command].make_context(command, arguments)

    assert program == "driftline"
    assert str(context.params["config"]) == "flights.toml"
    if name == "worker":
        assert context.params["health"] == "0.0.0.0:8080"
        assert "http://127.0.0.1:8080/health" in " ".join(OURS[name]["healthcheck"]["test"])
    if name == "dashboard":
        assert context.params["listen"] == "0.0.0.0:8050"
        assert str(context.params["token_file"]) == "/run/secrets/dashboard_token"
        assert "http://127.0.0.1:8050/healthz" in " ".join(OURS[name]["healthcheck"]["test"])


def test_there_are_a_broker_topics_two_workers_a_player_and_a_dashboard() -> None:
    assert {name: service["command"][1] for name, service in OURS.items()} == {
        "topics": "topics",
        "worker": "worker",
        "player": "play",
        "dashboard": "dashboard",
    }
    assert SERVICES.keys() - OURS == {"kafka", "prometheus", "alertmanager", "grafana"}
    assert SERVICES["worker"]["deploy"]["replicas"] == 2
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{KAFKA}"


def test_each_service_waits_for_what_it_needs() -> None:
    needs = {name: list(conditions(service)) for name, service in SERVICES.items()}
    healthy, done = "service_healthy", "service_completed_successfully"

    assert needs["topics"] == [("kafka", healthy)]
    assert needs["worker"] == [("kafka", healthy), ("topics", done)]
    assert needs["player"] == [("worker", healthy)]
    assert needs["dashboard"] == [("kafka", healthy), ("topics", done)]
    assert needs["grafana"] == [("prometheus", healthy)]
    waited_for = {name for each in needs.values() for name, condition in each if condition == healthy}
    assert all("healthcheck" in SERVICES[name] for name in waited_for)


def conditions(service: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield from ((name, each["condition"]) for name, each in service.get("depends_on", {}).items())


def test_services_may_do_no_more_than_they_must() -> None:
    for name, service in SERVICES.items():
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert service.get("read_only") or name == "kafka", name
        assert service.get("user") != "root", name
    assert re.findall(r"^USER (.+)$", DOCKERFILE.read_text(), re.MULTILINE) == ["driftline"]


def test_only_what_people_look_at_is_published_and_only_to_this_machine() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}

    assert published.keys() == {"dashboard", "grafana", "prometheus"}
    assert all(re.fullmatch(r"127\.0\.0\.1:(\d+):\1", port) for ports in published.values() for port in ports)
    assert published.keys() == {name for name, service in SERVICES.items() if "front" in service["networks"]}
    assert {name for name, network in WHOLE["networks"].items() if not network.get("internal")} == {"front"}


def test_who_talks_to_whom() -> None:
    """A network for each purpose: Kafka is not reached from what is published, but for the dashboard that reads it."""
    members = {
        network: {name for name, service in SERVICES.items() if network in service["networks"]}
        for network in WHOLE["networks"]
    }

    assert members["stream"] == {"kafka", *OURS}
    assert members["figures"] == {"worker", "prometheus", "alertmanager", "grafana"}


def test_images_are_of_a_stated_version() -> None:
    images = {service["image"] for service in SERVICES.values()} - {"driftline"}

    assert all(re.fullmatch(r"[\w/]+:v?\d+\.\d+\.\d+", image) for image in images)


def test_secrets_are_files_outside_of_the_repository_and_of_the_image() -> None:
    given = {name for service in SERVICES.values() for name in service.get("secrets", [])}
    files = {name: secret["file"] for name, secret in WHOLE["secrets"].items()}

    assert given == files.keys()
    assert files == {name: f"secrets/{name}" for name in given}
    assert "/compose/secrets/" in (ROOT / ".gitignore").read_text().splitlines()
    assert "compose/secrets" in (ROOT / "compose" / "Dockerfile.dockerignore").read_text().splitlines()
    assert all(name in (ROOT / "Makefile").read_text() for name in given)


def test_make_writes_the_secrets_once(tmp_path: Path) -> None:
    command = ["make", "-f", str(ROOT / "Makefile"), "secrets", f"PYTHON={sys.executable}"]
    found = []
    for _ in range(2):
        done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True, timeout=TIMEOUT_S)
        assert done.returncode == 0, done.stderr
        folder = tmp_path / "compose" / "secrets"
        found.append({file.name: file.read_text() for file in folder.iterdir()})

    assert found[0].keys() == WHOLE["secrets"].keys()
    assert found[0] == found[1]
    assert all(len(text) >= LEAST_TOKEN for text in found[0].values())
    assert folder.stat().st_mode & 0o777 == 0o700
    assert all(file.stat().st_mode & 0o777 == 0o644 for file in folder.iterdir())


def test_volumes_that_are_mounted_are_declared_and_folders_are_there() -> None:
    mounted = {mount.partition(":")[0] for service in SERVICES.values() for mount in service.get("volumes", [])}
    folders = {name for name in mounted if name.startswith("./")}

    assert mounted - folders == set(WHOLE["volumes"])
    assert all((FILE.parent / name).exists() for name in folders)


def test_the_image_holds_what_its_dockerfile_copies_and_a_configuration_for_this_cluster(tmp_path: Path) -> None:
    text = DOCKERFILE.read_text()
    ignored = (ROOT / "compose" / "Dockerfile.dockerignore").read_text().splitlines()
    copied = [name for line in re.findall(r"^COPY (.+)$", text, re.MULTILINE) for name in line.split()[:-1]]
    folder, bootstrap, told = re.search(r"python -m compose\.flights (\S+) (\S+) (\S+)", text).groups()

    config = load(write_flights_on(tmp_path, bootstrap, told))

    assert all((ROOT / name).exists() and f"!{name}" in ignored for name in copied)
    assert re.findall(r"^WORKDIR (.+)$", text, re.MULTILINE)[-1] == folder
    assert kafka.cluster(config).bootstrap == bootstrap == "kafka:9092"
    assert kafka.has_labels(config)
    assert [each.alertmanager for each in config.alarms.notify] == [told] == ["http://alertmanager:9093"]
    assert Path(config.source.events).exists()
    assert Path(config.source.labels).exists()


def test_prometheus_looks_for_services_that_are_there_and_the_demo_for_them_at_their_addresses() -> None:
    settings = YAML(typ="safe").load(FILE.parent / "prometheus" / "prometheus.yml")
    (workers,) = [each for job in settings["scrape_configs"] for each in job.get("dns_sd_configs", [])]
    targets = {name: [f"127.0.0.1:{port}"] for port, name in enumerate(["localhost", *SERVICES], 1000)}

    moved = monitoring.moved(settings, targets)
    jobs = {job["job_name"]: job["static_configs"][0]["targets"] for job in moved["scrape_configs"]}

    assert set(workers["names"]) <= SERVICES.keys()
    assert f"0.0.0.0:{workers['port']}" in SERVICES["worker"]["command"]
    assert jobs["driftline"] == targets["worker"]
    assert jobs["prometheus"] == targets["localhost"]
    assert moved["alerting"]["alertmanagers"] == [{"static_configs": [{"targets": targets["alertmanager"]}]}]
    assert "dns_sd_configs" not in str(moved)
    assert all(Path(name).is_file() for name in moved["rule_files"])


def test_the_broker_of_compose_is_set_up_as_that_of_the_tests() -> None:
    """What the worker relies on; how fast things go is another matter."""
    environment = {name: str(value) for name, value in SERVICES["kafka"]["environment"].items()}
    relied_on = ["auto.create.topics.enable", "process.roles", "controller.listener.names"]
    relied_on += [name for name in broker.SETTINGS if name.endswith((".replication.factor", ".min.isr"))]

    assert {name: environment[f"KAFKA_{name.replace('.', '_').upper()}"] for name in relied_on} == {
        name: str(broker.SETTINGS[name]) for name in relied_on
    }
