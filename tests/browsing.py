"""A real browser on real dashboards: pages that must tell no error, and the accessibility checker axe-core."""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect, sync_playwright
from runs import ROOT, command
from waiting import TIMEOUT_S

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome") or ""
PATIENCE_MS = 120_000  # of any one thing that a page is waited for
expect.set_options(timeout=PATIENCE_MS)
ABSENT = "these tests need Chromium: apt-get install chromium"
VIEWS = ("/", "/performance", "/signals", "/signal", "/incidents", "/incident", "/models", "/dead-letters", "/flow")
WIDE, PHONE = (1280, 900), (390, 844)
DRAWN = "() => [...document.querySelectorAll('.plot')].every((plot) => !plot.dataset.seen || plot.dataset.drawn)"
SEEN = "() => [...document.querySelectorAll('.plot')].every((plot) => plot.dataset.seen !== undefined)"
OVERFLOW = "() => document.documentElement.scrollWidth - innerWidth"


def chromium() -> str:
    """Its path; without one the tests are skipped, and in CI they fail."""
    if not CHROMIUM:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(ABSENT)
    return CHROMIUM


@contextmanager
def launched() -> Iterator[Any]:
    """A headless browser."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def tab(browser: Any, size: tuple[int, int] = WIDE, theme: str = "light", **options: Any) -> Iterator[Any]:
    """A page that must have told no error when it is closed, and shown no dialog."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme=theme, reduced_motion="reduce", **options
    )
    context.set_default_timeout(PATIENCE_MS)
    page, told = context.new_page(), []
    page.on("console", lambda message: told.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on("dialog", lambda dialog: (told.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    try:
        yield page
        assert told == []
    finally:
        context.close()


def visit(page: Any, url: str) -> None:
    """Opens a page and waits until the charts that can be seen are drawn."""
    page.goto(url)
    page.wait_for_function(SEEN)
    page.wait_for_function(DRAWN)


@contextmanager
def dashboard(config: Path, state: Path, *more: str) -> Iterator[str]:
    """`driftline dashboard` over a log on a free port; gives its URL."""
    words = command("dashboard", config, "--state", state, "--listen", "0", *more)
    with subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE) as process:
        try:
            yield address_in(process)
        finally:
            process.terminate()
            process.communicate(timeout=TIMEOUT_S)


def address_in(process: "subprocess.Popen[bytes]") -> str:
    """The dashboard's URL, as a process tells it."""
    assert process.stderr is not None
    told = []
    for line in process.stderr:
        told.append(line.decode())
        if found := re.search(r"http://[\w.:]+", told[-1]):
            return found[0]
    raise AssertionError("".join(told))


def axe(page: Any) -> list[str]:
    """What axe-core finds that is serious or critical."""
    found = importlib.util.find_spec("axe_playwright_python")
    assert found is not None
    assert found.origin is not None
    page.evaluate((Path(found.origin).parent / "axe.min.js").read_text())
    result = page.evaluate("() => axe.run(document, { resultTypes: ['violations'] })")
    return [
        f"{page.url}: {each['id']}: {node['html']} {node['failureSummary']}"
        for each in result["violations"]
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]
