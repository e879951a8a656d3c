"""A device of a plain function: `device_from_function`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numba.core.errors import NumbaError
from numba.extending import is_jitted

from dnpu_models.function.differences import slopes
from dnpu_models.interface import memoryless
from dnpu_models.interface.device import SteppableKernel
from dnpu_models.interface.limits import within_limits
from inmateria.checks import FloatArray, array, positive
from inmateria.errors import AbsurdValueError, InputError
from inmateria.spelling import did_you_mean


@dataclass(frozen=True, eq=False)
class FunctionDevice:
    """A static device whose currents are a function's; made by `device_from_function`.

    It can be measured and differentiated; in circuits stands only a `CompiledFunctionDevice`.

    Attributes
    ----------
    function : callable
    terminals : tuple of str
    limits_V : ndarray, shape (n_terminals, 2)
    output : str
    inputs : tuple of str
    transimpedance_ohm : float
        Of the amplifier that reads the output.
    why_not_compiled : str
        Numba's own words, where it did not compile the function.
    """

    function: Callable[[FloatArray], Any]
    terminals: tuple[str, ...]
    limits_V: FloatArray
    output: str
    inputs: tuple[str, ...] = ()
    transimpedance_ohm: float = 1e7
    why_not_compiled: str = ""

    def currents(self, voltages: Any) -> FloatArray:
        """Currents into the terminals, A, at `voltages`, V, both (..., n_terminals).

        Raises
        ------
        InputError
            For voltages of another shape, or beyond the limits; if the function gives another number of currents.
        AbsurdValueError
            If it gives what is no number.
        """
        volts = within_limits(voltages, self.terminals, self.limits_V)
        return self._asked(volts.reshape(-1, volts.shape[-1])).reshape(volts.shape)

    def conductances(self, voltages: Any) -> FloatArray:
        """dI_j/dV_k, S, (..., n_terminals, n_terminals), by differences of fourth order; errors as `currents`."""
        return self._slopes(voltages)[0]

    def conductance_errors(self, voltages: Any) -> FloatArray:
        """How far `conductances` may be off, S, of the same shape; errors as `currents`."""
        return self._slopes(voltages)[1]

    def _slopes(self, voltages: Any) -> tuple[FloatArray, FloatArray]:
        volts = within_limits(voltages, self.terminals, self.limits_V)
        found, errors = slopes(self._asked, volts.reshape(-1, volts.shape[-1]), self.limits_V)
        shape = (*volts.shape, volts.shape[-1])
        return found.reshape(shape), errors.reshape(shape)

    def _asked(self, volts: FloatArray) -> FloatArray:
        """Currents of settings (m, n), which are numbers."""
        found = self._table(volts)
        wrong = ~np.all(np.isfinite(found), axis=1)
        if np.any(wrong):
            shown = ", ".join(f"{v:.6g}" for v in volts[np.argmax(wrong)])
            raise AbsurdValueError("voltages", f"({shown}) V", "the function gives no number there", "check it")
        return found

    def _table(self, volts: FloatArray) -> FloatArray:
        return np.array([_answer(self.function, setting) for setting in volts]).reshape(volts.shape)


@dataclass(frozen=True, eq=False)
class CompiledFunctionDevice(FunctionDevice):
    """A device of a function that Numba compiles: it stands in circuits, by its `kernel`."""

    compiled: tuple[Any, Any] = (None, None)

    def kernel(self, voltages: Any, *, seed: int = 0) -> SteppableKernel:
        """Compiled form for co-simulation; `seed` is not needed."""
        slopes_S = self.conductances(voltages)
        if slopes_S.ndim != 2:
            raise InputError("voltages", np.shape(voltages), "are no single setting", "give one for each terminal")
        return SteppableKernel(self.compiled[0], memoryless.advance, np.zeros(1), np.zeros(1), slopes_S)

    def _table(self, volts: FloatArray) -> FloatArray:
        found = np.empty_like(volts)
        self.compiled[1](volts, found)
        return found


def device_from_function(
    function: Callable[[FloatArray], Any],
    limits_V: Any,
    *,
    terminals: Sequence[str] | None = None,
    output: str | None = None,
    inputs: Sequence[str] = (),
    transimpedance_ohm: float = 1e7,
) -> FunctionDevice:
    """Make a device of a function.

    Parameters
    ----------
    function : callable
        Takes the voltages of all terminals, V, (n_terminals,), and gives the currents into them, A, as many. If Numba
        compiles it (arithmetic, `math` and NumPy on its argument and on constants), the device stands in circuits.
    limits_V : array_like, shape (n_terminals, 2)
        Lowest and highest voltage of each terminal, V. The function is not asked beyond them.
    terminals : sequence of str, optional
        Their names; ``e0``, ``e1`` ... by default.
    output : str, optional
        Terminal whose current is the output; the first by default.
    inputs : sequence of str, optional
        Terminals that get a task's inputs.
    transimpedance_ohm : float, optional
        Of the amplifier that reads the output: so much that the largest current gives a few volts.

    Raises
    ------
    InputError
        For limits or names that do not fit, or a function that gives another number of currents.
    """
    limits = array("limits_V", limits_V, (None, 2))
    if not np.all(limits[:, 0] < limits[:, 1]) or len(limits) < 2:
        raise InputError("limits_V", limits.tolist(), "are no ranges of two terminals or more", "give low, then high")
    names = tuple(f"e{k}" for k in range(len(limits))) if terminals is None else tuple(map(str, terminals))
    if len(set(names)) != len(limits):
        raise InputError("terminals", names, f"are no {len(limits)} different names, one a row of limits_V", "check it")
    out = names[0] if output is None else output
    for name in (out, *inputs):
        if name not in names or (out, *inputs).count(name) > 1:
            fix = did_you_mean(name, names, f"choose from {', '.join(names)}, each once")
            raise InputError("inputs", (out, *inputs), f"{name!r} is no terminal, or named twice", fix)
    middle = limits.mean(axis=1)
    first = _answer(function, middle)
    ohm = positive("transimpedance_ohm", transimpedance_ohm, "ohm")
    compiled, why = _compile(function, middle)
    about = (function, names, limits, out, tuple(inputs), ohm, why)
    if compiled is None:
        return FunctionDevice(*about)
    made = CompiledFunctionDevice(*about, _rows(compiled))
    if not np.allclose(made.currents(middle), first, rtol=1e-9, atol=0.0):
        problem, fix = "gives other currents when it is compiled", "use float64 and no global that changes"
        raise InputError("function", getattr(function, "__name__", "?"), problem, fix)
    return made


def _answer(function: Callable[[FloatArray], Any], volts: FloatArray) -> FloatArray:
    """What the function gives at one setting."""
    found = np.asarray(function(volts.copy()), dtype=float)
    if found.shape != volts.shape:
        name = getattr(function, "__name__", "function")
        raise InputError(name, found.shape, f"is not the shape of {len(volts)} currents", "give one for each terminal")
    return found


def _compile(function: Callable[[FloatArray], Any], volts: FloatArray) -> tuple[Any, str]:
    """The function compiled, and why it is not."""
    compiled = function if is_jitted(function) else njit(function)
    try:
        compiled(volts.copy())
    except (NumbaError, TypeError, NotImplementedError) as error:
        return None, " ".join(str(error).split())
    return compiled, ""


def _rows(compiled: Any) -> tuple[Any, Any]:
    """`evaluate` of a kernel, and the function over the rows of a table."""

    @njit
    def evaluate(t, voltages, params, state, out):  # type: ignore[no-untyped-def]
        found = compiled(voltages)
        for k in range(out.size):
            out[k] = found[k]

    @njit
    def table(volts, out):  # type: ignore[no-untyped-def]
        for m in range(volts.shape[0]):
            found = compiled(volts[m])
            for k in range(volts.shape[1]):
                out[m, k] = found[k]

    return evaluate, table
