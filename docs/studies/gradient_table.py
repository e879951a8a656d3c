"""Lock-in gradient of the output against the exact one, over random settings and dither amplitudes.

    python docs/studies/gradient_table.py --settings 50

For each amplitude: cosine, relative error and sign agreement of the netlist's lock-ins (ngspice) against the adjoint;
the same for the exact dither average, which an ideal lock-in reads; the netlist against the digital lock-in on the
recorded output.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from inmateria import HgeSettings, Ngspice, adjoint, compare, default_bench, exact_dither_average, spice_lock_in
from learning.homodyne.gradients import label


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", type=int, default=50)
    parser.add_argument("--averages", type=int, default=10, help="settings for which the exact average is computed")
    parser.add_argument("--amplitudes", default="1,2,5,10,20,50", help="mV")
    parser.add_argument("--device-seed", type=int, default=None)
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    bench = default_bench() if options.device_seed is None else default_bench(options.device_seed)
    rng = np.random.default_rng(2025)
    settings = [bench.random_controls(HgeSettings().spread, rng) for _ in range(options.settings)]
    rows = []
    print(" mV   cosine median  10 %     rel. error median  90 %   signs   | average: cos   rel.   | digital/netlist")
    with Ngspice() as engine:
        for milli in map(float, options.amplitudes.split(",")):
            measured, averaged, digital = [], [], []
            for k, controls in enumerate(settings):
                exact = adjoint(bench, controls)
                circuit, read, _, _ = spice_lock_in(bench, engine, controls, 1e-3 * milli)
                measured.append(compare(circuit, exact))
                digital.append(compare(read, circuit).relative_error)
                if k < options.averages:
                    average = exact_dither_average(bench, controls, 1e-3 * milli).gradient
                    averaged.append(compare(circuit, label(bench, average, "dither average")))
            cosine = np.array([c.cosine for c in measured])
            error = np.array([c.relative_error for c in measured])
            row = {
                "amplitude_mV": milli,
                "settings": len(settings),
                "cosine_median": float(np.median(cosine)),
                "cosine_10": float(np.quantile(cosine, 0.1)),
                "relative_error_median": float(np.median(error)),
                "relative_error_90": float(np.quantile(error, 0.9)),
                "signs": float(np.mean([c.sign_agreement for c in measured])),
                "average_cosine_median": float(np.median([c.cosine for c in averaged])),
                "average_relative_error_median": float(np.median([c.relative_error for c in averaged])),
                "digital_relative_error_max": float(np.max(digital)),
            }
            rows.append(row)
            print(
                f"{milli:4.0f}   {row['cosine_median']:.6f}   {row['cosine_10']:.5f}   "
                f"{row['relative_error_median']:.4f}          {row['relative_error_90']:.4f}   {row['signs']:.3f}   | "
                f"{row['average_cosine_median']:.6f} {row['average_relative_error_median']:.4f} | "
                f"{row['digital_relative_error_max']:.1e}",
                flush=True,
            )
    if options.out is not None:
        options.out.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
