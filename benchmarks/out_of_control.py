"""How late is a change found, at the same measured rate of false alarms: our detectors beside those of four libraries.

Each detector's one sensitivity parameter is tuned by bisection on in-control streams of the same distribution until its
measured ARL0 is 10,000 (a fresh detector after each alarm). Then it reads STREAMS streams of 5,000 quiet observations
and a change (changes of spread and shape: on every fourth); those with an alarm before it are left out, as is usual
(conditional expected delay). What is not found within 10,000 observations counts as 10,000. The streams are the same
for everybody. A gradual change goes from the old to the new distribution over 1,000 observations: each is drawn from
the new one with a probability that rises in a line.
Slow detectors get fewer streams: each has SECONDS for tuning and SECONDS for reading on a distribution.

A change of the mean or of the error rate is a rise, as most of the others look for no other. The bound is Lorden's,
log(ARL0) / KL: what is asymptotically possible to one who knows both distributions.

River runs here; the others are installed into environments of their own at first use. One that cannot be installed is
left out, and the table says so. Exit code 1 if the best of ours is behind the best of theirs on any change.

Run: python benchmarks/out_of_control.py [--out docs/detectors/out_of_control.md] [--quick] [--only NAME,...]
(under 30 minutes on two idle cores)
"""

import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from changes import AFTER, ARL0, BEFORE, CHANGES, QUIET, write_streams
from environment import environment
from machine import describe
from rich.console import Console

PEERS = Path(__file__).resolve().with_name("detector_peers")
OURS, INSTALLED = "driftline", ("frouros", "menelaus", "capymoa")
NEAR = 0.15  # of log ARL0: further on the side of more false alarms is no match
Chosen = Callable[[str, str], bool]  # library, detector


@dataclass
class Entry:
    """One detector on one distribution."""

    library: str
    name: str
    value: float  # of its parameter
    arl0: float  # measured
    alarms: int
    early: int
    delays: dict[str, np.ndarray]

    @property
    def matched(self) -> bool:
        """Whether its false alarms are at least as rare as asked for."""
        return math.log(self.arl0 / ARL0) > -NEAR

    def mean(self, case: str) -> float:
        return float(np.abs(self.delays[case]).mean()) if len(self.delays[case]) else math.inf

    def error(self, case: str) -> float:
        delays = np.abs(self.delays[case])
        return float(delays.std(ddof=1) / math.sqrt(len(delays))) if len(delays) > 1 else math.nan

    def cell(self, case: str) -> str:
        """Mean, its standard error and the median; marked where some were not found."""
        delays = self.delays[case]
        if not len(delays):
            return "-"
        missed = ">" if (delays < 0).any() else ""
        return f"{missed}{self.mean(case):,.0f} ± {self.error(case):.0f} ({np.median(np.abs(delays)):,.0f})"


def peers(console: Console) -> tuple[dict[str, Path], list[tuple[str, str]], list[str]]:
    """The Python of each library, all detectors of all libraries, and the libraries that are missing."""
    pythons, missing = {"river": Path(sys.executable), OURS: Path(sys.executable)}, []
    for library in INSTALLED:
        try:
            pythons[library] = environment(PEERS / f"{library}.txt")
        except (subprocess.CalledProcessError, OSError) as error:
            console.print(f"{library} is left out: {error}", style="red")
            missing.append(library)
    entries = []
    for library, python in list(pythons.items()):
        code = f"import json, with_{library} as w; print(json.dumps(list(w.PEERS)))"
        done = subprocess.run([str(python), "-c", code], cwd=PEERS, capture_output=True, text=True, check=False)
        if done.returncode:
            console.print(f"{library} is left out: {done.stderr[-500:]}", style="red")
            missing.append(library)
            continue
        entries += [(library, name) for name in json.loads(done.stdout.splitlines()[-1])]
    return pythons, entries, missing


