"""Networks as ONNX files. Needs the package onnx: the extra 'onnx'."""

from __future__ import annotations

import json
import os
from functools import cache
from math import erfc, exp, sqrt
from typing import Any

import numpy as np

from nerva._kernels.csr import CSR
from nerva._kernels.memory import Array
from nerva.backends.config import package_version
from nerva.interop.inference import Function, Product, Scale, Step, inference_steps
from nerva.models.sequential import Sequential
from nerva.system.files import as_path, replacing
from nerva.validation import check_flag

OPSET = 23
INPUT, OUTPUT = "input", "output"
LARGEST = 2**31 - 2**20  # bytes of weights in a file, which must be below 2 GiB as a whole
# Operators for what is one; others are put together below.
OPERATORS = {"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid", "softmax": "Softmax", "log_softmax": "LogSoftmax"}


def export_onnx(model: Sequential, path: str | os.PathLike[str], *, sparse: bool = True, proba: bool = False) -> None:
    """Write a network as an ONNX file, whole or not at all.

    It has one input, "input" (batch, in_features), and one output, "output" (batch, out_features), both of the model's
    dtype, for any batch.

    Parameters
    ----------
    model : of nerva's own layers, float32 or float64; a bfloat16 precision is not kept
    path : the file; nothing is appended to its name, and a file that exists is replaced
    sparse : whether the weights of sparse layers are sparse initializers, of linear indices and 8 bytes for each more
        than its value; otherwise all are dense. The file is smaller, not the computation faster: onnxruntime makes them
        dense when it reads them
    proba : whether the outputs are those of `predict_proba`, instead of what the last layer gives

    Dropout is left out, and a batch normalization behind a linear layer is folded into its weights. What ONNX has no
    operator for, such as SReLU, is put together from others. The names of classes are the metadata "classes", as JSON.

    Raises TypeError or ValueError, which names the argument or the layer, also for more than 2 GiB of weights; OSError
    where the file cannot be written; ImportError, which names the extra, without the package onnx.
    """
    onnx = require_onnx("export_onnx")
    path, sparse = as_path(path), check_flag(sparse, "sparse")
    steps = inference_steps(model, proba=check_flag(proba, "proba"))
    graph = _Graph(onnx, model.dtype, sparse)
    graph.check_size(steps)
    value = INPUT
    for step in steps:
        value = graph.add(step, value)
    graph.nodes[-1].output[0] = OUTPUT
    made = graph.model(model)
    with replacing(path) as stream:
        stream.write(made.SerializeToString(deterministic=True))


def require_onnx(who: str) -> Any:
    """Return the package onnx; raise ImportError, which names the extra, for the function that needs it."""
    try:
        import onnx.helper
        import onnx.numpy_helper
    except ImportError:
        raise ImportError(f"{who} needs onnx: pip install 'nerva-sparse[onnx]'") from None
    return onnx


