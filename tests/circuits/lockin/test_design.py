"""A designed lock-in does in simulation what was asked for; what cannot be is refused with advice that works."""

from __future__ import annotations

import ast
import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import chi2

from circuits.lockin.design import (
    LockInDesign,
    LockInRequirements,
    _errors,
    design_lockin,
    measure_design,
)
from circuits.ngspice.engine import Engine
from inmateria.errors import InputError
from lockin.demodulate import gradient
from lockin.settings import LockInSettings
from lockin.theory import stability_margin
from netlists.reader import parse_part

from ...refused import refused

EASY = LockInRequirements(
    channels=5, settling_s=0.3, gradient_error=0.05, slope=0.8, noise_psd=1e-7, dither_limit_V=0.05,
    band_Hz=(200.0, 800.0),
)  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"nonlinearity_V": 0.06, "noise_psd": 1e-8},
        {"neighbour": 5.0},
        {"background": 3.0},
        {"channels": 8, "band_Hz": (500.0, 4000.0)},
        {"channels": 1},
        {"band_Hz": None, "avoid_Hz": (50.0,)},
    ],
    ids=str,
)
def test_the_circuit_does_what_was_asked_for(engine: Engine, change: dict[str, Any]) -> None:
    """Ideal netlist, read at `settling_s`: all that is systematic stays within its prediction, hence within bounds."""
    design = design_lockin(replace(EASY, **change))
    need, errors = design.requirements, design.errors
    assert errors.total <= need.gradient_error
    wrong = measure_design(design, engine)
    # every channel is as strong as it may be, but for the one with the most crosstalk
    allowed = np.full(need.channels, errors.systematic)
    strong = np.arange(need.channels) != design.worst
    allowed[strong] += (need.neighbour - 1.0) * errors.settling
    assert np.all(np.abs(wrong) <= allowed + 1e-4)
    if "nonlinearity_V" in change:  # a prediction, not only a bound
        assert np.median(wrong) == pytest.approx(errors.amplitude - errors.settling, rel=0.1)
    tones = design.dither.frequencies_Hz
    if need.band_Hz is not None:
        assert need.band_Hz[0] <= min(tones)
        assert max(tones) <= need.band_Hz[1]
    assert max(design.dither.amplitudes_V) <= need.dither_limit_V
    for off in need.avoid_Hz:
        assert np.abs(np.array(tones) / off - np.round(np.array(tones) / off)).min() > 0.01


def test_noise_is_as_predicted() -> None:
    """300 noisy records read digitally, 5 tones each (independent).

    (N - 1) var / predicted is chi-squared with N - 1 = 1499, but for the noise of the first tau that the filter has
    forgotten (below 1e-3): false-alarm rate 1e-5.
    """
    design = design_lockin(replace(EASY, noise_psd=5e-7))
    need, plan = design.requirements, design.dither
    rate = 8 * max(plan.frequencies_Hz)
    time = np.arange(math.floor(need.settling_s * rate) + 1) / rate
    clean = need.slope * plan.waveform(time).sum(axis=0)
    rng = np.random.default_rng(5)
    noise = rng.normal(scale=math.sqrt(need.noise_psd * rate / 2), size=(300, time.size))
    read = np.array([gradient(plan, time, clean + row, design.settings) for row in noise]) / need.slope
    spread = read - read.mean(axis=0)
    low, high = chi2.ppf([5e-6, 1 - 5e-6], spread.size - plan.n)
    assert low < np.sum(spread**2) / design.errors.noise**2 < high
    assert np.sqrt(np.mean((read - 1.0) ** 2)) <= need.gradient_error
    assert design.errors.noise > 0.5 * need.gradient_error  # the case is one where noise matters


def test_no_other_filter_or_dither_would_be_better() -> None:
    design = design_lockin(replace(EASY, nonlinearity_V=0.1, noise_psd=1e-8))
    rng = np.random.default_rng(0)
    best = math.inf
    for _ in range(3000):
        poles, tau = int(rng.integers(1, 5)), EASY.settling_s / rng.uniform(1.5, 40)
        alpha = EASY.dither_limit_V * rng.uniform(0, 1)
        errors, _worst = _errors(design.requirements, design.dither.frequencies_Hz, poles, tau, alpha)
        best = min(best, errors.total)
    assert design.errors.total < 1.01 * best


@pytest.mark.parametrize(
    ("change", "binding"),
    [
        ({"noise_psd": 5e-7, "band_Hz": (1e3, 1e5)}, "dither_limit_V"),
        ({"noise_psd": 1e-8, "nonlinearity_V": 0.06, "channels": 1, "band_Hz": (1e3, 1e5)}, "nonlinearity_V"),
        ({"noise_psd": 0.0, "background": 1.0, "channels": 1, "band_Hz": (10.0, 40.0)}, "settling_s or band_Hz"),
    ],
)
def test_the_binding_requirement_is_named(change: dict[str, Any], binding: str) -> None:
    design = design_lockin(replace(EASY, **change))
    assert design.binding in binding.split(" or ")  # twice the time and twice the band do the same
    assert design.sensitivities[design.binding] == max(design.sensitivities.values()) > 0.02


