"""Kinetic Monte Carlo against exact results: 50 random networks by the master equation, a closed one by Boltzmann.

    python docs/studies/master_equation_check.py --out docs/images

Open networks: 8 to 12 sites and eight electrodes; temperature (20 to 300 K, uniform in its logarithm), localisation
length, disorder, number of donors and voltages are random. Each is followed 24 times from independent starts, each
time with 32 batches. What is compared is chosen beforehand, from the exact solution alone:

- a batch is at least 50 times as long as the slowest relaxation (the smallest non-zero eigenvalue of the generator);
  where that takes more than 5e6 hops a run, the network is left out and the next one drawn;
- an electrode counts if at least 1000 holes are expected to cross it (in and out) in a run.

z = (estimate - exact)/stderr follows Student's t with 31 degrees of freedom. The currents of a network add up to zero,
so z of its electrodes are correlated: for tests of the distribution one electrode a run is drawn at random, and per
network Hotelling's T^2 over all electrodes but one, with the covariance of the 24 runs, gives one independent number.
The package adds one hole over the time to each error, in quadrature; "bare" is without it.

Closed network: 10 sites, 5 holes, electrodes out of reach. The time spent in each of the 252 states is compared with
Boltzmann's weights; equations in `boltzmann` and `covariance`. Nothing of the package but positions, energies and
parameters enters them.
"""

from __future__ import annotations

import argparse
import itertools
from collections import defaultdict
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.sparse.linalg import eigs

from dnpu_models.network.constants import COULOMB_EV_M, ELEMENTARY_CHARGE
from inmateria import Disc, DopantNetwork, Electrode, KineticMonteCarlo, MasterEquation

Array = NDArray[np.float64]
NETWORKS, RUNS, BATCHES = 50, 24, 32
RELAXATIONS, MOST_HOPS, CROSSINGS = 50, 5_000_000, 1000


def draw(number: int) -> tuple[DopantNetwork, Array]:
    """The random network of this number and its voltages."""
    rng, shape = np.random.default_rng([number, 3]), Disc(45e-9)
    network = DopantNetwork.random(
        seed=number,
        acceptors=8 + number % 5,
        donors=int(rng.integers(1, 5)),
        shape=shape,
        electrodes=shape.ring_of_electrodes(8, 18e-9),
        temperature_K=float(np.exp(rng.uniform(np.log(20), np.log(300)))),
        localisation_m=rng.uniform(8e-9, 20e-9),
        disorder_eV=rng.uniform(0.0, 0.06),
    )
    return network, rng.uniform(-1, 1, 8) * np.exp(rng.uniform(np.log(0.03), np.log(0.5)))


def exact(network: DopantNetwork, volts: Array) -> tuple[Array, Array, float]:
    """Currents, crossings of each electrode per hop, and hops per slowest relaxation."""
    model = MasterEquation(network)
    hops, p = model.transitions(volts), model.occupations_distribution(volts)
    flow = p[hops.start] * hops.rates_Hz
    crossings = flow @ np.abs(hops.weights(displacement=False)) / flow.sum()
    generator = hops.generator().T.tocsc() / flow.sum()
    # The shift lies right of the spectrum, so that the two eigenvalues nearest to it are 0 and the slowest.
    values = np.sort(-eigs(generator, k=4, sigma=1e-6, return_eigenvectors=False).real)
    return model.currents(volts), crossings, float(1 / values[1]) if values[1] > 1e-9 else np.inf


def hotelling(off: Array) -> float:
    """Probability that the mean of the rows of `off` (runs, n) is at least as far from 0, if its expectation is 0."""
    runs, n = off.shape
    scaled = off / off.std(axis=0)
    mean = scaled.mean(axis=0)
    t2 = runs * mean @ np.linalg.solve(np.atleast_2d(np.cov(scaled.T)), mean)
    return float(stats.f.sf(t2 * (runs - n) / (n * (runs - 1)), n, runs - n))


