"""Samples of a device as brainspy-smg stores them, so that its users can train their networks on our models.

`IO.dat` is a text table with one row per sample: the voltages of the activation electrodes in V, then the outputs in
nA, separated by spaces; above them one line, ``# Input 0, Input 1, ..., Output 0``. brainspy-smg (1.0.7) reads it with
`numpy.loadtxt` and expects its own `sampler_configs.json` beside it, with the amplification and the lengths of the
batches of the measurement, which only the experimenter knows; it is not written here.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from inmateria.checks import FloatArray, array, count
from inmateria.errors import InputError

_NA = 1e-9


def _file(path: str | Path) -> Path:
    """The table itself, which a folder holds by its usual name."""
    return Path(path) / "IO.dat" if Path(path).is_dir() else Path(path)


def export_io_dat(path: str | Path, voltages_V: Any, outputs_A: Any, *, overwrite: bool = False) -> Path:
    """Write samples in the layout of brainspy-smg's `IO.dat`; returns the file's path.

    Parameters
    ----------
    path : str or Path
        File to write; a folder gets an `IO.dat`.
    voltages_V : array_like, shape (n_samples, n_activation)
        Voltages of the activation electrodes, V.
    outputs_A : array_like, shape (n_samples,) or (n_samples, n_outputs)
        Currents out of the device at its outputs, A; written in nA.
    overwrite : bool
        Whether a file that exists is replaced.

    Raises
    ------
    InputError
        For tables that do not fit or are not finite, and for a file that exists or cannot be written.
    """
    volts = array("voltages_V", voltages_V, (None, None))
    outputs = array("outputs_A", np.reshape(outputs_A, (-1, 1)) if np.ndim(outputs_A) == 1 else outputs_A, (None, None))
    if 0 in volts.shape or 0 in outputs.shape or len(volts) != len(outputs):
        raise InputError("outputs_A", outputs.shape, f"does not fit {volts.shape} voltages", "give one row per sample")
    path = _file(path)
    names = [f"Input {k}" for k in range(volts.shape[1])] + [f"Output {k}" for k in range(outputs.shape[1])]
    try:
        with path.open("w" if overwrite else "x", encoding="utf-8") as stream:
            np.savetxt(stream, np.hstack([volts, outputs / _NA]), header=", ".join(names))
    except FileExistsError as error:
        raise InputError("path", str(path), "exists", "choose another name, or overwrite=True") from error
    except OSError as error:
        raise InputError("path", str(path), f"cannot be written ({error.strerror})", "check the path") from error
    return path


def read_io_dat(path: str | Path, *, n_outputs: int = 1) -> tuple[FloatArray, FloatArray]:
    """Read samples in the layout of brainspy-smg's `IO.dat`.

    Parameters
    ----------
    path : str or Path
        The file, or the folder that holds an `IO.dat`.
    n_outputs : int
        How many of the last columns are outputs.

    Returns
    -------
    voltages_V : ndarray, shape (n_samples, n_activation)
        V.
    outputs_A : ndarray, shape (n_samples, n_outputs)
        A, out of the device.

    Raises
    ------
    InputError
        For a file that is missing or no table of finite numbers with at least one input and `n_outputs` outputs.
    """
    path, n_outputs = _file(path), count("n_outputs", n_outputs)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of an empty file, which is refused below
            table = np.loadtxt(path, ndmin=2)
    except OSError as error:
        raise InputError("path", str(path), f"cannot be read ({error.strerror or error})", "check the path") from error
    except ValueError as error:
        raise InputError("path", str(path), f"is no table of numbers ({error})", "export it again") from error
    if not len(table) or table.shape[1] <= n_outputs:
        problem = f"holds {len(table)} samples of {table.shape[1]} columns"
        raise InputError("path", str(path), problem, "check n_outputs and the file")
    if not np.all(np.isfinite(table)):
        raise InputError("path", str(path), "holds NaN or infinity", "leave out failed samples")
    return table[:, :-n_outputs].copy(), table[:, -n_outputs:] * _NA
