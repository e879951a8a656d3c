"""A device whose conductance loads the circuit, handed to Newton's method, against the circuit's own equation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numba import njit
from scipy.optimize import brentq

from circuits.ngspice.cosimulation import CoSimulation
from circuits.ngspice.engine import OPTIONS, Engine
from circuits.ngspice.implicit import implicit_cosimulation
from dnpu_models.interface.device import SteppableKernel
from inmateria.errors import InputError

G, CUBIC, OHM = 1e-3, 2e-3, 1e4
"""G R = 10 at rest, and 70 at 1 V."""


@njit
def evaluate(t, v, params, state, out):  # type: ignore[no-untyped-def]
    d = v[0] - v[1]
    out[0] = params[0] * d + params[1] * d**3
    out[1] = -out[0]


@njit
def advance(dt, v, params, state):  # type: ignore[no-untyped-def]
    pass


def cubic() -> SteppableKernel:
    g = G * np.array([[1.0, -1.0], [-1.0, 1.0]])
    return SteppableKernel(evaluate, advance, np.array([G, CUBIC]), np.zeros(1), g)


DECK = f"""a device behind a resistor
V1 in 0 SIN(0 5 100)
R1 in a {OHM}
C1 a 0 1f
Rb b 0 1k
{OPTIONS}
"""


def run(engine: Engine, coupling: Any, points: int) -> Any:
    found = engine.transient(DECK, stop_s=0.02, max_step_s=0.01 / points, save=["v(a)", "v(b)", "v(in)"],
                             cosimulation=coupling)  # fmt: skip
    return coupling.told(found)


def test_any_loop_gain(engine: Engine) -> None:
    """(V_in - V_a)/R = I(V_a - V_b) = V_b/1k, and the error falls with the fourth power of the step."""
    errors = []
    for points in (200, 800):
        found = run(engine, implicit_cosimulation(cubic(), ["a", "b"], np.zeros(2)), points)
        late = found.time_s > 1e-3
        wanted = [
            brentq(lambda d, v=v: (v - d) - (OHM + 1e3) * (G * d + CUBIC * d**3), -6, 6) for v in found["v(in)"][late]
        ]
        errors.append(float(np.max(np.abs((found["v(a)"] - found["v(b)"])[late] - wanted))))
        current = G * (found["v(a)"] - found["v(b)"]) + CUBIC * (found["v(a)"] - found["v(b)"]) ** 3
        np.testing.assert_allclose(found.device_A[late, 0], current[late], atol=2e-6 * np.abs(current).max())
        assert found.statistics["points"] < 3 * points
    assert errors[0] < 2e-6
    assert errors[1] < errors[0] / 100, errors


def test_the_explicit_coupling_refuses_it() -> None:
    with pytest.raises(InputError, match="loop gain G R is 20"):
        CoSimulation(cubic(), ["a", "b"], np.zeros(2), source_ohm=OHM)
