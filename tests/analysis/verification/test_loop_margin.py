"""How far the learning loop is from hunting is a row of a verification, and the tightest channel stands in it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from analysis.designs.design import Design
from analysis.verification.loop_margin import check_loop_margin
from analysis.verification.nominal import NominalRun
from circuits.homodyne.channel_margins import loop_margins
from circuits.homodyne.engines import Twin
from circuits.homodyne.stability import Stability
from learning.homodyne.results import Attempt
from learning.homodyne.start import read_start


def design(least: float | str | None) -> Design:
    return Design.from_values({} if least is None else {"criteria": {"loop_margin_min": least}})


@pytest.fixture(scope="module")
def attempt(small_attempt: Attempt) -> Attempt:
    """The small attempt, its slopes read at its start."""
    _, slopes = read_start(small_attempt.loop, Twin())
    return replace(small_attempt, start=replace(small_attempt.start, slopes=slopes))


def nominal(attempt: Attempt, learning_rate: float) -> NominalRun:
    """A run whose attempt learned at this rate; nothing else of it is asked."""
    loop = replace(attempt.loop, learning_rate=learning_rate)
    return NominalRun(None, "twin", replace(attempt, loop=loop), 1, 0, (), None)  # type: ignore[arg-type]


def test_the_smallest_margin_decides(attempt: Attempt) -> None:
    run = nominal(attempt, 0.02)
    assert attempt.start.slopes is not None
    direct = loop_margins(Stability(run.best.loop, attempt.start.slopes))
    assert direct.least_dB > 1.0
    for least, passed in ((direct.least_dB - 0.1, True), (direct.least_dB + 0.1, False)):
        found, (criterion,) = check_loop_margin(design(f"{least:.3f} dB"), run)
        assert found is not None
        assert found.channels == direct.channels
        assert (criterion.name, criterion.where) == ("loop_margin_min", "nominal, learning loop")
        assert criterion.passed == passed
        assert criterion.found.startswith(f"{direct.least_dB:.1f} dB (")
        assert f"{direct.tightest.name} is the tightest" in criterion.found


def test_a_loop_that_hunts_passes_nothing(attempt: Attempt) -> None:
    _, (criterion,) = check_loop_margin(design(0.0), nominal(attempt, 1e4))
    assert not criterion.passed
    assert "the loop hunts" in criterion.found


def test_nothing_asked_is_no_row(attempt: Attempt) -> None:
    assert check_loop_margin(design(None), nominal(attempt, 0.02)) == (None, [])
