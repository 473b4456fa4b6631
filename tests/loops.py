"""A stream whose concept turns over, and a pipeline whose loop is closed; shared by several tests."""

import json
from typing import Any

import msgspec
import numpy as np
from streams import tape_of

from stream_app.config import Config, parse
from stream_app.messages import CONTROL, EVENT, Outputs
from stream_app.pipeline import Pipeline

CONFIG = """
name = "turns"
[schema]
time = "t"
label = "y"
[schema.fields]
a = { type = "number" }
b = { type = "number" }
c = { type = "category" }
[model]
use = "linear"
params = { lr = 0.001, intercept_lr = 0.001 }
[[watch]]
signal = "error"
detector = "page_hinkley"
params = { warm_up = 200 }
[alarms]
cooldown = "60s"
budget = "1 per 20000 events"
[retrain]
on = ["error"]
action = "challenge"
memory = 600
passes = 20
pace = 20
trial = 600
confidence = 0.9
proof = 1
LINES
[measure]
every = 256
[engine]
epoch = 64
"""

Record = tuple[int, bytes]


def configured(lines: str = "", *, old: str = "", new: str = "") -> Config:
    """The configuration with these lines in [retrain] in place of those of the same keys, and one text for another."""
    keys = {line.partition("=")[0] for line in lines.splitlines()}
    before, loop = CONFIG.split("[retrain]")
    loop = "\n".join(line for line in loop.splitlines() if line.partition("=")[0] not in keys)
    text = f"{before}[retrain]{loop}".replace("LINES", lines)
    assert old in text
    return parse(text.replace(old, new) if old else text, "turns.toml", {})


def turning(n: int, turns: tuple[int, ...], seed: int = 1) -> list[Record]:
    """Labelled events, one a second; at each turn the label means the opposite."""
    rng, records = np.random.default_rng(seed), []
    for i in range(n):
        a, b = rng.normal(size=2).tolist()
        y = int(a + 0.3 * rng.normal() > 0) ^ (sum(i >= turn for turn in turns) % 2)
        row = {"t": 1_000_000 + 1000 * i, "a": a, "b": b, "c": "pq"[i % 2], "y": y}
        records.append((EVENT, msgspec.json.encode(row)))
    return records


def said(command: str, **more: Any) -> Record:
    """A command of the control stream."""
    return CONTROL, json.dumps({"command": command, **more}).encode()


class Run:
    """A pipeline and all that it has put out."""

    def __init__(self, config: Config, key: bytes = b"") -> None:
        self.config, self.pipeline, self.out = config, Pipeline(config, key=key), Outputs()
        self._before: list[Record] = []

    def take(self, records: list[Record]) -> "Run":
        self.out.add(self.pipeline.handle(tape_of(self.config, records, self._before)))
        self._before += records
        return self

    def told(self, stream: str) -> list[dict[str, Any]]:
        return [json.loads(message.value) for message in self.out.messages if message.stream == stream]

    @property
    def life(self) -> list[tuple[str, str, str]]:
        """What became of versions: version, status, kind."""
        return [(model["version"], model["status"], model["kind"]) for model in self.told("models")]

    @property
    def figures(self) -> dict[str, Any]:
        return self.pipeline.measure.performance()
