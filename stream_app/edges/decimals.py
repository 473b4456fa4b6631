"""Arrays of floats that are decimals of few digits, as most that were measured are, in a third of the bytes.

Such a float is a whole number over a power of ten; the whole numbers of an array lie near one another and need a few
bytes each. It is much quicker than compression and finds what that cannot see (Afroozeh, Kuffó and Boncz, ALP: adaptive
lossless floating-point compression, 2023). What is no such decimal (NaN, -0.0) stands beside them.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bytes = NDArray[np.uint8]

LEAST = 256  # values: of fewer it is not worth it
MOST_DIGITS = 12  # behind the point
NEGATIVE_ZERO = np.iinfo(np.int64).min  # the bits of -0.0, and no number in `_whole`
LARGEST = 2.0**53  # whole numbers up to here are floats
ASKED = 64  # values that tell how many digits are tried
ODD = 16  # of so many values one may be no such decimal
WIDEST = 5  # bytes of a whole number

_TENS = 10.0 ** np.arange(MOST_DIGITS + 1)


class Decimals(NamedTuple):
    """What an array is made of again."""

    digits: int  # behind the point
    low: int  # the lowest whole number
    above: Bytes  # [bytes, values] how far the others lie above it, the lowest byte first
    places: Ints  # of the values that are no such decimals
    odd: Floats


def pack(values: Floats) -> Decimals | None:
    """The decimals of a flat array; None if they are none, or it would not get smaller."""
    digits = _digits(values) if len(values) >= LEAST else -1
    if digits < 0:
        return None
    whole = np.empty(len(values), np.int64)
    odd, low, high = _whole(values, digits, whole)
    width = ((high - low).bit_length() + 7) // 8
    if odd > len(values) // ODD or width > WIDEST:
        return None
    above, places = np.empty((width, len(values)), np.uint8), np.empty(odd, np.int64)
    _cut(whole, low, above, places)
    return Decimals(digits, low, above, places, values[places])


def unpack(packed: Decimals) -> Floats:
    """The array, every bit of it."""
    whole = np.full(packed.above.shape[1], packed.low, np.int64)
    for byte, above in enumerate(packed.above):
        whole += above.astype(np.int64) << (8 * byte)
    values: Floats = whole / _TENS[packed.digits]
    values[packed.places] = packed.odd
    return values


@njit(cache=True, nogil=True)
def _digits(values: Floats) -> int:
    """How many digits behind the point some of the values need; -1 if these are no such decimals."""
    most, odd, bits = 0, 0, values.view(np.int64)
    for i in range(ASKED):
        at, digits = i * len(values) // ASKED, 0
        while digits <= MOST_DIGITS and not _fits(np.rint(values[at] * _TENS[digits]), _TENS[digits], bits[at]):
            digits += 1
        odd += digits > MOST_DIGITS
        most = max(most, digits if digits <= MOST_DIGITS else 0)
    return most if odd <= ASKED // ODD else -1


@njit(cache=True, nogil=True)
def _fits(number: float, scale: float, bits: int) -> bool:
    """Whether the value of these bits is the whole number over the scale."""
    return bool(abs(number) < LARGEST and np.float64(number / scale).view(np.int64) == bits and bits != NEGATIVE_ZERO)


@njit(cache=True, nogil=True)
def _whole(values: Floats, digits: int, whole: Ints) -> tuple[int, int, int]:
    """Writes the whole numbers, NEGATIVE_ZERO where there is none: how many that are, the lowest and the highest."""
    scale, odd, low, high, bits = _TENS[digits], 0, 1 << 53, -(1 << 53), values.view(np.int64)
    for i in range(len(values)):
        number = np.rint(values[i] * scale)
        fits = _fits(number, scale, bits[i])
        near = int(number if fits else 0.0)
        whole[i] = near if fits else NEGATIVE_ZERO
        low, high, odd = min(low, near if fits else low), max(high, near if fits else high), odd + (not fits)
    return odd, low, high


@njit(cache=True, nogil=True)
def _cut(whole: Ints, low: int, above: Bytes, places: Ints) -> None:
    """Cuts what lies above the lowest into bytes, and writes the places of those that are none."""
    found = 0
    for i in range(len(whole)):
        if whole[i] == NEGATIVE_ZERO:
            places[found] = i
            found += 1
    for byte in range(len(above)):
        for i in range(len(whole)):
            above[byte, i] = 0 if whole[i] == NEGATIVE_ZERO else (whole[i] - low) >> (8 * byte)
