"""The mean field: stationary occupations and currents from rate equations with Hartree energies.

Equations in `kernel`. Smooth up to the kinks of the hop rates, with exact derivatives; compared with kinetic
Monte Carlo in the tests. Self-exclusion (a hole does not repel itself) makes it agree with Monte Carlo; it also breaks
detailed balance a little, so a small current flows at equal voltages: the bound is in docs/decisions.md and tested.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnpu_models.interface import memoryless
from dnpu_models.interface.device import SteppableKernel
from dnpu_models.mean_field import batch, chord, stepper
from dnpu_models.mean_field import kernel as kernel_module
from dnpu_models.mean_field.equations import ComplexArray, Linearisation, RateEquations
from dnpu_models.mean_field.states import StationaryState
from dnpu_models.mean_field.states import search as search_states
from dnpu_models.mean_field.transient import MeanFieldTransient
from dnpu_models.mean_field.transient import run as run_transient
from dnpu_models.mean_field.trust import MeanFieldTrust, half_range_V, trust, warn_if_outside
from dnpu_models.network.network import DopantNetwork, NetworkModel, check_frequencies
from inmateria.checks import FloatArray, array, count
from inmateria.errors import ConvergenceError, InputError
from inmateria.threads import one_blas_thread

_MAX_JACOBIANS = 6  # of a warm start before it is done cold
_USUAL_CHORD = 3  # iterations that a fresh Jacobian needs too
_REFRESH_COST = 24  # iterations that cost as much as a Jacobian
_FAR = 2.0  # change of a voltage, in kT/e, after which the kept Jacobian is not tried


@dataclass(eq=False)
class _Kept:
    """A linearisation, the last solution found with it, dp/dV there, and the iterations that were spent on its age."""

    tangent: Linearisation
    volts: FloatArray
    p: FloatArray
    shift: FloatArray
    excess: int = 0


@dataclass(frozen=True, eq=False)
class MeanFieldSolution:
    """Stationary state at one set of voltages.

    Attributes
    ----------
    occupations : ndarray, shape (n_sites,)
    currents_A : ndarray, shape (n_electrodes,)
        Into the device.
    imbalance : float
        Largest |dp/dt| left, in units of nu_0; of a warm start, before its last step.
    jacobians : int
        Jacobians that were computed; 0 if a kept one did.
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


