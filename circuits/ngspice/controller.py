"""A controller: a Python function that is told sampled voltages at a clock's ticks and sets sources.

At the ticks t_n = phase + n / rate (those after time 0) the inputs are sampled, converted and given to the function.
What it returns is converted, and held at the sources from t_n + latency until the next value comes.

A converter of N bits over a range (low, high) has steps of q = (high - low) / 2^N. A value v becomes low + c q with the
code c = floor((v - low) / q + 1/2) ("mid-tread": low itself is a level, the step to the next lies halfway), at least 0
and at most 2^N - 1: the largest value is high - q, as of any converter in straight binary. Without bits, a range only
limits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from circuits.ngspice.blocks import NAME_BYTES
from circuits.signals.ticks import ControllerState
from inmateria.checks import FloatArray, count, finite, not_negative, positive
from inmateria.errors import InputError

Step = Callable[[float, FloatArray], Any]
"""Called as step(time in s, inputs of shape (n,)); returns the outputs, one number each."""

Range = tuple[float, float]

MOST_BITS = 32


@dataclass(frozen=True)
class Converter:
    """Analogue to digital, or back: a range and a number of bits; None for none.

    Attributes
    ----------
    low, high : float
        Range, V or A; infinite for none.
    bits : int or None
    """

    low: float = -math.inf
    high: float = math.inf
    bits: int | None = None

    @cached_property
    def is_none(self) -> bool:
        """Whether every value passes as it is."""
        return self.bits is None and self.low == -math.inf

    @cached_property
    def step(self) -> float:
        """Distance of two levels, V or A; 0 without bits."""
        return 0.0 if self.bits is None else (self.high - self.low) / (1 << self.bits)

    def converted(self, value: float) -> float:
        """The level nearest to a value; at the range's end, beyond it."""
        if self.bits is None:
            return min(max(value, self.low), self.high)
        q = self.step
        bounded = min(max(value, self.low), self.high)  # a code beyond any integer could not be made
        return self.low + q * min(math.floor((bounded - self.low) / q + 0.5), (1 << self.bits) - 1)

    def limits(self, value: float) -> bool:
        """Whether a value lies outside the range by more than rounding to the last level."""
        return value < self.low - 0.5 * self.step or value > self.high - 0.5 * self.step


