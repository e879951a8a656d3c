"""The ticks of all controllers of one run: when ngspice has to stop next, and what the sources do until then.

A source jumps: at the time of a change it still has the old value, right behind it the new one. ngspice ends a step at
that time, takes a short one behind it, and both that step and the next are backward Euler's (`callbacks`): no step
straddles a jump, and none sees a ramp in its place.
"""

from __future__ import annotations

import math
import struct
import time
from array import array
from collections.abc import Sequence

import numpy as np

from circuits.ngspice.controller import Controller, Converter
from circuits.ngspice.failures import FailedDeck
from circuits.ngspice.worker_process import WorkerProcess
from circuits.signals.ticks import ControllerState, Ticks
from inmateria.errors import AbsurdValueError, EngineError, InputError

FIRST_STEP = 1e-3
"""The step behind a jump, as a fraction of the largest; its error is half the square of its part of a time constant."""

ROUNDING = 1e-12
"""How far apart two times may lie that are the same, as a fraction of them."""

CLOSE = 2e-11
"""The same, as a fraction of the largest step: ngspice's last point may lie 1.1e-11 of it before the stop time."""

POINTS_PER_TICK = 30
"""Time-points that a tick may add: the steps behind a jump grow by a factor of 2 at most."""


class Clock:
    """The controllers of a run.

    Parameters
    ----------
    controllers : sequence of Controller
    max_step_s, stop_s : float
        Largest step and stop time of the run, s.

    Attributes
    ----------
    max_step_s : float
        Largest step, s: at most the shortest period.
    inputs, sources : list of str
        Sampled vectors and names of the sources of all controllers.
    points : int
        How many time-points the ticks may add.
    served : int
        Ticks so far.
    running : bool
        Whether ticks may still come.
    failure : Exception or None
        What a controller's function raised, or what is wrong with its answer.

    Raises
    ------
    InputError
        If one is no Controller, or two set the same source.
    """

    def __init__(self, controllers: Sequence[Controller], max_step_s: float, stop_s: float) -> None:
        for controller in controllers:
            if not isinstance(controller, Controller):
                raise InputError("controllers", controller, "is no Controller", "give Controller(step, rate_Hz, ...)")
        self.sources = [name for c in controllers for name in c.outputs]
        for name in self.sources:
            if self.sources.count(name) > 1:
                raise InputError("outputs", name, "is set by two controllers", "leave it to one of them")
        self.inputs = list(dict.fromkeys(name for c in controllers for name in c.inputs))
        self.max_step_s = min([max_step_s, *(1 / c.rate_Hz for c in controllers)])
        self.points = int(POINTS_PER_TICK * sum(stop_s * c.rate_Hz + 1 for c in controllers))
        self.served, self.running = 0, True
        self.failure: Exception | None = None
        self._members = [_Member(c, self.inputs) for c in controllers]
        self._changes = max(member.most_changes for member in self._members)
        self._message = struct.Struct(f"={1 + len(self.inputs)}d")
        self._schedule = struct.Struct(f"={3 + (2 * self._changes + 1) * len(self.sources)}d")

    def request(self) -> dict[str, object]:
        """What the worker is told before the run."""
        return {
            "sampled": self.inputs,
            "sources": self.sources,
            "changes": self._changes,
            "schedule": self._numbers(),
        }

    def serve(self, process: WorkerProcess, failed: FailedDeck, seconds: float) -> None:
        """Answer ticks for a while, or until the run has ended.

        Raises
        ------
        Exception
            What a controller's function raised, as it was.
        InputError, AbsurdValueError
            If its answer is no numbers, or one is not finite.
        EngineError
            If ngspice passed a tick without a time-point.
        """
        until = time.monotonic() + seconds
        left = seconds
        while left > 0 and (raw := process.asked(self._message.size, left)) is not None:
            t, *sampled = self._message.unpack(raw) if len(raw) == self._message.size else (math.nan,)
            if math.isnan(t):  # the run has ended, or the worker is gone
                self.running = False
                return
            self._tick(t, sampled, failed)
            process.answer_tick(self._schedule.pack(*self._numbers()))
            left = until - time.monotonic()

    def _tick(self, t: float, sampled: list[float], failed: FailedDeck) -> None:
        """Ask all controllers whose tick it is."""
        rounding = self._rounding(t)
        for member in self._members:
            late = t - member.next_s
            if late < -rounding:
                continue
            if late > rounding:
                problem = f"ngspice passed its tick at {member.next_s:.9g} s"
                raise failed.error(EngineError, member.controller.name, f"{t:.9g} s", problem, time_s=t)
            try:
                member.tick(sampled, failed)
            except Exception as error:
                error.add_note(f"in the step of {member.controller.name!r} at {member.next_s:.9g} s")
                self.failure = error
                raise
            self.served += 1

    def _rounding(self, t: float) -> float:
        return ROUNDING * t + CLOSE * self.max_step_s

    def _numbers(self) -> list[float]:
        """The schedule, see `blocks`."""
        tick = min([member.next_s for member in self._members])
        numbers = [tick, self._rounding(tick), FIRST_STEP * self.max_step_s]
        for member in self._members:
            numbers += member.rows(self._changes)
        return numbers

    def ticks(self, reached_s: float) -> tuple[Ticks, ...]:
        """What each controller did, with its state at the time where the run ended."""
        return tuple(member.ticks(reached_s) for member in self._members)


