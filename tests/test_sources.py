"""Sources, over real files: what is a record, where it starts, and what is said when the input is no good."""

import csv
import gzip
import io
import json
import os
from datetime import UTC, datetime
from functools import partial

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from stream_app.config import Config, Field, Schema
from stream_app.config import Source as Input
from stream_app.edges.records import BrokenInput, CsvRecords, gunzip, json_records, lines
from stream_app.edges.sources import READ_BLOCKS, check_columns, open_source
from stream_app.errors import SourceError

zipped = partial(gzip.compress, mtime=0)  # the names of tests hold such bytes, and must be the same in every process

ROWS = [b"1,a", b"2,b", b"3,c"]
TABLE = b"id,x\n" + b"\n".join(ROWS) + b"\n"


def opened(path, *, start=0, follow=False, **source):
    """The source over a file."""
    return open_source(path, Input(events="x", **source), start=start, follow=follow)


def written(tmp_path, content, name="in.csv"):
    """A file with this content."""
    path = tmp_path / name
    path.write_bytes(content)
    return path


def everything(source, most=2):
    """All records to the end, checking that their offsets have no gap."""
    records = []
    expected = None
    while True:
        offset, some = source.read(most)
        assert expected in (None, offset)
        expected = offset + len(some)
        records += some
        if not some:
            assert source.finished
            return records


def refusal(path, **options):
    """What the SourceError says."""
    with pytest.raises(SourceError) as caught:
        opened(path, **options)
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "records"),
    [
        (TABLE, ROWS),
        (TABLE[:-1], ROWS),  # the last line without its end
        (b"\xef\xbb\xbf" + TABLE, ROWS),
        (TABLE.replace(b"\n", b"\r\n"), ROWS),
        (TABLE.replace(b"\n", b"\n\n \n\r\n"), ROWS),  # blank lines are no records
        (TABLE + b"4\n", [*ROWS, b"4"]),  # the decoder will say what is wrong with it
        (b"id,x\n", []),
        (b"id,x", []),
        (zipped(TABLE), ROWS),
        (zipped(TABLE[:9]) + zipped(TABLE[9:]) + b"\0" * 20, ROWS),  # two members, padded
    ],
)
def test_csv(tmp_path, content, records):
    source = opened(written(tmp_path, content))

    assert everything(source) == records
    assert source.header == ("id", "x")
    assert source.progress == 1.0


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_in_the_header(tmp_path, delimiter):
    source = opened(written(tmp_path, f'a{delimiter}"b,;c"{delimiter} d \n'.encode()))

    assert (source.delimiter, source.header) == (delimiter, ("a", "b,;c", "d"))


def test_a_configured_delimiter_wins(tmp_path):
    source = opened(written(tmp_path, b"a,b:c\n"), delimiter=":")

    assert (source.delimiter, source.header) == (":", ("a,b", "c"))


@pytest.mark.parametrize(
    ("content", "records"),
    [
        (b'1,"two\nlines"\n2,b\n', [b'1,"two\nlines"', b"2,b"]),
        (b'1,"a\r\nb"\r\n2,b\r\n', [b'1,"a\r\nb"', b"2,b"]),
        (b'1,"a ""q""\n\nb"\n2,b\n', [b'1,"a ""q""\n\nb"', b"2,b"]),
        (b'1,5" pipe\n2,b\n', [b'1,5" pipe', b"2,b"]),  # a quote within a cell is a letter
        (b'1,"stray\n2,b\n3,c\n', [b'1,"stray', b"2,b", b"3,c"]),
        (b'1,"stray\n2,"b"\n3,"stray\n4,d\n', [b'1,"stray', b'2,"b"', b'3,"stray', b"4,d"]),
        (b'1,"a\n2,b"\n', [b'1,"a\n2,b"']),  # two cells when joined: a text of two lines
        (b'1,"a\n2,b",3\n', [b'1,"a', b'2,b",3']),  # three cells when joined: no record
        (b'1,"x"y"\n2,b\n', [b'1,"x"y"', b"2,b"]),
    ],
)
def test_a_quoted_cell_spans_lines_but_a_stray_quote_takes_nothing_in(tmp_path, content, records):
    assert everything(opened(written(tmp_path, b"id,x\n" + content))) == records


def test_a_stray_quote_waits_for_a_thousand_lines_at_most():
    blocks = iter([b'0,"stray\n', *(b"%d,x\n" % i for i in range(1, 1005)), b""])
    given = CsvRecords(2, ",")(lines(blocks, 1000))

    taken = [record for some in given for record in some]

    assert taken == [b'0,"stray', *(b"%d,x" % i for i in range(1, 1005))]


