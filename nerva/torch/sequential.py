"""Sparse layers in a row, and the activations between them, as one operation of PyTorch."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as _of_all

from nerva._kernels.activations import ACTIVATIONS
from nerva._kernels.chain import MOST, Chain
from nerva._kernels.operations import IDENTITY, Code
from nerva.torch import eager
from nerva.torch.linear import SparseLinear
from nerva.torch.pattern import Pattern, pattern_of

_for_all = [
    getattr(_of_all, f"_global{name}", {})
    for name in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
]


def _code(module: nn.Module) -> Code | None:
    """Return the code of an activation that the kernels compute with a product; None for any other module."""
    kind = type(module)
    if kind is nn.LeakyReLU and module.negative_slope >= 0:
        return ACTIVATIONS["leaky_relu"], float(module.negative_slope)
    names: dict[type, str] = {nn.ReLU: "relu", nn.Tanh: "tanh", nn.Sigmoid: "sigmoid"}
    return (ACTIVATIONS[names[kind]], 0.0) if kind in names else None


def _is_watched(module: nn.Module) -> bool:
    """Whether a hook, or a forward of its own, would see a call of the module."""
    own = module.__dict__
    return bool(
        own["_forward_hooks"]
        or own["_forward_pre_hooks"]
        or own["_backward_hooks"]
        or own["_backward_pre_hooks"]
        or "forward" in own
    )


class Row:
    """Modules that can run as one: SparseLinear layers, each with an activation behind it or none."""

    def __init__(self, modules: list[nn.Module]) -> None:
        self.modules = modules
        self.layers = [module for module in modules if isinstance(module, SparseLinear)]
        self._chain: tuple[tuple[Pattern, ...], torch.dtype, tuple[Code, ...], Chain] | None = None

    def _codes(self) -> tuple[Code, ...] | None:
        """Return the activation of each layer, which may have changed; None where one cannot be fused any more."""
        codes: list[Code] = []
        for module in self.modules:
            if isinstance(module, SparseLinear):
                codes.append(IDENTITY)
                continue
            code = _code(module)
            if code is None:
                return None
            codes[-1] = code
        return tuple(codes)

    def __call__(self, x: Tensor) -> Tensor:
        """Return what the modules return one by one; they are called if anything but autograd looks on."""
        found = None if torch.compiler.is_compiling() else self._pass(x)
        if found is not None:
            return found
        for module in self.modules:
            x = module(x)
        return x

    def _pass(self, x: Tensor) -> Tensor | None:
        """Return the outputs by one operation; None where the modules must be called."""
        if x.dim() < 2 or x.shape[-1] != self.layers[0].in_features or any(map(_is_watched, self.modules)):
            return None
        values, biases, *indexed = zip(*(layer.parts() for layer in self.layers), strict=True)
        codes, rows = self._codes(), x if x.dim() == 2 else x.reshape(-1, x.shape[-1])
        if codes is None or any(_for_all) or not eager.is_plain(rows, *values, *biases):
            return None
        if not all(eager.fits(rows, v, b) for v, b in zip(values, biases, strict=True)):
            return None
        columns = (layer.in_features for layer in self.layers)
        patterns = tuple(map(pattern_of, *indexed, columns))
        if any(of.factors is not None or of.chain(len(rows), rows.dtype) is None for of in patterns):
            return None
        chain = self._chain_of(patterns, rows.dtype, codes)
        if torch.is_grad_enabled():
            parts = tuple(zip(*indexed, strict=True))
            y: Tensor = eager.Pass.apply(rows, eager.Layers(chain, patterns, parts, codes), *values, *biases)
        else:
            y = chain.forward(rows, values, biases)[0]
        return y if x.dim() == 2 else y.reshape(*x.shape[:-1], y.shape[1])

    def _chain_of(self, patterns: tuple[Pattern, ...], dtype: torch.dtype, codes: tuple[Code, ...]) -> Chain:
        """Return the products of these patterns one after another, made once."""
        made = self._chain
        if made is None or made[:3] != (patterns, dtype, codes):
            chain = Chain([pattern.structure(dtype) for pattern in patterns], codes)
            made = self._chain = patterns, dtype, codes, chain
        return made[3]


def _rows(modules: Iterable[nn.Module]) -> list[Row | nn.Module]:
    """Return the modules with those joined that can run as one."""
    found: list[Row | nn.Module] = []
    joined: list[nn.Module] = []
    for module in modules:
        if not _joins(joined, module):
            found += [Row(joined)] if joined else []
            joined = []
        if joined or type(module) is SparseLinear:
            joined.append(module)
        else:
            found.append(module)
    return [*found, Row(joined)] if joined else found


def _joins(joined: list[nn.Module], module: nn.Module) -> bool:
    """Whether a module can run as one with those before it."""
    layers = [each for each in joined if isinstance(each, SparseLinear)]
    if type(module) is SparseLinear:
        return 0 < len(layers) < MOST and layers[-1].out_features == module.in_features
    return bool(joined) and type(joined[-1]) is SparseLinear and _code(module) is not None


class SparseSequential(nn.Sequential):
    """A torch.nn.Sequential that runs SparseLinear layers in a row, and activations behind them, as one operation.

    It takes what torch.nn.Sequential takes, and has its parameters and state_dict. ReLU, LeakyReLU with a slope that is
    not negative, Tanh and Sigmoid are computed with the product before them, and what passes between the layers never
    becomes a tensor. All other modules are called one by one; so are all where a hook is on a module, within
    torch.compile, under modes and transforms, and for a batch that is due to move weights by gradient.

    Errors are those of the modules.

    >>> import torch
    >>> first = nerva.torch.SparseLinear(20, 8, density=0.25)
    >>> model = nerva.torch.SparseSequential(first, torch.nn.ReLU(), nerva.torch.SparseLinear(8, 2, density=0.5))
    >>> model(torch.ones(5, 20)).shape
    torch.Size([5, 2])
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return what torch.nn.Sequential returns."""
        if torch.compiler.is_compiling():
            y: Tensor = super().forward(x)
            return y
        modules = tuple(self._modules.values())
        made: tuple[tuple[nn.Module, ...], list[Row | nn.Module]] | None = self.__dict__.get("_made")
        if made is None or made[0] != modules:
            made = self.__dict__["_made"] = modules, _rows(modules)
        for each in made[1]:
            x = each(x)
        return x

    def __getstate__(self) -> dict[str, Any]:
        # Copied and pickled without what is made again at the next call.
        return {name: value for name, value in self.__dict__.items() if name != "_made"}
