"""Networks as one file of C99, weights included, that needs no library but libm."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nerva._kernels.csr import CSR
from nerva._kernels.memory import Array
from nerva.backends.config import package_version
from nerva.interop.c_functions import DECLARATIONS, MAIN, STORAGE, WITH_PARAMETER, function_of, in_c
from nerva.interop.inference import Function, Product, Scale, Step, inference_steps
from nerva.layers import Affine
from nerva.models.sequential import Sequential
from nerva.system.files import as_path, replacing
from nerva.validation import check_flag

NUMBERS_A_LINE = 12
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def export_c(model: Sequential, path: str | os.PathLike[str], *, name: str | None = None, proba: bool = False) -> None:
    """Write a network as one file of C99 that computes its outputs for a sample, whole or not at all.

    The file has the weights as constants, sparse ones as CSR, a function NAME_forward(x, y), and the macros NAME_INPUTS
    and NAME_OUTPUTS; its first lines say how it is compiled and called. It needs libm at most, and allocates nothing.

    Parameters
    ----------
    model : of nerva's own layers, float32 (float in C) or float64 (double); a bfloat16 precision is not kept
    path : the file; nothing is appended to its name, and a file that exists is replaced
    name : what names in the file start with, a letter and then letters, digits and underscores; None is that of the
        file without its ending
    proba : whether the outputs are those of `predict_proba`, instead of what the last layer gives

    Dropout is left out, and a batch normalization behind a linear layer is folded into its weights. Names of classes
    go along. Sums are taken in another order than in `predict`, so that outputs differ within rounding.

    Raises TypeError or ValueError, which names the argument or the layer, and OSError where the file cannot be written.

    >>> nerva.export_c(nerva.MLP([20, 10, 2], density=0.5), "net.c")
    >>> with open("net.c") as file:
    ...     [line.strip() for line in file if line.startswith(("#define NET_IN", "#define NET_OUT"))]
    ['#define NET_INPUTS 20', '#define NET_OUTPUTS 2']
    """
    path = as_path(path)
    steps = inference_steps(model, proba=check_flag(proba, "proba"))
    program = _Program(model, steps, _checked_name(name, path.stem))
    with replacing(path) as stream:
        for text in program.text(path):
            stream.write(text.encode(errors="replace"))


def _checked_name(name: Any, stem: str) -> str:
    """Return the name, by default that of the file; raise TypeError or ValueError where it is none of C."""
    if name is not None and not isinstance(name, str):
        raise TypeError(f"name is {name!r}; it must be a string")
    found = stem if name is None else name
    if not NAME.fullmatch(found):
        what = "name is" if name is not None else "name is None, and that of the file is"
        raise ValueError(f"{what} {found!r}; it must be a letter, and then letters, digits and underscores")
    return found


class _Program:
    """The C code of a network: its declarations, functions, constants and calls, in pieces."""

    def __init__(self, model: Sequential, steps: Sequence[Step], name: str) -> None:
        self.model, self.steps, self.name = model, steps, name
        self.double = model.dtype == np.float64
        self.real = "double" if self.double else "float"
        sparse = [step.weight for step in steps if isinstance(step, Product) and isinstance(step.weight, CSR)]
        self.column = "uint16_t" if all(W.columns <= 1 << 16 for W in sparse) else "int32_t"
        self.widths = {"a": 0, "b": 0}  # of the two buffers
        self.calls = [*self._calls()]

    def text(self, path: Path) -> Iterator[str]:
        """Yield the text of the file, piece by piece."""
        yield self._declarations(path.name)
        called = {call.split("(")[0] for call in self.calls}
        if called & {"tanh", "sigmoid", "gelu", "gelu_tanh", "silu", "softmax", "log_softmax"}:
            yield "#include <math.h>\n\n"
        if "sparse" in called:
            yield self._code(f"typedef {self.column} @column;\n")
        yield from (self._code(function_of(one)) for one in sorted(called))
        yield from self._constants()
        yield self._code(STORAGE + "\nvoid @forward(const float *x, float *y)\n{\n")
        buffers = [f"{buffer}[{width}]" for buffer, width in self.widths.items() if width]
        if buffers:
            yield self._code(f"    @@_STORAGE float {', '.join(buffers)};\n")
        yield from (self._code(f"    @{call};\n") for call in self.calls)
        yield self._code("}\n" + MAIN + "\n#endif\n")

    def _code(self, text: str) -> str:
        return in_c(text, self.name, double=self.double)

    def _declarations(self, file: str) -> str:
        model, classes = self.model, self.model.classes
        outputs = [layer.out_features for layer in model.layers if isinstance(layer, Affine)]
        known = {
            "layers": "-".join(map(str, [model.in_features, *outputs])),
            "weights": f"{model.nnz:,} of {model.dense_size:,} weights",
            "version": package_version(),
            "file": file,
            "bytes": f"{sum(self.widths.values()) * model.dtype.itemsize:,}",
            "inputs": model.in_features,
            "outputs": model.out_features,
        }
        names = "" if classes is None else f"#define @@_CLASSES {len(classes)}\n"
        table = "" if classes is None else f"extern const char *const @classes[{len(classes)}];\n"
        # The name of the file as it is: it may hold an @.
        return self._code(DECLARATIONS).format(**known, names=self._code(names), table=self._code(table))

    # ---- what forward does

    def _calls(self) -> Iterator[str]:
        """Yield a call for each step, by the function's name without prefix, and set the widths of the buffers."""
        source, width = "x", self.model.in_features
        for i, step in enumerate(self.steps):
            product = isinstance(step, Product)
            width = step.weight.shape[0] if isinstance(step, Product) else width
            if not any(isinstance(later, Product) for later in self.steps[i + 1 :]):
                target = "y"
            elif source in self.widths and not product:
                target = source
            else:
                target = "b" if source == "a" else "a"
            if target in self.widths:
                self.widths[target] = max(self.widths[target], width)
            yield self._call(step, width, source, target)
            source = target

    def _call(self, step: Step, width: int, source: str, target: str) -> str:
        match step:
            case Product(i, CSR(), bias):
                parts = [f"{self.name}_{kind}_{i}" for kind in ("first", "columns", "values")]
                return f"sparse({width}, {', '.join(parts)}, {self._bias(i, bias)}, {source}, {target})"
            case Product(i, W, bias):
                matrix = f"{self.name}_weights_{i}"
                return f"dense({width}, {W.shape[1]}, {matrix}, {self._bias(i, bias)}, {source}, {target})"
            case Scale(i):
                return f"scale({width}, {self.name}_scale_{i}, {self.name}_shift_{i}, {source}, {target})"
            case Function(i, "srelu", _, numbers):
                assert numbers is not None
                return f"srelu({width}, {numbers.shape[1]}, {self.name}_srelu_{i}, {source}, {target})"
            case Function(_, name, parameter):
                given = f"{self._literals(np.array([parameter]))[0]}, " if name in WITH_PARAMETER else ""
                return f"{name}({width}, {given}{source}, {target})"

    def _bias(self, i: int, bias: Array | None) -> str:
        return "0" if bias is None else f"{self.name}_bias_{i}"

    # ---- constants

    def _constants(self) -> Iterator[str]:
        """Yield the weights and all other numbers."""
        for step in self.steps:
            match step:
                case Product(i, W, bias):
                    if isinstance(W, CSR):
                        yield from self._array("int32_t", f"first_{i}", W.indptr)
                        yield from self._array(f"{self.name}_column", f"columns_{i}", W.indices)
                        yield from self._array(self.real, f"values_{i}", W.values)
                    else:
                        yield from self._array(self.real, f"weights_{i}", W)
                    if bias is not None:
                        yield from self._array(self.real, f"bias_{i}", bias)
                case Scale(i, scale, shift):
                    yield from self._array(self.real, f"scale_{i}", scale)
                    yield from self._array(self.real, f"shift_{i}", shift)
                case Function(i, "srelu", _, numbers) if numbers is not None:
                    yield from self._array(self.real, f"srelu_{i}", numbers)
        if self.model.classes is not None:
            rows = ",\n    ".join(map(_string, self.model.classes))
            yield f"\nconst char *const {self.name}_classes[{len(self.model.classes)}] = {{\n    {rows}}};\n"

    def _array(self, kind: str, name: str, array: Array) -> Iterator[str]:
        """Yield a constant; an empty array, which C has not, becomes one of a zero."""
        numbers = array.reshape(-1) if array.size else np.zeros(1, array.dtype)
        yield f"\nstatic const {kind} {self.name}_{name}[{numbers.size}] = {{\n"
        for start in range(0, numbers.size, NUMBERS_A_LINE):
            yield f"    {', '.join(self._literals(numbers[start : start + NUMBERS_A_LINE]))},\n"
        yield "};\n"

    def _literals(self, numbers: Array) -> list[str]:
        """Return numbers as C has them: the shortest digits that tell floats apart."""
        if numbers.dtype.kind != "f":
            return [*map(str, numbers.tolist())]
        suffix = "" if self.double else "f"
        return [f"{digits}{suffix}" for digits in numbers.astype(self.model.dtype).astype(str)]


def _string(text: str) -> str:
    """Return a string literal of the bytes of a text: those that are not plain as octal numbers."""
    plain = {ord(c) for c in map(chr, range(32, 127))} - {ord(c) for c in '"\\?'}
    return '"' + "".join(chr(byte) if byte in plain else f"\\{byte:03o}" for byte in text.encode()) + '"'
