"""A layered network of sigmoid neurons as a circuit whose weights and biases are voltages.

    weight node  --+
                   mixer --- R --+
    input node   --+             |
                      ...        +--- sigmoid --- output node
    bias node    --- S R --------+

Every weight meets its input in a multiplier of scale S (products W x / S). Products through equal resistors R, and the
bias through S R, meet in one node, which so takes the value a / (n S + 1) for n inputs, a = sum_j W_j x_j + b; the
neuron's gain makes up for the divisor. The neuron is a part: its equation at level `ideal`, at level `transistor` a
differential pair, whose collector current is the logistic curve by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from circuits.multiplexed.loop import SUM_OHM
from inmateria.checks import FloatArray
from inmateria.errors import InputError

if TYPE_CHECKING:
    from circuits.multiplexed.loop import MultiplexedLoop
    from circuits.ngspice.cosimulation import CoSimulation
    from circuits.parts.assembly import Assembly


@dataclass(frozen=True, eq=False)
class SigmoidNetworkCircuit:
    """Layers of sigmoid neurons, for `MultiplexedLoop`.

    Parameters lie in one list: for each layer the weights row by row (one row a neuron), then the biases.

    Parameters
    ----------
    sizes : tuple of int
        Inputs, neurons of each layer; the last layer's are the outputs.
    defects : ndarray, shape (4, neurons), optional
        Height L, steepness k, middle x0, floor y0 of each neuron, layer by layer: L / (1 + exp(-k (a - x0))) + y0.
        By default 1, 1, 0, 0.

    Raises
    ------
    InputError
        For a size that is no count, or defects of another shape.
    """

    sizes: tuple[int, ...] = (2, 2, 1)
    defects: FloatArray | None = None

    def __post_init__(self) -> None:
        whole = all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in self.sizes)
        if len(self.sizes) < 2 or not whole:
            raise InputError("sizes", self.sizes, "are no layers", "give counts, such as (2, 2, 1)")
        neurons = sum(self.sizes[1:])
        if self.defects is None:
            object.__setattr__(self, "defects", np.repeat([[1.0], [1.0], [0.0], [0.0]], neurons, axis=1))
        else:
            object.__setattr__(self, "defects", np.asarray(self.defects, dtype=float))
        if self.neurons.shape != (4, neurons) or not np.all(np.isfinite(self.neurons)):
            raise InputError("defects", self.neurons.shape, f"want finite numbers (4, {neurons})", "check the array")

    @property
    def neurons(self) -> FloatArray:
        """L, k, x0, y0 of each neuron, (4, neurons)."""
        return np.asarray(self.defects)

    @property
    def inputs(self) -> int:
        """How many."""
        return self.sizes[0]

    @property
    def outputs(self) -> int:
        """How many."""
        return self.sizes[-1]

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return sum((below + 1) * above for below, above in zip(self.sizes, self.sizes[1:], strict=False))

    def limits_V(self, levels_V: FloatArray) -> FloatArray:
        """Parameters may be any voltage, (P, 2)."""
        return np.tile([-np.inf, np.inf], (self.parameters, 1))

    def join(self, sources: CoSimulation, loop: MultiplexedLoop) -> CoSimulation:
        """The sources as they are: the network is a netlist."""
        return sources

    def place(
        self, assembly: Assembly, parameters: Sequence[str], inputs: Sequence[str], multiplier_V: float
    ) -> tuple[str, ...]:
        """Put the network into a circuit.

        Parameters
        ----------
        assembly : Assembly
        parameters, inputs : sequence of str
            Nodes of the weights and biases, and of the inputs; they are loaded with no more than `SUM_OHM`.
        multiplier_V : float
            Scale of the multipliers, V.

        Returns
        -------
        tuple of str
            Nodes of the outputs.
        """
        signals, place, number = list(inputs), 0, 0
        for layer, (below, above) in enumerate(zip(self.sizes, self.sizes[1:], strict=False)):
            outputs = []
            biases = place + below * above
            for i in range(above):
                name = f"{layer}_{i}"
                total, gain = f"a{name}", below * multiplier_V + 1.0
                for j, signal in enumerate(signals):
                    product = f"p{name}_{j}"
                    nodes = {"a": parameters[place + below * i + j], "b": signal, "out": product}
                    assembly.add("mixer", f"times{name}_{j}", nodes, vscale=multiplier_V)
                    assembly.resistor(f"sum{name}_{j}", product, total, SUM_OHM)
                assembly.resistor(f"bias{name}", parameters[biases + i], total, SUM_OHM * multiplier_V)
                height, steepness, middle, floor = (float(v) for v in self.neurons[:, number])
                assembly.add("sigmoid", f"neuron{name}", {"in": total, "out": f"n{name}"}, gain=steepness * gain,
                             height=height, middle=middle / gain, bottom=floor)  # fmt: skip
                outputs.append(f"n{name}")
                number += 1
            place = biases + above
            signals = outputs
        return tuple(signals)
