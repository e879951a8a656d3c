"""XOR on the default device with electronics of several levels, from the same starts.

python docs/studies/levels_table.py --restarts 3

"Before" is the start, found by slopes among settings that do not fulfil the task yet, as the circuit measures it with
the dither off.
"""

import argparse

import numpy as np

from inmateria import Experiment, HgeSettings, default_bench, learn, loop_fields

TRIMMED = {
    "mixer": {"offset": 1e-4, "xfeed": 1e-4},
    "squared_error": {"offset": 1e-4},
    "transimpedance": {"vos": 3e-5},
}
ELECTRONICS = {
    "ideal": (0.01, loop_fields("ideal")),
    "macro, 30 mV": (0.03, loop_fields("macro")),
    "macro, trimmed": (0.01, loop_fields("macro", trimmed=TRIMMED)),
    "macro": (0.01, loop_fields("macro")),
    "macro, mixers of transistors, 30 mV": (0.03, loop_fields("macro", mixer="transistor")),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gate", default="XOR")
    parser.add_argument("--restarts", type=int, default=3)
    parser.add_argument("--only", choices=list(ELECTRONICS), help="one row")
    options = parser.parse_args()
    bench = default_bench(0)
    task = bench.task(options.gate)
    for name, (amplitude, fields) in ELECTRONICS.items():
        if options.only not in (None, name):
            continue
        settings = HgeSettings(amplitude_V=amplitude, restarts=options.restarts, **fields)
        result = learn(Experiment(bench, task, settings), rng=np.random.default_rng([0, 4, 0]), take_found=False)
        first, best = result.best.initial, result.best.final
        microseconds = [1e6 * a.run.statistics["seconds"] / a.run.statistics["points"] for a in result.attempts]
        print(
            f"{name:36s} {1e3 * amplitude:3.0f} mV  {'learned' if result.success else 'not learned':11s} "
            f"attempts {len(result.attempts)}  margin before {first.quality:5.2f}, after {best.quality:5.2f}  "
            f"separation {1e9 * first.separation_A:5.2f}, {1e9 * best.separation_A:5.2f} nA  "
            f"{np.median(microseconds):4.0f} us a point",
            flush=True,
        )


if __name__ == "__main__":
    main()
