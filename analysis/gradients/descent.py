"""Whether a loop of real parts descends at all: what its channels add to a slope beside the slope, before it runs.

At a start g = dE/dw is exact, and the lock-ins of dither alpha read g + b/alpha: b/alpha is the bias that offsets and
feedthrough add (`circuits.homodyne.offsets`). Each control follows its reading with its own share r_k of the rate, so

    dE/dt ~ -sum_k r_k g_k (g_k + b_k/alpha_k):

where the cosine of sqrt(r) g and sqrt(r)(g + b/alpha) is not positive, the loop climbs. The bias grows as the dither
falls, so the start is looked at with the dither of the first and of the last sequence.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from circuits.homodyne.engines import Twin, engine_named
from circuits.homodyne.loop import HomodyneLoop
from circuits.homodyne.offsets import channel_bias, has_figures
from circuits.homodyne.stability import stable_rates
from dnpu_models.interface.device import has_exact_slopes
from inmateria.checks import FloatArray
from learning.homodyne.experiment import Experiment, build_loop
from learning.homodyne.start import choose_start


@dataclass(frozen=True, eq=False)
class Descent:
    """The slope of the loss at a start, and what a loop's parts add to it.

    Attributes
    ----------
    slope : ndarray, shape (n_controls,)
        dE/dw at the start, V/V.
    bias_start, bias_end : ndarray, shape (n_controls,)
        What the channels add at the dither of the first and of the last sequence, V/V.
    dither_V : tuple of float
        Largest peak in the first and in the last sequence.
    rates : ndarray, shape (n_controls,)
        Shares of the rate.
    """

    slope: FloatArray
    bias_start: FloatArray
    bias_end: FloatArray
    dither_V: tuple[float, float]
    rates: FloatArray

    def _weighted(self, values: FloatArray) -> FloatArray:
        """By the root of each control's rate, over that of the fastest."""
        return np.asarray(np.sqrt(self.rates / np.max(self.rates)) * values)

    @property
    def cosines(self) -> tuple[float, float]:
        """Of the slope with what the lock-ins are expected to read, by the rates, in the first and last sequence."""
        slope = self._weighted(self.slope)
        first, last = (_cosine(slope + self._weighted(bias), slope) for bias in (self.bias_start, self.bias_end))
        return first, last

    @property
    def doubts(self) -> tuple[str, ...]:
        """Why the loop may not descend, in words."""
        found = []
        size = float(np.linalg.norm(self._weighted(self.slope)))
        cases = zip(("first", "last"), self.dither_V, (self.bias_start, self.bias_end), self.cosines, strict=True)
        for when, peak, bias, cosine in cases:
            added = float(np.linalg.norm(self._weighted(bias)))
            told = f"in the {when} sequence, at {1e3 * peak:.3g} mV of dither, offsets add {added:.3g} V/V to the slope"
            if cosine <= 0:
                found.append(f"{told} of {size:.3g} V/V at the start: the loop climbs there (cosine {cosine:.2f})")
            elif added > size:
                found.append(f"{told} of {size:.3g} V/V at the start, and more than it (cosine {cosine:.2f})")
        if found:
            found[-1] += "; trim the offsets behind the mixers, or raise the dither, or what it is annealed to"
        return tuple(found)


def _cosine(a: FloatArray, b: FloatArray) -> float:
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / size if size else float("nan")


def predict_descent(
    experiment: Experiment,
    engine: str,
    rng: np.random.Generator,
    folder: Path | None = None,
    *,
    take_found: bool = True,
) -> Descent | None:
    """The slope at the first start of a training and what the loop's parts add to it.

    None for ideal parts, which add nothing, and devices without exact slopes.

    Parameters
    ----------
    experiment : Experiment
    engine : str
        What will train.
    rng : numpy.random.Generator
        As the training's: the start is its first one.
    folder : Path, optional
        Where a failing deck is kept.
    take_found : bool
        As the training's, see `choose_start`.

    Raises
    ------
    InputError, NetlistError, ConvergenceError, EngineError
        As `choose_start` and `channel_bias`.
    """
    bench, task = experiment.bench, experiment.task
    if not experiment.settings.parts or not has_exact_slopes(bench.device):
        return None
    start = choose_start(experiment, rng, take_found=take_found)
    loop = build_loop(experiment, start.controls_V, start.polarity, start.outputs_A)
    peaks = np.array(loop.dither.amplitudes_V)
    opened = loop.opened(start.controls_V, peaks.tolist(), "loss", loop.points_per_cycle)
    outputs_V = opened.stage.transimpedance_ohm * start.outputs_A
    slopes = opened.stage.transimpedance_ohm * bench.slopes_S(start.controls_V, task)
    slope = np.mean(opened.loss_slopes(outputs_V)[:, None] * slopes, axis=0)
    bias = _bias(opened, engine, folder, float(np.mean(opened.loss_values(outputs_V))))
    end = loop.dither_end
    if experiment.settings.rates == "auto":
        loop = replace(loop, rates=stable_rates(loop, slopes))
    return Descent(slope, bias, bias / end, (float(peaks.max()), float(peaks.max() * end)), loop.control_rates)


def _bias(opened: HomodyneLoop, engine: str, folder: Path | None, heard_V: float) -> FloatArray:
    """What the channels add, V/V; ngspice runs only where figures are missing."""
    if has_figures(opened):
        return channel_bias(opened, Twin(), heard_V)
    with engine_named(engine, folder) as reading:
        return channel_bias(opened, reading, heard_V)
