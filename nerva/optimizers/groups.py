"""Parameter groups: an optimizer for each."""

from collections.abc import Callable, Sequence
from typing import Any, Never

from nerva.optimizers.gradient_descent import Nesterov
from nerva.optimizers.optimizer import Optimizer
from nerva.parameters import Parameter, Step, Taken
from nerva.validation import check_not_negative

Selector = str | Parameter | Callable[[Parameter], bool]


class Groups(Optimizer):
    """Parameter groups, each with an optimizer of its own.

    Parameters
    ----------
    groups : (selector, optimizer) or (selector, optimizer, scale); a parameter belongs to the first group whose
        selector matches it. A selector is the name of parameters ("weight", "bias"), a Parameter, or a callable
        Parameter -> bool; the scale multiplies the learning rate of the group
    rest : the optimizer of all other parameters; None is Nesterov()
    clip_norm : as of Optimizer, over the parameters of all groups together

    Raises TypeError for an optimizer with a clip_norm or a method `step` of its own.

    >>> optimizer = nerva.Groups([("bias", nerva.SGD())], rest=nerva.AdamW())
    >>> model = nerva.MLP([4, 8, 3], density=0.5)
    >>> first = model.layers[0].parameters()[0]
    >>> optimizer = nerva.Groups([(first, nerva.Nesterov(), 0.1)], rest=nerva.Nesterov())
    """

    def __init__(
        self,
        groups: Sequence[tuple[Any, ...]],
        *,
        rest: Optimizer | None = None,
        clip_norm: float | None = None,
        **unknown: Never,
    ) -> None:
        super().__init__(clip_norm=clip_norm, **unknown)
        self.rest = Nesterov() if rest is None else rest
        if not isinstance(groups, (tuple, list)):
            raise TypeError(f"groups is {groups!r}; it must be a sequence of (selector, optimizer)")
        self.groups: list[tuple[Selector, Optimizer, float]] = []
        for i, group in enumerate(groups):
            if not isinstance(group, (tuple, list)) or not 2 <= len(group) <= 3:
                raise TypeError(f"groups[{i}] is {group!r}; it must be (selector, optimizer) or with a scale")
            selector, optimizer, scale = (*group, 1.0)[:3]
            if not isinstance(selector, (str, Parameter)) and not callable(selector):
                raise TypeError(f"groups[{i}] selects by {selector!r}; it must be a name, a parameter or a callable")
            self.groups.append((selector, optimizer, check_not_negative(scale, f"the scale of groups[{i}]")))
        named = [(f"groups[{i}]", optimizer) for i, (_, optimizer, _) in enumerate(self.groups)]
        for name, optimizer in [*named, ("rest", self.rest)]:
            if not isinstance(optimizer, Optimizer) or not optimizer.compiled or optimizer.clip_norm is not None:
                raise TypeError(f"{name} has {optimizer!r}; it must be an optimizer without a clip_norm of its own")

    @property
    def members(self) -> tuple[Optimizer, ...]:
        """The optimizers of all groups, in their order, and that of the rest."""
        own = [*(optimizer for _, optimizer, _ in self.groups), self.rest]
        return tuple(member for optimizer in own for member in optimizer.members)

    @property
    def default_rate(self) -> float:  # type: ignore[override]
        """The least of those of all groups and of the rest, a group's divided by its scale."""
        rates = [optimizer.default_rate / scale for _, optimizer, scale in self.groups if scale > 0]
        return min([*rates, self.rest.default_rate])

    def owner_of(self, parameter: Parameter) -> Optimizer:
        """Return the optimizer of a parameter's group."""
        return next((own for selector, own, _ in self.groups if _matches(selector, parameter)), self.rest)

    def at(self, rate: float) -> Step:
        """Return the update at a learning rate."""
        steps = [(selector, optimizer.at(rate * scale)) for selector, optimizer, scale in self.groups]
        return _GroupStep(steps, self.rest.at(rate))


class _GroupStep(Step):
    """The steps of all groups as one: each parameter takes that of its group."""

    __slots__ = ("_rest", "_steps")

    def __init__(self, steps: list[tuple[Selector, Step]], rest: Step) -> None:
        self._steps, self._rest = steps, rest

    def take(self, parameter: Parameter) -> Taken:
        own = next((step for selector, step in self._steps if _matches(selector, parameter)), self._rest)
        return own.take(parameter)


def _matches(selector: Selector, parameter: Parameter) -> bool:
    if isinstance(selector, str):
        return parameter.name == selector
    return parameter is selector if isinstance(selector, Parameter) else bool(selector(parameter))
