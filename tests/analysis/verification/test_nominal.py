"""The nominal run of a verification, written and read again: all that was measured, and nothing of another design."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from analysis.designs.design import Design
from analysis.designs.experiment import experiment_of
from analysis.gradients.path_check import check_path
from analysis.verification.boards import outcome
from analysis.verification.nominal import NominalRun, identity_of, read_nominal, write_nominal
from circuits.homodyne import netlist
from circuits.homodyne.engines import Twin
from inmateria.errors import ConvergenceError
from learning.bench.bench import Bench
from learning.homodyne.experiment import Experiment
from learning.homodyne.results import FailedAttempt
from learning.homodyne.training import learn

ERRORS = {"w0.rate": 0.01}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, small_bench: Bench) -> Path:
    made = tmp_path_factory.mktemp("nominal")
    small_bench.device.to_npz(made / "chip.npz")  # type: ignore[attr-defined]
    return made


@pytest.fixture(scope="module")
def design(folder: Path) -> Design:
    content: dict[str, object] = {
        "device": {"model": "chip.npz"},
        "task": {"name": "AND"},
        "learning": {"sequences": 2, "looks": 2, "restarts": 2},
        "electronics": {"level": "macro"},
    }
    return Design.from_values(content, folder)


@pytest.fixture(scope="module")
def experiment(design: Design) -> Experiment:
    found = experiment_of(design)
    return replace(found, settings=replace(found.settings, component_errors=ERRORS))


@pytest.fixture(scope="module")
def run(design: Design, experiment: Experiment) -> NominalRun:
    result = learn(experiment, rng=np.random.default_rng(5), engine="twin")
    failed = FailedAttempt(1, ConvergenceError("voltages", np.zeros(2), "no state", "try another"), 24, None)
    best = result.best
    best = replace(best, run=replace(best.run, deck="* as ngspice ran it\n"))
    result = replace(result, attempts=(best,), failed=(failed,))
    return NominalRun.of(result, check_path(result.experiment, best.loop, best.run, Twin(), samples=2))


def test_what_is_read_is_what_was_written(
    design: Design, experiment: Experiment, run: NominalRun, folder: Path
) -> None:
    write_nominal(run, design, folder, "one")
    found = read_nominal(design, experiment, "twin", folder, "one")
    assert found is not None
    a, b = outcome(run), outcome(found)
    assert (a["attempts"], a["attempts_failed"]) == (2, 1)  # one of the two was lost
    np.testing.assert_array_equal(a.pop("controls"), b.pop("controls"))
    assert a == b
    assert (found.best.initial, found.best.final) == (run.best.initial, run.best.final)
    assert found.best.loop.stage == run.best.loop.stage
    assert found.best.loop.component_errors == ERRORS
    assert found.best.device_evaluations == run.best.device_evaluations
    np.testing.assert_array_equal(found.best.run.time_s, run.best.run.time_s)
    np.testing.assert_array_equal(found.best.run.device_A, run.best.run.device_A)
    assert set(found.best.run.values) == set(run.best.run.values)
    for name, wave in run.best.run.values.items():
        np.testing.assert_array_equal(found.best.run[name], wave)
    assert found.best.run.deck == "* as ngspice ran it\n"
    assert netlist.deck(found.best.loop) == netlist.deck(run.best.loop)
    for slopes, others, units in (
        (found.check.output, run.check.output, "S"), (found.check.loss, run.check.loss, "V/V")
    ):  # fmt: skip
        assert slopes.comparisons == others.comparisons
        for one, other in zip(slopes.measured, others.measured, strict=True):
            np.testing.assert_array_equal(one, other)
            assert (one.attrs["units"], one.attrs["source"]) == (units, other.attrs["source"])
    for name in ("sequences", "patterns", "dither_V", "engine", "parts", "timepoints"):
        assert getattr(found.check, name) == getattr(run.check, name)
    assert [(one.number, one.device_evaluations) for one in found.failed] == [(1, 24)]
    assert "no state; try another" in found.failed[0].reason
    with xr.open_dataset(folder / "one.nc") as waves:  # for its user, too
        assert waves["gradient_output_exact"].dims == ("instant", "control")


def test_what_is_not_this_run_is_not_taken_for_it(
    design: Design, experiment: Experiment, run: NominalRun, folder: Path
) -> None:
    assert read_nominal(design, experiment, "twin", folder, "two") is None
    write_nominal(run, design, folder, "two")
    assert read_nominal(design.changed({"seed": 9}), experiment, "twin", folder, "two") is None
    assert read_nominal(design, experiment, "ngspice", folder, "two") is None
    deck = folder / "two.cir"
    deck.write_text("* something else\n")
    assert read_nominal(design, experiment, "twin", folder, "two") is None
    write_nominal(run, design, folder, "two")
    waves = (folder / "two.nc").read_bytes()
    (folder / "two.nc").write_bytes(waves[: len(waves) // 2])
    assert identity_of(folder / "two.nc") is None
    assert read_nominal(design, experiment, "twin", folder, "two") is None
