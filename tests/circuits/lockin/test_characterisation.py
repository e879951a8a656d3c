"""The data sheet of the netlist lock-in, ideal parts, against closed forms and the digital one. Real ngspice always."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from scipy.special import gammaincinv

from circuits.lockin.characterisation import characterise_lockin
from circuits.ngspice.engine import Engine
from inmateria.errors import InputError, NetlistError
from lockin.characterisation import INTERFERENCE, TOLERATED, Characterisation
from lockin.settings import LockInSettings
from netlists.reader import parse_part

TAU, F = 5e-3, 1000.0
ENBW = {6: 1 / 4, 12: 1 / 8, 18: 3 / 32, 24: 5 / 64}


@pytest.fixture(scope="module")
def sheets(engine: Engine) -> dict[int, Characterisation]:
    return characterise_lockin(LockInSettings(TAU), F, engine)


@pytest.mark.parametrize("slope", ENBW)
def test_filter_is_that_of_the_textbook(sheets: dict[int, Characterisation], slope: int) -> None:
    """ENBW (integral of |H|^2 from .ac) and settling within 0.1 %, roll-off within 0.1 dB, |H|^2 within 1e-6."""
    sheet, poles = sheets[slope], slope // 6
    assert sheet.realisation == "ideal"
    assert sheet.settings.filter_slope == slope
    assert sheet.enbw_times_tau == pytest.approx(ENBW[slope], rel=1e-3)
    assert sheet.settle99_over_tau == pytest.approx(gammaincinv(poles, 0.99), rel=1e-3)
    assert sheet.rolloff_dB_per_octave == pytest.approx(20 * poles * math.log10(2), abs=0.1)
    exact = (1 + (2 * math.pi * sheet.offset_Hz * TAU) ** 2) ** -poles
    np.testing.assert_allclose(sheet.transfer / sheet.transfer[0], exact / exact[0], rtol=1e-6)


@pytest.mark.parametrize("slope", ENBW)
def test_readings_are_exact(sheets: dict[int, Characterisation], slope: int) -> None:
    """Phase within 0.01 degrees with ideal parts, and far better than that."""
    sheet, poles = sheets[slope], slope // 6
    assert sheet.phase_error_deg < 1e-4
    assert sheet.gain_error < 1e-6
    assert sheet.zero < 1e-9
    assert sheet.linearity < 1e-7
    assert min(sheet.harmonic_rejection_dB.values()) > 120
    assert sheet.image_rejection_dB > 80
    products = np.array([INTERFERENCE - 1, INTERFERENCE + 1]) * F
    through = np.sum((1 + (2 * math.pi * products * TAU) ** 2) ** (-poles / 2))
    assert sheet.reserve_dB == pytest.approx(20 * math.log10(TOLERATED / through), abs=0.5)


FAULTY = """* part: mixer
* level: faulty
* summary: a multiplier with an offset, a feedthrough and a limit
* equation: as written
* pin a: a, V
* pin b: b, V
* pin out: out, V
* param vscale [V] = 1 : scale
* param vswing [V] = 3 : limit
* source: test
.subckt mixer_faulty a b out params: vscale=1 vswing=3
Bout out 0 V=max(-{vswing},min({vswing},V(a)*V(b)/{vscale}*1.01+5e-3+0.02*V(a)))
.ends mixer_faulty
"""


def test_faults_of_a_part_are_measured(engine: Engine) -> None:
    """A 5 mV offset shows as 5 mV sqrt 2 in x and in y, on top of a gain error of 1 %; the limit ends the reserve.

    At 1 V rms full scale, half of it (0.71 V peak) and the interfering sine pass the mixer's 3 V together where the
    latter's peak is 2.29 V, 4.2 dB above full scale; the reading is wrong by 1 % a little above.
    """
    sheets = characterise_lockin(LockInSettings(TAU), F, engine, slopes=(24,), parts=[parse_part(FAULTY, "test")])
    sheet = sheets[24]
    assert sheet.zero == pytest.approx(10e-3, rel=1e-3)
    assert sheet.gain_error == pytest.approx(0.01 + 5e-3 * math.sqrt(2), abs=1e-4)
    assert sheet.phase_error_deg == pytest.approx(math.degrees(10e-3), rel=0.1)
    assert 4.0 < sheet.reserve_dB < 12.0
    assert sheet.overloads == ()
    loud = characterise_lockin(
        LockInSettings(TAU), F, engine, slopes=(6,), full_scale=2.5, parts=[parse_part(FAULTY, "test")]
    )[6]
    assert loud.overloads == ("mixer_x",)
    assert loud.linearity > 0.005


def test_a_part_that_lacks_a_part_is_named(engine: Engine) -> None:
    text = FAULTY.replace("mixer", "lowpass").replace("* pin a: a, V\n* pin b: b, V", "* pin in: in, V")
    text = text.replace("_faulty a b out", "_faulty in out").replace("vscale [V]", "tau [s]").replace("vscale=", "tau=")
    text = re.sub("Bout.*", "X1 in out nowhere", text)
    with pytest.raises(NetlistError, match="nowhere"):
        characterise_lockin(LockInSettings(TAU), F, engine, parts=[parse_part(text, "test")])


def test_the_level_is_refused_by_name(engine: Engine) -> None:
    with pytest.raises(InputError, match="level"):
        characterise_lockin(LockInSettings(TAU), F, engine, "wooden")
