"""Time to a gradient of the same error: all controls dithered at once against finite differences one at a time.

    python docs/studies/scaling_over_controls.py --picture docs/images/scaling_over_controls.png

Two synthetic devices with n controls, smooth over 0.1 V like a mean field: "one device", in which all controls act
on all of it (a layer of tanh units with random weights, all cross curvatures there), and "a network" of n/5 such
devices of five controls whose currents add. Both methods get the same bias (5 % of the gradient, from the step or the
dither) and the same noise error (5 %), so each finds its own amplitude first:

    dither       T = n S / (alpha^2 e^2 |g|^2), and no less than the plan's own period, (2 L + 1)/B for tones on a
                 Golomb ruler of length L within a band up to B
    differences  2 n (T_1 + t_s), T_1 = n S / (4 h^2 e^2 |g|^2), t_s the settling after each step

Both are then simulated, noise sample by sample, and the errors measured.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from scipy.optimize import brentq

from inmateria import DitherPlan
from lockin.rulers import golomb_ruler

PSD = 1e-5  # nA^2/Hz
BIAS, NOISE = 0.05, 0.05
BAND_HZ = 1e6
SETTLING_S = 1e-3
SCALE_V = 0.1
CONTROLS = (5, 20, 100, 400)
SAMPLES = 256

Device = tuple[Callable[[np.ndarray], np.ndarray], Callable[[np.ndarray], np.ndarray]]


def one_device(n: int, rng: np.random.Generator, units: int = 40) -> Device:
    """y = sum_u a_u tanh(w_u V + b_u) and its gradient, for (m, n) settings; slopes of some nA/V each."""
    w = rng.normal(size=(units, n)) / (SCALE_V * 2.0)
    a, b = rng.normal(size=units) * 2.0 / np.sqrt(units), rng.normal(size=units)

    def value(v: np.ndarray) -> np.ndarray:
        return np.asarray(np.tanh(v @ w.T + b) @ a)

    def gradient(v: np.ndarray) -> np.ndarray:
        return np.asarray((a / np.cosh(v @ w.T + b) ** 2) @ w)

    return value, gradient


def network(n: int, rng: np.random.Generator) -> Device:
    """n/5 devices of five controls each; their currents add."""
    parts = [one_device(5, rng) for _ in range(n // 5)]

    def value(v: np.ndarray) -> np.ndarray:
        return np.asarray(sum(part[0](v[:, 5 * k : 5 * k + 5]) for k, part in enumerate(parts)))

    def gradient(v: np.ndarray) -> np.ndarray:
        return np.concatenate([part[1](v[:, 5 * k : 5 * k + 5]) for k, part in enumerate(parts)], axis=1)

    return value, gradient


def dither_bias(device: Device, n: int, alpha: float, seed: int) -> float:
    """Averaged less exact gradient, relative: <2 cos^2 (g(V + d) - g(V))> over pairs of phases."""
    turns = np.random.default_rng(seed).uniform(0.0, 2 * np.pi, (SAMPLES, n))
    turns = np.concatenate([turns, turns + np.pi])
    exact = device[1](np.zeros((1, n)))[0]
    averaged = np.mean(2 * np.cos(turns) ** 2 * (device[1](alpha * np.sin(turns)) - exact), axis=0)
    return float(np.linalg.norm(averaged) / np.linalg.norm(exact))


def step_bias(device: Device, n: int, h: float) -> float:
    """Central difference less gradient, relative."""
    steps = h * np.eye(n)
    exact = device[1](np.zeros((1, n)))[0]
    return float(np.linalg.norm((device[0](steps) - device[0](-steps)) / (2 * h) - exact) / np.linalg.norm(exact))


def amplitude(bias: Callable[[float], float]) -> float:
    """The amplitude of the wanted bias, V."""
    log = brentq(lambda x: np.log(bias(np.exp(x)) / BIAS), np.log(1e-6), np.log(0.5), xtol=1e-3)
    return float(np.exp(log))


def measured_dither(device: Device, n: int, alpha: float, time_s: float, rng: np.random.Generator) -> float:
    """Error of one reading over whole periods of tones on a Golomb ruler, relative; noise sample by sample."""
    ruler = np.array(golomb_ruler(n))
    plan = DitherPlan(tuple((ruler + ruler[-1] + 1.0) / time_s), (alpha,) * n)  # spacing 1/T
    steps = 4 * (2 * int(ruler[-1]) + 1)  # products up to the third order do not fold onto a tone
    sums = np.zeros(n)
    for start in range(0, steps, 4096):
        part = np.arange(start, min(start + 4096, steps))
        sines = np.sin(2 * np.pi * (part[:, None] * np.array(plan.multiples)[None, :] % steps) / steps)
        values = device[0](alpha * sines) + np.sqrt(0.5 * PSD * steps / time_s) * rng.normal(size=part.size)
        sums += values @ sines
    exact = device[1](np.zeros((1, n)))[0]
    return float(np.linalg.norm(2.0 / alpha * sums / steps - exact) / np.linalg.norm(exact))


def measured_differences(device: Device, n: int, h: float, each_s: float, rng: np.random.Generator) -> float:
    """Error of one set of central differences, relative: each of the 2 n outputs is a mean over `each_s`."""
    steps = h * np.eye(n)
    noise = np.sqrt(0.5 * PSD / each_s) * rng.normal(size=(2, n))
    exact = device[1](np.zeros((1, n)))[0]
    found = (device[0](steps) + noise[0] - device[0](-steps) - noise[1]) / (2 * h)
    return float(np.linalg.norm(found - exact) / np.linalg.norm(exact))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=5, help="random devices of each size")
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    print(f"bias {BIAS:.0%}, noise {NOISE:.0%}, S {PSD:g} nA^2/Hz, band {BAND_HZ:g} Hz, settling {SETTLING_S:g} s; "
          f"medians over {options.devices} devices")  # fmt: skip
    print("device       n   alpha, mV   h, mV   top tone at T, Hz   T dither, s   (noise alone)   2n(T_1 + t_s), s   "
          "ratio   error dither   differences")  # fmt: skip
    curves: dict[str, np.ndarray] = {}
    for name, make in (("one device", one_device), ("network", network)):
        rows = []
        for n in CONTROLS:
            found = []
            for number in range(options.devices):
                rng = np.random.default_rng([n, number])
                device = make(n, rng)
                size = float(np.linalg.norm(device[1](np.zeros((1, n)))[0]))
                alpha = amplitude(partial(dither_bias, device, n, seed=number))
                h = amplitude(partial(step_bias, device, n))
                top = 2 * golomb_ruler(n)[-1] + 1
                noise_s = n * PSD / (alpha * NOISE * size) ** 2
                time_s = max(noise_s, top / BAND_HZ)
                each_s = n * PSD / (2 * h * NOISE * size) ** 2
                errors = [
                    measured_dither(device, n, alpha, time_s, rng), measured_differences(device, n, h, each_s, rng)
                ]  # fmt: skip
                found.append(
                    (1e3 * alpha, 1e3 * h, top / time_s, time_s, noise_s, 2 * n * (each_s + SETTLING_S), *errors)
                )
            row = np.median(np.array(found), axis=0)
            rows.append(row)
            print(f"{name:10s} {n:4d} {row[0]:10.2f} {row[1]:8.2f} {row[2]:15.3g} {row[3]:16.4g} {row[4]:14.4g} "
                  f"{row[5]:18.4g} {row[5] / row[3]:11.3g} {row[6]:12.3f} {row[7]:13.3f}", flush=True)  # fmt: skip
        curves[name] = np.array(rows)
        logs = np.log(np.array(CONTROLS, dtype=float))
        laws = [np.polyfit(logs, np.log(curves[name][:, column]), 1)[0] for column in (3, 4, 5)]
        print(f"{name}: time grows as n^{laws[0]:.2f} with dither (noise alone n^{laws[1]:.2f}), "
              f"n^{laws[2]:.2f} with differences")  # fmt: skip
    if options.picture:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6.2, 4.6), layout="constrained")
        axes = figure.add_subplot()
        for (name, curve), style in zip(curves.items(), ("-", "--"), strict=True):
            axes.loglog(CONTROLS, curve[:, 3], "o" + style, color="#0072B2", label=f"dither, {name}")
            axes.loglog(CONTROLS, curve[:, 5], "s" + style, color="#D55E00", label=f"differences, {name}")
        axes.set_xlabel("controls")
        axes.set_ylabel("time to a gradient of the same error (s)")
        axes.legend()
        figure.savefig(options.picture, dpi=130)


if __name__ == "__main__":
    main()
