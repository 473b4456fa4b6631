"""What `driftline check` prints of a plan; what stands in it is in test_cli."""

from pathlib import Path

import pytest

from stream_app.config import parse
from stream_app.edges.plan import OUT, print_plan

CONFIG = """
name = "flights"
[schema]
label = "late"
[schema.fields]
departure_delay = { type = "number" }
[[watch]]
signal = "feature:*"
detector = "page_hinkley"
arl0 = 4000000
[[watch]]
signal = "error"
detector = "adwin"
[alarms]
budget = "1 per 1000000 events"
"""
KAFKA = '[kafka]\nbootstrap = "127.0.0.1:1"\ntopics = { alerts = "pages" }\n'


def printed(text: str, capsys: pytest.CaptureFixture[str]) -> str:
    print_plan(parse(text, "c.toml", {}), Path("flights.db"), as_json=False)
    return capsys.readouterr().out


def test_a_terminal_of_80_columns_breaks_no_name_and_no_number(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OUT, "_width", 80)
    told = printed(CONFIG, capsys)

    (row,) = (line for line in told.splitlines() if "departure_delay" in line)
    assert [cell.strip() for cell in row.split("│")][:4] == [
        "feature:departure_delay", "page_hinkley", "4,000,000", "25.0%",
    ]  # fmt: skip
    assert "  of page_hinkley, adwin: mean, in standard deviations\n" in told
    assert all(len(line) <= 80 for line in told.splitlines() if "│" in line)


def test_over_kafka_the_topics_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    told = printed(CONFIG + KAFKA, capsys)

    assert "topics read: flights.events, flights.control\n" in told
    assert "topics written: flights.predictions, " in told
    assert ", pages, " in told
    assert "flights.db" not in told
    assert "streams in flights.db: predictions, " in printed(CONFIG, capsys)
