"""A real Prometheus that scrapes what a test names, and what it says; shared by several tests."""

import json
import math
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from hooks import Server
from waiting import TIMEOUT_S

SCRAPE_S = 0.2


def fetched(url: str, **headers: str) -> str:
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_S) as answer:
        return answer.read().decode()


class Prometheus(Server):
    """One on a loopback port with these targets in the job `driftline`, and the project's rules."""

    def __init__(self, folder: Path, rules: Path, *targets: str) -> None:
        super().__init__(folder, "prometheus")
        every = f"scrape_interval: {int(1000 * SCRAPE_S)}ms, evaluation_interval: 1s"
        job = f"{{job_name: driftline, static_configs: [{{targets: {json.dumps(targets)}}}]}}"
        text = f"global: {{{every}}}\nrule_files: [{rules}]\nscrape_configs: [{job}]\n"
        (folder / "prometheus.yml").write_text(text)
        self._words += [f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"]

    def get(self, path: str, **parameters: Any) -> Any:
        """The data of an answer of its API."""
        answer = json.loads(fetched(f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"))
        assert answer["status"] == "success"
        return answer["data"]

    def now(self, expression: str) -> list[float]:
        """Values of an expression as it stands."""
        return [float(each["value"][1]) for each in self.get("query", query=expression)["result"]]

    def ever(self, expression: str, start_s: float, end_s: float) -> bool:
        """Whether it had a value, a number, at some time between."""
        found = self.get("query_range", query=expression, start=start_s, end=end_s, step=SCRAPE_S)["result"]
        return any(not math.isnan(float(value)) for series in found for _, value in series["values"])
