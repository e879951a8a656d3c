"""Homodyne descent by a computer: dither from converters, lock-ins on samples, one step a pass over the patterns.

So gradients were read in the laboratory in 2019 (16 bit, 1000 samples a second). Every tick sets all controls

    V_k = w_k + level_k(pattern) + a_k sin(2 pi f_k i / rate),     i: ticks since the pattern's window began,

and samples the amplifier's output y. A pattern stands for `settle_s`, then for a window of the tones' common period
with n samples, of which a pass makes

    <y>_p = (1/n) sum y_i,    S_pk = (2 / (n a_k)) sum y_i sin(2 pi f_k i / rate),
    g_k = sum_p (dL/d<y>_p) S_pk,
    w_k -= s r_k clip(learning_rate g_k, -step_V, step_V),     s falling linearly from 1 to `anneal_to`,

where L is the loss of the analogue loop with its output stage settled (`learning.settled_loss`).

A sample belongs to the values that its tick finds at the sources: those of 1 + floor(latency rate) ticks before. The
computer takes as many, unless it is told of another latency.

`DigitalLoop.run` runs it in ngspice as a `Controller`, or without an engine as the exact recurrence that it is on a
static device; both run the same `Descent`, tick by tick and pass by pass.
"""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from circuits.homodyne.options import check_rates
from circuits.homodyne.stability import largest_shares
from circuits.ngspice.controller import Controller
from circuits.ngspice.cosimulation import CoSimulation
from circuits.ngspice.engine import Engine, engine_seed
from circuits.parts.placed_device import PlacedDevice, coupled, placed_device
from circuits.parts.preamble import preamble
from circuits.signals.transient import Transient
from dnpu_models.interface.device import kernel_of
from inmateria.checks import FloatArray, array, finite, not_negative, positive
from inmateria.errors import InputError
from learning.homodyne.experiment import Experiment
from learning.settled_loss import normalised, settled_loss_slopes
from learning.tasks.task import Score

TIA = "v(tia)"

STEPS_PER_TICK = 20
"""Least number of steps between two ticks around a device that is a netlist, for its own time constants."""


@dataclass(frozen=True, eq=False)
class DigitalRun:
    """A digital descent.

    Attributes
    ----------
    controls_V : ndarray, shape (passes + 1, n_trained)
        Controls before each pass, and at the end, V.
    outputs_A : ndarray, shape (passes, n_patterns)
        Mean output of each pattern in each pass, A.
    slopes_S : ndarray, shape (passes, n_patterns, n_trained)
        The lock-ins' readings of dI/dV, S.
    final : Score
        Of the device's outputs at the last controls, dither off.
    limited : int
        How many samples lay beyond the converter's range: their slopes are too small.
    transient : Transient or None
        ngspice's run; None without it.
    """

    controls_V: FloatArray
    outputs_A: FloatArray
    slopes_S: FloatArray
    final: Score
    limited: int
    transient: Transient | None = None


