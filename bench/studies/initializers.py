"""Train the same networks from each initializer, with dense and with live fans, and compare the test accuracies.

    python bench/studies/initializers.py --data-dir DIR

CIFAR-10, hidden layers 1024 and 512, Nesterov 0.9, batch size 100, Erdos-Renyi; mean of the seeds.
"""

import argparse
import sys
from pathlib import Path
from statistics import mean

if not __package__:  # run as a script, which finds the modules of its own folder only
    sys.path.insert(0, str(Path(__file__).parents[1]))

import nerva
from harness.tables import markdown

RATES = {0.01: 0.03, 0.001: 0.1}
NAMES = ("xavier", "he", "lecun", "pytorch")


def accuracy(data: nerva.datasets.Dataset, density: float, init: str, fan: str, epochs: int, seed: int) -> float:
    """Return the test accuracy after the last epoch, in percent."""
    model = nerva.MLP([3072, 1024, 512, 10], density=density, init=init, fan=fan, seed=seed)
    history = model.fit(*data.train, validation=data.test, epochs=epochs, schedule=RATES[density])
    return 100 * float(history["test_accuracy"][-1])


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", help="folder of CIFAR-10, downloaded if it is missing")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    data = nerva.datasets.cifar10(options.data_dir)
    rows = []
    for init in NAMES:
        for fan in nerva.initializers.FANS:
            accuracies = [
                mean(accuracy(data, density, init, fan, options.epochs, seed) for seed in range(options.seeds))
                for density in RATES
            ]
            rows.append([init, fan, *(f"{value:.2f}" for value in accuracies)])
            print(*rows[-1], flush=True)
    print(markdown(["initializer", "fans", *(f"density {density:g}, %" for density in RATES)], rows))


if __name__ == "__main__":
    main()
