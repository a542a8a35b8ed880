"""MNIST, handwritten digits, and Fashion-MNIST, pictures of clothes: 70,000 greyscale images each, in ten classes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nerva.datasets.dataset import Dataset, Split, Standardized
from nerva.datasets.download import data_home
from nerva.datasets.download import download as fetch
from nerva.datasets.idx import read_idx
from nerva.datasets.preprocess import Preprocess, statistics

IMAGE_SHAPE = (1, 28, 28)
FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


@dataclass(frozen=True)
class _Source:
    """Where the files of a data set are, and what they hold."""

    name: str
    title: str
    url: str
    md5: dict[str, str]  # of FILES + ".gz"
    folders: tuple[str, ...]  # to look in; the first is where a download goes
    classes: tuple[str, ...]
    mean: float  # of the training set's values / 255
    std: float


_MNIST = _Source(
    "mnist",
    "MNIST",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    dict(
        zip(
            FILES,
            (
                "f68b3c2dcbeaaa9fbdd348bbdeb94873",
                "d53e105ee54ea40749a09fcbcd1e9432",
                "9fb629c4189551a2d022fa330f9573f3",
                "ec29112dd5afa0611ce80d1b7f02629c",
            ),
            strict=True,
        )
    ),
    ("mnist", "MNIST/raw"),
    tuple("0123456789"),
    0.1307,
    0.3081,
)
_FASHION = _Source(
    "fashion_mnist",
    "Fashion-MNIST",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    dict(
        zip(
            FILES,
            (
                "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
                "25c81989df183df01b3e8a0aad5dffbe",
                "bef4ecab320f06d8554ea6380940ec79",
                "bb300cfdad3c16e7a12a480ee83cd310",
            ),
            strict=True,
        )
    ),
    ("fashion-mnist", "FashionMNIST/raw"),
    ("T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"),
    0.2860,
    0.3530,
)


def mnist(
    dir: str | os.PathLike[str] | None = None, *, download: bool = True, preprocess: Preprocess = "standardize"
) -> Dataset:
    """Read MNIST, and download it first if it is missing.

    Parameters
    ----------
    dir : a folder; by default the one that the environment variable NERVA_DATA names, or else the user's cache. The
        four IDX files, compressed (.gz) or not, lie in its subfolder mnist or MNIST/raw, or, if `dir` is given, in it
    download : whether to download missing files (11 MB) into the subfolder mnist
    preprocess : the feature that a pixel t becomes: "standardize" by the mean and standard deviation of the training
        set, "original" 2 (t / 255 - 1/2) as in the original Nerva's C++ tool, "unit" t / 255, "none" t

    Returns a Dataset of 60,000 training and 10,000 test images. X is Standardized, with 784 features, row by row.

    Raises
    ------
    FileNotFoundError : the folder does not exist, or a file is missing and `download` is False
    ValueError : an argument is wrong; a file is truncated, corrupt or of another format; the download has the wrong
        checksum
    ConnectionError : the download fails
    """
    return _load(_MNIST, dir, download, preprocess)


def fashion_mnist(
    dir: str | os.PathLike[str] | None = None, *, download: bool = True, preprocess: Preprocess = "standardize"
) -> Dataset:
    """Read Fashion-MNIST, and download it first if it is missing.

    As `mnist`, but the subfolders are fashion-mnist and FashionMNIST/raw, and the download has 31 MB. The files have
    the names of MNIST's, so that the folder of NERVA_DATA must hold them in a subfolder.

    H. Xiao, K. Rasul and R. Vollgraf, Fashion-MNIST: a novel image dataset for benchmarking machine learning
    algorithms, 2017.
    """
    return _load(_FASHION, dir, download, preprocess)


def _load(source: _Source, dir: str | os.PathLike[str] | None, download: bool, preprocess: Preprocess) -> Dataset:
    mean, std = statistics(preprocess, (source.mean,), (source.std,))
    root = data_home(dir, source.title)
    if root.is_file():
        raise ValueError(f"dir is {root}, a file; it must be a folder that holds the files of {source.title}")
    folders = [root / folder for folder in source.folders] + ([root] if dir is not None else [])
    folder = next((folder for folder in folders if any(_file(folder, name) for name in FILES)), folders[0])
    paths = [_file(folder, name) for name in FILES]
    for i, name in enumerate(FILES):
        if paths[i] is None:
            if not download or folder != folders[0]:
                raise FileNotFoundError(f"no {name} of {source.title} in {folder}; it is at {source.url}{name}.gz")
            paths[i] = fetch(f"{source.url}{name}.gz", f"md5:{source.md5[name]}", folder, source.title)
    train_X, train_y, test_X, test_y = (path for path in paths if path is not None)
    first, second = (
        _split(images, labels, mean[0], std[0]) for images, labels in ((train_X, train_y), (test_X, test_y))
    )
    return Dataset(source.name, first, second, source.classes, IMAGE_SHAPE)


def _file(folder: Path, name: str) -> Path | None:
    """Return the file of this name, plain or compressed, or spelt as in "train-images.idx3-ubyte"; None if missing."""
    names = (name, name.replace("-idx", ".idx"))
    candidates = (folder / (spelt + end) for spelt in names for end in ("", ".gz"))
    return next((path for path in candidates if path.is_file()), None)


def _split(images: Path, labels: Path, mean: float, std: float) -> Split:
    pixels, y = read_idx(images), read_idx(labels)
    if pixels.dtype != np.uint8 or pixels.shape[1:] != IMAGE_SHAPE[1:] or len(pixels) == 0:
        raise ValueError(f"{images}: expected bytes of shape (images, 28, 28), found {pixels.dtype} of {pixels.shape}")
    if y.dtype != np.uint8 or y.shape != (len(pixels),):
        raise ValueError(f"{labels}: expected bytes of shape ({len(pixels)},), found {y.dtype} of {y.shape}")
    if y.max() > 9:
        raise ValueError(f"{labels}: expected labels from 0 to 9, found {y.max()} in record {y.argmax()}")
    return Split(Standardized(pixels.reshape(len(pixels), -1), mean, std), y.astype(np.int64))
