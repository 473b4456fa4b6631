"""`[model.sampling]`: a river sampler around the model, for classes that are rare or targets that are."""

import inspect
import math
from typing import Any

from stream_app import config
from stream_app.models import class_codes
from stream_app.models.estimators import SAMPLERS, PartError, build, find, near

INNER = ("classifier", "regressor")  # how samplers call the model that they teach


def sampled(model: Any, sampling: config.Sampling, task: config.Task, seed: int) -> Any:
    """The model inside the sampler; PartError says what is wrong with the sampler.

    The names of classes in `desired_dist` become what river gets: False and True of a binary task, codes of others.
    """
    try:
        cls = find(sampling.use)
    except ValueError as error:
        raise PartError(".sampling.use", error) from None
    inner = _inner(cls, task.type)
    if inner in sampling.params:
        raise PartError(f".sampling.params.{inner}", "is the model itself; remove it")
    params = sampling.params | {inner: model}
    if "desired_dist" in inspect.signature(cls).parameters:
        params["desired_dist"] = _shares(sampling.params.get("desired_dist"), task)
    try:
        return build(sampling.use, params, seed)
    except ValueError as error:
        raise PartError(".sampling.params", error) from None


def _inner(cls: type, task: str) -> str:
    """The parameter of the sampler that takes the model."""
    if not issubclass(cls, SAMPLERS):
        known = ", ".join(sampler.__name__ for sampler in SAMPLERS)
        raise PartError(".sampling.use", f"{cls.__name__} is no sampler; those of river.imblearn: {known}")
    found = next(name for name in INNER if name in inspect.signature(cls).parameters)
    wanted = {"regression": "regressor", "anomaly": ""}.get(task, "classifier")
    if found != wanted:
        fitting = [s.__name__ for s in SAMPLERS if wanted in inspect.signature(s).parameters]
        hint = f"; use {', '.join(fitting)}" if fitting else ", which learns no labels"
        raise PartError(".sampling.use", f"{cls.__name__} is not for a task of {task}{hint}")
    return found


def _shares(given: Any, task: config.Task) -> dict[bool | int, float]:
    """The share of each class among what is learned, by the label as river gets it."""
    where, labels = ".sampling.params.desired_dist", class_codes(task)
    if not labels:
        raise PartError(where, "names classes, so task.classes must say which there are")
    if not isinstance(given, dict):
        raise PartError(where, f"expected a table with the share of each class of {', '.join(labels)}, got {given!r}")
    for name, share in given.items():
        if name not in labels:
            raise PartError(where, f'unknown class "{name}"; known: {", ".join(labels)}{near(name, labels)}')
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < 1:
            raise PartError(where, f'the share of "{name}" must lie between 0 and 1, not {share!r}')
    if left_out := [name for name in labels if name not in given]:
        raise PartError(where, f"no share for {', '.join(left_out)}; each class needs one")
    if not math.isclose(sum(given.values()), 1, abs_tol=1e-6):
        raise PartError(where, f"the shares add up to {sum(given.values()):g}, not 1")
    as_river = bool if task.type == "binary" else int
    return {as_river(labels[name]): float(share) for name, share in given.items()}
