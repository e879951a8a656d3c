"""One trajectory of a network at fixed voltages: state, random stream, and the compiled method that suits it."""

from __future__ import annotations

from typing import Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from dnpu_models.monte_carlo import graph_kernel, recording, reference, row_kernel
from dnpu_models.monte_carlo.hop_tables import EMPTY, HopTables
from dnpu_models.network.network import DopantNetwork
from inmateria.checks import FloatArray
from inmateria.errors import InputError
from inmateria.random_words import uniform

GRAPH_MISSES = 0.2
"""Above this fraction of hops into states that are not known, following rows is faster than keeping states."""
HOPS_PER_SAMPLE = 24.0
"""Mean number of hops between two samples of the rates: a sample costs about five hops."""


Method = Literal["graph", "rows", "direct"]
"""`graph_kernel`, `row_kernel` and `reference`."""


class Energies(NamedTuple):
    """One voltage setting in the kernels' units, kT, from a zero in the middle."""

    base: FloatArray
    v: FloatArray

    @classmethod
    def at(cls, network: DopantNetwork, voltages: FloatArray) -> Self:
        """Energies at the first of the voltages (V, (n, n_electrodes)).

        Counted from the middle of all that any occupation can reach at any of the voltages.

        Raises
        ------
        InputError
            If they are spread too far for the kernels.
        """
        kt = network.thermal_energy_eV
        v = voltages / kt
        base = network.fixed_energies_eV / kt + v @ network.unit_potentials.T
        low = min(float((base - network.coulomb_eV.sum(axis=1) / kt).min()), float(v.min()))
        high = max(float(base.max()), float(v.max()))
        if high - low > 0.25 * EMPTY:
            problem = f"makes energies spread over {high - low:.3g} kT, too many for kinetic Monte Carlo"
            raise InputError("temperature_K", network.temperature_K, problem, "raise it")
        middle = 0.5 * (low + high)
        return cls(base[0] - middle, v[0] - middle)


class Batch(NamedTuple):
    """Sums over some hops; times in 1/nu_0."""

    made: int
    time: float
    charge: NDArray[np.int64]
    held: FloatArray
    drift: FloatArray
    samples: float


class Steps(NamedTuple):
    """What equal steps of time brought."""

    made: int
    entered: NDArray[np.int64]  # (n_steps, n_electrodes): holes that came in less those that left
    mirrored: FloatArray  # (n_steps + 1, n_electrodes): charge that the holes induce at each edge, in e


