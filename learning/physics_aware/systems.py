"""Physical systems as layers of a network: values in volts go in, a response in volts comes out, sample by sample.

    y = f(V) + noise,      V: (batch, inputs),   y: (batch, outputs)

A circuit (`circuit_system`), a device (`device_system`), or nothing at all (`IdentitySystem`, for the control
experiment). Physics-aware training needs no more of them than `respond`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from inmateria.checks import FloatArray
from inmateria.errors import InputError


@runtime_checkable
class PhysicalSystem(Protocol):
    """Values in, response out."""

    @property
    def inputs(self) -> int:
        """Values of a sample."""

    @property
    def outputs(self) -> int:
        """Numbers in its response."""

    @property
    def input_limits_V(self) -> tuple[FloatArray, FloatArray]:
        """Lowest and highest value allowed at each input, V, (inputs,) each."""

    def respond(self, values: FloatArray, rng: np.random.Generator | None = None) -> FloatArray:
        """Response (V, (batch, outputs)) to values (V, (batch, inputs)).

        Without `rng` there is no noise. A row of NaN is a sample for which the system failed.
        """


def checked_values(system: PhysicalSystem, values: Any) -> FloatArray:
    """Values as a table of samples within the system's limits.

    Raises
    ------
    InputError
        For another shape, NaN, or a value outside its limits; the input is named.
    """
    table = np.asarray(values, dtype=float)
    if table.ndim != 2 or table.shape[1] != system.inputs:
        raise InputError("values", table.shape, f"are not samples of {system.inputs} values", "give (batch, inputs)")
    low, high = system.input_limits_V
    slack = 1e-9 * (high - low)
    bad = ~((table >= low - slack) & (table <= high + slack))
    if bad.any():
        row, column = np.argwhere(bad)[0]
        allowed = f"lies outside {low[column]:.4g} to {high[column]:.4g} V"
        raise InputError(f"values[{row}, {column}]", float(table[row, column]), allowed, "clamp the values")
    return table


@dataclass(frozen=True)
class IdentitySystem:
    """No physics: the response is the input. What a network still learns with it, the digital part has learned.

    Parameters
    ----------
    inputs : int
    limit_V : float
        Inputs lie within +- this.
    noise_V : float
        Standard deviation of the noise added to each output, V.
    """

    inputs: int
    limit_V: float = 1.0
    noise_V: float = 0.0

    @property
    def outputs(self) -> int:
        """As many as inputs."""
        return self.inputs

    @property
    def input_limits_V(self) -> tuple[FloatArray, FloatArray]:
        """+-`limit_V` everywhere."""
        return np.full(self.inputs, -self.limit_V), np.full(self.inputs, self.limit_V)

    def respond(self, values: FloatArray, rng: np.random.Generator | None = None) -> FloatArray:
        """The values, with noise."""
        return with_noise(checked_values(self, values).copy(), self.noise_V, rng)

    def vector_jacobian(self, values: FloatArray, cotangents: FloatArray) -> FloatArray:
        """The cotangents."""
        return np.array(cotangents, dtype=float)


def with_noise(response: FloatArray, noise_V: float, rng: np.random.Generator | None) -> FloatArray:
    """Add Gaussian noise, if there is a generator to draw it from."""
    if rng is None or noise_V == 0:
        return response
    return response + noise_V * rng.standard_normal(response.shape)
