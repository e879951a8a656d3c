"""The temperature of the electronics is the deck's, and the fast engines' equations follow it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analysis.designs.design import Design
from analysis.designs.experiment import experiment_of
from circuits.homodyne import netlist
from circuits.homodyne.figures import constants_of
from circuits.lockin.bank import LockInBank
from circuits.ngspice.engine import Engine
from circuits.parts.preamble import preamble
from inmateria.errors import InputError
from learning.homodyne.experiment import middle_loop
from lockin.settings import LockInSettings
from netlists.reader import load_part

NOMINAL = 300.15


def limited(level: str, kelvin: float, engine: Engine) -> float:
    """What a limiter of 1 V makes of 0.1 V in ngspice, V."""
    part = load_part("limiter", level)
    placed = part.instance("x1", {"in": "in", "out": "out"})
    deck = f"limiter\n{preamble([part], kelvin)}V1 in 0 0.1\n{placed}\n.op\n.end\n"
    return float(engine.run(deck)["out"][0])


@pytest.mark.parametrize("celsius", [-40.0, 27.0, 125.0])
def test_the_gain_of_a_pair_goes_with_the_reciprocal_of_temperature(celsius: float, engine: Engine) -> None:
    """Macro: 1.01 tanh((0.1 + vos/51.73 mV) T0/T) and its offset. Transistors: as an audit measured."""
    kelvin = celsius + 273.15
    wanted = 1.01 * np.tanh((0.1 + 50e-6 / 51.73e-3) * NOMINAL / kelvin) + 60e-6
    assert limited("macro", kelvin, engine) == pytest.approx(wanted, rel=1e-8)
    audited = {-40.0: 0.124, 27.0: 0.0977, 125.0: 0.0748}[celsius]
    assert limited("transistor", kelvin, engine) == pytest.approx(audited, rel=5e-3)


def test_a_deck_without_a_temperature_is_at_27_degC_again(engine: Engine) -> None:
    before = limited("macro", NOMINAL, engine)
    assert limited("macro", 233.15, engine) > 1.2 * before
    part = load_part("limiter", "macro")
    deck = f"limiter\n{part.library}V1 in 0 0.1\n{part.instance('x1', {'in': 'in', 'out': 'out'})}\n.op\n.end\n"
    assert float(engine.run(deck)["out"][0]) == pytest.approx(before, rel=1e-9)


def test_a_designs_temperature_is_in_every_deck_and_in_the_equations() -> None:
    design = Design.from_values({"electronics": {"level": "macro", "temperature": "75 degC"}})
    loop = middle_loop(experiment_of(design))
    opened = loop.opened(loop.start_V, 0.01, "output")
    for one in (loop, opened):
        assert "\n.temp 75\n" in netlist.deck(one)
    hot, cold = (constants_of(one) for one in (loop, replace(loop, temperature_K=NOMINAL)))
    warmth = 348.15 / NOMINAL
    assert hot[0].step_V == pytest.approx(cold[0].step_V * warmth)
    np.testing.assert_allclose(hot[1][0].limit_shift, cold[1][0].limit_shift / warmth)
    ideal = replace(loop, parts={}, component_errors={})
    assert constants_of(ideal)[0].step_V == loop.step_V  # ideal limiters know no temperature
    assert "\n.temp 27\n" in netlist.deck(replace(loop, temperature_K=NOMINAL))


def test_the_bank_of_a_loops_budget_is_as_warm_as_the_loop() -> None:
    design = Design.from_values({"electronics": {"level": "macro", "temperature": "75 degC"}})
    experiment = experiment_of(design)
    loop = middle_loop(experiment).opened(middle_loop(experiment).start_V, 0.01, "output")
    volts = experiment.bench.terminal_voltages(loop.start_V, loop.sequence.levels_V[0])
    bank = LockInBank(loop.device, loop.output, loop.trained, volts, loop.dither, LockInSettings(0.01, 6),
                      level="macro", temperature_K=loop.temperature_K)  # fmt: skip
    assert "\n.temp 75\n" in bank.deck(0.1)


def test_no_temperature() -> None:
    with pytest.raises(InputError, match="temperature_K"):
        replace(middle_loop(experiment_of(Design.from_values({}))), temperature_K=-3.0)
