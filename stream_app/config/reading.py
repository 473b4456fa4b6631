"""From TOML text to plain data to a tree of structs; every mistake is collected with its path, none stops the reading.

What cannot be read is replaced by its default (or a blank), so that the rest of the file is still checked.
"""

import json
import math
import re
import tomllib
import types
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from fractions import Fraction
from typing import Any, Literal, Union, get_args, get_origin

from msgspec import Struct, structs

UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
LARGEST = 2**53  # integers beyond it are not exact in JSON; as milliseconds: 285,000 years
BAD = object()  # stands for a value that was reported and cannot be used

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_DURATION = re.compile(r"(\d{1,15}(?:\.\d{1,9})?) ?(ms|s|m|h|d|w)")
_VARIABLE = re.compile(r"\$\$\{|\$\{([^}]*)\}")
_TOML_PLACE = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)


def duration_ms(text: str) -> int:
    """Milliseconds of `"500ms"`, `"10s"`, `"30m"`, `"1h"`, `"2d"`, `"1w"`; ValueError says how to write one.

    >>> duration_ms("1.5h")
    5400000
    """
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise ValueError(f'bad duration {quoted(text)}; write for example "500ms", "10s", "30m", "1h", "2d" or "1w"')
    length = round(Fraction(found[1]) * UNITS_MS[found[2]])
    if length > LARGEST:
        raise ValueError(f"duration {quoted(text)} is too long")
    return length


