"""Streams made from a seed, and ways to run them through the core and compare; shared by several tests."""

from __future__ import annotations

import random
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np

from stream_app.config import Config
from stream_app.flow.decode import Decoder
from stream_app.messages import CONTROL, EVENT, LABEL, Outputs, Tape
from stream_app.pipeline import Pipeline

SMALL = """
name = "small"
[schema]
id = "id"
time = "t"
key = "who"
label = "y"
label_time = "ly"
[schema.fields]
a = { type = "number", required = false }
b = { type = "number", required = false, max = 1000 }
c = { type = "category", required = false }
[task]
type = "binary"
label_timeout = "2s"
[[features]]
name = "mean_a"
stat = "mean"
of = "a"
by = "c"
over = "500ms"
[[features]]
name = "late"
stat = "target_mean"
by = "who"
over = "5 events"
[model]
use = "linear"
[[watch]]
signal = "feature:a"
detector = "ks"
reference = "100 events"
params = { window = 40 }
arl0 = 200
[[watch]]
signal = "feature:c"
detector = "psi"
reference = "100 events"
arl0 = 1000
[[watch]]
signal = "error"
detector = "page_hinkley"
params = { warm_up = 50 }
arl0 = 200
by = "c"
max_segments = 2
[[watch]]
signal = "missing:*"
detector = "page_hinkley"
arl0 = 200
[[watch]]
signal = "rejects"
detector = "page_hinkley"
arl0 = 200
[[watch]]
signal = "unseen:*"
detector = "page_hinkley"
arl0 = 200
[[watch]]
signal = "range:*"
detector = "page_hinkley"
arl0 = 200
[[watch]]
signal = "frozen:*"
detector = "page_hinkley"
arl0 = 200
[[watch]]
signal = "rejects:duplicate"
detector = "page_hinkley"
arl0 = 200
[[watch]]
signal = "label_delay"
detector = "page_hinkley"
arl0 = 1000
[[watch]]
signal = "expired"
detector = "adwin"
arl0 = 200
[[watch]]
signal = "overdue"
detector = "adwin"
arl0 = 200
by = "c"
max_segments = 2
[[watch]]
signal = "silence:c"
detector = "page_hinkley"
params = { warm_up = 50 }
arl0 = 1000
[[watch]]
signal = "key:*"
detector = "page_hinkley"
arl0 = 1000
[[watch]]
signal = "prediction"
detector = "ks"
reference = "100 events"
params = { window = 40 }
arl0 = 200
[alarms]
budget = "1 per 10 events"
cooldown = "1s"
group = "100ms"
[retrain]
on = ["error"]
action = "reset"
cooldown = "2s"
[measure]
window = 20
every = 32
[panes]
width = "1s"
[engine]
epoch = 16
remember = 64
lateness = "5s"
max_keys = 8
max_values = 100
max_categories = 8
"""


