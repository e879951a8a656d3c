"""Potential of the electrodes inside the device: one unit solution per electrode, by finite elements, cached.

Laplace's equation in the plane of the dopants,

    div grad phi_k = 0 inside,   phi_k = 1 on electrode k and 0 on the others,   d phi_k / dn = 0 elsewhere,

so that phi(r) = sum_k V_k phi_k(r) for any voltages. The potential has square-root singularities where an electrode
ends; the mesh is refined there, level by level, and P2 elements are used (scikit-fem).
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dnpu_models.network.geometry import Disc, Electrode, Shape
from inmateria.checks import FloatArray
from inmateria.errors import InputError

_FORMAT = 1  # raise when the mesh or the elements change, so that old cache files are not read
SEGMENTS = 96  # boundary segments of the coarse mesh
REFINEMENTS = 8  # levels of local refinement at the electrodes' ends


def cache_directory() -> Path:
    """Folder for solved potentials: ``INMATERIA_CACHE``, else the user's cache folder."""
    given = os.environ.get("INMATERIA_CACHE")
    if given:
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "inmateria"


@dataclass(frozen=True, eq=False)
class UnitPotentials:
    """Unit solutions of all electrodes on one mesh.

    Attributes
    ----------
    points : ndarray, shape (2, n_vertices)
        Mesh vertices in units of the shape's size.
    triangles : ndarray, shape (3, n_triangles)
    solutions : ndarray, shape (n_dofs, n_electrodes)
        P2 coefficients, dimensionless (V per V).
    scale_m : float
        Metres per mesh unit.
    """

    points: FloatArray
    triangles: NDArray[np.int64]
    solutions: FloatArray
    scale_m: float

    def at(self, positions_m: FloatArray) -> FloatArray:
        """Unit potentials at positions (n, 2) in m; returns (n, n_electrodes), dimensionless.

        Between a disc's arc and the mesh's straight edges the potential of the nearest edge is taken.
        """
        basis = _basis(self.points, self.triangles)
        inside = _into_hull(np.asarray(positions_m, dtype=float) / self.scale_m, self.points.T).T
        return np.asarray(basis.probes(inside) @ self.solutions)

    def flux(self) -> FloatArray:
        """Flux matrix (n_electrodes, n_electrodes): integral of grad phi_j . grad phi_k.

        Times a sheet conductance this is the conductance matrix of an ohmic film of the same shape.
        """
        stiffness = _stiffness(_basis(self.points, self.triangles))
        return np.asarray(self.solutions.T @ (stiffness @ self.solutions))


def _into_hull(positions: FloatArray, vertices: FloatArray) -> FloatArray:
    """Positions (n, 2), those outside the convex hull of the vertices moved straight towards its middle, onto it."""
    from scipy.spatial import ConvexHull

    facets, middle = ConvexHull(vertices).equations, vertices.mean(axis=0)  # inside: normal . x + offset <= 0
    away = positions - middle
    depth = -(facets[:, :2] @ middle + facets[:, 2])
    reach = (away @ facets[:, :2].T / depth).max(axis=1)  # 1 on the hull
    outside = reach > 1.0
    result = positions.copy()
    result[outside] = middle + away[outside] * ((1.0 - 1e-9) / reach[outside, None])
    return result


def _basis(points: FloatArray, triangles: NDArray[np.int64]):  # type: ignore[no-untyped-def]
    import skfem

    return skfem.Basis(skfem.MeshTri(points, triangles), skfem.ElementTriP2())


def _stiffness(basis):  # type: ignore[no-untyped-def]
    from skfem.models.poisson import laplace

    return laplace.assemble(basis)


def _coarse_mesh(shape: Shape, ends: FloatArray, scale: float) -> tuple[FloatArray, NDArray[np.int64]]:
    """Delaunay mesh whose boundary vertices include every electrode end and every corner."""
    from scipy.spatial import Delaunay

    perimeter = shape.perimeter_m
    knots = np.sort(np.concatenate([ends, shape.corners()]) % perimeter)
    knots = knots[np.diff(knots, append=knots[0] + perimeter) > 1e-9 * perimeter]  # an end may lie on a corner
    pieces = []
    for start, stop in zip(knots, np.append(knots[1:], knots[0] + perimeter), strict=True):
        count = max(2, int(np.ceil((stop - start) / perimeter * SEGMENTS)))
        pieces.append(np.linspace(start, stop, count, endpoint=False))
    boundary = shape.boundary_point(np.concatenate(pieces)) / scale
    spacing = perimeter / scale / SEGMENTS
    low, high = boundary.min(axis=0), boundary.max(axis=0)
    columns = np.arange(low[0], high[0], spacing)
    rows = np.arange(low[1], high[1], spacing * np.sqrt(3) / 2)
    grid = np.array([(x + 0.5 * spacing * (k % 2), y) for k, y in enumerate(rows) for x in columns])
    margin = 0.6 * spacing
    if isinstance(shape, Disc):
        keep = np.hypot(*grid.T) < shape.radius_m / scale - margin
    else:
        keep = np.all((grid > low + margin) & (grid < high - margin), axis=1)
    vertices = np.vstack([boundary, grid[keep]])
    triangles = Delaunay(vertices).simplices.T
    a, b, c = vertices[triangles]
    area = 0.5 * np.abs((b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0]))
    return vertices.T, np.asarray(triangles[:, area > 1e-6 * spacing**2], dtype=np.int64)


