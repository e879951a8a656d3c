"""A function as a device: its slopes with their errors, what Numba compiles, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from circuits.ngspice.engine import Engine
from dnpu_models.function.function_device import device_from_function
from dnpu_models.interface.conformance import check_device
from dnpu_models.interface.device import kernel_of
from inmateria.errors import AbsurdValueError, InputError
from learning.bench.bench import Bench
from learning.homodyne.gradients import adjoint, spice_lock_in

LIMITS = np.array([[-0.1, 0.1], [-1.0, 1.0], [-1.0, 1.0], [0.0, 1.0]])
G = 100e-9


def gated(v: Any) -> Any:
    """A channel from b to a, opened by c and d."""
    into = G * (v[1] - v[0]) * 0.5 * (1.0 + math.tanh((v[2] + v[3]) / 0.3))
    return np.array([-into, into, 0.0, 0.0])


def exact(v: Any) -> Any:
    """dI/dV of the channel's own current."""
    open_, bent = 0.5 * (1 + np.tanh((v[2] + v[3]) / 0.3)), 0.5 / 0.3 / np.cosh((v[2] + v[3]) / 0.3) ** 2
    slopes = G * np.array([-open_, open_, (v[1] - v[0]) * bent, (v[1] - v[0]) * bent])
    return np.stack([-slopes, slopes, np.zeros(4), np.zeros(4)])


def interpreted(v: Any) -> Any:
    return {"of": gated(v)}.get("of", *())


@pytest.mark.parametrize("function", [gated, interpreted])
def test_slopes_and_their_errors(function: Any) -> None:
    """The stated error holds everywhere, at the limits too, and is small."""
    device = device_from_function(function, LIMITS)
    rng = np.random.default_rng(0)
    volts = rng.uniform(LIMITS[:, 0], LIMITS[:, 1], (200, 4))
    volts[:40] = LIMITS[np.arange(4), rng.integers(0, 2, (40, 4))]
    found, errors = device.conductances(volts), device.conductance_errors(volts)
    off = np.abs(found - np.array([exact(v) for v in volts]))
    assert np.all(off <= errors)
    assert np.max(off) < 1e-8 * G / 0.3
    assert np.max(errors) < 1e-3 * G / 0.3


def test_it_is_a_device_and_stands_in_the_loop(engine: Engine) -> None:
    device = device_from_function(gated, LIMITS, terminals=("out", "a", "b", "c"))
    findings = check_device(device)
    assert all(finding.passed for finding in findings), list(map(str, findings))
    assert "kernel" in {finding.check for finding in findings}
    bench = Bench(device, 0, (1, 2))
    controls = [0.3, 0.1, 0.2]
    measured, *_ = spice_lock_in(bench, engine, controls, 0.002)
    reference = adjoint(bench, np.array(controls))
    assert np.linalg.norm(measured - reference) < 1e-3 * np.linalg.norm(reference)


def test_what_numba_does_not_compile_is_measured_only() -> None:
    device = device_from_function(interpreted, LIMITS)
    assert not hasattr(device, "kernel")
    assert device.why_not_compiled
    with pytest.raises(InputError, match="has no compiled `kernel`"):
        kernel_of(device, np.zeros(4))
    np.testing.assert_array_equal(device.currents([[0, 0.3, 0.1, 0.2]])[0], gated([0, 0.3, 0.1, 0.2]))


@pytest.mark.parametrize(
    ("change", "field", "said"),
    [
        ({"limits_V": [[-1, 1]]}, "limits_V", "two terminals or more"),
        ({"limits_V": LIMITS[:, ::-1]}, "limits_V", "low, then high"),
        ({"terminals": ("a", "b")}, "terminals", "4 different names"),
        ({"output": "e9"}, "inputs", "no terminal"),
        ({"inputs": ("e1", "e0")}, "inputs", "named twice"),
        ({"function": lambda v: v[:2]}, "<lambda>", "one for each terminal"),
    ],
)
def test_what_is_no_device(change: dict[str, Any], field: str, said: str) -> None:
    options: dict[str, Any] = {"function": gated, "limits_V": LIMITS, **change}
    with pytest.raises(InputError, match=said) as found:
        device_from_function(**options)
    assert found.value.field == field


def test_a_current_that_is_no_number() -> None:
    device = device_from_function(lambda v: np.array([-1e-9 * np.sqrt(v[1]), 1e-9 * np.sqrt(v[1])]), [[-1, 1], [-1, 3]])
    with pytest.raises(AbsurdValueError, match=r"-0\.5"):
        device.currents([[0.0, 1.0], [0.0, -0.5]])
