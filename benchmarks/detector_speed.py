"""The speed of the detectors beside river's: the same published parameters, the same numbers, in turn.

Each turn feeds ours by one `update_many` and river's by its loop (`update`, then `drift_detected`), so that a busy
machine meets both; judged is the median of the ratios. The alarms of both must be the same. `by arl0` is ours at its
defaults, for comparison. Then: 100 features watched in calls of 256 beside one; and the time of `import detectors` in a
fresh process.

Targets: 10 times river's loop, 5 times for ADWIN (river's is compiled), 300 times for KSWIN; 100 features at most 100
times one; import at most 0.5 s. Exit code 1 if one is missed.

Run: python benchmarks/detector_speed.py [--out docs/detectors/speed.md] [--quick]   (two minutes on an idle core)
"""

import functools
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
from machine import describe
from rich.console import Console
from river import drift

from detectors import Detector, get, make, names

FASTER, IMPORT_S = 10.0, 0.5
FEATURES, CALL = 100, 256


class Peer(NamedTuple):
    """River's class, the observations it is given, and how many times faster ours must be."""

    make: Callable[[], Any]
    n: int
    faster: float = FASTER


PEERS = {
    "adwin": Peer(drift.ADWIN, 100_000, 5.0),
    "page_hinkley": Peer(drift.PageHinkley, 100_000),
    "ddm": Peer(drift.binary.DDM, 50_000),
    "eddm": Peer(drift.binary.EDDM, 50_000),
    "fhddm": Peer(drift.binary.FHDDM, 50_000),
    "hddm_a": Peer(drift.binary.HDDMA, 50_000),
    "hddm_w": Peer(drift.binary.HDDMW, 50_000),
    "kswin": Peer(functools.partial(drift.KSWIN, seed=1), 1_000, 300.0),
}
REPEAT = 10  # times that ours reads what river's reads once: its time must not drown in that of the clock


class Row(NamedTuple):
    """Nanoseconds an observation, of each turn."""

    name: str
    ours: list[float]
    river: list[float]
    default: list[float]
    same: bool
    target: float

    @property
    def ratios(self) -> list[float]:
        return [river / ours for ours, river in zip(self.ours, self.river, strict=True)]

    @property
    def good(self) -> bool:
        return statistics.median(self.ratios) >= self.target and self.same


def timed(run: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = run()
    return time.perf_counter() - start, result


def river_alarms(peer: Peer, values: list[float]) -> list[int]:
    detector, found = peer.make(), []
    for i, value in enumerate(values):
        detector.update(value)
        if detector.drift_detected:
            found.append(i)
    return found


def alarms(detector: Detector, x: np.ndarray) -> list[int]:
    return [at for at, _ in detector.update_many(x)]


def beside_river(name: str, peer: Peer, turns: int) -> Row:
    """Ours and river's in turn."""
    rng = np.random.default_rng(3)
    errors = "binary" in type(peer.make()).__module__  # river's HDDM takes nothing else; ours clips to [0, 1]
    x = (rng.random(peer.n) < 0.2).astype(float) if errors else rng.normal(size=peer.n)
    x[peer.n // 2 :] = 1 - x[peer.n // 2 :]  # something to find
    # River's FHDDM looks for a fall, whatever its documentation says: it is given 1 = right.
    values, row = (1 - x if name == "fhddm" else x).tolist(), Row(name, [], [], [], True, peer.faster)
    fresh: dict[str, dict[str, Any]] = {"ours": get(name).published, "default": {}}
    if name == "kswin":
        fresh["ours"] = {**fresh["ours"], "seed": 1}
    for params in fresh.values():
        make(name, **params).update_many(x)
    for _ in range(turns):
        for where, params in fresh.items():
            long = [make(name, **params) for _ in range(REPEAT)]
            seconds, found = timed(lambda long=long: [alarms(detector, x) for detector in long])
            getattr(row, where).append(seconds / REPEAT / peer.n * 1e9)
            if where == "ours":
                mine = found[0]
        seconds, theirs = timed(lambda: river_alarms(peer, values))
        row.river.append(seconds / peer.n * 1e9)
        row = row._replace(same=row.same and mine == theirs)
    return row


def many_features(name: str, turns: int) -> list[float]:
    """Time of watching all of 100 features over that of watching one of them, on the same stream of rows.

    Rows come in blocks of 256, as to driftline; a watched feature's column is cut from the block, as there. The one is
    the mean of 20 of the hundred, one after the other: none of them is read twice.
    """
    stream = np.random.default_rng(4).normal(size=(80, CALL, FEATURES))

    def watch(sets: list[range]) -> float:
        fresh = [[(j, make(name)) for j in features] for features in sets]

        def feed() -> None:
            for detectors in fresh:
                for block in stream:
                    for j, detector in detectors:
                        detector.update_many(block[:, j])

        return timed(feed)[0] / len(sets)

    one, all_of_them = [range(j, j + 1) for j in range(0, FEATURES, 5)], [range(FEATURES)]
    watch(all_of_them)
    return [watch(all_of_them) / watch(one) for _ in range(turns)]


def import_seconds(turns: int) -> list[float]:
    code = "import time; t = time.perf_counter(); import detectors; print(time.perf_counter() - t)"
    return [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout)
        for _ in range(turns)
    ]


def spread(values: list[float], form: str) -> str:
    """Median (least to most)."""
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


@click.command()
@click.option("--out", type=click.Path(path_type=Path), help="Write the page to this file.")
@click.option("--quick", is_flag=True, help="3 turns instead of 11.")
def main(out: Path | None, quick: bool) -> None:
    """Measure the detectors' speed."""
    console, turns = Console(stderr=True, width=160), 3 if quick else 11
    describe(console)
    rows = []
    for name in (name for name in PEERS if name in names()):
        rows.append(beside_river(name, PEERS[name], turns))
        console.print(f"{name}: {spread(rows[-1].ratios, '.1f')} times river", style="dim")
    features = {name: many_features(name, turns) for name in ("adwin", "ks")}
    imports = import_seconds(turns)
    text = ["<!-- made by benchmarks/detector_speed.py: do not edit -->", "# Speed\n"]
    text += ["Nanoseconds an observation, median (least to most) of turns in one process, with the parameters of the"]
    text += ["literature; `by arl0`: ours as it is used by default.\n"]
    text += [
        "| detector | ours | river | times river | target | same alarms | by arl0 |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        shown = [spread(row.ours, ",.0f"), spread(row.river, ",.0f"), spread(row.ratios, ",.1f"), f"{row.target:g}"]
        text.append(f"| {' | '.join([row.name, *shown, 'yes' if row.same else 'NO', spread(row.default, ',.0f')])} |")
    text += [""] + [
        f"- {FEATURES} features watched by {name}, times one: {spread(ratios, '.1f')}; target at most {FEATURES}"
        for name, ratios in features.items()
    ]
    text.append(f"- `import detectors`: {spread(imports, '.2f')} s; target at most {IMPORT_S} s")
    missing = [name for name in PEERS if name not in names()]
    missed = [row.name for row in rows if not row.good] + [f"{name} (not there)" for name in missing]
    missed += [f"features of {name}" for name, ratios in features.items() if statistics.median(ratios) > FEATURES]
    missed += ["import"] if statistics.median(imports) > IMPORT_S else []
    text.append(f"\nMissed: {', '.join(missed) or 'nothing'}.\n")
    print("\n".join(text))
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text("\n".join(text))
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
