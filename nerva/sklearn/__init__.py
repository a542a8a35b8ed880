"""nerva as estimators of scikit-learn (the extra 'sklearn'): truly sparse perceptrons, and features selected by them.

`SparseMLPClassifier` and `SparseMLPRegressor` have the parameters of scikit-learn's MLPClassifier and those of nerva;
`InputStrengthSelector` keeps the features whose weights are strongest (`neuron_strength`). scikit-learn is loaded with
the first name that is asked for. See docs/sklearn.md.

>>> import nerva.sklearn
>>> nerva.sklearn.__all__
['InputStrengthSelector', 'SparseMLPClassifier', 'SparseMLPRegressor', 'neuron_strength']
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nerva.sklearn.classifier import SparseMLPClassifier
    from nerva.sklearn.regressor import SparseMLPRegressor
    from nerva.sklearn.selection import InputStrengthSelector
    from nerva.sklearn.strength import neuron_strength

__all__ = ["InputStrengthSelector", "SparseMLPClassifier", "SparseMLPRegressor", "neuron_strength"]


def __getattr__(name: str) -> Any:
    """Import what is asked for: without scikit-learn this package can be found, but has no estimators."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "neuron_strength":
        from nerva.sklearn.strength import neuron_strength

        return neuron_strength
    try:
        import sklearn.base  # noqa: F401
    except ImportError:
        raise ImportError(f"nerva.sklearn.{name} needs scikit-learn: pip install 'nerva-sparse[sklearn]'") from None
    if name == "SparseMLPClassifier":
        from nerva.sklearn import classifier as module
    elif name == "SparseMLPRegressor":
        from nerva.sklearn import regressor as module  # type: ignore[no-redef]
    else:
        from nerva.sklearn import selection as module  # type: ignore[no-redef]
    return getattr(module, name)