QUOTED = st.text(alphabet='ab",\n\r;', max_size=6)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["1", "2"]), QUOTED), max_size=8), st.lists(st.integers(1, 9), max_size=30))
def test_csv_as_written_by_a_writer_comes_back_record_by_record_however_it_is_cut(rows, cuts):
    text = io.StringIO()
    csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(rows)
    content = text.getvalue().encode()
    blocks = []
    for cut in cuts:
        blocks.append(content[:cut])
        content = content[cut:]
    blocks.append(content)

    given = CsvRecords(2, ",")(lines(iter(filter(None, blocks)), 1000))

    assert [next(csv.reader([record.decode()])) for some in given for record in some] == [list(row) for row in rows]


@settings(deadline=None)
@given(st.binary(max_size=60), st.lists(st.integers(1, 9), max_size=30))
def test_records_of_any_bytes_do_not_depend_on_the_blocks(content, cuts):
    blocks, rest = [], content
    for cut in cuts:
        blocks.append(rest[:cut])
        rest = rest[cut:]
    blocks = list(filter(None, [*blocks, rest]))

    def records(blocks):
        for reader in (json_records, CsvRecords(2, ",")):
            yield [record for some in reader(lines(iter(blocks), 12)) for record in some]

    assert list(records(blocks)) == list(records([content] if content else []))
    assert max(map(len, next(records(blocks))), default=0) <= 13


def test_a_line_that_is_too_long_keeps_its_beginning_and_its_number(tmp_path):
    content = b"id,x\n1," + b"a" * 3_000_000 + b"\n2,b\n3," + b"c" * 200
    source = opened(written(tmp_path, content), max_record_bytes=100)

    assert everything(source) == [b"1," + b"a" * 99, b"2,b", b"3," + b"c" * 99]


def test_json_lines(tmp_path):
    content = b'\xef\xbb\xbf{"a": 1}\r\n\n  \n{"a": 2}\nnot json\n{"a": 3}'

    source = opened(written(tmp_path, content, "in.jsonl"))

    assert everything(source) == [b'{"a": 1}', b'{"a": 2}', b"not json", b'{"a": 3}']
    assert (source.header, source.columns) == (None, None)


@pytest.mark.parametrize(
    ("name", "content", "is_csv"),
    [
        ("x.dat", b'{"a": 1}\n', False),
        ("x", b"a,b\n", True),
        ("x.TSV", b"a\tb\n", True),
        ("x.json.gz", zipped(b'{"a": 1}\n'), False),
        ("x.csv", zipped(b"a,b\n"), True),  # gzip is told by its first bytes
        ("x.gz", b"a,b\n", True),
    ],
)
def test_the_format_is_told_by_the_name_then_by_the_first_byte(tmp_path, name, content, is_csv):
    assert (opened(written(tmp_path, content, name)).header is not None) == is_csv


def test_parquet_rows_are_json_documents(tmp_path):
    path = tmp_path / "in.parquet"
    columns = {
        "i": [1, None, 3],
        "x": [0.5, float("nan"), float("-inf")],
        "t": pa.array([0, 1, 2_000_000_000], pa.timestamp("ns", "America/New_York")),
        "d": pa.array([0, 1, 2], pa.date32()),
        "s": pa.array(["é", None, "b"]).dictionary_encode(),
        "b": [True, False, None],
        "l": [[1], [], None],
    }
    parquet.write_table(pa.table(columns), path, row_group_size=2)

    source = opened(path)
    documents = [json.loads(record) for record in everything(source)]

    assert source.header is None
    assert source.columns == tuple(columns)
    assert source.progress == 1.0
    assert documents[0] == {
        "i": 1, "x": 0.5, "t": "1970-01-01 00:00:00.000Z", "d": "1970-01-01", "s": "é", "b": True, "l": [1],
    }  # fmt: skip
    assert [document["x"] for document in documents] == [0.5, None, "-Infinity"]
    assert datetime.fromisoformat(documents[2]["t"]) == datetime(1970, 1, 1, 0, 0, 2, tzinfo=UTC)


@pytest.mark.parametrize("name", ["in.csv", "in.jsonl", "in.csv.gz", "in.parquet"])
def test_start_at_any_record_gives_the_rest_and_the_same_fingerprint(tmp_path, name):
    path = tmp_path / name
    if name == "in.parquet":
        parquet.write_table(pa.table({"a": list(range(7))}), path, row_group_size=3)
    else:
        content = b"a,b\n" * (name != "in.jsonl") + b"".join(b'"%d\n%d",x\n' % (i, i) for i in range(7))
        path.write_bytes(zipped(content) if name.endswith("gz") else content)
    whole = everything(opened(path))

    for start in range(len(whole) + 1):
        source = opened(path, start=start)
        assert source.read(1)[0] == start
        source = opened(path, start=start)
        assert everything(source) == whole[start:]
        assert source.fingerprint == opened(path).fingerprint != ""
    with pytest.raises(SourceError, match=rf"has {len(whole)} records, but 99 were read .* new state"):
        everything(opened(path, start=99))


