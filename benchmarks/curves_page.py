"""What `curves.py` found as a page and as a picture."""

import statistics
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter

from stream_app.runners.embedded import COMMIT_SHARE

TITLES = {
    "features": "Features",
    "watches": "Watches",
    "keys": "Keys",
    "segments": "Segments",
    "pending": "Labels that wait",
    "partitions": "Partitions",
}
WHAT = {
    "features": "Number fields, each watched by ADWIN and KS and fed to the model.",
    "watches": "Further watches of the 8 numbers, ADWIN and KS in turn, each with another parameter.",
    "keys": "Keys by which a feature is kept (the mean of the key's last 5 events); they take turns. Each that was\n"
    "seen since the last line of metrics is written to `features`: from ten thousand keys on, that is one an event.",
    "segments": "Segments of three more watches (`by`, ADWIN on two numbers and on the error); they take turns. Each\n"
    "detector of each segment has a line of its own in the metrics, every `measure.every` records.",
    "pending": "Events that wait for their label, which comes so many events later in a file of its own.",
    "partitions": "Shards in one process, each with its own state and log, a batch of each in turn.",
}
SHOWN = {"us": ("time", "µs", 1.0), "memory": ("memory", "MB", 1e6), "state": ("state", "MB", 1e6)}
COLOURS = {"us": "#1f5fa8", "memory": "#b3541e"}

PAGE = """<!-- made by benchmarks/curves.py: do not edit -->
# Growth

What an event costs as there is more of something: one quantity varies, everything else stays as it is (8 numbers, each
watched by ADWIN and KS, ADWIN on the error, a feature by key, `use = "linear"`, label in the row, JSON lines in;
predictions, outcomes, metrics, panes and features committed). How it grows with the length of the stream,
`benchmarks/growth.py` measures: not at all.

![Time per event and memory by each quantity](images/{picture})

- **time**: µs of processor time per event after all has settled, with what it takes to commit the outputs;
- **memory**: resident, beyond what a process holds that has run a small stream;
- **state**: what a commit writes to go on from, compressed, and the time to make it. It is not part of **time**: the
  larger it is, the more rarely it is written, so that making it takes at most {share:.0%} of a core.

Median (least to most) of {turns} turns, each point in a process of its own. The exponent is the slope of the upper half
in log-log: 0 is flat, 1 is linear; it must be at most 1.05, as arrays grow by doubling. "Each further": the difference
between the last two points for each that was added.

On {machine}.

{curves}

Worse than linear: {missed}.
"""


def page(found: dict[str, Any]) -> str:
    """The page."""
    curves = [_curve(name, points, found["exponents"][name]) for name, points in found["points"].items()]
    turns = max(len(turns) for points in found["points"].values() for turns in points.values())
    about = found["machine"]
    machine = f"{about['processor']}, {about['cores']} cores, load {about['load'][0]:g}, Python {about['python']}"
    return PAGE.format(
        picture="growth.svg",
        share=COMMIT_SHARE,
        turns=turns,
        machine=machine,
        curves="\n\n".join(curves),
        missed="; ".join(found["missed"]) or "nothing",
    )


def _curve(name: str, points: dict[int, list[dict[str, float]]], grown: dict[str, dict[str, float]]) -> str:
    lines = [f"## {TITLES[name]}\n", f"{WHAT[name]}\n"]
    lines += [f"| {name} | time, µs | memory, MB | state, MB | state, ms |", f"|{'---|' * 5}"]
    for point, turns in points.items():
        cells = [_spread(turns, measured, unit) for measured, (_, _, unit) in SHOWN.items()]
        lines.append(f"| {point:,} | {' | '.join(cells)} | {_median(turns, 'state_s') * 1e3:,.0f} |")
    told = [f"{g['exponent']:.2f} ({g['least']:.2f} to {g['most']:.2f})" for g in grown.values()]
    lines.append(f"| **exponent** | {' | '.join(told)} | |")
    lines.append(f"| each further | {' | '.join(_further(points))} | |")
    return "\n".join(lines)


def _further(points: dict[int, list[dict[str, float]]]) -> list[str]:
    if len(points) < 2:
        return ["-"] * len(SHOWN)
    (low, below), (high, above) = list(points.items())[-2:]
    each = {name: (_median(above, name) - _median(below, name)) / (high - low) for name in SHOWN}
    return [f"{each['us'] * 1e3:,.3g} ns", *(f"{max(0.0, each[name]):,.0f} bytes" for name in ("memory", "state"))]


def _median(turns: list[dict[str, float]], name: str) -> float:
    return statistics.median(turn[name] for turn in turns)


def _spread(turns: list[dict[str, float]], name: str, unit: float) -> str:
    values = [turn[name] / unit for turn in turns]
    middle, least, most = statistics.median(values), min(values), max(values)
    form = ",.0f" if middle >= 100 else ",.1f" if middle >= 10 else ",.2f"
    return f"{middle:{form}} ({least:{form}} to {most:{form}})" if name == "us" else f"{middle:{form}}"


def picture(found: dict[str, Any], path: Path) -> None:
    """Small multiples: time above, memory below, a curve beside the other; dashed: linear from the middle point."""
    mpl.rcParams.update({"svg.hashsalt": "driftline", "svg.fonttype": "none", "font.size": 8})
    names = list(found["points"])
    figure, axes = plt.subplots(2, len(names), figsize=(2.3 * len(names), 4.2), squeeze=False, sharex="col")
    for row, measured in enumerate(COLOURS):
        for axis, name in zip(axes[row], names, strict=True):
            _draw(axis, found["points"][name], measured)
            axis.set_title(TITLES[name] if row == 0 else "")
            if row == 1:
                axis.set_xlabel(name)
        what, unit, _ = SHOWN[measured]
        axes[row][0].set_ylabel(f"{what}, {unit}")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _draw(axis: Axes, points: dict[int, list[dict[str, float]]], measured: str) -> None:
    unit, at = SHOWN[measured][2], list(points)
    values = [[turn[measured] / unit for turn in points[point]] for point in at]
    medians = [statistics.median(each) for each in values]
    axis.fill_between(at, [min(each) for each in values], [max(each) for each in values], color="#d5d5d5", linewidth=0)
    axis.plot(at, medians, "o-", color=COLOURS[measured], markersize=3, linewidth=1.2)
    middle = (len(at) - 1) // 2
    linear = [medians[middle] * point / at[middle] for point in at[middle:]]
    axis.plot(at[middle:], linear, "--", color="#888888", linewidth=0.8)
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_ylim(min(medians) / 2, max(medians) * 4)
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=6))
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.grid(visible=True, which="major", color="#eeeeee", linewidth=0.6)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
