"""Arrays of floats that are decimals of few digits, as most that were measured are, in a third of the bytes.

Such a float is a whole number over a power of ten; the whole numbers of a block of them lie near one another and need a
few bytes each. It is much quicker than compression and finds what that cannot see (Afroozeh, Kuffó and Boncz, ALP:
adaptive lossless floating-point compression, 2023). What is no such decimal (NaN, -0.0) stands behind them; a block of
too many of those stands as it is.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bytes = NDArray[np.uint8]

LEAST = 256  # values of an array: of fewer it is not worth it
BLOCK = 2048  # values that have digits and a lowest one together
MOST_DIGITS = 12  # behind the point
LARGEST = 2.0**53  # whole numbers up to here are floats
NEGATIVE_ZERO = np.iinfo(np.int64).min  # the bits of -0.0, and no number in `_whole`
ASKED = 32  # values that tell how many digits are tried
ODD = 16  # of so many values one may be no such decimal
WIDEST = 5  # bytes of a whole number
AS_IT_IS = -1  # instead of digits
ENOUGH = 0.8  # share of the bytes from which on nothing is gained

_TENS = 10.0 ** np.arange(MOST_DIGITS + 1)


class Decimals(NamedTuple):
    """What an array is made of again."""

    blocks: Ints  # [blocks, digits behind the point; lowest; bytes of the others above it; how many are no decimals]
    content: Bytes  # of each block these bytes, the lowest of each value first; places and values of what are none


def pack(values: Floats) -> Decimals | None:
    """The decimals of a flat array; None if it would not get much smaller."""
    if len(values) < LEAST:
        return None
    blocks = np.empty((-(-len(values) // BLOCK), 4), np.int64)
    content = np.empty(int(ENOUGH * values.nbytes) + 8 * BLOCK, np.uint8)
    used = _pack(values, blocks, content)
    return Decimals(blocks, content[:used]) if 0 <= used <= ENOUGH * values.nbytes else None


def unpack(packed: Decimals, size: int) -> Floats:
    """The array, every bit of it."""
    values, at = np.empty(size), 0
    for block, (digits, low, width, odd) in zip(range(0, size, BLOCK), packed.blocks.tolist(), strict=True):
        part = values[block : block + BLOCK]
        taken = packed.content[at : at + width * len(part) + 10 * odd]
        at += len(taken)
        if digits == AS_IT_IS:
            part[:] = taken.view(np.float64)
            continue
        whole, end = np.full(len(part), low, np.int64), width * len(part)
        for byte, above in enumerate(taken[:end].reshape(width, len(part))):
            whole += above.astype(np.int64) << (8 * byte)
        part[:] = whole / _TENS[digits]
        part[taken[end : end + 2 * odd].copy().view(np.uint16)] = taken[end + 2 * odd :].copy().view(np.float64)
    return values


@njit(cache=True, nogil=True)
def _pack(values: Floats, blocks: Ints, content: Bytes) -> int:
    """Packs block by block: how many bytes of the content are used, -1 if there is not enough room."""
    at, whole = 0, np.empty(BLOCK, np.int64)
    for number in range(len(blocks)):
        block = values[number * BLOCK : (number + 1) * BLOCK]
        digits, low, high, odd = _digits(block), 0, 0, 0
        if digits != AS_IT_IS:
            odd, low, high = _whole(block, digits, whole)
        width = 0
        while (high - low) >> (8 * width) > 0:
            width += 1
        if digits == AS_IT_IS or odd * ODD > len(block) or width > WIDEST:
            digits, low, width, odd = AS_IT_IS, 0, 8, 0
        blocks[number, 0], blocks[number, 1], blocks[number, 2], blocks[number, 3] = digits, low, width, odd
        if at + width * len(block) + 10 * odd > len(content):
            return -1
        if digits == AS_IT_IS:
            content[at : at + 8 * len(block)] = block.view(np.uint8)
            at += 8 * len(block)
        else:
            at = _cut(block, whole, low, width, odd, content, at)
    return at


@njit(cache=True, nogil=True)
def _digits(values: Floats) -> int:
    """How many digits behind the point some of the values need; AS_IT_IS if these are no such decimals."""
    most, odd, bits = 0, 0, values.view(np.int64)
    for i in range(ASKED):
        at, digits = i * len(values) // ASKED, 0
        while digits <= MOST_DIGITS and not _fits(np.rint(values[at] * _TENS[digits]), _TENS[digits], bits[at]):
            digits += 1
        odd += digits > MOST_DIGITS
        most = max(most, digits if digits <= MOST_DIGITS else 0)
    return most if odd <= ASKED // ODD else AS_IT_IS


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
    return odd, low, max(low, high)


@njit(cache=True, nogil=True)
def _cut(values: Floats, whole: Ints, low: int, width: int, odd: int, content: Bytes, at: int) -> int:
    """Writes what lies above the lowest by bytes, then places and values of those that are no decimals; the end."""
    n = len(values)
    for byte in range(width):
        for i in range(n):
            content[at + i] = 0 if whole[i] == NEGATIVE_ZERO else (whole[i] - low) >> (8 * byte)
        at += n
    if odd:
        places = np.empty(odd, np.uint16)
        others, found = np.empty(odd), 0
        for i in range(n):
            if whole[i] == NEGATIVE_ZERO:
                places[found], others[found] = i, values[i]
                found += 1
        content[at : at + 2 * odd] = places.view(np.uint8)
        content[at + 2 * odd : at + 10 * odd] = others.view(np.uint8)
    return at + 10 * odd
