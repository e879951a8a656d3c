"""Lock-in gradients of a device that is followed hole by hole in ngspice: their scatter and their mean.

    python docs/studies/kmc_in_the_loop.py run --out FOLDER --chunks 14       # live transients, 3 us each
    python docs/studies/kmc_in_the_loop.py still --out FOLDER --chunks 4      # its noise without dither
    python docs/studies/kmc_in_the_loop.py mean --out FOLDER --rounds 2       # its mean currents along the dither
    python docs/studies/kmc_in_the_loop.py table --out FOLDER --picture docs/images/kmc_in_the_loop.png

The first three add files to FOLDER, each with a seed of its own, and may run side by side; run again, they go on where
they stopped. `--acceptors 60` takes a smaller device.

Law to be checked, for a boxcar of whole common periods T and a one-sided density S of the output current:

    std(dI/dV_k) = sqrt(S(f_k)/T)/alpha.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from circuits.lockin.bank import LockInBank
from circuits.ngspice.engine import Engine
from dnpu_models.monte_carlo.model import KineticMonteCarlo
from dnpu_models.network.constants import ELEMENTARY_CHARGE
from dnpu_models.network.network import DopantNetwork
from inmateria import LockInSettings, plan_frequencies
from lockin.demodulate import demodulate_trace
from lockin.plan import DitherPlan
from lockin.theory import noise_variance

OUTPUT, TONES = 0, 4
SPACING_HZ, AMPLITUDE_V = 15e6, 0.02
TAU_S, SLOPE = 30e-9, 24
POINTS_PER_CYCLE = 24
SETTLING, PERIODS = 6, 40
"""Common periods of a transient that are left out, and those that are read: 13 time constants, and 2.7 us."""
PER_PERIOD = 16
DIFFERENCE_V = 0.5 * np.sqrt(3.0) * AMPLITUDE_V
"""Step of the finite difference: its curve is weighted over +-h as widely (h^2/3) as a sine's of 20 mV (alpha^2/4)."""
LENGTHS = (1, 2, 4)
"""Windows, in common periods."""


def device(acceptors: int) -> tuple[KineticMonteCarlo, np.ndarray]:
    """The preset's network and a setting with the output at 0 V."""
    volts = np.random.default_rng(1).uniform(-0.5, 0.5, 8)
    volts[OUTPUT] = 0.0
    return KineticMonteCarlo(DopantNetwork.random(seed=0, acceptors=acceptors)), volts


def tones() -> DitherPlan:
    """Four tones of 105 to 195 MHz on a Golomb ruler of 15 MHz, in one octave."""
    return plan_frequencies(TONES, None, SPACING_HZ, amplitude_V=AMPLITUDE_V)


def step_s(plan: DitherPlan) -> float:
    return 1.0 / (max(plan.frequencies_Hz) * POINTS_PER_CYCLE)


def run(model: KineticMonteCarlo, volts: np.ndarray, out: Path, chunks: int) -> None:
    """Live transients of the bank of lock-ins."""
    plan = tones()
    rest = -float(model.estimate(volts, seed=99, hops=100_000).value[OUTPUT])
    bank = LockInBank(
        model, OUTPUT, tuple(range(1, 1 + TONES)), volts, plan, LockInSettings(TAU_S, SLOPE), baseline_A=rest,
        points_per_cycle=POINTS_PER_CYCLE,
    )  # fmt: skip
    with Engine(timeout_s=1200) as engine:
        for seed in range(chunks):
            file = out / f"live{seed}.npz"
            if file.exists():
                continue
            found = bank.run(engine, (SETTLING + PERIODS) * plan.common_period_s, seed=1000 + seed)
            x = np.stack([found[f"v({block.node('x')})"] for block in bank.blocks])
            ohm = bank.transimpedance_ohm
            gains = 2.0 / (np.array(plan.amplitudes_V) * bank.gain * ohm)
            np.savez(file, t=found.time_s, current=found["v(tia)"] / ohm, signal=found["v(signal)"] / ohm,
                     device=found.device_A[:, OUTPUT], readings=gains[:, None] * x)  # fmt: skip


