"""Pattern sequences: gates, ramps, windows; and the same waveforms in ngspice."""

from __future__ import annotations

import numpy as np
import pytest

from circuits.ngspice.engine import OPTIONS, Engine
from circuits.signals.patterns import PatternSequence

from ...refused import refused

XOR = PatternSequence(
    ((0.0, 0.0), (0.0, 0.5), (0.5, 0.0), (0.5, 0.5)), (-0.5, 0.5, 0.5, -0.5), 0.1, 0.005, 0.004, 0.001
)


def test_times_add_up() -> None:
    assert XOR.patterns == 4
    assert XOR.inputs == 2
    assert XOR.slot_s == pytest.approx(0.11)
    assert XOR.period_s == pytest.approx(0.44)
    windows = XOR.windows(2)
    np.testing.assert_allclose(windows[:, 1] - windows[:, 0], 0.1)
    np.testing.assert_allclose(windows[:, 0], 2 * 0.44 + np.arange(4) * 0.11 + 0.0095)


def test_the_area_of_the_gate_is_the_window() -> None:
    """Over a whole number of cycles the straight edges then cost nothing."""
    gate = XOR.gate_table()
    assert np.trapezoid(gate.values, gate.times_s) == pytest.approx(4 * 0.1, rel=1e-12)
    np.testing.assert_allclose(gate.at(XOR.windows(3).ravel()), 0.5, atol=1e-9)
    np.testing.assert_allclose(gate.at(XOR.windows(1).mean(axis=1)), 1.0)
    assert gate.at(np.array(0.0)) == 0.0


def test_levels_ramp_before_the_gate_opens() -> None:
    for which in range(2):
        table = XOR.level_table(which)
        wanted = [levels[which] for levels in XOR.levels_V]
        for p, (start, stop) in enumerate(XOR.windows(1)):
            inside = np.linspace(start - 0.5 * XOR.edge_s, stop + 0.5 * XOR.edge_s, 7)
            np.testing.assert_allclose(table.at(inside), wanted[p])
        half = table.at(np.array([0.5 * XOR.ramp_s + XOR.period_s]))
        assert half[0] == pytest.approx(0.5 * (wanted[-1] + wanted[0]))


def test_targets_follow_the_patterns() -> None:
    np.testing.assert_allclose(XOR.target_table().at(XOR.windows().mean(axis=1)), XOR.targets_V)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"levels_V": (), "targets_V": ()}, "levels_V"),
        ({"targets_V": (1.0,)}, "levels_V"),
        ({"levels_V": ((0.0,), (0.0, 1.0))}, "levels_V"),
        ({"window_s": 0.0}, "window_s"),
        ({"ramp_s": -1.0}, "ramp_s"),
        ({"wait_s": float("nan")}, "wait_s"),
        ({"edge_s": float("inf")}, "edge_s"),
    ],
)
def test_impossible_sequences_are_refused(changes: dict[str, object], field: str) -> None:
    good: dict[str, object] = {
        "levels_V": ((0.0,), (1.0,)),
        "targets_V": (0.0, 1.0),
        "window_s": 0.1,
        "ramp_s": 0.01,
        "wait_s": 0.01,
        "edge_s": 0.001,
    }
    with refused(field):
        PatternSequence(**(good | changes))  # type: ignore[arg-type]


def test_ngspice_repeats_the_tables(engine: Engine) -> None:
    """Over three and a half periods, at all of ngspice's own points; ngspice rounds breakpoints to 1e-9 of a step."""
    tables = {
        "g": XOR.gate_table(), "t": XOR.target_table(), "l": XOR.level_table(0), "m": XOR.level_table(1)
    }  # fmt: skip
    deck = "tables\n" + "\n".join(f"V{n} {n} 0 {table.source()}\nR{n} {n} 0 1k" for n, table in tables.items())
    run = engine.transient(
        f"{deck}\n{OPTIONS}", stop_s=3.5 * XOR.period_s, max_step_s=2e-4, save=[f"v({n})" for n in tables]
    )
    assert run.complete
    for name, table in tables.items():
        np.testing.assert_allclose(run[f"v({name})"], table.at(run.time_s), atol=1e-6)