def made_stream(seed: int, events: int) -> list[tuple[int, bytes]]:
    """Events, labels and commands in the order taken: late, early, repeated, missing, out of order, and plain junk."""
    rng = random.Random(seed)
    records: list[tuple[float, int, bytes]] = []
    for i in range(events):
        t = 1_000_000 + 10 * i + rng.choice((0, 0, 0, -50, 300))
        shifted = i > events // 2
        row: dict[str, Any] = {
            "id": f"e{i if rng.random() > 0.02 else max(0, i - 3)}",
            "t": t,
            "who": rng.choice("pqrstuvwxyz"),
            "a": rng.choice((None, rng.gauss(3 if shifted else 0, 1), rng.gauss(0, 1), "NaN", "1.5")),
            "b": rng.uniform(0, 1001 if shifted else 900),
            "c": rng.choice(("x", "y", "z", None, str(rng.randrange(12)))),
        }
        label = int(rng.random() < (0.5 if shifted else 0.05))
        way = rng.random()
        if way < 0.3:
            row |= {"y": label}
        elif way < 0.5:
            row |= {"y": label, "ly": t + rng.randrange(0, 3000)}
        else:
            for _ in range(rng.choice((0, 1, 1, 1, 2))):
                known = t + rng.choice((-100, 0, 50, 500, 2500))
                records.append((known, LABEL, msgspec.json.encode({"id": row["id"], "y": label, "ly": known})))
        records.append((t, EVENT, msgspec.json.encode(row)))
        if rng.random() < 0.03:
            junk = rng.choice((b"", b"{", b"\xff\xfe", b"[1]", b'{"id": 1e999}', b'{"a": "b"}', rng.randbytes(9)))
            records.append((t, rng.choice((EVENT, LABEL)), junk))
        if rng.random() < 0.01:
            command = rng.choice(
                (
                    b'{"command": "reset", "by": "t"}',
                    b'{"command": "acknowledge", "incident": "small-1", "by": "t"}',
                    b'{"command": "set-reference", "signal": "feature:a"}',
                    b'{"command": "dance"}',
                    b'{"command": "retrain"}',
                    b'{"command": "promote", "version": "v2"}',
                    b'{"command": "rollback", "by": "t"}',
                    b'{"command": "lag", "stream": "events", "from": 7, "records": 9, "seconds": 70, "limit": 60}',
                    b'{"command": "lag", "stream": "events", "from": 9, "seconds": 1, "limit": 60, "ended": true}',
                    b"\x00",
                )
            )
            records.append((t, CONTROL, command))
    records.sort(key=lambda record: record[0])
    return [(stream, raw) for _, stream, raw in records]


def tape_of(config: Config, stream: list[tuple[int, bytes]], before: list[tuple[int, bytes]] = []) -> Tape:  # noqa: B006
    """A tape of these records; offsets go on after the records `before`."""
    order = np.array([kind for kind, _ in stream], np.uint8)
    rows = []
    for kind, name in ((EVENT, "events"), (LABEL, "labels")):
        first = sum(k == kind for k, _ in before)
        rows.append(Decoder(config, name, None)(first, [raw for k, raw in stream if k == kind]))
    return Tape(order, rows[0], rows[1], [raw for k, raw in stream if k == CONTROL])


def flat(outputs: Iterable[Outputs]) -> dict[str, list[Any]]:
    """All records by output stream, as they would stand in the log, in order."""
    found: dict[str, list[Any]] = {"predictions": [], "outcomes": []}
    for out in outputs:
        for block in out.predictions:
            found["predictions"] += block.values()
        for outcome in out.outcomes:
            found["outcomes"] += outcome.values()
        for m in out.messages:
            found.setdefault(m.stream, []).append((m.id, m.key, m.time_ms, m.value))
    return found


def run_in_cuts(config: Config, stream: list[tuple[int, bytes]], cuts: list[int], pipeline: Pipeline | None = None):
    """Output and final state of a pipeline that takes the stream cut at these places."""
    pipeline = pipeline or Pipeline(config)
    places = [0, *sorted(set(cuts)), len(stream)]
    outputs = [pipeline.handle(tape_of(config, stream[a:b], stream[:a])) for a, b in pairwise(places)]
    return flat(outputs), pipeline


def differences(a: Any, b: Any, path: str = "$") -> list[str]:
    """Where two snapshots differ; pickles of river models are equal by what they do, not by their bytes."""
    if isinstance(a, dict) and isinstance(b, dict):
        if a.keys() != b.keys():
            return [f"{path}: keys {a.keys() ^ b.keys()}"]
        return [d for key in a if key != "pickle" for d in differences(a[key], b[key], f"{path}.{key}")]
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        same = a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
        return [] if same else [f"{path}: {a!r} != {b!r}"]
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        if len(a) != len(b):
            return [f"{path}: {len(a)} != {len(b)} items"]
        return [d for i, pair in enumerate(zip(a, b, strict=True)) for d in differences(*pair, f"{path}[{i}]")]
    return [] if a == b or (a != a and b != b) else [f"{path}: {a!r} != {b!r}"]
