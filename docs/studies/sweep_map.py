"""Gradient error over dither amplitude and spacing, with what the planner chooses marked on it.

    python docs/studies/sweep_map.py --store sweep_map.zarr --picture docs/images/sweep_map.png

The default device's class (seeds 0 to 19, a device and a random setting each), the circuit's lock-ins by the compiled
twin, the published noise of 1e-5 nA^2/Hz. A reading takes one common period of the tones, 1 / spacing. Stopped, the
same command goes on. The planner's choices (its own amplitude for each electrode) are measured by the same circuit, at
the same settings, with fresh noise.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

from analysis.designs.design import Design
from analysis.plots.sweep import plot_map
from analysis.sweeps.axes import Axis, ranged
from analysis.sweeps.design_sweep import sweep_design
from analysis.sweeps.measures import GradientMeasure
from analysis.sweeps.plan import equal_noise_V, planned_amplitudes


def rms(values: np.ndarray, axis: int) -> np.ndarray:
    return np.sqrt(np.nanmean(np.square(values), axis=axis))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, default=Path("sweep_map.zarr"))
    parser.add_argument("--points", type=int, default=24, help="along each axis")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--scheduler")
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    design = Design.from_values({})
    amplitudes = ranged("dither.amplitude", 0.5e-3, 0.1, "log", options.points, "V")
    spacings = ranged("dither.spacing", 1.0, 100.0, "log", options.points, "Hz")
    over = {axis.key: list(axis.values) for axis in (amplitudes, spacings)}
    last = time.monotonic()

    def progress(done: int, failed: int, points: int) -> None:
        nonlocal last
        if time.monotonic() - last > 60:
            last = time.monotonic()
            print(f"{done} of {points} points, {failed} failed", flush=True)

    found = sweep_design(
        design, over, seeds=options.seeds, store=options.store, workers=options.workers, scheduler=options.scheduler,
        progress=progress,
    )  # fmt: skip
    data = found.data
    if found.computed:
        print(f"{found.computed} points in {found.seconds:.0f} s: {found.points_per_s:.2f} points/s", flush=True)
    print(f"{found.failed} failed; twin against ngspice at {data.sizes['check']} points: "
          f"{float(data['check_deviation'].max()):.2g} at most")  # fmt: skip
    error = data["relative_error"].transpose("dither_amplitude", "dither_spacing", "seed").values
    medians, sizes = np.nanmedian(error, axis=2), rms(error, 2)

    begin = time.perf_counter()
    axes = (amplitudes, spacings, Axis("seed", tuple(range(options.seeds))))
    plans = planned_amplitudes(design, axes)
    print(f"planned in {time.perf_counter() - begin:.0f} s")
    rows = []
    for k, (spacing, plan) in enumerate(plans.items()):
        peaks = list(plan.dither.amplitudes_V)
        measure = GradientMeasure(design.changed({"dither.amplitude": peaks}))
        read = [measure({"dither.spacing": spacing, "seed": seed})["relative_error"] for seed in range(options.seeds)]
        best = int(np.argmin(sizes[:, k])), int(np.argmin(medians[:, k]))
        rows.append(
            {
                "spacing_Hz": spacing,
                "planned_V": equal_noise_V(plan),
                "predicted": plan.error,
                "rms": float(rms(np.array(read), 0)),
                "median": float(np.median(read)),
                "best_rms_V": amplitudes.values[best[0]],
                "best_rms": float(sizes[best[0], k]),
                "best_median_V": amplitudes.values[best[1]],
                "best_median": float(medians[best[1], k]),
            }
        )
        row = rows[-1]
        print(
            f"{spacing:8.3f} Hz: planned {1e3 * row['planned_V']:.3g} mV, predicted {100 * row['predicted']:.3g} %, "
            f"measured {100 * row['rms']:.3g} % rms ({100 * row['median']:.3g} % median); best of the map "
            f"{100 * row['best_rms']:.3g} % at {1e3 * row['best_rms_V']:.3g} mV ({100 * row['best_median']:.3g} % at "
            f"{1e3 * row['best_median_V']:.3g} mV); ratio {row['rms'] / row['best_rms']:.2f} "
            f"({row['median'] / row['best_median']:.2f})",
            flush=True,
        )
    chosen = min(rows, key=lambda row: row["predicted"])
    print(f"the planner's choice, {1e3 * chosen['planned_V']:.3g} mV at {chosen['spacing_Hz']:g} Hz: "
          f"{chosen['rms'] / sizes.min():.2f} times the best point of the map by rms, "
          f"{chosen['median'] / medians.min():.2f} times by the median")  # fmt: skip
    options.store.with_suffix(".json").write_text(json.dumps(rows, indent=1))
    if options.picture:
        figure = plot_map(
            data, "relative_error", planned={float(row["spacing_Hz"]): float(row["planned_V"]) for row in rows}
        )
        figure.savefig(options.picture, dpi=130)


if __name__ == "__main__":
    main()
