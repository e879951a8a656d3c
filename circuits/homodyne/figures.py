"""What the twin and the averaged loop need of a loop's parts: gains, offsets and time constants, instance by instance.

Ideal parts give ones and zeros. Of macro parts the errors of first order are here, in the equations of their headers:

    electrode k   (1 + esum)(w + level) + amplitude (1 + escale) s sin(theta) + offset        dither_sum
    tia           rf (I - ibias) + vos + 10 kohm ibias, the electrode itself at vos           transimpedance
    u             (1 + 2 tol) tia - baseline + 2 vos                                          difference
    y             p (1 + egain) e^((1 + eslope) c) (u + vos) + feed c + offset                variable_gain
    E             L2 e^2 + L1 e + L0,  e = (1 + 2 tol) y - target + 2 vos                     difference, squared_error
    x_k           (1 + gain) E (sin(theta_k) + yos/scale) + feed E + offset                   mixer
                  times (1 + egain) chop + mismatch, + offset                                 switching_mixer
    m, a          poles of tau (1 + ctol), offsets vos - ibias R                              lowpass
    dw/dt         -rate (V_step (1 + e) tanh((gain a/V_step + vos/2V_T) T0/T) + offset - vos)/((1 + ctol)(1 + ron/R))
                  + (ibias + ileak 2^((T - T0)/10 K))/C                                       limiter, integrator

Left out: bandwidths, nonlinearities beyond their share in the gain at small signals, swings, insulation, what feeds
through of the reference, whose mean is zero, and the integrators' switches' charge (0.5 uV, taken and given back).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from circuits.homodyne.equations import ChannelConstants, LoopConstants, integrator_limits
from circuits.homodyne.loop import HomodyneLoop
from circuits.homodyne.netlist import placements
from circuits.parts.assembly import Placement
from circuits.parts.levels import is_known
from circuits.parts.temperature import NOMINAL_K, leakage_A
from inmateria.checks import FloatArray
from inmateria.errors import InputError

CUBIC = 2.598076
"""Gain at small signals of a cubic that deviates by 1 at most between 0 and full scale, where it is exact."""
THERMAL_V = 51.73e-3
"""2 kT/e of a differential pair at 27 C, in proportion to temperature."""
TIA_RESISTOR_OHM = 1e4
"""Of the inverter behind the transimpedance amplifier."""


Sides = tuple[ChannelConstants, ChannelConstants]
"""Of windows in which the dither has the sign plus, and minus."""


def check_known(loop: HomodyneLoop, engine: str) -> None:
    """Refuse parts whose equations are not here.

    Raises
    ------
    InputError
        For a device that is a netlist, leads, parts of transistors or a user's own, and a loss of macro parts that is
        not the squared one.
    """
    if hasattr(loop.device, "netlist"):
        problem = f"is a netlist, of which the {engine} knows no equations"
        raise InputError("device", loop.device.netlist.summary, problem, "use engine='ngspice'")
    if loop.leads:
        raise InputError("leads", loop.leads, f"have no equation the {engine} knows", "use engine='ngspice'")
    strange = sorted(name for name, part in loop.parts.items() if not is_known(part))
    if loop.loss != "squared" and loop.parts:
        strange = [loop.loss]
    if strange:
        raise InputError("parts", strange, f"have no equation the {engine} knows", "use engine='ngspice'")


def _difference(placed: Placement) -> tuple[float, float, float]:
    """Factors of both inputs and offset of a difference amplifier of gain 1."""
    tolerance = placed.figure("tolerance")
    return 1.0 + 2.0 * tolerance, 1.0, 2.0 * placed.figure("vos")


def _multiplier_gain(placed: Placement, share: float = 1.0) -> float:
    """Gain of a multiplier at small signals; of its second input's nonlinearity the share that is left on average."""
    nonlinear = placed.figure("xnonlin") + share * placed.figure("ynonlin")
    return 1.0 + placed.figure("escale") + CUBIC * nonlinear


def passed_through(placed: Placement, pin: str, scale: float) -> float:
    """What comes through a multiplier of one input, V/V, for the input offset of the other: "xos" of a, "yos" of b."""
    return _multiplier_gain(placed) * placed.figure("gain") * placed.figure(pin) / scale


def _core(placed: Placement) -> float:
    """What stands behind a multiplier's core of 10 V: volts at the output for one at the core."""
    return 10.0 * placed.figure("gain") / placed.figure("vscale")


@lru_cache(maxsize=4)  # placing the parts takes some milliseconds, as long as a short run
def constants_of(loop: HomodyneLoop) -> tuple[LoopConstants, Sides]:
    """A loop's equations in numbers, from its parts as they are placed; of the channels for both signs of `loop.chop`.

    Raises
    ------
    InputError
        As `netlist.circuit`. Of parts that `check_known` refuses the numbers mean nothing.
    """
    at = placements(loop)
    plus = channel_constants(loop, at)
    return loop_constants(loop, at), (plus, channel_constants(loop, at, -1.0) if loop.chopped else plus)


