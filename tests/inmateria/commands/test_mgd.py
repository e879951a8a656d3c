"""`inmateria mgd`: trains, tells, resumes, refuses."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from learning.multiplexed.sigmoid_network import SigmoidNetwork
from learning.samples.samples import parity

from .command import COMMAND, answered, assert_refused, environment, in_process

QUICK = ["--steps", "60000", "--checks", "60", "--seeds", "6"]


def test_xor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = in_process(capsys, "mgd", "XOR", *QUICK, "--code", "walsh", "--json", "--out", str(tmp_path / "xor"))
    assert done.code == 0, done.stderr
    found = done.document
    assert (found["command"], found["task"], found["parameters"], found["runs"]) == ("mgd", "parity-2", 9, 6)
    settings = found["training"]["settings"]
    assert (settings["code"], settings["tau_x"], settings["tau_theta"]) == ("walsh", 16, 16)
    with xr.open_dataset(tmp_path / "xor" / "mgd.nc") as opened:
        data = opened.load()
    assert found["solved"]["runs"] == int(data.solved.sum()) >= 1
    assert found["solved"]["low"] < found["solved"]["share"] <= found["solved"]["high"]
    assert f"{found['solved']['runs']} of 6 runs solved" in done.stderr
    task, network = parity(2), SigmoidNetwork((2, 2, 1))
    for seed in data.seed.values:
        last = int(np.isfinite(data.cost.sel(seed=seed)).sum()) - 1
        cost = network.cost(data.theta.sel(seed=seed).values, task.inputs, task.targets)
        assert cost == pytest.approx(float(data.cost.sel(seed=seed)[last]), rel=1e-12)
    hardware = found["hardware"]
    assert hardware["time_s"] == pytest.approx(1e-3 * found["inferences"] + 1e-3 * found["updates"])
    assert {f.name for f in (tmp_path / "xor").iterdir()} == {"mgd.nc", "mgd.png", "summary.json", "checkpoints"}
    assert json.loads((tmp_path / "xor" / "summary.json").read_text())["cost"] == found["cost"]


def test_xor_in_ngspice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["mgd", "XOR", "--engine", "ngspice", "--code", "walsh", "--seeds", "1", "--steps", "6000", "--json"]
    done = in_process(capsys, *words, "--out", str(tmp_path / "xor"))
    assert done.code == 0, done.stderr
    found = done.document
    assert (found["engine"], found["training"]["settings"]["mode"]) == ("ngspice", "analog")
    assert found["solved"]["runs"] == 1
    assert found["hardware"]["time_s"] == pytest.approx(6.0)
    assert "6 s of the circuit" in done.stderr
    with xr.open_dataset(tmp_path / "xor" / "mgd.nc") as opened:
        data = opened.load()
    task, theta = parity(2), data.theta.values[0]
    assert SigmoidNetwork((2, 2, 1)).cost(theta, task.inputs, task.targets) == pytest.approx(data.cost.values[0, -1])
    assert {f.name for f in (tmp_path / "xor").iterdir()} == {"mgd.nc", "mgd.png", "summary.json"}


def test_letters_beside_softmax(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["mgd", "letters", "--steps", "200000", "--checks", "4", "--seeds", "1", "--eta", "5", "--json"]
    found = answered(capsys, *words)
    assert found["parameters"] == 220
    assert found["softmax_accuracy"] > 0.9
    assert found["test_accuracy"]["median"] > 0.5
    assert "solved" not in found


def test_no_run_solved_exits_1(capsys: pytest.CaptureFixture[str]) -> None:
    done = in_process(capsys, "mgd", "parity-4", "--steps", "100", "--checks", "2", "--seeds", "2", "--json")
    assert done.code == 1
    assert done.document["solved"]["runs"] == 0
    assert done.document["median_steps_to_solved"] is None


def test_stopped_by_ctrl_c_and_resumed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Between two looks; the result is that of an undisturbed run, and the finished part is not done again."""
    words = ["mgd", "letters", "--steps", "1800000", "--checks", "2", "--seeds", "2", "--json", "--out"]
    answered(capsys, *words, str(tmp_path / "whole"))
    running = subprocess.Popen(
        [*COMMAND, *words, "part"], cwd=tmp_path, env=environment({}), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    note = tmp_path / "part" / "checkpoints" / "training.json"
    while not note.exists():
        assert running.poll() is None
        time.sleep(0.05)
    time.sleep(0.3)
    running.send_signal(signal.SIGINT)
    out, told = running.communicate(timeout=60)
    assert running.returncode == 130, told
    assert "run the command again to go on" in json.loads(out)["error"]["fix"]
    kept = list(note.parent.glob("seed_*.npz"))
    assert (tmp_path / "part" / "mgd.nc").exists() == bool(kept)  # curves of those that had begun
    answered(capsys, *words, str(tmp_path / "part"))
    with xr.open_dataset(tmp_path / "whole" / "mgd.nc") as one, xr.open_dataset(tmp_path / "part" / "mgd.nc") as other:
        xr.testing.assert_equal(one, other)


@pytest.mark.parametrize(
    ("words", "field", "told"),
    [
        (["AND"], "task", "is no task of mgd"),
        (["parity-99"], "bits", "give 2 to 10"),
        (["XOR", "--eta", "0"], "eta", "above 0"),
        (["XOR", "--norm", "nan"], "norm", "positive"),
        (["XOR", "--tau-p", "3", "--tau-theta", "7"], "tau_theta", "is no multiple of tau_p"),
        (["XOR", "--hidden", "4;4"], "hidden", "is no list of layers"),
        (["XOR", "--cost-noise", "-1"], "cost_noise", "0 or more"),
        (["XOR", "--momentum", "1"], "momentum", "is not in [0, 1)"),
        (["XOR", "--checks", "10", "--steps", "5"], "checks", "are more than"),
        (["XOR", "--batch", "9"], "batch", "is not between"),
        (["XOR", "--inference-time", "-1"], "inference_time", "is no time"),
        (["letters", "--engine", "ngspice"], "engine", "does not run letters"),
        (["parity-3", "--engine", "ngspice"], "engine", "does not run parity-3"),
        (["XOR", "--engine", "ngspice", "--mode", "discrete"], "mode", "is not how the circuit works"),
        (["XOR", "--engine", "ngspice", "--momentum", "0.5"], "momentum", "is not part of the circuit"),
        (["XOR", "--engine", "ngspice", "--hidden", "3"], "hidden", "is not part of the circuit"),
    ],
)
def test_bad_input(capsys: pytest.CaptureFixture[str], words: list[str], field: str, told: str) -> None:
    assert_refused(
        in_process(capsys, "mgd", *words, "--steps" if "--steps" not in words else "--seeds", "1"), field, told
    )


def test_another_training_in_the_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["mgd", "XOR", "--checks", "2", "--seeds", "1", "--out", str(tmp_path / "here"), "--steps"]
    in_process(capsys, *words, "100")
    assert_refused(in_process(capsys, *words, "200"), "checkpoint", "holds those of another training")
