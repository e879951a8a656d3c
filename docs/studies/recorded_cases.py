"""Numbers that the commands do not reach, by the library's public names: the cases behind `recorded_runs`.

    python docs/studies/recorded_cases.py CASE FILE.npz

Each case is a function that returns arrays by name. `ran` is the one place where a loop is run.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import inmateria as im
from analysis.gradients.bank_check import check_bank
from circuits.homodyne import readings
from circuits.homodyne.engines import engine_named
from circuits.homodyne.offsets import offset_bias
from circuits.multiplexed.run import run_multiplexed
from circuits.parts.levels import multiplexed_parts
from dnpu_models.mean_field.current_paths import hop_currents, largest_paths

Found = dict[str, Any]
DATA = Path(os.environ.get("INMATERIA_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")
CONTROLS = np.array([0.1, -0.2, 0.3, 0.15, -0.1, 0.25, -0.3])
VOLTS = np.random.default_rng(8).uniform(-0.4, 0.4, (5, 8))
INPUTS = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
TARGETS = np.array([[0.0], [1.0], [1.0], [0.0]])


def network(acceptors: int | None = None) -> im.DopantNetwork:
    """A device: the default one, or a smaller one."""
    if acceptors is None:
        return im.DopantNetwork.random(seed=0, preset="tertilt2022")
    return im.DopantNetwork.random(seed=3, preset="tertilt2022", acceptors=acceptors)


def few() -> im.DopantNetwork:
    """Five sites in a square with three electrodes."""
    rng, side = np.random.default_rng(4), 60e-9
    points = rng.uniform(0.1 * side, 0.9 * side, (5, 2))
    x, y = points.T / side
    return im.DopantNetwork(
        acceptors_m=points, donors_m=np.array([[side / 2, side / 2]]), site_energies_eV=rng.normal(0, 0.02, 5),
        electrodes=(im.Electrode(0, side / 2), im.Electrode(side, side / 2), im.Electrode(side / 2, side)),
        shape=im.Rectangle(side, side), temperature_K=300.0, localisation_m=20e-9, relative_permittivity=10.0,
        attempt_rate_Hz=1e12, limit_V=1.0, unit_potentials=np.stack([(1 - x) * (1 - y), x * (1 - y), y], axis=1),
    )  # fmt: skip


def loop(bench: im.Bench | None = None, **changes: Any) -> im.HomodyneLoop:
    """XOR on the default device, two passes."""
    mean_field = im.default_bench(0)
    bench, task = bench or mean_field, mean_field.task("XOR")
    stage = im.OutputStage(polarity=-1.0).measured_at(1e7 * mean_field.outputs_A(CONTROLS, task))
    plan, sequence = bench.plan(0.02), bench.sequence(task.levels_V, task.targets_V)
    made = im.HomodyneLoop(bench.device, bench.output, bench.inputs, bench.trained, CONTROLS, plan, sequence)
    return replace(made, sequences=2, stage=stage, **changes)


def ran(one: im.HomodyneLoop, engine: str, seed: int = 0) -> im.Transient:
    """A run of a loop by an engine."""
    with engine_named(engine) as running:
        return running.run(one, seed=seed)


def read(one: im.HomodyneLoop, run: im.Transient, name: str) -> Found:
    """What is read from a run."""
    names = ["time_s", "controls", "device_A", "first", "last", "loss", "gain"]
    first, last = readings.outputs_V(one, run, 0), readings.outputs_V(one, run, one.sequences + 1)
    loss = readings.window_means(one, run.time_s, run["v(loss)"], 1)
    values = [run.time_s, readings.controls_V(one, run), run.device_A, first, last, loss, run["v(gainlog)"]]
    return {f"{name} {what}": value for what, value in zip(names, values, strict=True)}


def by_engines(engines: str, name: str, seed: int = 0, **changes: Any) -> Found:
    """One loop by several engines."""
    found: Found = {}
    for engine in engines.split():
        one = loop(**changes)
        found |= read(one, ran(one, engine, seed), f"{name} {engine}")
    return found


def homodyne() -> Found:
    """The loop of ideal parts by its three engines; squared, absolute and hinge loss."""
    found = by_engines("ngspice twin averaged", "squared") | by_engines("ngspice twin", "absolute", loss="absolute")
    return found | by_engines("ngspice twin", "hinge", loss="hinge")


def real_parts() -> Found:
    """The loop of real parts, its components not all alike; parts of transistors; leads."""
    errors = {"mix3.offset": 1.3e-4, "w0.rate": 0.01, "tia.rf": -0.02}
    macro = im.loop_fields("macro", trimmed={"mixer": {"offset": 1e-4}}) | {"component_errors": errors}
    found = by_engines("ngspice twin averaged", "macro", **macro)
    found |= by_engines("ngspice", "macro hinge", loss="hinge", **im.loop_fields("macro"))
    return found | by_engines("ngspice", "transistor with leads", leads=True, **im.loop_fields("transistor"))


def noisy() -> Found:
    """The loop around a noisy device; the noise itself."""
    spectrum = im.NoiseSpectrum.published(corner_Hz=200.0, band_Hz=(1.0, 1e4))
    device = im.NoisyDevice(im.default_bench(0).device, spectrum, noisy=(0,))
    steps = np.full(500, 1e-4)
    with im.Engine() as engine:
        deck, noise = "noise\nR1 out 0 1meg\nC1 out 0 1n\n", im.noise_currents(spectrum, ["out"], seed=4)
        run = engine.transient(deck, stop_s=0.02, max_step_s=1e-4, save=["v(out)"], cosimulation=noise)
    found = by_engines("ngspice twin", "noisy", seed=3, device=device)
    f = np.geomspace(1, 1e4, 30)
    return found | {
        "density": spectrum.density(f), "generated": spectrum.generated_density(f),
        "psd": device.noise_psd(VOLTS[0], f),
        "means": spectrum.step_means(steps, seed=1), "points": spectrum.points(steps, seed=2),
        "rc": run["v(out)"], "rc time": run.time_s,
    }  # fmt: skip


def opened() -> Found:
    """Gradients read by opened loops, ideal and of real parts, by their engines."""
    found: Found = {}
    for level in ("ideal", "macro"):
        for mode in ("output", "loss"):
            one = replace(loop(), **im.loop_fields(level)).opened(CONTROLS, 0.005, mode, 10.0)
            found[f"{level} {mode} offsets"] = offset_bias(one)
            for engine in ("ngspice", "twin", "averaged"):
                run = ran(one, engine)
                found[f"{level} {mode} {engine}"] = readings.gradient(one, run)
                if mode == "output" and engine != "averaged":
                    found[f"{level} digital {engine}"] = readings.digital_gradient(one, run)
    return found


def gradients() -> Found:
    """The readings of a gradient, and a bank of lock-ins beside its budget."""
    bench = im.default_bench(0)
    chip = im.Bench(im.ChipSurrogate.from_npz(DATA / "dnpu_chip.npz"), 0, (1, 3))
    found: Found = {}
    for name, one, at in (
        ("network", bench, CONTROLS),
        ("chip", chip, chip.random_controls(0.5, np.random.default_rng(0))),
    ):
        with engine_named("ngspice") as engine:
            measured, digital, *_ = im.spice_lock_in(one, engine, at, 0.005)
        exact, average = im.adjoint(one, at), im.exact_dither_average(one, at, 0.005)
        readings = (exact, im.central_difference(one, at), im.digital_lock_in(one, at, 0.005), measured, digital)
        found |= {f"{name} {k}": reading.values for k, reading in enumerate(readings)}
        found |= {f"{name} average": average.gradient, f"{name} its error": average.stderr}
        result = im.compare(measured, exact)
        found[f"{name} compared"] = [result.cosine, result.relative_error]
    plan, terminals = im.plan_frequencies(3, None, 50.0, amplitude_V=0.02), (1, 2, 3)
    bank = im.LockInBank(
        bench.device, 0, terminals, VOLTS[0] * [0, *[1] * 7], plan, im.LockInSettings(0.01, 24), gain=2.0
    )
    with im.Engine() as engine:
        check = check_bank(bank, engine, 0.12)
    return found | {
        "bank": check.measured,
        "budget": check.budget.reading,
        "terms": list(check.budget.shares().values()),
    }


def multiplexed() -> Found:
    """Multiplexed gradient descent in ngspice, and as equations on a function of one's own."""
    found: Found = {}
    start = np.random.default_rng(0).uniform(-1.0, 1.0, 9)
    with im.Engine() as engine:
        for code in ("random", "walsh", "sequential", "sine"):
            for level in ("ideal", "macro") if code == "walsh" else ("ideal",):
                fields = {"parts": multiplexed_parts(level), "multiplier_V": 10.0 if level == "macro" else 1.0}
                one = im.MultiplexedLoop(
                    im.SigmoidNetworkCircuit(), im.Perturbation(code, 9, 0.5, 1, seed=3), INPUTS, TARGETS, start,
                    steps=80, eta=1.0, tau_x=5, tau_theta=10.0, tau_hp=20.0, **fields,
                )  # fmt: skip
                run = run_multiplexed(one, engine)
                found |= {f"{code} {level} {k}": v for k, v in vars(run).items() if k not in ("transient", "loop")}
    for mode in ("discrete", "analog"):
        settings = im.MgdSettings(eta=0.1, code="walsh", mode=mode, tau_theta=4, seed=1)
        descent = im.MultiplexedDescent(lambda theta, sample: float(theta @ theta), [1.0, -2.0], settings)
        descent.run(200)
        found |= {f"bowl {mode}": descent.theta, f"bowl gradient {mode}": descent.gradient}
    return found


