"""What the integrators do once learning has ended: held, by their parts' figures or in ngspice; or left on.

Held (gate closed), a macro integrator has u = V(out) - vos on its capacitor C = c (1 + ctol), and d on the branch a c
of its dielectric, which follows with tabsorb:

    C du/dt = ibias + leakage - u/rleak - a c (u - d)/tabsorb      dd/dt = (u - d)/tabsorb
    leakage = ileak 2^((T - 27 degC)/10 K)

within the rails. Without absorption that is u = U + (u_0 - U) e^(-t/(rleak C)), U = rleak (ibias + leakage), which
begins with (ibias + leakage)/C. An ideal integrator holds. What a change of temperature does at once is the drift of
the op-amp's offset and of the summing amplifier behind it. Parts of transistors and one's own state none of this: their
integrators are run alone.

Left on, the loop goes on with the rate and the dither of its last sequence.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.linalg import expm

from circuits.homodyne import readings
from circuits.homodyne.engines import Ngspice
from circuits.homodyne.figures import integrator_figures
from circuits.homodyne.loop import HomodyneLoop
from circuits.homodyne.netlist import placements
from circuits.parts.assembly import Assembly, Placement
from circuits.parts.component_errors import components_of
from circuits.parts.levels import is_known
from circuits.signals.transient import Transient
from dnpu_models.interface.device import follow_path
from inmateria.checks import FloatArray

SOON_S = 1e-3
"""A time-point at the start: ngspice, whose first step is a tenth of the longest, found no state of a board's op-amps
after a step of 0.2 s, and none after shorter ones either, from where that had led."""
STEPS = 2000
"""Time steps of a measured hold."""
NO_ABSORPTION = 1e-9
"""Share of the capacitor in the branch of a part without absorption."""


def states_holding(loop: HomodyneLoop) -> bool:
    """Whether the loop's integrators state all that moves what they hold."""
    return is_known(loop.part("integrator"))


def drift_V_s(loop: HomodyneLoop) -> FloatArray:
    """How fast each integrator begins to drift at 0 V, by the figures of its parts: (ibias + leakage)/C, (n_trained,).

    Raises
    ------
    InputError
        As `netlist.circuit`.
    """
    at = placements(loop)
    return np.array([integrator_figures(at[f"w{k}"], loop.temperature_K)[1] for k in range(loop.dither.n)])


def predicted_controls_V(loop: HomodyneLoop, run: Transient, time_s: FloatArray) -> FloatArray:
    """Controls held for some times after a run of a learning loop, by the figures of its parts.

    Parameters
    ----------
    loop : HomodyneLoop
        With an integrator of which `states_holding` is true.
    run : Transient
        Its end is where holding begins; its way there is what the dielectric remembers.
    time_s : ndarray, shape (m,)
        Since then, s.

    Returns
    -------
    ndarray, shape (m, n_trained)
        V.

    Raises
    ------
    InputError
        As `netlist.circuit`.
    """
    at, way = placements(loop), readings.controls_V(loop, run)
    time = np.asarray(time_s, dtype=float)
    low, high = loop.control_limits_V
    held = np.stack(
        [_held_V(loop, at[f"w{k}"], run.time_s, way[:, k], time) for k in range(loop.dither.n)], axis=1
    )  # fmt: skip
    return np.clip(held, low, high)


def measured_controls_V(
    loop: HomodyneLoop, run: Transient, stop_s: float, engine: Ngspice
) -> tuple[FloatArray, FloatArray]:
    """The same in ngspice, whatever the parts are: the integrators alone, their gates closed, nothing at their inputs.

    Returns
    -------
    time_s : ndarray, shape (m,)
    controls_V : ndarray, shape (m, n_trained)

    Raises
    ------
    InputError, NetlistError, ConvergenceError, EngineError, Interrupted
        As a transient of ngspice.
    """
    way = readings.controls_V(loop, run)
    saved = [f"v(w{k})" for k in range(loop.dither.n)]
    held = engine.engine.transient(
        held_deck(loop, run.time_s, way), stop_s=stop_s, max_step_s=stop_s / STEPS, save=saved,
        corners_s=(min(SOON_S, 0.1 * stop_s / STEPS),),
    )  # fmt: skip
    moved = np.stack([held[name] - held[name][0] for name in saved], axis=1)
    return held.time_s, way[-1] + moved


def held_deck(loop: HomodyneLoop, time_s: FloatArray, way_V: FloatArray) -> str:
    """The loop's integrators alone, as they stand in it, closed at the end of a way of the controls (V, (m, n))."""
    assembly = Assembly("integrators that hold", loop.parts, temperature_K=loop.temperature_K)
    assembly.source("still", 0.0)
    at = placements(loop)
    for k in range(loop.dither.n):
        placed = at[f"w{k}"]
        values = {**placed.values, "v0": float(way_V[-1, k]) - placed.figure("vos")}
        if placed.figure("absorption"):
            values["lag"] = values["v0"] - _soaked_V(placed, time_s, way_V[:, k])
        assembly.add("integrator", f"w{k}", {"in": "still", "gate": "still", "out": f"w{k}"}, **values)
    # ngspice's own conductance beside every junction, 1e-12 S, would drift a pair's capacitor by 34 uV/s
    return f"{assembly.finish()}\n.options gmin=1e-16\n"


