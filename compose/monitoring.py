"""Prometheus and Alertmanager of compose.yaml without Docker: the same settings, with the addresses that are here."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from compose.processes import answer, answers, logged, wait_until

FOLDER = Path(__file__).parent
PROMETHEUS, ALERTMANAGER = ("prometheus",), ("prometheus-alertmanager", "alertmanager")  # Debian's name, upstream's


def installed(names: tuple[str, ...]) -> str | None:
    return next(filter(None, map(shutil.which, names)), None)


@contextmanager
def alertmanager(program: str, port: int, folder: Path, log: Path) -> Iterator[str]:
    """Its address, once it is ready."""
    command = [
        program, f"--config.file={FOLDER / 'alertmanager' / 'alertmanager.yml'}", f"--storage.path={folder}",
        f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address=",
    ]  # fmt: skip
    with _served(command, port, log) as address:
        yield address


@contextmanager
def prometheus(program: str, port: int, folder: Path, log: Path, targets: Mapping[str, list[str]]) -> Iterator[str]:
    """Its address, once it is ready; `targets` says at which addresses each service of compose.yaml is here."""
    settings = moved(YAML(typ="safe").load(FOLDER / "prometheus" / "prometheus.yml"), targets)
    settings["global"] |= {"scrape_interval": "1s", "evaluation_interval": "1s"}  # the demo takes a minute
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "prometheus.yml"
    with file.open("w") as text:
        YAML(typ="safe").dump(settings, text)
    command = [
        program, f"--config.file={file}", f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    with _served(command, port, log) as address:
        yield address


def moved(settings: Any, targets: Mapping[str, list[str]]) -> Any:
    """Settings of Prometheus whose targets are looked for where they are here, instead of in the network of Compose.

    >>> moved({"job_name": "w", "dns_sd_configs": [{"names": ["worker"], "port": 80}]}, {"worker": ["127.0.0.1:81"]})
    {'job_name': 'w', 'static_configs': [{'targets': ['127.0.0.1:81']}]}
    """
    if isinstance(settings, list):
        return [moved(each, targets) for each in settings]
    if not isinstance(settings, dict):
        return settings
    found = [name for each in settings.get("dns_sd_configs", ()) for name in each["names"]]
    found += [place.split(":")[0] for each in settings.get("static_configs", ()) for place in each["targets"]]
    kept = {
        name: moved(value, targets)
        for name, value in settings.items()
        if not name.endswith(("dns_sd_configs", "static_configs"))
    }
    if "rule_files" in kept:
        kept["rule_files"] = [str(FOLDER / "prometheus" / name) for name in kept["rule_files"]]
    here = [place for name in found for place in targets.get(name, ())]
    return kept | ({"static_configs": [{"targets": here}]} if found else {})


def seen(address: str, query: str) -> float | None:
    """What Prometheus answers to a query with one number; None while it has none."""
    result = answer(f"{address}/api/v1/query?query={query}")["data"]["result"]
    return float(result[0]["value"][1]) if result else None


@contextmanager
def _served(command: list[str], port: int, log: Path) -> Iterator[str]:
    address = f"http://127.0.0.1:{port}"
    with logged(command, log):
        wait_until(lambda: answers(f"{address}/-/ready"), f"{Path(command[0]).name} is not ready", [log])
        yield address
