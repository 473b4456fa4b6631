"""What every detector is: numbers in, evidence out, state that can be stored and loaded."""

import copy
import json
import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, wraps
from typing import Any, ClassVar, Literal, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Array = NDArray[Any]

BLOCK = 8192  # observations at a time: kernels that look ahead go through no more of them again after an alarm
LAYOUT = 1  # of states: one more when what their arrays hold has changed
N, MISSING = 0, 1  # the first two places of every detector's `counts`
Z95 = 1.959963984540054  # half the width of a 95 % interval, in standard errors
HOUR_MS = 3_600_000
CALENDAR = {"hour-of-day": (HOUR_MS, 24), "hour-of-week": (HOUR_MS, 168), "day-of-week": (24 * HOUR_MS, 7)}
Direction = Literal["both", "up", "down"]
SIDES = {"both": (1.0, -1.0), "up": (1.0,), "down": (-1.0,)}
WHOLE = int, np.integer  # what a parameter may be
REAL = *WHOLE, float, np.floating
Interval = tuple[float, float]
UNKNOWN: Interval = (math.nan, math.nan)


@dataclass(frozen=True, slots=True)
class Drift:
    """The evidence of one alarm; the last `age` observations, the one that fired included, are the new regime."""

    statistic: float
    threshold: float
    n: int  # observations since the last reset
    before: float  # mean before the change (against a reference: its mean)
    after: float  # mean since the change
    age: int  # the onset estimate, at least 1
    direction: int  # +1 rose, -1 fell, 0 neither
    detail: dict[str, Any] = field(default_factory=dict)
    before_interval: Interval = UNKNOWN  # 95 %, for independent observations
    after_interval: Interval = UNKNOWN


