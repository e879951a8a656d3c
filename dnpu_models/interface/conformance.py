"""What every device must keep, whatever its model: checks for the devices here and for users' own.

    for finding in check_device(MyDevice(), exact=False):
        print(finding)

A device is asked what it offers (`currents` or `estimate`, `conductances`, `kernel`, `measured`) and checked for that:
Kirchhoff's current law, conductances against finite differences, leading axes, equal answers to equal questions, bad
input, the compiled kernel. `exact` adds the thermodynamics of models with detailed balance: no current at equal
voltages, no power given away, conductances at equilibrium symmetric and positive. Nothing here knows any model.

Currents with standard errors are held against Student's t: a check raises a false alarm with a probability of at most
`false_alarm`, all its comparisons together (Bonferroni).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from dnpu_models.interface.device import has_exact_slopes, is_random, known_terminals, lacking
from dnpu_models.interface.pointers import c_functions
from inmateria.checks import FloatArray
from inmateria.errors import InputError

SETTINGS = 4
"""Random settings per check."""


@dataclass(frozen=True)
class Finding:
    """One check.

    Attributes
    ----------
    check : str
        Name of the check.
    passed : bool
    found : str
        What was measured, or what is wrong; of what is not offered, what cannot be done without it.
    offered : bool
        Whether there was anything to check.
    """

    check: str
    passed: bool
    found: str
    offered: bool = True

    def __str__(self) -> str:
        mark = "none" if not self.offered else "ok  " if self.passed else "FAIL"
        return f"{mark} {self.check}: {self.found}"


@dataclass(frozen=True, eq=False)
class Examination:
    """A device and how it is examined; the checks below take one.

    Parameters
    ----------
    device : Device
    exact : bool
        Whether the model has detailed balance.
    tolerance : float
        Relative error of its numbers.
    hops : int
        Hops per setting, for a device that estimates currents from trajectories.
    seed : int
        Draws the settings, and seeds the device.
    false_alarm : float
        Probability with which a statistical check may fail though all is right.
    """

    device: Any
    exact: bool = False
    tolerance: float = 1e-6
    hops: int = 1 << 15
    seed: int = 0
    false_alarm: float = 1e-6

    @property
    def limits_V(self) -> FloatArray:
        """The device's ranges, +-1 V where it has none."""
        limits = np.array(self.device.limits_V, dtype=float)
        return np.where(np.isfinite(limits), limits, [-1.0, 1.0])

    @property
    def measured(self) -> tuple[int, ...]:
        """Terminals whose current is known."""
        return known_terminals(self.device)

    def settings(self, count: int = SETTINGS) -> FloatArray:
        """Random settings from the middle 0.8 of the ranges, V, (count, n_terminals)."""
        low, high = self.limits_V.T
        inner = np.random.default_rng(self.seed).uniform(0.1, 0.9, (count, len(low)))
        return np.asarray(low + inner * (high - low))

    def equal_settings(self) -> FloatArray:
        """Settings with the same voltage at all terminals, V, (3, n_terminals)."""
        low, high = self.limits_V[:, 0].max(), self.limits_V[:, 1].min()
        return np.outer(low + np.array([0.25, 0.5, 0.8]) * (high - low), np.ones(len(self.limits_V)))

    @property
    def derives(self) -> bool:
        """Whether the device has exact conductances."""
        return has_exact_slopes(self.device)

    def currents(self, volts: FloatArray, seed: int | None = None) -> tuple[FloatArray, FloatArray]:
        """Currents and how far they may be off, A; of an estimate at the level `false_alarm`."""
        if not hasattr(self.device, "estimate"):
            values = np.asarray(self.device.currents(volts))
            return values, np.full(values.shape, self.tolerance * np.abs(values).max(initial=0.0))
        found = self.device.estimate(volts, seed=self.seed if seed is None else seed, hops=self.hops)
        level = 0.5 * self.false_alarm / found.value.size
        return found.value, found.stderr * float(stats.t.isf(level, found.batches - 1))


def _kirchhoff(exam: Examination) -> Finding | None:
    """Currents into the terminals add up to zero."""
    if len(exam.measured) < len(exam.device.terminals):
        return None
    values, errors = exam.currents(exam.settings())
    rest, allowed = np.abs(values.sum(axis=-1)), errors.sum(axis=-1)
    return Finding(
        "Kirchhoff", bool(np.all(rest <= allowed)), f"sum {rest.max():.1e} A of {np.abs(values).max():.1e} A"
    )


def _equal_voltages(exam: Examination) -> Finding | None:
    """No current flows at equal voltages; of models without errors, less than 1 mV would drive times the tolerance."""
    if not exam.exact:
        return None
    volts = exam.equal_settings()
    values, allowed = exam.currents(volts)
    if exam.derives:
        allowed = np.full(values.shape, exam.tolerance * 1e-3 * np.abs(exam.device.conductances(volts)).max())
    worst = float(np.max(np.abs(values) / allowed))
    return Finding("equal voltages", worst <= 1, f"current {worst:.1e} of what is allowed")


