"""What an incident says beyond its detectors: since when, what changed, where, at what cost; against known truth."""

from typing import Any

import numpy as np
import pytest
from chunks import config_of, values
from streams import tape_of

from stream_app.messages import EVENT, to_json
from stream_app.pipeline import Pipeline

N, ONSET = 6000, 4000
SCHEMA = """
name = "s"
[schema]
id = "id"
label = "y"
[schema.fields]
a = { type = "number", required = false }
b = { type = "number" }
idle = { type = "number" }
c = { type = "category" }
[measure]
every = 512
[alarms]
budget = "1 per 100000 events"
group = "1500 events"
cooldown = "20000 events"
"""
WATCHES = "".join(
    f'[[watch]]\nsignal = "feature:{name}"\ndetector = "{detector}"\nreference = "1000 events"\n'
    for name, detector in (("a", "ks"), ("b", "ks"), ("idle", "ks"), ("c", "g_test"))
)
MISSING = '[[watch]]\nsignal = "missing:a"\ndetector = "e_detector"\n'
ERROR = '[[watch]]\nsignal = "error"\ndetector = "e_detector"\n'


def stream(seed: int = 1, *, tied: float = 0.0) -> dict[str, Any]:
    """Columns of events; the label follows from b and c."""
    rng = np.random.default_rng(seed)
    a, noise = rng.gamma(4.0, 10.0, N).round(), rng.normal(size=N)
    b = tied * (a - 40) / 20 + np.sqrt(1 - tied**2) * noise
    c = np.array(["x", "y", "z"])[rng.integers(0, 3, N)]
    y = rng.random(N) < 1 / (1 + np.exp(-2 * b - (c == "x")))
    return {"a": a, "b": b, "idle": rng.normal(size=N), "c": c, "y": y.astype(int)}


def incidents(columns: dict[str, Any], watches: str = WATCHES + MISSING + ERROR) -> list[dict[str, Any]]:
    """The newest alert of each incident, without the wave of the labels that follows some drifts."""
    config = config_of(watches, SCHEMA)
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*(c.tolist() for c in columns.values()), strict=True)]
    records = [(EVENT, to_json({"id": f"e{i}"} | row)) for i, row in enumerate(rows)]
    out = Pipeline(config).handle(tape_of(config, records))
    newest = {alert["data"]["incident"]: alert["data"] for alert in values(out.messages, "alerts")}
    return list(newest.values())


def since(column: Any, value: Any) -> Any:
    return np.where(np.arange(N) >= ONSET, value, column)


def test_nothing_happens_in_a_stream_that_does_not_change() -> None:
    assert incidents(stream()) == []


def test_another_unit_is_named_with_its_onset_and_events_that_show_it() -> None:
    columns = stream()
    columns["a"] = since(columns["a"], columns["a"] * 1.609344)
    (found,) = incidents(columns)
    first = found["causes"][0]

    assert (first["signal"], first["kind"]) == ("feature:a", "unit")
    assert "1.609" in found["message"]
    assert abs(found["onset_offset"] - ONSET) <= 20
    assert found["onset_interval"][0] <= ONSET <= found["onset_interval"][1]
    assert found["onset_interval"][1] - found["onset_interval"][0] < 100
    assert len(found["examples"]) == 5
    assert all(ONSET - 20 <= int(name[1:]) < ONSET + 200 for name in found["examples"])
    assert [part["feature"] for part in found["changes"]] == ["a"]


def test_what_costs_nothing_is_benign_and_calls_nobody() -> None:
    columns = stream()
    columns["idle"] = since(columns["idle"], columns["idle"] + 1)
    (found,) = incidents(columns)

    assert found["causes"][0]["signal"] == "feature:idle"
    assert found["harm"]["basis"] in ("realised", "estimated")
    assert found["harm"]["benign"] is not False
    assert found["severity"] == "info"


def test_harm_is_told_with_its_interval_and_where_it_is() -> None:
    columns = stream()
    hurt = (np.arange(N) >= ONSET) & (columns["c"] == "y")
    columns["y"] = np.where(hurt, 1 - columns["y"], columns["y"])
    (found,) = incidents(columns)
    low, high = found["harm"]["interval"]

    assert found["severity"] == "critical"
    assert found["harm"]["benign"] is False
    assert low < found["harm"]["excess_per_event"] < high
    assert found["segments"][0]["segment"] == "c=y"
    assert "most of it where c=y" in found["message"]
    assert found["changes"] == []  # no input changed: it is the concept
    assert found["causes"][0]["signal"] == "error"


def test_two_causes_at_once_are_two_incidents() -> None:
    columns = stream()
    columns["a"] = since(columns["a"], np.where(np.random.default_rng(2).random(N) < 0.3, np.nan, columns["a"]))
    columns["c"] = since(columns["c"], np.where(columns["c"] == "z", "w", columns["c"]))
    found = {incident["causes"][0]["signal"]: incident for incident in incidents(columns, WATCHES + MISSING)}

    assert sorted(found) == ["feature:c", "missing:a"]
    assert found["feature:c"]["causes"][0]["kind"] == "renamed"
    assert "w" in found["feature:c"]["message"]


@pytest.mark.parametrize("tied", [0.9, 0.0])
def test_several_signals_moved_by_one_cause_are_one_incident(tied: float) -> None:
    """Columns that hang together; and columns that do not, to which the same happens in the same moment."""
    columns = stream(tied=tied)
    columns["a"] = since(columns["a"], columns["a"] + 30)
    columns["b"] = since(columns["b"], columns["b"] + 1.5)
    (found,) = incidents(columns, WATCHES)

    assert {part["signal"] for part in found["contributions"]} >= {"feature:a", "feature:b"}
