"""The homodyne loop's electronics as a circuit: which part stands where, with which values; its nodes and its deck."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from PySpice.Spice.Netlist import Circuit

from circuits.homodyne.loop import READING_V, HomodyneLoop
from circuits.homodyne.signal_peaks import signal_peaks_V
from circuits.ngspice.cosimulation import CoSimulation
from circuits.ngspice.implicit import coupling
from circuits.parts.assembly import Assembly, Placement
from circuits.parts.component_errors import Component, components_of
from circuits.parts.levels import CHOPPER, rails_of
from circuits.parts.losses import LOSS_PARTS
from circuits.parts.operating_limits import check_limits
from circuits.parts.placed_device import PlacedDevice, placed_device
from circuits.parts.rc_values import USUAL_OHM, nearest_rc, pole_values
from circuits.signals.sources import Table
from dnpu_models.interface.device import kernel_of
from inmateria.errors import InputError
from inmateria.spelling import nearest
from netlists.spice_numbers import format_number

LEAST_BOUND_V = 0.5
"""Least rail of a board's integrator, whose bounds are diodes of 0.42 V; its header says so."""


def compose(loop: HomodyneLoop, *, device: bool = True) -> Assembly:
    """The circuit put together; see `circuit`, `placements` and `generators`."""
    title = "homodyne gradient extraction, " + ("closed loop" if loop.mode == "learn" else f"open, {loop.mode}")
    assembly = Assembly(title, loop.parts, loop.component_errors, loop.temperature_K)
    gate = _gate(loop)
    _add_waveforms(assembly, loop, gate)
    _add_electrodes(assembly, loop)
    _add_output_stage(assembly, loop)
    _add_loss(assembly, loop)
    if loop.mode == "output":
        scale = float(loop.multiplier_V)
        assembly.source("listening", replace(gate, values=tuple(scale * v for v in gate.values)).source())
        assembly.add("mixer", "listen", {"a": "u", "b": "listening", "out": "listen"}, vscale=scale)
    for k in range(loop.dither.n):
        _add_channel(assembly, loop, k, "listen" if loop.mode == "output" else "loss")
    initial = _resting(loop) + (_add_leads(assembly, loop) if loop.leads else "")
    parts = assembly.placed
    known = {c.name for reference, there in parts.items() for c in components_of(reference, there.part, there.values)}
    for name in loop.component_errors:
        if name not in known:
            close = ", ".join(nearest(name, known, 3) or [*sorted(known)[:6], "..."])
            raise InputError("component_errors", name, "is no component of the circuit", f"choose from {close}")
    check_limits(parts, signal_peaks_V(loop), rails_of(loop.parts).defaults["vsupply"])
    netlist = placed(loop) if device else None
    assembly.finish(initial, [] if netlist is None else [netlist])
    return assembly


def _gate(loop: HomodyneLoop) -> Table:
    """The gate; behind what an opened loop is shown comes the filters' tail."""
    return loop.sequence.gate_table(None if loop.mode == "learn" else loop.shown)


def _learning(loop: HomodyneLoop) -> Table:
    """Scale of the integrators' rate; for those that a switch opens, pulses that last as large a share of each slot."""
    if loop.part("integrator").level != "board":
        return loop.learning
    slot, edge = loop.sequence.slot_s, loop.sequence.edge_s
    times, values = [0.0], [0.0]
    for number in range(math.ceil(loop.stop_s / slot)):
        start = number * slot
        length = slot * float(loop.learning.at(np.array(start + 0.5 * slot)))
        if length > 2.0 * edge:
            times += [start, start + edge, start + length - edge, start + length]
            values += [0.0, 1.0, 1.0, 0.0]
    ahead = [k for k in range(1, len(times)) if times[k] > times[k - 1]]
    return Table((0.0, *(times[k] for k in ahead)), (0.0, *(values[k] for k in ahead)))


def _add_waveforms(assembly: Assembly, loop: HomodyneLoop, gate: Table) -> None:
    """Sources of what is known over time: gate, target, scales, levels; and the terminals that stand still."""
    source, sequence = assembly.source, loop.sequence
    source("gate", gate.source())
    source("target", sequence.target_table().source())
    source("envelope", loop.envelope.source())
    source("learning", _learning(loop).source())
    if loop.chopped:
        source("chop", loop.chop.source())
    for which in range(sequence.inputs):
        source(f"level{which}", sequence.level_table(which).source())
    for terminal in range(len(loop.device.terminals)):
        if terminal not in (loop.output, *loop.trained):
            source(f"fixed{terminal}", loop.fixed_V.get(terminal, 0.0))


