"""Sweeps: axes as people write them, a store that survives, workers that die, a cluster by address."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from analysis.sweeps import cluster as sweep_cluster
from analysis.sweeps.axes import Axis, make_axes, parse_over, point_words, ranged, seed_axis
from analysis.sweeps.cluster import SweepCluster, open_cluster
from analysis.sweeps.runner import Sweep, run_sweep
from analysis.sweeps.store import DONE, FAILED, TODO, Layout, Outcome, SweepStore, Variable
from inmateria.errors import InputError, Interrupted

UNITS = {"dither.amplitude": "V", "noise.density": "A^2/Hz", "learning.rate": "1", "electronics.level": "", "n": ""}
AXES = (ranged("x", 0, 4, "lin", 5), seed_axis(8))
VARIABLES = {"y": Variable("V", (), "the answer"), "each": Variable("A", ("control",))}
COORDS = {"control": ["e1", "e2"]}


def unit_of(key: str) -> str:
    if key not in UNITS:
        raise InputError(key, key, "is no key of a design", "did you mean another?")
    return UNITS[key]


# -- axes --------------------------------------------------------------------------------------------------------------


def test_a_range_and_a_list_as_people_write_them() -> None:
    axis = parse_over("dither.amplitude=1mV:100 mV:log:5", unit_of)
    assert axis.values == (0.001, 0.00316227766017, 0.01, 0.0316227766017, 0.1)
    assert (axis.name, axis.unit, axis.kind) == ("dither_amplitude", "V", float)
    assert parse_over("dither.amplitude = 1mV, 5e-3 V", unit_of).values == (0.001, 0.005)
    assert parse_over("electronics.level=ideal,macro", unit_of).values == ("ideal", "macro")
    assert parse_over("n=1:9:lin:3", unit_of).values == (1, 5, 9)
    assert parse_over("n=1,2", unit_of).array().dtype == np.int64
    assert parse_over("learning.rate=0:1:lin:3", unit_of).values == (0.0, 0.5, 1.0)
    assert make_axes({"dither.amplitude": ["1 mV", 0.002], "n": range(3)}, unit_of)[0].values == (0.001, 0.002)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("dither.amplitude", "has no key and values"),
        ("dither.amplitude=", "has no key and values"),
        ("dither.amplitud=1mV", "is no key"),
        ("dither.amplitude=1:2:lin:3", "has no unit"),
        ("dither.amplitude=1mV:2Hz:lin:3", "is in Hz, V is required"),
        ("dither.amplitude=1mV:1mV:lin:3", "the range is empty"),
        ("dither.amplitude=1mV:2mV:lin:0", "leaves no points"),
        ("dither.amplitude=1mV:2mV:lin:1", "one point for a range"),
        ("dither.amplitude=1mV:2mV:lin:2.5", "is no number of points"),
        ("dither.amplitude=0V:2mV:log:3", "has no logarithm"),
        ("dither.amplitude=-1mV:2mV:log:3", "has no logarithm"),
        ("dither.amplitude=1mV:2mV:dB:3", "is no scale"),
        ("dither.amplitude=1mV:2mV:3", "4 are required"),
        ("dither.amplitude=1mV,,2mV", "empty value"),
        ("dither.amplitude=1mV,1 mV", "stands there twice"),
        ("dither.amplitude=1mV:nanV:lin:3", "is no quantity"),
    ],
)
def test_what_is_no_axis_is_refused(text: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        parse_over(text, unit_of)


def test_axes_together() -> None:
    with pytest.raises(InputError, match="is given twice"):
        make_axes(["n=1,2", "n=3,4"], unit_of)
    with pytest.raises(InputError, match="are more than"):
        make_axes(["n=1:10000:lin:10000", "dither.amplitude=1mV:2mV:lin:10000"], unit_of)
    with pytest.raises(InputError, match="leaves no points"):
        seed_axis(0)


def test_random_numbers_of_a_point_follow_from_its_coordinates() -> None:
    words = point_words({"b": 1.5, "a": "x"})
    assert words == point_words({"a": "x", "b": 1.5})
    assert len(words) == 8
    assert words != point_words({"a": "x", "b": 1.25})


# -- the store ---------------------------------------------------------------------------------------------------------


def outcome(number: int, y: float = 1.0) -> Outcome:
    return Outcome(number, {"y": y, "each": [y, -y]}, "", 0.1, "here:1")


def layout(**changes: Any) -> Layout:
    return Layout(**{"axes": AXES, "variables": VARIABLES, "coords": COORDS, **changes})


def test_a_store_opens_in_xarray_while_it_is_written_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "sweep.zarr"
    with SweepStore(path, layout(), {"measure": "toy"}, {"version_x": "1"}) as store:
        store.main.put(outcome(9, 3.0))
        store.main.put(Outcome(10, None, "because", 0.1, "here:1"))
        store.flush()
        with xr.open_zarr(path) as seen:
            assert seen["y"].dims == ("x", "seed")
            assert seen["each"].dims == ("x", "seed", "control")
            assert seen["y"].attrs == {"units": "V", "long_name": "the answer"}
            assert float(seen["y"].sel(x=1, seed=1)) == 3.0
            assert float(seen["each"].sel(x=1, seed=1, control="e2")) == -3.0
            assert int(seen["status"].sum()) == DONE + FAILED
            assert str(seen["reason"].sel(x=1, seed=2).values) == "because"
            assert np.isnan(seen["y"].sel(x=1, seed=2))
            assert seen.attrs["measure"] == "toy"
            assert seen.attrs["version_x"] == "1"
        with pytest.raises(InputError, match="being written to"):
            SweepStore(path, layout(), {"measure": "toy"})
        store.main.put(outcome(0))  # written at the end
    with SweepStore(path, layout(), {"measure": "toy"}) as store:
        assert np.flatnonzero(store.main.status).tolist() == [0, 9, 10]
        store.forget_failures()
        assert store.main.status[10] == TODO


@pytest.mark.parametrize(
    ("changes", "identity", "told"),
    [
        ({}, {"measure": "another"}, "its measure is toy, not another"),
        ({}, {"measure": "toy", "design": '{"y": {"x": 2.5}}'}, "its design has y.x = 1.5, not 2.5"),
        ({"axes": (AXES[0], seed_axis(9))}, {}, "over seed it has 8 values from 0 to 7, not 9 values from 0 to 8"),
        ({"axes": AXES[:1]}, {}, "it is over x, seed, not x"),
        ({"axes": (Axis("z", AXES[0].values), AXES[1])}, {}, "its axis is x, not z"),
        ({"variables": {"y": Variable("V"), "z": Variable()}}, {}, "its variables are y, each"),
        ({"checks": (1,), "check_variables": {"deviation": Variable()}}, {}, "0 of its points are checked, not 1"),
    ],
)
def test_a_store_of_another_sweep_is_refused(
    tmp_path: Path, changes: dict[str, Any], identity: dict[str, str], told: str
) -> None:
    same = {"measure": "toy", "design": '{"y": {"x": 1.5}}'}
    SweepStore(tmp_path / "sweep.zarr", layout(), same).close()
    with pytest.raises(InputError, match="holds another sweep") as refused:
        SweepStore(tmp_path / "sweep.zarr", layout(**changes), {**same, **identity})
    assert told in str(refused.value)


def test_what_is_no_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for name, told in (("file", "is a file"), ("folder", "is no store"), ("file/below", "cannot be written")):
        with pytest.raises(InputError, match=told):
            SweepStore(tmp_path / name, layout(), {})


# -- runs --------------------------------------------------------------------------------------------------------------


def toy(folder: Path | None = None, seconds: float = 0.0) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A measure that leaves a line for each of its calls; one point of eight fails."""

    def measure(point: dict[str, Any]) -> dict[str, Any]:
        import os
        import time

        import numpy

        time.sleep(seconds)
        x, seed = point["x"], point["seed"]
        if folder is not None:
            with open(folder / "calls", "a") as calls:
                calls.write(f"{x} {seed} {os.getpid()}\n")
        if seed == 3:
            raise ValueError("three is none of mine")
        noise = numpy.random.default_rng([x, seed]).normal()
        return {"y": x + noise, "each": [x, seed]}

    return measure


