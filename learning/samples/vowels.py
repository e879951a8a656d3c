"""Spoken vowels by their formants: Hillenbrand, Getty, Clark, Wheeler, J. Acoust. Soc. Am. 97, 3099 (1995).

Our selection of their file, after the task of Wright et al. (2022): women; the vowels ae ah aw er ih iy uw; speakers
whose formants F1 to F3 at the steady state are all measured for these. That gives 37 women, 259 samples of 12 features:
F1 to F3 at the steady state and at 20, 50 and 80 % of the duration. A formant that was not measurable there (0 in the
file: 8 of 2331 numbers) takes its value at the steady state.

The file is free for research, not ours to hand on: `hillenbrand_vowdata.dat` at the given path, in the folder that
the environment variable INMATERIA_DATA names, or in ../shared/data.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from inmateria.checks import FloatArray, count
from inmateria.errors import InputError
from learning.samples.samples import SampleSet, data_folder

VOWELS = ("ae", "ah", "aw", "er", "ih", "iy", "uw")
FILE = "hillenbrand_vowdata.dat"
_COLUMNS = 16  # name, duration, f0, F1 to F4 at the steady state, F1 to F3 at 20, 50 and 80 %
_STEADY = slice(3, 6)
_FEATURES = [3, 4, 5, *range(7, 16)]
_NAME = re.compile(r"[mwbg]\d\d[a-z]{2}")
_WOMEN = 37


def vowels(data: str | Path | None = None, *, train: int = 175, seed: int = 0) -> SampleSet:
    """Vowels of women, split at random.

    Parameters
    ----------
    data : str or Path, optional
        The file, or the folder that holds it.
    train : int
        Samples to train on; the others are held out (84 of the 259).
    seed : int
        Of the split.

    Returns
    -------
    SampleSet
        12 features, each with mean 0 and standard deviation 1 over the training samples; one of seven vowels.

    Raises
    ------
    InputError
        If the file is missing, has other columns or holds no numbers, or `train` leaves nothing on one side.
    """
    formants, labels = read_vowels(data)
    count("train", train, len(VOWELS), len(labels) - 1)  # all vowels on one side, some samples on the other
    order = np.random.default_rng(seed).permutation(len(labels))
    first, rest = order[:train], order[train:]
    middle, spread = formants[first].mean(axis=0), formants[first].std(axis=0)
    features, targets = (formants - middle) / spread, np.eye(len(VOWELS))[labels]
    return SampleSet("vowels", features[first], targets[first], features[rest], targets[rest])


def read_vowels(data: str | Path | None = None) -> tuple[FloatArray, np.ndarray]:
    """Formants (Hz, (samples, 12)) and vowels (numbers in `VOWELS`) of the selection, speaker by speaker."""
    path = _find(data)
    try:
        lines = path.read_text(encoding="latin-1").splitlines()
    except OSError as error:
        raise InputError("data", str(path), f"cannot be read ({error.strerror or error})", "check the path") from error
    spoken: dict[str, dict[str, FloatArray]] = {}
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or not _NAME.fullmatch(words[0]):
            continue
        row = _row(path, number, words)
        if words[0][0] == "w" and words[0][3:] in VOWELS:
            spoken.setdefault(words[0][:3], {})[words[0][3:]] = row
    rows: list[FloatArray] = []
    labels: list[int] = []
    for _, said in sorted(spoken.items()):
        if set(said) == set(VOWELS) and all((row[_STEADY] > 0).all() for row in said.values()):
            rows += [said[vowel] for vowel in VOWELS]
            labels += range(len(VOWELS))
    if len(rows) != _WOMEN * len(VOWELS):
        found = f"holds {len(rows) // len(VOWELS)} women with all seven vowels, not {_WOMEN}"
        raise InputError("data", str(path), found, f"give {FILE} as its authors publish it")
    table = np.array(rows)
    features = table[:, _FEATURES]
    features = np.where(features > 0, features, np.tile(table[:, _STEADY], 4))
    return features, np.array(labels)


def _find(data: str | Path | None) -> Path:
    if data is not None:
        path = Path(data)
        return path / FILE if path.is_dir() else path
    path = data_folder() / FILE
    if not path.is_file():
        raise InputError("data", str(path), "is not there", f"give the path of {FILE}, or set INMATERIA_DATA")
    return path


def _row(path: Path, number: int, words: list[str]) -> FloatArray:
    """A line of the file; its first number stands for the name, so that columns count as in the file's head."""
    where = f"{path}, line {number}"
    if len(words) != _COLUMNS:
        raise InputError("data", where, f"has {len(words)} columns, not {_COLUMNS}", f"give {FILE} as published")
    try:
        row = np.array([0.0, *map(float, words[1:])])
    except ValueError as error:
        raise InputError("data", where, f"holds no numbers ({error})", f"give {FILE} as published") from error
    steady = row[_STEADY]
    if not np.isfinite(row).all() or (row < 0).any() or ((steady > 0).all() and not (np.diff(steady) > 0).all()):
        raise InputError("data", where, "holds no formants F1 < F2 < F3 there", f"give {FILE} as published")
    return row