def run(python: Path, library: str, name: str, folder: Path) -> list[Entry] | str:
    """What race.py measures of one detector, or why it did not."""
    command = [str(python), str(PEERS / "race.py"), library, name, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["no message"])[-1]
    entries = []
    for distribution, found in json.loads(done.stdout.splitlines()[-1]).items():
        delays = {case: np.array(values) for case, values in found.pop("delays").items()}
        entries.append((distribution, Entry(library, name, delays=delays, **found)))
    return entries


def race(chosen: Chosen, streams: int, in_control: int, seconds: float, begin: str, console: Console) -> dict[str, Any]:
    """Everybody on the same streams, two at a time; of the distributions whose name begins so."""
    pythons, entries, missing = peers(console)
    entries = [entry for entry in entries if chosen(*entry)]
    found: dict[str, list[Entry]] = {name: [] for name in BEFORE if name.startswith(begin)}
    failed, began = [], time.monotonic()
    with tempfile.TemporaryDirectory() as temporary, ThreadPoolExecutor(2) as pool:
        folder = Path(temporary)
        write_streams(folder, streams, in_control, seconds, begin)
        tasks = {pool.submit(run, pythons[entry[0]], *entry, folder): entry for entry in entries}
        for done, task in enumerate(as_completed(tasks), 1):
            (library, name), result = tasks[task], task.result()
            said = result if isinstance(result, str) else ", ".join(f"{d} {e.arl0:,.0f}" for d, e in result)
            console.print(
                f"{done}/{len(tasks)} {time.monotonic() - began:4.0f} s  {library} {name}: {said}", style="dim"
            )
            if isinstance(result, str):
                failed.append(f"{library} {name}: {result}")
                continue
            for distribution, entry in result:
                found[distribution].append(entry)
    return {"found": found, "failed": failed, "missing": missing}


def best(entries: list[Entry], case: str, ours: bool) -> Entry | None:
    """The earliest at this rate of false alarms."""
    able = [entry for entry in entries if (entry.library == OURS) == ours and entry.matched]
    return min(able, key=lambda entry: entry.mean(case), default=None)


