"""Time steps of nerva.torch layers by autograd functions, one or several, and by registered operators, in turns.

    python bench/studies/eager.py [--threads 1]

3072-1024-512-10 with ReLU, cross-entropy and PyTorch's fused SGD with Nesterov momentum; beside it `train_step` of
nerva's own compiled network. The table has the medians of the times, and of the ratios to the compiled step of the same
round.
"""

import argparse
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

if not __package__:  # run as a script, which finds the modules of its own folder only
    sys.path.insert(0, str(Path(__file__).parents[1]))

import nerva
from harness.tables import markdown
from harness.workloads import BATCH, SIZES

DENSITIES = (0.01, 0.001)
WARM_UP = 10  # rounds that are not counted


def steps_of(density: float) -> dict[str, Callable[[], Any]]:
    """Return a step of each way, on the same samples."""
    import torch

    from nerva.torch import SparseLinear, SparseSequential, eager

    densities = nerva.erdos_renyi(list(pairwise(SIZES)), density)
    layers: list[Any] = []
    for (D, K), d in zip(pairwise(SIZES), densities, strict=True):
        layers += [SparseLinear(D, K, density=d), torch.nn.ReLU()]
    model, row = torch.nn.Sequential(*layers[:-1]), SparseSequential(*layers[:-1])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, nesterov=True, fused=True)
    rng, is_plain = np.random.default_rng(0), eager.is_plain
    X, y = rng.standard_normal((BATCH, SIZES[0]), dtype=np.float32), rng.integers(0, SIZES[-1], BATCH)
    x, labels = torch.from_numpy(X), torch.from_numpy(y)
    compiled, nesterov = nerva.MLP(SIZES, density=densities, backend="native"), nerva.Nesterov(0.9)

    def function(network: Any = model) -> None:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(x), labels).backward()
        optimizer.step()

    def operators() -> None:
        eager.is_plain = lambda *tensors: False
        try:
            function()
        finally:
            eager.is_plain = is_plain

    return {
        "operators": operators,
        "function": function,
        "SparseSequential": lambda: function(row),
        "compiled": lambda: compiled.train_step(X, y, nesterov, 0.01),
    }


def measure(density: float, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each way in each round."""
    steps = steps_of(density)
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(WARM_UP + rounds):
        for name, step in steps.items():
            started = time.perf_counter()
            step()
            times[name].append(time.perf_counter() - started)
    return {name: found[WARM_UP:] for name, found in times.items()}


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=500)
    options = parser.parse_args()
    import torch

    nerva.set_num_threads(options.threads)
    torch.set_num_threads(options.threads)
    rows = []
    for density in DENSITIES:
        times = measure(density, options.rounds)
        for name, found in times.items():
            ratio = median(a / b for a, b in zip(found, times["compiled"], strict=True))
            rows.append([f"{density:g}", name, f"{1e3 * median(found):.3f}", f"{ratio:.2f}"])
    print(markdown(["density", "step by", "ms", "of the compiled step"], rows))


if __name__ == "__main__":
    main()
