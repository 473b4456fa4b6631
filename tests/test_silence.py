"""Silence: a key that has stopped is found though nothing comes of it."""

import json

import numpy as np
import pytest
from chunks import config_of, event
from streams import tape_of

from stream_app.config import ConfigError
from stream_app.flow.chunk import Column
from stream_app.flow.silence import BLOCK, MOST, Silence
from stream_app.pipeline import Pipeline

WATCH = '[[watch]]\nsignal = "silence:{}"\ndetector = "e_detector"\n'
TASK = '[task]\ntype = "binary"\n[measure]\nevery = 512\n[alarms]\nbudget = "1 per 100000 events"\ngroup = "10000s"\n'


def places(n: int, first: int = 0) -> Column:
    at = np.arange(first, first + n)
    return Column(np.empty(0), at, 10 * at, 100 * at)


def test_each_block_gives_a_count_for_each_key_known_before_it() -> None:
    codes = np.repeat([0, 1, 2], [150, 100, 150])
    codes[::7] = 1
    column, key = Silence().run(codes, places(400))

    assert column.record.tolist() == [199, 199, 299, 299, 399, 399, 399]  # before the first block none was known
    assert key.tolist() == [0, 1, 0, 1, 0, 1, 2]
    of = [(100, 0), (100, 1), (200, 0), (200, 1), (300, 0), (300, 1), (300, 2)]
    assert column.x.tolist() == [float(np.sum(codes[start : start + BLOCK] == k)) for start, k in of]
    assert column.offset.tolist() == (10 * column.record).tolist()


def test_it_does_not_depend_on_the_cut_and_comes_back_from_its_state() -> None:
    codes = np.random.default_rng(1).integers(-1, 120, 1000)
    whole, key = Silence().run(codes, places(1000))
    memory, x, keys, start = Silence(), [], [], 0
    for stop in (1, 99, 100, 101, 350, 777, 1000):
        again = Silence()
        again.load(memory.to_state())
        memory = again
        column, of = memory.run(codes[start:stop], places(stop - start, start))
        x, keys, start = [*x, *column.x], [*keys, *of], stop

    assert x == whole.x.tolist()
    assert keys == key.tolist()
    assert max(keys) < MOST


@pytest.mark.parametrize("of", ["*", "c"])
def test_a_key_that_stops_is_found_and_named(of: str) -> None:
    rng = np.random.default_rng(3)
    config = config_of(WATCH.format(of) + TASK)
    letters = np.where(rng.random(44_000) < 0.1, "z", np.where(rng.random(44_000) < 0.5, "x", "y"))
    letters[40_000:][letters[40_000:] == "z"] = "x"
    rows = [event(f"e{i}", i, who=letter, c=letter, a=1) for i, letter in enumerate(letters.tolist())]
    out = Pipeline(config).handle(tape_of(config, rows))
    alerts = [json.loads(m.value)["data"] for m in out.messages if m.stream == "alerts"]
    (name,) = {alert["incident"] for alert in alerts}
    first = alerts[-1]["causes"][0]

    assert name == "s-1"
    assert first["segment"] == ("key=z" if of == "*" else "c=z")
    assert first["what"].startswith(
        "key=z sends 2% of the events, not 10.2%" if of == "*" else "c has lost a category: z"
    )
    assert alerts[-1]["severity"] == "warning"
    assert 39_800 <= alerts[-1]["onset_offset"] <= 40_200


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (WATCH.format("a"), 'unknown category field "a"'),
        (WATCH.format("c") + 'by = "c"\n', ""),
        (WATCH.format("*") + 'by = "c"\n', "has segments of its own"),
    ],
)
def test_what_can_be_silent_is_checked(text: str, said: str) -> None:
    if not said:
        config_of(text)
        return
    with pytest.raises(ConfigError, match=said):
        config_of(text)
