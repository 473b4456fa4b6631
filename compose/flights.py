"""The flights for a cluster: files and configuration of `driftline demo`, with [kafka] and Alertmanager added.

As a script: python -m compose.flights FOLDER BOOTSTRAP [ALERTMANAGER]
"""

import sys
from pathlib import Path

from stream_app.edges.demo import write_flights


def write_flights_on(folder: Path, bootstrap: str, alertmanager: str | None = None) -> Path:
    """Writes flights.csv, landings.csv and flights.toml; returns the configuration's path."""
    config = write_flights(folder)
    with config.open("a") as text:
        if alertmanager:
            text.write(f'\n[[alarms.notify]]\nalertmanager = "{alertmanager}"\n')
        text.write(f'\n[kafka]\nbootstrap = "{bootstrap}"\n')
    return config


if __name__ == "__main__":
    write_flights_on(Path(sys.argv[1]), *sys.argv[2:])
