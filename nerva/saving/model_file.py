"""Models in files of the safetensors layout: `save` and `load`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nerva.layers import BACKENDS, Layer
from nerva.models.sequential import Sequential
from nerva.models.state import check_finite, model_arrays
from nerva.saving.header import model_header, read_model
from nerva.saving.weights import check_model
from nerva.system.nested import put_together, take_apart
from nerva.system.tensors import read_tensors, write_tensors

FORMAT = "nerva.model"
# What a header that is not one of `save` can lead to.
BROKEN = (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError, RecursionError)


def save(model: Sequential, path: str | os.PathLike[str]) -> None:
    """Write a model to a file, whole or not at all, from which `load` makes one that goes on as this would.

    Parameters
    ----------
    model : of nerva's own layers
    path : the file; nothing is appended to its name, and a file that exists is replaced

    The file has the safetensors layout: "i.indptr", "i.indices" and "i.values" of sparse layer i, "i.weight" of a dense
    one, "i.bias" and so on; settings, loss, names of classes, running statistics, masks and the generator go along,
    with a hash of each array. The state of optimizers is that of a run: see `fit(checkpoint=...)` and
    `optimizer.state_dict`.

    Raises TypeError, ValueError or OSError, which name what is wrong.

    >>> nerva.save(nerva.MLP([20, 10, 2], density=0.5, distribution="uniform"), "model.safetensors")
    >>> nerva.load("model.safetensors")
    Sequential([
        SparseLinear(20, 10, density=0.5, activation='relu', dtype='float32'),
        SparseLinear(10, 2, density=0.5, activation='identity', dtype='float32'),
    ])
    """
    check_model(model)
    check_finite(model, "nothing is saved")
    header, arrays = model_header(model), model_arrays(model)
    rest = {"rng": model.rng.bit_generator.state, "layers": [_rest(layer) for layer in model.layers]}
    plain, more = take_apart({"rest": rest})
    write_tensors(path, {**arrays, **more}, {"format": FORMAT, "model": header, **plain})


def load(path: str | os.PathLike[str]) -> Sequential:
    """Return the model in a file of `save`.

    Raises FileNotFoundError if there is no such file, ValueError, which names it and what is wrong, where it is cut
    short, changed or of another kind. No more memory is taken than the file is long.
    """
    arrays, about = read_tensors(path)
    try:
        if not isinstance(about, dict) or about.get("format") != FORMAT:
            raise ValueError("no model of nerva.save")
        own = {name: array for name, array in arrays.items() if not name.startswith("rest.")}
        model = read_model(about.get("model"), own, own)
        unknown = own.keys() - model_arrays(model).keys()
        if unknown:
            raise ValueError(f"it has arrays that no layer has: {', '.join(sorted(unknown))[:80]}")
    except BROKEN as error:
        raise ValueError(f"{Path(path)}: {error}") from error
    try:
        _set_rest(model, put_together(about.get("rest"), arrays))
    except BROKEN as error:
        raise ValueError(f"{Path(path)}: its generator or its layers' settings are broken ({error})") from error
    return model


def _rest(layer: Layer) -> dict[str, Any]:
    """Return what a layer does by that is in no config: the backend, and where its random masks are."""
    keys = getattr(layer, "_keys", None)
    masks = None if keys is None else [keys.seed, keys.count]
    return {"backend": getattr(layer, "backend", None), "masks": masks}


def _set_rest(model: Sequential, rest: Mapping[str, Any]) -> None:
    """Set generator, backends and masks to those of a file; raise an error where they are none."""
    kind = getattr(np.random, str(rest["rng"]["bit_generator"]), None)
    if not isinstance(kind, type) or not issubclass(kind, np.random.BitGenerator):
        raise ValueError("its random generator is unknown")
    generator = kind()
    generator.state = rest["rng"]
    model.rng = np.random.Generator(generator)
    for layer, saved in zip(model.layers, rest["layers"], strict=True):
        if hasattr(layer, "backend"):
            if saved["backend"] not in BACKENDS:
                raise ValueError(f"a backend is {saved['backend']!r:.40}")
            layer.backend = saved["backend"]
        keys = getattr(layer, "_keys", None)
        if keys is not None:
            seed, count = saved["masks"]
            if type(seed) is not int or type(count) is not int or not (0 <= seed < 2**64 and 0 <= count < 2**64):
                raise ValueError("the masks of a layer are broken")
            keys.seed, keys.count = seed, count
