"""The mean field: stationary occupations and currents from rate equations with Hartree energies.

Equations in `mean_field_kernel`. Smooth up to the kinks of the hop rates, with exact derivatives; compared with kinetic
Monte Carlo in the tests. Self-exclusion (a hole does not repel itself) makes it agree with Monte Carlo; it also breaks
detailed balance a little, so a small current flows at equal voltages: the bound is in docs/decisions.md and tested.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnpu_models import mean_field_kernel as kernel_module
from dnpu_models.constants import ELEMENTARY_CHARGE
from dnpu_models.geometry import FloatArray
from dnpu_models.network import DopantNetwork
from dnpu_models.steppable import SteppableKernel
from dnpu_models.threads import one_blas_thread
from inmateria.errors import ConvergenceError, InputError

_STEP_DONE = 1e-11  # largest change of an occupation in a Newton step that ends the iteration
_MAX_NEWTON = 12


@dataclass(frozen=True, eq=False)
class MeanFieldSolution:
    """Stationary state at one set of voltages.

    Attributes
    ----------
    occupations : ndarray, shape (n_sites,)
    currents_A : ndarray, shape (n_electrodes,)
        Into the device.
    imbalance : float
        Largest |dp/dt| left, in units of nu_0.
    jacobians : int
        Jacobians that were computed.
    """

    occupations: FloatArray
    currents_A: FloatArray
    imbalance: float
    jacobians: int


def _out_of_reach(network: DopantNetwork) -> NDArray[np.intp]:
    """Sites that no chain of possible hops connects to an electrode."""
    reached = (network.electrode_prefactors_Hz > 0).any(axis=1)
    hops = network.hop_prefactors_Hz > 0
    while True:
        more = reached | hops[reached].any(axis=0)
        if np.array_equal(more, reached):
            return np.nonzero(~reached)[0]
        reached = more


class MeanField:
    """Mean-field model of a dopant network: currents, exact conductances, and a kernel for co-simulation.

    Parameters
    ----------
    network : DopantNetwork
    tolerance : float
        Error of a current followed inside a transient, as a fraction of the largest electrode current.

    Raises
    ------
    InputError
        For a tolerance that is none, or acceptors that no chain of hops connects to an electrode.
    """

    def __init__(self, network: DopantNetwork, *, tolerance: float = 1e-6) -> None:
        if not 0 < tolerance < 1:
            raise InputError("tolerance", tolerance, "must lie between 0 and 1", "1e-6 suits most circuits")
        self.network = network
        self.tolerance = tolerance
        kt = network.thermal_energy_eV
        i, j = np.nonzero(np.triu(network.hop_prefactors_Hz))
        site, electrode = np.nonzero(network.electrode_prefactors_Hz)
        lost = _out_of_reach(network)
        if len(lost):
            raise InputError(
                "acceptors_m",
                lost[:8].tolist(),
                "no chain of hops leads from these acceptors to an electrode, so their occupation is undetermined",
                "raise hop_max_m, place more acceptors, or use KineticMonteCarlo",
            )
        self._coulomb = np.ascontiguousarray(network.coulomb_eV / kt)
        self._fixed = network.fixed_energies_eV / kt - self._coulomb.sum(axis=1)
        self._phi = np.ascontiguousarray(network.unit_potentials)
        self._hops = (
            i.astype(np.uint64),
            j.astype(np.uint64),
            network.hop_prefactors_Hz[i, j] / network.attempt_rate_Hz,
            self._coulomb[i, j].copy(),
            site.astype(np.uint64),
            electrode.astype(np.uint64),
            network.electrode_prefactors_Hz[site, electrode] / network.attempt_rate_Hz,
        )
        self._current_A = ELEMENTARY_CHARGE * network.attempt_rate_Hz

    @property
    def terminals(self) -> tuple[str, ...]:
        """Names of the electrodes."""
        return tuple(f"e{k}" for k in range(self.network.n_electrodes))

    @property
    def limits_V(self) -> FloatArray:
        """Lowest and highest voltage of each electrode, V, (n_electrodes, 2)."""
        return self.network.limits_V

    def _scratch(self) -> tuple[FloatArray, FloatArray, NDArray[np.int64]]:
        entries = len(self._hops[0]) + len(self._hops[4])
        return np.empty(entries), np.empty(entries), np.empty(entries, dtype=np.int64)

    def _balance(self, volts: FloatArray, p: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        energy = self._fixed + self._phi @ volts + self._coulomb @ p
        rate, current = np.empty(len(p)), np.empty(len(volts))
        kernel_module.balance(*self._hops, energy, volts, p, rate, current, *self._scratch())
        return rate, current, energy

    def _jacobian(self, volts: FloatArray, p: FloatArray, energy: FloatArray) -> tuple[FloatArray, ...]:
        derivatives: tuple[FloatArray, ...] = kernel_module.jacobian(
            *self._hops, self._coulomb, self._phi, energy, volts, p
        )
        return derivatives

    def solve(self, voltages: Any, *, start: FloatArray | None = None) -> MeanFieldSolution:
        """Stationary state at one set of electrode voltages.

        Newton's method with the analytic Jacobian from `start`, if given; else, or where that fails, pseudo-time
        continuation (implicit Euler steps that grow as the relaxation ends) from a uniform occupation.

        Parameters
        ----------
        voltages : array_like, shape (n_electrodes,)
            V.
        start : ndarray, shape (n_sites,), optional
            Occupations to start from, e.g. those of a neighbouring solution.

        Raises
        ------
        InputError
            For voltages of the wrong shape, not finite or beyond the limit.
        ConvergenceError
            If no stationary state is found.
        """
        volts = self.network.check_voltages(voltages) / self.network.thermal_energy_eV
        if volts.ndim != 1:
            raise InputError("voltages", volts.shape, "one setting at a time", "use currents() for many")
        with one_blas_thread():
            return self._solve(volts, start)

    def _solve(self, volts: FloatArray, start: FloatArray | None) -> MeanFieldSolution:
        """`solve` for checked voltages in units of kT/e."""
        count = 0
        if start is not None:
            solution = self._newton(volts, np.clip(np.asarray(start, dtype=float), 0.0, 1.0))
            if solution is not None:
                return solution
            count = _MAX_NEWTON
        holes = max(self.network.n_sites - len(self.network.donors_m), 1)
        p = np.full(self.network.n_sites, holes / (self.network.n_sites + 1))
        rate, current = np.empty(len(p)), np.empty(len(volts))
        bare = self._fixed + self._phi @ volts
        steps = kernel_module.relax(
            *self._hops, self._coulomb, self._phi, bare, volts, p, rate, current, *self._scratch()
        )
        count += abs(steps)
        if steps > 0:
            return MeanFieldSolution(p, current * self._current_A, float(np.abs(rate).max()), count)
        raise ConvergenceError(
            "voltages",
            np.round(volts * self.network.thermal_energy_eV, 4).tolist(),
            f"no stationary state found (imbalance {np.abs(rate).max():.1e} nu_0 after {count} Jacobians)",
            "try a nearby setting, a higher temperature, or KineticMonteCarlo",
        )

    def _newton(self, volts: FloatArray, p: FloatArray) -> MeanFieldSolution | None:
        rate, current, energy = self._balance(volts, p)
        for count in range(1, _MAX_NEWTON + 1):
            try:
                step = np.linalg.solve(self._jacobian(volts, p, energy)[0], -rate)
            except np.linalg.LinAlgError:
                return None
            largest = float(np.abs(step).max())
            if not largest < 0.5:
                return None
            p = np.clip(p + step, 0.0, 1.0)
            rate, current, energy = self._balance(volts, p)
            if largest < _STEP_DONE:
                return MeanFieldSolution(p, current * self._current_A, float(np.abs(rate).max()), count)
        return None

    def currents(self, voltages: Any) -> FloatArray:
        """Electrode currents (A, into the device) for voltages (..., n_electrodes) in V; same shape.

        Raises
        ------
        InputError, ConvergenceError
            As `solve`.
        """
        volts = self.network.check_voltages(voltages)
        result = np.empty(volts.shape)
        start = None
        with one_blas_thread():
            for index in np.ndindex(volts.shape[:-1]):
                solution = self._solve(volts[index] / self.network.thermal_energy_eV, start)
                result[index], start = solution.currents_A, solution.occupations
        return result

    def follow(self, voltages: Any) -> FloatArray:
        """Currents along a path of neighbouring settings, within `tolerance` of the largest; ten times faster.

        Parameters
        ----------
        voltages : array_like, shape (n, n_electrodes)
            V.

        Returns
        -------
        ndarray, shape (n, n_electrodes)
            A, into the device.

        Raises
        ------
        InputError, ConvergenceError
            As `solve`.
        """
        volts = np.ascontiguousarray(self.network.check_voltages(voltages))
        if volts.ndim != 2 or not len(volts):
            raise InputError("voltages", volts.shape, "a path is a table of settings", "give (n, n_electrodes)")
        result = np.empty(volts.shape)
        with one_blas_thread():
            start = self.kernel(volts[0])
            kernel_module.follow(volts, start.params, start.state.copy(), result)
        lost = np.nonzero(~np.isfinite(result).all(axis=1))[0]
        if len(lost):
            raise ConvergenceError(
                "voltages", np.round(volts[lost[0]], 4).tolist(), "no stationary state found", "try a nearby setting"
            )
        return result

    def conductances(self, voltages: Any) -> FloatArray:
        """Exact small-signal conductances dI_j/dV_k by implicit differentiation.

        With F(p, V) = 0:  dI/dV = dI/dV|_p - (dI/dp) (dF/dp)^-1 (dF/dV).

        Parameters
        ----------
        voltages : array_like, shape (..., n_electrodes)
            V.

        Returns
        -------
        ndarray, shape (..., n_electrodes, n_electrodes)
            S.

        Raises
        ------
        InputError, ConvergenceError
            As `solve`.
        """
        volts = self.network.check_voltages(voltages)
        result = np.empty((*volts.shape, volts.shape[-1]))
        start = None
        with one_blas_thread():
            for index in np.ndindex(volts.shape[:-1]):
                scaled = volts[index] / self.network.thermal_energy_eV
                start = self._solve(scaled, start).occupations
                energy = self._balance(scaled, start)[2]
                rate_p, rate_v, current_p, current_v = self._jacobian(scaled, start, energy)
                total = current_v - current_p @ np.linalg.solve(rate_p, rate_v)
                result[index] = total * self._current_A / self.network.thermal_energy_eV
        return result

    def adjoint(self, voltages: Any) -> tuple[FloatArray, FloatArray]:
        """How the currents answer to inflows into the sites: (dI/dp) (dF/dp)^-1, with its sign turned.

        A small source s of holes (1/s) at the sites changes the currents by e sum_i w_ki s_i. The weights of one site
        add up to -1: what is put in comes out.

        Parameters
        ----------
        voltages : array_like, shape (n_electrodes,)
            V.

        Returns
        -------
        weights : ndarray, shape (n_electrodes, n_sites)
        occupations : ndarray, shape (n_sites,)

        Raises
        ------
        InputError, ConvergenceError
            As `solve`.
        """
        p = self.solve(voltages).occupations
        volts = self.network.check_voltages(voltages) / self.network.thermal_energy_eV
        with one_blas_thread():
            rate_p, _, current_p, _ = self._jacobian(volts, p, self._balance(volts, p)[2])
            return np.asarray(-np.linalg.solve(rate_p.T, current_p.T).T), p

    def kernel(self, voltages: Any, *, seed: int = 0) -> SteppableKernel:
        """Compiled form for co-simulation, settled at `voltages` (V, (n_electrodes,)); `seed` is not needed."""
        net = self.network
        n, k = net.n_sites, net.n_electrodes
        pairs, leads = len(self._hops[0]), len(self._hops[4])
        header = np.zeros(kernel_module.HEADER)
        header[kernel_module.N_SITES] = n
        header[kernel_module.N_ELECTRODES] = k
        header[kernel_module.N_PAIRS] = pairs
        header[kernel_module.N_LEADS] = leads
        header[kernel_module.TOLERANCE] = self.tolerance
        header[kernel_module.THERMAL_V] = net.thermal_energy_eV
        header[kernel_module.CURRENT_A] = self._current_A
        hops = [a.view(np.float64) if a.dtype == np.uint64 else a for a in self._hops]
        params = np.concatenate([header, *hops, self._fixed, self._phi.ravel(), self._coulomb.ravel()])
        state = np.zeros(kernel_module.state_size(n, k, pairs, leads))
        at = kernel_module.STATE_HEADER
        volts = net.check_voltages(voltages)
        state[at : at + n] = self.solve(volts).occupations
        state[at + 4 * n : at + 4 * n + k] = volts / net.thermal_energy_eV
        return SteppableKernel(
            kernel_module.evaluate,
            kernel_module.advance,
            params,
            state,
            self.conductances(volts),
            (f"{kernel_module.__name__}:c_evaluate", f"{kernel_module.__name__}:c_advance"),
        )
