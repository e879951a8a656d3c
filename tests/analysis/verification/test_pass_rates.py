"""Boards against starts: closed forms, drawn boards of known yield, and what the published "yield" would have said."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr, ndtri
from scipy.stats import chi2

from analysis.verification.pass_rates import boards_differ_p, pass_rates
from inmateria.errors import InputError


def drawn(mu: float, board: float, start: float, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Whether each board passes from each start, by the model itself."""
    boards, starts = shape
    effects = mu + board * rng.normal(size=(boards, 1)) + start * rng.normal(size=(1, starts))
    return np.asarray(effects + rng.normal(size=shape) > 0.0)


def test_two_boards_differ_as_mcnemar_says() -> None:
    first = np.repeat([True, True, False, False], [9, 12, 3, 7])
    second = np.repeat([True, False, True, False], [9, 12, 3, 7])
    expected = chi2.sf((12 - 3) ** 2 / (12 + 3), 1)
    assert boards_differ_p([first, second]) == pytest.approx(expected, rel=1e-12)


def test_starts_that_treat_all_boards_alike_say_nothing_of_boards() -> None:
    lucky = np.tile(np.random.default_rng(1).random(12) < 0.3, (10, 1))
    assert boards_differ_p(lucky) == 1.0
    found = pass_rates(lucky, 0.2)
    assert found.board_share < 0.1 < 0.5 < found.start_share


@pytest.mark.parametrize(
    ("mu", "board", "start", "wanted"),
    [(0.0, 0.5, 1.5, 0.4), (-0.5, 1.0, 0.7, 0.3)],
    ids=["lucky starts", "uneven boards"],
)
def test_the_intervals_cover(mu: float, board: float, start: float, wanted: float) -> None:
    """12 lots of 95 %: fewer than 9 within has a chance of 0.2 % for a right interval."""
    true = ndtr((mu - np.sqrt(1.0 + start**2) * ndtri(wanted)) / board)
    mean = ndtr(mu / np.sqrt(1.0 + board**2 + start**2))
    yields = means = 0
    for lot in range(12):
        found = pass_rates(drawn(mu, board, start, (20, 6), np.random.default_rng([7, lot])), wanted, seed=lot)
        yields += found.yields.low <= true <= found.yields.high
        means += found.mean.low <= mean <= found.mean.high
    assert min(yields, means) >= 9


def test_lucky_starts_do_not_lower_the_share_of_good_boards() -> None:
    """mu = -2, starts of width 2: Phi((mu + a_b)/sqrt(5)) reaches 10 % on 96 % of boards; without the root on 7 %."""
    true = ndtr((-2.0 - np.sqrt(5.0) * ndtri(0.1)) / 0.5)
    assert true == pytest.approx(0.958, abs=1e-3)
    found = pass_rates(drawn(-2.0, 0.5, 2.0, (60, 80), np.random.default_rng(8)), 0.1)
    assert found.yields.low < true < found.yields.high
    assert found.yields.value > 0.7


def test_many_attempts_show_the_boards_themselves() -> None:
    """Two kinds of boards, 90 and 10 %: with 400 starts each board's own share is known to some per cent."""
    rng = np.random.default_rng(3)
    own = np.repeat([0.9, 0.1], [15, 5])
    found = pass_rates(rng.random((20, 400)) < own[:, None], 0.5)
    assert found.spread.low < np.std(own) < found.spread.high
    assert found.mean.value == pytest.approx(np.mean(own), abs=0.12)
    assert found.yields.low < 0.75 < found.yields.high
    assert found.boards_differ_p < 1e-100
    assert found.start_share < 0.02


def test_twenty_restarts_are_no_yield() -> None:
    """Boards that pass one attempt in ten: with twenty restarts most "pass", and none is good at one in two."""
    passed = np.random.default_rng(4).random((40, 20)) < 0.1
    assert np.mean(passed.any(axis=1)) > 0.8
    assert pass_rates(passed, 0.5).yields.high < 0.05


@pytest.mark.parametrize(
    ("shape", "wanted", "field"), [((1, 5), 0.5, "passed"), ((5, 1), 0.5, "passed"), ((5, 5), 1.0, "wanted")]
)
def test_what_shows_nothing_is_refused(shape: tuple[int, int], wanted: float, field: str) -> None:
    with pytest.raises(InputError) as caught:
        pass_rates(np.ones(shape, dtype=bool), wanted)
    assert caught.value.field == field
