"""What a worker tells its operator: records on standard error, each one line of text or of JSON.

Ours come through `tell`, `warn` and `fail`, and all are written. Of Faust, mode, aiokafka and other libraries warnings
and errors are written, the same one at most once in REPEAT_S, with the number of those that were left out.
"""

import json
import logging
import math
import re
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

REPEAT_S = 5.0  # a broker that is away gives a line per topic and 5 s instead of 1000 per s
TRANSIENT_S = 10.0  # retries that end within this time are part of a normal start
FALSE_ALARMS = (  # Faust compares clocks that have nothing to do with each other; `health` tells what is really stuck
    "Thread keepalive is not responding",
    "Aiokafka has not sent fetch request",
    "Aiokafka stopped fetching from",
)
TRANSIENT = (  # Kafka's answers to the first transactions on a new partition, and to the first members of all groups
    "retrying. Error: <class 'aiokafka.errors.NotEnoughReplicasError'>",
    "GroupCoordinatorNotAvailableError",
)

_OURS = logging.getLogger("driftline")
_CONTROL = re.compile(r"[\x00-\x20\x7f-\x9f]+")
_BARE = re.compile(r"[^\s\"'=\x00-\x1f\x7f-\x9f]+")


def start(form: Literal["text", "json"] | None = None, stream: TextIO | None = None) -> None:
    """Sends all logging of this process to `stream` (standard error); None: text on a terminal, JSON otherwise."""
    stream = stream or sys.stderr
    form = form or ("text" if stream.isatty() else "json")
    handler = Handler(stream)
    handler.setFormatter(Text() if form == "text" else Json())
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    _OURS.setLevel(logging.INFO)


def start_command() -> None:
    """For a command on Kafka: what aiokafka warns of is part of its work, what it calls an error is said."""
    start("text")
    logging.getLogger("aiokafka").setLevel(logging.ERROR)


def tell(event: str, /, **fields: Any) -> None:
    """Something that an operator may want to know: `tell("shard opened", shard=3, records=10)`.

    The names time, level, event, logger, exception and suppressed are taken.
    """
    _OURS.info(event, extra={"fields": fields})


def warn(event: str, /, **fields: Any) -> None:
    """Something that an operator should look at."""
    _OURS.warning(event, extra={"fields": fields})


def fail(event: str, /, error: BaseException | None = None, **fields: Any) -> None:
    """Something that keeps the worker from its work; `error` with its traceback."""
    _OURS.error(event, extra={"fields": fields}, exc_info=error)


def end() -> None:
    """From here on only our own: what the libraries say of a failure that was told is the same again, five times."""
    logging.root.setLevel(logging.CRITICAL + 1)


class Handler(logging.StreamHandler[TextIO]):
    """Writes what an operator can use, and not too often."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(stream)
        self.is_noise, self.rate = Noise(clock), Rate(clock)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            written = [] if self.is_noise(record) else list(self.rate(record))
        except Exception:  # noqa: BLE001  (a library's broken record must not stop the worker)
            self.handleError(record)
        else:
            for passed in written:
                super().emit(passed)

    def close(self) -> None:
        """Also writes what was held back; called at the end of the process."""
        for held in self.rate.release(math.inf):
            super().emit(held)
        super().close()


class Noise:
    """Known false alarms of the libraries, and retries that do not go on for TRANSIENT_S."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock, self.began, self.latest = clock, -math.inf, -math.inf

    def __call__(self, record: logging.LogRecord) -> bool:
        if record.name == _OURS.name:
            return False
        message = record.getMessage()
        if any(answer in message for answer in TRANSIENT):
            return not self._lasting()
        return any(alarm in message for alarm in FALSE_ALARMS)

    def _lasting(self) -> bool:
        now = self.clock()
        if now - self.latest > TRANSIENT_S:
            self.began = now
        self.latest = now
        return now - self.began > TRANSIENT_S


class Rate:
    """Lets a library's record pass once in REPEAT_S; of those held back the last one passes later, with their number.

    The same: logger, template, class of the exception. Memory: one record for each of the last REPEAT_S.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.seen: dict[tuple[str, ...], _Seen] = {}  # in order of time

    def __call__(self, record: logging.LogRecord) -> Iterator[logging.LogRecord]:
        """Those that are to be written now."""
        now = self.clock()
        yield from self.release(now)
        if record.name == _OURS.name:
            yield record
            return
        key = (record.name, str(record.msg), repr(record.exc_info and record.exc_info[0]))
        known = self.seen.get(key)
        if known is None:
            self.seen[key] = _Seen(now + REPEAT_S)
            yield record
        else:
            known.held = _bare(record)
            known.count += 1

    def release(self, now: float) -> Iterator[logging.LogRecord]:
        """What was held back and whose time is over."""
        while self.seen:
            key, oldest = next(iter(self.seen.items()))
            if now < oldest.until:
                return
            del self.seen[key]
            if oldest.held is not None:
                self.seen[key] = _Seen(now + REPEAT_S)
                oldest.held.fields = {"suppressed": oldest.count - 1} if oldest.count > 1 else {}
                yield oldest.held


class _Seen:
    """A record that was written, and those like it since."""

    __slots__ = "count", "held", "until"

    def __init__(self, until: float) -> None:
        self.until, self.count = until, 0
        self.held: logging.LogRecord | None = None


class Json(logging.Formatter):
    """{"time", "level", "event", "logger", fields, "suppressed", "exception"} on one line."""

    def format(self, record: logging.LogRecord) -> str:
        fixed = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "logger": record.name,
        }
        fields = {name: _plain(value) for name, value in _fields(record).items()}
        if traceback := _traceback(self, record):
            fields["exception"] = traceback
        return json.dumps(fixed | fields | fixed, default=str)


class Text(logging.Formatter):
    """`TIME LEVEL event field=value`, the logger where it is not ours; a traceback on the lines below."""

    def format(self, record: logging.LogRecord) -> str:
        fields = _fields(record) | ({} if record.name == _OURS.name else {"logger": record.name})
        event = _CONTROL.sub(" ", record.getMessage()).strip()
        words = [_time(record), f"{record.levelname:7}", event, *(f"{k}={_shown(v)}" for k, v in fields.items())]
        traceback = _traceback(self, record)
        return " ".join(words) + (f"\n{traceback}" if traceback else "")


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields: dict[str, Any] = getattr(record, "fields", {})
    return fields


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    return formatter.formatException(record.exc_info) if record.exc_info and record.exc_info[0] else ""


def _plain(value: Any) -> Any:
    """JSON knows no NaN and no infinity."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _shown(value: Any) -> str:
    text = str(value)
    return text if _BARE.fullmatch(text) else json.dumps(text, ensure_ascii=True)


def _bare(record: logging.LogRecord) -> logging.LogRecord:
    """The record without arguments and traceback, which could keep large objects alive while it is held."""
    record.msg, record.args, record.exc_info = record.getMessage(), None, None
    return record
