"""The loop of level board: what only inverts has an inverter, what a switch opens is pulsed, and it reads slopes."""

from dataclasses import replace

import numpy as np
import pytest

from circuits.fast_check.cells import cell_of
from circuits.homodyne import readings
from circuits.homodyne.engines import Ngspice
from circuits.homodyne.holding import held_deck
from circuits.homodyne.levels import device_currents, source_levels
from circuits.homodyne.loop import HomodyneLoop
from circuits.homodyne.netlist import compose, generators, placements
from circuits.ngspice.engine import Engine
from circuits.parts.levels import LOOP_PARTS, loop_fields
from inmateria.errors import InputError
from learning.bench.bench import default_bench
from learning.homodyne.experiment import Experiment, build_loop, middle_loop
from learning.homodyne.settings import HgeSettings
from learning.homodyne.training import as_measured
from netlists.reader import load_part

from ...toys import OneOutput

BOARD = loop_fields("board")


@pytest.fixture(scope="module")
def loop() -> HomodyneLoop:
    bench = default_bench()
    return middle_loop(Experiment(bench, bench.task("XOR"), HgeSettings(chopped=True, **BOARD)))


def test_every_part_of_the_loop_is_of_components(loop: HomodyneLoop) -> None:
    levels = {there.part.level for there in placements(loop).values()}
    assert levels == {"board"}
    others = {name for name in LOOP_PARTS if name in BOARD["parts"] and BOARD["parts"][name].level != "board"}
    assert others == {"absolute_error", "device_leads", "hinge"}  # not built yet, so they are macro
    assert set(generators(loop)) >= {"gate", "learning", "ref0", "target"}


def test_an_inverter_stands_before_what_only_inverts(loop: HomodyneLoop) -> None:
    placed = placements(loop)
    assert placed["baseline"].figure("rate") < 0.0
    assert placed["baselineinv"].nodes["out"] == placed["baseline"].nodes["in"]
    assert "w0inv" not in placed  # descent is what an inverting integrator does
    for polarity in (1.0, -1.0):
        turned = placements(replace(loop, stage=replace(loop.stage, polarity=polarity)))
        assert turned["vga"].figure("gain") == 1.0
        assert ("vgainv" in turned) == (polarity < 0.0)


def test_what_is_to_hold_is_switched_off(loop: HomodyneLoop) -> None:
    still = placements(replace(loop, stage=replace(loop.stage, baseline_rate=0.0)))["baseline"]
    assert still.nodes["gate"] == "0"
    assert placements(loop)["baseline"].nodes["gate"] == "gate"


def test_rails_that_diodes_cannot_bound_are_refused(loop: HomodyneLoop) -> None:
    device = OneOutput(lambda volts: volts[..., 1])
    device.limits_V = np.tile([-0.45, 0.45], (8, 1))
    narrow = replace(loop, device=device)
    with pytest.raises(InputError, match=r"range = .*: of w0 is .* V: diodes bound it from 0.5 V on; take a smaller"):
        placements(narrow)


def test_parts_that_only_boards_have_are_at_no_other_level() -> None:
    for name in ("rails", "inverter"):
        with pytest.raises(InputError, match=f"parts.{name} = 'macro': is a level that this part does not have"):
            loop_fields("board", **{name: "macro"})


def test_pulses_last_the_share_of_a_slot_that_the_rate_has(loop: HomodyneLoop) -> None:
    (line,) = (one for one in str(compose(loop).circuit).splitlines() if one.startswith("Vlearning "))
    points = np.array(line[line.index("(") + 1 : line.index(")")].split(), dtype=float).reshape(-1, 2)
    slot = loop.sequence.slot_s
    fine = np.linspace(0.0, slot, 20001)
    shares = []
    for number in range(round(loop.stop_s / slot) - 1):
        high = np.interp(number * slot + fine, points[:, 0], points[:, 1]) > 0.5
        wanted = float(loop.learning.at(np.array((number + 0.5) * slot)))
        assert np.mean(high) == pytest.approx(wanted, abs=2.0 * loop.sequence.edge_s / slot)
        shares.append(wanted)
    assert min(shares[loop.sequence.patterns : -1]) < 0.2 < 0.9 < max(shares)  # or nothing was compared


def test_supplies_are_nets_that_the_fast_check_and_the_limits_know(loop: HomodyneLoop) -> None:
    assert source_levels(loop)["vn"] == (-15.0, -15.0)
    cell = cell_of("vga", placements(loop), source_levels(loop), device_currents(loop), {})
    assert cell.supply_V == 15.0
    low = {**loop.parts, "rails": load_part("rails", "board").with_defaults("low", vsupply=12.0)}
    with pytest.raises(InputError, match="too little for dither_sum sum0, which takes at 'ref' 7 V"):
        placements(replace(loop, parts=low))


@pytest.mark.slow
def test_the_board_reads_the_gradient_of_the_ideal_parts_and_its_integrators_hold() -> None:
    """The same opened loop, of ideal parts and of components: 0.99 is eight degrees, of offsets and 1 % parts.

    The controls, held for a minute, move by what the op-amp's bias of 1.2 nA, less what leaks, puts into 10.1 uF.
    """
    bench = default_bench()
    task = bench.task("XOR")
    controls = bench.random_controls(0.6, np.random.default_rng(5))
    settings = Experiment(bench, task, HgeSettings(chopped=True))
    start = build_loop(settings, controls, 1.0, bench.outputs_A(controls, task))
    found = []
    with Engine() as engine:
        for fields in (loop_fields("ideal"), BOARD):
            loop = as_measured(replace(start, **fields), Ngspice(engine))
            opened = loop.opened(controls, 0.02, "output", 10.0)
            found.append(readings.gradient(opened, Ngspice(engine).run(opened)))
        deck = held_deck(loop, np.array([0.0, 1.0]), np.stack([controls, controls]))
        ends = [f"v(w{k})" for k in range(loop.dither.n)]
        held = engine.transient(deck, stop_s=60.0, max_step_s=0.03, save=ends, corners_s=(1e-3,))
    ideal, board = (one.ravel() for one in found)
    assert board @ ideal / np.linalg.norm(board) / np.linalg.norm(ideal) > 0.99
    assert np.linalg.norm(board) == pytest.approx(np.linalg.norm(ideal), rel=0.1)
    for name in ends:
        leaks_A = 0.5 * (held[name][0] + held[name][-1]) / 1e10
        assert (held[name][-1] - held[name][0]) / 60.0 == pytest.approx((1.2e-9 - leaks_A) / 1.01e-5, rel=0.01)
