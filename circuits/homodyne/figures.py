"""What the twin and the averaged loop need of a loop's parts: gains, offsets and time constants, instance by instance.

Ideal parts give ones and zeros. Of macro parts the errors of first order are here, in the equations of their headers:

    electrode k   (1 + esum)(w + level) + amplitude (1 + escale) s sin(theta) + offset        dither_sum
    tia           rf (I - ibias) + vos + 10 kohm ibias, the electrode itself at vos           transimpedance
    u             (1 + 2 tol) tia - baseline + 2 vos                                          difference
    y             p (1 + egain) e^((1 + eslope) c) u + feed c + offset                        variable_gain
    E             L2 e^2 + L1 e + L0,  e = (1 + 2 tol) y - target + 2 vos                     difference, squared_error
    x_k           (1 + gain) E sin(theta_k) + feed E + offset                                 mixer
    m, a          poles of tau (1 + ctol), offsets vos - ibias R                              lowpass
    dw/dt         -rate (V_step (1 + e) tanh(gain a/V_step + vos/2V_T) + offset - vos)/(1 + ctol) + ibias/C
                                                                                              limiter, integrator

Left out: bandwidths, nonlinearities beyond their share in the gain at small signals, swings, leakage, and the
reference's feedthrough, whose mean is zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from circuits.homodyne.loop import HomodyneLoop
from circuits.homodyne.netlist import placements
from circuits.parts.assembly import Placement
from inmateria.checks import FloatArray
from inmateria.errors import InputError
from netlists.reader import Part, available, load_part

CUBIC = 2.598076
"""Gain at small signals of a cubic that deviates by 1 at most between 0 and full scale, where it is exact."""
THERMAL_V = 51.73e-3
"""2 kT/e of a differential pair at 27 C."""
TIA_RESISTOR_OHM = 1e4
"""Of the inverter behind the transimpedance amplifier."""


@dataclass(frozen=True, eq=False)
class LoopFigures:
    """A loop's equations in numbers.

    Attributes
    ----------
    virtual_ground_V, transimpedance_ohm, tia_V : float
        v(tia) = transimpedance I + tia_V.
    u : tuple of float
        Factors of v(tia) and of the baseline, and offset.
    y : tuple of float
        Gain with polarity, factor of c in the exponent, feedthrough of c, offset.
    power : tuple of float
        Mean square regulator: short = power[0] - power[2] y^2 - power[1] y.
    baseline, agc : tuple of float
        Rate (1/s) of each of the stage's two integrators, and offset at its input, V.
    error : tuple of float
        Factors of y and of the target, and offset.
    loss : tuple of float
        L2, L1, L0 of the squared loss.
    heard : tuple of float
        Of an opened loop that reads the output: factor of u, and offset.
    sum_gain, sum_V, amplitude_V : ndarray, shape (n,)
        Electrode: factor of control and level, offset, and amplitude of the dither.
    mixer_gain, mixer_feed, mixer_V : ndarray, shape (n,)
        The last with all offsets between mixer and limiter: those of low-pass and averager, too.
    filter_s, average_s : ndarray, shape (poles, n) and (n,)
    limit_V, limit_shift, limit_out_V : ndarray, shape (n,)
        What the limiter tends to; its argument's offset; its output's, less the integrator's own.
    rate, drift_V_s : ndarray, shape (n,)
        Rate of each control's integrator as a fraction of the nominal one, and its drift.
    """

    virtual_ground_V: float
    transimpedance_ohm: float
    tia_V: float
    u: tuple[float, float, float]
    y: tuple[float, float, float, float]
    power: tuple[float, float, float]
    baseline: tuple[float, float]
    agc: tuple[float, float]
    error: tuple[float, float, float]
    loss: tuple[float, float, float]
    heard: tuple[float, float]
    sum_gain: FloatArray
    sum_V: FloatArray
    amplitude_V: FloatArray
    mixer_gain: FloatArray
    mixer_feed: FloatArray
    mixer_V: FloatArray
    filter_s: FloatArray
    average_s: FloatArray
    limit_V: FloatArray
    limit_shift: FloatArray
    limit_out_V: FloatArray
    rate: FloatArray
    drift_V_s: FloatArray


def check_known(loop: HomodyneLoop, engine: str) -> None:
    """Refuse parts whose equations are not here.

    Raises
    ------
    InputError
        For leads, parts of transistors or a user's own, and a loss of macro parts that is not the squared one.
    """
    if loop.leads:
        raise InputError("leads", loop.leads, f"have no equation the {engine} knows", "use engine='ngspice'")
    strange = sorted(name for name, part in loop.parts.items() if not _is_known(part))
    if loop.loss != "squared" and loop.parts:
        strange = [loop.loss]
    if strange:
        raise InputError("parts", strange, f"have no equation the {engine} knows", "use engine='ngspice'")


def _is_known(part: Part) -> bool:
    """Whether a part is one of the library's, with whatever figures."""
    if part.level not in ("ideal", "macro") or (part.name, part.level) not in available():
        return False
    known = load_part(part.name, part.level)
    return part.equation == known.equation and part.subckt.startswith(known.subckt)


def _difference(placed: Placement) -> tuple[float, float, float]:
    """Factors of both inputs and offset of a difference amplifier of gain 1."""
    tolerance = placed.figure("tolerance")
    return 1.0 + 2.0 * tolerance, 1.0, 2.0 * placed.figure("vos")


