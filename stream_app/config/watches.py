"""What must hold for the watches of a configuration and the alarm budget they share."""

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import detectors
from stream_app.config.reading import child, quoted, unknown
from stream_app.config.receivers import check_receivers
from stream_app.config.watched import (
    ERROR_SIGNALS,
    NAMED_SIGNALS,
    QUALITY,
    REJECT_KINDS,
    WILDCARDS,
    Kind,
    Signal,
    arl0_of,
    asked_for,
    categories_of,
    fits,
    has_quality,
    row_of,
    segments_of,
    spent_alarms,
)

if TYPE_CHECKING:  # config.py imports this file
    from stream_app.config import Config, Watch, Window

Found = Iterator[tuple[str, str]]  # (path, what is wrong and what to do)

OWN_PARAMS = {  # given to the detector by the monitor itself
    "arl0": "write it beside params, as the watch's own arl0",
    "reference": 'write it beside params, as reference = "N events"',
    "rolling": 'write it beside params, as reference = "rolling N events"',
    "reference_s": 'write it beside params, as reference = "1d"',
    "categories": "follows from the watched signal; remove it",
    "features": "follows from the schema; remove it",
    "season": "write it beside params, as the watch's own season",
    "dependence": "write it beside params, as the watch's own dependence",
}


def check_watches(config: "Config", watched: list[Signal]) -> Found:
    """Every problem of [[watch]] and [alarms]; `watched` is `signals(config)`."""
    for i, watch in enumerate(config.watch):
        yield from _watch(config, watch, f"$.watch[{i}]", [signal for signal in watched if signal.watch == i])
    yield from _alarms(config, watched)
    yield from check_receivers(config)
    waits = {"alarms.cooldown": config.alarms.cooldown, "alarms.group": config.alarms.group}
    for name, wait in (waits | {"retrain.cooldown": config.retrain.cooldown}).items():
        if wait is not None and wait.rolling:
            yield f"$.{name}", f'rolling is for watch.reference; write "{wait.events} events"'
        elif wait is not None and wait.duration_ms and config.schema.time is None:
            yield f"$.{name}", "no time: use N events, or name schema.time"


def check_grouping(config: "Config", by: str | None, path: str) -> Found:
    """Whether `by` is a category field."""
    fields = config.schema.fields
    if by is not None and fields and by not in fields:
        known = [name for name, field in fields.items() if field.type == "category"]
        yield path, unknown("category field", by, known)
    elif by is not None and fields and fields[by].type == "number":
        yield path, f"{quoted(by)} is a number field; by needs a category field"


def check_unique(path: str, names: Iterable[str]) -> Found:
    """Names that are there twice; `{}` in the path is their index."""
    seen: set[str] = set()
    for i, name in enumerate(names):
        if name in seen:
            yield path.format(i), f"{quoted(name)} is there twice"
        seen.add(name)


def _watch(config: "Config", watch: "Watch", path: str, watched: list[Signal]) -> Found:
    yield from _signal(config, watch.signal, f"{path}.signal")
    yield from check_grouping(config, watch.by, f"{path}.by")
    if watch.by is not None and segments_of(watch, watch.signal) != watch.by:
        yield f"{path}.by", f"{quoted(watch.signal)} has segments of its own; remove it"
    if watch.max_segments <= 0:
        yield f"{path}.max_segments", "must be more than 0"
    if watch.arl0 is not None and watch.arl0 <= 0:
        yield f"{path}.arl0", "must be more than 0 observations"
    if not 0 < watch.weight < math.inf:
        yield f"{path}.weight", "must be more than 0"
        return
    if watch.season is not None and isinstance(watch.season.period, str) and config.schema.time is None:
        yield f"{path}.season", 'no time: use "N events", or name schema.time'
    if watch.detector not in detectors.names():
        yield f"{path}.detector", unknown("detector", watch.detector, detectors.names())
        return
    if watch.signal in WILDCARDS and not watched and config.schema.fields:
        none = "no field has required = false" if watch.signal == "missing:*" else f"{watch.detector} fits no field"
        yield f"{path}.signal", f"{quoted(watch.signal)} watches nothing: {none}"
    for signal in watched:
        if not fits(config, watch.detector, signal.name, signal.kind):
            fitting = [name for name in detectors.names() if fits(config, name, signal.name, signal.kind)]
            what = f"{watch.detector} cannot watch {quoted(signal.name)}, a {signal.kind}"
            yield f"{path}.detector", f"{what}; use one of: {', '.join(fitting)}"
            return
    yield from _detector(config, watch, path, {signal.kind for signal in watched})


def _signal(config: "Config", signal: str, path: str) -> Found:
    source, colon, name = signal.partition(":")
    fields, schema = config.schema.fields, config.schema
    known = [*NAMED_SIGNALS, "feature:NAME", "missing:NAME", "key:VALUE", "rejects:KIND", "silence:*", "silence:NAME"]
    known += [f"{source}:NAME" for source in QUALITY]
    if source in ("feature", "missing") and name:
        made = [feature.name for feature in config.features if source == "feature"]
        if fields and signal not in WILDCARDS and name not in fields and name not in made:
            yield path, unknown("field", name, [*fields, *made])
        elif source == "missing" and name in fields and fields[name].required:
            yield path, f'{quoted(name)} is required, so never missing; watch "rejects" or set required = false'
    elif source in QUALITY and name:
        fitting = [field for field in fields if has_quality(config, source, field)]
        if fields and name != "*" and name not in fitting:
            yield path, unknown(f"field that has {source}", name, fitting)
    elif source == "silence" and name and name != "*":
        if fields and name not in categories_of(config):
            yield path, unknown("category field", name, categories_of(config))
    elif source == "rejects" and colon:
        if name not in REJECT_KINDS:
            yield path, unknown("kind of reject", name, REJECT_KINDS)
    elif (colon and (source not in ("key", "silence") or not name)) or (not colon and signal not in NAMED_SIGNALS):
        yield path, unknown("signal", signal, known)
    elif signal in (*ERROR_SIGNALS, "estimated_error") and schema.label is None:
        yield path, f"{signal} needs schema.label"
    elif signal in ("error", "estimated_error") and config.task.type == "anomaly":
        yield path, 'an anomaly score has no error; watch "prediction"'
    elif signal == "features" and fields and not row_of(config):
        yield path, "no field is a number, and there are no [[features]]"
    elif source in ("key", "silence") and schema.key is None:
        yield path, f"{quoted(signal)} needs schema.key"
    elif schema.time is None and (signal in ("lateness", "label_delay", "overdue") or (source == "key" and colon)):
        yield path, f"no time: {quoted(signal)} needs schema.time"


