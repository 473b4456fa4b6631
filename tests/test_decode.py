"""Decode: each record by itself, by columns as one by one, and no bytes raise."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.config import Config, Field, Schema, Source, Task
from stream_app.flow.decode import Decoder
from stream_app.messages import NO_TIME, Rows, join_rows
from stream_app.texts import Texts

HEADER = ("id", "time", "n", "m", "c", "key", "y", "known", "extra")
FIELDS = {
    "n": Field(type="number", min=0, max=1e6),
    "c": Field(type="category", values=("EWR", "JFK", "NA", "17", "true", "1.0")),
    "m": Field(type="number", required=False),
}


def config(task: Task | None = None, limit: int = 1000, **schema: object) -> Config:
    """A configuration that names every kind of column."""
    names = {"id": "id", "time": "time", "key": "key", "label": "y", "label_time": "known", "fields": FIELDS}
    return Config(
        name="t",
        source=Source(events="x", max_record_bytes=limit),
        schema=Schema(**(names | schema)),
        task=task or Task(),
    )


GOOD = {"id": "a", "time": "2013-01-01T05:15:00Z", "n": 1.5, "m": 2, "c": "JFK", "key": "UA", "y": 1, "known": 1000}


def record(**changes: object) -> bytes:
    """A good JSON record, changed; `...` takes a member away."""
    return json.dumps({name: value for name, value in (GOOD | changes).items() if value is not ...}).encode()


def csv_record(**changes: object) -> bytes:
    """A good CSV record, changed."""
    return ",".join(str((GOOD | {"extra": ""} | changes)[name]) for name in HEADER).encode()


def decoder(kind: str, stream: str = "events", **options: object) -> Decoder:
    """A decoder of `json` or `csv` records."""
    return Decoder(config(**options), stream, HEADER if kind == "csv" else None)


def same(a: Rows, b: Rows) -> None:
    """Every column is equal, NaN to NaN."""
    assert a.problems == b.problems
    for name in ("offset", "time_ms", "ok", "id_hash", "numbers", "label_time_ms"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    for name in ("id", "categories", "key", "raw"):
        assert getattr(a, name) == getattr(b, name), name
    np.testing.assert_array_equal(np.array(a.label), np.array(b.label))


def hash_of(text):
    return Texts.of([text]).hashes()[0]


def judged(subject: Decoder, raw: list[bytes]) -> Rows:
    """What the record-by-record rules say, no column being trusted."""
    read = subject._read
    subject._read = lambda raw: (read(raw)[0], np.ones(len(raw), dtype=bool))
    try:
        return subject(0, raw)
    finally:
        subject._read = read


@pytest.mark.parametrize("kind", ["json", "csv"])
@pytest.mark.parametrize("n", [1, 100])  # one by one, by columns
def test_a_good_record_fills_every_column(kind, n):
    one = record() if kind == "json" else csv_record()

    rows = decoder(kind)(5, [one] * n)

    assert rows.problems == {}
    assert rows.ok.all()
    assert rows.offset.tolist() == list(range(5, 5 + n))
    assert rows.time_ms.tolist() == [1357017300000] * n
    assert (rows.id, rows.key, rows.label) == (["a"] * n, ["UA"] * n, ["1"] * n)
    assert rows.numbers.tolist() == [[1.5, 2.0]] * n
    assert rows.categories == [["JFK"] * n]
    assert rows.label_time_ms.tolist() == [1000] * n
    assert rows.id_hash[0] == hash_of("a")


PROBLEMS = [
    (b"", "$", "not JSON: Expecting value at byte 0"),
    ('{"id": "é", x'.encode(), "$", "at byte 13"),  # bytes are counted, not letters
    (b"[1]", "$", "not an object: an array"),
    (b"\xff", "$", "not UTF-8 at byte 0 (0xff); convert the file from its encoding, latin-1 perhaps"),
    (b'{"id": ' + b"[" * 900, "$", "not JSON"),
    (b"{" + b" " * 1000, "$", "longer than 1000 bytes"),
    (record(id=None), "$.id", "missing"),
    (record(id=""), "$.id", "missing"),
    (record(id={"a": 1}), "$.id", "expected a text, got an object"),
    (record(id="\ud800"), "$.id", "surrogate"),
    (record(time=...), "$.time", "missing"),
    (record(time="13/01/2013"), "$.time", 'not a time: "13/01/2013"; use RFC 3339 or epoch milliseconds'),
    (record(time=True), "$.time", "not a time: true"),
    (record(time=1.5), "$.time", "not a time: 1.5"),
    (record(time=10**15), "$.time", "years 1 to 9999"),
    (record(time="0000-01-01"), "$.time", "not a time"),
    (record(n="abc"), "$.n", 'expected a number, got "abc"'),
    (record(n=[1]), "$.n", "expected a number, got an array"),
    (record(n="1_0"), "$.n", "expected a number"),
    (record(n=-3), "$.n", "below the minimum 0: -3"),
    (record(n=1e7), "$.n", "above the maximum 1000000: 10000000"),
    (record(n=...), "$.n", "missing"),
    (record(n="NA"), "$.n", "missing"),
    (record(n=math.inf), "$.n", "number out of range: inf"),
    (record(m="Infinity"), "$.m", "number out of range: Infinity"),
    (record().replace(b"1.5", b"1e400"), "$.n", "number out of range: 1e400"),
    (record().replace(b"1.5", b"1" * 500), "$.n", "number out of range: 111"),
    (record(c="XXX"), "$.c", 'not one of the 6 allowed values: "XXX"'),
    (record(c=None), "$.c", "missing"),
    (record(n="x", c="XXX", id=None), "$.id", "missing"),  # the first in schema order
    (record(c="XXX", m="x"), "$.c", "not one of"),
    (record(y="UP"), "$.y", 'expected 0/1, true/false or yes/no, got "UP"; set task.classes'),
    (record(known="soon"), "$.known", "not a time"),
]


@pytest.mark.parametrize(("raw", "path", "reason"), PROBLEMS)
def test_a_bad_record_says_why_and_where_and_leaves_the_others_alone(raw, path, reason):
    rows = decoder("json")(0, [record(), raw, record()])

    assert list(rows.problems) == [1]
    assert rows.problems[1].path == path
    assert reason in rows.problems[1].reason
    assert rows.ok.tolist() == [True, False, True]
    assert (rows.id[1], rows.time_ms[1], rows.key[1], rows.label[1]) == ("", NO_TIME, None, None)
    assert rows.raw[1] == raw


CSV_PROBLEMS = [
    (b"1,2", "$", "expected 9 cells, got 2"),
    (b"", "$", "expected 9 cells, got 1"),
    (csv_record() + b",", "$", "expected 9 cells, got 10"),
    (csv_record(extra='"open'), "$", "not CSV: a quote is not closed"),
    (csv_record(extra='"a"b'), "$", "not CSV: "),
    (csv_record(extra="é").decode().encode("latin-1"), "$", "(0xe9); convert the file from its encoding"),
    (csv_record(n="1,5"), "$", "expected 9 cells, got 10"),
    (csv_record(n="one"), "$.n", 'expected a number, got "one"'),
    (csv_record(n=""), "$.n", "missing"),
    (csv_record(n="1e400"), "$.n", "number out of range: 1e400"),
    (csv_record(m="-nan"), "$.m", 'expected a number, got "-nan"'),
    (csv_record(c=""), "$.c", "missing"),
    (csv_record(time="yesterday"), "$.time", "not a time"),
    (csv_record(id="\0", n="\0"), "$.n", "expected a number"),
]


@pytest.mark.parametrize("n", [1, 60])
@pytest.mark.parametrize(("raw", "path", "reason"), CSV_PROBLEMS)
def test_a_bad_csv_record_says_why_and_where(raw, path, reason, n):
    rows = decoder("csv")(0, [csv_record()] * n + [raw] + [csv_record()] * n)

    assert list(rows.problems) == [n]
    assert rows.problems[n].path == path
    assert reason in rows.problems[n].reason


@pytest.mark.parametrize("word", ["", "NA", "N/A", "NaN", "nan", "null", "None", "NULL", " ", " NA"])
@pytest.mark.parametrize("kind", ["json", "csv"])
def test_words_for_missing_in_a_number(kind, word):
    one = record(m=word) if kind == "json" else csv_record(m=word)

    rows = decoder(kind)(0, [one] * 50)

    assert rows.problems == {}
    assert np.isnan(rows.numbers[:, 1]).all()


@pytest.mark.parametrize(("cell", "text"), [("NA", "NA"), (17, "17"), (True, "true"), (1.0, "1.0")])
def test_json_scalars_in_a_category(cell, text):
    rows = decoder("json")(0, [record(c=cell), record()])

    assert rows.categories == [[text, "JFK"]]


@pytest.mark.parametrize(
    ("time", "ms"),
    [
        ("2013-01-01", 1356998400000),
        ("2013-01-01 00:00", 1356998400000),
        ("2013-01-01T00:00:00.123456789", 1356998400123),
        ("2012-12-31T19:00:00-05:00", 1356998400000),
        ("2013-01-01t00:00:00z", 1356998400000),
        ("1969-12-31T23:59:59.9995", -1),  # rounded down
        ("1356998400000", 1356998400000),
        ("1356998400000.0", 1356998400000),
        ("0001-01-01", -62135596800000),
        ("9999-12-31T23:59:59.999Z", 253402300799999),
    ],
)
@pytest.mark.parametrize("kind", ["json", "csv"])
def test_times(kind, time, ms):
    one = record(time=time) if kind == "json" else csv_record(time=time)

    rows = decoder(kind)(0, [one] * 40)

    assert rows.time_ms.tolist() == [ms] * 40


def test_without_names_id_and_time_are_the_offset_and_the_id_is_hashed_as_text():
    rows = decoder("json", id=None, time=None, key=None, label=None, label_time=None)(7, [record(), b"{"])

    assert (rows.id, rows.time_ms.tolist(), rows.key, rows.label) == (["7", ""], [7, NO_TIME], [], [None, None])
    assert rows.id_hash[0] == hash_of("7")


def test_offsets_may_be_given_one_by_one():
    rows = decoder("json", id=None)(np.array([3, 9]), [record(), record()])

    assert (rows.id, rows.offset.tolist()) == (["3", "9"], [3, 9])


TASKS = [
    (
        Task(),
        [1, "0", True, "No", "T", "y", 1.0, "1.0", "", "NA"],
        ["1", "0", "1", "0", "1", "1", "1", "1", None, None],
    ),
    (Task(classes=("DOWN", "UP")), ["UP", "DOWN", " UP", None], ["UP", "DOWN", "UP", None]),
    (Task(classes=("0", "1")), [1.0, "0", True, False], ["1", "0", "1", "0"]),
    (Task(classes=("False", "True")), [True, "True", "false"], ["True", "True", "False"]),
    (Task(type="multiclass"), ["1.0", 1, 2.0, "NA", "b", ""], ["1", "1", "2", "NA", "b", None]),
    (Task(type="anomaly"), ["yes", 0], ["1", "0"]),
    (Task(type="regression"), [1, "2.5", None, "NA"], [1.0, 2.5, math.nan, math.nan]),
]


@pytest.mark.parametrize(("task", "cells", "labels"), TASKS)
def test_labels(task, cells, labels):
    rows = decoder("json", task=task)(0, [record(y=cell) for cell in cells])

    assert rows.problems == {}
    np.testing.assert_array_equal(np.array(rows.label), np.array(labels))


def test_an_unknown_class_lists_the_known_ones():
    rows = decoder("json", task=Task(classes=("DOWN", "UP")))(0, [record(y="SIDEWAYS")])

    assert rows.problems[0].reason == 'unknown class "SIDEWAYS"; task.classes has DOWN, UP'


def test_a_labels_stream_looks_at_id_label_and_time_only():
    raw = [b'{"id": 1, "y": 1, "known": 5, "n": "x"}', b'{"id": 1, "known": 5}', b'{"id": 1, "y": 1, "time": 5}']

    rows = decoder("json", "labels")(0, raw)

    assert [(problem.path, problem.reason) for problem in rows.problems.values()] == [
        ("$.y", "missing"),
        ("$.known", "missing"),
    ]
    assert (rows.id[0], rows.label[0], rows.time_ms[0], rows.label_time_ms[0]) == ("1", "1", 5, NO_TIME)
    assert rows.numbers.shape == (3, 0)
    assert rows.categories == []


def test_names_that_need_escapes_and_columns_that_are_not_there():
    fields = {'a "b"': Field(type="number"), "absent": Field(type="number", required=False)}
    schema = Schema(fields=fields)

    rows = Decoder(Config(name="t", schema=schema), "events", None)(0, [b'{"a \\"b\\"": 1}'])
    csv_rows = Decoder(Config(name="t", schema=schema), "events", ('a "b"', "z"))(0, [b"1,2"] * 50)

    np.testing.assert_array_equal(rows.numbers, [[1.0, math.nan]])
    np.testing.assert_array_equal(csv_rows.numbers, [[1.0, math.nan]] * 50)


def test_a_column_may_serve_twice():
    fields = {"c": Field(type="category"), "n": Field(type="number")}
    subject = decoder("json", id="n", key="c", label_time="time", label=None, fields=fields)

    rows = subject(0, [record(time=3, n=4)])

    assert (rows.id, rows.key, rows.categories) == (["4"], ["JFK"], [["JFK"]])
    assert rows.numbers.tolist() == [[4.0]]
    assert rows.time_ms.tolist() == rows.label_time_ms.tolist() == [3]


NUMBERS = st.one_of(
    st.floats(width=32),
    st.integers(-5, 10**18),
    st.sampled_from(["", "NA", "nan", "NAN", "-nan", "inf", "1e400", "1e-400", "+1", ".5", "5.", " 7 ", "0x10", "1_0"]),
)
TIMES = st.one_of(
    st.datetimes().map(str),
    st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
    st.integers(-(10**14), 10**15),
    st.sampled_from(["2013-01-01", "2013-01-01T10", "", "20130101", "0x10", "2013-01-01T10:00+24:00", "13/01/2013"]),
)
TEXTS = st.one_of(st.sampled_from(["JFK", "EWR", "NA", "", "17", '"JFK"']), st.text(max_size=5))
LABELS = st.sampled_from([0, 1, "1.0", "yes", "", "NA", "x"])
CELLS = {"id": TEXTS, "time": TIMES, "n": NUMBERS, "m": NUMBERS, "c": TEXTS, "key": TEXTS, "y": LABELS, "known": TIMES}
CHANGES = st.lists(st.sampled_from(sorted(CELLS)), max_size=2).flatmap(
    lambda names: st.fixed_dictionaries({name: CELLS[name] for name in names})
)
JSON_RECORDS = st.one_of(CHANGES.map(lambda changes: record(**changes)), st.just(record()), st.binary(max_size=12))
CSV_RECORDS = st.one_of(
    CHANGES.map(lambda changes: csv_record(**changes).decode("utf-8", "replace").encode()),
    st.just(csv_record()),
    st.just(csv_record(extra='"a, ""b"""', c='"JFK"')),
    st.sampled_from([csv_record(extra='"'), csv_record(extra="\x1f"), csv_record() + b"\r", csv_record(extra="a\nb")]),
    st.binary(max_size=12),
)


