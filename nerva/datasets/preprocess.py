"""What is done to the pixels of images: one scale and one shift for each channel, applied when they are read."""

from __future__ import annotations

from collections.abc import Sequence

# With t the value of a pixel, 0 to 255. The original Nerva's two tools do not see the same features: "original" is what
# the C++ one does, "original-python" the Python one.
PREPROCESS = {
    "standardize": "(t / 255 - mean) / std, by the channel's statistics of the training set",
    "original": "2 (t / 255 - 1/2)",
    "original-python": "(t / 255 - mean) / std, mean (0.4914, 0.4822, 0.4465), std (0.2023, 0.1994, 0.2010)",
    "unit": "t / 255",
    "none": "t",
}
ORIGINAL_MEAN, ORIGINAL_STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)


def statistics(preprocess: str, mean: Sequence[float], std: Sequence[float]) -> tuple[Sequence[float], Sequence[float]]:
    """Return what `Standardized` is to subtract and to divide by, in each channel, for a variant of PREPROCESS.

    `mean` and `std` are those of the channels of the data set. Raises ValueError for another name, and for
    "original-python" where there are not three channels.
    """
    channels = len(mean)
    if not isinstance(preprocess, str) or preprocess not in PREPROCESS:
        raise ValueError(f"preprocess is {preprocess!r}; it must be one of {', '.join(PREPROCESS)}")
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
