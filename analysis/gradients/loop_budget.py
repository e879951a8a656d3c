"""The error budget of an opened learning loop: of what its reading integrators end at, before the transient.

Over a window of whole cycles the integrator behind the lock-in is a boxcar: tones and ripple vanish, and what is left
is the finite amplitude, products that fall on a tone, the electronics and the noise. Where the loss is read with parts
that state what they do, their gains and offsets are in it: `circuits.homodyne.static_loss`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from circuits.homodyne.engines import LoopEngine, Ngspice
from circuits.homodyne.figures import constants_of
from circuits.homodyne.loop import HomodyneLoop
from circuits.homodyne.loss_noise import loss_noise
from circuits.homodyne.offsets import channel_bias, has_figures
from circuits.homodyne.static_loss import MeasuredLoss, StaticLoss, has_static_loss
from circuits.lockin.bank import BANK_PARTS, LockInBank
from circuits.lockin.own_noise import Averaged
from circuits.parts.chosen import chosen_among
from dnpu_models.interface.device import follow_path
from dnpu_models.noise.spectrum import PUBLISHED_A2_PER_HZ
from inmateria.checks import FloatArray
from learning.bench.bench import Bench
from lockin.averages import sobol
from lockin.choices import Correction
from lockin.error_budget import ErrorBudget, FrontEnd, Readout, error_budget
from lockin.settings import LockInSettings

_PHASES = 64
"""Of the dither, at which the reach of the output is looked for."""


def predict_loop(
    bench: Bench,
    loop: HomodyneLoop,
    exact: FloatArray,
    engine: LoopEngine,
    *,
    correction: Correction = "none",
    output_offset_V: float = 0.0,
    device_A2_per_Hz: float = PUBLISHED_A2_PER_HZ,
    samples: int = 1024,
) -> ErrorBudget:
    """Budget of an opened loop's gradient of the output (S) or of the loss (V/V).

    Parameters
    ----------
    bench : Bench
        The experiment; its device answers at once (no kinetic Monte Carlo).
    loop : HomodyneLoop
        Opened.
    exact : ndarray, shape (n_controls,)
        The exact gradient.
    engine : LoopEngine
        Of the reading; ngspice gives small signals of electronics that are not ideal, other engines leave them out.
    correction : {'none', 'whole'}, optional
        Whether the reading is corrected (`circuits.homodyne.readings.corrected_gradient`).
    output_offset_V : float, optional
        How far real parts move v(tia), V: the point at which the loss is meant.
    device_A2_per_Hz : float, optional
        Noise of the device, by default the published chip's. Of loops with `electronics_noise` that of the electronics
        is added, in ngspice.
    samples : int, optional
        As `lockin.error_budget`.

    Raises
    ------
    InputError, ConvergenceError, EngineError
        As `lockin.error_budget`, `channel_bias` and `LockInBank.front_end`.
    """
    sequence, stage, plan = loop.sequence, loop.stage, loop.dither
    listened_s = loop.listened_s / sequence.patterns
    ohm, start = stage.transimpedance_ohm, loop.start_V
    parts = _parts_of(bench, loop, engine)
    rest = [float(bench.currents_A(start, levels)) for levels in sequence.levels_V]

    def output(controls: FloatArray, pattern: int) -> FloatArray:
        if parts is None:
            volts = bench.terminal_voltages(controls, sequence.levels_V[pattern])
        else:
            volts = parts.voltages(controls, pattern)
        return np.asarray(-follow_path(bench.device, volts)[:, bench.output])

    if loop.mode == "output":

        def response(controls: FloatArray) -> FloatArray:
            return output(controls, 0) - rest[0]

        heard = (
            constants_of(loop)[0].heard_V if has_figures(loop) else 0.0
        )  # of what amplifies the output for the mixers
        per_unit, psd = ohm, device_A2_per_Hz
    else:

        def response(controls: FloatArray) -> FloatArray:
            outputs = np.stack([output(controls, p) for p in range(sequence.patterns)], axis=-1)
            if parts is not None:
                return np.asarray(np.mean(parts.values(outputs), axis=-1))
            return np.asarray(np.mean(loop.loss_values(ohm * outputs + output_offset_V), axis=-1))

        # dE = (dE/dI) dI in each window, and windows are averaged; the slope at rest
        per_ampere = ohm * loop.loss_slopes(ohm * np.array(rest) + output_offset_V)
        if parts is not None:
            per_ampere = parts.slopes(np.array([output(start[None], p)[0] for p in range(sequence.patterns)]))
        per_unit, psd = 1.0, device_A2_per_Hz * float(np.mean(np.square(per_ampere))) / sequence.patterns
        heard = float(response(start[None])[0])
    front_end = FrontEnd()
    if loop.parts and loop.mode == "loss" and loop.electronics_noise and isinstance(engine, Ngspice):
        front_end = _noise_of_loss(bench, loop, rest, engine)
    if loop.parts and loop.mode == "output" and isinstance(engine, Ngspice):
        reading = Averaged(listened_s, loop.stop_s)
        whole = _bank(bench, loop).front_end(
            engine.engine, rest[0], gated=True, noise=loop.electronics_noise, averaged=reading
        )
        front_end = FrontEnd(whole.transfer, noise_psd=whole.noise_psd, own_noise=whole.own_noise)
    boxcar = LockInSettings(listened_s, window="boxcar")
    readout = Readout(plan, boxcar, listened_s, front_end, psd=psd, correction=correction)
    heard_exactly = exact if parts is None else _slope_of_parts(bench, loop, parts)
    budget = error_budget(response, start, readout, exact=heard_exactly, samples=samples)
    added = {"offset": channel_bias(loop, engine, heard) / per_unit if loop.parts else np.zeros(plan.n)}
    if parts is not None:
        gains = parts.channel_gains(heard)
        added |= {"stage": heard_exactly - exact, "droop": (gains - 1.0) * budget.reading}
        budget = replace(budget, exact=exact, noise=gains * budget.noise)
    return replace(budget, terms={**budget.terms, **{name: budget.terms[name] + more for name, more in added.items()}})


def _parts_of(bench: Bench, loop: HomodyneLoop, engine: LoopEngine) -> StaticLoss | None:
    """Real parts between the controls and the loss: by their figures, in ngspice measured; None of ideal ones."""
    if loop.mode != "loss" or not loop.parts:
        return None
    if has_static_loss(loop):
        return StaticLoss(loop)
    if not isinstance(engine, Ngspice):
        return None
    turns = sobol(loop.dither.n, np.random.default_rng(0), _PHASES)
    dithered = loop.start_V + np.array(loop.dither.amplitudes_V) * np.sin(2.0 * np.pi * turns)
    outputs = np.stack([bench.currents_A(dithered, levels) for levels in loop.sequence.levels_V])
    middle, half = 0.5 * (outputs.max() + outputs.min()), np.ptp(outputs)  # twice what was seen
    return MeasuredLoss(loop, engine, (float(middle - half), float(middle + half)))


def _slope_of_parts(bench: Bench, loop: HomodyneLoop, parts: StaticLoss) -> FloatArray:
    """dE/dw as the parts make it, V/V, (n_controls,)."""
    volts = np.stack([parts.voltages(loop.start_V[None], p)[0] for p in range(loop.sequence.patterns)])
    outputs = -np.asarray(bench.device.currents(volts))[:, bench.output]
    slopes = -np.asarray(bench.device.conductances(volts))[:, bench.output, list(bench.trained)]
    return np.asarray(np.mean(parts.slopes(outputs)[:, None] * slopes, axis=0) * parts.dither_gains)


def _noise_of_loss(bench: Bench, loop: HomodyneLoop, rest_A: Sequence[float], engine: Ngspice) -> FrontEnd:
    """The electronics' noise in the gradient of the loss, V^2/Hz; its means over the patterns' windows are averaged."""
    patterns = loop.sequence.patterns
    reading = Averaged(loop.listened_s, loop.stop_s)
    behind = _bank(bench, loop).front_end(engine.engine, rest_A[0], noise=True, averaged=reading).noise_psd
    before = loss_noise(loop, engine.engine, rest_A, reading.open_s / reading.window_s)
    per_ampere = loop.stage.transimpedance_ohm
    return FrontEnd(noise_psd=behind * per_ampere**2 / patterns, own_noise=lambda f: before(f) / patterns)


def _bank(bench: Bench, loop: HomodyneLoop) -> LockInBank:
    """The loop's electronics up to the low-pass, as a bank."""
    settings = LockInSettings(float(loop.filter_s or 0.0), 6 * loop.filter_poles)
    volts = bench.terminal_voltages(loop.start_V, loop.sequence.levels_V[0])
    return LockInBank(
        bench.device,
        bench.output,
        bench.trained,
        volts,
        loop.dither,
        settings,
        parts=chosen_among(loop.parts, BANK_PARTS),
        reference_V=loop.multiplier_V,
        transimpedance_ohm=loop.stage.transimpedance_ohm,
        baseline_A=loop.stage.baseline_V / loop.stage.transimpedance_ohm,
        temperature_K=loop.temperature_K,
    )
