"""What is made of a run: datasets, gradients along its path, figures."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from analysis.datasets import loop_dataset, save_dataset
from analysis.gradients.compare import compare
from analysis.gradients.path_check import check_path, loss_gradients
from analysis.plots.figure import save
from analysis.plots.loop import plot_gradients, plot_learning, plot_path_check, plot_truth_table, plot_waveforms
from circuits.homodyne import readings
from circuits.homodyne.engines import Twin
from dnpu_models.mean_field.model import MeanField
from dnpu_models.network.network import DopantNetwork
from learning.bench.bench import Bench
from learning.homodyne.experiment import Experiment, build_loop
from learning.homodyne.results import Attempt
from learning.homodyne.settings import HgeSettings
from learning.homodyne.start import Start
from learning.homodyne.training import judge
from learning.tasks.boolean import BooleanTask

from ..refused import refused

START = np.array([-0.162, -0.042, 0.435, 0.447, -0.403, -0.499, -0.047])
TASK = BooleanTask("AND")


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(MeanField(DopantNetwork.random(seed=0, acceptors=40)))


@pytest.fixture(scope="module")
def attempt(bench: Bench) -> Attempt:
    settings = HgeSettings(amplitude_V=0.01, sequences=3, step_V=0.05)
    experiment, outputs = Experiment(bench, TASK, settings), bench.outputs_A(START, TASK)
    loop = build_loop(experiment, START, -1.0, outputs)
    return judge(experiment, loop, Twin().run(loop), Start(loop.start_V, -1.0, outputs, 4, None))


@pytest.fixture(scope="module")
def dataset(attempt: Attempt) -> xr.Dataset:
    return loop_dataset(attempt.loop, attempt.run, seed=7, gate="AND")


def test_dataset_holds_the_run_with_units(attempt: Attempt, dataset: xr.Dataset) -> None:
    loop, run = attempt.loop, attempt.run
    points = len(run.time_s)
    assert dict(dataset.sizes) == {"time": points, "control": 7, "terminal": 8}
    assert list(dataset["control"].values) == [f"e{k}" for k in range(1, 8)]
    np.testing.assert_array_equal(dataset["control_V"], readings.controls_V(loop, run))
    np.testing.assert_array_equal(dataset["current_A"], run.device_A)
    np.testing.assert_array_equal(dataset["terminal_V"].sel(terminal="e3"), run["v(el3)"])
    # Ohm's law of the transimpedance amplifier ties two of them together: v(tia) = R I out of the device.
    np.testing.assert_allclose(
        dataset["transimpedance_V"], -dataset.attrs["transimpedance_ohm"] * dataset["current_A"].sel(terminal="e0")
    )
    for name in dataset.data_vars:
        units = {"V": "V", "A": "A"}.get(str(name).rsplit("_", 1)[-1], "1")
        assert dataset[name].attrs["units"] == units, name
        assert dataset[name].attrs["long_name"]
        assert np.all(np.isfinite(dataset[name]))
    assert dataset["time"].attrs["units"] == "s"


def test_dataset_tells_where_it_comes_from(attempt: Attempt, dataset: xr.Dataset) -> None:
    assert dataset.attrs["seed"] == 7
    assert dataset.attrs["gate"] == "AND"
    assert dataset.attrs["complete"] == 1
    assert dataset.attrs["frequencies_Hz"] == list(attempt.loop.dither.frequencies_Hz)
    assert dataset.attrs["version_numpy"] == np.__version__
    assert len(dataset.attrs["deck_sha256"]) == 64


def test_dataset_survives_a_file(dataset: xr.Dataset, tmp_path: Path) -> None:
    path = tmp_path / "waveforms.nc"
    save_dataset(dataset, path)
    with xr.open_dataset(path) as stored:
        xr.testing.assert_identical(stored.load().drop_attrs(), dataset.drop_attrs())
        for name in dataset.variables:
            assert stored[name].attrs == dataset[name].attrs
        assert stored.attrs["seed"] == 7
        np.testing.assert_array_equal(stored.attrs["frequencies_Hz"], dataset.attrs["frequencies_Hz"])
        assert stored.attrs["version_inmateria"] == dataset.attrs["version_inmateria"]


def test_a_file_that_cannot_be_written_is_one_clear_line(dataset: xr.Dataset, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "missing" / "waveforms.nc", tmp_path / "file" / "waveforms.nc"):
        with refused("out", "cannot be written"):
            save_dataset(dataset, path)


def test_gradients_along_the_path(bench: Bench, attempt: Attempt) -> None:
    check = check_path(Experiment(bench, TASK), attempt.loop, attempt.run, Twin(), samples=6)
    assert check.sequences[0] == 0
    assert check.sequences[-1] == 3
    assert set(check.patterns) == {0, 1, 2, 3}
    assert check.timepoints > 0
    for slopes in (check.output, check.loss):
        assert len(slopes.measured) == len(slopes.exact) == len(slopes.comparisons) == 6
        assert slopes.cosines[-1] >= 0.99999
        assert slopes.errors[-1] < 0.1 * slopes.errors[0]  # of finite dither, which falls from 10 mV to 1 mV
        for measured, exact, comparison in zip(slopes.measured, slopes.exact, slopes.comparisons, strict=True):
            assert compare(measured, exact) == comparison
    # The first instant is the start itself, but for what moved on the first ramp.
    volts = bench.terminal_voltages(START, TASK.levels_V[0])
    np.testing.assert_allclose(check.output.exact[0], -bench.device.conductances(volts)[0, 1:], rtol=0.02)


def test_slope_of_the_loss_against_differences_of_it(bench: Bench, attempt: Attempt) -> None:
    measured, ideal, run = loss_gradients(Experiment(bench, TASK), attempt.loop, START, 0.0005, Twin())
    assert measured.attrs["units"] == ideal.attrs["units"] == "V/V"
    assert compare(measured, ideal).relative_error <= 0.01
    assert run.complete
    stage = attempt.loop.stage

    def loss(controls: np.ndarray) -> float:
        tia = stage.transimpedance_ohm * bench.outputs_A(controls, TASK)
        y = stage.polarity * np.exp(stage.gain_log) * (tia - stage.baseline_V)
        return float(np.mean((y - np.array(TASK.targets_V)) ** 2))

    steps = 1e-6 * np.eye(7)
    numeric = [(loss(START + step) - loss(START - step)) / 2e-6 for step in steps]
    np.testing.assert_allclose(ideal, numeric, atol=1e-4 * float(np.abs(ideal).max()))


def png_size(path: Path) -> tuple[int, int]:
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", head[16:24])
    return width, height


def test_figures_are_drawn_without_a_display(
    bench: Bench, attempt: Attempt, dataset: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    check = check_path(Experiment(bench, TASK), attempt.loop, attempt.run, Twin(), samples=2)
    period = attempt.loop.sequence.period_s
    figures = {
        "waveforms": plot_waveforms(dataset, start_s=period, stop_s=1.5 * period),
        "learning": plot_learning(attempt),
        "truth": plot_truth_table(attempt, "AND"),
        "gradients": plot_gradients(check.output.measured, check.output.exact, "two instants"),
        "path": plot_path_check(check),
    }
    for name, figure in figures.items():
        path = save(figure, tmp_path / f"{name}.png")
        width, height = png_size(path)
        assert width >= 800
        assert height >= 400
        assert path.stat().st_size > 10_000
        assert all(axes.get_xlabel() or axes.get_ylabel() for axes in figure.axes)
    wave = figures["waveforms"].axes[0].lines
    assert len(wave) == 8
    assert min(len(line.get_xdata()) for line in wave) > 100
    assert len(figures["learning"].axes[0].lines) == 7
    shown = {}
    for line in figures["truth"].axes[1].lines:
        if str(line.get_label()).startswith("target"):
            shown |= dict(zip(np.asarray(line.get_xdata()), np.asarray(line.get_ydata()), strict=True))
    np.testing.assert_allclose([shown[k] for k in range(4)], attempt.final_A * 1e9)
