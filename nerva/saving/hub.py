"""Models in folders as the Hugging Face Hub has them: model.safetensors, config.json and a model card."""

from __future__ import annotations

import json
import os
import re
import warnings
from pathlib import Path
from typing import Any

from nerva.backends.config import package_version
from nerva.models.sequential import Sequential
from nerva.models.state import check_finite
from nerva.saving.header import model_header
from nerva.saving.model_file import load, save
from nerva.saving.weights import check_model
from nerva.system.files import as_path, replacing

MODEL, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
CARD_TEXT = """---
library_name: nerva
tags:
- nerva
- sparse
- sparse-neural-network
---

# {name}

A truly sparse neural network: {nnz:,} of {dense:,} weights exist, a density of {density:.3g}.
It takes {inputs:,} numbers a sample, and gives {outputs:,}{classes}.

```python
import nerva

model = nerva.from_pretrained("{name}")  # a folder, or USER/NAME on the Hub
model.predict(X)  # samples as rows
```

`config.json` has the layers and their settings, `model.safetensors` the arrays by layer: CSR of sparse ones.

```
{summary}
```

Written by nerva {version}.
"""


def save_pretrained(model: Sequential, folder: str | os.PathLike[str]) -> None:
    """Write a model to a folder as the Hugging Face Hub has them, from which `from_pretrained` loads it.

    Parameters
    ----------
    model : of nerva's own layers
    folder : made if it does not exist, in a folder that does. Its model.safetensors, a file of `nerva.save`, and
        config.json, the layers and their settings, are replaced; a model card README.md that it has stays, since people
        write in it

    Raises TypeError, ValueError or OSError, which name what is wrong.

    >>> nerva.save_pretrained(nerva.MLP([20, 10, 2], density=0.5, distribution="uniform"), "digits")
    >>> nerva.from_pretrained("digits").nnz
    110
    """
    folder = as_path(folder)
    check_model(model)
    check_finite(model, "nothing is saved")
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder}: a file, not a folder")
    if not folder.exists():
        try:
            folder.mkdir()
        except OSError as error:
            raise type(error)(f"{folder}: cannot be made ({error.strerror})") from None
    save(model, folder / MODEL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of a loss that is not kept, as `save` has said
        config = _config(model)
    _write(folder / CONFIG, json.dumps(config, indent=2) + "\n")
    if not (folder / CARD).exists():
        _write(folder / CARD, _card(model, folder))


def from_pretrained(name: str | os.PathLike[str], *, revision: str | None = None) -> Sequential:
    """Return the model in a folder of `save_pretrained`, or in a repository of the Hugging Face Hub.

    Parameters
    ----------
    name : of a folder, or else USER/NAME on the Hub, which is downloaded into huggingface_hub's cache (extra 'hub')
    revision : on the Hub, a branch, tag or commit; None is the main branch

    Raises FileNotFoundError where there is neither, ValueError for a broken file or a revision of a folder, ImportError
    without huggingface_hub, and what that raises.
    """
    folder = as_path(name)
    if folder.is_dir():
        if revision is not None:
            raise ValueError(f"revision is {revision!r}; {folder} is a folder, which has none")
        return load(folder / MODEL)
    repository = os.fspath(name)
    if folder.exists() or not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", repository):
        raise FileNotFoundError(f"{repository}: neither a folder, nor USER/NAME on the Hugging Face Hub")
    try:
        import huggingface_hub
    except ImportError:
        raise ImportError("from_pretrained needs huggingface_hub: pip install 'nerva-sparse[hub]'") from None
    return load(huggingface_hub.hf_hub_download(repository, MODEL, revision=revision))


def _config(model: Sequential) -> dict[str, Any]:
    """Return what config.json tells: what the model is, and the header of its file."""
    return {
        "library_name": "nerva",
        "nerva_version": package_version(),
        "in_features": model.in_features,
        "out_features": model.out_features,
        "dtype": model.dtype.name,
        "nnz": model.nnz,
        "density": model.density,
        **model_header(model),
    }


def _card(model: Sequential, folder: Path) -> str:
    """Return a model card."""
    classes = "" if model.classes is None else f", for the classes {', '.join(model.classes)}"
    return CARD_TEXT.format(
        name=folder.resolve().name,
        nnz=model.nnz,
        dense=model.dense_size,
        density=model.density,
        inputs=model.in_features,
        outputs=model.out_features,
        classes=classes,
        summary=model.summary(),
        version=package_version(),
    )


def _write(path: Path, text: str) -> None:
    with replacing(path) as stream:
        stream.write(text.encode())