def open_networks(count: int, runs: int, verbose: bool, most_sites: int = 12) -> dict[str, Any]:
    """z-scores of all runs, one z a run drawn at random, and Hotelling's probability of each network."""
    found: dict[str, Any] = defaultdict(list, left_out=[], currents=0, hops=0)
    for number in itertools.count():
        if len(found["used"]) == count:
            return found
        network, volts = draw(number)
        if network.n_sites > most_sites:
            continue
        truth, crossings, relaxation = exact(network, volts)
        hops = int(max(RELAXATIONS * BATCHES * relaxation, 50_000)) if relaxation < np.inf else MOST_HOPS + 1
        if hops > MOST_HOPS:
            found["left_out"].append((number, network.temperature_K, relaxation))
            continue
        result = KineticMonteCarlo(network).estimate(np.tile(volts, (runs, 1)), seed=number, hops=hops)
        compared = np.nonzero(crossings * hops >= CROSSINGS)[0]
        strongest = crossings[compared].argmax()
        tested = np.delete(np.arange(len(compared)), strongest if len(compared) == 8 else [])
        picked = np.random.default_rng([number, 4]).integers(0, len(compared), runs)
        found["used"].append((number, network.temperature_K, relaxation))
        found["currents"] += len(compared)
        found["hops"] += hops * runs
        hole = ELEMENTARY_CHARGE / result.time_s[:, None]
        estimates = {"rates": (result.value, result.stderr), "counts": (result.counted, result.counted_stderr)}
        for name, (value, stderr) in estimates.items():
            off, error = (value - truth)[:, compared], stderr[:, compared]
            for kind, z in ((name, off / error), (f"{name}, bare", off / np.sqrt(error**2 - hole**2))):
                found[f"all_{kind}"].append(z.ravel())
                found[f"one_{kind}"].append(z[np.arange(runs), picked])
            found[f"p_{name}"].append(hotelling(off[:, tested]))
        if verbose:
            ps = [f"{found[f'p_{name}'][-1]:.3f}" for name in ("rates", "counts")]
            print(f"{number:3d} {network.n_sites:2d} sites {network.temperature_K:5.0f} K, relaxation {relaxation:.0f} "
                  f"hops, {len(compared)} electrodes, {hops} hops, p {' '.join(ps)}", flush=True)  # fmt: skip


def closed_network(relative_permittivity: float = 10.0) -> DopantNetwork:
    """Ten sites in the middle of a disc, all electrodes out of reach; the rarest state has 3e-4 of the hops."""
    rng = np.random.default_rng(3)
    points = rng.uniform(-25e-9, 25e-9, (10, 2))
    return DopantNetwork(
        acceptors_m=points,
        donors_m=[[5e-9, 35e-9]],
        site_energies_eV=rng.normal(0.0, 0.01, 10),
        electrodes=(Electrode(1e-6, 0), Electrode(-1e-6, 0)),
        shape=Disc(1e-6),
        temperature_K=300.0,
        localisation_m=20e-9,
        relative_permittivity=relative_permittivity,
        attempt_rate_Hz=1e12,
        hop_max_m=100e-9,
        unit_potentials=np.full((10, 2), 0.5),
    )


def boltzmann(network: DopantNetwork, holes: int) -> tuple[Array, Array, Array]:
    """States with `holes` holes, their probabilities, and the rates between them (in nu_0).

    H = sum over holes (eps_i + sum_d K/r_id) + sum over pairs of empty sites K/r_ij, p ~ exp(-H/kT); a hole hops at
    exp(-2 r/a) min(1, exp(-(H' - H)/kT)).
    """
    k, kt = COULOMB_EV_M / network.relative_permittivity, network.thermal_energy_eV
    x, n = network.acceptors_m, network.n_sites
    states = np.array([s for s in itertools.product((0, 1), repeat=n) if sum(s) == holes])
    energy = np.zeros(len(states))
    for m, state in enumerate(states):
        for i in np.nonzero(state)[0]:
            energy[m] += network.site_energies_eV[i] + sum(k / np.hypot(*(x[i] - d)) for d in network.donors_m)
        for i, j in itertools.combinations(np.nonzero(state == 0)[0], 2):
            energy[m] += k / np.hypot(*(x[i] - x[j]))
    weight = np.exp(-(energy - energy.min()) / kt)
    rates = np.zeros((len(states), len(states)))
    number = {tuple(state): m for m, state in enumerate(states.tolist())}
    for m, state in enumerate(states):
        for i, j in itertools.product(np.nonzero(state)[0], np.nonzero(state == 0)[0]):
            after = state.copy()
            after[i], after[j] = 0, 1
            end = number[tuple(after.tolist())]
            barrier = max(energy[end] - energy[m], 0.0) / kt
            rates[m, end] = np.exp(-2 * np.hypot(*(x[i] - x[j])) / network.localisation_m - barrier)
    return states, weight / weight.sum(), rates


def covariance(p: Array, rates: Array) -> Array:
    """n times the covariance of the time-weighted occupation probabilities after n hops.

    States visited are a Markov chain with jump matrix P = rates/r and stationary mu ~ p r; each visit lasts its mean
    time 1/r. The estimate T_s/T is off by the sum over visits of g_s(x) = (delta_xs - p_s)/r_x over n mean(1/r), whose
    variance has all autocorrelations in it:  g' M Z g + (g' M Z g)' - g' M g,  M = diag(mu), Z = (1 - P + 1 mu)^-1.
    """
    total = rates.sum(axis=1)
    visits = p * total / (p @ total)
    g = (np.eye(len(p)) - p) / total[:, None]
    z = np.linalg.solve(np.eye(len(p)) - rates / total[:, None] + visits, g)
    c = g.T @ (visits[:, None] * z)
    return np.asarray((c + c.T - g.T @ (visits[:, None] * g)) / (visits @ (1 / total)) ** 2)


