"""Noise in transients: what ngspice integrates, what a lock-in reads of it, and what it does to the loop's gradients.

False-alarm rate of each statistical statement: 1e-5 for a new seed; the seeds are fixed.
"""

from __future__ import annotations

import ctypes
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from circuits.homodyne import readings
from circuits.homodyne.engines import Ngspice, Twin
from circuits.homodyne.loop import HomodyneLoop, OutputStage
from circuits.ngspice.cosimulation import CoSimulation
from circuits.ngspice.engine import OPTIONS, Engine
from circuits.ngspice.noise import noise_currents
from circuits.signals.patterns import PatternSequence
from circuits.signals.transient import Transient
from dnpu_models.interface.device import SteppableKernel
from dnpu_models.interface.pointers import c_functions
from dnpu_models.mean_field.model import MeanField
from dnpu_models.network.network import DopantNetwork
from dnpu_models.noise.noisy_device import NoisyDevice, OpenCircuit
from dnpu_models.noise.spectrum import NoiseSpectrum
from dnpu_models.surrogate.chip import ChipSurrogate
from inmateria.errors import InputError
from lockin.demodulate import demodulate_trace, gradient
from lockin.plan import DitherPlan, plan_frequencies
from lockin.settings import LockInSettings
from lockin.theory import noise_variance

from ...toys import linear_kernel, random_chip

Array = NDArray[np.float64]
FALSE_ALARM = 1e-5
PUBLISHED = NoiseSpectrum.published()
DENSITY = 1e-23
OHM = 1e6
WINDOW_S, STEPS = 1e-3, 20
DECK = "noise in a resistor\nR1 a 0 1meg\n" + OPTIONS


def interval(count: int, tests: int = 1) -> tuple[float, float]:
    """Between which a mean of `count` squares of independent normal deviates lies."""
    p = 0.5 * FALSE_ALARM / tests
    return float(stats.chi2.ppf(p, count) / count), float(stats.chi2.isf(p, count) / count)


def agrees(values: Array, variance: Any, tests: int = 1) -> bool:
    low, high = interval(np.size(values), tests)
    return bool(low < np.mean(np.square(values) / variance) < high)


# -- a resistor ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def record(engine: Engine) -> Transient:
    """5001 windows of a resistor with the published noise, on even steps."""
    stop = 5001 * WINDOW_S
    return engine.transient(
        DECK, stop_s=stop, max_step_s=WINDOW_S / STEPS, save=["v(a)"], cosimulation=noise_currents(PUBLISHED, ["a"]),
        grids_s=[(0.0, stop, 5001 * STEPS)],
    )  # fmt: skip


def test_ngspice_meets_the_generators_points(record: Transient) -> None:
    steps = np.diff(record.time_s, prepend=0.0)
    np.testing.assert_allclose(steps, WINDOW_S / STEPS, rtol=1e-6)
    expected = PUBLISHED.points(steps, seed=0)
    np.testing.assert_allclose(record.device_A[:, 0], expected, rtol=1e-6, atol=1e-9 * np.std(expected))
    np.testing.assert_allclose(record["v(a)"], -OHM * record.device_A[:, 0], rtol=1e-9)


def test_a_mean_over_a_window_has_the_variance_of_white_noise(record: Transient) -> None:
    """R^2 S/(2 T), less a quarter of a step at each end: the trapezoid gives the end points half their weight."""
    v = record["v(a)"][STEPS - 1 :]
    assert len(v) == 5000 * STEPS + 1
    edges = v[::STEPS]
    means = (v[:-1].reshape(5000, STEPS).sum(axis=1) + 0.5 * (edges[1:] - edges[:-1])) / STEPS
    assert agrees(means, OHM**2 * DENSITY / (2 * WINDOW_S) * (1 - 0.5 / STEPS))