def test_the_fingerprint_tells_another_header_or_first_record(tmp_path):
    prints = {
        opened(written(tmp_path, content)).fingerprint
        for content in (b"a,b\n1,2\n", b"a,b\n1,2\n3,4\n", b"a,c\n1,2\n", b"a,b\n1,3\n", b"a,b\n")
    }

    assert len(prints) == 4  # what is appended later changes nothing
    assert "" in prints  # no record yet


def test_a_followed_file_gives_whole_lines_as_they_come(tmp_path):
    path = written(tmp_path, b"id,x\n1,a\n2,")
    source = opened(path, follow=True)

    def append(more):
        with path.open("ab") as file:
            file.write(more)

    assert source.read(9) == (0, [b"1,a"])
    assert source.read(9) == (1, [])
    append(b'b\n3,"two')
    assert source.read(9) == (1, [b"2,b"])
    append(b'\nlines"\n')
    assert source.read(9) == (2, [b'3,"two\nlines"'])
    assert source.read(9) == (3, [])
    assert not source.finished


def test_a_followed_gzip_grows_too(tmp_path):
    path = written(tmp_path, zipped(b"id,x\n1,a\n"))
    source = opened(path, follow=True)

    assert source.read(9) == (0, [b"1,a"])
    assert source.read(9) == (1, [])
    with path.open("ab") as file:
        file.write(zipped(b"2,b\n"))
    assert source.read(9) == (1, [b"2,b"])


@pytest.mark.parametrize(("change", "says"), [("shrink", "shrank"), ("replace", "replaced"), ("remove", "removed")])
def test_a_followed_file_that_is_no_longer_the_same_is_refused(tmp_path, change, says):
    path = written(tmp_path, TABLE)
    source = opened(path, follow=True)
    source.read(9)
    if change == "shrink":
        os.truncate(path, 5)
    elif change == "replace":
        written(tmp_path, TABLE, "new").replace(path)
    else:
        path.unlink()

    for _ in range(2):  # and it stays an error
        with pytest.raises(SourceError, match=f"{says}.* after record 2"):
            source.read(9)


def test_standard_input_is_json_lines_and_never_blocks(monkeypatch):
    reading, writing = os.pipe()
    with os.fdopen(reading) as stdin, os.fdopen(writing, "wb", buffering=0) as pipe:
        monkeypatch.setattr("sys.stdin", stdin)
        source = opened("-", start=1)

        assert source.read(5) == (1, [])  # nothing now
        pipe.write(b'{"a": 1}\n{"a": 2}\n{"a"')
        assert source.read(5) == (1, [b'{"a": 2}'])
        assert source.read(5) == (2, [])
        assert not source.finished
        pipe.write(b": 3}")
        pipe.close()
        assert everything(source) == [b'{"a": 3}']
        assert (source.progress, source.fingerprint) == (None, "")
        source.close()
        assert not stdin.closed


def test_standard_input_is_not_csv():
    with pytest.raises(SourceError, match="standard input is JSON lines, not csv"):
        opened("-", format="csv")


def many(n=40_000):
    """A table whose compressed form has several blocks, and its records."""
    records = [b"%d,%d" % (i, i * 7919 % 10007) for i in range(n)]
    return records, b"id,x\n" + b"\n".join(records) + b"\n"


def test_a_gzip_that_ends_early_gives_what_is_whole_then_says_so(tmp_path):
    records, content = many()
    source = opened(written(tmp_path, zipped(content)[:-1000]))
    given = []

    with pytest.raises(SourceError, match="gzip stream ends early after record") as caught:  # noqa: PT012
        while True:
            given += source.read(1000)[1]

    assert 30_000 < len(given) < 40_000
    assert given == records[: len(given)]  # the line that was cut is not taken for a record
    assert f"after record {len(given) - 1};" in str(caught.value)
    with pytest.raises(SourceError, match="ends early"):
        source.read(1)


def test_wide_records_of_several_blocks_are_one_batch_and_memory_stays_bounded(tmp_path):
    records = [b"%d,%s" % (i, b"x" * 100_000) for i in range(500)]  # ten to a block
    path = written(tmp_path, b"id,x\n" + b"\n".join(records) + b"\n")
    source = opened(path)

    assert source.read(60) == (0, records[:60])
    assert source.read(1) == (60, records[60:61])
    offset, some = source.read(1000)
    assert (offset, some) == (61, records[61 : 61 + len(some)])
    assert READ_BLOCKS * 8 < len(some) < READ_BLOCKS * 12
    assert everything(source) == records[61 + len(some) :]


