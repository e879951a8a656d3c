r"""The master equation: the hopping model solved exactly over all 2^N occupations, for up to 14 sites.

No sampling and no closure: what kinetic Monte Carlo estimates and the mean field approximates. Equations of the rates
in `network`. With Q the generator (Q_st the rate from occupation s to t, rows adding up to zero), pi Q = 0 the
stationary distribution, and w_k(e) the charge in units of e that event e drives into the device at electrode k,

    I_k     = e sum_e pi_s r_e w_k(e),
    S_jk(f) = 2 e^2 sum_e pi_s r_e (w_j + h_j(t) - h_j(s)) (w_k + h_k(t) - h_k(s))^*,
    Y_jk(f) = e sum_e pi_s (dr_e/dV_k) (w_j + h_j(t) - h_j(s)),
    (i omega - Q) h_j = r_j - (pi r_j) 1,    r_j(s) = sum over events e out of s of r_e w_j(e),

sums over all events e from s to t. Derivation of S: the number of events e by time T is a martingale M_e plus the
integral of its rate, and by Dynkin's formula the integral of exp(-i omega t) (r_j(X_t) - mean) is minus a boundary term
plus the sum over jumps of exp(-i omega t) (h_j(t) - h_j(s)), compensated. So the Fourier transform of the current is,
up to a term that does not grow, the integral of exp(-i omega t) against one martingale, of which S is the variance.
Multiplied out it is the known resolvent form (A. N. Korotkov, Phys. Rev. B 49, 10381 (1994); C. Flindt, T. Novotny and
A.-P. Jauho, Phys. Rev. B 70, 205334 (2004)),

    S_jk(f) = 2 e^2 [ D_jk + b_k R r_j + (b_j R r_k)^* ],    D_jk = sum_e pi_s r_e w_j w_k,
    b_k(t) = sum over events e into t of pi_s r_e w_k(e),    R = (i omega - Q)^-1 without its stationary part,

but is Hermitian and not negative as it stands. Y is the linear response to V exp(i omega t) (differentiate pi Q = 0);
at f = 0 it is the conductance.

Weights (W. Shockley, J. Appl. Phys. 9, 635 (1938); S. Ramo, Proc. IRE 27, 584 (1939)): let psi_k be phi_k at a site, 1
at electrode k and 0 at another. A hole that moves from place u to v drives w_k = psi_k(u) - psi_k(v), displacement
included; counting only holes that cross electrode k is the same with phi_k = 0 at all sites. The means are equal.

The linear algebra never subtracts (`gth_elimination`), so every probability has a small relative error. Occupations
with n holes reach only those with n - 1 and n + 1: dense blocks of at most C(N, N/2) states. Response and noise do
subtract: they are good to rounding times the ratio of the fastest rate to the slowest relaxation (or omega, if that is
faster), which is measured at every call; beyond 1e-6 an error is raised.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from dnpu_models.master_equation.gth_elimination import SMALLEST, Elimination, underflow
from dnpu_models.master_equation.transitions import Transitions
from dnpu_models.network.constants import ELEMENTARY_CHARGE
from dnpu_models.network.network import DopantNetwork, NetworkModel, check_frequencies
from inmateria.checks import FloatArray, count
from inmateria.errors import ConvergenceError, InputError
from inmateria.threads import one_blas_thread

MAX_SITES = 14

_EVENTS = 1 << 16  # events summed at once
_LOST = 1e-6  # largest part of the response that may be rounding
_BALANCE = 1e-8  # largest relative difference between what flows into a state and out of it

ComplexArray = NDArray[np.complex128]
IntArray = NDArray[np.int64]


class _Events(NamedTuple):
    """What does not depend on the voltages: see `Transitions`; barriers at zero volts, prefactors in nu_0."""

    states: IntArray
    start: IntArray
    end: IntArray
    source: IntArray
    destination: IntArray
    barrier_eV: FloatArray
    prefactor: FloatArray


class _Stationary(NamedTuple):
    """Stationary state on the occupations that are visited again and again."""

    states: IntArray
    start: IntArray
    end: IntArray
    flow: FloatArray  # pi r, in nu_0
    climbs: NDArray[np.bool_]  # dE > 0: the rate depends on the barrier
    rates: FloatArray  # in nu_0
    weights: tuple[FloatArray, FloatArray]  # without and with displacement
    matrix: Any
    holes: IntArray
    p: FloatArray
    elimination: Elimination


@dataclass(frozen=True, eq=False)
class MasterEquation(NetworkModel):
    """Exact stationary model of a small dopant network; equations in the module's docstring.

    Time and memory grow as C(N, N/2)^3 and ^2. One setting of eight electrodes on one core of a small server, currents
    or conductances: 0.015 s for 8 sites, 0.08 s for 10, 0.7 s for 12, 20 s and 1.9 GB for 14.

    Parameters
    ----------
    network : DopantNetwork
        At most 14 sites.

    Raises
    ------
    InputError
        For more sites.
    """

    network: DopantNetwork

    def __post_init__(self) -> None:
        if self.network.n_sites > MAX_SITES:
            problem = f"the master equation has 2^n_sites occupations, at most {MAX_SITES} sites are feasible"
            fix = "place fewer acceptors, or use KineticMonteCarlo or MeanField"
            raise InputError("n_sites", self.network.n_sites, problem, fix)

    # ------------------------------------------------------------------------------------------------- transitions

    @cached_property
    def _place_potentials(self) -> FloatArray:
        return np.vstack([self.network.unit_potentials, np.eye(self.network.n_electrodes)])

    @cached_property
    def _islands(self) -> int:
        """Groups of sites between which no hole can move: electrodes join what they contact."""
        network = self.network
        contacted = np.max(network.electrode_prefactors_Hz, axis=1) > 0
        reach = (network.hop_prefactors_Hz > 0) | np.logical_and.outer(contacted, contacted)
        return int(connected_components(reach, directed=False)[0])

    @cached_property
    def _open(self) -> _Events:
        return self._events(np.arange(1 << self.network.n_sites))

    def _events(self, states: IntArray) -> _Events:
        network = self.network
        n = network.n_sites
        occupied: NDArray[np.bool_] = np.asarray((states[:, None] >> np.arange(n)) & 1, dtype=bool)
        energy = network.fixed_energies_eV - ~occupied @ network.coulomb_eV
        parts: list[tuple[Any, ...]] = []

        def add(u: int, v: int, possible: NDArray[np.bool_], change: int, barrier: Any, prefactor: float) -> None:
            start = np.nonzero(possible)[0]
            end = np.searchsorted(states, states[start] + change)
            place = np.ones(len(start), dtype=np.int64)
            parts.append((start, end, u * place, v * place, barrier[start], prefactor * place))

        for i, j in np.argwhere(network.hop_prefactors_Hz > 0).tolist():
            barrier = energy[:, j] - energy[:, i] - network.coulomb_eV[i, j]
            prefactor = network.hop_prefactors_Hz[i, j] / network.attempt_rate_Hz
            add(i, j, occupied[:, i] & ~occupied[:, j], (1 << j) - (1 << i), barrier, prefactor)
        for i, k in np.argwhere(network.electrode_prefactors_Hz > 0).tolist():
            prefactor = network.electrode_prefactors_Hz[i, k] / network.attempt_rate_Hz
            add(n + k, i, ~occupied[:, i], 1 << i, energy[:, i], prefactor)
            add(i, n + k, occupied[:, i], -(1 << i), -energy[:, i], prefactor)
        empty = [np.empty(0, dtype=np.int64)] * 4 + [np.empty(0), np.empty(0)]
        return _Events(states, *(np.concatenate(columns) for columns in zip(empty, *parts, strict=True)))

    def _check_holes(self, holes: int | None) -> _Events:
        contacts = bool((self.network.electrode_prefactors_Hz > 0).any())
        if holes is None:
            if not contacts:
                problem = "no electrode is within reach of a site: the number of holes never changes"
                fix = "give `holes`, raise hop_max_m, or bring electrodes within reach"
                raise InputError("holes", holes, f"{problem}, so the stationary state is not unique", fix)
        else:
            count("holes", holes, 0, self.network.n_sites)
            if contacts:
                problem = "electrodes exchange holes with the sites: their number is not fixed"
                raise InputError("holes", holes, problem, "leave it out")
        if self._islands > 1:
            problem = "no chain of hops joins these groups of sites, or some of them to an electrode"
            fix = "raise hop_max_m, place more acceptors, or use KineticMonteCarlo"
            raise InputError("acceptors_m", self._islands, f"{problem}, so the stationary state is not unique", fix)
        if holes is None:
            return self._open
        states = np.arange(1 << self.network.n_sites)
        return self._events(states[np.bitwise_count(states) == holes])

    def _rates(self, events: _Events, volts: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Rates in nu_0 and barriers in eV."""
        shift = self._place_potentials @ volts
        barrier = events.barrier_eV + shift[events.destination] - shift[events.source]
        rates = events.prefactor * np.exp(-np.maximum(barrier, 0.0) / self.network.thermal_energy_eV)
        return np.where(rates > SMALLEST, rates, 0.0), barrier

    def transitions(self, voltages: Any, *, holes: int | None = None) -> Transitions:
        """All hops between occupations.

        Parameters
        ----------
        voltages : array_like, shape (n_electrodes,)
            V.
        holes : int, optional
            Number of holes of a device without contacts; see `occupations_distribution`.

        Raises
        ------
        InputError
            As `occupations_distribution`.
        """
        volts, events = self.one_setting(voltages), self._check_holes(holes)
        rates, barriers = self._rates(events, volts)
        return Transitions(
            states=events.states,
            start=events.start,
            end=events.end,
            rates_Hz=rates * self.network.attempt_rate_Hz,
            barriers_eV=barriers,
            source=events.source,
            destination=events.destination,
            place_potentials=self._place_potentials,
        )

    # -------------------------------------------------------------------------------------------- stationary state

    def _solve(self, events: _Events, volts: FloatArray) -> _Stationary:
        rates, barrier = self._rates(events, volts)
        states, start, end, n = events.states, events.start, events.end, len(events.states)
        matrix = sparse.coo_array((rates, (start, end)), shape=(n, n)).tocsr()
        matrix.eliminate_zeros()
        keep: Any = slice(None)
        count, label = connected_components(matrix, directed=True, connection="strong")
        if count > 1:  # rates that underflow make states unreachable; the others are solved
            row, column = matrix.nonzero()
            closed = np.setdiff1d(np.arange(count), label[row][label[row] != label[column]])
            if len(closed) != 1:
                raise underflow()
            visited = np.nonzero(label == closed[0])[0]
            keep = label[start] == closed[0]
            place = np.zeros(n, dtype=np.int64)
            place[visited] = np.arange(len(visited))
            states, matrix = states[visited], matrix[visited][:, visited]
            keep &= rates > 0
            start, end = place[start[keep]], place[end[keep]]
        rates = rates[keep]
        holes = np.bitwise_count(states).astype(np.int64)
        elimination = Elimination(matrix, holes)
        p = elimination.stationary()
        flow = p[start] * rates
        out = np.bincount(start, weights=flow, minlength=len(states))
        into = np.bincount(end, weights=flow, minlength=len(states))
        counts = out > 1e-280
        worst = float(np.max(np.abs(into - out)[counts] / out[counts], initial=0.0))
        if not (worst < _BALANCE and np.all(np.isfinite(p))):
            problem = f"flows into and out of an occupation differ by a fraction of {worst:.1e}"
            fix = "raise temperature_K or lower the voltages"
            raise ConvergenceError("voltages", np.round(volts, 4).tolist(), problem, fix)
        psi, bare = self._place_potentials, self._place_potentials.copy()
        bare[: self.network.n_sites] = 0.0
        u, v = events.source[keep], events.destination[keep]
        weights = (bare[u] - bare[v], psi[u] - psi[v])
        return _Stationary(states, start, end, flow, barrier[keep] > 0, rates, weights, matrix, holes, p, elimination)

    def _at_each(
        self, voltages: Any, holes: int | None, answer: Callable[[_Stationary], Any], *shape: int
    ) -> FloatArray:
        """What the stationary state of each setting answers, an array of this shape."""
        volts, events = self.network.check_voltages(voltages), self._check_holes(holes)
        result = np.empty((*volts.shape[:-1], *shape))
        with one_blas_thread():
            for index in np.ndindex(volts.shape[:-1]):
                result[index] = answer(self._solve(events, volts[index]))
        return result

    def occupations_distribution(self, voltages: Any, *, holes: int | None = None) -> FloatArray:
        """Stationary probability of every occupation.

        Parameters
        ----------
        voltages : array_like, shape (n_electrodes,)
            V.
        holes : int, optional
            Number of holes of a device whose electrodes are all out of reach; needed there, refused elsewhere.

        Returns
        -------
        ndarray, shape (2**n_sites,)
            Bit i of the index is set if site i holds a hole. Zero for other numbers of holes, if `holes` is given.

        Raises
        ------
        InputError
            For voltages of the wrong shape, not finite or beyond the limit; if electrodes or chains of hops do not
            reach all sites, so that the stationary state is not unique.
        ConvergenceError
            If rates underflow so far that occupations have no way out, or the flows do not balance to 1e-8.
        """
        volts, events = self.one_setting(voltages), self._check_holes(holes)
        with one_blas_thread():
            solution = self._solve(events, volts)
        result = np.zeros(1 << self.network.n_sites)
        result[solution.states] = solution.p
        return result

    def site_occupations(self, voltages: Any, *, holes: int | None = None) -> FloatArray:
        """Probability that each site holds a hole.

        Parameters
        ----------
        voltages : array_like, shape (..., n_electrodes)
            V.
        holes : int, optional
            As in `occupations_distribution`.

        Returns
        -------
        ndarray, shape (..., n_sites)

        Raises
        ------
        InputError, ConvergenceError
            As `occupations_distribution`.
        """
        sites = np.arange(self.network.n_sites)
        return self._at_each(voltages, holes, lambda it: it.p @ ((it.states[:, None] >> sites) & 1), len(sites))

    def currents(self, voltages: Any) -> FloatArray:
        """Mean electrode currents, A, positive into the device.

        The error is about 1e-15 of the gross flow of holes through an electrode, in and out, times e.

        Parameters
        ----------
        voltages : array_like, shape (..., n_electrodes)
            V.

        Returns
        -------
        ndarray, shape (..., n_electrodes)

        Raises
        ------
        InputError, ConvergenceError
            As `occupations_distribution`.
        """
        result = self._at_each(voltages, None, lambda found: found.flow @ found.weights[0], self.network.n_electrodes)
        return result * (ELEMENTARY_CHARGE * self.network.attempt_rate_Hz)

    # ----------------------------------------------------------------------------------------- response and noise

    def _jumps(self, solution: _Stationary, displacement: bool, omega: float, last: int | None) -> Any:
        """Function of a slice of events: w + h(end) - h(start), (n, n_electrodes), at `omega` in nu_0.

        Solved along with h is a right-hand side made from a solution that is known, random from state to state. If the
        slowest relaxations lie so far below the fastest rates that rounding decides, it does not come back.
        """
        weights, start, end, p = solution.weights[displacement], solution.start, solution.end, solution.p
        n, electrodes = len(p), weights.shape[1]
        known = np.random.default_rng(0).uniform(-1.0, 1.0, n)
        known -= p @ known
        given = np.empty((n, electrodes + 1), dtype=complex if omega > 0 else float)
        for k in range(electrodes):
            given[:, k] = np.bincount(start, weights=solution.rates * weights[:, k], minlength=n)
        given[:, -1] = -np.bincount(start, weights=solution.rates * (known[end] - known[start]), minlength=n)
        given -= p @ given
        if omega > 0:
            given[:, -1] += 1j * omega * known
        elimination = Elimination(solution.matrix, solution.holes, last, omega) if omega > 0 else solution.elimination
        h = elimination.solve(given, p)
        off, h = h[:, -1] - known, h[:, :-1]

        def jumps(part: slice) -> Any:
            return weights[part] + (h[end[part]] - h[start[part]])

        wrong, gross, sizes = 0.0, 0.0, np.zeros(electrodes)
        for part in _chunks(len(start)):
            flow = solution.flow[part]
            wrong += float(flow @ np.abs(off[end[part]] - off[start[part]]) ** 2)
            gross += float(flow @ (known[end[part]] - known[start[part]]) ** 2)
            sizes += flow @ np.abs(jumps(part)) ** 2
        if not np.sqrt(wrong) <= max(_LOST * np.sqrt(sizes.max()), _LOST**2 * np.sqrt(gross)):
            problem = "some relaxations are so slow beside the fastest hops that rounding decides response and noise"
            fix = "raise temperature_K, or ask for higher frequencies; `currents` are not affected"
            raise ConvergenceError("voltages", f"error {np.sqrt(wrong / gross):.0e}", problem, fix)
        return jumps

    def _response(self, solution: _Stationary, jumps: Any) -> Any:
        """dI_j/dV_k in e^2 nu_0/kT: events whose barrier is positive have dr/dV_k = r w_k/kT, the others 0."""
        total: Any = 0.0
        for part in _chunks(len(solution.flow)):
            slope = (solution.flow[part] * solution.climbs[part])[:, None] * solution.weights[1][part]
            total = total + jumps(part).T @ slope
        return total

    def conductances(self, voltages: Any) -> FloatArray:
        """Exact small-signal conductances dI_j/dV_k by implicit differentiation of the stationary equations.

        At a kink of a rate, dE = 0, the derivative towards lower dE is taken.

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
        InputError
            As `occupations_distribution`.
        ConvergenceError
            As `occupations_distribution`; if relaxations are too slow for double precision (low temperatures).
        """
        size = self.network.n_electrodes
        answer = self._at_each(
            voltages, None, lambda found: self._response(found, self._jumps(found, False, 0.0, None)), size, size
        )
        return answer * self._unit_S

    @property
    def _unit_S(self) -> float:
        return ELEMENTARY_CHARGE * self.network.attempt_rate_Hz / self.network.thermal_energy_eV

    def admittances(
        self, voltages: Any, frequencies_Hz: Any, *, displacement: bool = True, holes: int | None = None
    ) -> ComplexArray:
        """Small-signal admittances of the holes: current j per voltage k, both as exp(+2 pi i f t).

        The displacement current of the electrodes' own capacitances, which flows without holes, is not in it.

        Parameters
        ----------
        voltages : array_like, shape (n_electrodes,)
            Where to linearise, V.
        frequencies_Hz : array_like, shape (n_frequencies,)
            Not negative.
        displacement : bool
            Whether to count charge displaced by all hops, or only holes that cross the electrode.
        holes : int, optional
            As in `occupations_distribution`.

        Returns
        -------
        ndarray of complex, shape (n_frequencies, n_electrodes, n_electrodes)
            S.

        Raises
        ------
        InputError
            As `occupations_distribution`; for frequencies that are none.
        ConvergenceError
            As `conductances`.
        """
        return self._spectrum(voltages, frequencies_Hz, displacement, holes, self._response) * self._unit_S

    def noise_psd(
        self, voltages: Any, frequencies_Hz: Any, *, displacement: bool = True, holes: int | None = None
    ) -> ComplexArray:
        """One-sided spectral densities of the electrode currents and between them, exact at every frequency.

        S_jk(f) = 2 int <dI_j(t + tau) dI_k(t)> exp(-2 pi i f tau) dtau; formula and derivation in the module's
        docstring. Classical: no hop has a duration, so the limit of high f is the shot noise of all hops.

        Parameters
        ----------
        voltages : array_like, shape (n_electrodes,)
            V.
        frequencies_Hz : array_like, shape (n_frequencies,)
            Not negative. Each other than 0 costs one complex factorisation, two to four times a stationary state.
        displacement : bool
            Whether to count charge displaced by all hops (Ramo and Shockley: what an ammeter sees), or only holes that
            cross the electrode. The same as f goes to 0.
        holes : int, optional
            As in `occupations_distribution`.

        Returns
        -------
        ndarray of complex, shape (n_frequencies, n_electrodes, n_electrodes)
            A^2/Hz; Hermitian, the diagonal real.

        Raises
        ------
        InputError
            As `occupations_distribution`; for frequencies that are none.
        ConvergenceError
            As `conductances`.
        """
        unit = 2 * ELEMENTARY_CHARGE**2 * self.network.attempt_rate_Hz
        result = self._spectrum(voltages, frequencies_Hz, displacement, holes, self._noise)
        return 0.5 * unit * (result + result.conj().swapaxes(1, 2))

    def _noise(self, solution: _Stationary, jumps: Any) -> Any:
        """Spectral densities in 2 e^2 nu_0."""
        total: Any = 0.0
        for part in _chunks(len(solution.flow)):
            x = jumps(part)
            total = total + (x.T * solution.flow[part]) @ x.conj()
        return total

    def _spectrum(
        self, voltages: Any, frequencies_Hz: Any, displacement: bool, holes: int | None, evaluate: Any
    ) -> ComplexArray:
        volts, events = self.one_setting(voltages), self._check_holes(holes)
        frequencies = check_frequencies(frequencies_Hz)
        result = np.zeros((len(frequencies), len(volts), len(volts)), dtype=np.complex128)
        with one_blas_thread():
            solution = self._solve(events, volts)
            likely = int(np.argmax(solution.p))
            for index, omega in enumerate(2 * np.pi * frequencies / self.network.attempt_rate_Hz):
                result[index] = evaluate(solution, self._jumps(solution, bool(displacement), float(omega), likely))
        return result


def _chunks(count: int) -> list[slice]:
    return [slice(first, first + _EVENTS) for first in range(0, count, _EVENTS)]
