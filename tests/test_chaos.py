"""A small chaos: kills, a worker that joins and one that leaves, a zombie, a broker that crashes; nothing may change.

The large one is `python benchmarks/kafka_chaos.py`.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
WANTED = {"kill": 6, "join": 1, "leave": 1, "zombie": 1, "restart": 1}
FLIGHTS = 20_000


def test_chaos_changes_nothing(tmp_path: Path) -> None:
    options = {
        "flights": FLIGHTS,
        "kills": WANTED["kill"],
        "joins": WANTED["join"],
        "zombies": WANTED["zombie"],
        "restarts": WANTED["restart"],
        "per-s": 1000,
        "folder": tmp_path,
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    command = [sys.executable, str(ROOT / "benchmarks" / "kafka_chaos.py"), *words, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert done.stdout, done.stderr
    result = json.loads(done.stdout)
    assert result["differences"] == []
    assert {what: result[what] for what in WANTED} == WANTED
    assert result["records"] > 1.9 * FLIGHTS
