"""Shapes of a device: where dopants may lie, where electrodes sit, how far a site is from an electrode.

A shape knows its boundary only; the potential inside is solved in `electrostatics`, the hopping in the models.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inmateria import checks
from inmateria.checks import FloatArray, finite, not_negative, positive


@dataclass(frozen=True)
class Electrode:
    """A contact on the boundary of the device.

    Parameters
    ----------
    x_m, y_m : float
        Centre of the contact on the boundary, m.
    width_m : float
        Its length along the boundary, m; 0 is a point contact (possible only with explicit unit potentials).
    """

    x_m: float
    y_m: float
    width_m: float = 0.0

    def __post_init__(self) -> None:
        finite("x_m", self.x_m, "m")
        finite("y_m", self.y_m, "m")
        not_negative("width_m", self.width_m, "m")


@dataclass(frozen=True)
class Disc:
    """A disc centred on the origin, like the DNPU of Tertilt et al., PR Applied 17, 064025 (2022)."""

    radius_m: float

    def __post_init__(self) -> None:
        positive("radius_m", self.radius_m, "m")

    def ring_of_electrodes(self, count: int, width_m: float) -> tuple[Electrode, ...]:
        """`count` equal contacts of `width_m` (arc length, m), evenly spaced; number 0 at angle 0.

        Raises
        ------
        InputError
            If `count` is no positive whole number.
        """
        checks.count("count", count)
        angles = 2 * np.pi * np.arange(count) / count
        r = self.radius_m
        return tuple(Electrode(float(r * np.cos(a)), float(r * np.sin(a)), width_m) for a in angles)

    def contains(self, points: FloatArray) -> NDArray[np.bool_]:
        """Whether each of the (n, 2) points (m) lies inside."""
        return np.asarray(np.hypot(points[:, 0], points[:, 1]) < self.radius_m)

    def sample(self, rng: np.random.Generator, count: int) -> FloatArray:
        """`count` points (n, 2) in m, uniform over the disc."""
        radius = self.radius_m * np.sqrt(rng.random(count))
        angle = 2 * np.pi * rng.random(count)
        return np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])

    @property
    def perimeter_m(self) -> float:
        """Length of the boundary, m."""
        return float(2 * np.pi * self.radius_m)

    def arc_position(self, points: FloatArray) -> FloatArray:
        """Position along the boundary (m from angle 0, counter-clockwise) of points on it, (n,)."""
        angle = np.arctan2(points[:, 1], points[:, 0]) % (2 * np.pi)
        return np.asarray(angle * self.radius_m)

    def boundary_point(self, s: FloatArray) -> FloatArray:
        """Points (n, 2) on the boundary at the positions `s` (m) along it."""
        angle = np.asarray(s) / self.radius_m
        return self.radius_m * np.column_stack([np.cos(angle), np.sin(angle)])

    def corners(self) -> FloatArray:
        """Positions along the boundary that a mesh must hit: none."""
        return np.empty(0)

    def distance(self, points: FloatArray, electrode: Electrode) -> FloatArray:
        """Shortest distance (m) from each of the (n, 2) points to the contact's arc."""
        centre = np.arctan2(electrode.y_m, electrode.x_m)
        half = 0.5 * electrode.width_m / self.radius_m
        offset = (np.arctan2(points[:, 1], points[:, 0]) - centre + np.pi) % (2 * np.pi) - np.pi
        nearest = centre + np.clip(offset, -half, half)
        x, y = self.radius_m * np.cos(nearest), self.radius_m * np.sin(nearest)
        return np.asarray(np.hypot(points[:, 0] - x, points[:, 1] - y))


@dataclass(frozen=True)
class Rectangle:
    """A rectangle with one corner at the origin, like the unit square of kmc_dn."""

    width_m: float
    height_m: float

    def __post_init__(self) -> None:
        positive("width_m", self.width_m, "m")
        positive("height_m", self.height_m, "m")

    def contains(self, points: FloatArray) -> NDArray[np.bool_]:
        """Whether each of the (n, 2) points (m) lies inside (boundary included)."""
        return np.asarray(np.all((points >= 0) & (points <= [self.width_m, self.height_m]), axis=1))

    def sample(self, rng: np.random.Generator, count: int) -> FloatArray:
        """`count` points (n, 2) in m, uniform over the rectangle."""
        return np.asarray(rng.random((count, 2)) * [self.width_m, self.height_m])

    @property
    def perimeter_m(self) -> float:
        """Length of the boundary, m."""
        return 2 * (self.width_m + self.height_m)

    def arc_position(self, points: FloatArray) -> FloatArray:
        """Position along the boundary (m from the origin, counter-clockwise) of points on it, (n,)."""
        x, y = points[:, 0], points[:, 1]
        w, h = self.width_m, self.height_m
        gaps = np.abs(np.stack([y, x - w, y - h, x]))
        along = np.stack([x, w + y, w + h + (w - x), 2 * w + h + (h - y)])
        return np.asarray(np.take_along_axis(along, gaps.argmin(axis=0)[None, :], axis=0)[0])

    def boundary_point(self, s: FloatArray) -> FloatArray:
        """Points (n, 2) on the boundary at the positions `s` (m) along it."""
        w, h = self.width_m, self.height_m
        knots = [0.0, w, w + h, 2 * w + h, 2 * w + 2 * h]
        position = np.asarray(s) % self.perimeter_m
        x = np.interp(position, knots, [0.0, w, w, 0.0, 0.0])
        y = np.interp(position, knots, [0.0, 0.0, h, h, 0.0])
        return np.column_stack([x, y])

    def corners(self) -> FloatArray:
        """Positions (m) of the four corners along the boundary."""
        w, h = self.width_m, self.height_m
        return np.array([0.0, w, w + h, 2 * w + h])

    def distance(self, points: FloatArray, electrode: Electrode) -> FloatArray:
        """Shortest distance (m) from each of the (n, 2) points to the contact, a straight piece of one side."""
        centre = np.array([[electrode.x_m, electrode.y_m]])
        x, y = electrode.x_m, electrode.y_m
        horizontal = min(abs(y), abs(y - self.height_m)) <= min(abs(x), abs(x - self.width_m))
        axis = 0 if horizontal else 1
        nearest = np.repeat(centre, len(points), axis=0)
        low, high = centre[0, axis] - 0.5 * electrode.width_m, centre[0, axis] + 0.5 * electrode.width_m
        nearest[:, axis] = np.clip(points[:, axis], low, high)
        return np.asarray(np.hypot(*(points - nearest).T))


Shape = Disc | Rectangle
