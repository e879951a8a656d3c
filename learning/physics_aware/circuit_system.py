"""Circuits as physical systems: waveforms through ngspice, or through the compiled twin of our own board."""

from __future__ import annotations

import numpy as np

from circuits.ngspice.engine import Engine
from circuits.ngspice.pool import EnginePool
from circuits.physics_aware.rlc_layer import RlcLayer
from circuits.physics_aware.waveform_circuit import FailedSample, WaveformCircuit
from inmateria.checks import FloatArray
from inmateria.errors import InputError
from learning.physics_aware.systems import checked_values, with_noise


class CircuitSystem:
    """Any circuit of waveforms in ngspice, with the noise of what drives and reads it.

    Parameters
    ----------
    circuit : WaveformCircuit
    engines : Engine or EnginePool
        What runs it.
    limits_V : tuple of float
        Lowest and highest voltage of every input.
    input_noise_V, output_noise_V : float
        Standard deviations of white noise on the values that go in (the circuit answers to it) and on those read, V.
    skip : bool
        Go on without a sample at which ngspice fails: its row is NaN, and `failed` says why. Else the error is raised.

    Attributes
    ----------
    failed : list of FailedSample
        Of the last batch.

    Raises
    ------
    InputError
        For limits without a range between them, or noise that is none.
    """

    failed: list[FailedSample]

    def __init__(
        self,
        circuit: WaveformCircuit,
        engines: Engine | EnginePool,
        limits_V: tuple[float, float],
        *,
        input_noise_V: float = 0.0,
        output_noise_V: float = 0.0,
        skip: bool = False,
    ) -> None:
        low, high = limits_V
        if not (np.isfinite(low) and np.isfinite(high) and low < high):
            raise InputError("limits_V", limits_V, "is no range", "give a lowest and a highest voltage")
        for name, value in (("input_noise_V", input_noise_V), ("output_noise_V", output_noise_V)):
            if not (np.isfinite(value) and value >= 0):
                raise InputError(name, value, "is no standard deviation", "give volts, 0 or more")
        self.circuit, self._engines, self._skip = circuit, engines, skip
        self.input_limits_V = np.full(circuit.width, float(low)), np.full(circuit.width, float(high))
        self.failed, self._noise_V = [], (input_noise_V, output_noise_V)

    @property
    def inputs(self) -> int:
        """Values of a sample."""
        return self.circuit.width

    @property
    def outputs(self) -> int:
        """Readings of a sample."""
        return self.circuit.answers

    def respond(self, values: FloatArray, rng: np.random.Generator | None = None) -> FloatArray:
        """Readings (V, (batch, outputs)) for values (V, (batch, inputs)); see `PhysicalSystem`.

        Raises
        ------
        InputError
            For another shape or values beyond the limits.
        ConvergenceError, EngineError, NetlistError, Interrupted
            As `WaveformCircuit.respond`.
        """
        fed = with_noise(checked_values(self, values), self._noise_V[0], rng)
        return with_noise(self._answer(fed), self._noise_V[1], rng)

    def _answer(self, values: FloatArray) -> FloatArray:
        answers, self.failed = self.circuit.respond(values, self._engines, skip=self._skip)
        return answers


class RlcSystem(CircuitSystem):
    """The electronic layer: ngspice or the twin answers, the twin knows the exact derivative.

    Parameters
    ----------
    board : RlcLayer
    engines : Engine or EnginePool, optional
        Without them the compiled twin answers: the same time steps, some ten times faster.
    input_noise_V, output_noise_V, skip
        As `CircuitSystem`.
    """

    def __init__(
        self,
        board: RlcLayer,
        engines: Engine | EnginePool | None = None,
        *,
        input_noise_V: float = 0.0,
        output_noise_V: float = 0.0,
        skip: bool = False,
    ) -> None:
        self.board, noise = board, {"input_noise_V": input_noise_V, "output_noise_V": output_noise_V}
        super().__init__(board.circuit, engines, board.limits_V, **noise, skip=skip)  # type: ignore[arg-type]

    def _answer(self, values: FloatArray) -> FloatArray:
        return self.board.twin(values) if self._engines is None else super()._answer(values)

    def vector_jacobian(self, values: FloatArray, cotangents: FloatArray) -> FloatArray:
        """Exact J' c without noise, (batch, inputs), for cotangents (batch, outputs)."""
        return self.board.vector_jacobian(checked_values(self, values), cotangents)
