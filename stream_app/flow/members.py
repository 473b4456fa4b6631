"""Members: flat JSON objects, one a line, → their numbers and the places of their texts by one compiled pass.

A line that is anything but plain is doubted, so that all that is said here about JSON is what plain means: an object of
strings without escapes, numbers, true, false and null, no member that is wanted twice, nothing behind it.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stream_app.flow.digits import EIGHT, EXACT, NONE, ONE, TENS, WHOLE_TENS, decimal, digits, word
from stream_app.messages import Bools, Floats, Ints

Bytes = NDArray[np.uint8]
Places = NDArray[np.int32]
Words = NDArray[np.uint64]

SKIP = np.iinfo(np.int64).min  # the kind of a member that nobody wants
_EXACT = np.uint64(EXACT)
MAX_DEPTH = 256  # of JSON: far more than any sane event, far less than the interpreter's own limit
LONGEST_WHOLE = 18  # digits of a whole number that is taken as a text

_NEWLINE, _RETURN, _SPACE, _TAB, _QUOTE, _ESCAPE, _OPEN, _CLOSE, _COLON, _COMMA, _BRACKET = b'\n\r \t"\\{}:,['
_MINUS, _PLUS, _POINT, _ZERO, _NINE, _E, _SMALL_E = b"-+.09Ee"
_NULL, _TRUE, _FALSE = (np.frombuffer(word, np.uint8) for word in (b"null", b"true", b"false"))
_AHEAD = 64  # bytes that may be looked at behind a name: two words of digits, and what stands around them
SIZE, KIND, MET, NEXT = range(4)  # of a known name: bytes up to its value, its kind, the last row with it, what follows
BAD, NOTHING, TEXT, HARD, FLOAT, WHOLE = range(6)  # what a value is


class Names(NamedTuple):
    """Those of the members that are wanted, one behind the other, and each in words as it stands before a value."""

    letters: Bytes
    ends: Ints  # where each begins in them, and the last ends
    words: Words  # [names, word and mask of the bytes that count, in turn] with quotes and a colon
    sizes: Ints  # bytes up to the value

    @classmethod
    def of(cls, names: Sequence[str]) -> "Names":
        letters = [name.encode() for name in names]
        quoted = [b'"%b":' % name for name in letters]
        sizes = [len(name) for name in quoted]
        longest = -8 * (-max(sizes, default=0) // 8)
        shown = b"".join(name.ljust(longest, b"\0") for name in quoted)
        counting = b"".join((b"\xff" * size).ljust(longest, b"\0") for size in sizes)
        words = np.array([np.frombuffer(text, "<u8") for text in (shown, counting)], np.uint64)
        both = words.reshape(2, len(names), longest // 8).transpose(1, 2, 0)
        ends = np.cumsum([0, *map(len, letters)])
        return cls(
            np.frombuffer(b"".join(letters), np.uint8),
            ends,
            np.ascontiguousarray(both).reshape(len(names), longest // 4),
            np.array(sizes, np.int64),
        )


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
def _read_numbers(
    block: Bytes, at: int, end: int, words: Words, known: Ints, row: int, last: int, numbers: Floats
) -> tuple[int, int]:
    """Reads members as long as each is the one that came here before, with a number of few digits, and as it is usual.

    Answers the place of the comma or brace behind them, or where it began, and the last one's name.
    """
    stop = place = np.uint64(at)
    while np.int64(place) < end:
        name = known[last, NEXT]
        if name < 0 or known[name, KIND] < 0 or known[name, MET] == row:
            break
        other = NONE
        for i in range(0, words.shape[1], 2):
            other |= (word(block, place + np.uint64(4 * i)) ^ words[name, i]) & words[name, i + 1]
        place += np.uint64(known[name, SIZE])
        place += np.uint64(block[place] == _SPACE)
        negative = block[place] == _MINUS
        place += np.uint64(negative)
        count, number = digits(word(block, place))
        if other != NONE or count in (NONE, EIGHT) or (count > ONE and block[place] == _ZERO):
            break
        place += count
        decimals = NONE
        if block[place] == _POINT:
            decimals, more = digits(word(block, place + ONE))
            number = number * WHOLE_TENS[decimals] + more
            place += decimals + ONE
            if decimals == NONE:
                break
            if decimals == EIGHT:
                count, more = digits(word(block, place))
                if number > _EXACT // WHOLE_TENS[count]:
                    break
                number = number * WHOLE_TENS[count] + more
                place += count
                decimals += count
        if (block[place] != _COMMA and block[place] != _CLOSE) or number > _EXACT:
            break
        value = float(np.int64(number)) / TENS[decimals]
        numbers[row, known[name, KIND]] = -value if negative else value
        known[name, MET], last, stop = row, name, place
        if block[place] == _CLOSE:
            break
        place += ONE
        place += np.uint64(block[place] == _SPACE)
    return np.int64(stop), last  # type: ignore[return-value]


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
    if 0 <= guess < len(ends) - 1 and _is_name(block, at, names, ends[guess], ends[guess + 1]):
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
def _given_up(block: Bytes, at: int, texts: Places, row: int) -> int:
    """The end of a line that is not plain, of which no text is kept."""
    for text in range(len(texts)):
        texts[text, 0, row] = texts[text, 1, row] = 0
    while block[at] != _NEWLINE:
        at += 1
    return at


@njit(cache=True, nogil=True)
def members(
    block: Bytes, names: Names, kinds: Ints, numbers: Floats, hard: Places, texts: Places, doubtful: Bools
) -> int:
    """Reads the wanted members of each line: `kinds` says the column in `numbers`, or -1 - that in `texts`.

    Answers how many numbers are hard: `hard` holds where in `numbers` each belongs, its start and its end. -1: there is
    not a line for each row.
    """
    at = found = 0
    first = len(kinds)  # as if it stood before the first member
    known = np.full((first + 1, 4), -1)
    known[:first, KIND], known[:first, SIZE], known[first, NEXT] = kinds, names.sizes, 0
    known[: first - 1, NEXT] = np.arange(1, first)
    end = len(block) - 4 * names.words.shape[1] - _AHEAD
    for row in range(len(doubtful)):
        if at >= len(block):
            return -1
        numbers[row] = math.nan
        began, at, last = at, _behind_spaces(block, at), first
        more = plain = block[at] == _OPEN
        at = _behind_spaces(block, at + plain)
        if plain and block[at] == _CLOSE:
            at, more = at + 1, False
        while more:
            name = known[last, NEXT]
            if name >= 0 and known[name, KIND] >= 0:
                stop, last = _read_numbers(block, at, end, names.words, known, row, last, numbers)
                if stop > at:
                    at, plain = stop + 1, True
                    if block[stop] == _CLOSE:
                        break
            more = False
            at, plain = _behind_spaces(block, at), False
            if block[at] != _QUOTE:
                break
            name = _which(block, at + 1, names.letters, names.ends, known[last, NEXT])
            if name >= 0:
                if known[name, MET] == row:
                    break
                known[name, MET], known[last, NEXT], last = row, name, name
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
            doubtful[row], at = True, _given_up(block, began, texts, row)
        at += 1
    return found if at == len(block) else -1
