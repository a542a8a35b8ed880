"""Let a signal wait for the end of a batch or epoch."""

from __future__ import annotations

from types import FrameType

from nerva.system.signals import interrupt


class Patience:
    """A callback of `fit` that lets a signal wait for the end of the batch or epoch, so that no line is cut in two.

    Its `hold` is the handler. A second signal does not wait.
    """

    def __init__(self) -> None:
        self._held = 0

    def hold(self, number: int, frame: FrameType | None) -> None:
        """Keep the signal for later; end at once where one waits already."""
        if self._held:
            interrupt(number, frame)
        self._held = number

    def on_batch(self, batch: int, batches: int) -> None:
        """End where a signal waits."""
        if self._held:
            interrupt(self._held, None)

    def __call__(self, model: object, record: object) -> None:
        if self._held:
            interrupt(self._held, None)
