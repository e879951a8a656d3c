"""Noise sources of a circuit for its transient, at the operating point or along a run.

Each kind of noise of each element (`densities`) becomes one process: its shape over frequency is white, or a sum of
white and Lorentzians fitted to it by non-negative least squares, two for each decade; its gains at the nodes are the
eigenvectors of G. Along a run the gains are known at some instants, and straight lines between.

White noise follows its bias exactly (its density at an instant is that of the bias there) as far as the instants
resolve it. 1/f noise does so as modulated noise: the same slow process times a gain that follows the bias; how a real
device's traps see a large signal is not in ngspice's models. A bias that moves with a period is met at random instants
of it, so that between the instants it is the mean over the period that counts.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.optimize import nnls

from circuits.ngspice.controller import Controller
from circuits.ngspice.cosimulation import CoSimulation
from circuits.ngspice.deck_checks import check_circuit, check_request
from circuits.ngspice.dialects import letters, said
from circuits.ngspice.engine import LARGEST_SEED, Engine, Progress
from circuits.ngspice.noise_sources import NoiseSource, NoiseSources
from circuits.noise.densities import Density, densities
from circuits.noise.elements import NoisyElements, noisy_elements
from dnpu_models.noise.spectrum import lorentzian
from inmateria.checks import FloatArray, array, count
from inmateria.errors import InputError, TrustWarning

INSTANTS = 8
"""Instants of a run at which the bias is looked at."""
_RUNGS_PER_DECADE = 2
_WHITE_WITHIN = 1e-3
_LEAST_SHARE = 1e-6
"""A second process of the same noise is kept where it is more than this share: phases between an element's nodes."""
_LEAST_GAIN = 1e-6
"""A node gets no current where it is less than this of the largest: a MOS transistor's gate, by rounding."""


def noise_at_operating_point(
    engine: Engine, circuit: str, *, band_Hz: tuple[float, float], dialect: str | None = None, seed: int = 0
) -> NoiseSources:
    """Noise of a circuit at ngspice's operating point, for `Engine.transient(noise=...)`.

    Parameters
    ----------
    engine : Engine
    circuit : str
        Title line and circuit, as for `Engine.transient`.
    band_Hz : (float, float)
        Lowest and highest frequency of interest, Hz: to the inverse of the run's length, and half the rate of points.
    dialect : str, optional
        As for `Engine.run`.
    seed : int, optional
        Of the numbers that the circuit draws (``agauss``), as for `Engine.transient`.

    Returns
    -------
    NoiseSources

    Raises
    ------
    InputError
        For a band that is none.
    NetlistError, ConvergenceError, EngineError, Interrupted
        As `Engine.run`.

    Examples
    --------
    >>> from circuits.noise.circuit_noise import noise_at_operating_point
    >>> from circuits.ngspice.engine import Engine
    >>> with Engine() as engine:  # doctest: +SKIP
    ...     noise = noise_at_operating_point(engine, deck, band_Hz=(10.0, 1e5))
    ...     run = engine.transient(deck, stop_s=0.1, max_step_s=5e-6, save=["v(out)"], noise=noise, seed=1)
    """
    _check_circuit(circuit, dialect)
    noisy = noisy_elements(engine.expanded(f"{circuit.rstrip()}\n.end\n", dialect=dialect, seed=seed))
    volts: Mapping[str, float] = {}
    nodes = noisy.where(biased=True).nodes
    if nodes:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TrustWarning)
            found = engine.run(f"{circuit.rstrip()}\n.save all\n.op\n.end\n", dialect=dialect, seed=seed)
        # ngspice says out, but v(2).
        volts = {name: float((found[name] if name in found else found[f"v({name})"])[-1]) for name in nodes}
    return _sources(engine, noisy, [volts], np.zeros(1), band_Hz, dialect)


