"""Documents of models: how good they are over time, which versions there are, what was decided."""

from typing import Any

from stream_app.board.asked import Asked, shown
from stream_app.board.documents import Decision, Mark, VersionRow
from stream_app.board.documents import Estimate as EstimateDocument
from stream_app.board.documents import Model as ModelDocument
from stream_app.board.documents import Series as SeriesDocument
from stream_app.board.figures import Figures, Model, Values
from stream_app.board.fold import Board, Shard
from stream_app.board.incident_views import trigger_row
from stream_app.board.series import drawn
from stream_app.board.versions import Decision as Entry
from stream_app.board.versions import Version
from stream_app.flow.measure import BASELINES

MAIN = {
    "binary": ("accuracy", "kappa", "f1", "roc_auc", "log_loss"),
    "multiclass": ("accuracy", "kappa", "f1", "log_loss"),
    "regression": ("mae", "rmse", "r2"),
    "anomaly": ("roc_auc",),
}
LOWER_IS_BETTER = ("log_loss", "mae", "rmse")
MOST_MARKS = 200
MOST_POINTS = 512  # of each series: models times figures of them are on one page, sent again every second
MOST_ROWS = 1000
ESTIMATES = ("estimated", "low", "high", "realised")


def performance(board: Board, asked: Asked) -> dict[str, Any]:
    """Rolling figures of every model, the estimate beside what came true, and what happened meanwhile."""
    shards = shown(board, asked)
    names = list(dict.fromkeys(name for shard in shards.values() for name in shard.figures.models))
    models = {name: [shard.figures.models.get(name) for shard in shards.values()] for name in names}
    known = {name: [model for model in found if model is not None] for name, found in models.items()}
    metrics = list(dict.fromkeys(metric for found in known.values() for model in found for metric in model.rolling))
    lines = {metric: _lines(known, metric, asked) for metric in metrics}
    return {
        "metrics": metrics,
        "better": {metric: "low" if metric in LOWER_IS_BETTER else "high" for metric in metrics},
        "models": [_model(name, found) for name, found in known.items()],
        "series": lines,
        "estimate": _estimate(list(shards.values()), asked),
        "marks": _marks(shards),
        "since_start": {name: averaged(found, "since_start") for name, found in known.items()},
        "choices": [told for shard in shards.values() for told in shard.figures.choices.values()],
        "ab": next((shard.figures.ab for shard in shards.values() if shard.figures.ab is not None), None),
    }


def _lines(models: dict[str, list[Model]], metric: str, asked: Asked) -> dict[str, SeriesDocument]:
    series = {name: [m.series[metric] for m in found if metric in m.series] for name, found in models.items()}
    span = asked.from_ms, asked.to_ms, MOST_POINTS
    return {name: drawn(found, *span) for name, found in series.items() if found}


def _model(name: str, found: list[Model]) -> ModelDocument:
    versions = list(dict.fromkeys(model.version for model in found if model.version is not None))
    kind = "baseline" if name in BASELINES else name if name in ("champion", "candidate") else "challenger"
    return {"name": name, "kind": kind, "version": ", ".join(versions) or None}  # type: ignore[typeddict-item]


def averaged(models: list[Model], name: str) -> Values:
    """Figures of several shards, weighted by their labels; of one shard as they are."""
    if len(models) == 1:
        return dict(getattr(models[0], name))
    metrics = dict.fromkeys(metric for model in models for metric in getattr(model, name))
    told = {
        metric: [(getattr(m, name).get(metric), m.labels) for m in models if getattr(m, name).get(metric) is not None]
        for metric in metrics
    }
    return {
        metric: sum(value * labels for value, labels in values) / sum(labels for _, labels in values)
        if sum(labels for _, labels in values)
        else None
        for metric, values in told.items()
    }


def series_of(figures: list[Figures], name: str, asked: Asked) -> Any:
    """One of the series of all shards."""
    found = [each.series[name] for each in figures if name in each.series]
    return drawn(found, asked.from_ms, asked.to_ms, MOST_POINTS)


