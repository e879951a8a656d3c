"""Kinetic Monte Carlo: exact trajectories of the holes, with their full long-range Coulomb interaction.

The truth at any size, within a stated statistical error; equations in `network`, methods in `row_kernel` and
`graph_kernel`. Mean currents are estimated in two ways from the same trajectory:

    by counts   holes that come in through an electrode less those that leave, times e, per time;
    by rates    the time average of the expected current b_k = I_k + sum_i w_ki F_i in the states visited, with I_k the
                rate of holes in through electrode k less that out, and F_i the rate at which site i gains holes. F_i
                vanishes in the mean, whatever the weights; the mean field's adjoint, w = -(dF/dp)^-T dI/dp, makes b_k
                stationary against small fluctuations of the occupations, so nearly constant: a control variate.

Both are right for the mean; neither is the current at an instant, which has a displacement part.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dnpu_models.interface.device import SteppableKernel
from dnpu_models.mean_field.model import MeanField
from dnpu_models.monte_carlo import graph_kernel, sampling
from dnpu_models.monte_carlo import stepper as kmc_steppable
from dnpu_models.monte_carlo.current_record import CurrentRecord, record_currents
from dnpu_models.monte_carlo.estimate import ConductanceEstimate, Estimate
from dnpu_models.monte_carlo.hop_tables import HopTables, hop_tables
from dnpu_models.monte_carlo.reference import DirectTables, direct_tables
from dnpu_models.monte_carlo.trajectory import Energies, Method, Trajectory
from dnpu_models.network.network import DopantNetwork, NetworkModel
from inmateria.checks import FloatArray, count, positive
from inmateria.errors import ConvergenceError, InputError

BATCHES = 32
"""Batches by default: a standard error from 32 is itself good to 13 %."""
HOPS_PER_SETTING = 200_000


@dataclass(frozen=True, eq=False)
class KineticMonteCarlo(NetworkModel):
    """Exact stochastic model of a dopant network.

    It holds its network only; every run brings its own state and seed.
    """

    network: DopantNetwork
    random: ClassVar[bool] = True

    @cached_property
    def _tables(self) -> HopTables:
        return hop_tables(self.network)

    @cached_property
    def _mean_field(self) -> MeanField | None:
        try:
            return MeanField(self.network, warn=False)  # a guide need not be right
        except InputError:
            return None

    def _guide(self, volts: FloatArray) -> tuple[FloatArray, FloatArray | None]:
        """Weights for the estimate by rates, and occupations to start from, by the mean field where it has a state.

        Without one the weights are the unit potentials: any do, these keep the currents' sum at zero.
        """
        if self._mean_field is not None:
            try:
                weight, occupations = self._mean_field.adjoint(volts)
                return np.ascontiguousarray(weight.T), occupations
            except ConvergenceError:
                pass
        return -np.ascontiguousarray(self.network.unit_potentials), None

    def estimate(
        self,
        voltages: Any,
        *,
        seed: int | np.random.Generator,
        hops: int | None = None,
        until: float | None = None,
        electrode: int | None = None,
        burn_in: int | None = None,
        batches: int = BATCHES,
        initial: Any = None,
        threads: int = 1,
        method: Method | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Estimate:
        r"""Mean electrode currents with their standard errors.

        One trajectory per setting: `burn_in` hops that count for nothing, then `hops` in `batches` batches of
        equally many hops (within one). With Q_b the charge that came in and T_b the time of batch b,

            I = sum_b Q_b / sum_b T_b,    stderr^2 = sum_b (Q_b - I T_b)^2 / ((B - 1) B (mean T_b)^2),

        the ratio estimator of renewal theory (W. G. Cochran, Sampling Techniques, 1977, ch. 6; batch means:
        P. W. Glynn and D. L. Iglehart, Math. Oper. Res. 15, 1, 1990); for rates Q_b is the sum of the expected currents
        over the samples (or their integral over time), and T_b their number (or the time). Student's t with B - 1
        degrees of freedom applies; the bias falls as 1/hops. The waiting time of each state enters as its mean. To each
        error that of one hole, e over the time, is added in quadrature: an electrode that a hole visits once in a
        longer time would else seem to be known.

        The error is honest only if a batch is long compared with the slowest relaxation. At low temperature
        or strong interaction a device may have states that live for 1e5 hops and more, and a run that never
        leaves one reports a small error around its current (seen: eight times the mean current, with 12 % error,
        for one of seven seeds on one device of kmc_dn's thesis set). Compare seeds.

        Parameters
        ----------
        voltages : array_like, shape (..., n_electrodes)
            Electrode voltages, V; each setting of the leading axes gets a trajectory and a random stream of
            its own.
        seed : int or numpy.random.Generator
            Decides everything: the same int gives the same result bit by bit (on the same kind of processor
            and with the same arguments), whatever `threads`. A Generator advances by one draw.
        hops : int, optional
            Hops counted per setting; with `until` the most that are made.
        until : float, optional
            Relative standard error of a current to stop at: 0.01 for 1 %. Rounds of batches are doubled until it is
            reached, or `hops` (1e9 by default). Give `hops`, `until` or both.
        electrode : int, optional
            Whose current `until` is about; by default the largest one's.
        burn_in : int, optional
            Hops before counting; default ``max(hops // 10, 50 * n_sites)``.
        batches : int
            At least 2, and even if `until` is given; the default leaves a standard error that is itself good to 13 %.
        initial : array_like of 0 and 1, shape (n_sites,), optional
            Occupation to start from; default: drawn from the mean field's occupations, or, where it has none,
            n_acceptors - n_donors holes (not below 0) on random sites.
        threads : int
            Settings that are followed at the same time.
        method : {"graph", "rows", "direct"}, optional
            How trajectories are followed: along known states, by thinning over rows, or by the slow reference. All give
            the same law. By default the first where there are at most 64 sites and few new states, else the second.
        progress : callable, optional
            Called as ``progress(done, total)`` with numbers of hops, after each burn-in and batch; of settings, if
            `until` is given. With several threads, by any of them, one at a time.

        Returns
        -------
        Estimate
            Currents in A, positive into the device.

        Raises
        ------
        InputError
            For voltages, seed, numbers of hops or an initial occupation that cannot be used.
        ConvergenceError
            If no hop is possible any more: a mean current does not exist. If `until` was not reached within `hops`.
        """
        volts = self.network.check_voltages(voltages)
        plan = sampling.Plan.checked(self.network, burn_in, hops, batches, until, electrode)
        threads = count("threads", threads)
        self._check_method(method)
        start = None if initial is None else self._initial(initial)
        settings = volts.reshape(-1, self.network.n_electrodes)
        streams = sampling.streams(seed, len(settings))
        total = len(settings) * (1 if until is not None else plan.burn_in + plan.hops)
        lock, done = Lock(), 0

        def tick(more: int) -> None:
            nonlocal done
            with lock:
                done += more
                if progress is not None:
                    progress(done, total)

        def one(index: int) -> sampling.Sample:
            trajectory = self._trajectory(settings[None, index], streams[index], start, method)
            by_hops = tick if until is None else lambda _hops: None
            found = sampling.sample(self.network, settings[index], trajectory, plan, by_hops)
            if until is not None:
                tick(1)
            return found

        if threads > 1:
            _ = self._tables, self._mean_field  # made once, not by each thread
        samples = sampling.in_threads(one, len(settings), threads)
        return sampling.stacked(samples, volts.shape[:-1], self.network, plan.batches)

    def trajectory(
        self, voltages: Any, *, seed: int | np.random.Generator, method: Method | None = None, initial: Any = None
    ) -> Trajectory:
        """A trajectory at one setting, to be followed hop by hop; arguments as `estimate`.

        Raises
        ------
        InputError
            As `estimate`.
        """
        volts = self.one_setting(voltages)
        self._check_method(method)
        start = None if initial is None else self._initial(initial)
        return self._trajectory(volts[None, :], sampling.streams(seed, 1)[0], start, method)

    def _trajectory(
        self, volts: FloatArray, stream: np.random.SeedSequence, start: NDArray[np.uint8] | None, method: Method | None
    ) -> Trajectory:
        draw, words = sampling.split(stream)
        weight, occupations = self._guide(volts[0])
        occupied = self._random_occupation(draw, occupations) if start is None else start.copy()
        tables: HopTables | DirectTables = direct_tables(self.network) if method == "direct" else self._tables
        chosen: Method = method or ("graph" if self.network.n_sites <= graph_kernel.SITES else "rows")
        return Trajectory(
            tables, Energies.at(self.network, volts), occupied, words, weight, chosen, keep=method is not None
        )

    def record(
        self,
        voltages: Any,
        *,
        seed: int | np.random.Generator,
        step_s: float,
        steps: int | None = None,
        burn_in: int | None = None,
        initial: Any = None,
        method: Method | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> CurrentRecord:
        """Electrode currents in time, with their noise and the displacement by all hops, at fixed or changing voltages.

        Exact: waiting times are random, and voltages that change linearly within a step change the rates from moment
        to moment (`row_kernel`). There is no current by the electrodes' own capacitances.

        Parameters
        ----------
        voltages : array_like, shape (n_electrodes,) or (n_steps + 1, n_electrodes)
            Fixed, with `steps`; or at the edges of the steps and linear in between, V.
        seed : int or numpy.random.Generator
            Decides everything, as in `estimate`.
        step_s : float
            Length of a step, s.
        steps : int, optional
            Their number, if the voltages are fixed.
        burn_in : int, optional
            Hops at the first voltages before the record; default ``50 * n_sites``, none from an `initial` occupation.
        initial : array_like of 0 and 1, shape (n_sites,), optional
            Occupation to start from; default as in `estimate`.
        method : {"graph", "rows"}, optional
            As in `estimate`; changing voltages need rows.
        progress : callable, optional
            Called as ``progress(done, total)`` with numbers of steps.

        Raises
        ------
        InputError
            As `estimate`, and for steps that are no number or no time.
        ConvergenceError
            If no hop is possible at the first voltages.
        """
        volts = self.network.check_voltages(voltages)
        if volts.ndim > 2 or (volts.ndim == 2 and len(volts) < 2):
            problem = "one setting or a table of edges is required"
            raise InputError("voltages", volts.shape, problem, "give (n_steps + 1, n)")
        changing = volts.ndim == 2
        if changing == (steps is not None):
            if changing:
                raise InputError("steps", steps, "is told by the number of voltages", "leave it out")
            raise InputError("steps", steps, "is not given, and the voltages are fixed", "give a number of steps")
        steps = len(volts) - 1 if steps is None else count("steps", steps)
        step_s = positive("step_s", step_s, "s")
        self._check_method(method)
        if method == "direct" or (changing and method == "graph"):
            raise InputError("method", method, "does not record this", "leave it out")
        if burn_in is None:
            burn_in = 50 * self.network.n_sites if initial is None else 0
        burn_in = count("burn_in", burn_in, 0)
        start = None if initial is None else self._initial(initial)
        table = np.atleast_2d(volts)
        trajectory = self._trajectory(table, sampling.streams(seed, 1)[0], start, "rows" if changing else method)
        if not trajectory.settle(burn_in, sample=False):
            raise sampling.stuck(table[0], trajectory)
        return record_currents(self.network, trajectory, volts, step_s, steps, progress)

    def kernel(self, voltages: Any, *, seed: int = 0) -> SteppableKernel:
        """Compiled form for co-simulation, settled at `voltages` (V, (n_electrodes,)).

        The trajectory follows the voltages from one accepted point to the next, live: 1 us of the circuit is 8e6 hops
        of the preset. Small-signal conductances, for the check of the loop gain, are the mean field's.

        Raises
        ------
        InputError, ConvergenceError
            As `estimate`, and as `MeanField`.
        """
        net, volts = self.network, self.network.check_voltages(voltages)
        trajectory = self.trajectory(volts, seed=seed, method="rows")
        hops = 50 * net.n_sites
        if not trajectory.settle(hops):
            raise sampling.stuck(volts, trajectory)
        settled = sampling.combined(net, [trajectory.follow(hops), trajectory.follow(hops)], trajectory)
        middle = float((volts / net.thermal_energy_eV - trajectory.energies.v)[0])
        state = kmc_steppable.start_state(trajectory.words, volts, settled.value, trajectory.occupied)
        return SteppableKernel(
            kmc_steppable.evaluate,
            kmc_steppable.advance,
            kmc_steppable.pack(net, self._tables, middle),
            state,
            MeanField(net).conductances(volts),
            (f"{kmc_steppable.__name__}:c_evaluate", f"{kmc_steppable.__name__}:c_advance"),
        )

    def _check_method(self, method: str | None) -> None:
        if method not in (None, "graph", "rows", "direct"):
            raise InputError("method", method, "is unknown", "choose graph, rows or direct")
        if method == "graph" and self.network.n_sites > graph_kernel.SITES:
            raise InputError("method", method, f"takes at most {graph_kernel.SITES} sites", "choose rows")

    def currents(self, voltages: Any, seed: int | np.random.Generator = 0, hops: int = HOPS_PER_SETTING) -> FloatArray:
        """Mean electrode currents, A, positive into the device: `estimate` without its errors.

        Parameters
        ----------
        voltages : array_like, shape (..., n_electrodes)
            V.
        seed : int or numpy.random.Generator
        hops : int
            Hops counted per setting; by default enough for errors below 1 % of the larger currents at the preset.

        Raises
        ------
        InputError, ConvergenceError
            As `estimate`.
        """
        return self.estimate(voltages, seed=seed, hops=hops).value

    def conductances(
        self, voltages: Any, seed: int | np.random.Generator = 0, hops: int = HOPS_PER_SETTING
    ) -> FloatArray:
        """Conductances dI_j/dV_k in S, (..., n_electrodes, n_electrodes): `estimate_conductances` without errors.

        Raises
        ------
        InputError, ConvergenceError
            As `estimate`.
        """
        return self.estimate_conductances(voltages, seed=seed, hops=hops).value

    def estimate_conductances(
        self,
        voltages: Any,
        *,
        seed: int | np.random.Generator,
        hops: int = HOPS_PER_SETTING,
        step_V: float | None = None,
        threads: int = 1,
        progress: Callable[[int, int], None] | None = None,
    ) -> ConductanceEstimate:
        """Difference quotients (I(V + h) - I(V - h))/(2 h) of the mean currents, with their standard errors.

        The errors fall as 1/h, the bias grows as h^2: rates change by a factor e within kT/e. Twice as many settings as
        there are electrodes are estimated, independently.

        Parameters
        ----------
        voltages : array_like, shape (..., n_electrodes)
            V.
        seed : int or numpy.random.Generator
        hops : int
            Counted at each of the settings.
        step_V : float, optional
            h; by default kT/e, or less where the limit is near.
        threads, progress
            As in `estimate`.

        Raises
        ------
        InputError, ConvergenceError
            As `estimate`.
        """
        volts = self.network.check_voltages(voltages)
        step = self.network.thermal_energy_eV if step_V is None else positive("step_V", step_V, "V")
        up = np.minimum(volts[..., None, :] + step * np.eye(volts.shape[-1]), self.network.limit_V)
        down = np.maximum(volts[..., None, :] - step * np.eye(volts.shape[-1]), -self.network.limit_V)
        found = self.estimate(np.stack([up, down]), seed=seed, hops=hops, threads=threads, progress=progress)
        apart = (up - down).max(axis=-1)[..., None]
        return ConductanceEstimate(
            value=np.swapaxes((found.value[0] - found.value[1]) / apart, -1, -2),
            stderr=np.swapaxes(np.hypot(found.stderr[0], found.stderr[1]) / apart, -1, -2),
            step_V=step,
        )

    def follow(self, voltages: Any) -> FloatArray:
        """`currents` of a table of settings (n, n_electrodes): neighbours are of no help here."""
        return self.currents(voltages)

    def _initial(self, initial: Any) -> NDArray[np.uint8]:
        array = np.asarray(initial)
        if array.shape != (self.network.n_sites,):
            raise InputError("initial", array.shape, f"one value for each of {self.network.n_sites} sites", "check it")
        if array.dtype.kind not in "buif" or not np.all((array == 0) | (array == 1)):
            raise InputError("initial", array.tolist(), "must hold 0 and 1 only", "say which sites hold a hole")
        return array.astype(np.uint8)

    def _random_occupation(self, rng: np.random.Generator, occupations: FloatArray | None = None) -> NDArray[np.uint8]:
        if occupations is not None:
            return (rng.random(self.network.n_sites) < occupations).astype(np.uint8)
        holes = max(self.network.n_sites - len(self.network.donors_m), 0)
        occupied = np.zeros(self.network.n_sites, dtype=np.uint8)
        occupied[rng.permutation(self.network.n_sites)[:holes]] = 1
        return occupied
