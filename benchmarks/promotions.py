"""Does the proof keep its word? Promotions of challengers that are no better, how fast better ones get through.

False promotions: two models with the same expected loss at every label, given all that came before, are put into a
trial of 10,000 labels, many times, with three confidences: independent errors, errors in common, absolute errors with
heavy tails, error rates that wander, disagreement in bursts; and whole pipelines with a champion and one of
[[challengers]] whose labels are fair coins, so that no model can be better than another. Of each confidence at most 1
- confidence of the streams may promote. How often the confidence sequence misses the truth at any of its labels is
counted too. Then: labels until a better challenger is promoted, and until a worse model, promoted by command, is
rolled back.

A share is above its level if the lower end of its Clopper-Pearson interval (95 %) is. Exit code 1 then.

Run: python benchmarks/promotions.py [--streams 1000] [--json FILE] [--out docs/promotions.md]   (six minutes)
"""

import json
import math
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np
from machine import describe
from promotions_losses import CONFIDENCES, EQUAL, RATE, checked, misses, outcomes, waits
from promotions_pipeline import PAIRS, coins, rolled_back
from rich.console import Console
from scipy import stats

GAINS = (0.01, 0.02, 0.05, 0.1)
HARMS = (0.02, 0.05, 0.1)


def share(hits: list[bool]) -> dict[str, float]:
    """A share with its Clopper-Pearson interval."""
    k, n = sum(hits), len(hits)
    low = stats.beta.ppf(0.025, k, n - k + 1) if k else 0.0
    high = stats.beta.ppf(0.975, k + 1, n - k) if k < n else 1.0
    return {"share": k / n, "low": float(low), "high": float(high), "streams": n}


def by_confidence(rows: list[list[bool]]) -> dict[str, dict[str, float]]:
    return {f"{c:g}": share([row[i] for row in rows]) for i, c in enumerate(CONFIDENCES)}


def equals(streams: int, labels: int) -> dict[str, Any]:
    """False promotions, and misses of the confidence sequence, of simulated losses."""
    found: dict[str, Any] = {}
    for at, (name, make) in enumerate(EQUAL.items()):
        promoted, missed = [], []
        regression = name.startswith("absolute")
        for seed in range(streams):
            losses = make(np.random.default_rng([at, seed]), labels)
            promoted.append(outcomes(losses, regression=regression))
            if not regression:
                missed.append(misses(losses[0] - losses[1], 0.0))
        found[name] = {"promoted": by_confidence(promoted), "missed": by_confidence(missed) if missed else {}}
    return found


def power(streams: int, labels: int) -> dict[str, Any]:
    """Labels until a better challenger is promoted: independent errors, and half of the labels in common."""
    found: dict[str, Any] = {}
    for gain in GAINS:
        for shared in (0.0, 0.5):
            taken, missed = waits(gain, shared, streams, labels)
            found[f"{gain:g}, {shared:.0%} in common"] = waited(taken) | {"missed": by_confidence(missed)}
    return found


def waited(labels: list[float]) -> dict[str, Any]:
    """The share that came to it, and quantiles of the labels until then (None: not within the trial)."""
    quantiles = [float(q) for q in np.quantile(labels, (0.1, 0.5, 0.9), method="inverted_cdf")]
    return share([math.isfinite(n) for n in labels]) | {"labels": [q if math.isfinite(q) else None for q in quantiles]}


def shown(told: dict[str, dict[str, float]]) -> str:
    cells = [f"{x['share']:.1%} ({x['low']:.1%} to {x['high']:.1%})" for x in told.values()]
    return " | ".join(cells or ["-"] * len(CONFIDENCES))


def shown_wait(told: dict[str, Any]) -> str:
    quantiles = ["-" if q is None else f"{q:,.0f}" for q in told["labels"]]
    return f"{told['share']:.0%} | {' | '.join(quantiles)}"