def _power(exam: Examination) -> Finding | None:
    """The device takes power: sum of V I >= 0."""
    if not exam.exact:
        return None
    volts = exam.settings()
    values, errors = exam.currents(volts)
    power, error = np.sum(volts * values, axis=-1), np.sum(np.abs(volts) * errors, axis=-1)
    return Finding("power", bool(np.all(power >= -error)), f"least {power.min():.1e} W, known to {error.max():.1e} W")


def _equilibrium(exam: Examination) -> Finding | None:
    """Conductances at equal voltages are symmetric (reciprocity), and positive semidefinite (passivity)."""
    if not (exam.exact and exam.derives):
        return None
    found = np.asarray(exam.device.conductances(exam.equal_settings()))
    scale = np.abs(found).max()
    turned = np.swapaxes(found, -1, -2)
    asymmetry = float(np.abs(found - turned).max() / scale)
    least = float(np.linalg.eigvalsh(0.5 * (found + turned)).min() / scale)
    passed = bool(scale > 0 and asymmetry <= exam.tolerance and least >= -exam.tolerance)
    return Finding("equilibrium", passed, f"asymmetry {asymmetry:.1e}, least eigenvalue {least:.1e} of the largest")


def _conductances(exam: Examination) -> Finding | None:
    """Conductances are the currents' derivatives: central differences over 1e-6 of each range, to 1 in 1000."""
    if not exam.derives:
        return None
    rows = list(exam.measured)
    count = len(exam.device.terminals)
    # Of a device with few measured terminals the derivative by their own voltages is unknown, too.
    columns = [k for k in range(count) if len(rows) == count or k not in rows]
    steps = 1e-6 * np.diff(exam.limits_V)[:, 0]
    worst = 0.0
    for volts in exam.settings():
        exact = np.asarray(exam.device.conductances(volts))
        for k in columns:
            step = steps[k] * np.eye(count)[k]
            high, low = np.asarray(exam.device.currents(np.stack([volts + step, volts - step])))
            apart = np.abs((high - low)[rows] / (2 * steps[k]) - exact[rows, k])
            worst = max(worst, float(apart.max() / np.abs(exact[rows]).max()))
    return Finding("conductances", worst <= 1e-3, f"{worst:.1e} of the largest away from finite differences")


def _repetition(exam: Examination) -> Finding:
    """The same question has the same answer, bit by bit; another seed has another."""
    volts = exam.settings()
    first, second = exam.currents(volts)[0], exam.currents(volts)[0]
    same = bool(np.array_equal(first, second) and np.all(np.isfinite(first)))
    if hasattr(exam.device, "estimate"):
        other = exam.currents(volts, exam.seed + 1)[0]
        return Finding("repetition", same and not np.array_equal(first, other), "equal seeds equal, others not")
    return Finding("repetition", same, "bit by bit" if same else f"up to {np.abs(first - second).max():.1e} A apart")


def _leading_axes(exam: Examination) -> Finding:
    """Leading axes are kept, and no setting knows of its neighbours."""
    flat = exam.settings(6)
    table = flat.reshape(2, 3, -1)
    whole, errors = exam.currents(table)
    if whole.shape != table.shape:
        return Finding("leading axes", False, f"currents of shape {whole.shape} for {table.shape}")
    for index in np.ndindex(2, 3):
        single, error = exam.currents(table[index])
        if single.shape != table[index].shape:
            return Finding("leading axes", False, f"currents of shape {single.shape} for {table[index].shape}")
        if np.any(np.abs(single - whole[index]) > error + errors[index]):
            return Finding("leading axes", False, f"setting {index} differs from the same one alone")
    if exam.derives:
        shape = np.shape(exam.device.conductances(table))
        if shape != (*table.shape, table.shape[-1]):
            return Finding("leading axes", False, f"conductances of shape {shape} for {table.shape}")
    return Finding("leading axes", True, "(2, 3, n) as one by one")


def _questions(exam: Examination) -> Iterator[tuple[str, Callable[[Any], Any]]]:
    device = exam.device
    if hasattr(device, "estimate"):
        yield "estimate", lambda volts: device.estimate(volts, seed=0, hops=exam.hops)
    else:
        yield "currents", device.currents
    if hasattr(device, "conductances"):
        yield "conductances", device.conductances
    if hasattr(device, "kernel"):
        yield "kernel", lambda volts: device.kernel(volts, seed=0)


