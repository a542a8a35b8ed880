"""Labels as users have them: numbers, or the names of classes, which become numbers in a fixed order."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nerva._kernels.memory import Array

Classes = tuple[str, ...] | None
ANEW = "model.classes = None starts anew, with other labels"


def find_classes(y: npt.ArrayLike, outputs: int, known: Classes = None) -> Classes:
    """Return the classes that labels name: those already known, if all are, or else all names in y, sorted.

    Labels that are no names have None. A network has an output for each class, or one for both of two. Raises TypeError
    for names mixed with anything else, ValueError for another number of classes than there are outputs, and for a label
    that is none of the classes known: outputs that stand for something keep their meaning.

    >>> find_classes(["cat", "dog", "cat"], outputs=2)
    ('cat', 'dog')
    """
    names = _names(y, "y")
    if names is None:
        if known is not None:
            raise ValueError(f"y holds {_first(y)}, not the names that the network knows, {listed(known)}; {ANEW}")
        return None
    found = tuple(np.unique(names).tolist())
    if known is not None:
        if unknown := [name for name in found if name not in known]:
            raise ValueError(f"y holds {unknown[0]!r}, which is none of model.classes, {listed(known)}; {ANEW}")
        return known
    if len(found) != outputs and (outputs, len(found)) != (1, 2):
        raise ValueError(f"y names {len(found)} classes, {listed(found)}; the network has {outputs} outputs")
    return found


def refuse_names(y: npt.ArrayLike, loss: str) -> None:
    """Raise TypeError where y holds names, which a loss of this name, one of numbers, cannot take."""
    names = _names(y, "y")
    if names is not None and len(names):
        raise TypeError(f"y holds names, such as {str(names[0])!r}; {loss} takes numbers")


def encode(y: npt.ArrayLike, classes: Classes, name: str = "y") -> Any:
    """Return labels that name classes as their numbers, int64 (n,), and any other targets as they are.

    Raises TypeError for a masked array, ValueError for a name that is no class.

    >>> encode(["dog", "cat"], ("cat", "dog"))
    array([1, 0])
    """
    names = _names(y, name)
    if names is None:
        return y
    if classes is None:
        raise TypeError(f"{name} holds names of classes, which the network does not know: fit it on such labels first")
    order = np.argsort(classes)
    ordered = np.asarray(classes)[order]
    at = np.searchsorted(ordered, names).clip(max=len(classes) - 1)
    if len(names) and not (right := ordered[at] == names).all():
        raise ValueError(f"{name} holds {str(names[right.argmin()])!r}, which is none of {listed(classes)}")
    return order[at]


def decode(predictions: Array, classes: Classes) -> Array:
    """Return predicted classes by their names, (n,), where they have some; other predictions as they are."""
    if classes is None or predictions.dtype.kind != "i":
        return predictions
    if predictions.ndim == 2:  # one output for two classes, or several labels, which have no names
        if (predictions.shape[1], len(classes)) != (1, 2):
            return predictions
        predictions = predictions[:, 0]
    named: Array = np.asarray(classes)[predictions]
    return named


def _names(y: npt.ArrayLike, name: str) -> Array | None:
    """Return labels (n,) of text; None where they are anything else."""
    if np.ma.isMaskedArray(y):
        raise TypeError(f"{name} is a masked array; leave out the samples without a target")
    array = np.asarray(y)
    if array.dtype.kind not in "OUT" or array.ndim == 0:
        return None
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise ValueError(f"{name} has shape {array.shape}; labels that are names have one for each sample")
    if array.dtype.kind == "O":
        strange = next((i for i, label in enumerate(array) if not isinstance(label, str)), None)
        if strange is not None:
            raise TypeError(f"{name}[{strange}] is {array[strange]!r}; labels must be numbers, or all of them names")
    return array.astype(np.str_)


def _first(y: npt.ArrayLike) -> str:
    """Return the first target for a message."""
    array = np.asarray(y)
    return f"the label {array.flat[0]}" if array.size and array.size == len(array) else "numbers"


def listed(classes: Sequence[str]) -> str:
    """Return the first ten names for a message."""
    return ", ".join(map(repr, classes[:10])) + (", ..." if len(classes) > 10 else "")