def _solve(shape: Shape, electrodes: tuple[Electrode, ...]) -> UnitPotentials:
    import skfem
    from scipy.sparse.linalg import splu

    scale = shape.perimeter_m / (2 * np.pi)
    perimeter = shape.perimeter_m
    centres = shape.arc_position(np.array([(e.x_m, e.y_m) for e in electrodes]))
    half = 0.5 * np.array([e.width_m for e in electrodes])
    ends = np.concatenate([centres - half, centres + half])
    points, triangles = _coarse_mesh(shape, ends, scale)
    mesh = skfem.MeshTri(np.ascontiguousarray(points), np.ascontiguousarray(triangles))
    singular = shape.boundary_point(ends) / scale
    for level in range(REFINEMENTS):
        midpoints = mesh.p[:, mesh.t].mean(axis=1)
        reach = 4.0 * perimeter / scale / SEGMENTS * 0.5**level
        gaps = np.min(np.hypot(midpoints[0][:, None] - singular[:, 0], midpoints[1][:, None] - singular[:, 1]), axis=1)
        mesh = mesh.refined(np.nonzero(gaps < reach)[0])
        if isinstance(shape, Disc):  # new vertices lie on chords: move them out to the circle
            points = mesh.p.copy()
            outer = mesh.boundary_nodes()
            points[:, outer] *= shape.radius_m / scale / np.hypot(*points[:, outer])
            mesh = skfem.MeshTri(points, np.ascontiguousarray(mesh.t))
    basis = skfem.Basis(mesh, skfem.ElementTriP2())
    stiffness = _stiffness(basis).tocsc()
    facets = mesh.boundary_facets()
    middle = mesh.p[:, mesh.facets[:, facets]].mean(axis=1).T * scale
    along = shape.arc_position(middle)
    contact_dofs = []
    for centre, reach in zip(centres, half, strict=True):
        offset = np.abs((along - centre + 0.5 * perimeter) % perimeter - 0.5 * perimeter)
        contact_dofs.append(basis.get_dofs(facets[offset < reach]).all())
    fixed = np.concatenate(contact_dofs)
    solutions = np.zeros((basis.N, len(electrodes)))
    for k, dofs in enumerate(contact_dofs):
        solutions[dofs, k] = 1.0
    free = np.setdiff1d(np.arange(basis.N), fixed)
    solver = splu(stiffness[free][:, free])
    solutions[free] = solver.solve(-(stiffness[free][:, fixed] @ solutions[fixed]))
    return UnitPotentials(np.ascontiguousarray(mesh.p), np.ascontiguousarray(mesh.t, dtype=np.int64), solutions, scale)


def _check(shape: Shape, electrodes: tuple[Electrode, ...]) -> None:
    perimeter = shape.perimeter_m
    if not electrodes:
        raise InputError("electrodes", electrodes, "a device needs electrodes", "give at least one")
    for index, electrode in enumerate(electrodes):
        if electrode.width_m <= 0:
            problem = "a point contact has no finite-element potential"
            fix = "give it a width, or give unit_potentials yourself"
            raise InputError(f"electrodes[{index}].width_m", electrode.width_m, problem, fix)
    position = shape.arc_position(np.array([(e.x_m, e.y_m) for e in electrodes]))
    order = np.argsort(position)
    for left, right in zip(order, np.roll(order, -1), strict=True):
        gap = (position[right] - position[left]) % perimeter if left != right else perimeter
        if gap <= 0.5 * (electrodes[left].width_m + electrodes[right].width_m):
            pair, problem = (int(left), int(right)), "two contacts touch or overlap on the boundary"
            raise InputError("electrodes", pair, problem, "make them narrower or move them apart")


def unit_potentials(shape: Shape, electrodes: tuple[Electrode, ...]) -> UnitPotentials:
    """Unit solutions of Laplace's equation for every electrode, from the cache on disk if already solved.

    Parameters
    ----------
    shape : Disc or Rectangle
    electrodes : tuple of Electrode
        Contacts with a width; zero flux is taken through the rest of the boundary.

    Raises
    ------
    InputError
        If there is no electrode, one has no width, or two overlap.
    """
    _check(shape, electrodes)
    key = hashlib.sha256(repr((_FORMAT, SEGMENTS, REFINEMENTS, shape, electrodes)).encode()).hexdigest()[:32]
    path = cache_directory() / f"unit-potentials-{key}.npz"
    try:
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as stored:
            return UnitPotentials(stored["points"], stored["triangles"], stored["solutions"], float(stored["scale_m"]))
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile):
        pass  # not solved yet, or a damaged file: solve (again)
    result = _solve(shape, electrodes)
    _store(path, result)
    return result


def _store(path: Path, result: UnitPotentials) -> None:
    """Write beside the target and rename, so that no reader meets half a file; a cache that fails is no error."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as handle:
            np.savez(handle, **vars(result))
        os.replace(handle.name, path)
    except OSError:
        return
