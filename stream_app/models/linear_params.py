"""The parameters of `use = "linear"`: what they are by default, and what may be written for them."""

import difflib
import math
from typing import Any

import numpy as np

from stream_app import config
from stream_app.messages import Floats
from stream_app.models import class_codes

DEFAULTS: dict[str, Any] = {
    "lr": 0.01,
    "intercept_lr": 0.01,
    "l2": 0.0,
    "clip": 1e12,
    "scale_target": True,
    "class_weight": {},
}


def checked(params: dict[str, Any]) -> dict[str, Any]:
    """The parameters with the defaults filled in."""
    for name, value in params.items():
        if name not in DEFAULTS:
            raise ValueError(
                f'unknown parameter "{name}" of linear; known: {", ".join(DEFAULTS)}{_near(name, DEFAULTS)}'
            )
        if name == "scale_target":
            if not isinstance(value, bool):
                raise ValueError(f"scale_target must be true or false, not {value!r}")
        elif name == "class_weight":
            if value != "balanced" and not isinstance(value, dict):
                raise ValueError(
                    f'class_weight must be "balanced" or a table with the weight of a class, not {value!r}'
                )
        else:
            _check_number(name, value)
    return DEFAULTS | params


def fixed_weights(class_weight: Any, task: config.Task) -> Floats:
    """The weight of each class code, 1 where none is given; empty if all weigh the same."""
    if not class_weight:
        return np.ones(0)
    if task.type not in ("binary", "multiclass"):
        raise ValueError(f"class_weight is for classes; task.type is {task.type}")
    weights = np.ones(2 if task.type == "binary" else task.max_classes)
    for name, weight in {} if class_weight == "balanced" else class_weight.items():
        codes = class_codes(task)
        if not codes:
            raise ValueError("class_weight names classes, so task.classes must say which there are")
        if name not in codes:
            raise ValueError(f'unknown class "{name}" in class_weight; known: {", ".join(codes)}{_near(name, codes)}')
        _check_number(f"class_weight of {name}", weight)
        weights[codes[name]] = weight
    return weights


def _check_number(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ValueError(f"{name} must be a number of at least 0, not {value!r}")


def _near(name: str, known: dict[str, Any]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f', did you mean "{near[0]}"?' if near else ""
