"""A device whose conductance loads the circuit: ngspice is told its tangent, and Newton's method sees it.

Told a current alone, ngspice feeds it back one step late, which is stable only for a loop gain G R far below 1. Here
the device tells, at the voltages V* where the next point is expected, its tangent

    I_j = c_j + sum_k g_jk V_k,    g = dI/dV (V*) by differences,    c = I(V*) - g V*

c and g come as external currents into 1 ohm, and a B-source at each terminal forms the current with the voltages of the
point that is being solved. What is left is the error of the tangent, I'' (V - V*)^2 / 2, whatever G R is; as V* lies on
a straight line through the last points, it falls with the fourth power of the step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from circuits.ngspice.cosimulation import LOOP_GAIN_LIMIT, CoSimulation
from circuits.ngspice.implicit_kernel import HEADER, SCRATCH, implicit_functions
from circuits.signals.sources import Drive
from circuits.signals.transient import Transient
from dnpu_models.interface.device import SteppableKernel
from inmateria.checks import FloatArray

STEP_V = 1e-6
"""Of the differences: six digits of a conductance, and rounding of currents stays below their tenth digit."""
LEAST_S = 1e-15
"""Scale of conductances where a device has none at its start."""


@dataclass(frozen=True, eq=False)
class ImplicitCoSimulation(CoSimulation):
    """A coupling of any loop gain; made by `implicit_cosimulation`.

    Attributes
    ----------
    terminals : tuple of str
        Circuit nodes of the device; `nodes` holds those of its tangent as well.
    """

    terminals: tuple[str, ...] = field(default=())

    @property
    def _scales(self) -> tuple[float, float]:
        """What 1 V at the nodes of c and g stands for, A and S."""
        return float(self.kernel.params[1]), float(self.kernel.params[2])

    def cards(self) -> str:
        """The external sources, a resistor of 1 ohm for each of c and g, and the terminals' currents."""
        names, (amperes, siemens) = self.terminals, self._scales
        lines = [super().cards(), *(f"R{node} {node} 0 1" for node in self.nodes[len(names) :])]
        for j, node in enumerate(names):
            slopes = "+".join(f"V(implicit_g{j}_{k})*V({other})" for k, other in enumerate(names))
            lines.append(f"Bimplicit{j} {node} 0 I={amperes!r}*V(implicit_c{j})+{siemens!r}*({slopes})")
        return "\n".join(lines)

    def told(self, run: Transient) -> Transient:
        """A run with the terminals' currents in `device_A` in place of the tangents."""
        count, (amperes, siemens) = len(self.terminals), self._scales
        volts = np.stack([run[f"v({node})"] for node in self.terminals], axis=1)
        slopes = run.device_A[:, 2 * count :].reshape(-1, count, count)
        currents = -amperes * run.device_A[:, count : 2 * count] - siemens * np.einsum("pjk,pk->pj", slopes, volts)
        values = {name: wave for name, wave in run.values.items() if not name.startswith("v(implicit_")}
        statistics = {name: value for name, value in run.statistics.items() if name != "prediction_error_V"}
        return replace(run, values=values, statistics=statistics, device_A=currents)


def coupling(
    kernel: SteppableKernel, nodes: Sequence[str], start_V: FloatArray, drive: Drive, source_ohm: float
) -> CoSimulation:
    """The coupling that suits the resistance that drives the terminals: explicit where it may be, else implicit.

    Parameters and errors as `CoSimulation`.
    """
    if source_ohm * float(np.abs(kernel.conductances_S).sum(axis=1).max()) <= LOOP_GAIN_LIMIT:
        return CoSimulation(kernel, nodes, start_V, drive, source_ohm)
    return implicit_cosimulation(kernel, nodes, start_V, drive)


def implicit_cosimulation(
    kernel: SteppableKernel, nodes: Sequence[str], start_V: FloatArray, drive: Drive | None = None
) -> ImplicitCoSimulation:
    """Couple a device to nodes that anything may drive, over any resistance.

    Parameters
    ----------
    kernel : SteppableKernel
    nodes : sequence of str
        Circuit node of each terminal.
    start_V : ndarray
        Terminal voltages at time 0.
    drive : Drive, optional
        Known part of the terminal voltages.

    Raises
    ------
    InputError
        If the numbers of terminals differ.
    """
    count = len(nodes)
    siemens = max(float(np.abs(kernel.conductances_S).max(initial=0.0)), LEAST_S)
    evaluate, advance = implicit_functions(kernel.evaluate, kernel.advance)
    tangent = [f"implicit_c{j}" for j in range(count)]
    tangent += [f"implicit_g{j}_{k}" for j in range(count) for k in range(count)]
    width = count + len(tangent)
    wrapped = SteppableKernel(
        evaluate,
        advance,
        np.concatenate([[count, siemens, siemens, STEP_V], kernel.params]),
        np.concatenate([np.zeros(SCRATCH * count), kernel.state]),
        np.zeros((width, width)),
    )
    assert len(wrapped.params) == HEADER + len(kernel.params)
    start = np.concatenate([np.asarray(start_V, dtype=float), np.zeros(len(tangent))])
    return ImplicitCoSimulation(wrapped, [*nodes, *tangent], start, drive or Drive(), terminals=tuple(nodes))
