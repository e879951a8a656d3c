"""Surrogates fitted to models: honest errors, Kirchhoff's law, reproducibility, samples for brainspy-smg, the loop."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from circuits.homodyne.engines import Twin
from dnpu_models.mean_field.model import MeanField
from dnpu_models.monte_carlo.estimate import Estimate
from dnpu_models.monte_carlo.model import KineticMonteCarlo
from dnpu_models.network.network import DopantNetwork
from dnpu_models.surrogate.chip import ChipSurrogate
from dnpu_models.surrogate.fit import STEP, SurrogateFit, fit_surrogate, sobol_points, triangle_path
from dnpu_models.surrogate.samples import read_io_dat
from inmateria.errors import ConvergenceError, InputError

Array = NDArray[np.float64]
rms = lambda x: np.sqrt(np.mean(np.square(x), axis=0))  # noqa: E731


@dataclass(frozen=True)
class Film:
    """Three contacts, conductances that grow with voltage: I_k = sum_j g_kj (V_k - V_j)(1 + (V_k + V_j)/2).

    Its currents add up to zero term by term, as g is symmetric, and their derivatives are known.
    """

    terminals: tuple[str, ...] = ("left", "right", "gate")
    limit_V: float = 0.8
    g = np.array([[0.0, 3.0, 1.0], [3.0, 0.0, 2.0], [1.0, 2.0, 0.0]]) * 1e-9

    @property
    def limits_V(self) -> Array:
        return np.tile([-self.limit_V, self.limit_V], (3, 1))

    def currents(self, voltages: Any) -> Array:
        v = np.asarray(voltages, dtype=float)
        a, b = v[..., :, None], v[..., None, :]
        return np.asarray((self.g * (a - b) * (1 + 0.5 * (a + b))).sum(axis=-1))

    def conductances(self, voltages: Any) -> Array:
        v = np.asarray(voltages, dtype=float)
        return np.asarray(np.diag(self.g.sum(axis=1) * (1 + v)) - self.g * (1 + v))


NOISE_A = 2e-10


@dataclass(frozen=True)
class NoisyFilm(Film):
    """The film with normal errors of known size on each current."""

    def estimate(self, voltages: Any, *, seed: np.random.Generator, **_: Any) -> Any:
        value = self.currents(voltages)
        error = np.full(value.shape, NOISE_A)
        none = np.zeros(0)
        return Estimate(
            value + seed.normal(0, error),
            error,
            value,
            error,
            2,
            none.astype(np.int64),
            none,
            none,
            none.astype(np.uint8),
        )


@pytest.fixture(scope="module")
def fit() -> SurrogateFit:
    return fit_surrogate(Film(), output=1, samples=2000, hidden=(32, 32), epochs=20, seed=5)


def test_it_learns_a_known_device(fit: SurrogateFit) -> None:
    device, chip = Film(), fit.surrogate
    assert chip.terminals == device.terminals
    assert (chip.held, chip.measured) == (1, (0, 1, 2))
    volts = np.insert(np.random.default_rng(1).uniform(-0.8, 0.8, (500, 2)), 1, 0.0, axis=1)
    off = rms(chip.currents(volts) - device.currents(volts)) / np.ptp(device.currents(volts), axis=0)
    assert np.all(off < 0.005)
    slopes = np.array([chip.conductances(v) - device.conductances(v) for v in volts])[:, :, [0, 2]]
    assert rms(slopes.ravel()) < 0.1 * rms(np.array([device.conductances(v) for v in volts]).ravel())
    assert np.all(chip.conductances(volts)[:, :, 1] == 0)  # by the held terminal's own voltage: unknown


def test_the_error_is_that_of_samples_held_out(fit: SurrogateFit) -> None:
    error, part = fit.error, fit.held_out
    misfit = fit.surrogate.currents(part.voltages_V) - Film().currents(part.voltages_V)
    np.testing.assert_allclose(error.rms_A, rms(misfit), rtol=1e-9)
    np.testing.assert_allclose(error.max_A, np.abs(misfit).max(axis=0), rtol=1e-9)
    np.testing.assert_allclose(error.spread_A, part.currents_A.std(axis=0))
    np.testing.assert_allclose(error.range_A, np.ptp(part.currents_A, axis=0))
    np.testing.assert_array_equal(error.statistical_A, 0)
    np.testing.assert_array_equal(error.model_A, error.rms_A)
    seen = {row.tobytes() for row in fit.trained.voltages_V} | {row.tobytes() for row in fit.validation.voltages_V}
    assert not seen & {row.tobytes() for row in part.voltages_V}
    assert [len(p.voltages_V) for p in (fit.trained, fit.validation, fit.held_out)] == [2000, 100, 100]


def test_kirchhoffs_law_holds(fit: SurrogateFit) -> None:
    chip = fit.surrogate
    volts = np.insert(np.random.default_rng(2).uniform(-0.8, 0.8, (200, 2)), 1, 0.0, axis=1)
    currents, slopes = chip.currents(volts), chip.conductances(volts)
    assert np.abs(currents.sum(axis=1)).max() < 1e-6 * np.abs(currents).max()  # single-precision weights
    assert np.abs(slopes.sum(axis=1)).max() < 1e-6 * np.abs(slopes).max()
    assert fit.error.kcl_A < 1e-6 * np.abs(currents).max()


def test_the_best_epoch_is_kept() -> None:
    """The error of the network returned is the one that was least, in units of the samples' spread."""
    found = fit_surrogate(Film(), output=1, measured=(1,), samples=200, hidden=(16,), epochs=30, seed=5)
    losses, part = found.validation_loss, found.validation
    assert found.best_epoch == np.argmin(losses) + 1
    misfit = (found.surrogate.currents(part.voltages_V) - part.currents_A)[:, 1] / found.trained.currents_A[:, 1].std()
    assert np.mean(misfit**2) == pytest.approx(losses[found.best_epoch - 1], rel=1e-3)
    assert losses.min() < 0.1 * losses[0]


