"""One chunk through the stages, to look at the columns that each of them added; shared by several tests."""

from typing import Any

import msgspec
from streams import tape_of

from stream_app.config import Config, parse
from stream_app.flow.chunk import Chunk
from stream_app.messages import EVENT, LABEL, Message, Outputs
from stream_app.pipeline import Pipeline

SCHEMA = """
name = "s"
[schema]
id = "id"
time = "t"
key = "who"
label = "y"
label_time = "ly"
[schema.fields]
a = { type = "number", required = false }
c = { type = "category", required = false }
"""
TIMELESS = SCHEMA.replace('time = "t"\n', "", 1).replace('label_time = "ly"\n', "")


def config_of(text: str, schema: str = SCHEMA) -> Config:
    """The small schema and what a test adds to it."""
    return parse(schema + text, "s.toml", {})


def event(event_id: str, t: int, **members: Any) -> tuple[int, bytes]:
    """An event's record."""
    return EVENT, msgspec.json.encode({"id": event_id, "t": t, **members})


def label(event_id: str, y: Any, t: int) -> tuple[int, bytes]:
    """A label's record, known at t."""
    return LABEL, msgspec.json.encode({"id": event_id, "y": y, "ly": t})


def through(
    config: Config, stream: list[tuple[int, bytes]], pipeline: Pipeline | None = None, *, closes: bool = False
) -> tuple[Chunk, Pipeline]:
    """The chunk of these records after all stages, and the pipeline."""
    pipeline = pipeline or Pipeline(config)
    chunk = Chunk(tape_of(config, stream), pipeline.records, closes=closes, out=Outputs())
    for stage in pipeline.stages.values():
        stage.run(chunk)
    pipeline.records += len(stream)
    return chunk, pipeline


def values(messages: list[Message], stream: str) -> list[Any]:
    """The decoded documents of one output stream."""
    return [msgspec.json.decode(message.value) for message in messages if message.stream == stream]
