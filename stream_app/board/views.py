"""The documents: what a page shows of a board, as plain data (`board.documents` says what is in them)."""

from collections.abc import Callable
from typing import Any

from stream_app.board.asked import Around, Asked, shown
from stream_app.board.documents import BY_VIEW, Arrow, Budget, Health, Labels, PerformanceRow, ReasonRow, Stage
from stream_app.board.figures import Figures
from stream_app.board.fold import Board, Shard
from stream_app.board.incident_views import SEVERITIES, incident, incidents, rows_of
from stream_app.board.model_views import MAIN, averaged, models, performance, series_of
from stream_app.board.signal_views import signal, signals
from stream_app.config.watched import signals as watched
from stream_app.flow import STAGES
from stream_app.messages import counted

VIEWS = tuple(BY_VIEW)
MOST_OPEN = 50
MOST_REASONS = 500
NEAR = 0.8  # of its threshold, from which a detector is spoken of
COUNTS = ("records", "events", "labels", "expired", "rejected")
TITLES = {
    "overview": "Overview",
    "performance": "Performance",
    "signals": "Signals",
    "incidents": "Incidents",
    "models": "Models",
    "dead-letters": "Dead letters",
    "flow": "Flow",
}


def document(board: Board, view: str, asked: Asked | None = None, around: Around | None = None) -> dict[str, Any]:
    """The document of a view."""
    asked, around = asked or Asked(), around or Around()
    told = BUILDERS[view](board, asked, around)
    return _head(board, view, asked, around) | told


def _head(board: Board, view: str, asked: Asked, around: Around) -> dict[str, Any]:
    figures = _figures(board, asked)
    times = [each.counts.time for each in figures if each.first_ms is not None]
    firsts = [each.first_ms for each in figures if each.first_ms is not None]
    title = {"signal": asked.signal, "incident": asked.id}.get(view) or TITLES.get(view, view)
    return {
        "name": board.config.name,
        "view": view,
        "title": title,
        "time_ms": max(times, default=None),
        "timed": board.config.schema.time is not None,
        "records": sum(each.counts.records for each in figures),
        "shards": sorted(board.shards),
        "shard": asked.shard,
        "status": around.status,
        "read_only": around.read_only,
        "notices": [*around.notices, *_notices(shown(board, asked))],
        "from_ms": asked.from_ms,
        "to_ms": asked.to_ms,
        "known_from_ms": min(firsts, default=None),
        "known_to_ms": max(times, default=None),
    }


def _notices(shards: dict[int, Shard]) -> list[str]:
    unreadable = sum(shard.unreadable for shard in shards.values())
    left_out = sum(shard.figures.left_out + shard.panes.left_out for shard in shards.values())
    return [
        *([f"{unreadable:,} records could not be read and are not in these figures"] if unreadable else []),
        *([f"{left_out:,} records of models or signals beyond the limits are not shown"] if left_out else []),
    ]


def _figures(board: Board, asked: Asked) -> list[Figures]:
    return [shard.figures for shard in shown(board, asked).values()]


def _overview(board: Board, asked: Asked, around: Around) -> dict[str, Any]:
    figures = _figures(board, asked)
    ranked = sorted(rows_of(board, asked), key=lambda row: SEVERITIES.index(row["severity"]))
    open_rows = [row for row in ranked if row["status"] in ("open", "acknowledged")]
    counts, budget = _counts(figures), _budget(figures)
    return {
        "health": _health(board, asked, around, len(open_rows)),
        "rate": series_of(figures, "rate", asked),
        "rate_now": around.rate_now,
        "lag": around.lag,
        "counts": counts,
        "labels": _labels(figures, asked) if board.config.schema.label else None,
        "open": open_rows[:MOST_OPEN],
        "budget": budget,
        "performance": _performance_rows(board, figures),
        "error": series_of(figures, "error", asked),
    }


def _counts(figures: list[Figures]) -> dict[str, int]:
    return {name: sum(getattr(each.counts, name) for each in figures) for name in COUNTS}


