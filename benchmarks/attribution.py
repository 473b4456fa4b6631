"""How often does attribution name the wrong cause? Known changes of one column of twelve, many times over.

The columns: numbers that hang together, a distance, delays with many zeros and missing values, counts, two
categories. In each trial one of them changes in the rows after the onset; `changes` is asked which. "First" is how
often the right column was named first, "wrong" how often another was, "unseen" how often none was; "kind" how often
the kind of change was right where the column was; "others" the mean number of further columns named. Where a column
has a follower that is made from it, both change and the column itself has to come first.
Then: how often `segments` names the segment whose loss rose, and what `harm` answers.

Run: python benchmarks/attribution.py [--out docs/attribution.md] [--trials 100]   (under a minute)
Exits 1 if more is named than the level allows where nothing changed, or if a wrong column is first in more than 1 %
(a follower that nobody told of aside).
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
from scipy import signal

from stream_app.evidence.attribution import Table, changes, harm, segments

AIRPORTS = ["EWR", "JFK", "LGA", "TEB", "NWK"]  # the last is not there before
CARRIERS = [f"carrier {i}" for i in range(16)]
NAMES = ("a", "b", "c", "distance", "delay", "count", "small", "skewed", "hour", "follower", "origin", "carrier")
BEFORE, SIZES = 1000, (50, 200, 1000)
LEVEL = 1e-3
WRONG_MAX = 0.01
Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]
Rng = np.random.Generator


class Case(NamedTuple):
    """A change of one column; `kinds`: what it may be called."""

    name: str
    column: str
    kinds: tuple[str, ...]
    change: Change
    sources: dict[str, str] | None = None
    follows: bool = False  # another column goes with it, and nobody tells


def _some(share: float, value: float) -> Change:
    return lambda x, rng: np.where(rng.random(len(x)) < share, value, x)


CASES = (
    Case("mean rises by half its sd", "b", ("shifted",), lambda x, _: x + 0.5),
    Case("mean rises by 1 sd", "b", ("shifted",), lambda x, _: x + 1),
    Case("the same, with a follower", "a", ("shifted",), lambda x, _: x + 1, follows=True),
    Case("the same, told", "a", ("shifted",), lambda x, _: x + 1, {"follower": "a"}),
    Case("1.6 times as wide", "c", ("spread",), lambda x, _: 1.6 * x),
    Case("2.5 times as wide", "c", ("spread",), lambda x, _: 2.5 * x),
    Case("another shape, same mean and sd", "c", ("distribution",), lambda x, rng: rng.exponential(size=len(x)) - 1),
    Case("miles become km", "distance", ("unit",), lambda x, _: 1.609344 * x),
    Case("thousands become ones", "skewed", ("unit",), lambda x, _: 1000 * x),
    Case("the sign turns", "distance", ("unit",), lambda x, _: -x),
    Case("30 % freeze", "delay", ("frozen",), _some(0.3, 7.0)),
    Case("all freeze", "delay", ("frozen",), _some(1.0, 7.0)),
    Case("10 % more missing", "delay", ("missing",), _some(0.1, np.nan)),
    Case("40 % more missing", "delay", ("missing",), _some(0.4, np.nan)),
    Case("large values missing", "skewed", ("missing",), lambda x, _: np.where(x > 2, np.nan, x)),
    Case("a category is renamed", "origin", ("renamed",), lambda x, _: np.where(x == 0, 4, x)),
    Case(
        "a category vanishes", "origin", ("vanished",), lambda x, rng: np.where(x == 0, rng.choice([1, 2], len(x)), x)
    ),
    Case("a new category with 10 %", "origin", ("new",), _some(0.1, 4.0)),
    Case("one of 16 categories triples", "carrier", ("shares",), _some(0.2, 3.0)),
)


def table(rng: Rng, n: int, change: Case | None = None) -> Table:
    """Events; the change comes before the follower is made."""
    x = dict.fromkeys(NAMES, np.empty(0))
    common = rng.normal(size=n)
    for name in "abc":
        x[name] = 0.6 * common + 0.8 * rng.normal(size=n)
    x["distance"] = rng.choice(np.linspace(90, 2600, 60).round() ** 1.0, n, p=_shares(60))
    x["delay"] = np.where(rng.random(n) < 0.4, 0, rng.exponential(20, n).round())
    x["delay"][rng.random(n) < 0.02] = np.nan
    x["count"], x["small"], x["hour"] = rng.poisson(4.0, n), rng.random(n) * 1e-9, rng.integers(5, 24, n)
    x["skewed"] = np.exp(rng.normal(size=n))
    x["origin"], x["carrier"] = rng.choice(4, n, p=[0.35, 0.33, 0.3, 0.02]), rng.choice(16, n, p=_shares(16))
    if change:
        x[change.column] = change.change(x[change.column].astype(float), rng)
    x["follower"] = 0.8 * x["a"] + 0.6 * rng.normal(size=n)
    rows = np.column_stack([x[name] for name in NAMES]).astype(float)
    loss = (rng.random(n) < 0.2).astype(float)
    categories = tuple(name in ("origin", "carrier") for name in NAMES)
    return Table(NAMES, categories, {"origin": AIRPORTS, "carrier": CARRIERS}, rows, loss, np.full(n, np.nan), loss)


def _shares(k: int) -> np.ndarray:
    shares = 1 / np.arange(2, k + 2)
    return shares / shares.sum()


def rates(case: Case, n: int, trials: int, seed: int = 0) -> dict[str, float]:
    """What came of the trials: shares of first, wrong, unseen, kind; mean number of others."""
    counts = dict.fromkeys(("first", "wrong", "unseen", "kind", "others"), 0.0)
    for trial in range(trials):
        rng = np.random.default_rng([seed, n, trial, CASES.index(case)])
        found = changes(table(rng, BEFORE), table(rng, n, case), LEVEL, case.sources)
        first = bool(found) and found[0]["feature"] == case.column
        counts["first"] += first
        counts["wrong"] += bool(found) and not first
        counts["unseen"] += not found
        counts["kind"] += first and found[0]["kind"] in case.kinds
        counts["others"] += len({each["feature"] for each in found} - {case.column})
    named = counts["first"]
    return {name: count / trials for name, count in counts.items()} | {"kind": counts["kind"] / named if named else 1.0}


def false_names(n: int, trials: int, seed: int = 1) -> float:
    """How often anything is named although nothing changed."""
    rngs = (np.random.default_rng([seed, n, trial]) for trial in range(trials))
    return sum(bool(changes(table(rng, BEFORE), table(rng, n), LEVEL)) for rng in rngs) / trials


def dependent_names(n: int, trials: int, phi: float) -> float:
    """The same for rows that follow on each other: twelve numbers, each an AR(1)."""
    found = 0
    for trial in range(trials):
        rng = np.random.default_rng([2, n, trial])
        x = signal.lfilter([1.0], [1.0, -phi], rng.normal(size=(100 + BEFORE + n, 12)), axis=0)[100:]
        found += bool(changes(_numbers(x[:BEFORE]), _numbers(x[BEFORE:]), LEVEL))
    return found / trials


def _numbers(x: np.ndarray) -> Table:
    none = np.full(len(x), np.nan)
    return Table(tuple(map(str, range(x.shape[1]))), (False,) * x.shape[1], {}, x, none, none, none)


def segment_rates(n: int, trials: int, rise: float) -> dict[str, float]:
    """The error of the second carrier rises from .2: whether it is named first, or another, or none."""
    counts = dict.fromkeys(("first", "wrong", "unseen"), 0)
    for trial in range(trials):
        rng = np.random.default_rng([3, n, trial])
        before, after = table(rng, BEFORE), table(rng, n)
        inside = after.x[:, NAMES.index("carrier")] == 1
        after.error[inside] = rng.random(inside.sum()) < 0.2 + rise
        found = segments(before, after)
        right = bool(found) and found[0]["segment"] == "carrier=carrier 1"
        counts["first" if right and rise else "wrong" if found else "unseen"] += 1
    return {name: count / trials for name, count in counts.items()}


def harm_rates(n: int, trials: int, rise: float) -> dict[str, float]:
    """The error of all rises from .2: how often the rise is within the interval, called harmful, benign."""
    counts = dict.fromkeys(("covered", "harmful", "benign"), 0)
    rng = np.random.default_rng([4, n, round(100 * rise)])
    for _ in range(trials):
        found = harm(_errors(rng, BEFORE, 0.2), _errors(rng, n, 0.2 + rise))
        low, high = found["interval"]
        counts["covered"] += low <= rise <= high
        counts["harmful"] += found["benign"] is False
        counts["benign"] += found["benign"] is True
    return {name: count / trials for name, count in counts.items()}


def _errors(rng: Rng, n: int, rate: float) -> Table:
    none = np.full(n, np.nan)
    return Table((), (), {}, np.empty((n, 0)), none, none, (rng.random(n) < rate).astype(float))


def page(trials: int) -> tuple[str, list[str]]:
    """The page, and what misses its target."""
    lines, missed = [f"| change | rows after | first | wrong | unseen | kind | others |\n|---|---|{'---|' * 5}"], []
    for case in CASES:
        for n in SIZES:
            found = rates(case, n, trials)
            shown = [f"{found[name]:.1%}" for name in ("first", "wrong", "unseen", "kind")]
            shown[3] = shown[3] if found["first"] else "-"
            lines.append(f"| {case.name} | {n} | {' | '.join(shown)} | {found['others']:.2f} |")
            if found["wrong"] > WRONG_MAX and not case.follows:
                missed.append(f"{case.name}, {n} rows: a wrong column first in {found['wrong']:.1%}")
    changed = "\n".join(lines)
    quiet = []
    for n in SIZES:
        false = false_names(n, 5 * trials)
        quiet.append(f"| {n} | {false:.2%} | {dependent_names(n, trials, 0.5):.0%} |")
        if false > LEVEL + 3 * np.sqrt(LEVEL / (5 * trials)):
            missed.append(f"nothing changed, {n} rows: something named in {false:.2%}")
    costs = _rows(segment_rates, trials, (0.0, 0.2, 0.4)), _rows(harm_rates, 10 * trials, (0.0, 0.05, 0.2))
    return PAGE.format(trials=trials, changed=changed, quiet="\n".join(quiet), segments=costs[0], harm=costs[1]), missed


def _rows(measure: Callable[[int, int, float], dict[str, Any]], trials: int, rises: tuple[float, ...]) -> str:
    lines = []
    for rise in rises:
        for n in SIZES:
            shown = " | ".join(f"{share:.1%}" for share in measure(n, trials, rise).values())
            lines.append(f"| + {rise:g} | {n} | {shown} |")
    return "\n".join(lines)


PAGE = """<!-- made by benchmarks/attribution.py: do not edit -->
# Attribution: how often it is wrong