def _detector(config: "Config", watch: "Watch", path: str, kinds: set[Kind]) -> Found:
    takes = detectors.parameters(watch.detector)
    for name in watch.params:
        if name not in takes:
            yield child(f"{path}.params", name), unknown(f"parameter of {watch.detector}", name, takes)
        if name in OWN_PARAMS:
            yield f"{path}.params.{name}", OWN_PARAMS[name]
    params = {name: value for name, value in watch.params.items() if name in takes and name not in OWN_PARAMS}
    reference = watch.reference
    if reference is not None:
        problem = _reference_problem(config, reference, watch.detector, takes)
        if problem:
            yield f"{path}.reference", problem
        else:
            params |= reference_params(reference)
    share = arl0_of(config)
    if watch.arl0 is None and math.isinf(share):
        return  # the budget is overspent: said there
    for kind in sorted(kinds):
        try:
            made_with = with_arl0(watch, share, params | kind_params(config, kind))
            detectors.make(watch.detector, **made_with, **null_params(watch))
        except (ValueError, TypeError) as error:
            yield _blamed(watch, path, str(error)), str(error)
            return


def with_arl0(watch: "Watch", share: float, params: dict[str, Any]) -> dict[str, Any]:
    """What a detector is made with, with its part of the budget if it keeps one: as in the literature it does not.

    share: `arl0_of(config)`. A watch's own `arl0` is given to the detector in any case, which says what contradicts it.
    """
    budgeted = {"arl0": watch.arl0 or share / watch.weight, **params}
    if watch.arl0 is None and watch.params and "arl0" not in detectors.get(watch.detector)(**budgeted).params:
        return params
    return budgeted


def null_params(watch: "Watch") -> dict[str, Any]:
    """What a signal does without drifting, as parameters of any detector."""
    season = {} if watch.season is None else {"season": watch.season.period}
    return season if watch.dependence is None else season | {"dependence": watch.dependence}


def reference_params(reference: "Window") -> dict[str, Any]:
    """A watch's reference as parameters of its detector."""
    if reference.duration_ms:
        return {"reference_s": reference.duration_ms / 1000}
    return {"reference": reference.events} | ({"rolling": True} if reference.rolling else {})


def kind_params(config: "Config", kind: Kind) -> dict[str, Any]:
    """What a detector is told of the kind of its signal."""
    if kind == "vector":
        return {"features": len(row_of(config))}
    return {"categories": True} if kind == "category" else {}


def _reference_problem(config: "Config", reference: "Window", detector: str, takes: tuple[str, ...]) -> str | None:
    if "reference" not in takes:
        return f"{detector} has no reference; remove it"
    if reference.duration_ms and config.schema.time is None:
        return "no time: use N events, or name schema.time"
    if reference.duration_ms and "reference_s" not in takes:
        return f'{detector} cannot take a stretch of time; use "N events"'
    if reference.rolling and "rolling" not in takes:
        return f'{detector} has no rolling reference; use "{reference.events} events"'
    limit = config.engine.max_values
    return f"holds more than engine.max_values, {limit}" if reference.events > limit else None


def _blamed(watch: "Watch", path: str, error: str) -> str:
    """Where the value stands that a detector's own error names first."""
    name = error.partition(":")[0]
    if name == "arl0":
        return "$.alarms.budget" if watch.arl0 is None else f"{path}.arl0"
    if name in ("reference", "season", "dependence"):
        return f"{path}.{name}"
    return child(f"{path}.params", name) if name in watch.params else f"{path}.params" if watch.params else path


def _alarms(config: "Config", watched: list[Signal]) -> Found:
    budget, spent = config.alarms.budget, spent_alarms(config)
    others = sum(config.watch[signal.watch].arl0 is None for signal in watched)
    if spent > budget.alarms * (1 + 1e-9) or (others and spent >= budget.alarms * (1 - 1e-9)):
        left = f" and leave nothing for the {others} other signals" if others else ""
        own = f"watches with their own arl0 spend {spent:g} of {budget.alarms:g} per {budget.events} events{left}"
        yield "$.alarms.budget", f"{own}; raise the budget or their arl0"
    if not 0 <= config.alarms.tolerance < math.inf:
        yield "$.alarms.tolerance", "must be 0 or more: a share of the loss before"
    names = {signal.name for signal in watched} | {watch.signal for watch in config.watch}
    for i, window in enumerate(config.alarms.suppress):
        path = f"$.alarms.suppress[{i}]"
        if config.schema.time is None:
            yield f"{path}.during", "no time: name schema.time"
        for j, name in enumerate(window.signals):
            if not any(asked_for(signal, (name,)) for signal in names):
                yield f"{path}.signals[{j}]", f"is not watched: {unknown('signal', name, sorted(names))}"
