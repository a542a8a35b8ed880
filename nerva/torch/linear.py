"""The sparse linear layer as a module of PyTorch."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from nerva._kernels.csr import CSR
from nerva._kernels.memory import Array
from nerva.initializers import Fan, Initializer
from nerva.layers.sparse_weights import draw_weight
from nerva.topology.supports import from_mask
from nerva.torch.eager import multiply
from nerva.torch.pattern import Pattern, fingerprint, pattern_of
from nerva.validation import check_features, check_flag

DTYPES = {torch.float32: np.float32, torch.float64: np.float64}


class SparseLinear(nn.Module):
    """A linear layer y = x W' + b whose weights W exist only as CSR, in place of a torch.nn.Linear in any model.

    Parameters
    ----------
    in_features, out_features : D and K
    bias : whether there is a b, which starts at zero
    density : fraction of the K x D weights that exist; exactly round(density K D) positions are drawn
    support : how they are drawn, a name or a callable (see nerva.supports); or a matrix (K, D), a tensor or an array,
        whose non-zeros are the positions, without `density`
    init, fan : initializer of the weights and the fans it gets (see nerva.initializers)
    generator : a torch.Generator that positions and weights are drawn from; None for PyTorch's own
    dtype : torch.float32 or torch.float64; None for PyTorch's default

    The parameter `values` has shape (nnz,), row after row; the buffers `indptr` (K + 1,) and `indices` (nnz,), int32,
    and `fingerprint`, (16,), a hash of these, are in the state_dict. Loading one with another pattern sets that;
    where its parts do not fit together nothing of the layer is loaded, and the error tells the key.

    `forward` takes x (..., D) and returns (..., K), features first in memory, so that the next layer need not copy it.
    Under autocast it computes in the dtype of the layer. Raises TypeError or ValueError for another dtype or shape,
    RuntimeError on another device than the CPU and for second derivatives.

    >>> import torch
    >>> layer = nerva.torch.SparseLinear(100, 50, density=0.1, generator=torch.Generator().manual_seed(0))
    >>> layer
    SparseLinear(in_features=100, out_features=50, bias=True, density=0.1)
    >>> layer(torch.ones(8, 100)).shape, layer.values.shape
    (torch.Size([8, 50]), torch.Size([500]))
    """

    indptr: Tensor
    indices: Tensor
    fingerprint: Tensor

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        density: float | None = None,
        support: Any = None,
        init: str | Initializer = "xavier",
        fan: Fan = "dense",
        generator: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        shape = check_features(out_features, "out_features"), check_features(in_features, "in_features")
        seed = int(torch.randint(2**63 - 1, (), generator=generator))
        support = support.detach().numpy() if isinstance(support, Tensor) else support
        drawn: dict[str, Any] = {"density": density, "support": support, "init": init, "fan": fan}
        real = np.dtype(DTYPES[check_dtype(torch.get_default_dtype() if dtype is None else dtype, "dtype")])
        weight = draw_weight(shape, **drawn, rng=np.random.default_rng(seed), dtype=real)
        self._register(weight, torch.zeros(shape[0], dtype=dtype) if check_flag(bias, "bias") else None)

    def _register(self, weight: CSR, bias: Tensor | None) -> None:
        """Make the parameters and buffers of a matrix and a bias, which is kept."""
        self.out_features, self.in_features = weight.shape
        self.values = nn.Parameter(torch.from_numpy(weight.values.copy()))
        self.register_parameter("bias", None if bias is None else nn.Parameter(bias))
        self.register_buffer("indptr", torch.from_numpy(weight.indptr.copy()))
        self.register_buffer("indices", torch.from_numpy(weight.indices.copy()))
        self.register_buffer("fingerprint", fingerprint(weight.shape, weight.indptr, weight.indices))

    # ---- the pass

    def forward(self, x: Tensor) -> Tensor:
        """Return x W' + b, shape (..., K), for x (..., D)."""
        parts = None if torch.compiler.is_compiling() else self.parts()
        values, bias, indptr, indices = (self.values, self.bias, self.indptr, self.indices) if parts is None else parts
        right = x.is_cpu and values.is_cpu and x.dtype is values.dtype and x.dtype in DTYPES
        if right and x.dim() == 2 and x.size(1) == self.in_features:
            return multiply(x, values, indptr, indices, bias)
        x = self._checked(x)
        y = multiply(x.reshape(-1, self.in_features), values, indptr, indices, bias)
        return y.reshape(*x.shape[:-1], self.out_features)

    def _checked(self, x: Tensor) -> Tensor:
        """Return x, under autocast in the dtype of the layer; raise what `forward` raises where it does not fit."""
        if x.device.type != self.values.device.type or x.device.type not in ("cpu", "meta"):
            raise RuntimeError(
                f"x is on {x.device}, the layer on {self.values.device}; nerva.torch.SparseLinear computes on the CPU"
            )
        if x.dtype != self.values.dtype and x.is_floating_point() and torch.is_autocast_enabled("cpu"):
            x = x.to(self.values.dtype)
        if x.ndim == 0 or x.shape[-1] != self.in_features:
            raise ValueError(f"x has shape {tuple(x.shape)}; its last dimension must be {self.in_features}")
        check_dtype(self.values.dtype, "the layer")
        if x.dtype != self.values.dtype:
            raise TypeError(f"x has dtype {x.dtype}; the layer has {self.values.dtype}")
        return x

    # ---- its weights

    def parts(self) -> tuple[Tensor, Tensor | None, Tensor, Tensor]:
        """Return values, bias, indptr and indices: where they are kept, or attributes that others have set instead."""
        try:  # an attribute of a module that is found there costs ten times as much
            kept, buffers = self._parameters, self._buffers
            values, bias, indptr, indices = kept["values"], kept["bias"], buffers["indptr"], buffers["indices"]
        except KeyError:
            values, bias, indptr, indices = self.values, self.bias, self.indptr, self.indices
        return values, bias, indptr, indices

    @property
    def nnz(self) -> int:
        """The weights that exist, the bias not counted."""
        return int(self.values.numel())

    @property
    def density(self) -> float:
        """The fraction of the K x D weights that exist."""
        return self.nnz / (self.out_features * self.in_features)

    @property
    def pattern(self) -> Pattern:
        """The positions of the weights, as the kernels have them."""
        return pattern_of(self.indptr, self.indices, self.in_features)

    @torch.no_grad()
    def set_weight(self, weight: CSR) -> None:
        """Take another matrix (K, D) of the same dtype, copied; parameter and buffers stay the objects they are.

        The gradient becomes None. The state of an optimizer is not moved: see nerva.torch.RigL.
        """
        if weight.shape != (self.out_features, self.in_features):
            raise ValueError(f"weight is {weight!r}; it must be {self.out_features} x {self.in_features}")
        if weight.dtype != DTYPES.get(self.values.dtype):
            raise TypeError(f"weight is {weight!r}; the layer has {self.values.dtype}")
        new = [torch.from_numpy(part.copy()) for part in (weight.values, weight.indptr, weight.indices)]
        mark = fingerprint(weight.shape, weight.indptr, weight.indices)
        self._resize(weight.nnz)
        for mine, other in zip((self.values, self.indptr, self.indices, self.fingerprint), (*new, mark), strict=True):
            mine.copy_(other)

    def _resize(self, nnz: int) -> None:
        """Make room for another number of weights; the gradient is gone."""
        self.values.grad = None
        if nnz != self.nnz:
            self.values.data = self.values.new_empty(nnz)
            self.indices = self.indices.new_empty(nnz)

    @classmethod
    def from_linear(cls, linear: nn.Linear, mask: Any = None) -> Self:
        """Return the layer of a torch.nn.Linear with copies of its weights at the positions of a mask.

        Parameters
        ----------
        linear : the dense layer; one of torch.nn.utils.prune has a mask of its own
        mask : (K, D), a tensor or an array whose non-zeros are the positions; None for its own or, without one, for the
            non-zeros of the weight

        Raises TypeError or ValueError for anything else.

        >>> import torch
        >>> nerva.torch.SparseLinear.from_linear(torch.nn.Linear(3, 2), mask=[[1, 0, 0], [0, 1, 1]])
        SparseLinear(in_features=3, out_features=2, bias=True, density=0.5)
        """
        if not isinstance(linear, nn.Linear):
            raise TypeError(f"linear is {type(linear).__name__}; it must be a torch.nn.Linear")
        dense = _array(getattr(linear, "weight_orig", linear.weight), "linear.weight")
        mask = getattr(linear, "weight_mask", dense) if mask is None else mask
        mask = np.asarray(mask.detach().cpu() if isinstance(mask, Tensor) else mask)
        if mask.shape != dense.shape:
            raise ValueError(f"mask has shape {mask.shape}; it must be {dense.shape}")
        indptr, indices = from_mask(mask)
        rows = np.repeat(np.arange(len(dense)), np.diff(indptr))
        layer = cls.__new__(cls)
        nn.Module.__init__(layer)
        bias = None if linear.bias is None else torch.from_numpy(_array(linear.bias, "linear.bias").copy())
        layer._register(CSR(dense.shape, indptr, indices, dense[rows, indices]), bias)
        layer.train(linear.training)
        return layer

    @torch.no_grad()
    def to_linear(self) -> nn.Linear:
        """Return a torch.nn.Linear with copies of the weights, zeros where there are none."""
        linear = nn.Linear(1, 1, self.bias is not None, device="meta")
        linear.in_features, linear.out_features = self.in_features, self.out_features
        with self.pattern.lock:
            weight = self.pattern.matrix(_array(self.values, "values")).to_dense()
        linear.weight = nn.Parameter(torch.from_numpy(weight))
        if self.bias is not None:
            linear.bias = nn.Parameter(self.bias.detach().clone())
        return linear.train(self.training)

    def extra_repr(self) -> str:
        """Return what stands between the brackets of repr."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}, "
            f"density={self.density:.6g}"
        )

    # ---- loading

    def _load_from_state_dict(
        self,
        state_dict: Mapping[str, Any],
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        names = ("indptr", "indices", "values", "fingerprint")
        parts = {name: state_dict[prefix + name] for name in names if prefix + name in state_dict}
        wrong = self._fault(parts)
        if wrong:
            error_msgs.append(f"{prefix}{wrong}")
            return
        if "indices" in parts and "values" in parts:
            self._resize(len(parts["values"]))
        rest = (local_metadata, strict, missing_keys, unexpected_keys, error_msgs)
        super()._load_from_state_dict(state_dict, prefix, *rest)
        if "fingerprint" not in parts and self.indices.device.type == "cpu":
            shape = self.out_features, self.in_features
            self.fingerprint = fingerprint(shape, self.indptr.numpy(), self.indices.numpy())

    def _fault(self, parts: Mapping[str, Tensor]) -> str:
        """Return what is wrong with the parts of a state_dict, after the prefix of its keys; empty if nothing is."""
        if any(not isinstance(part, Tensor) or part.device.type == "meta" for part in parts.values()):
            return ""
        alone = parts.keys() & {"indptr", "indices"}
        if len(alone) == 1:
            return f"{alone.pop()} is there without the other half of the pattern"
        values = parts.get("values", self.values)
        if values.ndim != 1 or len(values) != len(parts.get("indices", self.indices)):
            return f"values has shape {tuple(values.shape)}; it must have one value for each of the indices"
        if not alone:
            return ""
        shape, indptr, indices = (self.out_features, self.in_features), parts["indptr"], parts["indices"]
        if indptr.shape != (self.out_features + 1,):
            return f"indptr has shape {tuple(indptr.shape)}; it must be ({self.out_features + 1},)"
        try:
            Pattern(indptr.cpu(), indices.cpu(), self.in_features)
        except (TypeError, ValueError) as error:
            return f"indices and indptr are no pattern of weights: {error}"
        mark = parts.get("fingerprint")
        if mark is not None and not torch.equal(mark.cpu(), fingerprint(shape, indptr.cpu(), indices.cpu())):
            return "fingerprint is not that of indptr and indices"
        return ""


def check_dtype(dtype: torch.dtype, name: str) -> torch.dtype:
    """Return the dtype if it is float32 or float64; raise TypeError for another."""
    if dtype not in DTYPES:
        raise TypeError(f"{name} has {dtype}; nerva.torch.SparseLinear computes in torch.float32 or torch.float64")
    return dtype


def _array(tensor: Tensor, name: str) -> Array:
    """Return a tensor of the CPU, of a dtype that the kernels take, as an array."""
    if tensor.device.type != "cpu":
        raise RuntimeError(f"{name} is on {tensor.device}; nerva.torch.SparseLinear takes tensors of the CPU")
    check_dtype(tensor.dtype, name)
    return np.asarray(tensor.detach().numpy())
