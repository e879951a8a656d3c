"""All six gates: loss against iterations, beside the authors' public configuration of 2019.

    python docs/studies/gates_2019.py --chip dnpu_chip.npz --starts 20 --picture docs/images/gates_2019.png
    python docs/studies/gates_2019.py --starts 10 --picture docs/images/gates_2019_mean_field.png

Without a chip the device is the package's default, a random network in the mean field.

The configuration of 2019, as the public code has it: five controls, inputs at -1.2 and +0.6 V without trained biases,
tones 8, 16, 24, 32, 40 Hz of 70, 30, 30, 5, 5 mV, 125 ms a pattern, one step a pass over the four patterns,
w <- w - 0.03 dE/dw, 50 passes, with currents in nA and

    E = (1.1 - c) / (sigmoid((s - 5)/3) + 0.05),    c: correlation with the targets,  s: lowest high - highest low.

dE/dw is the sum over the patterns of dE/dI (exact) times dI/dw (a digital lock-in over the 125 ms, in phase). Noise is
the published 1e-5 nA^2/Hz. Where a sample reaches the amplifier's clip, the attempt begins anew from another start, at
most `RESTARTS` times; its passes count from there. Not known and chosen here: starts (as ours, middle 0.6 of the
ranges), polarity (as wired, positive current out of the device), the clip (4 V at 39.5 nA/V, the chip's amplification).
Ours: the averaged loop with the package's settings, one step a pass too, at several swings of the inputs, with the same
fixed polarity. All are drawn with one measure, 2 (1 - c) for outputs of at least 0.5 nA rms (`settled_loss`), and
judged by one rule, that of `GateScore`.

The network's electrodes end at +-1 V. Logic of -1.2 V lies outside; `--low` sets another level.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np

from analysis.plots.figure import new_figure, save
from circuits.homodyne import readings
from dnpu_models.interface.device import follow_path
from dnpu_models.surrogate.chip import ChipSurrogate
from inmateria import GATES, Bench, BooleanTask, Experiment, HgeSettings, default_bench, learn
from inmateria.errors import ConvergenceError
from learning.bench.devices import CHIP_INPUTS
from learning.settled_loss import settled_loss

LOW_V, HIGH_V = -1.2, 0.6
TONES_HZ = 8.0 * np.arange(1, 6)
AMPLITUDES_V = np.array([0.07, 0.03, 0.03, 0.005, 0.005])
WINDOW_S, STEP, PASSES = 0.125, 0.03, 50
WHITE_NA2_PER_HZ = 1e-5
CLIP_NA, RESTARTS = 158.0, 20
LEAST_RMS_A = HgeSettings.least_rms_A

Made = tuple[list[float], bool, int]


def loss_2019(outputs_nA: np.ndarray, wanted: np.ndarray) -> tuple[float, np.ndarray]:
    """E and dE/dI (1/nA) of four outputs."""
    centred, target = outputs_nA - outputs_nA.mean(), wanted - wanted.mean()
    spread, scale = np.linalg.norm(centred), np.linalg.norm(target)
    c = float(centred @ target / (spread * scale))
    highs, lows = np.nonzero(wanted > 0.5)[0], np.nonzero(wanted < 0.5)[0]
    lowest, highest = highs[np.argmin(outputs_nA[highs])], lows[np.argmax(outputs_nA[lows])]
    s = outputs_nA[lowest] - outputs_nA[highest]
    sigmoid = 1 / (1 + np.exp(-(s - 5) / 3))
    below = sigmoid + 0.05
    d_c = target / (spread * scale) - c * centred / spread**2
    d_s = np.zeros(4)
    d_s[lowest], d_s[highest] = 1.0, -1.0
    return (1.1 - c) / below, -d_c / below - (1.1 - c) / below**2 * sigmoid * (1 - sigmoid) / 3 * d_s


class Clipped(Exception):
    """The amplifier clips."""


def run_2019(bench: Bench, gate: str, rng: np.random.Generator, low_V: float) -> tuple[list[float], bool, int]:
    """One start: the common loss after every pass, whether the gate stands at the end, dither off, and restarts."""
    for restarts in range(RESTARTS + 1):
        try:
            return (*attempt_2019(bench, gate, rng, low_V), restarts)
        except Clipped:
            continue
    return [float("nan")] * (PASSES + 1), False, RESTARTS


def attempt_2019(bench: Bench, gate: str, rng: np.random.Generator, low_V: float) -> tuple[list[float], bool]:
    """The same, until the amplifier clips."""
    task, device = BooleanTask(gate, HIGH_V - low_V), bench.device
    free = [k for k in bench.trained if k not in bench.inputs]
    low, high = np.asarray(device.limits_V)[free].T
    middle, half = 0.5 * (low + high), 0.3 * (high - low)
    w = rng.uniform(middle - half, middle + half)
    samples = 160 if isinstance(device, ChipSurrogate) else 40  # 8 a cycle of the fastest tone: the mean field is slow
    time = (np.arange(samples) + 0.5) * WINDOW_S / samples
    sines = np.sin(2 * np.pi * TONES_HZ * time[:, None])
    # White noise of density S over samples of a window: variance S/(2 dt), so that the window's mean has S/(2 T).
    sigma = np.sqrt(WHITE_NA2_PER_HZ * samples / (2 * WINDOW_S))
    targets, losses = np.array(task.targets_V), []

    def outputs(volts_w: np.ndarray) -> np.ndarray:
        volts = np.zeros((4, len(volts_w), len(device.terminals)))
        volts[..., free] = volts_w
        volts[..., list(bench.inputs)] = np.array(task.points)[:, None, :] * (HIGH_V - low_V) / 2 + (HIGH_V + low_V) / 2
        return -1e9 * follow_path(device, volts.reshape(-1, volts.shape[-1]))[:, bench.output].reshape(4, -1)

    for _ in range(PASSES):
        read = outputs(w + AMPLITUDES_V * sines) + sigma * rng.standard_normal((4, samples))
        if np.max(np.abs(read)) >= CLIP_NA:
            raise Clipped
        slopes = 2 / AMPLITUDES_V * (read @ sines) / samples
        mean = read.mean(axis=1)
        losses.append(settled_loss(1e-9 * mean, targets, 1.0, LEAST_RMS_A))
        _, d_outputs = loss_2019(mean, task.target_values)
        w = np.clip(w - STEP * (d_outputs @ slopes), low + AMPLITUDES_V, high - AMPLITUDES_V)
    still = outputs(w[None])[:, 0]
    losses.append(settled_loss(1e-9 * still, targets, 1.0, LEAST_RMS_A))
    return losses, task.score(1e-9 * still, 1.0, bench.noise_A()).learned


def run_ours(bench: Bench, gate: str, rng: np.random.Generator, swing: float) -> tuple[list[float], bool, int]:
    """One attempt with the package's settings, inputs swinging by a share of their ranges."""
    task = BooleanTask(gate, bench.swings_V(swing), "fixed")
    attempt = learn(Experiment(bench, task, HgeSettings(restarts=1)), rng=rng, engine="averaged").attempts[0]
    stage, targets = attempt.loop.stage, np.array(task.targets_V)
    losses = [
        settled_loss(readings.outputs_V(attempt.loop, attempt.run, k) / stage.transimpedance_ohm, targets,
                     stage.polarity, LEAST_RMS_A)
        for k in range(attempt.loop.sequences + 2)
    ]  # fmt: skip
    return losses, attempt.final.learned, 0


