"""The electronics of multiplexed gradient descent as a circuit: which part stands where, with which values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from circuits.multiplexed import kernel as words
from circuits.multiplexed.loop import SUM_OHM, MultiplexedLoop
from circuits.ngspice.cosimulation import CoSimulation
from circuits.ngspice.one_thread import ONE_THREAD
from circuits.parts.assembly import Assembly
from circuits.parts.rc_values import pole_values
from circuits.signals.sources import Drive, Table
from dnpu_models.interface import memoryless
from dnpu_models.interface.device import SteppableKernel

USUAL_STEP_S = 1e-3
"""Step that the time constants of the integrators' rails suit; they are scaled with it."""

if TYPE_CHECKING:
    from PySpice.Spice.Netlist import Circuit


def circuit(loop: MultiplexedLoop) -> Circuit:
    """The circuit as PySpice's, with devices that are netlists; patterns and held codes come as external sources."""
    code, scale, step = loop.perturbation, float(loop.multiplier_V), loop.step_s
    assembly = Assembly(f"multiplexed gradient descent, {code.code} code", loop.parts, temperature_K=loop.temperature_K)
    add, source = assembly.add, assembly.source
    source("one", 1.0)
    for name in tables(loop):  # currents from outside make voltages of them
        assembly.resistor(name, name, "0", 1.0)
    if not loop.held:
        tones = code.dither(step).frequencies_Hz
        for name, tone in zip(loop.references, tones, strict=True):
            source(name, f"SIN(0 {scale!r} {float(tone)!r} 0 0 0)")
    else:
        for name in loop.references:
            assembly.resistor(name, name, "0", 1.0)
    # d theta_k / dt = -(eta / step) G_k,  G_k = (peak / m^2) low-pass of C~ u_k
    gain = loop.eta * code.peak / code.norm**2 / loop.amplification
    clamp = assembly.part("integrator").defaults.get("tclamp", 0.0) * step / USUAL_STEP_S
    soft = {"tclamp": clamp} if clamp else {}
    perturbed = loop.perturbed
    low, high = loop.rails_V
    filtering = pole_values(assembly.part("lowpass"), loop.tau_theta * step)
    for k, reference in enumerate(loop.references):
        nodes = {"a": "change", "b": reference, "out": f"e{k}"}
        add("mixer", f"mix{k}", nodes, vscale=scale)
        add("lowpass", f"lp{k}", {"in": f"e{k}", "out": f"g{k}"}, **filtering)
        slope, rate = f"g{k}", -gain / step
        if loop.largest is not None:
            slope, rate = f"l{k}", -1.0 / step
            add("limiter", f"lim{k}", {"in": f"g{k}", "out": slope}, gain=gain, vlimit=loop.largest)
        nodes = {"in": slope, "gate": "one", "out": f"w{k}"}
        add("integrator", f"w{k}", nodes, rate=rate, vmin=float(low[k]), vmax=float(high[k]),
            v0=float(loop.start_V[k]), **soft)  # fmt: skip
        nodes = {"bias": f"w{k}", "signal": "0", "ref": reference, "scale": "one", "out": perturbed[k]}
        add("dither_sum", f"sum{k}", nodes, amplitude=code.peak / scale)
    outputs = loop.network.output_nodes
    loop.network.place(assembly, perturbed, [f"x{j}" for j in range(loop.network.inputs)], scale)
    for o, output in enumerate(outputs):
        add("difference", f"error{o}", {"a": output, "b": f"target{o}", "out": f"error{o}"})
        squared = "cost" if len(outputs) == 1 else f"square{o}"
        add("squared_error", f"square{o}", {"error": f"error{o}", "gate": "one", "out": squared})
        if len(outputs) > 1:  # equal resistors into one node: the mean
            assembly.resistor(f"mean{o}", squared, "cost", SUM_OHM)
    nodes = {"in": "cost", "blank": "blank", "out": "change"}
    add("blanked_highpass", "change", nodes, gain=loop.amplification, tau=loop.tau_hp * step, charge=loop.charge * step)
    return assembly.finish(devices=loop.network.placed(loop))


