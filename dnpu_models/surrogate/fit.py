"""A network in the place of a device model: sample the model, train, and say how far off the network is.

Devices that follow a path of settings (the mean field) are sampled along triangle waves of incommensurate frequencies,
one per activation electrode, as chips are measured: they fill the range evenly, and neighbouring settings are cheap.
Others are sampled at a scrambled Sobol sequence. The error is that of samples the training never saw, from waves or a
sequence of their own. Where the samples themselves have standard errors s (kinetic Monte Carlo), their part is
taken out of the mean square: rms^2 = model^2 + mean(s^2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dnpu_models.interface.device import Device, follow_path, known_terminals
from dnpu_models.surrogate.chip import ChipSurrogate
from dnpu_models.surrogate.samples import export_io_dat
from dnpu_models.surrogate.training import TrainedNetwork, train_network
from inmateria.checks import FloatArray, count
from inmateria.errors import ConvergenceError, InputError

STEP = 0.05
"""Mean step of a triangle wave between neighbouring samples, as a fraction of the range."""
HELD_OUT = 0.05
"""Samples held out for the error, and as many for choosing the epoch, per sample trained on."""
FEWEST = 20
"""Samples in each of these at least."""
SAMPLES_FOLLOWED, SAMPLES_SINGLE = 40_000, 4_000
"""Samples to train on by default, of a device that follows paths (2 ms each at 200 sites) and of others (0.1 s)."""
KMC_HOPS = 1 << 15
_CHUNK, _CHUNK_STOCHASTIC = 250, 16
"""Settings per call of the device, between two reports of progress."""
_NA = 1e-9

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class Samples:
    """Settings and what the device answered.

    Attributes
    ----------
    voltages_V, currents_A : ndarray, shape (n, n_terminals)
        Currents positive into the device.
    stderr_A : ndarray, shape (n, n_terminals)
        Standard errors of the currents; 0 for a device without scatter.
    """

    voltages_V: FloatArray
    currents_A: FloatArray
    stderr_A: FloatArray


@dataclass(frozen=True, eq=False)
class HeldOutError:
    """Difference between surrogate and device on settings the training never saw; one entry per measured terminal.

    Attributes
    ----------
    rms_A, max_A : ndarray
        Root mean square, and largest magnitude, of the difference.
    statistical_A : ndarray
        The part of the rms that the device's own standard errors explain; 0 for a device without scatter.
    model_A : ndarray
        The rest, sqrt(max(rms^2 - statistical^2, 0)): how far the surrogate is from the device's mean.
    spread_A, range_A : ndarray
        Standard deviation, and maximum minus minimum, of the device's currents over these settings.
    kcl_A : float
        Largest magnitude of the sum of all terminal currents of the surrogate; NaN if not all are known.
    """

    rms_A: FloatArray
    max_A: FloatArray
    statistical_A: FloatArray
    model_A: FloatArray
    spread_A: FloatArray
    range_A: FloatArray
    kcl_A: float


@dataclass(frozen=True, eq=False)
class SurrogateFit:
    """What `fit_surrogate` made.

    Attributes
    ----------
    surrogate : ChipSurrogate
    error : HeldOutError
    trained, validation, held_out : Samples
        Samples trained on, for choosing the epoch, and for the error.
    validation_loss : ndarray, shape (n_epochs,)
        Mean squared error of the standardised currents after each epoch.
    best_epoch : int
        The epoch, from 1, whose network was kept.
    """

    surrogate: ChipSurrogate
    error: HeldOutError
    trained: Samples
    validation: Samples
    held_out: Samples
    validation_loss: FloatArray
    best_epoch: int

    def export_io_dat(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the samples trained on in brainspy-smg's layout: activation voltages, currents out of the device.

        Raises
        ------
        InputError
            As `samples.export_io_dat`.
        """
        chip = self.surrogate
        return export_io_dat(
            path, np.delete(self.trained.voltages_V, chip.held, axis=1),
            -self.trained.currents_A[:, list(chip.measured)], overwrite=overwrite,
        )  # fmt: skip


def triangle_path(low: FloatArray, high: FloatArray, count: int, rng: np.random.Generator) -> FloatArray:
    """Settings (count, n) along triangle waves between `low` and `high`, a random frequency and phase for each.

    Frequencies lie within +-40 % of the one whose mean step is `STEP` of the range. Random real numbers are
    incommensurate, so the path never closes and fills the box evenly (Weyl's equidistribution).
    """
    frequency = 0.5 * STEP * rng.uniform(0.6, 1.4, len(low))
    phase = (np.arange(count)[:, None] * frequency + rng.random(len(low))) % 1.0
    return np.asarray(low + (high - low) * 2 * np.abs(phase - 0.5))


def sobol_points(low: FloatArray, high: FloatArray, count: int, rng: np.random.Generator) -> FloatArray:
    """Settings (count, n) of a scrambled Sobol sequence in the box between `low` and `high`."""
    from scipy.stats import qmc

    power = max(count - 1, 1).bit_length()  # a power of two is balanced; a part of it nearly so
    return np.asarray(low + (high - low) * qmc.Sobol(len(low), rng=rng).random_base2(power)[:count])


