"""An experiment, for people and as one JSON object, on standard output."""

from typing import Any

from rich.markup import escape
from rich.table import Table

from stream_app.config import Config
from stream_app.edges.contrast import WARM_UP, Contrast, Cost
from stream_app.edges.paired_losses import Judgement
from stream_app.edges.sightings import BUDGET, COUNTED, LOOP, TOLD, Matched, Sighting
from stream_app.edges.terminal import OUT, SHOWN, printable, when, whole
from stream_app.messages import to_json

Two = tuple[Any, Any]  # live and other

BUDGET_TOLD = ("alarms of all detectors", "false ones to expect of them", "false ones allowed by [alarms] budget")
COST_TOLD = (
    ("processor s", "processor_seconds", "{:.2f}"), ("wall s", "seconds", "{:.2f}"),
    ("events/s", "events_per_second", "{:,.0f}"), ("bytes of the model", "model_bytes", "{:,}"),
    ("bytes of all state", "state_bytes", "{:,}"),
)  # fmt: skip


def print_contrast(config: Config, found: Contrast, verdict: Judgement) -> None:
    """What only one of the two raised, their figures and costs side by side, and the verdict."""
    for stream, sets in (("alerts", found.alerts), ("triggers", found.triggers)):
        _print_raised(config, stream, sets)
    OUT.print(_table(config, found, verdict))
    if found.left_out:
        OUT.print(f"{found.left_out} commands about model versions of the live run were left out")
    OUT.print(_measured(found), soft_wrap=True)
    took = f"{found.records:,} records in {found.seconds:.1f} s"
    OUT.print(f"{escape(config.name)}: {escape(verdict.sentence())} ({took})", soft_wrap=True)


def _print_raised(config: Config, stream: str, sets: Matched) -> None:
    for side, seen in (("missing", sets.only_live), ("new    ", sets.only_other)):
        for each in seen:
            OUT.print(_told(config, stream, side, each), markup=False, soft_wrap=True)
    what = "incidents" if stream == "alerts" else stream
    OUT.print(f"{what}: {len(sets.both)} matched, {len(sets.only_live)} missing, {len(sets.only_other)} new")


def _told(config: Config, stream: str, side: str, each: Sighting) -> str:
    place = f"shard {each.shard} offset {each.offset}"
    return f"{stream} {side}  {when(config, each.time)}  {place}  {each.severity}  {printable(each.message)}"


def _table(config: Config, found: Contrast, verdict: Judgement) -> Table:
    table = whole("", "live", "other")
    name = "mean absolute error" if config.task.type == "regression" else "error rate"
    table.add_row(f"{name}, {verdict.labels:,} labels of both", *map(_figure, (verdict.live, verdict.other)))
    for which, told in (("since_start", "since the start"), ("rolling", "rolling")):
        for name, pair in _figures(found, which).items():
            if name in SHOWN[config.task.type]:
                table.add_row(f"{name}, {told}", *map(_figure, pair))
    table.add_section()
    for name, (live, other) in _counts(found).items():
        table.add_row(name, f"{live:,}", f"{other:,}")
    table.add_section()
    for name, key in zip(BUDGET_TOLD, BUDGET, strict=True):
        table.add_row(escape(name), *(f"{side.budget[key]:.3g}" for side in (found.live, found.other)))
    table.add_section()
    for name, key, form in COST_TOLD:
        table.add_row(name, *(_cost(cost, key, form) for cost in (found.live_cost, found.other_cost)))
    return table


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _cost(cost: Cost | None, key: str, form: str) -> str:
    value = None if cost is None else getattr(cost, key)
    return "-" if value is None else form.format(value)


def _figures(found: Contrast, which: str) -> dict[str, Two]:
    """Since the start only where both began at the same record."""
    return found.figures(which) if which == "rolling" or found.whole else {}


def _counts(found: Contrast) -> dict[str, Two]:
    names = (*COUNTED, *TOLD, *LOOP)
    return {name: (found.live.counts[name], found.other.counts[name]) for name in names if name != "audit"}


def _measured(found: Contrast) -> str:
    """What the costs are of."""
    cost = found.other_cost
    told = f"costs: of the pipeline alone, over {cost.events:,} events, each shard's first {WARM_UP:,} records left out"
    if found.live_cost is None:
        return f"{told}; the live one was not run again: --cost does that"
    return f"{told}, both run again here, one after the other"


def contrast_json(found: Contrast, verdict: Judgement, promotion: dict[str, Any] | None) -> bytes:
    """All of it as one object."""
    since_start = _beside(_figures(found, "since_start")) if found.whole else None
    return to_json(
        {
            "alerts": found.alerts.as_json(),
            "triggers": found.triggers.as_json(),
            "judgement": verdict.as_json(),
            "rolling": _beside(_figures(found, "rolling")),
            "since_start": since_start,
            "counts": _beside(_counts(found)),
            "budget": _beside({name: (found.live.budget[name], found.other.budget[name]) for name in BUDGET}),
            "cost": {
                "live": found.live_cost and found.live_cost.as_json(),
                "other": found.other_cost.as_json(),
                "measured": _measured(found),
            },
            "left_out": found.left_out,
            "promotion": promotion,
            **pace(found.records, found.seconds),
        }
    )


def _beside(pairs: dict[str, Two]) -> dict[str, dict[str, Any]]:
    return {name: {"live": live, "other": other} for name, (live, other) in pairs.items()}


def pace(records: int, seconds: float) -> dict[str, Any]:
    """How fast a replay was."""
    return {
        "records": records,
        "seconds": round(seconds, 3),
        "records_per_second": round(records / seconds) if seconds else 0,
    }
