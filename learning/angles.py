"""The angle between two vectors, the measure of a gradient that needs no units."""

from __future__ import annotations

import numpy as np

from inmateria.checks import FloatArray


def angle_deg(a: FloatArray, b: FloatArray) -> float:
    """Angle between two directions, in degrees; NaN where one has none."""
    largest = float(np.max(np.abs(a))), float(np.max(np.abs(b)))
    if 0.0 in largest or not np.all(np.isfinite(largest)):
        return float("nan")
    u, v = (way / size / np.linalg.norm(way / size) for way, size in zip((a, b), largest, strict=True))
    # by the half angle: the cosine says nothing of angles below 1e-6 degrees
    return float(np.degrees(2.0 * np.arctan2(np.linalg.norm(u - v), np.linalg.norm(u + v))))