def fit_surrogate(
    device: Device,
    *,
    output: int = 0,
    measured: Sequence[int] | None = None,
    ranges_V: Any = None,
    samples: int | None = None,
    hidden: Sequence[int] = (200, 200, 200),
    epochs: int = 60,
    seed: int = 0,
    hops: int | None = None,
    until: float | None = None,
    threads: int = 1,
    progress: Progress | None = None,
) -> SurrogateFit:
    """Fit a `ChipSurrogate` to a device model.

    If the currents of all terminals are fitted, they are corrected to add up to zero by least-squares adjustment:
    I_k - w_k sum_j I_j with w = C 1 / (1 . C 1) and C the covariance of the errors on the validation samples. That is
    linear, so it goes into the network's last layer.

    Parameters
    ----------
    device : Device
        Anything with terminals and currents; sampled by `follow` if it has that, by `estimate` if it is stochastic.
    output : int
        Terminal that is held at 0 V; all others are activation electrodes.
    measured : sequence of int, optional
        Terminals whose current is fitted, `output` among them; by default all whose current the device knows.
    ranges_V : array_like, shape (2,) or (n_terminals - 1, 2), optional
        Lowest and highest voltage of the activation electrodes, V; by default what the device allows.
    samples : int, optional
        Samples to train on, by default 40,000 of a device that follows paths and 4,000 of others; a tenth more are
        taken for the choice of the epoch and for the error.
    hidden : sequence of int
        Neurons of each hidden layer.
    epochs : int
        Passes through the samples at most.
    seed : int
        Decides settings, a stochastic device's streams, initial weights and the order of training. The same seed gives
        the same surrogate on the same machine, whatever `threads`.
    hops : int, optional
        Of kinetic Monte Carlo, per setting; 32,768 if neither this nor `until` is given.
    until : float, optional
        Its relative error to stop at; see `KineticMonteCarlo.estimate`.
    threads : int
        Settings that kinetic Monte Carlo follows at the same time.
    progress : callable, optional
        Called as ``progress(phase, done, total)``: samples of ``"sampling"``, epochs of ``"training"``.

    Raises
    ------
    InputError
        For an unknown terminal, impossible ranges or counts, and what the device refuses.
    ConvergenceError
        If the device has no answer at a setting.
    """
    names = tuple(device.terminals)
    measured = _measured(device, output, measured)
    low, high = _ranges(device, output, ranges_V)
    sizes = tuple(count(f"hidden[{k}]", size) for k, size in enumerate(hidden))
    if not sizes:
        raise InputError("hidden", sizes, "leaves a linear function", "give at least one layer's neurons")
    if samples is None:
        samples = SAMPLES_FOLLOWED if hasattr(device, "follow") else SAMPLES_SINGLE
    samples, epochs, seed = count("samples", samples), count("epochs", epochs), count("seed", seed, 0)
    if samples < FEWEST:
        raise InputError("samples", samples, "is too few", f"give at least {FEWEST}")
    aside = max(int(HELD_OUT * samples), FEWEST)
    *streams, training = np.random.SeedSequence(seed).spawn(4)
    sampler = _Sampler(device, output, low, high, hops, until, threads, samples + 2 * aside, progress)
    trained, validation, held_out = (
        sampler.take(size, np.random.default_rng(stream))
        for size, stream in zip((samples, aside, aside), streams, strict=True)
    )

    def known(part: Samples) -> tuple[FloatArray, FloatArray]:
        return np.delete(part.voltages_V, output, axis=1), -part.currents_A[:, measured] / _NA

    network = train_network(
        *known(trained), known(validation), low=low, high=high, hidden=sizes, epochs=epochs,
        seed=int(training.generate_state(1)[0]),
        progress=None if progress is None else lambda epoch, of: progress("training", epoch, of),
    )  # fmt: skip

    def as_chip(weights: tuple[FloatArray, ...], biases: tuple[FloatArray, ...]) -> ChipSurrogate:
        return ChipSurrogate(
            weights=weights, biases=biases, voltage_min_V=low, voltage_max_V=high, amplification_A=_NA,
            source=_source(device, samples, seed), terminals=names, held=output, measured=tuple(measured),
        )  # fmt: skip

    chip = as_chip(network.weights, network.biases)
    if len(measured) == len(names):
        misfit = (chip.currents(validation.voltages_V) - validation.currents_A)[:, measured]
        chip = as_chip(*_conserving(network, misfit))
    return SurrogateFit(
        chip, _error(chip, held_out), trained, validation, held_out, network.validation_loss, network.best_epoch
    )


