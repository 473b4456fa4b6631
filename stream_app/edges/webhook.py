"""Receivers over HTTP: CloudEvents 1.0 in structured mode, signed; one POST and what its answer means."""

import hashlib
import hmac
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp

from stream_app.config import Notify
from stream_app.edges.notices import Notice
from stream_app.edges.receivers import SAID_BYTES, Answer, Clock, Once, Secrets

LATER = (408, 425, 429)  # and all from 500 on: the same request may be welcome later
CLOUD_EVENT = "application/cloudevents+json; charset=UTF-8"
AGENT = "driftline"


class Webhook(Once):
    """`POST` of the event to one address.

    With a secret, X-Driftline-Signature is "sha256=" and the hexadecimal HMAC-SHA256 of X-Driftline-Timestamp (seconds
    since 1970, of this attempt), a full stop, and the body.
    """

    def __init__(self, notify: Notify, clock: Clock) -> None:
        self._notify, self._clock, self._http = notify, clock, Http(notify, clock)

    async def send(self, notice: Notice) -> Answer:
        headers = {"Content-Type": CLOUD_EVENT, "Idempotency-Key": header_text(notice.id)}
        if self._notify.secret is not None:
            headers |= signed(self._notify.secret, int(self._clock()), notice.value)
        return await self._http.post(self._notify.webhook or "", notice.value, headers)

    async def close(self) -> None:
        await self._http.close()


def signed(secret: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers by which a receiver knows who has sent the body, and when.

    >>> signed("key", 1700000000, b"{}")["X-Driftline-Signature"][:23]
    'sha256=9d713ed406bb7076'
    """
    digest = hmac.new(secret.encode(), b"%d.%b" % (timestamp, body), hashlib.sha256).hexdigest()
    return {"X-Driftline-Timestamp": str(timestamp), "X-Driftline-Signature": f"sha256={digest}"}


def header_text(text: str) -> str:
    """A text that may stand in a header of HTTP: what is not printable ASCII as the escapes of an address."""
    return "".join(c if " " < c <= "~" and c != "%" else "".join(f"%{b:02X}" for b in c.encode()) for c in text)


class Http:
    """POST requests to one receiver. No redirect is followed: a secret must not go where nobody sent it."""

    def __init__(self, notify: Notify, clock: Clock) -> None:
        self._secrets, self._clock, self._headers = Secrets(notify), clock, notify.headers
        self._session: aiohttp.ClientSession | None = None

    async def post(self, url: str, body: bytes, headers: dict[str, str]) -> Answer:
        """One attempt; of the answer SAID_BYTES are read."""
        if self._session is None:
            forever = aiohttp.ClientTimeout(total=None)  # the deliverer's is the one that counts
            self._session = aiohttp.ClientSession(timeout=forever, auto_decompress=False, read_bufsize=SAID_BYTES)
        every: dict[str, str] = {"User-Agent": AGENT} | self._headers | headers
        try:
            async with self._session.post(url, data=body, headers=every, allow_redirects=False) as response:
                try:
                    said = await response.content.read(SAID_BYTES)
                finally:
                    if not response.content.at_eof():
                        response.close()  # or the rest of a long answer would be read
                return self._meaning(response, said.decode(errors="replace"))
        except aiohttp.InvalidURL:
            return Answer("never", "the address cannot be used: correct it")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Answer("later", self._secrets.shown(str(error) or type(error).__name__))

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _meaning(self, response: Any, said: str) -> Answer:
        status = response.status
        text = self._secrets.shown(f"{status} {response.reason or ''}{': ' if said.strip() else ''}{said}")
        if 200 <= status < 300:
            return Answer("delivered", text)
        if status >= 500 or status in LATER:
            return Answer("later", text, retry_after_s(response.headers.get("Retry-After"), self._clock()))
        if 300 <= status < 400:
            text = f"{status}: redirects are not followed; write the address that it leads to"
        return Answer("never", text)


def retry_after_s(value: str | None, now_s: float) -> float:
    """Seconds of a Retry-After header, a number or a date; 0 where there is none or it makes no sense.

    >>> retry_after_s("120", 0), retry_after_s("Thu, 01 Jan 1970 00:01:00 GMT", 10), retry_after_s("soon", 0)
    (120.0, 50.0, 0.0)
    """
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:12])
    try:
        date: datetime = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    zoned = date if date.tzinfo is not None else date.replace(tzinfo=UTC)
    return max(zoned.timestamp() - now_s, 0.0)
