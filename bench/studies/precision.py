"""Train the same networks on CIFAR-10 with float32 and with bfloat16, and compare test accuracies and loss curves.

    python bench/studies/precision.py --data-dir DIR --out precision.jsonl
    python bench/studies/precision.py --show precision.jsonl --picture docs/bfloat16.svg

Hidden layers 1024 and 512, Nesterov 0.9, batch size 100, images as bytes. Both precisions start from the same weights
and see the samples in the same order; with RigL, the first update of the topology may already part them.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from statistics import mean
from typing import Any

if not __package__:  # run as a script, which finds the modules of its own folder only
    sys.path.insert(0, str(Path(__file__).parents[1]))

import nerva
from harness.tables import markdown
from harness.workloads import BATCH, SIZES

RATE = 0.01
CASES = (("static", 0.05), ("static", 0.01), ("static", 0.001), ("RigL", 0.01))
PRECISIONS = ("float32", "bfloat16")
Run = dict[str, Any]


def train(run: Run, data: Any) -> Run:
    """Train as the run specifies, and return the run with its results."""
    model = nerva.MLP(SIZES, density=run["density"], seed=run["seed"], precision=run["precision"])
    history = model.fit(
        *data.train,
        validation=data.test,
        epochs=run["epochs"],
        batch_size=BATCH,
        schedule=RATE,
        rng=run["seed"],
        topology=nerva.RigL() if run["method"] == "RigL" else None,
    )
    return {**run, **{name: history[name] for name in ("loss", "test_accuracy", "seconds")}}


def table(runs: Iterable[Run]) -> str:
    """Return the mean test accuracy of each case with both precisions, and the difference of each seed."""
    found: dict[tuple[str, float], dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for run in runs:
        found[run["method"], run["density"]][run["precision"]][run["seed"]] = 100 * run["test_accuracy"][-1]
    rows = []
    for (method, density), results in found.items():
        float32, bfloat16 = (results[precision] for precision in PRECISIONS)
        each = [bfloat16[seed] - float32[seed] for seed in sorted(float32) if seed in bfloat16]
        means = [f"{mean(own.values()):.2f}" for own in (float32, bfloat16)]
        rows.append([method, f"{density:g}", *means, f"{mean(each):+.2f}", ", ".join(f"{d:+.2f}" for d in each)])
    return markdown(["topology", "density", *PRECISIONS, "difference", "each seed"], rows)


def draw(runs: Iterable[Run], out: Path) -> None:
    """Plot the training loss of every run against the epoch, a panel for each case."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams["svg.hashsalt"] = "nerva"  # the same file from the same data
    figure = Figure(figsize=(9, 2.6), layout="constrained")
    panels = figure.subplots(1, len(CASES), sharex=True)
    lines: dict[str, Any] = {}
    for axes, case in zip(panels, CASES, strict=True):
        for run in runs:
            if (run["method"], run["density"]) == case:
                style = {"color": f"C{PRECISIONS.index(run['precision'])}", "lw": 1}
                style["ls"] = "-" if run["precision"] == "float32" else "--"
                (lines[run["precision"]],) = axes.plot(range(1, len(run["loss"]) + 1), run["loss"], **style)
        axes.set(xlabel="epoch")
        axes.set_title(f"density {case[1]:g}{', RigL' * (case[0] == 'RigL')}", fontsize=9)
        axes.grid(alpha=0.3)
    panels[0].set(ylabel="training loss")
    figure.legend(lines.values(), lines.keys(), fontsize=8, ncols=2, loc="outside upper center")
    figure.savefig(out, metadata={"Date": None} if out.suffix == ".svg" else None)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", help="folder of CIFAR-10, downloaded if it is missing")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="JSON lines, one for each run")
    parser.add_argument("--show", type=Path, help="print the runs in this file, train nothing")
    parser.add_argument("--picture", type=Path, help="file of the plot")
    options = parser.parse_args()
    if options.show is None and options.out is None:
        parser.error("--out or --show is required")
    if options.show is not None:
        runs = [json.loads(line) for line in options.show.read_text().splitlines()]
    else:
        nerva.set_num_threads(options.threads)
        data, runs = nerva.datasets.cifar10(options.data_dir), []
        with options.out.open("w") as file:
            for method, density in CASES:
                for seed in range(options.seeds):
                    for precision in PRECISIONS:
                        run = {"method": method, "density": density, "seed": seed, "precision": precision}
                        runs.append(train({**run, "epochs": options.epochs}, data))
                        print(json.dumps(runs[-1]), file=file, flush=True)
                        print(*run.values(), f"{100 * runs[-1]['test_accuracy'][-1]:.2f} %", flush=True)
    print(table(runs))
    if options.picture is not None:
        draw(runs, options.picture)


if __name__ == "__main__":
    main()
