"""Stories of incidents: cause, onset and harm are told, in 80 columns, and nothing of the data steers the terminal."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from command import csv_text, driftline, records, write_config

from stream_app.config import load
from stream_app.edges import incident_view
from stream_app.edges.incident_view import around, errors, series
from stream_app.edges.plot import HEIGHT, plot
from stream_app.edges.terminal import printable

ESCAPE = "\x1b[31m"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run: from 2000 on the label turns round, and a category is one that would colour the terminal."""
    made = tmp_path_factory.mktemp("stories")
    rows = records(3000)
    for i, row in enumerate(rows):
        if i >= 2000:
            row["y"], row["c"] = str(1 - int(row["y"])), f"{ESCAPE}c"
    (made / "events.csv").write_text(csv_text(rows))
    config = write_config(made, "events.csv")
    config.write_text(config.read_text().replace(', values = ["a", "b"]', "") + '\n[panes]\nwidth = "1h"\n')
    assert driftline(made, "run", config).returncode == 0
    return made


def test_an_incident_tells_cause_onset_and_harm(folder: Path) -> None:
    told = json.loads(driftline(folder, "story", "small.toml", "small-1", "--json").stdout)
    text = driftline(folder, "story", "small.toml", "small-1").stdout

    data = told["alerts"][-1]["data"]
    assert abs(data["onset_offset"] - 2000) <= 30
    assert f"(offset {data['onset_offset']:,}" in text
    assert f"cause 1: {printable(data['causes'][0]['what'])}" in text
    assert "harm: costs something" in text
    assert "by its labels: +" in text
    assert "error, mean per pane" in text
    assert "^ onset 2020-09-" in text
    assert "^ alarm 2020-09-" in text
    assert told["panes"]
    assert told["errors"]
    assert all(point[0] >= 0 and math.isfinite(point[1]) for point in told["panes"])


def test_text_of_the_data_does_not_steer_the_terminal(folder: Path) -> None:
    text = driftline(folder, "story", "small.toml", "small-1").stdout

    assert "\x1b" not in text
    assert "\\x1b[31mc" in text


def test_an_incident_fits_into_80_columns(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = json.loads(driftline(folder, "story", "small.toml", "small-1", "--json").stdout)
    monkeypatch.setattr(incident_view, "WIDEST", 80)
    incident_view.print_incident(load(folder / "small.toml"), told)

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 20
    assert max(map(len, lines)) <= 80


def test_parts_of_a_pane_add_up() -> None:
    panes = [{"start": 5, "n": 1, "mean": 1.0}, {"start": 0, "n": 2, "mean": 3.0}, {"start": 5, "n": 3, "mean": 5.0},
             {"start": 9, "n": 0}, {"start": 12, "n": 1, "mean": None}]  # fmt: skip

    assert series(panes) == [(0, 3.0), (5, 4.0)]


def test_errors_are_those_of_the_task() -> None:
    def metric(**rolling: Any) -> dict[str, Any]:
        return {"time": 1, "rolling": rolling}

    assert errors([metric(accuracy=0.75)]) == [(1, 0.25)]
    assert errors([metric(mae=3.0, r2=None)]) == [(1, 3.0)]
    assert errors([metric(accuracy=None), metric(mae=None)]) == []


def test_a_plot_shows_what_is_around_the_incident() -> None:
    points = [(i, float(i >= 50)) for i in range(100)]

    assert around(points, {"onset_time": 50, "time": 55}) == points[40:66]
    assert around(points, {}) == []


@pytest.mark.parametrize("values", [[1.0, 1.0], [-5.0, 1e300], [0.0] * 500])
def test_a_plot_has_its_height_and_its_width(values: list[float]) -> None:
    lines = plot(list(enumerate(values)), {"a long name of a mark": len(values) - 1}, 80)

    assert len(lines) == HEIGHT + 1
    assert max(map(len, lines)) <= 80
    assert "^" in lines[-1]
