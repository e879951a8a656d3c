"""A bank of lock-ins on a device at frozen controls, as one circuit: what a gradient reading is made of, and no loop.

    bias + ramp + alpha_k sin(2 pi f_k t + phi_k) -> electrode k   device   output -> transimpedance -> less baseline
                                    |________ stray capacitance ________|                                   |
    one lock-in a tone (`LockInBlock`, in-phase arm) <------------------------------------------------------+

The device's output is a current; gradients are in S, the output counted out of the device.

With `correction` "diagonal" a second lock-in a tone takes out what its third power adds (`lockin.third_order`):

    x_k + 3 x_3k = x_k less what a lock-in at 3 f_k reads behind an amplifier of 3, its reference turned over

so that offsets which both have cancel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from circuits.lockin.netlist import LOCKIN_PARTS, LockInBlock, channel_blocks
from circuits.lockin.own_noise import Averaged, own_noise
from circuits.ngspice.cosimulation import CoSimulation
from circuits.ngspice.engine import Engine, Progress, engine_seed
from circuits.ngspice.noise_sources import NoiseSources
from circuits.noise.circuit_noise import noise_along
from circuits.parts.chosen import Chosen, by_name, check_chosen, chosen_among, chosen_part
from circuits.parts.placed_device import PlacedDevice, coupled, placed_device
from circuits.parts.preamble import preamble
from circuits.parts.rc_values import pole_values
from circuits.parts.temperature import NOMINAL_K
from circuits.signals.sources import Drive, Sine, Table
from circuits.signals.transient import Transient
from dnpu_models.interface.device import InNetlists, Steppable, kernel_of
from inmateria.checks import FloatArray, positive
from inmateria.errors import InputError
from lockin.choices import Correction
from lockin.error_budget import FrontEnd
from lockin.plan import DitherPlan
from lockin.settings import LockInSettings
from lockin.third_order import check_free
from netlists.reader import Part, available
from netlists.spice_numbers import format_number

POINTS_PER_CYCLE = 24
BANK_PARTS = ("difference", "rails", "transimpedance", *LOCKIN_PARTS)
_REFERENCES = 8
"""Values of the reference at which the mixer is asked, Chebyshev's nodes: its gain for a sine there, up to order 14."""
_PER_DECADE = 40
_BEYOND = 16.0
"""The front end is known up to so many times the highest tone."""