def quoted(value: Any) -> str:
    """A value as an error shows it: text in quotes, cut when long; tables and arrays by their kind."""
    if isinstance(value, str):
        return json.dumps(value if len(value) <= 60 else value[:57] + "...", ensure_ascii=False)
    if isinstance(value, bool):
        return str(value).lower()
    return "a table" if isinstance(value, dict) else "an array" if isinstance(value, list) else str(value)[:60]


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean "…"?` for the nearest known word, or nothing.

    >>> nearest("detektor", ["signal", "detector"])
    '; did you mean "detector"?'
    """
    lowered = {name.lower(): name for name in known}
    close = get_close_matches(word.lower(), lowered, n=1, cutoff=0.5)
    return f'; did you mean "{lowered[close[0]]}"?' if close else ""


def unknown(what: str, word: str, known: Iterable[str]) -> str:
    """`unknown detector "kss"; known: adwin, ks; did you mean "ks"?`; a long list is cut."""
    names = list(known)
    shown = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
    return f"unknown {what} {quoted(word)}; known: {shown or 'none'}{nearest(word, names)}"


def child(path: str, key: str) -> str:
    """The path of a key of the table at `path`: `$.a.b`, or `$.a["b c"]` where the key needs quotes."""
    return f"{path}.{key}" if _BARE_KEY.fullmatch(key) else f"{path}[{json.dumps(key, ensure_ascii=False)}]"


def plain_data(text: str) -> dict[str, Any]:
    """The TOML document as plain data; ValueError says line and column of a syntax error."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = _TOML_PLACE.fullmatch(str(error))
        lines = text.split("\n")
        line, column = (place[2], place[3]) if place and place[2] else (len(lines), len(lines[-1]) + 1)
        reason = place[1] if place else str(error)
        raise ValueError(f"line {line}, column {column}: not valid TOML: {reason}") from error
    except RecursionError as error:
        raise ValueError("arrays or tables are nested too deeply") from error


class Reader:
    """Reads plain data as a struct tree; `problems` are (path, what is wrong) in the order of the structs."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.problems: list[tuple[str, str]] = []
        self._environ = environ
        self._meant: list[str] = []  # paths of values that are missing only because their key is misspelt

    def broken(self, path: str) -> bool:
        """Whether something at, above or beneath `path` was already reported."""
        known = [*self._meant, *(problem for problem, _ in self.problems)]
        return any(_beneath(path, other) or _beneath(other, path) for other in known)

    def filled(self, value: Any, path: str = "$") -> Any:
        """The plain data with `${NAME}` in every string replaced from the environment; `$${` is a literal `${`."""
        if isinstance(value, dict):
            return {key: self.filled(item, child(path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self.filled(item, f"{path}[{i}]") for i, item in enumerate(value)]
        return _VARIABLE.sub(lambda found: self._variable(found, path), value) if isinstance(value, str) else value

    def value(self, kind: Any, raw: Any, path: str) -> Any:
        """`raw` as `kind`, or BAD after noting why not."""
        if get_origin(kind) in (Union, types.UnionType):
            kind = next(option for option in get_args(kind) if option is not type(None))
        origin = get_origin(kind)
        if origin is Literal:
            return self._literal(get_args(kind), raw, path)
        if origin is tuple:
            return self._array(get_args(kind)[0], raw, path)
        if origin is dict:
            return self._table(get_args(kind)[1], raw, path)
        if kind is Any:
            return raw
        if not (isinstance(kind, type) and issubclass(kind, Struct)):
            return self._scalar(kind, raw, path)
        parse = getattr(kind, "parse", None)
        return self._parsed(parse, raw, path) if parse else self._struct(kind, raw, path)

    def _variable(self, found: re.Match[str], path: str) -> str:
        if found[0] == "$${":
            return "${"
        if found[1] not in self._environ:
            self._wrong(path, f"environment variable {quoted(found[1])} is not set; a literal ${{ is written $${{")
            return ""
        return self._environ[found[1]]

    def _wrong(self, path: str, text: str) -> Any:
        if not any(known == path for known, _ in self.problems):  # an unset variable makes no second problem
            self.problems.append((path, text))
        return BAD

    def _literal(self, known: tuple[Any, ...], raw: Any, path: str) -> Any:
        if not isinstance(raw, str):
            return self._wrong(path, f"expected one of {', '.join(known)}, got {quoted(raw)}")
        what = path.rpartition(".")[2]
        return raw if raw in known else self._wrong(path, unknown(what, raw, known))

    def _array(self, kind: Any, raw: Any, path: str) -> Any:
        if not isinstance(raw, list):
            return self._wrong(path, f"expected an array, got {quoted(raw)}")
        items = [self.value(kind, item, f"{path}[{i}]") for i, item in enumerate(raw)]
        return tuple(self._blank(kind) if item is BAD else item for item in items)  # a blank keeps the indices

    def _table(self, kind: Any, raw: Any, path: str) -> Any:
        if not isinstance(raw, dict):
            return self._wrong(path, f"expected a table, got {quoted(raw)}")
        items = {key: self.value(kind, item, child(path, key)) for key, item in raw.items()}
        return {key: self._blank(kind) if item is BAD else item for key, item in items.items()}

    def _parsed(self, parse: Callable[[str], Any], raw: Any, path: str) -> Any:
        if not isinstance(raw, str | int | float) or isinstance(raw, bool):
            return self._wrong(path, f"expected text, got {quoted(raw)}")
        try:
            return parse(str(raw))  # a number without its unit is wrong too: the error shows how to write it
        except ValueError as error:
            return self._wrong(path, str(error))

    def _scalar(self, kind: Any, raw: Any, path: str) -> Any:
        number = isinstance(raw, int | float) and not isinstance(raw, bool)
        if kind is str:
            write = f"; write {quoted(str(raw).lower())}" if isinstance(raw, int | float) else ""
            return raw if isinstance(raw, str) else self._wrong(path, f"expected text, got {quoted(raw)}{write}")
        if kind is bool:
            return raw if isinstance(raw, bool) else self._wrong(path, f"expected true or false, got {quoted(raw)}")
        if number and not (math.isfinite(raw) and abs(raw) <= LARGEST) and kind is int:
            return self._wrong(path, f"{quoted(raw)} is too large")
        if kind is int:
            good = isinstance(raw, int) and number
            return raw if good else self._wrong(path, f"expected a whole number, got {quoted(raw)}")
        good = number and abs(raw) <= 1e308  # also turns nan and inf away
        return float(raw) if good else self._wrong(path, f"expected a number, got {quoted(raw)}")

    def _struct(self, kind: Any, raw: Any, path: str) -> Any:
        if not isinstance(raw, dict):
            return self._wrong(path, f"expected a table, got {quoted(raw)}")
        fields = {info.encode_name: info for info in structs.fields(kind)}
        self._unknown_keys(raw, fields, path)
        values = {}
        for key, info in fields.items():
            value = BAD
            if key in raw and info.name.endswith("_ms"):
                value = self._parsed(duration_ms, raw[key], child(path, key))
            elif key in raw:
                value = self.value(info.type, raw[key], child(path, key))
            elif info.required and child(path, key) not in self._meant:
                self._wrong(child(path, key), "missing")
            if value is not BAD:
                values[info.name] = value
            elif info.required or (key in raw and _is_text(info.type)):
                values[info.name] = self._blank(info.type)
        return kind(**values)

    def _unknown_keys(self, raw: dict[str, Any], fields: Iterable[str], path: str) -> None:
        for key in raw:
            if key not in fields:
                hint = nearest(key, (name for name in fields if name not in raw))
                self._wrong(child(path, key), f"unknown key{hint or '; known: ' + ', '.join(fields)}")
                self._meant += [child(path, name) for name in hint.split('"')[1:2]]

    def _blank(self, kind: Any) -> Any:
        """What stands in for a value that was reported: there but empty, so that later checks leave it alone."""
        if isinstance(kind, type) and issubclass(kind, Struct):
            known = structs.fields(kind)
            return kind(**{info.name: self._blank(info.type) for info in known if info.required or _is_text(info.type)})
        return "" if _is_text(kind) else {} if get_origin(kind) is dict else None


def _is_text(kind: Any) -> bool:
    return kind is str or (get_origin(kind) in (Union, types.UnionType) and str in get_args(kind))


def _beneath(path: str, above: str) -> bool:
    return path == above or (path.startswith(above) and path[len(above)] in ".[")
