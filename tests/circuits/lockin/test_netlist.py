"""The lock-in as a netlist reads what the digital one reads, and what is true. Real ngspice always."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from circuits.lockin.netlist import LockInBlock, lockin_block
from circuits.ngspice.engine import Engine
from inmateria.errors import InputError
from lockin.demodulate import demodulate, demodulate_trace
from lockin.settings import LockInSettings
from netlists.reader import load_part, parse_part

from ...refused import refused

F = 1000.0
TAU = 5e-3


@pytest.mark.parametrize("slope", [6, 12, 18, 24])
def test_it_reads_what_the_digital_realisation_reads(engine: Engine, slope: int) -> None:
    """A tone with an offset before the mixer, phase and harmonic: same x and y at every time, to 2e-5 of the tone.

    The offset's ripple at f is 0.2 of the tone before the filter: that it agrees too is what the bound says.
    """
    settings = LockInSettings(TAU, slope, phase=25.0, sensitivity=0.06)
    block = lockin_block(settings, F, reference_phase=0.3)
    run = block.run(engine, f"SIN(0.02 0.1 {F} 0 0 70)", points_per_cycle=64)
    reading = block.reading(run)
    signal = run["v(lockin_signal)"]
    digital = demodulate(settings, F, run.time_s, signal, 0.3)
    scale = 0.1 / math.sqrt(2)
    assert abs(reading.x - digital.x) < 2e-5 * scale
    assert abs(reading.y - digital.y) < 2e-5 * scale
    assert reading.settled == pytest.approx(digital.settled, abs=1e-5)
    assert reading.overloads == digital.overloads
    # ngspice's filters start at t = 0, of which it keeps no point with uic, by one step of Euler's rule
    time = np.append(0.0, run.time_s)
    signal = np.append(0.02 + 0.1 * math.sin(math.radians(70.0)), signal)
    for one, other in zip(block.trace(run), demodulate_trace(settings, F, time, signal, 0.3), strict=True):
        np.testing.assert_allclose(one, other[1:], atol=1e-3 * scale)


def test_phase_and_magnitude_are_exact(engine: Engine) -> None:
    """Phase within 0.01 degrees of the truth, all around; magnitude is the rms, as far as it has settled."""
    settings = LockInSettings(TAU, 24)
    for degrees in (-170.0, -90.0, -12.5, 0.0, 33.0, 120.0):
        block = lockin_block(settings, F)
        reading = block.reading(block.run(engine, f"SIN(0 0.1 {F} 0 0 {degrees})"))
        assert abs(math.remainder(reading.theta - degrees, 360.0)) < 0.01
        assert reading.magnitude == pytest.approx(0.1 / math.sqrt(2) * reading.settled, rel=2e-5)
        assert reading.settled == pytest.approx(0.9999, abs=1e-5)


def test_harmonic_is_detected_and_the_fundamental_is_not(engine: Engine) -> None:
    block = lockin_block(LockInSettings(TAU, 24, harmonic=3), F, reference_phase=math.radians(20.0))
    third = block.reading(block.run(engine, f"SIN(0 0.1 {3 * F} 0 0 60)"))  # 3 * 20 degrees of the fundamental
    assert third.theta == pytest.approx(0.0, abs=0.01)
    assert third.magnitude == pytest.approx(0.1 / math.sqrt(2) * third.settled, rel=2e-5)
    first = block.reading(block.run(engine, f"SIN(0 0.1 {F})"))
    assert first.magnitude < 1e-5 * third.magnitude


def test_gain_before_the_mixers_is_taken_back(engine: Engine) -> None:
    settings = LockInSettings(TAU, 12)
    plain, amplified = (lockin_block(settings, F, gain=gain) for gain in (1.0, 25.0))
    readings = [block.reading(block.run(engine, f"SIN(0 4m {F} 0 0 30)")) for block in (plain, amplified)]
    assert readings[1].x == pytest.approx(readings[0].x, rel=1e-6)
    assert readings[1].y == pytest.approx(readings[0].y, rel=1e-6)


SWINGING = """* part: {name}
* level: mine
* summary: {name} with a swing limit
* equation: clipped
* pin {pins}
{params}* param vswing [V] = {swing} : largest output
* source: test
.subckt {name}_mine {order} params: {defaults}vswing={swing}
{body}
.ends {name}_mine
"""


def clipping(name: str, swing: float) -> LockInBlock:
    """A block one of whose parts clips."""
    if name == "mixer":
        text = SWINGING.format(
            name=name, pins="a: a, V\n* pin b: b, V\n* pin out: out, V", params="", order="a b out", defaults="",
            swing=swing, body="Bout out 0 V=max(-{vswing},min({vswing},V(a)*V(b)/10))",
        )  # fmt: skip
    else:
        text = SWINGING.format(
            name=name, pins="in: in, V\n* pin out: out, V", params="* param tau [s] = 1 : tau\n", order="in out",
            defaults="tau=1 ", swing=swing,
            body="Gin 0 x in 0 1\nRx x 0 1\nCx x 0 {tau} ic=0\nBout out 0 V=max(-{vswing},min({vswing},V(x)))",
        )  # fmt: skip
    return lockin_block(LockInSettings(TAU, 12), F, parts=[parse_part(text, "mine")])


def test_overloads_name_the_stages(engine: Engine) -> None:
    """What clips is named; a part of one's own takes the place of the level's; nothing is flagged just below."""
    source = f"SIN(0 1 {F})"  # the product reaches 1 in arm x and 0.5 in arm y; the filter 0.5 and 0
    assert clipping("mixer", 1.2).reading(clipping("mixer", 1.2).run(engine, source)).overloads == ()
    for name, swing, told in (
        ("mixer", 0.9, ("mixer_x",)),
        ("mixer", 0.4, ("mixer_x", "mixer_y")),
        ("lowpass", 0.3, ("filter_x1", "filter_x2")),
    ):
        block = clipping(name, swing)
        reading = block.reading(block.run(engine, source))
        assert reading.overloads == told
        assert reading.overload
    sensitive = lockin_block(LockInSettings(TAU, 12, sensitivity=0.5), F)
    run = sensitive.run(engine, f"SIN(0 1 {F} 0 0 90)")
    assert sensitive.reading(run).overloads == ("y",)
    assert replace(sensitive, settings=LockInSettings(TAU, 12)).reading(run).overloads == ()


OSCILLATOR = """* part: oscillator
* level: mine
* summary: off by a quarter of a degree in quadrature, and by 1 % in frequency when it is not locked
* equation: as written
* pin sine: x, V
* pin cosine: y, V
* param frequency [Hz] = 1 : frequency
* param amplitude [V] = 1 : peak
* param phase [deg] = 0 : phase
* param ferror [1] = 0.01 : error of the frequency
* source: test
.subckt oscillator_mine sine cosine params: frequency=1 amplitude=1 phase=0 ferror=0.01
Vs sine 0 SIN(0 {amplitude} {frequency*(1+ferror)} 0 0 {phase})
Vc cosine 0 SIN(0 {amplitude} {frequency*(1+ferror)} 0 0 {phase+90.25})
.ends oscillator_mine
"""


def test_an_oscillator_makes_the_references(engine: Engine) -> None:
    """Locked: no error of its frequency; its error of quadrature shows in y as -sin of it."""
    settings = LockInSettings(TAU, 24, phase=15.0, harmonic=2)
    block = lockin_block(settings, F, reference_phase=0.2, parts=[parse_part(OSCILLATOR, "test")])
    degrees = 15.0 + math.degrees(2 * 0.2)
    reading = block.reading(block.run(engine, f"SIN(0 1 {2 * F} 0 0 {degrees})"))
    assert reading.x == pytest.approx(reading.settled / math.sqrt(2), rel=2e-5)
    assert reading.y / reading.x == pytest.approx(-math.sin(math.radians(0.25)), rel=1e-3)


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("frequency_Hz", {"frequency_Hz": 0.0}),
        ("gain", {"gain": -1.0}),
        ("reference_V", {"reference_V": 0.0}),
        ("window", {"settings": LockInSettings(TAU, window="boxcar")}),
        ("name", {"name": "a b"}),
        ("level", {"level": "wooden"}),
        ("reference_phase", {"reference_phase": math.nan}),
    ],
)
def test_what_cannot_be_is_refused_by_name(field: str, change: dict) -> None:
    with refused(field):
        lockin_block(**{"settings": LockInSettings(TAU), "frequency_Hz": F, **change})


def test_a_run_of_no_length_is_refused(engine: Engine) -> None:
    block = lockin_block(LockInSettings(TAU), F)
    with pytest.raises(InputError, match="duration_s"):
        block.run(engine, "SIN(0 1 1000)", duration_s=-1.0)


def test_the_library_holds_every_part_once() -> None:
    deck = lockin_block(LockInSettings(TAU, 24), F, gain=2.0).deck("0")
    for name in ("mixer", "lowpass", "gain_offset"):
        assert deck.count(f".subckt {load_part(name).subckt} ") == 1


@pytest.mark.parametrize("phase", [0.0, 0.3, 1.1])
def test_a_square_mixer_takes_points_enough(engine: Engine, phase: float) -> None:
    """A sine in phase with a square reads its rms to 0.1 %; with a sine's 32 points a cycle it is up to 0.7 % off."""
    block = lockin_block(LockInSettings(TAU, 12, mixer="square"), F, reference_phase=phase)
    reading = block.reading(block.run(engine, f"SIN(0 0.1 {F} 0 0 {math.degrees(phase)})"))
    assert reading.magnitude == pytest.approx(0.1 / math.sqrt(2), rel=1e-3)
    assert abs(reading.theta) < 180.0 / 128  # half a step
