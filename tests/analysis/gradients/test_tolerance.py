"""Tolerance bounds: known tables, and the coverage they promise."""

import numpy as np
import pytest

from analysis.gradients.tolerance import allowed_misses, settings_needed

from ...refused import refused


@pytest.mark.parametrize(
    ("share", "confidence", "needed"),
    [(0.9, 0.95, 29), (0.95, 0.95, 59), (0.9, 0.9, 22), (0.5, 0.5, 1), (0.99, 0.99, 459)],
)
def test_settings_of_which_none_may_miss(share, confidence, needed):
    """Wilks' table."""
    assert settings_needed(share, confidence) == needed
    assert allowed_misses(needed, share, confidence) == 0


def test_misses_allowed_are_those_of_the_published_table():
    """Of 90 % at 95 %: samples whose first, second, ... largest is the bound."""
    needed = [next(m for m in range(1, 200) if m >= 29 and allowed_misses(m, 0.9, 0.95) == r) for r in range(5)]
    assert needed == [29, 46, 61, 76, 89]


def test_the_share_is_kept_as_often_as_the_confidence_says():
    """Bounds of 4000 samples of 64: the share below them is Beta(62, 3); 4.5 standard errors."""
    drawn = np.sort(np.random.default_rng(0).random((4000, 64)), axis=1)
    kept = drawn[:, -1 - allowed_misses(64, 0.9, 0.95)]
    missed = np.mean(kept < 0.9)
    expected = 0.0367  # P(Binomial(64, 0.1) <= 2)
    assert missed == pytest.approx(expected, abs=4.5 * np.sqrt(expected * (1 - expected) / 4000))
    assert missed < 0.05


def test_what_tells_nothing_is_refused():
    with refused("settings", "are too few"):
        allowed_misses(28, 0.9, 0.95)
    for share, confidence, field in ((1.0, 0.9, "share"), (0.0, 0.9, "share"), (0.9, 1.0, "confidence")):
        with refused(field):
            settings_needed(share, confidence)
