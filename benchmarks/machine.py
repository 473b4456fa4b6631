"""What the figures of a benchmark depend on."""

import os
import platform
import sqlite3
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console

PACKAGES = ("driftline", "river", "numpy", "numba", "pyarrow", "msgspec")


def machine() -> dict[str, Any]:
    """Processor, load and versions."""
    names = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.machine(),
        "cores": os.cpu_count(),
        "load": [round(load, 2) for load in os.getloadavg()],
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        **{name: version(name) for name in PACKAGES},
    }


def describe(console: Console) -> dict[str, Any]:
    """Print the machine, and give it."""
    found = machine()
    console.print(", ".join(f"{name} {value}" for name, value in found.items()), style="dim", highlight=False)
    return found


def _lines(path: str) -> list[str]:
    file = Path(path)
    return file.read_text().splitlines() if file.exists() else []
