"""The chart library, plotly.js, as the Python package plotly ships it; of that package no code runs."""

import importlib.util
import re
from pathlib import Path

from stream_app.errors import DriftlineError


def _script() -> Path:
    found = importlib.util.find_spec("plotly")  # not imported: only its script is served
    if found is None or found.origin is None:
        raise DriftlineError("the dashboard's charts are not installed: pip install plotly")
    return Path(found.origin).parent / "package_data" / "plotly.min.js"


SCRIPT = _script()


def own_styles(script: Path) -> list[str]:
    """Ids of style sheets that the script puts into a page unless it has them: `static/plotly.css` stands for those.

    The policy forbids styles inside a page. These are for its maps, which nothing here draws.
    """
    return re.findall(r'getElementById\("([0-9a-f]{64})"\)', script.read_text(encoding="utf-8"))