def loop_constants(loop: HomodyneLoop, at: Mapping[str, Placement]) -> LoopConstants:
    """What the parts at their places make of the output stage and the loss."""
    stage, scale, error = loop.stage, float(loop.multiplier_V), loop.error_function
    tia, vga = at["tia"], at["vga"]
    rf, vos, bias = tia.figure("rf"), tia.figure("vos"), tia.figure("ibias")
    u_tia, u_baseline, u_V = _difference(at["ac"])
    heard = vga.figure("vos")  # u is what the variable gain amplifies; baseline and lock-ins hear its input without
    power_0, power_1, power_2 = _power(at["power"], at["short"], stage.level_V**2 / scale, scale)
    error_y, error_target, error_V = _difference(at["error"]) if loop.loss == "squared" else (1.0, 1.0, 0.0)
    loss_2, loss_1, loss_0 = _square(at["loss"]) if loop.loss == "squared" else (1.0, 0.0, 0.0)
    heard_u, heard_V = _listening(at["listen"], scale) if loop.mode == "output" else (1.0, 0.0)
    baseline, agc = (_servo(at[name], loop) for name in ("baseline", "agc"))
    numbers = LoopConstants(
        closed=loop.mode == "learn",
        hears_loss=loop.mode != "output",
        virtual_ground_V=vos,
        transimpedance_ohm=rf,
        tia_V=vos + TIA_RESISTOR_OHM * bias - rf * bias,
        u_tia=u_tia,
        u_baseline=u_baseline,
        u_V=u_V + heard,
        polarity=stage.polarity * (1.0 + vga.figure("egain")),
        gain_slope=1.0 + vga.figure("eslope"),
        gain_feed=vga.figure("feed"),
        y_V=vga.figure("offset"),
        power_0=power_0,
        power_1=power_1,
        power_2=power_2,
        baseline_rate_Hz=baseline[0],
        baseline_V=baseline[1] - heard,
        baseline_reach_V=stage.reach_V,
        gain_rate_Hz=agc[0] / scale,
        gain_V=scale * agc[1],
        gain_low=stage.gain_limits[0],
        gain_high=stage.gain_limits[1],
        loss_kind=error.kind,
        margin_V=error.margin_V,
        knee_V=error.knee_V,
        error_y=error_y,
        error_target=error_target,
        error_V=error_V,
        loss_2=loss_2,
        loss_1=loss_1,
        loss_0=loss_0,
        heard_u=heard_u,
        heard_V=heard_V - heard_u * heard,
        step_V=loop.step_V * _pair_warmth(loop, at),
    )
    # one type for compiled code, whatever was given: flags and the loss's number as they are, the rest floats
    kept = {"closed", "hears_loss", "loss_kind"}
    values: dict[str, Any] = {k: v if k in kept else float(v) for k, v in numbers._asdict().items()}
    return LoopConstants(**values)


