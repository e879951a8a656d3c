"""The error budget of a lock-in bank beside what its circuit reads in ngspice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from circuits.lockin.bank import LockInBank
from circuits.ngspice.engine import Engine
from dnpu_models.interface.device import follow_path
from dnpu_models.noise.noisy_device import NoisyDevice
from dnpu_models.noise.spectrum import NoiseSpectrum
from inmateria.checks import FloatArray
from inmateria.errors import InputError
from lockin.error_budget import ErrorBudget, Motion, Readout, error_budget


@dataclass(frozen=True, eq=False)
class BudgetCheck:
    """Prediction and measurement side by side.

    Attributes
    ----------
    budget : ErrorBudget
        In S.
    measured : ndarray, shape (n_seeds, n_controls)
        Readings of the circuit, S; one row for each seed of the noise.
    names : tuple of str
        The dithered terminals.
    """

    budget: ErrorBudget
    measured: FloatArray
    names: tuple[str, ...]

    @property
    def predicted_rms(self) -> float:
        """Expected deviation from the exact gradient, rms over the controls, S."""
        return float(np.sqrt(np.mean(self.budget.total**2)))

    @property
    def measured_rms(self) -> float:
        """Deviation of the readings from the exact gradient, rms over controls and seeds, S."""
        return float(np.sqrt(np.mean((self.measured - self.budget.exact) ** 2)))

    @property
    def ratio(self) -> float:
        """Measured over predicted rms."""
        return self.measured_rms / self.predicted_rms


def predict_bank(
    bank: LockInBank, engine: Engine, duration_s: float, *, noise: bool = False, samples: int = 1024
) -> ErrorBudget:
    """The budget of a bank's reading after `duration_s`, without a transient: device model, ``.ac`` and ``.op``.

    Parameters
    ----------
    bank : LockInBank
        Its device must know its conductances; a `NoisyDevice` brings the noise.
    engine : Engine
        For the front end's small signals.
    duration_s : float
        When it is read, s.
    noise : bool, optional
        Whether the electronics have their own noise.
    samples : int, optional
        As `lockin.error_budget`.

    Raises
    ------
    InputError, NetlistError, ConvergenceError, EngineError
        As `lockin.error_budget` and `LockInBank.front_end`.
    """
    device: Any = bank.device
    if not hasattr(device, "conductances"):
        raise InputError("device", type(device).__name__, "knows no exact gradient", "take a mean field or surrogate")
    dithered, place = list(bank.dithered), bank.output
    spectrum: NoiseSpectrum | None = device.spectrum if isinstance(device, NoisyDevice) else None
    tones = np.array(bank.dither.frequencies_Hz)

    def response(volts: FloatArray) -> FloatArray:
        return np.asarray(-follow_path(device, volts)[:, place] - bank.baseline_A)

    background = float(response(bank.voltages_V[None])[0]) + bank.baseline_A
    front_end = bank.front_end(engine, background, noise=noise)
    psd = 0.0 if spectrum is None else spectrum.density(tones)
    return error_budget(
        response,
        bank.voltages_V,
        Readout(bank.dither, bank.settings_as_built, duration_s, front_end, psd=psd, correction=bank.correction),
        exact=-device.conductances(bank.voltages_V)[place, dithered],
        motion=Motion(bank.drift_V_per_s, _patterns(bank)),
        terminals=dithered,
        samples=samples,
    )


def _patterns(bank: LockInBank) -> tuple[FloatArray, FloatArray] | None:
    """What the waves add to the terminals' voltages, at all their corners."""
    if not bank.waves:
        return None
    times = np.unique([t for table in bank.waves.values() for t in table.times_s])
    offsets = np.zeros((times.size, bank.voltages_V.size))
    for terminal, table in bank.waves.items():
        offsets[:, terminal] = table.at(times)
    return times, offsets


def check_bank(
    bank: LockInBank,
    engine: Engine,
    duration_s: float,
    *,
    seeds: tuple[int, ...] = (0,),
    noise: bool = False,
    samples: int = 1024,
) -> BudgetCheck:
    """Predict a bank's reading, run it in ngspice once for each seed, and put the two side by side.

    With `noise` the electronics have their own, in both.

    Raises
    ------
    InputError, NetlistError, ConvergenceError, EngineError, Interrupted
        As `predict_bank` and `LockInBank.run`.
    """
    budget = predict_bank(bank, engine, duration_s, noise=noise, samples=samples)
    own = bank.electronics_noise(engine, duration_s) if noise else None
    measured = np.stack([bank.gradient(bank.run(engine, duration_s, seed=seed, noise=own)) for seed in seeds])
    return BudgetCheck(budget, measured, tuple(bank.device.terminals[k] for k in bank.dithered))
