"""Stories: all that the log knows of one event, one incident or one model version."""

import json
from typing import Any

from rich.markup import escape

from stream_app.config import Config, digest
from stream_app.edges import snapshots
from stream_app.edges.log import Log
from stream_app.edges.terminal import OUT, alert_line, printable, whole
from stream_app.errors import DriftlineError
from stream_app.flow.decide import rfc3339
from stream_app.pipeline import Pipeline


def tell(config: Config, log: Log, name: str, key: bytes) -> dict[str, Any]:
    """The story of an incident, a model version or an event id; DriftlineError if the log knows none."""
    alerts = [json.loads(record.value) for record in log.read("alerts") if record.key == name]
    if alerts:
        triggers = [json.loads(record.value) for record in log.read("triggers")]
        return {"incident": name, "alerts": alerts, "triggers": [t for t in triggers if t["data"]["incident"] == name]}
    audit = [json.loads(record.value) for record in log.read("audit")]
    changes = [entry for entry in audit if entry.get("version") == name]
    if changes:
        return {"version": name, "audit": changes}
    found = log.find(name)
    now = _now(config, log, name, key)
    if not any(found.values()) and "offset" not in now:
        raise DriftlineError(
            f"{name!r} is no incident, model version or event id in {log.path}; "
            "`driftline alerts CONFIG` lists incidents, `driftline predictions CONFIG` event ids"
        )
    return {"event": name, "now": now, **found}


def _now(config: Config, log: Log, name: str, key: bytes) -> dict[str, Any]:
    saved = log.load()
    if saved is None:
        return {"status": "the log is empty"}
    pipeline = Pipeline(config)
    pipeline.restore(snapshots.decode(saved.state, config_digest=digest(config), key=key))
    return pipeline.story(name)


def print_story(told: dict[str, Any]) -> None:
    """A story for people."""
    if "incident" in told:
        _print_incident(told)
    elif "version" in told:
        for entry in told["audit"]:
            OUT.print(f"{rfc3339(entry['time'])}  {entry['what']} → {told['version']}, why: {entry.get('why')}")
    else:
        _print_event(told)


def _print_incident(told: dict[str, Any]) -> None:
    for alert in told["alerts"]:
        OUT.print(alert_line(alert), soft_wrap=True)
    data = told["alerts"][-1]["data"]
    names = ("signal", "segment", "detector", "before", "after", "statistic", "threshold", "onset offset")
    table = whole(*names, title="evidence", title_justify="left")
    for part in data["contributions"]:
        figures = [f"{part[n]:.4g}" for n in ("before", "after", "statistic", "threshold")]
        table.add_row(escape(part["signal"]), escape(printable(part["segment"])), part["detector"], *figures, str(part["onset_offset"]))
    OUT.print(table)
    for trigger in told["triggers"]:
        train = trigger["data"]["train"]
        OUT.print(f"asked for a retraining at {trigger['time']} on offsets {train['from_offset']}..{train['to_offset']}")


def _print_event(told: dict[str, Any]) -> None:
    for prediction in told["predictions"]:
        score = "no score" if prediction["score"] is None else f"score {prediction['score']:.4g}"
        head = f"offset {prediction['offset']} at {rfc3339(prediction['time'])}: model {prediction['model']} predicted"
        _print_line(f"{head} {prediction['prediction']} ({score})")
    for outcome in told["outcomes"]:
        error = "no prediction to compare" if outcome["error"] is None else f"error {outcome['error']:.4g}"
        _print_line(f"label {outcome['label']} came after {outcome['delay_ms'] / 1000:,.0f} s: {error}")
    for letter in told["dead_letters"]:
        _print_line(f"{letter['stream']} {letter['offset']} was refused: {letter['path']}: {letter['reason']}")
    _print_line(f"now: {told['now']['status']}")


def _print_line(text: str) -> None:
    OUT.print(printable(text), markup=False, soft_wrap=True)
