"""What must hold of a network after anything that was done to it."""

import numpy as np

import nerva


def sound(model, finite=True):
    """Check the pattern of every sparse layer, the lengths of all that goes with it, and that numbers are finite."""
    for i, layer in enumerate(model.layers):
        weight = getattr(layer, "weight", None)
        if isinstance(weight, nerva.CSR):
            check_pattern(weight, f"layers[{i}]")
        for name, array in layer.arrays().items():
            assert not finite or array.dtype.kind != "f" or np.isfinite(array).all(), (
                f"layers[{i}].{name} is not finite"
            )
    for parameter in model.parameters():
        assert parameter.gradient.shape == parameter.values.shape, f"{parameter.name} has a gradient of another shape"
        for name, array in parameter.state.items():
            assert array.shape == parameter.values.shape, f"{name} of {parameter.name} has another shape"


def check_pattern(weight, where):
    """Check that a matrix is CSR: rows ascend, columns are sorted, unique and within range."""
    (K, D), indptr, indices = weight.shape, np.asarray(weight.indptr), np.asarray(weight.indices)
    assert indptr.shape == (K + 1,), f"{where} has {len(indptr)} row pointers for {K} rows"
    assert indptr[0] == 0, f"{where} begins at {indptr[0]}"
    assert (np.diff(indptr) >= 0).all(), f"{where} has rows that descend"
    assert indptr[-1] == len(indices) == len(weight.values) == weight.nnz, f"{where} has another count of weights"
    if len(indices):
        assert 0 <= indices.min() <= indices.max() < D, f"{where} has columns outside of 0 to {D - 1}"
        rows = np.repeat(np.arange(K), np.diff(indptr))
        assert (np.diff(rows * D + indices) > 0).all(), f"{where} has columns that are not sorted and unique"
    dense = np.zeros(weight.shape, weight.dtype)
    dense[np.repeat(np.arange(K), np.diff(indptr)), indices] = weight.values
    assert dense.tobytes() == weight.to_dense().tobytes(), f"{where} is another matrix when dense"


def weights(model):
    """The numbers of weights of the sparse layers, by the number of the layer."""
    return {i: layer.weight.nnz for i, layer in enumerate(model.layers) if isinstance(_weight(layer), nerva.CSR)}


def _weight(layer):
    return getattr(layer, "weight", None)


def bits(model):
    """All that predictions depend on, to the last bit."""
    return {name: array.tobytes() for name, array in model.state_dict().items()}


def whole_state(model):
    """All that the next steps depend on, to the last bit."""
    state = [(p.name, p.steps, {name: array.tobytes() for name, array in p.state.items()}) for p in model.parameters()]
    keys = [getattr(getattr(layer, "_keys", None), "count", None) for layer in model.layers]
    return bits(model), state, keys


def counts_are_right(before, model, history, topology):
    """Check the numbers of weights against those before, the records of the method, and what the method promises."""
    after = weights(model)
    assert after.keys() == before.keys()
    if topology is None:
        assert after == before, f"{before} weights have become {after} without a method"
        return
    name = topology.split(",")[0].split(" ")[0]
    if name in ("SET", "Magnitude", "Threshold", "RigL", "DeepR", "CHT", "CHTs"):
        assert after == before, f"{before} weights have become {after} by {topology}"
    if name == "SNFS":
        assert sum(after.values()) == sum(before.values()), f"{before} weights have become {after} by {topology}"
    if name == "TopKAST":
        return  # at the end only the forward set remains, which is no record
    for i in before:
        records = [record for record in history.topology if record.layer == i]
        told = before[i] - sum(record.dropped for record in records) + sum(record.grown for record in records)
        assert told == after[i], f"layers[{i}] has {after[i]} weights, {told} by the records of {topology}"
        assert after[i] <= before[i] or name == "SNFS", f"layers[{i}] has {after[i]} weights, more than {before[i]}"


def close(found, wanted, what, tolerance=1e-7):
    """Check that two arrays agree within rounding, relative to the largest number."""
    found, wanted = np.asarray(found, np.float64), np.asarray(wanted, np.float64)
    assert found.shape == wanted.shape, f"{what} has shape {found.shape}, not {wanted.shape}"
    if found.size:
        size, apart = max(np.abs(wanted).max(), 1.0), np.abs(found - wanted).max()
        assert apart <= tolerance * size, f"{what} differs by {apart:g}, of numbers to {size:g}"
