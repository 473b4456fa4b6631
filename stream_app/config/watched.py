"""What a configuration watches: signals, their kinds, and how rarely each may raise a false alarm."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, NamedTuple

import detectors

if TYPE_CHECKING:  # config.py imports this file
    from stream_app.config import Config, Watch

Kind = Literal["number", "category", "vector"]

ERROR_SIGNALS = ("error", "label_delay", "expired", "overdue")  # known only where there are labels
NAMED_SIGNALS = ("features", "prediction", "estimated_error", *ERROR_SIGNALS, "rejects", "lateness", "key")
REJECT_KINDS = ("type", "range", "schema", "duplicate", "late", "label")  # as in messages.Problem
QUALITY = ("unseen", "range", "frozen")  # of a field, 0 or 1
WILDCARDS = (
    "feature:*",
    "missing:*",
    *(f"{source}:*" for source in QUALITY),
)  # key:* is no wildcard but one signal, segmented by key


class Signal(NamedTuple):
    """One signal that one watch observes, wildcards expanded."""

    watch: int  # index into Config.watch
    name: str
    kind: Kind


def signals(config: "Config") -> list[Signal]:
    """What is watched, wildcards expanded to what their detector fits: config order, fields, computed features."""
    return [Signal(i, *signal) for i, watch in enumerate(config.watch) for signal in _expanded(config, watch)]


def arl0_of(config: "Config") -> float:
    """The mean number of observations between false alarms of a watched signal of weight 1 without its own `arl0`.

    Expected numbers of false alarms add up, however the signals depend on one another: the budget is split over the
    expanded signals in proportion to their weights (a weight of w divides this by w), after the watches with their own
    `arl0` have spent their part; infinite if they left nothing.

    >>> from stream_app.config import Config, Schema, Watch
    >>> watch = (Watch(signal="error", detector="adwin", weight=3.0), Watch(signal="rejects", detector="adwin"))
    >>> arl0_of(Config(name="x", schema=Schema(label="y", fields={}), watch=watch))
    4000000.0
    """
    # Segments (`by`) partition the observations of a signal, so they do not divide the budget.
    watches = [config.watch[signal.watch] for signal in signals(config)]
    sharing = sum(watch.weight for watch in watches if watch.arl0 is None) or 1.0
    budget = config.alarms.budget
    spent = spent_alarms(config)
    if budget.alarms <= spent:
        return math.inf
    return sharing * budget.events / (budget.alarms - spent)


def spent_alarms(config: "Config") -> float:
    """False alarms per `budget.events` that the watches with their own `arl0` may raise."""
    own = [config.watch[signal.watch].arl0 for signal in signals(config)]
    return sum(config.alarms.budget.events / arl0 for arl0 in own if arl0 is not None and arl0 > 0)


def kind_of(config: "Config", signal: str) -> Kind | None:
    """Whether an observation of the signal is a number or a category; None: this configuration has no such signal."""
    source, colon, name = signal.partition(":")
    if source == "feature" and name:
        field = config.schema.fields.get(name)
        if field is not None:
            return field.type
        return "number" if any(name == feature.name for feature in config.features) else None
    if source == "missing" and name:
        return "number" if name in config.schema.fields else None
    if source in QUALITY and name:
        return "number" if has_quality(config, source, name) else None
    if source == "rejects" and colon:
        return "number" if name in REJECT_KINDS else None
    if source == "key" and name:
        return "number"  # seconds since that key's last event
    if source == "silence" and name:
        return "number" if name == "*" or name in categories_of(config) else None  # events of each in a block of events
    if colon or signal not in NAMED_SIGNALS:
        return None
    if signal == "features":
        return "vector"
    categories = signal == "key" or (signal == "prediction" and config.task.type == "multiclass")
    return "category" if categories else "number"


def has_quality(config: "Config", source: str, name: str) -> bool:
    """Whether a field has this signal: `unseen` are free categories (others are dead letters), `range` numbers."""
    field = config.schema.fields.get(name)
    if field is None or source == "frozen":
        return field is not None
    return field.type == "number" if source == "range" else field.type == "category" and field.values is None


def categories_of(config: "Config") -> list[str]:
    """The category fields."""
    return [name for name, field in config.schema.fields.items() if field.type == "category"]


def asked_for(signal: str, names: tuple[str, ...]) -> bool:
    """Whether a signal is named, by itself or by a wildcard.

    >>> asked_for("feature:a", ("error", "feature:*")), asked_for("error", ("*",)), asked_for("key", ("key:*",))
    (True, True, False)
    """
    return any(signal == name or (name.endswith("*") and signal.startswith(name[:-1])) for name in names)


def row_of(config: "Config") -> list[str]:
    """The columns of the signal `features`: number fields and computed features."""
    numbers = [name for name, field in config.schema.fields.items() if field.type == "number"]
    return numbers + [feature.name for feature in config.features]


def segments_of(watch: "Watch", signal: str) -> str | None:
    """What splits a signal into segments: `by`, or what the signal itself is of each key or category of."""
    source, _, of = signal.partition(":")
    if source == "silence":
        return "key" if of == "*" else of
    return "key" if signal == "key:*" else watch.by


def fits(config: "Config", detector: str, signal: str, kind: Kind) -> bool:
    """Whether a known detector can watch the signal: its kind, and 0 or 1 only where the detector asks for that."""
    known = detectors.get(detector)
    is_rate = signal in ("expired", "overdue") or signal.startswith(
        ("rejects", "missing:", *(f"{source}:" for source in QUALITY))
    )
    is_rate |= signal == "error" and config.task.type in ("binary", "multiclass")
    return kind in known.kinds and (is_rate or not known.error_only)


def _expanded(config: "Config", watch: "Watch") -> Iterator[tuple[str, Kind]]:
    if watch.signal == "feature:*":
        names = [*config.schema.fields, *(feature.name for feature in config.features)]
    elif watch.signal == "missing:*":
        names = [name for name, field in config.schema.fields.items() if not field.required]
    else:
        names = list(config.schema.fields)
    wildcard = watch.signal in WILDCARDS
    if wildcard and watch.detector not in detectors.names():
        return
    stem = watch.signal.removesuffix("*")
    for signal in [stem + name for name in names] if wildcard else [watch.signal]:
        kind = kind_of(config, signal)
        if kind is not None and (not wildcard or fits(config, watch.detector, signal, kind)):
            yield signal, kind
