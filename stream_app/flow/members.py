"""Members: flat JSON objects, one a line, → their numbers and the places of their texts by one compiled pass.

A line that is anything but plain is doubted, so that all that is said here about JSON is what plain means: an object of
strings without escapes, numbers, true, false and null, no member that is wanted twice, nothing behind it.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stream_app.messages import Bools, Floats, Ints

Bytes = NDArray[np.uint8]
Places = NDArray[np.int32]

SKIP = np.iinfo(np.int64).min  # the kind of a member that nobody wants
TENS = 10.0 ** np.arange(23)  # the powers of ten that are floats
EXACT = 2**53  # whole numbers up to here are floats
LONGEST_WHOLE = 18  # digits of a whole number that is taken as a text

_NEWLINE, _RETURN, _SPACE, _TAB, _QUOTE, _ESCAPE, _OPEN, _CLOSE, _COLON, _COMMA, _BRACKET = b'\n\r \t"\\{}:,['
_MINUS, _PLUS, _POINT, _ZERO, _NINE, _E, _SMALL_E = b"-+.09Ee"
_NULL, _TRUE, _FALSE = (np.frombuffer(word, np.uint8) for word in (b"null", b"true", b"false"))
BAD, NOTHING, TEXT, HARD, FLOAT, WHOLE = range(6)  # what a value is


@njit(cache=True, nogil=True)
def _behind_spaces(block: Bytes, at: int) -> int:
    while block[at] == _SPACE or block[at] == _TAB or block[at] == _RETURN:
        at += 1
    return at


@njit(cache=True, nogil=True)
def _behind_digits(block: Bytes, at: int) -> int:
    while _ZERO <= block[at] <= _NINE:
        at += 1
    return at


@njit(cache=True, nogil=True)
def decimal(digits: int, decimals: int) -> float:
    """The float nearest to a whole number with so many of its digits behind the point.

    Digits and power of ten must both be floats: then one division rounds once (Clinger 1990, How to read floating point
    numbers accurately).
    """
    value = float(digits)
    return value / TENS[decimals] if decimals > 0 else value


@njit(cache=True, nogil=True)
def _number(block: Bytes, at: int) -> tuple[int, int, float]:
    """Where a JSON number ends, what it is, and its value unless it is bad, or hard: nothing for `decimal`."""
    negative = block[at] == _MINUS
    at += negative
    start, digits, decimals, kind = at, 0, 0, WHOLE
    while _ZERO <= block[at] <= _NINE and digits <= EXACT:
        digits = 10 * digits + (int(block[at]) - _ZERO)
        at += 1
    at = _behind_digits(block, at)
    count = at - start
    if count == 0 or (count > 1 and block[start] == _ZERO):
        return at, BAD, math.nan
    if block[at] == _POINT:
        start, kind = at + 1, FLOAT
        at += 1
        while _ZERO <= block[at] <= _NINE and digits <= EXACT:
            digits = 10 * digits + (int(block[at]) - _ZERO)
            at += 1
        at = _behind_digits(block, at)
        decimals = at - start
        if decimals == 0:
            return at, BAD, math.nan
    if block[at] == _E or block[at] == _SMALL_E:
        at += 1
        at += block[at] == _PLUS or block[at] == _MINUS
        start, at = at, _behind_digits(block, at)
        return at, HARD if at > start else BAD, math.nan
    if digits > EXACT or decimals >= len(TENS):
        return at, HARD, math.nan
    value = decimal(digits, decimals)
    return at, kind, -value if negative else value


@njit(cache=True, nogil=True)
def _behind_text(block: Bytes, at: int) -> int:
    """Behind the closing quote of a text that begins here; -1 if it is not plain."""
    while block[at] != _QUOTE:
        if block[at] == _ESCAPE or block[at] < _SPACE:
            return -1
        at += 1
    return at + 1


@njit(cache=True, nogil=True)
def _behind_word(block: Bytes, at: int, word: Bytes) -> int:
    for byte in word:
        if block[at] != byte:
            return -1
        at += 1
    return at


@njit(cache=True, nogil=True)
def _is_name(block: Bytes, at: int, names: Bytes, start: int, end: int) -> bool:
    """Whether this name and a closing quote stand here; a newline ends every block, and stands in no name."""
    for i in range(start, end):
        if block[at + i - start] != names[i]:
            return False
    return bool(block[at + end - start] == _QUOTE)


@njit(cache=True, nogil=True)
def _which(block: Bytes, at: int, names: Bytes, ends: Ints, guess: int) -> int:
    """The name that stands here, -1 if it is none of them."""
    if guess < len(ends) - 1 and _is_name(block, at, names, ends[guess], ends[guess + 1]):
        return guess
    for name in range(len(ends) - 1):
        if _is_name(block, at, names, ends[name], ends[name + 1]):
            return name
    return -1


@njit(cache=True, nogil=True)
def _value(block: Bytes, at: int, kind: int) -> tuple[int, int, float]:
    """Behind a value, what it is to a column of this kind, and which number if it is one that is not hard."""
    sign = block[at]
    if sign == _QUOTE:
        at = _behind_text(block, at + 1)
        return at, TEXT if at >= 0 and kind < 0 else BAD, math.nan
    if sign == _MINUS or _ZERO <= sign <= _NINE:
        start = at
        at, sort, value = _number(block, at)
        if kind >= 0 or kind == SKIP or sort == BAD:
            return at, sort, value
        whole = sort == WHOLE and at - start <= LONGEST_WHOLE and not (sign == _MINUS and value == 0.0)
        return at, WHOLE if whole else BAD, value
    if sign == _NULL[0]:
        at = _behind_word(block, at, _NULL)
    elif kind != SKIP:
        return at, BAD, math.nan
    elif sign == _TRUE[0]:
        at = _behind_word(block, at, _TRUE)
    else:
        at = _behind_word(block, at, _FALSE)
    return at, NOTHING if at >= 0 else BAD, math.nan


@njit(cache=True, nogil=True)
def openings(data: Bytes, starts: Ints, ends: Ints) -> Ints:
    """How many brackets and braces open in each record: it is nested no deeper."""
    found = np.zeros(len(starts), dtype=np.int64)
    for i in range(len(starts)):
        for at in range(starts[i], ends[i]):
            found[i] += data[at] == _OPEN or data[at] == _BRACKET
    return found


@njit(cache=True, nogil=True)
def members(
    block: Bytes, names: Bytes, ends: Ints, kinds: Ints, numbers: Floats, hard: Places, texts: Places, doubtful: Bools
) -> int:
    """Reads the wanted members of each line: `kinds` says the column in `numbers`, or -1 - that in `texts`.

    `names` are those of the members, one behind the other, `ends` where each begins and the last ends. Answers how many
    numbers are hard: `hard` holds where in `numbers` each belongs, its start and its end. -1: not a line for each row.
    """
    at = found = 0
    met = np.full(len(kinds), -1)  # the last row with this member
    following = np.arange(1, len(kinds) + 2)  # the one that came behind it, at the end the first
    for row in range(len(doubtful)):
        if at >= len(block):
            return -1
        numbers[row] = math.nan
        began, at, last = at, _behind_spaces(block, at), len(kinds)
        more = plain = block[at] == _OPEN
        at = _behind_spaces(block, at + plain)
        if plain and block[at] == _CLOSE:
            at, more = at + 1, False
        while more:
            more = False
            at, plain = _behind_spaces(block, at), False
            if block[at] != _QUOTE:
                break
            name = _which(block, at + 1, names, ends, following[last])
            if name >= 0:
                if met[name] == row:
                    break
                met[name], following[last], last = row, name, name
            at = _behind_text(block, at + 1)
            if at < 0:
                break
            at = _behind_spaces(block, at)
            if block[at] != _COLON:
                break
            at = _behind_spaces(block, at + 1)
            kind, start = kinds[name] if name >= 0 else SKIP, at
            at, sort, value = _value(block, at, kind)
            if sort == BAD:
                break
            if kind >= 0 and sort >= FLOAT:
                numbers[row, kind] = value
            elif kind >= 0 and sort == HARD:
                hard[0, found], hard[1, found], hard[2, found] = row * numbers.shape[1] + kind, start, at
                found += 1
            elif kind > SKIP and kind < 0 and sort != NOTHING:
                quote = int(sort == TEXT)
                texts[-1 - kind, 0, row], texts[-1 - kind, 1, row] = start + quote, at - quote
            at = _behind_spaces(block, at)
            more, plain = block[at] == _COMMA, block[at] == _COMMA or block[at] == _CLOSE
            at += plain
        if plain:
            at = _behind_spaces(block, at)
        if not plain or block[at] != _NEWLINE:
            doubtful[row], at = True, began
            for text in range(len(texts)):
                texts[text, 0, row] = texts[text, 1, row] = 0
            while block[at] != _NEWLINE:
                at += 1
        at += 1
    return found if at == len(block) else -1
