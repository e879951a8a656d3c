"""The mean field in time: dp/dt = F(p, V(t)) for voltages that change faster than the device relaxes.

Between given times the voltages are linear. The equations are stiff (rates from 1e12/s down to any), so they are
integrated by the implicit Runge-Kutta method of order 5, Radau IIA (E. Hairer and G. Wanner, Solving Ordinary
Differential Equations II, 1996, ch. IV.8; scipy's), with the analytic Jacobian, from corner to corner of the voltages:
no pulse is stepped over. An electrode's current is what flows into the device minus what it induces there,

    I_k(t) = (particles) - sum_i e phi_k(r_i) dp_i/dt     (Ramo and Shockley; see `equations`).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.integrate import Radau

from dnpu_models.mean_field.equations import RateEquations
from inmateria.checks import FloatArray
from inmateria.errors import ConvergenceError


@dataclass(frozen=True, eq=False)
class MeanFieldTransient:
    """What the device did.

    Attributes
    ----------
    times_s : ndarray, shape (n_times,)
    occupations : ndarray, shape (n_times, n_sites)
    currents_A : ndarray, shape (n_times, n_electrodes)
        Into the device, displacement included.
    particle_currents_A : ndarray, shape (n_times, n_electrodes)
        Holes that cross the electrodes.
    steps : int
        Steps that were made.
    """

    times_s: FloatArray
    occupations: FloatArray
    currents_A: FloatArray
    particle_currents_A: FloatArray
    steps: int


def _corners(times: FloatArray, volts: FloatArray) -> list[int]:
    """Indices at which the slope of a voltage changes, and both ends."""
    slope = np.diff(volts, axis=0) / np.diff(times)[:, None]
    bend = np.abs(np.diff(slope, axis=0)).max(axis=1)
    scale = np.abs(slope).max(initial=0.0)
    return [0, *(np.nonzero(bend > 1e-9 * scale)[0] + 1).tolist(), len(times) - 1]


def run(
    equations: RateEquations, times_s: FloatArray, volts: FloatArray, start: FloatArray, relative_tolerance: float
) -> MeanFieldTransient:
    """Integrate from `start`; `volts` (n_times, n_electrodes) in kT/e."""
    times = (times_s - times_s[0]) * equations.rate_Hz
    occupations = np.empty((len(times), len(start)))
    occupations[0] = p = start
    steps, step = 0, None
    corners = _corners(times, volts)
    for first, last in pairwise(corners):
        begin, slope = times[first], (volts[last] - volts[first]) / (times[last] - times[first])

        def at(t: float, first: int = first, begin: float = begin, slope: FloatArray = slope) -> FloatArray:
            return np.asarray(volts[first] + (t - begin) * slope)

        length = times[last] - begin
        solver = Radau(
            lambda t, p, at=at: equations.balance(at(t), p)[0],
            begin,
            p,
            times[last],
            first_step=None if step is None else min(step, length),
            rtol=relative_tolerance,
            atol=1e-3 * relative_tolerance,
            jac=lambda t, p, at=at: equations.derivatives(at(t), p)[0],
        )
        wanted = first + 1
        while solver.status == "running":
            solver.step()
            steps += 1
            if solver.status == "failed":
                when = float(times_s[0] + solver.t / equations.rate_Hz)
                fix = "give smoother voltages or a larger relative_tolerance"
                raise ConvergenceError("times_s", when, "the integration could not go on here", fix)
            until = int(np.searchsorted(times[: last + 1], solver.t, side="right"))
            if until > wanted:
                occupations[wanted:until] = solver.dense_output()(times[wanted:until]).T
                wanted = until
            step = solver.step_size if solver.status == "running" or step is None else max(step, solver.step_size)
        occupations[last] = p = solver.y
    total, particles = np.empty(volts.shape), np.empty(volts.shape)
    for index, (v, p) in enumerate(zip(volts, occupations, strict=True)):
        rate, particles[index] = equations.balance(v, p)
        total[index] = particles[index] - rate @ equations.phi
    unit = equations.current_A
    return MeanFieldTransient(times_s, occupations, total * unit, particles * unit, steps)
