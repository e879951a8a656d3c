"""What a controller saw and did at its ticks, and where it stood at the end."""

from __future__ import annotations

from dataclasses import dataclass

from inmateria.checks import FloatArray


@dataclass(frozen=True)
class ControllerState:
    """Where a controller stands, apart from what its function keeps itself: plain numbers, to be saved as one likes.

    Attributes
    ----------
    tick : int
        Number of its next tick.
    elapsed_s : float
        Time since its start, s.
    held : tuple of float
        Values of its outputs, V or A.
    pending : tuple of (float, tuple of float)
        Values on their way to the outputs, with the times at which they begin, s, counted from this state.
    """

    tick: int
    elapsed_s: float
    held: tuple[float, ...]
    pending: tuple[tuple[float, tuple[float, ...]], ...] = ()


@dataclass(frozen=True, eq=False)
class Ticks:
    """A controller's ticks in one run.

    Attributes
    ----------
    name : str
    time_s : ndarray, shape (n,)
        Times of the ticks, in the run.
    inputs : ndarray, shape (n, inputs)
        What its function was told: the sampled vectors behind the converters, V or A.
    outputs : ndarray, shape (n, outputs)
        What it set: its function's values behind the converters, V or A; at the sources after the latency.
    limited : dict of str to int
        How many samples or values of each input and output lay outside its range, and were set to the range's end.
    end : ControllerState
        Where it stood at the end of the run.
    """

    name: str
    time_s: FloatArray
    inputs: FloatArray
    outputs: FloatArray
    limited: dict[str, int]
    end: ControllerState
