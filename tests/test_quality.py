"""What quality signals learn, and what they say afterwards."""

import numpy as np
import pytest

from stream_app.config import parse
from stream_app.errors import ConfigError
from stream_app.flow.quality import LEARN, RENOWN, Frozen, Range, Unseen


def in_cuts(memory, values, cuts) -> np.ndarray:
    """The same in parts, through a new memory loaded from the state of the old at each cut."""
    found = []
    for part in np.split(values, cuts):
        fresh = type(memory)(*([8] if not isinstance(memory, Range) else []))
        fresh.load(memory.to_state())
        memory = fresh
        found.append(memory.run(part, np.zeros(len(part), int)) if isinstance(memory, Frozen) else memory.run(part))
    return np.concatenate(found)


def test_an_unseen_category_is_reported_and_becomes_known() -> None:
    codes = np.concatenate([np.arange(LEARN) % 3, [0, -1, 5], np.full(RENOWN, 5), [5, 2]])
    x = Unseen(8).run(codes)

    assert np.isnan(x[:LEARN]).all()
    assert np.array_equal(x[LEARN : LEARN + 3], [0, np.nan, 1], equal_nan=True)
    assert x[LEARN + 3 :].tolist() == [1] * (RENOWN - 1) + [0] * 3


def test_a_sentinel_and_a_wrong_unit_are_out_of_range_and_outliers_in_the_reference_do_not_hide_them() -> None:
    rng = np.random.default_rng(1)
    reference = rng.normal(500, 50, LEARN)
    reference[[7, 100, 2000]] = -999
    x = Range().run(np.concatenate([reference, [np.nan, 500, -999, 1000]]))

    assert np.isnan(x[: LEARN + 1]).all()
    assert x[LEARN + 1 :].tolist() == [0, 1, 1]


def test_in_control_few_numbers_are_out_of_range() -> None:
    x = Range().run(np.random.default_rng(2).normal(size=LEARN + 100_000))[LEARN:]

    assert 0.001 < x.mean() < 0.004


@pytest.mark.parametrize("memory", [Unseen(8), Range(), Frozen(8)])
def test_cuts_and_restarts_change_nothing(memory) -> None:
    values = np.random.default_rng(3).integers(-1, 8, LEARN + 3000)
    values = values if isinstance(memory, Unseen) else np.where(values < 0, np.nan, values)
    twin = type(memory)(*([] if isinstance(memory, Range) else [8]))
    whole = in_cuts(memory, values, [])

    assert np.array_equal(in_cuts(twin, values, [1, 1, 900, LEARN, LEARN + 700]), whole, equal_nan=True)


@pytest.mark.parametrize(
    ("signal", "says"),
    [("unseen:a", "c"), ("range:c", "a"), ("frozen:z", "a"), ("rejects:typo", "did you mean")],
)
def test_a_field_without_the_signal_is_refused(signal: str, says: str) -> None:
    text = (
        'name = "x"\n[schema]\nlabel = "y"\n[schema.fields]\na = { type = "number" }\nc = { type = "category" }\n'
        f'[[watch]]\nsignal = "{signal}"\ndetector = "adwin"\n'
    )
    with pytest.raises(ConfigError, match=says):
        parse(text, "x.toml", {})
