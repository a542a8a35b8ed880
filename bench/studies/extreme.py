"""Train with 670,000 labels: samples a second, and the peak of memory.

    python bench/studies/extreme.py
    python bench/studies/extreme.py --labels 50000 --loss binary-cross-entropy

Generated data (nerva.datasets.generated_extreme): 135,909 features, as many samples as asked for. A hidden layer of
1,024 sparse neurons, 32 weights a label, Nesterov momentum.
"""

import argparse
import resource
import sys
import time
from pathlib import Path

if not __package__:  # run as a script, which finds the modules of its own folder only
    sys.path.insert(0, str(Path(__file__).parents[1]))

import nerva
from harness.tables import markdown
from nerva.extreme import ExtremeClassifier

FEATURES, WIDTH, FAN_IN = 135_909, 1024, 32


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--labels", type=int, default=670_000)
    parser.add_argument("--samples", type=int, default=4_000, help="that are trained on, once")
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--loss", default="squared-hinge", choices=["squared-hinge", "binary-cross-entropy"])
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    nerva.set_num_threads(options.threads)
    X, Y = nerva.datasets.generated_extreme(options.samples, FEATURES, options.labels)
    started = time.perf_counter()
    hidden = nerva.Sequential([nerva.SparseLinear(FEATURES, WIDTH, density=0.05, activation="relu", rng=0)], rng=0)
    model = ExtremeClassifier(hidden, options.labels, fan_in=FAN_IN, loss=options.loss, rng=0)
    built = time.perf_counter() - started
    seconds = model.fit(X, Y, epochs=1, batch_size=options.batch, schedule=0.01, verbose=False)["seconds"][0]
    started = time.perf_counter()
    model.predict_top(X[:500], 5)
    predicted = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    rows = [
        ["labels", f"{options.labels:,}"],
        ["weights", f"{model.nnz:,}"],
        ["seconds to build", f"{built:.1f}"],
        ["samples a second, training", f"{options.samples / seconds:,.0f}"],
        ["samples a second, best 5 labels", f"{500 / predicted:,.0f}"],
        ["peak memory, GiB", f"{peak / 2**30:.2f}"],
    ]
    print(markdown(["", f"{options.loss}, {options.threads} threads"], rows))


if __name__ == "__main__":
    main()