def test_uneven_steps_change_nothing(engine: Engine) -> None:
    """Windows as the loop has them: a corner at the edge, a step of a thousandth behind it; and two corners within.

    Means over the steps, taken as values at the points, would give ten times as much: a tiny step's mean counts for
    half the long step behind it. The exact variance is R^2 S/(2T) within the span over T, one step in 20.
    """
    windows = 2000
    edges = np.arange(1, windows + 1) * WINDOW_S
    corners = np.concatenate([edges, np.random.default_rng(3).uniform(0.0, edges[-1], 2 * windows)])
    run = engine.transient(
        DECK, stop_s=float(edges[-1]), max_step_s=WINDOW_S / STEPS, save=["v(a)"],
        cosimulation=noise_currents(PUBLISHED, ["a"], seed=1), corners_s=corners.tolist(),
        grids_s=[(edge - WINDOW_S, edge, STEPS) for edge in edges.tolist()],
    )  # fmt: skip
    steps = np.diff(run.time_s)
    assert np.sum(steps < 2e-3 * WINDOW_S / STEPS) > windows

    def variance(values: Array) -> float:
        walk = np.concatenate([[0.0], np.cumsum(0.5 * steps * (values[1:] + values[:-1]))])
        means = np.diff(np.interp(edges, run.time_s, walk)) / WINDOW_S
        return float(np.mean(means**2) / (OHM**2 * DENSITY / (2 * WINDOW_S)))

    low, high = interval(windows - 1)
    assert low * (1 - 1 / STEPS) < variance(run["v(a)"]) < high
    taken_as_points = OHM * PUBLISHED.step_means(np.concatenate([run.time_s[:1], steps]), seed=1)
    assert variance(taken_as_points) > 5.0


def test_a_lock_in_reads_the_noise_that_theory_says(record: Transient) -> None:
    """Boxcar: slopes scatter by S/(T alpha^2), window after window; two RC poles: x and y by S ENBW."""
    frequency, amplitude = 3 / WINDOW_S, 0.01
    time, v = record.time_s[STEPS - 1 :], record["v(a)"][STEPS - 1 :]
    plan, boxcar = DitherPlan((frequency,), (amplitude,)), LockInSettings(WINDOW_S, window="boxcar")
    slopes = []
    for k in range(0, len(v) - STEPS, STEPS):
        slopes.append(gradient(plan, time[k : k + STEPS + 1] - time[k], v[k : k + STEPS + 1], boxcar)[0])
    assert agrees(np.array(slopes), noise_variance(boxcar, OHM**2 * DENSITY, amplitude))
    rc = LockInSettings(WINDOW_S, filter_slope=12)
    traces = demodulate_trace(rc, frequency, time, v)
    apart = np.array([trace[15 * STEPS :: 15 * STEPS] for trace in traces])  # 15 time constants: e^-15 in common
    variance = 0.5 * amplitude**2 * noise_variance(rc, OHM**2 * DENSITY, amplitude)  # of x in V rms
    assert agrees(apart, variance)


def test_a_lock_in_reads_flicker_noise_at_its_tone() -> None:
    """S(f_0)/T with a corner at 2 kHz: 3.3 times the white part at 870 Hz. The points are those ngspice meets."""
    spectrum = NoiseSpectrum.published(corner_Hz=2e3, band_Hz=(10.0, 1e5))
    cycles, frequency, steps, windows = 20, 870.0, 400, 1500
    window = cycles / frequency
    points = spectrum.points(np.full(windows * steps, window / steps), seed=5).reshape(windows, steps)
    time = np.arange(1, steps + 1) * window / steps
    slopes = points @ (2 / steps * np.sin(2 * np.pi * frequency * time))
    density = float(spectrum.density(frequency))
    assert density > 3.2 * spectrum.white_A2_per_Hz
    settings = LockInSettings(window, window="boxcar")
    # The step's own mean loses 0.8 % (20 points a cycle); the window's side lobes let in 0.3 % from lower frequencies.
    low, high = interval(len(slopes))
    assert 0.99 * low < np.mean(slopes**2) / noise_variance(settings, density, 1.0) < 1.003 * high


