"""The closed loop as a deck of its own, for plain ``ngspice -b``.

A device that is a netlist stands in it as it is; any other is replaced by a small network of B-sources.

The network is fitted to the device's output current where the recorded run went, and around it. Its linear parts are
G-sources into 1 ohm, only its tanh are B-sources, each of one voltage: ngspice differentiates every B-source by every
voltage in it, so a network written as a few long expressions costs an order of magnitude more.

The other terminals are driven by ideal sources, which any current leaves as they are, so only the output's current is
there. The deck takes steps of its own (the engine places points at the corners of the waveforms, plain ngspice does
not), and the network is not the device: so controls differ in detail from the recorded run's. What the deck checks is
what the run is for: that the outputs at the end separate the patterns as the targets ask.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from circuits.homodyne.export import VERDICT, head_facts
from circuits.homodyne.loop import HomodyneLoop
from circuits.homodyne.netlist import deck, nodes
from circuits.ngspice.one_thread import ONE_THREAD
from circuits.signals.transient import Transient
from dnpu_models.interface.device import follow_path
from dnpu_models.surrogate.fit import triangle_path
from dnpu_models.surrogate.tanh_network import TanhNetwork, fit_tanh
from inmateria.checks import FloatArray
from inmateria.errors import InputError
from netlists.spice_numbers import format_number

RECORDED = 6000
AROUND = 6000
MARGIN = 0.1
"""How far around the recorded voltages samples are taken, as a fraction of their range."""


def fit_to_run(loop: HomodyneLoop, recorded: Transient, *, iterations: int = 400, seed: int = 0) -> TanhNetwork:
    """Fit the output's current to points of a run, and to a path through the box of voltages around it.

    Parameters
    ----------
    loop : HomodyneLoop
    recorded : Transient
        Its run.
    iterations, seed : int
        As in `fit_tanh`.

    Raises
    ------
    InputError
        If the run holds no device currents.
    """
    volts = np.stack([recorded[f"v({node})"] for node in nodes(loop)], axis=1)
    if recorded.device_A.shape != volts.shape or len(volts) < 1000:
        raise InputError("recorded", recorded.device_A.shape, "holds too few currents", "give a run of this loop")
    rng = np.random.default_rng(seed)
    low, high = volts.min(axis=0), volts.max(axis=0)
    limits = np.asarray(loop.device.limits_V)
    low, high = (np.clip(v, *limits.T) for v in (low - MARGIN * (high - low), high + MARGIN * (high - low)))
    around = triangle_path(low, high, AROUND, rng)
    chosen = rng.permutation(len(volts))[:RECORDED]
    modelled = follow_path(loop.device, around)[:, loop.output]
    currents = np.concatenate([recorded.device_A[chosen, loop.output], modelled])
    return fit_tanh(np.concatenate([volts[chosen], around]), currents, iterations=iterations, seed=seed)


def network_cards(network: TanhNetwork, nodes: list[str], output: str) -> str:
    """The network as cards: the current flows from the node `output` into the device."""
    sources = nodes
    lines = []
    for layer, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
        last = layer == len(network.weights) - 1
        outputs = []
        for unit, (row, constant) in enumerate(zip(weight, bias, strict=True)):
            name = f"dev{layer}_{unit}"
            ends = f"{output} 0" if last else f"0 {name}"
            lines += [
                f"G{name}_{k} {ends} {source} 0 {format_number(w)}"
                for k, (source, w) in enumerate(zip(sources, row, strict=True))
                if w != 0.0
            ]
            lines.append(f"I{name} {ends} {format_number(constant)}")
            if not last:
                lines += [f"R{name} {name} 0 1", f"B{name} {name}h 0 V=tanh(V({name}))"]
            outputs.append(f"{name}h")
        sources = outputs
    return "\n".join(lines)


def check_closable(loop: HomodyneLoop) -> None:
    """Refuse a loop that has no closed deck, before it is run.

    Raises
    ------
    InputError
        If the loop is opened, or the terminals' currents would matter.
    """
    if loop.mode != "learn":
        raise InputError("mode", loop.mode, "is no closed loop", "export the learning loop")
    if loop.part("dither_sum").level != "ideal":
        raise InputError("parts", "dither_sum", "may have an output resistance", "leave it ideal in a closed deck")
    if loop.leads:
        raise InputError("leads", loop.leads, "have a resistance", "leave them out in a closed deck")


def closed_deck(
    loop: HomodyneLoop,
    recorded: Transient,
    network: TanhNetwork | None,
    *,
    separation_V: float,
    provenance: Mapping[str, Any] | None = None,
) -> str:
    """A complete deck that learns in plain ``ngspice -b``.

    It ends with PASS (exit code 0) if at the end the outputs' separation reaches `separation_V` less half of it, else
    with FAIL (exit code 1).

    Parameters
    ----------
    loop : HomodyneLoop
        The closed loop.
    recorded : Transient
        Its run.
    network : TanhNetwork or None
        From `fit_to_run`; None for a device that is a netlist.
    separation_V : float
        Least high less largest low output at the end of the recorded run, V at the transimpedance amplifier.
    provenance : mapping, optional
        What else the head shall tell.

    Raises
    ------
    InputError
        As `check_closable`.
    """
    check_closable(loop)
    title, _, circuit = deck(loop).strip().partition("\n")
    facts = head_facts(loop, recorded, provenance or {})
    controls = [f"v(w{k})" for k in range(loop.dither.n)]
    return "\n".join(
        [
            f"{title.removeprefix('.title').strip()}: it learns in plain ngspice",
            "* Run it with:   ngspice -b THIS_FILE   in a folder where it may write learning.txt",
            *_told(network),
            *(f"*   {key}: {' '.join(str(value).split())}" for key, value in facts.items()),
            circuit.rstrip(),
            *([] if network is None else ["* the device: what flows into its output", _cards(loop, network)]),
            ".save v(tia) " + " ".join(controls),
            ONE_THREAD,
            f".tran {loop.max_step_s!r} {loop.stop_s!r} 0 {loop.max_step_s!r} uic",
            *_control(loop, controls, recorded, separation_V),
            ".end",
            "",
        ]
    )


def _told(network: TanhNetwork | None) -> list[str]:
    """What the head tells of the device."""
    if network is None:
        return [
            "* The device is the netlist that ran: no inmateria is needed. The steps differ, and details with them."
        ]
    accuracy = f"rms {network.rms_A:.3g} A on samples left out of the fit, whose spread is {network.spread_A:.3g} A"
    return [
        "* The device is a network of B-sources, fitted near the recorded run: no inmateria is needed, and",
        f"* details differ from that run. Its accuracy: {accuracy}.",
    ]


def _cards(loop: HomodyneLoop, network: TanhNetwork) -> str:
    return network_cards(network, nodes(loop), nodes(loop)[loop.output])


def _control(loop: HomodyneLoop, controls: list[str], recorded: Transient, separation_V: float) -> list[str]:
    windows: FloatArray = np.asarray(loop.sequence.windows(loop.sequences + 1))
    targets = np.asarray(loop.sequence.targets_V)
    lines = [".control", "run", "let high = 1e9", "let low = -1e9"]
    for p, (start, stop) in enumerate(windows.tolist()):
        lines.append(f"meas tran out{p} avg v(tia) from={start:.12g} to={stop:.12g}")
        value = f"{loop.stage.polarity:g}*out{p}"
        if targets[p] > targets.mean():
            lines.append(f"let high = min(high, {value})")
        else:
            lines.append(f"let low = max(low, {value})")
    lines += ["set wr_singlescale", "set wr_vecnames", "wrdata learning.txt v(tia) " + " ".join(controls)]
    for name in controls:
        lines += [f"echo {name}, recorded {recorded[name][-1]:.6g} V, here:", f"print {name}[length(time)-1]"]
    return [
        *lines,
        "let separation = high - low",
        f"echo separation of the outputs at v(tia), recorded {separation_V:.6g} V, here:",
        "print separation",
        "let missing = abs(time[length(time)-1] - " + f"{loop.stop_s:.12g})",
        f"if (separation gt {separation_V - 0.5 * abs(separation_V):.9g}) and (missing lt 1e-9)",
        *VERDICT,
    ]
