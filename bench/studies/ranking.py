"""Train with every method of dynamic sparse training, at equal numbers of weights and at equal time.

    python bench/studies/ranking.py --data-dir DIR --out ranking.jsonl
    python bench/studies/ranking_page.py ranking.jsonl --page docs/ranking.md --picture docs/ranking.svg

Every method trains 3072-1024-512-10 to the same density with each optimizer and seed, on CIFAR-10 and on the shapes
that nerva generates: learning rate 0.1 with Nesterov momentum, 0.001 with Adam, divided by ten at 50 % and at 75 % of
the epochs, batch size 100. Then the methods whose epochs take another time than the static network's train once more,
for as many epochs as that network's time has room for ("budget": "time"). A line of JSON is written for each run; runs
that are in the file are not repeated, so the command can be stopped and given again at any time. Times are those of the
processor, of all threads together, so that other processes disturb them little; the test after each epoch is in them.
"RigL from its own" starts with the fan-in that the run of RigL of the same seed, optimizer and data ended with.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import process_time
from typing import Any, NamedTuple

if not __package__:  # run as a script, which finds the modules of its own folder only
    sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np

import nerva
from harness.workloads import BATCH, SIZES

RATES = {"nesterov": 0.1, "adam": 0.001}
OPTIMIZERS: dict[str, Callable[[], nerva.Optimizer]] = {"nesterov": nerva.Nesterov, "adam": nerva.Adam}
DECAYS = (0.5, 0.75)
AS_LONG = 0.1  # a method whose time differs by less has its run of equal epochs as that of equal time
Run = dict[str, Any]


class Method(NamedTuple):
    """What a method is: its topology for a density, the density it starts at over that, and its support."""

    make: Callable[[float], nerva.Topology | None]
    start: float = 1.0
    support: str = "random"


METHODS = {
    "static": Method(lambda density: None),
    "SET": Method(lambda density: nerva.SET()),
    "RigL": Method(lambda density: nerva.RigL()),
    "RigL from its own": Method(lambda density: nerva.RigL(), support="like RigL's"),
    "SRigL": Method(lambda density: nerva.SRigL()),
    "Top-KAST": Method(lambda density: nerva.TopKAST(0.5), start=2.0),
    "GraNet": Method(nerva.GraNet, start=5.0),
    "GMP": Method(nerva.GMP, start=5.0),
    "DeepR": Method(lambda density: nerva.DeepR()),
    "SNFS": Method(lambda density: nerva.SNFS()),
    "CHT": Method(lambda density: nerva.CHT()),
    "CHTs": Method(lambda density: nerva.CHTs()),
    "CHTs, receptive field": Method(lambda density: nerva.CHTs(), support="receptive-field"),
}


def load(name: str, folder: Path | None) -> nerva.datasets.Dataset:
    """Return a data set of images of 32 x 32 pixels in three channels."""
    return nerva.datasets.shapes() if name == "shapes" else nerva.datasets.cifar10(folder)


def wanted(options: argparse.Namespace) -> Iterator[Run]:
    """Yield all runs of equal epochs, a whole round of methods for one seed after the other."""
    for seed in range(options.seeds):
        for dataset in options.data:
            for optimizer in options.optimizers:
                for method in options.methods:
                    yield {
                        "data": dataset,
                        "optimizer": optimizer,
                        "method": method,
                        "seed": seed,
                        "density": options.density,
                        "batch_norm": options.batch_norm,
                        "epochs": options.epochs,
                        "budget": "epochs",
                    }


def at_equal_time(runs: list[Run], main: list[Run]) -> Iterator[Run]:
    """Yield the runs of equal time for those of equal epochs, once all are done: the fastest seeds are compared."""
    fastest: dict[tuple[str, str, str], float] = {}
    for run in runs:
        if run["budget"] == "epochs":
            key = run["data"], run["optimizer"], run["method"]
            fastest[key] = min(fastest.get(key, float("inf")), run["cpu"])
    for run in main:
        static = fastest.get((run["data"], run["optimizer"], "static"))
        own = fastest.get((run["data"], run["optimizer"], run["method"]))
        if static and own and abs(own / static - 1) > AS_LONG:
            yield run | {"epochs": max(1, round(run["epochs"] * static / own)), "budget": "time"}


def network(run: Run, runs: list[Run]) -> nerva.Sequential:
    """Return the network that a run starts with."""
    method = METHODS[run["method"]]
    support: Any = method.support
    if support == "like RigL's":
        whole = {name: run[name] for name in ("data", "optimizer", "seed", "density", "batch_norm")}
        found = [r for r in runs if r["method"] == "RigL" and r["budget"] == "epochs" and whole.items() <= r.items()]
        if not found:
            raise ValueError(
                f"{run['method']} needs the run of RigL of the same seed, {run['seed']}, which comes first"
            )
        support = [nerva.supports.degrees(fans) for fans in found[0]["fans"]]
    density = min(1.0, method.start * run["density"])
    settings = {"batch_norm": run["batch_norm"], "sparse": True, "seed": run["seed"]}
    return nerva.MLP(SIZES, density=density, support=support, **settings)


def train(run: Run, runs: list[Run], data: nerva.datasets.Dataset) -> Run:
    """Train as the run says, and return it with its results."""
    model, epochs = network(run, runs), run["epochs"]
    before = process_time()
    history = model.fit(
        *data.train,
        validation=data.test,
        epochs=epochs,
        batch_size=BATCH,
        optimizer=OPTIMIZERS[run["optimizer"]](),
        schedule=nerva.MultiStep(RATES[run["optimizer"]], [fraction * epochs for fraction in DECAYS]),
        augment=nerva.Augment((3, 32, 32)) if run["data"] == "cifar10" else None,
        topology=METHODS[run["method"]].make(run["density"]),
        diverged="warn",
    )
    sparse = [layer for layer in model.layers if isinstance(layer, nerva.SparseLinear)]
    fans = [np.diff(layer.weight.indptr).tolist() for layer in sparse] if run["method"] == "RigL" else None
    return run | {
        "accuracy": history["test_accuracy"],
        "seconds": history["seconds"],
        "cpu": process_time() - before,
        "weights": model.nnz,
        "fans": fans,
    }


def left(runs: list[Run], tasks: list[Run]) -> list[Run]:
    """Return the tasks that are not among the runs."""
    return [task for task in tasks if not any(task.items() <= run.items() for run in runs)]


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, help="folder of CIFAR-10, downloaded if it is missing")
    parser.add_argument("--data", nargs="+", default=["cifar10", "shapes"], choices=["cifar10", "shapes"])
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--optimizers", nargs="+", default=list(OPTIMIZERS), choices=list(OPTIMIZERS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--density", type=float, default=0.01)
    parser.add_argument("--batch-norm", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--no-equal-time", action="store_true", help="leave out the runs of equal time")
    parser.add_argument("--out", type=Path, required=True, help="JSON lines, one for each run")
    options = parser.parse_args()
    nerva.set_num_threads(options.threads)
    runs = [json.loads(line) for line in options.out.read_text().splitlines()] if options.out.exists() else []
    data = {name: load(name, options.data_dir) for name in options.data}
    main_runs = list(wanted(options))
    for budget in ("epochs", "time"):
        if budget == "time" and options.no_equal_time:
            break
        mine = [run for run in runs if any(task.items() <= run.items() for task in main_runs)]
        tasks = left(runs, main_runs if budget == "epochs" else list(at_equal_time(mine, main_runs)))
        for i, task in enumerate(tasks):
            run = train(task, runs, data[task["data"]])
            with options.out.open("a") as file:
                print(json.dumps(run), file=file)
            runs.append(run)
            what = task["data"], task["optimizer"], task["method"], f"seed {task['seed']}", f"{task['epochs']} epochs"
            result = f"{100 * run['accuracy'][-1]:.2f} % in {run['cpu']:.1f} s"
            print(f"{i + 1} of {len(tasks)}:", ", ".join(what), result, flush=True)


if __name__ == "__main__":
    main()
