"""Is each fault in the data one incident, with the right cause first, dated well, and nothing else beside it.

The flights of the demo, up to a month behind the fault, with one more number: the delay with which the flight's
aircraft landed last. Each fault begins at the same flight. What a fault caused are the incidents of its run that the
run without a fault has not: another leading signal, or an onset farther away than `alarms.group`.

Run: python benchmarks/faults.py [--out docs/faults.md]   (two minutes). Exit code 1 if a fault is missed, is not the
first cause, is dated wrongly by more than 1 % of the stream, or raises a second incident.
"""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
import pandas as pd
from machine import describe
from rich.console import Console

from stream_app.config import load
from stream_app.edges import demo
from stream_app.edges.log import Log
from stream_app.runners.embedded import Embedded

CONFIG = Path(__file__).with_name("configs") / "faults.toml"
FAULT, END = 200_000, 225_000  # flight at which a fault begins, and where the stream ends
NEAR = 0.01  # of the stream: how far off an onset may be
GROUP_MS = 2 * 86_400_000
Frame = pd.DataFrame
Tables = tuple[Frame, Frame]


class Fault(NamedTuple):
    """What breaks, and the signals that name it."""

    name: str
    breaks: Callable[[Frame, Frame], Tables]
    causes: tuple[str, ...]


def kilometres(flights: Frame, landings: Frame) -> Tables:
    flights["distance"] = flights["distance"].where(flights.index < FAULT, flights["distance"] * 1.609344)
    return flights, landings


def frozen(flights: Frame, landings: Frame) -> Tables:
    mine = (flights.index >= FAULT) & (flights["carrier"] == "B6")
    flights.loc[mine, "inbound_delay"] = flights.loc[mine, "inbound_delay"].dropna().iloc[0]
    return flights, landings


def renamed(flights: Frame, landings: Frame) -> Tables:
    flights.loc[(flights.index >= FAULT) & (flights["origin"] == "EWR"), "origin"] = "NWK"
    return flights, landings


def no_labels(flights: Frame, landings: Frame) -> Tables:
    return flights, landings[landings["landed"] < flights["time"].iloc[FAULT]]


def closed(flights: Frame, landings: Frame) -> Tables:
    gone = (flights.index >= FAULT) & (flights["origin"] == "LGA")
    return flights[~gone], landings[~landings["id"].isin(set(flights["id"][gone]))]


FAULTS = (
    Fault("miles become kilometres", kilometres, ("feature:distance",)),
    Fault("the delay column of one carrier (B6) freezes", frozen, ("frozen:inbound_delay",)),
    Fault("an airport is renamed (EWR to NWK)", renamed, ("unseen:origin", "feature:origin")),
    Fault("labels stop", no_labels, ("overdue", "expired")),
    Fault("an airport (LGA) is closed", closed, ("silence:origin", "feature:origin")),
)


def tables() -> Tables:
    """Flights and landings as the demo has them, and the inbound delay, known at departure."""
    raw = demo.raw_flights()
    flights, landings = (table.to_pandas() for table in demo.flights(raw))
    ordered, _ = demo.by_departure(raw)
    plane, delay = ordered["tailnum"].to_pandas(), pd.to_numeric(ordered["arr_delay"].to_pandas(), errors="coerce")
    landed = pd.to_datetime(landings.set_index("id")["landed"]).reindex(flights["id"]).to_numpy()
    arrivals = Frame({"plane": plane, "at": landed, "inbound_delay": delay}).dropna().sort_values("at")
    departures = Frame({"plane": plane, "at": pd.to_datetime(flights["time"]).to_numpy()})
    known = pd.merge_asof(departures, arrivals, on="at", by="plane", allow_exact_matches=False)
    flights["inbound_delay"] = known["inbound_delay"].to_numpy()
    flights = flights.iloc[:END]
    return flights, landings[landings["id"].isin(set(flights["id"]))]