def contest(found: dict[str, list[Entry]]) -> tuple[list[str], list[str]]:
    """The table of best against best, and the cases that are lost."""
    lines = ["| change | best of ours | delay | best of theirs | delay | theirs / ours | bound | ours / bound |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    lost = []
    for change in CHANGES:
        for case in change.cases():
            mine, theirs = (best(found.get(change.distribution, []), case, ours) for ours in (True, False))
            if mine is None or theirs is None:
                continue
            ratio = theirs.mean(case) / mine.mean(case)
            if ratio <= 1:
                lost.append(case)
            bound = math.log(ARL0) / change.kl
            limits = [f"{bound:,.0f}", f"{mine.mean(case) / bound:.2f}"] if case.endswith("abrupt") else ["", ""]
            who = f"{theirs.library} {theirs.name}"
            row = [case, mine.name, mine.cell(case), who, theirs.cell(case), f"{ratio:.2f}", *limits]
            lines.append(f"| {' | '.join(row)} |")
    return lines, lost


def details(found: dict[str, list[Entry]]) -> Iterator[str]:
    """Each detector on each change."""
    for distribution, entries in found.items():
        for pace in ("abrupt", "gradual"):
            cases = [f"{c.name}, {pace}" for c in CHANGES if c.distribution == distribution]
            yield from (f"\n### From {distribution}, {pace}\n", f"| | ARL0 (alarms) | streams | {' | '.join(cases)} |")
            yield "|---" * (3 + len(cases)) + "|"
            order = sorted(entries, key=lambda entry: sum(math.log(entry.mean(case)) for case in cases))
            for entry in order:
                mark = "" if entry.matched else " *"
                row = [f"{entry.library} {entry.name}{mark}", f"{entry.arl0:,.0f} ({entry.alarms})"]
                row += [str(len(entry.delays[cases[0]])), *(entry.cell(case) for case in cases)]
                yield f"| {' | '.join(row)} |"
            yield f"| alarm every {ARL0:,} observations | {ARL0:,} | | {' | '.join([f'{ARL0 // 2:,}'] * len(cases))} |"
            yield f"| random alarms at that rate | {ARL0:,} | | {' | '.join([f'{ARL0:,}'] * len(cases))} |"


def report(result: dict[str, Any], only: set[str], without: set[str], *, quick: bool) -> tuple[str, list[str]]:
    """The page, and the cases that are lost."""
    table, lost = contest(result["found"])
    short = "\nA short run (`--quick`): 60 streams at most." * quick
    short += f"\nOnly these ran: {', '.join(sorted(only))}." * bool(only)
    short += f"\nLeft out, as they take long: the others' {', '.join(sorted(without))}." * bool(without)
    text = [
        "<!-- made by benchmarks/out_of_control.py: do not edit -->",
        "# Delay at the same measured false alarm rate\n",
        f"Every detector is tuned to a measured ARL0 of {ARL0:,} on streams like those before the change. Then: the",
        f"delay in observations after {QUIET:,} quiet ones, mean ± standard error (median). `>`: some changes were",
        f"not found within {AFTER:,} observations and count as {AFTER:,}. Bound: log(ARL0) / KL (Lorden), for one who",
        "knows both distributions. A gradual change takes 1,000 observations; its delay counts from their first.",
        "Everybody runs with defaults but for the one parameter that is tuned. Some of ours run a second time with the",
        "setting in their name, the same on all streams; `up`: looks for a rise only, as do most of theirs; `warm_up`:",
        "silent for so long after a start, so that all its false alarms come later, where the changes are; `min`: the",
        "same for those of theirs that come nearest." + short,
        "",
        "## Best of ours, best of theirs\n",
        *table,
        f"\nBehind: {'; '.join(lost) or 'nowhere'}.\n",
        "## Each detector\n",
        "`*`: could not be tuned to so few false alarms, not counted above. Streams: those without an earlier alarm; a",
        "quarter of them for changes of spread and shape.",
        *details(result["found"]),
    ]
    if result["missing"]:
        text.append(f"\nNot installed here: {', '.join(result['missing'])}.")
    if result["failed"]:
        text += ["\nFailed:\n", *(f"- {line}" for line in result["failed"])]
    return "\n".join(text) + "\n", lost


@click.command()
@click.option("--out", type=click.Path(path_type=Path), help="Write the page to this file.")
@click.option("--quick", is_flag=True, help="Fewer streams, and without the others' KSWIN; for development.")
@click.option("--only", default="", help="Detectors or libraries, with commas.")
@click.option("--without", default="", help="Detectors of the others that are left out, with commas.")
@click.option("--seconds", default=12.0, help="For each detector and distribution, twice.")
@click.option("--begin", default="", help="Only changes from distributions whose name begins so: normal, error.")
@click.option("--streams", default=400, help="With a change.")
@click.option("--in-control", default=24, help="Streams without one, of 50,000 observations each.")
def main(
    out: Path | None, quick: bool, only: str, without: str, seconds: float, begin: str, streams: int, in_control: int
) -> None:
    """Race all detectors."""
    console = Console(stderr=True, width=160)
    describe(console)
    wanted, unwanted = ({name for name in names.split(",") if name} for names in (only, without))
    unwanted |= {"KSWIN"} if quick else set()

    def chosen(library: str, name: str) -> bool:
        return bool(wanted & {library, name}) if wanted else library == OURS or name not in unwanted

    streams, in_control, seconds = (60, 8, min(seconds, 3.0)) if quick else (streams, in_control, seconds)
    result = race(chosen, streams, in_control, seconds, begin, console)
    text, lost = report(result, wanted, unwanted, quick=quick)
    print(text)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text)
    sys.exit(1 if lost else 0)


if __name__ == "__main__":
    main()
