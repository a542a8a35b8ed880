"""PyTorch, imported when it is asked for (the extra 'torch'), and what nerva and PyTorch call the same."""

from __future__ import annotations

from typing import Any


def require_torch(who: str) -> Any:
    """Return the module torch; raise ImportError, which names the extra, for the function that needs it."""
    try:
        import torch.nn.utils.prune
    except ImportError:
        raise ImportError(f"{who} needs PyTorch: pip install 'nerva-sparse[torch]'") from None
    return torch


def activation_modules(torch: Any) -> dict[Any, str]:
    """Return nerva's names of the activation modules that can be converted."""
    nn = torch.nn
    return {
        nn.Identity: "identity",
        nn.ReLU: "relu",
        nn.LeakyReLU: "leaky_relu",
        nn.Tanh: "tanh",
        nn.Sigmoid: "sigmoid",
    }