def monte_carlo() -> Found:
    """Kinetic Monte Carlo: means by all its methods, records at fixed and changing voltages, and live in ngspice."""
    found: Found = {}
    small, large = im.KineticMonteCarlo(few()), im.KineticMonteCarlo(network())
    volts = np.array([0.1, -0.2, 0.05])
    for method in ("graph", "rows", "direct"):
        found |= {f"{method} {k}": v for k, v in vars(small.estimate(volts, seed=1, hops=1000, method=method)).items()}
    found |= {f"large {k}": v for k, v in vars(large.estimate(VOLTS[:2], seed=2, hops=5000)).items()}
    slopes = small.estimate_conductances(volts, seed=3, hops=1000)
    found |= {f"slopes {k}": v for k, v in vars(slopes).items()}
    ramp = np.linspace(-0.2, 0.2, 21)[:, None] * [1.0, 0.0, -1.0]
    for name, record in (("fixed", small.record(volts, seed=4, step_s=1e-10, steps=100)),
                         ("changing", small.record(ramp, seed=5, step_s=1e-10))):  # fmt: skip
        found |= {
            f"{name} currents": record.currents_A,
            f"{name} counted": record.counted_A,
            f"{name} end": record.final,
        }
    drive = im.Drive(sines={0: [im.Sine(0.025, 4e9)]})
    coupling = im.CoSimulation(small.kernel(np.zeros(3), seed=6), ["n0", "n1", "n2"], np.zeros(3), drive)
    with im.Engine() as engine:
        deck = "a tone\nV0 n0 0 sin(0 0.025 4e9)\nV1 n1 0 0\nV2 n2 0 0\n"
        live = engine.transient(deck, stop_s=2e-9, max_step_s=1e-11, save=["v(n0)"], cosimulation=coupling)
    bench = im.Bench(large, spacing_Hz=1e8)
    found |= by_engines("ngspice twin", "learning", seed=7, bench=bench)
    return found | {"live": live.device_A, "live time": live.time_s}


