"""Kinetic Monte Carlo live in an ngspice transient, against the master equation.

Statistical tests have fixed seeds and say how often they would fail for another seed if the code were right.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from circuits.ngspice.cosimulation import CoSimulation
from circuits.ngspice.engine import OPTIONS, Engine
from circuits.signals.sources import Drive, Sine
from dnpu_models.master_equation.model import MasterEquation
from dnpu_models.monte_carlo.model import KineticMonteCarlo
from dnpu_models.network.network import DopantNetwork

from ...dnpu_models.small_networks import small_network

FALSE_ALARM = 1e-4


def hot_network() -> DopantNetwork:
    """Five sites and three electrodes at 600 K, where 25 mV is a small signal."""
    return small_network(5, 4, temperature_K=600.0)


def test_a_live_trajectory_answers_a_tone_with_the_exact_admittance_and_its_own_noise(engine: Engine) -> None:
    # Reading of a lock-in over the whole run: its error is normal, of variance S(f)/T in each part (one-sided S); six
    # parts. With the published admittance and spectrum of the same network, nothing is fitted. False alarm 1e-4 each.
    network = hot_network()
    exact, f, amplitude = MasterEquation(network), 4e9, 0.025
    periods, points = 1500, 24
    h = 1 / (f * points)
    coupling = CoSimulation(
        KineticMonteCarlo(network).kernel(np.zeros(3), seed=6),
        ["n0", "n1", "n2"],
        np.zeros(3),
        Drive(sines={0: [Sine(amplitude, f)]}),
    )
    deck = f"a tone\nV0 n0 0 sin(0 {amplitude} {f})\nV1 n1 0 0\nV2 n2 0 0\n" + OPTIONS
    run = engine.transient(deck, stop_s=periods / f, max_step_s=h, save=["v(n0)"], cosimulation=coupling)
    # What the circuit has at a point is the mean over the step that leads there.
    t, current = run.time_s, run.device_A[1:]
    step, middle = np.diff(t), t[:-1] + 0.5 * np.diff(t)
    assert np.ptp(step[40:-2]) < 1e-6 * h
    reading = 2 / step.sum() * (step * np.exp(-2j * np.pi * f * middle)) @ current
    # Voltages go in straight lines from point to point (sinc^2), currents are means over steps (sinc).
    truth = -1j * amplitude * np.sinc(f * h) ** 3 * exact.admittances(np.zeros(3), [f])[0, :, 0]
    noise = np.sqrt(2 * np.einsum("kk->k", exact.noise_psd(np.zeros(3), [f])[0]).real / step.sum())
    assert np.all(noise < 0.12 * np.abs(truth).max())
    z = np.concatenate([((reading - truth) / noise).real, ((reading - truth) / noise).imag])
    assert np.abs(z).max() < stats.norm.isf(FALSE_ALARM / 12)
    # Kirchhoff's law at every point, and the white part of the noise in the currents themselves.
    assert np.abs(current.sum(axis=1)).max() < 1e-9 * np.abs(current).max()
    white = exact.noise_psd(np.zeros(3), [0.0, 40 / h])[:, range(3), range(3)].real
    variance = current.var(axis=0) * 2 * h
    assert np.all(variance > 0.8 * white.min(axis=0))
    assert np.all(variance < 1.2 * white.max(axis=0) + np.abs(truth) ** 2 * h)


def test_the_same_seed_gives_the_same_transient_and_another_one_another(engine: Engine) -> None:
    model = KineticMonteCarlo(hot_network())
    runs = []
    for seed in (1, 1, 2):
        coupling = CoSimulation(model.kernel(np.zeros(3), seed=seed), ["n0", "n1", "n2"], np.zeros(3))
        deck = "still\nV0 n0 0 0\nV1 n1 0 0\nV2 n2 0 0\n" + OPTIONS
        run = engine.transient(deck, stop_s=1e-9, max_step_s=1e-11, save=["v(n0)"], cosimulation=coupling)
        runs.append(run.device_A)
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


def test_voltages_beyond_reach_give_no_number() -> None:
    kernel = KineticMonteCarlo(hot_network()).kernel(np.zeros(3), seed=1)
    state, out = kernel.state.copy(), np.zeros(3)
    kernel.advance(1e-11, np.array([1e4, 0.0, 0.0]), kernel.params, state)
    kernel.evaluate(0.0, np.array([1e4, 0.0, 0.0]), kernel.params, state, out)
    assert np.isnan(out).all()
    with pytest.raises(ValueError, match="voltages"):
        KineticMonteCarlo(hot_network()).kernel(np.array([2.0, 0, 0]), seed=1)
