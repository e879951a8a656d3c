"""`inmateria sweep`: a design over a grid by the command, what it leaves behind, and what it refuses."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from analysis.designs.design import Design
from analysis.designs.experiment import experiment_of
from analysis.sweeps import cluster as sweep_cluster
from analysis.sweeps.design_sweep import sweep_design
from analysis.sweeps.measures import GradientMeasure, LearnMeasure, LossGradientMeasure, design_at
from analysis.sweeps.store import read_store

from .command import answered, assert_refused, in_process, stopped_in_terminal

GRID = ["--over", "dither.amplitude=2mV:30mV:log:3", "--over", "dither.spacing=10Hz,20Hz", "--seeds", "1"]


def same(one: xr.Dataset, other: xr.Dataset) -> bool:
    """Whether two sweeps have the same values, times and hosts aside."""
    return one.drop_vars(["seconds", "host"]).identical(other.drop_vars(["seconds", "host"]))


def test_a_map_by_the_command_goes_on_in_python(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["sweep", *GRID, "--check", "1", "--workers", "1", "--out", str(tmp_path / "map")]
    found = answered(capsys, *words, "--json")
    assert (found["points"], found["computed"], found["failed"]) == (6, 6, 0)
    assert [axis["key"] for axis in found["axes"]] == ["dither.amplitude", "dither.spacing", "seed"]
    assert found["check"]["points"] == 1
    assert found["check"]["deviation_max"] < 1e-3  # both integrate the same circuit
    assert found["noise_A2_per_Hz"] == 1e-23
    assert {"map.png", "summary.json", "sweep.zarr"} == {f.name for f in (tmp_path / "map").iterdir()}
    assert len(found["planned"]) == 2
    with xr.open_zarr(tmp_path / "map" / "sweep.zarr") as data:
        data = data.load()
    # what the map must show: the predicted noise falls as 1/amplitude and as the root of the time
    noise = data["noise"].isel(seed=0, control=0)
    assert np.allclose(noise * noise["dither_amplitude"] / np.sqrt(1e-23 * noise["dither_spacing"]), 1.0)
    assert np.allclose(data["time"] * data["dither_spacing"], 1.0)
    assert data["reading"].attrs["units"] == "S"
    apart = data["reading"] - data["exact"]
    size = np.sqrt((apart**2).sum("control") / (data["exact"] ** 2).sum("control"))
    assert np.allclose(size, data["relative_error"])
    refused = in_process(capsys, *words, "--engine", "ngspice", "--check", "0")
    assert_refused(refused, "out", "holds another sweep: its engine is twin, not ngspice")
    over = {"dither.amplitude": data["dither_amplitude"].values, "dither.spacing": ["10 Hz", 20]}
    by_python = sweep_design(Design.from_values({}), over, seeds=1, checks=1, store=tmp_path / "map" / "sweep.zarr")
    assert by_python.computed == 0
    assert same(by_python.data, read_store(tmp_path / "map" / "sweep.zarr"))


def test_a_point_is_itself_whatever_was_computed_before() -> None:
    point = {"dither.amplitude": 0.02, "dither.spacing": 20.0, "seed": 1}
    measure = GradientMeasure(Design.from_values({}))
    alone = measure(dict(point))
    measure({**point, "seed": 0})
    measure({**point, "dither.amplitude": 0.002})
    after = measure(dict(point))
    assert all(np.array_equal(alone[name], after[name]) for name in alone)
    other = measure({**point, "dither.spacing": 40.0})
    assert np.array_equal(other["exact"], alone["exact"])  # the same device and setting: frozen controls
    assert not np.array_equal(other["reading"], alone["reading"])  # but noise of its own


def test_the_gradient_of_the_loss_is_read_as_by_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    measure = LossGradientMeasure(Design.from_values({"noise": {"density": 0.0}}))
    found = measure({"dither.amplitude": 0.0005, "seed": 3})
    assert found["relative_error"] < 0.03  # of a finite dither: 1.8 % here, 3.2 % at 1 mV
    assert measure.variables["reading"].units == measure.check_variables["reading"].units == "V/V"
    words = ["gradient", "--of", "loss", "--engine", "twin", "--amplitude", "0.0005", "--seed", "3"]
    said = in_process(capsys, *words, "--device-seed", "3", "--json").document
    np.testing.assert_allclose(found["exact"], said["ideal"], rtol=1e-6)
    np.testing.assert_allclose(found["reading"], said["lockin"], atol=0.02 * np.linalg.norm(said["lockin"]))


@pytest.mark.parametrize("measure", [GradientMeasure, LossGradientMeasure])
def test_noise_of_the_readings_is_what_is_predicted(measure: type[GradientMeasure]) -> None:
    """Readings less those without noise, over the predicted deviation: chi-squared, false alarms 1e-5."""
    from scipy.stats import chi2

    design = Design.from_values({"noise": {"density": "1e-5 nA^2/Hz"}})
    quiet, loud = measure(design.changed({"noise.density": 0.0})), measure(design)
    scores = []
    for amplitude in (0.002, 0.004):
        for spacing in (10.0, 40.0):
            point = {"dither.amplitude": amplitude, "dither.spacing": spacing, "seed": 0}
            noisy = loud(dict(point))
            scores.append((noisy["reading"] - quiet(dict(point))["reading"]) / noisy["noise"])
    total = float(np.sum(np.square(scores)))
    low, high = chi2.ppf([0.5e-5, 1 - 0.5e-5], np.size(scores))
    assert low < total < high


def test_training_swept_by_the_averaged_loop(tmp_path: Path) -> None:
    design = Design.from_values(
        {"task": {"name": "AND"}, "learning": {"sequences": 2, "looks": 2, "restarts": 1}, "noise": {"density": 1e-23}}
    )
    found = sweep_design(
        design, {"learning.rate": [0.1, 0.2]}, seeds=1, measure="learn", engine="averaged", checks=1, workers=1,
        store=tmp_path / "sweep.zarr",
    )  # fmt: skip
    data = found.data
    assert (found.computed, found.failed) == (2, 0)
    assert data["attempts"].values.tolist() == [[1.0], [1.0]]
    assert set(np.unique(data["learned"])) <= {0.0, 1.0}
    assert data["controls"].sizes == {"learning_rate": 2, "seed": 1, "control": 7}
    assert not np.array_equal(data["controls"][0], data["controls"][1])  # the rate counts
    assert float(data["check_deviation"][0]) < 0.02
    by_hand = LearnMeasure(design, "averaged")({"learning.rate": 0.2, "seed": 0})
    # Not bit for bit: with an empty cache, this process may have compiled the kernels with other calls inlined.
    np.testing.assert_allclose(by_hand["controls"], data["controls"].values[1, 0], rtol=1e-10, atol=1e-12)


def test_a_seed_is_the_devices_too_unless_that_is_an_axis() -> None:
    design = Design.from_values({})
    assert design_at(design, {"seed": 7}).device.seed == 7
    assert design_at(design, {"seed": 7, "device.seed": 2}).device.seed == 2
    assert design_at(design, {"seed": 7}).seed == 7
    chip = Design.from_values({"device": {"model": "chip.npz"}})
    assert design_at(chip, {"seed": 7}).device.seed is None


@pytest.mark.parametrize(
    ("words", "field", "told"),
    [
        ([], "over", "is missing"),
        (["--over", "dither.amplitud=1mV,2mV"], "dither.amplitud", "did you mean dither.amplitude?"),
        (["--over", "amplitude=1mV,2mV"], "amplitude", "did you mean dither.amplitude?"),
        (["--over", "dither.amplitude=1mV:2Hz:log:3"], "over dither.amplitude", "is in Hz, V is required"),
        (["--over", "dither.amplitude=-1mV,1mV"], "dither.amplitude", "must be above 0 V"),
        (["--over", "electronics.level=ideal,real"], "electronics.level", "is unknown"),
        (["--over", "dither.amplitude=1mV", "--over", "dither.amplitude=2mV"], "over", "is given twice"),
        (["--over", "dither.amplitude=1mV,2mV", "--engine", "averaged"], "engine", "closed loop only"),
        (["--over", "device.model=kmc"], "dither.spacing", "one by one"),
        (["--over", "dither.amplitude=1mV", "--seeds", "0"], "seeds", "0"),
        (["--over", "dither.amplitude=1mV", "--measure", "yield"], "measure", "is not one of"),
        (["--over", "dither.amplitude=1mV", "--engine", "ngspice", "--check", "2"], "check", "with itself"),
        (["--over", "dither.amplitude=1mV", "--scheduler", "tcp://127.0.0.1:9"], "scheduler", "does not answer"),
        (["missing.toml", "--over", "dither.amplitude=1mV"], "design", "is no file"),
    ],
)
def test_wrong_input_is_one_line(
    capsys: pytest.CaptureFixture[str], words: list[str], field: str, told: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(sweep_cluster, "ANSWER_S", 0.5)
    result = in_process(capsys, "sweep", *words, "--out", str(tmp_path / "out"))
    assert_refused(result, field, told)


def test_electronics_that_the_engine_does_not_know(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "real.toml").write_text('[electronics]\nlevel = "transistor"\n')
    result = in_process(capsys, "sweep", str(tmp_path / "real.toml"), "--over", "dither.amplitude=1mV")
    assert_refused(result, "engine", "knows no equations of the electronics (transistor)")


def test_a_terminal_sees_the_time_left_and_ctrl_c_is_followed_by_more(tmp_path: Path) -> None:
    words = ["sweep", "--over", "dither.amplitude=2mV:3mV:lin:60", "--seeds", "2", "--check", "0", "--out", "map"]

    def some_points(text: str) -> bool:
        seen = re.findall(r"gradient, twin .* (\d+) of 120 points (\d:\d\d:\d\d) left", text)
        return bool(seen) and int(seen[-1][0]) > 3

    stopped = stopped_in_terminal(words, tmp_path, some_points)
    assert stopped.code == 130
    text = stopped.stderr
    assert "Traceback" not in text
    told = re.search(r"error: stopped by Ctrl-C with (\d+) of 120 points stored in map/sweep.zarr; give the same", text)
    assert told is not None, text[-500:]
    with xr.open_zarr(tmp_path / "map" / "sweep.zarr") as store:
        assert int((store["status"] > 0).sum()) == int(told[1])
    assert not [entry.name for entry in tmp_path.iterdir() if entry.name != "map"]  # nothing temporary is left


def test_the_bench_measures_a_sweep_beside_plain_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import Console

    from inmateria.benchmarks import sweep as sweep_bench

    monkeypatch.setattr(sweep_bench, "processors", lambda: 1)
    found = sweep_bench.run_bench(rounds=1, points=2, seeds=1, answer=Console(quiet=True))
    assert found["workers"] == 1
    assert found["points"] == 2
    for name in ("efficiency", "points_per_s", "points_per_s_one_worker", "against_plain_processes"):
        assert 0 < found[name] < np.inf
    assert found["plain_processes"]["points_per_s"] > 0


def test_parts_drift_with_the_temperature_of_the_electronics() -> None:
    """A point at 85 degC has the components that `inmateria learn --design` has there; at 27 degC none has drifted."""
    design = Design.from_values({"electronics": {"level": "macro"}, "dither": {"amplitude": "20 mV"}})
    cold, warm = (
        GradientMeasure(design)({"electronics.temperature": kelvin, "seed": 3})["reading"]
        for kelvin in (300.15, 358.15)
    )
    apart = np.linalg.norm(warm - cold) / np.linalg.norm(cold)
    assert apart > 3e-3  # 58 K times 50 ppm/K are 0.3 %; offsets, which drift besides, weigh more
    still = design.changed({f"tolerances.{kind}_drift": 0.0 for kind in ("resistor", "capacitor", "ratio", "offset")})
    same = GradientMeasure(still)({"electronics.temperature": 358.15, "seed": 3})["reading"]
    assert np.allclose(same, cold, rtol=1e-6)
    hot = design.changed({"electronics.temperature": 358.15})
    assert experiment_of(hot).settings.component_errors != {}
