"""A network fitted to a measured two-terminal curve, and what kinetic Monte Carlo says of it.

    python docs/studies/measured_iv.py --out docs/images          # the stored fit: numbers, figure
    python docs/studies/measured_iv.py --search 300               # a new fit: 300 s of random networks, then descent

Data: `measured_iv.npz` in INMATERIA_DATA (default ../shared/data): 35 points at 77 K, -2.1 to 1.1 V, +-26 nA (kmc_dn,
GPL-3). The curve is symmetric about -0.5 V and 0.6 nA, not about the origin, which no passive device with two terminals
can be: a voltage and a current offset of the instrument (or of terminals that were not recorded) are fitted along.

    I(V) = offset + nu_0 f(V - V_0; sites, a, sigma, eps_r),    f by `MeanField`, 77 K, disc of 150 nm radius, 3 donors.

nu_0 and the current offset are linear and follow from the rest. Cost: root of the mean square of (fit - data)/s, s^2 =
(0.1 nA)^2 + (5 % of I)^2, plus the square of the decades by which nu_0 lies outside 1e12 to 1e14 Hz. Search: random
networks (sites, seed, place of the second contact) with three random values of a, sigma, eps_r, V_0 each for the given
time; Nelder and Mead on the best two.

Without the bound on nu_0 (and a from 4 nm) the fit is four times closer, `FREE`, but its nu_0 of 7e21 Hz is no attempt
rate, and Monte Carlo cannot follow it: its holes go back and forth for ages before one of them crosses a gap.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from inmateria import Disc, DopantNetwork, KineticMonteCarlo, MeanField
from inmateria.errors import ConvergenceError, InputError

Array = NDArray[np.float64]
RADIUS_M, CONTACT_M, DONORS, LIMIT_V = 150e-9, 60e-9, 3, 3.0
BOUNDS = {
    "localisation_m": (8e-9, 25e-9),
    "disorder_eV": (0.0, 0.35),
    "permittivity": (4.0, 30.0),
    "zero_V": (-0.6, -0.3),
}
LOGARITHMIC = ("localisation_m", "permittivity")
NA = 1e-9


@dataclass(frozen=True)
class Fit:
    """A network and the instrument's offsets.

    Sites and donors are drawn by `seed`; the second contact stands `turn` eighths of a circle from the first.
    """

    sites: int
    seed: int
    turn: int
    localisation_m: float
    disorder_eV: float
    permittivity: float
    zero_V: float
    attempt_rate_Hz: float = 1e12
    offset_A: float = 0.0

    def network(self) -> DopantNetwork:
        return replace(
            unit_network(self.sites, self.seed, self.turn),
            site_energies_eV=unit_network(self.sites, self.seed, self.turn).site_energies_eV * self.disorder_eV,
            localisation_m=self.localisation_m,
            relative_permittivity=self.permittivity,
            attempt_rate_Hz=self.attempt_rate_Hz,
        )

    def settings(self, voltage_V: Array) -> Array:
        """Voltages of both contacts, (n, 2)."""
        return np.stack([voltage_V - self.zero_V, np.zeros(len(voltage_V))], axis=1)

    def current(self, voltage_V: Array) -> Array:
        return MeanField(self.network()).currents(self.settings(voltage_V))[:, 0] + self.offset_A


FITTED = Fit(
    sites=36,
    seed=3201,
    turn=4,
    localisation_m=1.3704760614270774e-08,
    disorder_eV=0.19988040073060998,
    permittivity=30.0,
    zero_V=-0.4811474411943773,
    attempt_rate_Hz=259938484529481.34,
    offset_A=5.323257227804475e-10,
)
RMS_A = 3.65e-9
"""Its root mean square deviation from the data, rounded up."""
FREE = Fit(
    sites=60,
    seed=4851,
    turn=2,
    localisation_m=4.217304966445875e-09,
    disorder_eV=0.1355885045195018,
    permittivity=30.0,
    zero_V=-0.5444052848682793,
    attempt_rate_Hz=6.682213426350304e21,
    offset_A=6.590975700883299e-10,
)
FREE_RMS_A = 0.90e-9


@cache
def unit_network(sites: int, seed: int, turn: int) -> DopantNetwork:
    """Positions, potentials, and site energies for a disorder of 1 eV."""
    shape = Disc(RADIUS_M)
    ring = shape.ring_of_electrodes(8, CONTACT_M)
    return DopantNetwork.random(
        seed=seed,
        acceptors=sites,
        donors=DONORS,
        shape=shape,
        electrodes=(ring[0], ring[turn]),
        disorder_eV=1.0,
        limit_V=LIMIT_V,
        hop_min_m=0.0,
        hop_max_m=RADIUS_M,
    )


def measured() -> tuple[Array, Array]:
    """Voltage (V) and current (A)."""
    folder = Path(os.environ.get("INMATERIA_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")
    with np.load(folder / "measured_iv.npz", allow_pickle=False) as stored:
        return stored["voltage_V"], stored["current_A"]


def scaled(fit: Fit, voltage: Array, current: Array, *, held: bool = False) -> tuple[float, Fit]:
    """Root of the cost, and the fit with its best attempt rate and offset.

    `held` adds (decades of nu_0 beyond 1e12 to 1e14 Hz)^2 to the root of the cost.
    """
    spread = np.hypot(0.1 * NA, 0.05 * current)
    try:
        shape = replace(fit, attempt_rate_Hz=1e12, offset_A=0.0).current(voltage)
    except (ConvergenceError, InputError):
        return np.inf, fit
    largest = np.abs(shape).max()
    if not largest > 0:
        return np.inf, fit
    table = np.stack([shape / largest, np.full(len(shape), NA)], axis=1) / spread[:, None]
    (factor, offset), *_ = np.linalg.lstsq(table, current / spread, rcond=None)
    if factor <= 0:
        return np.inf, fit
    off = table @ [factor, offset] - current / spread
    rate = float(1e12 * factor / largest)
    decades = max(0.0, abs(np.log10(rate / 1e13)) - 1.0) if held else 0.0
    return float(np.sqrt((off**2).mean()) + decades**2), replace(fit, attempt_rate_Hz=rate, offset_A=float(offset * NA))


def place(values: Any) -> dict[str, float]:
    """Parameters from their places between the bounds, 0 to 1."""
    result = {}
    for x, (name, (low, high)) in zip(np.clip(values, 0, 1), BOUNDS.items(), strict=True):
        result[name] = float(low * (high / low) ** x if name in LOGARITHMIC else low + x * (high - low))
    return result


def search(seconds: float, seed: int, voltage: Array, current: Array) -> Fit:
    """The best of random networks, refined."""

    def cost(x: Array, which: dict[str, int]) -> float:
        return min(scaled(Fit(**which, **place(x)), voltage, current, held=True)[0], 1e3)

    rng, found, begin = np.random.default_rng(seed), [], time.perf_counter()
    while time.perf_counter() - begin < seconds:
        which = {"sites": int(rng.integers(25, 50)), "seed": int(rng.integers(10_000)), "turn": int(rng.choice([2, 4]))}
        found.append((*min((cost(x, which), x.tolist()) for x in rng.random((3, len(BOUNDS)))), which))
    best = []
    for first, start, which in sorted(found, key=lambda f: f[0])[:2]:
        result = minimize(cost, start, args=(which,), method="Nelder-Mead", options={"maxfev": 100})
        best.append((result.fun, result.x, which))
        print(f"{which}: {first:.2f} -> {result.fun:.2f}", flush=True)
    _, x, which = min(best, key=lambda b: b[0])
    return scaled(Fit(**which, **place(x)), voltage, current)[1]


def consistency(fit: Fit, voltage: Array, hops: int) -> tuple[Array, Array]:
    """Current (A) by kinetic Monte Carlo at the fitted parameters, and its standard error."""
    result = KineticMonteCarlo(fit.network()).estimate(fit.settings(voltage), seed=1, hops=hops)
    return result.value[:, 0] + fit.offset_A, result.stderr[:, 0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--search", type=float, default=0.0, help="seconds of random networks for a new fit")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--hops", type=int, default=300_000, help="of Monte Carlo, a point")
    parser.add_argument("--out", type=Path, default=Path("."))
    options = parser.parse_args()
    voltage, current = measured()
    fit = search(options.search, options.seed, voltage, current) if options.search else FITTED
    print(asdict(fit), flush=True)
    fitted = fit.current(voltage)
    rms, cost = float(np.sqrt(((fitted - current) ** 2).mean())), scaled(fit, voltage, current)[0]
    print(f"rms {rms / NA:.3f} nA of {np.abs(current).max() / NA:.1f} nA; in units of 0.1 nA and 5 %: {cost:.2f}")
    free = FREE.current(voltage)
    free_rms = float(np.sqrt(((free - current) ** 2).mean()))
    print(f"any attempt rate: rms {free_rms / NA:.3f} nA")
    points = voltage[::2]
    value, error = consistency(fit, points, options.hops)
    apart = value - fitted[::2]
    print(f"Monte Carlo less mean field: rms {np.sqrt((apart**2).mean()) / NA:.3f} nA (standard errors "
          f"{np.sqrt((error**2).mean()) / NA:.3f} nA); Monte Carlo less data: rms "
          f"{np.sqrt(((value - current[::2]) ** 2).mean()) / NA:.3f} nA")  # fmt: skip
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for ax in axes:
        ax.plot(voltage, current / NA, "k.", label="measured")
        ax.plot(voltage, fitted / NA, "C0", lw=1, label=f"mean field, rms {rms / NA:.2f} nA")
        ax.plot(voltage, free / NA, "C2:", lw=1, label=f"any attempt rate, rms {free_rms / NA:.2f} nA")
        ax.errorbar(points, value / NA, 2 * error / NA, fmt="C1+", label="Monte Carlo, same parameters")
        ax.set(xlabel="voltage, V", ylabel="current, nA")
    axes[1].set_yscale("symlog", linthresh=1.0)
    axes[0].legend(frameon=False, fontsize=8)
    figure.savefig(options.out / "measured_iv.png", dpi=130)


if __name__ == "__main__":
    main()
