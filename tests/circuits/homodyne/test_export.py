"""A recorded run as a deck for plain ngspice: it repeats the lock-ins without any callback."""

from __future__ import annotations

import dataclasses
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba import njit

from circuits.homodyne import netlist, readings
from circuits.homodyne.closed_deck import closed_deck, fit_to_run, network_cards
from circuits.homodyne.engines import Ngspice
from circuits.homodyne.export import POINTS_PER_SOURCE, interpolated, recorded_source, refined, standalone_deck
from circuits.homodyne.loop import HomodyneLoop
from circuits.ngspice.engine import Engine
from circuits.ngspice.one_thread import ONE_THREAD
from circuits.signals.patterns import PatternSequence
from circuits.signals.transient import Transient
from dnpu_models.interface.device import SteppableKernel
from dnpu_models.surrogate.tanh_network import TanhNetwork, fit_tanh
from inmateria.checks import FloatArray
from inmateria.errors import InputError
from lockin.plan import plan_frequencies
from netlists.reader import load_part


@dataclasses.dataclass(frozen=True)
class Toy:
    """Eight terminals; the first gives 20 nA tanh of a weighted sum, and a product of two inputs."""

    weights: tuple[float, ...] = (0.0, 1.0, -0.7, 0.5, 0.8, -0.4, 0.6, 0.3)

    @property
    def terminals(self) -> tuple[str, ...]:
        return tuple(f"e{k}" for k in range(8))

    @property
    def limits_V(self) -> FloatArray:
        return np.tile([-1.0, 1.0], (len(self.terminals), 1))

    def currents(self, voltages: Any) -> FloatArray:
        volts = np.asarray(voltages, dtype=float)
        currents = np.zeros_like(volts)
        currents[..., 0] = 2e-8 * np.tanh(volts @ np.array(self.weights)) + 3e-8 * volts[..., 2] * volts[..., 6]
        return currents

    def kernel(self, voltages: Any, *, seed: int = 0) -> SteppableKernel:
        return SteppableKernel(*toy_functions(), np.array(self.weights), np.zeros(1), np.zeros((8, 8)))


@cache
def toy_functions() -> tuple[Any, Any]:
    @njit
    def evaluate(t, voltages, params, state, out):  # type: ignore[no-untyped-def]
        out[:] = 0.0
        out[0] = 2e-8 * np.tanh(np.sum(params * voltages)) + 3e-8 * voltages[2] * voltages[6]

    @njit
    def advance(dt, voltages, params, state):  # type: ignore[no-untyped-def]
        pass

    return evaluate, advance


@pytest.fixture(scope="module")
def loop() -> HomodyneLoop:
    device = Toy()
    plan = plan_frequencies(7, None, 40.0, amplitude_V=0.02)
    patterns = ((0.0, 0.0), (0.0, 0.5), (0.5, 0.0), (0.5, 0.5))
    sequence = PatternSequence(patterns, (-0.5, 0.5, 0.5, 0.5), 0.025, 0.0025, 0.0025, 5e-5)
    start = np.array([0.1, -0.2, 0.05, 0.2, -0.1, 0.15, 0.0])
    return HomodyneLoop(
        device, 0, (2, 6), tuple(range(1, 8)), start, plan, sequence, sequences=3, points_per_cycle=24.0
    )


@pytest.fixture(scope="module")
def recorded(loop: HomodyneLoop, engine: Engine) -> Transient:
    return Ngspice(engine).run(loop)


def ngspice(deck: str, folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "deck.cir").write_text(deck)
    return subprocess.run(
        ["ngspice", "-b", "deck.cir"], cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )


def assert_repeats(loop: HomodyneLoop, run: Transient, folder: Path, tolerance: float) -> None:
    """Mixer outputs (rms over the run) and controls (everywhere) within `tolerance` of what they span."""
    table = np.loadtxt(folder / "lockin_outputs.txt", skiprows=1)
    n = loop.dither.n
    for k in range(n):
        for column, name in ((1 + k, f"v(m{k}_{loop.filter_poles})"), (1 + n + k, f"v(w{k})")):
            wave = run[name]
            miss = np.abs(np.interp(run.time_s, table[:, 0], table[:, column]) - wave)
            miss = np.sqrt(np.mean(miss**2)) if name.startswith("v(m") else np.max(miss)
            assert miss < tolerance * np.ptp(wave), name


