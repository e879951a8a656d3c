"""Noise currents between nodes of any circuit, for `Engine.transient(noise=...)`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from circuits.ngspice import noise_sources_kernel as kernel
from dnpu_models.noise.spectrum import lorentzian
from inmateria.checks import FloatArray, count
from inmateria.errors import InputError


@dataclass(frozen=True, eq=False)
class NoiseSource:
    """One process that drives currents into some nodes at once.

    Attributes
    ----------
    name : str
        Of the element and its kind of noise, as ngspice has it: ``onoise_r1_thermal``, ``onoise_q.x1.q1_ic``.
    nodes : tuple of str
        Nodes of the flattened circuit; ground is left out.
    gains : ndarray, shape (n_times, n_nodes)
        Currents into the nodes for one unit of the process, A; a row for each of `NoiseSources.times_s`.
    white : float
        White part of the process's one-sided density, 1/Hz.
    corners_Hz, deviations : ndarray, shape (n,)
        Corner frequencies and standard deviations of the Lorentzians that make up the rest; corners are the same for
        all sources of a circuit.
    """

    name: str
    nodes: tuple[str, ...]
    gains: FloatArray
    white: float
    corners_Hz: FloatArray
    deviations: FloatArray

    @property
    def coloured(self) -> bool:
        """Whether it is not white alone."""
        return bool(np.any(self.deviations > 0.0))

    def density(self, frequencies_Hz: Any) -> FloatArray:
        """One-sided density of the unit process, 1/Hz: white + sum of (2 s^2/pi) f_i/(f_i^2 + f^2)."""
        f = np.asarray(frequencies_Hz, dtype=float)
        parts = self.deviations**2 * lorentzian(self.corners_Hz, f)
        return np.asarray(self.white + parts.sum(axis=-1))


@dataclass(frozen=True, eq=False)
class NoiseSources:
    """Independent noise sources of a circuit; `circuits.noise` makes them of ngspice's own noise models.

    Attributes
    ----------
    sources : tuple of NoiseSource
    times_s : ndarray, shape (n_times,)
        Times at which their gains are known, ascending, s; between them they follow straight lines.
    """

    sources: tuple[NoiseSource, ...]
    times_s: FloatArray

    @property
    def nodes(self) -> tuple[str, ...]:
        """Nodes into which a current flows, each once."""
        return tuple(dict.fromkeys(node for source in self.sources for node in source.nodes))

    @property
    def names(self) -> frozenset[str]:
        """Names of the external sources in the deck."""
        return frozenset(f"inoise{k}" for k in range(len(self.nodes)))

    def cards(self) -> str:
        """One external source a node."""
        return "\n".join(f"Inoise{k} 0 {node} external" for k, node in enumerate(self.nodes))

    def density(self, nodes: Sequence[str], frequencies_Hz: Any, time_s: float = 0.0) -> FloatArray:
        """One-sided densities of the currents into nodes and between them, A^2/Hz.

        Parameters
        ----------
        nodes : sequence of str
        frequencies_Hz : array_like, shape (n_frequencies,)
        time_s : float
            When, s.

        Returns
        -------
        ndarray, shape (n_frequencies, n_nodes, n_nodes)
        """
        place = {node: k for k, node in enumerate(nodes)}
        total = np.zeros((len(np.atleast_1d(frequencies_Hz)), len(place), len(place)))
        for source in self.sources:
            ways = np.zeros(len(place))
            for k, node in enumerate(source.nodes):
                if node in place:
                    ways[place[node]] = np.interp(time_s, self.times_s, source.gains[:, k])
            total += source.density(np.atleast_1d(frequencies_Hz))[:, None, None] * np.outer(ways, ways)
        return total

    def currents(self, times_s: Any, *, seed: int = 0) -> FloatArray:
        """Currents into `nodes` at successive times, as a circuit with these time-points meets them.

        Parameters
        ----------
        times_s : array_like, shape (n,)
            Ascending, s; the noise begins at time 0.
        seed : int

        Returns
        -------
        ndarray, shape (n, n_nodes)
            A.

        Raises
        ------
        InputError
            For times that do not ascend from 0, or a wrong seed.
        """
        times = np.ascontiguousarray(times_s, dtype=float)
        if times.ndim != 1 or not np.all(np.diff(times, prepend=0.0) >= 0.0) or not np.all(np.isfinite(times)):
            raise InputError("times_s", np.shape(times), "are no times that ascend from 0", "give them in s")
        params, state = self.pack(seed)
        out = np.empty((len(times), len(self.nodes)))
        kernel.follow(times, params, state, out)
        return out

    def _merged(self) -> list[NoiseSource]:
        """The coloured sources first; white ones between the same nodes that follow no bias are one."""
        merged: dict[Any, NoiseSource] = {}
        for k, source in enumerate(self.sources):
            steady = not source.coloured and len(source.nodes) <= 2 and bool(np.all(source.gains == source.gains[0]))
            way = np.abs(source.gains[0])
            steady = steady and bool(np.all(way == way[0])) and (len(way) == 1 or source.gains[0].sum() == 0.0)
            key = frozenset(source.nodes) if steady else k
            other = merged.get(key)
            if other is not None:
                strength = other.white * other.gains[0, 0] ** 2 + source.white * source.gains[0, 0] ** 2
                source = NoiseSource(
                    source.name, source.nodes, np.sign(source.gains), strength, source.corners_Hz, source.deviations
                )
            merged[key] = source
        return sorted(merged.values(), key=lambda source: not source.coloured)

    def pack(self, seed: int) -> tuple[FloatArray, FloatArray]:
        """Flat `params` and `state` for the compiled sources, in the stationary state.

        Raises
        ------
        InputError
            For a wrong seed.
        """
        count("seed", seed, 0)
        nodes, chosen = self.nodes, self._merged()
        coloured = [source for source in chosen if source.coloured]
        corners = coloured[0].corners_Hz if coloured else np.zeros(0)
        place = {node: float(k) for k, node in enumerate(nodes)}
        starts = np.concatenate([[0], np.cumsum([len(source.nodes) for source in chosen])])
        header = np.zeros(kernel.HEADER)
        header[kernel.SOURCES], header[kernel.COLOURED], header[kernel.NODES] = len(chosen), len(coloured), len(nodes)
        header[kernel.RATES], header[kernel.TIMES], header[kernel.PLACES] = len(corners), len(self.times_s), starts[-1]
        params = np.concatenate(
            [
                header,
                self.times_s,
                2.0 * np.pi * corners,
                *(source.deviations for source in coloured),
                np.sqrt([source.white for source in chosen]),
                starts,
                [place[node] for source in chosen for node in source.nodes],
                np.concatenate([source.gains for source in chosen], axis=1).ravel() if chosen else [],
            ]
        )
        # A stream of its own: a device in the same circuit may draw from the same seed.
        stream = np.random.SeedSequence([int(seed), 0x656C656374726F6E])
        rng = np.random.default_rng(stream)
        state = np.zeros(kernel.state_size(len(chosen), len(coloured), len(nodes), len(corners)))
        state[:4] = stream.generate_state(4, np.uint64).view(np.float64)
        state[kernel.EVALUATED] = -1.0
        processes = kernel.process_values_at(len(chosen), len(nodes), len(corners))
        of_sources = state[processes - 3 * len(chosen) : processes].reshape(3, -1)
        of_processes = state[processes:].reshape(2, len(coloured), -1) if coloured else state[:0].reshape(2, 0, 0)
        for k, source in enumerate(coloured):
            of_processes[0, k] = source.deviations * rng.standard_normal(len(corners))
        of_processes[1] = rng.standard_normal(of_processes[1].shape)
        of_sources[0, : len(coloured)] = of_processes[0].sum(axis=1)
        of_sources[1] = rng.standard_normal(len(chosen))
        return params, state

    def write(self, path: Path, seed: int) -> None:
        """Store what the worker needs."""
        params, state = self.pack(seed)
        np.savez(path, params=params, state=state)