def _add_electrodes(assembly: Assembly, loop: HomodyneLoop) -> None:
    """What drives each trained electrode: control (frozen in an opened loop), level and dither."""
    plan, scale = loop.dither, float(loop.multiplier_V)
    for k, terminal in enumerate(loop.trained):
        _add_reference(assembly, loop, k)
        signal = f"level{loop.inputs.index(terminal)}" if terminal in loop.inputs else "0"
        bias = f"w{k}"
        if loop.mode != "learn":
            bias = f"bias{k}"
            assembly.source(bias, float(loop.start_V[k]))
        ends = {"bias": bias, "signal": signal, "ref": f"ref{k}", "scale": "envelope", "out": f"el{terminal}"}
        assembly.add("dither_sum", f"sum{k}", ends, amplitude=plan.amplitudes_V[k] / scale)


def _add_reference(assembly: Assembly, loop: HomodyneLoop, k: int) -> None:
    """The tone that one control's mixer and dither share."""
    plan, scale = loop.dither, float(loop.multiplier_V)
    degrees = float(np.degrees(plan.phases_rad[k]))
    assembly.source(f"ref{k}", f"SIN(0 {scale!r} {plan.frequencies_Hz[k]!r} 0 0 {degrees!r})")


def _add_output_stage(assembly: Assembly, loop: HomodyneLoop) -> None:
    """From the output electrode to y: transimpedance, baseline and automatic gain."""
    add, stage, scale, duty = assembly.add, loop.stage, float(loop.multiplier_V), loop.sequence.listening_s
    reach = stage.reach_V
    _add_amplifiers(assembly, loop)
    ends = {"in": "u", "gate": "gate", "out": "baseline"}
    _add_integrator(assembly, "baseline", ends, stage.baseline_rate / duty, (-reach, reach), stage.baseline_V)
    assembly.source("level", stage.level_V**2 / scale)
    add("mixer", "power", {"a": "y", "b": "y", "out": "power"}, vscale=scale)
    add("difference", "short", {"a": "level", "b": "power", "out": "short"})
    ends = {"in": "short", "gate": "gate", "out": "gainlog"}
    rate = scale * stage.gain_rate / duty / stage.level_V**2
    _add_integrator(assembly, "agc", ends, rate, stage.gain_limits, stage.gain_log)


def _add_amplifiers(assembly: Assembly, loop: HomodyneLoop) -> None:
    """The amplifiers between the output electrode and y."""
    add, stage = assembly.add, loop.stage
    add("transimpedance", "tia", {"in": f"el{loop.output}", "out": "tia"}, rf=stage.transimpedance_ohm)
    add("difference", "ac", {"a": "tia", "b": "baseline", "out": "u"})
    ends = {"in": "u", "control": "gainlog", "out": "y"}
    assembly.add_signed("variable_gain", "vga", ends, "gain", gain=stage.polarity)


def _add_loss(assembly: Assembly, loop: HomodyneLoop) -> None:
    """From y to the loss."""
    sequence = loop.sequence
    if loop.loss == "hinge":  # hears the output itself, and which side of zero it should be on
        sides = replace(sequence, targets_V=tuple(float(v) for v in np.sign(sequence.targets_V)))
        assembly.source("side", sides.target_table().source())
    _add_error(assembly, loop)


def _add_error(assembly: Assembly, loop: HomodyneLoop) -> None:
    """The parts of the loss."""
    add = assembly.add
    if loop.loss == "hinge":
        add("hinge", "loss", {"error": "y", "side": "side", "gate": "gate", "out": "loss"},
            margin=loop.error_function.margin_V)  # fmt: skip
    else:
        add("difference", "error", {"a": "y", "b": "target", "out": "error"})
        add(LOSS_PARTS[loop.loss], "loss", {"error": "error", "gate": "gate", "out": "loss"})


