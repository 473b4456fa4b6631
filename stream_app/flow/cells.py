"""What one cell means: a number, a text, a time or a class; the same rules for CSV text and JSON scalars.

A cell is what `json.loads` gives or the text of a CSV cell. Each function either answers or raises `BadCell` with
a sentence for the dead letter; `decode` does the same by columns and sends what it cannot settle here.
"""

import math
import re
from datetime import UTC, datetime, timedelta

from stream_app.config import Task
from stream_app.messages import NO_TIME

MISSING_WORDS = ("", "NA", "N/A", "NaN", "nan", "null", "None", "NULL")  # in number, time and label cells
TIME_MS_MIN, TIME_MS_MAX = -62_135_596_800_000, 253_402_300_799_999  # years 1 to 9999

_MISSING = frozenset(word.lower() for word in MISSING_WORDS)
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_INFINITE = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)
_WHOLE = re.compile(r"([+-]?[0-9]+)(\.0*)?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_TRUTH = {
    **dict.fromkeys(("0", "false", "no", "f", "n"), "0"),
    **dict.fromkeys(("1", "true", "yes", "t", "y"), "1"),
}


class BadCell(Exception):  # noqa: N818 - not an error of the program: a finding about data
    """Why a cell or a record cannot be used, a sentence without its place; `kind` as in `Problem`."""

    def __init__(self, reason: str, kind: str = "type") -> None:
        super().__init__(reason)
        self.kind = kind


class OutOfRange(str):
    """The text of a JSON number that no float holds."""

    __slots__ = ()


def quoted(cell: object) -> str:
    """Show a cell in a reason, at most 60 characters of it."""
    if isinstance(cell, dict):
        return "an object"
    if isinstance(cell, list):
        return "an array"
    if isinstance(cell, bool):
        return "true" if cell else "false"
    text = cell if isinstance(cell, str) else repr(cell).removesuffix(".0")
    text = text if len(text) <= 60 else text[:59] + "…"
    text = text.encode("utf-8", "backslashreplace").decode()
    return f'"{text}"' if isinstance(cell, str) else text


def number(cell: object) -> float:
    """Read a number; missing is NaN, true and false are 1 and 0.

    >>> number(" 1.5 "), number("NA"), number(True)
    (1.5, nan, 1.0)
    """
    if isinstance(cell, OutOfRange):
        raise BadCell(f"number out of range: {quoted(cell)[1:-1]}")
    if isinstance(cell, str):
        return _number_of_text(cell)
    if cell is None:
        return math.nan
    if not isinstance(cell, int | float):
        raise BadCell(f"expected a number, got {quoted(cell)}")
    try:
        value = float(cell)
    except OverflowError:
        value = math.inf
    if math.isinf(value):
        raise BadCell(f"number out of range: {quoted(cell)}")
    return value


def _number_of_text(cell: str) -> float:
    text = cell.strip(" \t")
    if _NUMBER.fullmatch(text):
        value = float(text)
        if not math.isinf(value):
            return value
    elif text.lower() in _MISSING:
        return math.nan
    elif not _INFINITE.fullmatch(text):
        raise BadCell(f"expected a number, got {quoted(cell)}")
    raise BadCell(f"number out of range: {quoted(text)[1:-1]}")


def text(cell: object) -> str | None:
    """Read a category or an id; only null and the empty text are missing, so that "NA" may be Namibia.

    >>> text(17), text(True), text(1.0), text("NA"), text("")
    ('17', 'true', '1.0', 'NA', None)
    """
    if isinstance(cell, OutOfRange):
        raise BadCell(f"number out of range: {quoted(cell)[1:-1]}")
    if isinstance(cell, str):
        if not cell.isascii() and any("\ud800" <= letter <= "\udfff" for letter in cell):
            raise BadCell(f"not a text, half of a surrogate pair in it: {quoted(cell)}")
        return cell or None
    if cell is None:
        return None
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float):
        return None if math.isnan(number(cell)) else repr(cell)
    if isinstance(cell, int):
        return str(cell)
    raise BadCell(f"expected a text, got {quoted(cell)}")


def time_ms(cell: object) -> int:
    """Read a time as epoch milliseconds, rounded down; missing is NO_TIME, no zone is UTC.

    >>> time_ms("2013-01-01T05:15:00-05:00") == time_ms("2013-01-01 10:15") == time_ms(1357035300000)
    True
    """
    if cell is None:
        return NO_TIME
    if isinstance(cell, str) and not isinstance(cell, OutOfRange):
        value = _time_of_text(cell)
    elif isinstance(cell, bool) or not (isinstance(cell, int) or (isinstance(cell, float) and cell.is_integer())):
        if isinstance(cell, float) and math.isnan(cell):
            return NO_TIME
        raise BadCell(f"not a time: {quoted(cell)}; use RFC 3339 or epoch milliseconds")
    else:
        value = int(cell)
    if value != NO_TIME and not TIME_MS_MIN <= value <= TIME_MS_MAX:
        raise BadCell(f"not a time in the years 1 to 9999: {quoted(cell)}; use RFC 3339 or epoch milliseconds")
    return value


def _time_of_text(cell: str) -> int:
    text = cell.strip(" \t")
    if text.lower() in _MISSING:
        return NO_TIME
    whole = _WHOLE.fullmatch(text)
    if whole:
        return int(whole[1]) if len(whole[1]) < 20 else TIME_MS_MAX + 1
    try:
        moment = datetime.fromisoformat(text.upper())
    except ValueError:
        raise BadCell(f"not a time: {quoted(cell)}; use RFC 3339 or epoch milliseconds") from None
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // _MILLISECOND


class ClassNames:
    """How the texts of a label become the names of classes.

    With `task.classes` a text must be one of them, numbers being compared as numbers; without, a binary label is one
    of 0/1, true/false, yes/no, t/f, y/n in any case, and a multiclass label any text.

    >>> ClassNames(Task())("Yes"), ClassNames(Task(type="multiclass"))("3.0")
    ('1', '3')
    """

    def __init__(self, task: Task) -> None:
        self._classes = task.classes
        self._open = task.type == "multiclass" and not task.classes
        names = dict(_TRUTH) if set(task.classes) <= {"0", "1"} and not self._open else {}
        names |= {name.lower(): name for name in task.classes if name.lower() in ("true", "false")}
        self._any_case = names
        self._numbers = {float(name): name for name in task.classes or ("0", "1") if _NUMBER.fullmatch(name)}

    def __call__(self, cell: str | None) -> str | None:
        """Answer the class; None where the label is missing."""
        if cell is None or cell in self._classes:
            return cell
        plain = cell.strip(" \t")
        if self._open:
            whole = _WHOLE.fullmatch(plain)
            return whole[1] if whole else cell
        if plain in self._classes:
            return plain
        if plain.lower() in self._any_case:
            return self._any_case[plain.lower()]
        if _NUMBER.fullmatch(plain) and float(plain) in self._numbers:
            return self._numbers[float(plain)]
        if plain.lower() in _MISSING:
            return None
        if self._classes:
            known = ", ".join(self._classes[:20])
            raise BadCell(f"unknown class {quoted(cell)}; task.classes has {known}", "schema")
        raise BadCell(f"expected 0/1, true/false or yes/no, got {quoted(cell)}; set task.classes to the two classes")
