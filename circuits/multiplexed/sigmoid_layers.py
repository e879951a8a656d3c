"""Layers of sigmoid neurons as numbers: sizes and defects, below the circuit and the equations of such a network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from inmateria.checks import FloatArray, array, count
from inmateria.errors import InputError


@dataclass(frozen=True, eq=False)
class SigmoidLayers:
    """A network of sigmoid neurons f(a) = L / (1 + exp(-k (a - x0))) + y0, all layers connected.

    Parameters lie in one list: for each layer the weights row by row (one row a neuron), then the biases.

    Parameters
    ----------
    sizes : sequence of int
        Inputs, neurons of each layer, the last layer's are the outputs; (2, 2, 1) has 9 parameters.
    defects : array_like, shape (4, neurons), optional
        L, k, x0, y0 of each neuron, layer by layer; left out: 1, 1, 0, 0.

    Raises
    ------
    InputError
        For sizes that are no network, or defects of another shape.
    """

    sizes: tuple[int, ...] = (2, 2, 1)
    defects: FloatArray = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        sizes = tuple(count("sizes", n) for n in self.sizes)
        if len(sizes) < 2:
            raise InputError("sizes", sizes, "are no layers", "give inputs and the neurons of each, such as (2, 2, 1)")
        object.__setattr__(self, "sizes", sizes)
        usual = np.tile([[1.0], [1.0], [0.0], [0.0]], sum(sizes[1:]))
        defects = usual if self.defects is None else self.defects
        object.__setattr__(self, "defects", array("defects", defects, usual.shape))

    @property
    def parameters(self) -> int:
        """Number of weights and biases, P."""
        return sum((below + 1) * above for below, above in zip(self.sizes, self.sizes[1:], strict=False))
