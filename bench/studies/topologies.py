"""Train with every method of dynamic sparse training on CIFAR-10, and compare accuracy, time and exploration.

    python bench/studies/topologies.py --data-dir DIR --out plain.jsonl
    python bench/studies/topologies.py --data-dir DIR --out normalized.jsonl --batch-norm
    python bench/studies/topologies.py --data-dir DIR --out adam.jsonl --optimizers adam "adam, one age"
    python bench/studies/topologies.py --show plain.jsonl normalized.jsonl --picture docs/topologies.svg

The recipe is that of the original Nerva with fewer epochs: hidden layers 1024 and 512, Nesterov 0.9, batch size 100,
images padded, cropped and flipped at random, learning rate 0.1 at density 0.01 and 0.03 at 0.05, divided by ten at 50 %
and at 75 % of the epochs. With Adam the learning rate is 0.001 instead, divided as often; "adam, one age" corrects the
moments of a weight that has just grown for the steps of its layer, too. Every run has a process of its own with one
thread; the seed determines weights, supports and the order of the samples. "time" is the training time of the fastest
seed relative to the static network's, "explored" the fraction of the first layer's positions that ever had a weight,
and "largest fan-in" that of the first layer's neurons at the end.
"""

import argparse
import json
import multiprocessing
import os
import sys
from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import Any

if not __package__:  # run as a script, which finds the modules of its own folder only
    sys.path.insert(0, str(Path(__file__).parents[1]))

import nerva
from harness.tables import markdown
from harness.workloads import BATCH, SIZES
from nerva.parameters import Step, Taken
from nerva.topology.distributions import erdos_renyi

RATES = {0.01: 0.1, 0.05: 0.03}
ADAM_RATE = 0.001
DECAYS = (0.5, 0.75)
Run = dict[str, Any]
Group = tuple[str, bool, float, float]  # the optimizer, whether there is batch normalization, density, learning rate
Groups = dict[Group, dict[str, list[Run]]]  # then by method


class _OneAge(Step):
    """A step of Adam in which all weights have the age of their layer."""

    def take(self, parameter: nerva.Parameter) -> Taken:
        """Return what a kernel needs, without the ages of the weights."""
        return super().take(parameter)._replace(born=None)


class OneAge(nerva.Adam):
    """Adam that corrects every weight for the steps of its layer, as masked dense layers do."""

    def at(self, rate: float) -> Step:
        """Return the update at a learning rate."""
        settings = {"second": self.beta2, "epsilon": self.epsilon}
        return _OneAge(lambda t: self._update("adam", rate, self.beta1, t=t, **settings), self)


OPTIMIZERS: dict[str, Callable[[], nerva.Optimizer]] = {
    "nesterov": nerva.Nesterov,
    "adam": nerva.Adam,
    "adam, one age": OneAge,
}


def _static(density: float) -> None:
    return None


# The topology that reaches or keeps a density, and the initial density.
METHODS: dict[str, tuple[Callable[[float], nerva.Topology | None], Callable[[float], float]]] = {
    "static": (_static, lambda d: d),
    "SET": (lambda d: nerva.SET(), lambda d: d),
    "RigL": (lambda d: nerva.RigL(), lambda d: d),
    "SRigL": (lambda d: nerva.SRigL(), lambda d: d),
    "Top-KAST": (lambda d: nerva.TopKAST(0.5), lambda d: 2 * d),
    "GraNet": (nerva.GraNet, lambda d: 5 * d),
    "GraNet from 0.5": (nerva.GraNet, lambda d: 0.5),
    "GMP": (nerva.GMP, lambda d: 5 * d),
    "GMP from dense": (nerva.GMP, lambda d: 1.0),
}


def network(density: float, seed: int, batch_norm: bool) -> nerva.Sequential:
    """Return the network; its layers are sparse even at density 1, so that they can be pruned."""
    import numpy as np

    shapes, rng = list(pairwise(SIZES)), np.random.default_rng(seed)
    layers: list[Any] = []
    for i, ((D, K), d) in enumerate(zip(shapes, erdos_renyi(shapes, density), strict=True)):
        hidden = i < len(shapes) - 1
        activation = "relu" if hidden and not batch_norm else "identity"
        bias = not (hidden and batch_norm)
        layers.append(nerva.SparseLinear(D, K, density=d, activation=activation, bias=bias, rng=rng, backend="native"))
        if hidden and batch_norm:
            layers.append(nerva.BatchNorm(K, activation="relu"))
    return nerva.Sequential(layers, rng=rng)


def rate_of(run: Run) -> float:
    """Return the learning rate that a run starts with: its own, or the default of its density or its optimizer."""
    default = RATES[run["density"]] if run.get("optimizer", "nesterov") == "nesterov" else ADAM_RATE
    rate: float = run.get("rate", default)
    return rate


def train(run: Run) -> Run:
    """Train as the run specifies, and return the run with its results."""
    nerva.set_num_threads(1)
    data = nerva.datasets.cifar10(run["data_dir"])
    make, start = METHODS[run["method"]]
    density, epochs = run["density"], run["epochs"]
    model = network(start(density), run["seed"], run["batch_norm"])
    history = model.fit(
        *data.train,
        validation=data.test,
        epochs=epochs,
        batch_size=BATCH,
        optimizer=OPTIMIZERS[run["optimizer"]](),
        schedule=nerva.MultiStep(rate_of(run), [fraction * epochs for fraction in DECAYS]),
        augment=nerva.Augment((3, 32, 32)),
        topology=make(density),
    )
    last = [r for r in history.topology if r.layer == 0]
    return {
        **{name: value for name, value in run.items() if name != "data_dir"},
        "accuracy": history["test_accuracy"],
        "seconds": history["seconds"],
        "weights": model.nnz,
        "exploration": last[-1].exploration if last else model.layers[0].density,
        "fan_in": last[-1].fan_in if last else None,
        "updates": len(last),
    }


