"""Expected squared error of a derivative against the tones' spacing, in parallel and one after the other.

    python docs/studies/spacing_error.py --picture docs/images/spacing_error.png

After figure 3 of Boon et al., Nature Communications (2025), doi 10.1038/s41467-025-65155-7: a channel 1, 2.05 and 20
times weaker than its neighbours, noise 1e-5 nA^2/Hz, 0.1 s a point. The device is linear and seven tones stand at equal
distances; the middle one is read. In the closed form the other tones' phases are random:

    MSE = sum_j (alpha_j g_j / alpha_k)^2 (|F(f_j - f_k)|^2 + |F(f_j + f_k)|^2) / 2 + 2 S ENBW / alpha_k^2

One after the other each channel has a seventh of the time, so seven times the bandwidth, and no neighbours.
The simulation demodulates records with random phases and white noise, sample by sample.
"""

import argparse
from pathlib import Path

import numpy as np

from inmateria import DitherPlan, LockInSettings
from lockin.demodulate import gradient
from lockin.filter_response import filtered_tone, noise_bandwidth_Hz

N, TIME_S, AMPLITUDE_V, SLOPE = 7, 0.1, 0.02, 5.0  # nA/V of the neighbours
PSD = 1e-5  # nA^2/Hz
SPACINGS = np.array([2.0, 5.0, 8.0, 10.0, 15.0, 20.0, 30.0, 40.0, 70.0, 100.0])
FIRST_HZ = 1000.0


def filters(time_s: float) -> dict[str, LockInSettings]:
    """Boxcar and Hann over the time; four RC poles settled to 99 % in it."""
    return {
        "boxcar": LockInSettings(time_s, window="boxcar"),
        "RC, 24 dB/oct": LockInSettings(time_s / 10.05, 24),
        "Hann": LockInSettings(time_s, window="hann"),
    }


def expected(settings: LockInSettings, time_s: float, tones: np.ndarray, slopes: np.ndarray) -> float:
    """Closed form of the middle channel's squared error, (nA/V)^2."""
    k = tones.size // 2
    others = np.arange(tones.size) != k
    seen = [np.abs(filtered_tone(settings, tones + sign * tones[k], time_s)) ** 2 for sign in (-1, 1)]
    crosstalk = 0.5 * np.sum((slopes**2 * (seen[0] + seen[1]))[others])
    own = slopes[k] ** 2 * ((1.0 - abs(filtered_tone(settings, 0.0, time_s))) ** 2 + 0.5 * seen[1][k])
    return float(crosstalk + own + 2.0 * PSD * noise_bandwidth_Hz(settings, time_s) / AMPLITUDE_V**2)


def simulated(
    settings: LockInSettings, time_s: float, tones: np.ndarray, slopes: np.ndarray, records: int, seed: int
) -> float:
    """The same from demodulated records."""
    rng, k = np.random.default_rng(seed), tones.size // 2
    steps = int(np.ceil(10 * tones.max() * time_s))
    t = np.linspace(0.0, time_s, steps + 1)
    errors = []
    for _ in range(records):
        plan = DitherPlan(tuple(tones), (AMPLITUDE_V,) * tones.size, tuple(rng.uniform(0, 2 * np.pi, tones.size)))
        record = slopes @ plan.waveform(t) + np.sqrt(0.5 * PSD * steps / time_s) * rng.normal(size=t.size)
        errors.append(gradient(plan, t, record, settings)[k] - slopes[k])
    return float(np.mean(np.square(errors)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=200)
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    curves, worst = {}, []
    print(
        "weaker  filter           MSE over derivative^2 at spacing: "
        + "  ".join(f"{s:g} Hz" for s in SPACINGS)
        + "; one by one"
    )
    for weaker in (1.0, 2.05, 20.0):
        slopes = np.full(N, SLOPE)
        slopes[N // 2] /= weaker
        for name, settings in filters(TIME_S).items():
            rows = []
            for spacing in SPACINGS:
                tones = FIRST_HZ + spacing * np.arange(N)
                own = slopes[N // 2] ** 2
                theory = expected(settings, TIME_S, tones, slopes) / own
                seed = int(1000 * weaker + 10 * spacing)
                found = simulated(settings, TIME_S, tones, slopes, options.records, seed) / own
                rows.append((theory, found))
                worst.append(found / theory)
            shorter = filters(TIME_S / N)[name]
            one = expected(shorter, TIME_S / N, np.array([FIRST_HZ]), slopes[N // 2 : N // 2 + 1]) / slopes[N // 2] ** 2
            curves[weaker, name] = np.array(rows), one
            print(f"{weaker:5g}   {name:14s}   " + "  ".join(f"{a:.3g} ({b:.3g})" for a, b in rows) + f"; {one:.3g}",
                  flush=True)  # fmt: skip
    spread = np.sqrt(2.0 / options.records)
    print(f"simulation (in brackets) over closed form: {min(worst):.3f} to {max(worst):.3f}; "
          f"means of {options.records} squares of normal numbers scatter by {spread:.2f}")  # fmt: skip
    if options.picture:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(10.5, 4.0), layout="constrained")
        for axes, weaker in zip(figure.subplots(1, 3, sharey=True), (1.0, 2.05, 20.0), strict=True):
            for name, colour in zip(filters(1.0), ("#0072B2", "#D55E00", "#009E73"), strict=True):
                table, alone = curves[weaker, name]
                slopes = np.full(N, SLOPE)
                slopes[N // 2] /= weaker
                fine = np.geomspace(SPACINGS[0], SPACINGS[-1], 300)
                curve = [
                    expected(filters(TIME_S)[name], TIME_S, FIRST_HZ + s * np.arange(N), slopes) / slopes[N // 2] ** 2
                    for s in fine
                ]
                axes.loglog(fine, curve, "-", color=colour, lw=1.0, label=f"{name}, parallel")
                axes.loglog(SPACINGS, table[:, 1], "o", ms=4, color=colour)
                axes.axhline(alone, ls=":", color=colour, label=f"{name}, one by one")
            axes.set_title(f"{weaker:g} times weaker than its neighbours")
            axes.set_xlabel("spacing (Hz)")
        figure.axes[0].set_ylabel("expected squared error / derivative^2")
        figure.axes[0].legend(fontsize=7)
        figure.savefig(options.picture, dpi=130)


if __name__ == "__main__":
    main()