@dataclass(frozen=True, eq=False)
class DigitalLoop:
    """An experiment run by a computer with converters.

    Parameters
    ----------
    experiment : Experiment
        Bench, task, and of its settings `peaks_V`, `sequences`, `learning_rate`, `rates` (r_k; "auto": by the first
        pass's slopes), `step_V`,
        `anneal_to`, `least_rms_A`.
    start_V : array_like, shape (n_trained,)
        Controls to begin with, V.
    polarity : float
        1, or -1 where the output is to be read upside down.
    rate_Hz : float
        Ticks a second; the tones' common period must hold a whole number of them.
    adc_bits, dac_bits : int or None
        Of the converters; None for ideal ones.
    adc_range_V : float
        The amplifier's output is converted between minus and plus this, V. The controls' converters span the device's
        limits.
    transimpedance_ohm : float, optional
        Of the amplifier, V/A; the bench's by default.
    latency_s : float
        From a tick to the change at the electrodes, s.
    assumed_latency_s : float, optional
        The latency that the computer reckons with; the true one by default.
    settle_s : float, optional
        How long a pattern stands before its window; a tenth of the window by default.

    Raises
    ------
    InputError
        For a wrong number of controls or rates, or a rate that does not divide the window.
    """

    experiment: Experiment
    start_V: Any
    polarity: float = 1.0
    _: KW_ONLY
    rate_Hz: float = 1000.0
    adc_bits: int | None = 16
    dac_bits: int | None = 16
    adc_range_V: float = 4.0
    transimpedance_ohm: float | None = None
    latency_s: float = 0.0
    assumed_latency_s: float | None = None
    settle_s: float | None = None

    def __post_init__(self) -> None:
        bench = self.experiment.bench
        object.__setattr__(self, "start_V", array("start_V", self.start_V, (len(bench.trained),)))
        if self.experiment.settings.rates != "auto":
            check_rates(self.experiment.settings.rates, len(bench.trained))
        positive("rate_Hz", self.rate_Hz, "Hz")
        finite("polarity", self.polarity, "1 or -1")
        positive("transimpedance_ohm", self.ohm, "Ohm")
        positive("adc_range_V", self.adc_range_V, "V")
        not_negative("latency_s", self.latency_s, "s")
        ticks = self.rate_Hz * self._window_s
        if abs(ticks - round(ticks)) > 1e-9 * ticks or ticks < 1.5:
            problem = f"puts {ticks:.6g} ticks into the tones' common period of {self._window_s:g} s"
            raise InputError("rate_Hz", self.rate_Hz, problem, "take a whole multiple of the tones' spacing")

    @property
    def _window_s(self) -> float:
        return float(self.experiment.bench.plan(self.experiment.settings.peaks_V).common_period_s)

    @property
    def ohm(self) -> float:
        """Transimpedance of the amplifier, V/A."""
        own = self.transimpedance_ohm
        return self.experiment.bench.transimpedance_ohm if own is None else own

    @property
    def _max_step_s(self) -> float:
        """Largest time step in ngspice, s."""
        own = self.experiment.settings.max_step_s
        between = 1 / (self.rate_Hz * (1 if self._placed is None else STEPS_PER_TICK))
        return between if own is None else min(own, between)

    @property
    def pass_ticks(self) -> int:
        """Ticks of a pass over the patterns."""
        return len(self.descent().block())

    @property
    def delay(self) -> int:
        """How many ticks before it the values were set that a sample shows."""
        return _ticks_before(self.latency_s, self.rate_Hz)

    def descent(self) -> Descent:
        """What the computer does, at its start."""
        return Descent(self)

    def controller(self, descent: Descent) -> Controller:
        """The computer with its converters."""
        bench = self.experiment.bench
        names = tuple(f"vdac{k}" for k in range(len(bench.trained)))
        ranges = {name: (float(low), float(high)) for name, (low, high) in zip(names, bench.limits_V, strict=True)}
        return Controller(
            descent,
            self.rate_Hz,
            [TIA],
            names,
            adc_bits=self.adc_bits,
            dac_bits=self.dac_bits,
            latency_s=self.latency_s,
            ranges={**ranges, TIA: (-self.adc_range_V, self.adc_range_V)},
            initial=self.start_V.tolist(),
            name="digital loop",
        )

    @cached_property
    def _nodes(self) -> list[str]:
        return [f"n{k}" for k in range(len(self.experiment.bench.device.terminals))]

    @cached_property
    def _placed(self) -> PlacedDevice | None:
        """The device in the circuit, if it is a netlist."""
        bench = self.experiment.bench
        return placed_device(bench.device, self._nodes, bench.terminal_voltages(self.start_V), self._temperature_K)

    @property
    def _temperature_K(self) -> float:
        return self.experiment.settings.temperature_K

    def deck(self) -> str:
        """The circuit: a converter at each trained electrode, the output at virtual ground; see `cosimulation`."""
        bench, placed = self.experiment.bench, self._placed
        driven = [f"Vdac{k} {self._nodes[terminal]} 0 external" for k, terminal in enumerate(bench.trained)]
        amplifier = [f"Vground {self._nodes[bench.output]} 0 0", f"Htia tia 0 Vground {self.ohm!r}"]
        parts, cards = ([], "") if placed is None else ([placed.part], placed.cards)
        device = preamble(parts, self._temperature_K) + cards
        return "\n".join(["digital homodyne loop", *driven, *amplifier, "Rtia tia 0 1k", device])

    def cosimulation(self, seed: int = 0) -> CoSimulation | None:
        """The device at its nodes, or what a `NoisyDevice` adds to a netlist, which stands in the deck itself."""
        bench = self.experiment.bench
        start = bench.terminal_voltages(self.start_V)
        if not coupled(bench.device):
            return None
        return CoSimulation(kernel_of(bench.device, start, seed=seed), self._nodes, start)

    def run(self, engine: Engine | None = None, *, noise_A2_per_Hz: float = 0.0, seed: int = 0) -> DigitalRun:
        """Descend.

        Parameters
        ----------
        engine : Engine, optional
            Runs it in ngspice; without one the device is asked at each tick's voltages, which is the same for a static
            device and takes a fraction of the time.
        noise_A2_per_Hz : float
            One-sided density of white noise of the output current, sampled over the band up to half the rate; without
            an engine only (in ngspice a `NoisyDevice` has it).
        seed : int
            Of the noise, in ngspice that of the device.

        Raises
        ------
        InputError
            If noise is asked for in ngspice.
        """
        not_negative("noise_A2_per_Hz", noise_A2_per_Hz, "A^2/Hz")
        descent = self.descent()
        controller = self.controller(descent)
        passes = self.experiment.settings.sequences
        transient = None
        if engine is None:
            limited = self._recur(descent, controller, math.sqrt(0.5 * noise_A2_per_Hz * self.rate_Hz), seed)
        elif noise_A2_per_Hz:
            problem = "is no noise of ngspice's"
            raise InputError("noise_A2_per_Hz", noise_A2_per_Hz, problem, "wrap the device in a NoisyDevice")
        else:
            # The tick after the last pass takes the last step.
            transient = engine.transient(
                self.deck(),
                stop_s=(passes * self.pass_ticks + 1.5) / self.rate_Hz,
                max_step_s=self._max_step_s,
                seed=engine_seed(seed),
                save=[TIA],
                cosimulation=self.cosimulation(seed),
                controllers=[controller],
            )
            limited = transient.controllers[0].limited[TIA]
        experiment = self.experiment
        final = experiment.bench.outputs_A(descent.controls_V, experiment.task)
        score = experiment.task.score(final, self.polarity, experiment.bench.noise_A())
        path = np.array([*descent.path_V, descent.controls_V])
        return DigitalRun(path, np.array(descent.outputs_A), np.array(descent.slopes_S), score, limited, transient)

    def _recur(self, descent: Descent, controller: Controller, noise_A: float, seed: int) -> int:
        """All passes on a static device: a sample shows the values of `delay` ticks before; returns those limited."""
        bench, rng, adc = self.experiment.bench, np.random.default_rng(seed), controller.adc[0]
        limited = 0
        set_V = np.tile(np.array(controller.initial), (self.delay, 1))
        for _ in range(self.experiment.settings.sequences):
            values = descent.block()
            for column, converter in zip(values.T, controller.dac, strict=True):
                column[:] = [converter.converted(v) for v in column.tolist()]
            set_V = np.concatenate([set_V, values])
            shown, set_V = set_V[: len(values)], set_V[len(values) :]
            currents = bench.currents_A(shown) + noise_A * rng.standard_normal(len(shown))
            volts = (currents * self.ohm).tolist()
            limited += sum(map(adc.limits, volts))
            descent.take(np.array([adc.converted(v) for v in volts]))
        return limited


