"""A sign-off finds circuits with a fault: one that oscillates between the steps, one that climbs, one that is dead."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.designs.design import Design
from analysis.verification.fast import check_fast, fast_criteria, requirements
from analysis.verification.report import verification_report
from analysis.verification.verify import verify
from circuits.homodyne.loop import HomodyneLoop
from learning.bench.bench import Bench
from learning.homodyne.experiment import middle_loop

from ...planted_faults import BUFFER

DESIGN = """
[task]
name = "AND"
[dither]
amplitude = "20 mV"
[learning]
sequences = 2
restarts = 1
[electronics]
level = "{level}"
[electronics.parts]
{part} = {{ file = "fault.lib" }}
[verify]
samples = 0
"""
SWAPPED = """* the two inputs of the multiplier's differential pair exchanged
.subckt swapped a b out params: gain=1 vscale=1
B1 out 0 V=-{gain/vscale}*V(a)*V(b)
.ends
"""
DEAD = """* an integrator whose resistor was never soldered
.subckt dead in gate out params: rate=1 vmin=-1 vmax=1 v0=0 tclamp=1e-4
V1 out 0 {v0+0*(rate+vmin+vmax+tclamp)}
R1 in 0 1e9
R2 gate 0 1e9
.ends
"""


def design_with(folder: Path, part: str, text: str, level: str = "ideal") -> Design:
    (folder / "fault.lib").write_text(text, encoding="utf-8")
    (folder / "design.toml").write_text(DESIGN.format(part=part, level=level), encoding="utf-8")
    return Design.from_toml(folder / "design.toml")


def loop_of(design: Design) -> HomodyneLoop:
    from analysis.designs.experiment import experiment_of

    return middle_loop(experiment_of(design))


@pytest.mark.slow
@pytest.mark.parametrize(("load", "failed"), [("10n", {"phase_margin_min", "settling_max"}), ("10p", set())])
def test_a_buffer_that_oscillates_fails_its_criteria_and_a_stable_one_passes(
    tmp_path: Path, load: str, failed: set[str]
) -> None:
    design = design_with(tmp_path, "lowpass", BUFFER.format(load=load))
    found = check_fast(design, loop_of(design))
    assert found is not None
    criteria = fast_criteria(found)
    assert {one.name for one in criteria if not one.passed} == failed
    assert {"operating_point", "phase_margin_min", "settling_max"} <= {one.name for one in criteria}
    (margin,) = [one for one in criteria if one.name == "phase_margin_min"]
    assert margin.required == "at least 20 deg"
    assert ("unstable" in margin.found) == bool(failed)


def test_criteria_ask_what_the_design_says_and_else_the_wait_before_a_window(tmp_path: Path) -> None:
    design = design_with(tmp_path, "mixer", SWAPPED)
    loop = loop_of(design)
    default = requirements(design, loop)
    assert (default.phase_margin_deg, default.settling_s, default.recovery_s) == (20.0, *[loop.sequence.wait_s] * 2)
    strict = design.changed({"criteria.phase_margin_min": "60 deg", "criteria.recovery_max": "2 ms"})
    asked = requirements(strict, loop)
    assert (asked.phase_margin_deg, asked.settling_s, asked.recovery_s) == (60.0, loop.sequence.wait_s, 2e-3)
    assert check_fast(Design.from_values({}), loop_of(Design.from_values({}))) is None  # equations do not oscillate


@pytest.mark.parametrize(("part", "text", "told"), [("mixer", SWAPPED, "-0.99"), ("integrator", DEAD, "nan")])
def test_swapped_inputs_and_a_dead_integrator_fail_the_gradient_though_no_criterion_is_written(
    tmp_path: Path, small_bench: Bench, part: str, text: str, told: str
) -> None:
    small_bench.device.to_npz(tmp_path / "chip.npz")  # type: ignore[attr-defined]
    device = {"device.model": str(tmp_path / "chip.npz"), "device.inputs": ("e1", "e2")}
    found = verify(design_with(tmp_path, part, text).changed(device), workers=1)
    (gradient,) = [one for one in found.criteria if one.name == "gradient_cosine_min"]
    assert not gradient.passed
    assert gradient.required == "above 0"
    assert gradient.found.startswith(told)
    assert not found.passed
    assert not verification_report(found, commands=["verify"]).passed  # the budget of such parts is measured
