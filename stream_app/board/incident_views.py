"""Documents of incidents: all as rows, and one with its evidence."""

from typing import Any

from stream_app.board.asked import Asked, shown
from stream_app.board.documents import Contribution, Evidence, IncidentRow, IncidentSeries, TriggerRow
from stream_app.board.fold import Board, Shard
from stream_app.board.incidents import Incident
from stream_app.board.series import Series, drawn
from stream_app.board.versions import Trigger
from stream_app.config.watched import kind_of

MOST = 1000
SEVERITIES = ("critical", "warning", "info")
AROUND = 3  # times the stretch from onset to alarm that is shown on either side
LEAST = 0.02  # of all that there is, on either side
NONE: dict[str, Any] = {"statistic": None, "threshold": None, "n": 0, "before": None, "after": None}


def incidents(board: Board, asked: Asked) -> dict[str, Any]:
    """All, newest first."""
    rows = rows_of(board, asked)
    counts = {name: sum(row["status"] == name for row in rows) for name in ("open", "acknowledged", "recovered")}
    counts |= {"closed": sum(row["status"] == "closed" for row in rows)}
    counts |= {name: sum(row["severity"] == name for row in rows) for name in SEVERITIES}
    counts["opened"] = sum(shard.incidents.opened for shard in shown(board, asked).values())
    return {"incidents": rows[:MOST], "counts": counts, "total": len(rows)}


def incident(board: Board, asked: Asked) -> dict[str, Any]:
    """One with all that is known of it."""
    for number, shard in shown(board, asked).items():
        row = shard.incidents.rows.get(asked.id)
        if row is not None:
            return _told(board, asked, number, shard, row)
    return {
        "incident": None,
        "updates": [],
        "evidence": None,
        "offsets": {},
        "series": {"signal": drawn([]), "statistic": drawn([]), "threshold": drawn([]), "error": drawn([])},
        "triggers": [],
        "acknowledge": {"allowed": False, "by": None, "note": "no such incident"},
    }


def _told(board: Board, asked: Asked, number: int, shard: Shard, row: Incident) -> dict[str, Any]:
    data = row.evidence()
    note = "it is over" if row.over else f"{row.by} looks after it" if row.by else "says that someone looks after it"
    return {
        "incident": row_of(number, row),
        "updates": [
            {"time_ms": u.time_ms, "status": u.status, "severity": u.severity, "message": u.message, "by": u.by}
            for u in row.updates
        ],
        "evidence": _evidence(data) if data else None,
        "offsets": {name: data.get(name) for name in ("onset_offset", "onset_interval", "offset")},
        "series": _series(board, asked, shard, row),
        "triggers": [trigger_row(number, each) for each in shard.versions.triggers if each.incident == row.id],
        "acknowledge": {"allowed": not row.over and not row.by, "by": row.by, "note": note},
    }


def _evidence(data: dict[str, Any]) -> Evidence:
    effect = data["effect"]
    before, after = effect["before"], effect["after"]
    changes = data["changes"]
    return {
        "statistic": data["statistic"],
        "threshold": data["threshold"],
        "n": effect["n"],
        "before": before,
        "after": after,
        "before_interval": effect["before_interval"],
        "interval": effect["after_interval"],
        "direction": effect["direction"],
        "effect": None if before is None or after is None else after - before,
        "contributions": _contributions(data["contributions"]),
        "kind": changes[0]["kind"] if changes else None,
        "causes": [cause["what"].rstrip(",") for cause in data["causes"]],
        "examples": data["examples"],
        "changes": changes,
        "segments": data["segments"],
        "explanation": data["explanation"] or [],
        "harm": data["harm"],
    }


def _contributions(alarms: list[dict[str, Any]]) -> list[Contribution]:
    """The alarms by how far each statistic went beyond its threshold, as shares of all."""
    strengths = [_strength(alarm) for alarm in alarms]
    total = sum(strengths) or 1.0
    return [
        {
            "feature": alarm["signal"] + (f" where {alarm['segment']}" if alarm["segment"] else ""),
            "share": strength / total,
            "text": f"{alarm['detector']}: {_figure(alarm['before'])} → {_figure(alarm['after'])}",
        }
        for alarm, strength in zip(alarms, strengths, strict=True)
    ]


def _strength(alarm: dict[str, Any]) -> float:
    statistic, threshold = alarm["statistic"], alarm["threshold"]
    return float(statistic / threshold) if statistic and threshold and threshold > 0 else 0.0


def _figure(value: float | None) -> str:
    return "?" if value is None else f"{value:.4g}"


def _series(board: Board, asked: Asked, shard: Shard, row: Incident) -> IncidentSeries:
    """From well before the onset to well after it was told."""
    figures = shard.figures
    told_ms = row.updates[0].time_ms
    margin = max(AROUND * (told_ms - row.onset_ms), int(LEAST * (figures.counts.time - (figures.first_ms or 0))))
    start = row.onset_ms - margin if asked.from_ms is None else asked.from_ms
    stop = max(told_ms, row.recovered_ms or 0) + margin if asked.to_ms is None else asked.to_ms

    def around(*series: Series) -> Any:
        return drawn(series, start, stop)

    mine = [
        each
        for each in figures.detectors.values()
        if (each.signal, each.segment, each.detector) == (row.signal, row.segment, row.detector)
    ]
    panes = shard.panes.signals.get(row.signal) if kind_of(board.config, row.signal) != "category" else None
    return {
        "signal": around(*([panes.means] if panes else [])),
        "statistic": around(*(each.statistics for each in mine)),
        "threshold": around(*(each.thresholds for each in mine)),
        "error": around(*([figures.series["error"]] if "error" in figures.series else [])),
    }


def rows_of(board: Board, asked: Asked) -> list[IncidentRow]:
    """Newest first."""
    rows = [
        row_of(number, row) for number, shard in shown(board, asked).items() for row in shard.incidents.rows.values()
    ]
    return newest_first(rows)


def newest_first(rows: list[IncidentRow]) -> list[IncidentRow]:
    """By when they opened."""
    return sorted(rows, key=lambda row: row["opened_ms"], reverse=True)


def row_of(number: int, row: Incident) -> IncidentRow:
    """An incident in a table."""
    return {
        "id": row.id,
        "shard": number,
        "status": row.status,  # type: ignore[typeddict-item]
        "severity": row.severity,  # type: ignore[typeddict-item]
        "signal": row.signal,
        "segment": row.segment,
        "detector": row.detector,
        "opened_ms": row.opened_ms,
        "onset_ms": row.onset_ms,
        "recovered_ms": row.recovered_ms,
        "cost": row.cost,
        "signals": row.signals,
        "by": row.by,
        "message": row.message,
    }


def trigger_row(number: int, trigger: Trigger) -> TriggerRow:
    """A trigger in a table."""
    return {
        "id": trigger.id,
        "shard": number,
        "time_ms": trigger.time_ms,
        "kind": trigger.kind,  # type: ignore[typeddict-item]
        "model": trigger.model,
        "version": trigger.version,
        "action": trigger.action,
        "reason": trigger.reason,
        "incident": trigger.incident,
        "excess": trigger.excess,
        "train": trigger.train,
    }
