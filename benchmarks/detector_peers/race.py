"""Tunes one detector of one library to the wanted ARL0 on each distribution, then measures its delays.

Run by out_of_control.py in the environment of that library: python race.py LIBRARY DETECTOR FOLDER. FOLDER holds the
streams, the same for everybody, and plan.json; the answer is one JSON object on stdout.
"""

import copy
import importlib
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from peer import Peer

FULL = 5  # runs over all in-control streams that a search takes, the early-stopped ones together
STEPS = 24  # bisections at most
CLOSE = 0.04  # of log ARL0: no need to search on


class Plan:
    """The streams and how long to take."""

    def __init__(self, folder: Path) -> None:
        plan = json.loads((folder / "plan.json").read_text())
        self.folder = folder
        self.arl0: float = plan["arl0"]
        self.seconds: float = plan["seconds"]  # for tuning on one distribution, and again for its delays
        self.cases: dict[str, dict[str, int]] = plan["cases"]  # of each distribution, and which streams are read

    def load(self, kind: str, name: str) -> np.ndarray:
        """Streams, one a row."""
        return np.load(self.folder / kind / f"{name}.npy", mmap_mode="r")


def seconds_each(peer: Peer, streams: np.ndarray) -> float:
    """Cost of one observation, compiled and warm."""
    value = peer.rarely
    peer.make(value).first_alarm(np.asarray(streams[0][:1000]))
    x, start = np.asarray(streams[0][:4000]), time.process_time()
    peer.make(value).first_alarm(x)
    return (time.process_time() - start) / len(x)


def run_length(peer: Peer, value: float, streams: np.ndarray, goal: float) -> tuple[float, int]:
    """Observations per alarm, a fresh detector after each, and the alarms; stops early when far from the goal."""
    alarms = seen = 0
    for row in streams:
        x, start = np.asarray(row), 0
        while start < len(x):
            at = peer.make(value).first_alarm(x[start:])
            if at < 0:
                break
            alarms, start = alarms + 1, start + at + 1
            expected = max(10.0, (seen + start) / goal)
            if alarms - expected > 5 * math.sqrt(expected):
                return (seen + start) / alarms, alarms
        seen += len(x)
        expected = seen / goal
        if expected >= 10 and expected - alarms > 4 * math.sqrt(expected):
            break
    return seen / max(alarms, 0.5), alarms


def tune(peer: Peer, streams: np.ndarray, goal: float) -> tuple[float, float, int]:
    """The parameter's value whose measured ARL0 is next to the goal, that ARL0 and the alarms it was counted from."""
    low, high = -1.0, 1.0  # so that the first is the most sensitive: some alarm too rarely even then
    best = (math.inf, math.nan, math.nan, 0)
    for _ in range(STEPS):
        middle = max(0.0, (low + high) / 2)
        value = peer.often ** (1 - middle) * peer.rarely**middle
        try:
            arl, alarms = run_length(peer, value, streams, goal)
        except ValueError:  # our windows refuse an arl0 at which they could never alarm
            arl, alarms = math.inf, 0
        off = abs(math.log(arl / goal))
        best = min(best, (off, value, arl, alarms))
        if off < CLOSE or (middle == 0.0 and arl > goal):
            break
        low, high = (middle, high) if arl < goal else (low, middle)
    return best[1:]


def delays(peer: Peer, value: float, plan: Plan, distribution: str) -> tuple[dict[str, list[int]], int]:
    """Delays by case over the streams without an earlier alarm, as many as time allows; and how many had one."""
    quiet = plan.load("quiet", distribution)
    after = {case: plan.load("after", case) for case in plan.cases[distribution]}
    found: dict[str, list[int]] = {case: [] for case in after}
    early, stop = 0, time.process_time() + plan.seconds
    for i, row in enumerate(quiet):
        watch = peer.make(value)
        if watch.first_alarm(np.asarray(row)) >= 0:
            early += 1
            continue
        for case, every in plan.cases[distribution].items():
            if i % every:
                continue
            streams = after[case]
            at = copy.deepcopy(watch).first_alarm(np.asarray(streams[i]))
            found[case].append(at + 1 if at >= 0 else -streams.shape[1])
        if time.process_time() > stop and i >= 9:
            break
    return found, early


def race(peer: Peer, plan: Plan) -> dict[str, Any]:
    """Everything measured of one detector, by distribution."""
    result: dict[str, Any] = {}
    for distribution in plan.cases:
        if ("number" if distribution == "normal" else "error") not in peer.signals:
            continue
        streams = plan.load("in_control", distribution)
        affordable = plan.seconds / FULL / seconds_each(peer, streams) / streams.shape[1]
        value, arl, alarms = tune(peer, streams[: max(2, int(affordable))], plan.arl0)
        found, early = delays(peer, value, plan, distribution)
        result[distribution] = {"value": value, "arl0": arl, "alarms": alarms, "early": early, "delays": found}
    return result


if __name__ == "__main__":
    library, name, folder = sys.argv[1:]
    module = importlib.import_module(f"with_{library}")
    print(json.dumps(race(module.PEERS[name], Plan(Path(folder)))))
