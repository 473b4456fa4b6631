"""Key tables: which events share a code, who is evicted when, and that neither depends on the cut."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.flow.keys import KeyTable
from tests.naive_features import NaiveKeys

KEYS = st.lists(st.one_of(st.none(), st.text("abcdefghijklmnop", max_size=1)), max_size=80)


def encode(table, keys, cuts=()):
    parts = [table.encode(keys[a:b]) for a, b in zip([0, *cuts], [*cuts, len(keys)], strict=True)]
    return [np.concatenate(column).tolist() for column in zip(*parts, strict=True)]


@settings(deadline=None)
@given(KEYS, st.integers(1, 20))
def test_a_key_is_fresh_exactly_when_the_twin_says_so(keys, max_keys):
    twin = NaiveKeys(max_keys)
    table = KeyTable(max_keys)

    codes, fresh = encode(table, keys)

    assert fresh == [twin.see(key or "") for key in keys]
    assert {table.text(code) for code in range(table.codes)} - {None} == set(twin.seen)
    assert all(code < max_keys for code in codes)


@settings(deadline=None)
@given(KEYS, st.integers(1, 20), st.data())
def test_codes_do_not_depend_on_the_cut(keys, max_keys, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(keys)), max_size=5)))

    assert encode(KeyTable(max_keys), keys, cuts) == encode(KeyTable(max_keys), keys)


@settings(deadline=None)
@given(KEYS, st.integers(1, 20), st.data())
def test_goes_on_from_its_state(keys, max_keys, data):
    cut = data.draw(st.integers(0, len(keys)))
    table = KeyTable(max_keys)
    whole = encode(table, keys)
    resumed = KeyTable(max_keys)
    first = encode(resumed, keys[:cut])
    resumed = KeyTable.from_state(resumed.to_state())
    second = encode(resumed, keys[cut:])

    assert [a + b for a, b in zip(first, second, strict=True)] == whole
    assert str(resumed.to_state()) == str(table.to_state())


def test_the_least_recently_seen_eighth_makes_room():
    table = KeyTable(16)
    table.encode([str(i) for i in range(16)])
    table.encode(["0"])  # seen again: 1 and 2 are now the oldest

    codes, fresh = table.encode(["new", "0", "3", "1"])

    assert fresh.tolist() == [True, False, False, True]
    assert codes.tolist() == [1, 0, 3, 2]  # the codes of the evicted keys, oldest first
    assert len(table) == 16


@pytest.mark.parametrize("max_keys", [1, 8, 1000])
def test_never_holds_more_than_its_limit(max_keys):
    table = KeyTable(max_keys)
    for start in range(0, 5000, 500):
        table.encode([str(i) for i in range(start, start + 500)])

        assert len(table) <= max_keys
        assert table.codes <= max_keys


def test_missing_is_the_empty_key_and_lone_surrogates_are_keys():
    codes, fresh = KeyTable(9).encode([None, "", "\ud800", "\x00"])

    assert codes.tolist() == [0, 0, 1, 2]
    assert fresh.tolist() == [True, False, True, True]