def calls(folder: Path) -> list[tuple[int, int, int]]:
    lines = (folder / "calls").read_text().splitlines() if (folder / "calls").exists() else []
    found = [tuple(map(int, line.split())) for line in lines]
    return [(x, seed, pid) for x, seed, pid in found]


def contents(path: Path) -> dict[str, bytes]:
    """All files of a store but those on times and hosts."""
    files = {str(f.relative_to(path)): f.read_bytes() for f in path.rglob("*") if f.is_file()}
    return {name: text for name, text in files.items() if name.split("/")[0] not in ("seconds", "host")}


@pytest.fixture(scope="module")
def one_worker() -> Iterator[SweepCluster]:
    """Workers take seconds to start: sweeps that ask for nothing else share one."""
    with open_cluster(None, 1) as cluster:
        yield cluster


def test_a_killed_worker_costs_nothing(tmp_path: Path, one_worker: SweepCluster) -> None:
    killed: list[int] = []

    def progress(done: int, failed: int, points: int) -> None:
        assert points == 40
        if done >= 10 and not killed:
            killed.append(calls(tmp_path)[-1][2])
            os.kill(killed[0], signal.SIGKILL)

    result = run_sweep(
        Sweep(toy(tmp_path, 0.05), AXES, VARIABLES, COORDS), store=tmp_path / "a.zarr", workers=2, progress=progress
    )
    assert killed
    assert (result.computed, result.failed) == (40, 5)
    data = result.data
    assert int((data["status"] == DONE).sum()) == 35
    assert set(np.unique(data["reason"].sel(seed=3).values)) == {"ValueError: three is none of mine"}
    for x in range(5):
        for seed in (0, 7):
            wanted = x + np.random.default_rng([x, seed]).normal()
            assert float(data["y"].sel(x=x, seed=seed)) == wanted
    assert result.points_per_s > 0
    again = run_sweep(Sweep(toy(tmp_path), AXES, VARIABLES, COORDS), store=tmp_path / "a.zarr")  # starts no worker
    assert again.computed == 0
    before = len(calls(tmp_path))
    once_more = run_sweep(
        Sweep(toy(tmp_path), AXES, VARIABLES, COORDS), store=tmp_path / "a.zarr", cluster=one_worker, retry_failed=True
    )
    assert once_more.computed == once_more.failed == 5
    assert {seed for _, seed, _ in calls(tmp_path)[before:]} == {3}