def test_plain_ngspice_repeats_a_learning_run(loop: HomodyneLoop, recorded: Transient, tmp_path: Path) -> None:
    assert recorded.statistics["rejected"] == 0
    deck = standalone_deck(loop, recorded)
    assert ONE_THREAD in deck.splitlines()
    assert "external" not in deck
    assert len(deck) < 150 * len(recorded.time_s)
    answer = ngspice(deck, tmp_path)
    assert answer.returncode == 0, answer.stdout[-500:] + answer.stderr[-500:]
    assert "PASS" in answer.stdout
    assert_repeats(loop, recorded, tmp_path, 1e-2)


def test_the_deck_finds_a_wrong_current(loop: HomodyneLoop, recorded: Transient, tmp_path: Path) -> None:
    """A device current 5 % larger must end as FAIL, or PASS means nothing."""
    deck = standalone_deck(loop, dataclasses.replace(recorded, device_A=1.05 * recorded.device_A))
    answer = ngspice(deck, tmp_path)
    assert answer.returncode == 1
    assert "FAIL" in answer.stdout


def test_an_interrupted_run_is_exported_as_far_as_it_went(
    loop: HomodyneLoop, recorded: Transient, tmp_path: Path
) -> None:
    n = len(recorded.time_s) // 2
    partial = dataclasses.replace(
        recorded,
        time_s=recorded.time_s[:n],
        values={k: v[:n] for k, v in recorded.values.items()},
        device_A=recorded.device_A[:n],
        complete=False,
    )
    deck = standalone_deck(loop, partial)
    assert "interrupted" in deck
    assert ngspice(deck, tmp_path).returncode == 0


def test_the_head_says_what_it_is(loop: HomodyneLoop, recorded: Transient) -> None:
    deck = standalone_deck(loop, recorded, provenance={"seed": 7, "note": "two\nlines"})
    head = deck.split("* part:")[0].splitlines()
    assert all(line.startswith("*") for line in head[1:])
    text = "\n".join(head)
    for word in ("ngspice -b", "seed: 7", "note: two lines", "Toy", "Hz", "sha256"):
        assert word in text


def test_currents_that_are_not_there_are_refused(loop: HomodyneLoop, recorded: Transient) -> None:
    bare = dataclasses.replace(recorded, device_A=recorded.device_A[:, :0])
    with pytest.raises(InputError, match="recorded"):
        standalone_deck(loop, bare)
    short = dataclasses.replace(recorded, time_s=recorded.time_s[:1], device_A=recorded.device_A[:1])
    with pytest.raises(InputError, match="too few"):
        standalone_deck(loop, short)


def test_sources_in_parallel_sum_to_the_line_through_all_points(tmp_path: Path) -> None:
    """Two and a half tables, at points between theirs, and before the first and after the last."""
    n = 5 * POINTS_PER_SOURCE // 2
    time = 1e-3 + 1e-6 * np.arange(n)
    current = np.random.default_rng(1).normal(size=n) * 1e-9
    cards = recorded_source("Brec", "a", time, current)
    assert cards.count("pwl(time") == 3
    stop = float(time[-1]) + 1e-3
    deck = (
        f"sum\n{cards}\nR1 a 0 1e9\n.options reltol=1e-9\n.tran 3.7e-7 {stop!r} 0 3.7e-7 uic\n.control\nrun\n"
        "set wr_singlescale\nset numdgt=12\nwrdata out.txt v(a)\nquit 0\n.endc\n.end\n"
    )
    assert ngspice(deck, tmp_path).returncode == 0
    t, v = np.loadtxt(tmp_path / "out.txt").T
    np.testing.assert_allclose(v, -1e9 * np.interp(t, time, current), atol=1e-5)


