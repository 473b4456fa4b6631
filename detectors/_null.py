# ruff: noqa: SLF001 (a detector around a detector)
"""Nulls that are true in practice: any detector, fed what a signal's season and its own past do not explain.

`season`: a mean and a spread for each phase of the period. `dependence = "ar"`: an autoregression of order 3. Both are
learned online and give recursive residuals, each divided by its own standard error: (x - what was expected of it) /
sqrt(1 + leverage). In control these have mean 0, equal variance and no correlation from the first on, though the
expectation is only estimated; for a normal autoregression with season they are independent. So whatever the detector
promises for independent observations holds for the residuals. A step of size s in the signal is one of
s (1 - sum of the coefficients) in the residuals: what is the same as to inflate the variance by the effective sample
size. Detectors of 0/1 errors get 0/1 values again: errors are dropped, or added, at random such that the expected rate
is always that of the first observations fed. Of dependent categories every k-th is fed, k such that the correlation
that is left is at most .05.

Source: Brown, Durbin and Evans, Techniques for testing the constancy of regression relationships over time, JRSS B
1975, section 2; Harrell and Davis, change detection on prewhitened residuals, as in SPC: Alwan and Roberts 1988.
"""

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numba import njit

from detectors._base import CALENDAR, Array, Detector, Drift, Floats, Interval, whole
from detectors._kernels import HUGE, random_unit

ORDER = 3  # of the autoregression
VISITS, FITTED = 4, 64  # observations that a phase, and the autoregression, learn from before any is fed
SHRINK = 16.0  # observations that the spread of all phases counts for in the spread of one
STRIDE_SAMPLE = 512  # categories from which the stride is learned

SEEN, DRAWS, STRIDE = range(3)  # places in `null_counts`
SCALE, RAW_N, RAW_MEAN, LEFT_N, LEFT_MEAN, WITHIN, WITHIN_N, FITS, BASE = range(
    9
)  # places in a column's row of `columns`
PHASE_N, PHASE_MEAN, PHASE_M2 = range(3)  # places in a phase


@njit(cache=True)
def _deseason(y: float, phase: Floats, column: Floats) -> float:
    """What the phase does not explain, in the unit of y; NaN while the phase is young. The phase learns y."""
    n = phase[PHASE_N]
    off = y - phase[PHASE_MEAN]
    left = math.nan
    if n >= VISITS:
        left = off / math.sqrt(1.0 + 1.0 / n)
        if column[WITHIN] > 0.0:
            pooled = column[WITHIN] / column[WITHIN_N]
            left *= math.sqrt(pooled * (n - 1.0 + SHRINK) / (phase[PHASE_M2] + SHRINK * pooled))
    phase[PHASE_N] = n + 1.0
    phase[PHASE_MEAN] += off / (n + 1.0)
    grown = off * (y - phase[PHASE_MEAN])
    phase[PHASE_M2] += grown
    if n > 0.0:
        column[WITHIN] += grown
        column[WITHIN_N] += 1.0
    return left


@njit(cache=True)
def _whiten(d: float, column: Floats, lags: Floats, weights: Floats, spread: Floats) -> tuple[float, float]:
    """(d less its prediction from the past, over its standard error; the prediction); NaN while the fit is young.

    Recursive least squares on (1, the last ORDER values).
    """
    if column[FITS] == 0.0:
        for i in range(ORDER + 1):
            spread[i, i] = 1e8
    row, gain = np.ones(ORDER + 1), np.zeros(ORDER + 1)
    row[1:] = lags
    expected, leverage = 0.0, 0.0
    for i in range(ORDER + 1):
        expected += weights[i] * row[i]
        for j in range(ORDER + 1):
            gain[i] += spread[i, j] * row[j]
        leverage += row[i] * gain[i]
    off = d - expected
    for i in range(ORDER + 1):
        weights[i] += gain[i] * off / (1.0 + leverage)
        for j in range(ORDER + 1):
            spread[i, j] -= gain[i] * gain[j] / (1.0 + leverage)
    for i in range(ORDER - 1, 0, -1):
        lags[i] = lags[i - 1]
    lags[0] = d
    column[FITS] += 1.0
    if column[FITS] <= FITTED:
        return math.nan, math.nan
    return off / math.sqrt(1.0 + leverage), expected