def still(model: KineticMonteCarlo, volts: np.ndarray, out: Path, chunks: int) -> None:
    """Records at frozen voltages, in the same steps."""
    plan = tones()
    h = step_s(plan)
    for seed in range(chunks):
        file = out / f"still{seed}.npz"
        if not file.exists():
            made = model.record(volts, seed=2000 + seed, step_s=h, steps=round(PERIODS * plan.common_period_s / h))
            np.savez(file, current=-made.currents_A[:, OUTPUT], step=h, hops=made.hops)


def mean(model: KineticMonteCarlo, volts: np.ndarray, out: Path, rounds: int) -> None:
    """Mean currents by rates, no circuit: along one common period of the dither, and a finite difference.

    The first give, at rest in each point, what an ideal lock-in reads of a device that is fast (`lockin.averages`).
    """
    plan = tones()
    multiples = np.array(plan.multiples)
    total = PER_PERIOD * int(multiples.max())
    sines = np.sin(2 * np.pi * np.arange(total)[:, None] * multiples / total)
    path = np.tile(volts, (total, 1))
    path[:, 1 : 1 + TONES] += AMPLITUDE_V * sines
    ends = volts + DIFFERENCE_V * np.concatenate([np.eye(8)[1 : 1 + TONES], -np.eye(8)[1 : 1 + TONES]])
    for seed in range(rounds):
        file = out / f"mean{seed}.npz"
        if not file.exists():
            along = model.estimate(path, seed=3000 + seed, hops=100_000)
            at = model.estimate(ends, seed=4000 + seed, hops=1_500_000)
            np.savez(
                file, sines=sines, along=-along.value[:, OUTPUT], along_stderr=along.stderr[:, OUTPUT],
                ends=-at.value[:, OUTPUT], ends_stderr=at.stderr[:, OUTPUT],
            )  # fmt: skip


# -- reading what was made -------------------------------------------------------------------------------------------


def loaded(out: Path, name: str) -> list[dict[str, np.ndarray]]:
    return [dict(np.load(file)) for file in sorted(out.glob(f"{name}*.npz"))]


