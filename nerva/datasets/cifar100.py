"""CIFAR-100: 60,000 colour photographs in a hundred classes (https://www.cs.toronto.edu/~kriz/cifar.html)."""

from __future__ import annotations

import os
from pathlib import Path

from nerva.datasets.cifar import (
    IMAGE_SHAPE,
    URL,
    check_options,
    empty,
    read_archive,
    read_folder,
    record_reader,
    samples,
)
from nerva.datasets.dataset import Dataset, Split
from nerva.datasets.download import data_home
from nerva.datasets.download import download as fetch
from nerva.datasets.preprocess import Preprocess
from nerva.validation import check_flag

FOLDER, ARCHIVE = "cifar-100-binary", "cifar-100-binary.tar.gz"

# fmt: off
FINE = (
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle", "bowl", "boy",
    "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle", "chair", "chimpanzee", "clock",
    "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur", "dolphin", "elephant", "flatfish",
    "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard", "lamp", "lawn_mower", "leopard", "lion",
    "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain", "mouse", "mushroom", "oak_tree", "orange",
    "orchid", "otter", "palm_tree", "pear", "pickup_truck", "pine_tree", "plain", "plate", "poppy", "porcupine",
    "possum", "rabbit", "raccoon", "ray", "road", "rocket", "rose", "sea", "seal", "shark", "shrew", "skunk",
    "skyscraper", "snail", "snake", "spider", "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank",
    "telephone", "television", "tiger", "tractor", "train", "trout", "tulip", "turtle", "wardrobe", "whale",
    "willow_tree", "wolf", "woman", "worm",
)
COARSE = (
    "aquatic_mammals", "fish", "flowers", "food_containers", "fruit_and_vegetables", "household_electrical_devices",
    "household_furniture", "insects", "large_carnivores", "large_man-made_outdoor_things",
    "large_natural_outdoor_scenes", "large_omnivores_and_herbivores", "medium_mammals", "non-insect_invertebrates",
    "people", "reptiles", "small_mammals", "trees", "vehicles_1", "vehicles_2",
)
# fmt: on

# Mean and standard deviation of the training set's red, green and blue values / 255.
MEAN = (0.5071, 0.4865, 0.4409)
STD = (0.2673, 0.2564, 0.2762)

_URL = URL
_MD5 = "03b5dce01913d631647c71ecec9e9cb8"
_TRAIN, _TEST = 50_000, 10_000  # images


def cifar100(
    dir: str | os.PathLike[str] | None = None,
    *,
    download: bool = True,
    coarse: bool = False,
    preprocess: Preprocess = "standardize",
    interleaved: bool = False,
) -> Dataset:
    """Read CIFAR-100, and download it first if it is missing.

    Parameters
    ----------
    dir : a folder or an archive, as in `cifar10`. A folder may be, or hold, cifar-100-binary, or hold
        cifar-100-binary.tar.gz
    download, preprocess, interleaved : as in `cifar10`; the download has 169 MB
    coarse : whether the labels are the twenty superclasses instead of the hundred classes

    Returns a Dataset of 50,000 training and 10,000 test images, as `cifar10` does.

    Raises
    ------
    FileNotFoundError : the folder does not exist, lacks a file, or holds no CIFAR-100 and `download` is False
    TypeError, ValueError : an argument is wrong; a file is truncated, corrupt or of another format; the download has
        the wrong checksum
    ConnectionError : the download fails
    """
    check_options(preprocess, interleaved, MEAN, STD)
    coarse = check_flag(coarse, "coarse")
    found = data_home(dir, "CIFAR-100")
    source = _find(found)
    if source is None:
        if not download:
            raise FileNotFoundError(
                f"no CIFAR-100 in {found}: looked for {FOLDER}, {ARCHIVE}; it is at {_URL}{ARCHIVE}"
            )
        source = fetch(_URL + ARCHIVE, f"md5:{_MD5}", found, "CIFAR-100")
    classes = COARSE if coarse else FINE
    train, test = empty(_TRAIN), empty(_TEST)
    readers = {
        f"{name}.bin": record_reader(*slot, len(classes), column=0 if coarse else 1, columns=2)
        for name, slot in (("train", train), ("test", test))
    }
    if source.is_dir():
        read_folder(source, readers, "CIFAR-100")
    else:
        read_archive(source, {name: (name, read) for name, read in readers.items()}, "CIFAR-100")
    first, second = (
        Split(samples(pixels, preprocess, interleaved, MEAN, STD), labels) for pixels, labels in (train, test)
    )
    return Dataset("cifar100", first, second, classes, None if interleaved else IMAGE_SHAPE)


def _find(place: Path) -> Path | None:
    """Return the folder or the archive that is, or lies in, `place`; None if there is neither."""
    if place.is_file() or place.name == FOLDER or (place / "train.bin").exists():
        return place
    return next((place / name for name in (FOLDER, ARCHIVE) if (place / name).exists()), None)