def check_any_cut(subject: Decoder, raw: list[bytes], cut: int) -> None:
    """Whole = one by one = cut = judged without columns."""
    whole = subject(0, raw)
    singles = subject(0, [])
    for at, one in enumerate(raw):
        singles = join_rows(singles, subject(at, [one]))
    same(whole, singles)
    same(whole, join_rows(subject(0, raw[:cut]), subject(min(cut, len(raw)), raw[cut:])))
    same(whole, judged(subject, raw))


@settings(deadline=None, max_examples=150)
@given(st.lists(JSON_RECORDS, max_size=20), st.integers(0, 20), st.sampled_from(["binary", "regression", "multiclass"]))
def test_json_is_blind_to_the_cut(raw, cut, task):
    check_any_cut(decoder("json", task=Task(type=task)), raw, cut)


@settings(deadline=None, max_examples=150)
@given(st.lists(CSV_RECORDS, max_size=8), st.integers(0, 60), st.sampled_from(["binary", "regression", "multiclass"]))
def test_csv_is_blind_to_the_cut(raw, cut, task):
    raw = raw + [csv_record()] * 40  # enough for Arrow
    check_any_cut(decoder("csv", task=Task(type=task)), raw, cut)


@settings(deadline=None, max_examples=150)
@given(st.lists(NUMBERS.map(str), min_size=40, max_size=40))
def test_csv_numbers_by_columns_are_those_of_the_rules(cells):
    subject = Decoder(
        Config(name="t", schema=Schema(fields={"m": Field(type="number", required=False)})), "events", ("m", "z")
    )
    raw = [cell.encode() + b",1" for cell in cells]

    same(subject(0, raw), judged(subject, raw))


