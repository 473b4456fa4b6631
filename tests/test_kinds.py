"""Kinds of change: what the samples themselves say, apart from whether it is beyond chance."""

import numpy as np
import pytest

from stream_app.evidence import kinds


def word(before, after, effect=0.5):
    return kinds.of_numbers(np.sort(np.asarray(before, float)), np.sort(np.asarray(after, float)), effect)


@pytest.mark.parametrize(("old", "new", "factor", "offset"), kinds.CONVERSIONS)
def test_every_conversion_is_found_there_and_back(old, new, factor, offset):
    x = 20 + 8 * np.random.default_rng(0).normal(size=3000)
    there, back = word(x, factor * x + offset), word(factor * x + offset, x)

    if factor != 1:
        assert there.detail["unit"] == f"{old} → {new}"
        assert back.detail["unit"] == f"{new} → {old}"


def test_an_offset_that_makes_no_difference_is_not_named():
    x = 1e5 * np.exp(np.random.default_rng(0).normal(size=2000))

    assert word(x, 1.8 * x).phrase == "is 1.8 times what it was"


def test_of_few_values_none_is_frozen():
    before = np.repeat([0.0, 1.0], [800, 200])

    assert word(before, np.repeat([0.0, 1.0], [300, 700])).word != "frozen"


def test_a_constant_that_becomes_another_is_a_shift():
    assert word(np.full(50, 5.0), np.full(50, 7.5)).phrase == "rose by 2.5"


def test_tiny_and_huge_numbers_are_no_trouble():
    x = np.random.default_rng(0).normal(10, 1, 500)

    for scale in (1e-300, 1e140):
        assert word(scale * x, 60 * scale * x).detail["factor"] == pytest.approx(60)


def test_a_new_category_beside_a_vanished_one_of_another_share_is_no_renaming():
    kind = kinds.of_categories(
        np.array([400, 100, 0, 500]), np.array([0, 100, 50, 850]), ["a", "b", "c", "d"], np.full(4, -5.0)
    )

    assert kind.word == "vanished"


def test_one_category_for_all_is_frozen():
    kind = kinds.of_categories(np.array([400, 600]), np.array([1, 999]), ["a", "b"], np.full(2, -5.0))

    assert kind.phrase == "is b in 99.9% instead of 60.0%"
