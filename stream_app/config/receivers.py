"""Who is told of alerts: what must hold for [[alarms.notify]], and the name of each receiver."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from stream_app.config.reading import child, quoted, unknown

if TYPE_CHECKING:  # config.py imports this file
    from stream_app.config import Config, Notify

GATE = "gate"  # name of the receiver that is the promotion gate
KINDS = ("alertmanager", "webhook", "exec", "email", "log")
STREAMS = ("alerts", "triggers")
SEVERITIES = ("info", "warning", "critical")
ALERTS_PATH = "/api/v2/alerts"  # of an Alertmanager
TLS_PORT = 465  # of mail servers that speak TLS from the first byte
MAIL_KEYS = ("smtp", "from", "username", "password", "starttls")

_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_MAIL = re.compile(r"[^@\s,;<>]+@[^@\s,;<>]+")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_LOOPBACK = re.compile(r"localhost|127(\.\d+){3}|\[::1\]")

Found = Iterator[tuple[str, str]]


def receivers(config: "Config") -> "dict[str, Notify]":
    """Each receiver by its name: the given one, else its kind, numbered from the second of a kind on."""
    given = {notify.name for notify in config.alarms.notify}
    found: dict[str, Notify] = {}
    for notify in config.alarms.notify:
        name, number = notify.name, 1
        while name is None or (notify.name is None and (name in found or name in given)):
            name = kind_of(notify) + (f"-{number}" if number > 1 else "")
            number += 1
        found[name] = notify
    return found | gate_of(config)


def gate_of(config: "Config") -> "dict[str, Notify]":
    """The promotion gate, which is told of triggers as any receiver is; empty without one."""
    from stream_app.config import Notify  # noqa: PLC0415

    if config.retrain.gate is None:
        return {}
    return {GATE: Notify(name=GATE, program=config.retrain.gate, streams=("triggers",), severity="info")}


def kind_of(notify: "Notify") -> str:
    """Which of KINDS a receiver is: the first that is set."""
    return next((kind for kind in KINDS if _given(notify, kind)), "")


def address_of(smtp: str) -> tuple[str, int]:
    """Host and port of a mail server: `HOST:PORT`, or a host, which then listens at port 25.

    >>> address_of("mail.example.org:587"), address_of("[::1]")
    (('mail.example.org', 587), ('::1', 25))
    """
    host, _, port = smtp.rpartition(":") if re.search(r":\d+$", smtp) else (smtp, "", "25")
    return host.strip("[]"), int(port)


def check_receivers(config: "Config") -> Found:
    """Every problem of [[alarms.notify]]. No address is shown: it may hold a token."""
    names: set[str] = set()
    for i, notify in enumerate(config.alarms.notify):
        path = f"$.alarms.notify[{i}]"
        if notify.name is not None and not _NAME.fullmatch(notify.name):
            yield f"{path}.name", f"bad name {quoted(notify.name)}; use letters, digits, _ . and - only"
        elif notify.name == GATE:
            yield f"{path}.name", f"{quoted(GATE)} is the name of retrain.gate; choose another"
        elif notify.name in names:
            yield f"{path}.name", f"{quoted(notify.name)} is there twice"
        names |= {notify.name} if notify.name is not None else set()
        kinds = [kind for kind in KINDS if _given(notify, kind)]
        if len(kinds) != 1:
            what = f"has {' and '.join(kinds)}" if kinds else "missing: whom to notify?"
            yield path, f"{what}; write exactly one of: {', '.join(KINDS)}"
            continue
        yield from _streams(notify, path)
        yield from _numbers(notify, path)
        yield from _address(notify, path)
        yield from _keys(notify, path, kinds[0])
        if kinds[0] == "email":
            yield from _mail(notify, path)


def _given(notify: "Notify", key: str) -> bool:
    value = getattr(notify, {"exec": "program", "from": "sender"}.get(key, key))
    return value not in (None, False, {})


def _streams(notify: "Notify", path: str) -> Found:
    if not notify.streams:
        yield f"{path}.streams", f"is empty; write some of: {', '.join(STREAMS)}"
    for i, stream in enumerate(notify.streams):
        if stream not in STREAMS:
            yield f"{path}.streams[{i}]", unknown("stream", stream, STREAMS)
        elif stream in notify.streams[:i]:
            yield f"{path}.streams[{i}]", f"{quoted(stream)} is there twice"
        elif stream != "alerts" and notify.alertmanager is not None:
            yield f"{path}.streams[{i}]", "an Alertmanager takes alerts only; use a webhook for triggers"


def _numbers(notify: "Notify", path: str) -> Found:
    if notify.timeout_ms <= 0:
        yield f"{path}.timeout", "must be more than 0"
    if notify.attempts <= 0:
        yield f"{path}.attempts", "must be more than 0"


def _address(notify: "Notify", path: str) -> Found:
    for key, address in (("alertmanager", notify.alertmanager), ("webhook", notify.webhook)):
        if address is None:
            continue
        if not _is_http(address):
            yield f"{path}.{key}", "expected an address that starts with http:// or https://, and a host"
        elif key == "webhook" and urlsplit(address).path.rstrip("/").endswith(ALERTS_PATH):
            yield f"{path}.webhook", "is an Alertmanager's, which takes no CloudEvents; write alertmanager = instead"
    if notify.program is not None and not notify.program.strip():
        yield f"{path}.exec", "is empty; write a command"


def _is_http(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _keys(notify: "Notify", path: str, kind: str) -> Found:
    """Keys of another kind of receiver, which would do nothing."""
    owners = {"secret": ("webhook",), "headers": ("webhook", "alertmanager")} | dict.fromkeys(MAIL_KEYS, ("email",))
    for key, kinds in owners.items():
        if _given(notify, key) and kind not in kinds:
            yield f"{path}.{key}", f"is for {' and '.join(kinds)}, not for {kind}; remove it"
    if notify.secret == "":
        yield f"{path}.secret", "is empty: a signature with it would prove nothing"
    for name, value in notify.headers.items():
        if not _HEADER.fullmatch(name) or not value.isprintable():
            yield child(f"{path}.headers", name), "is no header of HTTP: letters, digits and - in its name, one line"


def _mail(notify: "Notify", path: str) -> Found:
    for key, mail in (("email", notify.email), ("from", notify.sender)):
        if mail is None:
            yield f"{path}.{key}", 'missing: an address of e-mail such as "driftline@example.org"'
        elif not _MAIL.fullmatch(mail):
            yield f"{path}.{key}", f'{quoted(mail)} is not one address of e-mail such as "team@example.org"'
    host = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^\s:\[\]/@]+)(?::(\d{1,5}))?", notify.smtp or "")
    if host is None or not 0 < int(host[2] or 25) < 65536:
        yield f"{path}.smtp", 'missing or no server: write for example "mail.example.org:587"'
        return
    if (notify.username is None) != (notify.password is None):
        missing = "username" if notify.username is None else "password"
        yield f"{path}.{missing}", "missing: a login needs both username and password"
    if notify.password is not None and not (notify.starttls or host[2] == str(TLS_PORT) or _LOOPBACK.match(host[1])):
        yield f"{path}.starttls", f"the password would be sent unencrypted; set starttls = true, or use port {TLS_PORT}"
