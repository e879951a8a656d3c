"""Currents in time: the process under changing voltages, and noise, against the master equation and closed forms.

Statistical tests have fixed seeds and say how often they would fail for another seed if the code were right.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from scipy.integrate import solve_ivp

from dnpu_models.master_equation.model import MasterEquation
from dnpu_models.monte_carlo.current_record import CurrentRecord
from dnpu_models.monte_carlo.model import KineticMonteCarlo
from dnpu_models.monte_carlo.trajectory import Method
from dnpu_models.network.constants import ELEMENTARY_CHARGE
from dnpu_models.network.network import DopantNetwork
from inmateria.errors import InputError

from ...refused import refused
from ..small_networks import chain, small_network
from ..written_out import reference_rates

FALSE_ALARM = 1e-4
Array = NDArray[np.float64]


def folded(exact: MasterEquation, volts: Array, frequencies: Array, step_s: float) -> Array:
    """What means over steps make of the exact spectra: sum_m S(f + m/dt) sinc^2(f dt + m), one (k, k) per frequency."""
    near = range(-3, 4)
    shifted = np.array([frequencies + m / step_s for m in near])
    share = np.sinc(shifted * step_s) ** 2
    density = exact.noise_psd(volts, np.abs(shifted).ravel()).reshape(*shifted.shape, len(volts), len(volts))
    density = np.where(shifted[..., None, None] < 0, density.conj(), density)
    far = exact.noise_psd(volts, np.array([30 / step_s]))[0]
    rest = 1 - share.sum(axis=0)
    return np.asarray((share[..., None, None] * density).sum(axis=0) + rest[:, None, None] * far)


# ----------------------------------------------------------------------------------------------------- in time


def periodic_truth(network: DopantNetwork, edges: Array, step_s: float) -> tuple[Array, Array]:
    """Holes that enter in each step and mirror charge at its end, in the periodic state under periodic voltages.

    The master equation with rates that change in time, integrated by a general solver: barriers are linear in time.
    """
    exact, kt = MasterEquation(network), network.thermal_energy_eV
    count, electrodes, steps = 1 << network.n_sites, network.n_electrodes, len(edges) - 1
    maps, inflows = [], []
    for m in range(steps):
        first, last = exact.transitions(edges[m]), exact.transitions(edges[m + 1])
        prefactors = first.rates_Hz * np.exp(np.maximum(first.barriers_eV, 0) / kt)

        def right_side(t: float, y: Array, first: Any = first, last: Any = last, g: Array = prefactors) -> Array:
            barriers = first.barriers_eV + (last.barriers_eV - first.barriers_eV) * t / step_s
            flow = (g * np.exp(-np.maximum(barriers, 0) / kt))[:, None] * y[: count**2].reshape(count, count)[
                first.start
            ]
            change, into = np.zeros((count, count)), np.zeros((electrodes, count))
            np.add.at(change, first.end, flow)
            np.add.at(change, first.start, -flow)
            for k in range(electrodes):
                source, destination = first.source == network.n_sites + k, first.destination == network.n_sites + k
                into[k] = flow[source].sum(axis=0) - flow[destination].sum(axis=0)
            return np.concatenate([change.ravel(), into.ravel()])

        start = np.concatenate([np.eye(count).ravel(), np.zeros(electrodes * count)])
        end = solve_ivp(right_side, (0, step_s), start, method="LSODA", rtol=1e-9, atol=1e-12).y[:, -1]
        maps.append(end[: count**2].reshape(count, count))
        inflows.append(end[count**2 :].reshape(electrodes, count))
    period = np.linalg.multi_dot(maps[::-1])
    system = np.vstack([period - np.eye(count), np.ones(count)])
    p = np.linalg.lstsq(system, np.append(np.zeros(count), 1.0), rcond=None)[0]
    states = (np.arange(count)[:, None] >> np.arange(network.n_sites)) & 1
    entered, mirrored = np.zeros((steps, electrodes)), np.zeros((steps, electrodes))
    for m in range(steps):
        entered[m] = inflows[m] @ p
        p = maps[m] @ p
        mirrored[m] = p @ states @ network.unit_potentials
    return entered, mirrored


def test_changing_voltages_are_followed_exactly() -> None:
    # A triangle wave of 12 kT on one electrode and a step on another, a relaxation time long, 10,000 periods. Student's
    # t on means over batches of periods; 4 steps x (3 currents + 3 mirror charges), Bonferroni: false alarm 1e-4.
    network = small_network(3, 5, temperature_K=100.0)
    model = KineticMonteCarlo(network)
    edges = np.array([[0.05, 0.0, 0.0], [0.0, -0.03, 0.0], [-0.05, -0.03, 0.0], [0.0, 0.0, 0.0], [0.05, 0.0, 0.0]])
    step_s = 2 / float(MasterEquation(network).transitions(edges[0]).rates_Hz.max())
    entered, mirrored = periodic_truth(network, edges, step_s)
    periods, batches = 10_000, 40
    table = np.vstack([np.tile(edges[:-1], (periods + 20, 1)), edges[-1:]])
    record = model.record(table, seed=3, step_s=step_s)
    unit = ELEMENTARY_CHARGE / step_s
    counted = (record.counted_A / unit)[80:].reshape(batches, -1, 4, 3).mean(axis=1)
    displaced = (record.currents_A / unit)[80:].reshape(batches, -1, 4, 3).mean(axis=1)
    truth = np.stack([entered, entered - (mirrored - np.roll(mirrored, 1, axis=0))])
    seen = np.stack([counted, displaced], axis=1)
    t = (seen.mean(axis=0) - truth) / (seen.std(axis=0, ddof=1) / np.sqrt(batches))
    assert np.abs(t).max() < stats.t(batches - 1).isf(FALSE_ALARM / 2 / t.size)
    # The test would see rates that lag by the length of a slice: it resolves 2 % of the largest mean.
    assert (seen.std(axis=0, ddof=1) / np.sqrt(batches)).max() < 0.02 * np.abs(truth).max()


@pytest.mark.parametrize("method", ["graph", "rows"])
def test_currents_add_up_to_zero_in_every_step_and_to_the_counts_in_the_mean(method: Method) -> None:
    network = DopantNetwork.random(seed=2, acceptors=40)
    volts = np.random.default_rng(1).uniform(-0.5, 0.5, 8)
    record = KineticMonteCarlo(network).record(volts, seed=4, step_s=2e-11, steps=300, method=method)
    assert record.currents_A.shape == record.counted_A.shape == (300, 8)
    assert np.abs(record.currents_A.sum(axis=1)).max() < 1e-9 * np.abs(record.currents_A).max()
    assert np.abs(record.counted_A.sum(axis=1)).max() > 1e-3 * np.abs(record.counted_A).max()
    # What does not cross is stored: at most one charge of each hole at each electrode.
    difference = (record.currents_A - record.counted_A).sum(axis=0) * record.step_s / ELEMENTARY_CHARGE
    assert np.abs(difference).max() < network.n_sites


def test_a_record_is_reproducible_and_goes_on_from_its_end() -> None:
    model = KineticMonteCarlo(DopantNetwork.random(seed=2, acceptors=20))
    volts = np.linspace(-0.4, 0.4, 8)
    told: list[tuple[int, int]] = []
    first = model.record(volts, seed=1, step_s=1e-11, steps=50, progress=lambda done, total: told.append((done, total)))
    again = model.record(volts, seed=1, step_s=1e-11, steps=50)
    np.testing.assert_array_equal(first.currents_A, again.currents_A)
    assert told[-1] == (50, 50)
    other = model.record(volts, seed=2, step_s=1e-11, steps=50, initial=first.final)
    assert not np.array_equal(first.currents_A, other.currents_A)
    np.testing.assert_allclose(first.times_s[[0, -1]], [0.5e-11, 49.5e-11])


# ------------------------------------------------------------------------------------------------------- noise


def chi_square(seen: Array, truth: Array, windows: int) -> float:
    """Two-sided p value of periodograms, averaged over windows, against their means.

    2 `windows` S/<S> of each follows chi-square with as many degrees of freedom, independently over frequencies.
    """
    x = 2 * windows * float((seen / truth).sum())
    law = stats.chi2(2 * windows * seen.size)
    return float(2 * min(law.cdf(x), law.sf(x)))


def slowest_rate(exact: MasterEquation, volts: Array) -> float:
    """1/s."""
    return float(np.sort(-np.linalg.eigvals(exact.transitions(volts).generator().toarray()).real)[1])


def long_record(network: DopantNetwork, volts: Array, method: Method, windows: int, length: int) -> CurrentRecord:
    """Windows of fifty times the slowest relaxation."""
    exact = MasterEquation(network)
    step_s = 50 / slowest_rate(exact, volts) / length
    return KineticMonteCarlo(network).record(volts, seed=8, step_s=step_s, steps=windows * length, method=method)


@pytest.mark.parametrize("method", ["graph", "rows"])
@pytest.mark.parametrize("volts", [np.zeros(3), np.array([0.08, -0.05, 0.0])])
def test_spectra_are_those_of_the_master_equation(method: Method, volts: Array) -> None:
    # Three electrodes, three bands of frequencies each, and the cross spectra; false alarm 1e-4 in all.
    network = small_network(4, 3, temperature_K=150.0)
    windows, length = 200, 96
    record = long_record(network, volts, method, windows, length)
    spectrum = record.spectrum(windows)
    assert len(spectrum.frequencies_Hz) == length // 2 - 1
    truth = folded(MasterEquation(network), volts, spectrum.frequencies_Hz, record.step_s)
    seen = spectrum.density_A2_per_Hz
    diagonal, exact = (np.einsum("fkk->fk", x).real for x in (seen, truth))
    assert exact.max() > 1.3 * exact.min()  # not white
    values = [
        chi_square(diagonal[band, k], exact[band, k], windows)
        for k in range(3)
        for band in (slice(0, 8), slice(8, 24), slice(24, None))
    ]
    assert min(values) > FALSE_ALARM / len(values) / 2
    # Cross spectra: the mean of X_j X_k* has the variance S_jj S_kk / windows; real and imaginary parts half each.
    for j, k in [(0, 1), (0, 2), (1, 2)]:
        z = (seen[:, j, k] - truth[:, j, k]) / np.sqrt(exact[:, j] * exact[:, k] / windows)
        assert abs(z.real.sum()) / np.sqrt(len(z)) < stats.norm.isf(FALSE_ALARM / 24)
        assert abs(z.imag.sum()) / np.sqrt(len(z)) < stats.norm.isf(FALSE_ALARM / 24)
    assert np.abs(seen.sum(axis=2)).max() < 1e-9 * np.abs(seen).max()


def test_noise_at_equilibrium_is_4ktg() -> None:
    # 7,200 independent windows (600 windows, 12 frequencies well below the slowest rate count twice, as a real and an
    # imaginary part): the mean has an error of 1.2 %, 5 % is more than three of them (false alarm 3e-5 per electrode).
    network = small_network(5, 1, temperature_K=200.0)
    exact = MasterEquation(network)
    volts = np.zeros(3)
    window_s = 12 * 20 * 2 * np.pi / slowest_rate(exact, volts)
    record = KineticMonteCarlo(network).record(volts, seed=11, step_s=window_s / 128, steps=600 * 128)
    low = record.spectrum(600).density_A2_per_Hz[:12]
    johnson = 4 * network.thermal_energy_eV * ELEMENTARY_CHARGE * exact.conductances(volts)
    for k in range(3):
        seen = low[:, k, k].real.mean()
        assert seen == pytest.approx(johnson[k, k], rel=0.05)


def test_fano_factor_of_one_site_is_the_closed_form() -> None:
    # Unidirectional through one site, in at the rate g1 and out at g2: S(0) = 2 e I F, F = (g1^2 + g2^2)/(g1 + g2)^2
    # (L. Y. Chen and C. S. Ting, Phys. Rev. B 43, 4534, 1991). Chi-square, false alarm 1e-4.
    network = chain([0.0], acceptors_m=np.array([[7e-9, 10e-9]]))
    volts = np.array([0.9, -0.9])
    rates = reference_rates(network, volts, np.array([0])), reference_rates(network, volts, np.array([1]))
    g1, g2 = rates[0][1, 0], rates[1][0, 2]
    assert max(rates[0][2, 0], rates[1][0, 1]) < 1e-12 * g1
    fano = (g1**2 + g2**2) / (g1 + g2) ** 2
    assert 0.5 < fano < 0.9
    windows, length = 4000, 64
    record = KineticMonteCarlo(network).record(volts, seed=5, step_s=100 / (g1 + g2), steps=windows * length)
    current = ELEMENTARY_CHARGE * g1 * g2 / (g1 + g2)
    seen = np.einsum("fkk->fk", record.spectrum(windows).density_A2_per_Hz[:8]).real
    # 8 frequencies up to 1/50 of the corner: S differs from S(0) by less than 1e-3 there.
    assert chi_square(seen[:, 0], np.full(8, 2 * ELEMENTARY_CHARGE * current * fano), windows) > FALSE_ALARM
    holes = current * record.step_s * len(record.counted_A) / ELEMENTARY_CHARGE
    assert record.counted_A[:, 0].mean() == pytest.approx(current, rel=5 * np.sqrt(fano / holes))


# --------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"step_s": 0.0}, "step_s"),
        ({"step_s": float("nan")}, "step_s"),
        ({"steps": None}, "steps"),
        ({"steps": 0}, "steps"),
        ({"voltages": np.zeros((5, 8))}, "steps"),
        ({"voltages": np.zeros((1, 8)), "steps": None}, "voltages"),
        ({"voltages": np.zeros((5, 8)), "steps": None, "method": "graph"}, "method"),
        ({"method": "direct"}, "method"),
        ({"burn_in": -1}, "burn_in"),
        ({"initial": [1, 0]}, "initial"),
    ],
)
def test_bad_records_are_refused(changes: dict[str, Any], field: str) -> None:
    model = KineticMonteCarlo(DopantNetwork.random(seed=2, acceptors=12))
    arguments = {"voltages": np.zeros(8), "seed": 0, "step_s": 1e-11, "steps": 10} | changes
    with refused(field):
        model.record(**cast(Any, arguments))


@pytest.mark.parametrize("windows", [0, 1, 26])
def test_bad_windows_are_refused(windows: int) -> None:
    record = KineticMonteCarlo(DopantNetwork.random(seed=2, acceptors=12)).record(
        np.zeros(8), seed=0, step_s=1e-11, steps=100
    )
    with pytest.raises(InputError, match="windows"):
        record.spectrum(windows)
