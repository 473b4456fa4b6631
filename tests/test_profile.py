"""`driftline init`: whatever the file, the text it writes is a configuration that is accepted unedited."""

import csv
import gzip
import io
import json
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import in_process

from stream_app.config import arl0_of, parse, signals
from stream_app.edges.log import Log
from stream_app.edges.profile import config_name, describe, profile
from stream_app.edges.sources import open_source
from stream_app.errors import SourceError
from stream_app.flow.decode import Decoder

ROWS = 400


def flights(rows=ROWS):
    """Events with every role: id, time, key, label, label time; a float, a gappy float, categories."""
    chance = random.Random(1)
    for i in range(rows):
        delay = chance.gauss(10, 5)
        yield {
            "flight_id": f"F{i:05d}",
            "event_time": f"2013-01-{1 + i // 24 % 28:02d}T{i % 24:02d}:00:00Z",
            "label_time": f"2013-02-{1 + i // 24 % 28:02d}T{i % 24:02d}:00:00Z",
            "carrier": chance.choice(["UA", "AA", "DL"]),
            "distance": chance.randint(100, 2000),
            "dep_delay": "" if chance.random() < 0.1 else f"{delay:.2f}",
            "label": "late" if delay > 15 else "on time",
        }


def csv_file(folder, records, name="flights.csv", header=None):
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(header or records[0])
    writer.writerows(record.values() if isinstance(record, dict) else record for record in records)
    path = folder / name
    data = text.getvalue().encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return str(path)


def accepted(text):
    return parse(text, "profile", {})


def described(**columns):
    """The configuration for columns given as name=cells."""
    return accepted(describe("some.csv", list(columns.items())))


def test_roles_types_and_task_are_found(tmp_path):
    config = accepted(profile(csv_file(tmp_path, list(flights()))))
    schema = config.schema

    assert config.name == "flights"
    assert (schema.id, schema.time, schema.key) == ("flight_id", "event_time", "carrier")
    assert (schema.label, schema.label_time) == ("label", "label_time")
    assert {name: field.type for name, field in schema.fields.items()} == {
        "carrier": "category",
        "distance": "number",
        "dep_delay": "number",
    }
    assert not any(field.required for field in schema.fields.values())  # a column that breaks is missing:*'s to see
    assert (config.task.type, config.task.classes) == ("binary", ("on time", "late"))
    assert config.task.label_timeout_ms == 62 * 86_400_000  # twice the longest delay seen, 31 days
    assert [(signal.name, config.watch[signal.watch].detector) for signal in signals(config)] == [
        ("feature:distance", "ks"),
        ("feature:dep_delay", "ks"),
        ("feature:carrier", "psi"),
        ("missing:carrier", "page_hinkley"),
        ("missing:distance", "page_hinkley"),
        ("missing:dep_delay", "page_hinkley"),
        ("unseen:carrier", "page_hinkley"),
        ("rejects", "page_hinkley"),
        ("error", "adwin"),
    ]
    assert (config.retrain.on, config.retrain.action) == (("error",), "notify")


