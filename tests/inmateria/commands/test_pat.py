"""`inmateria pat`: trains, tells, resumes, refuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from .command import COMMAND, answered, assert_refused, environment, in_process

pytest.importorskip("torch")

DATA = Path(os.environ.get("INMATERIA_DATA", "../shared/data")).resolve()
VOWELS = DATA / "hillenbrand_vowdata.dat"
CHIP = DATA / "dnpu_chip.npz"
QUICK = ["--epochs", "1", "--width", "14", "--passes", "2", "--steps", "1"]
needs_vowels = pytest.mark.skipif(not VOWELS.is_file(), reason="INMATERIA_DATA holds no vowels")


@needs_vowels
def test_vowels_in_ngspice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["pat", "vowels", "--data", str(VOWELS), *QUICK, "--splits", "2", "--seed", "3", "--json"]
    found = answered(capsys, *words, "--out", str(tmp_path / "v"))
    assert (found["command"], found["task"], found["splits"]) == ("pat", "vowels", 2)
    assert (found["samples"], found["test_samples"], found["layer"]["engine"]) == (175, 84, "ngspice")
    assert found["parameters"] == 2 * 3 * 14 + 7  # scale, offset and skip a value and pass, a gain a class
    assert found["forward_samples"] == 2 * 1 * 2 * 175  # splits, epochs, passes, samples
    assert 0.8 < found["softmax_accuracy"]["mean"] <= 1
    with xr.open_dataset(tmp_path / "v" / "pat.nc") as opened:
        data = opened.load()
    assert list(data.split.values) == [3, 4]
    last = data.test_accuracy.isel(epoch=-1)
    assert found["accuracy"]["mean"] == pytest.approx(float(last.mean()))
    np.testing.assert_array_equal(data.confusion.sum(["class", "chosen"]), [84, 84])
    right = sum(data.confusion.sel({"class": c, "chosen": c}) for c in data["class"].values)
    np.testing.assert_allclose(right / 84, last)
    made = {f.name for f in (tmp_path / "v").iterdir()}
    assert made == {"pat.nc", "pat.png", "pat_waveforms.png", "summary.json", "checkpoints"}
    assert json.loads((tmp_path / "v" / "summary.json").read_text())["accuracy"] == found["accuracy"]


@needs_vowels
def test_killed_run_resumes_to_the_same_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["pat", "vowels", "--data", str(VOWELS), *QUICK, "--epochs", "20", "--engine", "twin", "--mode", "ideal"]
    words += ["--out"]
    running = subprocess.Popen(
        [*COMMAND, *words, "killed"], cwd=tmp_path, env=environment({}), stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    checkpoint = tmp_path / "killed" / "checkpoints" / "split-0" / "checkpoint.pt"
    until = time.monotonic() + 120
    while not checkpoint.exists() and running.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert checkpoint.exists()
    again = in_process(capsys, *words, str(tmp_path / "killed"))
    whole = in_process(capsys, *words, str(tmp_path / "whole"))
    assert again.code == whole.code == 0, again.stderr
    with xr.open_dataset(tmp_path / "killed" / "pat.nc") as a, xr.open_dataset(tmp_path / "whole" / "pat.nc") as b:
        np.testing.assert_array_equal(a.scale.values, b.scale.values)
        np.testing.assert_array_equal(a.loss.values, b.loss.values)
    other = in_process(capsys, *words, str(tmp_path / "killed"), "--spread", "0.1")
    assert_refused(other, "checkpoint", "other: spread")


@pytest.mark.skipif(not CHIP.is_file(), reason="INMATERIA_DATA holds no chip")
def test_digits_on_a_chip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["pat", "digits", "--layer", "dnpu", "--device", str(CHIP), "--width", "20", "--passes", "1"]
    found = answered(capsys, *words, "--epochs", "1", "--json", "--out", str(tmp_path / "digits"))
    assert found["layer"]["engine"] is None
    assert found["accuracy"]["mean"] > 0.1  # by chance; a training wants 20 epochs
    assert 0 < found["model_error"] < 0.5
    assert (tmp_path / "digits" / "pat.nc").is_file()


@pytest.mark.parametrize(
    ("words", "field"),
    [
        (["nothing"], "task"),
        (["digits", "--data", "x"], "data"),
        (["vowels", "--data", "missing.dat"], "data"),
        (["mnist", "--data", "missing"], "data"),
        (["digits", "--device", "meanfield"], "device"),
        (["digits", "--layer", "dnpu", "--device", "kmc"], "device"),
        (["digits", "--layer", "dnpu", "--device", "missing.npz"], "device"),
        (["digits", "--spread", "0.9"], "spread"),
        (["digits", "--noise", "-1"], "noise_V"),
        (["digits", "--rate", "0"], "rate"),
        (["digits", "--width", "5"], "points"),
        (["digits", "--mode", "ideal", "--refit", "2"], "refit_every"),
    ],
)
def test_bad_input(words: list[str], field: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert_refused(in_process(capsys, "pat", *words), field)