@dataclass(frozen=True, eq=False)
class Controller:
    """A Python function, clocked, inside a transient: ``Engine.transient(..., controllers=[...])``.

    The function runs in the caller's process, between two time-points of ngspice, and only for points that ngspice has
    accepted: it may print, plot, keep state and raise. Its time is no circuit's time, and no hang.

    Parameters
    ----------
    step : callable
        ``step(time_s, inputs)`` returns the outputs: a number, or a sequence of them. `time_s` is the time since the
        controller's start, `inputs` an array of shape (n,).
    rate_Hz : float
        Ticks a second.
    inputs : sequence of str
        Sampled vectors, as in ``save``: ``"v(out)"``, ``"i(vsense)"``.
    outputs : sequence of str
        Names of the sources that it sets. In the deck they stand as ``Vdac node 0 external`` (or ``Iload ...``), with
        nothing behind the word.
    adc_bits, dac_bits : int, optional
        Bits of the converters before and behind the function; without them no rounding.
    latency_s : float
        From a tick to the change at the sources, s; zero and more than a period are allowed.
    ranges : (low, high) or mapping of str to (low, high), optional
        Range of each converter, V or A: of all, or by the names of inputs and outputs. Needed where there are bits.
    phase_s : float
        Shifts the ticks to ``phase_s + n / rate_Hz``. None lies at time 0, where a run with initial conditions has no
        voltages yet.
    initial : sequence of float, optional
        Values of the sources before the first one comes, V or A; zeros by default.
    resume : ControllerState, optional
        Go on from the end of another run (``result.controllers[k].end``); the function's own state is the caller's.
    name : str
        For messages.

    Raises
    ------
    InputError
        For impossible numbers, names and ranges.
    """

    step: Step
    rate_Hz: float
    inputs: Sequence[str]
    outputs: Sequence[str]
    adc_bits: int | None = None
    dac_bits: int | None = None
    latency_s: float = 0.0
    ranges: Range | Mapping[str, Range] | None = None
    phase_s: float = 0.0
    initial: Sequence[float] | None = None
    resume: ControllerState | None = None
    name: str = "controller"
    adc: tuple[Converter, ...] = field(init=False)
    dac: tuple[Converter, ...] = field(init=False)

    def __post_init__(self) -> None:
        if not callable(self.step):
            raise InputError("step", self.step, "is no function", "give one that takes (time_s, inputs)")
        positive("rate_Hz", self.rate_Hz, "Hz")
        not_negative("latency_s", self.latency_s, "s")
        not_negative("phase_s", self.phase_s, "s")
        for where, names in (("inputs", self.inputs), ("outputs", self.outputs)):
            _check_names(where, names)
            object.__setattr__(self, where, tuple(name.lower() for name in names))
        for name in self.outputs:
            if name[0] not in "vi" or not name.isascii() or set(name) & set(" .()") or len(name) >= NAME_BYTES:
                fix = f"name a source of the deck's top level, such as 'Vdac', of less than {NAME_BYTES} characters"
                raise InputError("outputs", name, "is no voltage or current source", fix)
        known = {*self.inputs, *self.outputs}
        ranges = self._ranges(known)
        object.__setattr__(self, "adc", _converters("adc_bits", self.adc_bits, self.inputs, ranges))
        object.__setattr__(self, "dac", _converters("dac_bits", self.dac_bits, self.outputs, ranges))
        values = [0.0] * len(self.outputs) if self.initial is None else list(self.initial)
        self._check_length("initial", values)
        held = [c.converted(finite("initial", v, "V or A")) for c, v in zip(self.dac, values, strict=True)]
        object.__setattr__(self, "initial", tuple(held))
        if self.resume is not None:
            for kept in (self.resume.held, *(values for _, values in self.resume.pending)):
                self._check_length("resume", kept)

    def _ranges(self, known: set[str]) -> dict[str, Range]:
        given = self.ranges or {}
        pairs = given if isinstance(given, Mapping) else dict.fromkeys(known, given)
        found = {}
        for name, pair in pairs.items():
            if str(name).lower() not in known:
                fix = f"name one of {', '.join(sorted(known))}"
                raise InputError("ranges", name, "is no input or output of the controller", fix)
            try:
                low, high = pair
            except (TypeError, ValueError):
                raise InputError("ranges", pair, "is no pair of numbers", "give (low, high)") from None
            low, high = finite("ranges", low, "V or A"), finite("ranges", high, "V or A")
            if not low < high:
                raise InputError("ranges", pair, "does not rise", "give (low, high)")
            found[str(name).lower()] = (low, high)
        return found

    def _check_length(self, where: str, values: Sequence[float]) -> None:
        if len(values) != len(self.outputs):
            fix = f"give one for each of {', '.join(self.outputs)}"
            raise InputError(where, values, f"is no {len(self.outputs)} numbers", fix)

    def tick_s(self, number: int) -> float:
        """Time of a tick since the controller's start, s: rounded once, so that equal ticks of two clocks are equal."""
        at = number / self.rate_Hz
        return at + self.phase_s if self.phase_s else at


def _check_names(where: str, names: Sequence[str]) -> None:
    if isinstance(names, str) or not all(isinstance(name, str) and name for name in names):
        raise InputError(where, names, "is no list of names", "give e.g. ['v(out)'] and ['Vdac']")
    lower = [name.lower() for name in names]
    if len(set(lower)) < len(lower):
        raise InputError(where, names, "names one twice", "name each once")


def _converters(
    where: str, bits: int | None, names: Sequence[str], ranges: Mapping[str, Range]
) -> tuple[Converter, ...]:
    if bits is None:
        return tuple(Converter(*ranges.get(name, ())) for name in names)
    count(where, bits, 1, MOST_BITS)
    for name in names:
        if name not in ranges:
            raise InputError("ranges", name, f"has no range for its {bits} bits", "give (low, high) in V or A")
    return tuple(Converter(*ranges[name], bits) for name in names)