PAGE = """<!-- made by benchmarks/promotions.py: do not edit -->
# Promotions

## Of models that are no better

Two models with the same expected loss, given the past, in a trial of {labels:,} labels; share of {streams:,} streams in
which the second is promoted, by `retrain.confidence`; in brackets 95 % intervals (Clopper-Pearson). Stated: at most
10 %, 5 %, 1 %.

| losses | .9 | .95 | .99 |
|---|---|---|---|
{promoted}

Whole pipelines: {pipeline} labels that are fair coins, `linear` against a challenger `linear` with another learning
rate, and river's bagged naive Bayes against the same with another seed.

## The ends of the gain

Share of streams in which the lower end of the gain is above the true gain at any label from the first to the last.
Stated: at most 10 %, 5 %, 1 %. Differences of absolute errors are scaled as they come, so no one mean of theirs is
known.

| losses | .9 | .95 | .99 |
|---|---|---|---|
{missed}

## Of models that are better

Labels until the promotion at `confidence` .95; the champion errs in {rate:.0%}. Within {labels:,} labels; 10 %, 50 %
and 90 % of the streams were done after:

| better by | promoted | 10 % | 50 % | 90 % |
|---|---|---|---|---|
{power}

## Back again

Whole pipelines: a model that errs in 20 % + so much, put in charge by `promote` in place of one that errs in 20 %;
labels until the rollback, within `retrain.trial` = {labels:,} labels:

| worse by | rolled back | 10 % | 50 % | 90 % |
|---|---|---|---|---|
{back}
"""


def page(found: dict[str, Any]) -> str:
    """The Markdown page."""
    promoted = {name: told["promoted"] for name, told in found["equal"].items()} | found["pipelines"]
    missed = {name: told["missed"] for name, told in found["equal"].items() if told["missed"]}
    missed |= {f"better by {name}": told["missed"] for name, told in found["power"].items()}
    return PAGE.format(
        labels=found["labels"],
        streams=found["streams"],
        rate=RATE,
        pipeline=f"{found['pipeline_labels']:,}",
        promoted="\n".join(f"| {name} | {shown(told)} |" for name, told in promoted.items()),
        missed="\n".join(f"| {name} | {shown(told)} |" for name, told in missed.items()),
        power="\n".join(f"| {name} | {shown_wait(told)} |" for name, told in found["power"].items()),
        back="\n".join(f"| {name} | {shown_wait(told)} |" for name, told in found["back"].items()),
    )


def above(found: dict[str, Any]) -> list[str]:
    """What is above its level beyond chance."""
    told = [(f"{name}: promoted", each["promoted"]) for name, each in found["equal"].items()]
    told += [(f"{name}: promoted", each) for name, each in found["pipelines"].items()]
    for part in ("equal", "power"):
        told += [(f"{name}: sequence missed", each["missed"]) for name, each in found[part].items()]
    return [
        f"{what} in {x['share']:.1%} at confidence {c}"
        for what, each in told
        for c, x in each.items()
        if x["low"] > 1 - float(c)
    ]


@click.command()
@click.option("--streams", default=1000, show_default=True, help="Simulated streams of each kind.")
@click.option("--labels", default=10_000, show_default=True, help="Of each stream; pipelines read a tenth.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write all figures to this file.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the page to this file.")
def main(streams: int, labels: int, json_file: Path | None, out: Path | None) -> None:
    """Count promotions; exit code 1 if there are more than stated."""
    console = Console(width=120)
    checked()
    fewer, coined = max(10, streams // 5), labels // 10
    found: dict[str, Any] = {"machine": describe(console), "streams": streams, "labels": labels}
    found |= {"pipeline_labels": coined, "equal": equals(streams, labels), "power": power(fewer, labels)}
    found["pipelines"] = {
        name: by_confidence([coins(pair, coined, seed, CONFIDENCES) for seed in range(streams)])
        for name, pair in PAIRS.items()
    }
    found["back"] = {
        f"{harm:g}": waited([rolled_back(harm, labels, seed) for seed in range(fewer // 2)]) for harm in HARMS
    }
    found["missed"] = above(found)
    text = page(found)
    print(text)
    if json_file:
        json_file.write_text(json.dumps(found, indent=1))
    if out:
        out.write_text(text)
    for missed in found["missed"]:
        console.print(f"missed: {missed}")
    sys.exit(bool(found["missed"]))


if __name__ == "__main__":
    main()
