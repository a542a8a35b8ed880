"""The support of a sparse layer from what is known: a list of edges between inputs and outputs that have names."""

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np

from nerva._kernels.csr import CSR

SHOWN = 5  # names or edges in the message of an error


def support_from_edges(edges: Any, *, inputs: Iterable[Hashable], outputs: Iterable[Hashable]) -> CSR:
    """Return the support of a layer that has a weight for each edge, and no other: a CSR matrix (K, D) of ones.

    Parameters
    ----------
    edges : pairs (input, output) of names: a list, an array of two columns, or a data frame of two columns
    inputs : the D names of the inputs, in the order of the columns of X, such as `feature_names_in_` of an estimator
    outputs : the K names of the outputs, in the order that the neurons shall have; those of one layer may be the
        inputs of the next. One without an edge has a bias alone

    nerva.SparseLinear, nerva.MLP and the estimators of nerva.sklearn take it as `support`.

    Raises TypeError for what is no list of pairs or names, ValueError, which lists them, for names in an edge that are
    not among the inputs or outputs, for edges or names given twice, and where there is no edge at all.

    N. Fortelny and C. Bock, Knowledge-primed neural networks enable biologically interpretable deep learning on
    single-cell sequencing data, Genome Biology 21, 2020.

    >>> edges = [("TP53", "apoptosis"), ("BAX", "apoptosis"), ("TP53", "cell cycle")]
    >>> support = nerva.support_from_edges(edges, inputs=["BAX", "MYC", "TP53"], outputs=["apoptosis", "cell cycle"])
    >>> support.to_dense()
    array([[1., 0., 1.],
           [0., 0., 1.]], dtype=float32)
    >>> nerva.SparseLinear(3, 2, support=support).nnz
    3
    """
    pairs = _pairs(edges)
    columns, rows = _numbers(inputs, "inputs"), _numbers(outputs, "outputs")
    for names, place, called in ((columns, 0, "inputs"), (rows, 1, "outputs")):
        unknown = list(dict.fromkeys(pair[place] for pair in pairs if pair[place] not in names))
        if unknown:
            raise ValueError(f"edges name {_listed(unknown)}, which {'is' if len(unknown) == 1 else 'are'} no {called}")
    K, D = len(rows), len(columns)
    positions = np.array([rows[output] * D + columns[input] for input, output in pairs], np.int64)
    keys, first, counts = np.unique(positions, return_index=True, return_counts=True)
    if len(keys) != len(positions):
        raise ValueError(f"edges holds {_listed([pairs[i] for i in first[counts > 1]])} more than once")
    indptr = np.concatenate([[0], np.bincount(keys // D, minlength=K).cumsum()])
    return CSR((K, D), indptr, keys % D, np.ones(len(keys), np.float32))


def _pairs(edges: Any) -> list[tuple[Any, Any]]:
    """Return edges as a list of pairs; raise TypeError or ValueError, which names the edge, for anything else."""
    if hasattr(edges, "columns") and hasattr(edges, "__getitem__"):  # a data frame
        if len(edges.columns) != 2:
            raise ValueError(f"edges has the columns {list(edges.columns)}; there must be two: inputs, then outputs")
        edges = zip(*(np.asarray(edges[column]).tolist() for column in edges.columns), strict=True)
    if isinstance(edges, (str, bytes)) or not isinstance(edges, Iterable):
        raise TypeError(f"edges is {edges!r}; it must be a list of pairs (input, output), or a data frame")
    pairs = []
    for i, edge in enumerate(edges):
        edge = edge.tolist() if isinstance(edge, np.ndarray) else edge
        if not isinstance(edge, (tuple, list)) or len(edge) != 2 or not all(isinstance(e, Hashable) for e in edge):
            raise ValueError(f"edges[{i}] is {edge!r}; it must be a pair (input, output)")
        pairs.append((edge[0], edge[1]))
    if not pairs:
        raise ValueError("edges is empty; a layer needs at least one weight")
    return pairs


def _numbers(names: Iterable[Hashable], called: str) -> dict[Any, int]:
    """Return the place of each name; raise TypeError or ValueError where they are none, or not one of a kind."""
    if isinstance(names, (str, bytes)) or not isinstance(names, Iterable):
        raise TypeError(f"{called} is {names!r}; it must be a list of names")
    given = list(names.tolist() if isinstance(names, np.ndarray) else names)
    numbers = {name: i for i, name in enumerate(given)}
    if not numbers:
        raise ValueError(f"{called} is empty; there must be at least one name")
    if len(numbers) != len(given):
        twice = [name for i, name in enumerate(given) if numbers[name] != i]
        raise ValueError(f"{called} holds {_listed(list(dict.fromkeys(twice)))} more than once")
    return numbers


def _listed(things: Sequence[Any]) -> str:
    """Return some things for a message, and how many more there are."""
    shown, more = ", ".join(map(repr, things[:SHOWN])), len(things) - SHOWN
    return f"{shown} and {more} more" if more > 0 else shown
