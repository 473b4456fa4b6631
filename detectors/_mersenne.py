"""CPython's random.sample, compiled: the Mersenne Twister's words are an array that a detector keeps in its state."""

import math
import random

import numpy as np
from numba import njit

from detectors._base import Array

WORDS = 624  # of the generator's state; the place after them holds how many are used


def seeded(seed: int) -> Array:
    """The words of random.Random(seed)."""
    return np.array(random.Random(seed).getstate()[1])  # noqa: S311 (reproduces a published method)


def pooled(n: int, size: int) -> bool:
    """Whether random.sample(range(n), size) draws from a shrinking pool; else it draws again what it already has."""
    return n <= 21 + (4 ** math.ceil(math.log(size * 3, 4)) if size > 5 else 0)


@njit(cache=True)
def _mixed(high: int, low: int) -> int:
    both = (high & 0x80000000) | (low & 0x7FFFFFFF)
    return (both >> 1) ^ (0x9908B0DF * (both & 1))


@njit(cache=True)
def _twist(words: Array) -> None:
    """The next 624 words (Matsumoto and Nishimura 1998)."""
    for i in range(WORDS - 397):
        words[i] = words[i + 397] ^ _mixed(words[i], words[i + 1])
    for i in range(WORDS - 397, WORDS - 1):
        words[i] = words[i + 397 - WORDS] ^ _mixed(words[i], words[i + 1])
    words[WORDS - 1] = words[396] ^ _mixed(words[WORDS - 1], words[0])


@njit(cache=True)
def sample(words: Array, n: int, size: int, pooled: bool, pool: Array, weights: Array) -> None:
    """Give weight 1 to what CPython's random.sample(range(n), size) picks, 0 to the rest of the n."""
    for i in range(n):
        pool[i] = i
        weights[i] = 0
    left, bits, used = n, 1, words[WORDS]
    while n >> bits:
        bits += 1
    found = 0
    while found < size:
        if used == WORDS:
            _twist(words)
            used = 0
        y = words[used]
        used += 1
        y ^= y >> 11
        y ^= (y << 7) & 0x9D2C5680
        y ^= (y << 15) & 0xEFC60000
        j = (y ^ (y >> 18)) >> (32 - bits)
        if not pooled:
            if j < n and weights[j] == 0:
                weights[j] = 1
                found += 1
            continue
        taken = j < left  # half the time it is not: no branch on it
        j = j if taken else left - 1
        weights[pool[j]] |= taken
        pool[j] = pool[left - 1]
        found += taken
        left -= taken
        bits -= left >> (bits - 1) == 0
    words[WORDS] = used
