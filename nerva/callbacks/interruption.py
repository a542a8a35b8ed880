"""Let SIGINT and SIGTERM end a training run between batches."""

from __future__ import annotations

from types import FrameType

from nerva.system.signals import interrupt


class DeferredInterrupt:
    """Defer a signal to the end of the batch or epoch; a callback of `fit`, whose `hold` is the signal handler.

    It raises KeyboardInterrupt there, so that no batch is left half done and no line of output cut in two. A second
    signal is not deferred.

    >>> from nerva.callbacks import DeferredInterrupt
    >>> from nerva.system.signals import handling
    >>> model, deferred = nerva.MLP([4, 3]), DeferredInterrupt()
    >>> with handling(deferred.hold):
    ...     history = model.fit(np.zeros((20, 4)), [0] * 20, epochs=2, callbacks=[deferred])
    """

    def __init__(self) -> None:
        self._held = 0

    def hold(self, number: int, frame: FrameType | None) -> None:
        """Keep the signal for later; raise KeyboardInterrupt at once where one is waiting already."""
        if self._held:
            interrupt(number, frame)
        self._held = number

    def on_batch(self, batch: int, batches: int) -> None:
        """Raise KeyboardInterrupt where a signal is waiting."""
        if self._held:
            interrupt(self._held, None)

    def __call__(self, model: object, record: object) -> None:
        if self._held:
            interrupt(self._held, None)