def _multiplier_gain(placed: Placement, share: float = 1.0) -> float:
    """Gain of a multiplier at small signals; of its second input's nonlinearity the share that is left on average."""
    nonlinear = placed.figure("xnonlin") + share * placed.figure("ynonlin")
    return 1.0 + placed.figure("escale") + CUBIC * nonlinear


def _core(placed: Placement) -> float:
    """What stands behind a multiplier's core of 10 V: volts at the output for one at the core."""
    return 10.0 * placed.figure("gain") / placed.figure("vscale")


def loop_figures(loop: HomodyneLoop) -> LoopFigures:
    """The figures of a loop's parts as they are placed; see `check_known` for what must not be among them."""
    at, n, stage = placements(loop), loop.dither.n, loop.stage
    scale, learning = float(loop.multiplier_V), loop.mode == "learn"

    def column(of: str, figure: str) -> FloatArray:
        return np.array([at[of.format(k)].figure(figure) for k in range(n)])

    tia, vga = at["tia"], at["vga"]
    rf, vos, bias = tia.figure("rf"), tia.figure("vos"), tia.figure("ibias")
    polarity = stage.polarity * (1.0 + vga.figure("egain"))
    # short = a level - b power + c, the integrator's rate in units of `scale`
    power, plus, minus, offset = at["power"], *_difference(at["short"])
    feed = power.figure("xfeed") + power.figure("yfeed")
    level = stage.level_V**2 / scale
    core = _core(power) if power.part.level == "macro" else 0.0
    squared = at["loss"]
    error = (1.0, 1.0, 0.0)
    loss = (1.0, 0.0, 0.0)
    if loop.loss == "squared":
        error = _difference(at["error"])
        within = 10.0 / squared.figure("vscale")
        loss = (
            (1.0 + squared.figure("escale") + CUBIC * squared.figure("nonlin")) / squared.figure("vscale"),
            within * squared.figure("feed"),
            within * squared.figure("offset"),
        )
    heard = (1.0, 0.0)
    if loop.mode == "output":
        listen = at["listen"]
        amplified = _core(listen) if listen.part.level == "macro" else 0.0
        heard = (
            _multiplier_gain(listen) + amplified * listen.figure("xfeed"),
            amplified * (listen.figure("yfeed") * scale + listen.figure("offset")),
        )
    macro = at["mix0"].part.level == "macro"
    mixers = [at[f"mix{k}"] for k in range(n)]
    cores = np.array([_core(mixer) if macro else 0.0 for mixer in mixers])
    # of sin^2 (1 - sin^2) the mean is a quarter of that of sin^2
    gain = np.array([_multiplier_gain(mixer, 0.25) for mixer in mixers])
    behind = cores * column("mix{}", "offset")
    filters = [f"lp{{}}_{pole}" for pole in range(loop.filter_poles)] + (["avg{}"] if learning else [])
    taus = []
    for name in filters:
        tau = column(name, "tau")
        resistance = np.array([t / at[name.format(k)].part.defaults.get("c", np.inf) for k, t in enumerate(tau)])
        behind = behind + column(name, "vos") - column(name, "ibias") * resistance
        taus.append(tau * (1.0 + column(name, "ctol")))
    integrators = [at[f"w{k}"] for k in range(n)]
    nominal = 1.0 / loop.sequence.period_s if learning else loop.channel_gains / loop.reading_scale
    rate = np.abs(column("w{}", "rate")) / nominal / (1.0 + column("w{}", "ctol"))
    capacity = np.array([w.figure("c") * (1.0 + w.figure("ctol")) if w.figure("c") else np.inf for w in integrators])
    limit, shift, out = np.full(n, loop.step_V), np.zeros(n), np.zeros(n)
    if learning:
        limit = column("lim{}", "vlimit") * (1.0 + column("lim{}", "escale"))
        shift, out = column("lim{}", "vos") / THERMAL_V, column("lim{}", "offset")
    # the integrator adds |rate| vos whatever the sign of its rate: against the limiter's output where it descends
    own = column("w{}", "vos")
    return LoopFigures(
        virtual_ground_V=vos,
        transimpedance_ohm=rf,
        tia_V=vos + TIA_RESISTOR_OHM * bias - rf * bias,
        u=_difference(at["ac"]),
        y=(polarity, 1.0 + vga.figure("eslope"), vga.figure("feed"), vga.figure("offset")),
        power=(
            scale * (plus * level - minus * core * power.figure("offset") + offset),
            scale * minus * core * feed,
            minus * _multiplier_gain(power),
        ),
        baseline=_servo(at["baseline"]),
        agc=(_servo(at["agc"])[0] / scale, scale * _servo(at["agc"])[1]),
        error=error,
        loss=loss,
        heard=heard,
        sum_gain=1.0 + column("sum{}", "esum"),
        sum_V=column("sum{}", "offset"),
        amplitude_V=column("sum{}", "amplitude") * scale * (1.0 + column("sum{}", "escale")),
        mixer_gain=gain,
        mixer_feed=cores * column("mix{}", "xfeed"),
        mixer_V=behind,
        filter_s=np.array(taus[: loop.filter_poles]),
        average_s=taus[-1],
        limit_V=limit,
        limit_shift=shift,
        limit_out_V=out - own if learning else own,
        rate=rate,
        drift_V_s=column("w{}", "ibias") / capacity,
    )


def _servo(placed: Placement) -> tuple[float, float]:
    """Rate of an integrator with its capacitor's error, and its offset at the input."""
    return placed.figure("rate") / (1.0 + placed.figure("ctol")), placed.figure("vos")
