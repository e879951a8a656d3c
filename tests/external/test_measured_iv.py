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
    off = study.FITTED.current(voltage) - current
    rms = np.sqrt((off**2).mean())
    assert rms < study.RMS_A
    assert rms < 0.1 * current.std()  # a straight line leaves more than half of the standard deviation
    # Attempt rate and offset are those of least squares, so the stored numbers belong together.
    _, best = study.scaled(study.FITTED, voltage, current)
    assert best.attempt_rate_Hz == pytest.approx(study.FITTED.attempt_rate_Hz, rel=1e-3)
    assert best.offset_A == pytest.approx(study.FITTED.offset_A, rel=1e-3)
