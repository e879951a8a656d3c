"""Parts outside of what their data sheets allow are refused by name, before anything runs."""

from __future__ import annotations

import pytest

from analysis.designs.design import Design
from analysis.designs.experiment import experiment_of
from circuits.homodyne import netlist
from circuits.homodyne.signal_peaks import signal_peaks_V
from learning.homodyne.experiment import middle_loop

from ...refused import refused


def electronics(**values: object) -> Design:
    return Design.from_values({"electronics": {"level": "macro", **values}})


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


def test_peaks_are_those_of_nodes_of_the_circuit() -> None:
    loop = middle_loop(experiment_of(electronics()))
    nodes = {node for there in netlist.placements(loop).values() for node in there.nodes.values()}
    peaks = signal_peaks_V(loop)
    assert set(peaks) - nodes == {"listening"}  # of an opened loop
    assert {f"w{k}" for k in range(7)} <= set(peaks)
    opened = loop.opened(loop.start_V, 0.01, "output")
    assert "listening" in {node for there in netlist.placements(opened).values() for node in there.nodes.values()}
    assert not any(name.startswith("w") for name in signal_peaks_V(opened))
