"""The ticks of all controllers of one run: when ngspice has to stop next, and what the sources do until then.

A value that changes does so along a straight edge of `EDGE` of the largest step. ngspice ends a step at its beginning
and at its end (`callbacks.next_step`), so no step straddles it, and takes one step for it.
"""

from __future__ import annotations

import math
import struct
import time
from collections.abc import Sequence

import numpy as np

from circuits.ngspice.controller import Controller
from circuits.ngspice.failures import FailedDeck
from circuits.ngspice.worker_process import WorkerProcess
from circuits.signals.ticks import ControllerState, Ticks
from inmateria.errors import AbsurdValueError, EngineError, InputError

EDGE = 1e-4
"""Length of an edge, as a fraction of the largest step. ngspice merges breakpoints closer than 5e-5 of it."""

LATE = 1e-12
"""How late a tick may be, as a fraction of its time: rounding."""

POINTS_PER_TICK = 30
"""Time-points that a tick may add: the steps behind an edge grow by a factor of 2 at most."""


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
    served : int
        Ticks so far.
    running : bool
        Whether ticks may still come.
    failure : Exception or None
        What a controller's function raised.

    Raises
    ------
    InputError
        If two controllers set the same source.
    """

    def __init__(self, controllers: Sequence[Controller], max_step_s: float, stop_s: float) -> None:
        for controller in controllers:
            if not isinstance(controller, Controller):
                raise InputError("controllers", controller, "is no Controller", "give Controller(step, rate_Hz, ...)")
        self.max_step_s = min([max_step_s, *(1 / c.rate_Hz for c in controllers)])
        self.sources = [name for c in controllers for name in c.outputs]
        for name in self.sources:
            if self.sources.count(name) > 1:
                raise InputError("outputs", name, "is set by two controllers", "leave it to one of them")
        self.inputs = list(dict.fromkeys(name for c in controllers for name in c.inputs))
        self.served = 0
        self.running = True
        self.failure: Exception | None = None
        edge_s = EDGE * self.max_step_s
        self._members = [_Member(c, self.inputs, edge_s) for c in controllers]
        self._knots = max((m.knots for m in self._members), default=0)
        self._message = struct.Struct(f"={1 + len(self.inputs)}d")
        self._schedule = struct.Struct(f"={1 + 2 * self._knots * len(self.sources)}d")
        self._stop_s = stop_s

    @property
    def points(self) -> int:
        """How many time-points the ticks may add."""
        return int(POINTS_PER_TICK * sum(self._stop_s * m.controller.rate_Hz + 1 for m in self._members))

    def request(self) -> dict[str, object]:
        """What the worker is told before the run."""
        return {
            "sampled": self.inputs,
            "sources": self.sources,
            "knots": self._knots,
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
        while left > 0:
            raw = process.asked(self._message.size, left)
            if raw is None:
                return
            if len(raw) < self._message.size:  # the worker is gone
                self.running = False
                return
            t, *sampled = self._message.unpack(raw)
            if math.isnan(t):
                self.running = False
                return
            self._tick(t, sampled, failed)
            process.answer_tick(self._schedule.pack(*self._numbers()))
            left = until - time.monotonic()

    def _tick(self, t: float, sampled: list[float], failed: FailedDeck) -> None:
        for member in self._members:
            late = t - member.next_s
            if late > LATE * t:
                problem = f"ngspice passed its tick at {member.next_s:.9g} s"
                raise failed.error(EngineError, member.controller.name, f"{t:.9g} s", problem, time_s=t)
            if late >= -LATE * t:
                try:
                    answer = member.ask(sampled)
                except Exception as error:
                    error.add_note(f"in the step of {member.controller.name!r} at {member.next_s:.9g} s")
                    self.failure = error
                    raise
                member.set(answer, failed)
                self.served += 1

    def _numbers(self) -> list[float]:
        """The next tick, then each source's knots."""
        numbers = [min((m.next_s for m in self._members), default=math.inf)]
        for member in self._members:
            numbers += member.rows(self._knots)
        return numbers

    def ticks(self, reached_s: float) -> tuple[Ticks, ...]:
        """What each controller did; it stands where the run came to."""
        return tuple(member.ticks(reached_s) for member in self._members)