def spectrum(records: list[np.ndarray], h: float, length: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Frequencies, one-sided density of each window of `length` steps averaged, and how many windows."""
    parts = np.concatenate([record[: record.size // length * length].reshape(-1, length) for record in records])
    waves = np.fft.rfft(parts - parts.mean(axis=1, keepdims=True), axis=1)
    return np.fft.rfftfreq(length, h), 2 * h / length * (np.abs(waves) ** 2).mean(axis=0), len(parts)


def near(at: np.ndarray, density: np.ndarray, windows: int, f: float, off_lines: bool) -> tuple[float, float]:
    """Density within 30 MHz of a tone and its relative error; off all lines, which lie on multiples of the spacing."""
    chosen = np.abs(at - f) < 30.1e6
    if off_lines:
        chosen &= np.abs(at / SPACING_HZ - np.round(at / SPACING_HZ)) > 1e-6
    return float(density[chosen].mean()), float(1 / np.sqrt(windows * chosen.sum()))


def boxcars(live: list[dict[str, np.ndarray]], plan: DitherPlan, h: float) -> np.ndarray:
    """Complex readings over each common period, S, (chunks, periods, tones): in phase, and in quadrature."""
    f, period = np.array(plan.frequencies_Hz), round(plan.common_period_s / h)
    read = []
    for chunk in live:
        if np.abs(chunk["t"] - h * np.arange(1, len(chunk["t"]) + 1)).max() > 1e-6 * h:
            raise SystemExit("the time-points do not stand evenly")
        # the circuit has at a point the mean over the step that leads there: known best as of the step's middle;
        # the device gets voltages in straight lines from point to point (sinc^2) and returns means (sinc)
        middle = chunk["t"] - 0.5 * h
        mixed = chunk["current"][:, None] * 2j * np.exp(-2j * np.pi * middle[:, None] * f)
        mixed /= np.array(plan.amplitudes_V) * np.sinc(f * h) ** 3
        read.append(mixed.reshape(-1, period, plan.n).mean(axis=1)[SETTLING:])
    return np.array(read)


def joined(read: np.ndarray, count: int) -> np.ndarray:
    """Means over `count` neighbouring windows, (windows, tones); none reaches over two transients."""
    chunks, periods, n = read.shape
    return read.reshape(chunks, periods // count, count, n).mean(axis=2).reshape(-1, n)


def filtered(live: list[dict[str, np.ndarray]], plan: DitherPlan, h: float) -> tuple[np.ndarray, np.ndarray]:
    """Readings of the netlist's lock-ins and of digital ones of the same setting, S, (2, chunks, points, tones).

    The droop is known: the sinc of `boxcars`, and the reference that is half a step ahead of the mean.
    """
    f = np.array(plan.frequencies_Hz)
    droop = np.sinc(f * h) ** 3 * np.cos(np.pi * f * h)
    settings, both = LockInSettings(TAU_S, SLOPE), []
    for chunk in live:
        digital = np.stack([demodulate_trace(settings, tone, chunk["t"], chunk["signal"])[0] for tone in f])
        digital *= np.sqrt(2.0) / np.array(plan.amplitudes_V)[:, None]
        first = round(SETTLING * plan.common_period_s / h)
        both.append(np.stack([chunk["readings"], digital])[:, :, first:].transpose(0, 2, 1) / droop)
    return np.array(both).transpose(1, 0, 2, 3), droop


def table(out: Path, picture: Path | None) -> None:
    plan = tones()
    h, f, alpha = step_s(plan), np.array(plan.frequencies_Hz), AMPLITUDE_V
    live, records = loaded(out, "live"), loaded(out, "still")
    read = boxcars(live, plan, h)
    period, common = round(plan.common_period_s / h), plan.common_period_s
    skip = SETTLING * period
    quiet = spectrum([r["current"] for r in records], h, 4 * period)
    loud = spectrum([r["current"][skip:] for r in live], h, 4 * period)
    rest = np.mean([r["current"].mean() for r in records])
    density, error = np.array([near(*quiet, tone, False) for tone in f]).T
    beside, beside_error = np.array([near(*loud, tone, True) for tone in f]).T
    print(f"{len(live)} transients, {read.shape[0] * read.shape[1] * common * 1e6:.2f} us read; noise without dither "
          f"from {sum(r['current'].size for r in records) * h * 1e6:.2f} us at {1e9 * rest:.2f} nA")  # fmt: skip
    print("tone MHz    S without dither, 1e-27 A^2/Hz   S/2eI   between the lines of the live record")
    for k in range(plan.n):
        print(f"{f[k] / 1e6:8.0f}{1e27 * density[k]:14.3f} +-{100 * error[k]:.1f} %"
              f"{density[k] / (2 * ELEMENTARY_CHARGE * abs(rest)):17.3f}"
              f"{1e27 * beside[k]:14.3f} +-{100 * beside_error[k]:.1f} %")  # fmt: skip
    print("\nstandard deviation of the gradients, nA/V: measured, sqrt(S/T)/alpha, their ratio +- 1/sqrt(2 (n - 1))")
    spread, law = [], []
    for count in LENGTHS:
        some = joined(read, count).real
        n = len(some)
        spread.append(some.std(axis=0, ddof=1))
        law.append(np.sqrt(density / (count * common)) / alpha)
        ratio = spread[-1] / law[-1]
        cells = "   ".join(f"{1e9 * s:6.2f} {1e9 * w:6.2f} {r:6.3f}" for s, w, r in zip(spread[-1], law[-1], ratio,
                                                                                      strict=True))  # fmt: skip
        pooled = np.sqrt(np.mean(ratio**2))
        print(f"T = {1e9 * count * common:5.1f} ns, n = {n:4d}: {cells}   +-{1 / np.sqrt(2 * (n - 1)):.3f}; "
              f"all tones {pooled:.3f} +-{1 / np.sqrt(2 * plan.n * (n - 1)):.3f}")  # fmt: skip
    pooled_log = [float(np.mean(np.log(s))) for s in spread]
    slope = np.polyfit(np.log(LENGTHS), pooled_log, 1)[0]
    n = read.shape[0] * read.shape[1] * plan.n
    # nested windows: ln s at count c has the variance c/2n, and the same 1/2n as the shortest in common with it
    lengths = np.array(LENGTHS)
    weights = np.log(lengths) - np.log(lengths).mean()
    weights /= (weights**2).sum()
    covariance = np.minimum.outer(lengths, lengths) / (2 * n)
    print(f"exponent of T: {slope:.3f} +-{np.sqrt(weights @ covariance @ weights):.3f}, by the law -0.5")
    shortest = read.real - read.real.mean(axis=(0, 1))
    after = (shortest[:, 1:] * shortest[:, :-1]).mean(axis=(0, 1)) / (shortest**2).mean(axis=(0, 1))
    print(f"correlation of neighbouring windows: {np.round(after, 3)} +-{1 / np.sqrt(n / plan.n):.3f}")

    total = read.shape[0] * read.shape[1]
    means, errors = read.mean(axis=(0, 1)), read.real.std(axis=(0, 1), ddof=1) / np.sqrt(total)
    rounds = loaded(out, "mean")
    sines = rounds[0]["sines"]
    along = np.mean([r["along"] for r in rounds], axis=0)
    along_error = np.sqrt(np.mean([r["along_stderr"] ** 2 for r in rounds], axis=0) / len(rounds))
    mixed = 2 / alpha * (along @ sines) / len(sines)
    mixed_error = 2 / alpha * np.sqrt((along_error**2) @ sines**2) / len(sines)
    ends = np.mean([r["ends"] for r in rounds], axis=0).reshape(2, -1)
    ends_error = np.sqrt(np.mean([r["ends_stderr"] ** 2 for r in rounds], axis=0) / len(rounds)).reshape(2, -1)
    quotient = (ends[0] - ends[1]) / (2 * DIFFERENCE_V)
    quotient_error = np.hypot(*ends_error) / (2 * DIFFERENCE_V)
    print("\nmean gradients, nA/V, and z: live; in quadrature; mean currents along the dither; finite difference of "
          f"+-{1e3 * DIFFERENCE_V:.1f} mV")  # fmt: skip
    for k in range(plan.n):
        z = [(means[k].real - g[k]) / np.hypot(errors[k], e[k])
             for g, e in ((mixed, mixed_error), (quotient, quotient_error))]  # fmt: skip
        print(f"{f[k] / 1e6:5.0f} MHz: {1e9 * means[k].real:7.2f} +-{1e9 * errors[k]:.2f}   "
              f"{1e9 * means[k].imag:6.2f}   {1e9 * mixed[k]:7.2f} +-{1e9 * mixed_error[k]:.2f}   z {z[0]:5.2f}   "
              f"{1e9 * quotient[k]:7.2f} +-{1e9 * quotient_error[k]:.2f}   z {z[1]:5.2f}")  # fmt: skip

    both, droop = filtered(live, plan, h)
    whole = both.mean(axis=(1, 2))
    apart = both[:, :, 4 * period - 1 :: 4 * period]  # 9 time constants apart: independent
    scatter = (apart - apart.mean(axis=(1, 2), keepdims=True)).std(axis=(1, 2), ddof=0)
    n = apart.shape[1] * apart.shape[2]
    scatter *= np.sqrt(n / (n - 1))
    wanted = np.sqrt(noise_variance(LockInSettings(TAU_S, SLOPE), density, np.full(plan.n, alpha)))
    print(f"\n{1e9 * TAU_S:.0f} ns, {SLOPE} dB/oct: mean of netlist, of digital filter, of windows; std of both "
          f"at {n} times, sqrt(2 S ENBW)/alpha; rms of netlist less digital (nA/V)")  # fmt: skip
    for k in range(plan.n):
        difference = np.sqrt(np.mean((both[0, :, :, k] - both[1, :, :, k]) ** 2))
        print(f"{f[k] / 1e6:5.0f} MHz: {1e9 * whole[0, k]:8.3f} {1e9 * whole[1, k]:8.3f} {1e9 * means[k].real:8.3f}   "
              f"{1e9 * scatter[0, k]:6.3f} {1e9 * scatter[1, k]:6.3f} {1e9 * wanted[k]:6.3f}   {1e9 * difference:.1e}"
              f"   droop taken out {100 * (1 - droop[k]):.2f} %")  # fmt: skip
    ratio = float(np.sqrt(np.mean((scatter[0] / wanted) ** 2)))
    print(f"netlist's std over the law, all tones: {ratio:.3f} +-{1 / np.sqrt(2 * plan.n * (n - 1)):.3f}")
    if picture is not None:
        draw(picture, plan, np.array(spread), density, joined(read, 1).shape[0], quiet, loud)


def draw(picture: Path, plan: DitherPlan, spread: np.ndarray, density: np.ndarray, windows: int,
         quiet: Any, loud: Any) -> None:  # fmt: skip
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    times = np.array(LENGTHS) * plan.common_period_s
    line = np.geomspace(0.8 * times[0], 1.25 * times[-1], 20)
    for k, f in enumerate(plan.frequencies_Hz):
        errors = spread[:, k] / np.sqrt(2 * (windows / np.array(LENGTHS) - 1))
        left.errorbar(1e9 * times, 1e9 * spread[:, k], 1e9 * errors, fmt="osD^"[k], color=f"C{k}", ms=4, capsize=2,
                      label=f"{f / 1e6:.0f} MHz")  # fmt: skip
        left.plot(1e9 * line, 1e9 * np.sqrt(density[k] / line) / AMPLITUDE_V, color=f"C{k}", lw=0.8)
    left.set(xscale="log", yscale="log", xlabel="T (ns)", ylabel="standard deviation of dI/dV (nA/V)")
    left.set_xticks(1e9 * times, [f"{1e9 * t:.0f}" for t in times])
    left.set_yticks([8, 10, 15, 20], ["8", "10", "15", "20"])
    left.minorticks_off()
    left.legend(fontsize=8, title="lines: sqrt(S/T)/alpha", title_fontsize=8)
    right.semilogy(loud[0][1:] / 1e6, loud[1][1:], "C1", lw=0.8, label="live, with dither")
    right.semilogy(quiet[0][1:] / 1e6, quiet[1][1:], "k", lw=0.8, label="without dither")
    right.set(xlim=(0, 420), xlabel="frequency (MHz)", ylabel="S of the output (A$^2$/Hz)")
    right.legend(fontsize=8)
    figure.savefig(picture, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "still", "mean", "table"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--acceptors", type=int, default=200)
    parser.add_argument("--chunks", type=int, default=14)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--picture", type=Path)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    model, volts = device(given.acceptors)
    if given.what == "run":
        run(model, volts, given.out, given.chunks)
    elif given.what == "still":
        still(model, volts, given.out, given.chunks)
    elif given.what == "mean":
        mean(model, volts, given.out, given.rounds)
    else:
        table(given.out, given.picture)


if __name__ == "__main__":
    main()
