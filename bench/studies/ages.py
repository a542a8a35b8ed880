"""Time steps of Adam on a network whose weights have ages of their own against the same network without, in turns.

    python bench/studies/ages.py [--threads 1]

Both are rewired by SET, at random, ten times; of one the ages are discarded then. The table has the medians of the
times of a compiled step, and of the paired ratios.
"""

import argparse
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np

if not __package__:  # run as a script, which finds the modules of its own folder only
    sys.path.insert(0, str(Path(__file__).parents[1]))

import nerva
from harness.tables import markdown
from harness.workloads import BATCH, SIZES

DENSITIES = (0.01, 0.05, 0.1)
UPDATES, BETWEEN = 10, 50  # of the topology, and steps from one to the next
WARM_UP = 3  # rounds that are not counted
STEPS = 5  # of a round, of each network


class Trained:
    """A network that was rewired as it was trained, and its next steps."""

    def __init__(self, density: float, has_ages: bool) -> None:
        rng = np.random.default_rng(0)
        self.X, self.y = rng.standard_normal((BATCH, SIZES[0]), dtype=np.float32), rng.integers(0, SIZES[-1], BATCH)
        self.model, self.optimizer = nerva.MLP(SIZES, density=density, seed=0, backend="native"), nerva.Adam()
        steps = (UPDATES + 1) * BETWEEN
        topology = nerva.SET(every=BETWEEN, unit="step")
        updater = nerva.topology.TopologyUpdater(topology, self.model.layers, steps, steps, rng)
        for step in range(steps):
            updater.before(step)
            self.step()
        if not has_ages:
            for parameter in self.model.parameters():
                parameter.state.pop("born", None)

    def step(self) -> None:
        """Take a step."""
        self.model.train_step(self.X, self.y, self.optimizer, 1e-5)

    def seconds(self) -> float:
        """Return the seconds of a step, on average over those of a round."""
        started = time.perf_counter()
        for _ in range(STEPS):
            self.step()
        return (time.perf_counter() - started) / STEPS


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=100)
    options = parser.parse_args()
    nerva.set_num_threads(options.threads)
    rows = []
    for density in DENSITIES:
        networks = [Trained(density, has_ages) for has_ages in (False, True)]
        pairs = [[network.seconds() for network in networks] for _ in range(WARM_UP + options.rounds)][WARM_UP:]
        without, aged = (1e3 * median(column) for column in zip(*pairs, strict=True))
        ratio = median(b / a for a, b in pairs)
        rows.append([f"{density:g}", f"{without:.3f}", f"{aged:.3f}", f"{ratio:.3f}"])
    print(markdown(["density", "without ages, ms", "with ages, ms", "times"], rows))


if __name__ == "__main__":
    main()
