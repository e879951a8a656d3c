"""A multiplexed loop in ngspice: one transient of the whole circuit, and what it says of parameters and outputs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from circuits.multiplexed import netlist
from circuits.multiplexed.loop import MultiplexedLoop
from circuits.ngspice.engine import Engine, Progress, engine_seed
from circuits.signals.transient import Transient, mean_between
from inmateria.checks import FloatArray

OPENING = 0.5
"""Error of an output, in units of the distance between the targets, below which a pattern counts as right."""


@dataclass(frozen=True, eq=False)
class MultiplexedRun:
    """What a transient of a `MultiplexedLoop` recorded.

    Attributes
    ----------
    loop : MultiplexedLoop
    time_s : ndarray, shape (n,)
    parameters : ndarray, shape (n, P)
        Without their perturbation.
    cost : ndarray, shape (n,)
    outputs : ndarray, shape (n, n_outputs)
    transient : Transient
        The run as the engine returned it.
    """

    loop: MultiplexedLoop
    time_s: FloatArray
    parameters: FloatArray
    cost: FloatArray
    outputs: FloatArray
    transient: Transient

    @classmethod
    def of(cls, loop: MultiplexedLoop, transient: Transient) -> MultiplexedRun:
        """Parameters, cost and outputs of a transient of this loop's circuit, whole or interrupted."""
        vectors, count = [transient[name] for name in netlist.saved(loop)], loop.network.parameters
        parameters, cost, outputs = vectors[:count], vectors[count], vectors[count + 1 :]
        return cls(loop, transient.time_s, np.stack(parameters, axis=1), cost, np.stack(outputs, axis=1), transient)

    def outputs_by_pattern(self) -> FloatArray:
        """Outputs for each pattern when it was last heard, averaged over the perturbation: (patterns, outputs), V.

        NaN for a pattern that was never heard to its end.
        """
        loop, sequence = self.loop, self.loop.sequences[0]
        found = np.full(loop.targets_V.shape, np.nan)
        if not len(self.time_s):
            return found
        heard = math.floor(float(self.time_s[-1]) / sequence.slot_s * (1 + 1e-12))
        for sample in range(max(heard - sequence.patterns, 0), heard):
            start = sample * sequence.slot_s + loop.blank * loop.step_s
            found[sample % sequence.patterns] = [
                mean_between(self.time_s, output, start, start + sequence.window_s) for output in self.outputs.T
            ]
        return found

    def solved(self, within: float = OPENING) -> bool:
        """Whether at the end every output is nearer than `within` (V) to its target."""
        return bool(np.all(np.abs(self.outputs_by_pattern() - self.loop.targets_V) < within))


def run_multiplexed(
    loop: MultiplexedLoop, engine: Engine, *, seed: int = 0, progress: Progress | None = None
) -> MultiplexedRun:
    """One ngspice transient of the whole circuit.

    Parameters
    ----------
    loop : MultiplexedLoop
    engine : Engine
    seed : int
        Of noise: what devices draw, and ngspice in them.
    progress : callable, optional
        Called as progress(phase, simulated seconds, wall seconds).

    Raises
    ------
    NetlistError, ConvergenceError, EngineError, Interrupted
        As `Engine.transient`; on Ctrl-C the exception's ``partial`` holds the waveforms so far, for
        `MultiplexedRun.of`.
    """
    transient = engine.transient(
        netlist.deck(loop),
        stop_s=loop.stop_s,
        max_step_s=loop.max_step_s,
        save=netlist.saved(loop),
        cosimulation=netlist.cosimulation(loop, seed),
        seed=engine_seed(seed),
        corners_s=loop.corners_s,
        grids_s=loop.grids_s,
        progress=progress,
    )
    return MultiplexedRun.of(loop, transient)
