"""What offsets behind the mixers add to a gradient, from the parts' own figures, before any run.

A lock-in turns an offset V_off behind its mixer into a gradient of (2/alpha) V_off over the share of time it listens.
What feeds through the mixer is such an offset, too: a fraction of the mean of what it hears.
"""

from __future__ import annotations

import numpy as np

from circuits.homodyne.loop import HomodyneLoop
from circuits.parts.rc_values import pole_values
from inmateria.checks import FloatArray
from inmateria.errors import InputError
from netlists.reader import Part


def _figure(part: Part, name: str) -> float:
    """An error parameter, 0 where the level has none."""
    return part.defaults.get(name, 0.0)


def offset_bias(loop: HomodyneLoop, heard_V: float = 0.0) -> FloatArray:
    """Constant that the offsets behind the mixers add to each reading of an opened loop: V/V, (n_trained,).

    The integrator adds up (2/alpha_k)/duty times its input for the whole run, duty the time the windows take:

        bias_k = (2/alpha_k)/duty/(1 + e)
                 ((stop - n tau) V_mixer + stop (n (V_lowpass + I_lowpass tau/C) + V_integrator) + duty f V_heard)

    with n poles, which the mixer's offset has to charge first; V_mixer is its output offset, the others are input
    offsets of op-amps, f its feedthrough, e the error of the integrator's capacitor.

    Parameters
    ----------
    loop : HomodyneLoop
        Opened.
    heard_V : float
        Mean over the windows of what the mixers hear: of the loss, or of the output less its baseline.

    Raises
    ------
    InputError
        If the loop is not opened.
    """
    if loop.mode == "learn":
        raise InputError("mode", loop.mode, "a closed loop holds no reading", "open it first")
    mixer, lowpass, integrator = (loop.part(name) for name in ("mixer", "lowpass", "integrator"))
    # What the multiplier's output amplifier adds in gain, it adds to the core's offset (10 V core).
    amplification = 10.0 * _figure(mixer, "gain") / loop.multiplier_V
    offset = _figure(mixer, "offset") * amplification
    pole = pole_values(lowpass, loop.filter_s)
    resistance = pole["tau"] / pole.get("c", lowpass.defaults.get("c", np.inf))
    behind = loop.filter_poles * (_figure(lowpass, "vos") + _figure(lowpass, "ibias") * resistance)
    behind += _figure(integrator, "vos")
    charging = loop.filter_poles * pole["tau"] * (1.0 + _figure(lowpass, "ctol"))
    duty = loop.sequence.listening_s
    fed = _figure(mixer, "xfeed") * amplification * heard_V
    total = (loop.stop_s - charging) * offset + loop.stop_s * behind + duty * fed
    return np.asarray(loop.channel_gains * total / (1.0 + _figure(integrator, "ctol")))
