"""The questions put to every distinct part of a circuit, and the verdicts.

Operating point; return ratio and margins of every loop inside (`loop_gain`); an edge and its way back, with a load
step behind it; overload and recovery; whether its slew rate lets it follow; start-up of parts that have supplies.
Steps are a twentieth of the period of the fastest crossover, and each event lasts a hundred of those periods, twenty of
the slowest one's, and ten time constants of the part; a part for which that is too long is slow on purpose, and asked
for ripple only.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from circuits.fast_check.cells import OUT, Cell, Levels, cell_of
from circuits.fast_check.loop_gain import LoopGain, from_injections
from circuits.fast_check.subcircuits import Opened
from circuits.fast_check.waveforms import FLOOR_V, settling
from circuits.ngspice.engine import Engine, Vectors
from circuits.parts.assembly import Placement
from inmateria.checks import FloatArray
from inmateria.errors import ConvergenceError, TrustWarning
from netlists.reader import SUPPLIES

SWEEP = ".ac dec 50 1 1e9"
STEPS_PER_PERIOD, PERIODS, SLOW_PERIODS, TIME_CONSTANTS = 20, 100, 20, 10
MOST_STEPS = 20_000
"""Of one event."""
LEAST_HZ = 1e6
"""What parts without a loop inside are looked at with, at least: such poles the parts here have."""
KICK_A = 1e-3
"""Step of the load current."""
CLOSE = 0.05
"""Share of the excursion (or supply) within which a part is back after an overload (or started)."""
RAILED = 0.8
"""Share of its supply from which an output counts as stuck there."""

QUESTIONS = ("operating point", "phase margin", "edge", "overload", "slew rate", "start-up")


@dataclass(frozen=True)
class Requirements:
    """What the fast check asks.

    Parameters
    ----------
    phase_margin_deg : float
        Of every loop, at least.
    settling_s : float
        After an edge, at most.
    recovery_s : float
        After an overload, at most.
    """

    phase_margin_deg: float = 20.0
    settling_s: float = 5e-3
    recovery_s: float = 5e-3


@dataclass(frozen=True)
class Tones:
    """Sines that stand in a circuit, taken to be as fast as its fastest.

    Parameters
    ----------
    frequency_Hz : float
    peaks : mapping of str to float
        By node, V, or A of those that the device drives; those behind parts are found from them, part by part.
    """

    frequency_Hz: float
    peaks: Mapping[str, float]


@dataclass(frozen=True)
class Finding:
    """An answer.

    Attributes
    ----------
    references : tuple of str
        Places of the circuit at which it holds: parts alike, with like loads.
    part : str
        Its subcircuit.
    question : str
        One of `QUESTIONS`.
    passed : bool or None
        None where it was not judged.
    told : str
        The answer in words.
    figures : mapping of str to float
        Its numbers, with units in their names.
    """

    references: tuple[str, ...]
    part: str
    question: str
    passed: bool | None
    told: str
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class FastCheck:
    """What the fast check found.

    Attributes
    ----------
    findings : tuple of Finding
    asked : Requirements
    loops : tuple of (tuple of str, LoopGain)
        The return ratio of each amplifier, with the references of its part; the smallest margin first.
    """

    findings: tuple[Finding, ...]
    asked: Requirements
    loops: tuple[tuple[tuple[str, ...], LoopGain], ...]

    @property
    def passed(self) -> bool:
        """Whether no answer is bad."""
        return all(one.passed is not False for one in self.findings)

    def of(self, question: str) -> tuple[Finding, ...]:
        """Answers to one question."""
        return tuple(one for one in self.findings if one.question == question)


def check_parts(
    engine: Engine,
    placed: Mapping[str, Placement],
    sources: Mapping[str, Levels],
    currents: Mapping[str, Levels],
    tones: Tones,
    asked: Requirements | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> FastCheck:
    """Put all questions to every distinct part of a circuit that is not ideal.

    Parameters
    ----------
    engine : Engine
    placed : mapping of str to Placement
        The circuit's parts.
    sources : mapping of str to (float, float)
        Levels of nodes that a source holds, V. Those behind parts are found from them, part by part; an integrator's
        is its starting value, which opens the loops.
    currents : mapping of str to (float, float)
        Currents of the device into nodes, A.
    tones : Tones
    asked : Requirements, optional
    progress : callable, optional
        Called as progress(reference, parts done, parts in all).

    Raises
    ------
    NetlistError, EngineError, Interrupted
        As `Engine.run`, for what is no failure to converge.
    """
    wanted = asked or Requirements()
    levels = {"0": (0.0, 0.0), **sources}
    levels |= {p.nodes[OUT]: (p.figure("v0"), p.figure("v0")) for p in placed.values() if p.part.name == "integrator"}
    pending = [name for name, there in placed.items() if Opened(there.part).active]
    count = len(pending)
    seen: dict[tuple[object, ...], _Answers] = {}
    peaks = dict(tones.peaks)
    while pending:
        name = next((one for one in pending if _known(placed[one], levels, currents)), pending[0])
        pending.remove(name)
        cell = cell_of(name, placed, levels, currents, peaks)
        if cell.key not in seen:
            if progress is not None:
                progress(name, count - len(pending) - 1, count)
            seen[cell.key] = _Answers(engine, cell, wanted, tones.frequency_Hz)
        answers = seen[cell.key]
        answers.references.append(name)
        levels.setdefault(cell.out, answers.levels)
        peaks[cell.out] = answers.peak_V
    findings = [one for answers in seen.values() for one in answers.findings()]
    loops = [(tuple(answers.references), one) for answers in seen.values() for one in answers.loops]
    loops.sort(key=lambda item: item[1].phase_margin_deg)
    return FastCheck(tuple(findings), wanted, tuple(loops))


def _known(there: Placement, levels: Mapping[str, Levels], currents: Mapping[str, Levels]) -> bool:
    return all(node in levels or node in currents for pin, node in there.nodes.items() if pin != OUT)


class _Answers:
    """One cell's answers; made by asking one question after the other, up to the first transient that fails."""

    def __init__(self, engine: Engine, cell: Cell, asked: Requirements, tone_Hz: float) -> None:
        self.engine, self.cell, self.asked, self.tone_Hz = engine, cell, asked, tone_Hz
        self.references: list[str] = []
        self.levels: Levels = (0.0, 0.0)
        self.peak_V = 0.0
        self.loops: list[LoopGain] = []
        self._found: list[tuple[str, bool | None, str, dict[str, float]]] = []
        standing = self._operating_point()
        if standing:
            self._tone()
        if standing and cell.placement.part.level != "ideal":
            self._margins()
            self._response()
            for ask in (self._edge, self._overload, self._slew, self._start_up):
                try:
                    ask()
                except ConvergenceError as error:
                    question = {"_edge": "edge", "_overload": "overload", "_start_up": "start-up"}[ask.__name__]
                    self._add(question, False, f"no solution: {error.problem}")
                if self._found[-1][1] is False:  # what oscillates at an edge does so everywhere
                    break
        elif cell.placement.part.level == "ideal":
            self._found.clear()

    def findings(self) -> list[Finding]:
        """The answers, with all places at which they hold."""
        where, subckt = tuple(self.references), self.cell.placement.part.subckt
        return [Finding(where, subckt, *one) for one in self._found]

    def _add(self, question: str, passed: bool | None, told: str, **figures: float) -> None:
        self._found.append((question, passed, told, figures))

    def _run(self, analysis: str, **more: Any) -> Vectors:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TrustWarning)  # asked of `trust`
            return self.engine.run(self.cell.deck(analysis, **more))

    def _operating_point(self) -> bool:
        """Before and after the edge; what the output is there."""
        cell, found = self.cell, []
        for which in (0, 1):
            given = {node: repr(level[which]) for node, level in {**cell.inputs, **cell.currents}.items()}
            try:
                vectors = self._run(f".save v({cell.out})\n.op", sources=given)
            except ConvergenceError as error:
                self._add("operating point", False, f"none found: {error.problem}")
                return False
            if vectors.trust.operating_point == "transient":
                self._add("operating point", False, "found by a transient only: one of maybe several, or not settled")
                return False
            found.append(float(np.real(vectors[cell.out.lower()][0])))
        self.levels = (found[0], found[1])
        limit, worst = cell.supply_V, max(map(abs, found))
        told = f"{found[0]:.4g} V, after the edge {found[1]:.4g} V"
        if worst > limit:
            told += f": beyond its supply of {limit:g} V"
        self._add("operating point", worst <= limit, told, before_V=found[0], after_V=found[1])
        return worst <= limit

    def _tone(self) -> None:
        """Peak of the sine at the output, those at the inputs in phase, after the edge: the gate is open then."""
        given = {**self.cell.inputs, **self.cell.currents}
        sources = {n: f"DC {level[1]!r} AC {self.cell.tones.get(n, 0.0)!r}" for n, level in given.items()}
        found = self._run(f".save v({self.cell.out})\n.ac lin 1 {self.tone_Hz!r} {self.tone_Hz!r}", sources=sources)
        self.peak_V = float(np.abs(found[self.cell.out.lower()][0]))

    def _margins(self) -> None:
        """Return ratio at every wire; of those on one loop, which have one crossover and margin, the first."""
        found: dict[tuple[str, str], LoopGain] = {}
        for wire in self.cell.opened.wires():
            inside = ".".join(("xpart", *wire.path)).lower()
            pin, branch = f"{inside}.probe", f"v.{inside}.vprobe#branch"
            injected = [self._run(SWEEP, cut=wire, ac=ac) for ac in ((1, 0), (0, 1))]
            loop = from_injections(wire.name, injected[0], injected[1], pin, branch)
            if len(loop.crossovers_Hz):
                found.setdefault((f"{loop.crossover_Hz:.3g}", f"{loop.phase_margin_deg:.1f}"), loop)
        self.loops = list(found.values())
        for loop in self.loops:
            margin, least = loop.phase_margin_deg, self.asked.phase_margin_deg
            told = f"{loop.name}: {margin:.1f} deg at {loop.crossover_Hz:.3g} Hz"
            told += ", unstable: the return ratio goes round -1" if loop.encircles else ""
            self._add("phase margin", margin >= least, told, phase_margin_deg=margin,
                      gain_margin=loop.gain_margin, crossover_Hz=loop.crossover_Hz)  # fmt: skip

    def _response(self) -> None:
        """How fast the part follows the edge, and from that the times of the transients."""
        cell = self.cell
        given = {**cell.inputs, **cell.currents}
        edges = {n: after - before for n, (before, after) in given.items()}
        whole = any(edges.values())
        sources = {n: f"DC {given[n][0]!r} AC {edges[n] if whole else 1.0!r}" for n in given}
        response = self._run(f".save v({cell.out})\n{SWEEP}", sources=sources)
        size, frequency = np.abs(response[cell.out.lower()]), np.real(response["frequency"])
        bandwidth = _bandwidth_Hz(frequency, size)
        self.bandwidth_Hz, self.gain = bandwidth, float(size[0])
        crossovers = [float(f) for loop in self.loops for f in loop.crossovers_Hz]
        fastest = max(crossovers, default=min(max(bandwidth, LEAST_HZ), 1e8))
        slowest = min(crossovers, default=fastest)
        self.step_s = 1.0 / (STEPS_PER_PERIOD * fastest)
        fast = max(PERIODS / fastest, min(SLOW_PERIODS / slowest, MOST_STEPS * self.step_s))
        whole_s = TIME_CONSTANTS / (2.0 * math.pi * bandwidth)
        self.slow = whole_s > MOST_STEPS * self.step_s
        self.event_s = fast if self.slow else max(fast, whole_s)

    def _transient(self, stop_s: float, **more: Any) -> Vectors:
        step_s = max(self.step_s, stop_s / (4 * MOST_STEPS))
        return self._run(f".save v({self.cell.out})\n.tran {step_s!r} {stop_s!r} 0 {step_s!r}", **more)

    def _events_s(self, most_s: float) -> Iterator[float]:
        """How long an event lasts, and longer ones for what has not settled in it, up to what is asked, s."""
        t = self.event_s
        yield t
        while not self.slow and t < 2.0 * most_s:
            t = min(4.0 * t, 2.0 * most_s)
            yield t

    def _pulse(self, low: float, high: float, start_s: float, stop_s: float) -> str:
        rise = 5 * self.step_s
        points = [(0.0, low), (start_s, low), (start_s + rise, high), (stop_s, high), (stop_s + rise, low)]
        return f"PWL({' '.join(f'{t!r} {v!r}' for t, v in points)})"

    def _edge(self) -> None:
        """Standing still, an edge, its way back, a load step: one event each."""
        out = self.cell.out.lower()
        given = {**self.cell.inputs, **self.cell.currents}
        for t in self._events_s(self.asked.settling_s):
            sources = {n: self._pulse(*level, t, 2 * t) for n, level in given.items()}
            kick = f"PWL(0 0 {3 * t!r} 0 {3 * t + 5 * self.step_s!r} {KICK_A!r})"
            run = self._transient(4 * t, sources=sources, kick=kick)
            still, up, down, load = (settling(run["time"], run[out], k * t, (k + 1) * t) for k in range(4))
            events = {"standing still": still, "edge": up, "way back": down, "load step": load}
            if any(one.oscillates for one in events.values()) or all(
                math.isfinite(one.settling_s) for one in events.values()
            ):
                break
        bad = next((name for name, one in events.items() if one.oscillates), None)
        edge = up if up.settling_s >= down.settling_s else down
        figures = {"settling_s": edge.settling_s, "overshoot": max(up.overshoot, down.overshoot),
                   "slope_V_per_s": max(up.slope_V_per_s, down.slope_V_per_s),
                   "ripple_V": max(one.ripple_V for one in events.values()),
                   "bandwidth_Hz": self.bandwidth_Hz}  # fmt: skip
        if bad is not None:
            one = max(events.values(), key=lambda found: found.ripple_V)
            told = f"oscillates ({bad}), {one.ripple_V:.3g} V peak to peak at {one.ripple_Hz:.3g} Hz"
            self._add("edge", False, told, **figures)
        elif self.slow:
            figures.pop("settling_s")
            told = f"slow on purpose ({self.bandwidth_Hz:.3g} Hz): no ripple within {4 * t:.2g} s"
            self._add("edge", True, told, **figures)
        else:
            load_s = load.settling_s
            slowest = max(edge.settling_s, load_s)
            told = f"{edge.end_V - edge.start_V:+.3g} V settles in {_time(edge.settling_s, t)}"
            told += f", overshoot {100 * figures['overshoot']:.0f} %, load step of 1 mA in {_time(load_s, t)}"
            self._add("edge", slowest <= self.asked.settling_s, told, **figures)

    def _overload(self) -> None:
        """The first input beyond what the output can follow, and back."""
        cell, out = self.cell, self.cell.out.lower()
        given = {**cell.inputs, **cell.currents}
        node = next(node for pin, node in cell.placement.nodes.items() if pin not in (OUT, *SUPPLIES) and node in given)
        low, limit = given[node][1], cell.supply_V
        edge = abs(given[node][0] - low) or 1.0
        high = limit if node in cell.inputs else 2.0 * limit * edge / max(self.gain, 1e-30)
        stand = {n: repr(level[1]) for n, level in given.items()}
        for t in self._events_s(self.asked.recovery_s):
            run = self._transient(3 * t, sources={**stand, node: self._pulse(low, high, t, 2 * t)})
            over, back = (settling(run["time"], run[out], k * t, (k + 1) * t) for k in (1, 2))
            if over.oscillates or back.oscillates or math.isfinite(back.settling_s):
                break
        rest, excursion = over.start_V, abs(back.start_V - over.start_V)
        figures = {"recovery_s": back.settling_s, "reached_V": back.start_V, "left_V": back.end_V - rest,
                   "slope_V_per_s": max(over.slope_V_per_s, back.slope_V_per_s),
                   "slew_V_per_s": min(over.slew_V_per_s, back.slew_V_per_s)}  # fmt: skip
        unit = "V" if node in cell.inputs else "A"
        asked = f"{high:.3g} {unit} at {node}"
        if over.oscillates or back.oscillates:
            one = max(over, back, key=lambda found: found.ripple_V)
            self._add("overload", False, f"oscillates at {asked}, {one.ripple_V:.3g} V peak to peak", **figures)
        elif self.slow:
            figures.pop("recovery_s")
            self._add("overload", True, f"slow on purpose: no ripple at {asked}", **figures)
        elif abs(back.end_V - rest) > max(CLOSE * excursion, FLOOR_V):
            self._add("overload", False, f"stays at {back.end_V:.3g} V after {asked}, was at {rest:.3g} V", **figures)
        else:
            told = f"{asked} takes it to {back.start_V:.3g} V, back in {_time(back.settling_s, t)}, "
            told += f"at most {1e-6 * figures['slope_V_per_s']:.3g} V/us"
            self._add("overload", back.settling_s <= self.asked.recovery_s, told, **figures)

    def _slew(self) -> None:
        """Whether the output may move as fast as its sine, 2 pi f peak, and passes the edge within the settling time.

        By the slew rate that the part states; else by the slower way, there or back, at the overload. Not asked of a
        part that states none and is slow on purpose: its overload shows how it integrates.
        """
        stated = {limit.name: limit.default for limit in self.cell.placement.part.limits}.get("slew")
        if stated is None and self.slow:
            return
        slew = self._found[-1][3]["slew_V_per_s"] if stated is None else stated
        needed = 2.0 * math.pi * self.tone_Hz * self.peak_V
        edge_V = abs(self.levels[1] - self.levels[0])
        edge_s = edge_V / slew if slew else math.inf
        told = f"a sine of {self.peak_V:.3g} V at {self.tone_Hz:.4g} Hz moves at {1e-6 * needed:.3g} V/us, the part at "
        told += f"{1e-6 * slew:.3g} V/us ({'as measured' if stated is None else 'as stated'})"
        told += f"; an edge of {edge_V:.3g} V takes it {_time(edge_s, math.inf)} or more"
        self._add("slew rate", needed <= slew and edge_s <= self.asked.settling_s, told,
                  needed_V_per_s=needed, slew_V_per_s=slew, edge_s=edge_s)  # fmt: skip

    def _start_up(self) -> None:
        """Inputs and supplies from nothing, where the part has supplies of its own or pins for them."""
        cell, t, out = self.cell, self.event_s, self.cell.out.lower()
        if not (cell.opened.supplies or cell.placement.part.supplied):
            return
        ramp = 0.5 * t
        given = {**cell.inputs, **cell.currents}
        sources = {n: f"PWL(0 0 {ramp!r} {level[0]!r})" for n, level in given.items()}
        run = self._transient(3 * t, sources=sources, ramp_s=ramp)
        found = settling(run["time"], run[out], 2 * t, 3 * t)
        off = found.end_V - self.levels[0]
        figures = {"end_V": found.end_V, "off_V": off}
        if found.oscillates:
            self._add("start-up", False, f"oscillates, {found.ripple_V:.3g} V peak to peak", **figures)
        elif self.slow:
            stuck = abs(found.end_V) > max(RAILED * cell.supply_V, 1.1 * abs(self.levels[0]))
            told = f"{'stuck' if stuck else 'slow on purpose'}: at {found.end_V:.3g} V after {3 * t:.2g} s"
            self._add("start-up", not stuck, told, **figures)
        else:
            told = f"comes to {found.end_V:.4g} V; its operating point is {self.levels[0]:.4g} V"
            self._add("start-up", abs(off) <= max(CLOSE * abs(self.levels[0]), 10 * FLOOR_V), told, **figures)


def _bandwidth_Hz(frequency_Hz: FloatArray, size: FloatArray) -> float:
    """Where a response has fallen by 3 dB, Hz; the last frequency where it does not."""
    low = size / math.sqrt(0.5) < size[0]
    if not low.any():
        return float(frequency_Hz[-1])
    k = max(int(np.argmax(low)), 1)
    fall = np.log(np.maximum(size[k - 1 : k + 1], 1e-300) / (size[0] * math.sqrt(0.5)))
    f = np.log(frequency_Hz[k - 1 : k + 1])
    return float(np.exp(f[0] + (f[1] - f[0]) * fall[0] / (fall[0] - fall[1])))


def _time(seconds: float, looked_s: float) -> str:
    return f"{1e6 * seconds:.3g} us" if math.isfinite(seconds) else f"no {1e6 * looked_s:.3g} us"
