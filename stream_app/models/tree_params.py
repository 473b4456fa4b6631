"""The parameters of `use = "hoeffding_tree"`: river's names and defaults, and what may be written for them."""

import math
from typing import Any, NamedTuple

from stream_app.config.reading import nearest
from stream_app.models import Inputs
from stream_app.models.tree_arrays import bytes_each

MAJORITY, BAYES, ADAPTIVE = 0, 1, 2
LEAVES = {"mc": MAJORITY, "nb": BAYES, "nba": ADAPTIVE}
CRITERIA = ("info_gain", "gini")

DEFAULTS: dict[str, Any] = {
    "grace_period": 200,
    "max_depth": 980,  # river's, from Python's limit of recursion
    "split_criterion": "info_gain",
    "delta": 1e-7,
    "tau": 0.05,
    "leaf_prediction": "nba",
    "nb_threshold": 0,
    "binary_split": False,
    "min_branch_fraction": 0.01,
    "max_share_to_split": 0.99,
    "merit_preprune": True,
    "max_size": 32.0,  # MiB
}
_TEXTS = {"split_criterion": CRITERIA, "leaf_prediction": tuple(LEAVES)}
_RANGES = {
    "delta": (1e-300, 1.0),
    "min_branch_fraction": (0.0, 0.5),
    "max_share_to_split": (0.0, 1.0),
    "max_depth": (0.0, 1e9),
}
_WHOLE = ("grace_period", "max_depth")


class Rules(NamedTuple):
    """The parameters as kernels take them."""

    grace_period: float
    max_depth: int
    gini: bool
    delta: float
    tau: float
    leaf: int
    nb_threshold: float
    binary_split: bool
    min_branch_fraction: float
    max_share_to_split: float
    merit_preprune: bool
    numbers: int  # columns from here on are categories
    size: tuple[float, float, float, float, float, float]  # bytes of each part, and of the tree at most


def rules_of(params: dict[str, Any], inputs: Inputs) -> Rules:
    """The parameters with the defaults filled in; ValueError says what is wrong."""
    for name, value in params.items():
        if name not in DEFAULTS:
            known = f"known: {', '.join(DEFAULTS)}{nearest(name, DEFAULTS)}"
            raise ValueError(f'unknown parameter "{name}" of hoeffding_tree; {known}')
        _check(name, value)
    values = DEFAULTS | params
    each = bytes_each(len(inputs.numbers) + len(inputs.categories))
    return Rules(
        grace_period=float(values["grace_period"]),
        max_depth=int(values["max_depth"]),
        gini=values["split_criterion"] == "gini",
        delta=float(values["delta"]),
        tau=float(values["tau"]),
        leaf=LEAVES[values["leaf_prediction"]],
        nb_threshold=float(values["nb_threshold"]),
        binary_split=values["binary_split"],
        min_branch_fraction=float(values["min_branch_fraction"]),
        max_share_to_split=float(values["max_share_to_split"]),
        merit_preprune=values["merit_preprune"],
        numbers=len(inputs.numbers),
        size=(*map(float, each), float(values["max_size"]) * 2**20),  # type: ignore[arg-type]
    )


def _check(name: str, value: Any) -> None:
    if name in _TEXTS:
        if value not in _TEXTS[name]:
            raise ValueError(f"{name} must be one of {', '.join(_TEXTS[name])}, not {value!r}")
    elif isinstance(DEFAULTS[name], bool):
        if not isinstance(value, bool):
            raise ValueError(f"{name} must be true or false, not {value!r}")
    else:
        low, high = _RANGES.get(name, (0.0, math.inf))
        number = not isinstance(value, bool) and isinstance(value, int | float) and low <= value <= high
        if not number or not value < math.inf or (name in _WHOLE and value != int(value)):
            least = f"of at least {low:g}" if high == math.inf else f"from {low:g} to {high:g}"
            whole = "whole " if name in _WHOLE else ""
            raise ValueError(f"{name} must be a {whole}number {least}, not {value!r}")
