"""The work of training, counted: floating-point operations and bytes of a step and of an epoch, for a roofline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nerva.layers import Linear, SparseLinear
from nerva.models.sequential import Sequential
from nerva.optimizers import SGD, Adam, AdamW, Lion, Momentum, Nesterov, Optimizer, RMSprop
from nerva.parameters import Parameter
from nerva.tables import table
from nerva.validation import check_integer, check_positive

PHASES = ("forward", "input gradient", "weight gradient", "update")
INDEX = 4  # bytes of an index of a row or a column


@dataclass(frozen=True, slots=True)
class Work:
    """The work of one phase of one layer.

    Parameters
    ----------
    layer : number, kind and features, as "0 SparseLinear 4-8"
    phase : "forward", "input gradient", "weight gradient" or "update"
    flops : additions, multiplications, divisions and square roots; a multiply-add is two
    bytes : the least memory traffic, each array that is read or written once
    """

    layer: str
    phase: str
    flops: int
    bytes: int

    @property
    def intensity(self) -> float:
        """The arithmetic intensity, FLOPs a byte; 0 where nothing is moved."""
        return self.flops / self.bytes if self.bytes else 0.0

    def seconds(self, peak: float, bandwidth: float) -> float:
        """Return the least time that a roofline allows, that of the arithmetic or that of the memory.

        Parameters
        ----------
        peak, bandwidth : of the machine, FLOP/s and bytes/s, both above 0; ValueError otherwise

        >>> Work("0 Linear 4-8", "forward", 1000, 400).seconds(peak=1e3, bandwidth=100)
        4.0
        """
        return max(self.flops / check_positive(peak, "peak"), self.bytes / check_positive(bandwidth, "bandwidth"))


class WorkTable(Sequence[Work]):
    """The work of a step or of an epoch, in the order in which it is done; `print` shows it as a table."""

    def __init__(self, rows: Sequence[Work]) -> None:
        self._rows = tuple(rows)

    def __getitem__(self, index: int) -> Work:  # type: ignore[override]
        return self._rows[index]

    def __len__(self) -> int:
        return len(self._rows)

    def total(self, phase: str | None = None) -> Work:
        """Return the sum of all rows, or of those of a phase."""
        chosen = [row for row in self if phase in (None, row.phase)]
        return Work("all", phase or "all", sum(row.flops for row in chosen), sum(row.bytes for row in chosen))

    def seconds(self, peak: float, bandwidth: float) -> float:
        """Return the least time that a roofline allows, the sum of those of the rows, which follow each other."""
        return sum(row.seconds(peak, bandwidth) for row in self)

    def __str__(self) -> str:
        lines = [("layer", "phase", "MFLOP", "MB", "FLOP/byte")]
        for row in [*self, self.total()]:
            figures = f"{row.flops / 1e6:.3f}", f"{row.bytes / 1e6:.3f}", f"{row.intensity:.3f}"
            lines.append((row.layer, row.phase, *figures))
        return table(lines, left=(0, 1), rules=(0, len(self)))


def step_work(model: Sequential, batch: int, optimizer: Optimizer | None = None) -> WorkTable:
    """Return the work of a training step on a batch, in the linear layers and in the update of all parameters.

    Parameters
    ----------
    model : with the patterns that it has now
    batch : samples, N
    optimizer : None is nerva.Nesterov()

    For a layer of D inputs, K outputs and nnz weights, in items of s bytes (4 or 8), with the bytes P of a pattern,
    4 (nnz + K + 1) of a sparse layer and 0 of a dense one:

    - forward Y = W X + b: 2 nnz N + K N FLOPs; s (nnz + K + D N + K N) + P bytes
    - input gradient DX = W' DZ, not of the first layer: 2 nnz N FLOPs; s (nnz + K N + D N) + P bytes
    - weight gradient DW = DZ X' on the pattern, Db = DZ 1: 2 nnz N + K N FLOPs; s (K N + D N + nnz + K) + P bytes
    - update: what the rule of the optimizer computes for an entry; the entry and each of its moments are read and
      written, the gradient is read

    Without a bias, its terms are missing. Not counted: activations, loss, dropout, the statistics of batch norm (only
    its update is), clipping of gradients, changes of the topology. What a cache holds from one phase to the next is not
    read from memory again, so that a step may take less time than a roofline of memory says.

    Raises TypeError or ValueError for a batch that is none, and TypeError for an optimizer of one's own, whose rule is
    not known.

    >>> work = step_work(nerva.MLP([4, 8, 3]), batch=10, optimizer=nerva.SGD())
    >>> work.total("forward").flops == 2 * (4 * 8 + 8 * 3) * 10 + (8 + 3) * 10
    True
    """
    batch = check_integer(batch, "batch", least=1)
    optimizer = Nesterov() if optimizer is None else optimizer
    linear = [(i, layer) for i, layer in enumerate(model.layers) if isinstance(layer, (Linear, SparseLinear))]
    forward = [_forward(i, layer, batch) for i, layer in linear]
    backward: list[Work] = []
    for i, layer in reversed(linear):
        backward.append(_weight_gradient(i, layer, batch))
        if _has_parameters_before(model, i):
            backward.append(_input_gradient(i, layer, batch))
    updates = []
    for i, trained in enumerate(model.layers):
        if parameters := trained.parameters():
            counted = [_update(parameter, optimizer) for parameter in parameters]
            sums = (sum(column) for column in zip(*counted, strict=True))
            updates.append(Work(_name(i, trained), PHASES[3], *sums))
    return WorkTable([*forward, *backward, *updates])


def epoch_work(model: Sequential, samples: int, batch: int, optimizer: Optimizer | None = None) -> WorkTable:
    """Return the work of an epoch: steps on batches, and one on the samples that remain; the rest is as of `step_work`.

    >>> model = nerva.MLP([4, 8, 3])
    >>> work = epoch_work(model, samples=25, batch=10)
    >>> work.total("update").flops == 3 * step_work(model, 10).total("update").flops
    True
    """
    samples, batch = check_integer(samples, "samples", least=1), check_integer(batch, "batch", least=1)
    full, rest = divmod(samples, batch)
    parts = [(full, step_work(model, batch, optimizer))] if full else []
    parts += [(1, step_work(model, rest, optimizer))] if rest else []
    return WorkTable(
        [
            Work(rows[0].layer, rows[0].phase, *(_weighted(parts, rows, name) for name in ("flops", "bytes")))
            for rows in zip(*(work for _, work in parts), strict=True)
        ]
    )


def _weighted(parts: Sequence[tuple[int, WorkTable]], rows: Sequence[Work], name: str) -> int:
    return sum(count * int(getattr(row, name)) for (count, _), row in zip(parts, rows, strict=True))


def _name(i: int, layer: object) -> str:
    sizes = (getattr(layer, "in_features", None), getattr(layer, "out_features", None))
    return f"{i} {type(layer).__name__}" + (f" {sizes[0]}-{sizes[1]}" if None not in sizes else "")


def _has_parameters_before(model: Sequential, i: int) -> bool:
    """Whether a layer before layer i is trained, so that the gradient of its outputs is needed."""
    return any(layer.parameters() for layer in model.layers[:i])


def _pattern(layer: Linear | SparseLinear) -> int:
    """Return the bytes of the pattern: the column of each weight, and the first weight of each row."""
    return INDEX * (layer.nnz + layer.out_features + 1) if isinstance(layer, SparseLinear) else 0


def _bias(layer: Linear | SparseLinear) -> int:
    return 0 if layer.bias is None else layer.out_features


def _forward(i: int, layer: Linear | SparseLinear, N: int) -> Work:
    items = layer.nnz + _bias(layer) + (layer.in_features + layer.out_features) * N
    flops = 2 * layer.nnz * N + _bias(layer) * N
    return Work(_name(i, layer), PHASES[0], flops, items * layer.dtype.itemsize + _pattern(layer))


def _input_gradient(i: int, layer: Linear | SparseLinear, N: int) -> Work:
    items = layer.nnz + (layer.in_features + layer.out_features) * N
    return Work(_name(i, layer), PHASES[1], 2 * layer.nnz * N, items * layer.dtype.itemsize + _pattern(layer))


def _weight_gradient(i: int, layer: Linear | SparseLinear, N: int) -> Work:
    return Work(_name(i, layer), PHASES[2], *_counts(_forward(i, layer, N)))  # the same arrays, DZ for Y, DW for W


def _counts(work: Work) -> tuple[int, int]:
    return work.flops, work.bytes


def _update(parameter: Parameter, optimizer: Optimizer) -> tuple[int, int]:
    """Return the FLOPs and bytes of the update of a parameter."""
    flops, moments = rule_work(optimizer.owner_of(parameter))
    entries, item = parameter.values.size, parameter.values.itemsize
    return flops * entries, (3 + 2 * moments) * entries * item


def rule_work(optimizer: Optimizer) -> tuple[int, int]:
    """Return the FLOPs of an update of one entry, and how many moments it has; a sign counts as one FLOP.

    Raises TypeError for an optimizer of one's own.

    >>> rule_work(nerva.SGD()), rule_work(nerva.Nesterov(weight_decay=0.1)), rule_work(nerva.Adam())
    ((2, 0), (8, 1), (13, 2))
    """
    decay = 2 if optimizer.weight_decay else 0  # g + weight_decay w; or of AdamW and Lion, from w or the sign
    momentum = bool(getattr(optimizer, "momentum", 0))
    rules = {
        SGD: (2, 0),  # w - rate g
        Momentum: (4, 1),  # v = momentum v + d, w - rate v
        Nesterov: (6, 1),  # and d + momentum v
        RMSprop: (11, 2) if momentum else (9, 1),  # s: 4, d / (sqrt(s) + epsilon): 3, then 2, or 4 with momentum
        Adam: (13, 2),  # v: 3, s: 4, its correction: 1, sqrt, sum and quotient: 3, rate and difference: 2
        AdamW: (13, 2),
        Lion: (9, 1),  # the sign's argument: 3, sign: 1, rate and difference: 2, v: 3
    }
    if type(optimizer) not in rules or not optimizer.compiled:
        raise TypeError(f"optimizer is {optimizer!r}; the rule of one of your own is not known")
    flops, moments = rules[type(optimizer)]
    return flops + decay, moments
