"""Columns of texts: whatever is picked, joined or stored is what a list of `str` would hold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.texts import Coded, Texts, TextStore

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SOME = st.lists(TEXT, max_size=30)


@given(SOME, SOME, st.data())
def test_parts_and_wholes_are_those_of_lists(a, b, data):
    texts, both = Texts.of(a), a + b
    cut = data.draw(st.integers(0, len(a)))
    rows = data.draw(st.lists(st.integers(0, len(both) - 1), max_size=20)) if both else []

    assert texts.tolist() == list(texts) == a
    assert texts[cut:].tolist() == a[cut:]
    joined = Texts.joined([texts[:cut], texts[cut:], Texts.of(b)])
    assert joined.tolist() == both
    assert joined[np.array(rows, np.int64)].tolist() == [both[row] for row in rows]
    assert [joined[row] for row in rows] == [both[row] for row in rows]


@given(SOME)
def test_equal_texts_have_equal_hashes_wherever_they_stand(values):
    whole = Texts.of(values)

    alone = [int(Texts.of([value]).hashes()[0]) for value in values]
    assert whole.hashes().tolist() == alone == whole[::-1].hashes()[::-1].tolist()
    assert len(set(alone)) == len(set(values))


def murmur(data: bytes) -> int:
    """MurmurHash64A by Python's integers."""
    m, mask = 0xC6A4A7935BD1E995, 2**64 - 1
    found = len(data) * m & mask
    for at in range(0, len(data) - 7, 8):
        word = int.from_bytes(data[at : at + 8], "little") * m & mask
        found = (found ^ ((word ^ word >> 47) * m & mask)) * m & mask
    if len(data) % 8:
        found = (found ^ int.from_bytes(data[len(data) // 8 * 8 :], "little")) * m & mask
    found = (found ^ found >> 47) * m & mask
    return found ^ found >> 47


@given(TEXT)
def test_the_hash_is_that_of_the_literature(value):
    assert int(Texts.of([value]).hashes().view(np.uint64)[0]) == murmur(value.encode())


@given(st.lists(st.one_of(st.integers(0, 2**63 - 1), st.integers(0, 18).map(lambda n: 10**n)), max_size=20))
def test_numbers_are_written_in_decimals(numbers):
    assert Texts.of_numbers(np.array(numbers, np.int64)).tolist() == list(map(str, numbers))


@given(st.lists(st.tuples(st.lists(st.integers(0, 7), unique=True, max_size=8), st.integers(0, 400)), max_size=30))
def test_a_store_holds_the_newest_of_each_place(writes):
    store, expected = TextStore(8), [""] * 8
    for number, (places, size) in enumerate(writes):
        texts = [f"{number}/{place}" + size * "é" for place in places]
        store[np.array(places, np.int64)] = Texts.of(texts)
        for place, text in zip(places, texts, strict=True):
            expected[place] = text
    assert store[:].tolist() == expected
    assert TextStore.of(store[:3], 5)[:].tolist() == [*expected[:3], "", ""]


def test_what_is_read_from_a_store_does_not_change_with_it():
    store = TextStore.of(Texts.of(["a", "b"]))
    before = store[:]
    for i in range(3000):
        store[np.array([i % 2])] = Texts.of([str(i)])
    assert before.tolist() == ["a", "b"]


@pytest.mark.parametrize("values", [[], [None], ["b", None, "a", "b"], ["", "x", None, ""]])
def test_few_distinct_texts_come_back(values):
    coded = Coded.of(values)

    assert coded.tolist() == list(coded) == [coded[i] for i in range(len(values))] == values
    assert coded.texts().tolist() == [value or "" for value in values]
    assert Coded.joined([coded[1:], Coded.of(["a"]), coded[:1]]).tolist() == [*values[1:], "a", *values[:1]]
    assert Coded.none(2).tolist() == [None, None]