def exact_models() -> Found:
    """The master equation and the mean field: currents, derivatives, spectra, transients, states, paths."""
    exact, mean, volts = im.MasterEquation(few()), im.MeanField(network(60)), np.array([0.1, -0.2, 0.05])
    flow, f = hop_currents(mean, VOLTS[0]), [0.0, 1e8, 1e10]
    times = np.linspace(0, 1e-6, 20)
    path = VOLTS[0] + np.linspace(0, 1, 20)[:, None] * (VOLTS[1] - VOLTS[0])
    moved = mean.transient(times, path)
    return {
        "exact currents": exact.currents(volts), "exact conductances": exact.conductances(volts),
        "exact admittances": exact.admittances(volts, f), "exact noise": exact.noise_psd(volts, f),
        "exact occupations": exact.site_occupations(volts), "currents": mean.currents(VOLTS),
        "follow": mean.follow(path), "conductances": mean.conductances(VOLTS), "adjoint": mean.adjoint(VOLTS[0])[0],
        "admittances": mean.admittances(VOLTS[0], f), "times": mean.relaxation_times(VOLTS[0]),
        "states": np.array([s.currents_A for s in mean.stationary_states(VOLTS[2], starts=8)]),
        "trust": mean.trust(VOLTS).expected_deviation, "flow": flow.current_A, "flow imbalance": flow.imbalance_A,
        "paths": [p.current_A for p in largest_paths(flow, 5)], "moved": moved.currents_A,
    }  # fmt: skip


def surrogate() -> Found:
    """A short fit to the mean field and to kinetic Monte Carlo."""
    followed = im.fit_surrogate(im.MeanField(network(30)), samples=400, hidden=(16, 16), epochs=5, seed=1)
    drawn = im.fit_surrogate(im.KineticMonteCarlo(few()), samples=120, hidden=(8,), epochs=3, seed=2, hops=2000)
    found: Found = {}
    for name, fit, volts in (("followed", followed, VOLTS * [0, *[1] * 7]), ("drawn", drawn, VOLTS[:, :3] * [0, 1, 1])):
        chip = fit.surrogate
        found |= {f"{name} currents": chip.currents(volts), f"{name} conductances": chip.conductances(volts)}
    return found


