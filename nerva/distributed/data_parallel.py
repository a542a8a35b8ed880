"""Data parallel training: copies of one network, each on its part of every batch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from nerva._kernels.memory import Array, Buffer
from nerva._kernels.mkl import set_num_threads
from nerva.distributed.mpi import MPIRanks
from nerva.layers import Layer
from nerva.losses import Loss
from nerva.models.plan import CompiledNetwork
from nerva.models.sequential import Sequential
from nerva.parameters import Parameter
from nerva.training import evaluation
from nerva.training import fit as training
from nerva.training.evaluation import EVALUATION_BATCH, Evaluation
from nerva.training.history import History
from nerva.training.ranks import Buckets, Doing, exchange, together


class DataParallel:
    """Train a network on several processes (ranks), by MPI: `mpiexec -n 4 python script.py`.

    Every rank makes the same network, from the same seed, and calls `fit` with the same data and settings. In each
    step a rank computes its part of the batch; the gradients of the weights that exist, and of the biases, are summed
    over the ranks while the backward pass goes on, and all ranks take the same step. So the weights stay the same, and
    the result is that of one process with the same batches, but for rounding; with as many ranks it has the same bits
    again. What MPI carries is O(non-zeros), whatever the sparsity. Indices never move: weights that move do so on all
    ranks alike, drawn by the same generator, or by the dense gradient, whose factors the ranks exchange for an update.
    Batch normalization takes the statistics of the whole batch. Masks of dropout are others on each rank.

    Parameters
    ----------
    model : a Sequential, the same on every rank
    communicator : an mpi4py.MPI.Comm; None is MPI.COMM_WORLD
    threads : of this rank; None divides the cores of its machine by the ranks there, unless OMP_NUM_THREADS is set

    `ranks` are the ranks that train together, None if this is the only one; `rank` and `size` are their numbers.
    An exception that ends one rank ends the others. Raises ImportError without mpi4py (extra `mpi`), TypeError for
    another model, and ValueError where the networks of the ranks are not the same.

    >>> from nerva.distributed import DataParallel  # doctest: +SKIP
    >>> parallel = DataParallel(nerva.MLP([784, 300, 10], density=0.05, seed=1))  # doctest: +SKIP
    >>> history = parallel.fit(X, y, epochs=5, batch_size=100)  # doctest: +SKIP

    S. Li et al., PyTorch Distributed: experiences on accelerating data parallel training, VLDB 2020.
    """

    def __init__(self, model: Sequential, communicator: Any = None, *, threads: int | None = None) -> None:
        if not isinstance(model, Sequential):
            raise TypeError(f"model is {type(model).__name__}; it must be a nerva.Sequential")
        self.model, self._ranks = model, MPIRanks(communicator)
        self.rank, self.size = self._ranks.rank, self._ranks.size
        self.ranks = self._ranks if self.size > 1 else None
        self.buckets = Buckets(self._ranks)
        self._check_same("networks", _digest(model), "give the same seed to all")
        self._ranks.abort_on_errors()
        if threads is None:
            self._ranks.share_cores()
        else:
            set_num_threads(threads)

    def fit(
        self,
        X: object,
        y: npt.ArrayLike,
        *,
        batch_size: int = 100,
        rng: np.random.Generator | int | None = None,
        verbose: bool | Literal["auto"] = "auto",
        **settings: Any,
    ) -> History:
        """Train on samples X with targets y, the same on every rank, and return the history, the same on every rank.

        Parameters
        ----------
        X, y, rng, settings : as of Sequential.fit
        batch_size : samples in a step, of all ranks together
        verbose : whether rank 0 shows the progress

        Rank 0 alone writes the `checkpoint`, which all must see; a run goes on from it with any number of ranks.
        Callbacks are called on the rank that they are given on: those that may end the training (EarlyStopping) must
        be given on every rank, those that write files on rank 0 alone. Raises what Sequential.fit raises, ValueError
        where data or generators of the ranks are not the same, and RuntimeError where one rank ends before the others.
        """
        if y is None:
            raise TypeError("y is None; DataParallel takes samples X and targets y, not batches")
        rng = self.model.rng if rng is None else np.random.default_rng(rng)
        self._check_same("targets", _digest_of(y), "all ranks take the same X and y")
        self._check_same("generators", repr(rng.bit_generator.state), "give the same rng to all")
        how = {"batch_size": batch_size, "rng": rng, "verbose": verbose if self.rank == 0 else False, **settings}
        if self.ranks is None:
            return self.model.fit(X, y, **how)
        with together(self.layers, self.ranks):
            history = training.fit(self, X, y, **how)
        exchange(self.ranks, Doing.END)
        return history

    def evaluate(
        self,
        X: object,
        y: npt.ArrayLike,
        *,
        batch_size: int = EVALUATION_BATCH,
        loss: Loss | None = None,
        sample_weight: npt.ArrayLike | None = None,
    ) -> Evaluation:
        """Return (loss, accuracy) on samples X, the same on every rank; each computes its part of the batches."""
        return evaluation.evaluate(self, X, y, batch_size=batch_size, loss=loss, sample_weight=sample_weight)

    @property
    def traffic(self) -> dict[str, int]:
        """The bytes that this rank has given to MPI so far, by what they are.

        "gradients", "figures" (losses and counts), "statistics" of batch normalization, and "factors" of the dense
        gradients that some methods of dynamic sparse training grow by.
        """
        return dict(self._ranks.traffic)

    def _check_same(self, what: str, mine: object, hint: str) -> None:
        """Raise ValueError where a thing is not the same on all ranks."""
        found = self._ranks.every(mine)
        others = [str(rank) for rank, its in enumerate(found) if its != found[0]]
        if others:
            raise ValueError(f"the {what} of rank 0 and of rank {', '.join(others)} are not the same: {hint}")

    # ---- what the training loop asks of a network (nerva.training.trainable)

    @property
    def in_features(self) -> int:
        """The features of a sample."""
        return self.model.in_features

    @property
    def out_features(self) -> int:
        """The outputs for a sample."""
        return self.model.out_features

    @property
    def dtype(self) -> np.dtype[Any]:
        """That of weights and batches."""
        return self.model.dtype

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers of the network."""
        return self.model.layers

    @property
    def rng(self) -> np.random.Generator:
        """The generator of `fit`, unless it is given another one."""
        return self.model.rng

    @property
    def inputs(self) -> Buffer:
        """The network's buffer for a batch to predict."""
        return self.model.inputs

    @property
    def loss(self) -> Loss:
        """The loss of the last `fit`."""
        return self.model.loss

    @loss.setter
    def loss(self, loss: Loss) -> None:
        self.model.loss = loss

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The names of the classes, where the labels of the last `fit` were names."""
        return self.model.classes

    @classes.setter
    def classes(self, classes: tuple[str, ...] | None) -> None:
        self.model.classes = classes

    @property
    def precision(self) -> str:
        """Of activations in training and evaluation."""
        return self.model.precision

    @property
    def nnz(self) -> int:
        """The weights that exist."""
        return self.model.nnz

    def forward(self, X: Array, *, training: bool = True) -> Array:
        """Return the outputs for this rank's samples (features, batch)."""
        return self.model.forward(X, training=training)

    def backward(self, DY: Array, *, after: Callable[[Layer], object] | None = None) -> None:
        """Set the gradients of this rank's samples; see Sequential.backward."""
        if type(self.model).backward is Sequential.backward:
            self.model.backward(DY, after=after)
            return
        self.model.backward(DY)
        for layer in reversed(self.layers) if after is not None else ():
            assert after is not None
            after(layer)

    def parameters(self) -> Sequence[Parameter]:
        """Return the trainable parameters."""
        return self.model.parameters()

    def compiled(self, batch: int) -> CompiledNetwork | None:
        """Return the network as one program, by which it is evaluated."""
        return self.model.compiled(batch)

    def obstacle(self, batch: int) -> str:
        """Return why steps are not compiled."""
        return "several ranks train the network, layer by layer"


def _digest(model: Sequential) -> str:
    """Return a hash of a network's weights, their positions, and its other parameters."""
    known = hashlib.sha256(repr(model).encode())
    for layer in model.layers:
        for name, array in layer.arrays().items():
            known.update(name.encode() + np.ascontiguousarray(array).tobytes())
    return known.hexdigest()


def _digest_of(y: npt.ArrayLike) -> str:
    """Return a hash of targets."""
    array = np.asarray(y)
    plain = array.astype(str) if array.dtype.kind == "O" else array
    return hashlib.sha256(f"{plain.dtype}{plain.shape}".encode() + np.ascontiguousarray(plain).tobytes()).hexdigest()
