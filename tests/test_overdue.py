"""Overdue: one observation per event, 1 as soon as its usual delay has passed without a label."""

import json
from typing import Any

import numpy as np
import pytest
from chunks import config_of, event, label
from streams import differences, run_in_cuts, tape_of

from stream_app.flow import overdue
from stream_app.flow.chunk import Chunk
from stream_app.messages import Outputs
from stream_app.pipeline import Pipeline

LEARN, DELAY = 50, 100
WATCH = """
[[watch]]
signal = "overdue"
detector = "e_detector"
by = "c"
[task]
label_timeout = "100s"
[engine]
max_values = 50
"""


def stream(n: int, stopped: range = range(0)) -> list[tuple[int, bytes]]:
    """Events 10 ms apart; their labels come 10 to 100 ms later, and never of those that are in `stopped`."""
    made = []
    for i in range(n):
        made.append((10 * i, 0, event(f"e{i}", 10 * i, c="xy"[i % 2])))
        if i not in stopped:
            known = 10 * i + 10 * (1 + i % 10)
            made.append((known, 1, label(f"e{i}", i % 2, known)))
    return [record for *_, record in sorted(made, key=lambda each: each[:2])]


def observed(records: list[tuple[int, bytes]], text: str = WATCH, cuts: int = 1) -> list[tuple[Any, ...]]:
    """(x, event's offset, time, code of c) of every observation."""
    config = config_of(text)
    pipeline, found = Pipeline(config), []
    for part in range(cuts):
        start, stop = (len(records) * p // cuts for p in (part, part + 1))
        chunk = Chunk(tape_of(config, records[start:stop], records[:start]), start, closes=False, out=Outputs())
        for stage in pipeline.stages.values():
            stage.run(chunk)
        pipeline.records += stop - start
        column = chunk.signals["overdue"]
        assert np.all(np.diff(column.record) >= 0)
        found += zip(
            column.x.tolist(), column.offset.tolist(), column.time_ms.tolist(), column.groups["c"].tolist(), strict=True
        )
    return found


def test_while_labels_come_as_usual_a_twentieth_at_most_is_overdue() -> None:
    found = observed(stream(1000))

    assert 880 < len(found) <= 950  # those after the learning phase, but for the last ones that wait
    assert len({offset for _, offset, *_ in found}) == len(found)
    assert (
        np.mean([x for x, *_ in found]) < 0.11
    )  # the slowest tenth, as the 95 % quantile of ten values is the largest
    assert all(code == offset % 2 for _, offset, _, code in found)


def test_where_they_stop_it_is_known_after_the_usual_delay() -> None:
    found = observed(stream(1000, stopped=range(500, 1000)))
    told = {offset: (x, time) for x, offset, time, _ in found}

    assert all(told[i] == (1, 10 * i + DELAY + 10) for i in range(500, 980))  # the first record behind that
    assert not any(told[i][0] for i in range(100, 490))


def test_it_does_not_depend_on_the_cut() -> None:
    records = stream(400, stopped=range(150, 170))

    assert observed(records, cuts=1) == observed(records, cuts=7) == observed(records, cuts=len(records))


def test_a_night_without_events_makes_no_label_overdue_that_came_in_time() -> None:
    records = stream(200)
    later = [event(f"n{i}", 10**7 + 10 * i, c="x") for i in range(30)]
    told = {offset: x for x, offset, *_ in observed([*records, *later])}

    assert not any(told[i] for i in range(100, 200))


def test_labels_in_the_events_row_are_never_overdue() -> None:
    rows = [event(f"e{i}", 10 * i, c="x", y=i % 2) for i in range(300)]

    assert {x for x, *_ in observed(rows)} == {0}


@pytest.mark.parametrize("at", [40, 90, 300])
def test_resumed_anywhere_the_rest_is_the_same(at: int) -> None:
    config, records = config_of(WATCH), stream(300, stopped=range(100, 200))
    _, whole = run_in_cuts(config, records, [])
    _, first = run_in_cuts(config, records[:at], [])
    resumed = Pipeline(config)
    resumed.restore(first.snapshot())
    resumed.handle(tape_of(config, records[at:], records[:at]))

    assert not differences(resumed.snapshot(), whole.snapshot())


def test_memory_is_bounded_by_what_join_remembers() -> None:
    text = WATCH + "remember = 64\n"
    found = observed(stream(600, stopped=range(100, 600)), text)
    told = {offset: x for x, offset, *_ in found}

    assert all(told[i] == 1 for i in range(100, 500))
    assert Pipeline(config_of(text)).measure.signals.quality["overdue"].ring.shape[1] == 65


def test_labels_that_stop_are_an_incident_long_before_they_are_given_up() -> None:
    config = config_of(
        WATCH.replace('by = "c"\n', "") + '[measure]\nevery = 256\n[alarms]\nbudget = "1 per 10000 events"\n'
    )
    out = Pipeline(config).handle(tape_of(config, stream(3000, stopped=range(2000, 3000))))
    (opened, *_) = [json.loads(m.value)["data"] for m in out.messages if m.stream == "alerts"]

    assert opened["signal"] == "overdue"
    assert opened["severity"] == "warning"
    assert 1950 <= opened["onset_offset"] <= 2010
    assert opened["offset"] < 2100
    assert overdue.USUAL == 0.95
