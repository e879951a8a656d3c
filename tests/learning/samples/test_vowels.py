"""Hillenbrand's vowels: the selection, and files that are none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from inmateria.errors import InputError
from learning.multiplexed.backpropagation import softmax_accuracy
from learning.samples.images import ImageSet, pooled
from learning.samples.vowels import FILE, read_vowels, vowels


def test_the_selection(data_file: Callable[[str], Path]) -> None:
    formants, labels = read_vowels(data_file(FILE))
    assert formants.shape == (259, 12)
    assert np.bincount(labels).tolist() == [37] * 7
    assert (formants > 0).all()
    steady = formants[:, :3]
    assert (np.diff(steady, axis=1) > 0).all()
    # w01, "had" and "hod", as the file has them
    assert formants[0].tolist() == [678, 2293, 2861, 681, 2295, 2868, 711, 2160, 2867, 705, 1968, 2906]
    assert formants[1, :3].tolist() == [1012, 1603, 2767]


def test_the_split(data_file: Callable[[str], Path]) -> None:
    first, again, other = (vowels(data_file(FILE).parent, seed=seed) for seed in (0, 0, 1))
    assert (len(first.inputs), len(first.test_inputs)) == (175, 84)
    assert np.array_equal(first.inputs, again.inputs)
    assert not np.array_equal(first.targets, other.targets)
    np.testing.assert_allclose(first.inputs.mean(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(first.inputs.std(axis=0), 1.0)
    assert 0.9 < np.mean([softmax_accuracy(vowels(data_file(FILE), seed=seed)) for seed in range(5)]) < 1.0
    assert softmax_accuracy(first, (1e-6, 1.0)) == softmax_accuracy(first) > softmax_accuracy(first, (1e-6,)) + 0.1
    with pytest.raises(InputError, match="train"):
        vowels(data_file(FILE), train=259)


def test_found_by_the_environment(data_file: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INMATERIA_DATA", str(data_file(FILE).parent))
    assert len(read_vowels()[0]) == 259
    monkeypatch.setenv("INMATERIA_DATA", "/nowhere")
    with pytest.raises(InputError, match="is not there"):
        read_vowels()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("w01ae 320 207 678 2293 2861", "line 1: *'? has 6 columns|has 6 columns"),
        ("w01ae 320 207 678 2293 2861 4159 681 2295 2868 711 2160 2867 705 1968 many", "holds no numbers"),
        ("w01ae 320 207 2861 2293 678 4159 681 2295 2868 711 2160 2867 705 1968 2906", "holds no formants"),
        ("w01ae 320 207 678 2293 2861 4159 681 2295 2868 711 2160 2867 705 1968 2906", "holds 0 women"),
        ("nothing of the kind", "holds 0 women"),
    ],
)
def test_other_files(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / FILE).write_text(f"{line}\n")
    with pytest.raises(InputError, match=message):
        vowels(tmp_path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        vowels(tmp_path)


def test_pooled_images() -> None:
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (20, 1, 28, 28)).astype(np.uint8), np.arange(20) % 10
    found = pooled(ImageSet("mnist", images, labels, images[:5], labels[:5]), train=12)
    assert (found.inputs.shape, found.test_inputs.shape) == ((12, 196), (5, 196))
    assert found.inputs[3, 15] == pytest.approx(images[3, 0, 2:4, 2:4].mean() / 255)
    assert found.targets[3].tolist() == np.eye(10)[3].tolist()
    with pytest.raises(InputError, match="side"):
        pooled(ImageSet("mnist", images, labels, images[:5], labels[:5]), side=13)
