"""Components that are not alike: how they are drawn, what reaches the deck, and that the twin reads as ngspice does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from circuits.homodyne import netlist, readings
from circuits.homodyne.engines import Ngspice, Twin
from circuits.homodyne.loop import HomodyneLoop
from circuits.homodyne.netlist import components
from circuits.ngspice.engine import Engine
from circuits.parts.component_errors import Drift, Tolerances, draw_errors, nominal_errors
from circuits.parts.levels import loop_fields
from dnpu_models.mean_field.model import MeanField
from dnpu_models.network.network import DopantNetwork
from inmateria.checks import FloatArray
from inmateria.errors import InputError
from learning.bench.bench import Bench
from learning.homodyne.experiment import Experiment, build_loop
from learning.homodyne.settings import HgeSettings
from netlists.reader import load_part

AMPLITUDE_V = 0.02


@pytest.fixture(scope="module")
def loop() -> HomodyneLoop:
    """A gate's loop of real parts, its multipliers trimmed, on a small device."""
    bench = Bench(MeanField(DopantNetwork.random(seed=0, acceptors=40)))
    task = bench.task("AND")
    controls = bench.random_controls(0.6, np.random.default_rng(5))
    settings = HgeSettings(amplitude_V=AMPLITUDE_V, sequences=3, step_V=0.05)
    ideal = build_loop(Experiment(bench, task, settings), controls, 1.0, bench.outputs_A(controls, task))
    return replace(ideal, **loop_fields("macro", trimmed={"mixer": {"offset": 2e-4}}))


def test_errors_are_drawn_within_their_tolerance_and_offsets_normal(loop: HomodyneLoop) -> None:
    parts = components(loop)
    rng = np.random.default_rng(0)
    for distribution in ("uniform", "normal"):
        tolerances = Tolerances(0.01, 0.05, 2.0, distribution)  # type: ignore[arg-type]
        drawn = [draw_errors(parts, tolerances, rng) for _ in range(40)]
        for kind, size in (("resistor", 0.01), ("capacitor", 0.05)):
            errors = np.array([one[c.name] for one in drawn for c in parts if c.kind == kind])
            assert np.abs(errors).max() <= size
            spread = size / np.sqrt(3.0) if distribution == "uniform" else size / 3.0
            # some thousand values: the spread's own deviation is below 2 %, five of them 1e-6 of the cases
            assert errors.std() == pytest.approx(spread, rel=0.1)
        # trimmed far below their largest value, so that nothing is cut: normal
        offsets = np.array([one[f"mix{k}.offset"] for one in drawn for k in range(7)]) / 2e-4
        assert offsets.std() == pytest.approx(2.0, rel=0.25)  # 280 values: six deviations of the spread
        assert abs(offsets.mean()) < 5 * 2.0 / np.sqrt(offsets.size)


def test_no_tolerance_leaves_what_the_parts_state(loop: HomodyneLoop) -> None:
    rng, parts = np.random.default_rng(0), components(loop)
    assert draw_errors(parts, Tolerances(), rng) == {}
    assert nominal_errors(parts, drift=Drift()) == {}
    cold = nominal_errors(parts, drift=Drift(1e-3, 0.0, 0.0, 0.0), temperature_K=290.15)
    placed = netlist.placements(replace(loop, component_errors=cold))
    assert placed["tia"].figure("rf") == pytest.approx(0.99e7)
    assert abs(placed["w0"].figure("rate")) == pytest.approx(1.0 / loop.sequence.period_s / 0.99)


def test_an_offset_drifts_by_the_parts_own_figure_whatever_it_was_trimmed_to(loop: HomodyneLoop) -> None:
    """It was a share of the trimmed figure: 0.2 mV drifted by 2 uV/K, a multiplier's output drifts by 200."""
    for trimmed, end in ((2e-4, 2.2e-3), (0.0, 2e-3), (-2e-4, -2.2e-3)):
        one = replace(loop, **loop_fields("macro", trimmed={"mixer": {"offset": trimmed}}))
        warm = nominal_errors(components(one), drift=Drift(), temperature_K=310.15)
        placed = netlist.placements(replace(one, component_errors=warm))
        assert placed["mix0"].figure("offset") == pytest.approx(end)
        assert placed["w0"].figure("vos") == pytest.approx(33e-6)  # OP07: 0.3 uV/K
        assert placed["ac"].figure("tolerance") == pytest.approx(1e-3 + 50e-6)  # ratios track: 5 ppm/K
        assert placed["sum0"].figure("amplitude") == pytest.approx(0.02 / one.multiplier_V * (1 + 50e-6))
        assert placed["lp0_0"].figure("ctol") == pytest.approx(0.01 + 1e-3)
        twice = nominal_errors(components(one), drift=Drift(offset=2.0), temperature_K=310.15)
        assert twice["mix0.offset"] - trimmed == pytest.approx(2 * (warm["mix0.offset"] - trimmed))