def _numbers_of(answer: object) -> list[float]:
    """What a function returned, as a list; empty for what is no numbers."""
    if isinstance(answer, float | int):
        return [float(answer)]
    try:
        return [] if answer is None else np.asarray(answer, dtype=float).ravel().tolist()
    except (TypeError, ValueError):
        return []


class _Member:
    """A controller in a run: its next tick, and the values that its sources have and will have."""

    def __init__(self, controller: Controller, inputs: Sequence[str]) -> None:
        self.controller = controller
        state = controller.resume
        if state is None:
            state = ControllerState(0 if controller.phase_s > 0 else 1, 0.0, tuple(controller.initial or ()))
        self._number, self._elapsed_s = state.tick, state.elapsed_s
        self.next_s = controller.tick_s(self._number) - self._elapsed_s
        self._held, self._pending = state.held, list(state.pending)
        # Those on their way through the latency, one that begins now, and one that rounding keeps for another tick.
        self.most_changes = math.ceil(controller.latency_s * controller.rate_Hz) + 2 + len(self._pending)
        self._places = [inputs.index(name) for name in controller.inputs]
        self._limited = dict.fromkeys((*controller.inputs, *controller.outputs), 0)
        # Tick after tick, in plain numbers: objects for each would have Python's collector look through all of them.
        self._time_s, self._inputs, self._outputs = array("d"), array("d"), array("d")

    def tick(self, sampled: Sequence[float], failed: FailedDeck) -> None:
        """Ask the function about the sampled vectors, and schedule what it answers."""
        controller = self.controller
        inputs = self._converted(controller.inputs, controller.adc, [sampled[k] for k in self._places])
        answer = controller.step(controller.tick_s(self._number), np.array(inputs))
        self._outputs.extend(self._schedule(answer, failed))
        self._inputs.extend(inputs)
        self._time_s.append(self.next_s)
        self._number += 1
        self.next_s = controller.tick_s(self._number) - self._elapsed_s

    def _converted(self, names: Sequence[str], converters: Sequence[Converter], values: list[float]) -> list[float]:
        """Values behind their converters; those beyond a range are counted."""
        found = []
        for name, converter, value in zip(names, converters, values, strict=True):
            if not converter.is_none:
                self._limited[name] += converter.limits(value)
                value = converter.converted(value)
            found.append(value)
        return found

    def _schedule(self, answer: object, failed: FailedDeck) -> tuple[float, ...]:
        """Let the sources have what the function answers, after the latency; returns the converted values."""
        controller, t = self.controller, self.next_s
        given = _numbers_of(answer)
        if len(given) != len(controller.outputs):
            problem = f"is no answer of {controller.name!r} at {t:.9g} s"
            fix = f"return one number for each of {', '.join(controller.outputs)}"
            raise InputError("step", answer, problem, fix)
        if not all(map(math.isfinite, given)):
            name, value = next(
                pair for pair in zip(controller.outputs, given, strict=True) if not math.isfinite(pair[1])
            )
            problem = f"is what {controller.name!r} gives at {t:.9g} s"
            fix = "let its step return finite numbers"
            raise failed.error(AbsurdValueError, name, value, problem, fix=fix, time_s=t)
        values = tuple(self._converted(controller.outputs, controller.dac, given))
        self._settle(t)
        begin = t + controller.latency_s
        while self._pending and self._pending[-1][0] >= begin:  # a run that is resumed may have had more latency
            self._pending.pop()
        if values != (self._pending[-1][1] if self._pending else self._held):
            self._pending.append((begin, values))
        return values

    def _settle(self, t: float) -> None:
        """Make changes before t the held values; at its own time a change is still to come."""
        while self._pending and self._pending[0][0] < t * (1 - ROUNDING):
            self._held = self._pending.pop(0)[1]

    def rows(self, changes: int) -> list[float]:
        """Times and values of each source, one source after the other."""
        idle = changes - len(self._pending)
        times = [begin for begin, _ in self._pending] + [math.inf] * idle
        numbers: list[float] = []
        for k, held in enumerate(self._held):
            values = [held, *(each[k] for _, each in self._pending)]
            numbers += times + values + values[-1:] * idle
        return numbers

    def ticks(self, reached_s: float) -> Ticks:
        """What it did."""
        self._settle(reached_s)
        pending = tuple((begin - reached_s, values) for begin, values in self._pending)
        n = len(self._time_s)
        return Ticks(
            self.controller.name,
            np.array(self._time_s),
            np.array(self._inputs).reshape(n, len(self.controller.inputs)),
            np.array(self._outputs).reshape(n, len(self.controller.outputs)),
            dict(self._limited),
            ControllerState(self._number, self._elapsed_s + reached_s, self._held, pending),
        )
