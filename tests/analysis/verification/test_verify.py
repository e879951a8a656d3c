"""What a verification runs and asks: boards, corners, criteria, and designs whose verification makes no sense."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from analysis.designs.design import Design
from analysis.designs.experiment import board, experiment_of, parts_of
from analysis.verification.boards import Boards, Confirmation, sample_design, wanted_probability
from analysis.verification.corners import CornerMeasure, corners
from analysis.verification.criteria import board_criteria, corner_criteria
from analysis.verification.duration import Duration, boards_take
from analysis.verification.pass_rates import Interval, PassRates
from analysis.verification.passing import passes
from analysis.verification.verify import check_design

from ...refused import refused
from ...toys import BRIDGE

MACRO: dict[str, Any] = {
    "electronics": {"level": "macro"},
    "tolerances": {"resistor": "1 %", "capacitor": "5 %", "offset": 1.0},
}


def test_a_board_is_drawn_from_its_number_alone() -> None:
    design = Design.from_values(MACRO)
    parts = parts_of(experiment_of(design))
    assert board(design, parts) == {}  # the nominal one is what the parts state
    first, again, other = (board(design, parts, k) for k in (3, 3, 4))
    assert first == again
    assert first != other
    assert board(design.changed({"seed": 1}), parts, 3) != first
    kinds = {part.name: part.kind for part in parts}
    assert all(abs(e) <= 0.01 for name, e in first.items() if kinds[name] == "resistor")
    assert max(abs(e) for name, e in first.items() if kinds[name] == "capacitor") > 0.01
    warm = board(design.changed({"electronics.temperature": "52 degC"}), parts, 3)
    assert warm["tia.rf"] == pytest.approx(first["tia.rf"] + 25 * 50e-6)
    drifts = [warm[f"mix{k}.offset"] - first[f"mix{k}.offset"] for k in range(7)]
    assert 1e-3 < np.std(drifts) < 15e-3  # drawn, 5 mV typically


def test_boards_go_through_the_device_seeds_in_turn() -> None:
    design = Design.from_values({"device": {"seed": 5}, "verify": {"devices": 3}})
    assert [sample_design(design, k).device.seed for k in range(4)] == [5, 6, 7, 5]
    one = Design.from_values({})
    assert sample_design(one, 7) is one


def test_corners_are_combinations() -> None:
    design = Design.from_values(
        {
            "corners": {"device_temperature": ["76 K"], "temperature": ["0 degC", "50 degC"], "supply": ["13.5 V"],
                        "components": ["slow", "fast"]},
            "tolerances": {"resistor": "1 %", "capacitor": "5 %"},
            "electronics": {"level": "macro", "reference": "8 V"},
        }
    )  # fmt: skip
    found = corners(design)
    assert list(found) == [
        f"device at 76 K, electronics at {t} degC, supply of 13.5 V, {e} R and C"
        for t in (0, 50)
        for e in ("slow", "fast")
    ]
    one = found["device at 76 K, electronics at 0 degC, supply of 13.5 V, fast R and C"]
    assert one.design.device.temperature == 76.0
    assert (one.design.electronics.temperature, one.design.electronics.supply) == (273.15, 13.5)
    settings = experiment_of(one.design, extreme=one.components).settings
    assert settings.component_errors["tia.rf"] == pytest.approx(-0.01 - 27 * 50e-6)
    assert settings.temperature_K == 273.15
    assert settings.parts["integrator"].defaults["vsupply"] == 13.5
    assert corners(design.changed({"corners": {}})) == {}
    assert list(corners(design.changed({"corners": {"supply": ["14 V"]}}))) == ["supply of 14 V"]


def test_a_corner_outside_of_its_parts_limits_fails_by_their_name_and_the_others_run() -> None:
    """A loop on +-5 V with references of 10 V passed as a corner."""
    design = Design.from_values({"electronics": {"level": "macro"}, "corners": {"supply": ["5 V", "8 V", "12 V"]}})
    measure = CornerMeasure(corners(design), "twin")
    for supply, told in (("5 V", "needs at least 8 V"), ("8 V", "node ref0 reaches 10 V"), ("12 V", "dither_sum sum0")):
        with refused("electronics.supply", told):
            measure({"corner": f"supply of {supply}"})


def test_corners_of_components_need_tolerances() -> None:
    with refused("corners.components", "without tolerances"):
        check_design(Design.from_values({"corners": {"components": ["slow"]}}))


def test_what_every_board_has_to_meet() -> None:
    design = Design.from_values({"criteria": {"margin_min": 0.3, "separation_min": "1 nA", "attempts_max": 5}})
    learned, quality = np.array([1, 1, 1, 1, 0, np.nan]), np.array([0.3, 0.2, 0.5, 0.5, 0.9, np.nan])
    separation, attempts = np.array([1e-9, 2e-9, 0.9e-9, 2e-9, 2e-9, np.nan]), np.array([5, 1, 1, 6, 1, np.nan])
    good = passes(design, learned, quality, separation, attempts)
    assert good.tolist() == [True, False, False, False, False, False]
    holds = Design.from_values({"criteria": {"hold_min": "30 s"}})
    held = np.array([1, 0, np.nan, 1, 1, np.nan])
    assert passes(holds, learned, quality, separation, attempts, held).tolist() == [1, 0, 0, 1, 0, 0]
    assert passes(design, learned, quality, separation, attempts, 0.0 * held).tolist() == good.tolist()
    one = xr.Dataset({
        "learned": ("corner", learned[[0, 3, 5]]), "quality": ("corner", quality[[0, 3, 5]]),
        "separation": ("corner", separation[[0, 3, 5]]), "attempts": ("corner", attempts[[0, 3, 5]]),
        "attempts_failed": ("corner", [2.0, 0.0, np.nan]), "held": ("corner", [1.0, 0.0, np.nan]),
        "status": ("corner", [1, 1, 2]), "reason": ("corner", ["", "", "device = 'NaN': gave no current"]),
    }, coords={"corner": ["a", "b", "c"]})  # fmt: skip
    criteria = corner_criteria(design, one)
    assert [(d.where, d.passed) for d in criteria] == [("a", True), ("b", False), ("c", False)]
    assert "gave no current" in criteria[2].found
    assert [d.found.endswith("5 attempts (2 failed)") for d in criteria] == [True, False, False]
    assert criteria[1].found.endswith("6 attempts, not held for long enough")


def judged(
    design: Design, yields: tuple[float, float], *, confirmed: str = "", dead: int = 1, starts: int = 6
) -> dict[str, bool]:
    """Verdicts on boards that all pass, a yield between two values, a dead loop that passes from so many starts.

    `confirmed` holds F and N where only the fast engine or only ngspice passed.
    """
    rates = PassRates(
        40, starts, np.full(40, 6.0), Interval(0.6, 0.5, 0.7), Interval(0.1, 0.0, 0.2),
        Interval(sum(yields) / 2, *yields), wanted_probability(design), 0.95, 0.1, 0.5, 0.3,
    )  # fmt: skip
    again = tuple(Confirmation(k, 0, one != "N", one != "F", 0.5, 0.5) for k, one in enumerate(confirmed))
    references = {"dead": np.arange(starts) < dead, "ideal": np.ones(starts, dtype=bool)}
    attempt: Any = None
    boards = Boards(xr.Dataset(), np.ones((40, starts), bool), rates, references, (), again, (0, 0), attempt)
    return {one.name: one.passed for one in board_criteria(design, boards, quick=False)}


def test_a_yield_is_shown_by_the_low_end_and_excluded_by_the_high_one() -> None:
    design = Design.from_values({"criteria": {"yield_min": "80 %"}})
    assert judged(design, (0.81, 0.99)) == {"chance": True, "yield_min": True}
    assert judged(design, (0.79, 0.99)) == {"chance": True, "yield_min": False}


@pytest.mark.parametrize(("dead", "starts", "better"), [(0, 5, True), (0, 4, False), (3, 8, True), (4, 8, False)])
def test_boards_have_to_beat_a_loop_that_does_not_learn(dead: int, starts: int, better: bool) -> None:
    """Boards that always pass win at every start at which it does not: n wins of n have a chance of 2^-n."""
    assert (2.0 ** (dead - starts) < 0.05) is better
    assert judged(Design(), (0.9, 1.0), dead=dead, starts=starts) == {"chance": better}


@pytest.mark.parametrize(
    ("verdicts", "agree"),
    [("......", True), ("FFFFFFF", False), ("FFFFNNN", True), ("FFFFFF....", True), ("NNNNNNNN..", False)],
)
def test_engines_agree_unless_chance_cannot_explain_it(verdicts: str, agree: bool) -> None:
    """Two-sided, n verdicts of one kind have a chance of 2^(1-n): seven are too many at 1 % only from eight on."""
    expected = agree if len(set(verdicts) - {"."}) != 1 else 2.0 ** (1 - sum(v != "." for v in verdicts)) >= 0.01
    assert judged(Design(), (0.9, 1.0), confirmed=verdicts)["confirmed"] is expected


def test_a_good_board_learns_within_the_restarts_that_a_design_allows() -> None:
    twenty = Design.from_values({"learning": {"restarts": 20}})
    assert 1.0 - (1.0 - wanted_probability(twenty)) ** 20 == pytest.approx(0.95)
    assert wanted_probability(Design.from_values({"learning": {"restarts": 1}})) == pytest.approx(0.95)
    assert wanted_probability(twenty.changed({"criteria.pass_probability_min": "40 %"})) == 0.4


@pytest.mark.parametrize(
    ("content", "field", "told"),
    [
        (
            {"criteria": {"yield_min": 0.999}, "verify": {"samples": 5, "starts": 2}},
            "criteria.yield_min",
            "5 boards and 2 starts",
        ),
        ({"criteria": {"yield_min": 1.0}}, "criteria.yield_min", "ask for less"),
        ({"criteria": {"yield_min": 0.9}, "verify": {"samples": 0}}, "criteria.yield_min", "asked of no samples"),
        ({"criteria": {"attempts_max": 30}}, "criteria.attempts_max", "learning.restarts = 20"),
        (
            {"criteria": {"gradient_cosine_min": 0.5, "gradient_error_max": 0.1}},
            "criteria.gradient_cosine_min",
            "0.995",
        ),
        ({"verify": {"starts": 4}}, "verify.starts", "chance, even if all pass (p = 0.062); take 5 or more"),
        ({"criteria": {"hold_warming": "5 K"}}, "criteria.hold_warming", "asked of no holding"),
        (
            {
                "device": {"count": 2},
                "criteria": {"disturbed_margin_min": 0.0},
                "disturbances": {"temperature": "5 K"},
            },
            "disturbances.temperature",
            "knows only its own; drop it",
        ),
        ({"disturbances": {"drift": "2 %"}}, "disturbances", "set criteria.disturbed_margin_min"),
        (
            {"task": {"name": "ring"}, "criteria": {"disturbed_margin_min": 0.3}},
            "criteria.disturbed_margin_min",
            "is no gate",
        ),
        (
            {"learning": {"loss": "hinge"}, "criteria": {"loop_margin_min": "3 dB"}},
            "criteria.loop_margin_min",
            "the hinge loss, which has no curvature",
        ),
        ({"task": {"name": "ring"}, "criteria": {"margin_min": 0.3}}, "criteria.margin_min", "is no gate"),
        ({"noise": {"density": "1e-5 nA^2/Hz"}}, "verify.engine", "knows no noise"),
        ({"electronics": {"level": "transistor"}}, "verify.engine", "choose ngspice"),
        ({"electronics": {"leads": True}}, "verify.engine", "leads"),
        ({"device": {"model": "chip.npz"}, "verify": {"devices": 2}}, "verify.devices", "one measured chip"),
        ({"device": {"model": "kmc"}}, "device.model", "no exact gradient"),
    ],
)
def test_verifications_that_make_no_sense_are_refused(content: dict[str, Any], field: str, told: str) -> None:
    with refused(field, re.escape(told)):
        check_design(Design.from_values(content))


def test_few_starts_are_a_quick_look() -> None:
    design = Design.from_values({"verify": {"starts": 4}})
    check_design(design, quick=True)
    check_design(design.changed({"verify.samples": 0}))
    check_design(design.changed({"verify.starts": 5}))


def test_how_long_boards_take_in_ngspice_is_told_before(tmp_path: Path) -> None:
    (tmp_path / "bridge.lib").write_text(BRIDGE)
    values = {"device": {"model": "bridge.lib"}, "task": {"name": "AND"}, "verify": {"engine": "ngspice"}}
    takes = boards_take(Design.from_values(values, tmp_path), 100, 12)
    assert takes is not None
    assert takes.attempts == 102 * 12  # two loops beside the boards
    assert takes.each_s > 0.0
    assert boards_take(Design.from_values({}), 100, 12) is None
    assert Duration(1224, 0.4).doubts == ()
    (doubt,) = Duration(1224, 6.0).doubts
    assert "1224 attempts in ngspice, 6 s each, take a processor 2.0 h" in doubt
