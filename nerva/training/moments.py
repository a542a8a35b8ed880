"""The moments of a training run at which callbacks are called, and the calls."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from nerva.training.history import StopTraining

# What a callback may have, and the arguments it is called with, by their names.
MOMENTS = {
    "on_train_begin": ("run",),
    "on_epoch_begin": ("run",),
    "on_topology_update": ("run", "records"),
    "on_batch": ("batch", "batches"),
    "on_batch_end": ("run", "result"),
    "on_epoch_end": ("run", "record"),
    "on_train_end": ("run",),
    "__call__": ("model", "record"),
}


class Moments:
    """The callbacks of a run, told of its moments (see nerva.training.history.Callback).

    Parameters
    ----------
    callbacks : objects with some of the methods of MOMENTS
    display : one that is called before the others, and is not among `callbacks`; None for none

    `whole` is False while a callback has still to be called of the moment that is being told. Raises TypeError or
    ValueError, which names the callback, for one that has no such method, one by another name that begins with `on_`,
    or one that does not take the arguments.
    """

    def __init__(self, callbacks: Iterable[Any], display: Any = None) -> None:
        if not isinstance(callbacks, Iterable):
            raise TypeError(f"callbacks is {callbacks!r}; it must be a sequence of callables or objects")
        self.callbacks = tuple(callbacks)
        for index, callback in enumerate(self.callbacks):
            _check(callback, f"callbacks[{index}]")
        self._all = self.callbacks if display is None else (display, *self.callbacks)
        self.whole = True
        self._begun: list[Any] = []
        self._batch = self._turns("on_batch", "on_batch_end")
        self._epoch = self._turns("on_epoch_end", "__call__")

    def _turns(self, *moments: str) -> list[tuple[str, Callable[..., object]]]:
        """Return the methods of the callbacks for some moments, callback by callback."""
        turns = ((moment, _method(callback, moment)) for callback in self._all for moment in moments)
        return [(moment, method) for moment, method in turns if method is not None]

    def begin(self, run: Any) -> bool:
        """Tell of the start of the training, and return whether a callback has raised StopTraining."""
        stop, self.whole = False, True
        for callback in self._all:
            self._begun.append(callback)
            if (method := _method(callback, "on_train_begin")) is not None:
                stop |= self._call([("", method)], {"": (run,)})
        return stop

    def tell(self, moment: str, *arguments: Any) -> bool:
        """Call the callbacks that have a method for a moment, and return whether one has raised StopTraining.

        The others are called all the same. Any other exception passes, and those after it are not called.
        """
        return self._call(self._turns(moment), {moment: arguments})

    def tell_batch_end(self, run: Any, result: Any, batch: int, batches: int) -> bool:
        """Tell of the end of a batch; as `tell`."""
        return bool(self._batch) and self._call(
            self._batch, {"on_batch": (batch, batches), "on_batch_end": (run, result)}
        )

    def tell_epoch_end(self, run: Any, record: Any) -> bool:
        """Tell of the end of an epoch; as `tell`."""
        return self._call(self._epoch, {"on_epoch_end": (run, record), "__call__": (run.model, record)})

    def end(self, run: Any) -> None:
        """Tell those that were told of the start of its end: each, even where one fails, whose error passes then."""
        failure: BaseException | None = None
        begun, self._begun = self._begun, []
        for callback in begun:
            method = _method(callback, "on_train_end")
            try:
                if method is not None:
                    method(run)
            except StopTraining:
                pass  # it has ended
            except BaseException as error:
                failure = failure or error
        if failure is not None:
            raise failure

    def _call(self, turns: list[tuple[str, Callable[..., object]]], arguments: dict[str, tuple[Any, ...]]) -> bool:
        stop, left = False, len(turns)
        for moment, method in turns:
            left -= 1
            self.whole = left == 0
            try:
                method(*arguments[moment])
            except StopTraining:
                stop = True
        return stop


def _method(callback: Any, moment: str) -> Callable[..., object] | None:
    """Return what a callback is called by at a moment, None where it has nothing to do then."""
    if moment == "__call__":
        return callback if callable(callback) else None
    return getattr(callback, moment, None)


def _check(callback: Any, name: str) -> None:
    """Raise TypeError or ValueError, which names it, for what is no callback."""
    known = ", ".join(moment for moment in MOMENTS if moment != "__call__")
    if isinstance(callback, type):
        raise TypeError(f"{name} is the class {callback.__name__}; make an object of it: {callback.__name__}(...)")
    for other in dir(callback):
        if other.startswith("on_") and other not in MOMENTS and callable(getattr(callback, other, None)):
            raise ValueError(f"{name} is {callback!r}, whose {other} would never be called; the moments are {known}")
    if not any(_method(callback, moment) is not None for moment in MOMENTS):
        raise TypeError(f"{name} is {callback!r}; it must be callable, or have some of the methods {known}")
    for moment, arguments in MOMENTS.items():
        method = _method(callback, moment)
        if method is None:
            continue
        if not callable(method):
            raise TypeError(f"{name} is {callback!r}, whose {moment} is {method!r}; it must be a method")
        try:
            signature = inspect.signature(method)
        except (TypeError, ValueError):  # some of those that are compiled have none
            continue
        try:
            signature.bind(*arguments)
        except TypeError:
            called = "" if moment == "__call__" else f", whose {moment}"
            raise TypeError(f"{name} is {callback!r}{called} takes {signature}; it must take {arguments}") from None
