"""Preprocessing of images: a scale and a shift for each channel, applied when the pixels are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from nerva.validation import check_choice

Preprocess = Literal["standardize", "original", "original-python", "unit", "none"]

# The formulas for the value t of a pixel, 0 to 255. The original Nerva's two tools compute different features:
# "original" is its C++ tool's, "original-python" its Python tool's.
PREPROCESS: dict[Preprocess, str] = {
    "standardize": "(t / 255 - mean) / std, by the channel's statistics of the training set",
    "original": "2 (t / 255 - 1/2)",
    "original-python": "(t / 255 - mean) / std, mean (0.4914, 0.4822, 0.4465), std (0.2023, 0.1994, 0.2010)",
    "unit": "t / 255",
    "none": "t",
}
ORIGINAL_MEAN, ORIGINAL_STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)


def statistics(
    preprocess: Preprocess, mean: Sequence[float], std: Sequence[float]
) -> tuple[Sequence[float], Sequence[float]]:
    """Return the mean and the standard deviation by which `Standardized` has to transform each channel.

    Parameters
    ----------
    preprocess : a name in PREPROCESS
    mean, std : of each channel of the training set, in units of t / 255

    Raises ValueError for another name, and for "original-python" unless there are three channels.

    >>> statistics("original", (0.1,), (0.3,))
    ((0.5,), (0.5,))
    """
    channels = len(mean)
    check_choice(preprocess, "preprocess", PREPROCESS)
    if preprocess == "standardize":
        return mean, std
    if preprocess == "original-python":
        if channels != 3:
            raise ValueError(
                f"preprocess is 'original-python', which is for three channels; these images have {channels}"
            )
        return ORIGINAL_MEAN, ORIGINAL_STD
    center, spread = {"original": (0.5, 0.5), "unit": (0.0, 1.0), "none": (0.0, 1 / 255)}[preprocess]
    return (center,) * channels, (spread,) * channels
