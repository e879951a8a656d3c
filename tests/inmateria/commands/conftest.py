"""A short learning run: the whole path of the command, in seconds instead of a minute."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from analysis.gradients import path_check
from inmateria.commands import experiment
from learning.homodyne.settings import HgeSettings
from learning.tasks.regression import RegressionTask
from learning.tasks.task import Task

from ...toys import random_chip
from .command import Result, in_process

Short = Callable[..., Result]


@pytest.fixture(scope="session")
def chip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file with a small network of seven electrodes, in the default device's place: ten times as fast."""
    path = tmp_path_factory.mktemp("chip") / "chip.npz"
    random_chip(7, 12, 12, 1, seed=3, scale=np.sqrt(2), kinks=0.1).to_npz(path)
    return str(path)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Short:
    """Run a command whose attempts have one sequence of tiny steps: nothing is learned in it."""
    monkeypatch.setattr(experiment, "HgeSettings", partial(HgeSettings, sequences=1, looks=2, moves=0, step_V=1e-6))
    monkeypatch.setattr(Task, "training", {"spread": 0.45})
    monkeypatch.setattr(RegressionTask, "training", {})
    monkeypatch.setattr(path_check, "check_path", partial(path_check.check_path, samples=5))
    return partial(in_process, capsys)
