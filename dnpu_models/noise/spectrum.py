"""The noise of a current: white and 1/f, as a user or a measured chip states it, and its synthesis.

The 1/f part is a sum of Lorentzians, two for each decade. A process of variance s^2 and corner f_i has the one-sided
density (2 s^2/pi) f_i/(f_i^2 + f^2). With s_i^2 = S_1 f_1^a D sin(pi a/2) f_i^(1-a), D the spacing of ln f_i, an
endless ladder sums to S_1 (f_1/f)^a, by the integral of u^(1-a)/(1 + u^2), with a ripple of 2/cosh(pi^2/D) at a = 1:
0.0033 dB. The ladder ends one decade outside the band. What the missing rungs would give within the band is a flat
density (from above) and one falling as 1/f^2 (from below), and so is nearly all of what the first and the last rung
give: they take it on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from dnpu_models.network.constants import ELEMENTARY_CHARGE
from dnpu_models.noise import kernel as noise_kernel
from inmateria.checks import FloatArray, array, count, finite, not_negative, number_of, positive
from inmateria.errors import InputError

PUBLISHED_A2_PER_HZ = 1e-23
"""Noise of a measured chip's output, 1e-5 nA^2/Hz, at `PUBLISHED_HZ`: Boon et al., Nature Communications (2025),
doi 10.1038/s41467-025-65155-7, fig. 3."""
PUBLISHED_HZ = 1e3
RUNGS_PER_DECADE = 2
DECADES_BEYOND = 1.0


def lorentzian(corners_Hz: FloatArray, frequencies_Hz: FloatArray) -> FloatArray:
    """One-sided density of processes of variance 1, (2/pi) f_i/(f_i^2 + f^2), 1/Hz; the last axis is of the corners."""
    return np.asarray(2.0 / np.pi * corners_Hz / (corners_Hz**2 + frequencies_Hz[..., None] ** 2))


@dataclass(frozen=True)
class NoiseSpectrum:
    """One-sided spectral density of a current noise: S(f) = [S_w + S_1 (f_1/f)^a] / [1 + (f/B)^2].

    One-sided: the variance is the integral over positive frequencies only, so a resistor has 4kT/R.

    Parameters
    ----------
    white_A2_per_Hz : float
        S_w, A^2/Hz (1 nA^2/Hz is 1e-18 A^2/Hz).
    flicker_A2_per_Hz : float
        S_1, the density of the 1/f part at `flicker_Hz`.
    flicker_Hz : float
        f_1, Hz.
    exponent : float
        a, between 0.5 and 1.5.
    band_Hz : tuple of float
        Lowest and highest frequency to which the 1/f part follows its law, Hz; below it levels off, above it falls
        faster. It must reach the frequencies of interest, no more: each decade costs two random processes.
    bandwidth_Hz : float
        B, Hz; infinite by default, where the steps of the transient limit the bandwidth.

    Raises
    ------
    InputError
        For a number that is not finite, negative densities, an empty band, an exponent out of range.
    """

    white_A2_per_Hz: float
    flicker_A2_per_Hz: float = 0.0
    flicker_Hz: float = 1e3
    exponent: float = 1.0
    band_Hz: tuple[float, float] = (0.1, 1e5)
    bandwidth_Hz: float = float("inf")

    def __post_init__(self) -> None:
        not_negative("white_A2_per_Hz", self.white_A2_per_Hz, "A^2/Hz (1 nA^2/Hz is 1e-18 A^2/Hz)")
        not_negative("flicker_A2_per_Hz", self.flicker_A2_per_Hz, "A^2/Hz (1 nA^2/Hz is 1e-18 A^2/Hz)")
        positive("flicker_Hz", self.flicker_Hz, "Hz")
        if self.bandwidth_Hz != np.inf:
            positive("bandwidth_Hz", self.bandwidth_Hz, "Hz")
        if not 0.5 <= number_of("exponent", self.exponent, "1") <= 1.5:
            raise InputError("exponent", self.exponent, "lies outside 0.5 to 1.5", "take 1 for 1/f noise")
        low, high = array("band_Hz", self.band_Hz, (2,))
        if not 0 < low < high or high / low > 1e12:
            raise InputError("band_Hz", self.band_Hz, "is no band of up to 12 decades", "give 0 < lowest < highest, Hz")

    @classmethod
    def measured(cls, density_A2_per_Hz: float, frequency_Hz: float, *, corner_Hz: float = 0.0, **others: Any) -> Self:
        """The spectrum with one measured density, and the corner below which 1/f noise is the larger part.

        S_w = S / [1 + (f_c/f)^a], S_1 = S_w (f_c/f)^a at the measured f.

        Parameters
        ----------
        density_A2_per_Hz : float
            S, the whole one-sided density that was measured, A^2/Hz.
        frequency_Hz : float
            f, where it was measured, Hz.
        corner_Hz : float
            f_c, Hz; 0 for white noise.
        **others
            `exponent`, `band_Hz`, `bandwidth_Hz`.

        Raises
        ------
        InputError
            As the class itself; for frequencies that are none.
        """
        corner = not_negative("corner_Hz", corner_Hz, "Hz, 0 for white noise")
        positive("frequency_Hz", frequency_Hz, "Hz")
        whole = cls(density_A2_per_Hz, 0.0, frequency_Hz, **others)  # checks the other numbers
        share = (corner / whole.flicker_Hz) ** whole.exponent
        white = whole.white_A2_per_Hz / (1.0 + share)
        return cls(white, white * share, frequency_Hz, **others)

    @classmethod
    def published(cls, *, corner_Hz: float = 0.0, **others: Any) -> Self:
        """The noise of a measured chip: 1e-5 nA^2/Hz at 1 kHz (Boon et al. 2025), white unless a corner is given.

        See `measured`; the paper states the one density only.
        """
        return cls.measured(PUBLISHED_A2_PER_HZ, PUBLISHED_HZ, corner_Hz=corner_Hz, **others)

    @classmethod
    def shot(cls, current_A: float, *, fano: float = 1.0) -> Self:
        """Shot noise of a mean current: S = 2 e F |I|, white; F = 1 for carriers that pass independently.

        Hopping devices of the preset showed Fano factors of 0.2 to 0.7 (docs/kinetic_monte_carlo.md).

        Raises
        ------
        InputError
            For a current that is not finite, or a Fano factor that is not positive.
        """
        current, factor = finite("current_A", current_A, "A"), positive("fano", fano, "1")
        return cls(2.0 * ELEMENTARY_CHARGE * factor * abs(current))

    def density(self, frequencies_Hz: Any) -> FloatArray:
        """S(f) as stated, A^2/Hz, for positive frequencies (Hz)."""
        f = _frequencies(frequencies_Hz)
        flicker = self.flicker_A2_per_Hz * (self.flicker_Hz / f) ** self.exponent if self.flicker_A2_per_Hz else 0.0
        return np.asarray((self.white_A2_per_Hz + flicker) / (1.0 + (f / self.bandwidth_Hz) ** 2))

    def generated_density(self, frequencies_Hz: Any) -> FloatArray:
        """S(f) as generated, A^2/Hz: the sum of Lorentzians in place of the law; within 0.01 dB of it in the band."""
        f = _frequencies(frequencies_Hz)
        corners, deviations = self.lorentzians
        flicker = (deviations**2 * lorentzian(corners, f)).sum(axis=-1)
        return np.asarray((self.white_A2_per_Hz + flicker) / (1.0 + (f / self.bandwidth_Hz) ** 2))

    @property
    def lorentzians(self) -> tuple[FloatArray, FloatArray]:
        """Corner frequencies (Hz) and standard deviations (A) of the processes that make up the 1/f part."""
        if self.flicker_A2_per_Hz == 0:
            return np.zeros(0), np.zeros(0)
        low, high = self.band_Hz
        rungs = int(np.ceil(RUNGS_PER_DECADE * (np.log10(high / low) + 2 * DECADES_BEYOND))) + 1
        corners = np.geomspace(low * 10.0**-DECADES_BEYOND, high * 10.0**DECADES_BEYOND, rungs)
        spacing = float(np.log(corners[-1] / corners[0])) / (rungs - 1)
        a = self.exponent
        strength = self.flicker_A2_per_Hz * self.flicker_Hz**a
        variances = strength * spacing * np.sin(0.5 * np.pi * a) * corners ** (1.0 - a)
        # The missing rungs' sums of s_i^2 f_i (below) and s_i^2/f_i (above) are geometric series.
        variances[0] /= -np.expm1(-(2.0 - a) * spacing)
        variances[-1] /= -np.expm1(-a * spacing)
        return corners, np.sqrt(variances)

    def step_means(self, steps_s: Any, *, seed: int = 0) -> FloatArray:
        """Means of the noise over successive steps, A: their joint law is exact whatever the steps.

        White noise alone has independent means of variance S_w/(2h). A finite bandwidth is not applied: it acts on
        what a circuit sees, see `noise.kernel`.

        Parameters
        ----------
        steps_s : array_like, shape (n,)
            Lengths of the steps, s.
        seed : int

        Returns
        -------
        ndarray, shape (n,)
            A.

        Raises
        ------
        InputError
            For steps that are not positive times, or a wrong seed.
        """
        return self._follow(steps_s, seed)[0]

    def points(self, steps_s: Any, *, seed: int = 0) -> FloatArray:
        """Current (A, (n,)) at the ends of successive steps (s, (n,)), as a circuit meets it: see `noise.kernel`.

        Raises
        ------
        InputError
            As `step_means`.
        """
        return self._follow(steps_s, seed)[1]

    def _follow(self, steps_s: Any, seed: int) -> tuple[FloatArray, FloatArray]:
        steps = np.ascontiguousarray(steps_s, dtype=float)
        if steps.ndim != 1 or not steps.size or not np.all((steps > 0) & (steps < np.inf)):
            raise InputError("steps_s", np.shape(steps_s), "are no list of positive times", "give lengths in s")
        params, state = self.pack((0,), -1, seed)
        means, points = np.empty(len(steps)), np.empty(len(steps))
        noise_kernel.follow(steps, params, state, means, points)
        return means, points

    def pack(self, terminals: tuple[int, ...], returned: int, seed: int) -> tuple[FloatArray, FloatArray]:
        """Flat `params` and `state` of one independent source at each terminal, in the stationary state.

        Parameters
        ----------
        terminals : tuple of int
            Where each source's current enters.
        returned : int
            The terminal where all of it leaves; -1 for none.
        seed : int
            The same seed gives the same noise.
        """
        count("seed", seed, 0)
        corners, deviations = self.lorentzians
        processes = len(corners)
        n_params, n_state = noise_kernel.sizes(len(terminals), processes)
        header = np.zeros(noise_kernel.HEADER)
        header[[noise_kernel.N_PARAMS, noise_kernel.N_STATE]] = n_params, n_state
        header[[noise_kernel.SOURCES, noise_kernel.PROCESSES]] = len(terminals), processes
        header[noise_kernel.RETURN] = returned
        header[noise_kernel.WHITE_A2_PER_HZ] = self.white_A2_per_Hz
        span = 1.0 / (np.pi * self.bandwidth_Hz)
        header[noise_kernel.LEAST_SPAN_S] = span
        params = np.concatenate([header, terminals, 2 * np.pi * corners, deviations])
        # A stream of its own: a device beneath may draw from the same seed.
        stream = np.random.SeedSequence([int(seed), 0x6E6F697365])
        rng = np.random.default_rng(stream)
        state = np.zeros(n_state)
        state[:4] = stream.generate_state(4, np.uint64).view(np.float64)
        for sourced in state[noise_kernel.STATE_HEADER :].reshape(len(terminals), -1):
            values = deviations * rng.standard_normal(processes)
            # The white part behind one pole has the variance S_w pi B/2 = S_w/(2 span).
            white = np.sqrt(0.5 * self.white_A2_per_Hz / span) * rng.standard_normal() if span > 0 else 0.0
            sourced[noise_kernel.VALUE] = values.sum() + white
            sourced[noise_kernel.SPAN] = span
            sourced[noise_kernel.MEAN_DEVIATE] = rng.standard_normal()
            sourced[noise_kernel.SOURCE_HEADER :] = np.concatenate([values, rng.standard_normal(processes)])
        return params, state


def _frequencies(frequencies_Hz: Any) -> FloatArray:
    f = np.asarray(frequencies_Hz, dtype=float)
    if not np.all((f > 0) & (f < np.inf)):
        raise InputError("frequencies_Hz", frequencies_Hz, "are no positive frequencies", "give them in Hz")
    return f