SCRIPT = """
import sys, pathlib
sys.path.insert(0, {tests!r})
from test_sweeps import AXES, COORDS, VARIABLES, Sweep, run_sweep, toy
folder = pathlib.Path(sys.argv[1])
run_sweep(Sweep(toy(folder, 0.05), AXES, VARIABLES, COORDS), store=folder / "sweep.zarr", workers=2)
"""


def start(folder: Path) -> subprocess.Popen[bytes]:
    folder.mkdir(exist_ok=True)
    text = SCRIPT.format(tests=str(Path(__file__).parent))
    return subprocess.Popen([sys.executable, "-c", text, str(folder)], stderr=subprocess.PIPE)


def gone(pid: int, seconds: float = 20.0) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, one_worker: SweepCluster) -> Path:
    """The store of a run that nothing happened to."""
    path = tmp_path_factory.mktemp("undisturbed") / "sweep.zarr"
    run_sweep(Sweep(toy(), AXES, VARIABLES, COORDS), store=path, cluster=one_worker)
    return path


def test_kill_9_of_the_sweep_then_the_same_again(tmp_path: Path, undisturbed: Path, one_worker: SweepCluster) -> None:
    folder, path = tmp_path / "killed", tmp_path / "killed" / "sweep.zarr"
    with start(folder) as process:
        until = time.monotonic() + 120
        stored = 0
        while stored < 5 and process.poll() is None and time.monotonic() < until:
            time.sleep(0.2)  # seldom: looking costs the workers' time
            if path.exists():
                with xr.open_zarr(path) as seen:  # while it is being written
                    stored = int((seen["status"].values > 0).sum())
        process.kill()
    assert 5 <= stored < 40
    assert all(gone(pid) for pid in {pid for _, _, pid in calls(folder)})  # the workers die with it
    with xr.open_zarr(path) as seen:
        kept = np.argwhere(seen["status"].values > 0)
    rest = run_sweep(Sweep(toy(folder), AXES, VARIABLES, COORDS), store=path, cluster=one_worker)
    assert rest.computed == 40 - len(kept)
    assert contents(path) == contents(undisturbed)
    counted = Counter((x, seed) for x, seed, _ in calls(folder))
    assert len(counted) == 40
    assert all(counted[x, seed] == 1 for x, seed in map(tuple, kept.tolist()))  # nothing that was stored is done twice


