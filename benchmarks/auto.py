"""Whether `use = "auto"` ends where the best model of its set ends, within its budget.

One run over each of four data sets: `auto` is the champion, each model of its default set a challenger, so that all see
the same events and labels. Judged by the prequential loss over the whole stream (error rate, or mean absolute error):
that of `auto` at most 1.02 times that of the best single model, and no more model-events spent than the budget allows;
exit code 1 if not. The configurations are those of `accept.py` without watches and retraining, which would reset the
champion alone. µs an event: processor time in each model, predicting and learning.

    make bench-auto        or: python benchmarks/auto.py DATA_DIR [--rows N] [--only SET] [--out FILE] [--json FILE]
"""

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec
from accept import with_lateness
from machine import describe
from msgspec import structs
from parts import Clocks
from rich.console import Console

from stream_app.config import Challenger, Config, Model, load
from stream_app.config.choice import DEFAULTS, title
from stream_app.edges.log import Log
from stream_app.runners.embedded import Embedded

CONFIGS = Path(__file__).parent / "configs"
SETS = {"elec2": "elec2", "flights": "nycflights13", "bikes": "bike_sharing_hour", "covtype": "covtype"}
WITHIN = 1.02  # times the loss of the best single model
KEY = b"signs the river models' state"
HEAD = """<!-- made by benchmarks/auto.py: do not edit -->
# Model choice: how good, and at what price

`use = "auto"` beside each model of its set alone, over the same events, from the first to the last; how it chooses is
in [configuration.md](configuration.md#model). A loss is the error rate or the mean absolute error, test then train.
"Spent": model-events on others than the one in use. The time is the processor's, in the models alone: {processor},
{cores} cores, shared with other work. That of `auto` holds those it tried.
"""
SUMMARY = """
| data | events | loss | auto | best single model | no-change | auto / best | spent | of the budget |
|---|---|---|---|---|---|---|---|---|"""
DETAIL = """
## {name}

{told}.

| model | {figures} | loss / best | µs an event | |
|---|{lines}---|---|---|"""


def config_of(name: str) -> Config:
    """The data set's configuration with `auto` as champion and each model of the set as challenger."""
    config = load(CONFIGS / f"{SETS[name]}.toml")
    models = DEFAULTS[config.task.type]
    singles = tuple(Challenger(name=title(m), use=m.use, params=m.params) for m in models)
    quiet = structs.replace(config.retrain, on=())
    return structs.replace(config, model=Model(use="auto"), challengers=singles, watch=(), retrain=quiet)


def compiled(config: Config, folder: Path) -> None:
    """A few events, so that kernels are there before clocks run."""
    with Log(folder / "warm.db", write=True) as log:
        engine = Embedded(config, log, key=KEY)
        engine.run(lambda _: None, stop=lambda: engine.pipeline.records > 0)


def measure(config: Config, folder: Path, rows: int) -> dict[str, Any]:
    """One run: the figures of all models, what was chosen, and the seconds in each model."""
    compiled(config, folder)
    clocks = Clocks()
    with Log(folder / "state.db", write=True) as log:
        engine = Embedded(config, log, key=KEY)
        score = engine.pipeline.score
        for name, model in ((lane.name, lane.model) for lane in score.lanes if lane.model is not None):
            clocks.add(model, "run", name)
        start = time.monotonic()
        engine.run(lambda _: None, stop=lambda: bool(rows) and engine.pipeline.records >= rows)
        told = engine.summary(time.monotonic() - start)
    metrics = told["metrics"]
    models = {"auto": metrics["champion"], **metrics["challengers"], **metrics["baselines"]}
    figures = {name: each["since_start"] for name, each in models.items()}
    us = {name.replace("champion", "auto"): 1e6 * s / told["events"] for name, s in clocks.spent.items()}
    for name, each in figures.items():
        each["loss"] = each["mae"] if config.task.type == "regression" else 1 - each["accuracy"]
        each["us"] = us.get(name)
    choice = told["choices"]["champion"]
    return {"events": told["events"], "labels": told["labels"], "models": figures, "choice": choice}


def best_of(found: dict[str, Any]) -> str:
    """The single model with the smallest loss."""
    singles = [each["model"] for each in found["choice"]["candidates"]]
    return min(singles, key=lambda name: found["models"][name]["loss"])


