"""The largest voltages of a loop's nodes that are known before it runs: references, levels, rails and ranges."""

from __future__ import annotations

import numpy as np

from circuits.homodyne.loop import HomodyneLoop


def signal_peaks_V(loop: HomodyneLoop) -> dict[str, float]:
    """Largest magnitudes by node, V; the nodes of `circuits.homodyne.netlist`.

    Rails of an opened loop's reading integrators are not among them: they lie above any slope, and a reading that an
    op-amp cannot give ends where the op-amp does.
    """
    stage, sequence, limits = loop.stage, loop.sequence, np.abs(np.asarray(loop.device.limits_V))
    peaks = {f"ref{k}": float(loop.multiplier_V) for k in range(loop.dither.n)}
    peaks |= {"listening": float(loop.multiplier_V), "level": stage.level_V**2 / loop.multiplier_V}
    peaks |= {"baseline": stage.reach_V, "tia": stage.reach_V, "gainlog": max(map(abs, stage.gain_limits))}
    peaks |= {"target": max(map(abs, sequence.targets_V))}
    peaks |= {f"level{w}": max(abs(levels[w]) for levels in sequence.levels_V) for w in range(sequence.inputs)}
    peaks |= {f"el{terminal}": float(np.max(limits[terminal])) for terminal in loop.trained}
    if loop.mode == "learn":
        rails = np.max(np.abs(loop.control_limits_V), axis=0)
        peaks |= {f"w{k}": float(rail) for k, rail in enumerate(rails)}
    return peaks
