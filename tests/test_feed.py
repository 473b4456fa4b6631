"""What is played: the same records whatever the format, labels with the keys of their events, nothing dropped."""

import gzip
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from runs import configured, jsonl, landed, rows, without, write

from stream_app.config import Config, load
from stream_app.errors import ConfigError, SourceError
from stream_app.flow.decode import Decoder
from stream_app.messages import EVENT, LABEL, Rows
from stream_app.runners import feed
from stream_app.runners.feed import Feed, Record, records

N = 400
MADE = rows(5, N)


def of(sent: Iterable[Record], stream: int) -> list[Record]:
    return [record for record in sent if record.stream == stream]


def played(folder: Path, suffix: str = ".jsonl", made: list[dict[str, object]] = MADE) -> Config:
    """Events and labels as two files in the format of the suffix."""
    folder.mkdir(exist_ok=True)
    write(folder / f"e{suffix}", without(made, "y", "ly"))
    write(folder / f"l{suffix}", landed(made))
    return load(configured(folder, f"e{suffix}", f"l{suffix}"))


def one_file(folder: Path, name: str, content: bytes) -> Config:
    """Events that bring their label, as bytes."""
    (folder / name).write_bytes(content)
    return load(configured(folder, name))


def decoded(config: Config, sent: list[Record]) -> Rows:
    """As a worker will read them."""
    return Decoder(config, "events", None)(0, [record.value for record in sent])


def test_json_lines_are_sent_byte_for_byte_in_order_of_time(tmp_path: Path) -> None:
    sent = list(records(played(tmp_path)))
    lines = (tmp_path / "e.jsonl").read_bytes().splitlines(), (tmp_path / "l.jsonl").read_bytes().splitlines()

    assert [record.value for record in of(sent, EVENT)] == lines[EVENT]
    assert [record.value for record in of(sent, LABEL)] == lines[LABEL]
    time_ms = [json.loads(record.value).get("t") or json.loads(record.value)["ly"] for record in sent]
    assert [record.time_ms for record in sent] == time_ms == sorted(time_ms)
    assert all(record.ok for record in sent)


def test_the_key_is_the_entity_and_a_label_has_that_of_its_event(tmp_path: Path) -> None:
    sent = list(records(played(tmp_path)))
    who = {row["id"]: row["who"].encode() for row in MADE}

    assert [record.key for record in sent] == [who[json.loads(record.value)["id"]] for record in sent]


def test_without_an_entity_the_key_is_the_id_of_the_event(tmp_path: Path) -> None:
    config = played(tmp_path)
    config = msgspec.structs.replace(config, schema=msgspec.structs.replace(config.schema, key=None))

    sent = list(records(config))

    assert [record.key for record in sent] == [json.loads(record.value)["id"].encode() for record in sent]


def test_an_event_without_its_entity_has_its_id_for_a_key(tmp_path: Path) -> None:
    config = played(tmp_path, made=[MADE[0] | {"who": None}])

    assert [record.key for record in records(config)] == [b"e0", b"e0"]


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".csv.gz"])
def test_all_formats_give_the_same_events_and_labels(tmp_path: Path, suffix: str) -> None:
    lines, others = (list(records(played(tmp_path / s[1:], s))) for s in (".jsonl", suffix))
    config = load(tmp_path / "jsonl" / "c.toml")

    assert [(r.stream, r.time_ms, r.key) for r in others] == [(r.stream, r.time_ms, r.key) for r in lines]
    for stream, name in ((EVENT, "events"), (LABEL, "labels")):
        decoder = Decoder(config, name, None)
        one, other = (decoder(0, [record.value for record in of(sent, stream)]) for sent in (lines, others))
        assert (one.id, one.categories, one.key, one.label) == (other.id, other.categories, other.key, other.label)
        np.testing.assert_array_equal(one.numbers, other.numbers)
        np.testing.assert_array_equal(one.time_ms, other.time_ms)
        assert one.ok.all()
        assert other.ok.all()


def test_a_row_of_csv_becomes_an_object_with_numbers_and_without_empty_cells(tmp_path: Path) -> None:
    content = b'id,t,who,a,b,c,y,ly,note\n007,1700000000000,17,NA,1.50,,1,1700000000001,"x, ""y"""\n'

    (record,) = records(one_file(tmp_path, "e.csv", content))

    event = {"id": "007", "t": "1700000000000", "who": "17", "b": 1.5}
    assert json.loads(record.value) == event | {"y": "1", "ly": "1700000000001", "note": 'x, "y"'}
    assert record.key == b"17"


BAD_CSV = (
    b"e1,1700000000001,p,1,2",  # cells are missing
    b"e2,1700000000002,q,1,two,x,1,1700000000002",
    b"e3,1700000000003,q,1,,x,1,1700000000003",  # b is required
    b"e4,1700000000004,q,1,2,\xff\xfe,1,1700000000004",
    b"e5,soon,q,1,2,x,1,1700000000005",
    b'{"id": "e6", "t": 1700000000006, "b": 1}',  # would be an event if it were JSON
    b"e7,1700000000007,q,1,inf,x,1,1700000000007",
    b"e8,1700000000008,q,1,2,x,1,1700000000008," + b"9" * 2000,
    b'e9,1700000000009,q,1,2,"x"x,1,1700000000009',
    b"[1]",
)