def test_refinement_is_exact_for_parabolas_and_keeps_the_points() -> None:
    time = np.cumsum(np.random.default_rng(0).uniform(0.5, 1.5, 20))
    fine = refined(time)
    np.testing.assert_allclose(fine[::3], time)
    np.testing.assert_allclose(interpolated(fine, time, time**2 - 3 * time), fine**2 - 3 * fine, rtol=1e-12, atol=1e-12)


# -- the closed loop ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def network(loop: HomodyneLoop, recorded: Transient) -> TanhNetwork:
    return fit_to_run(loop, recorded, iterations=300)


def separation_V(loop: HomodyneLoop, run: Transient) -> float:
    outputs = loop.stage.polarity * readings.outputs_V(loop, run, loop.sequences + 1)
    high = np.array(loop.sequence.targets_V) > 0
    return float(outputs[high].min() - outputs[~high].max())


def test_a_network_of_b_sources_is_the_fitted_network(engine: Engine, network: TanhNetwork) -> None:
    rng = np.random.default_rng(3)
    nodes = [f"n{k}" for k in range(8)]
    for _ in range(3):
        volts = rng.uniform(-0.2, 0.3, 8)
        sources = [f"V{n} {n} 0 {v!r}" for n, v in zip(nodes, volts.tolist(), strict=True)]
        deck = ["a network", *sources, "Vout out 0 0", network_cards(network, nodes, "out"), ".op", ".end"]
        found = engine.run("\n".join(deck))
        assert -found["vout#branch"][0] == pytest.approx(float(network.current(volts)), rel=1e-6, abs=1e-16)


def test_the_fit_is_as_good_as_it_says(loop: HomodyneLoop, recorded: Transient, network: TanhNetwork) -> None:
    volts = np.stack([recorded[f"v({node})"] for node in netlist.nodes(loop)], axis=1)
    off = network.current(volts) - recorded.device_A[:, loop.output]
    assert np.sqrt(np.mean(off**2)) < 2 * network.rms_A
    assert network.rms_A < 0.03 * network.spread_A


def test_the_closed_loop_learns_in_plain_ngspice(
    loop: HomodyneLoop, recorded: Transient, network: TanhNetwork, tmp_path: Path
) -> None:
    recorded_V = separation_V(loop, recorded)
    deck = closed_deck(loop, recorded, network, separation_V=recorded_V, provenance={"seed": 0})
    assert ONE_THREAD in deck.splitlines()
    done = ngspice(deck, tmp_path)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "PASS" in done.stdout
    table = np.loadtxt(tmp_path / "learning.txt", skiprows=1)
    ends = np.array([recorded[f"v(w{k})"][-1] for k in range(7)])
    moved = np.abs(ends - loop.start_V).max()
    assert np.abs(table[-1, 2:] - ends).max() < 0.1 * moved  # a smooth toy: the network learns what the device learned


def test_a_closed_deck_that_does_not_learn_fails(
    loop: HomodyneLoop, recorded: Transient, network: TanhNetwork, tmp_path: Path
) -> None:
    dead = dataclasses.replace(network, weights=(*network.weights[:-1], 0.0 * network.weights[-1]))
    deck = closed_deck(loop, recorded, dead, separation_V=0.05)
    done = ngspice(deck, tmp_path)
    assert done.returncode == 1, done.stdout[-2000:]
    assert "FAIL" in done.stdout


def test_closed_decks_refuse(loop: HomodyneLoop, recorded: Transient, network: TanhNetwork) -> None:
    opened = loop.opened(loop.start_V, 0.02, "output")
    with pytest.raises(InputError, match="is no closed loop"):
        closed_deck(opened, recorded, network, separation_V=0.1)
    real = dataclasses.replace(loop, parts={"dither_sum": load_part("dither_sum", "macro")})
    with pytest.raises(InputError, match="output resistance"):
        closed_deck(real, recorded, network, separation_V=0.1)
    with pytest.raises(InputError, match="too few currents"):
        fit_to_run(loop, dataclasses.replace(recorded, device_A=np.zeros((3, 8))))
    with pytest.raises(InputError, match="finite"):
        fit_tanh(np.zeros((200, 2)), np.full(200, np.nan))
    with pytest.raises(InputError, match="no layers"):
        fit_tanh(np.zeros((200, 2)), np.zeros(200), hidden=())
