"""The dashboard over a real log: its figures are the log's, and nobody gets or does what they may not."""

import asyncio
import json
import re
import socket
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import msgspec
import pytest
from boards import board_of
from runs import call, command, configured, in_process, jsonl, rows, wait_until
from serving import served, shown, until
from waiting import TIMEOUT_S

from stream_app.board.asked import Asked
from stream_app.board.views import VIEWS, document
from stream_app.config import Config, load
from stream_app.edges.dashboard import Dashboard, checked
from stream_app.edges.guard import HEADERS
from stream_app.edges.live import Live
from stream_app.edges.log import Log
from stream_app.errors import ConfigError

TOKEN = "a token only for these tests"
SCRIPT = "</script><script>alert(1)</script>\n\u2028 data: x\r\n\r\nevent: document"
OPEN_PATHS = ("/", "/api", "/api/signals", "/nope", "/api/nope", "/api?shard=x", "/static/nope", "/healthz")


class Ran(NamedTuple):
    config: Config
    file: Path
    state: Path

    def board(self) -> Any:
        return board_of(self.config, self.state)

    def open(self) -> str:
        """An incident that is open."""
        return [row["id"] for row in document(self.board(), "incidents")["incidents"] if row["status"] == "open"][-1]

    def over(self) -> str:
        """One that is over."""
        return [row["id"] for row in document(self.board(), "incidents")["incidents"] if row["recovered_ms"]][-1]

    def controls(self) -> list[dict[str, Any]]:
        with Log(self.state) as log:
            return [json.loads(value) for value in log.controls(0)]


def made(folder: Path, n: int = 1500) -> Ran:
    """A finished run whose data would steer a page, if it let them."""
    file = configured(folder, "events.jsonl")
    file.write_text(file.read_text().replace('cooldown = "5s"', 'cooldown = "3s"') + '[panes]\nwidth = "1s"\n')
    events = rows(3, n)
    for i, row in enumerate(events):
        row["c"] = SCRIPT if i % 3 else row["c"]
        row["b"] = SCRIPT if i % 100 == 7 else row["b"]
    (folder / "events.jsonl").write_bytes(jsonl(events))
    in_process(file, folder / "log.db")
    return Ran(load(file), file, folder / "log.db")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return made(tmp_path_factory.mktemp("dashboard"))


# what is shown


def test_every_document_is_that_of_the_log(ran: Ran) -> None:
    board = ran.board()

    async def use(url: str, client: aiohttp.ClientSession, _: Any) -> None:
        for view in VIEWS:
            path = {"overview": "", "incident": "/incident/small-1", "signal": "/signal?signal=feature:a"}
            answer = await client.get(f"{url}/api{path.get(view, '/' + view)}")
            told = await answer.json()
            asked = Asked(id="small-1" if view == "incident" else "", signal="feature:a" if view == "signal" else "")
            expected = json.loads(msgspec.json.encode(document(board, view, asked)))

            assert answer.status == 200
            same = [name for name in expected if name not in ("status", "notices", "rate_now", "health")]
            assert {name: told[name] for name in same} == {name: expected[name] for name in same}

    served(ran.config, ran.state, use)


def test_a_stretch_of_time_may_be_asked_for(ran: Ran) -> None:
    async def use(url: str, client: aiohttp.ClientSession, _: Any) -> None:
        whole = await (await client.get(f"{url}/api/performance")).json()
        times = whole["series"]["accuracy"]["champion"]["t"]
        part = await (await client.get(f"{url}/api/performance?from={times[2]}&to={times[4]}")).json()
        named = await (await client.get(f"{url}/api/performance?from=2023-11-14T22:13:20Z")).json()

        assert part["series"]["accuracy"]["champion"]["t"] == times[2:5]
        assert named["from_ms"] == 1_700_000_000_000

    served(ran.config, ran.state, use)


def test_text_of_the_data_stays_data(ran: Ran) -> None:
    async def use(url: str, client: aiohttp.ClientSession, _: Any) -> None:
        answer = await client.get(f"{url}/api/dead-letters")
        told = await answer.json()

        assert answer.content_type == "application/json"
        assert json.loads(told["reasons"][0]["example"])["b"] == SCRIPT
        async with client.get(f"{url}/api/live", params={"view": "/dead-letters"}) as answer:
            event = await read_event(answer)
            assert event["reasons"] == told["reasons"]
        page = await (await client.get(f"{url}/dead-letters")).text()
        assert "<script>alert" not in page

    served(ran.config, ran.state, use)


