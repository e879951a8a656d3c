"""Ctrl-C: exit code 130, one line, and what was computed so far is kept. The bar in a terminal is seen here too."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import xarray as xr

from analysis.gradients import path_check
from circuits.homodyne import twin
from learning.homodyne import training

from .command import stopped_in_terminal
from .conftest import Short

InterruptAt = Callable[..., None]

BAR = re.compile(r"XOR attempt 1/20 .* (\d+\.\d) s of 6\.2 s simulated (\d:\d\d:\d\d) left")


def test_a_terminal_sees_progress_and_ctrl_c_keeps_the_waveforms(tmp_path: Path) -> None:
    def half_a_second(text: str) -> bool:
        seen = BAR.findall(text)
        return bool(seen) and float(seen[-1][0]) > 0.5

    stopped = stopped_in_terminal(["learn", "XOR", "--out", "run", "--json"], tmp_path, half_a_second)
    assert stopped.code == 130
    text = stopped.stderr
    assert "Traceback" not in text
    path = tmp_path / "run" / "waveforms.nc"
    error = stopped.document["error"]
    assert set(error) == {"field", "value", "problem", "fix"}
    assert re.fullmatch(r"stopped by Ctrl-C at [\d.]+ s of 6.16 s", error["problem"])
    assert "run/waveforms.nc" in error["fix"]
    assert [line for line in text.replace("\r", "\n").splitlines() if line.startswith("error:")]
    with xr.open_dataset(path) as waves:
        assert waves.attrs["complete"] == 0
        assert waves.attrs["interrupted"] == 1
        assert 0.5 < float(waves["time"][-1]) < 6
        assert waves["loss_V"].attrs["units"] == "V"
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["error"] == error
    assert [entry.name for entry in tmp_path.iterdir()] == ["run"]  # no record of the worker is left


def test_ctrl_c_in_the_twin(short: Short, tmp_path: Path, interrupt_at: InterruptAt) -> None:
    interrupt_at(twin, "slots", 6)
    result = short("learn", "XOR", "--engine", "twin", "--out", str(tmp_path), "--json")
    assert result.code == 130
    assert "waveforms.nc" in result.document["error"]["fix"]
    told = ("Numba compiles", "XOR: attempt", "doubt:")  # of the attempt, before it was stopped
    lines = [line for line in result.stderr.splitlines() if not line.startswith(told)]
    assert len(lines) == 1
    with xr.open_dataset(tmp_path / "waveforms.nc") as waves:
        assert waves.attrs["interrupted"] == 1
        assert waves.sizes["time"] > 100


def test_ctrl_c_between_attempts_keeps_the_last(short: Short, tmp_path: Path, interrupt_at: InterruptAt) -> None:
    interrupt_at(training, "choose_start", 2)
    result = short("learn", "XOR", "--engine", "twin", "--out", str(tmp_path))
    assert result.code == 130
    assert "waveforms.nc" in result.stderr
    with xr.open_dataset(tmp_path / "waveforms.nc") as waves:
        assert waves.attrs["complete"] == 1


def test_ctrl_c_at_the_check_keeps_the_training(short: Short, tmp_path: Path, interrupt_at: InterruptAt) -> None:
    interrupt_at(path_check, "check_path", 1)
    result = short("learn", "XOR", "--engine", "twin", "--restarts", "1", "--out", str(tmp_path), "--json")
    assert result.code == 130
    assert "after the training" in result.document["error"]["problem"]
    assert {"waveforms.nc", "deck.cir", "summary.json"} == {f.name for f in tmp_path.iterdir()}


def test_ctrl_c_without_a_folder_tells_of_the_option(short: Short, interrupt_at: InterruptAt) -> None:
    interrupt_at(twin, "slots", 6)
    result = short("learn", "XOR", "--engine", "twin")
    assert result.code == 130
    assert result.stdout == ""
    assert "Ctrl-C" in result.stderr
