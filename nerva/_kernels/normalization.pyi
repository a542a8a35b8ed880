from nerva._kernels.memory import Array

def batch_norm(
    X: Array,
    gamma: Array,
    beta: Array,
    epsilon: float,
    momentum: float,
    activation: int,
    alpha: float,
    out: Array,
    *,
    mean: Array | None,
    inverse: Array | None,
    running_mean: Array,
    running_variance: Array,
) -> None: ...
def batch_norm_backward(
    DY: Array,
    Y: Array,
    X: Array,
    gamma: Array,
    mean: Array,
    inverse: Array,
    activation: int,
    alpha: float,
    *,
    DX: Array | None,
    Dgamma: Array,
    Dbeta: Array,
) -> None: ...
