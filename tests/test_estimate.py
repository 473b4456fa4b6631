"""Estimate: the interval holds the loss that comes true where inputs keep their meaning, and not where they do not."""

import numpy as np
import pytest
from chunks import config_of, event, through

from stream_app.pipeline import Pipeline

WINDOW = "[measure]\nwindow = 100\nevery = 100\n[engine]\nepoch = 100\n"
SCHEMA = """
name = "s"
[schema]
id = "id"
time = "t"
label = "y"
label_time = "ly"
[schema.fields]
a = { type = "number" }
"""


def stream_of(n: int, sign_changes_at: int, seed: int = 3) -> list:
    rng = np.random.default_rng(seed)
    a = rng.normal(size=n)
    weight = np.where(np.arange(n) >= sign_changes_at, -2.0, 2.0)
    y = rng.random(n) < 1 / (1 + np.exp(-weight * a))
    return [event(f"e{i}", i, a=float(a[i]), y=int(y[i]), ly=i + 150) for i in range(n)]


def coverage(stream: list, skip: int) -> tuple[float, int]:
    """Share of windows from `skip` on whose interval holds the loss of the same predictions, and their number."""
    config = config_of(WINDOW, SCHEMA)
    pipeline, figures, loss = Pipeline(config), [], {}
    for start in range(0, len(stream), 100):
        chunk, _ = through(config, stream[start : start + 100], pipeline)
        figures.append(pipeline.measure.estimate.figures())
        for block in chunk.out.outcomes:
            loss |= {int(i.removeprefix("e")): float(e) for i, e in zip(block.id, block.error, strict=True)}
    held = []
    for i in range(skip, len(figures) - 3):
        low, high = figures[i]["interval"]
        held.append(low <= np.mean([loss[j] for j in range(100 * i, 100 * i + 100)]) <= high)
    return float(np.mean(held)), len(held)


def test_the_interval_covers_at_its_level_without_concept_drift() -> None:
    share, windows = coverage(stream_of(25_000, 25_000), skip=20)

    assert windows >= 200
    assert 0.90 <= share <= 1


def test_it_cannot_see_concept_drift_before_its_labels() -> None:
    share, _ = coverage(stream_of(5_500, 5_000), skip=50)

    assert share == pytest.approx(0)
