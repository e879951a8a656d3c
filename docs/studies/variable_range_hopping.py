"""Ohmic conductance of a sample without Coulomb interaction against variable-range hopping in two dimensions.

    python docs/studies/variable_range_hopping.py --out docs/images

Mott: with a flat density of states g the conductance is G ~ (1/T) exp(-(T0/T)^p), p = 1/3 in two dimensions, with
k T0 = 13.8/(g a^2) for hop rates exp(-2 r/a) (B. I. Shklovskii and A. L. Efros, Electronic Properties of Doped
Semiconductors, 1984, ch. 9). Plots of ln G against T^-1/3 look straight for many p; the exponent is the slope of the
reduced activation energy on logarithmic scales (A. G. Zabrodskii and K. N. Zinov'eva, Sov. Phys. JETP 59, 425, 1984),

    w(T) = d ln(G T)/d ln T = p (T0/T)^p,    d ln w/d ln T = -p.

The factor 1/T is that of every single conductance (below), and is no part of the exponential.

Model: `DopantNetwork`s of 3,000 acceptors between two contacts along whole sides, site energies uniform in +-W, no
donors, relative permittivity 1e9. Near equilibrium the rate equations are a network of resistors (A. Miller and E.
Abrahams, Phys. Rev. 120, 745, 1960): with Fermi's occupations f, each pair has

    G_ij = (e^2 nu_0/kT) exp(-2 r_ij/a) f_i (1 - f_j) min(1, exp(-(E_j - E_i)/kT)) = G_ji.

That is `MeanField.conductances`, checked below to rounding; its dense matrices would take minutes a temperature at
3,000 sites, the sparse ones take a second. Correlations of occupations, which it leaves out, are measured against the
master equation and kinetic Monte Carlo. The derivative of G is exact too: G = sum G_ij (u_i - u_j)^2 for a unit voltage
is stationary in the potentials u, so dG = sum dG_ij (u_i - u_j)^2.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import breadth_first_order, connected_components, minimum_spanning_tree
from scipy.sparse.linalg import splu
from scipy.special import expit

from dnpu_models.network.constants import ELEMENTARY_CHARGE
from inmateria import DopantNetwork, Electrode, KineticMonteCarlo, MasterEquation, MeanField, Rectangle

Array = NDArray[np.float64]
SPACING_M, LOCALISATION_M, BAND_EV = 10e-9, 5e-9, 0.1  # (sites per area)^-1/2, a, W
SITES, ASPECT, REACH_M = 3000, 1.0, 100e-9
KT_EV = BAND_EV * np.geomspace(0.005, 0.05, 10)
WEAK, STRONG = 12.0, 12.0  # conductances e^12 below or above the bottleneck's are left out, or capped


def sample(seed: int, sites: int, kt_eV: float, *, gap: bool = False) -> DopantNetwork:
    """A rectangle of `sites` acceptors, twice as long as wide, contacts along both ends; density of states flat or,
    with a `gap`, rising as |E|.
    """
    rng = np.random.default_rng([seed, sites])
    height = SPACING_M * np.sqrt(sites / ASPECT)
    shape = Rectangle(ASPECT * height, height)
    points = shape.sample(rng, sites)
    x = points[:, 0] / shape.width_m
    energies = rng.uniform(-BAND_EV, BAND_EV, sites)
    if gap:
        energies = np.sign(energies) * np.sqrt(np.abs(energies) * BAND_EV)
    return DopantNetwork(
        acceptors_m=points,
        donors_m=np.empty((0, 2)),
        site_energies_eV=energies,
        electrodes=(Electrode(0.0, height / 2, height), Electrode(shape.width_m, height / 2, height)),
        shape=shape,
        temperature_K=kt_eV / 8.617333262e-5,
        localisation_m=LOCALISATION_M,
        relative_permittivity=1e9,
        attempt_rate_Hz=1e12,
        hop_max_m=REACH_M,
        unit_potentials=np.stack([1 - x, x], axis=1),
    )


class Resistors:
    """The linear response of a network without Coulomb interaction, at any temperature."""

    def __init__(self, network: DopantNetwork) -> None:
        i, j = np.nonzero(np.triu(network.hop_prefactors_Hz))
        site, contact = np.nonzero(network.electrode_prefactors_Hz)
        n = network.n_sites
        self.sites, self.energy = n, np.append(network.fixed_energies_eV, [0.0, 0.0])
        self.i, self.j = np.append(i, site), np.append(j, n + contact)
        prefactor = np.append(network.hop_prefactors_Hz[i, j], network.electrode_prefactors_Hz[site, contact])
        self.attempt_Hz, self.distance = network.attempt_rate_Hz, np.log(prefactor / network.attempt_rate_Hz)

    def _bottleneck(self, ln: Array) -> float:
        """Smallest logarithm along the path between the contacts where it is largest: the percolation threshold."""
        n, top = self.sites, ln.max() + 1.0
        tree = minimum_spanning_tree(sparse.coo_array((top - ln, (self.i, self.j)), shape=(n + 2, n + 2)).tocsr())
        tree = tree + tree.T
        before, at, worst = breadth_first_order(tree, n, directed=False)[1], n + 1, 0.0
        while at != n:
            worst, at = max(worst, tree[at, before[at]]), before[at]
        return float(top - worst)

    def solve(self, kt_eV: float, *, cut: bool = True) -> tuple[float, float]:
        """Conductance (S) and d ln(G T)/d ln T."""
        n, i, j = self.sites, self.i, self.j
        x = self.energy / kt_eV
        lead = j >= n  # a contact is a reservoir: its occupation does not enter
        barrier = np.maximum(x[j] - x[i], 0.0)
        full = np.where(lead, 0.0, np.logaddexp(0.0, -x[j]))
        ln = self.distance - np.logaddexp(0.0, x[i]) - full - barrier
        slope = x[i] * expit(x[i]) - np.where(lead, 0.0, x[j] * expit(-x[j])) + barrier
        if cut:
            typical = self._bottleneck(ln)
            keep = ln > typical - WEAK
            i, j, slope = i[keep], j[keep], np.where(ln > typical + STRONG, 0.0, slope)[keep]
            ln = np.minimum(ln[keep], typical + STRONG)
        scale = ln.max()
        g = np.exp(ln - scale)
        laplace = sparse.coo_array((np.tile(-g, 2), (np.append(i, j), np.append(j, i))), shape=(n + 2, n + 2)).tocsc()
        laplace -= sparse.diags_array(np.asarray(laplace.sum(axis=0)))
        part = connected_components(laplace, directed=False)[1]
        used = np.nonzero((part[:n] == part[n]) | (part[:n] == part[n + 1]))[0]
        u = np.zeros(n + 2)
        u[n] = 1.0
        u[used] = splu(laplace[used][:, used].tocsc(), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0,
                       options={"SymmetricMode": True}).solve(-laplace[used][:, [n]].toarray()[:, 0])  # fmt: skip
        power = g * (u[i] - u[j]) ** 2
        unit = ELEMENTARY_CHARGE * self.attempt_Hz / kt_eV
        return float(power.sum() * unit * np.exp(scale)), float(power @ slope / power.sum())


def one(seed: int, sites: int, gap: bool) -> Array:
    """ln(G T) and w at all temperatures, (2, n)."""
    resistors = Resistors(sample(seed, sites, KT_EV[0], gap=gap))
    table = np.array([resistors.solve(kt) for kt in KT_EV]).T
    return np.stack([np.log(table[0] * KT_EV), table[1]])


def exponent(w: Array) -> float:
    """Minus the slope of ln w against ln T."""
    return float(-np.polyfit(np.log(KT_EV), np.log(w), 1)[0])


def measure(samples: int, sites: int, gap: bool) -> tuple[Array, float, float]:
    """Tables of `one` (samples, 2, n), the exponent of the mean w, and its error by bootstrap over the samples."""
    tables = []
    for seed in range(samples):
        tables.append(one(seed, sites, gap))
        print(f"{'gap' if gap else 'flat'} {seed}: {exponent(tables[-1][1]):.3f}", flush=True)
    table, rng = np.array(tables), np.random.default_rng(0)
    again = [exponent(table[rng.integers(0, samples, samples), 1].mean(axis=0)) for _ in range(2000)]
    return table, exponent(table[:, 1].mean(axis=0)), float(np.std(again))


def compare() -> None:
    """The resistors against the mean field, the master equation and kinetic Monte Carlo."""
    for kt in (0.01 * BAND_EV, 0.05 * BAND_EV, 0.2 * BAND_EV):
        model = MeanField(sample(1, 100, kt))
        exact = Resistors(model.network).solve(kt, cut=False)[0]
        off = abs(model.conductances(np.zeros(2))[0, 0] / exact - 1)
        cut = abs(Resistors(model.network).solve(kt)[0] / exact - 1)
        ratios = []
        for seed in range(20):
            small = sample(seed, 10, kt)
            step = 0.01 * kt
            there, back = MasterEquation(small).currents([[step, 0.0], [-step, 0.0]])[:, 0]
            ratios.append((there - back) / (2 * step) / Resistors(small).solve(kt, cut=False)[0])
        print(f"kT/W = {kt / BAND_EV:.2f}: mean field off by {off:.1e}, cut off by {cut:.1e}; master eq./resistors, "
              f"20 samples of 10 sites: {np.mean(ratios):.3f} ({min(ratios):.3f}-{max(ratios):.3f})")  # fmt: skip
    network, bias = sample(3, 60, kt), 0.5 * kt
    run = KineticMonteCarlo(network).estimate([bias, 0.0], seed=1, hops=4_000_000)
    resistors = Resistors(network).solve(kt, cut=False)[0] * bias
    print(f"Monte Carlo/resistors, 60 sites, kT/W = 0.2: {run.value[0] / resistors:.3f} +- "
          f"{run.stderr[0] / resistors:.3f}")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=30)
    parser.add_argument("--sites", type=int, default=SITES)
    parser.add_argument("--out", type=Path, default=Path("."))
    options = parser.parse_args()
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    t = KT_EV / BAND_EV
    for gap, expected, color in ((False, 1 / 3, "C0"), (True, 1 / 2, "C1")):
        table, p, error = measure(options.samples if not gap else options.samples // 4, options.sites, gap)
        w = table[:, 1]
        ln_g, mean, spread = table[:, 0].mean(axis=0), w.mean(axis=0), w.std(axis=0, ddof=1) / np.sqrt(len(w))
        name = "rising as |E|" if gap else "flat"
        halves = [-np.polyfit(np.log(t[s]), np.log(mean[s]), 1)[0] for s in (slice(0, 6), slice(6, 12))]
        print(
            f"density of states {name}: exponent {p:.3f} +- {error:.3f} (expected {expected:.3f}), lower and upper "
            f"half of the temperatures {halves[0]:.3f}, {halves[1]:.3f}, w {mean[0]:.2f} to {mean[-1]:.2f}"
        )
        for q in (1 / 4, 1 / 3, 1 / 2):
            print(f"    R^2 of ln(G T) against T^-{q:.2f}: {np.corrcoef(ln_g, t**-q)[0, 1] ** 2:.4f}")
        left.plot(t ** (-1 / 3), ln_g - ln_g[-1], ".-", color=color, label=f"density of states {name}")
        right.errorbar(t, mean, spread, fmt="o", ms=4, color=color)
        right.plot(t, np.exp(np.polyval([-p, np.mean(np.log(mean) + p * np.log(t))], np.log(t))), color=color,
                   label=f"slope -{p:.3f} $\\pm$ {error:.3f}")  # fmt: skip
    left.set(xlabel="$(W/kT)^{1/3}$", ylabel="mean ln(G T), from the highest T")
    right.set(xscale="log", yscale="log", xlabel="kT/W", ylabel="w = d ln(G T)/d ln T")
    for ax in (left, right):
        ax.legend(frameon=False, fontsize=8)
    figure.savefig(options.out / "variable_range_hopping.png", dpi=130)
    compare()


if __name__ == "__main__":
    main()