def test_csv_gzip_json_lines_and_parquet_give_the_same(tmp_path):
    records = list(flights())
    for record in records:
        record["dep_delay"] = float(record["dep_delay"] or 0)
    (tmp_path / "flights.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    pq.write_table(pa.Table.from_pylist(records), tmp_path / "flights.parquet")
    paths = [csv_file(tmp_path, records), csv_file(tmp_path, records, "flights.csv.gz")]
    paths += [str(tmp_path / "flights.jsonl"), str(tmp_path / "flights.parquet")]

    configs = [accepted(profile(path)) for path in paths]

    assert all(config.schema == configs[0].schema for config in configs)
    assert all(config.task == configs[0].task for config in configs)
    assert [config.source.events for config in configs] == paths


def test_the_text_is_the_same_each_time(tmp_path):
    path = csv_file(tmp_path, list(flights()))

    assert profile(path) == profile(path)


def test_without_id_time_or_label_it_looks_for_anomalies():
    config = described(x=[i * 0.37 % 1 for i in range(ROWS)], y2=[i * 0.73 % 1 for i in range(ROWS)])

    assert config.schema.id is config.schema.time is config.schema.key is config.schema.label is None
    assert config.task.type == "anomaly"
    assert config.model.use.endswith("river.anomaly.HalfSpaceTrees")
    assert config.retrain.on == ("prediction",)


@pytest.mark.parametrize(
    ("label", "cells", "task", "classes"),
    [
        ("class", ["UP", "DOWN"], "binary", ("DOWN", "UP")),
        ("y", ["0", "1"], "binary", ("0", "1")),
        ("is_fraud", [True, False], "binary", ("false", "true")),
        ("target", ["a", "b", "c"], "multiclass", ()),
        ("Cover_Class", [1, 2, 3, 7], "multiclass", ()),
        ("target", [i / 7 for i in range(200)], "regression", ()),
        ("churn", [0], "binary", ()),  # the other class has not come yet
        ("unnamed", ["p", "q"], "binary", ("p", "q")),  # guessed: the last with few values
    ],
)
def test_the_label_gives_the_task(label, cells, task, classes):
    chance = random.Random(2)
    config = described(
        **{"x": [chance.random() for _ in range(ROWS)], label: [chance.choice(cells) for _ in range(ROWS)]}
    )

    assert config.schema.label == label
    assert config.task.type == task
    if classes:
        assert set(config.task.classes) == set(classes)
    if label != "unnamed":
        assert config.task.classes == classes


def test_what_cannot_help_is_left_out_with_its_reason():
    chance = random.Random(3)
    labels = [chance.choice("ab") for _ in range(ROWS)]
    columns = [
        ("x", [chance.random() for _ in range(ROWS)]),
        ("gone", [None] * ROWS),
        ("twice", [chance.random() for _ in range(ROWS)]),
        ("twice", [chance.random() for _ in range(ROWS)]),
        ("counter", list(range(ROWS))),
        ("prose", [f"text {i} {chance.random()}" for i in range(ROWS)]),
        ("nested", [{"a": 1}] * ROWS),
        ("tailnum_id", [str(chance.randint(0, 10**9)) for _ in range(ROWS - 1)] + ["5"] * 1),
        ("", [1.5] * ROWS),
        ("copy", labels),
        ("renamed", [{"a": "yes", "b": "no"}[label] for label in labels]),
        ("label", labels),
    ]
    columns[7][1][0] = "5"  # so that it is not unique, and no id

    text = describe("some.csv", columns)

    assert list(accepted(text).schema.fields) == ["x"]
    for name, reason in [
        ("gone", "every value is missing"),
        ("twice", "there are 2 columns of this name"),
        ("counter", "counts up with the records"),
        ("prose", "text with 400 distinct values"),
        ("nested", "holds objects or arrays"),
        ("tailnum_id", "numbers that name things"),
        ("copy", "says the same as the label"),
        ("renamed", "says the same as the label"),
    ]:
        assert f"#   {name}: {reason}" in text


def test_a_column_that_is_constant_in_the_sample_is_kept_so_that_its_change_is_seen():
    text = describe("some.csv", [("price", ["0.0035"] * ROWS), ("unit", ["MW"] * ROWS), ("label", ["a", "b"] * 200)])

    config = accepted(text)
    assert {name: field.type for name, field in config.schema.fields.items()} == {"price": "number", "unit": "category"}
    assert {"feature:price", "feature:unit", "missing:price", "missing:unit"} <= {s.name for s in signals(config)}
    assert "seen: only 0.0035; kept, so that a change of it is seen" in text


def test_unseen_categories_are_watched_where_new_ones_are_not_usual():
    chance = random.Random(6)
    label = {"label": [chance.choice("01") for _ in range(ROWS)]}
    steady = {"steady": [chance.choice("abc") for _ in range(ROWS)]}
    growing = {"growing": [chance.choice("ab") for _ in range(ROWS - 5)] + [f"new{i}" for i in range(5)]}

    def watched(**columns):
        return [watch.signal for watch in described(**columns).watch if watch.signal.startswith("unseen:")]

    assert watched(**steady, **growing, **label) == ["unseen:steady"]
    assert watched(**steady, **label) == ["unseen:*"]
    assert watched(x=[chance.random() for _ in range(ROWS)], **label) == []


def test_all_watches_together_stay_within_the_budget_and_the_file_runs(tmp_path):
    path = csv_file(tmp_path, list(flights()))
    config = accepted(profile(path))
    file = tmp_path / "flights.toml"
    file.write_text(profile(path, "flights.csv"))
    in_process(file, tmp_path / "log.db")

    with Log(tmp_path / "log.db") as log:
        assert log.count("predictions") == ROWS
        assert log.count("dead-letters") == 0
    assert len(signals(config)) * config.alarms.budget.events / arl0_of(config) == pytest.approx(
        config.alarms.budget.alarms
    )
    more = [line.split()[1] for line in file.read_text().partition("# More of")[2].splitlines()[1:5]]
    assert more == ["range:*", "frozen:*", "silence:*", "overdue"]
    watched = "".join(f'[[watch]]\nsignal = "{signal}"\ndetector = "page_hinkley"\n' for signal in more)
    assert len(signals(accepted(file.read_text() + watched))) > len(signals(config)) + 3


def test_names_and_values_of_any_kind_are_quoted():
    chance = random.Random(4)
    columns = {
        'say "x"': [chance.random() for _ in range(ROWS)],
        "dep delay": [chance.random() for _ in range(ROWS)],
        "größe\t#1": [chance.choice(["a\nb", '"', "${HOME}", "ünï"]) for _ in range(ROWS)],
        "日本": [chance.random() for _ in range(ROWS)],
        "a.b": [chance.random() for _ in range(ROWS)],
        "${X} label": [chance.choice(["${A}", "back\\slash"]) for _ in range(ROWS)],
    }

    config = described(**columns)

    assert list(config.schema.fields) == list(columns)[:-1]
    assert config.schema.label == "${X} label"
    assert set(config.task.classes) == {"${A}", "back\\slash"}


def test_a_time_that_the_records_do_not_follow_is_not_used():
    chance = random.Random(5)
    x = [chance.random() for _ in range(ROWS)]
    days = [1_600_000_000_000 + 86_400_000 * day for day in range(ROWS)]
    chance.shuffle(shuffled := list(days))

    assert described(time=days, x=x).schema.time == "time"
    assert described(time=[day // 1000 for day in days], x=x).schema.time is None  # seconds
    assert described(dep_time=[517 + i % 9 for i in range(ROWS)], x=x).schema.time is None
    text = describe("some.csv", [("time", shuffled), ("x", x)])
    assert accepted(text).schema.time is None
    assert "the records are not in its order" in text


def test_a_late_record_widens_the_lateness():
    times = [1_600_000_000_000 + 3_600_000 * hour for hour in range(ROWS)]
    times[300] -= 3 * 86_400_000

    config = described(time=times, x=[i % 7 / 7 for i in range(ROWS)])

    assert config.engine.lateness_ms == 6 * 86_400_000


def test_unreadable_records_are_counted(tmp_path):
    path = tmp_path / "mixed.jsonl"
    good = "".join(json.dumps({"x": i * 0.37 % 1, "label": i % 2}) + "\n" for i in range(60))
    path.write_text(good + "not json\n[1, 2]\n" + '{"x": 0.5, "extra": "late column", "label": 1}\n')

    text = profile(str(path))

    assert "the first 61 records; 2 more could not be read" in text
    assert list(accepted(text).schema.fields) == ["x", "extra"]


@pytest.mark.parametrize("content", ["a,b,c\n", "a,b,c"])
def test_a_header_alone_is_nothing_to_profile(tmp_path, content):
    (tmp_path / "empty.csv").write_text(content)

    with pytest.raises(SourceError, match="nothing to profile"):
        profile(str(tmp_path / "empty.csv"))


def test_no_usable_column_is_said_with_reasons():
    with pytest.raises(SourceError, match=r"no column can be a field \('a' every value is missing"):
        describe("some.csv", [("a", [None] * 5)])


def test_missing_files_and_standard_input_are_refused(tmp_path):
    with pytest.raises(SourceError):
        profile(str(tmp_path / "nowhere.csv"))
    with pytest.raises(SourceError, match="standard input"):
        profile("-")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a/b/x.y.csv.gz", "x.y"),
        ("Flüge 1.jsonl", "Fl-ge-1"),
        ("日本.csv", "stream"),
        (".csv", "stream"),
        ("data", "data"),
    ],
)
def test_the_name_comes_from_the_file(path, name):
    assert config_name(path) == name


CELLS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=4),
    st.sampled_from(["0", "1", "NA", "2013-01-01", "2013-01-01T05:15:00Z", "1e400", "UP", "1357035300000"]),
    st.lists(st.integers(), max_size=2),
)
NAMES = st.one_of(st.text(max_size=6), st.sampled_from(["id", "time", "label", "label_time", "user_id", "y", "x"]))


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 30), st.data())
def test_any_table_gives_an_accepted_configuration_or_a_source_error(rows, data):
    kinds = st.sampled_from(
        [CELLS, st.integers(0, 3), st.floats(0, 1), st.sampled_from("abc"), st.integers(10**12, 10**13)]
    )
    names = data.draw(st.lists(NAMES, min_size=1, max_size=6))
    columns = [(name, data.draw(st.lists(data.draw(kinds), min_size=rows, max_size=rows))) for name in names]

    try:
        text = describe("some.csv", columns)
    except SourceError:
        return
    accepted(text)


def test_no_record_of_the_sample_is_a_dead_letter(tmp_path):
    path = csv_file(tmp_path, list(flights()))
    config = accepted(profile(path))
    source = open_source(path, config.source)
    decode = Decoder(config, "events", source.header, source.delimiter)

    rows = decode(*source.read(ROWS))

    assert len(rows) == ROWS
    assert rows.problems == {}