def test_drifts_of_boards_are_drawn_and_a_seed_is_the_same_board_at_every_temperature(loop: HomodyneLoop) -> None:
    parts, tolerances = components(loop), Tolerances(0.01, 0.05, 1.0)
    boards = [[draw_errors(parts, tolerances, np.random.default_rng(seed), drift=Drift(), temperature_K=kelvin)
               for kelvin in (300.15, 310.15, 320.15)] for seed in range(30)]  # fmt: skip
    moved = np.array([[cold[n] - at[n] for n in (f"mix{k}.offset" for k in range(7))] for cold, at, _ in boards])
    assert moved.std() == pytest.approx(2e-3, rel=0.3)  # 210 values: six deviations of the spread
    assert abs(moved.mean()) < 5 * 2e-3 / np.sqrt(moved.size)
    for cold, warm, hot in boards[:3]:
        for name in ("mix0.offset", "ac.tolerance", "tia.rf"):
            assert hot[name] - cold[name] == pytest.approx(2 * (warm[name] - cold[name]))
        assert warm["tia.rf"] - cold["tia.rf"] == pytest.approx(10 * 50e-6)


def test_drawn_figures_end_where_data_sheets_do(loop: HomodyneLoop) -> None:
    """At three typical figures as deviation the OP07's 30 uV would leave 75 uV in 40 % of the cases."""
    one = replace(loop, **loop_fields("macro"))
    parts = [c for c in components(one) if c.kind in ("offset", "figure")]
    assert {"mix0.xnonlin", "mix0.offset", "loss.feed", "vga.eslope", "w3.ibias", "sum1.escale"} <= {
        c.name for c in parts
    }
    rng, tolerances = np.random.default_rng(2), Tolerances(offset=3.0, figures=3.0)
    drawn = [draw_errors(parts, tolerances, rng) for _ in range(40)]
    for component in parts:
        values = np.array([board[component.name] for board in drawn])
        assert np.abs(values).max() <= component.most
        assert np.unique(values).size == 40
    integrators = np.array([board[f"w{k}.vos"] for board in drawn for k in range(7)])
    assert np.mean(np.abs(integrators) > 70e-6) > 0.02  # the cut is not a pile
    assert not {c.name for c in components(one) if c.kind == "figure"} & set(
        draw_errors(components(one), Tolerances(offset=1.0), rng)
    )


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_lot_is_what_instances_of_a_part_have_in_common(loop: HomodyneLoop, share: float) -> None:
    """Variance within boards over that of all: 1 - share; over 300 boards its own deviation is 3 %."""
    parts = [c for c in components(loop) if c.figure == "offset" and c.part == "mixer"]
    rng = np.random.default_rng(1)
    boards = [draw_errors(parts, Tolerances(offset=1.0, lot=share), rng) for _ in range(300)]
    drawn = np.array([[board[c.name] for c in parts] for board in boards])
    assert drawn.var(axis=1, ddof=1).mean() / drawn.var() == pytest.approx(1.0 - share, abs=0.15)


def test_transistors_of_instances_differ(loop: HomodyneLoop) -> None:
    one = replace(loop, **loop_fields("transistor"))
    board = draw_errors(components(one), Tolerances(figures=1.0), np.random.default_rng(0))
    placed = netlist.placements(replace(one, component_errors=board))
    for part in ("mix{}", "lim{}", "w{}"):
        assert len({placed[part.format(k)].figure("mismatch") for k in range(7)}) == 7


def test_extremes_move_all_resistors_and_capacitors_and_no_ratio(loop: HomodyneLoop) -> None:
    parts, tolerances = components(loop), Tolerances(0.01, 0.05, 1.0, figures=1.0)
    for extreme, sign in (("slow", 1.0), ("fast", -1.0)):
        errors = nominal_errors(parts, tolerances=tolerances, extreme=extreme)  # type: ignore[arg-type]
        assert {c.kind for c in parts if c.name in errors} == {"resistor", "capacitor"}
        placed = netlist.placements(replace(loop, component_errors=errors))
        assert placed["lp0_0"].figure("tau") == pytest.approx(loop.filter_s * (1 + sign * 0.01))
        assert placed["lp0_0"].figure("ctol") == pytest.approx(0.01 + sign * 0.05)


