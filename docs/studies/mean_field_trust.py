"""How far the mean field's currents are from kinetic Monte Carlo's, over the parameters of a device.

    python docs/studies/mean_field_trust.py --out trust.jsonl            # about ten minutes; goes on where it stopped
    python docs/studies/mean_field_trust.py --out trust.jsonl --plot docs/images

Two slices through the preset `tertilt2022` (temperature and permittivity; localisation length and disorder), random
devices in between, and the two presets. A finished device is a line of the output file.
"""

import argparse
import json
import warnings
from pathlib import Path

import numpy as np

from inmateria import DopantNetwork, KineticMonteCarlo, MeanField
from inmateria.errors import InMateriaError

TEMPERATURES_K = [20.0, 40.0, 77.0, 150.0, 300.0]
PERMITTIVITIES = [3.0, 6.0, 10.0, 20.0, 60.0]
LOCALISATIONS_M = [5e-9, 10e-9, 20e-9, 40e-9]
DISORDERS_EV = [0.0, 0.03, 0.1, 0.2]
SETTINGS = 3
HOPS = 150_000
DEVICES = 2
RANDOM = 60


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
    rng = np.random.default_rng(2026)
    for seed in range(RANDOM):
        changes = {
            "temperature_K": float(20 * 20 ** rng.uniform()),
            "relative_permittivity": float(3 * 20 ** rng.uniform()),
            "localisation_m": float(4e-9 * 10 ** rng.uniform()),
            "disorder_eV": float(rng.uniform(0, 0.15)),
            "acceptors": int(rng.integers(30, 201)),
        }
        result.append(("random", "tertilt2022", 100 + seed, changes))
    order = np.random.default_rng(0).permutation(len(result))  # so that half a run covers everything
    return [dict(zip(("slice", "preset", "seed", "changes"), result[k], strict=True)) for k in order]


def measure(case: dict) -> dict:
    """Currents of both models at random settings, within 60 % of the preset's limit."""
    network = DopantNetwork.random(seed=case["seed"], preset=case["preset"], **case["changes"])
    kmc = KineticMonteCarlo(network)
    rng = np.random.default_rng(case["seed"])
    spread = 0.6 * network.limit_V
    rows = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mean_field = MeanField(network)
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
    except InMateriaError as error:
        return {**case, "error": str(error)}
    gaps = network.distances_m + np.diag(np.full(network.n_sites, np.inf))
    return {
        **case,
        "T_K": network.temperature_K,
        "eps_r": network.relative_permittivity,
        "a_m": network.localisation_m,
        "sites": network.n_sites,
        "area_m2": network.shape.area_m2 if hasattr(network.shape, "area_m2") else None,
        "nearest_m": float(np.median(gaps.min(axis=1))),
        "kT_eV": network.thermal_energy_eV,
        "energy_spread_eV": float(np.std(network.fixed_energies_eV - network.coulomb_eV.sum(axis=1))),
        "sigma_eV": float(np.std(network.site_energies_eV)),
        "settings": rows,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    text = arguments.out.read_text() if arguments.out.exists() else ""
    done = {(r["slice"], r["seed"], json.dumps(r["changes"])) for r in map(json.loads, text.splitlines())}
    for case in cases():
        if (case["slice"], case["seed"], json.dumps(case["changes"])) not in done:
            with arguments.out.open("a") as out:
                out.write(json.dumps(measure(case)) + "\n")


if __name__ == "__main__":
    main()
