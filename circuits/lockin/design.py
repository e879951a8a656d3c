"""From requirements to a lock-in: tones, time constant and slope, dither amplitude, component values.

What a reading is wrong by, at the time T after which it is taken, for n equal poles (H the filter's response):

    settling    what the empty filter still lacks: Q(n, T / tau)
    crosstalk   products of the other tones, of the background and of the channel's own tone at 2 f, where they lie
                (|H| there, and what their switching on has left at T), relative to the slope that is read
    amplitude   slope averaged over the dither instead of at a point: (1/8 + (N - 1)/4) alpha^2 / V_c^2
    offset      of mixer and filters, and the signal's constant part that the mixer lets through: 2 V / (alpha slope)
    noise       sqrt(2 S ENBW) / (alpha slope)
    total       sqrt(noise^2 + (settling + crosstalk + amplitude + offset)^2)

A longer time constant trades settling for crosstalk and noise, a larger dither trades noise for amplitude error:
`design_lockin` takes, over all four slopes, the pair with the smallest total, with the tones as far apart as the band
allows. The crosstalk is for the worst phases, so a circuit is at least as good.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from scipy.special import gammaincc

from circuits.lockin.netlist import LockInBlock, channel_blocks
from circuits.ngspice.engine import Engine, Progress
from circuits.parts.chosen import by_name, chosen_part
from circuits.parts.preamble import preamble
from circuits.parts.rc_values import RC, nearest_rc
from inmateria.checks import FloatArray, count, not_negative, positive
from inmateria.errors import InputError
from lockin.plan import DitherPlan, floor_digits, plan_frequencies
from lockin.planning import gains, narrowed, safe_loop_gain, widest_tones
from lockin.settings import LockInSettings
from lockin.theory import enbw_Hz
from netlists.reader import Part
from netlists.spice_numbers import format_number

SIGNAL_V = 5.0
"""The gain before the mixers brings the largest signal here: half of what they take."""
MOST = 1e4
"""Requirements are relaxed by at most so much when looking for what would do."""
POINTS_PER_CYCLE = 24
MOST_POINTS = 2_000_000


@dataclass(frozen=True)
class LockInRequirements:
    """What a bank of lock-ins has to do. "unit" is that of the signal that is read, such as V.

    Attributes
    ----------
    channels : int
        Gradients read at once: tones.
    settling_s : float
        Time after which a gradient is read, s; filters start empty.
    gradient_error : float
        Largest error of a gradient, relative to `slope`: rms of noise and of all that is systematic.
    slope : float
        The |dy/dV| that is to be read so well, unit/V.
    noise_psd : float
        One-sided white noise of the signal at the tones, unit^2/Hz.
    dither_limit_V : float
        Largest peak dither the device's range leaves room for, V.
    band_Hz : tuple of float, optional
        Lowest and highest tone, Hz; left out: any, and the tones are then as low as the crosstalk allows.
    nonlinearity_V : float, optional
        Voltage V_c over which slopes change, in the sense of f_kkk = f_kjj = f_k / V_c^2, V.
    neighbour : float, optional
        How much larger the other channels' slopes may be.
    background : float, optional
        Constant part of the signal, unit.
    avoid_Hz : tuple of float, optional
        Frequencies whose harmonics the tones keep off, such as the mains, Hz.
    curvature : float, optional
        Largest curvature of the loss, unit/V^2, where the reading drives integrators that descend it; left out: no
        integrators are designed.
    mixer_offset_V, pole_offset_V : float, optional
        Offsets at the outputs of the mixer and of each pole, V, for a signal in V; `with_parts` takes them from parts.
    feedthrough : float, optional
        Part of the signal that the mixer lets through unmixed, V/V.

    Raises
    ------
    InputError
        When built with values that make no sense.
    """

    channels: int
    settling_s: float
    gradient_error: float
    slope: float
    noise_psd: float
    dither_limit_V: float
    band_Hz: tuple[float, float] | None = None
    nonlinearity_V: float = math.inf
    neighbour: float = 1.0
    background: float = 0.0
    avoid_Hz: tuple[float, ...] = ()
    curvature: float | None = None
    mixer_offset_V: float = 0.0
    pole_offset_V: float = 0.0
    feedthrough: float = 0.0

    def __post_init__(self) -> None:
        count("channels", self.channels)
        units = {"settling_s": "s", "gradient_error": "1 (a ratio)", "slope": "unit/V", "dither_limit_V": "V"}
        for name, unit in units.items():
            positive(name, getattr(self, name), unit)
        if self.curvature is not None:
            positive("curvature", self.curvature, "unit/V^2")
        if self.gradient_error >= 1.0:
            raise InputError("gradient_error", self.gradient_error, "is no error but a guess", "give a ratio below 1")
        if not self.nonlinearity_V > 0.0:
            raise InputError("nonlinearity_V", self.nonlinearity_V, "is not positive", "give it in V, or leave it out")
        units = {"noise_psd": "unit^2/Hz", "neighbour": "1 (a ratio)", "background": "unit", "feedthrough": "V/V"}
        for name, unit in {**units, "mixer_offset_V": "V", "pole_offset_V": "V"}.items():
            not_negative(name, getattr(self, name), unit)
        if self.band_Hz is not None:
            low, high = self.band_Hz
            if not (math.isfinite(high) and 0.0 <= low < high):
                raise InputError("band_Hz", self.band_Hz, "is no band", "give (lowest, highest) tone in Hz")

    def with_parts(self, level: str, parts: Sequence[Part] = ()) -> LockInRequirements:
        """The same requirements on a lock-in of real parts: offsets and feedthrough as their files state them.

        Parameters
        ----------
        level : str
            Level of the parts.
        parts : sequence of Part, optional
            Parts in place of the level's.

        Raises
        ------
        InputError
            If the level lacks a part.
        """
        mixer, pole = (chosen_part(by_name(parts), name, level) for name in ("mixer", "lowpass"))
        return replace(
            self,
            mixer_offset_V=abs(mixer.defaults.get("offset", 0.0)),
            pole_offset_V=abs(pole.defaults.get("vos", 0.0)),
            feedthrough=abs(mixer.defaults.get("xfeed", 0.0)) + abs(mixer.defaults.get("yos", 0.0)) / 10.0,
        )

    def largest_V(self, alpha: Any) -> Any:
        """Largest signal: the background and all tones in phase, with dither `alpha`."""
        return self.background + alpha * self.slope * (1.0 + self.neighbour * (self.channels - 1))


@dataclass(frozen=True)
class DesignErrors:
    """Predicted errors of a gradient, relative to the slope, at the time it is read.

    Attributes
    ----------
    settling, crosstalk, amplitude, offset : float
        Systematic; crosstalk for the worst phases and the worst channel.
    noise : float
        rms.
    """

    settling: float
    crosstalk: float
    amplitude: float
    offset: float
    noise: float

    @property
    def systematic(self) -> float:
        """Sum of what is systematic."""
        return self.settling + self.crosstalk + self.amplitude + self.offset

    @property
    def total(self) -> float:
        """Rms of noise and the systematic sum."""
        return math.hypot(self.noise, self.systematic)


@dataclass(frozen=True)
class LockInDesign:
    """What `design_lockin` found.

    Attributes
    ----------
    requirements : LockInRequirements
    dither : DitherPlan
        Tones and peak amplitudes.
    settings : LockInSettings
        Slope, and time constant as the components have it.
    gain : float
        Gain before the mixers that brings the largest signal (background and all tones in phase) to 5 V, for a signal
        in V: with real parts, offsets behind it count so much less. Three digits, rounded down.
    pole : RC
        Components of each pole.
    integrator : RC or None
        Components of each integrator: dw/dt = -V / (R C), V the filter's output over `gain`.
    errors : DesignErrors
        Predicted, with the components as they are.
    binding : str
        The requirement that binds: relaxing it by a tenth would lower the error most.
    sensitivities : dict of str to float
        By how much (relative) the error falls for each requirement relaxed by a tenth.
    worst : int
        Channel with the most crosstalk.
    """

    requirements: LockInRequirements
    dither: DitherPlan
    settings: LockInSettings
    gain: float
    pole: RC
    integrator: RC | None
    errors: DesignErrors
    binding: str
    sensitivities: dict[str, float]
    worst: int

    @property
    def margin(self) -> float:
        """Allowed over predicted error: 1 or more."""
        return self.requirements.gradient_error / self.errors.total

    def blocks(self, level: str = "ideal", parts: Sequence[Part] = ()) -> tuple[LockInBlock, ...]:
        """The channels as netlists, named ``channel0`` and so on."""
        return channel_blocks(self.settings, self.dither, level, self.gain, parts)


def design_lockin(requirements: LockInRequirements) -> LockInDesign:
    """Find tones, filter, dither and components that fulfil some requirements, or say which two collide.

    Returns
    -------
    LockInDesign
        The design with the smallest predicted error, and which requirement binds it.

    Raises
    ------
    InputError
        When no design fulfils them: names the two requirements that collide, those of which the smallest change would
        do, and how much. (When no tones keep off `avoid_Hz`, as `lockin.plan_frequencies`.)
    """
    found = _solve(requirements)
    if found.errors.total > requirements.gradient_error:
        raise _refusal(requirements, found)
    pole = nearest_rc(found.tau)
    settings = LockInSettings(pole.time_constant_s, 6 * found.poles)
    errors, worst = _errors(requirements, found.tones, found.poles, pole.time_constant_s, found.alpha)
    if errors.total > requirements.gradient_error:  # only where nothing is left for the components' rounding
        raise _refusal(requirements, found)
    eased = {name: need for name, need in _relaxed(requirements, 1.1).items() if name != "gradient_error"}
    sensitivities = gains(found.errors.total, eased, lambda need: _solve(need).errors.total)
    if "channels" in eased:  # they are whole: one of five less is more than a tenth
        sensitivities["channels"] *= 0.1 / (requirements.channels / eased["channels"].channels - 1.0)
    return LockInDesign(
        requirements=requirements,
        dither=DitherPlan(found.tones, (found.alpha,) * requirements.channels),
        settings=settings,
        gain=floor_digits(SIGNAL_V / requirements.largest_V(found.alpha), 3),
        pole=pole,
        integrator=_integrator(requirements, settings, found.alpha),
        errors=errors,
        binding=max(sensitivities, key=lambda name: sensitivities[name]),
        sensitivities=sensitivities,
        worst=worst,
    )


# -- the errors --------------------------------------------------------------------------------------------------------


def _errors(
    need: LockInRequirements, tones: tuple[float, ...], poles: int, tau: float, alpha: float
) -> tuple[DesignErrors, int]:
    """Predicted errors, and the channel with the most crosstalk."""
    cross, back = _crosstalk(need, tones, poles, np.array([tau]))
    each = cross[0] + back[0] / alpha
    terms = _terms(need, poles, np.array([tau]), np.array([alpha]))
    settling, amplitude, offset, noise = (float(term[0]) for term in terms)
    return DesignErrors(settling, float(each.max()), amplitude, offset, noise), int(np.argmax(each))


def _terms(
    need: LockInRequirements, poles: int, tau: FloatArray, alpha: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Settling (over tau), amplitude and offset (over alpha), noise (over both, broadcast)."""
    settling = gammaincc(poles, need.settling_s / tau)
    amplitude = (0.125 + 0.25 * (need.channels - 1)) * (alpha / need.nonlinearity_V) ** 2
    per_tau = enbw_Hz(LockInSettings(1.0, 6 * poles))
    noise = np.sqrt(2.0 * need.noise_psd * per_tau / tau) / (alpha * need.slope)
    # the gain before the mixer is SIGNAL_V / largest, at most 1 % less
    after = (need.mixer_offset_V + poles * need.pole_offset_V) * 1.01 * need.largest_V(alpha) / SIGNAL_V
    offset = 2.0 * (after + need.feedthrough * need.background) / (alpha * need.slope)
    return settling, amplitude, offset, noise