def test_effects_of_resistors_and_capacitors(loop: HomodyneLoop) -> None:
    nominal = netlist.placements(loop)["w0"].figure("rate")
    real = netlist.placements(replace(loop, component_errors={"lp0_0.tau": 0.1, "w0.rate": 0.25, "w0.ctol": -0.05}))
    assert real["lp0_0"].figure("tau") == pytest.approx(1.1 * loop.filter_s)
    assert (real["w0"].figure("rate"), real["w0"].figure("ctol")) == (pytest.approx(nominal / 1.25), -0.05)
    assert real["lp1_0"].values == netlist.placements(loop)["lp1_0"].values
    ideal = netlist.placements(replace(loop, parts={}, component_errors={"lp0_0.tau": 0.1, "lp0_0.ctol": -0.1}))
    assert ideal["lp0_0"].figure("tau") == pytest.approx(loop.filter_s * 1.1 * 0.9)  # both are in its time constant


def test_the_opened_loop_keeps_its_components(loop: HomodyneLoop) -> None:
    errors = {"w0.rate": 0.25, "avg0.tau": 0.1, "lim3.vos": 1e-4, "mix1.offset": 6e-4}
    opened = [replace(loop, component_errors=e).opened(loop.start_V, 0.01, "loss") for e in ({}, errors)]
    before, after = (netlist.placements(one)["w0"].figure("rate") for one in opened)
    assert after == pytest.approx(before / 1.25)
    assert netlist.placements(opened[1])["mix1"].figure("offset") == 6e-4


def test_every_component_moves_a_parameter_of_its_part(loop: HomodyneLoop) -> None:
    for level in ("ideal", "macro"):
        whole = replace(loop, **loop_fields(level))
        names = [component.name for component in components(whole)]
        assert len(set(names)) == len(names)
        for component in components(whole):
            assert component.parameter in load_part(component.part, level).defaults
    whole = replace(loop, **loop_fields("macro"))
    references = {c.name.partition(".")[0] for c in components(whole)}
    assert {"tia", "mix6", "lp0_0", "avg3", "w6", "sum2", "lim5", "ac", "loss", "vga"} <= references


BEHAVIOUR = {
    "amplitude", "gain", "vscale", "vlimit", "vmin", "vmax", "v0", "margin",
    "c", "cf", "cin", "cm", "l", "rleak", "absorption", "tabsorb", "tclamp", "knee", "lag",
    "noise", "inoise", "qinj", "bandwidth", "gbw", "vsupply", "headroom",
}  # fmt: skip
"""What a macro part does, its dynamics and supplies: the same on all boards."""


def test_all_else_that_a_macro_part_states_differs_between_boards(loop: HomodyneLoop) -> None:
    """The summing amplifiers' feedthroughs were left out."""
    for loss in ("squared", "absolute", "hinge"):
        parts = components(replace(loop, loss=loss, chopped=True, **loop_fields("macro")))  # type: ignore[arg-type]
        drawn = {(one.part, one.parameter) for one in parts}
        stated = {
            (name, figure) for name in {one.part for one in parts} for figure in load_part(name, "macro").defaults
        }
        assert {one for one in stated - drawn if one[1] not in BEHAVIOUR} == set()


def test_a_feedthrough_takes_its_share_of_the_device_s_range_whatever_its_sign(loop: HomodyneLoop) -> None:
    limits = [replace(loop, component_errors={"sum0.xfeed": feed}).control_limits_V for feed in (0.01, -0.01)]
    np.testing.assert_allclose(*limits)
    assert limits[0][0][0] > loop.control_limits_V[0][0]


def test_errors_reach_the_deck_instance_by_instance(loop: HomodyneLoop) -> None:
    deck = netlist.deck(replace(loop, component_errors={"mix3.offset": 1.25e-3})).lower()
    lines = {line.split()[0]: line for line in deck.splitlines() if line.startswith("xmix")}
    assert float(lines["xmix3"].partition("offset=")[2].split()[0]) == pytest.approx(1.25e-3)
    assert "offset" not in lines["xmix2"]


def test_wrong_errors_and_tolerances(loop: HomodyneLoop) -> None:
    with pytest.raises(InputError, match="is no component of the circuit; choose from mix"):
        netlist.deck(replace(loop, component_errors={"mixer3.offset": 1.0}))
    for wrong in (
        {"resistor": -0.1},
        {"capacitor": 1.0},
        {"offset": np.nan},
        {"figures": -1.0},
        {"lot": 2.0},
        {"distribution": "round"},
    ):
        with pytest.raises(InputError):
            Tolerances(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["output", "loss"])