class Detector:
    """The contract. A detector holds all its state in `_state`, a dict of arrays of fixed shape.

    Rules: NaN and infinities are counted in `missing` and never fed. A drift starts the detector over (only `missing`
    lives on). `update_many` gives the answers of `update` one by one, wherever the stream is cut. No input raises.
    """

    name: ClassVar[str]  # set by @register: the file's name
    kinds: ClassVar[frozenset[str]] = frozenset({"number"})  # of "number", "category"; or "vector" alone: rows
    published: ClassVar[dict[str, Any]] = {}  # one parameter of the literature, whose presence selects that mode
    monitors: ClassVar[Literal["mean", "distribution"]] = "mean"
    error_only: ClassVar[bool] = False  # wants a 0/1 error
    unit: ClassVar[str] = "mean, in standard deviations"  # of `detectable`

    def __init__(self, params: dict[str, Any], state: dict[str, Array]) -> None:
        self._params = params
        self._state = state
        self._counts = state["counts"]
        self._shape: tuple[int, ...] = (params["features"],) if "vector" in self.kinds else ()  # of one observation
        self._time_ms: Array | None = None  # of the observations being fed, where they were given

    def __repr__(self) -> str:
        """The call of `make` that gives one like it; a profile is long and left out."""
        given = {key: value for key, value in self.params.items() if value is not None and key != "profile"}
        profile = ["profile=..."] if self.params.get("profile") else []
        return f"make({', '.join([repr(self.name), *(f'{key}={value!r}' for key, value in given.items()), *profile])})"

    def __copy__(self) -> Self:
        """One with a state of its own."""
        return copy.deepcopy(self)

    @property
    def params(self) -> dict[str, Any]:
        """All parameters with their values in force."""
        return dict(self._params)

    @property
    def n(self) -> int:
        """Observations since the last reset, missing ones not counted."""
        return int(self._counts[N])

    @property
    def missing(self) -> int:
        """NaN and infinite values ever met."""
        return int(self._counts[MISSING])

    @property
    def statistic(self) -> float:
        """The statistic now; NaN while warming up."""
        raise NotImplementedError

    @property
    def threshold(self) -> float:
        """What the statistic must exceed; NaN while warming up."""
        raise NotImplementedError

    @property
    def estimate(self) -> float:
        """The current mean of what the detector keeps; NaN while it knows nothing."""
        raise NotImplementedError

    @property
    def e_value(self) -> float:
        """Evidence whose mean in control is at most n (see `together`); NaN while warming up or where there is none."""
        return math.nan

    def detectable(self, n: int) -> float:
        """The smallest change (in `unit`) found within about n observations after it began; inf if none is."""
        raise NotImplementedError

    def update(self, x: ArrayLike, time_ms: float | None = None) -> Drift | None:
        """Feed one observation: a number, a category's code or a row."""
        one = np.asarray(x)
        if one.shape != self._shape:
            raise ValueError(f"x: expected shape {self._shape}, got {one.shape}")
        found = self.update_many(one[None], None if time_ms is None else np.asarray(time_ms)[None])
        return found[0][1] if found else None

    def update_many(self, x: ArrayLike, time_ms: ArrayLike | None = None) -> list[tuple[int, Drift]]:
        """Feed x[n] (rows: x[n, features]) in order; each drift with the index at which it fired.

        time_ms[n], event times in milliseconds, are needed only by what counts time: a season, a `reference_s`.
        """
        x = np.asarray(x)
        if x.dtype.kind in "cmM":
            raise ValueError(f"x: expected real numbers, got {x.dtype}")
        x = np.ascontiguousarray(x, dtype=np.float64)
        if x.shape[1:] != self._shape:
            expected = f"(n, {self._shape[0]})" if self._shape else "(n,)"
            raise ValueError(f"x: expected shape {expected}, got {x.shape}")
        self._time_ms = None if time_ms is None else _times(time_ms, len(x))
        return self.drifts(x, self._next(x, 0))

    def drifts(self, x: Floats, at: int) -> list[tuple[int, Drift]]:
        """What `update_many` gives where x[: at + 1] was fed and the last of it fired; nothing for -1."""
        found = []
        while at >= 0:
            found.append((at, self.take()))
            at = self._next(x, at + 1)
        return found

    @classmethod
    def abreast(cls, _members: Sequence["Detector"]) -> Any:
        """What feeds several detectors of this class in one call (`_columns.Abreast`); None where there is none."""
        return None

    def move(self, state: dict[str, Array]) -> None:
        """Keep the state, which these arrays hold a copy of, in them from now on."""
        self._state, self._counts = state, state["counts"]

    def take(self) -> Drift:
        """An alarm now, with the evidence so far; starts over. For alarms that several detectors raise together."""
        drift = self._evidence()
        self._reset()
        return drift

    def to_state(self) -> dict[str, Any]:
        """A copy of the state: arrays of fixed shape under string keys; `params` tells what it was made with."""
        arrays = {key: array.copy() for key, array in self._state.items()}
        return {"detector": self.name, "params": self._made_with.copy(), **arrays}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over what `to_state` of a detector with the same name and parameters gave; ValueError if it is not."""
        if state.get("detector") != self.name:
            raise ValueError(f"state of {state.get('detector')!r} cannot be loaded into {self.name!r}")
        self._check_fits(state, "params", self._made_with)
        differ = np.flatnonzero(state["params"] != self._made_with)
        if len(differ):
            names = ["layout, that of another version", *sorted(self._params)]
            raise ValueError(
                f"state of {self.name!r} was made with another {', another '.join(names[i] for i in differ)}"
            )
        for key, mine in self._state.items():
            self._check_fits(state, key, mine)
        for key, mine in self._state.items():
            mine[...] = state[key]

    def _check_fits(self, state: Mapping[str, Any], key: str, mine: Array) -> None:
        theirs = state.get(key)
        if not isinstance(theirs, np.ndarray) or theirs.shape != mine.shape or theirs.dtype != mine.dtype:
            raise ValueError(f"state of {self.name!r} does not fit at {key!r}: was it made with other parameters?")

    @cached_property
    def _made_with(self) -> Array:
        """The layout and a checksum of each parameter in force, by name: of the same size for the same parameters."""
        values = (json.dumps(self._params[key], sort_keys=True, default=int) for key in sorted(self._params))
        return np.array([LAYOUT, *(zlib.crc32(value.encode()) for value in values)], np.uint32)

    def _reset(self) -> None:
        missing = self._counts[MISSING]
        for array in self._state.values():
            array[...] = 0
        self._counts[MISSING] = missing

    def _next(self, x: Floats, start: int) -> int:
        """Feed x[start:] block by block up to the first drift; its index, or -1 when x is used up."""
        for begin in range(start, len(x), BLOCK):
            at = self._run(x[: begin + BLOCK], begin)
            if at >= 0:
                return at
        return -1

    def _run(self, x: Floats, start: int) -> int:
        """Feed x[start:], a block at most, up to the first drift; its index, or -1 when x is used up."""
        raise NotImplementedError

    def _evidence(self) -> Drift:
        raise NotImplementedError


def _times(time_ms: ArrayLike, n: int) -> Array:
    """The event times of n observations, or ValueError: compiled code counts phases by them, unchecked."""
    times = np.asarray(time_ms)
    if times.dtype.kind not in "iuf":
        raise ValueError(f"time_ms: expected numbers, in milliseconds, got {times.dtype}")
    if times.shape != (n,):
        raise ValueError(f"time_ms: expected shape ({n},), one for each of x, got {times.shape}")
    times = times.astype(np.float64, copy=False)
    wrong = np.flatnonzero(~np.isfinite(times))
    if len(wrong):
        raise ValueError(f"time_ms: expected finite numbers, got {times[wrong[0]]} at index {wrong[0]}")
    return times


_registered: dict[str, type[Detector]] = {}
Class = TypeVar("Class", bound=type[Detector])


def register(cls: Class) -> Class:
    """Make a detector known under the name of its file; ValueError if that name is taken.

    Its `detectable` refuses what is no number of observations.
    """
    name = cls.__module__.rpartition(".")[2]
    taken = _registered.get(name)
    if taken is not None and taken.__qualname__ != cls.__qualname__:
        raise ValueError(f"detector {name!r} is defined twice: {taken.__qualname__} and {cls.__qualname__}")
    cls.name = name
    cls.detectable = _asked_of_some(cls.detectable)  # type: ignore[assignment, method-assign]
    _registered[name] = cls
    return cls


def _asked_of_some(detectable: Callable[[Any, int], float]) -> Callable[[Any, int], float]:
    @wraps(detectable)
    def checked(self: Detector, n: int) -> float:
        number("n", n, 1, 1e300)
        return detectable(self, n)

    return checked


def registered() -> dict[str, type[Detector]]:
    """Every registered class by name."""
    return dict(sorted(_registered.items()))


def number(name: str, value: object, low: float, high: float) -> float:
    """The parameter as a float within [low, high], or ValueError naming it."""
    if isinstance(value, bool) or not isinstance(value, REAL) or not low <= value <= high:
        raise ValueError(f"{name}: expected a number from {low:g} to {high:g}, got {value!r}")
    return float(value)


def whole(name: str, value: object, low: int, high: int) -> int:
    """The parameter as an int within [low, high], or ValueError naming it."""
    if isinstance(value, bool) or not isinstance(value, WHOLE) or not low <= value <= high:
        raise ValueError(f"{name}: expected a whole number from {low} to {high}, got {value!r}")
    return int(value)


def flag(name: str, value: object) -> bool:
    """The parameter as a bool, or ValueError naming it."""
    if not isinstance(value, bool):
        raise ValueError(f"{name}: expected true or false, got {value!r}")  # noqa: TRY004 (as every bad parameter)
    return value


def sided(value: object) -> tuple[float, ...]:
    """The signs of the changes that a `direction` looks for, or ValueError.

    >>> sided("both"), sided("down")
    ((1.0, -1.0), (-1.0,))
    """
    if not isinstance(value, str) or value not in SIDES:
        raise ValueError(f"direction: expected 'both', 'up' or 'down', got {value!r}")
    return SIDES[value]


def mean_interval(mean: float, variance: float, n: float) -> Interval:
    """The 95 % interval of a mean of n observations with that variance; unknown below two.

    >>> mean_interval(1.0, 4.0, 100)
    (0.6080072030919892, 1.3919927969080108)
    """
    if n < 2 or not math.isfinite(variance):
        return UNKNOWN
    half = Z95 * math.sqrt(max(0.0, variance) / n)
    return mean - half, mean + half


def rate_interval(rate: float, n: float) -> Interval:
    """Wilson's 95 % interval of a rate seen in n trials; unknown of none.

    >>> [round(end, 3) for end in rate_interval(0.0, 10)]
    [0.0, 0.278]
    """
    if n < 1 or not 0 <= rate <= 1:
        return UNKNOWN
    square = Z95 * Z95 / n
    middle = (rate + square / 2) / (1 + square)
    half = Z95 * math.sqrt(rate * (1 - rate) / n + square / (4 * n)) / (1 + square)
    return max(0.0, middle - half), min(1.0, middle + half)


def mean_of(values: Floats) -> float:
    """The mean, without overflow for values near the largest float; NaN of nothing."""
    if not len(values):
        return float("nan")
    scale = float(max(np.max(values), -np.min(values)))
    return float(np.mean(values / scale)) * scale if scale > 1e150 else float(np.mean(values))
