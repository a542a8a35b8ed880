"""The numbers of a network by PyTorch's names, for other libraries: to SciPy, and to plain safetensors files."""

from __future__ import annotations

import json
import os
from typing import Any, Literal, get_args

from nerva._kernels.csr import CSR
from nerva._kernels.memory import Array
from nerva.interop.inference import check_exported, srelu_numbers
from nerva.layers import Affine, BatchNorm, Layer
from nerva.models.sequential import Sequential
from nerva.system.tensors import write_plain_tensors
from nerva.validation import check_choice

Layout = Literal["csr", "dense"]
LAYOUTS: tuple[str, ...] = get_args(Layout)
SRELU = ("t_l", "a_l", "t_r", "a_r")


def to_scipy(model: Sequential) -> dict[str, Any]:
    """Return copies of the numbers of a network by name, sparse weights as scipy.sparse.csr_array.

    "i.weight" (K, D) and "i.bias" (K,) are those of linear layer i; a batch normalization has "i.weight", "i.bias",
    "i.running_mean" and "i.running_var", an SReLU "i.t_l", "i.a_l", "i.t_r" and "i.a_r". `csr_array @ x` costs what its
    non-zeros cost.

    Raises TypeError or ValueError, which names the layer that is not nerva's own or holds NaN; ImportError without
    SciPy (extra 'scipy').

    >>> arrays = nerva.to_scipy(nerva.MLP([20, 10, 2], density=[0.1, 1.0]))
    >>> {name: (type(array).__name__, array.shape) for name, array in arrays.items()}
    {'0.weight': ('csr_array', (10, 20)), '0.bias': ('ndarray', (10,)),
     '1.weight': ('ndarray', (2, 10)), '1.bias': ('ndarray', (2,))}
    """
    check_exported(model)
    found = {}
    for name, array in _named(model).items():
        found[name] = array.to_scipy() if isinstance(array, CSR) else array.copy()
    return found


def export_safetensors(model: Sequential, path: str | os.PathLike[str], *, layout: Layout = "csr") -> None:
    """Write the weights alone of a network to a safetensors file for other libraries, whole or not at all.

    Names are those of `to_scipy`, PyTorch's. The metadata has "format", "pt", and "layers", the settings as JSON.
    `nerva.save` writes the same layout, with all else that `nerva.load` needs.

    Parameters
    ----------
    model : of nerva's own layers
    path : the file; nothing is appended to its name, and a file that exists is replaced
    layout : "csr" for "i.indptr", "i.indices" and "i.values" in place of the "i.weight" of a sparse layer, "dense" for
        zeros where there is no weight

    Raises TypeError or ValueError, which names the argument or the layer, and OSError where the file cannot be written.
    """
    check_choice(layout, "layout", LAYOUTS)
    check_exported(model)
    arrays: dict[str, Array] = {}
    for name, array in _named(model).items():
        if not isinstance(array, CSR):
            arrays[name] = array
        elif layout == "dense":
            arrays[name] = array.to_dense()
        else:
            prefix = name.removesuffix("weight")
            arrays |= {f"{prefix}{part}": getattr(array, part) for part in ("indptr", "indices", "values")}
    layers = [{"kind": type(layer).__name__, **layer.config()} for layer in model.layers]
    write_plain_tensors(path, arrays, {"format": "pt", "layers": json.dumps(layers)})


def _named(model: Sequential) -> dict[str, Any]:
    """Return the CSR matrices and arrays of a network by name: the memory in use."""
    return {f"{i}.{name}": array for i, layer in enumerate(model.layers) for name, array in _of_layer(layer).items()}


def _of_layer(layer: Layer) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if isinstance(layer, Affine):
        found["weight"] = layer.weight
        if layer.bias is not None:
            found["bias"] = layer.bias
    elif isinstance(layer, BatchNorm):
        found |= {"weight": layer.gamma, "bias": layer.beta}
        found |= {"running_mean": layer.running_mean, "running_var": layer.running_variance}
    numbers = srelu_numbers(layer)
    return found if numbers is None else found | dict(zip(SRELU, numbers, strict=True))
