"""Unit potentials against closed forms, symmetry and the maximum principle; the cache against damage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dnpu_models.network import electrostatics
from dnpu_models.network.electrostatics import UnitPotentials, cache_directory, unit_potentials
from dnpu_models.network.geometry import Disc, Electrode, Rectangle, Shape
from inmateria.errors import InputError

RADIUS = 150e-9
DISC = Disc(RADIUS)
RING = DISC.ring_of_electrodes(8, 60e-9)


@pytest.fixture(scope="module")
def ring() -> UnitPotentials:
    return unit_potentials(DISC, RING)


@pytest.fixture(scope="module")
def inside() -> np.ndarray:
    return 0.999 * DISC.sample(np.random.default_rng(0), 500)


def test_two_quarter_arcs_conduct_one_square() -> None:
    # Contacts and gaps change places under the conjugate potential, and the disc looks the same: G = 1/G.
    contacts = DISC.ring_of_electrodes(2, 0.5 * np.pi * RADIUS)
    expected = np.array([[1.0, -1.0], [-1.0, 1.0]])
    np.testing.assert_allclose(unit_potentials(DISC, contacts).flux(), expected, atol=1e-4)


def test_two_sides_of_a_square_give_a_linear_potential() -> None:
    side = 2e-7
    solved = unit_potentials(Rectangle(side, side), (Electrode(0, side / 2, side), Electrode(side, side / 2, side)))
    points = Rectangle(side, side).sample(np.random.default_rng(1), 200)
    x = points[:, 0] / side
    np.testing.assert_allclose(solved.at(points), np.stack([1 - x, x], axis=1), atol=1e-9)
    np.testing.assert_allclose(solved.flux(), [[1, -1], [-1, 1]], atol=1e-9)


def test_two_sides_of_a_rectangle_conduct_width_over_length() -> None:
    solved = unit_potentials(Rectangle(3e-7, 1e-7), (Electrode(0, 5e-8, 1e-7), Electrode(3e-7, 5e-8, 1e-7)))
    np.testing.assert_allclose(solved.flux(), np.array([[1, -1], [-1, 1]]) / 3, atol=1e-9)


def test_unit_potentials_add_up_to_one(ring: UnitPotentials, inside: np.ndarray) -> None:
    np.testing.assert_allclose(ring.at(inside).sum(axis=1), 1.0, atol=1e-9)
    np.testing.assert_allclose(ring.flux().sum(axis=1), 0.0, atol=1e-9)


def test_maximum_principle(ring: UnitPotentials, inside: np.ndarray) -> None:
    phi = ring.at(inside)
    assert phi.min() > 0
    assert phi.max() < 1


def test_the_rim_between_mesh_and_arc_belongs_to_the_disc(ring: UnitPotentials) -> None:
    # The mesh is a polygon: 1e-4 of the disc lies outside it. There the nearest edge counts, 0.02 nm away.
    angle = np.linspace(0, 2 * np.pi, 500)
    rim = RADIUS * (1 - 1e-9) * np.column_stack([np.cos(angle), np.sin(angle)])
    phi = ring.at(rim)
    np.testing.assert_allclose(phi.sum(axis=1), 1.0, atol=1e-9)
    np.testing.assert_allclose(phi, ring.at(0.9998 * rim), atol=0.01)
    np.testing.assert_array_equal(phi[[0, -1]].argmax(axis=1), 0)


def test_eightfold_symmetry(ring: UnitPotentials, inside: np.ndarray) -> None:
    np.testing.assert_allclose(ring.at(np.zeros((1, 2))), 1 / 8, atol=1e-5)
    c = np.cos(np.pi / 4)
    turned = inside @ np.array([[c, c], [-c, c]])  # by 45 degrees, counter-clockwise
    np.testing.assert_allclose(np.roll(ring.at(inside), 1, axis=1), ring.at(turned), atol=1e-3)
    flux = ring.flux()
    np.testing.assert_allclose(flux, flux.T, atol=1e-12)
    for k in range(8):
        np.testing.assert_allclose(np.roll(flux[k], -k), flux[0], atol=1e-3)
    assert np.all(flux - np.diag(np.diag(flux)) < 0 + np.eye(8))


def test_mean_value_on_a_ring_around_the_centre(ring: UnitPotentials) -> None:
    angle = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    circle = 0.7 * RADIUS * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    np.testing.assert_allclose(ring.at(circle).mean(axis=0), 1 / 8, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "electrodes", "field"),
    [
        (DISC, (), "electrodes"),
        (DISC, (Electrode(RADIUS, 0),), r"electrodes\[0\].width_m"),
        (DISC, DISC.ring_of_electrodes(8, 2 * np.pi * RADIUS / 8), "electrodes"),
        (DISC, DISC.ring_of_electrodes(4, 300e-9), "electrodes"),
        (DISC, (RING[0], RING[0]), "electrodes"),
        (DISC, DISC.ring_of_electrodes(1, 7 * RADIUS), "electrodes"),
    ],
)
def test_impossible_contacts(shape: Shape, electrodes: tuple[Electrode, ...], field: str) -> None:
    with pytest.raises(InputError, match=field):
        unit_potentials(shape, electrodes)


# ------------------------------------------------------------------------------------------------------ cache


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INMATERIA_CACHE", str(tmp_path / "cache"))
    # A coarse mesh will do: what is tested is the file.
    monkeypatch.setattr(electrostatics, "SEGMENTS", 24)
    monkeypatch.setattr(electrostatics, "REFINEMENTS", 0)
    return tmp_path / "cache"


def test_a_solved_geometry_is_read_from_the_cache(cache: Path) -> None:
    first = unit_potentials(DISC, RING)
    (path,) = cache.iterdir()
    with np.load(path) as stored:
        arrays = dict(stored)
    np.savez(path, **(arrays | {"solutions": 0.5 * arrays["solutions"]}))  # what no solver would give
    np.testing.assert_array_equal(unit_potentials(DISC, RING).solutions, 0.5 * first.solutions)
    unit_potentials(DISC, RING[1:])
    assert len(list(cache.iterdir())) == 2


@pytest.mark.parametrize("damage", ["empty", "garbage", "truncated", "flipped", "other arrays", "one array", "folder"])
def test_a_damaged_cache_file_is_computed_again(cache: Path, damage: str) -> None:
    first = unit_potentials(DISC, RING)
    (path,) = cache.iterdir()
    whole = path.read_bytes()
    if damage == "empty":
        path.write_bytes(b"")
    elif damage == "garbage":
        path.write_bytes(b"not a file of numpy's" * 100)
    elif damage == "truncated":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "flipped":
        middle = len(whole) // 2
        path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :])
    elif damage == "other arrays":
        np.savez(path, points=np.zeros(2))
    elif damage == "one array":
        path.write_bytes(b"")
        with path.open("wb") as handle:
            np.save(handle, np.zeros(3))
    else:
        path.unlink()
        path.mkdir()
    again = unit_potentials(DISC, RING)
    np.testing.assert_array_equal(again.solutions, first.solutions)
    if damage != "folder":
        assert path.read_bytes() == whole or len(path.read_bytes()) == len(whole)


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("INMATERIA_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr(electrostatics, "SEGMENTS", 24)
    monkeypatch.setattr(electrostatics, "REFINEMENTS", 0)
    assert unit_potentials(DISC, RING).solutions.shape[1] == 8


def test_no_half_written_file_is_left(cache: Path) -> None:
    unit_potentials(DISC, RING)
    assert [path.suffix for path in cache.iterdir()] == [".npz"]


def test_where_the_cache_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("INMATERIA_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_directory() == tmp_path / "inmateria"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_directory() == Path.home() / ".cache" / "inmateria"
