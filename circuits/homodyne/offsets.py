"""What offsets behind the mixers add to a gradient, before any run: from the parts' figures, or measured.

A lock-in turns an offset V_off behind its mixer into a gradient of (2/alpha) V_off over the share of time it listens.
What feeds through the mixer is such an offset, too: a fraction of the mean of what it hears. Ideal and macro parts
state what they add; parts of transistors and a user's own do not, so their channels are run with a constant at their
input.
"""

from __future__ import annotations

import numpy as np

from circuits.homodyne.engines import LoopEngine, Ngspice
from circuits.homodyne.figures import integrator_figures, passed_through
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
    return _channels(loop, engine, heard_V)


def measured_gains(loop: HomodyneLoop, engine: Ngspice, heard_V: float, slope: float) -> FloatArray:
    """What each channel of an opened loop makes of a slope, V/V, beside `heard_V`: over that slope, (n_trained,)."""
    return (_channels(loop, engine, heard_V, slope) - _channels(loop, engine, heard_V)) / slope


def _channels(loop: HomodyneLoop, engine: Ngspice, heard_V: float, slope: float = 0.0) -> FloatArray:
    """Readings of the channels alone, V/V, (n_trained,); errors as `channel_bias`."""
    _check_opened(loop)
    run = engine.engine.transient(
        channels_deck(loop, heard_V, slope),
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

        bias_k = (2/alpha_k)/duty/(1 + e)/(1 + ron/R)
                 ((stop - sum tau) V_mixer + stop (sum (V_lowpass - I_lowpass R) + V_integrator) + duty f V_heard)
                 + stop I_integrator/C

    over the poles, which the mixer's offset has to charge first; V_mixer is its output offset, and the product of its
    input offsets; the others are input offsets of op-amps, I bias currents, the integrator's with its switch's leakage;
    f is the mixer's feedthrough and its input offset at the reference over the scale, e the error of the integrator's
    capacitor, ron its switch. Of the reference itself, F sin(omega t + phi) behind the mixer by its feedthrough and the
    other input offset, a reading that ends between its cycles keeps

        int m dt = F (cos phi - cos(omega stop + phi))/omega - sum_p tau_p m_p(stop),   m_p = Im(F e^i(omega stop + phi)
                                                                           prod_(q <= p) 1/(1 + i omega tau_q))

    In a chopped loop of V_mixer and f only the switch's mismatch is left, its own offset comes with them, and what
    comes of the reference changes its sign, too: its integral is summed from one change to the next.

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
    passed = [passed_through(mixer, pin, loop.multiplier_V) for pin in ("xos", "yos")]
    omega, phase = 2.0 * np.pi * loop.dither.frequencies_Hz[k], loop.dither.phases_rad[k]
    reference_V = loop.multiplier_V * (mixer.figure("yfeed") * amplification + passed[0])
    turns_s, signs = _reference_signs(loop)
    waves = reference_V * np.exp(1j * (omega * turns_s + phase))
    ending = signs[-1] * waves[-1]
    behind, charging = integrator.figure("vos"), 0.0
    total = -float(signs @ np.diff(waves.real)) / omega
    for pole in range(loop.filter_poles):
        lowpass = at[f"lp{k}_{pole}"]
        resistance = lowpass.figure("tau") / (lowpass.figure("c") or np.inf)
        behind += lowpass.figure("vos") - lowpass.figure("ibias") * resistance
        tau = lowpass.figure("tau") * (1.0 + lowpass.figure("ctol"))
        ending /= 1.0 + 1j * omega * tau
        total -= tau * ending.imag
        charging += tau
    duty = loop.listened_s
    at_rest = mixer.figure("offset") * amplification + passed[1] * mixer.figure("xos")
    feed = mixer.figure("xfeed") * amplification + passed[1]
    if loop.chopped:
        switch = at[f"chop{k}"]
        left = switch.figure("gain") * switch.figure("mismatch")
        at_rest, feed = left * at_rest + switch.figure("offset"), left * feed
        total *= switch.figure("gain")
    total += (loop.stop_s - charging) * at_rest + loop.stop_s * behind + duty * feed * heard_V
    slope, drift = integrator_figures(integrator, loop.temperature_K)
    return float(loop.reading_scale * (slope * total + drift * loop.stop_s))


def _reference_signs(loop: HomodyneLoop) -> tuple[FloatArray, FloatArray]:
    """Between which times the reference comes behind the mixers with which sign: from 0 to the reading's end."""
    if not loop.chopped:
        return np.array([0.0, loop.stop_s]), np.ones(1)
    times, signs = np.array(loop.chop.times_s), np.array(loop.chop.values)
    return np.concatenate([[0.0], 0.5 * (times[1::2] + times[2::2]), [loop.stop_s]]), signs[::2]


def _check_opened(loop: HomodyneLoop) -> None:
    if loop.mode == "learn":
        raise InputError("mode", loop.mode, "a closed loop holds no reading", "open it first")
