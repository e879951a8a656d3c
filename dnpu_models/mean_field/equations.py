"""The mean field's rate equations of one network in reduced units, and small signals at a state: their first order.

Energies in kT, voltages in kT/e, rates in nu_0, currents in e nu_0; formulas in `kernel`.

With dp/dt = F(p, V), particle currents I_k(p, V) into the device and unit potentials phi_k, V + v exp(i omega t) gives

    dp = (i omega - dF/dp)^-1 (dF/dV) v,    dI_k = (dI_k/dp) dp + (dI_k/dV) v - i omega sum_i phi_k(r_i) dp_i.

The last term is the displacement current (W. Shockley, J. Appl. Phys. 9, 635 (1938); S. Ramo, Proc. IRE 27, 584
(1939)): a hole that comes to rest at r_i has induced the charge phi_k(r_i) on electrode k. Because the phi_k of a
site add up to 1, the currents add up to 0 at every frequency. A disturbance of the occupations relaxes as the
eigenvectors of dF/dp do, at the rates of its eigenvalues.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from dnpu_models.mean_field import kernel as kernel_module
from dnpu_models.network.constants import ELEMENTARY_CHARGE
from dnpu_models.network.network import DopantNetwork
from inmateria.checks import FloatArray

ComplexArray = NDArray[np.complex128]


@dataclass(frozen=True, eq=False)
class Linearisation:
    """The rate equations to first order at a state (volts, p), with LAPACK's factors of dF/dp.

    Attributes
    ----------
    volts : ndarray, shape (n_electrodes,)
    p : ndarray, shape (n_sites,)
    rate_p, rate_v, current_p, current_v : ndarray
        dF/dp, dF/dV, dI/dp and dI/dV.
    columns : ndarray, shape (n_sites, n_sites)
        Columns of L and U.
    pivots : ndarray of int, shape (n_sites,)
    """

    volts: FloatArray
    p: FloatArray
    rate_p: FloatArray
    rate_v: FloatArray
    current_p: FloatArray
    current_v: FloatArray
    columns: FloatArray
    pivots: NDArray[np.int32]

    @cached_property
    def shift(self) -> FloatArray:
        """How the stationary state follows the voltages: dp/dV = -(dF/dp)^-1 dF/dV, (n_sites, n_electrodes)."""
        return -np.asarray(lapack.dgetrs(self.columns.T, self.pivots, self.rate_v)[0])

    @property
    def conductances(self) -> FloatArray:
        """dI/dV of the stationary state, (n_electrodes, n_electrodes), in e^2 nu_0/kT."""
        return self.current_v + self.current_p @ self.shift

    @property
    def adjoint(self) -> FloatArray:
        """-(dI/dp) (dF/dp)^-1, (n_electrodes, n_sites)."""
        return -np.asarray(lapack.dgetrs(self.columns.T, self.pivots, self.current_p.T, trans=1)[0].T)


@dataclass(frozen=True, eq=False)
class RateEquations:
    """dp/dt = F(p, V) and the electrode currents of a network."""

    hops: kernel_module.Hops
    coulomb: FloatArray
    fixed: FloatArray
    phi: FloatArray
    rate_Hz: float
    thermal_V: float

    @classmethod
    def of(cls, network: DopantNetwork) -> Self:
        """Equations of a network."""
        kt = network.thermal_energy_eV
        coulomb = np.ascontiguousarray(network.coulomb_eV / kt)
        rates = (
            network.hop_prefactors_Hz / network.attempt_rate_Hz,
            network.electrode_prefactors_Hz / network.attempt_rate_Hz,
        )
        i, j = np.nonzero(np.triu(rates[0]))
        site, electrode = np.nonzero(rates[1])
        hops = kernel_module.rows_of(
            list(zip(i.tolist(), j.tolist(), rates[0][i, j].tolist(), coulomb[i, j].tolist(), strict=True)),
            list(zip(site.tolist(), electrode.tolist(), rates[1][site, electrode].tolist(), strict=True)),
            network.n_sites,
        )
        return cls(
            hops,
            coulomb,
            network.fixed_energies_eV / kt - coulomb.sum(axis=1),
            np.array(network.unit_potentials, order="C"),
            network.attempt_rate_Hz,
            kt,
        )

    @cached_property
    def arrays(self) -> tuple[tuple[NDArray[Any], ...], FloatArray, FloatArray, FloatArray]:
        """Plain tuple for `chord.settle`."""
        return tuple(self.hops), self.coulomb, self.fixed, self.phi

    @cached_property
    def current_A(self) -> float:
        """e nu_0."""
        return ELEMENTARY_CHARGE * self.rate_Hz

    @property
    def conductance_S(self) -> float:
        """e^2 nu_0/kT."""
        return self.current_A / self.thermal_V

    def work(self) -> kernel_module.Work:
        """Scratch for the kernels."""
        return kernel_module.Work(*np.empty((2, len(self.hops.to))))

    def bare(self, volts: FloatArray) -> FloatArray:
        """Energies of the nodes without the holes' Coulomb term, (n_sites + n_electrodes,)."""
        return np.concatenate([self.fixed + self.phi @ volts, volts])

    def nodes(self, p: FloatArray) -> FloatArray:
        """Occupations of the nodes, a copy, from those of the sites."""
        return np.concatenate([p, np.full(self.phi.shape[1], 0.5)])

    def balance(
        self, volts: FloatArray, p: FloatArray, work: kernel_module.Work | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """F (n_sites,) and the particle currents into the device (n_electrodes,)."""
        bare = self.bare(volts)
        energy, rate = np.empty((2, len(bare)))
        work = self.work() if work is None else work
        kernel_module.balance(self.hops, self.coulomb, bare, self.nodes(p), energy, rate, work)
        return rate[: len(p)], -rate[len(p) :]

    def derivatives(self, volts: FloatArray, p: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """dF/dp, dF/dV, dI/dp and dI/dV."""
        work = self.work()
        self.balance(volts, p, work)
        result: tuple[FloatArray, ...] = kernel_module.jacobian(self.hops, self.coulomb, self.phi, self.nodes(p), work)
        return result[0], result[1], result[2], result[3]

    def relaxed(
        self, volts: FloatArray, start: FloatArray, wanted: float, limit: int
    ) -> tuple[FloatArray, FloatArray, FloatArray, int]:
        """Where `kernel.relax` leads from the occupations `start`, F and the currents there, and what it returns."""
        n, p, rate = len(start), self.nodes(start), np.empty(len(start) + len(volts))
        steps = kernel_module.relax(self.hops, self.coulomb, self.bare(volts), p, rate, self.work(), wanted, limit)
        return p[:n], rate[:n], -rate[n:], steps

    def linearise(self, volts: FloatArray, p: FloatArray) -> Linearisation | None:
        """First order at a state; None if dF/dp is singular."""
        derivatives = self.derivatives(volts, p)
        factors, pivots, info = lapack.dgetrf(derivatives[0])
        if info != 0 or not np.all(np.isfinite(np.diagonal(factors))):
            return None
        return Linearisation(volts.copy(), p.copy(), *derivatives, np.ascontiguousarray(factors.T), pivots)

    def admittances(self, tangent: Linearisation, frequencies_Hz: FloatArray, displacement: bool) -> ComplexArray:
        """Admittances at a state, S, (n_frequencies, n_electrodes, n_electrodes)."""
        n, electrodes = self.phi.shape
        result = np.empty((len(frequencies_Hz), electrodes, electrodes), dtype=np.complex128)
        for index, omega in enumerate(2 * np.pi * frequencies_Hz / self.rate_Hz):
            shift = np.linalg.solve(1j * omega * np.eye(n) - tangent.rate_p, tangent.rate_v)
            result[index] = tangent.current_v + tangent.current_p @ shift
            if displacement:
                result[index] -= 1j * omega * (self.phi.T @ shift)
        return result * self.conductance_S

    def relaxation_rates(self, tangent: Linearisation) -> ComplexArray:
        """Eigenvalues of dF/dp, 1/s, slowest decay first (largest real part)."""
        values = np.asarray(np.linalg.eigvals(tangent.rate_p), dtype=np.complex128)
        return np.asarray(values[np.argsort(-values.real)] * self.rate_Hz)