@dataclass(frozen=True, eq=False)
class LockInBank:
    """Device, dither and lock-ins, ready to run.

    Parameters
    ----------
    device : Device
        With a `kernel`, or a netlist.
    output : int
        Terminal at the transimpedance amplifier; held at 0 V.
    dithered : tuple of int
        Terminals, one a tone.
    voltages_V : ndarray, shape (n_terminals,)
        Where the gradient is read, V: the terminals' voltages at the end of a run.
    dither : DitherPlan
    settings : LockInSettings
        Filter (RC poles) and phase of all lock-ins.
    level : str
        Level of realism of the electronics.
    parts : sequence of Part, or mapping of str to Part
        Parts that take the place of the level's, as for `lockin_block`.
    gain : float
        Gain before the mixers; behind it offsets count so much less.
    reference_V : float
        Peak of the references, and scale of the mixers.
    transimpedance_ohm : float
    baseline_A : float
        Taken from the output current behind the transimpedance amplifier.
    stray_F : float or sequence of float
        Capacitance between each dithered terminal and the output.
    drift_V_per_s : float or sequence of float
        How fast each dithered terminal's bias moves.
    waves : mapping of int to Table
        What is added to terminals' voltages: patterns. It should end at 0.
    points_per_cycle : int
        Time-points per cycle of the highest tone.
    temperature_K : float
        Of the electronics: ``.temp`` of the decks.
    correction : {"none", "diagonal"}
        What is taken out of the gradient's error of third order, in the circuit. (The whole is for the record:
        `lockin.third_order`.)

    Raises
    ------
    InputError
        For terminals that do not fit, or settings that have no netlist.
    """

    device: Steppable | InNetlists
    output: int
    dithered: tuple[int, ...]
    voltages_V: FloatArray
    dither: DitherPlan
    settings: LockInSettings
    level: str = "ideal"
    parts: Sequence[Part] | Chosen = ()
    gain: float = 1.0
    reference_V: float = 10.0
    transimpedance_ohm: float = 1e7
    baseline_A: float = 0.0
    stray_F: float | Sequence[float] = 0.0
    drift_V_per_s: float | Sequence[float] = 0.0
    waves: Mapping[int, Table] = field(default_factory=dict)
    points_per_cycle: int = POINTS_PER_CYCLE
    temperature_K: float = NOMINAL_K
    correction: Correction = "none"

    def __post_init__(self) -> None:
        count, used = len(self.device.terminals), (self.output, *self.dithered)
        volts = np.asarray(self.voltages_V, dtype=float)
        object.__setattr__(self, "voltages_V", volts)
        if volts.shape != (count,) or not np.all(np.isfinite(volts)):
            raise InputError("voltages_V", volts.tolist(), f"are not {count} finite voltages", "give one a terminal")
        if len(set(used)) != len(used) or not all(0 <= k < count for k in (*used, *self.waves)):
            raise InputError("dithered", self.dithered, f"terminals must differ and lie in 0..{count - 1}", "change it")
        if len(self.dithered) != self.dither.n:
            raise InputError("dithered", self.dithered, f"{self.dither.n} tones want as many terminals", "check it")
        if volts[self.output] != 0.0 or self.output in self.waves:
            raise InputError("voltages_V", volts[self.output], "the output stands at 0 V", "put 0 there")
        if self.settings.mixer != "sine":
            raise InputError("mixer", self.settings.mixer, "reads odd harmonics too", "take 'sine'")
        for name in ("stray_F", "drift_V_per_s"):
            value = np.asarray(getattr(self, name), dtype=float)
            if value.shape not in ((), (self.dither.n,)) or not np.all(np.isfinite(value)):
                raise InputError(name, getattr(self, name), f"is not one finite number nor {self.dither.n}", "check it")
        if self.correction == "whole":
            fix = "take 'diagonal', or correct the record by `third_order_correction`"
            raise InputError("correction", self.correction, "has no circuit", fix)
        check_free(self.correction, self.dither)
        check_chosen(by_name(self.parts), BANK_PARTS, self.level)
        _ = self.blocks, self.triples

    def _part(self, name: str) -> Part:
        """A part: the replacement, the level's, or the ideal one where the level has none."""
        return chosen_part(by_name(self.parts), name, self.level if (name, self.level) in available() else "ideal")

    @property
    def blocks(self) -> tuple[LockInBlock, ...]:
        """The lock-ins, one a tone."""
        lockins = chosen_among(by_name(self.parts), LOCKIN_PARTS)
        return channel_blocks(self.settings, self.dither, self.level, self.gain, lockins)

    @property
    def triples(self) -> tuple[LockInBlock, ...]:
        """The lock-ins at three times each tone, which read -3 times what is there; none without the correction."""
        if self.correction == "none":
            return ()
        turned = replace(self.settings, harmonic=3, phase=3.0 * self.settings.phase + 180.0)
        return tuple(
            replace(block, settings=turned, gain=3.0 * block.gain, name=f"triple{k}")
            for k, block in enumerate(self.blocks)
        )

    @property
    def read_nodes(self) -> tuple[str, ...]:
        """Node that each gradient is read from."""
        if self.triples:
            return tuple(f"corrected{k}" for k in range(self.dither.n))
        return tuple(block.node("x") for block in self.blocks)

    @property
    def settings_as_built(self) -> LockInSettings:
        """The setting with the time constant that the components and the capacitors' tolerance make of it."""
        pole = self._part("lowpass")
        tau = pole_values(pole, self.settings.time_constant)["tau"]
        return replace(self.settings, time_constant=tau * (1.0 + pole.defaults.get("ctol", 0.0)))

    def _each(self, value: float | Sequence[float]) -> list[float]:
        return [float(v) for v in np.broadcast_to(np.asarray(value, dtype=float), (self.dither.n,))]

    def biases(self, duration_s: float) -> dict[int, Table]:
        """Bias of each dithered terminal over a run, straight lines that end at `voltages_V`."""
        return {
            terminal: Table((0.0, duration_s), (end - rate * duration_s, end))
            for terminal, rate in zip(self.dithered, self._each(self.drift_V_per_s), strict=True)
            for end in [float(self.voltages_V[terminal])]
        }

    # -- circuit -------------------------------------------------------------------------------------------------------

    def _front_cards(self) -> list[str]:
        """From the output electrode ``electrode`` to ``signal``: amplifier, less the baseline."""
        ohm = float(self.transimpedance_ohm)
        nodes = {"a": "tia", "b": "baseline", "out": "signal"}
        return [
            self._part("transimpedance").instance("tia", {"in": "electrode", "out": "tia"}, rf=ohm),
            f"Vbaseline baseline 0 {format_number(self.baseline_A * ohm)}",
            self._part("difference").instance("ac", nodes),
        ]

    def _preamble(self, device: PlacedDevice | None = None) -> str:
        used = [*map(self._part, ("transimpedance", "difference"))]
        used += [block.part(name) for block in (self.blocks[0], *self.triples[:1]) for name in block.parts]
        used += [] if device is None else [device.part]
        return preamble(used, self.temperature_K, by_name(self.parts).get("rails"))

    def deck(self, duration_s: float) -> str:
        """The netlist of a run; the device's terminals are ``el0``, ``el1`` ... and ``electrode``.

        Only a device that is a netlist stands in it.
        """
        placed, biases = self.placed(duration_s), self.biases(duration_s)
        lines = ["bank of lock-ins at frozen controls", self._preamble(placed)]
        lines += [] if placed is None else [placed.cards]
        plan = self.dither
        for terminal in range(len(self.device.terminals)):
            if terminal == self.output:
                continue
            below = "0"
            if terminal in self.waves:
                below = f"wave{terminal}"
                lines.append(f"Vwave{terminal} {below} 0 {self.waves[terminal].source()}")
            if terminal not in self.dithered:
                lines.append(f"Vbias{terminal} el{terminal} {below} {format_number(float(self.voltages_V[terminal]))}")
                continue
            k = self.dithered.index(terminal)
            degrees = float(np.degrees(plan.phases_rad[k]))
            sine = f"SIN(0 {plan.amplitudes_V[k]!r} {plan.frequencies_Hz[k]!r} 0 0 {degrees!r})"
            lines.append(f"Vbias{terminal} bias{terminal} {below} {biases[terminal].source()}")
            lines.append(f"Vdither{terminal} el{terminal} bias{terminal} {sine}")
        for terminal, stray in zip(self.dithered, self._each(self.stray_F), strict=True):
            if stray:
                lines.append(f"Cstray{terminal} el{terminal} electrode {format_number(stray)}")
        lines += [*self._front_cards(), *(block.cards("signal", "x") for block in (*self.blocks, *self.triples))]
        for block, triple, node in zip(self.blocks, self.triples, self.read_nodes, strict=False):
            nodes = {"a": block.node("x"), "b": triple.node("x"), "out": node}
            lines.append(self._part("difference").instance(node, nodes))
        return "\n".join(lines)

    def cosimulation(self, duration_s: float, seed: int = 0) -> CoSimulation:
        """The device, coupled to the circuit's nodes."""
        plan, biases = self.dither, self.biases(duration_s)
        start = self._start_V(biases)
        waves: dict[int, list[tuple[float, Table]]] = {t: [(1.0, table)] for t, table in self.waves.items()}
        for terminal, table in biases.items():
            waves.setdefault(terminal, []).append((1.0, table))
        sines = {
            terminal: [Sine(plan.amplitudes_V[k], plan.frequencies_Hz[k], plan.phases_rad[k])]
            for k, terminal in enumerate(self.dithered)
        }
        return CoSimulation(kernel_of(self.device, start, seed=seed), self._nodes, start, Drive(sines, waves))

    @property
    def _nodes(self) -> list[str]:
        """Node of each terminal."""
        return ["electrode" if t == self.output else f"el{t}" for t in range(len(self.device.terminals))]

    def _start_V(self, biases: Mapping[int, Table]) -> FloatArray:
        """Terminal voltages at time 0."""
        start = self.voltages_V.copy()
        for terminal, table in biases.items():
            start[terminal] = table.values[0]
        for terminal, table in self.waves.items():
            start[terminal] += table.values[0]
        return start

    def placed(self, duration_s: float) -> PlacedDevice | None:
        """The device in the circuit of a run, if it is a netlist; errors as `placed_device`."""
        return placed_device(self.device, self._nodes, self._start_V(self.biases(duration_s)), self.temperature_K)

    # -- running and reading -------------------------------------------------------------------------------------------

    def run(
        self,
        engine: Engine,
        duration_s: float,
        *,
        seed: int = 0,
        noise: NoiseSources | None = None,
        progress: Progress | None = None,
    ) -> Transient:
        """One transient from empty filters, on even time-points.

        Parameters
        ----------
        engine : Engine
        duration_s : float
            Its length, s.
        seed : int, optional
            Of a noisy device, and of the electronics' noise.
        noise : NoiseSources, optional
            Such as the electronics' own, `electronics_noise`.
        progress : callable, optional

        Raises
        ------
        InputError, NetlistError, ConvergenceError, EngineError, Interrupted
            As `Engine.transient`.
        """
        placed = self.placed(duration_s)
        save = ["v(tia)", "v(signal)", *(f"v({node})" for node in self.read_nodes)]
        run = engine.transient(
            self.deck(duration_s),
            save=save if placed is None else [*save, *placed.saved],
            noise=noise,
            progress=progress,
            **self._asked(duration_s, seed),
        )
        return run if placed is None else placed.told(run)

    def _asked(self, duration_s: float, seed: int) -> dict[str, Any]:
        """What is asked of ngspice for a run."""
        positive("duration_s", duration_s, "s")
        steps = int(np.ceil(duration_s * max(self.dither.frequencies_Hz) * self.points_per_cycle * (1.0 - 1e-12)))
        corners = [t for table in self.waves.values() for t in table.times_s if 0.0 < t < duration_s]
        return {
            "stop_s": duration_s,
            "max_step_s": duration_s / steps,
            "cosimulation": self.cosimulation(duration_s, seed) if coupled(self.device) else None,
            "seed": engine_seed(seed),
            "corners_s": corners,
            "grids_s": [] if corners else [(0.0, duration_s, steps)],
        }

    def electronics_noise(self, engine: Engine, duration_s: float) -> NoiseSources:
        """The noise of the circuit's own elements in a run of that length, for any seed; errors as `noise_along`."""
        return noise_along(engine, self.deck(duration_s), **self._asked(duration_s, 0))

    def gradient(self, run: Transient) -> FloatArray:
        """What the lock-ins read at the end of a run, S, (n,)."""
        x = np.array([run[f"v({node})"][-1] for node in self.read_nodes])
        return np.asarray(2.0 * x / (np.array(self.dither.amplitudes_V) * self.gain * self.transimpedance_ohm))

    def front_end(
        self,
        engine: Engine,
        background_A: float = 0.0,
        *,
        gated: bool = False,
        noise: bool = False,
        averaged: Averaged | None = None,
    ) -> FrontEnd:
        """What the electronics before the filter do, by ``.ac`` and ``.op`` at fixed references: no transient.

        The mixer's reference stands still at 8 Chebyshev nodes b_j = B cos theta_j of a sine of peak B; its gain for
        the sine is then 2 <H(b_j) cos theta_j>, and what it puts out at rest <V(b_j)>.

        Parameters
        ----------
        engine : Engine
        background_A : float, optional
            Output current at rest.
        gated : bool, optional
            Another mixer stands before the lock-ins and switches them on, as in the learning loop: here it is on.
        noise : bool, optional
            Whether the electronics have their own noise, by ``.noise``.
        averaged : Averaged, optional
            The filters' ends are not read at an instant, but their means over time, as in the learning loop.

        Returns
        -------
        FrontEnd
            For an output in A.

        Raises
        ------
        NetlistError, ConvergenceError, EngineError
            As `Engine.run`.
        """
        cosines = np.cos((2.0 * np.arange(_REFERENCES) + 1.0) * np.pi / (2.0 * _REFERENCES))
        block = self.blocks[0]
        probes = [replace(block, name=f"probe{j}") for j in range(_REFERENCES)]
        lines = ["front end", self._preamble(), f"Iin 0 electrode DC {format_number(background_A)} AC 1"]
        lines += self._front_cards()
        signal = "signal"
        if gated:
            signal, mixer = "heard", block.part("mixer")
            scale = {"vscale": block.reference_V} if "vscale" in mixer.defaults else {}
            lines.append(f"Vgate gate 0 {format_number(block.reference_V)}")
            lines.append(mixer.instance("gate", {"a": "signal", "b": "gate", "out": signal}, **scale))
        for j, (probe, cosine) in enumerate(zip(probes, cosines, strict=True)):
            lines.append(f"Vreference{j} reference{j} 0 {format_number(float(cosine) * block.reference_V)}")
            lines.append(probe.cards(signal, "x", (f"reference{j}", "0")))
        low, high = min(self.dither.frequencies_Hz) / 100.0, _BEYOND * max(self.dither.frequencies_Hz)
        head = "\n".join(lines)
        per_ampere = self.gain * self.transimpedance_ohm
        mixed, filtered = ([probe.node(what) for probe in probes] for what in ("mixer_x", "x"))

        def saved(nodes: Sequence[str]) -> str:
            return ".save " + " ".join(f"v({node})" for node in nodes)

        rest = engine.run(f"{head}\n{saved(filtered)}\n.op\n.end\n")
        offset = float(np.mean([rest[name][-1] for name in filtered])) / per_ampere
        analysis = f".ac dec {_PER_DECADE} {low!r} {high!r}"
        response = engine.run(f"{head}\n{saved(mixed)}\n{analysis}\n.end\n")
        at = np.asarray(response["frequency"]).real
        each = np.stack([np.asarray(response[name]) for name in mixed])
        transfer = 2.0 * np.mean(each * cosines[:, None], axis=0) / per_ampere

        def interpolated(frequency_Hz: FloatArray) -> Any:
            where = np.log(np.clip(frequency_Hz, at[0], at[-1]))
            real, imaginary = (np.interp(where, np.log(at), part) for part in (transfer.real, transfer.imag))
            return real + 1j * imaginary

        if not noise:
            return FrontEnd(interpolated, self._each(self.stray_F), offset)
        stray = sum(self._each(self.stray_F))  # what the amplifier's input sees beside the source
        loaded = f"{head}\nCstray electrode 0 {format_number(stray)}" if stray else head
        read_Hz = 0.5 * self.points_per_cycle * max(self.dither.frequencies_Hz)
        before, behind = own_noise(engine, loaded, "Iin", probes, np.abs(each[0]), at, read_Hz, averaged)
        return FrontEnd(interpolated, self._each(self.stray_F), offset, 0.0, behind / per_ampere**2, before)
