"""Data sets, ready for training.

* ``shapes`` draws the embedded one: images of ten shapes, in under a second and without any file.
* ``checkerboard`` and ``mini`` draw small ones by formula.
* ``cifar10``, ``cifar100``, ``mnist`` and ``fashion_mnist`` read theirs from a folder or an archive, and download them
  where there are none.
* ``npz`` reads the arrays Xtrain, Ttrain, Xtest and Ttest of an .npz file, ``save_npz`` writes them; ``read_idx`` reads
  one array in MNIST's format.

Each gives a ``Dataset``: a training and a test ``Split`` of samples and labels, and the names of the classes. Images
stay bytes in memory, as ``Standardized`` samples. ``Augment`` moves them at random in training.
"""

from .augment import Augment
from .cifar10 import cifar10
from .cifar100 import cifar100
from .dataset import Dataset, Split, Standardized
from .generated import checkerboard, mini
from .idx import read_idx
from .mnist import fashion_mnist, mnist
from .npz import npz, save_npz
from .shapes import shapes

__all__ = [
    "Augment",
    "Dataset",
    "Split",
    "Standardized",
    "checkerboard",
    "cifar10",
    "cifar100",
    "fashion_mnist",
    "mini",
    "mnist",
    "npz",
    "read_idx",
    "save_npz",
    "shapes",
]