One column of twelve changes, {trials} times each; 1,000 rows before. "First": the right column is named first; "wrong":
another one is; "unseen": none is beyond chance (level 0.001 over all columns); "kind": the kind of change is right
where the column is; "others": further columns named. A follower is a column made from the one that changed; "told"
means that `changes` knows which column it is made from.

{changed}

## Nothing changed

How often anything is named; the level is 0.1 %. Rows that follow on each other (twelve AR(1) numbers, coefficient 0.5)
hold less evidence than as many independent ones, so more than the level is named there: the order is by effect, not by
evidence, and an alarm has already said that something changed.

| rows after | independent rows | dependent rows |
|---|---|---|
{quiet}

## Segments

The error rate of the second of 16 carriers (14 % of the events) rises from 0.2; some 60 segments are looked at, at the
level 0.01.

| rise | rows after | first | wrong | unseen |
|---|---|---|---|---|
{segments}

## Harm

The error rate of all events rises from 0.2. "Covered": the 95 % interval of the rise holds the true one; "harmful" and
"benign": what `harm` says (tolerance: 5 % of the loss before); else it says that it is not clear.

| rise | rows after | covered | harmful | benign |
|---|---|---|---|---|
{harm}
"""


@click.command()
@click.option("--out", type=click.Path(path_type=Path), help="Write the page to this file.")
@click.option("--trials", default=100, show_default=True, help="Of each change.")
def main(out: Path | None, trials: int) -> None:
    """Measure how often attribution names the wrong cause."""
    text, missed = page(trials)
    print(text)
    if out:
        out.write_text(text)
    for each in missed:
        print(f"missed: {each}", file=sys.stderr)
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()
