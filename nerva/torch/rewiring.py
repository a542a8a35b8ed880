"""Dynamic sparse training of a PyTorch model: an optimizer's steps, and the updates of the topology among them."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from nerva import topology
from nerva._kernels.csr import CSR
from nerva._kernels.memory import Array, empty_batch
from nerva._kernels.rewiring import rewire
from nerva.topology.records import TopologyRecord
from nerva.topology.supports import Positions
from nerva.topology.topology import Topology
from nerva.topology.updater import TopologyUpdater
from nerva.torch.linear import SparseLinear
from nerva.validation import check_integer


class RewiredLayer:
    """A SparseLinear as the methods of nerva.topology see a layer, with its optimizer.

    Parameters
    ----------
    name : of the module in its model, for messages
    module, optimizer : the layer, and the optimizer whose state of `module.values` moves with the weights
    """

    def __init__(self, name: str, module: SparseLinear, optimizer: torch.optim.Optimizer) -> None:
        self.name, self.module, self.optimizer = name, module, optimizer

    @property
    def weight(self) -> CSR:
        """The matrix W, (K, D), with the present values: to be read."""
        pattern = self.module.pattern
        with pattern.lock:
            return pattern.matrix(self.module.values.detach().numpy())

    def record(self, wanted: bool) -> None:
        """Let the next backward passes leave their factors, or not."""
        self.module.pattern.factors = [] if wanted else None

    @property
    def dense_gradient_factors(self) -> tuple[Array, Array]:
        """X (D, N) and DZ (K, N) of all backward passes since `record`: the gradient of a dense W would be DZ X'.

        Raises RuntimeError where there was none.
        """
        factors = self.module.pattern.factors
        if not factors:
            raise RuntimeError(f"{self.name} had no backward pass before the step that moves its weights by gradient")
        X, DZ = (_side_by_side([each[i] for each in factors]) for i in (0, 1))
        return X, DZ

    def rewire(self, dropped: Positions, grown: Positions, values: npt.ArrayLike = 0.0) -> Positions:
        """Drop weights and grow others, with all that the optimizer keeps of them; see nerva.SparseLinear.rewire."""
        parameter = self.module.values
        W, state = self.weight.copy(), self.optimizer.state.get(parameter, {})
        source: Positions = rewire(W, dropped, grown, np.asarray(values, W.dtype))
        # All is computed before anything is changed.
        moved = {
            name: _moved(entry, source)
            for name, entry in state.items()
            if isinstance(entry, Tensor) and entry.shape == parameter.shape
        }
        self.module.set_weight(W)
        state.update(moved)
        return source

    def snapshot(self) -> Callable[[], None]:
        """Copy the weights and the optimizer's state of them; return what restores both."""
        W, state = self.weight.copy(), self.optimizer.state.get(self.module.values, {})
        kept = {name: entry.clone() for name, entry in state.items() if isinstance(entry, Tensor)}

        def restore() -> None:
            self.module.set_weight(W)
            state.update(kept)

        return restore


def _moved(entries: Tensor, source: Positions) -> Tensor:
    """Return entries[source], and 0 where the source is -1."""
    origin = torch.from_numpy(source)
    kept = origin >= 0
    result = entries.new_zeros(len(origin))
    result[kept] = entries[origin[kept]]
    return result


def _side_by_side(batches: list[Array]) -> Array:
    """Return batches of the same features as one, aligned as the kernels need it."""
    together = empty_batch(len(batches[0]), sum(batch.shape[1] for batch in batches), batches[0].dtype)
    return np.concatenate(batches, axis=1, out=together)


