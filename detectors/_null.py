# ruff: noqa: SLF001 (a detector around a detector)
"""Nulls that are true in practice: any detector, fed what a signal's season and its own past do not explain.

`season`: a mean and a spread for each phase of the period. `dependence = "ar"`: an autoregression of order 3. Both are
learned online and give recursive residuals, each divided by its own standard error: (x - what was expected of it) /
sqrt(1 + leverage). In control these have mean 0, equal variance and no correlation from the first on, though the
expectation is only estimated; for a normal autoregression with season they are independent. So whatever the detector
promises for independent observations holds for the residuals. A step of size s in the signal is one of
s (1 - sum of the coefficients) in the residuals: what is the same as to inflate the variance by the effective sample
size.

Of a signal with many equal values (six of its first 64: errors, counts, zeros among numbers) the normal scores are
explained, ties broken at random (`_residuals`). Alarms are then as rare as declared, within what a season's mean and
spread and three steps of the past tell; a shape that differs much between phases (the share of zeros from .4 to .8)
remains, and is found by who looks at shape. Chance costs power: of errors at a rate of .2 half, of .05 three quarters.
Detectors of 0/1 errors (`ecdd`) do not pay that: they get 0/1 values again, errors are dropped, or added, at random
such that the expected rate is always that of the first observations fed.
Of dependent categories every k-th is fed, k such that the correlation that is left is at most .05.

Source: Brown, Durbin and Evans, Techniques for testing the constancy of regression relationships over time, JRSS B
1975, section 2; Alwan and Roberts, Time-series modeling for statistical process control, JBES 1988.
"""

import math
from dataclasses import replace
from typing import Any

import numpy as np

from detectors._base import CALENDAR, Array, Detector, Drift, Floats, Interval, number, whole
from detectors._residuals import (
    COLUMN,
    COMOMENT,
    DRAWS,
    FIRST,
    LEFT_MEAN,
    ORDER,
    RAW_M2,
    RAW_MEAN,
    RAW_N,
    SCALE,
    SCORES,
    SEEN,
    STRIDE,
    residuals,
    thin,
)
from detectors._scores import EDGES, EVER, Bag

STRIDE_SAMPLE = 512  # categories from which the stride is learned
APART = 1 << 40  # the columns' random numbers, from one another and from the detector's own


