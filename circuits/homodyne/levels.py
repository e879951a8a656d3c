"""Levels of a homodyne loop's sources before and after an edge of gate and pattern, for the fast check of its parts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from circuits.fast_check.cells import Levels
from circuits.fast_check.check import FastCheck, Requirements, Tones, check_parts
from circuits.homodyne.loop import HomodyneLoop
from circuits.homodyne.netlist import placements
from circuits.ngspice.engine import Engine
from circuits.parts.levels import rails_of


def source_levels(loop: HomodyneLoop) -> dict[str, Levels]:
    """Voltages of the nodes that sources hold, V: references at their peak, the gate opening, the widest pattern edge.

    The target falls while the output rises, which is the largest error.
    """
    sequence, scale = loop.sequence, float(loop.multiplier_V)
    targets, patterns = np.array(sequence.targets_V), np.array(sequence.levels_V)
    found: dict[str, Levels] = {
        "gate": (0.0, 1.0), "learning": (0.0, 1.0), "envelope": (0.0, 1.0),
        "target": (float(targets.max()), float(targets.min())), "side": (1.0, -1.0),
        "level": (loop.stage.level_V**2 / scale,) * 2, "listening": (0.0, scale),
    }  # fmt: skip
    found |= {f"level{k}": (float(patterns[:, k].min()), float(patterns[:, k].max())) for k in range(sequence.inputs)}
    if loop.chopped:
        found |= {"chop": (1.0, -1.0), "envelope": (1.0, -1.0)}
    found |= {f"ref{k}": (scale, scale) for k in range(loop.dither.n)}
    supply = rails_of(loop.parts).defaults["vsupply"]
    found |= {"vp": (supply, supply), "vn": (-supply, -supply)}
    return found | {f"bias{k}": (float(v), float(v)) for k, v in enumerate(loop.start_V)}


def device_currents(loop: HomodyneLoop) -> dict[str, Levels]:
    """Currents of the device into the electronics, A: those that take the output from minus to plus `level_V`."""
    stage = loop.stage
    reach = stage.level_V * float(np.exp(-stage.gain_log))
    low, high = ((stage.baseline_V + sign * reach) / stage.transimpedance_ohm for sign in (-1.0, 1.0))
    return {f"el{loop.output}": (low, high)}


def tones(loop: HomodyneLoop) -> Tones:
    """The references, and a sine of the device's current that takes the output to `level_V`, at the highest tone."""
    peaks = {f"ref{k}": float(loop.multiplier_V) for k in range(loop.dither.n)}
    currents = {node: 0.5 * (high - low) for node, (low, high) in device_currents(loop).items()}
    return Tones(max(loop.dither.frequencies_Hz), {**peaks, **currents})


def fast_check(
    loop: HomodyneLoop,
    engine: Engine,
    asked: Requirements | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> FastCheck:
    """The fast check of a loop's parts; arguments and errors as `circuits.fast_check.check.check_parts`."""
    return check_parts(
        engine, placements(loop), source_levels(loop), device_currents(loop), tones(loop), asked, progress
    )
