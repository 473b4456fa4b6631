"""Plain data: compact columns that a struct may hold, and structs to and from what msgpack can write."""

from array import array
from collections.abc import Iterable
from typing import Any, Self, TypeVar

import msgspec

T = TypeVar("T")


class Whole(array):  # type: ignore[type-arg]
    """A column of 64-bit integers."""

    def __new__(cls, data: bytes | Iterable[int] = b"") -> Self:
        return super().__new__(cls, "q", data)  # type: ignore[return-value]


class Real(array):  # type: ignore[type-arg]
    """A column of 64-bit floats."""

    def __new__(cls, data: bytes | Iterable[float] = b"") -> Self:
        return super().__new__(cls, "d", data)  # type: ignore[return-value]


def to_plain(thing: Any) -> Any:
    """Structs and columns as dicts, lists and bytes."""
    return msgspec.to_builtins(thing, builtin_types=(bytes,), enc_hook=array.tobytes)


def from_plain(plain: Any, kind: type[T]) -> T:
    """The same back; msgspec.ValidationError for what is no such thing."""
    return msgspec.convert(plain, kind, dec_hook=_column, builtin_types=(bytes,))


def _column(kind: Any, data: Any) -> Any:
    try:
        return kind(data)
    except (TypeError, ValueError) as error:
        raise msgspec.ValidationError(f"not a column: {error}") from None