def _labels(figures: list[Figures], asked: Asked) -> Labels:
    known = [each.labels for each in figures if each.labels is not None]
    counts = _counts(figures)
    resolved = counts["labels"] + counts["expired"]
    return {
        "coverage": counts["labels"] / resolved if resolved else None,
        "delay_median_s": max((k.delay_median_s for k in known if k.delay_median_s is not None), default=None),
        "delay_p95_s": max((k.delay_p95_s for k in known if k.delay_p95_s is not None), default=None),
        "pending": sum(each.pending for each in known) if known else None,
        "series": {name: series_of(figures, name, asked) for name in ("coverage", "delay_median_s")},  # type: ignore[typeddict-item]
    }


def _budget(figures: list[Figures]) -> Budget | None:
    known = [each.alarms.budget for each in figures if each.alarms is not None]
    if not known:
        return None
    spent = sum(budget.spent for budget in known)
    return {
        "per_events": known[0].per_events,
        "allowed": sum(budget.allowed for budget in known),
        "spent": spent,
        "left": sum(budget.left for budget in known),
        "expected": spent,
        "raised": sum(budget.alarms for budget in known),
    }


def _performance_rows(board: Board, figures: list[Figures]) -> list[PerformanceRow]:
    rows: list[PerformanceRow] = []
    for name in dict.fromkeys(name for each in figures for name in each.models):
        found = [each.models[name] for each in figures if name in each.models]
        versions = ", ".join(dict.fromkeys(model.version for model in found if model.version)) or None
        rolling, since_start = averaged(found, "rolling"), averaged(found, "since_start")
        rows += [
            {
                "model": name,
                "version": versions,
                "metric": metric,
                "rolling": rolling.get(metric),
                "since_start": since_start.get(metric),
            }
            for metric in MAIN[board.config.task.type]
            if metric in since_start
        ]
    return rows


# what is well


def _health(board: Board, asked: Asked, around: Around, count: int) -> list[Health]:
    shards = list(shown(board, asked).values())
    figures = [shard.figures for shard in shards]
    counts = _counts(figures)
    told: list[Health] = [
        {"name": "stream", "ok": {"live": True, "ended": True}.get(around.status), "text": _stream(around, counts)},
        {"name": "incidents", "ok": not count, "text": f"{count} open" if count else "none open"},
        _rejects(counts),
    ]
    if board.config.schema.label:
        told.append(_label_health(counts))
    failed = {name: model.failures for each in figures for name, model in each.models.items() if model.failures}
    text = ", ".join(f"{name} failed on {n:,} events" for name, n in failed.items()) or "no failures"
    return [*told, {"name": "models", "ok": not failed, "text": text}, _detectors(figures)]


def _stream(around: Around, counts: dict[str, int]) -> str:
    if around.status == "waiting":
        return "nothing was told yet"
    lag = f", {around.lag:,} wait" if around.lag else ""
    return f"{around.status}, {counted(counts['records'], 'record')}{lag}"


def _rejects(counts: dict[str, int]) -> Health:
    share = counts["rejected"] / counts["records"] if counts["records"] else 0.0
    refused = counted(counts["rejected"], "record")
    return {"name": "dead letters", "ok": share < 0.01, "text": f"{refused} refused ({share:.2%})"}


def _label_health(counts: dict[str, int]) -> Health:
    resolved = counts["labels"] + counts["expired"]
    if not resolved:
        return {"name": "labels", "ok": None, "text": "no label is due yet"}
    coverage = counts["labels"] / resolved
    return {"name": "labels", "ok": coverage > 0.5, "text": f"{coverage:.1%} of the events got theirs in time"}


def _detectors(figures: list[Figures]) -> Health:
    every = [detector for each in figures for detector in each.detectors.values()]
    near = [each for each in every if (each.closeness or 0.0) >= NEAR]
    text = f"{len(every)} watch" + (f", {len(near)} beyond {NEAR:.0%} of their threshold" if near else "")
    return {"name": "detectors", "ok": not near if every else None, "text": text}