def _add_channel(assembly: Assembly, loop: HomodyneLoop, k: int, signal: str) -> None:
    """One control's lock-in on the node `signal`, and its integrator."""
    add, gain, scale = assembly.add, float(loop.channel_gains[k]), float(loop.multiplier_V)
    mixed = f"x{k}" if loop.chopped else f"m{k}_0"
    add("mixer", f"mix{k}", {"a": signal, "b": f"ref{k}", "out": mixed}, vscale=scale)
    if loop.chopped:
        add(CHOPPER, f"chop{k}", {"a": mixed, "b": "chop", "out": f"m{k}_0"})
    filtering = pole_values(loop.part("lowpass"), loop.filter_s)
    for pole in range(loop.filter_poles):
        add("lowpass", f"lp{k}_{pole}", {"in": f"m{k}_{pole}", "out": f"m{k}_{pole + 1}"}, **filtering)
    if loop.mode == "learn":
        low, high = loop.control_limits_V
        averaging = pole_values(loop.part("lowpass"), loop.average_s)
        add("lowpass", f"avg{k}", {"in": f"m{k}_{loop.filter_poles}", "out": f"a{k}"}, **averaging)
        add("limiter", f"lim{k}", {"in": f"a{k}", "out": f"s{k}"}, gain=gain, vlimit=loop.step_V)
        ends = {"in": f"s{k}", "gate": "learning", "out": f"w{k}"}
        rate = -float(loop.control_rates[k]) / loop.sequence.period_s
        _add_integrator(assembly, f"w{k}", ends, rate, (float(low[k]), float(high[k])), float(loop.start_V[k]))
    else:
        ends = {"in": f"m{k}_{loop.filter_poles}", "gate": "learning", "out": f"w{k}"}
        rate = gain / loop.reading_scale
        _add_integrator(assembly, f"w{k}", ends, rate, (-READING_V, READING_V), 0.0)


def _add_integrator(
    assembly: Assembly, reference: str, ends: Mapping[str, str], rate: float, rails_V: tuple[float, float], v0: float
) -> None:
    """An integrator; on a board one that a switch opens, whose resistor is no less than what op-amps drive."""
    part, values = assembly.part("integrator"), {"rate": rate, "vmin": rails_V[0], "vmax": rails_V[1], "v0": v0}
    if part.level == "board":
        if min(-rails_V[0], rails_V[1]) < LEAST_BOUND_V:
            problem = (
                f"of {reference} is {rails_V[0]:.3g} to {rails_V[1]:.3g} V: diodes bound it from {LEAST_BOUND_V} V on"
            )
            fix = 'take a smaller swing or a device of a wider range, or electronics.parts.integrator = "macro"'
            raise InputError("range", list(rails_V), problem, fix)
        if rate == 0.0:  # it holds: its switch stays open, whatever the resistor
            ends, values["rate"] = {**ends, "gate": "0"}, part.defaults["rate"]
        elif abs(rate) * USUAL_OHM[0] * part.defaults["c"] > 1.0:
            values["c"] = nearest_rc(1.0 / abs(rate)).capacitance_F
    assembly.add_signed("integrator", reference, ends, "rate", **values)


def _resting(loop: HomodyneLoop) -> str:
    """Cards of the voltages at which the real summing amplifiers begin: those at which they rest.

    From 0 V their poles of 1 us, far below a time step, would ring past the device's ranges before they settle.
    """
    signs = {"macro": {"x": 1.0}, "board": {"x2.x": -1.0, "x3.x": 1.0}}.get(loop.part("dither_sum").level, {})
    at = loop.start_terminals_V
    return "".join(
        f".ic v(xsum{k}.{node})={format_number(sign * at[t])}\n"
        for k, t in enumerate(loop.trained)
        for node, sign in signs.items()
    )


def _add_leads(assembly: Assembly, loop: HomodyneLoop) -> str:
    """A lead before each electrode; returns the cards of the voltages that they begin at."""
    initial, electrodes = "", nodes(loop)
    for terminal, (near, electrode) in enumerate(zip(source_nodes(loop), electrodes, strict=True)):
        beside = electrodes[(terminal + 1) % len(electrodes)]
        assembly.add("device_leads", f"lead{terminal}", {"in": near, "out": electrode, "neighbour": beside})
        initial += f".ic v({electrode})={format_number(loop.start_terminals_V[terminal])}\n"
    return initial


def circuit(loop: HomodyneLoop) -> Circuit:
    """The electronics as a PySpice circuit.

    A device that is a netlist stands in it; any other comes as external sources or recorded currents.

    Raises
    ------
    InputError
        For a part that lacks a parameter or is used outside of its limits, or errors of components that are not there.
    """
    return compose(loop).circuit


def placements(loop: HomodyneLoop) -> dict[str, Placement]:
    """Every part of the circuit by its reference, with the values it has there; errors as `circuit`."""
    return compose(loop, device=False).placed


def generators(loop: HomodyneLoop) -> tuple[str, ...]:
    """Nodes that ideal sources hold: references, and what a clocked controller with DACs gives; errors as `circuit`."""
    return tuple(compose(loop, device=False).sources)


