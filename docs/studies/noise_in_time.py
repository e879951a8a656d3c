"""The spectrum of noise in transients against ngspice's ``.noise``, decade by decade.

A resistor divider, a Sallen-Key filter of macro op-amps, a Gilbert cell of transistors and a differential pair in
GF180MCU with flicker noise: each in a transient with the noise of its own elements, as `noise_at_operating_point` makes
it. Told is ten times the logarithm of the record's power in each decade over that of ``.noise``, dB, with the standard
deviation that so many frequencies leave. Then the scatter of at least so many readings of noisy circuits of macro
parts, a bank of lock-ins and an opened learning loop on output and loss, over that of the error budget.
Run as ``python docs/studies/noise_in_time.py [--points 1000000] [--readings 200]``.
"""

from __future__ import annotations

import argparse
import itertools

import numpy as np

from analysis.gradients.bank_check import check_bank
from analysis.gradients.loop_budget import predict_loop
from circuits.homodyne.engines import Ngspice
from circuits.homodyne.readings import gradient
from circuits.lockin.bank import LockInBank
from circuits.ngspice.engine import OPTIONS, Engine
from circuits.noise.circuit_noise import noise_at_operating_point
from circuits.parts.levels import loop_fields
from inmateria import default_bench
from learning.homodyne.experiment import Experiment, middle_loop
from learning.homodyne.gradients import adjoint, probe_loop
from learning.homodyne.settings import HgeSettings
from lockin.settings import LockInSettings
from netlists.foundries import foundry_models
from netlists.reader import library, load_part, needed

STEP_S = {"divider": 1e-6, "op-amp filter": 2e-6, "Gilbert cell": 1e-8, "GF180 pair": 1e-7}


def circuits() -> dict[str, tuple[str, str]]:
    """Circuit and output of each."""
    gf = foundry_models("gf180mcu")
    filter_part, mixer = load_part("lowpass_sallen_key", "macro"), load_part("mixer", "transistor")
    return {
        "divider": ("divider\nVin in 0 DC 1 AC 1\nR1 in out 10k\nR2 out 0 30k\nC1 out 0 100p\n", "out"),
        "op-amp filter": (
            f"filter\n{library(needed([filter_part]))}\nVin in 0 DC 0 AC 1\n"
            + filter_part.instance("1", {"in": "in", "out": "out"}, f0=1e4, q=0.7071),
            "out",
        ),
        "Gilbert cell": (
            f"Gilbert cell\n{library(needed([mixer]))}\nVin a 0 DC 0.3 AC 1\nVb b 0 DC 1\nC1 X1.o1 X1.o2 20p\n"
            + mixer.instance("1", {"a": "a", "b": "b", "out": "out"}),
            "out",
        ),
        "GF180 pair": (
            f"pair\n.include {gf}/design.ngspice\n.lib {gf}/sm141064.ngspice typical\nVdd vdd 0 3.3\n"
            "Vin inp 0 DC 1.6 AC 1\nVn inn 0 DC 1.6\nIt tail 0 20u\nX1 a inp tail 0 nfet_03v3 W=10u L=0.5u\n"
            "X2 out inn tail 0 nfet_03v3 W=10u L=0.5u\nX3 a a vdd vdd pfet_03v3 W=10u L=0.5u\n"
            "X4 out a vdd vdd pfet_03v3 W=10u L=0.5u\nCl out 0 1p\n",
            "out",
        ),
    }


def spectrum(values: np.ndarray, step_s: float) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies (Hz) and one-sided density of a record on even steps, by a Hann window's periodogram."""
    window = np.hanning(len(values))
    power = np.abs(np.fft.rfft((values - values.mean()) * window)) ** 2 * 2.0 * step_s / np.sum(window**2)
    return np.fft.rfftfreq(len(values), step_s), power


