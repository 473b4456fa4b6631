"""Members: what the compiled pass takes for plain is what the rules, one record at a time, make of it."""

import json

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_decode import CELLS, DECIMALS, decoder, judged, record, same

from stream_app.config import Config, Field, Schema, Task
from stream_app.flow import readers
from stream_app.flow.decode import Decoder

SIGNS = b'{}[]",:\\ \t\r\n0123456789.eE+-ntf\x00\x1f\x7f\xc3\xa9'
PLAIN = st.fixed_dictionaries({}, optional=CELLS).map(lambda changes: record(**changes))


@pytest.fixture(autouse=True)
def _odd_ones_too(monkeypatch):
    """Blocks go the compiled way however many of their records are not plain."""
    monkeypatch.setattr(readers, "_ODD", 1.0)


@st.composite
def spoilt(draw):
    """A plain record with some bytes replaced, put in or taken out."""
    raw = bytearray(draw(PLAIN))
    for _ in range(draw(st.integers(0, 3))):
        at, sign = draw(st.integers(0, len(raw) - 1)), draw(st.sampled_from(list(SIGNS)))
        raw[at : at + draw(st.integers(0, 1))] = bytes([sign] * draw(st.integers(0, 2)))
    return bytes(raw)


@settings(deadline=None, max_examples=100)
@given(st.lists(spoilt(), min_size=1, max_size=12), st.sampled_from(["binary", "regression", "multiclass"]))
@example([b'{"n": 1,}'], "binary")
@example([b'{"n": 1, "n": 2}'], "binary")
@example([b"{}"], "regression")
@example([record() + b" x"], "binary")
@example([record().replace(b"known", b"\xc3known")], "binary")
@example([b" " + record() + b"\r"], "binary")
def test_plain_or_not_a_record_is_what_the_rules_say(odd, task):
    raw = odd + [record()] * 12
    same(decoder("json", task=Task(type=task))(0, raw), judged(decoder("json", task=Task(type=task)), raw))


@settings(deadline=None, max_examples=150)
@given(st.lists(DECIMALS, min_size=20, max_size=40))
def test_numbers_are_the_nearest_floats_to_the_last_bit(cells):
    config = Config(name="t", schema=Schema(fields={"m": Field(type="number", required=False)}))
    raw = [f'{{"a": [], "m": {cell}}}'.encode() for cell in cells] + [b'{"m":0}'] * 12
    raw += [f'{{"z": -1e3, "m" : {cell} }}'.encode() for cell in cells]
    raw += [f'{{"m"{colon}{cell}{end}'.encode() for cell in cells for colon in (":", ": ") for end in ("}", ',"z":1}')]

    same(Decoder(config, "events", None)(0, raw), judged(Decoder(config, "events", None), raw))


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": "), (" , ", " : ")])
def test_many_numbers_in_the_order_of_before_with_some_out_of_turn(separators):
    names = [*(f"x{i}" for i in range(30)), "a name of many words", "é"]
    fields = {name: Field(type="number", required=False) for name in names}
    config, rng = Config(name="t", schema=Schema(fields=fields)), np.random.default_rng(4)
    raw = []
    for row in rng.normal(size=(200, len(names))):
        document = dict(zip(names, row.round(int(rng.integers(0, 18))).tolist(), strict=True))
        if rng.random() < 0.3:
            document[names[rng.integers(32)]] = (None, True, 10**17, "no", -0.0, 1e300, -7)[rng.integers(7)]
        if rng.random() < 0.3:
            del document[names[rng.integers(32)]]
        raw.append(json.dumps(document, separators=separators, ensure_ascii=False).encode())
    raw += [raw[0][:-1] + b',"x3":1}', raw[0][:-1] + b",}", raw[0].replace(b"x7", b"x8")]

    same(Decoder(config, "events", None)(0, raw), judged(Decoder(config, "events", None), raw))


def test_members_in_any_order_and_those_that_nobody_wants():
    rng = np.random.default_rng(3)
    raw = []
    for i in range(50):
        document = json.loads(record(n=i)) | {"other": "x", "more": None, "yes": True, "é": 1.5}
        names = list(document)
        rng.shuffle(names)
        raw.append(json.dumps({name: document[name] for name in names}, ensure_ascii=False).encode())
    rows = decoder("json")(0, raw)

    assert rows.numbers[:, 0].tolist() == list(range(50))
    same(rows, judged(decoder("json"), raw))


def test_all_that_is_plain_is_taken(monkeypatch):
    monkeypatch.setattr(readers, "_ODD", 0.0)
    subject = decoder("json")
    subject(0, [record(n=i, m=-i / 7) for i in range(100)])
    assert subject._read._waits == 0

    subject(0, [record(key={"not": "plain"}) for _ in range(100)])
    assert subject._read._waits > 0