class MeanField(NetworkModel):
    """Mean-field model of a dopant network: currents, exact conductances, and a kernel for co-simulation.

    Parameters
    ----------
    network : DopantNetwork
    tolerance : float
        Error of a current followed inside a transient, as a fraction of the largest electrode current.
    warn : bool
        Whether to warn of a network for which the mean field is not to be trusted (`mean_field.trust`).

    Warns
    -----
    MeanFieldTrustWarning
        If currents may be off by more than 10 % even at the largest voltages the network allows.

    Raises
    ------
    InputError
        For a tolerance that is none, or acceptors that no chain of hops connects to an electrode.
    """

    def __init__(self, network: DopantNetwork, *, tolerance: float = 1e-6, warn: bool = True) -> None:
        if not (isinstance(tolerance, float | int) and 0 < tolerance < 1):
            raise InputError("tolerance", tolerance, "must lie between 0 and 1", "1e-6 suits most circuits")
        self.network = network
        self.tolerance = tolerance
        lost = _out_of_reach(network)
        if len(lost):
            problem = "no chain of hops leads from these acceptors to an electrode, so their occupation is undetermined"
            fix = "raise hop_max_m, place more acceptors, or use KineticMonteCarlo"
            raise InputError("acceptors_m", lost[:8].tolist(), problem, fix)
        if warn:
            warn_if_outside(network, stacklevel=2)
        self._equations = RateEquations.of(network)
        self._kept: list[_Kept] = []  # from the last warm starts, one for each thread

    @property
    def temperature_K(self) -> float:
        """Of the network, K."""
        return self.network.temperature_K

    def at_temperature(self, temperature_K: float) -> MeanField:
        """The same network at another temperature (K); errors as `DopantNetwork`."""
        return MeanField(replace(self.network, temperature_K=temperature_K), tolerance=self.tolerance, warn=False)

    def solve(self, voltages: Any, *, start: FloatArray | None = None) -> MeanFieldSolution:
        """Stationary state at one set of electrode voltages.

        Without `start`: the state to which the device relaxes when the voltages are switched on at rest, by implicit
        Euler steps that grow as the relaxation ends. With `start`: by Broyden's method with the factors of the Jacobian
        kept from the last such call, renewed when they are too old; where that fails, as without. The state found then
        depends on earlier calls by no more than the iteration's end, 1e-11.

        Parameters
        ----------
        voltages : array_like, shape (n_electrodes,)
            V.
        start : ndarray, shape (n_sites,), optional
            Occupations to start from, e.g. those of a neighbouring solution.

        Raises
        ------
        InputError
            For voltages of the wrong shape, not finite or beyond the limit, or a start of the wrong shape.
        ConvergenceError
            If no stationary state is found.
        """
        volts = self._setting(voltages)
        if start is None:
            return self._cold(volts)
        return self._warm(volts, self._occupations(start), self._kept)

    def _occupations(self, start: Any) -> FloatArray:
        return np.asarray(np.clip(array("start", start, (self.network.n_sites,)), 0.0, 1.0))

    def _setting(self, voltages: Any) -> FloatArray:
        """One set of voltages, checked, in kT/e."""
        return self.one_setting(voltages) / self.network.thermal_energy_eV

    def _relaxed(self, volts: FloatArray, start: FloatArray) -> tuple[MeanFieldSolution, bool]:
        """Where the relaxation from `start` ends, and whether it has ended: briskly first, then carefully."""
        jacobians = 0
        for wanted, limit in (
            (kernel_module.BRISK, kernel_module.MAX_BRISK),
            (kernel_module.CAREFUL, kernel_module.MAX_RELAXATION),
        ):
            with one_blas_thread():
                p, rate, current, steps = self._equations.relaxed(volts, start, wanted, limit)
            jacobians += abs(steps)
            if steps > 0:
                break
        solution = MeanFieldSolution(p, current * self._equations.current_A, float(np.abs(rate).max()), jacobians)
        return solution, steps > 0

    @cached_property
    def _rest(self) -> FloatArray:
        """Occupations at equal voltages; uniform ones where those cannot be found."""
        holes = max(self.network.n_sites - len(self.network.donors_m), 1)
        uniform = np.full(self.network.n_sites, holes / (self.network.n_sites + 1))
        solution, done = self._relaxed(np.zeros(self.network.n_electrodes), uniform)
        return solution.occupations if done else uniform

    def _cold(self, volts: FloatArray) -> MeanFieldSolution:
        """State reached from rest; a linear conductor stays there (all energies move with their Fermi levels)."""
        solution, done = self._relaxed(volts, self._rest)
        if not done:
            left = f"(imbalance {solution.imbalance:.1e} nu_0 after {solution.jacobians} Jacobians)"
            fix = "try a nearby setting, a higher temperature, or KineticMonteCarlo"
            raise self._lost(volts, f"no stationary state found {left}", fix)
        return solution

    def _lost(self, volts: FloatArray, problem: str, fix: str) -> ConvergenceError:
        """The error at a setting in kT/e."""
        return ConvergenceError("voltages", np.round(volts * self.network.thermal_energy_eV, 4).tolist(), problem, fix)

    def _warm(self, volts: FloatArray, start: FloatArray, kept: list[_Kept]) -> MeanFieldSolution:
        """State found from `start`, with what was kept, which is renewed."""
        equations = self._equations
        p, current = start, np.empty(len(volts))
        try:
            own = kept.pop()  # nobody else has it while it changes
        except IndexError:
            own = None
        if own is not None and (own.excess > _REFRESH_COST or np.abs(volts - own.tangent.volts).max() > _FAR):
            own = None
        for jacobians in range(_MAX_JACOBIANS + 1):
            if own is None:
                with one_blas_thread():
                    tangent = equations.linearise(volts, p)
                if tangent is None:
                    break
                own = _Kept(tangent, volts.copy(), p.copy(), tangent.shift.copy())
            tangent = own.tangent
            count, imbalance = chord.settle(
                equations.arrays, volts, p, tangent.columns, tangent.pivots, tangent.current_p, own.volts, own.p,
                own.shift, current,
            )  # fmt: skip
            if count > 0:
                own.excess += max(count - _USUAL_CHORD, 0)
                kept.append(own)
                return MeanFieldSolution(p, current * equations.current_A, imbalance, jacobians)
            own = None
            if not np.all(np.isfinite(p)):
                break
        solution = self._cold(volts)
        return replace(solution, jacobians=solution.jacobians + jacobians)

    def _along(self, volts: FloatArray) -> Iterator[tuple[tuple[int, ...], MeanFieldSolution]]:
        """Index and solution for each of (..., n_electrodes) voltages, from one to the next."""
        solution: MeanFieldSolution | None = None
        kept: list[_Kept] = []
        for index in np.ndindex(volts.shape[:-1]):
            scaled = volts[index] / self.network.thermal_energy_eV
            solution = self._cold(scaled) if solution is None else self._warm(scaled, solution.occupations.copy(), kept)
            yield index, solution

    def currents(self, voltages: Any) -> FloatArray:
        """Electrode currents (A, into the device) for voltages (..., n_electrodes) in V; same shape.

        Raises
        ------
        InputError, ConvergenceError
            As `solve`.
        """
        volts = self.network.check_voltages(voltages)
        result = np.empty(volts.shape)
        for index, solution in self._along(volts):
            result[index] = solution.currents_A
        return result

    def follow(self, voltages: Any) -> FloatArray:
        """Currents along a path of neighbouring settings, within `tolerance` of the largest; twice as fast.

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
            stepper.follow(volts, start.params, start.state.copy(), result)
        lost = np.nonzero(~np.isfinite(result).all(axis=1))[0]
        if len(lost):
            where = np.round(volts[lost[0]], 4).tolist()
            raise ConvergenceError("voltages", where, "no stationary state found", "try a nearby setting")
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
        with one_blas_thread():
            for index, solution in self._along(volts):
                scaled = volts[index] / self.network.thermal_energy_eV
                result[index] = self._linearised(scaled, solution.occupations).conductances
        return result * self._equations.conductance_S

    def _linearised(self, volts: FloatArray, p: FloatArray) -> Linearisation:
        with one_blas_thread():
            tangent = self._equations.linearise(volts, p)
        if tangent is None:
            fix = "try a nearby setting or a higher temperature"
            raise self._lost(volts, "the stationary state is degenerate (dF/dp is singular)", fix)
        return tangent

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
        volts = self._setting(voltages)
        p = self._cold(volts).occupations
        return self._linearised(volts, p).adjoint, p

    def admittances(self, voltages: Any, frequencies_Hz: Any, *, displacement: bool = True) -> ComplexArray:
        """Small-signal admittances of the holes: current j per voltage k, both as exp(+2 pi i f t).

        Formula in `equations`. At f = 0 they are the conductances. The displacement current of the
        electrodes' own capacitances, which flows without holes, is not in it.

        Parameters
        ----------
        voltages : array_like, shape (n_electrodes,)
            Where to linearise, V.
        frequencies_Hz : array_like, shape (n_frequencies,)
            Not negative.
        displacement : bool
            Whether to count charge displaced by all hops, or only holes that cross the electrode.

        Returns
        -------
        ndarray of complex, shape (n_frequencies, n_electrodes, n_electrodes)
            S.

        Raises
        ------
        InputError, ConvergenceError
            As `solve`; for frequencies that are none.
        """
        volts = self._setting(voltages)
        frequencies = check_frequencies(frequencies_Hz)
        tangent = self._linearised(volts, self._cold(volts).occupations)
        with one_blas_thread():
            return self._equations.admittances(tangent, frequencies, displacement)

    def relaxation_rates(self, voltages: Any) -> ComplexArray:
        """Rates at which small disturbances of the occupations decay: the eigenvalues of dF/dp.

        A mode goes as exp(rate t): the real parts are negative, -1/Re(rate) is the relaxation time, and an imaginary
        part turns the mode, which only happens away from equilibrium.

        Parameters
        ----------
        voltages : array_like, shape (n_electrodes,)
            V.

        Returns
        -------
        ndarray of complex, shape (n_sites,)
            1/s, the slowest first.

        Raises
        ------
        InputError, ConvergenceError
            As `solve`.
        """
        volts = self._setting(voltages)
        tangent = self._linearised(volts, self._cold(volts).occupations)
        with one_blas_thread():
            return self._equations.relaxation_rates(tangent)

    def relaxation_times(self, voltages: Any) -> FloatArray:
        """Relaxation times of small disturbances, s, (n_sites,), the longest first; see `relaxation_rates`."""
        return np.asarray(-1.0 / self.relaxation_rates(voltages).real)

    def transient(
        self, times_s: Any, voltages: Any, *, start: FloatArray | None = None, relative_tolerance: float = 1e-6
    ) -> MeanFieldTransient:
        """Occupations and currents while the voltages change, however fast; method in `transient`.

        Parameters
        ----------
        times_s : array_like, shape (n_times,)
            Rising, at least two, s.
        voltages : array_like, shape (n_times, n_electrodes)
            V, linear in between.
        start : ndarray, shape (n_sites,), optional
            Occupations at the first time; default: stationary at its voltages.
        relative_tolerance : float
            Error of an occupation per step, as a fraction of it.

        Raises
        ------
        InputError
            For times that do not rise, voltages of the wrong shape or beyond the limit, a start or a tolerance that is
            none.
        ConvergenceError
            If the integration fails.
        """
        times = np.array(times_s, dtype=float)
        volts = self.network.check_voltages(voltages)
        if times.ndim != 1 or len(times) < 2 or not np.all(np.isfinite(times)) or np.any(np.diff(times) <= 0):
            raise InputError("times_s", times.shape, "must be finite and rise, at least two", "check the array")
        if volts.shape != (len(times), self.network.n_electrodes):
            problem = f"a row for each of the {len(times)} times is required"
            raise InputError("voltages", volts.shape, problem, "check the array")
        if not (isinstance(relative_tolerance, float | int) and 1e-13 <= relative_tolerance < 0.1):
            raise InputError("relative_tolerance", relative_tolerance, "must lie in [1e-13, 0.1)", "1e-6 is usual")
        scaled = volts / self.network.thermal_energy_eV
        p = self._cold(scaled[0]).occupations if start is None else self._occupations(start)
        with one_blas_thread():
            return run_transient(self._equations, times, scaled, p, relative_tolerance)

    def stationary_states(self, voltages: Any, *, starts: Any = 32, seed: int = 0) -> list[StationaryState]:
        """All stationary states that a search finds, each with its stability and currents.

        Parameters
        ----------
        voltages : array_like, shape (n_electrodes,)
            V.
        starts : int or array_like, shape (n, n_sites)
            Occupations to relax from; a number of random ones, half of them with every site full or empty, beside the
            one at rest.
        seed : int
            Decides the random starts.

        Returns
        -------
        list of StationaryState
            Stable ones first, those found from most starts first. Not finding more is no proof that there are none.

        Raises
        ------
        InputError
            As `solve`; for starts that are none.
        ConvergenceError
            If no start leads to a state.
        """
        volts = self._setting(voltages)
        n = self.network.n_sites
        if isinstance(starts, int):
            count("starts", starts)
            rng = np.random.default_rng(seed)
            random = rng.uniform(0, 1, (starts, n))
            random[::2] = random[::2] < rng.uniform(0, 1, (len(random[::2]), 1))
            places = np.vstack([self._rest, random])
        else:
            places = np.atleast_2d(np.array(starts, dtype=float))
            if places.ndim != 2 or places.shape[1] != n or not np.all((places >= 0) & (places <= 1)):
                problem = f"rows of {n} occupations in [0, 1] are required"
                raise InputError("starts", places.shape, problem, "check them")
        with one_blas_thread():
            states = search_states(self._equations, volts, places)
        if not states:
            fix = "give more, or raise the temperature"
            raise ConvergenceError("starts", len(places), "none led to a stationary state", fix)
        return states

    def trust(self, voltages: Any) -> MeanFieldTrust:
        """How far the currents at `voltages` (V, (..., n_electrodes)) may be from the truth; for the least driven."""
        volts = self.network.check_voltages(voltages)
        return trust(self.network, min(map(half_range_V, volts.reshape(-1, self.network.n_electrodes))))

    def kernel(self, voltages: Any, *, seed: int = 0) -> SteppableKernel:
        """Compiled form for co-simulation, settled at `voltages` (V, (n_electrodes,)); `seed` is not needed."""
        equations, volts = self._equations, self._setting(voltages)
        p = self._cold(volts).occupations
        params = stepper.params_of(equations, self.tolerance)
        return SteppableKernel(
            stepper.evaluate,
            memoryless.advance,
            params,
            stepper.start_state(params, volts, p, batch.memory_size(*equations.phi.shape)),
            self._linearised(volts, p).conductances * equations.conductance_S,
            (f"{stepper.__name__}:c_evaluate", memoryless.C_ADVANCE),
            (f"{batch.__name__}:c_many", f"{batch.__name__}:c_many_single"),
        )
