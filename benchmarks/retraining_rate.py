"""What a training costs the stream: its rate and the longest pause, while a challenger replays or is shadowed.

Three pipelines of the same configuration (8 numbers, ADWIN on the error, the loop with its defaults) take the same
events in turn, WINDOW at a time: one `alone`, one in which a training goes on all the time (as many rows as the memory
holds, `retrain.pace` as it is by default), one with a candidate beside the champion. Counted is decoding and
`Pipeline.handle`, not reading and committing, which no training slows: the share of the whole is better than what is
told here. While a challenger replays, the rate must stay above SHARE of the rate alone (median of the windows' ratios),
else the exit code is 1. Pauses: the processor time of each call of `handle` with 256 records, which is what an alert
may wait for; and the same where a training begins, where it ends and is compared with the archived models, and where
its model is promoted.

Run: python benchmarks/retraining_rate.py [--windows 40] [--json FILE] [--out docs/retraining_rate.md]   (two minutes)
"""

import json
import statistics
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import click
import msgspec
import numpy as np
from machine import describe
from rich.console import Console

from stream_app.config import Config, parse
from stream_app.flow.decode import Decoder
from stream_app.flow.versions import Version
from stream_app.messages import EVENT, Tape, to_json
from stream_app.pipeline import Pipeline

SHARE = 0.6
PART, WINDOW = 256, 4096  # records in a call, and in a turn
WARM = 24_576  # records by which the memory is full
MODELS = {"linear": "linear", "river's Gaussian naive Bayes": "river.naive_bayes.GaussianNB"}
WAYS = ("alone", "training", "shadow")
FIELDS = [f"x{i}" for i in range(8)]
CONFIG = """
name = "rate"
schema.label = "y"
[schema.fields]
{fields}
[model]
use = "{use}"
[[watch]]
signal = "error"
detector = "adwin"
[retrain]
on = ["error"]
action = "challenge"
trial = 1_000_000_000
"""
Pauses = dict[str, list[float]]  # by way, seconds of the processor of each call


class Stream:
    """Seeded events in parts of PART, each decoded when it is asked for."""

    def __init__(self, config: Config) -> None:
        self.config, self.rng, self.next = config, np.random.default_rng(5), 0
        self.decode, self.labels = Decoder(config, "events", None), Decoder(config, "labels", None)(0, [])

    def window(self, records: int) -> list[tuple[int, list[bytes]]]:
        """The raw records of the next parts."""
        X = self.rng.normal(size=(records, len(FIELDS))).round(4)
        y = X[:, 0] + self.rng.logistic(size=records) > 0
        names = [*FIELDS, "y"]
        raw = [msgspec.json.encode(dict(zip(names, row, strict=True))) for row in np.column_stack([X, y]).tolist()]
        parts = [(self.next + at, raw[at : at + PART]) for at in range(0, records, PART)]
        self.next += records
        return parts

    def tape(self, first: int, raw: list[bytes]) -> Tape:
        return Tape(np.full(len(raw), EVENT, np.uint8), self.decode(first, raw), self.labels)


def prepare(way: str, pipeline: Pipeline) -> list[bytes]:
    """The commands that make the next window one of its way."""
    if way == "training":
        return [to_json({"command": "retrain", "from_offset": 0})]
    candidate = pipeline.score.candidate
    assert candidate is not None
    if way == "shadow" and candidate.model is None:  # a twin of the champion: nothing is ever proven
        model = pipeline.score.made(pipeline.config.model)
        model.load(pipeline.score.champion_model.to_state())
        pipeline.retraining.lanes.enter(Version("twin", "fresh", "v1", pipeline.config.model), model)
    return []


def turn(way: str, pipeline: Pipeline, stream: Stream, parts: list[tuple[int, list[bytes]]], pauses: Pauses) -> float:
    """Seconds of the processor for one window."""
    commands = prepare(way, pipeline)
    started = time.process_time()
    for first, raw in parts:
        tape = stream.tape(first, raw).led_by(commands)
        begun = time.process_time()
        pipeline.handle(tape)
        pauses[way].append(time.process_time() - begun)
        commands = []
    took = time.process_time() - started
    going = pipeline.retraining.training is not None
    beside = bool(pipeline.score.candidate and pipeline.score.candidate.model)
    assert (going, beside) == (way == "training", way == "shadow"), (way, going, beside)
    return took


def ends(pipeline: Pipeline, stream: Stream, cycles: int) -> dict[str, float]:
    """The longest calls in which a training begins, in which it ends, and in which its model is promoted."""
    longest: dict[str, float] = defaultdict(float)
    for _ in range(cycles):
        commands, doing = [to_json({"command": "retrain", "from_offset": stream.next})], "begins"
        while commands or pipeline.retraining.training or doing:
            ((first, raw),) = stream.window(PART)
            tape = stream.tape(first, raw).led_by(commands)
            going, begun = pipeline.retraining.training, time.process_time()
            pipeline.handle(tape)
            took = time.process_time() - begun
            doing = doing or ("ends" if going and not pipeline.retraining.training else "")
            longest[doing or "goes on"] = max(longest[doing or "goes on"], took)
            commands, doing = _after(doing, pipeline)
    return {name: longest[name] for name in ("begins", "ends", "is promoted")}


