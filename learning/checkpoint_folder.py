"""Folders of checkpoints: each belongs to one training, whose description lies in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inmateria.errors import InputError


def claim(folder: Path, facts: Mapping[str, Any], note: str = "training.json") -> None:
    """Make the folder, or see that it belongs to this training.

    Parameters
    ----------
    folder : Path
    facts : mapping
        All that the result depends on.
    note : str
        The file that tells.

    Raises
    ------
    InputError
        If it holds checkpoints of another one (the difference is named), or its note is damaged.
    """
    said = json.loads(json.dumps(dict(facts), default=int))
    place = folder / note
    folder.mkdir(parents=True, exist_ok=True)
    if place.exists():
        try:
            there = dict(json.loads(place.read_text(encoding="utf-8")))
        except (ValueError, TypeError):
            raise InputError("checkpoint", str(place), "is damaged", "delete the folder or choose another") from None
        if there != said:
            other = sorted(name for name in {*there, *said} if there.get(name) != said.get(name))
            problem = f"holds those of another training (other: {', '.join(other)})"
            raise InputError("checkpoint", str(folder), problem, "delete it or choose another")
        return
    part = place.with_suffix(".part")
    part.write_text(json.dumps(said, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    part.replace(place)
