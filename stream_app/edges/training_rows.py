"""Remembered labelled events as CSV or JSON lines, for those who train outside."""

import csv
import sys
from collections.abc import Iterator
from typing import Any

import click

from stream_app.config import Config
from stream_app.flow.outgoing import rfc3339
from stream_app.messages import to_json
from stream_app.pipeline import Pipeline


def write(config: Config, pipeline: Pipeline, start: int, stop: int | None, *, as_json: bool) -> None:
    """Writes those of events from one source offset to another; says so where older ones are no longer remembered."""
    inputs = pipeline.score.inputs
    names = ["offset", "id", "time", *inputs.numbers, *inputs.categories, str(config.schema.label)]
    found = [dict(zip(names, row, strict=True)) for row in _rows(config, pipeline, start, stop)]
    if as_json:
        for row in found:
            click.echo(to_json(row))
    else:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(row.values() for row in found)
    offsets = pipeline.retraining.memory["offset"]
    if not len(offsets):
        click.echo(f"{config.name}: nothing is remembered: it needs labels, and [retrain] on", err=True)
    elif start < offsets.min() and pipeline.retraining.memory.used >= config.retrain.memory:
        first = f"only the newest {config.retrain.memory:,} labelled events are remembered (retrain.memory)"
        click.echo(f"{config.name}: {first}, from offset {offsets.min():,} on", err=True)


def _rows(config: Config, pipeline: Pipeline, start: int, stop: int | None) -> Iterator[list[Any]]:
    memory, inputs, classes = pipeline.retraining.memory, pipeline.score.inputs, pipeline.score.classes
    numbers = len(inputs.numbers)
    columns = (memory[name] for name in ("offset", "time_ms", "id", "X", "target"))
    for offset, time_ms, event, x, target in zip(*columns, strict=True):
        if offset < start or (stop is not None and offset > stop):
            continue
        coded = zip(inputs.vocabulary, x[numbers:].tolist(), strict=True)
        texts = [words[int(code)] if code == code else None for words, code in coded]
        values = [value if value == value else None for value in x[:numbers].tolist()]
        label = float(target) if config.task.type == "regression" else classes[int(target)]
        time = rfc3339(int(time_ms)) if config.schema.time else int(time_ms)
        yield [int(offset), event, time, *values, *texts, label]
