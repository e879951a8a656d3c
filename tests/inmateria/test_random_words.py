"""Random numbers of a key and a counter, against what their authors publish and against their distributions."""

import math

import numpy as np
from scipy import stats

from inmateria.random_words import counter_gaussian, counter_uniform, counter_word, key_of


def test_words_are_splitmix64():
    """First outputs of seeds 0 and 1234567, as its authors publish them."""
    assert hex(counter_word(np.uint64(0), np.uint64(0))) == "0xe220a8397b1dcdaf"
    assert [int(counter_word(np.uint64(1234567), np.uint64(n))) for n in range(3)] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]


def test_numbers_from_words():
    """Kolmogorov and Smirnov, 20,000 each: p below 1e-5 is a false alarm."""
    key = key_of(4, 1)
    numbers = [counter_uniform(key, np.uint64(n)) for n in range(20_000)]
    normal = [counter_gaussian(key_of(4, 2), np.uint64(n)) for n in range(20_000)]
    assert stats.kstest(numbers, "uniform").pvalue > 1e-5
    assert stats.kstest(normal, "norm").pvalue > 1e-5
    assert abs(stats.pearsonr(normal[1:], normal[:-1]).statistic) < 4.5 / math.sqrt(20_000)
