"""Pages as text: every document becomes one, nothing of the stream is markup in it, what it asks for is shipped."""

import html
import re
import subprocess
import sys
import zipfile
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from boards import board_of
from runs import LOOP, ROOT, configured, in_process, jsonl, rows
from waiting import TIMEOUT_S

from stream_app.board.asked import Around, Asked
from stream_app.board.fold import STREAMS, Board
from stream_app.board.views import VIEWS, document
from stream_app.config import Config, load, parse
from stream_app.edges.dashboard import page_of
from stream_app.edges.log import Log
from stream_app.page import NAVIGATION, STATIC, render
from stream_app.page.charts import SCRIPT, own_styles

MARKUP = "\"><script>alert(1)</script><b>'&amp;"
FIXED = "view", "sort", "sorts", "metrics", "models"  # ours, and names that a configuration may not make markup
UNTIMED = """
name = "untimed"
[source]
events = "e.jsonl"
[schema.fields]
a = { type = "number" }
[task]
type = "anomaly"
[model]
use = "river.anomaly.HalfSpaceTrees"
[[watch]]
signal = "feature:a"
detector = "ks"
reference = "200 events"
[measure]
every = 256
"""


class Page(HTMLParser):
    """What a browser would make of a page: its elements, ids, addresses, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        self.ids += [told["id"]] if "id" in told else []
        self.links += [told[name] for name in ("href", "src", "action") if name in told]
        self.attributes |= set(told)

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def looped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Board, Board]:
    """A run with promotions, as one shard and as two."""
    folder = tmp_path_factory.mktemp("page")
    file = configured(folder, "e.jsonl", more=LOOP + '[panes]\nwidth = "1s"\n')
    (folder / "e.jsonl").write_bytes(jsonl(rows(3, 2000)))
    in_process(file, folder / "log.db")
    config = load(file)
    two = Board(config)
    with Log(folder / "log.db") as log:
        for stream in STREAMS:
            for record in log.read(stream):
                two.take(stream, 0, record)
                two.take(stream, 1, record._replace(value=record.value.replace(b"small-", b"small-1-")))
    return config, board_of(config, folder / "log.db"), two


def documents(board: Board) -> list[dict[str, Any]]:
    """Each view, and each signal and incident of a board."""
    found = [document(board, view, Asked(id="none", signal="none")) for view in VIEWS]
    found += [
        document(board, "signal", Asked(signal=row["signal"], segment=row["segment"]))
        for row in document(board, "signals")["signals"]
    ]
    found += [document(board, "incident", Asked(id=row["id"])) for row in document(board, "incidents")["incidents"]]
    return found


def marked(value: Any) -> Any:
    """The document with markup in every text that comes from the stream."""
    if isinstance(value, dict):
        return {name: each if name in FIXED else marked(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [marked(each) for each in value]
    return value + MARKUP if isinstance(value, str) else value


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("shards", [1, 2])
def test_every_document_becomes_a_page(looped: tuple[Config, Board, Board], shards: int, read_only: bool) -> None:
    for doc in documents(looped[shards]):
        page = Page(render(doc["view"], doc, read_only=read_only))

        assert page.tags.count("h1") == 1
        assert len(page.ids) == len(set(page.ids)), doc["view"]
        assert not page.attributes & {"style", "onclick", "onload"}
        assert "style" not in page.tags
        assert ("form" in page.tags and "I look after it" in page.text) <= (not read_only)


def test_every_address_in_a_page_is_one_of_ours(looped: tuple[Config, Board, Board]) -> None:
    for doc in documents(looped[1]):
        for link in Page(render(doc["view"], doc, read_only=False)).links:
            path, _, query = link.partition("?")
            if path.startswith("/static/"):
                assert path.removeprefix("/static/") in STATIC
            elif path not in ("#main", ""):
                path = path.removeprefix("/api").removesuffix("/acknowledge") or "/"
                page_of(path, dict(part.split("=") for part in query.split("&") if part))


def test_no_text_becomes_markup(looped: tuple[Config, Board, Board]) -> None:
    for doc in documents(looped[2]):
        plain, steered = (render(doc["view"], each, read_only=False) for each in (doc, marked(doc)))

        assert Page(steered).tags.count("script") == Page(plain).tags.count("script")
        assert "b" not in Page(steered).tags
        assert html.escape(MARKUP, quote=False)[:20] in steered.replace("&#34;", '"')
        assert Page(steered).attributes == Page(plain).attributes


@pytest.mark.parametrize(
    "text", [UNTIMED, UNTIMED.replace("[schema.fields]", '[schema]\nlabel = "y"\n[schema.fields]')]
)
def test_pages_of_a_stream_that_has_told_nothing(text: str) -> None:
    text = (
        text
        if "label" not in text
        else text.replace("anomaly", "binary", 1).replace('use = "river.anomaly.HalfSpaceTrees"', 'use = "linear"')
    )
    board = Board(parse(text, "untimed.toml", {}))
    for view in VIEWS:
        doc = document(board, view, Asked(id="x", signal="feature:a"), Around(status="waiting"))

        assert Page(render(view, doc, read_only=False)).tags.count("h1") == 1


def test_pages_of_a_stream_without_times(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(UNTIMED)
    (tmp_path / "e.jsonl").write_bytes(jsonl([{"a": i % 7 + (i > 800) * 5} for i in range(1500)]))
    in_process(tmp_path / "c.toml", tmp_path / "log.db")
    board = board_of(load(tmp_path / "c.toml"), tmp_path / "log.db")

    texts = [Page(render(doc["view"], doc, read_only=False)).text for doc in documents(board)]

    assert not any("1970" in text or "UTC" in text for text in texts)
    assert re.search(r"record 1,\d{3}", texts[0])


def test_navigation_names_each_view_once() -> None:
    assert sorted(view for _, _, views in NAVIGATION for view in views) == sorted(VIEWS)


def test_the_charts_need_no_style_that_a_page_does_not_have() -> None:
    script = SCRIPT.read_text(encoding="utf-8")

    assert len(own_styles(SCRIPT)) == script.count('createElement("style")') - 1  # the other is plotly.css
    assert 'plotly.js-style-"+' in script
    assert ".no-inline-styles" in script


def test_scripts_put_no_text_into_the_page_as_markup() -> None:
    scripts = [path.read_text() for name, path in STATIC.items() if name.endswith(".js") and name != "charts.js"]

    assert scripts
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
        assert not any(word in script for script in scripts)


def test_the_package_ships_templates_and_scripts(tmp_path: Path) -> None:
    words = (
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        str(tmp_path),
        str(ROOT),
    )
    subprocess.run([sys.executable, *words], check=True, timeout=TIMEOUT_S)
    wheel = next(tmp_path.glob("*.whl"))
    shipped = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("stream_app/page/")}

    folder = ROOT / "stream_app" / "page"
    there = {
        path.relative_to(ROOT).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert shipped == there
