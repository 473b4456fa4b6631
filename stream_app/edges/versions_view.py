"""Model versions as people see them: what the stream `models` tells of each."""

import json
from pathlib import Path
from typing import Any

from rich.markup import escape

from stream_app.config import Config
from stream_app.edges.log import Log
from stream_app.edges.terminal import OUT, printable, when, whole

Told = dict[tuple[int, str], list[dict[str, Any]]]  # shard and version → its records, oldest first


def told_in(state: Path) -> Told:
    """All that the log of a file tells of versions."""
    told: Told = {}
    with Log(state) as log:
        for record in log.read("models"):
            told.setdefault((0, record.key), []).append(json.loads(record.value))
    return told


async def told_over_kafka(config: Config) -> Told:
    """All that the topic still tells of versions."""
    from stream_app.edges.subscriber import history  # noqa: PLC0415

    told: Told = {}
    async for shard, record in history(config, "models"):
        told.setdefault((shard, record.key), []).append(json.loads(record.value))
    return told


def print_versions(config: Config, told: Told) -> None:
    """One row a version, as it stands now."""
    sharded = ["shard"] * (len({shard for shard, _ in told}) > 1)
    table = whole(*sharded, "version", "status", "kind", "parent", "model", "trained on", "since", "why")
    for (shard, _), records in sorted(told.items(), key=_place):
        last = records[-1]
        trained = f"{last['trained']['rows']:,} events" if last["trained"] else "-"
        texts = [last["version"], last["status"], last["kind"], last["parent"] or "-", last["use"], trained]
        texts += [when(config, last["time"]), last["why"] or "-"]
        table.add_row(*[str(shard)] * len(sharded), *[escape(printable(text)) for text in texts])
    OUT.print(table)


def _place(item: tuple[tuple[int, str], list[dict[str, Any]]]) -> tuple[int, int, str]:
    (shard, version), _ = item
    number = version.removeprefix("v")
    return shard, int(number) if number.isdecimal() else 0, version


def print_version(config: Config, records: list[dict[str, Any]]) -> None:
    """The life of one version."""
    for model in records:
        reason = model.get("verdict") or (model["why"] and f"because of {model['why']}")
        why = f", {reason}" if reason else ""
        _print(f"{when(config, model['time'])}  {model['version']}: {model['status']}{why}{_proof(model)}")
    last = records[-1]
    beside = f" beside {last['parent']}" if last["parent"] else ""
    trained = f", trained on {last['trained']['rows']:,} labelled events" if last["trained"] else ""
    params = f" with {json.dumps(last['params'])}" if last["params"] else ""
    _print(f"{last['kind']} model{beside}: {last['use']}{params}{trained}")


def _proof(model: dict[str, Any]) -> str:
    """The comparison that decided it, in words."""
    evidence = model.get("evidence")
    if not evidence or not evidence["labels"]:
        return ""
    low, high = evidence["interval"]
    return (
        f"; on {evidence['labels']:,} labels its loss was {evidence['loss']:.4g}, the champion's"
        f" {evidence['loss_champion']:.4g} (gain {evidence['gain']:+.4g}, between {low:+.4g} and {high:+.4g})"
    )


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """What two versions do not have in common: name, of the one, of the other.

    >>> differences({"use": "linear", "params": {"lr": 0.1}}, {"use": "linear", "params": {}})
    [('params.lr', 0.1, None)]
    """
    left, right = _flat(one), _flat(other)
    return [(name, left.get(name), right.get(name)) for name in {**left, **right} if left.get(name) != right.get(name)]


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    parts = {name: record.get(name) or {} for name in ("params", "trained", "evidence")}
    inner = {f"{name}.{key}": value for name, part in parts.items() for key, value in part.items()}
    return {name: value for name, value in record.items() if name not in parts} | inner


def print_differences(names: tuple[str, str], found: list[tuple[str, Any, Any]]) -> None:
    """A table of what differs."""
    table = whole("", *map(escape, names))
    for name, one, other in found:
        table.add_row(name, *[escape(printable("-" if value is None else str(value))) for value in (one, other)])
    OUT.print(table)


def _print(text: str) -> None:
    OUT.print(printable(text), markup=False, soft_wrap=True)
