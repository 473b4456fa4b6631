"""Stories: all that the log or the topics know of one event, one incident or one model version."""

import json
from collections.abc import Callable
from typing import Any

from rich.markup import escape

from stream_app.config import Config, digest
from stream_app.edges import snapshots, subscriber
from stream_app.edges.incident_view import ERROR, around, errors, print_incident, series
from stream_app.edges.log import Log
from stream_app.edges.terminal import OUT, printable, when, whole
from stream_app.edges.versions_view import print_version
from stream_app.errors import DriftlineError, TopicError
from stream_app.pipeline import Pipeline


def tell(config: Config, log: Log, name: str, key: bytes) -> dict[str, Any]:
    """The story of an incident, a model version or an event id; DriftlineError if the log knows none."""
    alerts = [json.loads(record.value) for record in log.read("alerts") if record.key == name]
    if alerts:
        triggers = [json.loads(record.value) for record in log.read("triggers")]
        panes = (json.loads(record.value) for record in log.read("panes") if record.key == alerts[-1]["data"]["signal"])
        metrics = (json.loads(record.value) for record in log.read("metrics") if record.key == ERROR)
        return _incident(config, name, alerts, triggers, list(panes), list(metrics))
    found, saved = log.find(name), log.load()
    pipeline = Pipeline(config, 0, key)
    if saved is not None:
        state = snapshots.decode(saved.state, config_digest=digest(config), key=key, where=str(log.path))
        pipeline.restore(state)
    now = pipeline.story(name)
    if any(found.values()) or "offset" in now:
        return {"event": name, "now": now, **found}
    if models := [json.loads(record.value) for record in log.read("models") if record.key == name]:
        audit = [json.loads(record.value) for record in log.read("audit")]
        return {"version": name, "models": models, "audit": [e for e in audit if e.get("version") == name]}
    raise DriftlineError(
        f"{name!r} is no incident, event id or model version in {log.path}; "
        "`driftline alerts CONFIG` lists incidents, `driftline predictions CONFIG` event ids and model versions"
    )


async def tell_from_topics(config: Config, name: str, progress: Callable[[str], None]) -> dict[str, Any]:
    """The story of an incident or an event id; reads topics from their beginning, 100,000 records in about a second."""
    if alerts := await _find(config, "alerts", name, progress):
        triggers = [json.loads(received.record.value) async for received in subscriber.history(config, "triggers")]
        signal = alerts[-1]["data"].get("signal", "")
        panes, metrics = [
            await _find(config, stream, key, progress) if await _is_there(config, stream) else []
            for stream, key in (("panes", signal), ("metrics", ERROR))
        ]
        return _incident(config, name, alerts, triggers, panes, metrics)
    streams = ("predictions", "outcomes", "dead-letters")
    found = {stream.replace("-", "_"): await _find(config, stream, name, progress) for stream in streams}
    if any(found.values()):
        return {"event": name, **found}
    raise DriftlineError(
        f"{name!r} is no incident or event id in the topics of {config.name}; "
        "`driftline alerts CONFIG` lists incidents, `driftline predictions CONFIG` event ids"
    )


async def _is_there(config: Config, stream: str) -> bool:
    try:
        await subscriber.partitions(config, stream)
    except TopicError:
        return False
    return True


def _incident(
    config: Config, name: str, alerts: list[Any], triggers: list[Any], panes: list[Any], metrics: list[Any]
) -> dict[str, Any]:
    """An incident with its signal's means and the rolling error around it; codes of categories have no mean."""
    data = alerts[-1]["data"]
    field = config.schema.fields.get(data.get("signal", "").removeprefix("feature:"))
    classes = data.get("signal") == "prediction" and config.task.type == "multiclass"
    coded = classes or (field is not None and field.type == "category")
    return {
        "incident": name,
        "alerts": alerts,
        "triggers": [trigger for trigger in triggers if trigger["data"].get("incident") == name],
        "panes": [] if coded else around(series(panes), data),
        "errors": around(errors(metrics), data),
    }


async def _find(config: Config, stream: str, key: str, progress: Callable[[str], None]) -> list[Any]:
    found, count = [], 0
    async for batch in subscriber.records(config, stream):
        found += [json.loads(record.value) for _, record in batch if record.key == key]
        count += len(batch)
        progress(f"{stream}: {count:,} records")
    return found


def print_story(config: Config, told: dict[str, Any]) -> None:
    """A story for people."""
    if "incident" in told:
        _print_incident(config, told)
    elif "version" in told:
        print_version(config, told["models"])
    else:
        _print_event(config, told)


def _print_incident(config: Config, told: dict[str, Any]) -> None:
    print_incident(config, told)
    data = told["alerts"][-1]["data"]
    names = ("signal", "segment", "detector", "before", "after", "statistic", "threshold", "onset offset")
    table = whole(*names, title="evidence", title_justify="left")
    for part in data["contributions"]:
        figures = [_figure(part[n]) for n in ("before", "after", "statistic", "threshold")]
        table.add_row(
            escape(part["signal"]),
            escape(printable(part["segment"])),
            part["detector"],
            *figures,
            str(part["onset_offset"]),
        )
    OUT.print(table)
    for trigger in told["triggers"]:
        train = trigger["data"]["train"]
        at = when(config, trigger["data"]["evidence"]["time"])
        _print_line(f"{at}  asked for a retraining on offsets {train['from_offset']}..{train['to_offset']}")


def _print_event(config: Config, told: dict[str, Any]) -> None:
    for prediction in told["predictions"]:
        said = (
            f"model {prediction['model']} predicted {prediction['prediction']} (score {_figure(prediction['score'])})"
        )
        at = f"{when(config, prediction['time'])}  " if config.schema.time else ""
        _print_line(f"{at}offset {prediction['offset']:,}: {said}")
    for outcome in told["outcomes"]:
        delay = f"after {outcome['delay_ms'] / 1000:,.0f} s" if outcome["delay_ms"] else "with it"
        _print_line(f"label {outcome['label']} came {delay}: error {_figure(outcome['error'])}")
    for letter in told["dead_letters"]:
        _print_line(f"{letter['stream']} {letter['offset']} was refused: {letter['path']}: {letter['reason']}")
    if "now" in told:
        _print_line(f"now: {told['now']['status']}")


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _print_line(text: str) -> None:
    OUT.print(printable(text), markup=False, soft_wrap=True)
