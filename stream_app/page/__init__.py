"""The dashboard's pages: a document (`stream_app/board/documents.py`) as HTML that reads well without JavaScript.

`render("overview", document, read_only=False)` → the page; `STATIC` → the files that pages ask for, by name.

Rules:
1. What comes from the stream is text: templates escape all of it, scripts set it as text, and nothing marks it safe.
2. A page says everything in words and tables. Scripts add charts and keep the page up to date: they fetch the same page
   again and take over what differs, so that each thing is written once, in its template.
3. No style and no script inside a page: the policy of `edges/guard.py` forbids them.
"""

import hashlib
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from stream_app.page import words
from stream_app.page.charts import SCRIPT, own_styles

FOLDER = Path(__file__).parent
STATIC: dict[str, Path] = {  # name under /static/ → file
    "charts.js": SCRIPT,
    **{path.name: path for path in sorted((FOLDER / "static").iterdir())},
}
NAVIGATION = (
    ("/", "Overview", ("overview",)),
    ("/performance", "Performance", ("performance",)),
    ("/signals", "Signals", ("signals", "signal")),
    ("/incidents", "Incidents", ("incidents", "incident")),
    ("/models", "Models", ("models",)),
    ("/dead-letters", "Dead letters", ("dead-letters",)),
    ("/flow", "Flow", ("flow",)),
)


def render(view: str, document: dict[str, Any], *, read_only: bool) -> str:
    """The page of a view."""
    path, own = words.address_of(view, document)
    template = ENVIRONMENT.get_template(f"{view}.html")
    return template.render(
        doc=document, view=view, read_only=read_only, query=words.query_of(document), path=path, own=own
    )


def _fingerprint() -> str:
    """Changes with any file that pages ask for, so that browsers may keep those they have."""
    stamps = [f"{name} {path.stat().st_size} {path.stat().st_mtime_ns}" for name, path in STATIC.items()]
    return hashlib.sha256("\n".join(stamps).encode()).hexdigest()[:12]


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= words.FILTERS
    environment.globals |= {
        "NAVIGATION": NAVIGATION,
        "VERSION": _fingerprint(),
        "OWN_STYLES": own_styles(SCRIPT),
        "link": words.link,
        "signal_link": words.signal_link,
        "ranges": words.ranges,
    }
    return environment


ENVIRONMENT = _environment()
