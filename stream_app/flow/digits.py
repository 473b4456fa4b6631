"""Digits of decimal numbers, eight bytes at a time (Lemire, Number parsing at a gigabyte per second, 2021)."""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

TENS = 10.0 ** np.arange(23)  # the powers of ten that are floats
EXACT = 2**53  # whole numbers up to here are floats
NONE, ONE, EIGHT = np.uint64(0), np.uint64(1), np.uint64(8)
WHOLE_TENS = np.array([10**power for power in range(9)], np.uint64)

_ZEROS = np.uint64(0x3030303030303030)
_BEYOND_NINE = np.uint64(0x7676767676767676)  # added to a digit it leaves the highest bit of the byte
_HIGHEST = np.uint64(0x8080808080808080)
_PLACES = np.uint64(0x0001020304050607)  # times a bit of byte k, the highest byte is k
_SEVEN, _LAST, _DIGIT = np.uint64(7), np.uint64(56), np.uint64(0xF)
_TEN, _PAIRS = np.uint64(10), np.uint64(0x000000FF000000FF)
_FIRST_PAIRS, _SECOND_PAIRS = np.uint64(0x000F424000000064), np.uint64(0x0000271000000001)
_SIXTEEN, _HALF = np.uint64(16), np.uint64(32)


def _word(_context: Any, block: Any, at: Any) -> Any:
    """The eight bytes of a block from here on, the first one lowest: one load, for which numba has no words."""

    def load(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        data = context.make_array(block)(context, builder, args[0]).data
        place = builder.bitcast(builder.gep(data, [args[1]]), ir.IntType(64).as_pointer())
        return builder.load(place, align=1)

    return types.uint64(block, at), load


word: Any = intrinsic(_word)


@njit(cache=True, nogil=True)
def decimal(digits: int, decimals: int) -> float:
    """The float nearest to a whole number with so many of its digits behind the point.

    Digits and power of ten must both be floats: then one division rounds once (Clinger 1990, How to read floating point
    numbers accurately).
    """
    value = float(digits)
    return value / TENS[decimals] if decimals > 0 else value


@njit(cache=True, nogil=True)
def digits(text: np.uint64) -> tuple[np.uint64, np.uint64]:
    """How many of eight bytes are digits before one that is not, and the number that they are."""
    values = text ^ _ZEROS
    others = ((values + _BEYOND_NINE) | values) & _HIGHEST
    if others == NONE:
        return EIGHT, _eight(values)
    count = (((others & (NONE - others)) >> _SEVEN) * _PLACES) >> _LAST
    if count == ONE:
        return ONE, values & _DIGIT
    if count == NONE:
        return NONE, NONE
    return count, _eight(values << ((EIGHT - count) * EIGHT))


@njit(cache=True, nogil=True)
def _eight(values: np.uint64) -> np.uint64:
    """The number of eight digits, the lowest byte first."""
    pairs = values * _TEN + (values >> EIGHT)
    firsts, seconds = (pairs & _PAIRS) * _FIRST_PAIRS, ((pairs >> _SIXTEEN) & _PAIRS) * _SECOND_PAIRS
    return (firsts + seconds) >> _HALF
