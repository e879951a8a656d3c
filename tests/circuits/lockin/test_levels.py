"""The lock-in of real parts: as far from the textbook as its parts' files say, and flagged where they clip."""

from __future__ import annotations

import math

import numpy as np
import pytest

from circuits.lockin.characterisation import characterise_lockin
from circuits.lockin.design import LockInRequirements, design_lockin, measure_design
from circuits.lockin.netlist import lockin_block
from circuits.ngspice.engine import Engine
from lockin.characterisation import Characterisation
from lockin.settings import LockInSettings
from lockin.theory import enbw_Hz, settling_time
from netlists.reader import available, load_part

TAU, F = 2e-3, 1000.0


def needs(*parts: tuple[str, str]) -> pytest.MarkDecorator:
    missing = [f"{level}/{name}" for name, level in parts if (name, level) not in available()]
    return pytest.mark.skipif(bool(missing), reason=f"no part {', '.join(missing)}")


MACRO = needs(("mixer", "macro"), ("lowpass", "macro"), ("oscillator", "macro"))


@pytest.fixture(scope="module")
def sheets(engine: Engine) -> dict[int, Characterisation]:
    return characterise_lockin(LockInSettings(TAU), F, engine, "macro", slopes=(6, 24))


@MACRO
@pytest.mark.parametrize("slope", [6, 24])
def test_errors_are_those_of_the_parts(sheets: dict[int, Characterisation], slope: int) -> None:
    sheet, settings = sheets[slope], LockInSettings(TAU, slope)
    pole, mixer, source = (load_part(name, "macro").defaults for name in ("lowpass", "mixer", "oscillator"))
    slower = 1.0 + pole["ctol"]
    assert sheet.enbw_Hz * slower == pytest.approx(enbw_Hz(settings), rel=3e-3)
    assert sheet.settle99_s / slower == pytest.approx(settling_time(settings), rel=3e-3)
    assert sheet.rolloff_dB_per_octave == pytest.approx(20 * settings.poles * math.log10(2), abs=0.1)
    offset = mixer["offset"] + settings.poles * pole["vos"]
    assert sheet.zero == pytest.approx(2.0 * offset, rel=0.2)  # sqrt 2 for rms, and again for x and y together
    assert sheet.image_response == pytest.approx(0.5 * math.radians(source["quadrature"]), rel=0.1)
    assert sheet.harmonic_response[3] > source["h3"]  # the reference's own, and the mixer's curvature
    assert 0.0 < sheet.gain_error < 0.05
    assert sheet.phase_error_deg < 1.0
    assert sheet.linearity < 1e-3
    assert sheet.overloads == ()


@MACRO
@pytest.mark.parametrize(
    ("peak", "gain", "told"), [(8.0, 1.0, set()), (30.0, 1.0, {"mixer_x", "mixer_y"}), (1.0, 20.0, {"input"})]
)
def test_stages_that_clip_are_flagged(engine: Engine, peak: float, gain: float, told: set[str]) -> None:
    block = lockin_block(LockInSettings(TAU, 12), F, "macro", gain=gain)
    reading = block.reading(block.run(engine, f"SIN(0 {peak} {F} 0 0 30)"))
    assert told <= set(reading.overloads)
    assert reading.overload is bool(told)
    if not told:
        assert reading.magnitude == pytest.approx(peak / math.sqrt(2), rel=0.05)
        assert reading.theta == pytest.approx(30.0, abs=1.0)


@MACRO
def test_a_design_of_real_parts_is_as_predicted(engine: Engine) -> None:
    """Gain errors (3 % here) can be calibrated away and are not in the prediction; offsets and the rest are."""
    need = LockInRequirements(
        channels=3, settling_s=0.1, gradient_error=0.1, slope=1.0, noise_psd=1e-9, dither_limit_V=0.05,
        band_Hz=(200.0, 800.0), background=0.05,
    )  # fmt: skip
    design = design_lockin(need.with_parts("macro"))
    assert design.errors.offset > design.errors.settling + design.errors.crosstalk
    wrong = measure_design(design, engine, "macro")
    assert np.abs(wrong).max() < design.errors.systematic + 0.035


@needs(("switching_mixer", "ideal"), ("oscillator", "ideal"))
def test_switching_mixer_responds_to_odd_harmonics_as_one_over_n(engine: Engine) -> None:
    """Within 1 %: 128 points a cycle; what the sampled edges cost is 0.5 % at the fifth."""
    sheet = characterise_lockin(LockInSettings(TAU, mixer="square"), F, engine, slopes=(24,))[24]
    assert sheet.harmonic_response[3] == pytest.approx(1 / 3, rel=0.01)
    assert sheet.harmonic_response[5] == pytest.approx(1 / 5, rel=0.01)
    assert max(sheet.harmonic_response[2], sheet.harmonic_response[4]) < 1e-4
    assert sheet.gain_error < 1e-3
    assert sheet.phase_error_deg < 0.01
