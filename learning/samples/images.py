"""Images from local files: IDX (MNIST, Fashion-MNIST) and the CIFAR-10 python archive, official test sets included."""

from __future__ import annotations

import gzip
import pickle
import struct
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inmateria.errors import InputError
from inmateria.unpickling import Unpickler, numbers
from learning.samples.samples import SampleSet

FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package dataset-fashion-mnist puts its files."""
CIFAR_ARCHIVE = "cifar-10-python.tar.gz"
_CIFAR_FOLDER = "cifar-10-batches-py"
_UBYTE = 0x08  # IDX: type of the elements


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images of ten classes.

    Attributes
    ----------
    name : str
    images, test_images : ndarray of uint8, shape (n, channels, height, width)
    labels, test_labels : ndarray of int64, shape (n,)
    """

    name: str
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        for images, labels in ((self.images, self.labels), (self.test_images, self.test_labels)):
            if images.ndim != 4 or len(images) == 0 or labels.shape != (len(images),):
                shapes = f"{images.shape} and {labels.shape}"
                raise InputError("data", shapes, "are not images and a label for each", "look at the files")
            if labels.min() < 0 or labels.max() > 9:
                found = f"{labels.min()} to {labels.max()}"
                raise InputError("data", found, "labels are not 0 to 9", "look at the files")
        if self.images.shape[1:] != self.test_images.shape[1:]:
            raise InputError("data", self.test_images.shape, "test images are of another shape", "look at the files")


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes, gzipped or not.

    Raises
    ------
    InputError
        If the file is missing, no IDX file of bytes, or cut short.
    """
    try:
        held = path.read_bytes()
        data = gzip.decompress(held) if held[:2] == b"\x1f\x8b" else held
    except OSError as error:
        raise InputError("data", str(path), f"cannot be read ({error.strerror or error})", "check the path") from error
    except (EOFError, zlib.error) as error:
        raise InputError("data", str(path), "is a damaged gzip file", "fetch it again") from error
    if len(data) < 4 or data[:3] != bytes((0, 0, _UBYTE)) or not 1 <= data[3] <= 4:
        raise InputError("data", str(path), "is no IDX file of bytes", "give the files of MNIST or Fashion-MNIST")
    head = 4 + 4 * data[3]
    shape = struct.unpack(f">{data[3]}I", data[4:head]) if len(data) >= head else ()
    if not shape or len(data) != head + int(np.prod(shape)):
        raise InputError(
            "data", str(path), f"holds {len(data)} bytes, not what its head {shape} says", "fetch it again"
        )
    return np.frombuffer(data, dtype=np.uint8, offset=head).reshape(shape)


def read_images(name: str, folder: Path | None = None) -> ImageSet:
    """Images by the name of the set.

    Parameters
    ----------
    name : {"mnist", "fashion-mnist", "cifar-10"}
    folder : Path, optional
        Where the files lie; Debian's Fashion-MNIST is found by itself. For CIFAR-10 also the archive itself.

    Raises
    ------
    InputError
        If files are missing, damaged or of another kind.
    """
    if name == "cifar-10":
        return _cifar(folder)
    if name not in ("mnist", "fashion-mnist"):
        raise InputError("task", name, "is no set of images", "choose mnist, fashion-mnist or cifar-10")
    if folder is None and name == "fashion-mnist" and FASHION_MNIST.is_dir():
        folder = FASHION_MNIST
    if folder is None:
        package = " (or install Debian's dataset-fashion-mnist)" if name == "fashion-mnist" else ""
        raise InputError(
            "data", None, f"is not given, and {name} is not here", f"give the folder of its files{package}"
        )
    parts = [
        read_idx(_idx_file(folder, stem))
        for stem in ("train-images", "train-labels", "t10k-images", "t10k-labels")
    ]  # fmt: skip
    for part, dimensions in zip(parts, (3, 1, 3, 1), strict=True):
        if part.ndim != dimensions:
            raise InputError("data", part.shape, f"has not {dimensions} dimensions", f"look at the files of {folder}")
    images, labels, test_images, test_labels = parts
    return ImageSet(name, images[:, None], labels.astype(np.int64), test_images[:, None], test_labels.astype(np.int64))


def pooled(images: ImageSet, *, train: int = 10_000, side: int = 14) -> SampleSet:
    """Grey images as a set of samples: the first to train on, all of the official test set to test with.

    Parameters
    ----------
    images : ImageSet
        Of one channel, as MNIST.
    train : int
        Images to train on.
    side : int
        Pixels of a side, each the mean of a square of the image's own; scaled to 0 to 1.

    Raises
    ------
    InputError
        For images in colour, a side that does not divide theirs, or no images.
    """
    _, channels, height, width = images.images.shape
    if channels != 1 or side < 1 or height % side or width % side:
        raise InputError("side", side, f"does not divide {channels} x {height} x {width} pixels", "choose another")
    if train < 1:
        raise InputError("train", train, "are no images", "give 1 or more")

    def samples(part: NDArray[np.uint8]) -> NDArray[np.float64]:
        squares = part.reshape(len(part), side, height // side, side, width // side) / 255.0
        return np.asarray(squares.mean(axis=(2, 4)).reshape(len(part), -1))

    classes = np.eye(10)
    return SampleSet(
        images.name, samples(images.images[:train]), classes[images.labels[:train]],
        samples(images.test_images), classes[images.test_labels],
    )  # fmt: skip


def _idx_file(folder: Path, stem: str) -> Path:
    """The file of a stem, as the sets' authors name it: train-images-idx3-ubyte, gzipped or not."""
    kind = "idx3" if stem.endswith("images") else "idx1"
    for name in (f"{stem}-{kind}-ubyte.gz", f"{stem}-{kind}-ubyte", f"{stem}.{kind}-ubyte"):
        if (folder / name).is_file():
            return folder / name
    raise InputError("data", str(folder), f"holds no {stem}-{kind}-ubyte.gz", "give the folder of the four IDX files")


