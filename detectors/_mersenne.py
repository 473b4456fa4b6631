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
def _twist(words: Array) -> None:
    """The next 624 words (Matsumoto and Nishimura 1998)."""
    for i in range(WORDS):
        mixed = (words[i] & 0x80000000) | (words[(i + 1) % WORDS] & 0x7FFFFFFF)
        words[i] = words[(i + 397) % WORDS] ^ (mixed >> 1) ^ (0x9908B0DF * (mixed & 1))


@njit(cache=True)
def sample(words: Array, n: int, size: int, pooled: bool, pool: Array, weights: Array) -> None:
    """Give weight 1 to what CPython's random.sample(range(n), size) picks, 0 to the rest of the n."""
    for i in range(n):
        pool[i] = i
        weights[i] = 0
    left, bits, used = n, 1, words[WORDS]
    while n >> bits:
        bits += 1
    for i in range(size):
        if pooled:
            left = n - i
            bits -= left >> (bits - 1) == 0
        while True:
            if used == WORDS:
                _twist(words)
                used = 0
            y = words[used]
            used += 1
            y ^= y >> 11
            y ^= (y << 7) & 0x9D2C5680
            y ^= (y << 15) & 0xEFC60000
            j = (y ^ (y >> 18)) >> (32 - bits)
            if j < left and weights[pool[j]] == 0:
                break
        weights[pool[j]] = 1
        if pooled:
            pool[j] = pool[left - 1]
    words[WORDS] = used
