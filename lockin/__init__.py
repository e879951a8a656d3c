"""Homodyne detection as mathematics: frequency plans, demodulators, error theory. Knows no SPICE.

A `DitherPlan` says which tone is applied to which terminal; `plan_frequencies` finds tones that no product up
to third order meets, `collisions` lists those that one does. `LockInSettings` describes an instrument in its
own words; `demodulate` reads a recorded signal with it (`LockInReading`, rms), `gradient` turns a record into
dy/dV for all tones at once, `calibrate_phase` finds the phase to project on. The theory computes what to
expect before a run: `enbw_Hz`, `settling_time`, `noise_variance`, `stability_limit`, and the exact finite-
amplitude gradient by `dither_average` or `common_period_average`; `error_budget` sorts all causes of
a wrong gradient (`ErrorBudget`, `FrontEnd`). `characterise` measures a realisation's data
sheet (`Characterisation`): transfer, settling, rejections, offset, linearity, dynamic reserve. `Perturbation`
generalises the tones: sequential, Walsh and random codes, for multiplexed gradient descent.

Units are SI; amplitudes of a plan are PEAK volts, readings of a lock-in are RMS; `LockInSettings.phase` is in
degrees, phases of a plan in radians. Filters start empty at the first sample.
"""

from lockin.averages import DitherAverage, common_period_average, dither_average, dither_bias
from lockin.characterisation import Characterisation, characterise
from lockin.collisions import Collision, collisions
from lockin.demodulate import calibrate_phase, demodulate, demodulate_trace, gradient
from lockin.error_budget import TERMS, ErrorBudget, FrontEnd, error_budget
from lockin.filter_response import filtered_tone, noise_bandwidth_Hz
from lockin.filters import rc_filter
from lockin.perturbation import CODES, Perturbation
from lockin.plan import DitherPlan, plan_frequencies
from lockin.rulers import golomb_ruler, is_golomb
from lockin.settings import LockInReading, LockInSettings
from lockin.theory import (
    enbw_Hz,
    noise_variance,
    settled_fraction,
    settling_time,
    stability_limit,
    stability_margin,
)

__all__ = [
    "CODES",
    "TERMS",
    "Characterisation",
    "Collision",
    "DitherAverage",
    "DitherPlan",
    "ErrorBudget",
    "FrontEnd",
    "LockInReading",
    "LockInSettings",
    "Perturbation",
    "calibrate_phase",
    "characterise",
    "collisions",
    "common_period_average",
    "demodulate",
    "demodulate_trace",
    "dither_average",
    "dither_bias",
    "enbw_Hz",
    "error_budget",
    "filtered_tone",
    "golomb_ruler",
    "gradient",
    "is_golomb",
    "noise_bandwidth_Hz",
    "noise_variance",
    "plan_frequencies",
    "rc_filter",
    "settled_fraction",
    "settling_time",
    "stability_limit",
    "stability_margin",
]
