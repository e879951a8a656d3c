"""The lock-ins on a device that is followed hole by hole: gradients with the device's own noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from circuits.homodyne.engines import Twin
from dnpu_models.master_equation.model import MasterEquation
from dnpu_models.monte_carlo.model import KineticMonteCarlo
from dnpu_models.network.network import DopantNetwork
from inmateria.errors import InputError
from learning.bench.bench import Bench, default_bench
from learning.homodyne.gradients import monte_carlo_difference, spice_lock_in

FALSE_ALARM = 1e-4


@pytest.fixture(scope="module")
def bench() -> Bench:
    """Ten acceptors at 300 K, where 10 mV is a small signal; tones of 26 to 51 MHz, far below the hop rates."""
    network = DopantNetwork.random(
        seed=3, acceptors=10, donors=1, temperature_K=300.0, localisation_m=60e-9, hop_max_m=np.inf
    )
    return Bench(KineticMonteCarlo(network), spacing_Hz=1e6)


def test_a_live_device_is_read_within_its_own_noise(bench: Bench) -> None:
    # Each reading is normal around the exact derivative with the variance S(f)/(T alpha^2), S the exact spectrum of the
    # output current: chi-square over seven controls and four seeds, two-sided, false alarm 1e-4.
    device: Any = bench.device
    exact, amplitude = MasterEquation(device.network), 10e-3
    controls = np.random.default_rng(2).uniform(-0.1, 0.1, 7)
    volts = bench.terminal_voltages(controls)
    truth = -exact.conductances(volts)[bench.output, list(bench.trained)]
    plan, window = bench.plan(amplitude), bench.sequence(((0.0, 0.0),), (0.0,)).window_s
    density = exact.noise_psd(volts, plan.frequencies_Hz)[:, bench.output, bench.output].real
    sigma = np.sqrt(density / window) / amplitude
    assert np.abs(truth / sigma).max() > 5  # there is something to read
    z = []
    for seed in range(4):
        _, digital, run, _ = spice_lock_in(bench, Twin(), controls, amplitude, seed=seed)
        assert np.isfinite(run.device_A).all()
        z.append((np.asarray(digital) - truth) / sigma)
    x = float(np.square(z).sum())
    law = stats.chi2(28)
    assert 2 * min(law.cdf(x), law.sf(x)) > FALSE_ALARM


def test_differences_carry_their_errors(bench: Bench) -> None:
    # Against the exact difference quotients; Student's t, Bonferroni, false alarm 1e-4.
    device: Any = bench.device
    step = device.network.thermal_energy_eV
    found = monte_carlo_difference(bench, np.zeros(7), seed=1, hops=50_000)
    up = bench.terminal_voltages(step * np.eye(7))
    exact = MasterEquation(device.network)
    truth = -(exact.currents(up) - exact.currents(-up))[:, bench.output] / (2 * step)
    t = (np.asarray(found) - truth) / np.array(found.attrs["stderr"])
    assert np.abs(t).max() < stats.t(62).isf(FALSE_ALARM / 14)
    with pytest.raises(InputError, match="no kinetic Monte Carlo"):
        monte_carlo_difference(default_bench(), np.zeros(7), seed=1, hops=10)
