"""A short learning run: the whole path of the command, in seconds instead of a minute."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from inmateria import learning_run
from learning import HgeSettings

from .command import Result, in_process

Short = Callable[..., Result]


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Short:
    """Run a command whose attempts have two sequences of tiny steps and two looks: nothing is learned in them."""
    monkeypatch.setattr(learning_run, "HgeSettings", partial(HgeSettings, sequences=2, looks=2, step_V=1e-6))
    return partial(in_process, capsys)
