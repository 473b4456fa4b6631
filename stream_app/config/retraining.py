"""What must hold for the retraining that a configuration asks for, and for the challengers beside the champion."""

from typing import TYPE_CHECKING

import detectors
from stream_app.config.reading import quoted, unknown
from stream_app.config.watched import WILDCARDS, Signal
from stream_app.config.watches import Found, check_unique

if TYPE_CHECKING:  # the package imports this file
    from stream_app.config import Config

TAKEN = ("champion", "candidate", "no-change", "majority")  # rows of the figures


def check_retrain(config: "Config", watched: list[Signal]) -> Found:
    """Every problem of [retrain] and of the names of [[challengers]]."""
    yield from _on(config, watched)
    retrain = config.retrain
    for name in ("reasons", "horizon", "memory", "least", "passes", "proof", "trial", "archive"):
        if getattr(retrain, name) < 1:
            yield f"$.retrain.{name}", "must be at least 1"
    if retrain.proof > retrain.trial:
        yield "$.retrain.proof", f"is more than retrain.trial, {retrain.trial}: nothing could be proven in time"
    if not 0 <= retrain.cost < float("inf"):
        yield "$.retrain.cost", f"must be a number of at least 0, got {retrain.cost:g}"
    if not 0 < retrain.pace <= 1000:
        yield "$.retrain.pace", f"expected a number above 0, at most 1000, got {retrain.pace:g}"
    if not 0.5 <= retrain.confidence < 1:
        yield "$.retrain.confidence", f"expected a number from 0.5 to below 1, got {retrain.confidence:g}"
    if retrain.action in ("fine-tune", "challenge") and config.schema.label is None:
        yield "$.retrain.action", f"{quoted(retrain.action)} compares models by their labels: there is no schema.label"
    if retrain.gate is not None and not retrain.gate.strip():
        yield "$.retrain.gate", "is empty; write a command, or leave it out"
    if retrain.limit is not None and retrain.limit.within.duration_ms and config.schema.time is None:
        yield "$.retrain.limit", 'no time: write "N per M events", or name schema.time'
    if retrain.limit is not None and retrain.limit.within.rolling:
        yield "$.retrain.limit", 'is a stretch of the past by itself: leave out "rolling"'
    for i, challenger in enumerate(config.challengers):
        if challenger.name in TAKEN:
            yield f"$.challengers[{i}].name", f"{quoted(challenger.name)} is the name of another row: choose another"


def _on(config: "Config", watched: list[Signal]) -> Found:
    names = {signal.name for signal in watched} | {watch.signal for watch in config.watch}
    fields = config.schema.fields.values()
    blank = any(field.type not in ("number", "category") for field in fields)  # was reported: may have been meant
    unclear = [watch.signal for watch in config.watch if blank or watch.detector not in detectors.names()]
    for i, signal in enumerate(config.retrain.on):
        wild = any(_covers(signal, name) for name in names) or any(_covers(name, signal) for name in unclear)
        if signal not in names and not wild:
            yield f"$.retrain.on[{i}]", f"is not watched: {unknown('signal', signal, sorted(names))}"
    yield from check_unique("$.retrain.on[{}]", config.retrain.on)


def _covers(wildcard: str, signal: str) -> bool:
    return wildcard in WILDCARDS and signal.startswith(wildcard.removesuffix("*"))
