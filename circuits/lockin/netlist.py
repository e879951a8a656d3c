"""A lock-in as a netlist: quadrature references, two mixers, a chain of poles in each arm; read as the digital one.

    signal --(input gain)--+-- mixer x --- low-pass ... low-pass --- x
                           |     |
                           |   sin(h (2 pi f t + reference phase) + phase)
                           |
                           +-- mixer y --- low-pass ... low-pass --- y
                                 |
                               cos(...)

Each block is a part of `netlists` at a level of realism, found by name. The references come from the level's
oscillator, locked to the signal's source (without error of its frequency); where a level has none, from ideal sources.
They are as large as the mixers' scale (10 V, what a real multiplier takes), so that the mixers have unit gain at any
level. A sine of peak A in phase puts A / 2 on the filter, and the instrument shows A / sqrt 2: readings are the
filters' outputs times sqrt 2. Behind a switching mixer a sine puts 2 A / pi there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from circuits.ngspice.engine import Engine, Progress
from circuits.noise.circuit_noise import noise_along
from circuits.parts.chosen import Chosen, by_name, check_chosen, chosen_part
from circuits.parts.preamble import preamble
from circuits.parts.rc_values import pole_values
from circuits.signals.transient import Transient
from inmateria.checks import FloatArray, finite, positive
from inmateria.errors import InputError
from lockin.plan import DitherPlan
from lockin.settings import LockInReading, LockInSettings
from lockin.theory import settled_fraction, settling_time
from netlists.reader import Part, available

POINTS_PER_CYCLE = 32
"""Time-points per cycle of the reference: 16 per cycle of the ripple that the filter has to remove."""
LOCKIN_PARTS = ("gain_offset", "lowpass", "mixer", "oscillator", "switching_mixer")
"""Parts that a lock-in may have."""
SWING_REACHED = 0.98
"""A stage that came to this share of its swing limit is overloaded: limits are soft, and never quite reached."""


@dataclass(frozen=True)
class LockInBlock:
    """One lock-in channel as a netlist; made by `lockin_block`.

    Attributes
    ----------
    settings : LockInSettings
    frequency_Hz : float
        Reference frequency (the fundamental), Hz.
    level : str
        Level of realism of the parts.
    reference_phase : float
        Phase of the reference oscillator, rad.
    name : str
        Prefix of all its nodes and instances.
    gain : float
        Gain of the amplifier before the mixers; at 1 there is none.
    reference_V : float
        Peak of the references, and scale of the mixers, V.
    replaced : mapping of str to Part
        Parts that take the place of the level's, by name.
    """

    settings: LockInSettings
    frequency_Hz: float
    level: str = "ideal"
    reference_phase: float = 0.0
    name: str = "lockin"
    gain: float = 1.0
    reference_V: float = 10.0
    replaced: Mapping[str, Part] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for what, unit in {"frequency_Hz": "Hz", "gain": "V/V", "reference_V": "V"}.items():
            positive(what, getattr(self, what), unit)
        finite("reference_phase", self.reference_phase, "rad")
        if self.settings.window != "rc":
            raise InputError("window", self.settings.window, "has no netlist", "take 'rc', or demodulate the record")
        if not (self.name.isascii() and self.name.isidentifier()):
            raise InputError("name", self.name, "cannot begin a node's name", "use letters, digits and '_'")
        check_chosen(self.replaced, LOCKIN_PARTS, self.level)
        for part in self.parts:
            self.part(part)

    # -- parts ---------------------------------------------------------------------------------------------------------

    @property
    def mixer(self) -> str:
        """Name of the mixer's part."""
        return "mixer" if self.settings.mixer == "sine" else "switching_mixer"

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the parts it is made of."""
        optional = (("oscillator", self.has_oscillator), ("gain_offset", self.gain != 1.0))
        return (*(name for name, used in optional if used), self.mixer, "lowpass")

    @property
    def has_oscillator(self) -> bool:
        """Whether there is a part to make the references."""
        return "oscillator" in self.replaced or ("oscillator", self.level) in available()

    def part(self, name: str) -> Part:
        """A part: the replacement, or the level's."""
        return chosen_part(self.replaced, name, self.level)

    @property
    def points_per_cycle(self) -> int:
        """Time-points per cycle for a magnitude true to 0.1 %: a square reference's sampled edges are its error."""
        return POINTS_PER_CYCLE * (1 if self.settings.mixer == "sine" else 4)

    @property
    def rms_per_volt(self) -> float:
        """What the instrument shows for 1 V at the end of a filter, V rms."""
        sine_to_filter = 0.5 if self.settings.mixer == "sine" else 2.0 / math.pi
        return math.sqrt(0.5) / (sine_to_filter * self.gain)

    # -- netlist -------------------------------------------------------------------------------------------------------

    def node(self, what: str, poles: int | None = None) -> str:
        """Name of a node: ``'input'``, ``'mixer_x'``, ``'filter_x1'`` ..., ``'x'`` and ``'y'`` (the outputs).

        `poles` asks for the output ``'x'`` or ``'y'`` after fewer poles than the setting has.
        """
        if what in ("x", "y"):
            what = f"filter_{what}{self.settings.poles if poles is None else poles}"
        return f"{self.name}_{what}"

    @property
    def stages(self) -> tuple[tuple[str, str], ...]:
        """Stages whose swing is watched, as (stage, part)."""
        arms = [(f"mixer_{arm}", self.mixer) for arm in "xy"]
        arms += [(f"filter_{arm}{k}", "lowpass") for arm in "xy" for k in range(1, self.settings.poles + 1)]
        return (*([("input", "gain_offset")] if self.gain != 1.0 else []), *arms)

    @property
    def saved(self) -> tuple[str, ...]:
        """Vectors that a transient has to keep for `reading`."""
        return tuple(f"v({self.node(stage)})" for stage, _ in self.stages)

    def cards(self, signal: str, arms: str = "xy", references: tuple[str, str] | None = None) -> str:
        """Netlist lines between the node `signal` and the outputs; without the parts' library (`library`).

        Parameters
        ----------
        signal : str
            Node of the signal, V; it is not loaded.
        arms : {'xy', 'x', 'y'}, optional
            Which of the two arms; leaving one out saves half of the work, and `reading` then cannot be had.
        references : tuple of str, optional
            Nodes of the references of x and y, where something else makes them; such as another block with the same
            settings, whose nodes are ``node('reference_x')`` and ``node('reference_y')``.
        """
        lines = [] if references else self._reference_cards()
        source = signal
        if self.gain != 1.0:
            source = self.node("input")
            nodes = {"in": signal, "offset": "0", "out": source}
            lines.append(self.part("gain_offset").instance(f"{self.name}_amp", nodes, gain=self.gain))
        mixer, pole = self.part(self.mixer), self.part("lowpass")
        values = pole_values(pole, self.settings.time_constant)
        scale = {"vscale": self.reference_V} if "vscale" in mixer.defaults else {}
        for arm in arms:
            before = self.node(f"mixer_{arm}")
            reference = references["xy".index(arm)] if references else self.node(f"reference_{arm}")
            nodes = {"a": source, "b": reference, "out": before}
            lines.append(mixer.instance(f"{self.name}_mix{arm}", nodes, **scale))
            for k in range(1, self.settings.poles + 1):
                after = self.node(f"filter_{arm}{k}")
                nodes = {"in": before, "out": after}
                lines.append(pole.instance(f"{self.name}_lp{arm}{k}", nodes, **values))
                before = after
        return "\n".join(lines)

    def _reference_cards(self) -> list[str]:
        """Both references: the oscillator, or ideal sources."""
        frequency, peak = self.settings.harmonic * self.frequency_Hz, self.reference_V
        degrees = math.degrees(self.settings.harmonic * self.reference_phase) + self.settings.phase
        degrees = math.remainder(degrees, 360.0)
        x, y = self.node("reference_x"), self.node("reference_y")
        if not self.has_oscillator:
            sine = f"SIN(0 {peak!r} {frequency!r} 0 0"
            return [f"V{x} {x} 0 {sine} {degrees!r})", f"V{y} {y} 0 {sine} {degrees + 90.0!r})"]
        part = self.part("oscillator")
        values = {"frequency": frequency, "amplitude": peak, "phase": degrees}
        if "ferror" in part.defaults:  # locked
            values["ferror"] = 0.0
        return [part.instance(f"{self.name}_osc", {"sine": x, "cosine": y}, **values)]

    def deck(self, source: str) -> str:
        """A circuit for `Engine.transient`: the block behind one source.

        Parameters
        ----------
        source : str
            Value of an independent voltage source, such as ``'SIN(0 0.1 1000)'``.
        """
        signal = self.node("signal")
        return "\n".join(
            [
                f"lock-in, {self.level}, {self.settings.filter_slope} dB/octave",
                preamble(self.part(name) for name in self.parts),
                f"V{signal} {signal} 0 {source}",
                self.cards(signal),
            ]
        )

    # -- running and reading -------------------------------------------------------------------------------------------

    def run(
        self,
        engine: Engine,
        source: str,
        *,
        duration_s: float | None = None,
        points_per_cycle: int | None = None,
        noise: bool = False,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Transient:
        """Run the block behind one source; filters start empty.

        Parameters
        ----------
        engine : Engine
        source : str
            As for `deck`.
        duration_s : float, optional
            Length of the run, rounded up to whole cycles; left out: settled to 99.99 %.
        points_per_cycle : int, optional
            Time-points per cycle of the detected frequency; left out: as many as the block's. A signal of other
            frequencies may need more.
        noise : bool, optional
            Whether its elements have their own noise; see `circuits.noise`.
        seed : int, optional
            Of the noise.
        progress : callable, optional

        Raises
        ------
        InputError, NetlistError, ConvergenceError, EngineError, Interrupted
            As `Engine.transient`.
        """
        duration = settling_time(self.settings, 0.9999) if duration_s is None else duration_s
        positive("duration_s", duration, "s")
        return run_evenly(
            engine,
            self.deck(source),
            frequency_Hz=self.frequency_Hz * self.settings.harmonic,
            duration_s=duration,
            points_per_cycle=self.points_per_cycle if points_per_cycle is None else points_per_cycle,
            save=[f"v({self.node('signal')})", *self.saved],
            noise=noise,
            seed=seed,
            progress=progress,
        )

    def reading(self, run: Transient) -> LockInReading:
        """What the instrument shows at the end of a run that kept `saved`.

        Returns
        -------
        LockInReading
            RMS, referred to the signal. Overloads: x and y above the sensitivity, and every stage that came to its
            swing limit at any time of the run.
        """
        x, y = (self.rms_per_volt * float(run[f"v({self.node(arm)})"][-1]) for arm in "xy")
        overloaded = tuple(
            stage
            for stage, name in self.stages
            if np.max(np.abs(run[f"v({self.node(stage)})"])) >= SWING_REACHED * swing_limit_V(self.part(name))
        )
        settled = settled_fraction(self.settings, float(run.time_s[-1]))
        return LockInReading.of(self.settings, x, y, settled, overloaded)

    def trace(self, run: Transient) -> tuple[FloatArray, FloatArray]:
        """x and y (V rms) at all time-points of a run."""
        x, y = (self.rms_per_volt * run[f"v({self.node(arm)})"] for arm in "xy")
        return x, y


def lockin_block(
    settings: LockInSettings,
    frequency_Hz: float,
    level: str = "ideal",
    *,
    reference_phase: float = 0.0,
    name: str = "lockin",
    gain: float = 1.0,
    reference_V: float = 10.0,
    parts: Sequence[Part] | Chosen = (),
) -> LockInBlock:
    """Realise a lock-in as a netlist; it reads what `lockin.demodulate` reads with the same settings.

    Parameters
    ----------
    settings : LockInSettings
        The instrument's setting; the window must be ``'rc'``. Sensitivity in V rms.
    frequency_Hz : float
        Reference frequency, Hz (the fundamental).
    level : str, optional
        Level of realism of all parts: ``'ideal'``, ``'macro'`` or ``'transistor'``.
    reference_phase : float, optional
        Phase of the reference oscillator, rad.
    name : str, optional
        Prefix of nodes and instances: channels in one deck need different ones.
    gain : float, optional
        Gain before the mixers. Gain there is small offset and small dynamic reserve, the two that an SR830's reserve
        modes trade; readings are referred to the signal in any case.
    reference_V : float, optional
        Peak of the references, which is the mixers' scale too, V.
    parts : sequence of Part, or mapping of str to Part, optional
        Parts (your own, or of another level) in place of the level's, by their own names or by the mapping's. An
        op-amp's name takes that op-amp's place inside every part that uses it.

    Returns
    -------
    LockInBlock
        ``block.reading(block.run(engine, 'SIN(0 0.1 1000)'))`` gives a `LockInReading`.

    Raises
    ------
    InputError
        For settings that have no netlist, and parts that do not exist at this level.
    """
    replaced = by_name(parts)
    return LockInBlock(
        settings, float(frequency_Hz), level, reference_phase, name, float(gain), float(reference_V), replaced
    )


def channel_blocks(
    settings: LockInSettings, plan: DitherPlan, level: str, gain: float, parts: Sequence[Part] | Chosen
) -> tuple[LockInBlock, ...]:
    """Lock-ins with the same settings, one a tone of a plan, named ``channel0`` and so on; errors as `lockin_block`."""
    return tuple(
        lockin_block(settings, f, level, reference_phase=phase, name=f"channel{k}", gain=gain, parts=parts)
        for k, (f, phase) in enumerate(zip(plan.frequencies_Hz, plan.phases_rad, strict=True))
    )


def run_evenly(
    engine: Engine,
    deck: str,
    *,
    frequency_Hz: float,
    duration_s: float,
    points_per_cycle: int,
    save: Sequence[str],
    noise: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
) -> Transient:
    """Transient over whole cycles with even time-points: sums over a cycle are exact on them."""
    cycles = math.ceil(duration_s * frequency_Hz * (1 - 1e-12))
    stop, steps = cycles / frequency_Hz, cycles * points_per_cycle
    asked: dict[str, Any] = {
        "stop_s": stop,
        "max_step_s": stop / steps,
        "grids_s": [(0.0, stop, steps)],
        "seed": seed,
        "progress": progress,
    }
    return engine.transient(deck, save=save, noise=noise_along(engine, deck, **asked) if noise else None, **asked)


def swing_limit_V(part: Part) -> float:
    """Largest output of a part, V, as its file or that of an op-amp it uses states it; infinite where none does."""
    if "vswing" in part.defaults:
        return part.defaults["vswing"]
    headroom = part.headroom
    return math.inf if headroom is None else part.defaults["vsupply"] - headroom
