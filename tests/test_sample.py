"""The sample: bounded, even where it claims to be, and the same however the log was cut."""

import random

import numpy as np
import pytest
from chunks import config_of, event, label
from streams import SMALL, differences, made_stream, run_in_cuts, tape_of

from stream_app.config import parse
from stream_app.flow import sample
from stream_app.pipeline import Pipeline

GRID = "[measure]\nevery = 32\n[engine]\nepoch = 16\n"


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "SHARE", 16)
    monkeypatch.setattr(sample, "OCTAVES", 4)


def taken(n: int, text: str = GRID) -> Pipeline:
    """A pipeline that has taken n events whose `a` is their number and whose label comes 10 events later."""
    config = config_of(text)
    stream = []
    for i in range(n):
        stream.append(event(f"e{i}", 10 * i, a=i, c="xy"[i % 2]))
        if i >= 10:
            stream.append(label(f"e{i - 10}", i % 2, 10 * i))
    pipeline = Pipeline(config)
    pipeline.handle(tape_of(config, stream))
    return pipeline


def test_it_holds_the_newest_whole_and_older_ones_ever_thinner() -> None:
    kept = taken(2000).sample["number"]
    newest = 1999 - kept

    assert np.all(np.diff(kept) > 0)
    assert set(range(1984, 2000)) <= set(kept.tolist())
    for octave in range(1, 5):
        part = kept[(newest > 16 * 2 ** (octave - 1) + 64) & (newest <= 16 * 2**octave)]  # 64: the grid's distance
        assert np.all(part % 2 ** (octave - 1) == 0)
    assert newest.max() <= 16 * 2**4 + 64
    assert len(kept) < 6 * 16 + 64


def test_it_stays_as_large_as_it_is() -> None:
    assert abs(len(taken(4000).sample["id"]) - len(taken(2000).sample["id"])) <= 32


def test_rows_are_those_of_the_events_with_the_labels_known_by_then() -> None:
    pipeline = taken(100)
    view = pipeline.sample.until(180)

    assert view.column("a").tolist() == view.number.tolist() == view.offset.tolist()
    assert [view.kinds.texts["c"][int(code)] for code in view.column("c")[-4:]] == ["x", "y", "x", "y"]
    assert view.ids(np.array([0, len(view) - 1])) == [f"e{view.number[0]}", f"e{view.number[-1]}"]
    known = np.isfinite(view.figures[:, sample.ERROR])
    last = view.number[known].max()
    assert view.number[-1] - last == 11  # record 180 is an event; the label of the one ten before it is the next record
    assert pipeline.sample.until(-1).events == len(pipeline.sample.until(-1)) == 0
    assert view.events == view.number[-1] + 1


def test_an_even_part_stands_for_as_many_events_a_row() -> None:
    view = taken(2000).sample.until(10**9)
    for age in (10, 40, 100, 200):
        start = 2000 - age
        rows = view.number[(view.number >= start) & view.even(start)]
        assert len(set(np.diff(rows).tolist())) <= 1
        assert len(rows) >= min(age, 8)


def test_it_is_the_same_however_the_log_was_cut_and_wherever_it_was_resumed() -> None:
    config = parse(SMALL, "small.toml", {})
    stream = made_stream(seed=5, events=600)
    whole, pipeline = run_in_cuts(config, stream, [])
    cuts = random.Random(1).sample(range(len(stream)), 40)
    cut, other = run_in_cuts(config, stream, cuts)

    assert cut == whole
    assert not differences(other.sample.to_state(), pipeline.sample.to_state())
    assert pipeline.sample.n > 3 * len(pipeline.sample["id"])  # it was thinned

    half = len(stream) // 2
    _, first = run_in_cuts(config, stream[:half], [])
    resumed = Pipeline(config)
    resumed.restore(first.snapshot())
    resumed.handle(tape_of(config, stream[half:], stream[:half]))
    assert not differences(resumed.sample.to_state(), pipeline.sample.to_state())
