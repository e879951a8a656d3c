"""Yields against the binomial law, and sensitivities against components that are known to matter."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from analysis.verification.yields import Sensitivity, sensitivities, shown, yield_of
from inmateria.errors import InputError


@pytest.mark.parametrize(("passed", "samples"), [(0, 10), (7, 10), (10, 10), (198, 200)])
def test_ends_of_the_interval_are_what_their_definition_says(passed: int, samples: int) -> None:
    """At the low end so many passes or more have a chance of 2.5 %, at the high end so many or fewer."""
    found = yield_of([True] * passed + [False] * (samples - passed), 0.95)
    assert found.share == passed / samples
    assert found.low <= found.share <= found.high
    if passed:
        assert binom.sf(passed - 1, samples, found.low) == pytest.approx(0.025, rel=1e-6)
    else:
        assert found.low == 0.0
    if passed < samples:
        assert binom.cdf(passed, samples, found.high) == pytest.approx(0.025, rel=1e-6)
    else:
        assert found.high == 1.0


def test_no_samples_show_no_yield() -> None:
    with pytest.raises(InputError, match="show no yield"):
        yield_of([])


def test_what_matters_is_found_and_what_does_not_is_not() -> None:
    """Of ten groups one moves the quality; that another seems to, has a chance of 1e-3 by its p-value (fixed seed)."""
    rng = np.random.default_rng(0)
    names = [f"group{k // 7}" for k in range(70)]
    errors = rng.normal(size=(200, 70))
    quality = 1.0 - np.sum(errors[:, 21:28] ** 2, axis=1) + rng.normal(0.0, 2.0, 200)
    found = sensitivities(errors, names, quality)
    assert found[0].name == "group3"
    assert found[0].correlation < -0.5
    assert found[0].p_value < 1e-6
    assert all(one.p_value > 1e-3 for one in found[1:])
    assert sensitivities(errors[:19], names, quality[:19]) == ()  # too few to say anything
    assert sensitivities(np.zeros((20, 3)), ["a", "b", "c"], rng.normal(size=20)) == ()


def test_no_component_that_shows_is_not_told_as_none_that_matters() -> None:
    """It was said that no component stands out, also of a dozen boards, of which none is asked."""
    strong, weak = Sensitivity("mixer.offset", -0.8, 1e-3), Sensitivity("lowpass.tau", 0.1, 0.9)
    assert shown((strong, weak), 40) == "mixer.offset (-0.80, p = 0.001)"
    assert "none of 1 by 40 boards" in shown((weak,), 40)
    assert "not looked for in 12 boards: it takes 20" in shown((), 12)