@pytest.mark.parametrize(
    "path",
    [
        "/nope",
        "/incident",
        "/incident/small-999",
        "/api/incident/x/y",
        "/static/../cli.py",
        "/static/%2e%2e/x",
        "/api/x",
    ],
)
def test_what_is_not_there_is_not_found(ran: Ran, path: str) -> None:
    async def use(url: str, client: aiohttp.ClientSession, _: Any) -> None:
        assert (await client.get(url + path)).status == 404

    served(ran.config, ran.state, use)


@pytest.mark.parametrize(
    "query", ["shard=x", "shard=-1", "from=yesterday", "to=99999999999999999999", "sort=x", "top=x"]
)
def test_what_cannot_be_meant_is_said(ran: Ran, query: str) -> None:
    async def use(url: str, client: aiohttp.ClientSession, _: Any) -> None:
        for path in ("/signals", "/api/signals"):
            answer = await client.get(f"{url}{path}?{query}")
            assert answer.status == 400
            assert query.partition("=")[0] + ":" in (await answer.text()) or query == "sort=x"

    served(ran.config, ran.state, use)


# who may see it


def test_every_answer_says_what_a_browser_may_do_with_it(ran: Ran) -> None:
    async def use(url: str, client: aiohttp.ClientSession, _: Any) -> None:
        answers = [await client.get(url + path) for path in OPEN_PATHS]
        answers += [await client.get(f"{url}/api/live"), await client.post(f"{url}/x")]
        answers += [await client.get(url, headers={"Host": "evil.example"})]

        for answer in answers:
            assert HEADERS.items() <= dict(answer.headers).items(), answer.url
            assert "unsafe" not in answer.headers["Content-Security-Policy"]
            assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
            answer.close()

    served(ran.config, ran.state, use)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "10.0.0.1", ""])
def test_a_name_that_is_made_to_point_here_gets_nothing(ran: Ran, host: str) -> None:
    async def use(url: str, client: aiohttp.ClientSession, _: Any) -> None:
        for path in ("/", "/api", "/api/live"):
            assert (await client.get(url + path, headers={"Host": host})).status in (400, 421)
        assert (await client.get(url + "/healthz", headers={"Host": host})).status in (200, 400)

    served(ran.config, ran.state, use)


def test_with_a_token_nothing_is_seen_without_it(ran: Ran) -> None:
    async def use(url: str, client: aiohttp.ClientSession, _: Any) -> None:
        for path in ("/", "/api", "/api/live", "/static/x", f"/api?token={TOKEN}x", "/api?token=", "/nope"):
            answer = await client.get(url + path)
            assert answer.status == 401
            assert TOKEN not in await answer.text()
        for wrong in ("Bearer x", f"Basic {TOKEN}", "Bearer", "Bearer ü"):
            assert (await client.get(url, headers={"Authorization": wrong})).status == 401
        assert (await client.get(f"{url}/healthz")).status == 200
        assert (await client.get(f"{url}/api", headers={"Authorization": f"Bearer {TOKEN}"})).status == 200

    served(ran.config, ran.state, use, token=TOKEN)


def test_a_token_in_the_address_becomes_a_cookie(ran: Ran) -> None:
    async def use(url: str, _: Any, __: Any) -> None:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as client:
            answer = await client.get(f"{url}/signals", params={"token": TOKEN, "sort": "n"}, allow_redirects=False)
            cookie = answer.headers["Set-Cookie"]

            assert answer.status == 303
            assert answer.headers["Location"] == "/signals?sort=n"
            assert "HttpOnly" in cookie
            assert "SameSite=Strict" in cookie
            assert TOKEN not in cookie
            assert (await client.get(f"{url}/api/live", params={"view": "/"})).status == 200
            assert (await client.get(url, headers={"Host": url.replace("http://127.0.0.1", "a.example")})).status == 200

    served(ran.config, ran.state, use, token=TOKEN)


