"""Mean currents from a trajectory: batches, their ratio estimator, rounds until an error is reached, many settings."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from dnpu_models.monte_carlo.estimate import Estimate
from dnpu_models.monte_carlo.trajectory import Batch, Trajectory
from dnpu_models.network.constants import ELEMENTARY_CHARGE
from dnpu_models.network.network import DopantNetwork
from inmateria.checks import FloatArray, count
from inmateria.errors import ConvergenceError, InputError

FIRST_HOPS = 1 << 15
"""Hops of the first round when an error is asked for; each further round doubles them. With batches of 512 hops errors
were 10 % too small, with 1024 they are right."""


class Plan(NamedTuple):
    """What `KineticMonteCarlo.estimate` was asked for."""

    burn_in: int
    hops: int
    batches: int
    until: float | None
    electrode: int | None

    @classmethod
    def checked(
        cls, network: DopantNetwork, burn_in: int | None, hops: int | None, batches: int, until: float | None,
        electrode: int | None,
    ) -> Self:  # fmt: skip
        """The plan with its defaults; raises `InputError` for what makes none."""
        if hops is None and until is None:
            problem = "neither hops nor an error to stop at is given"
            raise InputError("hops", None, problem, "give hops=... or until=...")
        if until is not None and not (isinstance(until, float | int) and 0 < until < 1):
            raise InputError("until", until, "must be a relative error between 0 and 1", "0.01 is 1 %")
        hops = count("hops", hops) if hops is not None else 10**9
        batches = count("batches", batches, 2)
        if hops < batches:
            raise InputError("hops", hops, f"is less than one for each of {batches} batches", "ask for more hops")
        if until is not None and batches % 2:
            raise InputError("batches", batches, "must be even, as pairs are merged", "give an even number")
        if electrode is not None:
            electrode = count("electrode", electrode, 0, network.n_electrodes - 1)
        if burn_in is None:
            burn_in = max((hops if until is None else FIRST_HOPS) // 10, 50 * network.n_sites)
        return cls(count("burn_in", burn_in, 0), hops, batches, until, electrode)


@dataclass(frozen=True, eq=False)
class Sample:
    """One setting's share of an `Estimate`."""

    value: FloatArray
    stderr: FloatArray
    counted: FloatArray
    counted_stderr: FloatArray
    hops: int
    time_s: float
    occupations: FloatArray
    final: NDArray[np.uint8]


