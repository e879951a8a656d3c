"""How far the mean field's currents are from kinetic Monte Carlo's, over the parameters of a device.

    python docs/studies/mean_field_trust.py --out trust.jsonl            # about ten minutes; goes on where it stopped
    python docs/studies/mean_field_trust.py --out trust.jsonl --plot docs/images

Two slices through the preset `tertilt2022` (temperature and permittivity; localisation length and disorder), random
devices in between, and the two presets. A finished device is a line of the output file.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from dnpu_models.mean_field.model import MeanField
from dnpu_models.mean_field.trust import LIMIT, coulomb_energy_eV
from inmateria import DopantNetwork, KineticMonteCarlo
from inmateria.errors import InMateriaError

TEMPERATURES_K = [20.0, 40.0, 77.0, 150.0, 300.0]
PERMITTIVITIES = [3.0, 6.0, 10.0, 20.0, 60.0]
LOCALISATIONS_M = [5e-9, 10e-9, 20e-9, 40e-9]
DISORDERS_EV = [0.0, 0.03, 0.1, 0.2]
SPREADS_V = [0.01, 0.03, 0.1, 0.3]
SPREAD_V = 0.6
SETTINGS = 3
HOPS = 150_000
DEVICES = 2
RANDOM = 70


def cases() -> list[dict]:
    """Every device: the slice it belongs to, preset, seed, and what is changed."""
    result = []
    for seed in range(DEVICES):
        for t in TEMPERATURES_K:
            for eps in PERMITTIVITIES:
                result.append(("T_eps", "tertilt2022", seed, {"temperature_K": t, "relative_permittivity": eps}))
        for a in LOCALISATIONS_M:
            for sigma in DISORDERS_EV:
                result.append(("a_sigma", "tertilt2022", seed, {"localisation_m": a, "disorder_eV": sigma}))
    for seed in range(4):
        result.append(("kmc_dn", "kmc_dn", seed, {}))
    for seed in range(DEVICES):
        for t in (20.0, 77.0, 300.0):
            for spread in SPREADS_V:
                result.append(("bias", "tertilt2022", seed, {"temperature_K": t, "spread_V": spread}))
    rng = np.random.default_rng(2026)
    for seed in range(RANDOM):
        changes = {
            "temperature_K": float(20 * 20 ** rng.uniform()),
            "relative_permittivity": float(1 * 40 ** rng.uniform()),
            "localisation_m": float(4e-9 * 10 ** rng.uniform()),
            "disorder_eV": float(rng.uniform(0, 0.15)),
            "acceptors": int(rng.integers(40, 201)),
            "spread_V": float(0.02 * 30 ** rng.uniform()),
        }
        result.append(("random", "tertilt2022", 200 + seed, changes))
    order = np.random.default_rng(0).permutation(len(result))  # so that half a run covers everything
    return [dict(zip(("slice", "preset", "seed", "changes"), result[k], strict=True)) for k in order]


def measure(case: dict) -> dict:
    """Currents of both models at random settings."""
    changes = dict(case["changes"])
    spread = changes.pop("spread_V", None)
    rows = []
    try:
        network = DopantNetwork.random(seed=case["seed"], preset=case["preset"], **changes)
        if spread is None:
            spread = SPREAD_V * network.limit_V
        kmc, mean_field = KineticMonteCarlo(network), MeanField(network, warn=False)
        rng = np.random.default_rng(case["seed"])
        for k, volts in enumerate(rng.uniform(-spread, spread, (SETTINGS, network.n_electrodes))):
            model = mean_field.solve(volts)
            truth = kmc.estimate(volts, seed=k, hops=HOPS)
            rows.append(
                {
                    "mean_field_A": model.currents_A.tolist(),
                    "kmc_A": truth.value.tolist(),
                    "stderr_A": truth.stderr.tolist(),
                }
            )
    except (InMateriaError, ValueError) as error:  # a site nothing reaches, or a hole that nothing moves any more
        return {**case, "error": str(error)}
    return {
        **case,
        "T_K": network.temperature_K,
        "eps_r": network.relative_permittivity,
        "a_m": network.localisation_m,
        "spread_V": spread,
        "sites": network.n_sites,
        "kT_eV": network.thermal_energy_eV,
        "sigma_eV": float(np.std(network.site_energies_eV)),
        "settings": rows,
    }


def deviation(row: dict) -> tuple[float, float]:
    """Root mean square over the electrodes of the difference, and of Monte Carlo's error, over that of the currents.

    Medians over the settings.
    """
    parts = []
    for setting in row["settings"]:
        model, truth, error = (np.array(setting[name]) for name in ("mean_field_A", "kmc_A", "stderr_A"))
        scale = np.sqrt((truth**2).mean())
        parts.append((np.sqrt(((model - truth) ** 2).mean()) / scale, np.sqrt((error**2).mean()) / scale))
    off, noise = np.median(parts, axis=0)
    return float(off), float(noise)


def ratio(row: dict) -> float:
    """Coulomb energy at the mean distance of sites over the energy of the drive."""
    changes = {name: value for name, value in row["changes"].items() if name != "spread_V"}
    network = DopantNetwork.random(seed=row["seed"], preset=row["preset"], **changes)
    default = SPREAD_V * network.limit_V
    return coulomb_energy_eV(network) / row["changes"].get("spread_V", default)


def table(axes, rows: list[dict], first: str, second: str, xs: list[float], ys: list[float]) -> None:
    """One slice: the mean over the devices of each cell, in per cent."""
    for i, x in enumerate(xs):
        for j, y in enumerate(ys):
            cell = [deviation(r) for r in rows if r["changes"][first] == x and r["changes"][second] == y]
            if not cell:
                continue
            off, noise = np.mean(cell, axis=0)
            axes.add_patch(plt_rectangle((i - 0.5, j - 0.5), off))
            mark = "" if noise < 0.5 * off else "*"
            axes.text(i, j, f"{100 * off:.1f}{mark}", ha="center", va="center", fontsize=9)
    axes.set(xlim=(-0.5, len(xs) - 0.5), ylim=(-0.5, len(ys) - 0.5), xticks=range(len(xs)), yticks=range(len(ys)))


def plt_rectangle(corner: tuple[float, float], off: float):
    """A cell, coloured by the deviation on a logarithmic scale from 0.3 % to 100 %."""
    from matplotlib import colormaps
    from matplotlib.patches import Rectangle

    shade = np.clip(np.log(off / 3e-3) / np.log(1 / 3e-3), 0, 1)
    return Rectangle(corner, 1, 1, facecolor=colormaps["YlOrRd"](shade), edgecolor="white")


def plot(rows: list[dict], folder: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(14, 4.2), layout="constrained")
    table(left, [r for r in rows if r["slice"] == "T_eps"], "temperature_K", "relative_permittivity", TEMPERATURES_K,
          PERMITTIVITIES)  # fmt: skip
    left.set(xlabel="temperature (K)", ylabel="relative permittivity", xticklabels=[f"{t:g}" for t in TEMPERATURES_K],
             yticklabels=[f"{e:g}" for e in PERMITTIVITIES], title="deviation of the currents (%)")  # fmt: skip
    table(middle, [r for r in rows if r["slice"] == "a_sigma"], "localisation_m", "disorder_eV", LOCALISATIONS_M,
          DISORDERS_EV)  # fmt: skip
    middle.set(xlabel="localisation length (nm)", ylabel="disorder (eV)",
               xticklabels=[f"{a * 1e9:g}" for a in LOCALISATIONS_M], yticklabels=[f"{d:g}" for d in DISORDERS_EV],
               title="(%), * where Monte Carlo's error is over half")  # fmt: skip
    known = [(ratio(r), *deviation(r), r["slice"]) for r in rows]
    known = [k for k in known if k[2] < 0.5 * k[1]]
    x, y = np.array([k[0] for k in known]), np.array([k[1] for k in known])
    for name in ("random", "bias", "T_eps", "a_sigma", "kmc_dn"):
        mask = np.array([k[3] == name for k in known])
        right.loglog(x[mask], 100 * y[mask], "o", ms=4, label=name)
    power, scale = np.polyfit(np.log(x), np.log(y), 1)
    scatter = np.std(np.log(y) - scale - power * np.log(x))
    grid = np.geomspace(x.min(), x.max(), 50)
    right.loglog(grid, 100 * np.exp(scale) * grid**power, "k-", lw=1)
    right.axhline(10, color="grey", lw=0.8)
    right.axvline(LIMIT, color="grey", lw=0.8)
    right.set(xlabel="Coulomb energy at the mean distance / drive", ylabel="deviation (%)")
    right.legend(fontsize=8)
    figure.savefig(folder / "mean_field_trust.png", dpi=110)
    wrong = int(np.sum((x > LIMIT) & (y < 0.1))), int(np.sum((x <= LIMIT) & (y >= 0.1)))
    print(f"{len(rows)} devices, {len(known)} with an error of Monte Carlo below half the deviation")
    print(f"deviation = {np.exp(scale):.3f} ratio^{power:.2f}, scatter a factor of {np.exp(scatter):.2f}")
    print(f"10 % at ratio {np.exp((np.log(0.1) - scale) / power):.2f}; beyond {LIMIT}: {np.sum(x > LIMIT)}")
    print(f"of these below 10 %: {wrong[0]}; within {LIMIT} but above 10 %: {wrong[1]} of {np.sum(x <= LIMIT)}")
    print(f"largest deviation within ratio 0.1: {100 * y[x <= 0.1].max():.1f} %")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--plot", type=Path, help="folder for the figure; nothing is computed")
    arguments = parser.parse_args()
    text = arguments.out.read_text() if arguments.out.exists() else ""
    rows = [json.loads(line) for line in text.splitlines()]
    if arguments.plot:
        plot([r for r in rows if "error" not in r], arguments.plot)
        return
    done = {(r["slice"], r["seed"], json.dumps(r["changes"])) for r in rows}
    for case in cases():
        if (case["slice"], case["seed"], json.dumps(case["changes"])) not in done:
            with arguments.out.open("a") as out:
                out.write(json.dumps(measure(case)) + "\n")


if __name__ == "__main__":
    main()
