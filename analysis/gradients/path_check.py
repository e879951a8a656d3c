"""Lock-in gradients along a learning path, against the exact ones: controls frozen, same circuit, stated dither."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from analysis.gradients.compare import Comparison, compare
from circuits.homodyne import readings
from circuits.homodyne.engines import LoopEngine
from circuits.homodyne.loop import HomodyneLoop, Peaks
from circuits.signals.transient import Transient
from inmateria.checks import FloatArray
from learning.homodyne.experiment import Experiment
from learning.homodyne.gradients import adjoint, label, spice_lock_in


@dataclass(frozen=True, eq=False)
class PathCheck:
    """Gradients at instants of a learning path.

    Attributes
    ----------
    measured, ideal : tuple of DataArray
        d(output current)/dV of the circuit's lock-ins and of the model, S.
    comparisons : tuple of Comparison
    sequences : tuple of int
        Sequence after which each was taken.
    patterns : tuple of int
        Pattern that stood at the inputs.
    dither_V : float
        Peak dither of the check; the largest where they differ.
    timepoints : int
        Accepted time-points it took.
    """

    measured: tuple[xr.DataArray, ...]
    ideal: tuple[xr.DataArray, ...]
    comparisons: tuple[Comparison, ...]
    sequences: tuple[int, ...]
    patterns: tuple[int, ...]
    dither_V: float
    timepoints: int

    @property
    def cosines(self) -> FloatArray:
        """Cosine of each comparison."""
        return np.array([c.cosine for c in self.comparisons])


def check_path(
    experiment: Experiment,
    loop: HomodyneLoop,
    run: Transient,
    engine: LoopEngine,
    *,
    dither_V: Peaks = 0.005,
    samples: int = 8,
    real: bool = False,
) -> PathCheck:
    """Compare lock-in and exact gradient of the output at `samples` instants of a run, the patterns in turn.

    Parameters
    ----------
    experiment : Experiment
    loop, run
        An attempt's loop and transient.
    engine : LoopEngine
        One that has the dither.
    dither_V : float or sequence of float
        Peak amplitude for the check.
    samples : int
        Instants, from the start to the end of learning.
    real : bool
        With the loop's own parts and components, not ideal ones.

    Raises
    ------
    InputError, ConvergenceError, EngineError
        As the runs it makes.
    """
    controls = readings.controls_V(loop, run)
    instants = np.linspace(1, loop.sequences + 1, samples)
    measured, ideal, comparisons, points = [], [], [], 0
    patterns = tuple(k % loop.sequence.patterns for k in range(samples))
    low, high = loop.control_limits_V
    electronics: dict[str, Any] = {}
    if real:
        electronics = {
            "parts": loop.parts,
            "multiplier_V": loop.multiplier_V,
            "errors": loop.component_errors,
            "temperature_K": loop.temperature_K,
        }
    for instant, pattern in zip(instants, patterns, strict=True):
        row = min(int(np.searchsorted(run.time_s, instant * loop.sequence.period_s)), len(run.time_s) - 1)
        at = np.clip(controls[row], low, high)
        levels = experiment.task.levels_V[pattern]
        circuit, _, check, _ = spice_lock_in(experiment.bench, engine, at, dither_V, levels, **electronics)
        exact = adjoint(experiment.bench, at, levels)
        measured.append(circuit)
        ideal.append(exact)
        comparisons.append(compare(circuit, exact))
        points += int(check.statistics["points"])
    return PathCheck(
        tuple(measured),
        tuple(ideal),
        tuple(comparisons),
        tuple(round(float(i)) - 1 for i in instants),
        patterns,
        float(np.max(dither_V)),
        points,
    )


def loss_gradients(
    experiment: Experiment,
    loop: HomodyneLoop,
    controls_V: FloatArray,
    dither_V: Peaks,
    engine: LoopEngine,
    *,
    points_per_cycle: float = 24.0,
    seed: int = 0,
) -> tuple[xr.DataArray, xr.DataArray, Transient]:
    """d(loss)/dw by the opened loop's lock-ins, and exactly; the output stage held where its starting values put it.

    `seed` draws the device's noise, where it has any.

    The loss is E(y), y = polarity e^c (R I - baseline), for example (y - target)^2; exactly
    dE/dw_k = mean over patterns of E'(y) polarity e^c R dI/dw_k.

    Returns
    -------
    tuple
        Measured and exact gradient (V/V), and the transient. The exact one has the offset of the circuit's outputs (V)
        in its attributes.
    """
    bench, task = experiment.bench, experiment.task
    opened = loop.opened(controls_V, dither_V, "loss", points_per_cycle)
    run = engine.run(opened, seed=seed)
    ohm = opened.stage.transimpedance_ohm
    outputs = bench.outputs_A(controls_V, task)
    # Offsets of real parts move the circuit's outputs, and with them the point at which the loss is meant.
    offset_V = float(np.mean(readings.outputs_V(opened, run, 0) - ohm * outputs)) if opened.parts else 0.0
    slopes = np.stack([np.asarray(adjoint(bench, controls_V, levels)) for levels in task.levels_V])
    exact = np.mean(opened.loss_slopes(ohm * outputs + offset_V)[:, None] * ohm * slopes, axis=0)
    measured = label(bench, readings.gradient(opened, run), "lock-in on the loss", dither_V=dither_V)
    ideal = label(bench, exact, "adjoint", output_offset_V=offset_V)
    for array in (measured, ideal):
        array.attrs["units"] = "V/V"
    return measured, ideal, run