@pytest.mark.parametrize(
    ("change", "two"),
    [
        ({"noise_psd": 1e-4}, {"gradient_error", "dither_limit_V"}),
        ({"noise_psd": 1e-7, "nonlinearity_V": 0.02}, {"gradient_error", "nonlinearity_V"}),
        ({"settling_s": 0.02, "noise_psd": 0.0}, {"band_Hz", "channels"}),
        ({"background": 3.0, "channels": 1, "band_Hz": (20.0, 40.0)}, {"band_Hz", "settling_s"}),
    ],
)
def test_the_impossible_names_two_requirements_and_what_would_do(change: dict[str, Any], two: set[str]) -> None:
    need = replace(EASY, **change)
    with pytest.raises(InputError) as caught:
        design_lockin(need)
    error = caught.value
    told = re.search(r"collides with (\w+) = ", error.problem)
    assert told
    assert {error.field, told[1]} == two
    ways = re.fullmatch(r"take (\w+) = (.*) or (\w+) = (.*)", error.fix)
    assert ways
    assert {ways[1], ways[3]} == two
    for name, value in ((ways[1], ways[2]), (ways[3], ways[4])):
        made = design_lockin(replace(need, **{name: ast.literal_eval(value)}))
        assert made.margin >= 1.0
        assert made.margin < 1.5 or name == "channels"  # no more than is needed


def test_one_way_out_is_told_with_what_it_collides() -> None:
    """So short a time lets in noise and crosstalk alike: only time mends both."""
    need = replace(EASY, settling_s=0.01)
    with pytest.raises(InputError, match="collides with gradient_error") as caught:
        design_lockin(need)
    way = re.fullmatch(r"take settling_s = (\S+)", caught.value.fix)
    assert way
    assert 1.0 <= design_lockin(replace(need, settling_s=float(way[1]))).margin < 1.5


def test_what_nothing_alone_would_mend_is_refused_too() -> None:
    with pytest.raises(InputError, match="several at once"):
        design_lockin(replace(EASY, settling_s=1e-4, noise_psd=1.0, gradient_error=1e-6, nonlinearity_V=1e-3))


def test_integrators_keep_the_loop_stable() -> None:
    """1 / (R C) = 2 eta / alpha; eta times the curvature is a third of what makes the loop oscillate."""
    design = design_lockin(replace(EASY, curvature=4.0))
    assert design.integrator is not None
    eta = design.dither.amplitudes_V[0] / 2 / design.integrator.time_constant_s
    assert stability_margin(design.settings, eta * 4.0) == pytest.approx(3.0, rel=0.01)
    assert design_lockin(EASY).integrator is None


def test_the_signal_fits_the_mixers() -> None:
    design: LockInDesign = design_lockin(replace(EASY, background=0.7, neighbour=3.0, gradient_error=0.2))
    largest = 0.7 + 0.8 * (1 + 3.0 * 4) * design.dither.amplitudes_V[0]
    assert 4.5 < design.gain * largest <= 5.0
    assert {block.gain for block in design.blocks()} == {design.gain}
    assert [block.frequency_Hz for block in design.blocks()] == list(design.dither.frequencies_Hz)
    assert design.settings == LockInSettings(design.pole.time_constant_s, design.settings.filter_slope)


MIXER = """* part: mixer
* level: faulty
* summary: a multiplier with an offset and a feedthrough
* equation: as written
* pin a: a, V
* pin b: b, V
* pin out: out, V
* param vscale [V] = 1 : scale
* param offset [V] = 2e-3 : offset
* param xfeed [V/V] = 1e-3 : feedthrough
* source: test
.subckt mixer_faulty a b out params: vscale=1 offset=2e-3 xfeed=1e-3
Bout out 0 V=V(a)*V(b)/{vscale}+{xfeed}*V(a)+{offset}
.ends mixer_faulty
"""


@pytest.mark.parametrize("background", [0.0, 0.3])
def test_offsets_of_real_parts_are_in_the_prediction(engine: Engine, background: float) -> None:
    """Predicted from the part's header, and met by the circuit: nothing else is as large here."""
    parts = [parse_part(MIXER, "test")]
    need = replace(EASY, background=background, gradient_error=0.2, noise_psd=1e-10)
    design = design_lockin(need.with_parts("ideal", parts))
    wrong = measure_design(design, engine, parts=parts)
    errors = design.errors
    assert errors.offset > 0.6 * errors.systematic
    np.testing.assert_allclose(wrong, errors.offset, atol=errors.settling + errors.crosstalk + 0.02 * errors.offset)
    assert design_lockin(need.with_parts("ideal")).errors.offset == 0.0


def test_a_check_that_takes_forever_is_refused(engine: Engine) -> None:
    design = design_lockin(replace(EASY, band_Hz=(1e6, 4e6)))
    with pytest.raises(InputError, match="settling_s"):
        measure_design(design, engine)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("channels", 0),
        ("channels", 2.5),
        ("settling_s", 0.0),
        ("gradient_error", 1.5),
        ("gradient_error", math.nan),
        ("slope", -1.0),
        ("noise_psd", -1.0),
        ("dither_limit_V", math.inf),
        ("band_Hz", (3.0, 2.0)),
        ("nonlinearity_V", 0.0),
        ("neighbour", -1.0),
        ("curvature", 0.0),
    ],
)
def test_requirements_that_make_no_sense_are_refused_by_name(field: str, value: Any) -> None:
    with refused(field):
        replace(EASY, **{field: value})