def occupation(network: DopantNetwork, states: Array, method: Any, hops: int, seed: int) -> Array:
    """Share of the time in each state, followed hop by hop; each visit counts with its mean time."""
    bits = 1 << np.arange(network.n_sites)
    number = np.full(1 << network.n_sites, -1)
    number[states @ bits] = np.arange(len(states))
    model = KineticMonteCarlo(network)
    trajectory = model.trajectory(np.zeros(network.n_electrodes), seed=seed, initial=states[0], method=method)
    trajectory.follow(1000)
    time = np.zeros(len(states))
    for _ in range(hops):
        state = number[int(trajectory.occupied @ bits)]
        time[state] += trajectory.follow(1).time
    return time / time.sum()


def chi_square(difference: Array, cov: Array) -> float:
    """Probability of a chi-square at least this large; probabilities add up to 1, so one of them is left out."""
    return float(stats.chi2.sf(difference[1:] @ np.linalg.solve(cov[1:, 1:], difference[1:]), len(difference) - 1))


def draw_open(found: dict[str, Any], path: Path) -> None:
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained", sharey=True)
    x = np.linspace(-5, 5, 400)
    for ax, name in zip(axes, ("rates", "counts"), strict=True):
        for z, style, label in (
            (found[f"all_{name}, bare"], {"color": "0.8"}, "batch means"),
            (found[f"all_{name}"], {"histtype": "step", "color": "C0"}, "with one hole added"),
        ):
            ax.hist(np.concatenate(z), bins=np.linspace(-5, 5, 61), density=True, label=label, **style)
        ax.plot(x, stats.t(BATCHES - 1).pdf(x), "k", lw=1, label="Student's t, 31")
        ax.set(xlabel="(estimate - exact)/stderr", title=f"by {name}: {len(np.concatenate(z))} z-scores")
    axes[0].set_ylabel("density")
    axes[0].legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=130)


def draw_closed(p: Array, shares: dict[str, Array], error: Array, path: Path) -> None:
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for k, (method, share) in enumerate(shares.items()):
        left.errorbar(p * 1.04 ** (k - 1), share, error, fmt=".", ms=3, lw=0.5, label=method)
        right.hist((share - p) / error, bins=np.linspace(-4, 4, 33), histtype="step", density=True)
    left.plot([p.min(), p.max()], [p.min(), p.max()], "k", lw=0.7)
    left.set(xscale="log", yscale="log", xlabel="Boltzmann", ylabel="share of the time", title="252 states")
    left.legend(frameon=False, fontsize=8)
    x = np.linspace(-4, 4, 200)
    right.plot(x, stats.norm.pdf(x), "k", lw=1)
    right.set(xlabel="difference/standard error")
    figure.savefig(path, dpi=130)


def closed(hops: int, runs: int, folder: Path) -> None:
    network = closed_network()
    states, p, rates = boltzmann(network, 5)
    cov = covariance(p, rates) / hops
    error, probabilities, shares = np.sqrt(np.diag(cov)), [], {}
    for method in ("graph", "rows", "direct"):
        found = [occupation(network, states, method, hops, seed) for seed in range(runs)]
        tests = [chi_square(share - p, cov) for share in found]
        shares[method] = found[0]
        z = np.abs((np.array(found) - p) / error)
        print(f"closed, {method}: {runs} runs of {hops} hops, p of chi-square {np.round(tests, 3).tolist()}, "
              f"largest |z| of {z.size}: {z.max():.2f}", flush=True)  # fmt: skip
        probabilities += tests
    print(f"closed: {len(probabilities)} probabilities, uniform by Kolmogorov-Smirnov: "
          f"p = {stats.kstest(probabilities, 'uniform').pvalue:.2f}")  # fmt: skip
    draw_closed(p, shares, error, folder / "closed_system.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=NETWORKS)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--closed-hops", type=int, default=60_000)
    parser.add_argument("--closed-runs", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("."))
    options = parser.parse_args()
    closed(options.closed_hops, options.closed_runs, options.out)
    found = open_networks(options.networks, options.runs, verbose=True)
    print(f"{len(found['used'])} networks, {found['currents']} currents, {found['hops']:.3g} hops; "
          f"left out: {found['left_out']}")  # fmt: skip
    for name in ("rates", "rates, bare", "counts", "counts, bare"):
        z, one = np.concatenate(found[f"all_{name}"]), np.concatenate(found[f"one_{name}"])
        print(f"by {name}: {len(z)} z-scores, standard deviation {z.std():.3f} (t: {np.sqrt(31 / 29):.3f}), mean "
              f"{z.mean():+.3f}, largest {np.abs(z).max():.2f}; one a run: KS p = "
              f"{stats.kstest(one, stats.t(BATCHES - 1).cdf).pvalue:.2g}")  # fmt: skip
    for name in ("rates", "counts"):
        p = found[f"p_{name}"]
        print(f"by {name}: Hotelling's probabilities of the networks: KS p = {stats.kstest(p, 'uniform').pvalue:.2f}, "
              f"Fisher p = {stats.chi2.sf(-2 * np.log(p).sum(), 2 * len(p)):.2f}, smallest {min(p):.3f}")  # fmt: skip
    draw_open(found, options.out / "master_equation_check.png")


if __name__ == "__main__":
    main()