def missed(name: str, found: dict[str, Any]) -> Iterator[str]:
    """What does not hold."""
    best, choice = best_of(found), found["choice"]
    ratio = found["models"]["auto"]["loss"] / found["models"][best]["loss"]
    if ratio > WITHIN:
        yield f"{name}: the loss of auto is {ratio:.4f} times that of {best}, should be at most {WITHIN}"
    if choice["spent"] > choice["budget"]:
        yield f"{name}: {choice['spent']:,} model-events spent, {choice['budget']:,} allowed"


def summary_line(name: str, found: dict[str, Any]) -> str:
    """A row of the first table."""
    best, choice, models = best_of(found), found["choice"], found["models"]
    loss = "mean absolute error" if "mae" in models["auto"] else "error rate"
    auto, single, same = (models[one]["loss"] for one in ("auto", best, "no-change"))
    cells = [name, f"{found['events']:,}", loss, f"{auto:.4g}", f"{single:.4g} ({best.replace('|', chr(92) + '|')})"]
    cells += [f"{same:.4g}", f"{auto / single:.3f}", f"{choice['spent']:,}", f"{choice['budget']:,}"]
    return f"| {' | '.join(cells)} |"


def detail(name: str, found: dict[str, Any]) -> Iterator[str]:
    """The table of one data set."""
    choice, models, best = found["choice"], found["models"], found["models"][best_of(found)]["loss"]
    figures = [each for each in ("accuracy", "kappa", "mae", "r2") if each in models["auto"]]
    left = sum(each["dropped"] is None for each in choice["candidates"])
    told = f"Chosen: `{choice['chosen']}` ({choice['why']}); {left} of {len(choice['candidates'])} left at the end"
    yield DETAIL.format(name=name, told=told, figures=" | ".join(figures), lines="---|" * len(figures))
    dropped = {each["model"]: each["dropped"] for each in choice["candidates"]}
    for model, each in models.items():
        gone = dropped.get(model)
        note = f"dropped after {gone['events']:,} events, loss {gone['loss']:.4g}" if gone else ""
        time_us = f"{each['us']:.1f}" if each["us"] is not None else ""
        cells = [model.replace("|", "\\|"), *(f"{each[figure]:.4f}" for figure in figures)]
        yield f"| {' | '.join(cells)} | {each['loss'] / best:.3f} | {time_us} | {note} |"


def page(sets: dict[str, dict[str, Any]], about: dict[str, Any]) -> Iterator[str]:
    """docs/auto.md."""
    yield HEAD.format(**about).rstrip()
    yield SUMMARY
    yield from (summary_line(name, found) for name, found in sets.items())
    for name, found in sets.items():
        yield from detail(name, found)


@click.command()
@click.argument("data_dir", type=click.Path(exists=True, path_type=Path), default=Path("../shared/data"))
@click.option("--rows", default=0, help="At most about so many events of covtype; 0: all.")
@click.option("--only", type=click.Choice(list(SETS)), help="One data set.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the page to this file.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write all figures to this file.")
def main(data_dir: Path, rows: int, only: str | None, out: Path | None, json_file: Path | None) -> None:
    """Compare `auto` with each model of its set; exit code 1 if it is not within 2 % of the best, or over budget."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    about, sets = describe(console), {}
    for name in [only] if only else SETS:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            os.environ |= {"DATA_DIR": str(data_dir.resolve()), "WORK_DIR": temporary}
            if name == "flights":
                with_lateness(data_dir / "nycflights13.csv.gz", folder / "nycflights13.csv")
            sets[name] = measure(config_of(name), folder, rows if name == "covtype" else 0)
        console.print("\n".join(detail(name, sets[name])), markup=False, highlight=False, soft_wrap=True)
    problems = [problem for name, found in sets.items() for problem in missed(name, found)]
    if json_file:
        json_file.write_bytes(msgspec.json.format(msgspec.json.encode({"machine": about, **sets, "missed": problems})))
    if out:
        out.write_text("\n".join(page(sets, about)) + "\n")
    console.print("\n".join(f"MISSED {problem}" for problem in problems) or "all targets met")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