@njit(cache=True)
def _couple(x: float, expected: float, base: float, u: float) -> float:
    """0 or 1 with the expectation `base` if that of x is `expected`."""
    error = min(max(x, 0.0), 1.0)
    expected = min(max(expected, 1e-3), 1.0 - 1e-3)
    if expected > base:
        chance = error * base / expected
    else:
        chance = error + (1.0 - error) * (base - expected) / (1.0 - expected)
    return 1.0 if u < chance else 0.0


@njit(cache=True)
def _residuals(
    x: Floats,
    phases: Array,
    whiten: bool,
    couple: bool,
    counts: Array,
    columns: Floats,
    season: Floats,
    lags: Floats,
    weights: Floats,
    spread: Floats,
    out: Floats,
    places: Array,
) -> int:
    """Writes the residual of each row that is to be fed, and where it came from; how many. Missing cells stay NaN."""
    fed = 0
    for at in range(len(x)):
        counts[SEEN] += 1
        ready = True
        for c in range(x.shape[1]):
            column = columns[c]
            value = x[at, c]
            out[fed, c] = math.nan
            if not math.isfinite(value):
                continue
            if column[SCALE] == 0.0 and value != 0.0:
                column[SCALE] = math.ldexp(1.0, min(1000, -math.frexp(value)[1]))
            scale = column[SCALE] if column[SCALE] > 0.0 else 1.0
            y = min(max(value * scale, -HUGE), HUGE)
            left, expected = y, 0.0
            if len(season) > 0:
                expected = season[phases[at], c, PHASE_MEAN]
                left = _deseason(y, season[phases[at], c], column)
            if whiten and not math.isnan(left):
                left, ahead = _whiten(left, column, lags[c], weights[c], spread[c])
                expected += ahead
            column[RAW_N] += 1.0
            column[RAW_MEAN] += (y - column[RAW_MEAN]) / column[RAW_N]
            if math.isnan(left):
                ready = False
                continue
            if couple:
                if column[BASE] == 0.0:
                    column[BASE] = min(max(column[RAW_MEAN] / scale, 1e-3), 1.0 - 1e-3)
                counts[DRAWS] += 1
                left = _couple(value, expected / scale, column[BASE], random_unit(counts[DRAWS]))
            else:
                left = min(max(left, -HUGE), HUGE)
                column[LEFT_N] += 1.0
                column[LEFT_MEAN] += (left - column[LEFT_MEAN]) / column[LEFT_N]
            out[fed, c] = left
        if ready:
            places[fed] = at
            fed += 1
    return fed


@njit(cache=True)
def _learn_stride(sample: Floats) -> int:
    """Every how many-th code must be taken for a correlation of at most .05, if it decays geometrically."""
    n = len(sample)
    ordered = np.sort(sample)
    by_chance, run, same = 0.0, 1.0, 0.0
    for i in range(1, n + 1):
        if i < n and ordered[i] == ordered[i - 1]:
            run += 1.0
        else:
            by_chance += (run / n) ** 2
            run = 1.0
    for i in range(1, n):
        same += sample[i] == sample[i - 1]
    if by_chance >= 1.0:
        return 1
    correlation = (same / (n - 1.0) - by_chance) / (1.0 - by_chance)
    return 1 if correlation <= 0.05 else min(1000, math.ceil(math.log(0.05) / math.log(min(correlation, 0.999))))


@njit(cache=True)
def _thin(x: Floats, counts: Array, sample: Floats, out: Floats, places: Array) -> int:
    """Writes every stride-th code and where it came from; how many. The first len(sample) give the stride."""
    fed = 0
    for at in range(len(x)):
        if math.isfinite(x[at, 0]):
            counts[SEEN] += 1
            if counts[SEEN] <= len(sample):
                sample[counts[SEEN] - 1] = x[at, 0]
                if counts[SEEN] == len(sample):
                    counts[STRIDE] = _learn_stride(sample)
                continue
            if counts[SEEN] % counts[STRIDE] != 0:
                continue
        out[fed, 0], places[fed] = x[at, 0], at
        fed += 1
    return fed


