"""Data sets, ready for training.

* ``shapes`` draws the embedded one: images of ten shapes, in under a second and without any file.
* ``cifar10`` reads CIFAR-10 from a folder or an archive, and downloads it where there is none.
* ``npz`` reads the arrays Xtrain, Ttrain, Xtest and Ttest of an .npz file.

Each gives a ``Dataset``: a training and a test ``Split`` of samples and labels, and the names of the classes. Images
stay bytes in memory, as ``Standardized`` samples. ``Augment`` moves them at random in training.
"""

from .augment import Augment
from .cifar10 import cifar10
from .dataset import Dataset, Split, Standardized
from .npz import npz
from .shapes import shapes

__all__ = ["Augment", "Dataset", "Split", "Standardized", "cifar10", "npz", "shapes"]
