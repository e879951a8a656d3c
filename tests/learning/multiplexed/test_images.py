"""Images from files, and the convolutional network that multiplexed gradient descent trains on them."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from inmateria.errors import ConvergenceError, InputError
from learning.multiplexed.defaults import suited_training
from learning.multiplexed.subjects import layout, parameters_of
from learning.multiplexed.training import train_many
from learning.samples.images import FASHION_MNIST, ImageSet, read_idx, read_images

from ...refused import refused


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def shapes(count: int, side: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Images of ten classes that differ in where a bright block lies, and their labels."""
    labels = np.arange(count) % 10
    images = rng.integers(0, 60, (count, side, side))
    for image, label in zip(images, labels, strict=True):
        row, column = divmod(int(label), 5)
        image[4 + 10 * row : 12 + 10 * row, 1 + 5 * column : 6 + 5 * column] += 150
    return images.astype(np.uint8), labels.astype(np.uint8)


@pytest.fixture
def mnist_folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for stem, count in (("train", 200), ("t10k", 50)):
        images, labels = shapes(count, 28, rng)
        (tmp_path / f"{stem}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
        (tmp_path / f"{stem}-labels-idx1-ubyte").write_bytes(idx(labels))
    return tmp_path


def cifar_pickle(count: int, seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    data = {
        b"data": rng.integers(0, 256, (count, 3072)).astype(np.uint8),
        b"labels": [int(k) % 10 for k in range(count)],
    }
    return pickle.dumps(data, protocol=2)


def test_idx_files(mnist_folder: Path) -> None:
    found = read_images("mnist", mnist_folder)
    assert found.images.shape == (200, 1, 28, 28)
    assert found.test_images.shape == (50, 1, 28, 28)
    assert np.array_equal(found.labels[:12], [*range(10), 0, 1])
    images, _ = shapes(200, 28, np.random.default_rng(0))
    assert np.array_equal(found.images[:, 0], images)
    assert layout(found) == "1x28x28-16-32-32-10"


@pytest.mark.skipif(not FASHION_MNIST.is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
def test_debians_fashion_mnist_is_found_by_itself() -> None:
    found = read_images("fashion-mnist")
    assert found.images.shape == (60_000, 1, 28, 28)
    assert np.array_equal(np.bincount(found.test_labels), [1000] * 10)


@pytest.mark.parametrize("packed", [True, False])
def test_cifars_archive(tmp_path: Path, packed: bool) -> None:
    names = [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]
    parts = {name: cifar_pickle(20, k) for k, name in enumerate(names)}
    if packed:
        with tarfile.open(tmp_path / "cifar-10-python.tar.gz", "w:gz") as archive:
            for name, held in parts.items():
                member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
                member.size = len(held)
                archive.addfile(member, io.BytesIO(held))
    else:
        (tmp_path / "cifar-10-batches-py").mkdir()
        for name, held in parts.items():
            (tmp_path / "cifar-10-batches-py" / name).write_bytes(held)
    found = read_images("cifar-10", tmp_path)
    assert found.images.shape == (100, 3, 32, 32)
    assert found.test_images.shape == (20, 3, 32, 32)
    first = np.random.default_rng(0).integers(0, 256, (20, 3072)).astype(np.uint8)
    assert np.array_equal(found.images[:20].reshape(20, -1), first)
    assert layout(found) == "3x32x32-16-32-64-10"


class _Code:
    def __reduce__(self):  # what a pickle of a stranger's could do
        return (Path.write_text, (Path("pwned.txt"), "x"))


def test_a_pickle_cannot_run_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for k in range(1, 6):
        (tmp_path / f"data_batch_{k}").write_bytes(pickle.dumps({b"data": _Code(), b"labels": []}))
    (tmp_path / "test_batch").write_bytes(b"")
    with pytest.raises(InputError, match="not run"):
        read_images("cifar-10", tmp_path)
    assert not (tmp_path / "pwned.txt").exists()


def test_bad_files(mnist_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    labels = mnist_folder / "train-labels-idx1-ubyte"
    whole = labels.read_bytes()
    for held, told in (
        (whole[:-3], "not what its head"),
        (whole[:5], "not what its head"),
        (b"PNG...", "is no IDX file"),
        (b"", "is no IDX file"),
        (b"\x1f\x8b broken", "damaged gzip"),
        (gzip.compress(whole)[:20], "damaged gzip"),
        (idx(np.zeros(7, dtype=np.uint8)), "a label for each"),
        (idx(np.full(200, 11, dtype=np.uint8)), "labels are not 0 to 9"),
        (idx(np.zeros((200, 1), dtype=np.uint8)), "has not 1 dimensions"),
    ):
        labels.write_bytes(held)
        with refused("data", told):
            read_images("mnist", mnist_folder)
    labels.unlink()
    with pytest.raises(InputError, match="holds no train-labels"):
        read_images("mnist", mnist_folder)
    with pytest.raises(InputError, match="cannot be read"):
        read_idx(mnist_folder / "nothing")
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(InputError, match="cannot be read"):
        read_images("cifar-10", empty)
    (empty / "cifar-10-python.tar.gz").write_bytes(b"no archive")
    with pytest.raises(InputError, match="no CIFAR-10 python archive"):
        read_images("cifar-10", empty)
    for name in ("mnist", "cifar-10"):
        with pytest.raises(InputError, match="is not given"):
            read_images(name)
    with pytest.raises(InputError, match="is no set of images"):
        read_images("imagenet")


def small(name: str = "mnist", side: int = 28, channels: int = 1) -> ImageSet:
    rng = np.random.default_rng(1)
    images, labels = shapes(300, side, rng)
    tests, wanted = shapes(100, side, rng)

    def colours(grey: np.ndarray) -> np.ndarray:
        return np.repeat(grey[:, None], channels, axis=1)

    return ImageSet(name, colours(images), labels.astype(np.int64), colours(tests), wanted.astype(np.int64))


def test_the_published_numbers_of_parameters() -> None:
    assert parameters_of(small("fashion-mnist")) == 14_378
    assert parameters_of(small("cifar-10", 32, 3)) == 26_154


def test_the_gradient_is_that_of_differences() -> None:
    pytest.importorskip("torch")
    from learning.multiplexed.image_network import ImageSubject

    subject = ImageSubject(small(), 3, batch=50)
    theta = subject.start
    assert theta.size == 14_378
    slope = subject.batch_gradient(theta, 7)
    way = slope / np.linalg.norm(slope)
    step = 2e-3  # single precision: 1e-7 of the cost over this step is 1e-4 of the slope
    difference = (subject.cost(theta + step * way, 7) - subject.cost(theta - step * way, 7)) / (2 * step)
    assert difference == pytest.approx(np.linalg.norm(slope), rel=2e-2)
    whole = np.mean([subject.batch_gradient(theta, k) for k in range(6)], axis=0)  # one pass: every image once
    assert subject.gradient(theta) == pytest.approx(whole, abs=1e-4 * np.abs(whole).max())
    assert subject.cost(theta, 1) != subject.cost(theta, 2)
    assert subject.cost(theta, 1) == subject.cost(theta, 1)


def test_images_are_trained_and_resumed(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    training = suited_training(
        small(), {"steps": 120, "checks": 4, "batch": 30, "eta": 3.0, "norm": 0.1, "tau_theta": 10}
    )
    whole = train_many(training, small(), 1, workers=1)

    def stop(seed, step, cost, accuracy):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_many(training, small(), 1, workers=1, folder=tmp_path, progress=stop)
    resumed = train_many(training, small(), 1, workers=1, folder=tmp_path)
    xr.testing.assert_identical(resumed, whole)
    assert whole.attrs["sizes"] == "1x28x28-16-32-32-10"
    assert float(whole.angle_deg[0, 1:].mean()) < 90  # downhill, if only just: 30 steps for 14,378 slopes
    assert float(whole.cost[0, -1]) < float(whole.cost[0, 0])


@pytest.mark.parametrize(("name", "side", "channels"), [("fashion-mnist", 28, 1), ("cifar-10", 32, 3)])
@pytest.mark.parametrize("batch", [1, 7])
def test_the_compiled_cost_is_pytorchs(name: str, side: int, channels: int, batch: int) -> None:
    torch = pytest.importorskip("torch")
    from learning.multiplexed.image_network import ImageSubject

    subject = ImageSubject(small(name, side, channels), 3, batch=batch)
    theta = subject.start + 0.1 * np.random.default_rng(4).standard_normal(subject.start.size)  # biases too
    for presentation in range(3):
        found = subject.cost(theta, presentation)
        chosen = subject._chosen(presentation)
        logits = subject._forward(subject._weights(theta), subject._images[chosen])
        wanted = float(torch.nn.functional.cross_entropy(logits, subject._labels[chosen]))
        assert found == pytest.approx(wanted, rel=1e-5)
    theta[-1] = np.nan
    assert np.isnan(subject.cost(theta, 0))


def test_all_runs_share_one_copy_of_the_images() -> None:
    pytest.importorskip("torch")
    from learning.multiplexed.image_network import ImageSubject

    images = small()
    first, second = (ImageSubject(images, seed, batch=5) for seed in (0, 1))
    assert first._images.data_ptr() == second._images.data_ptr()
    assert np.any(first.start != second.start)
    assert first._images.data_ptr() != ImageSubject(small(), 0, batch=5)._images.data_ptr()


def test_a_run_that_diverges_says_so(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    training = suited_training(small(), {"steps": 4000, "checks": 20, "eta": 3000.0})
    with pytest.raises(ConvergenceError, match=r"is no finite number at step \d+; lower eta") as caught:
        train_many(training, small(), 1, workers=1, folder=tmp_path)
    assert "\n" not in str(caught.value)
