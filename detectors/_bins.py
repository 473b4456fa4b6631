"""A recent window beside a reference: what every detector that compares distributions by their bins stands on.

A subclass has a kernel that calls `_tally.slide` for each finite value and compares `tallies` when that says so.
"""

import math
from collections.abc import Mapping
from functools import reduce
from typing import Any

import numpy as np

from detectors._base import (
    Array,
    Detector,
    Drift,
    Floats,
    flag,
    mean_interval,
    mean_of,
    number,
    rate_interval,
    whole,
)
from detectors._kernels import ring_mean
from detectors._sketch import Moments, Sketch, pool, squares_of
from detectors._tally import (
    BEFORE,
    CATEGORIES,
    CELLS,
    EDGES,
    ENDLESS,
    ENOUGH,
    FILLED,
    LEAST,
    REFERENCE,
    RENEWED,
    SAMPLED,
    WINDOW,
    end_block,
    learn_sample,
    likeliest_age,
)

BINS = 2, 4096  # fewest and most


class Binned(Detector):
    """A detector that compares the last `window` observations with a reference, as counts in bins.

    A subclass has a kernel that calls `slide` for each value and compares `tallies` when it says so (`_feed`), and
    tells the part of each bin in the statistic (`_parts`).
    """

    monitors = "distribution"

    def __init__(
        self,
        own: dict[str, Any],
        *,
        reference: int,
        reference_s: float | None,
        rolling: bool,
        profile: Mapping[str, Any] | Sketch | None,
        window: int,
        bins: int,
        categories: bool = False,
        state: dict[str, Array] | None = None,
    ) -> None:
        self._profile = None if profile is None else Sketch.from_dict(profile)
        params: dict[str, Any] = {
            "reference": whole("reference", reference, LEAST, 10_000_000),
            "reference_s": None if reference_s is None else number("reference_s", reference_s, 0.001, 1e10),
            "rolling": flag("rolling", rolling),
            "profile": None if self._profile is None else self._profile.to_dict(),
            "window": whole("window", window, 10, 100_000),
            "bins": whole("bins", bins, *BINS),
            "categories": flag("categories", categories),
        }
        if sum((reference_s is not None, rolling, profile is not None)) > 1:
            raise ValueError("reference_s, rolling, profile: at most one of them")
        if self._profile is not None:
            self._profile = self._fitting(self._profile, params)
        reference, window, bins = params["reference"], params["window"], params["bins"]
        parts, tracks = (8, 2) if rolling else (1, 1)
        size = ENDLESS if reference_s is not None else reference // parts
        sample = min(size * parts, max(window, SAMPLED))
        self._config = np.array([size, window, bins, int(categories), parts, sample], np.int64)
        super().__init__(
            own | params,
            {
                "counts": np.zeros(10, np.int64),
                "values": np.zeros(window if profile is not None else max(window, sample)),
                "edges": np.zeros((tracks, 2 * bins)),
                "blocks": np.zeros((tracks, parts + 1, 2 * bins + 1), np.int64),
                "tallies": np.zeros((2, 2 * bins + 1), np.int64),
                "moments": np.zeros((parts + 1, 5)),
                "started_ms": np.zeros(1),
                **(state or {}),
            },
        )
        self.move(self._state)
        self._adopt()

    def move(self, state: dict[str, Array]) -> None:
        """Keep the state, which these arrays hold a copy of, in them from now on."""
        super().move(state)
        names = ("counts", "values", "edges", "blocks", "tallies", "moments")
        self._arrays = (self._config, *(state[key] for key in names))

    @property
    def sketch(self) -> Sketch:
        """The reference, once it is complete: its `to_dict()` is a `profile` for another detector."""
        k, tally = int(self._counts[EDGES]), self._state["tallies"][BEFORE]
        counts = np.r_[tally[:k], tally[k:].sum()].astype(np.float64)
        rows: list[Moments] = [tuple(row) for row in self._state["moments"][:-1].tolist()]
        _, mean, m2, lowest, highest = reduce(pool, rows)
        edges, params = self._state["edges"][0, :k].copy(), self._params
        return Sketch(params["bins"], params["categories"], edges, counts, mean, m2, lowest, highest, self.missing)

    @property
    def estimate(self) -> float:
        """The mean of the recent window (before it has begun, of the newest values); of codes it means nothing."""
        filled, values = int(self._counts[FILLED]), self._state["values"]
        n = filled or min(self.n, len(values))
        mean = float(ring_mean(values, (self.n - n) % len(values) if filled else 0, n)) if n else math.nan
        return mean_of(self._recent() if filled else values[:n]) if math.isnan(mean) else mean

    @property
    def _full(self) -> bool:
        return bool(self._counts[FILLED] == self._config[WINDOW])

    def _recent(self) -> Floats:
        """The recent window, oldest first."""
        filled, values = int(self._counts[FILLED]), self._state["values"]
        first = (self.n - filled) % len(values)
        return np.concatenate([values[first : first + filled], values[: max(0, first + filled - len(values))]])

    def _feed(self, x: Floats, start: int) -> int:
        """Feed x[start:] up to the first drift; its index, or -1."""
        raise NotImplementedError

    def _parts(self) -> Floats:
        """What each bin adds to the statistic."""
        raise NotImplementedError

    def _run(self, x: Floats, start: int) -> int:
        if self._params["reference_s"] is None or self._counts[REFERENCE]:
            return self._feed(x, start)
        end = self._end_of_reference(x, start)
        self._feed(x[:end], start)
        if end == len(x):
            return -1
        if not self._counts[CELLS]:
            learn_sample(*self._arrays)
        end_block(*self._arrays)
        return self._feed(x, end)

    def _end_of_reference(self, x: Floats, start: int) -> int:
        """Where the first value stands that is later than `reference_s` after the first one."""
        if self._time_ms is None:
            raise ValueError(f"{self.name}: reference_s counts event time, so update_many needs time_ms")
        known = start + np.flatnonzero(np.isfinite(x[start:]))
        if self.n == 0 and len(known):
            self._state["started_ms"][0] = self._time_ms[known[0]]
        late = self._time_ms[known] > self._state["started_ms"][0] + 1000 * self._params["reference_s"]
        ends = known[late & (self.n + np.arange(len(known)) >= LEAST)]
        return int(ends[0]) if len(ends) else len(x)

    def _reset(self) -> None:
        super()._reset()
        self._adopt()

    def _fitting(self, profile: Sketch, params: dict[str, Any]) -> Sketch:
        if profile.categories != params["categories"] or profile.n < LEAST:
            raise ValueError(f"profile: expected categories = {params['categories']} and at least {LEAST} observations")
        bins = params["bins"]
        return profile if profile.bins == bins else profile.coarse(bins, ENOUGH / params["window"])

    def _adopt(self) -> None:
        """Start with the profile, if there is one, as the reference."""
        if self._profile is None:
            return
        k = len(self._profile.edges)
        counts = np.rint(self._profile.counts)
        self._state["edges"][0, :k] = self._profile.edges
        self._state["blocks"][0, 0, : k + 1] = self._state["tallies"][BEFORE, : k + 1] = counts
        self._state["moments"][0] = self._profile.moments
        self._counts[EDGES], self._counts[CELLS], self._counts[RENEWED] = k, k + 1, 1
        self._counts[REFERENCE] = int(counts.sum())

    def _evidence(self) -> Drift:
        reference, age = self.sketch, self._age()
        since = self._recent()[-age:]
        after = mean_of(since)
        return Drift(
            statistic=self.statistic,
            threshold=self.threshold,
            n=self.n,
            before=reference.mean,
            after=after,
            age=age,
            direction=0 if reference.categories else int(after > reference.mean) - int(after < reference.mean),
            detail=self._detail(),
            before_interval=mean_interval(reference.mean, reference.m2 / reference.n, reference.n),
            after_interval=mean_interval(after, squares_of(since, after) / len(since), len(since)),
        )

    def _age(self) -> int:
        config, counts, values, edges, _, tallies, _ = self._arrays
        return int(likeliest_age(config, counts, values, edges, tallies[BEFORE]))

    def _detail(self) -> dict[str, Any]:
        """The five bins or categories that add most, with their shares and 95 % intervals."""
        edges, tallies, parts = self._state["edges"][0], self._state["tallies"], self._parts()
        k = int(self._counts[EDGES])
        totals = int(self._counts[REFERENCE]), int(self._config[WINDOW])
        largest = []
        for b in np.argsort(-parts, kind="stable")[:5]:
            where: dict[str, Any] = {"category": float(edges[b]) if b < k else None}
            if not self._config[CATEGORIES]:
                where = {"above": float(edges[b - 1]) if b else None, "to": float(edges[b]) if b < k else None}
            for key, tally, total in zip(("before", "after"), tallies[:, b].tolist(), totals, strict=True):
                where |= {key: tally / total, f"{key}_interval": list(rate_interval(tally / total, total))}
            largest.append({**where, "contribution": float(parts[b])})
        return {"bins": largest}