def channels_deck(loop: HomodyneLoop, heard_V: float, slope: float = 0.0) -> str:
    """The lock-in channels of an opened loop alone, as they stand in it; what they hear in the windows is given.

    It is `heard_V` and each control's dither times `slope`.
    """
    title = "the channels of opened lock-ins, their signal given"
    assembly = Assembly(title, loop.parts, loop.component_errors, loop.temperature_K)
    assembly.source("gate", _gate(loop).source())
    peaks = (slope * peak / float(loop.multiplier_V) for peak in loop.dither.amplitudes_V)
    tones = "+".join(f"({format_number(peak)})*v(ref{k})" for k, peak in enumerate(peaks))
    chop = "*v(chop)" if loop.chopped else ""
    heard = f"Bheard heard 0 V=v(gate)*({format_number(heard_V)}+({tones}){chop})\n"
    assembly.source("learning", _learning(loop).source())
    if loop.chopped:
        assembly.source("chop", loop.chop.source())
    for k in range(loop.dither.n):
        _add_reference(assembly, loop, k)
        _add_channel(assembly, loop, k, "heard")
    return str(assembly.finish(heard))


def loss_deck(loop: HomodyneLoop, target_V: float) -> str:
    """From the device's output to the loss, at rest in a window of one target; baseline and gain stand."""
    title = "output stage and loss at rest"
    assembly = Assembly(title, loop.parts, loop.component_errors, loop.temperature_K)
    for name, value in {"gate": 1.0, "baseline": loop.stage.baseline_V, "gainlog": loop.stage.gain_log}.items():
        assembly.source(name, float(value))
    hinge = loop.loss == "hinge"
    assembly.source("side" if hinge else "target", float(np.sign(target_V) if hinge else target_V))
    _add_amplifiers(assembly, loop)
    _add_error(assembly, loop)
    return str(assembly.finish())


def components(loop: HomodyneLoop) -> tuple[Component, ...]:
    """All components of a loop whose deviations its parts know, instance by instance; errors as `circuit`."""
    nominal = placements(replace(loop, component_errors={}))
    return tuple(c for name, placed in nominal.items() for c in components_of(name, placed.part, placed.values))


def deck(loop: HomodyneLoop, *, device: bool = True) -> str:
    """The netlist: title and circuit. `circuits.homodyne.export` makes whole decks for plain ``ngspice -b`` of it.

    A device that is a netlist is left out where `device` is False.
    """
    return str(compose(loop, device=device).circuit)


def nodes(loop: HomodyneLoop) -> list[str]:
    """Circuit node of each device terminal."""
    return [f"pad{t}" for t in range(len(loop.device.terminals))] if loop.leads else source_nodes(loop)


def source_nodes(loop: HomodyneLoop) -> list[str]:
    """Node of the electronics that each terminal is wired to."""
    named = {loop.output: f"el{loop.output}", **{t: f"el{t}" for t in loop.trained}}
    return [named.get(t, f"fixed{t}") for t in range(len(loop.device.terminals))]


def saved(loop: HomodyneLoop) -> list[str]:
    """Vectors kept of a transient beside the terminal voltages."""
    names = ["tia", "y", "loss", "baseline", "gainlog", "target", "gate"]
    names += [f"w{k}" for k in range(loop.dither.n)]
    names += [f"m{k}_{loop.filter_poles}" for k in range(loop.dither.n)]
    return [f"v({name})" for name in names]


def waveforms(loop: HomodyneLoop) -> list[str]:
    """Names of the vectors in a transient of this loop, in small letters: those `saved`, then the terminals' nodes."""
    return [name.lower() for name in [*saved(loop), *[f"v({node})" for node in nodes(loop)]]]


def placed(loop: HomodyneLoop) -> PlacedDevice | None:
    """The device in this circuit, if it is a netlist; errors as `placed_device`."""
    return placed_device(loop.device, nodes(loop), loop.start_terminals_V, loop.temperature_K)


def cosimulation(loop: HomodyneLoop, seed: int = 0) -> CoSimulation:
    """The device's kernel, coupled to this circuit's nodes: driven by ideal sources, or through the leads' resistance.

    Raises
    ------
    InputError
        If the device has no kernel.
    """
    kernel, start = kernel_of(loop.device, loop.start_terminals_V, seed=seed), loop.start_terminals_V
    resistance = loop.part("device_leads").defaults["r"] if loop.leads else 0.0
    return coupling(kernel, nodes(loop), start, loop.drive, resistance)