def _crosstalk(
    need: LockInRequirements, tones: tuple[float, ...], poles: int, tau: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Crosstalk of tones, and that of the background times the dither, each of shape (taus, channels).

    A tone exp(i d t) switched on at 0 leaves H^n exp(i d t) - exp(-t / tau) sum_m (t / tau)^m / m! H^(n - m) behind n
    poles, with H = 1 / (1 + i d tau).
    """
    f = np.array(tones)

    def behind(distance_Hz: FloatArray) -> FloatArray:
        one = 1.0 / (1.0 + 2j * np.pi * distance_Hz * tau.reshape(-1, *([1] * distance_Hz.ndim)))
        when = (need.settling_s / tau).reshape(-1, *([1] * distance_Hz.ndim))
        left = sum(when**m / math.factorial(m) * one ** (poles - m) for m in range(poles)) * np.exp(-when)
        return np.asarray(np.abs(one) ** poles + np.abs(left))

    others = ~np.eye(f.size, dtype=bool)
    apart = behind(f[:, None] - f[None, :]) * others
    together = behind(f[:, None] + f[None, :])
    cross = need.neighbour * (apart.sum(axis=2) + (together * others).sum(axis=2))
    cross = cross + np.einsum("tkk->tk", together)
    return cross, 2.0 * need.background / need.slope * behind(f)


# -- the search --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Found:
    tones: tuple[float, ...]
    poles: int
    tau: float
    alpha: float
    errors: DesignErrors


def _solve(need: LockInRequirements) -> _Found:
    """The design with the smallest error, whether it fulfils the requirements or not."""
    if need.band_Hz is not None:
        _, widest = widest_tones(need.channels, need.band_Hz, avoid_Hz=need.avoid_Hz, digits=3)
        return _best_filter(need, widest.frequencies_Hz)
    found = None
    for factor in (1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233):  # as low as the crosstalk allows
        spacing = factor / need.settling_s
        tones = plan_frequencies(need.channels, None, spacing, avoid=need.avoid_Hz).frequencies_Hz
        last, found = found, _best_filter(need, tones)
        enough = found.errors.crosstalk < 0.05 * found.errors.total
        if enough or (last is not None and found.errors.total > 0.999 * last.errors.total):
            break
    assert found is not None
    return found


def _best_filter(need: LockInRequirements, tones: tuple[float, ...]) -> _Found:
    """Slope, time constant and amplitude of the smallest error: a grid, and a finer one around its best point."""
    best: _Found | None = None
    for poles in (1, 2, 3, 4):
        lg_tau = np.linspace(math.log10(need.settling_s / 60.0), math.log10(need.settling_s / 1.5), 41)
        lg_alpha = math.log10(need.dither_limit_V) + np.linspace(-5.0, 0.0, 51)
        for _ in range(3):
            tau, alpha = 10.0**lg_tau, np.minimum(10.0**lg_alpha, need.dither_limit_V)
            settling, amplitude, offset, noise = _terms(need, poles, tau[:, None], alpha[None, :])
            cross, back = _crosstalk(need, tones, poles, tau)
            each = cross[:, None, :] + back[:, None, :] / alpha[None, :, None]
            total = np.hypot(noise, settling + amplitude + offset + each.max(axis=2))
            i, j = np.unravel_index(int(np.argmin(total)), total.shape)
            if best is None or total[i, j] < best.errors.total:
                errors, _worst = _errors(need, tones, poles, float(tau[i]), float(alpha[j]))
                best = _Found(tones, poles, float(tau[i]), float(alpha[j]), errors)
            step_tau, step_alpha = lg_tau[1] - lg_tau[0], lg_alpha[1] - lg_alpha[0]
            lg_tau = lg_tau[i] + np.linspace(-1.0, 1.0, 11) * step_tau
            lg_alpha = lg_alpha[j] + np.linspace(-1.0, 1.0, 11) * step_alpha
    assert best is not None
    return best


def _relaxed(need: LockInRequirements, factor: float) -> dict[str, LockInRequirements]:
    """Each requirement in turn made easier by a factor; those that ask for nothing are left out."""
    easier: dict[str, Any] = {
        "settling_s": need.settling_s * factor,
        "gradient_error": min(need.gradient_error * factor, 0.999),
        "dither_limit_V": need.dither_limit_V * factor,
    }
    if need.noise_psd > 0.0:
        easier["noise_psd"] = need.noise_psd / factor
    if math.isfinite(need.nonlinearity_V):
        easier["nonlinearity_V"] = need.nonlinearity_V * factor
    if need.mixer_offset_V > 0.0:
        easier["mixer_offset_V"] = need.mixer_offset_V / factor
    if need.feedthrough * need.background > 0.0:
        easier["feedthrough"] = need.feedthrough / factor
    if need.background > 0.0:
        easier["background"] = need.background / factor
    if need.channels > 1:
        if need.neighbour > 0.0:
            easier["neighbour"] = need.neighbour / factor
        easier["channels"] = max(1, math.floor(need.channels / factor))
    if need.band_Hz is not None:
        easier["band_Hz"] = (need.band_Hz[0], need.band_Hz[1] * factor)
    return {name: replace(need, **{name: value}) for name, value in easier.items()}


def _refusal(need: LockInRequirements, found: _Found) -> InputError:
    """Name the two requirements of which the smallest change alone would do, and the values that would."""

    def does(name: str, log_factor: float) -> float | None:
        """The factor, where one requirement relaxed by it would do."""
        relaxed = _relaxed(need, math.exp(log_factor))[name]
        enough = _solve(relaxed).errors.total <= 0.99 * relaxed.gradient_error  # 1 % for the components' rounding
        return math.exp(log_factor) if enough else None

    enough: list[tuple[float, str]] = []
    for name in _relaxed(need, MOST):
        most = does(name, math.log(MOST))
        if most is not None:
            least = narrowed(partial(does, name), 0.0, math.log(MOST), most)
            enough.append((1.005 * least, name))  # the value is shown with three digits
    enough.sort()
    best = found.errors
    told = (
        f"the best design is {best.total:.3g} off (settling {best.settling:.2g}, crosstalk {best.crosstalk:.2g}, "
        f"amplitude {best.amplitude:.2g}, offset {best.offset:.2g}, noise {best.noise:.2g})"
    )
    shares = {
        "settling_s": best.settling,
        "channels" if need.band_Hz is None else "band_Hz": best.crosstalk,
        "mixer_offset_V": best.offset,
        "nonlinearity_V" if best.amplitude > best.noise else "dither_limit_V": max(best.amplitude, best.noise),
    }
    worst = max(shares, key=lambda name: shares[name])
    if not enough:
        return InputError(worst, getattr(need, worst), f"collides with gradient_error: {told}", "relax several at once")
    first = enough[0][1]
    second = enough[1][1] if len(enough) > 1 else "gradient_error" if first != "gradient_error" else worst
    ways = [f"{name} = {_shown(getattr(_relaxed(need, factor)[name], name))}" for factor, name in enough[:2]]
    problem = f"collides with {second} = {_shown(getattr(need, second))}: {told}"
    return InputError(first, getattr(need, first), problem, f"take {' or '.join(ways)}")


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(_shown(v) for v in value)})"
    return str(value) if isinstance(value, int) else f"{value:.3g}"


def _integrator(need: LockInRequirements, settings: LockInSettings, alpha: float) -> RC | None:
    """Integrator of dw/dt = -eta g: the reading's volt is alpha g / 2, so 1 / (R C) = 2 eta / alpha.

    The loop's gain eta times the curvature is the stability limit over tau, by `LOOP_MARGIN`.
    """
    if need.curvature is None:
        return None
    return nearest_rc(alpha * need.curvature / (2.0 * safe_loop_gain(settings)))


# -- the check ---------------------------------------------------------------------------------------------------------


def measure_design(
    design: LockInDesign,
    engine: Engine,
    level: str = "ideal",
    *,
    parts: Sequence[Part] = (),
    progress: Progress | None = None,
) -> FloatArray:
    """Simulate a design in ngspice, without noise: all channels read a device that is as bad as the requirements say.

    y = background + sum_j s_j v_j + slope (sum_j v_j)^3 / (6 V_c^2), with the dither v_j, s_j = slope for the channel
    with the most crosstalk and neighbour * slope for the others.

    Parameters
    ----------
    design : LockInDesign
    engine : Engine
    level, parts
        As for `lockin_block`.
    progress : callable, optional

    Returns
    -------
    ndarray, shape (channels,)
        Error of each gradient at `settling_s`, relative to `slope`.

    Raises
    ------
    InputError
        When that would take more than two million time-points.
    NetlistError, ConvergenceError, EngineError, Interrupted
        As `Engine.transient`.
    """
    need, plan = design.requirements, design.dither
    steps = math.ceil(need.settling_s * max(plan.frequencies_Hz) * POINTS_PER_CYCLE)
    if steps > MOST_POINTS:
        raise InputError("settling_s", need.settling_s, f"takes {steps} time-points", "demodulate a record instead")
    slopes = np.full(plan.n, need.neighbour * need.slope)
    slopes[design.worst] = need.slope
    blocks = design.blocks(level, parts)
    lines = [f"designed lock-ins, {level}", preamble(part for block in blocks for part in map(block.part, block.parts))]
    for k, (peak, f, phase) in enumerate(zip(plan.amplitudes_V, plan.frequencies_Hz, plan.phases_rad, strict=True)):
        lines.append(f"Vdither{k} v{k} 0 SIN(0 {peak!r} {f!r} 0 0 {math.degrees(phase)!r})")
    linear = "".join(f"+{format_number(s)}*V(v{k})" for k, s in enumerate(slopes.tolist()))
    total = "+".join(f"V(v{k})" for k in range(plan.n))
    lines += [f"Bsum u 0 V={total}", "Rsum u 0 1"]
    cubic = need.slope / (6.0 * need.nonlinearity_V**2)
    lines.append(f"Bdevice y 0 V={format_number(need.background)}{linear}+{format_number(cubic)}*V(u)*V(u)*V(u)")
    lines += [block.cards("y", "x") for block in blocks]
    run = engine.transient(
        "\n".join(lines),
        stop_s=need.settling_s,
        max_step_s=need.settling_s / steps,
        save=[f"v({block.node('x')})" for block in blocks],
        grids_s=[(0.0, need.settling_s, steps)],
        progress=progress,
    )
    read = np.array([math.sqrt(2.0) * block.rms_per_volt * run[f"v({block.node('x')})"][-1] for block in blocks])
    return np.asarray((read / np.array(plan.amplitudes_V) - slopes) / need.slope)