def channel_constants(loop: HomodyneLoop, at: Mapping[str, Placement], chop: float = 1.0) -> ChannelConstants:
    """What the parts at their places make of each channel, where the dither has this sign."""
    n, scale, learning = loop.dither.n, float(loop.multiplier_V), loop.mode == "learn"

    def column(of: str, figure: str) -> FloatArray:
        return np.array([at[of.format(k)].figure(figure) for k in range(n)])

    macro = at["mix0"].part.level == "macro"
    mixers = [at[f"mix{k}"] for k in range(n)]
    cores = np.array([_core(mixer) if macro else 0.0 for mixer in mixers])
    passed = np.array([passed_through(mixer, "yos", scale) for mixer in mixers])
    switch = np.ones(n)
    behind = cores * column("mix{}", "offset") + passed * column("mix{}", "xos")
    if loop.chopped:
        switch = column("chop{}", "gain") * ((1.0 + column("chop{}", "egain")) * chop + column("chop{}", "mismatch"))
        behind = switch * behind + column("chop{}", "offset")
    taus = []
    for name in [f"lp{{}}_{pole}" for pole in range(loop.filter_poles)] + (["avg{}"] if learning else []):
        tau = column(name, "tau")
        capacitance = np.where(column(name, "c") > 0.0, column(name, "c"), np.inf)
        behind = behind + column(name, "vos") - column(name, "ibias") * tau / capacitance
        taus.append(tau * (1.0 + column(name, "ctol")))
    nominal = 1.0 / loop.sequence.period_s if learning else loop.channel_gains / loop.reading_scale
    speeds = [integrator_figures(at[f"w{k}"], loop.temperature_K) for k in range(n)]
    limit, shift, out = np.full(n, loop.step_V), np.zeros(n), np.zeros(n)
    if learning:
        limit = column("lim{}", "vlimit") * (1.0 + column("lim{}", "escale"))
        shift = column("lim{}", "vos") / (THERMAL_V * _pair_warmth(loop, at))
        out = column("lim{}", "offset")
    # the integrator adds |rate| vos whatever the sign of its rate: against the limiter's output where it descends
    own = column("w{}", "vos")
    low, high = integrator_limits(loop)
    return ChannelConstants(
        sum_gain=1.0 + column("sum{}", "esum"),
        sum_V=column("sum{}", "offset"),
        amplitude_V=column("sum{}", "amplitude") * scale * (1.0 + column("sum{}", "escale")),
        # of sin^2 (1 - sin^2) the mean is a quarter of that of sin^2
        mix_gain=switch * np.array([_multiplier_gain(mixer, 0.25) for mixer in mixers]),
        mix_feed=switch * (cores * column("mix{}", "xfeed") + passed),
        mix_V=behind,
        taus_s=np.vstack([*taus[: loop.filter_poles], taus[-1]]),
        gain=loop.channel_gains if learning else loop.channel_gains / loop.reading_scale,
        limit_V=np.asarray(limit, dtype=float),
        limit_shift=shift,
        limit_out_V=out - own if learning else own,
        rate=np.array([rate for rate, _ in speeds]) / nominal,
        drift_V_s=np.array([drift for _, drift in speeds]),
        low_V=low,
        high_V=high,
        soak_share=column("w{}", "absorption") / (1.0 + column("w{}", "ctol")),
        soak_s=np.array([w.figure("tabsorb") or np.inf for w in (at[f"w{k}"] for k in range(n))]),
    )


def _pair_warmth(loop: HomodyneLoop, at: Mapping[str, Placement]) -> float:
    """kT/e of the limiters' pairs over that at 27 degC; ideal limiters know no temperature."""
    real = "lim0" in at and at["lim0"].part.level == "macro"
    return loop.temperature_K / NOMINAL_K if real else 1.0


def _power(power: Placement, short: Placement, level: float, scale: float) -> tuple[float, float, float]:
    """short = a level - b power + c as a polynomial of y, the integrator's rate in units of `scale`."""
    plus, minus, offset = _difference(short)
    core = _core(power) if power.part.level == "macro" else 0.0
    through = [passed_through(power, pin, scale) for pin in ("xos", "yos")]
    feed = core * (power.figure("xfeed") + power.figure("yfeed")) + sum(through)
    rest = core * power.figure("offset") + through[0] * power.figure("yos")
    return (
        scale * (plus * level - minus * rest + offset),
        scale * minus * feed,
        minus * _multiplier_gain(power),
    )


def _square(squared: Placement) -> tuple[float, float, float]:
    """L2, L1 and L0 of the squared loss."""
    within = 10.0 / squared.figure("vscale")
    gain = (1.0 + squared.figure("escale") + CUBIC * squared.figure("nonlin")) / squared.figure("vscale")
    return (
        gain,
        within * squared.figure("feed") + gain * squared.figure("ios"),
        within * squared.figure("offset"),
    )


def _listening(listen: Placement, scale: float) -> tuple[float, float]:
    """Factor of u, and offset, of the multiplier by which an opened loop reads the output."""
    amplified = _core(listen) if listen.part.level == "macro" else 0.0
    return (
        _multiplier_gain(listen) + amplified * listen.figure("xfeed") + passed_through(listen, "yos", scale),
        amplified * (listen.figure("yfeed") * scale + listen.figure("offset"))
        + passed_through(listen, "xos", scale) * (scale + listen.figure("yos")),
    )


def integrator_figures(placed: Placement, temperature_K: float) -> tuple[float, float]:
    """An integrator's slope while its gate is open, 1/s per V without sign, and its drift at any time, V/s."""
    rate, capacitance = abs(placed.figure("rate")), placed.figure("c") * (1.0 + placed.figure("ctol"))
    slope = rate / (1.0 + placed.figure("ctol")) / (1.0 + placed.figure("ron") * rate * placed.figure("c"))
    current = placed.figure("ibias") + leakage_A(placed.figure("ileak"), temperature_K)
    return slope, current / capacitance if capacitance else 0.0


def _servo(placed: Placement, loop: HomodyneLoop) -> tuple[float, float]:
    """Rate of a servo's integrator, and its offset at the input: its drift, too, which the windows make up for."""
    slope, drift = integrator_figures(placed, loop.temperature_K)
    share = loop.sequence.listening_s / loop.sequence.period_s
    made_up_for = drift / slope / share if slope else 0.0
    return slope, placed.figure("vos") + made_up_for
