"""Perturbation codes: how all parameters are wiggled at once so that one number, the cost, tells every slope.

A code gives every parameter theta_k a small perturbation theta~_k(n) at step n. All are orthogonal over their period
and have the same mean squared norm,

    <theta~_j theta~_k> = (m^2 / P) delta_jk,        sum_k <theta~_k^2> = m^2,

so that the product of the change of the cost C~ = sum_j g_j theta~_j with theta~_k / m^2 is on average g_k / P, for
every code (McCaughan et al., APL Machine Learning 1, 026118, 2023):

=============  ====================================================================  ===========================
code           theta~_k(n), tau_p = `hold`                                            period in steps
=============  ====================================================================  ===========================
sine           m sqrt(2/P) sin(2 pi f_k n), f_k = (2k+1) / (4 P tau_p), k = 0..P-1   4 P tau_p
sequential     m, then -m, for one parameter at a time, the others 0                 2 P tau_p
walsh          +-m / sqrt(P), row k+1 of a Hadamard matrix                           tau_p 2^ceil(log2(P + 1))
random         +-m / sqrt(P), signs drawn anew                                       none
=============  ====================================================================  ===========================

Row 0 of the Hadamard matrix, all ones, is left out: a parameter that moves one way only cannot be told from drift; for
the same reason the sequential code goes up and down (behind a high-pass, up alone would read each slope less the mean
of all). The tones are odd multiples of one base: products of two of them are even multiples and meet none of the
tones, so curvature leaks into no slope. `Perturbation.dither` is the same sine as a `DitherPlan`, for lock-ins and
circuits: homodyne gradient extraction is this code.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import get_args

import numpy as np
from numpy.typing import ArrayLike

from inmateria.checks import FloatArray, count, positive
from inmateria.errors import InputError
from inmateria.random_words import key_of
from lockin.choices import Code
from lockin.codes import peak_of, period_of, perturb_many
from lockin.plan import DitherPlan

CODES: tuple[Code, ...] = get_args(Code)
_SIGNS = 0  # which stream of the seed


@dataclass(frozen=True)
class Perturbation:
    """Perturbations of all parameters, step by step.

    Parameters
    ----------
    code : {"sine", "sequential", "walsh", "random"}
    parameters : int
        How many, P.
    norm : float
        Root of the mean squared norm, m, in the parameters' unit.
    hold : int
        Steps for which a pattern stands, tau_p; the sine's tones fill the band up to 1 / (2 tau_p) per step.
    seed : int
        Of the random code's signs.

    Raises
    ------
    InputError
        When built with values that are none of these.
    """

    code: Code
    parameters: int
    norm: float
    hold: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.code not in CODES:
            raise InputError("code", self.code, "is no perturbation code", f"choose one of {', '.join(CODES)}")
        count("parameters", self.parameters)
        positive("norm", self.norm, "the parameters' unit")
        count("hold", self.hold)
        count("seed", self.seed, 0)

    @property
    def peak(self) -> float:
        """Largest perturbation of one parameter."""
        return peak_of(self.number, self.norm, self.parameters)

    @property
    def period(self) -> int | None:
        """Steps after which the code repeats and its perturbations are orthogonal; None for random signs."""
        return period_of(self.number, self.parameters, self.hold)

    @property
    def number(self) -> int:
        """The code's number in compiled code."""
        return CODES.index(self.code)

    @cached_property
    def table(self) -> FloatArray:
        """A period of the slowest tone, for compiled code; empty for the other codes."""
        size = 4 * self.parameters * self.hold if self.code == "sine" else 0
        return np.sin(2.0 * np.pi * np.arange(size) / max(size, 1))

    @cached_property
    def key(self) -> np.uint64:
        """Key of the random signs, for compiled code."""
        return key_of(self.seed, _SIGNS)

    def at(self, first: int, steps: int = 1) -> FloatArray:
        """Perturbations at the steps first, first + 1, ...

        Returns
        -------
        ndarray, shape (steps, P)

        Raises
        ------
        InputError
            If `first` or `steps` is no count.
        """
        out = np.empty((count("steps", steps), self.parameters))
        perturb_many(self.number, count("first", first, 0), self.hold, self.peak, self.table, self.key, out)
        return out

    def waveform(self, time_s: ArrayLike, step_s: float) -> FloatArray:
        """Perturbations as a circuit would make them: tones for the sine code, values that stand for the others.

        Parameters
        ----------
        time_s : array_like, shape (m,)
            Times from 0 on, s.
        step_s : float
            Time of one step, s.

        Returns
        -------
        ndarray, shape (m, P)

        Raises
        ------
        InputError
            If a time is below 0 or the step is no time.
        """
        times = np.atleast_1d(np.asarray(time_s, dtype=np.float64))
        step = positive("step_s", step_s, "s")
        if times.size and not np.min(times) >= 0.0:
            raise InputError("time_s", float(np.min(times)), "lies before the code begins", "give times from 0 s on")
        if self.code == "sine":
            return np.asarray(self.dither(step).waveform(times).T)
        steps = np.floor(times / step).astype(np.int64)
        return np.concatenate([self.at(int(n)) for n in steps]) if steps.size else np.empty((0, self.parameters))

    def dither(self, step_s: float) -> DitherPlan:
        """The sine code as a plan of tones.

        Parameters
        ----------
        step_s : float
            Time of one step, s; parameters are taken as volts.

        Raises
        ------
        InputError
            For any other code.
        """
        if self.code != "sine":
            raise InputError("code", self.code, "has no tones", "take the code 'sine'")
        base = 1.0 / (4 * self.parameters * self.hold * positive("step_s", step_s, "s"))
        tones = [(2 * k + 1) * base for k in range(self.parameters)]
        return DitherPlan(tuple(tones), (self.peak,) * self.parameters)