def test_a_point_that_kills_its_worker_is_recorded() -> None:
    def deadly(point: dict[str, Any]) -> dict[str, Any]:
        import os

        if point["x"] == 0:
            os._exit(9)
        return {"y": point["x"]}

    result = run_sweep(Sweep(deadly, [ranged("x", 0, 2, "lin", 3)], {"y": Variable()}), workers=1)
    assert result.data["status"].values.tolist() == [FAILED, DONE, DONE]
    assert "worker that computed it died" in str(result.data["reason"].values[0])


def test_points_beside_a_deadly_one_are_not_blamed() -> None:
    def deadly(point: dict[str, Any]) -> dict[str, Any]:
        import os
        import time

        time.sleep(0.02)  # its neighbours wait for the worker when it dies
        if point["x"] in (3, 7, 8):
            os._exit(9)
        return {"y": point["x"]}

    result = run_sweep(Sweep(deadly, [ranged("x", 0, 9, "lin", 10)], {"y": Variable()}), workers=1)
    assert np.flatnonzero(result.data["status"].values == FAILED).tolist() == [3, 7, 8]


def test_ctrl_c_keeps_what_was_done(tmp_path: Path) -> None:
    def progress(done: int, failed: int, points: int) -> None:
        if done >= 10:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="give the same command to go on") as stopped:
        run_sweep(
            Sweep(toy(None, 0.01), AXES, VARIABLES, COORDS), store=tmp_path / "a.zarr", workers=1, progress=progress
        )
    with xr.open_zarr(tmp_path / "a.zarr") as seen:
        stored = int((seen["status"].values > 0).sum())
    assert stored >= 10
    assert f"{stored} of 40 points stored" in str(stopped.value)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A user's own cluster: a scheduler and two workers, each a process of its own."""
    dask = [sys.executable, "-P", "-m", "dask"]
    told = tmp_path / "scheduler.json"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    here = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[3]), *sys.path])}
    started = [
        subprocess.Popen(
            [*dask, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(told)],
            env=here, **quiet,
        )
    ]  # fmt: skip
    try:
        started += [
            subprocess.Popen(
                [*dask, "worker", "--scheduler-file", str(told), "--nthreads", "2", "--no-dashboard", "--no-nanny",
                 "--local-directory", str(tmp_path)],
                env=here, **quiet,
            )
            for _ in range(2)
        ]  # fmt: skip
        until, address = time.monotonic() + 60, ""
        while not address and time.monotonic() < until:
            time.sleep(0.05)
            with suppress(FileNotFoundError, json.JSONDecodeError):  # not there yet, or not yet whole
                address = json.loads(told.read_text())["address"]
        yield address, started[0]
    finally:
        for process in started:
            process.kill()
            process.wait()


def test_a_cluster_by_address_gives_the_same_until_it_is_gone(
    cluster: tuple[str, subprocess.Popen[bytes]], tmp_path: Path, undisturbed: Path
) -> None:
    address, scheduler = cluster
    there = run_sweep(
        Sweep(toy(tmp_path, 0.02), AXES, VARIABLES, COORDS), store=tmp_path / "there.zarr", scheduler=address
    )
    assert there.computed == 40
    assert contents(tmp_path / "there.zarr") == contents(undisturbed)
    assert len({pid for _, _, pid in calls(tmp_path)}) == 2

    def progress(done: int, failed: int, points: int) -> None:
        if done >= 5:
            scheduler.kill()

    with pytest.raises(InputError, match="is gone; start it again and give the same command"):
        run_sweep(
            Sweep(toy(None, 0.1), AXES, VARIABLES, COORDS),
            store=tmp_path / "gone.zarr",
            scheduler=address,
            progress=progress,
        )
    with xr.open_zarr(tmp_path / "gone.zarr") as seen:
        assert int((seen["status"] > 0).sum()) >= 5


def test_a_cluster_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep_cluster, "ANSWER_S", 0.5)
    begin = time.monotonic()
    answers = r"scheduler = .* does not answer .* start one with"
    wrong = r"scheduler = .* is no address of a host and port; write it as in tcp://"
    for address, told in (
        ("tcp://127.0.0.1:9", answers),
        ("http://x:1", answers),
        ("nowhere", wrong),
        ("tcp://x", wrong),
    ):
        with pytest.raises(InputError, match=told):
            run_sweep(Sweep(toy(), AXES, VARIABLES, COORDS), scheduler=address)
    assert time.monotonic() - begin < 60
    with pytest.raises(InputError, match="stands beside a scheduler"):
        run_sweep(Sweep(toy(), AXES, VARIABLES, COORDS), scheduler="tcp://127.0.0.1:9", workers=2)
    with pytest.raises(InputError, match="no number of processes"):
        run_sweep(Sweep(toy(), AXES, VARIABLES, COORDS), workers=0)


