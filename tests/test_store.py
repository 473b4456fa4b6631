"""The feature store: computed features of each event, and on the grid the newest values of what was touched."""

import numpy as np
import pytest
from chunks import SCHEMA, TIMELESS, config_of, event, through, values

from stream_app.pipeline import Pipeline

FEATURES = """
[[features]]
name = "mean_a"
stat = "mean"
of = "a"
by = "c"
over = "3 events"
[[features]]
name = "seen"
stat = "count"
by = "who"
over = "9 events"
"""
STREAM = [
    event("a", 1000, a=2, c="x", who="p"),
    event("b", 2000, a=4, c="x", who="p"),
    event("c", 3000, a=9, c="y", who="p"),
    event("d", 4000, a=0, c="x", who="q"),
]


@pytest.mark.parametrize("schema", [SCHEMA, TIMELESS])
def test_features_are_of_what_came_before_the_event(schema: str) -> None:
    chunk, _ = through(config_of(FEATURES, schema), STREAM)

    assert chunk.features[:, 0].tolist() == pytest.approx([np.nan, 2, np.nan, 3], nan_ok=True)
    assert chunk.features[:, 1].tolist() == [0, 1, 2, 0]


def test_on_the_grid_the_newest_values_of_each_key_are_written() -> None:
    chunk, _ = through(config_of(FEATURES), STREAM, closes=True)
    found = {(v["by"], v["key"]): (v["time"], v["features"]) for v in values(chunk.out.messages, "features")}

    assert found == {
        ("c", "x"): (4000, {"mean_a": 2.0}),
        ("c", "y"): (3000, {"mean_a": 9.0}),
        ("who", "p"): (3000, {"seen": 3.0}),
        ("who", "q"): (4000, {"seen": 1.0}),
    }
    messages = [m for m in chunk.out.messages if m.stream == "features"]
    assert sorted(m.key for m in messages) == ["c=x", "c=y", "who=p", "who=q"]
    assert len({m.id for m in messages}) == 4


def test_only_what_was_touched_since_is_written_again() -> None:
    config = config_of(FEATURES)
    _, pipeline = through(config, STREAM, closes=True)
    chunk, _ = through(config, [event("e", 5000, a=1, c="y", who="q")], pipeline, closes=True)

    assert {(v["by"], v["key"]) for v in values(chunk.out.messages, "features")} == {("c", "y"), ("who", "q")}


def test_off_the_grid_nothing_is_written() -> None:
    chunk, _ = through(config_of(FEATURES), STREAM)

    assert not [m for m in chunk.out.messages if m.stream == "features"]


def test_without_features_there_are_no_columns_and_no_messages() -> None:
    chunk, _ = through(config_of(""), STREAM, closes=True)

    assert chunk.features.shape == (4, 0)
    assert not [m for m in chunk.out.messages if m.stream == "features"]


def test_values_go_on_after_a_restart() -> None:
    config = config_of(FEATURES)
    whole, _ = through(config, STREAM)
    _, pipeline = through(config, STREAM[:2])
    resumed = Pipeline(config)
    resumed.restore(pipeline.snapshot())
    rest, _ = through(config, STREAM[2:], resumed)

    assert np.array_equal(rest.features, whole.features[2:], equal_nan=True)
