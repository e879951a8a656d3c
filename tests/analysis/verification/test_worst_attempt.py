"""The attempt that a report draws: the worst that gets to an end once more, in an engine that has the dither."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from analysis.designs.design import Design
from analysis.verification import boards
from inmateria.errors import ConvergenceError


def test_an_attempt_that_fails_gives_way_to_the_next_worst(monkeypatch: pytest.MonkeyPatch) -> None:
    """A verification ended without a verdict where the worst attempt had failed."""

    def attempt_on(number: int, _design: Design, start: int, _engine: str) -> Any:
        if start == 1:
            raise ConvergenceError("device", "NaN", "gave no current", "check its voltages")
        return SimpleNamespace(best=(number, start))

    monkeypatch.setattr(boards, "on_board", lambda _design, number, _engine: number)
    monkeypatch.setattr(boards, "attempt_on", attempt_on)
    design = Design.from_values({})
    assert boards._run_again(design, [(4, 1), (4, 3), (0, 0)], "twin") == ((4, 3), (4, 3))
    with pytest.raises(ConvergenceError, match="gave no current"):
        boards._run_again(design, [(4, 1), (2, 1)], "twin")
    with pytest.raises(ConvergenceError, match="no attempt that got to an end"):
        boards._run_again(design, [], "twin")