class _Member:
    """One controller in a run."""

    def __init__(self, controller: Controller, inputs: Sequence[str], edge_s: float) -> None:
        self.controller = controller
        self._places = [inputs.index(name) for name in controller.inputs]
        self._edge_s = edge_s
        state = controller.resume
        if state is None:
            first = 0 if controller.phase_s > 0 else 1
            state = ControllerState(first, 0.0, tuple(controller.initial or ()))
        self._number, self._elapsed_s = state.tick, state.elapsed_s
        self._held = state.held
        self._edges = list(state.pending)
        # Values on their way: those of a latency, one that begins, one on its edge; two knots each.
        self.knots = 2 * (math.ceil(controller.latency_s * controller.rate_Hz) + 2 + len(self._edges))
        self._record: tuple[list[float], list[list[float]], list[list[float]]] = ([], [], [])
        self._limited = dict.fromkeys((*controller.inputs, *controller.outputs), 0)

    @property
    def next_s(self) -> float:
        """Time of the next tick in this run, s."""
        return self.controller.tick_s(self._number) - self._elapsed_s

    def ask(self, sampled: Sequence[float]) -> object:
        """What the function answers to the converted samples."""
        inputs = []
        for name, place, converter in zip(self.controller.inputs, self._places, self.controller.adc, strict=True):
            self._limited[name] += converter.limits(sampled[place])
            inputs.append(converter.converted(sampled[place]))
        self._record[1].append(inputs)
        return self.controller.step(self.controller.tick_s(self._number), np.array(inputs))

    def set(self, answer: object, failed: FailedDeck) -> None:
        """Schedule the function's answer, after the latency."""
        controller, t = self.controller, self.next_s
        try:
            given = None if answer is None else np.asarray(answer, dtype=float).reshape(-1).tolist()
        except (TypeError, ValueError):
            given = None
        if given is None or len(given) != len(controller.outputs):
            problem = f"is no answer of {controller.name!r} at {t:.9g} s"
            fix = f"return one number for each of {', '.join(controller.outputs)}"
            raise InputError("step", answer, problem, fix)
        values = []
        for name, value, converter in zip(controller.outputs, given, controller.dac, strict=True):
            if not math.isfinite(value):
                problem = f"is what {controller.name!r} gives at {t:.9g} s"
                fix = "let its step return finite numbers"
                raise failed.error(AbsurdValueError, name, value, problem, fix=fix, time_s=t)
            self._limited[name] += converter.limits(value)
            values.append(converter.converted(value))
        self._settle(t)
        start = t + controller.latency_s
        self._edges = [edge for edge in self._edges if edge[0] < start]  # one resumed may have had more latency
        self._edges.append((start, tuple(values)))
        self._record[0].append(t)
        self._record[2].append(values)
        self._number += 1

    def _settle(self, t: float) -> None:
        """Make past edges the held values."""
        while self._edges and self._edges[0][0] + self._edge_s <= t:
            self._held = self._edges.pop(0)[1]

    def rows(self, knots: int) -> list[float]:
        """Times and values of each source's knots, one source after the other."""
        times = [at for start, _ in self._edges for at in (start, start + self._edge_s)]
        idle = knots - len(times)
        times += [math.inf] * idle
        numbers = []
        for k, held in enumerate(self._held):
            numbers += times
            for _, values in self._edges:
                numbers += (held, values[k])
                held = values[k]
            numbers += [held] * idle
        return numbers

    def ticks(self, reached_s: float) -> Ticks:
        self._settle(reached_s)
        pending = tuple((start - reached_s, values) for start, values in self._edges)
        end = ControllerState(self._number, self._elapsed_s + reached_s, self._held, pending)
        time_s, inputs, outputs = self._record
        n = len(time_s)
        return Ticks(
            self.controller.name,
            np.array(time_s),
            np.array(inputs[:n]).reshape(n, len(self.controller.inputs)),
            np.array(outputs).reshape(n, len(self.controller.outputs)),
            self._limited,
            end,
        )
