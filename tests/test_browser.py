"""The dashboard in a real browser: live, acknowledged, wide and narrow, light and dark, by keyboard, on any data."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from browsing import DRAWN, OVERFLOW, PHONE, VIEWS, WIDE, address_in, axe, dashboard, launched, tab, visit
from playwright.sync_api import expect
from runs import configured, in_process, jsonl, rows, running

from stream_app.edges.log import Log

HOSTILE = (
    '<img src=x onerror="window.owned=1"><a href="javascript:owned=1">b</a>{{7*7}}</script><script>owned=1</script>'
)
CATEGORIES = """
[[watch]]
signal = "feature:c"
detector = "psi"
reference = "300 events"
params = { window = 100 }
arl0 = 5000
[panes]
width = "1s"
"""
COLUMN = '<b onclick="window.owned=1">a&amp;'


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as started:
        yield started


class Site(NamedTuple):
    """A dashboard over a finished run, whose data would steer a page if it let them."""

    url: str
    incident: str
    signal: str

    def of(self, path: str) -> str:
        told = {"/signal": f"/signal?signal={self.signal}", "/incident": f"/incident/{self.incident}"}
        return self.url + told.get(path, path)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    config = configured(folder, "events.jsonl")
    config.write_text(hostile(config.read_text()))
    made = rows(3, 1500)
    for number, row in enumerate(made):
        row[COLUMN] = row.pop("a")
        row["c"] = HOSTILE if number % 3 else row["c"]
        row["id"] += HOSTILE if number % 2 else ""
        row["b"] = HOSTILE if number % 100 == 7 else row["b"]
    (folder / "events.jsonl").write_bytes(jsonl(made))
    in_process(config, folder / "log.db")
    with Log(folder / "log.db") as log:
        newest = json.loads(next(record.value for record in list(log.read("alerts"))[::-1]))
    with dashboard(config, folder / "log.db") as url:
        yield Site(url, newest["data"]["incident"], "feature:c")


def hostile(text: str) -> str:
    """The configuration with a column whose name is markup."""
    name = json.dumps(COLUMN)
    text = text.replace("a = { type", f"{name} = {{ type").replace('of = "a"', f"of = {name}")
    return text + CATEGORIES


def whole(page: Any) -> None:
    """Scrolls through a page until every chart is drawn."""
    for plot in page.locator(".plot").all():
        plot.scroll_into_view_if_needed()
    page.wait_for_function(DRAWN)


# what data cannot do


@pytest.mark.parametrize("path", VIEWS)
def test_text_of_the_stream_stays_text(browser: Any, site: Site, path: str) -> None:
    with tab(browser) as page:
        visit(page, site.of(path))
        whole(page)
        for plot in page.locator(".plot").all()[:2]:
            plot.hover()

        assert page.evaluate("() => window.owned") is None
        assert page.locator("main img, main script, main b, svg a, main a[href^='javascript']").count() == 0


def test_names_that_are_markup_can_be_read(browser: Any, site: Site) -> None:
    with tab(browser) as page:
        visit(page, site.of("/dead-letters"))
        assert HOSTILE in page.locator("#reasons").inner_text().replace('\\"', '"')
        visit(page, site.of("/signals"))
        assert f"feature:{COLUMN}" in page.locator("#signals").inner_text()
        page.get_by_role("link", name=f"feature:{COLUMN}", exact=True).click()
        assert page.locator("h1").inner_text() == f"feature:{COLUMN}"

        visit(page, site.of("/signal"))
        page.locator("#distribution").scroll_into_view_if_needed()
        page.wait_for_function(DRAWN)
        assert HOSTILE[:10] in page.locator("#distribution svg").first.text_content()


# a run that is watched


def test_a_run_is_seen_live_and_its_incident_acknowledged(browser: Any, tmp_path: Path) -> None:
    """Numbers move, the first incident appears, both without a reload; it is acknowledged, and the log says so."""
    config, state, made = configured(tmp_path, "events.jsonl"), tmp_path / "log.db", rows(seed=11, n=3000)
    events = tmp_path / "events.jsonl"
    events.write_bytes(jsonl(made[:700]))
    words = ("run", config, "--state", state, "--follow", "--dashboard", "0")
    with running(*words) as process, tab(browser) as page, tab(browser, PHONE, "dark") as phone:
        url = address_in(process)
        for each in (page, phone):
            each.goto(url)
            each.evaluate("() => { window.mark = 1 }")
        count = page.locator("#count-events")
        expect(count).to_have_text("640")  # of 700: figures come on a grid of 128 records
        assert page.locator("#open li").count() == 0

        append(events, made[700:1900])
        expect(count).to_have_text("1,792")
        for each in (page, phone):
            each.locator("#open li").first.wait_for()
            assert each.locator("h1", has_text="open").count() == 1
            assert each.evaluate("() => window.mark") == 1, "it was loaded again"

        phone.locator("#open li a").first.click()
        incident = phone.locator("h1").inner_text()
        assert phone.url.endswith(f"/incident/{incident}")
        phone.get_by_label("I look after it").fill("Ada <b>")
        phone.get_by_role("button", name="Acknowledge").click()
        phone.locator("#status", has_text="acknowledged by Ada <b>").wait_for()

        page.locator(f"#incident-{incident}", has_text="Ada <b> looks after it").wait_for()
        assert page.evaluate("() => window.mark") == 1
        with Log(state) as log:
            alerts = [json.loads(record.value)["data"] for record in log.read("alerts")]
        told = [(each["incident"], each["acknowledged_by"]) for each in alerts if each["status"] == "acknowledged"]
        assert told == [(incident, "Ada <b>")]


def append(path: Path, made: list[dict[str, Any]]) -> None:
    with path.open("ab") as file:
        file.write(jsonl(made))


def test_a_paused_page_stands_still(browser: Any, tmp_path: Path) -> None:
    config, state, made = configured(tmp_path, "events.jsonl"), tmp_path / "log.db", rows(seed=5, n=900)
    events = tmp_path / "events.jsonl"
    events.write_bytes(jsonl(made[:300]))
    with running("run", config, "--state", state, "--follow", "--dashboard", "0") as process, tab(browser) as page:
        page.goto(address_in(process))
        count = page.locator("#count-events")
        expect(count).to_have_text("256")
        page.get_by_role("button", name="Pause").click()
        append(events, made[300:])
        with tab(browser) as other:
            other.goto(page.url)
            expect(other.locator("#count-events")).to_have_text("896")

        assert count.inner_text() == "256"
        page.get_by_role("button", name="Resume").click()
        expect(count).to_have_text("896")


# for everybody


@pytest.mark.parametrize(("size", "theme"), [(WIDE, "light"), (PHONE, "dark")])
def test_axe_finds_nothing_serious(browser: Any, site: Site, size: tuple[int, int], theme: str) -> None:
    with tab(browser, size, theme) as page:
        found = []
        for path in VIEWS:
            visit(page, site.of(path))
            found += axe(page)

        assert found == []


def test_no_page_is_wider_than_a_phone(browser: Any, site: Site) -> None:
    with tab(browser, PHONE) as page:
        for path in VIEWS:
            page.goto(site.of(path))
            assert page.evaluate(OVERFLOW) <= 0, path


def test_every_page_is_a_summary_without_javascript(browser: Any, site: Site) -> None:
    with tab(browser, java_script_enabled=False) as page:
        for path in VIEWS:
            page.goto(site.of(path))

            assert page.locator("h1").inner_text()
            assert len(page.locator("main").inner_text()) > 100, path
            assert page.locator(".js").all() == [] or not page.locator(".js").first.is_visible()
        page.goto(site.of("/"))
        page.locator("#error summary").click()
        assert page.locator("#error td").count() > 4


def test_the_keyboard_reaches_everything(browser: Any, site: Site) -> None:
    with tab(browser) as page:
        visit(page, site.of("/"))
        page.keyboard.press("Tab")
        assert page.evaluate("() => document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        assert page.evaluate("() => document.activeElement.id") == "main"
        page.keyboard.press("Shift+Tab")
        page.get_by_role("link", name="Signals").focus()
        page.keyboard.press("Shift+Tab")
        assert page.evaluate("() => document.activeElement.textContent") == "Performance"
        outline = page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"


def test_the_theme_can_be_chosen_and_stays(browser: Any, site: Site) -> None:
    ground = "() => getComputedStyle(document.body).backgroundColor"
    with tab(browser) as page:
        visit(page, site.of("/"))
        light = page.evaluate(ground)
        for name in ("light", "dark"):
            page.locator("#theme").click()
            assert page.locator("#theme").inner_text() == f"Theme: {name}"
        dark = page.evaluate(ground)
        visit(page, site.of("/flow"))

        assert dark != light
        assert page.evaluate(ground) == dark


def test_a_stretch_of_time_is_kept_from_page_to_page(browser: Any, site: Site) -> None:
    with tab(browser) as page:
        visit(page, site.of("/performance"))
        page.locator("#range summary").click()
        page.get_by_label("From").fill("2023-11-14T22:13:25Z")
        page.get_by_role("button", name="Show").click()
        page.wait_for_url("**/performance?from=*")
        assert "2023-11-14 22:13" in page.locator("#range summary").inner_text()

        page.get_by_role("link", name="Signals").click()
        assert "from=1700000005000" in page.url


# pictures for the documents: DRIFTLINE_PICTURES=docs/images make test ARGS=tests/test_browser.py


@pytest.mark.skipif("DRIFTLINE_PICTURES" not in os.environ, reason="made when DRIFTLINE_PICTURES names a folder")
@pytest.mark.timeout(900)
def test_pictures(browser: Any, tmp_path: Path) -> None:
    from pictures import december, take  # noqa: PLC0415

    config, state, incident = december(tmp_path)
    with dashboard(config, state) as url:
        sizes = take(browser, url, incident, Path(os.environ["DRIFTLINE_PICTURES"]))
    assert max(sizes) <= 200_000