class Trajectory:
    """A trajectory that can be followed further and further.

    Parameters
    ----------
    tables : HopTables or DirectTables
        The latter for the direct method.
    energies : Energies
    occupied : ndarray of uint8, shape (n_sites,)
    words : ndarray of uint64, shape (4,)
        State of the random generator.
    weight : ndarray, shape (n_sites, n_electrodes)
        Weights of the sites' inflows in the expected currents; see `row_kernel.sample`.
    method : {"graph", "rows", "direct"}
    keep : bool
        Whether to keep to the method; else the graph is left where it knows too few states.

    Attributes
    ----------
    occupied : ndarray of uint8, shape (n_sites,)
        The occupation now.
    """

    def __init__(
        self,
        tables: HopTables | reference.DirectTables,
        energies: Energies,
        occupied: NDArray[np.uint8],
        words: NDArray[np.uint64],
        weight: FloatArray,
        method: Method,
        keep: bool = False,
    ) -> None:
        self.tables, self.energies, self.words, self.weight = tables, energies, words, np.ascontiguousarray(weight)
        self.method, self._keep = method, keep
        self.occupied = occupied.astype(np.uint8)
        if isinstance(tables, HopTables):
            self._work = row_kernel.workspace(tables, self.occupied)
            self._graph = graph_kernel.graph(tables, len(energies.v)) if method == "graph" else None
        self._clock = np.zeros(row_kernel.CLOCK_WORDS)
        self._clock[[row_kernel.STOP_AT, row_kernel.SAMPLE_AT]] = np.inf
        self._made = 0

    def follow(self, hops: int, *, random_times: bool = False) -> Batch:
        """Go on for `hops` hops and return what they add up to."""
        clock, tally = self._clock, self._tally()
        start = clock[row_kernel.TIME]
        setting, how = (self.tables, *self.energies), (self.words, hops, random_times)
        steady = (np.empty(0), np.empty(0))
        if self.method == "direct":
            made = reference.run_direct(*setting, self.occupied, *how, tally)
        elif self.method == "graph":
            made = graph_kernel.run_graph(self._graph, *setting, self.occupied, *how, self.weight, tally)
        else:
            made = row_kernel.run_rows(*setting, *steady, self._work, *how, self.weight, tally)
        self._made = int(made)
        time, samples = float(clock[row_kernel.TIME] - start), float(clock[row_kernel.SAMPLES])
        return Batch(self._made, time, tally.charge, tally.held, tally.drift, samples)

    def _tally(self) -> row_kernel.Tally:
        self._clock[[row_kernel.SAMPLES, row_kernel.TRIES]] = 0.0
        electrodes = len(self.energies.v)
        return row_kernel.Tally(
            self._clock, np.zeros(electrodes, dtype=np.int64), np.zeros(len(self.occupied)), np.zeros(electrodes)
        )

    def record(self, step: float, steps: int, phi: FloatArray, voltages: FloatArray | None = None) -> Steps:
        """Go on for `steps` steps of time, each of `step` (1/nu_0), with random waiting times.

        Parameters
        ----------
        step : float
        steps : int
        phi : ndarray, shape (n_sites, n_electrodes)
            Unit potentials.
        voltages : ndarray, shape (steps + 1, n_electrodes), optional
            Electrode energies (kT, from the zero of `energies`) at the edges of the steps, linear in between; needs
            rows. Fixed by default.
        """
        tables, (base, v) = self.tables, self.energies
        if self.method == "direct" or (voltages is not None and self.method != "rows"):
            raise ValueError("changing voltages are followed by rows, fixed ones by rows or a graph")
        assert isinstance(tables, HopTables)
        tally, clock = self._tally(), self._clock
        clock[row_kernel.SAMPLE_AT], clock[row_kernel.STOP_AT] = np.inf, clock[row_kernel.TIME]
        entered, mirrored = np.zeros((steps, len(v)), dtype=np.int64), np.zeros((steps + 1, len(v)))
        how, out = (self.words, self.weight, tally), (entered, mirrored)
        phi = np.ascontiguousarray(phi)
        if self.method == "graph":
            made = recording.record_graph(self._graph, tables, base, v, phi, step, self.occupied, *how, *out)
        else:
            edges = np.empty((0, len(v))) if voltages is None else np.ascontiguousarray(voltages)
            made = recording.record_rows(tables, base, v, edges, phi, step, self._work, *how, *out)
        clock[row_kernel.STOP_AT] = np.inf
        self._made = int(made)
        return Steps(self._made, entered, mirrored)

    @property
    def tries_per_hop(self) -> float:
        """Rows tried per hop of the last stretch, or states computed, where a graph is followed."""
        return float(self._clock[row_kernel.TRIES] / max(self._made, 1))

    def settle(self, hops: int, *, sample: bool = True) -> bool:
        """Burn in, leave the graph where it knows too few states, start sampling. False if no hop is possible."""
        first = self.follow(hops // 2)  # at first all states are new
        batch = self.follow(hops - hops // 2)
        if first.made + batch.made < hops:
            return False
        if self.method == "graph" and not self._keep and self.tries_per_hop > GRAPH_MISSES:
            self._graph, self.method = None, "rows"
        if sample and self.method == "rows" and batch.time > 0.0:
            every = HOPS_PER_SAMPLE * batch.time / batch.made
            self._clock[row_kernel.SAMPLE_EVERY] = every
            # A first sample at a random moment, so that samples do not favour the state after the burn-in.
            self._clock[row_kernel.SAMPLE_AT] = self._clock[row_kernel.TIME] + every * uniform(self.words)
        return True