class Adjusted(Detector):
    """A detector that is fed residuals; the same contract, the same evidence, in the signal's own unit.

    season: a period in observations, or "hour-of-day", "hour-of-week", "day-of-week" (UTC; needs `time_ms`).
    dependence: "ar". A drift starts both over, as it does the detector: a season takes four periods to be learned.
    `before` and `after` are what the residuals say about the level; edges and bins in `detail` are of residuals.
    Cost: 15 ns (season) and 40 ns (ar) an observation on top; 24 bytes a phase.
    """

    def __init__(self, inner: Detector, season: int | str | None, dependence: str | None) -> None:
        self.inner = inner
        self.name, self.kinds, self.monitors = inner.name, inner.kinds, inner.monitors  # type: ignore[misc]
        self.error_only, self.unit, self.published = inner.error_only, inner.unit, inner.published  # type: ignore[misc]
        self._season, self._phases = season, _phases(season)
        if dependence not in (None, "ar"):
            raise ValueError(f"dependence: expected 'ar', got {dependence!r}")
        self._whiten = dependence == "ar"
        self._categories = bool(inner.params.get("categories"))
        if self._categories and season is not None:
            raise ValueError("season: categories have no seasonal mean; watch them by `dependence` alone, or a number")
        d = int(inner.params.get("features", 1))
        super().__init__(
            inner.params | {"season": season, "dependence": dependence},
            {
                "counts": inner._counts,
                "null_counts": np.zeros(3, np.int64),
                "columns": np.zeros((d, BASE + 1)),
                "seasons": np.zeros((self._phases, d, 3)),
                "lags": np.zeros((d, ORDER)),
                "weights": np.zeros((d, ORDER + 1)),
                "spread": np.zeros((d, ORDER + 1, ORDER + 1)),
                "codes": np.zeros(STRIDE_SAMPLE if self._categories else 0),
            },
        )
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
        return self._level(self.inner.estimate)

    def detectable(self, n: int) -> float:
        """Of the residuals: a step in an autocorrelated signal must be larger by `gain`."""
        return self.inner.detectable(max(1, n // self._stride)) * self._gain

    def to_state(self) -> dict[str, Any]:
        inner = {f"of_{key}": value for key, value in self.inner.to_state().items() if key != "detector"}
        return super().to_state() | inner

    def load(self, state: Any) -> None:
        super().load(state)
        own = {key.removeprefix("of_"): value for key, value in state.items() if key.startswith("of_")}
        self.inner.load({"detector": state["detector"], **own})

    def _reset(self) -> None:
        draws = self._state["null_counts"][DRAWS]
        self.inner._reset()
        for array in self._own:
            array[...] = 0
        self._state["null_counts"][DRAWS] = draws

    def _run(self, x: Floats, start: int) -> int:
        rows = x[start:].reshape(len(x) - start, math.prod(x.shape[1:]))
        time_ms = None if self._time_ms is None else self._time_ms[start:]
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
            return int(_thin(rows, counts, state["codes"], out, places))
        phases = self._phase(len(rows), time_ms)
        learned = columns, state["seasons"], state["lags"], state["weights"], state["spread"]
        return int(_residuals(rows, phases, self._whiten, self.error_only, counts, *learned, out, places))

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
        """What a step in the residuals is in the signal."""
        if not self._whiten or self._categories or self.error_only:
            return 1.0
        return 1.0 / min(1.0, max(1e-3, 1.0 - float(self._state["weights"][0, 1:].sum())))

    def _level(self, residual: float) -> float:
        column = self._state["columns"][0]
        if self._categories or self.error_only or column[SCALE] == 0.0:
            return residual
        return float((column[RAW_MEAN] + self._gain * (residual - column[LEFT_MEAN])) / column[SCALE])

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
