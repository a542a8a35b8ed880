"""Train with every method of dynamic sparse training on CIFAR-10, and compare accuracy, time and exploration.

    python bench/topologies.py --data-dir DIR --out topologies.jsonl
    python bench/topologies.py --data-dir DIR --out normalised.jsonl --batch-norm
    python bench/topologies.py --show topologies.jsonl normalised.jsonl --picture docs/topologies.svg

The recipe is the original's, shortened: hidden layers 1024 and 512, Nesterov 0.9, batches of 100, images padded,
cropped and flipped at random, learning rate 0.1 at density 0.01 and 0.03 at 0.05, a tenth of it from 50 % and again
from 75 % of the epochs. Every run has a process of its own with one thread; the seed draws weights, supports and order.
"time" is that of training, of the fastest seed, as a multiple of the static network's; "explored" the part of the first
layer's positions that ever had a weight, and "largest fan-in" that of one of its neurons at the end.
"""

import argparse
import json
import multiprocessing
import os
from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import Any

from tables import markdown
from workloads import BATCH, SIZES

import nerva
from nerva.topology.distributions import erdos_renyi

RATES = {0.01: 0.1, 0.05: 0.03}
DECAYS = (0.5, 0.75)
Run = dict[str, Any]
Groups = dict[tuple[bool, float, float], dict[str, list[Run]]]  # by batch normalization, density, rate; then by method


def _unmoved(density: float) -> None:
    return None


# What moves the weights to the density, or at it, and the density the network starts with.
METHODS: dict[str, tuple[Callable[[float], nerva.Topology | None], Callable[[float], float]]] = {
    "static": (_unmoved, lambda d: d),
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
    """Return the network with all its layers sparse ones, even where one is full: those can be pruned."""
    import numpy as np

    shapes, rng = list(pairwise(SIZES)), np.random.default_rng(seed)
    layers: list[nerva.Layer] = []
    for i, ((D, K), d) in enumerate(zip(shapes, erdos_renyi(shapes, density), strict=True)):
        hidden = i < len(shapes) - 1
        activation = "relu" if hidden and not batch_norm else "identity"
        bias = not (hidden and batch_norm)
        layers.append(nerva.SparseLinear(D, K, density=d, activation=activation, bias=bias, rng=rng, backend="native"))
        if hidden and batch_norm:
            layers.append(nerva.BatchNorm(K, activation="relu"))
    return nerva.Sequential(layers, rng=rng)


def train(run: Run) -> Run:
    """Train as the run says, and return it with what came out."""
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
        schedule=nerva.MultiStep(run.get("rate", RATES[density]), [share * epochs for share in DECAYS]),
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
    """Print a table for each density, with and without batch normalization, and draw them all."""
    groups: Groups = defaultdict(lambda: defaultdict(list))
    for run in runs:
        groups[run["batch_norm"], run["density"], run.get("rate", RATES[run["density"]])][run["method"]].append(run)
    for (batch_norm, density, rate), methods in sorted(groups.items()):
        epochs, seeds = runs[0]["epochs"], max(map(len, methods.values()))
        print(f"\nDensity {density:g}{', batch norm' * batch_norm}, rate {rate:g}: {epochs} epochs, {seeds} seeds\n")
        plain = min(sum(run["seconds"]) for run in methods["static"])
        rows = []
        for name in METHODS:
            found = methods.get(name, [])
            if not found:
                continue
            final = [100 * run["accuracy"][-1] for run in found]
            fan_in = max((run["fan_in"][4] for run in found if run["fan_in"]), default=None)
            times = min(sum(run["seconds"]) for run in found) / plain  # of the least disturbed
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
    """Draw the accuracy of every run against what it explored of the first layer, a panel for each group."""
    from matplotlib.figure import Figure

    rows = -(-len(groups) // 2)
    figure = Figure(figsize=(9, 0.5 + 3.2 * rows), layout="constrained")
    panels = figure.subplots(rows, 2, squeeze=False).flat
    marks: dict[str, Any] = {}
    for axes, ((batch_norm, density, rate), methods) in zip(panels, sorted(groups.items()), strict=False):
        for i, name in enumerate(METHODS):
            found = methods.get(name, [])
            if found:
                x = [100 * run["exploration"] for run in found]
                y = [100 * run["accuracy"][-1] for run in found]
                (marks[name],) = axes.plot(x, y, "osD^v<>PX"[i], color=f"C{i}", ms=5)
        axes.set(xscale="log", xlabel="positions of the first layer ever used, %", ylabel="test accuracy, %")
        usual = "" if rate == RATES[density] else f", rate {rate:g}"
        axes.set_title(f"density {density:g}{', batch norm' * batch_norm}{usual}", fontsize=9)
        axes.grid(alpha=0.3)
    for axes in panels:
        axes.set_axis_off()
    figure.legend(marks.values(), marks.keys(), fontsize=8, ncols=5, loc="outside upper center")
    figure.savefig(out)


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", help="where CIFAR-10 lies, or shall lie")
    parser.add_argument("--densities", type=float, nargs="+", default=list(RATES), choices=list(RATES))
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--rate", type=float, help="learning rate, instead of the density's own")
    parser.add_argument("--batch-norm", action="store_true")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="runs at a time")
    parser.add_argument("--out", type=Path, help="JSON lines, one for each run; those it has are not repeated")
    parser.add_argument("--show", type=Path, nargs="+", help="print what these files hold, and train nothing")
    parser.add_argument("--picture", type=Path, help="draw them there")
    options = parser.parse_args()
    if options.show:
        show([json.loads(line) for file in options.show for line in file.read_text().splitlines()], options.picture)
        return
    if options.out is None:
        parser.error("name --out or --show")
    runs = [json.loads(line) for line in options.out.read_text().splitlines()] if options.out.exists() else []
    common = {"epochs": options.epochs, "batch_norm": options.batch_norm}
    if options.rate is not None:
        common["rate"] = options.rate
    wanted = [
        {"method": method, "density": density, "seed": seed, **common}
        for density in options.densities
        for seed in range(options.seeds)
        for method in options.methods
    ]
    wanted = [run for run in wanted if not any(run.items() <= done.items() for done in runs)]
    tasks = [run | {"data_dir": options.data_dir} for run in wanted]
    context = multiprocessing.get_context("spawn")
    with context.Pool(options.processes, maxtasksperchild=1) as pool, options.out.open("a") as file:
        for done in pool.imap_unordered(train, tasks):
            print(json.dumps(done), file=file, flush=True)
            print(done["method"], done["density"], done["seed"], f"{100 * done['accuracy'][-1]:.2f} %", flush=True)
            runs.append(done)
    show(runs, options.picture)


if __name__ == "__main__":
    main()
