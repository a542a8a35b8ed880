"""The curves of a training run in a notebook, while it runs. Needs IPython, which notebooks have."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from nerva.callbacks.monitors import check_callable
from nerva.pictures import pattern_html
from nerva.training.history import EpochRecord
from nerva.training.run import Run
from nerva.validation import check_flag, check_integer


class LivePlot:
    """Show loss and accuracy below the cell of a notebook, drawn anew after every epoch.

    Parameters
    ----------
    every : epochs from one drawing to the next; the last one is always drawn
    patterns : whether to draw the patterns of the sparse layers too, as dynamic sparse training moves them
    show : called with each drawing as HTML, in place of the notebook; None is the notebook

    Raises ValueError or TypeError, which names the argument, for one that is wrong; at the start of `fit`, ImportError
    without IPython.

    >>> drawings = []
    >>> live = nerva.callbacks.LivePlot(show=drawings.append)
    >>> history = nerva.MLP([4, 3]).fit(np.zeros((20, 4)), [0] * 20, epochs=2, callbacks=[live])
    >>> len(drawings)
    2
    """

    def __init__(self, *, every: int = 1, patterns: bool = False, show: Callable[[str], object] | None = None) -> None:
        self.every, self.patterns = check_integer(every, "every", least=1), check_flag(patterns, "patterns")
        self._given = check_callable(show, "show")
        self._show: Callable[[str], object] = lambda html: None
        self._drawn = 0

    def on_train_begin(self, run: Run) -> None:
        """Make a place for the drawing."""
        self._show, self._drawn = self._given or _in_notebook(), 0

    def on_epoch_end(self, run: Run, record: EpochRecord) -> None:
        """Draw, where it is due."""
        if record.epoch % self.every == 0:
            self._draw(run)

    def on_train_end(self, run: Run) -> None:
        """Draw the end, if it is not drawn yet."""
        if len(run.history) > self._drawn:
            self._draw(run)

    def _draw(self, run: Run) -> None:
        self._drawn = len(run.history)
        layers = getattr(run.model, "layers", ()) if self.patterns else ()
        weights = [layer.weight for layer in layers if hasattr(getattr(layer, "weight", None), "indptr")]
        self._show(run.history._repr_html_() + "".join(map(pattern_html, weights)))


def _in_notebook() -> Callable[[str], object]:
    """Return what shows HTML in one place below the cell of a notebook."""
    try:
        notebook: Any = import_module("IPython.display")
    except ImportError:
        raise ImportError("LivePlot needs a notebook, which has IPython; elsewhere, give it `show`") from None
    handle: Any = None

    def show(html: str) -> None:
        nonlocal handle
        if handle is None:
            handle = notebook.display(notebook.HTML(html), display_id=True)
        else:
            handle.update(notebook.HTML(html))

    return show