def check_slopes() -> None:
    """dE/dI against difference quotients."""
    outputs, wanted = np.array([1.0, 4.0, 3.0, 1.5]), np.array([0.0, 1.0, 1.0, 0.0])
    _, exact = loss_2019(outputs, wanted)
    steps = 1e-6 * np.eye(4)
    quotients = [(loss_2019(outputs + h, wanted)[0] - loss_2019(outputs - h, wanted)[0]) / 2e-6 for h in steps]
    np.testing.assert_allclose(exact, quotients, rtol=1e-6)


def one_start(method: Callable[..., Made], bench: Bench, gate: str, seeds: list[int], level: float) -> Made:
    """`method` from one start; anew with other random numbers where the mean field finds no state."""
    for again in range(5):
        try:
            return method(bench, gate, np.random.default_rng([*seeds, again] if again else seeds), level)
        except ConvergenceError as error:
            print(f"{gate}, seeds {seeds}: {error}", flush=True)
    raise RuntimeError("the device has no state at too many settings")


def main(chip: Path | None, starts: int, low_V: float, swings: list[float], picture: Path | None) -> None:
    check_slopes()
    if chip is None:
        bench = default_bench(tolerance=1e-5)
    else:
        device = ChipSurrogate.from_npz(chip)
        bench = Bench(device, device.measured[0], tuple(device.terminals.index(name) for name in CHIP_INPUTS))
    figure = new_figure(figsize=(10, 6))
    axes = figure.subplots(2, 3, sharex=True, sharey=True)
    methods: list[tuple[Callable[..., Made], float, str]] = [
        *((run_ours, swing, f"swing {swing:g}, limiter, gain control") for swing in swings),
        (run_2019, low_V, f"2019, {PASSES} passes"),
    ]
    names = ", ".join([*(f"{swing:g}" for swing in swings), "2019"])
    print(f"gate   learned in {starts} starts ({names}); median loss at the end; 2019 restarted, lost")
    for axis, (number, gate) in zip(axes.flat, enumerate(GATES), strict=True):
        learned, ends = [], []
        for which, (method, level, name) in enumerate(methods):
            made = [one_start(method, bench, gate, [k, number, which], level) for k in range(starts)]
            paths = np.array([losses for losses, *_ in made])
            axis.plot(paths.T, color=f"C{which}", lw=0.4, alpha=0.4)
            axis.plot(np.nanmedian(paths, axis=0), color=f"C{which}", lw=2, label=name)
            learned.append(sum(there for _, there, _ in made))
            ends.append(np.nanmedian(paths[:, -1]))
        axis.set_title(f"{gate}: learned {', '.join(map(str, learned))} of {starts}", fontsize=9)
        restarts, lost = sum(count for *_, count in made), int(np.isnan(paths[:, -1]).sum())
        shown = "".join(f"{count:5d}" for count in learned) + "   " + "".join(f"{end:7.2f}" for end in ends)
        print(f"{gate:5} {shown} {restarts:6d} {lost:4d}", flush=True)
    for axis in axes[-1]:
        axis.set_xlabel("iteration (pass over the patterns)")
    for axis in axes[:, 0]:
        axis.set_ylabel("loss")
    axes[0, 0].legend(fontsize=7)
    if picture is not None:
        save(figure, picture)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chip", type=Path)
    parser.add_argument("--starts", type=int, default=20)
    parser.add_argument("--low", type=float, default=LOW_V, help="low logic level of the configuration of 2019, V")
    parser.add_argument("--swings", type=float, nargs="+", default=[0.25, 0.6], help="ours, shares of the ranges")
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    main(options.chip, options.starts, options.low, options.swings, options.picture)
