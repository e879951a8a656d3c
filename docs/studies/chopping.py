"""What a chopped dither gains: XOR on a chip with macro parts with drawn offsets, from the same starts.

python docs/studies/chopping.py dnpu_chip.npz --starts 24

Each start is one attempt and has offsets of its own, normal with the stated standard deviation; lock-ins of "dead"
move nothing. The cosines are of the gradient of the loss as the loop reads it at its first and its last instant.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from gate_table import chip_bench

from analysis.gradients.path_check import check_path
from circuits.homodyne.engines import Twin
from inmateria import Experiment, HgeSettings, learn, loop_fields

OFFSETS_V = (0.2e-3, 5e-3, 50e-3)
"""Trimmed by hand, the data sheet's typical figure and its limit."""
CASES = {
    "plain, dither to 0.3": (False, 0.3),
    "chopped, dither to 0.3": (True, 0.3),
    "chopped, dither to 0.1": (True, 0.1),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chip", type=Path)
    parser.add_argument("--starts", type=int, default=24)
    parser.add_argument("--seed", type=int, default=31)
    parser.add_argument("--amplitude", type=float, default=0.02)
    options = parser.parse_args()
    bench = chip_bench(options.chip)
    task = bench.task("XOR")
    ideal = HgeSettings(amplitude_V=options.amplitude, restarts=1)
    rows = {"ideal parts": (ideal, 0.0), "dead": (replace(ideal, learning_rate=1e-9), 0.0)}
    for case, (chopped, to) in CASES.items():
        real = replace(ideal, chopped=chopped, dither_to=to, **loop_fields("macro"))
        rows |= {f"{1e3 * sigma:g} mV, {case}": (real, sigma) for sigma in OFFSETS_V}
    for name, (settings, sigma) in rows.items():
        passed, first, last = 0, [], []
        for start in range(options.starts):
            rng = np.random.default_rng([options.seed, start])
            offsets = sigma * np.random.default_rng([options.seed, start, 1]).standard_normal(len(bench.trained))
            errors = {f"mix{k}.offset": float(v) for k, v in enumerate(offsets)} if settings.parts else {}
            experiment = Experiment(bench, task, replace(settings, component_errors=errors))
            result = learn(experiment, rng=rng, engine="averaged")
            passed += result.success
            if settings.parts and start < 8 and result.attempts:
                attempt = result.attempts[0]
                cosines = check_path(experiment, attempt.loop, attempt.run, Twin(), samples=2).loss.cosines
                first.append(cosines[0])
                last.append(cosines[-1])
        told = f"  cosine {np.median(first):5.2f} at the start, {np.median(last):5.2f} at the end" if first else ""
        print(f"{name:32s} {passed:3d} of {options.starts} learned{told}", flush=True)


if __name__ == "__main__":
    main()