def _after(doing: str, pipeline: Pipeline) -> tuple[list[bytes], str]:
    """What comes after a call: nothing but its end, the promotion, or nothing more."""
    candidate = pipeline.score.candidate
    if doing == "ends" and candidate is not None and candidate.version is not None:
        return [to_json({"command": "promote", "version": candidate.version.name})], "is promoted"
    return [], ""


def measured(use: str, windows: int, warm: int, cycles: int) -> dict[str, Any]:
    """Rates and pauses with one model."""
    fields = "\n".join(f'{name} = {{ type = "number" }}' for name in FIELDS)
    config = parse(CONFIG.format(fields=fields, use=use), "rate", {})
    stream, pipelines = Stream(config), {way: Pipeline(config) for way in WAYS}
    begin = stream.window(warm)
    for pipeline in pipelines.values():
        for first, raw in begin:
            pipeline.handle(stream.tape(first, raw))
    pauses: Pauses = {way: [] for way in WAYS}
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    for at in range(windows):
        parts = stream.window(WINDOW)
        for way in WAYS[at % 3 :] + WAYS[: at % 3]:
            seconds[way].append(turn(way, pipelines[way], stream, parts, pauses))
    found: dict[str, Any] = {"seconds": seconds, "pauses": pauses, "ends": ends(pipelines["shadow"], stream, cycles)}
    found["rate"] = {way: WINDOW / statistics.median(taken) for way, taken in seconds.items()}
    found["ratio"] = {
        way: sorted(alone / took for alone, took in zip(seconds["alone"], seconds[way], strict=True))
        for way in WAYS[1:]
    }
    return found


PAGE = """<!-- made by benchmarks/retraining_rate.py: do not edit -->
# The stream while a challenger is trained

By processor time, decoding and `Pipeline.handle`, {windows} windows of {window:,} events with 8 numbers in turn.
Ratio: rate over the rate alone, median (first to ninth decile). `training`: a challenger replays at the default
`retrain.pace`; `shadow`: a candidate predicts and learns beside the champion.

| model | alone, events/s | training | ratio | shadow | ratio |
|---|---|---|---|---|---|
{rates}

Processor time of one call of `handle` with 256 records, in ms: median, and longest. The last columns: the longest call
in which a training begins (its rows are copied), ends (the model is compared with the archived ones) and its model is
promoted.

| model | alone | training | shadow | begins | ends | promoted |
|---|---|---|---|---|---|---|
{pauses}
"""


def page(found: dict[str, Any], windows: int) -> str:
    """The Markdown page."""
    rates, pauses = [], []
    for name in MODELS:
        told = found[name]
        ratio = {way: np.quantile(r, (0.5, 0.1, 0.9)) for way, r in told["ratio"].items()}
        cells = [f"{told['rate']['alone']:,.0f}"]
        for way, (middle, low, high) in ratio.items():
            cells += [f"{told['rate'][way]:,.0f}", f"{middle:.2f} ({low:.2f} to {high:.2f})"]
        rates.append(f"| {name} | {' | '.join(cells)} |")
        spent = [f"{1e3 * statistics.median(p):.2f}, {1e3 * max(p):.2f}" for p in told["pauses"].values()]
        spent += [f"{1e3 * took:.2f}" for took in told["ends"].values()]
        pauses.append(f"| {name} | {' | '.join(spent)} |")
    return PAGE.format(windows=windows, window=WINDOW, rates="\n".join(rates), pauses="\n".join(pauses))


@click.command()
@click.option("--windows", default=40, show_default=True, help="Turns of each way.")
@click.option("--warm", default=WARM, show_default=True, help="Records before anything is counted.")
@click.option("--cycles", default=5, show_default=True, help="Whole trainings, for the pauses at their ends.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write all figures to this file.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the page to this file.")
def main(windows: int, warm: int, cycles: int, json_file: Path | None, out: Path | None) -> None:
    """Measure; exit code 1 if a training takes too much of the stream's rate."""
    console = Console(width=120)
    found: dict[str, Any] = {"machine": describe(console)}
    found |= {name: measured(use, windows, warm, cycles) for name, use in MODELS.items()}
    slow = {name: statistics.median(found[name]["ratio"]["training"]) for name in MODELS}
    found["missed"] = [f"{name}: {ratio:.2f} of its rate" for name, ratio in slow.items() if ratio < SHARE]
    text = page(found, windows)
    print(text)
    if json_file:
        json_file.write_text(json.dumps(found, indent=1))
    if out:
        out.write_text(text)
    for missed in found["missed"]:
        console.print(f"missed: {missed} while a challenger replays; at least {SHARE}")
    sys.exit(bool(found["missed"]))


if __name__ == "__main__":
    main()
