"""What offsets behind the mixers add to a gradient, before any run: from the parts' figures, or measured.

A lock-in turns an offset V_off behind its mixer into a gradient of (2/alpha) V_off over the share of time it listens.
What feeds through the mixer is such an offset, too: a fraction of the mean of what it hears. Ideal and macro parts
state what they add; parts of transistors and a user's own do not, so their channels are run with a constant at their
input.
"""

from __future__ import annotations

import numpy as np

from circuits.homodyne.engines import LoopEngine, Ngspice
from circuits.homodyne.loop import HomodyneLoop
from circuits.homodyne.netlist import channels_deck, placements
from circuits.parts.assembly import Placement
from circuits.parts.levels import CHOPPER, is_known
from inmateria.checks import FloatArray
from inmateria.errors import InputError

CHANNEL = ("mixer", CHOPPER, "lowpass", "integrator")
"""Parts of a reading channel."""


def has_figures(loop: HomodyneLoop) -> bool:
    """Whether all parts of the channels state what they add."""
    return all(is_known(loop.part(name)) for name in CHANNEL)


def channel_bias(loop: HomodyneLoop, engine: LoopEngine, heard_V: float = 0.0) -> FloatArray:
    """Constant that the channels of an opened loop add to each reading, V/V, (n_trained,).

    By the parts' figures, where they have all of them; else measured.

    Parameters
    ----------
    loop : HomodyneLoop
        Opened.
    engine : LoopEngine
        Of the reading.
    heard_V : float
        Mean over the windows of what the mixers hear: of the loss, or of the output less its baseline.

    Raises
    ------
    InputError
        If the loop is not opened, or the parts have no figures and the engine is not ngspice.
    NetlistError, ConvergenceError, EngineError
        As a transient of ngspice.
    """
    if has_figures(loop):
        return offset_bias(loop, heard_V)
    if not isinstance(engine, Ngspice):
        raise InputError("engine", engine.name, "knows no parts without figures", "use engine='ngspice'")
    return measured_bias(loop, engine, heard_V)


def measured_bias(loop: HomodyneLoop, engine: Ngspice, heard_V: float = 0.0) -> FloatArray:
    """As `channel_bias`, measured whatever the parts are: the channels alone, `heard_V` at their inputs."""
    _check_opened(loop)
    run = engine.engine.transient(
        channels_deck(loop, heard_V),
        stop_s=loop.stop_s,
        max_step_s=loop.max_step_s,
        save=[f"v(w{k})" for k in range(loop.dither.n)],
        corners_s=loop.corners_s,
        grids_s=loop.grids_s,
    )
    return loop.reading_scale * np.array([run[f"v(w{k})"][-1] for k in range(loop.dither.n)])


def offset_bias(loop: HomodyneLoop, heard_V: float = 0.0) -> FloatArray:
    """As `channel_bias`, by the figures of the parts as they are placed, their component errors included.

    The integrator adds up (2/alpha_k)/duty times its input for the whole run, duty the time the windows take:

        bias_k = (2/alpha_k)/duty/(1 + e)
                 ((stop - sum tau) V_mixer + stop (sum (V_lowpass - I_lowpass R) + V_integrator) + duty f V_heard)
                 + stop I_integrator/C

    over the poles, which the mixer's offset has to charge first; V_mixer is its output offset, the others are input
    offsets of op-amps, I bias currents, f its feedthrough, e the error of the integrator's capacitor. Left out is the
    reference's feedthrough, whose mean is zero: a reading that ends between its cycles keeps up to 0.02 V/V of it.

    In a chopped loop of V_mixer and f only the switch's mismatch is left, and its own offset comes with them.

    Raises
    ------
    InputError
        If the loop is not opened.
    """
    _check_opened(loop)
    at = placements(loop)
    return np.array([_bias(loop, at, k, heard_V) for k in range(loop.dither.n)])


def _bias(loop: HomodyneLoop, at: dict[str, Placement], k: int, heard_V: float) -> float:
    """Of one channel, V/V."""
    mixer, integrator = at[f"mix{k}"], at[f"w{k}"]
    # What the multiplier's output amplifier adds in gain, it adds to the core's offset (10 V core).
    amplification = 10.0 * mixer.figure("gain") / loop.multiplier_V
    behind, charging = integrator.figure("vos"), 0.0
    for pole in range(loop.filter_poles):
        lowpass = at[f"lp{k}_{pole}"]
        resistance = lowpass.figure("tau") / (lowpass.figure("c") or np.inf)
        behind += lowpass.figure("vos") - lowpass.figure("ibias") * resistance
        charging += lowpass.figure("tau") * (1.0 + lowpass.figure("ctol"))
    duty = loop.sequence.listening_s * loop.shown
    passed, switch_V = 1.0, 0.0
    if loop.chopped:
        passed, switch_V = (
            at[f"chop{k}"].figure("gain") * at[f"chop{k}"].figure("mismatch"),
            at[f"chop{k}"].figure("offset"),
        )
    total = (loop.stop_s - charging) * (mixer.figure("offset") * amplification * passed + switch_V)
    total += loop.stop_s * behind + duty * mixer.figure("xfeed") * amplification * passed * heard_V
    moved = integrator.figure("rate") * total
    if integrator.figure("c"):
        moved += loop.stop_s * integrator.figure("ibias") / integrator.figure("c")
    return float(loop.reading_scale * moved / (1.0 + integrator.figure("ctol")))


def _check_opened(loop: HomodyneLoop) -> None:
    if loop.mode == "learn":
        raise InputError("mode", loop.mode, "a closed loop holds no reading", "open it first")
