"""Tasks by name: the gates, those that are ready made, or the file of a user's own; light, for the command's help.

Another ready-made task is a function in a file of this folder, and its line in `READY_MADE`.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, cast

from inmateria.errors import InputError
from inmateria.spelling import nearest
from learning.tasks.gates import GATES

if TYPE_CHECKING:
    from learning.tasks.task import Task

READY_MADE = {"ring": "classification", "sphere": "classification", "curve": "regression"}
"""Names of functions without arguments, and the file of this folder that each stands in."""
NAMES = (*GATES, *READY_MADE)


def named_task(name: str) -> Task:
    """The task of a name or file, with input levels of +-0.25 V (see `learning.tasks.task.at_swing`).

    Raises
    ------
    InputError
        If there is no such task, or the file holds none.
    """
    # NumPy, which tasks need, is loaded with them
    if name.upper() in GATES:
        from learning.tasks.boolean import BooleanTask

        return BooleanTask(name)
    if name.lower() in READY_MADE:
        made = getattr(import_module(f"learning.tasks.{READY_MADE[name.lower()]}"), name.lower())()
        return cast("Task", made)
    if Path(name).suffix or "/" in name:
        from learning.tasks.files import read_task

        return read_task(Path(name))
    near = nearest(name, NAMES)
    meant = f"did you mean {near[0]}? There are " if near else "choose one of "
    raise InputError(
        "gate", name, "is no gate and no other task", f"{meant}{', '.join(NAMES)}, or give a file (.csv, .npz)"
    )