@pytest.mark.parametrize(
    ("where", "token", "words"),
    [
        ("0.0.0.0:0", "", "needs a token"),
        ("[::]:0", "", "needs a token"),
        ("203.0.113.7:0", "", "needs a token"),
        ("0.0.0.0:0", "short", "16 printable characters"),
        ("127.0.0.1:0", "short", "16 printable characters"),
        ("127.0.0.1:0", "with\na line in it", "16 printable characters"),
        ("nowhere", "", "is no address"),
    ],
)
def test_it_does_not_listen_where_it_must_not(where: str, token: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        checked(where, token)


def test_a_port_in_use_is_refused_or_another_is_taken(ran: Ran) -> None:
    async def use(url: str, _: Any, first: Dashboard) -> None:
        port = url.rpartition(":")[2]
        with pytest.raises(ConfigError, match="cannot listen"):
            await Dashboard(first.feed, port).start()
        second = Dashboard(first.feed, port, free=True)
        assert await second.start() not in url
        await second.stop()

    served(ran.config, ran.state, use)


def test_the_command_refuses_with_exit_code_2(ran: Ran, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(" \n")
    done = call("dashboard", ran.file, "--state", ran.state, "--token-file", tmp_path / "token")

    assert done.returncode == 2
    assert "is empty" in done.stderr.decode()


# acknowledging


@pytest.mark.parametrize("how", ["data", "json"])
def test_an_acknowledgement_ends_in_the_log(tmp_path: Path, how: str) -> None:
    ran = made(tmp_path, 700)
    incident = ran.open()

    async def use(url: str, client: aiohttp.ClientSession, _: Any) -> None:
        path = f"{url}/incident/{incident}"
        answer = await client.post(
            f"{path}/acknowledge", headers={"Origin": url}, allow_redirects=False, **{how: {"by": " ada\n"}}
        )

        assert answer.status == (303 if how == "data" else 202)
        if how == "data":
            assert answer.headers["Location"] == f"/incident/{incident}"

    served(ran.config, ran.state, use)
    assert ran.controls() == [{"command": "acknowledge", "incident": incident, "by": "ada"}]
    with (tmp_path / "events.jsonl").open("ab") as events:
        events.write(jsonl(rows(3, 1000)[700:]))
    in_process(ran.file, ran.state)
    row = document(ran.board(), "incident", Asked(id=incident))
    assert "ada" in [update["by"] for update in row["updates"]]


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"Origin": "http://evil.example"}, {"by": "ada"}, 403),
        ({"Origin": "null"}, {"by": "ada"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, {"by": "ada"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, {"by": "ada"}, 403),
        ({"Host": "evil.example"}, {"by": "ada"}, 421),
        ({}, {}, 400),
        ({}, {"by": " "}, 400),
        ({}, {"by": "x" * 101}, 400),
        ({}, {"by": "x" * 9999}, 413),
    ],
)
def test_an_acknowledgement_from_elsewhere_or_by_nobody_is_refused(
    ran: Ran, headers: dict[str, str], body: dict[str, str], status: int
) -> None:
    async def use(url: str, client: aiohttp.ClientSession, _: Any) -> None:
        answer = await client.post(f"{url}/incident/{ran.open()}/acknowledge", headers=headers, data=body)
        assert answer.status == status

    served(ran.config, ran.state, use)
    assert ran.controls() == []


def test_what_cannot_be_acknowledged_is_refused(ran: Ran) -> None:
    async def use(url: str, client: aiohttp.ClientSession, _: Any) -> None:
        for incident, status in ((ran.over(), 409), ("small-999", 404)):
            answer = await client.post(f"{url}/incident/{incident}/acknowledge", data={"by": "ada"})
            assert answer.status == status

    served(ran.config, ran.state, use)

    async def read_only(url: str, client: aiohttp.ClientSession, _: Any) -> None:
        answer = await client.post(f"{url}/incident/{ran.open()}/acknowledge", data={"by": "ada"})
        assert answer.status == 403
        assert (await (await client.get(f"{url}/api")).json())["read_only"]

    served(ran.config, ran.state, read_only, read_only=True)
    assert ran.controls() == []


# live


async def read_event(answer: aiohttp.ClientResponse) -> dict[str, Any]:
    """The next document; comments are passed over."""
    while True:
        line = (await answer.content.readuntil(b"\n")).decode()
        if line.startswith("data: "):
            told: dict[str, Any] = json.loads(line[6:])
            return told


def test_a_document_is_made_once_for_all_pages(ran: Ran) -> None:
    async def use(url: str, client: aiohttp.ClientSession, dashboard: Any) -> None:
        pages = [await client.get(f"{url}/api/live", params={"view": "/signals"}) for _ in range(20)]
        first = [await read_event(page) for page in pages]
        (shown,) = dashboard.live.shown.values()
        calls = 0
        make = shown.make

        def counted() -> bytes:
            nonlocal calls
            calls += 1
            return make() if calls < 3 else b'{"changed": true}'

        shown.make = counted
        for _ in range(3):
            dashboard.refresh()
        changed = [await read_event(page) for page in pages]

        assert all(each == first[0] for each in first)
        assert calls == 3
        assert changed == 20 * [{"changed": True}]  # and nothing before it: it was the same
        for page in pages:
            page.close()

    served(ran.config, ran.state, use)