DECIMALS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.decimals(-(10**18), 10**18, places=17).map(str),
    st.from_regex(r"[+-]?([0-9]{1,20}\.?[0-9]{0,25}|\.[0-9]{1,25})([eE][+-]?[0-9]{1,3})?", fullmatch=True),
    st.sampled_from(["9007199254740992", "9007199254740993", "9007199254740995", "-0", "-0.0", "0." + "0" * 22 + "1"]),
)


@settings(deadline=None, max_examples=150)
@given(st.lists(DECIMALS, min_size=40, max_size=40))
def test_csv_numbers_are_the_nearest_floats_to_the_last_bit(cells):
    fields = {"m": Field(type="number", required=False)}
    subject = Decoder(Config(name="t", schema=Schema(fields=fields)), "events", ("m", "z"))

    rows = subject(0, [f" {cell}\t,1".encode() for cell in cells])

    expected = [math.nan if math.isinf(float(cell)) else float(cell) for cell in cells]
    assert rows.numbers[:, 0].tobytes() == np.array(expected).tobytes()


def test_a_byte_order_mark_within_the_file_is_part_of_its_cell():
    subject = Decoder(Config(name="t", schema=Schema(fields={"m": Field(type="number")})), "events", ("m", "z"))

    rows = subject(0, ["\ufeff1,2".encode()] + [b"1,2"] * 50)

    same(rows, judged(subject, rows.raw))
    assert list(rows.problems) == [0]


