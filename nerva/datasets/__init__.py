"""Data sets, ready for training.

* `shapes` generates images of ten shapes, in under a second and without any file.
* `checkerboard` and `mini` generate small data sets by a formula.
* `cifar10`, `cifar100`, `mnist` and `fashion_mnist` read theirs from a folder or an archive, and download it if it is
  missing.
* `Chunked` are samples that are more than fit in memory, in files that are read while a network trains.
* `npz` reads the arrays Xtrain, Ttrain, Xtest and Ttest of an .npz file, `save_npz` writes them; `read_idx` reads one
  array in MNIST's format.
* `svmlight` reads sparse samples and labels of a text file; `read_extreme` those of extreme classification, which
  `write_extreme` writes, and `generated_extreme` generates.

Each returns a `Dataset`: a training and a test `Split` of samples and labels, and the names of the classes. Images stay
bytes in memory, as `Standardized` samples. `Augment` shifts and flips them at random during training.
"""

from nerva.datasets.augment import Augment
from nerva.datasets.chunked import Chunked
from nerva.datasets.cifar10 import cifar10
from nerva.datasets.cifar100 import cifar100
from nerva.datasets.dataset import Dataset, Split, Standardized
from nerva.datasets.extreme import generated_extreme, read_extreme, write_extreme
from nerva.datasets.generated import checkerboard, mini
from nerva.datasets.idx import read_idx
from nerva.datasets.mnist import fashion_mnist, mnist
from nerva.datasets.npz import npz, save_npz
from nerva.datasets.shapes import shapes
from nerva.datasets.svmlight import svmlight

__all__ = [
    "Augment",
    "Chunked",
    "Dataset",
    "Split",
    "Standardized",
    "checkerboard",
    "cifar10",
    "cifar100",
    "fashion_mnist",
    "generated_extreme",
    "mini",
    "mnist",
    "npz",
    "read_extreme",
    "read_idx",
    "save_npz",
    "shapes",
    "svmlight",
    "write_extreme",
]
