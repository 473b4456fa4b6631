"""The manifests for Kubernetes, as far as they can be checked without a cluster."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
from ruamel.yaml import YAML
from waiting import TIMEOUT_S

from stream_app.cli import cli
from stream_app.config import load
from stream_app.edges import kafka

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "compose" / "kubernetes"
VERSIONS = ("1.30", "1.33", "1.36")  # of Kubernetes
DOCUMENTS: list[dict[str, Any]] = [
    document for file in sorted(FOLDER.glob("*.yaml")) for document in YAML(typ="safe").load_all(file)
]
CONTROLLED = {document["metadata"]["name"]: document for document in DOCUMENTS if document["kind"] == "Deployment"}
OWN_SCHEMA = {"Kustomization", "ScaledObject"}  # what the API server does not bring with it

SCALED_OBJECT = {  # of KEDA 2.10 and newer, as far as it is used here
    "type": "object",
    "additionalProperties": False,
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "properties": {
        "apiVersion": {"const": "keda.sh/v1alpha1"},
        "kind": {"const": "ScaledObject"},
        "metadata": {"type": "object"},
        "spec": {
            "type": "object",
            "additionalProperties": False,
            "required": ["scaleTargetRef", "triggers"],
            "properties": {
                "scaleTargetRef": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["name"],
                    "properties": {name: {"type": "string"} for name in ("apiVersion", "kind", "name")},
                },
                "minReplicaCount": {"type": "integer", "minimum": 0},
                "maxReplicaCount": {"type": "integer", "minimum": 1},
                "pollingInterval": {"type": "integer", "minimum": 1},
                "fallback": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["failureThreshold", "replicas"],
                    "properties": {name: {"type": "integer"} for name in ("failureThreshold", "replicas")},
                },
                "advanced": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {"horizontalPodAutoscalerConfig": {"type": "object"}},
                },
                "triggers": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "additionalProperties": False,
                        "required": ["type", "metadata"],
                        "properties": {
                            "type": {"const": "apache-kafka"},
                            "metadata": {
                                "type": "object",
                                "additionalProperties": False,
                                "required": ["bootstrapServers", "consumerGroup", "topic"],
                                "properties": {
                                    "bootstrapServers": {"type": "string"},
                                    "consumerGroup": {"type": "string"},
                                    "topic": {"type": "string"},
                                    "lagThreshold": {"type": "string", "pattern": "^[1-9][0-9]*$"},
                                    "offsetResetPolicy": {"enum": ["earliest", "latest"]},
                                    "allowIdleConsumers": {"enum": ["true", "false"]},
                                },
                            },
                        },
                    },
                },
            },
        },
    },
}


def named(document: dict[str, Any]) -> str:
    return f"{document['kind']}-{document.get('metadata', {}).get('name', '')}"


def one(kind: str) -> dict[str, Any]:
    (document,) = [document for document in DOCUMENTS if document["kind"] == kind]
    return document


@pytest.mark.parametrize("document", [each for each in DOCUMENTS if each["kind"] not in OWN_SCHEMA], ids=named)
@pytest.mark.parametrize("version", VERSIONS)
def test_a_manifest_fits_the_schema_of_the_api_server(document: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(document, version, strict=True)


def test_the_scaling_fits_the_schemas_of_keda_and_of_the_autoscaler_it_makes() -> None:
    document = one("ScaledObject")
    jsonschema.validate(document, SCALED_OBJECT)
    spec = document["spec"]
    target = {"apiVersion": "apps/v1", "kind": "Deployment"} | spec["scaleTargetRef"]
    metric = {
        "type": "External",
        "external": {"metric": {"name": "lag"}, "target": {"type": "AverageValue", "averageValue": "1"}},
    }
    scaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "worker"},
        "spec": {
            "scaleTargetRef": target,
            "minReplicas": spec["minReplicaCount"],
            "maxReplicas": spec["maxReplicaCount"],
            "metrics": [metric],
        }
        | spec["advanced"]["horizontalPodAutoscalerConfig"],
    }
    kubernetes_validate.validate(scaler, VERSIONS[-1], strict=True)


def test_the_list_of_manifests_names_all_but_the_one_that_needs_keda() -> None:
    resources = set(one("Kustomization")["resources"])
    files = {file.name for file in FOLDER.glob("*.yaml")}

    assert resources == files - {"kustomization.yaml", "autoscale.yaml"}


def test_kubectl_itself_puts_them_together() -> None:
    """Where it is installed."""
    kubectl = shutil.which("kubectl")
    if kubectl:
        done = subprocess.run(
            [kubectl, "kustomize", str(FOLDER)], check=False, capture_output=True, text=True, timeout=TIMEOUT_S
        )
        made = list(YAML(typ="safe").load_all(done.stdout))

        assert done.returncode == 0, done.stderr
        assert len(made) == len(DOCUMENTS) - len(OWN_SCHEMA)
        for document in made:
            kubernetes_validate.validate(document, VERSIONS[-1], strict=True)


# what runs in them


def configuration(tmp_path: Path) -> Path:
    ((name, text),) = one("ConfigMap")["data"].items()
    file = tmp_path / name
    file.write_text(text)
    return file


def containers() -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for deployment in CONTROLLED.values():
        pod = deployment["spec"]["template"]["spec"]
        yield from ((pod, container) for container in pod.get("initContainers", []) + pod["containers"])


def test_there_are_workers_and_a_dashboard() -> None:
    assert CONTROLLED.keys() == {"worker", "dashboard"}
    assert one("Service")["spec"]["selector"] == {"app.kubernetes.io/component": "dashboard"}


@pytest.mark.parametrize(("pod", "container"), list(containers()), ids=lambda each: each.get("name", ""))
def test_a_container_runs_a_command_of_driftline_over_the_configuration_that_is_mounted(
    pod: dict[str, Any], container: dict[str, Any], tmp_path: Path
) -> None:
    program, command, *arguments = container["args"]
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}

    context = cli.commands[command].make_context(command, arguments)
    file = Path(context.params["config"])

    assert program == "driftline"
    assert container["image"] == "driftline"
    assert mounts[str(file.parent)] == "config"
    assert file.name == configuration(tmp_path).name
    assert set(mounts.values()) <= {volume["name"] for volume in pod["volumes"]}
    assert {"/tmp"} <= mounts.keys()


def test_the_configuration_is_whole_and_the_scaling_is_of_it(tmp_path: Path) -> None:
    config = load(configuration(tmp_path))
    scaled = one("ScaledObject")["spec"]
    (trigger,) = [each["metadata"] for each in scaled["triggers"]]

    assert trigger["bootstrapServers"] == kafka.cluster(config).bootstrap
    assert trigger["consumerGroup"] == config.name
    assert trigger["topic"] == kafka.topic(config, "events")
    assert trigger["allowIdleConsumers"] == "false"
    assert scaled["maxReplicaCount"] == kafka.cluster(config).partitions
    assert scaled["minReplicaCount"] >= 1
    assert scaled["scaleTargetRef"]["name"] == "worker"


def test_a_worker_is_named_after_its_pod_and_probed_where_it_answers() -> None:
    (container,) = CONTROLLED["worker"]["spec"]["template"]["spec"]["containers"]
    (port,) = [port["containerPort"] for port in container["ports"]]

    assert f"0.0.0.0:{port}" in container["args"]
    assert "$(POD_NAME)" in container["args"]
    assert container["livenessProbe"]["httpGet"] == {"path": "/health", "port": "health"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/ready", "port": "health"}
    assert CONTROLLED["worker"]["spec"]["strategy"] == {"type": "Recreate"}


def test_pods_may_do_no_more_than_they_must() -> None:
    """What the standard `restricted` of the namespace asks for, and a root that cannot be written to."""
    assert one("Namespace")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for pod, container in containers():
        rights = container["securityContext"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not pod["automountServiceAccountToken"]
        assert not rights["allowPrivilegeEscalation"]
        assert rights["readOnlyRootFilesystem"]
        assert rights["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"].keys() == {"requests", "limits"}


def test_selectors_find_their_pods() -> None:
    labels = {name: each["spec"]["template"]["metadata"]["labels"] for name, each in CONTROLLED.items()}
    budget = one("PodDisruptionBudget")["spec"]
    policies = {each["metadata"]["name"]: each["spec"] for each in DOCUMENTS if each["kind"] == "NetworkPolicy"}

    for name, deployment in CONTROLLED.items():
        assert deployment["spec"]["selector"]["matchLabels"].items() <= labels[name].items()
        assert policies[name]["podSelector"]["matchLabels"].items() <= labels[name].items()
    assert budget["selector"]["matchLabels"].items() <= labels["worker"].items()
    assert policies["nothing"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_ports_that_are_open_are_those_that_are_used() -> None:
    for name, deployment in CONTROLLED.items():
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        (policy,) = [d["spec"] for d in DOCUMENTS if d["kind"] == "NetworkPolicy" and d["metadata"]["name"] == name]
        opened = {port["port"] for rule in policy["ingress"] for port in rule["ports"]}

        assert opened == {port["containerPort"] for port in container["ports"]}
