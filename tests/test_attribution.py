"""Attribution: the column that changed is named first, with the kind of its change; where nothing did, nothing is."""

import importlib.util
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.evidence.attribution import Table, associated, changes, harm, segments

PATH = Path(__file__).parent.parent / "benchmarks" / "attribution.py"
SPEC = importlib.util.spec_from_file_location("attribution_rates", PATH)
bench = importlib.util.module_from_spec(SPEC)
sys.modules[SPEC.name] = bench
SPEC.loader.exec_module(bench)

AIRPORTS = ["EWR", "JFK", "LGA", "NWK"]


def table(x, categories=(), texts=None, error=None, expected=None):
    x = np.asarray(x, float)
    x = x if x.ndim == 2 else x[:, None]
    none = np.full(len(x), math.nan)
    names = tuple("abcdefgh"[: x.shape[1]])
    is_category = tuple(name in categories for name in names)
    known = (none if values is None else np.asarray(values, float) for values in (none, expected, error))
    return Table(names, is_category, texts or {}, x, *known)


def normal(n, seed=0):
    return np.random.default_rng(seed).normal(size=n)


def the_change(before, after, **options):
    (found,) = changes(table(before, **options), table(after, **options))
    return found


@pytest.mark.parametrize("case", bench.CASES, ids=lambda case: case.name)
def test_of_twelve_columns_the_one_that_changed_comes_first(case):
    found = bench.rates(case, 1000, trials=5)

    assert found["first"] == 1
    assert found["kind"] >= 0.8
    assert found["others"] == (1 if case.column == "a" else 0)  # its follower


def test_nothing_is_named_where_nothing_changed():
    assert bench.false_names(50, trials=150) == 0
    assert bench.false_names(1000, trials=150) <= 1 / 150


@pytest.mark.parametrize(
    ("after", "text"),
    [
        (lambda x: np.where(np.arange(len(x)) % 8 == 0, math.nan, x), "a is missing in 12.5% instead of 0.0%"),
        (lambda x: 1.609344 * x, "a is 1.609 times what it was, as from mile to km"),
        (lambda x: np.round(x / 1.609344), "a is 0.6214 times what it was, as from km to mile"),
        (lambda x: 1.8 * x + 32, "a is 1.8 times what it was + 32, as from Celsius to Fahrenheit"),
        (lambda x: 1.4 * x, "a is 1.4 times what it was"),
        (lambda x: -x, "a has the opposite sign"),
        (lambda x: x - 40, "a fell by 40"),
        (lambda x: 2 * (x - 80) + 80, "a is spread 2 times as wide as before, around the same middle"),
        (lambda x: np.where(np.arange(len(x)) % 2, 63, x), "a is 63 in 50.0% instead of 0.0%"),
        (lambda x: x * 0 + 12, "a is 12 in 100.0% instead of 0.0%"),
    ],
)
def test_a_change_of_a_number_is_said_in_words(after, text):
    x = 80 + 30 * normal(2000)

    assert the_change(x, after(x))["text"] == text


@pytest.mark.parametrize(
    ("after", "kind", "text"),
    [
        ({0: 3}, "renamed", "a has NWK instead of EWR: EWR → NWK"),
        ({0: 1}, "vanished", "a has lost a category: EWR in 0.0% instead of 40.0%"),
    ],
)
def test_a_change_of_a_category_is_said_in_words(after, kind, text):
    x = np.arange(1000) % 5 % 3
    found = the_change(x, [after.get(code, code) for code in x], categories=("a",), texts={"a": AIRPORTS})

    assert (found["kind"], found["text"]) == (kind, text)


def test_a_conversion_is_not_named_when_several_fit():
    rng = np.random.default_rng(0)
    found = the_change(np.exp(rng.normal(size=1000)), 2.3 * np.exp(rng.normal(size=60)))

    assert found["kind"] == "unit"
    assert "unit" not in found["detail"]


def test_what_is_missing_explains_what_is_left():
    x = normal(2000)
    found = the_change(x, np.where(x > 1, math.nan, x))

    assert found["kind"] == "missing"
    assert (found["before"], found["after"]) == (0, found["missing_after"])


def test_a_shift_beside_missing_values_is_a_shift():
    x = normal(2000)
    found = the_change(x, np.where(np.arange(2000) % 10 == 0, math.nan, x + 2))

    assert found["kind"] == "shifted"
    assert found["text"].endswith("and is missing in 10.0% instead of 0.0%")