def sample(
    network: DopantNetwork, volts: FloatArray, trajectory: Trajectory, plan: Plan, tick: Callable[[int], None]
) -> Sample:
    """Follow a trajectory at `volts` (V) as planned; `tick` is told the hops of the burn-in and of each batch.

    Raises
    ------
    ConvergenceError
        If no hop is possible any more, or the error asked for is not reached.
    """
    if not trajectory.settle(plan.burn_in):
        raise stuck(volts, trajectory)
    tick(plan.burn_in)
    done: list[Batch] = []

    def go_on(length: int) -> None:
        done.append(trajectory.follow(length))
        if done[-1].made < length:
            raise stuck(volts, trajectory)
        tick(length)

    if plan.until is None:
        for length in np.diff(np.arange(plan.batches + 1) * plan.hops // plan.batches).tolist():
            go_on(length)
        return combined(network, done, trajectory)
    length = max(min(FIRST_HOPS, plan.hops) // plan.batches, 1)
    while True:
        while len(done) < plan.batches:
            go_on(length)
        found = combined(network, done, trajectory)
        k = int(np.abs(found.value).argmax()) if plan.electrode is None else plan.electrode
        if found.stderr[k] <= plan.until * abs(found.value[k]):
            return found
        if 2 * length * plan.batches > plan.hops:
            at = f"e{k} has {found.value[k]:.3g} +- {found.stderr[k]:.2g} A"
            fix = "allow more hops, or ask for a larger error"
            raise ConvergenceError("until", plan.until, f"was not reached within {plan.hops} hops: {at}", fix)
        done[:] = [_merged(a, b) for a, b in zip(done[::2], done[1::2], strict=True)]
        length *= 2


def combined(network: DopantNetwork, done: list[Batch], trajectory: Trajectory) -> Sample:
    """What batches say together: by rates or by counts, whichever has the smaller error."""
    time, unit = np.array([b.time for b in done]), ELEMENTARY_CHARGE * network.attempt_rate_Hz
    # What one hole more would have changed: events too rare to be seen are in no batch, and in no scatter.
    unseen = (network.electrode_prefactors_Hz > 0).any(axis=0) / time.sum()
    counted, counted_error = ratio(np.array([b.charge for b in done], dtype=float), time)
    counted_error = np.hypot(counted_error, unseen)
    value, error = counted, counted_error
    samples = np.array([b.samples for b in done])
    if samples.min() > 0:
        rates, rates_error = ratio(np.array([b.drift for b in done]), samples)
        rates_error = np.hypot(rates_error, unseen)
        if (rates_error**2).sum() <= (counted_error**2).sum():
            value, error = rates, rates_error
    held = np.sum([b.held for b in done], axis=0)
    return Sample(
        value=unit * value,
        stderr=unit * error,
        counted=unit * counted,
        counted_stderr=unit * counted_error,
        hops=sum(b.made for b in done),
        time_s=float(time.sum()) / network.attempt_rate_Hz,
        occupations=held / time.sum(),
        final=trajectory.occupied.copy(),
    )


def in_threads(one: Callable[[int], Sample], settings: int, threads: int) -> list[Sample]:
    """`one` of each setting, `threads` at the same time; what has not begun is given up after an error."""
    if threads == 1 or settings < 2:
        return [one(index) for index in range(settings)]
    with ThreadPoolExecutor(min(threads, settings)) as pool:
        try:
            return list(pool.map(one, range(settings)))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def stacked(samples: list[Sample], axes: tuple[int, ...], network: DopantNetwork, batches: int) -> Estimate:
    """Samples of all settings as one estimate with these leading axes."""

    def of(name: str, *shape: int) -> Any:
        return np.array([getattr(one, name) for one in samples]).reshape((*axes, *shape))

    currents = ("value", "stderr", "counted", "counted_stderr")
    return Estimate(
        **{name: of(name, network.n_electrodes) for name in currents},
        batches=batches,
        hops=of("hops"),
        time_s=of("time_s"),
        occupations=of("occupations", network.n_sites),
        final=of("final", network.n_sites),
    )


def stuck(volts: FloatArray, trajectory: Trajectory) -> ConvergenceError:
    """The error of a trajectory that can make no hop any more."""
    occupied = trajectory.occupied
    problem = f"stuck with {int(occupied.sum())} holes on {len(occupied)} sites: all rates are 0"
    fix = "raise temperature_K or hop_max_m, or bring electrodes within reach"
    return ConvergenceError("voltages", volts.tolist(), problem, fix)


def streams(seed: int | np.random.Generator, settings: int) -> list[np.random.SeedSequence]:
    """Independent random streams, one for each setting."""
    if isinstance(seed, np.random.Generator):
        entropy = seed.integers(0, 2**32, size=8, dtype=np.uint32).tolist()
        return np.random.SeedSequence(entropy).spawn(settings)
    return np.random.SeedSequence(count("seed", seed, 0)).spawn(settings)


def split(stream: np.random.SeedSequence) -> tuple[np.random.Generator, NDArray[np.uint64]]:
    """Return the generator for the start and the words of xoshiro256++ (never all 0, its forbidden state)."""
    start, hopping = stream.spawn(2)
    words = hopping.generate_state(4, np.uint64).astype(np.uint64)
    words[0] |= np.uint64(not words.any())
    return np.random.Generator(np.random.PCG64(start)), words


def ratio(sums: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Ratio of sums over batches, (n_batches, n) over (n_batches,), and its standard error."""
    batches, whole = len(weights), weights.sum()
    mean = sums.sum(axis=0) / whole
    spread = sums - mean * weights[:, None]
    return mean, np.sqrt((spread**2).sum(axis=0) * batches / (batches - 1)) / whole


def _merged(a: Batch, b: Batch) -> Batch:
    return Batch(
        a.made + b.made, a.time + b.time, a.charge + b.charge, a.held + b.held, a.drift + b.drift, a.samples + b.samples
    )