def waveforms() -> Found:
    """Batches through circuits in one transient, the electronic layer, its twin and its derivative."""
    rc = im.WaveformCircuit("R1 in out 1k\nC1 out 0 1n", ("in",), ("out",), 5, hold=2, settle=8, delay=0, steps=4)
    layer = im.RlcLayer.board(8, 0.05, 3)
    rng = np.random.default_rng(0)
    low, high = layer.limits_V
    batch = rng.uniform(low, high, (6, 8))
    with im.Engine() as engine:
        streamed, board = rc.stream(rng.uniform(-1, 1, (4, 5)), engine), layer.circuit.stream(batch, engine)
        memory = rc.memory(engine, -1.0, 1.0)
    pulled = layer.vector_jacobian(batch, rng.normal(size=batch.shape))
    return {"rc": streamed, "memory": memory, "board": board, "twin": layer.twin(batch), "pulled": pulled}


def lockins() -> Found:
    """Plans, budgets, designs and readings of lock-ins, and the codes."""

    def output(v: Any) -> Any:
        return np.tanh(2 * v[:, 0]) + 0.6 * np.cos(3 * v[:, 1]) + 0.5 * v[:, 0] * v[:, 1]

    def slopes(v: Any) -> Any:
        a, b = v.T
        return np.stack([2 / np.cosh(2 * a) ** 2 + 0.5 * b, -1.8 * np.sin(3 * b) + 0.5 * a], axis=1)

    points = np.random.default_rng(0).uniform(-0.4, 0.4, (8, 2))
    planned = im.plan(im.GradientRequirements(
        gradient=slopes, voltages=points, terminals=(0, 1), error=0.03, psd=1e-6, amplitude_limit_V=0.5,
        band_Hz=(100.0, 1000.0), share=None,
    ))  # fmt: skip
    readout = im.Readout(planned.dither, planned.settings, planned.time_s, psd=1e-6)
    budget = im.error_budget(output, points[0], readout, exact=slopes(points[:1])[0])
    wish = im.LockInRequirements(channels=3, settling_s=0.2, gradient_error=0.05, slope=1.0, noise_psd=1e-8,
                                 dither_limit_V=0.05, band_Hz=(200.0, 800.0), curvature=4.0)  # fmt: skip
    found: Found = {}
    for level in ("ideal", "macro"):
        design = im.design_lockin(wish.with_parts(level))
        parts = [design.pole.resistance_ohm, design.pole.capacitance_F, design.integrator.resistance_ohm]
        with im.Engine() as engine:
            block = im.lockin_block(im.LockInSettings(time_constant=2e-3, filter_slope=12), 1000.0, level)
            reading = block.reading(block.run(engine, "SIN(0 1 1000)"))
        found |= {f"{level} tones": design.dither.frequencies_Hz, f"{level} parts": parts}
        found |= {f"{level} errors": [design.errors.total, design.margin], f"{level} block": [reading.x, reading.y]}
    t = np.linspace(0, 0.5, 20001)
    digital = im.demodulate(im.LockInSettings(0.01, 24), 1000.0, t, 0.3 * np.sin(2 * np.pi * 1000 * t + 0.2))
    sheet = im.characterise(im.LockInSettings(time_constant=0.01, filter_slope=18), 1000.0)
    codes = {
        f"code {c}": im.Perturbation(c, 7, 0.1, 2, seed=5).at(0, 64) for c in ("random", "walsh", "sequential", "sine")
    }
    return found | codes | {
        "tones": planned.dither.frequencies_Hz, "amplitudes": planned.dither.amplitudes_V, "time": planned.time_s,
        "error": planned.error, "curve": planned.time_curve, "sensitivities": list(planned.sensitivities.values()),
        "budget": budget.total, "shares": list(budget.shares().values()), "digital": [digital.x, digital.y],
        "sheet": [sheet.enbw_Hz, sheet.settle99_s],
    }  # fmt: skip


def training() -> Found:
    """Learning and searching in a script, and backpropagation beside it."""
    bench = im.default_bench(0)
    settings = im.HgeSettings(sequences=10, restarts=2, amplitude_V=0.02, looks=6)
    found: Found = {}
    for engine in ("twin", "averaged"):
        result = im.learn(
            im.Experiment(bench, bench.task("AND"), settings), rng=np.random.default_rng(1), engine=engine
        )
        for k, attempt in enumerate(result.attempts):
            found |= {f"{engine} {k} outputs": attempt.final_A, f"{engine} {k} controls": attempt.controls_V}
    for method in ("random", "spsa", "differences", "evolution"):
        one = im.search(
            im.Experiment(bench, bench.task("XOR")), method, rng=np.random.default_rng(2), device_evaluations=400
        )
        found |= {f"{method} controls": one.controls_V, f"{method} loss": one.trace.loss}
    return found


if __name__ == "__main__":
    found: Found = globals()[sys.argv[1].replace("-", "_")]()
    np.savez(sys.argv[2], **{name: np.asarray(value) for name, value in found.items()})