def test_a_damaged_block_behind_good_ones_waits_until_these_are_taken(tmp_path):
    records, content = many()
    source = opened(written(tmp_path, zipped(content)[:-1000]))
    offset, given = source.read(40_000)

    assert offset == 0
    assert given == records[: len(given)]
    with pytest.raises(SourceError, match=f"after record {len(given) - 1};"):
        source.read(1)


def test_a_gzip_with_a_wrong_checksum_gives_everything_then_says_so(tmp_path):
    records, content = many(100)
    damaged = bytearray(zipped(content))
    damaged[-6] ^= 1
    source = opened(written(tmp_path, bytes(damaged)))

    assert source.read(200) == (0, records)
    with pytest.raises(SourceError, match="gzip stream is damaged after record 99"):
        source.read(1)


def test_a_bomb_is_inflated_piece_by_piece():
    blocks = gunzip(iter([zipped(b"0" * 50_000_000)]))

    assert max(map(len, blocks)) <= 1 << 20


def test_gzip_of_any_bytes_is_inflated_or_broken():
    with pytest.raises(BrokenInput):
        list(gunzip(iter([b"\x1f\x8b junk"])))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty: no header"),
        (b"\n\n", "is empty: no header"),
        (zipped(b""), "is empty: no header"),
        (zipped(TABLE)[:8], "gzip stream ends early before the first record"),
        (b"\x89PNG\0\0\0\r\n", "does not look like CSV, there are NUL bytes"),
        ("id,x\n1,a\n".encode("utf-16"), "UTF-16: convert it to UTF-8"),
        ("Größe,x\n".encode("latin-1"), "byte 2 (0xf6) of the header; convert the file, from latin-1"),
        (b'a,"b\n', "its first line is no header"),
        (b"a,b\r1,2\r", "its first line is no header"),  # the line ends of old Macs
        (b"a,b,a,c,b,,\n", "more than one column is named a, b"),
        (b"PAR1 not really", "not a Parquet file, or one that was cut off"),
    ],
)
def test_what_is_no_csv_is_refused(tmp_path, content, says):
    assert says in refusal(written(tmp_path, content))


def test_what_is_no_json_lines_is_refused(tmp_path):
    assert "jq -c '.[]' in.json" in refusal(written(tmp_path, b'[{"a": 1}]', "in.json"))
    assert "is empty" in refusal(written(tmp_path, b"", "in.jsonl"))


def test_a_damaged_parquet_file_is_refused(tmp_path):
    path = tmp_path / "in.parquet"
    parquet.write_table(pa.table({"a": list(range(1000))}), path)
    content = path.read_bytes()

    assert "cannot be followed" in refusal(path, follow=True)
    path.write_bytes(content[:-50])
    assert "cut off" in refusal(path)
    path.write_bytes(b"id,x\n")
    assert "not a Parquet file, in spite of its name" in refusal(path)


def test_what_cannot_be_opened_is_refused(tmp_path):
    written(tmp_path, TABLE, "flights.csv")

    assert 'no such file; did you mean "flights.csv"?' in refusal(tmp_path / "flihgts.csv")
    assert "no such file" in refusal(tmp_path / "absent" / "x.csv")
    assert "is a directory" in refusal(tmp_path)
    assert "cannot be read" in refusal(tmp_path / ("x" * 300))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path):
    path = written(tmp_path, TABLE)
    path.chmod(0)

    assert "no permission" in refusal(path)


def config(**source):
    """A configuration that names columns."""
    schema = Schema(id="id", time="time", label="late", fields={"distance": Field(type="number")})
    return Config(name="t", source=Input(events="x", **source), schema=schema)


def test_missing_columns_are_all_named_with_the_nearest(tmp_path):
    source = opened(written(tmp_path, b"id,tme,distanse\n"))

    with pytest.raises(SourceError) as caught:
        check_columns(source, config(), "events")

    assert 'no column "time", did you mean "tme"?, "distance", did you mean "distanse"?, "late"' in str(caught.value)
    assert str(caught.value).endswith("it has: id, tme, distanse")


def test_one_column_only_hints_at_the_delimiter(tmp_path):
    source = opened(written(tmp_path, b"id time distance\n"))

    with pytest.raises(SourceError, match="perhaps its delimiter is not"):
        check_columns(source, config(), "events")


def test_the_label_may_come_from_elsewhere(tmp_path):
    events = opened(written(tmp_path, b"id,time,distance\n"))
    labels = opened(written(tmp_path, b"id,time,late\n"))

    check_columns(events, config(labels="y"), "events")
    check_columns(labels, config(labels="y"), "labels")
    with pytest.raises(SourceError, match='no column "late"'):
        check_columns(events, config(), "events")
    with pytest.raises(SourceError, match='no column "late"'):
        check_columns(events, config(labels="y"), "labels")


def test_json_lines_have_no_columns_to_check(tmp_path):
    check_columns(opened(written(tmp_path, b"{}\n", "in.jsonl")), config(), "events")
