"""Drift detectors calibrated by one parameter, `arl0`: the mean number of observations between false alarms.

    make("ks", arl0=1e6) → a Detector; names() → all that can be made; get("ks") → its class

A detector is one file of this folder, named as in the configuration, imported when it is first asked for. Numbers in,
`Drift` (evidence) out; nothing here knows where the numbers come from. A detector is for one thread at a time.

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
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any

from detectors._base import CALENDAR, Detector, Drift, registered
from detectors._budget import ELond, split, together

if TYPE_CHECKING:  # compiled code is imported when it is needed: see __getattr__
    from detectors._sketch import Sketch

__all__ = [
    "CALENDAR",
    "Detector",
    "Drift",
    "ELond",
    "Sketch",
    "get",
    "make",
    "names",
    "parameters",
    "split",
    "together",
]

_FILES = {module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")}


def names() -> tuple[str, ...]:
    """The names of all detectors, sorted."""
    return tuple(sorted(_FILES | registered().keys()))


def get(name: str) -> type[Detector]:
    """The class behind a name; ValueError listing the known if there is none."""
    if name not in names():
        raise ValueError(f"unknown detector {name!r}; {_known(name, names())}")
    if name not in registered():
        importlib.import_module(f"{__name__}.{name}")
    return registered()[name]


@cache
def parameters(name: str) -> tuple[str, ...]:
    """What `make` takes for this detector."""
    return (*inspect.signature(get(name)).parameters, "season", "dependence")


def make(name: str, *, season: int | str | None = None, dependence: str | None = None, **params: Any) -> Detector:
    """A fresh detector; ValueError for an unknown name or parameter, a value out of its range or without an effect.

    season: the period of a signal that goes up and down by itself, in observations, or "hour-of-day", "hour-of-week",
    "day-of-week". dependence: "ar" where each observation resembles the one before it. Either keeps the false alarms of
    such a signal as rare as `arl0` says.

    >>> import numpy as np
    >>> x = np.sin(np.arange(20_000) * 2 * np.pi / 288) + np.random.default_rng(1).normal(size=20_000)
    >>> len(make("glr").update_many(x)), len(make("glr", season=288).update_many(x))
    (56, 0)
    """
    cls, allowed = get(name), parameters(name)
    for key in params:
        if key not in allowed:
            raise ValueError(f"{name} has no parameter {key!r}; {_known(key, allowed)}")
    detector = cls(**params)
    _check_in_force(detector, params)
    if season is None and dependence is None:
        return detector
    from detectors._null import Adjusted  # noqa: PLC0415 (compiled code is imported when it is needed)

    return Adjusted(detector, season, dependence)


def _check_in_force(detector: Detector, params: dict[str, Any]) -> None:
    """Refuse what is given and not in force: parameters of the literature and `arl0` are two ways to the same end."""
    given = [key for key, value in params.items() if value is not None]
    for key in given:
        if key not in detector.params:
            if "arl0" in detector.params:
                raise ValueError(f"{key}: has no effect without {next(iter(detector.published))}; give both, or none")
            usual = make(detector.name).params
            beside = ", ".join(other for other in given if other in detector.params and usual.get(other) is None)
            raise ValueError(f"{key}: has no effect beside {beside}; give one of them")


def __getattr__(name: str) -> Any:
    if name == "Sketch":
        return importlib.import_module(f"{__name__}._sketch").Sketch
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _known(word: object, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(str(word), known, n=1)
    hint = f", did you mean {near[0]!r}?" if near else ""
    return f"known: {', '.join(known)}{hint}"