def test_noise_of_two_nodes_and_of_another_seed(engine: Engine) -> None:
    deck = "two\nR1 a 0 1k\nR2 b 0 1k\n" + OPTIONS
    grid = [(0.0, 0.2, 2000)]
    runs = [
        engine.transient(
            deck,
            stop_s=0.2,
            max_step_s=1e-4,
            save=[],
            cosimulation=noise_currents(PUBLISHED, "ab", seed=seed),
            grids_s=grid,
        )
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(runs[0].device_A, runs[1].device_A)
    rows = np.concatenate([runs[0].device_A, runs[2].device_A], axis=1).T
    bound = stats.norm.isf(FALSE_ALARM / 12) / np.sqrt(rows.shape[1])
    assert np.max(np.abs(np.tril(np.corrcoef(rows), -1))) < bound


@pytest.mark.parametrize(
    ("nodes", "seed", "said"), [([], 0, "noisy = ()"), (["a"], -1, "seed = -1: is not a whole number of at least 0")]
)
def test_bad_input_is_refused(nodes: list[str], seed: int, said: str) -> None:
    with pytest.raises(InputError, match=said.replace("(", r"\(").replace(")", r"\)")):
        noise_currents(PUBLISHED, nodes, seed=seed)


# -- C functions -----------------------------------------------------------------------------------------------------


def devices() -> dict[str, Any]:
    return {
        "open": OpenCircuit(("a", "b")),
        "chip": random_chip(3, 6, 1, seed=0),
        "mean field": MeanField(DopantNetwork.random(seed=0, acceptors=40)),
        "noisy": NoisyDevice(OpenCircuit(("a", "b")), PUBLISHED, (1,)),
    }


@pytest.mark.parametrize("name", ["open", "chip", "mean field", "noisy"])
def test_ready_made_c_functions_add_the_noise_to_the_devices_currents(name: str) -> None:
    """At even steps the noise is `points`; a wrapper of a wrapper adds noise twice."""
    spectrum = NoiseSpectrum.published(corner_Hz=1e3)
    inner = devices()[name]
    device = NoisyDevice(inner, spectrum, (0,))
    count = len(device.terminals)
    volts = 0.1 * np.arange(count)
    kernel = device.kernel(volts, seed=3)
    evaluate, advance = (
        ctypes.CFUNCTYPE(None, ctypes.c_double, *[ctypes.c_int64] * 6)(f.address) for f in c_functions(kernel)
    )
    state, out = np.append(kernel.state, float(count)), np.zeros(count)
    packed = (kernel.params.ctypes.data, len(kernel.params), state.ctypes.data, len(kernel.state))
    found = np.zeros((30, count))
    for k in range(30):
        evaluate(1e-4 * (k + 1), volts.ctypes.data, *packed, out.ctypes.data)
        found[k] = out
        advance(1e-4, volts.ctypes.data, *packed, 0)
    noise = np.zeros((30, count))
    noise[:, 0] = spectrum.points(np.full(30, 1e-4), seed=3)
    if name == "noisy":
        noise[:, 1] = PUBLISHED.points(np.full(30, 1e-4), seed=3)
    np.testing.assert_allclose(found - inner.currents(volts), noise, atol=1e-9 * np.std(noise[:, 0]) + 1e-18)


def test_a_users_device_can_be_noisy_in_ngspice(engine: Engine) -> None:
    class Users(OpenCircuit):
        def kernel(self, voltages: Any, *, seed: int = 0) -> SteppableKernel:
            return linear_kernel([[1e-6]])

    kernel = NoisyDevice(Users(("a",)), PUBLISHED, (0,)).kernel(np.full(1, 0.5), seed=2)
    run = engine.transient(
        "user\nV1 a 0 0.5\n" + OPTIONS, stop_s=0.01, max_step_s=1e-4, save=["v(a)"],
        cosimulation=CoSimulation(kernel, ["a"], np.full(1, 0.5)), grids_s=[(0.0, 0.01, 100)],
    )  # fmt: skip
    noise = PUBLISHED.points(np.diff(run.time_s, prepend=0.0), seed=2)
    np.testing.assert_allclose(run.device_A[:, 0], 5e-7 + noise, atol=1e-9 * np.std(noise))


# -- the loop --------------------------------------------------------------------------------------------------------


# A network without hidden layers is linear: 50 and 30 nS from the inputs to the output.
LINEAR = ChipSurrogate((np.array([[5.0, 3.0]]),), (np.zeros(1),), -np.ones(2), np.ones(2), 1e-8)


@pytest.fixture(scope="module")
def loop() -> HomodyneLoop:
    """An opened loop that reads slopes of the output, with the published noise at the output."""
    closed = HomodyneLoop(
        device=NoisyDevice(LINEAR, PUBLISHED), output=0, inputs=(1,), trained=(1, 2),
        start_V=np.array([0.1, -0.2]), dither=plan_frequencies(2, None, 40.0, amplitude_V=0.01),
        sequence=PatternSequence(((-0.1,), (0.1,)), (-0.05, 0.05), 0.025, 0.00125, 0.00125, 12.5e-6),
        stage=OutputStage(), filter_s=2e-3,
    )  # fmt: skip
    return closed.opened(closed.start_V, 0.01, "output", points_per_cycle=24.0)


def scatter(loop: HomodyneLoop, runs: list[Transient]) -> tuple[Array, Array]:
    """Deviations of the circuit's slopes (from both windows) and of a digital lock-in's (last window) from true, S."""
    ohm, true = loop.stage.transimpedance_ohm, np.array([5e-8, 3e-8])
    circuit = np.array([readings.gradient(loop, run) for run in runs]) / ohm - true
    digital = np.array([readings.digital_gradient(loop, run) for run in runs]) / ohm - true
    return circuit, digital


def check_scatter(loop: HomodyneLoop, runs: list[Transient]) -> None:
    """Variance S/(T alpha^2), T all windows together for the circuit, and one window for the digital lock-in."""
    circuit, digital = scatter(loop, runs)
    total = LockInSettings(2 * loop.sequence.window_s, window="boxcar")
    single = LockInSettings(loop.sequence.window_s, window="boxcar")
    assert noise_variance(total, DENSITY, 0.01) == pytest.approx(1e-23 / (0.05 * 1e-4))
    assert agrees(circuit, noise_variance(total, DENSITY, 0.01))
    assert agrees(digital, noise_variance(single, DENSITY, 0.01))


def test_the_mean_over_windows_scatters_less(loop: HomodyneLoop) -> None:
    """Of three windows: a third of one's variance, of the circuit and of the digital lock-in."""
    several = loop.opened(loop.start_V, 0.01, "output", points_per_cycle=24.0, windows=3)
    circuit, digital = scatter(several, [Twin().run(several, seed=k) for k in range(300)])
    total = LockInSettings(6 * loop.sequence.window_s, window="boxcar")
    single = LockInSettings(3 * loop.sequence.window_s, window="boxcar")
    assert agrees(circuit, noise_variance(total, DENSITY, 0.01))
    assert agrees(digital, noise_variance(single, DENSITY, 0.01))


def test_gradients_of_the_twin_scatter_as_theory_says(loop: HomodyneLoop) -> None:
    check_scatter(loop, [Twin().run(loop, seed=k) for k in range(800)])


def test_gradients_of_ngspice_scatter_as_theory_says(loop: HomodyneLoop, engine: Engine) -> None:
    check_scatter(loop, [Ngspice(engine).run(loop, seed=k) for k in range(100)])


def test_a_seed_repeats_the_loops_noise(loop: HomodyneLoop) -> None:
    one, again, other = (Twin().run(loop, seed=k) for k in (7, 7, 8))
    np.testing.assert_array_equal(one["v(tia)"], again["v(tia)"])
    assert np.std(one["v(tia)"] - other["v(tia)"]) > 0


def test_the_twin_passes_over_the_gaps_between_windows(loop: HomodyneLoop) -> None:
    """White noise in the second window has the variance of its steps; 1/f noise that hardly moves in a step moves in a
    gap."""
    start, stop = loop.sequence.windows()[1]
    run = Twin().run(loop, seed=3)
    inside = (run.time_s > start + 2 * loop.max_step_s) & (run.time_s < stop - 2 * loop.max_step_s)
    step = loop.sequence.window_s / loop.window_steps
    assert agrees(
        run.device_A[inside, 0] + run["v(el1)"][inside] * 5e-8 + run["v(el2)"][inside] * 3e-8, DENSITY / 2 / step
    )

    slow = NoiseSpectrum(0.0, 1e-23, 1e3, band_Hz=(0.1, 0.2))
    device = NoisyDevice(OpenCircuit(("out", "a", "b"), 1.0), slow, (0,))
    quiet = replace(loop, device=device, sequence=replace(loop.sequence, ramp_s=0.025, wait_s=0.025))
    first, second = quiet.sequence.windows()
    runs = [Twin().run(quiet, seed=seed) for seed in range(400)]
    last, begin = (int(np.searchsorted(runs[0].time_s, t * (1 - 1e-9))) for t in (first[1], second[0]))
    moved = np.array([run.device_A[begin, 0] - run.device_A[last, 0] for run in runs])
    corners, deviations = slow.lorentzians
    gap = second[0] - first[1]
    assert agrees(moved, np.sum(2 * deviations**2 * -np.expm1(-2 * np.pi * corners * gap)))
