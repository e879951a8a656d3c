"""Which outcomes meet the criteria that every board and corner has to meet."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from analysis.designs.design import Design
from analysis.sweeps.store import DONE


def passes(design: Design, learned: Any, quality: Any, separation: Any, attempts: Any, held: Any = 1.0) -> Any:
    """Whether outcomes meet the criteria that every board has to meet; element by element."""
    wanted = design.criteria
    good = np.asarray(learned) > 0
    if wanted.margin_min is not None:
        good &= np.asarray(quality) >= wanted.margin_min
    if wanted.separation_min is not None:
        good &= np.asarray(separation) >= wanted.separation_min
    if wanted.attempts_max is not None:
        good &= np.asarray(attempts) <= wanted.attempts_max
    if wanted.hold_min is not None:
        good &= np.asarray(held) > 0
    return good


def all_passing(design: Design, data: xr.Dataset) -> Any:
    """`passes` of stored outcomes; what failed to run does not pass."""
    columns = (data[name].values for name in ("learned", "quality", "separation", "attempts", "held"))
    with np.errstate(invalid="ignore"):
        return passes(design, *columns) & (data["status"].values == DONE)