def bank_readings(engine: Engine, readings: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Readings of a bank of macro lock-ins, S, (runs, controls), and their deviation in the budget."""
    bench = default_bench()
    volts = bench.terminal_voltages(np.full(len(bench.trained), 0.05), (0.1, 0.1))
    rest = float(bench.currents_A(np.full(len(bench.trained), 0.05), (0.1, 0.1)))
    bank = LockInBank(
        bench.device, bench.output, bench.trained, volts, bench.plan(0.02), LockInSettings(0.01, 18), level="macro",
        baseline_A=rest, points_per_cycle=12,
    )  # fmt: skip
    runs = -(-readings // len(bench.trained))
    check = check_bank(bank, engine, 0.15, seeds=tuple(range(seed, seed + runs)), noise=True)
    return check.measured, check.budget.noise


def loop_readings(engine: Engine, readings: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Readings of an opened loop of macro parts, S, (runs, controls), and their predicted deviation."""
    bench = default_bench()
    settings = HgeSettings(electronics_noise=True, **loop_fields("macro"))
    point = np.full(len(bench.trained), 0.05)
    loop = probe_loop(bench, point, 0.02, (0.1, 0.1), like=settings, points_per_cycle=12)
    exact = np.asarray(adjoint(bench, point, (0.1, 0.1)))
    budget = predict_loop(bench, loop, exact, Ngspice(engine), device_A2_per_Hz=0.0)
    runs = -(-readings // len(bench.trained))
    found = [gradient(loop, Ngspice(engine).run(loop, seed=k)) for k in range(seed, seed + runs)]
    return np.stack(found) / loop.stage.transimpedance_ohm, budget.noise


def loss_readings(engine: Engine, readings: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The same of the gradient of AND's loss over its four patterns, V/V."""
    bench = default_bench()
    experiment = Experiment(bench, bench.task("AND"), HgeSettings(electronics_noise=True, **loop_fields("macro")))
    loop = middle_loop(experiment)
    opened = loop.opened(loop.start_V, 0.02, "loss", 12.0)
    budget = predict_loop(bench, opened, np.zeros(loop.dither.n), Ngspice(engine), device_A2_per_Hz=0.0)
    runs = -(-readings // len(bench.trained))
    found = [gradient(opened, Ngspice(engine).run(opened, seed=k)) for k in range(seed, seed + runs)]
    return np.stack(found), budget.noise


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--readings", type=int, default=200)
    parser.add_argument("--only")
    asked = parser.parse_args()
    with Engine() as engine:
        for name, (circuit, output) in circuits().items():
            if asked.only and asked.only != name:
                continue
            step = STEP_S[name]
            stop = asked.points * step
            # The steps may begin away from the operating point: a tenth of the record is left out.
            noise = noise_at_operating_point(engine, circuit, band_Hz=(1.0 / stop, 0.5 / step))
            run = engine.transient(
                f"{circuit}\n{OPTIONS}", stop_s=stop, max_step_s=step, save=[f"v({output})"], noise=noise,
                grids_s=[(0.0, stop, asked.points)], seed=asked.seed,
            )  # fmt: skip
            low, high = 100.0 / stop, 0.05 / step
            source = next(word for word in circuit.split() if word.lower().startswith("vin"))
            exact = engine.run(f"{circuit}\n.noise v({output}) {source} dec 50 {low!r} {high!r}\n.end\n")
            f, power = spectrum(run[f"v({output})"][asked.points // 10 :], step)
            print(
                f"{name}: {len(noise.sources)} sources, {run.statistics['seconds'] / asked.points * 1e6:.3g} us a point"
            )
            edges = 10.0 ** np.arange(np.ceil(np.log10(low)), np.log10(high) + 1e-9)
            for begin, end in itertools.pairwise(edges):
                inside = (f >= begin) & (f < end)
                theirs = np.interp(np.log(f[inside]), np.log(exact["frequency"]), exact["onoise_spectrum"]) ** 2
                ratio = power[inside] / theirs
                spread = (
                    10 / np.log(10) * np.sqrt(35.0 / 18.0 / inside.sum())
                )  # neighbours of a Hann window are correlated
                print(f"  {begin:8.3g} to {end:8.3g} Hz: {10 * np.log10(ratio.mean()):+.3f} dB +- {spread:.3f}")
        for name, reader in {"bank": bank_readings, "loop": loop_readings, "loss": loss_readings}.items():
            if asked.only and asked.only != name:
                continue
            measured, predicted = reader(engine, asked.readings, asked.seed)
            ratio = np.sqrt(np.mean(np.var(measured, axis=0, ddof=1) / predicted**2))
            spread = ratio / np.sqrt(2.0 * measured.size)
            print(f"{name}: {measured.size} readings, scatter over the budget's {ratio:.3f} +- {spread:.3f}")


if __name__ == "__main__":
    main()
