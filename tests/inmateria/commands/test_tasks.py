"""`learn` with other tasks than gates, and with other methods than homodyne gradient extraction."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from .command import assert_refused, in_process
from .conftest import Short

TASKS = {"sphere": (3, 32, "accuracy"), "curve": (1, 16, "error")}


@pytest.mark.parametrize("name", TASKS)
def test_every_task_is_run_and_told(short: Short, chip: str, name: str, tmp_path: Path) -> None:
    inputs, patterns, figure = TASKS[name]
    result = short(
        "learn", name, "--device", chip, "--engine", "averaged", "--restarts", "1", "--evaluations", str(patterns * 6),
        "--json", "--out", str(tmp_path),
    )  # fmt: skip
    assert result.code in (0, 1), result
    document = result.document
    assert (document["task"], document["gate"], document["method"]) == (name, None, "hge")
    assert (document["patterns"], len(document["currents_A"])) == (patterns, patterns)
    assert len(document["device"]["inputs"]) == inputs
    assert 0 <= document[figure] <= 1
    assert set(document["test"]) == {figure}
    assert document["test_points"] >= 100
    assert document["physical_s"] == pytest.approx(0.11005 * document["device_evaluations"])
    assert {"task.png", "trace.png", "learning.png", "waveforms.nc"} <= {f.name for f in tmp_path.iterdir()}
    assert f"held-out {figure}" in result.stderr


def test_several_devices_learn_as_one(short: Short, chip: str, tmp_path: Path) -> None:
    """Each sees the inputs on its own electrodes, all controls are trained, and figures show the inputs once."""
    words = ["learn", "ring", "--device", chip, "--devices", "2", "--electrodes", "out:e1,e3", "--engine", "averaged"]
    result = short(*words, "--restarts", "1", "--evaluations", "144", "--json", "--out", str(tmp_path))
    assert result.code in (0, 1), result
    document = result.document
    device = document["device"]
    assert (device["count"], device["output"]) == (2, "out")
    assert device["inputs"] == ["d0e1", "d0e3", "d1e1", "d1e3"]
    assert len(document["controls_V"]) == 14
    assert (tmp_path / "task.png").exists()


def test_devices_that_cannot_be_joined_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    result = in_process(capsys, "learn", "XOR", "--device", "kmc", "--devices", "2")
    assert_refused(result, "devices", "join mean fields, chips or functions")


@pytest.fixture
def own_file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.csv"
    path.write_text("x,target\n0,1\n1,2\n2,1.5\n3,0\n")
    return path


def test_a_task_of_ones_own_by_several_methods(
    capsys: pytest.CaptureFixture[str], own_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = ["learn", str(own_file), "--method", "random,differences,spsa,evolution", "--evaluations", "120"]
    result = in_process(capsys, *words, "--out", str(out), "--seed", "4", "--json")
    document = result.document
    assert result.code == (0 if document["methods"]["random"]["success"] else 1)
    assert document["task"] == "mine"
    assert document["budget"] == 120
    assert list(document["methods"]) == ["random", "differences", "spsa", "evolution"]
    for facts in document["methods"].values():
        assert 0 < facts["device_evaluations"] <= 120
        assert facts["physical_s"] == pytest.approx(0.11005 * facts["device_evaluations"])
        trace = facts["trace"]
        assert trace["device_evaluations"][-1] == facts["device_evaluations"]
        assert np.all(np.diff(trace["loss"]) <= 0)
        assert trace["physical_s"][-1] == pytest.approx(facts["physical_s"])
    assert {f.name for f in out.iterdir()} == {"trace.nc", "trace.png", "summary.json"}
    assert json.loads((out / "summary.json").read_text()) == document
    with xr.open_dataset(out / "trace.nc") as traces:
        np.testing.assert_allclose(traces["loss_spsa"], document["methods"]["spsa"]["trace"]["loss"])
        assert all(traces[name].attrs["units"] for name in traces.data_vars)
    assert [line.split(":")[0] for line in result.stderr.splitlines()[:2]] == [
        "mine by random",
        "mine by differences",
    ]


def test_hge_runs_beside_the_others_at_the_same_budget(short: Short) -> None:
    words = ["learn", "XOR", "--method", "hge,random", "--engine", "averaged", "--evaluations", "200", "--json"]
    document = short(*words).document
    hge = document["methods"]["hge"]
    assert 0 < hge["device_evaluations"] <= 200
    assert document["success"] == hge["success"]
    assert document["gate"] == "XOR"


@pytest.mark.parametrize(
    ("words", "field", "told"),
    [
        (["AND", "--method", "luck"], "method", ["'luck'", "evolution"]),
        (["AND", "--method", "random,random"], "method", ["twice"]),
        (["AND", "--evaluations", "20"], "evaluations", ["20", "at least 196"]),
        (["AND", "--evaluations", "0"], "evaluations", ["at least 1"]),
        (["AND", "--method", "spsa", "--evaluations", "3"], "evaluations", ["one setting needs 4"]),
        (["AND", "--method", "spsa", "--electronics-noise"], "electronics_noise", ["sees the device alone"]),
        (["missing.csv"], "task", ["is no file"]),
        (["ring", "--electrodes", "e0:e1"], "electrodes", ["OUTPUT:INPUT,INPUT"]),
        (["sphere", "--electrodes", "e0:e1,e2,e1"], "electrodes", ["e1 twice"]),
    ],
)
def test_wrong_words_end_in_one_line(
    capsys: pytest.CaptureFixture[str], words: list[str], field: str, told: list[str]
) -> None:
    assert_refused(in_process(capsys, "learn", *words), field, *told)