class _Graph:
    """The nodes and initializers of a graph, of one dtype, as steps are added."""

    def __init__(self, onnx: Any, dtype: np.dtype[Any], sparse: bool) -> None:
        self.onnx, self.dtype, self.sparse = onnx, dtype, sparse
        self.nodes: list[Any] = []
        self.tensors: dict[str, Any] = {}
        self.sparse_tensors: list[Any] = []

    def check_size(self, steps: list[Step]) -> None:
        """Raise ValueError where the weights are more than a file holds."""
        size = sum(self._size(step.weight) for step in steps if isinstance(step, Product))
        if size > LARGEST:
            other = "" if self.sparse else "; sparse=True takes less"
            raise ValueError(f"the weights would take {size:,} bytes; an ONNX file holds less than 2 GiB{other}")

    def _size(self, W: CSR | Array) -> int:
        if isinstance(W, CSR) and self.sparse:
            return int(W.nnz * (W.dtype.itemsize + 8))
        return int(W.shape[0] * W.shape[1] * W.dtype.itemsize)

    def model(self, network: Sequential) -> Any:
        """Return the model of what has been added."""
        helper, kind = self.onnx.helper, self.onnx.helper.np_dtype_to_tensor_dtype(self.dtype)
        ends = ((INPUT, network.in_features), (OUTPUT, network.out_features))
        inputs, outputs = (helper.make_tensor_value_info(name, kind, ["batch", size]) for name, size in ends)
        tensors = {"initializer": [*self.tensors.values()], "sparse_initializer": self.sparse_tensors}
        graph = helper.make_graph(self.nodes, "nerva", [inputs], [outputs], **tensors)
        opset = helper.make_opsetid("", OPSET)
        known = {"producer_name": "nerva", "producer_version": package_version(), "opset_imports": [opset]}
        made = helper.make_model(graph, ir_version=helper.find_min_ir_version_for([opset]), **known)
        if network.classes is not None:
            helper.set_model_props(made, {"classes": json.dumps(network.classes)})
        return made

    # ---- pieces

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node, and return the name of its output."""
        output = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def tensor(self, name: str, array: Any) -> str:
        """Add an array as an initializer, and return its name."""
        self.tensors[name] = self.onnx.numpy_helper.from_array(np.array(array, self.dtype), name)
        return name

    def number(self, value: float) -> str:
        """Add a number, once however often it is asked for, and return its name."""
        return self.tensor(f"number_{self.dtype.type(value)!s}", value)

    def matrix(self, name: str, W: CSR | Array) -> str:
        """Add weights (K, D), and return their name."""
        if not isinstance(W, CSR) or not self.sparse:
            return self.tensor(name, W.to_dense() if isinstance(W, CSR) else W)
        rows = np.repeat(np.arange(W.rows, dtype=np.int64), np.diff(W.indptr))
        values = self.onnx.numpy_helper.from_array(W.values, name)
        indices = self.onnx.numpy_helper.from_array(rows * W.columns + W.indices, f"{name}_indices")
        self.sparse_tensors.append(self.onnx.helper.make_sparse_tensor(values, indices, W.shape))
        return name

    # ---- steps

    def add(self, step: Step, z: str) -> str:
        """Add a step on a value, and return the name of its result."""
        match step:
            case Product(i, W, bias):
                inputs = [z, self.matrix(f"{i}.weight", W)]
                if bias is not None:
                    inputs.append(self.tensor(f"{i}.bias", bias))
                return self.node("Gemm", *inputs, transB=1)
            case Scale(i, scale, shift):
                scaled = self.node("Mul", z, self.tensor(f"{i}.scale", scale))
                return self.node("Add", scaled, self.tensor(f"{i}.shift", shift))
            case Function(i, "srelu", _, numbers):
                return self._srelu(i, numbers, z)
            case Function(_, name, parameter):
                return self._function(name, parameter, z)

    def _function(self, name: str, parameter: float, z: str) -> str:
        # onnxruntime has no LeakyRelu, Erf and Gelu of doubles.
        single = self.dtype == np.float32
        match name:
            case "leaky_relu" if single:
                return self.node("LeakyRelu", z, alpha=parameter)
            case "leaky_relu":
                below = self.node("Mul", z, self.number(parameter))
                return self.node("Where", self.node("Greater", z, self.number(0.0)), z, below)
            case "trelu":
                small = self.node("Less", z, self.number(parameter))
                return self.node("Where", small, self.number(0.0), z)
            case "silu":
                return self.node("Mul", z, self.node("Sigmoid", z))
            case "gelu" | "gelu_tanh" if single:
                return self.node("Gelu", z, approximate="tanh" if name == "gelu_tanh" else "none")
            case "gelu":
                return self.node("Mul", z, self._normal(z))
            case "gelu_tanh":
                cubic = self.node("Mul", self.node("Mul", z, z), self.number(0.044715))
                factor = self.node("Mul", self.node("Add", cubic, self.number(1.0)), self.number(sqrt(8 / np.pi)))
                return self.node("Mul", z, self.node("Sigmoid", self.node("Mul", z, factor)))
        return self.node(OPERATORS[name], z)

    def _srelu(self, i: int, numbers: Any, z: str) -> str:
        t_l, a_l, t_r, a_r = (
            self.tensor(f"{i}.{name}", row) for name, row in zip(("t_l", "a_l", "t_r", "a_r"), numbers, strict=True)
        )
        below, beyond = (
            self.node("Add", self.node("Mul", self.node("Sub", z, t), a), t) for t, a in ((t_l, a_l), (t_r, a_r))
        )
        right = self.node("Where", self.node("Less", z, t_r), z, beyond)
        return self.node("Where", self.node("Greater", z, t_l), right, below)

    def _normal(self, z: str) -> str:
        """Add the distribution function of the standard normal; see `normal_polynomial`."""
        low, coefficients = normal_polynomial()
        x = self.node("Mul", self.node("Min", self.node("Abs", z), self.number(LAST)), self.number(sqrt(0.5)))
        t = self.node("Div", self.number(2.0), self.node("Add", x, self.number(2.0)))
        s = self.node("Sub", self.node("Mul", t, self.number(2 / (1 - low))), self.number((1 + low) / (1 - low)))
        total = self.number(coefficients[-1])
        for coefficient in reversed(coefficients[:-1]):
            total = self.node("Add", self.node("Mul", total, s), self.number(coefficient))
        bell = self.node("Exp", self.node("Neg", self.node("Mul", x, x)))
        tail = self.node("Mul", self.node("Mul", bell, t), self.node("Mul", total, self.number(0.5)))
        above = self.node("Sub", self.number(1.0), tail)
        return self.node("Where", self.node("Greater", z, self.number(0.0)), above, tail)


LAST = 37.5  # beyond it, the distribution function of the standard normal is 0 or 1 in float64


@cache
def normal_polynomial() -> tuple[float, list[float]]:
    """Return low and the coefficients of p, the lowest first, for the distribution function Phi in float64.

    With x = |z| / sqrt 2 up to LAST / sqrt 2 and t = 2 / (2 + x), Phi(-|z|) = e^(-x^2) t p(s) / 2, where s is t mapped
    from low to 1 to -1 to 1: p is smooth, and interpolated at Chebyshev nodes.

    >>> low, p = normal_polynomial()
    >>> x, t = sqrt(0.5), 2 / (2 + sqrt(0.5))
    >>> bool(abs(exp(-0.5) * t * np.polyval(p[::-1], (2 * t - 1 - low) / (1 - low)) - erfc(x)) < 1e-14)
    True
    """
    low = 2 / (2 + LAST * sqrt(0.5))

    s = np.cos(np.pi * (np.arange(25) + 0.5) / 25)
    t = ((1 - low) * s + 1 + low) / 2
    p = np.array([erfc(x) * exp(x * x) for x in 2 / t - 2]) / t
    chebyshev = np.polynomial.chebyshev
    return low, [*map(float, chebyshev.cheb2poly(chebyshev.chebfit(s, p, 24)))]