def incidents(folder: Path, flights: Frame, landings: Frame) -> list[dict[str, Any]]:
    """The newest alert of each incident, in order."""
    folder.mkdir()
    flights.to_csv(folder / "flights.csv", index=False)
    landings.to_csv(folder / "landings.csv", index=False)
    os.environ["FAULTS_DIR"] = str(folder)
    with Log(folder / "faults.db", write=True) as log:
        Embedded(load(CONFIG), log).run(lambda _: None)
        alerts = [json.loads(record.value)["data"] for record in log.read("alerts")]
    shutil.rmtree(folder)
    newest: dict[str, dict[str, Any]] = {}
    for alert in alerts:
        first = newest.get(alert["incident"], alert)
        newest[alert["incident"]] = alert | {"alarm_offset": first.get("alarm_offset", alert["offset"])}
    return list(newest.values())


def caused(found: list[dict[str, Any]], clean: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Incidents that the run without a fault has not."""
    return [
        one for one in found
        if not any(
            one["signal"] == other["signal"] and abs(one["onset_time"] - other["onset_time"]) <= GROUP_MS
            for other in clean
        )
    ]  # fmt: skip


class Row(NamedTuple):
    """What one fault did."""

    fault: Fault
    found: list[dict[str, Any]]
    length: int

    @property
    def off(self) -> float:
        return abs(self.found[0]["onset_offset"] - FAULT) / self.length if self.found else float("inf")

    @property
    def good(self) -> bool:
        named = bool(self.found) and self.found[0]["causes"][0]["signal"] in self.fault.causes
        return named and len(self.found) == 1 and self.off <= NEAR

    def cells(self) -> str:
        if not self.found:
            return f"| {self.fault.name} | 0 | not found | | | | no |"
        first = self.found[0]
        cause, alarm = first["causes"][0], first["alarm_offset"] - FAULT
        onset = f"{first['onset_offset'] - FAULT:+,} ({self.off:.2%})"
        others = "; ".join(f"{one['signal']} at {one['onset_offset'] - FAULT:+,}" for one in self.found[1:]) or "none"
        said = f"`{cause['signal']}`: {first['message']}"
        verdict = "yes" if self.good else "**no**"
        return f"| {self.fault.name} | {len(self.found)} | {said} | {onset} | {alarm:+,} | {others} | {verdict} |"


def page(rows: list[Row], clean: list[dict[str, Any]], length: int) -> Iterator[str]:
    yield "<!-- made by benchmarks/faults.py: do not edit -->"
    yield "# Broken data\n"
    yield f"{length:,} flights of the demo; each fault begins at flight {FAULT:,}. What it caused: incidents that the"
    yield f"run without a fault has not ({len(clean)} of its own). Offsets count from the fault; `onset`: what the"
    yield "incident says, and how far off that is in per cent of the stream; `alarm`: when it was raised.\n"
    yield "| fault | incidents | first cause, and what people read | onset | alarm | others | as it should be |"
    yield "|---|---|---|---|---|---|---|"
    yield from (row.cells() for row in rows)
    yield "\nSignals watched, detectors and budget: benchmarks/configs/faults.toml."


@click.command()
@click.option("--out", type=click.Path(path_type=Path), help="Write the page to this file.")
@click.option("--only", default="", help="Part of a fault's name.")
def main(out: Path | None, only: str) -> None:
    """Break the flights in five ways."""
    console = Console(stderr=True, width=160)
    describe(console)
    flights, landings = tables()
    with tempfile.TemporaryDirectory() as temporary:
        clean = incidents(Path(temporary) / "clean", flights, landings)
        console.print(f"without a fault: {len(clean)} incidents", style="dim")
        for one in clean:
            console.print(f"  {one['onset_offset']:,} {one['message'][:110]}", style="dim")
        rows = []
        for fault in FAULTS:
            if only not in fault.name:
                continue
            broken = fault.breaks(flights.copy(), landings.copy())
            rows.append(Row(fault, caused(incidents(Path(temporary) / "broken", *broken), clean), len(flights)))
            for one in rows[-1].found:
                console.print(f"{fault.name}: {one['onset_offset'] - FAULT:+,} {one['message']}", style="dim")
    text = "\n".join(page(rows, clean, len(flights))) + "\n"
    print(text)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text)
    sys.exit(0 if all(row.good for row in rows) else 1)


if __name__ == "__main__":
    main()