class Rewiring:
    """The base of RigL, SET and GMP: steps an optimizer, and moves weights when an update is due.

    `step`, after every backward pass, takes the place of `optimizer.step`. Weights move within the SparseLinear layers
    of the model, and every vector (nnz,) that the optimizer keeps of them moves along, 0 for new ones; the gradient of
    `values` becomes None. Parameters stay the same objects.

    Attributes: `records` tells what each update did to each layer, as history.topology of nerva's own fit;
    `names` are those of the layers in the model, in the order of `layer` in the records.
    """

    _method: Callable[..., Topology]  # of nerva.topology, which takes the settings

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        steps: int,
        steps_per_epoch: int | None = None,
        generator: torch.Generator | None = None,
        **settings: Any,
    ) -> None:
        method = self._method(**settings)
        if not isinstance(model, nn.Module):
            raise TypeError(f"model is {type(model).__name__}; it must be a torch.nn.Module")
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise TypeError(f"optimizer is {type(optimizer).__name__}; it must be a torch.optim.Optimizer")
        if isinstance(optimizer, torch.optim.LBFGS):
            raise TypeError("optimizer is LBFGS, whose state is of all parameters together: it cannot move")
        steps = check_integer(steps, "steps", least=1)
        epoch = steps if steps_per_epoch is None else check_integer(steps_per_epoch, "steps_per_epoch", least=1)
        found = [(name, module) for name, module in model.named_modules() if isinstance(module, SparseLinear)]
        if not found:
            raise ValueError("model holds no nerva.torch.SparseLinear, whose weights could move")
        self.names = [name for name, _ in found]
        self.optimizer = optimizer
        self._layers = [RewiredLayer(name or "the model", module, optimizer) for name, module in found]
        self._rng = np.random.default_rng(int(torch.randint(2**63 - 1, (), generator=generator)))
        self._updater = TopologyUpdater(method, self._layers, steps, epoch, self._rng)
        self._step = 0
        self._prepare(self._updater.before(0))

    @property
    def records(self) -> list[TopologyRecord]:
        """What each update did to each layer."""
        return self._updater.records

    def step(self) -> bool:
        """Step the optimizer, or, where an update takes the place of a step, as in RigL, move weights.

        Returns whether the optimizer took a step. Raises RuntimeError, before anything is changed, where the weights
        of a layer are due to move by gradient, and it had no backward pass.
        """
        learned = self._learns
        if learned:
            self.optimizer.step()
        self._updater.after(self._step, float(self.optimizer.param_groups[0]["lr"]))
        self._step += 1
        self._prepare(self._updater.before(self._step))
        return learned

    def _prepare(self, learns: bool) -> None:
        """Make ready for the next batch."""
        self._learns = learns
        reads = self._updater.reads_factors(self._step)
        for layer in self._layers:
            layer.record(reads)

    def state_dict(self) -> dict[str, Any]:
        """Return what is needed to go on, beside the model's and the optimizer's state: tensors, numbers and text."""
        state = {"step": self._step, "updater": self._updater.state(), "random": self._rng.bit_generator.state}
        exchanged: dict[str, Any] = _exchanged(state, np.ndarray, lambda array: torch.from_numpy(array.copy()))
        return exchanged

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take what `state_dict` returned; load the model's state before. Raises ValueError where the layers differ."""
        given = _exchanged(state, Tensor, lambda tensor: tensor.numpy().copy())
        self._updater.restore(given["updater"])
        self._rng.bit_generator.state = given["random"]
        self._step = given["step"]
        # Updates that go before the optimizer's step took place before the state was returned.
        before = self._updater.method.moment == "before"
        self._prepare(True if before else self._updater.before(self._step))


def _exchanged(value: Any, kind: type, make: Callable[[Any], Any]) -> Any:
    """Return nested dicts, lists and tuples with every object of a kind replaced by another."""
    if isinstance(value, kind):
        return make(value)
    if isinstance(value, Mapping):
        return {key: _exchanged(entry, kind, make) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_exchanged(entry, kind, make) for entry in value)
    return value.item() if isinstance(value, np.generic) else value


class RigL(Rewiring):
    """Drop the smallest |w|, grow where |dL/dw| of the dense layer is largest, in a model of PyTorch.

    An update takes the place of the optimizer's step on its batch. The gradient is the exact one of all backward passes
    since the last step, and no dense one is held.

    Parameters
    ----------
    model : a torch.nn.Module with nerva.torch.SparseLinear layers
    optimizer : a torch.optim.Optimizer of its parameters, any but LBFGS
    steps : calls of `step` in the whole training run
    steps_per_epoch : those of an epoch, for updates every so many epochs (unit="epoch")
    generator : a torch.Generator; None for PyTorch's own
    settings : fraction, init, regrow, accumulate, every, start, end and decay of nerva.RigL

    Raises TypeError or ValueError that names the argument that is wrong. Where no update is ever due, a RuntimeWarning
    tells which `every` is taken instead.

    >>> import torch
    >>> first = nerva.torch.SparseLinear(20, 8, density=0.25)
    >>> model = torch.nn.Sequential(first, torch.nn.ReLU(), torch.nn.Linear(8, 2))
    >>> optimizer = torch.optim.Adam(model.parameters())
    >>> topology = nerva.torch.RigL(model, optimizer, steps=8, every=2, fraction=0.5)
    >>> for x in torch.randn(8, 10, 20):
    ...     optimizer.zero_grad()
    ...     model(x).square().sum().backward()
    ...     stepped = topology.step()
    >>> [(record.step, record.dropped, record.grown) for record in topology.records]
    [(2, 15, 15), (4, 5, 5)]
    """

    _method = topology.RigL


class SET(Rewiring):
    """Drop the smallest positive and the largest negative weights, grow at random, in a model of PyTorch.

    By default at the start of every epoch but the first, which needs `steps_per_epoch`. Parameters and errors are those
    of nerva.torch.RigL, with the settings of nerva.SET.
    """

    _method = topology.SET


class GMP(Rewiring):
    """Drop the smallest |w| until the sparse layers of a PyTorch model have `density`; nothing grows.

    The layers start with more, at density=1.0 if they are to start dense. `values` and `indices` become shorter at each
    update. Other parameters and errors are those of nerva.torch.RigL, with the settings of nerva.GMP.
    """

    _method = topology.GMP

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        density: float | topology.schedules.DensitySchedule,
        **settings: Any,
    ) -> None:
        super().__init__(model, optimizer, density=density, **settings)
