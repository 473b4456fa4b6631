"""Segments abreast: fields that one call feeds alarm, and are remembered, as those that are fed one by one."""

import msgspec
import numpy as np
import pytest
from chunks import config_of
from streams import differences, run_in_cuts, tape_of

from detectors.ks import Ks
from stream_app.flow.segments import Abreast
from stream_app.messages import EVENT
from stream_app.pipeline import Pipeline

FIELDS = 6
WIDE = (
    """
name = "wide"
[schema]
time = "t"
label = "y"
[schema.fields]
"""
    + "".join(f'x{i} = {{ type = "number", required = false }}\n' for i in range(FIELDS))
    + """
[[watch]]
signal = "feature:*"
detector = "ks"
reference = "150 events"
params = { window = 60 }
[alarms]
budget = "1 per 200 events"
[measure]
every = 64
[engine]
epoch = 32
[panes]
width = "1s"
"""
)


def stream(seed: int) -> list[tuple[int, bytes]]:
    """Some fields move, one twice, one is often missing, one never changes."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(1200, FIELDS)).round(3)
    x[500:, 1] += 2
    x[800:, 1] -= 4
    x[600:, 4] *= 5
    x[:, 3] = 1.5
    rows = x.tolist()
    for i in np.flatnonzero(rng.random(len(rows)) < 0.1).tolist():
        rows[i][2] = None
        rows[i][4] = None if i % 3 == 0 else rows[i][4]
    return [
        (EVENT, msgspec.json.encode({"t": 20 * i, "y": i % 2, **{f"x{j}": value for j, value in enumerate(row)}}))
        for i, row in enumerate(rows)
    ]


@pytest.mark.parametrize("seed", [1, 2])
def test_alarms_figures_panes_and_state_are_those_of_fields_one_by_one(seed, monkeypatch):
    config, records = config_of("", WIDE), stream(seed)
    cuts = np.sort(np.random.default_rng(seed).integers(0, len(records), 5)).tolist()
    whole, pipeline = run_in_cuts(config, records, [])
    parts, cut = run_in_cuts(config, records, cuts)
    assert all(isinstance(group, Abreast) and group.fed for group in pipeline.detect.abreast)
    monkeypatch.setattr(Ks, "abreast", classmethod(lambda *_: None))
    alone, apart = run_in_cuts(config, records, cuts)

    assert len(alone["alerts"]) >= 2
    assert whole == parts == alone
    assert differences(pipeline.snapshot(), apart.snapshot()) == []
    assert differences(cut.snapshot(), apart.snapshot()) == []


def test_fields_without_missing_values_share_a_trail_also_after_a_restart():
    config, records = config_of("", WIDE), stream(3)
    _, pipeline = run_in_cuts(config, records[:500], [])
    again = Pipeline(config)
    again.restore(pipeline.snapshot())
    for made in (again, pipeline):
        made.handle(tape_of(config, records[500:550], records[:500]))
    trails = [segment.trail for monitor in again.detect.monitors for segment in monitor.segments.values()]

    assert len({id(trail) for trail in trails}) == 3
    assert trails[0] is trails[1] is trails[3] is trails[5]
    assert trails[0].n == 550 > trails[2].n
    assert differences(pipeline.snapshot(), again.snapshot()) == []
