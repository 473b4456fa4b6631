"""A state is worth the same elsewhere: made by another process long ago, or by uncompiled code.

`python -m tests.test_detector_states` writes the file of states anew, after a detector's state has changed its form.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from detectors import names
from tests.detecting import EVERY_WAY, small, stream, variants
from tests.waiting import TIMEOUT_S

FILE = Path(__file__).with_name("detector_states.npz")
SAVED_AT = 700


def later(name, way):
    """The state of a detector after part of its stream, and the alarms in the rest."""
    x = stream(name, seed=9, n=1500, way=way)
    detector = small(name, way)
    detector.update_many(x[:SAVED_AT])
    state = detector.to_state()
    return state, alarms(detector, x[SAVED_AT:])


def alarms(detector, x):
    return [[at, drift.statistic, drift.threshold, drift.age] for at, drift in detector.update_many(x)]


def all_alarms(some):
    """Every way of these detectors over a short stream, as plain data."""
    return {
        f"{name} {way}": alarms(small(name, way), stream(name, seed=4, n=800, shifts=(0.0, 2.0), way=way))
        for name in some
        for way in variants(name)
    }


def write():
    arrays = {}
    for name, way in EVERY_WAY:
        state, found = later(name, way)
        arrays |= {f"{name}/{way}/{key}": value for key, value in state.items() if key != "detector"}
        arrays[f"{name}/{way}"] = np.array(found).reshape(-1, 4)
    np.savez_compressed(FILE, **arrays)


@pytest.mark.parametrize(("name", "way"), EVERY_WAY)
def test_a_state_from_elsewhere_goes_on_as_it_did_there(name, way):
    detector, own = small(name, way), f"{name}/{way}"
    with np.load(FILE) as file:
        saved = {key: file[f"{own}/{key}"] for key in detector.to_state() if key != "detector"}
        expected = file[own]
    detector.load({"detector": name, **saved})
    found = alarms(detector, stream(name, seed=9, n=1500, way=way)[SAVED_AT:])

    np.testing.assert_allclose(np.array(found).reshape(-1, 4), expected, rtol=1e-9)


@pytest.mark.parametrize("some", [names()[i::4] for i in range(4)], ids=range(4))
def test_uncompiled_code_gives_the_same(some):
    code = f"import json; from tests.test_detector_states import all_alarms; print(json.dumps(all_alarms({some!r})))"
    uncompiled = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, timeout=TIMEOUT_S, env=uncompiled, stdout=subprocess.PIPE,
        cwd=FILE.parent.parent,
    )  # fmt: skip
    slow, fast = json.loads(done.stdout), all_alarms(some)

    assert slow.keys() == fast.keys()
    for way, found in slow.items():
        np.testing.assert_allclose(found, fast[way], rtol=1e-9, err_msg=way)


if __name__ == "__main__":
    write()
