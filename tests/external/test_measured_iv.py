"""The stored fit of a measured two-terminal curve (kmc_dn's data, GPL-3), computed again; docs/physics_checks.md."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

STUDY = Path(__file__).resolve().parents[2] / "docs" / "studies" / "measured_iv.py"


@pytest.fixture(scope="module")
def study() -> ModuleType:
    spec = importlib.util.spec_from_file_location("study_measured_iv", STUDY)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclass looks there
    spec.loader.exec_module(module)
    return module


def test_the_stored_fit_is_as_good_as_it_says(study: ModuleType, data_file: Callable[[str], Path]) -> None:
    with np.load(data_file("measured_iv.npz"), allow_pickle=False) as stored:
        voltage, current = stored["voltage_V"], stored["current_A"]
    assert len(voltage) == 35
    # A straight line leaves 6 nA, the offset alone 9 nA.
    line = np.polyval(np.polyfit(voltage, current, 1), voltage) - current
    for fit, limit in ((study.FITTED, study.RMS_A), (study.FREE, study.FREE_RMS_A)):
        rms = np.sqrt(((fit.current(voltage) - current) ** 2).mean())
        assert rms < limit
        assert rms < 0.8 * np.sqrt((line**2).mean())
        # Attempt rate and offset are those of least squares, so the stored numbers belong together.
        _, best = study.scaled(fit, voltage, current)
        assert best.attempt_rate_Hz == pytest.approx(fit.attempt_rate_Hz, rel=1e-3)
        assert best.offset_A == pytest.approx(fit.offset_A, rel=1e-3)