@pytest.mark.parametrize("delimiter", [" ", "\t", "1", ".", "e", "é"])
def test_csv_with_a_delimiter_that_might_stand_in_a_number(delimiter):
    header = ("m", "n", "z")
    fields = {"m": Field(type="number", required=False), "n": Field(type="number", required=False)}
    subject = Decoder(Config(name="t", schema=Schema(fields=fields)), "events", header, delimiter)
    raw = [delimiter.join(cells).encode() for cells in (["2", "3", "x"], ["", "5", ""], ["", "", "7"])] * 20

    rows = subject(0, raw)

    assert rows.problems == {}
    np.testing.assert_array_equal(rows.numbers[:3], [[2, 3], [math.nan, 5], [math.nan, math.nan]])


@settings(deadline=None, max_examples=300)
@given(TIMES)
def test_times_by_columns_are_those_of_the_rules(time):
    subject = Decoder(Config(name="t", schema=Schema(time="t", fields={})), "events", None)
    raw = [json.dumps({"t": time}).encode()] * 2

    same(subject(0, raw), judged(subject, raw))


def at_depth(calls: int, raw: list[bytes]) -> Rows:
    """Decoded with so many callers on the stack."""
    return at_depth(calls - 1, raw) if calls else decoder("json", limit=100_000)(0, raw)


@pytest.mark.parametrize("n", [1, 20])  # one by one, and by columns
@pytest.mark.parametrize(("levels", "ok"), [(255, True), (256, False), (600, False), (900, False), (40_000, False)])
def test_how_deep_a_record_may_be_nested_does_not_depend_on_the_caller(levels: int, n: int, *, ok: bool) -> None:
    good = record()
    nested = good[:-1] + b', "more": ' + b"[" * levels + b"]" * levels + b"}"
    told = {0: "not JSON: nested more than 256 deep"} if not ok else {}
    for calls in (0, 500):
        rows = at_depth(calls, [nested, *[good] * (n - 1)])
        assert {row: problem.reason for row, problem in rows.problems.items()} == told


def test_brackets_in_texts_are_no_nesting() -> None:
    rows = decoder("json", limit=100_000)(0, [record(more='["\\' * 500)])

    assert rows.problems == {}
