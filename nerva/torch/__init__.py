"""nerva inside PyTorch (the extra 'torch'): a sparse linear layer for any model, and what moves its weights.

`SparseLinear` is a torch.nn.Module on nerva's kernels, and `SparseSequential` runs several as one operation; `RigL`,
`SET` and `GMP` step an optimizer of PyTorch and rewire the layers of a model; `SReLU` is an activation that PyTorch
does not have. PyTorch is loaded with the first name that is asked for. See docs/pytorch.md.

>>> import nerva.torch
>>> nerva.torch.__all__
['GMP', 'SET', 'RigL', 'SReLU', 'SparseLinear', 'SparseSequential']
"""

from typing import TYPE_CHECKING, Any

from nerva.interop.torch import require_torch

if TYPE_CHECKING:
    from nerva.interop.srelu import SReLU
    from nerva.torch.linear import SparseLinear
    from nerva.torch.rewiring import GMP, SET, RigL
    from nerva.torch.sequential import SparseSequential

__all__ = ["GMP", "SET", "RigL", "SReLU", "SparseLinear", "SparseSequential"]


def __getattr__(name: str) -> Any:
    """Import what is asked for: without PyTorch this package can be found, but has nothing in it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    require_torch(f"nerva.torch.{name}")
    if name == "SparseLinear":
        from nerva.torch import linear as module
    elif name == "SparseSequential":
        from nerva.torch import sequential as module  # type: ignore[no-redef]
    elif name == "SReLU":
        from nerva.interop import srelu as module  # type: ignore[no-redef]
    else:
        from nerva.torch import rewiring as module  # type: ignore[no-redef]
    return getattr(module, name)