def noise_along(
    engine: Engine,
    circuit: str,
    *,
    stop_s: float,
    max_step_s: float,
    band_Hz: tuple[float, float] | None = None,
    instants: int = INSTANTS,
    cosimulation: CoSimulation | None = None,
    controllers: Sequence[Controller] = (),
    corners_s: Sequence[float] = (),
    grids_s: Sequence[tuple[float, float, int]] = (),
    dialect: str | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> NoiseSources:
    """Noise of a circuit along a run, for `Engine.transient(noise=...)` with the same arguments.

    Where the noise of some element depends on its bias, the run is made once without noise, and looked at at
    `instants` random times, one in each of as many equal parts. Noise of resistors needs no run. Functions of
    controllers are asked in that run, too: what they keep from call to call has to be set back before the noisy one.

    Parameters
    ----------
    engine, circuit, stop_s, max_step_s, cosimulation, controllers, corners_s, grids_s, dialect, seed, progress
        As for `Engine.transient`; `seed` decides the instants too.
    band_Hz : (float, float), optional
        Lowest and highest frequency of interest, Hz; by default the inverse of the run's length, and half the rate of
        points.
    instants : int

    Returns
    -------
    NoiseSources

    Raises
    ------
    InputError
        For a band that is none, or no instants.
    NetlistError, ConvergenceError, EngineError, Interrupted
        As `Engine.transient`.
    """
    number = count("instants", instants, 1)
    check_request(stop_s, max_step_s, (), corners_s, grids_s)
    count("seed", seed, 0, LARGEST_SEED)
    band = (1.0 / stop_s, 0.5 / max_step_s) if band_Hz is None else band_Hz
    external = {source for controller in controllers for source in controller.outputs}
    _check_circuit(circuit, dialect, external)
    expanded = engine.expanded(f"{circuit.rstrip()}\n.end\n", dialect=dialect, external=external, seed=seed)
    noisy = noisy_elements(expanded)
    names = noisy.where(biased=True).nodes
    if not names:
        return _sources(engine, noisy, [{}], np.zeros(1), band, dialect)
    rng = np.random.default_rng(seed)
    times = stop_s * (np.arange(number) + rng.uniform(0.05, 0.95, number)) / number
    run = engine.transient(
        circuit,
        stop_s=stop_s,
        max_step_s=max_step_s,
        save=[f"v({name})" for name in names],
        cosimulation=cosimulation,
        controllers=controllers,
        corners_s=[*corners_s, *times.tolist()],
        grids_s=grids_s,
        corners_only=True,
        dialect=dialect,
        seed=seed,
        progress=progress,
    )
    rows = [int(np.argmin(np.abs(run.time_s - t))) for t in times]
    biases = [{name: float(run[f"v({name})"][row]) for name in names} for row in rows]
    return _sources(engine, noisy, biases, times, band, dialect)


def _check_circuit(circuit: str, dialect: str | None, external: Iterable[str] = ()) -> None:
    """Refuse what `Engine.transient` would: no text, an analysis, an end; and what `Engine.expanded` does not tell."""
    behaviour = letters(said(circuit) if dialect is None and isinstance(circuit, str) else dialect)
    checked = check_circuit(circuit, [".end"], frozenset(name.lower() for name in external), letters=behaviour)
    depth = 0
    for line in checked.text.lower().splitlines():
        depth += line.startswith(".if") - line.startswith(".endif")
        if depth and line.startswith(".temp"):
            raise InputError("circuit", line, "stands in an .if, unseen by the noise", "set the temperature outside")


def _sources(
    engine: Engine,
    noisy: NoisyElements,
    biases: Sequence[Mapping[str, float]],
    times_s: FloatArray,
    band_Hz: tuple[float, float],
    dialect: str | None,
) -> NoiseSources:
    """Sources of the noise at each of some biases."""
    low, high = array("band_Hz", band_Hz, (2,)).tolist()
    if not 0.0 < low < high < np.inf:
        raise InputError("band_Hz", band_Hz, "is no band", "give 0 < lowest < highest, Hz")
    still, moving = noisy.where(biased=False), noisy.where(biased=True)
    frequencies, steady = densities(engine, still, {}, (low, high), dialect)
    by_name = {part.name: dict.fromkeys(range(len(biases)), part) for part in steady}
    for k, volts in enumerate(biases):
        heard, parts = densities(engine, moving, volts, (low, high), dialect)
        frequencies = heard if heard.size else frequencies
        for part in parts:
            by_name.setdefault(part.name, {})[k] = part
    corners = np.geomspace(0.1 * low, 10.0 * high, int(np.ceil(_RUNGS_PER_DECADE * (np.log10(high / low) + 2.0))) + 1)
    sources = []
    for name, at in by_name.items():
        sources += _processes(name, at, len(biases), frequencies, corners)
    return NoiseSources(tuple(sources), times_s)


def _processes(
    name: str, at: Mapping[int, Density], times: int, f: FloatArray, corners: FloatArray
) -> list[NoiseSource]:
    """The process of one kind of noise, known at some of the times; two where its currents are not all in phase."""
    first = next(iter(at.values()))
    nodes = len(first.element.nodes)
    whole = sum(np.trace(part.matrix, axis1=1, axis2=2) for part in at.values())
    white, deviations = shape(f, np.asarray(whole) / np.max(whole), corners)
    unit = NoiseSource(name, first.element.nodes, np.zeros((times, nodes)), white, corners, deviations)
    fitted = unit.density(f)
    gains = np.zeros((nodes, times, nodes))
    for k, part in at.items():
        # G in units of the process, its mean over the band; eigenvalues ascend.
        values, vectors = np.linalg.eigh(np.mean(part.matrix / fitted[:, None, None], axis=0))
        for j in range(nodes):
            gains[j, k] = np.sqrt(max(values[-1 - j], 0.0)) * vectors[:, -1 - j]
            if k and gains[j, k] @ gains[j, k - 1] < 0.0:
                gains[j, k] *= -1.0
    strengths = np.sum(gains**2, axis=(1, 2))
    kept = np.max(np.abs(gains[0]), axis=0) > _LEAST_GAIN * np.max(np.abs(gains[0]))
    names = tuple(node for node, used in zip(unit.nodes, kept, strict=True) if used)
    return [
        NoiseSource(name if j == 0 else f"{name}_{j + 1}", names, gains[j][:, kept], white, corners, deviations)
        for j in range(nodes)
        if strengths[j] > _LEAST_SHARE * strengths[0]
    ]


def shape(f: FloatArray, density: FloatArray, corners: FloatArray) -> tuple[float, FloatArray]:
    """White part and standard deviations of Lorentzians that make up a density (1/Hz) at frequencies `f` (Hz)."""
    if np.ptp(density) <= _WHITE_WITHIN * np.max(density):
        return float(np.mean(density)), np.zeros(len(corners))
    columns = np.concatenate([np.ones((len(f), 1)), lorentzian(corners, f)], axis=1) / density[:, None]
    scale = np.linalg.norm(columns, axis=0)
    solution: Any = nnls(columns / scale, np.ones(len(f)))[0] / scale
    return float(solution[0]), np.sqrt(solution[1:])