def test_twin_reads_the_gradient_of_real_parts_as_ngspice_does(loop: HomodyneLoop, engine: Engine, mode: str) -> None:
    """Of what real parts that are not alike add to the ideal reading, the twin knows all but a twentieth."""
    errors = draw_errors(components(loop), Tolerances(0.05, 0.1, 1.0), np.random.default_rng(4))
    real = replace(loop, component_errors=errors).opened(loop.start_V, AMPLITUDE_V, mode, 10.0)  # type: ignore[arg-type]
    ideal = replace(real, component_errors={}, parts={}, multiplier_V=1.0)
    run = Ngspice(engine).run(real)
    assert run["v(loss)"].max() < 11.0  # two of the first eight seeds are boards at this rail, which the twin has not
    measured = readings.gradient(real, run)
    error = np.linalg.norm(readings.gradient(real, Twin().run(real)) - measured)
    added = np.linalg.norm(readings.gradient(ideal, Twin().run(ideal)) - measured)
    assert added > 0.1 * np.linalg.norm(measured)  # they do matter
    assert error < 0.07 * added


NONE = {
    "mixer": {"offset": 0.0, "xos": 0.0, "yos": 0.0}, "squared_error": {"ios": 0.0}, "variable_gain": {"vos": 0.0},
    "integrator": {"ron": 0.0, "ileak": 0.0},
}  # fmt: skip
FIGURES = {
    "mixer": {"xos": 30e-3, "yos": 30e-3}, "squared_error": {"ios": 60e-3}, "variable_gain": {"vos": 0.5e-3},
    "integrator": {"ron": 2e3, "ileak": 20e-9},
}  # fmt: skip
"""Input offsets at their data sheets' ends; a switch of the CD4016's resistance, with a DG411's leakage at 125 degC."""


@pytest.fixture(scope="module")
def ends(loop: HomodyneLoop, engine: Engine) -> Callable[[str], tuple[FloatArray, FloatArray]]:
    """Controls after a short learning, V, in ngspice and in the twin, one part having the figures above."""

    @cache
    def found(name: str) -> tuple[FloatArray, FloatArray]:
        parts = {part: {**none, **(FIGURES[part] if part == name else {})} for part, none in NONE.items()}
        one = replace(loop, sequences=1, **loop_fields("macro", trimmed=parts))
        run, twin = (readings.controls_V(one, each.run(one))[-1] for each in (Ngspice(engine), Twin()))
        return run, twin

    return found


@pytest.mark.parametrize("name", FIGURES)
def test_twin_knows_input_offsets_and_switches(ends: Callable[[str], tuple[FloatArray, FloatArray]], name: str) -> None:
    """What the figures of one part change about the way of the controls, V, changes in the twin alike."""
    changed, known = (after - before for before, after in zip(ends(""), ends(name), strict=True))
    assert np.abs(changed).max() > 1e-3
    assert np.linalg.norm(known - changed) < 0.05 * np.linalg.norm(changed)


def test_twin_knows_what_the_dielectric_takes(loop: HomodyneLoop, engine: Engine) -> None:
    """A branch twenty times as large as polyester's, which soaks within a second; baseline and gain stand still."""
    still = replace(loop, sequences=1, stage=replace(loop.stage, baseline_rate=0.0, gain_rate=0.0))
    changed = []
    for one in (Ngspice(engine), Twin()):
        without, with_it = (
            readings.controls_V(film, one.run(film))[-1]
            for film in (
                replace(still, **loop_fields("macro", trimmed={**NONE, "integrator": figures}))
                for figures in ({"absorption": 0.0}, {"absorption": 0.1, "tabsorb": 1.0})
            )
        )
        changed.append(with_it - without)
    assert np.abs(changed[0]).max() > 1e-3
    assert np.linalg.norm(changed[1] - changed[0]) < 0.12 * np.linalg.norm(changed[0])


def test_twin_of_real_parts_learns_as_ngspice_does(loop: HomodyneLoop, engine: Engine) -> None:
    """Of what real parts change about the way of the controls, it knows nine tenths."""
    errors = draw_errors(components(loop), Tolerances(0.05, 0.1, 1.0), np.random.default_rng(4))
    real = replace(loop, component_errors=errors)
    run, twin = Ngspice(engine).run(real), Twin().run(real)
    ideal = Twin().run(replace(loop, parts={}, multiplier_V=1.0))
    end, fast, without = (readings.controls_V(real, one)[-1] for one in (run, twin, ideal))
    assert np.linalg.norm(fast - end) < 0.1 * np.linalg.norm(without - end)
    np.testing.assert_allclose(
        readings.outputs_V(real, twin, 4), readings.outputs_V(real, run, 4), rtol=0.01, atol=2e-3
    )