def test_bins_are_the_deciles_that_changed_and_values_of_their_own():
    x = np.concatenate([np.zeros(500), 1 + np.arange(500)])
    found = the_change(x, np.concatenate([np.zeros(900), 1 + 5 * np.arange(100)]))

    assert found["bins"][0] == {"value": 0.0, "before": 0.5, "after": 0.9}
    assert len(found["bins"]) == 5
    assert all(each["before"] == pytest.approx(0.1, abs=0.01) for each in found["bins"][1:])


@pytest.mark.parametrize("n", [60, 1000])
def test_the_interval_of_the_effect_holds_the_true_one(n):
    """Between N(0, 1) and N(1, 1) the distance is 2 Φ(1/2) - 1."""
    true = math.erf(0.5 / math.sqrt(2))
    found = [
        each["effect_interval"]
        for seed in range(60)
        for each in changes(table(normal(1000, seed)), table(1 + normal(n, 1000 + seed)))
    ]

    assert len(found) > 50
    assert np.mean([low <= true <= high for low, high in found]) >= 0.9


def test_what_is_computed_from_a_column_comes_behind_it():
    x = normal(1000)
    before = table(np.column_stack([0.2 * normal(1000, 1) + x, x]))
    after = table(np.column_stack([0.2 * normal(1000, 2) + x + 2, x + 1]))

    assert [each["feature"] for each in changes(before, after)] == ["a", "b"]
    assert [each["feature"] for each in changes(before, after, sources={"a": "b"})] == ["b", "a"]
    assert [each["feature"] for each in changes(before, after, sources={"a": "b", "b": "a"})] != []


def test_the_larger_effect_comes_first_not_the_stronger_evidence():
    gone = np.where(np.arange(400) % 4 == 0, math.nan, normal(400, 1))
    before, after = np.column_stack([normal(400), normal(400, 2)]), np.column_stack([gone, 0.8 + normal(400, 3)])
    first, second = changes(table(before), table(after))

    assert (first["feature"], second["feature"]) == ("b", "a")
    assert first["log10_p"] > second["log10_p"]


def test_the_order_of_the_rows_does_not_matter():
    x, y = normal(500), 1 + normal(300, 1)

    assert changes(table(x), table(y)) == changes(table(x[::-1]), table(np.sort(y)))


def test_samples_without_rows_tell_nothing():
    some, none = table(normal(100)), table(np.empty((0, 1)))

    for before, after in ((some, none), (none, some), (none, none)):
        assert changes(before, after) == []
        assert segments(before, after) == []
        assert harm(before, after)["basis"] == "unknown"


@st.composite
def tables(draw):
    number = (
        st.sampled_from([0.0, -0.0, 1.0, 2.0, -1.0, 1e-300, 1e149, -1e149, 1e308, math.inf, math.nan]) | st.floats()
    )
    number |= st.floats(-10, 10)
    rows = draw(st.integers(0, 40))
    x = [[draw(number), draw(number), draw(st.sampled_from([0, 1, 2, 5, math.nan]))] for _ in range(rows)]
    repeats = draw(st.sampled_from([1, 50]))
    x = np.repeat(np.array(x, float).reshape(rows, 3), repeats, axis=0)
    losses = [np.repeat(np.array([draw(number) for _ in range(rows)], float), repeats) for _ in range(2)]
    return Table(("a", "b", "c"), (False, False, True), {"c": AIRPORTS}, x, losses[0], losses[0], losses[1])


@given(tables(), tables())
@settings(max_examples=150, deadline=None)
def test_any_rows_give_plain_data(before, after):
    found = [changes(before, after), segments(before, after), harm(before, after)]
    pairs = [associated(after, *pair) for pair in ("ab", "ac", "ca", "cc", "aa")]

    json.dumps(found, allow_nan=False)
    assert all(0 <= pair <= 1 for pair in pairs)
    assert all(0 <= each["effect"] <= 1 and each["log10_p"] <= 0 for each in found[0])
    assert all(0 <= low <= high <= 1 for low, high in (each["effect_interval"] for each in found[0]))


def test_what_is_computed_has_no_unit() -> None:
    rng = np.random.default_rng(1)
    before, after = rng.gamma(4, 10, 500), 1.609344 * rng.gamma(4, 10, 500)

    (field,) = changes(table(before), table(after))
    (computed,) = changes(table(before), table(after), sources={"a": ""})

    assert (field["kind"], computed["kind"]) == ("unit", "distribution")