def test_a_row_that_cannot_be_decoded_is_sent_and_cannot_be_decoded_either(tmp_path: Path) -> None:
    good = b"a%d,17000000000%02d,p,1,2,x,1,17000000000%02d"
    lines = [line for i, bad in enumerate(BAD_CSV) for line in (good % (i, i, i), bad)]
    config = one_file(tmp_path, "e.csv", b"\n".join([b"id,t,who,a,b,c,y,ly", *lines, b""]))
    source = msgspec.structs.replace(config.source, max_record_bytes=1000)
    config = msgspec.structs.replace(config, source=source)

    sent = list(records(config))
    rows = decoded(config, sent)

    assert [record.ok for record in sent] == [True, False] * len(BAD_CSV)
    assert rows.ok.tolist() == [True, False] * len(BAD_CSV)
    own = [record.key for record in sent if not record.ok]
    assert own == [None, b"q", b"q", None, b"q", None, b"q", None, None, None]


BAD_JSON = (b'{"id": "e1", "t"', b"17", b'{"who": "q", "b": "two"}', b"\xff", b'{"id": "e2", "b": []}', b"[" * 100_000)


def test_bad_json_lines_are_sent_as_they_are(tmp_path: Path) -> None:
    good = jsonl(MADE[:5])
    config = one_file(tmp_path, "e.jsonl", good + b"\n".join([*BAD_JSON, b""]) + jsonl(MADE[5:10]))

    sent = list(records(config))

    assert [record.value for record in sent[5:11]] == list(BAD_JSON)
    assert [record.key for record in sent[5:11]] == [None, None, b"q", None, b"e2", None]
    assert decoded(config, sent).ok.tolist() == [True] * 5 + [False] * 6 + [True] * 5
    assert {record.time_ms for record in sent[4:11]} == {MADE[4]["t"]}


def test_the_label_of_a_bad_event_has_its_key(tmp_path: Path) -> None:
    events = [row | {"b": None} for row in MADE[:3]]

    sent = list(records(played(tmp_path, made=events)))

    assert Counter(record.key for record in of(sent, LABEL)) == Counter(row["who"].encode() for row in MADE[:3])


# labels that are early or belong to nobody


def late_events(folder: Path) -> tuple[Config, list[str]]:
    """Labels that come 5 s early, and some without an event."""
    made = [row | {"ly": row["t"] - 5000} for row in MADE]
    write(folder / "e.jsonl", without(made, "y", "ly"))
    strangers = [{"id": f"x{i}", "y": 1, "ly": made[0]["ly"] + 100 * i} for i in range(10)]
    write(folder / "l.jsonl", sorted(landed(made) + strangers, key=lambda row: row["ly"]))
    return load(configured(folder, "e.jsonl", "l.jsonl")), [row["id"] for row in strangers]


def test_a_label_before_its_event_waits_and_goes_right_behind_it(tmp_path: Path) -> None:
    config, strangers = late_events(tmp_path)

    sent = list(records(config))
    pairs = [(json.loads(record.value)["id"], record.stream) for record in sent]

    assert pairs[: 2 * N] == [(row["id"], stream) for row in MADE for stream in (EVENT, LABEL)]
    assert [name for name, _ in pairs[2 * N :]] == strangers
    assert [record.key for record in sent[1 : 2 * N : 2]] == [row["who"].encode() for row in MADE]
    assert [record.key for record in sent[2 * N :]] == [name.encode() for name in strangers]


def test_labels_without_an_event_are_counted(tmp_path: Path) -> None:
    config, strangers = late_events(tmp_path)
    playing = Feed(config)

    while playing.next() is not None:
        pass

    assert playing.keys.unmatched == len(strangers)


def test_what_is_remembered_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "KEPT", 50)
    monkeypatch.setattr(feed, "WAITING", 20)
    config, strangers = late_events(tmp_path)
    early = Feed(config)
    most = remembered = 0
    sent: list[Record] = []
    while (some := early.next()) is not None:
        sent += some
        most = max(most, sum(map(len, early.keys._waiting.values())))
        remembered = max(remembered, len(early.keys._recent) + len(early.keys._older))

    assert most <= 20
    assert remembered <= 100
    assert len(of(sent, LABEL)) == N + len(strangers)
    assert early.keys.unmatched > len(strangers)


# the order, its end


def test_one_wrong_clock_leads_nobody_astray(tmp_path: Path) -> None:
    made = [row | ({"t": 4_000_000_000_000} if i == 7 else {}) for i, row in enumerate(MADE)]

    sent = list(records(played(tmp_path, made=made)))

    assert max(record.time_ms for record in sent) == max(row["ly"] for row in MADE)
    assert [json.loads(record.value)["id"] for record in of(sent, EVENT)] == [row["id"] for row in MADE]


def test_streams_without_time_go_by_the_number_of_the_record(tmp_path: Path) -> None:
    config = played(tmp_path)
    schema = msgspec.structs.replace(config.schema, time=None, label_time=None, key=None)

    sent = list(records(msgspec.structs.replace(config, schema=schema)))

    assert [record.stream for record in sent] == [EVENT, LABEL] * N


def test_a_limit_counts_events_and_takes_the_labels_up_to_the_next(tmp_path: Path) -> None:
    config = played(tmp_path)
    whole, some = list(records(config)), list(records(config, limit=100))

    assert some == whole[: len(some)]
    assert whole[len(some)].stream == EVENT
    assert len(of(some, EVENT)) == 100
    assert list(records(config, limit=N)) == whole


def test_what_came_before_some_damage_is_sent(tmp_path: Path) -> None:
    data = gzip.compress(jsonl(rows(6, 5000)))
    config = one_file(tmp_path, "e.jsonl.gz", data[: len(data) // 2])
    sent: list[Record] = []

    with pytest.raises(SourceError, match="gzip stream ends early"):
        sent.extend(records(config))

    assert 1000 < len(sent) < 5000


def test_without_a_source_there_is_nothing_to_play(tmp_path: Path) -> None:
    config = msgspec.structs.replace(played(tmp_path), source=None)

    with pytest.raises(ConfigError, match=r"\$\.source: missing"):
        list(records(config))
