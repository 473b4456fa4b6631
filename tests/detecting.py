"""Detectors with short windows, and streams that take them through all their phases."""

import numpy as np

from detectors import get, make, names, parameters

SMALL = {"arl0": 1e3, "warm_up": 60, "reference": 300, "window": 100, "features": 3}
OPTIONS = {"season": 24, "dependence": "ar"}


def variants(name):
    """Parameters for each way in which a detector can work."""
    ways = {"arl0": {}, "options": OPTIONS}
    if get(name).published:
        ways["published"] = get(name).published
    if "category" in get(name).kinds:
        ways["categories"] = {"categories": True}
    if "rolling" in parameters(name):
        ways["rolling"] = {"rolling": True}
    if "direction" in parameters(name):
        ways |= {side: {"direction": side} for side in ("up", "down")}
    return ways


EVERY_WAY = [(name, way) for name in names() for way in variants(name)]


def small(name, way="arl0", **params):
    """A detector whose warm-up and windows are short."""
    chosen = variants(name)[way]
    if way == "published":
        wanted = {"features": SMALL["features"], **chosen, **params}
    else:
        wanted = {**SMALL, **chosen, **params}
    return make(name, **{key: value for key, value in wanted.items() if key in parameters(name)})


def shaped(name, x, rng):
    """The signal as the detector wants it: rows of three for one of many signals."""
    if "vector" not in get(name).kinds:
        return x
    return np.stack([x, rng.normal(size=len(x)), 0.5 * x + rng.normal(size=len(x))], axis=1)


def stream(name, seed=0, n=2500, shifts=(0.0, 3.0, -1.0), way="arl0"):
    """Noise whose mean jumps; 0/1 with a rate that jumps, or codes, for detectors of those; some values missing."""
    rng = np.random.default_rng(seed)
    level = np.repeat(shifts, -(-n // len(shifts)))[:n]
    x = rng.normal(level)
    if get(name).error_only:
        x = (rng.random(n) < 0.15 + 0.2 * np.abs(level)).astype(float)
    elif way == "categories":
        x = np.clip(np.round(2 * x), -8, 8)
    x = shaped(name, x, rng)
    x[rng.random(n) < 0.03] = np.nan
    return x


def same_state(a, b):
    assert a.keys() == b.keys()
    for key, value in a.items():
        assert np.array_equal(value, b[key], equal_nan=True) if isinstance(value, np.ndarray) else value == b[key], key
