"""nerva inside PyTorch (the extra 'torch'): a sparse linear layer for any model.

`SparseLinear` is a torch.nn.Module on nerva's kernels. PyTorch is loaded with the first name that is asked for.

>>> import nerva.torch
>>> nerva.torch.__all__
['SparseLinear']
"""

from typing import TYPE_CHECKING, Any

from nerva.interop.torch import require_torch

if TYPE_CHECKING:
    from nerva.torch.linear import SparseLinear

__all__ = ["SparseLinear"]


def __getattr__(name: str) -> Any:
    """Import what is asked for: without PyTorch this package can be found, but has nothing in it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    require_torch(f"nerva.torch.{name}")
    from nerva.torch.linear import SparseLinear

    return SparseLinear
