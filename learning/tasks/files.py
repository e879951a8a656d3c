"""A user's own task from a file.

CSV: a header; one column per input, a last one named ``target``, and if wanted one named ``set`` that says ``train`` or
``test`` in each row. NPZ: arrays ``inputs`` (n, n_inputs) and ``targets`` (n,), if wanted ``test_inputs`` and
``test_targets``.

Each input is scaled from its own range (that of the training rows) to the input's logic swing; a test row beyond that
range is refused. Targets with two different values are classes (the higher one is class 1); more make it a regression.
"""

from __future__ import annotations

import csv
import zipfile
from pathlib import Path

import numpy as np

from inmateria.checks import FloatArray
from inmateria.errors import InputError
from learning.tasks.classification import ClassificationTask
from learning.tasks.regression import RegressionTask
from learning.tasks.task import as_points, as_values

FORMAT = "columns: the inputs, then 'target'; if wanted a column 'set' of train or test"
ARRAYS = "arrays: inputs (n, n_inputs) and targets (n,); if wanted test_inputs and test_targets"
INPUTS_MAX = 7

OwnTask = ClassificationTask | RegressionTask


def read_task(path: Path) -> OwnTask:
    """Read a task from a CSV or NPZ file.

    Raises
    ------
    InputError
        If the file is missing or does not have the form above.
    """
    if path.suffix.lower() not in (".csv", ".npz"):
        raise InputError("task", str(path), "is neither .csv nor .npz", FORMAT)
    if not path.is_file():
        raise InputError("task", str(path), "is no file", "check the path")
    tables = _read_csv(path) if path.suffix.lower() == ".csv" else _read_npz(path)
    return own_task(path.stem, *tables)


def own_task(
    name: str,
    inputs: FloatArray,
    targets: FloatArray,
    test_inputs: FloatArray | None = None,
    test_targets: FloatArray | None = None,
) -> OwnTask:
    """A task from arrays: inputs (n, n_inputs), each scaled from its range to -1..1, and targets (n,).

    Raises
    ------
    InputError
        For shapes that do not fit, an input or a target that never changes, test points beyond the training range.
    """
    train = np.array(as_points("inputs", inputs))
    wanted = np.array(as_values("targets", targets))
    test = np.array(as_points("test_inputs", test_inputs)) if _some(test_inputs) else np.empty((0, train.shape[1]))
    held = np.array(as_values("test_targets", test_targets)) if _some(test_targets) else np.empty(0)
    if len(train) != len(wanted) or len(test) != len(held) or test.shape[1] != train.shape[1]:
        shapes = (train.shape, wanted.shape, test.shape, held.shape)
        raise InputError("targets", shapes, "inputs and targets do not fit each other", "give as many rows")
    if not 1 <= train.shape[1] <= INPUTS_MAX:
        raise InputError("inputs", train.shape[1], f"a device has at most {INPUTS_MAX} inputs", "leave some out")
    low, high = train.min(axis=0), train.max(axis=0)
    if np.any(high <= low):
        raise InputError("inputs", int(np.argmin(high - low)) + 1, "this column never changes", "leave it out")
    if np.any((test < low) | (test > high)):
        raise InputError("test_inputs", name, "lie beyond the range of the training points", "train there too")
    points, test_points = ((2 * (x - low) / (high - low) - 1).clip(-1, 1) for x in (train, test))
    if np.ptp(wanted) == 0:
        raise InputError("targets", float(wanted[0]), "are all the same", "there is nothing to learn")
    levels = np.unique(wanted)
    if len(levels) > 2:
        return RegressionTask(
            name, as_points("inputs", points), as_values("targets", wanted), 0.5,
            as_points("test_inputs", test_points), as_values("test_targets", held),
        )  # fmt: skip
    if not set(held) <= set(levels):
        raise InputError("test_targets", name, "hold a class that training does not", "use the same two values")
    return ClassificationTask(
        name, as_points("inputs", points), as_values("targets", wanted == levels[1]), 0.5,
        as_points("test_inputs", test_points), as_values("test_targets", held == levels[1]),
    )  # fmt: skip


def _some(values: FloatArray | None) -> bool:
    return values is not None and len(values) > 0


def _read_csv(path: Path) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = [row for row in csv.reader(stream) if row and any(cell.strip() for cell in row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError("task", str(path), f"cannot be read ({error})", FORMAT) from error
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    if header.count("target") != 1 or header.count("set") > 1:
        raise InputError("task", str(path), "has no header with one column named target", FORMAT)
    inputs = [k for k, name in enumerate(header) if name not in ("target", "set")]
    if not inputs or len(rows) < 3:
        raise InputError("task", str(path), "needs an input and two rows at least", FORMAT)
    target, chosen = header.index("target"), header.index("set") if "set" in header else None
    values: dict[str, list[list[float]]] = {"train": [], "test": []}
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(header):
            raise InputError("task", str(path), f"row {number} has {len(row)} cells, not {len(header)}", FORMAT)
        which = "train" if chosen is None else row[chosen].strip().lower()
        if which not in values:
            raise InputError("task", str(path), f"row {number}: set is {which!r}", "write train or test")
        try:
            numbers = [float(row[k]) for k in (*inputs, target)]
        except ValueError:
            raise InputError("task", str(path), f"row {number} holds a cell that is no number", FORMAT) from None
        if not np.all(np.isfinite(numbers)):
            raise InputError("task", str(path), f"row {number} holds a cell that is not finite", FORMAT)
        values[which].append(numbers)
    if len(values["train"]) < 2:
        raise InputError("task", str(path), "has fewer than two rows to train", FORMAT)
    train, test = (np.array(values[which]).reshape(-1, len(inputs) + 1) for which in ("train", "test"))
    return train[:, :-1], train[:, -1], test[:, :-1], test[:, -1]


def _read_npz(path: Path) -> tuple[FloatArray, FloatArray, FloatArray | None, FloatArray | None]:
    try:
        with np.load(path, allow_pickle=False) as found:
            arrays = {name: found[name] for name in found.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise InputError("task", str(path), f"cannot be read ({error})", ARRAYS) from error
    if not {"inputs", "targets"} <= set(arrays):
        raise InputError("task", str(path), f"holds {', '.join(arrays) or 'nothing'}", ARRAYS)
    return arrays["inputs"], arrays["targets"], arrays.get("test_inputs"), arrays.get("test_targets")