def _cifar(folder: Path | None) -> ImageSet:
    if folder is None:
        raise InputError("data", None, "is not given, and cifar-10 is not here", f"give {CIFAR_ARCHIVE} or its folder")
    names = [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]
    archive = folder / CIFAR_ARCHIVE if folder.is_dir() and (folder / CIFAR_ARCHIVE).is_file() else folder
    try:
        if archive.is_file():
            with tarfile.open(archive) as opened:
                held = [_member(opened, f"{_CIFAR_FOLDER}/{name}") for name in names]
        else:
            inner = folder / _CIFAR_FOLDER if (folder / _CIFAR_FOLDER).is_dir() else folder
            held = [(inner / name).read_bytes() for name in names]
        batches = [Unpickler(one, encoding="bytes").load() for one in held]
        images = [np.asarray(numbers(batch[b"data"]), dtype=np.uint8).reshape(-1, 3, 32, 32) for batch in batches]
        labels = [np.asarray(numbers(batch[b"labels"]), dtype=np.int64) for batch in batches]
    except OSError as error:
        raise InputError(
            "data", str(folder), f"cannot be read ({error.strerror or error})", "check the path"
        ) from error
    except (tarfile.TarError, pickle.UnpicklingError, EOFError, KeyError, ValueError, TypeError, zlib.error) as error:
        fix = f"give {CIFAR_ARCHIVE} as its authors publish it"
        raise InputError("data", str(folder), f"is no CIFAR-10 python archive ({error})", fix) from error
    return ImageSet("cifar-10", np.concatenate(images[:-1]), np.concatenate(labels[:-1]), images[-1], labels[-1])


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    found = archive.extractfile(name)
    if found is None:
        raise KeyError(f"no file {name}")
    with found:
        return found.read()