# dead letters, flow


def _dead_letters(board: Board, asked: Asked, _around: Around) -> dict[str, Any]:
    shards = list(shown(board, asked).values())
    rows: dict[tuple[str, ...], ReasonRow] = {}
    for shard in shards:
        for reason in shard.letters.rows.values():
            key = reason.kind, reason.stream, reason.path, reason.reason
            known = rows.get(key)
            newer = known is None or reason.last_time_ms > known["last_time_ms"]
            rows[key] = {
                "kind": reason.kind,
                "stream": reason.stream,
                "path": reason.path,
                "reason": reason.reason,
                "count": reason.count + (known["count"] if known else 0),
                "last_offset": reason.last_offset if newer or not known else known["last_offset"],
                "last_time_ms": reason.last_time_ms if newer or not known else known["last_time_ms"],
                "example": reason.example if newer or not known else known["example"],
            }
    return {
        "reasons": sorted(rows.values(), key=lambda row: (-row["count"], row["reason"]))[:MOST_REASONS],
        "total": sum(shard.letters.total for shard in shards),
        "series": series_of([shard.figures for shard in shards], "refused", asked),
    }


def _flow(board: Board, asked: Asked, _around: Around) -> dict[str, Any]:
    shards = list(shown(board, asked).values())
    counts = _counts([shard.figures for shard in shards])
    opened = sum(shard.incidents.opened for shard in shards)
    return {"stages": _stages(board), "arrows": _arrows(counts, opened, sum(s.letters.total for s in shards))}


def _stages(board: Board) -> list[Stage]:
    config = board.config
    beside = ", ".join(challenger.name for challenger in config.challengers)
    texts = {
        "validate": f"{len(config.schema.fields)} fields; what breaks the schema becomes a dead letter",
        "join": "labels meet their events" if config.schema.label else "no labels",
        "features": ", ".join(feature.name for feature in config.features) or "the fields as they are",
        "score": f"{config.model.use}" + (f", beside it {beside}" if beside else ""),
        "measure": f"figures over {config.measure.window:,} labels, every {config.measure.every:,} records",
        "detect": f"{len(watched(config))} signals by {', '.join(dict.fromkeys(w.detector for w in config.watch))}",
        "decide": f"alarms become incidents; retraining: {config.retrain.action}",
    }
    return [{"name": name, "text": texts[name]} for name in STAGES]


def _arrows(counts: dict[str, int], opened: int, letters: int) -> list[Arrow]:
    arrows: list[Arrow] = [{"from": "source", "to": "validate", "label": "records", "count": counts["records"]}]
    labels = ("good records", "events", "events with features", "predictions and labels", "signals", "alarms")
    known = {"good records": counts["records"] - counts["rejected"], "events": counts["events"]}
    known |= {"events with features": counts["events"], "predictions and labels": counts["events"] + counts["labels"]}
    for label, before, after in zip(labels, STAGES[:-1], STAGES[1:], strict=True):
        arrows.append({"from": before, "to": after, "label": label, "count": known.get(label)})
    arrows.append({"from": "validate", "to": "dead letters", "label": "refused", "count": letters})
    arrows.append({"from": "decide", "to": "log", "label": "incidents", "count": opened})
    return arrows


Builder = Callable[[Board, Asked, Around], dict[str, Any]]

BUILDERS: dict[str, Builder] = {
    "overview": _overview,
    "performance": lambda board, asked, _: performance(board, asked),
    "signals": lambda board, asked, _: signals(board, asked),
    "signal": lambda board, asked, _: signal(board, asked),
    "incidents": lambda board, asked, _: incidents(board, asked),
    "incident": lambda board, asked, _: incident(board, asked),
    "models": lambda board, asked, _: models(board, asked),
    "dead-letters": _dead_letters,
    "flow": _flow,
}
