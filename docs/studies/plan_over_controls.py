"""What `plan` makes of 5 to 400 controls: time, band and amplitude for an error of 10 %, and the error in a fixed time.

    python docs/studies/plan_over_controls.py

The devices are those of scaling_over_controls.py; noise 1e-5 nA^2/Hz. With a boxcar, and with 24 dB/octave in a band
up to 1 MHz.
"""

import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from scaling_over_controls import BAND_HZ, CONTROLS, PSD, network, one_device

from analysis.gradients.planner import GradientRequirements, plan

LIMIT_V = 0.2


def main() -> None:
    print("device       n  filter    time, s    top tone, Hz   alpha, mV   error   largest term   planning, s")
    for name, make in (("one device", one_device), ("network", network)):
        for n in CONTROLS:
            _, gradient = make(n, np.random.default_rng([n, 0]))
            for filters, band in ((("boxcar",), None), (("24",), (0.0, BAND_HZ))):
                begin = time.perf_counter()
                need = GradientRequirements(
                    gradient, np.zeros((1, n)), range(n), 0.1, PSD, LIMIT_V, filters=filters, band_Hz=band, share=None
                )
                found = plan(need)
                print(
                    f"{name:10s} {n:4d}  {filters[0]:6s} {found.time_s:10.4g} {found.band_Hz[1]:14.4g} "
                    f"{1e3 * np.mean(found.dither.amplitudes_V):10.2f} {found.error:9.3f}   {found.binding:12s} "
                    f"{time.perf_counter() - begin:8.1f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
