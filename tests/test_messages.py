"""Rows and tapes keep records whole when they are cut, picked and joined; blocks become the documents of the log."""

import json

import numpy as np
import pytest
from chunks import TIMELESS, config_of, event, label
from hypothesis import given, settings
from hypothesis import strategies as st
from streams import SMALL, made_stream, tape_of

from stream_app.config import parse
from stream_app.messages import (
    CONTROL,
    EVENT,
    LABEL,
    Outcomes,
    Predictions,
    Rows,
    join_rows,
    to_json,
)
from stream_app.texts import Coded, Texts

CONFIG = parse(SMALL, "small.toml", {})
STREAM = made_stream(seed=4, events=200)
TAPE = tape_of(CONFIG, STREAM)


def records(rows: Rows) -> list[tuple]:
    """Every column of every row, so that a forgotten one shows."""
    return [
        (
            rows.offset[i], rows.time_ms[i], rows.ok[i], rows.id[i], rows.id_hash[i], str(rows.numbers[i]),
            [column[i] for column in rows.categories], rows.key[i] if rows.key else None, str(rows.label[i]),
            rows.label_time_ms[i], rows.raw[i], rows.problems.get(i),
        )
        for i in range(len(rows))
    ]  # fmt: skip


@settings(max_examples=30)
@given(st.integers(0, 220), st.integers(0, 220))
def test_a_slice_holds_those_records_with_their_problems(a: int, b: int) -> None:
    assert TAPE.events.problems

    assert records(TAPE.events[a:b]) == records(TAPE.events)[a:b]


@settings(max_examples=30)
@given(st.integers(0, 200))
def test_joined_halves_are_the_whole(cut: int) -> None:
    whole = TAPE.events

    assert records(join_rows(whole[:cut], whole[cut:])) == records(whole)


def test_labels_that_are_numbers_join_as_numbers() -> None:
    config = config_of('[task]\ntype = "regression"\n')
    rows = tape_of(config, [event("a", 1, y=1.5), event("b", 2), event("c", 3, y=-2)]).events

    assert join_rows(rows[:1], rows[1:]).label.tolist() == pytest.approx([1.5, np.nan, -2.0], nan_ok=True)


def test_picked_rows_come_in_the_order_asked_for() -> None:
    whole, rows = TAPE.events, np.flatnonzero(TAPE.events.ok)[::-3]

    assert records(whole.take(rows)) == [records(whole)[row] for row in rows]


def test_picked_rows_of_a_stream_without_keys_have_none() -> None:
    rows = tape_of(config_of("", TIMELESS.replace('key = "who"\n', "")), [event("a", 1), event("b", 2)]).events

    assert rows.take(np.array([1])).key == []
    assert rows[1:].key == []


@given(st.integers(0, 400), st.integers(0, 400))
def test_a_part_of_a_tape_holds_the_records_of_that_part(a: int, b: int) -> None:
    part = TAPE[a:b]
    raw = {EVENT: iter(part.events.raw), LABEL: iter(part.labels.raw), CONTROL: iter(part.control)}

    assert [(kind, next(raw[kind])) for kind in part.order.tolist()] == STREAM[a:b]


def test_offsets_stand_in_tape_order() -> None:
    stream = [event("a", 1), label("a", 1, 2), (CONTROL, b"{}"), event("b", 3), label("b", 1, 4), (CONTROL, b"{}")]

    assert tape_of(CONFIG, stream).offsets().tolist() == [0, 0, 0, 1, 1, 1]


def test_predictions_as_documents() -> None:
    block = Predictions(
        "v3", ("no", "yes"), np.array([7, 8, 9]), Texts.of("abc"), np.array([10, 20, 30]),
        np.array([1, 0, -1], np.int32), np.array([0.75, 0.25, np.nan]),
    )  # fmt: skip

    assert [json.loads(value) for value in block.values()] == [
        {"id": "a", "prediction": "yes", "score": 0.75, "model": "v3", "time": 10, "offset": 7},
        {"id": "b", "prediction": "no", "score": 0.25, "model": "v3", "time": 20, "offset": 8},
        {"id": "c", "prediction": None, "score": None, "model": "v3", "time": 30, "offset": 9},
    ]


def test_without_classes_the_prediction_is_the_score() -> None:
    code = np.full(2, -1, np.int32)
    block = Predictions("v1", (), np.arange(2), Texts.of("ab"), np.arange(2), code, np.array([12.5, np.nan]))

    assert [json.loads(value)["prediction"] for value in block.values()] == [12.5, None]


def test_outcomes_as_documents() -> None:
    times = np.array([100, 200])
    named = Outcomes(
        np.array([1, 2]), Texts.of("ab"), times, Coded.of(["1", "0"]), np.array([5, 6]), np.array([1.0, np.nan])
    )
    measured = Outcomes(np.array([1]), Texts.of("a"), times[:1], np.array([2.5]), np.array([5]), np.array([0.5]))

    assert [json.loads(value) for value in named.values()] == [
        {"id": "a", "label": "1", "error": 1.0, "time": 100, "delay_ms": 5, "offset": 1},
        {"id": "b", "label": "0", "error": None, "time": 200, "delay_ms": 6, "offset": 2},
    ]
    assert json.loads(measured.values()[0])["label"] == 2.5


def test_no_number_breaks_the_json() -> None:
    value = {"a": np.float64("nan"), "b": np.int64(3), "c": float("inf"), "d": np.bool_(True)}

    assert json.loads(to_json(value)) == {"a": None, "b": 3, "c": None, "d": True}
