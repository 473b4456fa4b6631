"""What `driftline check` tells: the flow, the streams, the false alarms to expect, what would be found."""

import math
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Column, Table

import detectors
from stream_app.config import Config, Model
from stream_app.config.choice import planned
from stream_app.config.watched import arl0_of, signals
from stream_app.edges.terminal import OUT
from stream_app.flow import STAGES
from stream_app.flow.detect import detector_params
from stream_app.messages import OUTPUTS, to_json

NUMBERS = ("events\nper false\nalarm", "of the\nbudget", "change\nin\n1,000", "change\nin\n10,000")


def print_plan(config: Config, state: Path, *, as_json: bool) -> None:
    """The flow, the streams, and for each watched signal the false alarms to expect and what would be found."""
    plan = _plan(config, state)
    if as_json:
        OUT.out(to_json(plan).decode())
        return
    OUT.print(f"[bold]{escape(config.name)}[/]: {plan['flow']}", soft_wrap=True)
    others = ", ".join(c.name for c in config.challengers) or "none"
    OUT.print(f"model {_chain(config.model)}, challengers: {others}", soft_wrap=True, markup=False)
    for name, told in plan["choices"].items():
        tried = f"one of {', '.join(told['models'])}; {told['budget']:,} model-events may be spent on the others"
        OUT.print(f"{name}: {tried}", soft_wrap=True, markup=False)
    for line in _places(config, state):
        OUT.print(line, soft_wrap=True, markup=False)
    _print_watches(plan["watches"])
    budget = plan["budget"]
    OUT.print(
        f"false alarms to expect: {budget['spent']:.3g} of the {budget['alarms']:g} allowed per {budget['events']:,}"
        f" events, all watches together; {budget['left']:.3g} left",
        soft_wrap=True,
    )


def _places(config: Config, state: Path) -> list[str]:
    """Where the streams are."""
    if config.kafka is None:
        return [f"streams in {state}: {', '.join(OUTPUTS)}"]
    from stream_app.edges.kafka import inputs, topic  # noqa: PLC0415  (aiokafka takes as long as all the rest)

    groups = {"topics read": inputs(config), "topics written": OUTPUTS}
    return [f"{told}: {', '.join(topic(config, stream) for stream in streams)}" for told, streams in groups.items()]


def _print_watches(rows: list[dict[str, Any]]) -> None:
    """As a table that fits a terminal of 80 columns: no name of a detector and no number may be broken."""
    numbers = (Column(name, no_wrap=True, justify="right") for name in NUMBERS)
    texts = Column("signal", overflow="fold"), Column("detector", no_wrap=True)
    table = Table(*texts, *numbers, show_edge=False, pad_edge=False)
    for row in rows:
        found = [f"{row['detectable'][n]:.3g}" for n in ("1000", "10000")]
        table.add_row(escape(row["signal"]), row["detector"], f"{row['arl0']:,.0f}", f"{row['share']:.1%}", *found)
    OUT.print(table)
    if rows:
        OUT.print("change: the smallest one that is found in so many events", soft_wrap=True)
    for unit in dict.fromkeys(row["unit"] for row in rows):
        names = dict.fromkeys(row["detector"] for row in rows if row["unit"] == unit)
        OUT.print(f"  of {', '.join(names)}: {unit}", soft_wrap=True, markup=False)


def _chain(model: Model) -> str:
    """The way of a row through the steps to the model, which may stand in a sampler."""
    sampler = model.sampling and model.sampling.use.rpartition(".")[2]
    steps = [step.use.rpartition(".")[2] for step in model.steps]
    return " → ".join([*steps, f"{sampler}({model.use})" if sampler else model.use])


def _plan(config: Config, state: Path) -> dict[str, Any]:
    watches, budget = _watches(config), config.alarms.budget
    spent = sum(budget.events / row["arl0"] for row in watches if row["arl0"] == row["arl0"])
    left = max(0.0, budget.alarms - spent) if spent < budget.alarms * (1 - 1e-9) else 0.0
    return {
        "name": config.name,
        "state": str(state),
        "budget": {"alarms": budget.alarms, "events": budget.events, "spent": spent, "left": left},
        "flow": " → ".join(STAGES),
        "streams": OUTPUTS,
        "choices": planned(config),
        "watches": watches,
        "false_alarms_per_million": sum(1e6 / row["arl0"] for row in watches if row["arl0"] == row["arl0"]),
    }


def _watches(config: Config) -> list[dict[str, Any]]:
    """What each watched signal may cost, and what its detector would find."""
    found, share, budget = [], arl0_of(config), config.alarms.budget
    for signal in signals(config):
        watch, params = config.watch[signal.watch], detector_params(config, signal, share)
        detector = detectors.make(watch.detector, **params)
        arl0 = params.get("arl0", math.nan)
        found.append(
            {
                "signal": signal.name,
                "by": watch.by,
                "detector": watch.detector,
                "arl0": arl0,
                "share": budget.events / budget.alarms / arl0,
                "detectable": {str(n): detector.detectable(n) for n in (1000, 10_000)},
                "unit": detector.unit,
            }
        )
    return found
