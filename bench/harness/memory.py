"""The memory of a network in training: counted, and measured as the growth of a fresh process.

    python bench/harness/memory.py --sizes 8192 8192 8192 --sparsity 0.99 [--json FILE]

Weights, pattern or mask, gradients and momentum are counted. The growth is that of the resident memory from before the
network is made until after three steps on a batch of 100, so it includes the activations between the layers.
"""

import argparse
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

if not __package__:  # run as a script, which finds the modules of its own folder only
    sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.records import save
from harness.tables import markdown
from harness.workloads import BATCH, RATE, SPARSITY
from nerva.experiments.ram import resident
from nerva.experiments.workers import Worker

SIZES = (8192, 8192, 8192)
STEPS = 3


@dataclass(frozen=True)
class Footprint:
    """The number of weights, and the bytes of a network in training: counted and measured."""

    name: str
    weights: int
    counted: int
    resident: int


class NervaNetwork:
    """A network of nerva."""

    name, module = "nerva", "nerva"

    def measure(self, sizes: tuple[int, ...], sparsity: float) -> Footprint:
        """Train for a few steps, and return the memory."""
        import nerva

        def train(sizes: tuple[int, ...]) -> Any:
            X, y = batch(sizes)
            model, optimizer = nerva.MLP(sizes, density=1.0 - sparsity), nerva.Nesterov(0.9)
            for _ in range(STEPS):
                model.train_step(X, y, optimizer, RATE)
            return model

        train((64, 64, 64))
        before = resident()
        model = train(sizes)
        return Footprint(self.name, model.nnz, model.nbytes, resident() - before)


class MaskedPyTorchNetwork:
    """A network of PyTorch with masks: weights, masks, gradients and momentum are dense."""

    name, module = "PyTorch masked", "torch"

    def measure(self, sizes: tuple[int, ...], sparsity: float) -> Footprint:
        """Train for a few steps, and return the memory."""
        import torch

        def train(sizes: tuple[int, ...]) -> tuple[int, int]:
            X, y = map(torch.from_numpy, batch(sizes))
            linears = [torch.nn.Linear(D, K) for D, K in pairwise(sizes)]
            masks = []
            with torch.no_grad():
                for linear in linears:
                    masks.append((torch.rand_like(linear.weight) >= sparsity).float())
                    linear.weight.mul_(masks[-1])
            modules = [module for linear in linears for module in (linear, torch.nn.ReLU())][:-1]
            model = torch.nn.Sequential(*modules)
            optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=0.9, nesterov=True, fused=True)
            for _ in range(STEPS):
                optimizer.zero_grad(set_to_none=True)
                torch.nn.functional.cross_entropy(model(X), y).backward()
                for linear, mask in zip(linears, masks, strict=True):
                    linear.weight.grad.mul_(mask)
                optimizer.step()
            parameters = list(model.parameters())
            tensors = [*parameters, *(p.grad for p in parameters), *masks]
            tensors += [state["momentum_buffer"] for state in optimizer.state.values()]
            self._alive = model, masks, optimizer  # until the memory is measured
            return sum(int(mask.count_nonzero()) for mask in masks), sum(t.nbytes for t in tensors)

        train((64, 64, 64))
        before = resident()
        weights, counted = train(sizes)
        return Footprint(self.name, weights, counted, resident() - before)


def footprints(sizes: tuple[int, ...] = SIZES, sparsity: float = SPARSITY) -> list[Footprint]:
    """Measure each framework that is installed, in a process of its own."""
    found = []
    for kind in (NervaNetwork, MaskedPyTorchNetwork):
        if find_spec(kind.module) is not None:
            worker = Worker()
            worker.make(kind)
            found.append(worker.call("measure", sizes, sparsity))
            worker.close()
    return found


def table(found: list[Footprint]) -> str:
    """Return a table with a row for each framework."""
    rows = []
    for footprint in found:
        times = footprint.resident / found[0].resident
        rows.append(
            [
                footprint.name,
                f"{footprint.weights:,}",
                f"{footprint.counted / 1e6:.1f}",
                f"{footprint.counted / footprint.weights:.1f}",
                f"{footprint.resident / 1e6:.1f}",
                f"{footprint.resident / footprint.weights:.1f}",
                f"{times:.3g}",
            ]
        )
    header = ["", "weights", "counted, MB", "bytes per weight", "measured, MB", "bytes per weight", "times"]
    return markdown(header, rows)


def batch(sizes: tuple[int, ...]) -> tuple[Any, Any]:
    """Return a mini-batch of noise: samples and labels."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((BATCH, sizes[0]), dtype=np.float32), rng.integers(0, sizes[-1], BATCH)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--sparsity", type=float, default=SPARSITY)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    found = footprints(tuple(options.sizes), options.sparsity)
    title = f"memory in training, {'-'.join(map(str, options.sizes))}, sparsity {options.sparsity:g}, batch {BATCH}"
    print(f"{title}\n\n{table(found)}")
    if options.json:
        save(options.json, {"title": title, "footprints": [vars(footprint) for footprint in found]})


if __name__ == "__main__":
    main()
