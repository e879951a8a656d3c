"""Parts outside of what their data sheets allow are refused by name, before anything runs."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.designs.design import Design
from analysis.designs.experiment import experiment_of
from circuits.homodyne import netlist
from circuits.homodyne.signal_peaks import signal_peaks_V
from circuits.ngspice.engine import Engine
from circuits.parts.preamble import preamble
from learning.homodyne.experiment import middle_loop
from netlists.reader import Part, load_part

from ...refused import refused


def electronics(**values: object) -> Design:
    return Design.from_values({"electronics": {"level": "macro", **values}})


def limits(part: Part) -> dict[str, float]:
    return {limit.name: limit.default for limit in part.limits}


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"supply": "5 V"}, "dither_sum sum0, which needs at least 8 V"),
        ({"supply": "7.9 V", "reference": "1 V"}, "needs at least 8 V"),
        ({"supply": "20 V"}, "takes 18 V"),
        ({"supply": "8 V"}, "takes at 'ref' 3 V then: node ref0 reaches 10 V"),
        ({"supply": "12 V"}, "7 V then: node ref0 reaches 10 V; take 15 V or more"),
        ({"supply": "8 V", "reference": "2 V"}, "variable_gain vga, which takes at 'control' 5 V then"),
        ({"reference": "10.1 V"}, "takes at 'ref' 10 V then"),
        ({"level": "transistor", "supply": "5 V"}, "needs at least 8 V"),
    ],
)
def test_a_supply_that_parts_or_references_do_not_fit_is_refused(values: dict[str, object], told: str) -> None:
    with refused("electronics.supply", told):
        experiment_of(electronics(**values))


@pytest.mark.parametrize(
    "values", [{}, {"supply": "12 V", "reference": "7 V"}, {"supply": "13.5 V", "reference": "8 V"}]
)
def test_a_supply_that_fits_is_taken_and_is_the_parts_own(values: dict[str, object]) -> None:
    design = electronics(**values)
    loop = middle_loop(experiment_of(design))
    placed = netlist.placements(loop)
    assert {there.figure("vsupply") for there in placed.values()} == {design.electronics.supply}
    assert placed["mix0"].figure("vscale") == loop.multiplier_V == (design.electronics.reference or 10.0)


def test_an_output_that_drives_too_small_a_resistor_is_refused() -> None:
    """10 uF behind an AD633 made its pole of 10 ms with 1 kohm: it is specified into 2 kohm."""
    with refused("load", "mixer mix0, which drives 2000 ohm or more"):
        experiment_of(electronics(values={"lowpass": {"c": 10e-6}}))
    experiment_of(electronics(values={"lowpass": {"c": 4.9e-6}}))


def test_peaks_are_those_of_nodes_of_the_circuit() -> None:
    loop = middle_loop(experiment_of(electronics()))
    nodes = {node for there in netlist.placements(loop).values() for node in there.nodes.values()}
    peaks = signal_peaks_V(loop)
    assert set(peaks) - nodes == {"listening"}  # of an opened loop
    assert {f"w{k}" for k in range(7)} <= set(peaks)
    opened = loop.opened(loop.start_V, 0.01, "output")
    assert "listening" in {node for there in netlist.placements(opened).values() for node in there.nodes.values()}
    assert not any(name.startswith("w") for name in signal_peaks_V(opened))


def test_a_mixer_of_transistors_multiplies_within_its_stated_limits(engine: Engine) -> None:
    """Within 2 % of the largest product at the least supply and the largest inputs; a volt further out it does not."""
    part = load_part("mixer", "transistor")
    stated = limits(part)
    supply = stated["supply_min"]

    def error(peak: float) -> float:
        placed = part.instance("x1", {"a": "a", "b": "b", "out": "out"}, vscale=10.0, vsupply=supply, mismatch=0.0)
        sweep = f".dc Va {-peak} {peak} {peak / 8} Vb {-peak} {peak} {peak / 4}"
        run = engine.run(f"mixer\n{part.library}Va a 0 0\nVb b 0 0\n{placed}\n{sweep}\n.end\n")
        return float(np.max(np.abs(run["out"] - run["a"] * run["b"] / 10.0))) / (peak**2 / 10.0)

    assert error(supply - stated["input_headroom"]) < 0.02
    assert error(supply + 1.0) > 0.2


@pytest.mark.parametrize(("at_V", "within"), [(-4.0, True), (6.0, True), (-5.0, False), (7.5, False)])
def test_an_integrator_of_transistors_integrates_within_its_stated_limits(
    at_V: float, within: bool, engine: Engine
) -> None:
    """Slope of 1 V/s per volt within 3 % between -supply/2 and what its headroom leaves, at the least supply."""
    part = load_part("integrator", "transistor")
    supply = limits(part)["supply_min"]
    assert abs(at_V) <= supply - (part.headroom or 0.0) or not within
    placed = part.instance(
        "x1", {"in": "a", "gate": "g", "out": "out"}, mismatch=0.0, vsupply=supply, v0=at_V, vmin=-20.0, vmax=20.0
    )
    deck = f"integrator\n{preamble([part])}Va a 0 0.5\nVg g 0 1\n{placed}\n"
    run = engine.transient(deck, stop_s=0.02, max_step_s=1e-3, save=["v(out)"])
    slope = (run["v(out)"][-1] - run["v(out)"][len(run.time_s) // 2]) / (
        run.time_s[-1] - run.time_s[len(run.time_s) // 2]
    )
    assert (abs(slope / 0.5 - 1.0) < 0.03) == within
