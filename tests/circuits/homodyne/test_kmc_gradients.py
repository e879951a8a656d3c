"""Gradients that lock-ins read of a live trajectory in ngspice: their scatter over windows, and their mean.

Against the master equation of the same six sites, which knows the noise and the mean currents exactly; seed fixed.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from circuits.lockin.bank import LockInBank
from circuits.ngspice.engine import Engine
from dnpu_models.master_equation.model import MasterEquation
from dnpu_models.monte_carlo.model import KineticMonteCarlo
from dnpu_models.network.network import DopantNetwork
from lockin.averages import common_period_average
from lockin.demodulate import demodulate_trace
from lockin.plan import plan_frequencies
from lockin.settings import LockInSettings

FALSE_ALARM = 1e-4
SETTLING, PERIODS = 8, 240
"""Common periods of 50 ns: left out, and read."""
PLAN = plan_frequencies(3, None, 20e6, amplitude_V=0.01)
"""Tones of 80, 100 and 140 MHz."""
DITHERED = [1, 2, 3]
SETTINGS = LockInSettings(20e-9, 24)
"""Filters as fast as the tones: four poles of 20 ns."""


@pytest.fixture(scope="module")
def exact() -> MasterEquation:
    """Six acceptors at 300 K, where 10 mV is a small signal; its modes are faster than 1 GHz."""
    return MasterEquation(
        DopantNetwork.random(seed=3, acceptors=6, donors=1, temperature_K=300.0, localisation_m=40e-9, hop_max_m=np.inf)
    )


@pytest.fixture(scope="module")
def volts() -> NDArray[np.float64]:
    """The setting; the output is held at 0 V."""
    drawn = np.random.default_rng(2).uniform(-0.1, 0.1, 8)
    drawn[0] = 0.0
    return drawn


@pytest.fixture(scope="module")
def live(exact, volts):
    """The bank of lock-ins and its transient."""
    bank = LockInBank(KineticMonteCarlo(exact.network), 0, tuple(DITHERED), volts, PLAN, SETTINGS)
    with Engine(timeout_s=240) as engine:
        return bank, bank.run(engine, (SETTLING + PERIODS) * PLAN.common_period_s, seed=5)


@pytest.fixture(scope="module")
def windows(live):
    """Gradients over each common period, S, (n_windows, n_tones): boxcars on the output's record."""
    bank, run = live
    h = 1.0 / (max(PLAN.frequencies_Hz) * bank.points_per_cycle)
    # a point has the mean over the step that leads there, known best as of the step's middle
    middle, current = run.time_s - 0.5 * h, run["v(tia)"] / bank.transimpedance_ohm
    np.testing.assert_allclose(run.time_s, h * np.arange(1, len(run.time_s) + 1), rtol=1e-9)
    f = np.array(PLAN.frequencies_Hz)
    # voltages in straight lines from point to point (sinc^2), currents as means over steps (sinc)
    scale = 2.0 / np.array(PLAN.amplitudes_V) / np.sinc(f * h) ** 3
    mixed = scale * current[:, None] * np.sin(2 * np.pi * middle[:, None] * f)
    period = round(PLAN.common_period_s / h)
    return mixed.reshape(-1, period, PLAN.n)[SETTLING:].mean(axis=1)


def test_variance_is_noise_over_time_and_squared_amplitude(exact, volts, windows):
    # (n - 1) s^2/sigma^2 of three tones, chi-square with 3 (n - 1) degrees of freedom, sigma^2 = S/(T alpha^2) with the
    # exact S; three lengths T, two-sided, false alarm 1e-4 in all. 240, 120, 60 windows: +-21, 30, 44 %.
    density = exact.noise_psd(volts, PLAN.frequencies_Hz)[:, 0, 0].real
    for joined in (1, 2, 4):
        read = windows.reshape(-1, joined, PLAN.n).mean(axis=1)
        variance = density / (joined * PLAN.common_period_s) / np.array(PLAN.amplitudes_V) ** 2
        freedom = PLAN.n * (len(read) - 1)
        law = stats.chi2(freedom)
        x = float(((len(read) - 1) * read.var(axis=0, ddof=1) / variance).sum())
        assert 2 * min(law.cdf(x), law.sf(x)) > FALSE_ALARM / 3, (joined, x / freedom)


def test_mean_is_the_difference_of_mean_currents_along_the_dither(exact, volts, windows):
    # Normal, three tones, false alarm 1e-4; the device is quasi-static: its admittance is its conductance to 4e-4.
    truth = common_period_average(lambda v: -exact.currents(v)[:, 0], volts, PLAN, terminals=DITHERED)
    density = exact.noise_psd(volts, PLAN.frequencies_Hz)[:, 0, 0].real
    error = np.sqrt(density / (PERIODS * PLAN.common_period_s)) / np.array(PLAN.amplitudes_V)
    assert np.abs(truth / error).max() > 20  # there is something to read
    assert np.abs((windows.mean(axis=0) - truth) / error).max() < stats.norm.isf(FALSE_ALARM / 6)


def test_filters_of_the_netlist_read_what_digital_ones_read(live):
    # The same noise through the same four poles of 20 ns, at every point: no statistics.
    bank, run = live
    late = run.time_s > SETTLING * PLAN.common_period_s
    for k, (block, f) in enumerate(zip(bank.blocks, PLAN.frequencies_Hz, strict=True)):
        read = run[f"v({block.node('x')})"][late]
        digital = demodulate_trace(SETTINGS, f, run.time_s, run["v(signal)"], PLAN.phases_rad[k])[0][late]
        digital *= bank.gain / np.sqrt(2.0)  # the netlist multiplies by a sine of peak 1, the instrument shows rms
        assert np.abs(read - digital).max() < 1e-3 * digital.std()
