"""Time networks in C, as nerva.export_c writes them, on one sample after the other, beside nerva's predict in turns.

    python bench/studies/exported_c.py [--flags=-O2] [--densities 0.01 0.05]

One thread, 3072-1024-512-10, Erdos-Renyi, float32, 64 samples of noise. The table has the medians of the rounds, in
time of the processor, not of the clock, so that other processes disturb it little.
"""

import argparse
import ctypes
import shlex
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

if not __package__:  # run as a script, which finds the modules of its own folder only
    sys.path.insert(0, str(Path(__file__).parents[1]))

import nerva
from harness.compiled import library
from harness.tables import markdown
from harness.workloads import SIZES

SAMPLES = 64
LOOP = """
void passes(const float *x, float *y, int rounds);
void passes(const float *x, float *y, int rounds)
{
    for (int r = 0; r < rounds; r++)
        for (int i = 0; i < %d; i++) net_forward(x + i * NET_INPUTS, y + i * NET_OUTPUTS);
}
"""


def measure(sizes: tuple[int, ...], density: float, flags: list[str], rounds: int, repeats: int) -> list[list[float]]:
    """Return the processor seconds a sample in each round, of the C code and of predict."""
    model = nerva.MLP(sizes, density=density, seed=0)
    X = np.random.default_rng(0).standard_normal((SAMPLES, sizes[0])).astype(np.float32)
    Y = np.empty((SAMPLES, sizes[-1]), np.float32)
    with tempfile.TemporaryDirectory() as folder:
        nerva.export_c(model, Path(folder) / "net.c")
        # One file, since a library is known by its source.
        source = Path(folder) / "passes.c"
        source.write_text((Path(folder) / "net.c").read_text() + LOOP % SAMPLES)
        passes = library(source, ["-std=c99", *flags, "-lm"]).passes
    x, y = (array.ctypes.data_as(ctypes.POINTER(ctypes.c_float)) for array in (X, Y))
    found = []
    for _ in range(rounds + 1):
        started = time.thread_time()
        passes(x, y, repeats)
        done = time.thread_time()
        for row in X:
            model.predict(row[None])
        found.append([(done - started) / repeats / SAMPLES, (time.thread_time() - done) / SAMPLES])
    np.testing.assert_array_equal(Y.argmax(axis=1), model.predict(X))
    return found[1:]


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flags", default="-O2", help="of the C compiler (%(default)s)")
    parser.add_argument("--densities", type=float, nargs="+", default=[0.001, 0.01, 0.05])
    parser.add_argument("--rounds", type=int, default=25)
    options = parser.parse_args()
    nerva.set_num_threads(1)
    rows = []
    for density in options.densities:
        found = measure(SIZES, density, shlex.split(options.flags), options.rounds, 20)
        c, predict = (1e6 * median(column) for column in zip(*found, strict=True))
        rows.append([f"{density:g}", f"{c:.3g}", f"{predict:.3g}"])
    print(markdown(["density", f"C, {options.flags}, us", "predict, us"], rows))


if __name__ == "__main__":
    main()
