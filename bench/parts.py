"""The parts of `compare.py use`: what users run, its sizes, and who is measured."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from harness.peer import Peer
from harness.records import Unit
from harness.use import TEST_SAMPLES, Data, Samples, Use, save
from harness.workloads import BATCH, SIZES, SPARSITY, network
from peers import EPOCHS, EVALUATIONS, FEATURES, PREDICTIONS, TRAIN_STEPS

SPARSITIES = (0.5, 0.9, 0.95, 0.99, 0.999)
TITLE = (
    "what users run, on 50,000 samples of {data} in memory, {sizes}, batch {batch}, sparsity {sparsity:g}, float32 "
    "unless the row states otherwise; PyTorch's epochs extrapolated from 5 to 50 steps"
)


class Row(NamedTuple):
    """A workload that differs from the default one in what is given."""

    name: str
    sparsity: float = SPARSITY
    sizes: tuple[int, ...] = SIZES
    batch: int = BATCH
    samples: int = 50_000
    precision: str = "float32"

    def work(self, file: str = "") -> Use:
        """Return the workload, on the samples of the file if they fit the network, or else on noise."""
        data = Data(self.sizes[0], self.sizes[-1], self.samples, file if self.sizes[0] == SIZES[0] else "")
        return Use(network(self.sparsity, sizes=self.sizes), data, self.batch, self.precision)


def bfloat16(sparsity: float) -> Row:
    """Return the row of a network of nerva's in bfloat16; its peers stay in float32."""
    return Row(f"{sparsity:g}, bfloat16", sparsity, precision="bfloat16")


class Part(NamedTuple):
    """A table: the heading of its rows and the unit of their times."""

    label: str
    unit: Unit
    peers: tuple[type[Peer], ...]
    rows: tuple[Row, ...]


PARTS = {
    "fit": Part(
        "epoch of fit, sparsity", "s", EPOCHS, tuple(row for s in SPARSITIES for row in (Row(f"{s:g}", s), bfloat16(s)))
    ),
    "batches": Part("epoch of fit, batch", "s", EPOCHS, tuple(Row(str(n), batch=n) for n in (16, 64, 100, 256, 1024))),
    "networks": Part(
        "epoch of fit, network",
        "s",
        EPOCHS,
        tuple(Row("-".join(map(str, s)), sizes=s) for s in ((784, 512, 256, 10), (3072, 4096, 4096, 10))),
    ),
    "features": Part("epoch of fit, sparsity", "s", FEATURES, (Row(f"{SPARSITY:g}"), bfloat16(SPARSITY))),
    "train_step": Part("train_step on rows, sparsity", "ms", TRAIN_STEPS, tuple(Row(f"{s:g}", s) for s in SPARSITIES)),
    "predict": Part(
        "predict, samples", "µs", PREDICTIONS, tuple(Row(str(n), batch=n, samples=TEST_SAMPLES) for n in (1, 100))
    ),
    "evaluate": Part(
        "evaluate, samples", "ms", EVALUATIONS, (Row("10,000", batch=TEST_SAMPLES, samples=TEST_SAMPLES),)
    ),
}


def selected(part: Part, words: Sequence[str] | None) -> Iterator[Row]:
    """Yield the rows of these names; all of them if none are given."""
    yield from (row for row in part.rows if words is None or row.name in words)


def title(file: str = "") -> str:
    """Return the title of the tables."""
    data = "CIFAR-10" if file else "noise"
    return TITLE.format(data=data, sizes="-".join(map(str, SIZES)), batch=BATCH, sparsity=SPARSITY)


def cifar10(folder: Path, out: Path) -> str:
    """Write the training samples of the CIFAR-10 in a folder to a file, and return its path."""
    import nerva

    X, y = nerva.datasets.cifar10(folder, download=False).train
    scale, shift = X.scale.astype(float), X.shift.astype(float)
    return save(Samples(X.pixels, y, -shift / scale / 255, 1 / (255 * scale)), out)