def test_a_page_that_does_not_read_holds_little_and_is_let_go(ran: Ran) -> None:
    async def use(url: str, _: Any, dashboard: Any) -> None:
        loop, (host, port) = asyncio.get_running_loop(), url.removeprefix("http://").split(":")
        slow = [socket.create_connection((host, int(port))) for _ in range(20)]
        for each in slow:
            each.setblocking(False)
            await loop.sock_sendall(each, b"GET /api/live?view=/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await until(lambda: dashboard.live.count == len(slow))
        (shown,) = dashboard.live.shown.values()
        number = 0

        def large() -> bytes:
            nonlocal number
            number += 1
            return b'"%d%s"' % (number, 2_000_000 * b"x")

        shown.make = large
        most = 0
        while dashboard.live.count:
            dashboard.refresh()
            waiting = [handler.transport.get_write_buffer_size() for handler in dashboard._runner.server.connections]
            most = max(most, sum(waiting))
            await asyncio.sleep(0.05)

        assert number > 3
        assert most < 20 * 200_000  # not 20 times 2 MB, however many documents there were
        for each in slow:
            each.close()

    served(ran.config, ran.state, use, live=Live(patience_s=1.0))


def test_too_many_pages_are_told_to_wait(ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream_app.edges.live.MOST_DOCUMENTS", 2)

    async def use(url: str, client: aiohttp.ClientSession, _: Any) -> None:
        open_pages = [await client.get(f"{url}/api/live", params={"view": path}) for path in ("/", "/signals", "/")]
        refused = await client.get(f"{url}/api/live", params={"view": "/models"})

        assert [page.status for page in open_pages] == [200, 200, 200]
        assert refused.status == 503
        assert refused.headers["Retry-After"]
        for page in open_pages:
            page.close()

    served(ran.config, ran.state, use)


# as a program


def test_it_shows_what_comes_in_and_opens_quickly_again(tmp_path: Path) -> None:
    ran = made(tmp_path, 600)

    async def through_a_run(url: str) -> None:
        async with (
            asyncio.timeout(TIMEOUT_S),
            aiohttp.ClientSession() as client,
            client.get(f"{url}api/live", params={"view": "/"}) as page,
        ):
            told = await read_event(page)
            while told["records"] < 512:
                told = await read_event(page)
            with (tmp_path / "events.jsonl").open("ab") as events:
                events.write(jsonl(rows(3, 1300)[600:]))
            await asyncio.to_thread(in_process, ran.file, ran.state)
            while told["records"] < 1280:
                told = await read_event(page)
            assert told["status"] == "live"
            assert told["counts"] == document(ran.board(), "overview")["counts"]

    async def again(url: str) -> None:
        async with aiohttp.ClientSession() as client, asyncio.timeout(TIMEOUT_S):
            told: dict[str, Any] = {}
            while told.get("records") != 1280:
                told = await (await client.get(f"{url}api")).json()
            assert told["counts"] == document(ran.board(), "overview")["counts"]

    with shown(ran.file, "--state", ran.state) as url:
        asyncio.run(through_a_run(url))
    assert ran.state.with_suffix(".board").exists()
    with shown(ran.file, "--state", ran.state) as url:
        asyncio.run(again(url))


@pytest.mark.parametrize("name", ["run", "demo"])
@pytest.mark.parametrize(
    ("where", "problem"), [("abc", ': "abc" is no address'), ("0.0.0.0:0", " 0.0.0.0:0: beyond this machine")]
)
def test_a_wrong_address_beside_a_run_names_what_was_written(
    tmp_path: Path, name: str, where: str, problem: str
) -> None:
    words = [configured(tmp_path, "events.jsonl")] if name == "run" else ["--folder", tmp_path]
    said = call(name, *words, f"--dashboard={where}").stderr.decode()

    assert f"driftline {name}: 1 problem\n  --dashboard{problem}" in said
    assert "--token-file" not in said


def test_a_run_may_have_its_dashboard_beside_it(tmp_path: Path) -> None:
    file = configured(tmp_path, "events.jsonl")
    (tmp_path / "events.jsonl").write_bytes(jsonl(rows(3, 300)))
    told = tmp_path / "told"
    words = ("run", file, "--state", tmp_path / "log.db", "--follow", "--dashboard=0")

    def url() -> str:
        found = re.search(r"dashboard at (\S+)", told.read_text())
        return found[1] if found else ""

    def answers() -> bool:
        try:
            with socket.create_connection(("127.0.0.1", int(url().rstrip("/").rpartition(":")[2]))):
                return True
        except OSError:
            return False

    with told.open("wb") as output, subprocess.Popen(command(*words), stderr=output) as process:
        try:
            wait_until(lambda: bool(url()), process)
            assert answers()
        finally:
            process.kill()  # however it ends
    asyncio.run(asyncio.wait_for(until(lambda: not answers()), TIMEOUT_S))
