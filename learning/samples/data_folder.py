"""Where measured data lies that users bring along."""

from __future__ import annotations

import os
from pathlib import Path


def data_folder() -> Path:
    """The folder that the environment variable INMATERIA_DATA names, else ../shared/data."""
    return Path(os.environ.get("INMATERIA_DATA") or "../shared/data")