def _estimate(shards: list[Shard], asked: Asked) -> EstimateDocument | None:
    figures = [shard.figures for shard in shards]
    if not any("estimated" in each.series for each in figures):
        return None
    estimated, low, high, realised = (series_of(figures, name, asked) for name in ESTIMATES)
    return {"estimated": estimated, "low": low, "high": high, "realised": realised}


def _marks(shards: dict[int, Shard]) -> list[Mark]:
    found: list[Mark] = []
    for shard in shards.values():
        for step in shard.versions.promotions:
            kind = "rolled back" if step.back else "promoted"
            found.append({"time_ms": step.time_ms, "kind": kind, "text": f"{step.version} {kind}", "link": "/models"})  # type: ignore[typeddict-item]
        for each in shard.versions.triggers:
            link = f"/incident/{each.incident}" if each.incident else "/models"
            found.append({"time_ms": each.time_ms, "kind": "trigger", "text": each.reason, "link": link})
        for row in shard.incidents.rows.values():
            link = f"/incident/{row.id}"
            found.append({"time_ms": row.opened_ms, "kind": "incident", "text": row.message, "link": link})
    return sorted(found, key=lambda mark: mark["time_ms"])[-MOST_MARKS:]


def models(board: Board, asked: Asked) -> dict[str, Any]:
    """Versions with their lineage, decisions, triggers, trials."""
    shards = shown(board, asked)
    several = len(shards) > 1
    versions = [_version(number, shard, row) for number, shard in shards.items() for row in _rows(shard)]
    decisions = [_decision(number, entry) for number, shard in shards.items() for entry in shard.versions.decisions]
    triggers = [trigger_row(number, each) for number, shard in shards.items() for each in shard.versions.triggers]
    lineage = [
        (_node(row["shard"], row["parent"], several), _node(row["shard"], row["version"], several))
        for row in versions
        if row["parent"] is not None
    ]
    trials = [
        {"shard": number, "lane": lane, "version": t.version, "against": t.against, "comparison": t.comparison}
        for number, shard in shards.items()
        for lane, t in shard.figures.trials.items()
        if t.time == shard.figures.counts.time
    ]
    return {
        "versions": versions,
        "lineage": lineage,
        "decisions": sorted(decisions, key=lambda each: (each["time_ms"], each["number"]), reverse=True)[:MOST_ROWS],
        "triggers": sorted(triggers, key=lambda each: each["time_ms"], reverse=True)[: MOST_ROWS // 2],
        "trials": trials,
    }


def _node(shard: int, version: str | None, several: bool) -> str:
    return f"{shard}/{version}" if several else str(version)


def _rows(shard: Shard) -> list[Version]:
    """In charge first, the archive last; each newest first."""
    ranks = ("champion", "predecessor", "proposed", "candidate", "challenger", "archived")
    return sorted(shard.versions.rows.values(), key=lambda row: (ranks.index(row.status), -row.since_ms))


def _version(number: int, shard: Shard, row: Version) -> VersionRow:
    model = next((each for each in shard.figures.models.values() if each.version == row.version), None)
    return {
        "version": row.version,
        "shard": number,
        "status": row.status,  # type: ignore[typeddict-item]
        "kind": row.kind,
        "parent": row.parent,
        "model": row.model,
        "trained": row.trained,  # type: ignore[typeddict-item]
        "metrics": dict(model.since_start) if model else {},
        "since_ms": row.since_ms,
        "why": row.why,
        "verdict": row.verdict,
        "comparison": row.comparison,
    }


def _decision(number: int, entry: Entry) -> Decision:
    return {
        "time_ms": entry.time_ms,
        "shard": number,
        "number": entry.number,
        "action": entry.action,
        "version": entry.version,
        "reason": entry.reason,
        "by": entry.by,
    }