def _ticks_before(latency_s: float, rate_Hz: float) -> int:
    """1 + floor(latency rate), a latency of whole ticks but for rounding being one of whole ticks."""
    return 1 + math.floor(latency_s * rate_Hz * (1 + 1e-12))


def _own_rates(by_control: FloatArray, learning_rate: float) -> FloatArray:
    """Shares r_k with which no step overshoots along any direction, by the slopes s (1/V) of the settled outputs.

    A step changes deviations w of the controls by -learning_rate R H w, H = 2 <s s^T> Gauss and Newton's curvature: no
    eigenvalue of learning_rate R H may exceed 1.
    """
    curvature = 2.0 * by_control.T @ by_control / len(by_control)

    def overshoots(shares: FloatArray) -> bool:
        return bool(learning_rate * np.max(np.abs(np.linalg.eigvals(shares[:, None] * curvature))) > 1.0)

    return largest_shares(np.diagonal(curvature), overshoots)


class Descent:
    """The computer's program: `block` is what it sets in a pass, `take` what it makes of the samples.

    Called at each tick it does both, a tick at a time: a step of a `Controller`.

    Attributes
    ----------
    controls_V : ndarray, shape (n_trained,)
    path_V, outputs_A, slopes_S : list of ndarray
        Of each pass, as in `DigitalRun`.
    """

    def __init__(self, loop: DigitalLoop) -> None:
        experiment = loop.experiment
        bench, self._settings = experiment.bench, experiment.settings
        self._targets, self._polarity = np.array(experiment.task.targets_V), loop.polarity
        self._volts_per_A = loop.ohm
        rates = self._settings.rates
        self._rates: FloatArray | None = None if rates == "auto" else np.asarray(rates, dtype=float)
        tones = bench.plan(self._settings.peaks_V)
        self._amplitudes_V = np.array(tones.amplitudes_V)
        window = round(tones.common_period_s * loop.rate_Hz)
        settle_s = 0.1 * tones.common_period_s if loop.settle_s is None else loop.settle_s
        settle = math.ceil(settle_s * loop.rate_Hz)
        phases = 2 * np.pi * np.outer(np.arange(-settle, window) / loop.rate_Hz, tones.frequencies_Hz)
        self._sines = np.sin(phases)
        assumed_s = loop.latency_s if loop.assumed_latency_s is None else loop.assumed_latency_s
        self._delay = _ticks_before(assumed_s, loop.rate_Hz)
        patterns = len(self._targets)
        levels = np.zeros((patterns, len(bench.trained)))
        for which, terminal in enumerate(bench.inputs):
            levels[:, bench.trained.index(terminal)] = [level[which] for level in experiment.task.levels_V]
        moving = levels[:, None, :] + self._amplitudes_V * self._sines
        moving = moving.reshape(-1, len(bench.trained))
        self._moving_V = np.concatenate([moving, np.tile(moving[-1], (self._delay, 1))])
        self._settle, self._shape = settle, (patterns, settle + window)
        reach = np.abs(levels).max(axis=0) + self._amplitudes_V
        self._low_V, self._high_V = bench.limits_V[:, 0] + reach, bench.limits_V[:, 1] - reach
        self.controls_V = np.clip(loop.start_V, self._low_V, self._high_V)
        self.path_V: list[FloatArray] = []
        self.outputs_A: list[FloatArray] = []
        self.slopes_S: list[FloatArray] = []
        self._row = 0
        self._block = self.block()
        self._samples = np.zeros(len(self._block))

    def block(self) -> FloatArray:
        """Voltages of all trained electrodes in a pass, V, (ticks, n_trained)."""
        return np.asarray(self.controls_V + self._moving_V)

    def take(self, samples_V: FloatArray) -> None:
        """Learn from the samples of a pass, V, (ticks,), if passes are left."""
        settings = self._settings
        done = len(self.path_V)
        if done == settings.sequences:
            return
        windows = samples_V[self._delay :].reshape(self._shape)[:, self._settle :] / self._volts_per_A
        outputs = windows.mean(axis=1)
        slopes = 2 / self._amplitudes_V * (windows @ self._sines[self._settle :]) / windows.shape[1]
        if self._rates is None:
            _, by_output = normalised(outputs, self._polarity, settings.least_rms_A)
            self._rates = _own_rates(by_output @ slopes, settings.learning_rate)
        by_output = settled_loss_slopes(outputs, self._targets, self._polarity, settings.least_rms_A)
        scale = float(np.linspace(1.0, settings.anneal_to, settings.sequences)[done])
        step = self._rates * np.clip(settings.learning_rate * (by_output @ slopes), -settings.step_V, settings.step_V)
        self.path_V.append(self.controls_V)
        self.outputs_A.append(outputs)
        self.slopes_S.append(slopes)
        self.controls_V = np.clip(self.controls_V - scale * step, self._low_V, self._high_V)

    def __call__(self, time_s: float, sampled: FloatArray) -> FloatArray:
        """One tick: keep the sample, give the electrodes' voltages, V, (n_trained,)."""
        if self._row == len(self._block):
            self.take(self._samples)
            self._row, self._block = 0, self.block()
        self._samples[self._row] = sampled[0]
        self._row += 1
        return np.asarray(self._block[self._row - 1])
