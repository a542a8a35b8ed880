"""SReLU as a module of PyTorch, which has none."""

import torch
from torch import Tensor, nn

from nerva.activations import SReLU as Start
from nerva.validation import check_features


class SReLU(nn.Module):
    """The S-shaped ReLU, which is linear in three pieces and has four trainable parameters; see nerva.SReLU.

    f(x) = t_l + a_l (x - t_l) for x <= t_l,  x for t_l < x < t_r,  t_r + a_r (x - t_r) for x >= t_r

    Parameters
    ----------
    features : for a set of parameters for each feature, the last dimension of x; None for one set for all
    t_l, a_l, t_r, a_r : initial values
    dtype : of the parameters; None for PyTorch's default

    Raises ValueError, which names the argument that is wrong.

    >>> nerva.torch.SReLU()(torch.tensor([-1.0, 0.5, 3.0]))
    tensor([0.0000, 0.5000, 3.0000], grad_fn=<WhereBackward0>)
    """

    def __init__(
        self,
        features: int | None = None,
        *,
        t_l: float = 0.0,
        a_l: float = 0.0,
        t_r: float = 1.0,
        a_r: float = 1.0,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        sets = 1 if features is None else check_features(features, "features")
        self.features, start = features, Start(t_l, a_l, t_r, a_r)
        self.t_l, self.a_l, self.t_r, self.a_r = (
            nn.Parameter(torch.full((sets,), value, dtype=dtype))
            for value in (start.t_l, start.a_l, start.t_r, start.a_r)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return f(x), of the shape of x."""
        below, beyond = self.t_l + self.a_l * (x - self.t_l), self.t_r + self.a_r * (x - self.t_r)
        # Where t_l is past t_r, the first case takes precedence.
        return torch.where(x <= self.t_l, below, torch.where(x >= self.t_r, beyond, x))

    def extra_repr(self) -> str:
        """Return the features for the representation of the module."""
        return "" if self.features is None else str(self.features)