# -- figures -----------------------------------------------------------------------------------------------------------


def swept(*axes: Axis) -> xr.Dataset:
    """A dataset as a sweep leaves it, of y = sum of the coordinates, one point failed."""
    shape, dims = tuple(len(axis.values) for axis in axes), [axis.name for axis in axes]
    y = np.zeros(shape)
    for k, axis in enumerate(axes):
        values = axis.array() if axis.kind is not str else np.arange(len(axis.values))
        y = y + values.reshape([-1 if j == k else 1 for j in range(len(axes))])
    y[(0,) * len(shape)] = np.nan
    coords = {axis.name: (axis.name, axis.array(), {"key": axis.key, "units": axis.unit}) for axis in axes}
    data = {"y": (dims, y, {"units": "1", "long_name": "answer"}), "status": (dims, np.ones(shape))}
    return xr.Dataset(data, coords=coords)


def test_figures_have_the_axes_of_the_sweep(tmp_path: Path) -> None:
    from analysis.plots.figure import save
    from analysis.plots.sweep import plot_sweep

    amplitude, spacing = ranged("dither.amplitude", 1e-3, 0.1, "log", 4, "V"), ranged("dither.spacing", 1, 9, "lin", 3)
    level = Axis("electronics.level", ("ideal", "macro"))
    curve = plot_sweep(swept(amplitude, seed_axis(5)), "y", planned={10.0: 0.01})
    assert curve.axes[0].get_xlabel() == "dither.amplitude"
    assert curve.axes[0].get_xscale() == "log"
    assert curve.axes[0].get_ylabel() == "answer"
    picture = plot_sweep(swept(amplitude, spacing, seed_axis(5)), "y", planned={1.0: 0.01, 9.0: 0.02})
    assert picture.axes[0].get_xlabel() == "dither.amplitude"
    assert picture.axes[0].get_xscale() == "log"
    assert picture.axes[0].get_yscale() == "linear"
    labels = picture.axes[0].get_legend_handles_labels()[1]
    assert labels == ["best point", "planner's choice at each spacing"]
    star = picture.axes[0].get_lines()[0]  # the smallest sum of the first cell failed, so its median is the larger one
    assert (star.get_xdata()[0], star.get_ydata()[0]) == (amplitude.values[1], 1.0)
    words = plot_sweep(swept(level, spacing), "y", mean=True)
    assert [tick.get_text() for tick in words.axes[0].get_xticklabels()] == ["ideal", "macro"]
    seeds = plot_sweep(swept(seed_axis(4)), "y")
    assert seeds.axes[0].get_xlabel() == "seed"
    assert save(words, tmp_path / "map.png").stat().st_size > 5000
    with pytest.raises(InputError, match="is nothing to draw; choose from y"):
        plot_sweep(swept(level, spacing), "z")


def test_a_plan_for_each_time_is_the_planners_best() -> None:
    """On y = V + c V^3 the reading of sin is 1 + (3/4) c a^2: the best amplitude is known."""
    from analysis.gradients.planner import GradientRequirements, plan, plan_in

    c, psd = 100.0, 1e-6

    def gradient(volts: np.ndarray) -> np.ndarray:
        return 1.0 + 3.0 * c * volts**2

    need = GradientRequirements(gradient, [[0.0]], [0], 0.05, psd, 0.1, filters=("boxcar",), share=None)
    for time_s, found in zip((1.0, 10.0), plan_in(need, (1.0, 10.0)), strict=True):
        # error^2 = (3/4 c a^2)^2 + S/(T a^2) is smallest where a^6 = S/(T 2 (3/4 c)^2)
        best = (psd / time_s / (2.0 * (0.75 * c) ** 2)) ** (1 / 6)
        smallest = np.hypot(0.75 * c * best**2, np.sqrt(psd / time_s) / best)
        assert found.time_s == time_s
        assert found.error == pytest.approx(smallest, rel=0.01)
        assert found.dither.amplitudes_V[0] == pytest.approx(best, rel=0.1)
    fastest = plan(need)
    assert plan_in(need, [fastest.time_s])[0].error == pytest.approx(fastest.error, rel=1e-6)