def _refusals(exam: Examination) -> Finding:
    """NaN, infinity, a wrong shape and each terminal's voltage beyond its limits raise `InputError` on the voltages."""
    good = exam.settings(1)[0]
    wrong: list[tuple[str, Any]] = [
        ("a wrong shape", np.append(good, 0.0)), ("a wrong shape", good[:-1]), ("a number", 0.1)
    ]  # fmt: skip
    limits = np.asarray(exam.device.limits_V)
    for k, (low, high) in enumerate(limits):
        over = 0.01 * (high - low)
        for value in (np.nan, np.inf, low - over, high + over):
            if np.isnan(value) or not np.any(np.isinf((low, high))):
                volts = good.copy()
                volts[k] = value
                wrong.append((f"{exam.device.terminals[k]} = {value:g} V", volts))
    for name, ask in _questions(exam):
        for what, volts in wrong:
            try:
                ask(volts)
            except InputError as error:
                if not error.field.startswith("voltages") or "\n" in str(error):
                    return Finding("refusals", False, f"{name}: {what} is refused, but not as voltages: {error}")
            else:
                return Finding("refusals", False, f"{name}: {what} is not refused")
    return Finding("refusals", True, f"{len(wrong)} kinds of bad input")


def _kernel(exam: Examination) -> Finding | None:
    """The compiled kernel gives the static currents, as often as it is asked, and its C functions do the same.

    One that carries noise has to repeat itself only.
    """
    if not hasattr(exam.device, "kernel"):
        return None
    count = len(exam.device.terminals)
    first, second = exam.settings(2)
    near = first + 0.02 * (second - first)
    kernel = exam.device.kernel(first, seed=exam.seed)
    scale = np.abs(exam.device.currents(np.stack([first, near]))).max()

    def ask(state: FloatArray, volts: FloatArray) -> FloatArray:
        out = np.zeros(count)
        kernel.evaluate(0.0, volts, kernel.params, state, out)
        return out

    state = kernel.state.copy()
    asked = [first, first, near, first]
    answers = [ask(state, volts) for volts in asked]
    apart = 0.0
    if not is_random(exam.device):
        kernel.advance(1e-3, near, kernel.params, state)
        asked.append(near)
        answers.append(ask(state, near))
        apart = max(
            float(np.abs(a - exam.device.currents(v)).max() / scale) for a, v in zip(answers, asked, strict=True)
        )
    if apart > 10 * exam.tolerance:
        return Finding("kernel", False, f"{apart:.1e} of the largest current away from the static currents")
    if not np.array_equal(answers[0], answers[1]):
        return Finding("kernel", False, "a second question is answered differently")
    if kernel.conductances_S.shape != (count, count):
        return Finding("kernel", False, f"conductances of shape {kernel.conductances_S.shape}")
    if kernel.c_functions is not None:
        found = _ask_c(kernel, near, count)
        if np.abs(found - ask(kernel.state.copy(), near)).max() > exam.tolerance * scale:
            return Finding("kernel", False, "its C function gives other currents")
    return Finding("kernel", True, f"{apart:.1e} of the largest current away from the static currents")


def _ask_c(kernel: Any, volts: FloatArray, count: int) -> FloatArray:
    """`evaluate` through its C function."""
    function = ctypes.CFUNCTYPE(None, ctypes.c_double, *[ctypes.c_int64] * 6)(c_functions(kernel)[0].address)
    params = kernel.params
    state = np.append(kernel.state, float(count))  # the word behind the state: see `pointers`
    out = np.zeros(count)
    # (t, voltages, params, n_params, state, n_state, out), as `pointers` has it
    function(
        0.0, volts.ctypes.data, params.ctypes.data, len(params), state.ctypes.data, len(state) - 1, out.ctypes.data
    )  # fmt: skip
    return out


CHECKS: dict[str, Callable[[Examination], Finding | None]] = {
    "Kirchhoff": _kirchhoff,
    "equal voltages": _equal_voltages,
    "power": _power,
    "equilibrium": _equilibrium,
    "conductances": _conductances,
    "repetition": _repetition,
    "leading axes": _leading_axes,
    "refusals": _refusals,
    "kernel": _kernel,
}
"""The checks by name; each returns None where the device claims nothing that it could check."""


def check_device(device: Any, *, exact: bool = False, **options: Any) -> list[Finding]:
    """Examine a device: every check that applies to it, then what it does not offer, in words.

    Parameters
    ----------
    device : Device
        Terminals, `limits_V`, currents; what more it offers is checked, too.
    exact : bool
        Whether the model has detailed balance: then thermodynamics is checked.
    **options
        As `Examination`: tolerance, hops, seed, false_alarm.
    """
    exam = Examination(device, exact, **options)
    found = [finding for check in CHECKS.values() if (finding := check(exam)) is not None]
    return found + [Finding(name, True, told, offered=False) for name, told in lacking(device).items()]
