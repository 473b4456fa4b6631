"""Pictures of the dashboard for the documents: the flights of the demo up to a December day on which it drifts."""

import io
import json
from pathlib import Path
from typing import Any

from browsing import PHONE, tab, visit
from PIL import Image
from runs import in_process

from stream_app.edges.demo import write_flights
from stream_app.edges.log import Log

UNTIL = "2013-12-19"
SIZE = (1280, 860)
COLOURS = 128


def december(folder: Path) -> tuple[Path, Path, str]:
    """Configuration, log and an open incident of a run that has come as far as UNTIL."""
    config = write_flights(folder)
    for name, column in (("flights.csv", 1), ("landings.csv", 2)):
        header, *lines = (folder / name).read_text().splitlines(keepends=True)
        kept = [line for line in lines if line.split(",")[column].strip('"\n') < UNTIL]
        (folder / name).write_text(header + "".join(kept))
    in_process(config, folder / "flights.db")
    with Log(folder / "flights.db") as log:
        alerts = [json.loads(record.value)["data"] for record in log.read("alerts")]
    return config, folder / "flights.db", alerts[-1]["incident"]


def take(browser: Any, url: str, incident: str, folder: Path) -> list[int]:
    """Writes the pictures; returns their sizes in bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [
        ("dashboard-overview", "/", SIZE, "light"),
        ("dashboard-performance", "/performance", SIZE, "dark"),
        ("dashboard-signals", "/signals", SIZE, "light"),
        ("dashboard-incident", f"/incident/{incident}", SIZE, "light"),
        ("dashboard-signal", "/signal?signal=feature:distance", SIZE, "dark"),
        ("dashboard-phone", "/", PHONE, "light"),
    ]
    return [picture(browser, url + path, size, theme, folder / f"{name}.png") for name, path, size, theme in wanted]


def picture(browser: Any, url: str, size: tuple[int, int], theme: str, file: Path) -> int:
    """One picture with few colours; its size in bytes."""
    with tab(browser, size, theme) as page:
        visit(page, url)
        shot = Image.open(io.BytesIO(page.screenshot()))
    shot.convert("RGB").quantize(COLOURS).save(file, optimize=True)
    return file.stat().st_size
