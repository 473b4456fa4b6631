"""Blocks: what goes in comes out, in order, with equal bytes for equal input, and damaged bytes are an error."""

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from waiting import TIMEOUT_S

from stream_app.edges.blocks import (
    hash_of,
    index,
    may_hold,
    pack_outcomes,
    pack_predictions,
    take,
    unpack_outcomes,
    unpack_predictions,
)
from stream_app.messages import Outcomes, Predictions
from stream_app.texts import Coded, Texts

MODELS = [("one", ("no", "yes")), ("two", ("no", "yes")), ("one", ("no", "yes", "maybe")), ("regression", ())]


def predictions(seed: int, rows: int, model: int = 0, first: int = 0) -> Predictions:
    rng = np.random.default_rng(seed)
    version, classes = MODELS[model]
    score = rng.random(rows)
    score[rng.random(rows) < 0.1] = np.nan
    return Predictions(
        version,
        classes,
        np.arange(first, first + rows),
        Texts.of(f"flight-{first + i}é" for i in range(rows)),
        1_700_000_000_000 + rng.integers(-(10**12), 10**12, rows),
        rng.integers(-1, max(len(classes), 1), rows).astype(np.int32),
        score,
    )


def outcomes(seed: int, rows: int, *, text: bool) -> Outcomes:
    rng = np.random.default_rng(seed)
    number = rng.normal(size=rows)
    error = rng.random(rows)
    error[::3] = np.nan
    return Outcomes(
        rng.integers(0, 2**62, rows),
        Texts.of(f"{seed}/{i}" for i in range(rows)),
        rng.integers(-(2**62), 2**62, rows),
        Coded.of([f"{x:.1f}" for x in number]) if text else number,
        rng.integers(0, 10**9, rows),
        error,
    )


def logical(parts: list[Predictions] | list[Outcomes]) -> list[bytes]:
    return [value for part in parts for value in part.values()]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), max_size=6))
def test_predictions_come_back_in_order(shape: list[tuple[int, int]]) -> None:
    parts = [predictions(seed, rows, model, 100 * seed) for seed, (rows, model) in enumerate(shape)]

    back = unpack_predictions(pack_predictions(parts))

    assert logical(back) == logical(parts)
    assert all(len(part.id) for part in back)
    models = [(part.version, part.classes) for part in back]
    assert all(a != b for a, b in pairwise(models))


@pytest.mark.parametrize("text", [True, False])
@pytest.mark.parametrize("sizes", [[], [0], [1], [3, 0, 4]])
def test_outcomes_come_back_in_order(sizes: list[int], text: bool) -> None:
    parts = [outcomes(seed, rows, text=text) for seed, rows in enumerate(sizes)]

    back = unpack_outcomes(pack_outcomes(parts))

    assert logical(back) == logical(parts)
    assert len(back) == (sum(sizes) > 0)


def test_columns_keep_every_bit() -> None:
    part = predictions(1, 1000)
    part.score[:3] = [np.inf, -0.0, 5e-324]

    (back,) = unpack_predictions(pack_predictions([part]))

    for column in ("offset", "time_ms", "code", "score"):
        assert getattr(back, column).dtype == getattr(part, column).dtype
        assert getattr(back, column).tobytes() == getattr(part, column).tobytes()


def test_equal_input_gives_equal_bytes() -> None:
    assert pack_predictions([predictions(1, 500)]) == pack_predictions([predictions(1, 500)])
    assert pack_outcomes([outcomes(1, 500, text=True)]) == pack_outcomes([outcomes(1, 500, text=True)])


def test_neighbours_of_one_model_become_one_part() -> None:
    whole = predictions(1, 10)
    halves = [take(whole, np.arange(5)), take(whole, np.arange(5, 10))]

    assert pack_predictions(halves) == pack_predictions([whole])


def test_a_block_is_plain_arrow_with_the_named_columns() -> None:
    table = pa.ipc.open_stream(pack_predictions([predictions(1, 5)])).read_all()

    assert table.column_names == ["offset", "id", "time_ms", "code", "score", "version"]
    assert table.schema.metadata == {b"classes": b'[["no","yes"]]'}


def test_packing_does_not_load_pandas() -> None:
    script = """
import sys
from test_blocks import *
unpack_predictions(pack_predictions([predictions(1, 5)]))
unpack_outcomes(pack_outcomes([outcomes(1, 5, text=True), outcomes(1, 5, text=True)]))
sys.exit("pandas" in sys.modules)
"""
    path = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parent.parent)])
    environment = os.environ | {"PYTHONPATH": path}

    assert (
        subprocess.run([sys.executable, "-c", script], env=environment, timeout=TIMEOUT_S, check=False).returncode == 0
    )


def test_a_block_is_small() -> None:
    part = predictions(1, 10_000)
    part.time_ms = 1_700_000_000_000 + np.arange(10_000) * 1000

    assert len(pack_predictions([part])) < 18 * 10_000


@pytest.mark.parametrize("damage", [lambda _: b"", lambda d: d[: len(d) // 2], lambda d: b"\0" * len(d)])
def test_damaged_bytes_are_an_error(damage) -> None:
    data = damage(pack_predictions([predictions(1, 100)]))

    with pytest.raises((ValueError, OSError)):
        unpack_predictions(data)


def test_take_picks_rows_of_every_column() -> None:
    part = predictions(1, 10)

    assert logical([take(part, np.array([7, 2]))]) == [logical([part])[7], logical([part])[2]]


def test_the_index_finds_its_records_and_no_others() -> None:
    part = predictions(1, 5000)
    made = index([part])

    assert len(made) == 8 * 5000
    assert all(may_hold(made, hash_of(event_id)) for event_id in part.id)
    assert not any(may_hold(made, hash_of(f"x{event_id}")) for event_id in part.id)
    assert not may_hold(index([]), hash_of("flight-1"))


def test_outcomes_are_found_by_the_offset_of_their_event() -> None:
    part = outcomes(1, 100, text=True)
    made = index([part])

    assert all(may_hold(made, offset) for offset in part.offset.tolist())
    assert not may_hold(made, int(part.offset.max()) + 1)


def shared(seed: int, rows: int, model: int) -> Predictions:
    """A part whose rows are of two arms and their versions."""
    part = predictions(seed, rows, model, 100 * seed)
    part.arm = np.random.default_rng(seed).integers(0, 2, rows).astype(np.uint8)
    part.version = [f"v{1 + arm}" for arm in part.arm] if seed % 3 else "v1"
    return part


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), max_size=6))
def test_predictions_of_two_arms_come_back_in_order(shape: list[tuple[int, int]]) -> None:
    parts = [shared(seed, rows, model) for seed, (rows, model) in enumerate(shape)]

    back = unpack_predictions(pack_predictions(parts))

    assert logical(back) == logical(parts)
    assert all(a.classes != b.classes for a, b in pairwise(back))
    assert all(logical([take(part, np.arange(1, len(part.id)))]) == logical([part])[1:] for part in back)
    assert all(b'"arm":"' in value for value in logical(back))
