"""The fast check of a loop: its nodes' levels, its loads, and that the library's parts in the default loop pass."""

from __future__ import annotations

import pytest

from circuits.fast_check.cells import cell_of
from circuits.homodyne.levels import device_currents, fast_check, source_levels, tones
from circuits.homodyne.loop import HomodyneLoop
from circuits.homodyne.netlist import compose, placements
from circuits.ngspice.engine import Engine
from inmateria import Experiment, HgeSettings, default_bench, loop_fields
from learning.homodyne.experiment import middle_loop


def default_loop(level: str) -> HomodyneLoop:
    bench = default_bench()
    settings = HgeSettings(amplitude_V=0.02, **loop_fields(level))
    return middle_loop(Experiment(bench, bench.task("XOR"), settings))


def test_every_source_of_the_circuit_has_levels_and_every_input_a_source_a_part_or_the_device() -> None:
    loop = default_loop("macro")
    assembly = compose(loop)
    circuit, placed = assembly.circuit, assembly.placed
    sources = {str(element.nodes[0]) for element in circuit.elements if element.name.startswith("V")}
    levels = source_levels(loop)
    assert sources <= set(levels)
    outputs = {there.nodes["out"] for there in placed.values()}
    for there in placed.values():
        for pin, node in there.nodes.items():
            assert pin == "out" or node in {"0", *levels, *outputs, *device_currents(loop)}


def test_a_part_is_loaded_by_what_hangs_on_its_output() -> None:
    loop = default_loop("macro")
    placed = placements(loop)
    cell = cell_of("vga", placed, source_levels(loop), device_currents(loop), {})
    assert sorted(one.part.name for one in cell.loads) == ["difference", "mixer"]  # the error, and the power meter
    assert set(cell.inputs) == {"u", "gainlog"}
    assert cell_of("tia", placed, {}, device_currents(loop), {}).currents == device_currents(loop)
    loss = cell_of("loss", placed, source_levels(loop), {}, {})
    assert [one.part.name for one in loss.loads] == ["mixer"] * loop.dither.n


@pytest.mark.slow
@pytest.mark.parametrize("level", ["macro", "transistor"])
def test_the_library_s_parts_pass_in_the_default_loop(level: str) -> None:
    loop = default_loop(level)
    with Engine() as engine:
        found = fast_check(loop, engine)
    assert found.passed
    placed = placements(loop)
    asked = {reference for one in found.findings for reference in one.references}
    assert asked == set(placed)  # each of them was looked at
    assert found.loops[0][1].phase_margin_deg > 45


def test_the_sines_of_a_loop_are_its_references_and_what_the_device_gives() -> None:
    loop = default_loop("macro")
    found = tones(loop)
    assert found.frequency_Hz == max(loop.dither.frequencies_Hz)
    assert [found.peaks[f"ref{k}"] for k in range(loop.dither.n)] == [loop.multiplier_V] * loop.dither.n
    ((node, (low, high)),) = device_currents(loop).items()
    assert found.peaks[node] == pytest.approx(0.5 * (high - low))
