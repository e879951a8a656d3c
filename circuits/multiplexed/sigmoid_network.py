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
from typing import TYPE_CHECKING

import numpy as np

from circuits.multiplexed.loop import SUM_OHM
from circuits.multiplexed.sigmoid_layers import SigmoidLayers
from inmateria.checks import FloatArray

if TYPE_CHECKING:
    from circuits.multiplexed.loop import MultiplexedLoop
    from circuits.ngspice.cosimulation import CoSimulation
    from circuits.parts.assembly import Assembly
    from circuits.parts.placed_device import PlacedDevice


class SigmoidNetworkCircuit(SigmoidLayers):
    """Layers of sigmoid neurons, for `MultiplexedLoop`; fields and errors are those of `SigmoidLayers`."""

    @property
    def inputs(self) -> int:
        """How many."""
        return self.sizes[0]

    @property
    def output_nodes(self) -> tuple[str, ...]:
        """Nodes of the last layer's neurons."""
        return tuple(f"n{len(self.sizes) - 2}_{i}" for i in range(self.sizes[-1]))

    def limits_V(self, levels_V: FloatArray) -> FloatArray:
        """Parameters may be any voltage, (P, 2)."""
        return np.tile([-np.inf, np.inf], (self.parameters, 1))

    def placed(self, loop: MultiplexedLoop) -> list[PlacedDevice]:
        """None: it has no devices."""
        return []

    def join(self, sources: CoSimulation, loop: MultiplexedLoop, seed: int = 0) -> CoSimulation:
        """The sources as they are: the network is a netlist, and draws nothing."""
        return sources

    def place(self, assembly: Assembly, parameters: Sequence[str], inputs: Sequence[str], multiplier_V: float) -> None:
        """Put the network into a circuit.

        Parameters
        ----------
        assembly : Assembly
        parameters, inputs : sequence of str
            Nodes of the weights and biases, and of the inputs; they are loaded with no more than `SUM_OHM`.
        multiplier_V : float
            Scale of the multipliers, V.
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
                height, steepness, middle, floor = (float(v) for v in self.defects[:, number])
                assembly.add("sigmoid", f"neuron{name}", {"in": total, "out": f"n{name}"}, gain=steepness * gain,
                             height=height, middle=middle / gain, bottom=floor)  # fmt: skip
                outputs.append(f"n{name}")
                number += 1
            place = biases + above
            signals = outputs
