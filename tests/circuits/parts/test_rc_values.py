"""Values as one buys them: in a recommendation, in the decks, in the equations; and what they load."""

from __future__ import annotations

import math

import numpy as np
import pytest

from circuits.homodyne import netlist
from circuits.homodyne.equations import ChannelConstants
from circuits.homodyne.figures import CUBIC, constants_of
from circuits.homodyne.loop import HomodyneLoop, OutputStage
from circuits.lockin.bank import LockInBank
from circuits.lockin.netlist import lockin_block
from circuits.parts.levels import loop_fields
from circuits.parts.rc_values import E12, E96, nearest_rc, pole_values
from circuits.signals.patterns import PatternSequence
from inmateria.errors import InputError
from lockin.plan import DitherPlan
from lockin.settings import LockInSettings
from netlists.reader import load_part

from ...toys import Linear

PLAN = DitherPlan((260.0, 510.0), (0.03, 0.02))


@pytest.mark.parametrize("tau", [3.3e-7, 1e-4, 7.77e-3, 0.123, 2.0, 60.0])
def test_components_are_preferred_values(tau: float) -> None:
    rc = nearest_rc(tau)
    assert round(rc.resistance_ohm / 10.0 ** (math.floor(math.log10(rc.resistance_ohm)) - 2), 6) in E96
    assert round(rc.capacitance_F / 10.0 ** (math.floor(math.log10(rc.capacitance_F * 1.0001)) - 1), 6) in E12
    assert rc.time_constant_s == pytest.approx(tau, rel=0.013)  # half a step of E96
    assert rc.rounding == pytest.approx(rc.resistance_ohm * rc.capacitance_F / tau - 1)
    assert {332, 499, 681, 976} <= set(E96)


def test_the_pair_of_a_pair_is_that_pair() -> None:
    """Over five decades of time constants: R between 10 and 100 kohm, within half a step of E96, and found again."""
    rng = np.random.default_rng(5)
    for tau in 10.0 ** rng.uniform(-5.5, -0.05, 300):
        rc = nearest_rc(float(tau))
        assert 10e3 <= rc.resistance_ohm <= 100e3
        assert rc.capacitance_F <= 10e-6
        assert abs(rc.rounding) < 0.013
        again = nearest_rc(rc.time_constant_s)
        assert (again.resistance_ohm, again.capacitance_F) == (rc.resistance_ohm, rc.capacitance_F)


def test_a_time_constant_beyond_all_components_is_refused() -> None:
    for tau in (1e-9, 1e4):
        with pytest.raises(InputError, match="time_constant"):
            nearest_rc(tau)


def test_a_chosen_capacitor_stays() -> None:
    part = load_part("lowpass", "macro")
    assert pole_values(part.with_defaults("own", c=3e-6), 0.01) == {"tau": 0.01}
    assert pole_values(load_part("lowpass"), 0.0123) == {"tau": 0.0123}
    assert pole_values(part, 0.0123)["c"] == nearest_rc(0.0123).capacitance_F


def loop() -> HomodyneLoop:
    patterns = PatternSequence(((0.0,), (0.3,)), (1.0, -1.0), 0.13, 0.005, 0.005, 5e-5)
    plan = DitherPlan((23 / 0.13, 37 / 0.13), (0.03, 0.02))
    return HomodyneLoop(
        Linear(), 0, (1,), (1, 2), np.array([-0.25, 0.3]), plan, patterns, sequences=1,
        stage=OutputStage(baseline_V=-0.05, gain_log=2.0), parts=loop_fields("macro")["parts"], multiplier_V=10.0,
    )  # fmt: skip


def placed(deck: str) -> dict[str, tuple[str, list[str], dict[str, float]]]:
    """Of each instance of the circuit itself the part, its nodes and its values."""
    found, inside = {}, 0
    for line in deck.splitlines():
        words = line.split()
        first = words[0].lower() if words else ""
        inside += (first == ".subckt") - (first == ".ends")
        if not inside and first.startswith("x"):
            values = {name: float(value) for name, value in (word.split("=") for word in words if "=" in word)}
            nodes = [word for word in words[1:] if "=" not in word]
            found[words[0]] = (nodes.pop().removesuffix("_macro"), nodes, values)
    return found


def test_no_resistor_loads_an_amplifier_beyond_its_data_sheet() -> None:
    """From the deck: R = tau / c of each low-pass and 1 / (rate c) of each integrator against what drives it."""
    instances = placed(netlist.deck(loop()))
    drivers = {nodes[-1]: part for part, nodes, _ in instances.values()}  # the last pin is the output
    seen = 0
    for name, (kind, nodes, values) in instances.items():
        if kind not in ("lowpass", "integrator"):
            continue
        c = values.get("c", load_part(kind, "macro").defaults["c"])
        ohm = values["tau"] / c if kind == "lowpass" else 1.0 / (abs(values["rate"]) * c)
        driver = drivers[nodes[0]]
        least = [limit.default for limit in load_part(driver, "macro").limits if limit.name == "load"]
        assert least, f"{driver} states no load"
        assert ohm >= least[0], name
        seen += 1
    assert seen == 2 * 3 + 2  # low-pass, averager and integrator of each channel, baseline and gain


def test_deck_equations_and_recommendation_have_the_same_values() -> None:
    built = loop()
    pair = nearest_rc(built.filter_s)
    for name, (_, _, found) in placed(netlist.deck(built)).items():
        if name.startswith("Xlp"):
            assert found["c"] == pytest.approx(pair.capacitance_F, rel=1e-12)
            assert found["tau"] == pytest.approx(pair.time_constant_s, rel=1e-12)
    channels: ChannelConstants = constants_of(built)[1][0]
    np.testing.assert_allclose(channels.taus_s[0], 1.01 * pair.time_constant_s)
    averager = nearest_rc(built.average_s)
    mixer, pole = load_part("mixer", "macro").defaults, load_part("lowpass", "macro").defaults
    resistance = pair.resistance_ohm + averager.resistance_ohm
    gain = 1.0 + mixer["escale"] + CUBIC * (mixer["xnonlin"] + mixer["ynonlin"])
    at_rest = mixer["offset"] + gain * mixer["xos"] * mixer["yos"] / 10.0
    expected = at_rest + 2 * pole["vos"] - pole["ibias"] * resistance
    np.testing.assert_allclose(channels.mix_V, expected, rtol=1e-9)
    settings = LockInSettings(built.filter_s, 12)
    block = lockin_block(settings, 1e3, "macro")
    assert f"tau={pair.time_constant_s!r}" in block.cards("in")
    bank = LockInBank(Linear(), 0, (1, 2), np.zeros(3), PLAN, settings, level="macro")
    assert bank.settings_as_built.time_constant == pytest.approx(1.01 * pair.time_constant_s)
