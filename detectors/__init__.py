"""Drift detectors calibrated by one parameter, `arl0`: the mean number of observations between false alarms.

    make("ks", arl0=1e6) → a Detector; names() → all that can be made; get("ks") → its class

A detector is one file of this folder, named as in the configuration. Numbers in, `Drift` (evidence) out; nothing here
knows where the numbers come from.

>>> import numpy as np
>>> detector = make("adwin", arl0=1e5)
>>> x = np.random.default_rng(1).normal(size=4000)
>>> x[3000:] += 1
>>> [(at, drift)] = detector.update_many(x)
>>> at - drift.age + 1, drift.direction  # the onset it estimates
(2976, 1)
"""

import difflib
import importlib
import inspect
import pkgutil
from typing import Any

from detectors._base import Detector, Drift, registered

__all__ = ["Detector", "Drift", "get", "make", "names"]

for _module in pkgutil.iter_modules(__path__):
    if not _module.name.startswith("_"):
        importlib.import_module(f"{__name__}.{_module.name}")


def names() -> tuple[str, ...]:
    """The names of all detectors, sorted."""
    return tuple(registered())


def get(name: str) -> type[Detector]:
    """The class behind a name; ValueError listing the known if there is none."""
    known = registered()
    if name not in known:
        raise ValueError(f"unknown detector {name!r}; {_known(name, list(known))}")
    return known[name]


def make(name: str, **params: Any) -> Detector:
    """A fresh detector; ValueError for an unknown name, an unknown parameter or a value out of its range."""
    cls = get(name)
    allowed = [key for key in inspect.signature(cls).parameters if key != "self"]
    for key in params:
        if key not in allowed:
            raise ValueError(f"{name} has no parameter {key!r}; {_known(key, allowed)}")
    return cls(**params)


def _known(word: str, known: list[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    hint = f", did you mean {near[0]!r}?" if near else ""
    return f"known: {', '.join(known)}{hint}"