class Adjusted(Detector):
    """A detector that is fed residuals; the same contract, the same evidence, in the signal's own unit.

    season: a period in observations, or "hour-of-day", "hour-of-week", "day-of-week" (UTC; needs `time_ms`).
    dependence: "ar". A drift starts both over, as it does the detector: a season takes four periods to be learned.
    `before` and `after` are what the residuals say about the level; edges and bins in `detail` are of residuals.
    Cost: 50 ns (season) and 140 ns (ar) an observation on top, 250 more where values repeat; 24 bytes a phase, 2 kB.
    """

    def __init__(self, inner: Detector, season: int | str | None, dependence: str | None) -> None:
        self.inner = inner
        self.name, self.kinds, self.monitors = inner.name, inner.kinds, inner.monitors  # type: ignore[misc]
        self.error_only, self.unit, self.published = inner.error_only, inner.unit, inner.published  # type: ignore[misc]
        self._phases = _phases(season)
        self._season = season if season is None or isinstance(season, str) else self._phases
        if dependence not in (None, "ar"):
            raise ValueError(f"dependence: expected 'ar', got {dependence!r}")
        self._whiten = dependence == "ar"
        self._categories = bool(inner.params.get("categories"))
        if self._categories and season is not None:
            raise ValueError("season: categories have no seasonal mean; watch them by `dependence` alone, or a number")
        d = int(inner.params.get("features", 1))
        scored = 0 if self._categories or self.error_only else d
        super().__init__(
            inner.params | {"season": self._season, "dependence": dependence},
            {
                "counts": inner._counts,
                "null_counts": np.zeros(3, np.int64),
                "columns": np.zeros((d, COLUMN)),
                "seasons": np.zeros((self._phases, d, 3)),
                "lags": np.zeros((d, ORDER)),
                "weights": np.zeros((d, ORDER + 1)),
                "spread": np.zeros((d, ORDER + 1, ORDER + 1)),
                "codes": np.zeros(STRIDE_SAMPLE if self._categories else 0),
                "ranks": np.zeros((scored, 3), np.int64),
                "units": np.zeros((scored, 5)),
                "edges": np.zeros((scored, EDGES)),
                "cells": np.zeros((scored, 2, EDGES + 1), np.int64),
                "first": np.zeros((scored, FIRST)),
            },
        )
        state = self._state
        state["ranks"][:, EVER] = APART * (1 + np.arange(scored))
        self._bags = Bag(state["ranks"], state["units"], state["edges"], state["cells"], state["first"])
        self._own = [array for key, array in self._state.items() if key != "counts"]

    @property
    def statistic(self) -> float:
        return self.inner.statistic

    @property
    def threshold(self) -> float:
        return self.inner.threshold

    @property
    def e_value(self) -> float:
        return self.inner.e_value

    @property
    def estimate(self) -> float:
        known, column = self.inner.estimate, self._state["columns"][0]
        return self._level(float(column[LEFT_MEAN]) if math.isnan(known) and column[RAW_N] else known)

    def __getattr__(self, name: str) -> Any:
        """What this kind of detector has beyond the contract: a warning, a sketch."""
        if name.startswith("_") or name == "inner":
            raise AttributeError(name)
        return getattr(self.inner, name)

    def detectable(self, n: int) -> float:
        """Of the residuals: a step in an autocorrelated signal must be larger by `gain`."""
        number("n", n, 1, 1e300)
        return self.inner.detectable(max(1, int(n // self._stride))) * self._gain

    def to_state(self) -> dict[str, Any]:
        inner = {f"of_{key}": value for key, value in self.inner.to_state().items() if key != "detector"}
        return super().to_state() | inner

    def load(self, state: Any) -> None:
        super().load(state)
        own = {key.removeprefix("of_"): value for key, value in state.items() if key.startswith("of_")}
        self.inner.load({"detector": state["detector"], **own})

    def _reset(self) -> None:
        draws, ever = self._state["null_counts"][DRAWS], self._state["ranks"][:, EVER].copy()
        self.inner._reset()
        for array in self._own:
            array[...] = 0
        self._state["null_counts"][DRAWS], self._state["ranks"][:, EVER] = draws, ever

    def _run(self, x: Floats, start: int) -> int:
        rows = x[start:].reshape(len(x) - start, math.prod(x.shape[1:]))
        time_ms = None if self._time_ms is None else self._time_ms[start : len(x)]
        out, places = np.empty((len(rows) + 1, rows.shape[1])), np.empty(len(rows), np.int64)
        before = [array.copy() for array in self._own]
        fed = self._feed(rows, time_ms, out, places)
        self.inner._time_ms = None if time_ms is None else time_ms[places[:fed]]
        at = self.inner._run(np.ascontiguousarray(out[:fed].reshape(fed, *x.shape[1:])), 0)
        if at < 0:
            return -1
        last = int(places[at])
        for array, was in zip(self._own, before, strict=True):  # what came after the alarm is not known yet
            array[...] = was
        self._feed(rows[: last + 1], time_ms, out, places)
        return start + last

    def _feed(self, rows: Floats, time_ms: Array | None, out: Floats, places: Array) -> int:
        state = self._state
        counts, columns = state["null_counts"], state["columns"]
        if self._categories:
            return int(thin(rows, counts, state["codes"], out, places))
        phases = self._phase(len(rows), time_ms)
        learned = columns, state["seasons"], state["lags"], state["weights"], state["spread"]
        return int(residuals(rows, phases, self._whiten, self.error_only, counts, *learned, self._bags, out, places))

    def _phase(self, n: int, time_ms: Array | None) -> Array:
        """The phase of each of the next n observations."""
        if isinstance(self._season, str):
            if time_ms is None:
                raise ValueError(f"season: {self._season!r} needs the observations' times (time_ms)")
            width_ms, phases = CALENDAR[self._season]
            return (time_ms[:n] // width_ms % phases).astype(np.int64)
        return (int(self._state["null_counts"][SEEN]) + np.arange(n)) % max(1, self._phases)

    @property
    def _stride(self) -> int:
        return max(1, int(self._state["null_counts"][STRIDE]))

    @property
    def _gain(self) -> float:
        """What a step in the residuals is in what they are the residuals of."""
        if not self._whiten or self._categories or self.error_only:
            return 1.0
        return 1.0 / min(1.0, max(1e-3, 1.0 - float(self._state["weights"][0, 1:].sum())))

    @property
    def _worth(self) -> float:
        """What a step in the scores is in the signal, where it is scored (exact for two values); else 1."""
        squares, n, scores, comoment = self._state["columns"][0, [RAW_M2, RAW_N, SCORES, COMOMENT]].tolist()
        if scores < 2 or comoment <= 0.0:
            return 1.0
        worth: float = squares / n * scores / comoment
        return worth

    def _level(self, residual: float) -> float:
        scale, mean, left = self._state["columns"][0, [SCALE, RAW_MEAN, LEFT_MEAN]].tolist()
        if self._categories or self.error_only or scale == 0.0:
            return residual
        level: float = (mean + self._worth * self._gain * (residual - left)) / scale
        return level

    def _evidence(self) -> Drift:
        drift = self.inner._evidence()
        return replace(
            drift,
            age=drift.age * self._stride,
            before=self._level(drift.before),
            after=self._level(drift.after),
            before_interval=self._interval(drift.before_interval),
            after_interval=self._interval(drift.after_interval),
        )

    def _interval(self, interval: Interval) -> Interval:
        return self._level(interval[0]), self._level(interval[1])


def _phases(season: int | str | None) -> int:
    if season is None:
        return 0
    if isinstance(season, str):
        if season not in CALENDAR:
            raise ValueError(
                f"season: expected a number of observations or one of {', '.join(CALENDAR)}; got {season!r}"
            )
        return CALENDAR[season][1]
    return whole("season", season, 2, 100_000)