def outputs_A(loop: HomodyneLoop, controls_V: FloatArray, warming_K: float = 0.0) -> FloatArray:
    """Static currents out of the device for each pattern, behind the summing amplifiers, (m, n_patterns).

    Parameters
    ----------
    loop : HomodyneLoop
    controls_V : ndarray, shape (m, n_trained)
        Neighbouring settings, such as those held.
    warming_K : float
        Change of temperature since learning ended: offsets drift by what their parts state, away from zero.

    Raises
    ------
    InputError
        As `netlist.circuit`.
    """
    at, controls = placements(loop), np.asarray(controls_V, dtype=float)
    sums = [at[f"sum{k}"] for k in range(loop.dither.n)]
    gain = 1.0 + np.array([placed.figure("esum") for placed in sums])
    offset = np.array([_at_K(placed, f"sum{k}", "offset", warming_K) for k, placed in enumerate(sums)])
    integrators = [at[f"w{k}"] for k in range(loop.dither.n)]
    moved = np.array([_at_K(placed, f"w{k}", "vos", warming_K) - placed.figure("vos")
                      for k, placed in enumerate(integrators)])  # fmt: skip
    volts = np.tile(loop.start_terminals_V, (len(controls), loop.sequence.patterns, 1))
    volts[..., list(loop.trained)] = (controls + moved)[:, None, :]
    for which, terminal in enumerate(loop.inputs):
        levels = np.array(loop.sequence.levels_V)[:, which]
        volts[..., terminal] = levels + (volts[..., terminal] if terminal in loop.trained else
                                         loop.fixed_V.get(terminal, 0.0))  # fmt: skip
    volts[..., list(loop.trained)] = gain * volts[..., list(loop.trained)] + offset
    volts[..., loop.output] = _at_K(at["tia"], "tia", "vos", warming_K)
    low, high = np.asarray(loop.device.limits_V).T
    flat = np.clip(volts, low, high).reshape(-1, volts.shape[-1])
    return np.asarray(-follow_path(loop.device, flat)[:, loop.output].reshape(volts.shape[:2]))


def left_on(loop: HomodyneLoop, run: Transient, sequences: int) -> HomodyneLoop:
    """The loop that goes on from the end of a run with the rate and the dither of its last sequence."""
    stage = replace(loop.stage, baseline_V=float(run["v(baseline)"][-1]), gain_log=float(run["v(gainlog)"][-1]))
    low, high = loop.control_limits_V
    return replace(
        loop,
        start_V=np.clip(readings.controls_V(loop, run)[-1], low, high),
        stage=stage,
        sequences=sequences,
        anneal_from=loop.anneal_to,
        dither_from=loop.dither_end,
        dither_to=loop.dither_end,
    )


def _at_K(placed: Placement, reference: str, figure: str, warming_K: float) -> float:
    """An offset after a change of temperature: it drifts away from zero, as in `component_errors.nominal_errors`."""
    value = placed.figure(figure)
    for component in components_of(reference, placed.part, placed.values):
        if component.parameter == figure:
            return value + component.drift_per_K * warming_K * (-1.0 if value < 0.0 else 1.0)
    return value


def _held_V(
    loop: HomodyneLoop, placed: Placement, way_s: FloatArray, way_V: FloatArray, time_s: FloatArray
) -> FloatArray:
    """One integrator's output after some times, (m,): the two equations of the head, exactly, by their exponential."""
    c = placed.figure("c")
    if not c:
        return np.full(len(time_s), way_V[-1])
    capacity, vos = c * (1.0 + placed.figure("ctol")), placed.figure("vos")
    a, tau = max(placed.figure("absorption"), NO_ABSORPTION), placed.figure("tabsorb") or np.inf
    leak, soak = 1.0 / (placed.figure("rleak") * capacity), a * c / capacity / tau
    _, drift = integrator_figures(placed, loop.temperature_K)
    # of (u, d, 1)
    equations = np.array([[-leak - soak, soak, drift], [1.0 / tau, -1.0 / tau, 0.0], [0.0, 0.0, 0.0]])
    start = np.array([way_V[-1] - vos, _soaked_V(placed, way_s, way_V), 1.0])
    return np.asarray(expm(equations * time_s[:, None, None]) @ start)[:, 0] + vos


def _soaked_V(placed: Placement, way_s: FloatArray, way_V: FloatArray) -> float:
    """Voltage of the dielectric's branch at the end of a way on which the output was straight between its points."""
    u = way_V - placed.figure("vos")
    step = np.diff(way_s)
    h = step[step > 0.0] / (placed.figure("tabsorb") or np.inf)
    before, after = u[:-1][step > 0.0], u[1:][step > 0.0]
    # each step adds the integral of u e^(s - T)/tau over it; what the start leaves is e^-T of it
    left = np.exp(-(np.cumsum(h[::-1])[::-1] - h))  # from the step's end to the way's
    share = -np.expm1(-h) / h
    into = before * (share - np.exp(-h)) + after * (1.0 - share)
    return float(u[0] * np.exp(-np.sum(h)) + np.sum(left * into))
