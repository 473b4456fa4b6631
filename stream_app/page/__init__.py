"""Pages of the dashboard: a document as HTML. A stand-in: the page of issue 8 takes this place."""

import html
import json
from pathlib import Path
from typing import Any

STATIC: dict[str, Path] = {}  # name under /static/ → file


def render(view: str, document: dict[str, Any], *, read_only: bool) -> str:  # noqa: ARG001
    """The page of a view."""
    text = html.escape(json.dumps(document, indent=1))
    return f"<!doctype html><html lang=en><title>{html.escape(document['title'])}</title><pre>{text}</pre></html>"