def _conserving(network: TrainedNetwork, misfit: FloatArray) -> tuple[tuple[FloatArray, ...], tuple[FloatArray, ...]]:
    """The network's layers, the last one corrected so that its outputs add up to zero."""
    covariance = misfit.T @ misfit
    share = covariance.sum(axis=1) / covariance.sum() if covariance.sum() > 0 else np.full(len(covariance), np.nan)
    if not np.all(np.isfinite(share)):
        share = np.full(len(covariance), 1 / len(covariance))
    weight = network.weights[-1] - share[:, None] * network.weights[-1].sum(axis=0)
    bias = network.biases[-1] - share * network.biases[-1].sum()
    return (*network.weights[:-1], weight), (*network.biases[:-1], bias)


@dataclass
class _Sampler:
    """Asks a device at settings within its ranges and tells how far it is."""

    device: Any
    output: int
    low: FloatArray
    high: FloatArray
    hops: int | None
    until: float | None
    threads: int
    total: int
    progress: Progress | None
    done: int = 0

    def take(self, size: int, rng: np.random.Generator) -> Samples:
        """So many settings and the device's answers."""
        choose = triangle_path if hasattr(self.device, "follow") else sobol_points
        volts = np.insert(choose(self.low, self.high, size, rng), self.output, 0.0, axis=1)
        chunk = _CHUNK_STOCHASTIC if hasattr(self.device, "estimate") else _CHUNK
        parts = []
        for start in range(0, size, chunk):
            part = volts[start : start + chunk]
            parts.append(self._answers(part, rng))
            self.done += len(part)
            if self.progress is not None:
                self.progress("sampling", self.done, self.total)
        currents, errors = (np.concatenate(each) for each in zip(*parts, strict=True))
        return Samples(volts, currents, errors)

    def _answers(self, volts: FloatArray, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """Currents at the settings and their standard errors, A; `ConvergenceError` if one is not finite."""
        if hasattr(self.device, "estimate"):
            hops = KMC_HOPS if self.hops is None and self.until is None else self.hops
            estimate = self.device.estimate(volts, seed=rng, hops=hops, until=self.until, threads=self.threads)
            currents, errors = estimate.value, estimate.stderr
        else:
            currents = follow_path(self.device, volts)
            errors = np.zeros(volts.shape)
        lost = np.nonzero(~np.isfinite(currents + errors).all(axis=1))[0]
        if len(lost):
            where = np.round(volts[lost[0]], 4).tolist()
            raise ConvergenceError("voltages", where, "the device has no finite current", "narrow ranges_V")
        return currents, errors


def _error(chip: ChipSurrogate, samples: Samples) -> HeldOutError:
    measured = list(chip.measured)
    ours = chip.currents(samples.voltages_V)
    true = samples.currents_A[:, measured]
    misfit = ours[:, measured] - true
    square, scatter = (misfit**2).mean(axis=0), (samples.stderr_A[:, measured] ** 2).mean(axis=0)
    return HeldOutError(
        rms_A=np.sqrt(square),
        max_A=np.abs(misfit).max(axis=0),
        statistical_A=np.sqrt(scatter),
        model_A=np.sqrt(np.maximum(square - scatter, 0.0)),
        spread_A=true.std(axis=0),
        range_A=np.ptp(true, axis=0),
        kcl_A=float(np.abs(ours.sum(axis=1)).max()) if len(measured) == len(chip.terminals) else np.nan,
    )


def _measured(device: Device, output: int, measured: Sequence[int] | None) -> list[int]:
    count("output", output, 0, len(device.terminals) - 1)
    known = list(known_terminals(device))
    chosen = known if measured is None else list(measured)
    if output not in chosen or len(set(chosen)) != len(chosen) or not set(chosen) <= set(known):
        problem = f"must hold the output {output} and others of {known} once each"
        raise InputError("measured", chosen, problem, "check the list")
    return chosen


def _ranges(device: Any, output: int, ranges_V: Any) -> tuple[FloatArray, FloatArray]:
    """Lowest and highest voltage of each activation electrode."""
    allowed = np.delete(np.asarray(device.limits_V, dtype=float), output, axis=0)
    try:
        ranges = np.broadcast_to(np.asarray(allowed if ranges_V is None else ranges_V, dtype=float), allowed.shape)
    except (TypeError, ValueError):
        problem = f"is no (low, high) for {len(allowed)} activation electrodes"
        raise InputError("ranges_V", ranges_V, problem, "check it") from None
    if not np.all(np.isfinite(ranges)):
        raise InputError("ranges_V", ranges.tolist(), "must be finite", "give (low, high) in V")
    if np.any(ranges[:, 0] >= ranges[:, 1]):
        raise InputError("ranges_V", ranges.tolist(), "low is not below high", "give (low, high) in V")
    if np.any(ranges[:, 0] < allowed[:, 0]) or np.any(ranges[:, 1] > allowed[:, 1]):
        raise InputError("ranges_V", ranges.tolist(), f"leaves what the device allows, {allowed.tolist()}", "narrow it")
    return ranges[:, 0].copy(), ranges[:, 1].copy()


def _source(device: Any, samples: int, seed: int) -> str:
    network = getattr(device, "network", None)
    about = "" if network is None else f" (preset {network.preset}, seed {network.seed})"
    return f"fit_surrogate to {type(device).__name__}{about}, {samples} samples, seed {seed}"