def deck(loop: MultiplexedLoop) -> str:
    """The netlist: title and circuit, without its analysis and what `cosimulation` gives."""
    return str(circuit(loop))


def saved(loop: MultiplexedLoop) -> list[str]:
    """Vectors kept of a transient: parameters, cost, outputs."""
    names = [*(f"w{k}" for k in range(loop.network.parameters)), "cost", *loop.network.output_nodes]
    return [f"v({name})" for name in names]


def tables(loop: MultiplexedLoop) -> dict[str, Table]:
    """Waveforms by node: blanking, inputs and targets."""
    first = loop.sequences[0]
    found = {"blank": loop.blanking, **{f"x{j}": first.level_table(j) for j in range(loop.network.inputs)}}
    return found | {f"target{o}": sequence.target_table() for o, sequence in enumerate(loop.sequences)}


def cosimulation(loop: MultiplexedLoop, seed: int = 0) -> CoSimulation:
    """What moves from outside, compiled: a held code, inputs, targets, blanking, and the network's devices.

    `seed` is that of what the devices draw.
    """
    code, outside = loop.perturbation, tables(loop)
    count = code.parameters if loop.held else 0
    nodes = [*loop.references[:count], *outside]
    waves = {count + k: [(1.0, table)] for k, table in enumerate(outside.values())}
    high, low = divmod(int(code.key), 1 << 32)
    header = [code.number, count, code.hold, loop.multiplier_V, loop.step_s, loop.ramp * loop.step_s, high, low]
    state = np.zeros(words.STATE_HEADER + 2 * count)
    state[words.PATTERN] = -1.0
    kernel = SteppableKernel(
        words.evaluate,
        memoryless.advance,
        np.concatenate([np.array(header, dtype=float), Drive(waves=waves).pack()]),
        state,
        np.zeros((len(nodes), len(nodes))),
        (f"{words.__name__}:c_evaluate", memoryless.C_ADVANCE),
    )
    return loop.network.join(CoSimulation(kernel, nodes, np.zeros(len(nodes)), source_ohm=1.0), loop, seed)


def code_tables(loop: MultiplexedLoop) -> list[Table]:
    """The held code's waveform of each parameter at full scale: one period where there is one, else the whole run."""
    code, step = loop.perturbation, loop.step_s
    period = code.period
    length = loop.steps if period is None else period
    patterns = -(-length // code.hold)
    values = code.at(0, patterns * code.hold)[:: code.hold] * loop.multiplier_V / code.peak
    starts = np.arange(patterns) * code.hold * step
    before = np.vstack([values[-1:] if period is not None else values[:1], values[:-1]])
    times = np.append(np.column_stack([starts, starts + loop.ramp * step]).ravel(), patterns * code.hold * step)
    found = []
    for k in range(code.parameters):
        points = np.append(np.column_stack([before[:, k], values[:, k]]).ravel(), values[-1, k])
        over = 0.0 if period is None else period * step
        found.append(Table(tuple(times.tolist()), tuple(points.tolist()), over))
    return found


def standalone_deck(loop: MultiplexedLoop) -> str:
    """A whole deck for plain ``ngspice -b``: patterns and held codes as PWL sources, with its analysis.

    It writes parameters and cost over time to ``multiplexed.txt``. A random code of N patterns takes about
    28 N P bytes: five megabytes for twenty thousand steps of nine parameters.
    """
    title, _, cards = deck(loop).strip().partition("\n")
    lines = [title.removeprefix(".title").strip() + ", for plain ngspice", cards.rstrip()]
    outside = tables(loop)
    if loop.held:
        outside |= dict(zip(loop.references, code_tables(loop), strict=True))
    lines += [f"V{name} {name} 0 {table.source()}" for name, table in outside.items()]
    step = min(loop.max_step_s, loop.ramp * loop.step_s)
    vectors = " ".join(saved(loop))
    lines += [f".save {vectors}", ONE_THREAD, f".tran {loop.max_step_s!r} {loop.stop_s!r} 0 {step!r} uic"]
    lines += [".control", "run", "set wr_singlescale", "set wr_vecnames", f"wrdata multiplexed.txt {vectors}", "quit 0"]
    return "\n".join([*lines, ".endc", ".end", ""])
