"""How strongly two columns hang together, of each pair of types, and where nothing can be told."""

import math

import numpy as np
import pytest

from stream_app.evidence.association import associated
from stream_app.evidence.table import Table

N = 2000


def of(x, y, categories=(False, False)):
    rows = np.column_stack([x, y]).astype(float)
    none = np.full(len(rows), math.nan)
    table = Table(("x", "y"), categories, {}, rows, none, none, none)
    assert associated(table, "x", "y") == pytest.approx(associated(table, "y", "x"), abs=1e-12)
    return associated(table, "x", "y")


def test_numbers_by_their_ranks():
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(2, N))

    assert of(x, np.exp(-x)) == pytest.approx(1)
    assert of(x, noise) < 0.06
    assert of(x, 0.8 * x + 0.6 * noise) == pytest.approx(0.786, abs=0.03)  # Spearman's of a normal pair
    assert of(np.where(x > 1, 1e308, x), x) > 0.9


def test_a_number_and_a_category_whichever_comes_first():
    rng = np.random.default_rng(1)
    code, noise = rng.integers(0, 4, N), rng.normal(size=N)

    assert of(code, 10.0 * code + noise, (True, False)) > 0.95
    assert of(code, (code == 2) * 100 + noise, (True, False)) > 0.7  # no order of the codes is needed
    assert of(code, noise, (True, False)) < 0.06
    assert of(rng.integers(0, 500, N), noise, (True, False)) < 0.15  # many categories explain nothing by themselves


def test_two_categories():
    rng = np.random.default_rng(2)
    code = rng.integers(0, 5, N)

    assert of(code, (code + 2) % 5, (True, True)) == pytest.approx(1, abs=0.01)
    assert of(code, rng.integers(0, 5, N), (True, True)) < 0.06
    assert of(rng.integers(0, 60, N), rng.integers(0, 60, N), (True, True)) < 0.1


@pytest.mark.parametrize("categories", [(False, False), (True, False), (True, True)])
def test_too_few_rows_and_constants_tell_nothing(categories):
    x = np.arange(30.0) % 3

    assert of(x[:7], x[:7], categories) == 0
    assert of(x, np.ones(30), categories) == 0
    assert of(x, np.full(30, math.nan), categories) == 0
    assert of(x, np.where(np.arange(30) < 4, x, math.nan), categories) == 0