def show(runs: list[Run], picture: Path | None) -> None:
    """Print a table for each density, rate, with and without batch normalization, and plot them all."""
    groups: Groups = defaultdict(lambda: defaultdict(list))
    for run in runs:
        key = run.get("optimizer", "nesterov"), run["batch_norm"], run["density"], rate_of(run)
        groups[key][run["method"]].append(run)
    for (optimizer, batch_norm, density, rate), methods in sorted(groups.items()):
        epochs, seeds = runs[0]["epochs"], max(map(len, methods.values()))
        what = f"{optimizer}, density {density:g}{', batch norm' * batch_norm}, rate {rate:g}"
        print(f"\n{what}: {epochs} epochs, {seeds} seeds\n")
        plain = min(sum(run["seconds"]) for run in methods.get("static", []) or next(iter(methods.values())))
        rows = []
        for name in METHODS:
            found = methods.get(name, [])
            if not found:
                continue
            final = [100 * run["accuracy"][-1] for run in found]
            fan_in = max((run["fan_in"][4] for run in found if run["fan_in"]), default=None)
            times = min(sum(run["seconds"]) for run in found) / plain  # the fastest is the least disturbed
            rows.append(
                [
                    name,
                    f"{mean(final):.2f}",
                    f"{min(final):.2f} to {max(final):.2f}",
                    f"{mean(run['weights'] for run in found):,.0f}",
                    f"{times:.2f}",
                    f"{100 * mean(run['exploration'] for run in found):.1f}",
                    "-" if fan_in is None else str(fan_in),
                ]
            )
        header = ["method", "accuracy, %", "from, to", "weights", "time", "explored, %", "largest fan-in"]
        print(markdown(header, rows))
    if picture is not None:
        draw(groups, picture)


def draw(groups: Groups, out: Path) -> None:
    """Plot the accuracy of every run against its exploration of the first layer, a panel for each group."""
    from matplotlib.figure import Figure

    rows = -(-len(groups) // 2)
    figure = Figure(figsize=(9, 0.5 + 3.2 * rows), layout="constrained")
    panels = figure.subplots(rows, 2, squeeze=False).flat
    marks: dict[str, Any] = {}
    for axes, ((_, batch_norm, density, rate), methods) in zip(panels, sorted(groups.items()), strict=False):
        for i, name in enumerate(METHODS):
            found = methods.get(name, [])
            if found:
                x = [100 * run["exploration"] for run in found]
                y = [100 * run["accuracy"][-1] for run in found]
                (marks[name],) = axes.plot(x, y, "osD^v<>PX"[i], color=f"C{i}", ms=5)
        axes.set(xscale="log", xlabel="explored positions of the first layer, %", ylabel="test accuracy, %")
        other_rate = "" if rate == RATES[density] else f", rate {rate:g}"
        axes.set_title(f"density {density:g}{', batch norm' * batch_norm}{other_rate}", fontsize=9)
        axes.grid(alpha=0.3)
    for axes in panels:
        axes.set_axis_off()
    figure.legend(marks.values(), marks.keys(), fontsize=8, ncols=5, loc="outside upper center")
    figure.savefig(out)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", help="folder of CIFAR-10, downloaded if it is missing")
    parser.add_argument("--densities", type=float, nargs="+", default=list(RATES), choices=list(RATES))
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--optimizers", nargs="+", default=["nesterov"], choices=list(OPTIMIZERS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--rate", type=float, help="learning rate, instead of the default of the density")
    parser.add_argument("--batch-norm", action="store_true")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="parallel runs")
    parser.add_argument("--out", type=Path, help="JSON lines, one for each run; runs in it are not repeated")
    parser.add_argument("--show", type=Path, nargs="+", help="print the runs in these files, train nothing")
    parser.add_argument("--picture", type=Path, help="file of the plot")
    options = parser.parse_args()
    if options.show:
        show([json.loads(line) for file in options.show for line in file.read_text().splitlines()], options.picture)
        return
    if options.out is None:
        parser.error("--out or --show is required")
    runs = [json.loads(line) for line in options.out.read_text().splitlines()] if options.out.exists() else []
    common = {"epochs": options.epochs, "batch_norm": options.batch_norm}
    if options.rate is not None:
        common["rate"] = options.rate
    wanted = [
        {"method": method, "density": density, "seed": seed, "optimizer": optimizer, **common}
        for density in options.densities
        for seed in range(options.seeds)
        for method in options.methods
        for optimizer in options.optimizers
    ]
    done = [{"optimizer": "nesterov"} | run for run in runs]
    wanted = [run for run in wanted if not any(run.items() <= other.items() for other in done)]
    tasks = [run | {"data_dir": options.data_dir} for run in wanted]
    context = multiprocessing.get_context("spawn")
    with context.Pool(options.processes, maxtasksperchild=1) as pool, options.out.open("a") as file:
        for run in pool.imap_unordered(train, tasks):
            print(json.dumps(run), file=file, flush=True)
            what = run["optimizer"], run["method"], run["density"], run["seed"]
            print(*what, f"{100 * run['accuracy'][-1]:.2f} %", flush=True)
            runs.append(run)
    show(runs, options.picture)


if __name__ == "__main__":
    main()
