"""Tasks by name: the six gates, ring, sphere, curve, or the file of a user's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from inmateria.errors import InputError
from inmateria.spelling import nearest
from learning.tasks.boolean import GATES, BooleanTask
from learning.tasks.classification import ring, sphere
from learning.tasks.files import read_task
from learning.tasks.regression import curve
from learning.tasks.task import Task

READY_MADE: dict[str, Callable[[], Task]] = {"ring": ring, "sphere": sphere, "curve": curve}


def named_task(name: str) -> Task:
    """The task of a name or file, with input levels of +-0.25 V (see `learning.tasks.task.at_swing`).

    Raises
    ------
    InputError
        If there is no such task, or the file holds none.
    """
    if name.upper() in GATES:
        return BooleanTask(name)
    if name.lower() in READY_MADE:
        return READY_MADE[name.lower()]()
    if Path(name).suffix or "/" in name:
        return read_task(Path(name))
    known = (*GATES, *READY_MADE)
    near = nearest(name, known)
    meant = f"did you mean {near[0]}? There are " if near else "choose one of "
    raise InputError(
        "gate", name, "is no gate and no other task", f"{meant}{', '.join(known)}, or give a file (.csv, .npz)"
    )