def test_the_seed_decides_everything() -> None:
    small: dict[str, Any] = {"samples": 100, "hidden": (8,), "epochs": 3}
    first, again, other = (fit_surrogate(Film(), seed=seed, **small) for seed in (7, 7, 8))
    for a, b in zip(first.surrogate.weights, again.surrogate.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(first.held_out.voltages_V, again.held_out.voltages_V)
    assert np.abs(first.surrogate.weights[0] - other.surrogate.weights[0]).max() > 1e-3
    assert np.abs(first.trained.voltages_V - other.trained.voltages_V).max() > 1e-3


def test_the_statistical_part_is_taken_out() -> None:
    """rms^2 over n = 200 samples scatters by sqrt(2/n): the bound is 5 standard deviations, 3 currents: 2e-6."""
    found = fit_surrogate(NoisyFilm(), samples=4000, hidden=(16,), epochs=15, seed=1)
    error, part = found.error, found.held_out
    np.testing.assert_allclose(error.statistical_A, NOISE_A, rtol=1e-12)
    true = rms(found.surrogate.currents(part.voltages_V) - Film().currents(part.voltages_V))
    expected = true**2 + NOISE_A**2
    spread = np.sqrt((2 * NOISE_A**4 + 4 * true**2 * NOISE_A**2) / len(part.voltages_V))
    assert np.all(np.abs(error.rms_A**2 - expected) < 5 * spread)
    np.testing.assert_allclose(error.model_A**2, np.maximum(error.rms_A**2 - NOISE_A**2, 0), atol=1e-30)
    assert np.all(true < 0.5 * NOISE_A)  # the network averages over the noise of its samples


def test_a_chip_fits_a_chip_and_its_samples_are_exported(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    low, high = np.array([-1.0, -0.3]), np.array([0.5, 0.9])
    teacher = ChipSurrogate((rng.normal(0, 1, (5, 2)), rng.normal(0, 1, (1, 5))), (np.zeros(5), [0.2]), low, high, 2e-8)
    found = fit_surrogate(teacher, samples=1500, hidden=(24,), epochs=25, seed=2)
    assert found.surrogate.measured == (0,)
    assert found.surrogate.terminals == ("out", "e1", "e2")
    np.testing.assert_array_equal(found.surrogate.voltage_min_V, low)
    assert found.error.rms_A[0] < 0.02 * found.error.range_A[0]
    assert np.isnan(found.error.kcl_A)
    volts, outputs = read_io_dat(found.export_io_dat(tmp_path))
    np.testing.assert_allclose(volts, found.trained.voltages_V[:, 1:], rtol=1e-15)
    np.testing.assert_allclose(outputs[:, 0], teacher.outputs_A(volts), rtol=1e-14, atol=1e-22)
    with pytest.raises(InputError, match="exists"):
        found.export_io_dat(tmp_path)


def test_several_outputs_are_exported(fit: SurrogateFit, tmp_path: Path) -> None:
    volts, outputs = read_io_dat(fit.export_io_dat(tmp_path / "film.dat"), n_outputs=3)
    assert volts.shape == (2000, 2)
    full = np.insert(volts, 1, 0.0, axis=1)
    np.testing.assert_allclose(outputs, -Film().currents(full), rtol=1e-12, atol=1e-21)


def test_the_file_gives_the_same_surrogate(fit: SurrogateFit, tmp_path: Path) -> None:
    again = ChipSurrogate.from_npz(fit.surrogate.to_npz(tmp_path / "film.npz"))
    volts = fit.held_out.voltages_V
    np.testing.assert_allclose(again.currents(volts), fit.surrogate.currents(volts), rtol=1e-14)
    assert (again.terminals, again.held, again.measured) == (Film().terminals, 1, (0, 1, 2))
    assert again.source == fit.surrogate.source
    assert "Film" in str(again.source)


def test_settings_fill_the_box() -> None:
    low, high = np.array([-1.0, 0.0, 2.0]), np.array([1.0, 0.5, 3.0])
    for choose in (triangle_path, sobol_points):
        points = choose(low, high, 4000, np.random.default_rng(3))
        scaled = (points - low) / (high - low)
        assert scaled.min() >= 0
        assert scaled.max() <= 1
        counts = np.histogramdd(scaled, bins=(4, 4, 4), range=[(0, 1)] * 3)[0]
        assert np.all(np.abs(counts - 4000 / 64) < 0.35 * 4000 / 64)  # independent points would scatter by 13 %
    steps = np.abs(np.diff(triangle_path(low, high, 4000, np.random.default_rng(3)), axis=0)) / (high - low)
    assert np.all(steps <= 1.4 * STEP + 1e-12)
    assert np.all(steps.mean(axis=0) > 0.5 * STEP)


@pytest.fixture(scope="module")
def network() -> DopantNetwork:
    return DopantNetwork.random(seed=1, preset="tertilt2022", acceptors=30, temperature_K=150)


def test_mean_field_and_monte_carlo(network: DopantNetwork) -> None:
    """The same settings from both models; their currents agree within the mean field's error, so do the networks."""
    small: dict[str, Any] = {"ranges_V": (-0.3, 0.3), "hidden": (24, 24), "epochs": 60, "measured": (0, 2)}
    phases = []
    mean = fit_surrogate(MeanField(network), samples=600, progress=lambda *told: phases.append(told), **small)
    assert mean.surrogate.measured == (0, 2)
    assert np.all(mean.error.rms_A < 0.4 * mean.error.spread_A)
    assert phases[0] == ("sampling", 250, 660)
    assert ("sampling", 660, 660) in phases
    assert phases[-1][0] == "training"
    assert phases[-1][2] == 60
    exact = MeanField(network).currents(mean.held_out.voltages_V)
    np.testing.assert_allclose(mean.held_out.currents_A, exact, atol=1e-5 * np.abs(exact).max())
    one, two = (
        fit_surrogate(KineticMonteCarlo(network), samples=40, hops=2000, threads=threads, **small) for threads in (1, 2)
    )
    np.testing.assert_array_equal(one.trained.currents_A, two.trained.currents_A)
    np.testing.assert_array_equal(one.surrogate.weights[0], two.surrogate.weights[0])
    assert np.all(one.error.statistical_A > 0)
    np.testing.assert_allclose(one.error.statistical_A, rms(one.held_out.stderr_A[:, [0, 2]]), rtol=1e-12)


def test_in_the_loop(network: DopantNetwork) -> None:
    """The circuit's lock-ins read the surrogate's own gradient, all seven at once (5 mV; kinks are what is left)."""
    from analysis.gradients.compare import compare
    from learning.bench.bench import Bench
    from learning.homodyne.gradients import adjoint, spice_lock_in

    found = fit_surrogate(MeanField(network), samples=1000, hidden=(32, 32), epochs=15, seed=4)
    bench = Bench(found.surrogate)
    controls = np.random.default_rng(6).uniform(-0.5, 0.5, 7)
    exact = adjoint(bench, controls)
    measured, *_ = spice_lock_in(bench, Twin(), controls, 0.002)
    result = compare(measured, exact)
    assert result.cosine > 0.999
    assert result.relative_error < 0.05


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"output": 3}, "output = 3"),
        ({"output": -1}, "output = -1"),
        ({"measured": (1,)}, "measured"),
        ({"measured": (0, 0)}, "measured"),
        ({"measured": (0, 9)}, "measured"),
        ({"samples": 5}, "samples = 5"),
        ({"samples": 10.5}, "samples = 10.5"),
        ({"epochs": 0}, "epochs = 0"),
        ({"seed": -1}, "seed = -1"),
        ({"hidden": (0,)}, r"hidden\[0\] = 0"),
        ({"hidden": ()}, "hidden"),
        ({"ranges_V": (0.5, -0.5)}, "not below"),
        ({"ranges_V": (-0.9, 0.5)}, "allows"),
        ({"ranges_V": (np.nan, 0.5)}, "finite"),
        ({"ranges_V": [[-0.1, 0.1]] * 3}, "2 activation electrodes"),
        ({"ranges_V": "wide"}, "2 activation electrodes"),
    ],
)
def test_wrong_arguments(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        fit_surrogate(Film(), **({"samples": 100, "epochs": 1} | changes))


def test_a_device_without_limits_wants_ranges() -> None:
    with pytest.raises(InputError, match="ranges_V"):
        fit_surrogate(Film(limit_V=np.inf), samples=100, epochs=1)


def test_samples_that_are_no_numbers() -> None:
    class Broken(Film):
        def currents(self, voltages: Any) -> Array:
            return np.full(np.shape(voltages), np.nan)

    with pytest.raises(ConvergenceError, match="no finite current"):
        fit_surrogate(Broken(), samples=100, hidden=(4,), epochs=2)
