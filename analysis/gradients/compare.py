"""Two gradients side by side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from inmateria.errors import InputError


@dataclass(frozen=True)
class Comparison:
    """How well a measured gradient agrees with an ideal one.

    Attributes
    ----------
    cosine : float
        Cosine of the angle between the two; NaN if one is zero.
    relative_error : float
        |a - b| / |b|, Euclidean.
    sign_agreement : float
        Fraction of components with equal sign.
    """

    cosine: float
    relative_error: float
    sign_agreement: float


def compare(measured: xr.DataArray, ideal: xr.DataArray) -> Comparison:
    """Compare a measured gradient with an ideal one, both over the same controls and in the same units.

    Raises
    ------
    InputError
        If controls or units differ: like is compared with like only.
    """
    if list(measured["control"].values) != list(ideal["control"].values):
        raise InputError(
            "control", list(measured["control"].values), "the controls differ", "compare the same controls"
        )
    if measured.attrs.get("units") != ideal.attrs.get("units"):
        raise InputError(
            "units", measured.attrs.get("units"), f"the other has {ideal.attrs.get('units')}", "convert one"
        )
    a, b = np.asarray(measured, dtype=float), np.asarray(ideal, dtype=float)
    size_a, size_b = float(np.linalg.norm(a)), float(np.linalg.norm(b))
    return Comparison(
        cosine=float(a @ b / (size_a * size_b)) if size_a > 0 and size_b > 0 else float("nan"),
        relative_error=float(np.linalg.norm(a - b) / size_b) if size_b > 0 else float("nan"),
        sign_agreement=float(np.mean(np.sign(a) == np.sign(b))),
    )
