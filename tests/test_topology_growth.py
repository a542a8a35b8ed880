"""The floor of dynamic sparse training: the largest gradients, empty positions, merging, and state that moves along."""

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import nerva
from nerva._kernels.csr import CSR
from nerva._kernels.memory import empty_batch
from nerva._kernels.rewiring import empty_positions, flat_positions, merge
from nerva._kernels.supports import draw_support
from nerva.topology import top_gradients as module
from nerva.topology.drop import lowest
from nerva.topology.grow import distinct
from nerva.topology.layer_state import Explored
from nerva.topology.schedules import in_proportion
from nerva.topology.top_gradients import top_gradients


def make(K, D, nnz, rng, dtype=np.float32):
    return CSR((K, D), *draw_support(K, D, nnz, rng), rng.standard_normal(nnz).astype(dtype))


def batch(features, N, rng, dtype, whole=True):
    """Random numbers; whole ones, whose products are exact in any order and full of ties."""
    out = empty_batch(features, N, dtype)
    out[:] = rng.integers(-3, 4, (features, N)) if whole else rng.standard_normal((features, N))
    return out


def top(W, DZ, X, count):
    """The definition: all of |DZ X'| outside the pattern, sorted by size, then by position."""
    G = np.abs(DZ.astype(np.float64) @ X.astype(np.float64).T).reshape(-1)
    empties = np.setdiff1d(np.arange(G.size), flat_positions(W))
    return np.sort(empties[np.lexsort((empties, -G[empties]))[:count]])


@st.composite
def problems(draw):
    K, D, N = draw(st.integers(1, 40)), draw(st.integers(1, 70)), draw(st.integers(1, 9))
    nnz = draw(st.integers(0, K * D))
    return K, D, N, nnz, draw(st.integers(0, K * D - nnz)), draw(st.integers(0, 2**32))


@pytest.mark.usefixtures("instruction_set")
@given(problem=problems(), small=st.sampled_from([(7, 3), (64, 16), (1 << 18, 2048)]))
def test_the_largest_gradients_are_those_of_the_dense_product(dtype, problem, small):
    K, D, N, nnz, count, seed = problem
    rng = np.random.default_rng(seed)
    W = make(K, D, nnz, rng, dtype)
    DZ, X = batch(K, N, rng, dtype), batch(D, N, rng, dtype)
    DZ[rng.random(K) < 0.3] = 0  # neurons that are silent: many ties at zero
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "TILE", small[0])
        patch.setattr(module, "WIDEST", small[1])
        for threads in (1, 2):
            nerva.set_num_threads(threads)
            np.testing.assert_array_equal(top_gradients(W, DZ, X, count), top(W, DZ, X, count))


@pytest.mark.parametrize("shape", [(300, 1100, 30, 3000, 5000), (700, 2100, 33, 70000, 20000), (40, 9000, 100, 5, 1)])
def test_large_layers_too(rng, shape):
    """Past one tile and the sample; ones that are not whole numbers agree where no two are close."""
    K, D, N, nnz, count = shape
    W = make(K, D, nnz, rng, np.float64)
    DZ, X = batch(K, N, rng, np.float64, whole=False), batch(D, N, rng, np.float64, whole=False)
    DZ *= np.exp(2 * rng.standard_normal((K, 1)))  # rows of very different size
    np.testing.assert_array_equal(top_gradients(W, DZ, X, count), top(W, DZ, X, count))
    nerva.set_num_threads(2)
    np.testing.assert_array_equal(top_gradients(W, DZ, X, count), top(W, DZ, X, count))


def test_a_sample_that_misleads_costs_time_only(rng):
    """The rows and columns that are looked at first are larger than all others."""
    K, D = 256, 512
    W = make(K, D, 100, rng)
    DZ, X = batch(K, 8, rng, np.float32), batch(D, 8, rng, np.float32)
    DZ[::2] *= 100
    X[::2] *= 100
    for count in (10, 5000, 50000):
        np.testing.assert_array_equal(top_gradients(W, DZ, X, count), top(W, DZ, X, count))


def test_no_gradient_at_all(rng):
    W = make(600, 900, 1000, rng)
    X = batch(900, 5, rng, np.float32)
    found = top_gradients(W, np.zeros((600, 5), np.float32), X, 700)
    np.testing.assert_array_equal(found, empty_positions(W, np.arange(700)))


@given(total=st.integers(1, 400), many=st.booleans(), seed=st.integers(0, 2**32))
def test_positions_are_remembered(total, many, seed):
    """In bits and in a vector."""
    rng = np.random.default_rng(seed)
    first = distinct(rng, total, total // 2 if many else total // 300)
    ever, known = Explored(total, first), set(first.tolist())
    for _ in range(4):
        more = distinct(rng, total, int(rng.integers(total + 1)) // 4)
        ever.add(more)
        known |= set(more.tolist())
        assert len(ever) == len(known)
        assert ever.positions().tolist() == sorted(known)


def test_wrong_factors_are_refused(rng):
    W = make(4, 6, 5, rng)
    DZ, X = batch(4, 3, rng, np.float32), batch(6, 3, rng, np.float32)
    for count, DZ_, X_, message in [
        (20, DZ, X, "count"),
        (-1, DZ, X, "count"),
        (3, DZ * np.float32(np.nan), X, "DZ"),
        (3, DZ, X + np.float32(np.inf), "X"),
        (3, DZ[:, :0], X[:, :0], "samples"),
    ]:
        with pytest.raises(ValueError, match=message):
            top_gradients(W, DZ_, X_, count)


def test_products_beyond_the_numbers(rng):
    """Infinity is the largest gradient; what infinity less infinity would be is never grown."""
    W = make(3, 4, 0, rng)
    big = np.float32(1e30)
    DZ, X = np.zeros((3, 2), np.float32), np.zeros((4, 2), np.float32)
    DZ[1, 0], X[2, 0], X[3, 1] = big, big, 1
    assert top_gradients(W, DZ, X, 1).tolist() == [6]
    DZ[1], X[2] = (big, -big), (big, big)
    try:
        found = top_gradients(W, DZ, X, 12)
    except FloatingPointError:
        pass
    else:
        assert len(found) == 12  # where the product adds before it rounds


# ---- positions


@pytest.mark.parametrize("count", [1, 3, 5, 9])
def test_ranks_are_drawn_uniformly(count):
    rng = np.random.default_rng(1)
    drawn = np.concatenate([distinct(rng, 10, count) for _ in range(4000)])
    counts = np.bincount(drawn, minlength=10)
    statistic = ((counts - 400 * count) ** 2).sum() / (400 * count * (1 - count / 10)) * 9 / 10
    assert 1e-4 < stats.chi2.sf(statistic, 9) < 1 - 1e-4


@pytest.mark.parametrize(
    ("dropped", "grown", "error", "message"),
    [
        ([5], [], ValueError, "dropped"),
        ([-1], [], ValueError, "dropped"),
        ([1, 1], [], ValueError, "dropped"),
        ([2, 1], [], ValueError, "dropped"),
        ([], [24], ValueError, "grown"),
        ([], [3, 3], ValueError, "grown"),
        ([], [0], ValueError, "grown"),
    ],
)
def test_a_wrong_merge_is_refused(dropped, grown, error, message):
    W = CSR((4, 6), [0, 2, 2, 4, 5], [0, 3, 1, 2, 5], np.arange(5.0))
    layer = nerva.SparseLinear(6, 4, weight=W)
    arguments = np.array(dropped, np.int64), np.array(grown, np.int64)
    with pytest.raises(error, match=message):
        merge(W, *arguments)
    with pytest.raises(error, match=message):
        layer.rewire(*arguments)
    with pytest.raises(TypeError, match="int32"):
        merge(W, arguments[0].astype(np.int32), np.empty(0, np.int64))
    assert W.values.tolist() == [0, 1, 2, 3, 4]


# ---- a layer rewired


@pytest.mark.parametrize("backend", ["native", "mkl", "dense"])
@given(problem=problems())
def test_state_moves_with_its_weight(dtype, backend, problem):
    K, D, N, nnz, count, seed = problem
    rng = np.random.default_rng(seed)
    layer = nerva.SparseLinear(D, K, weight=make(K, D, nnz, rng, dtype), bias=False, backend=backend)
    W, weight = layer.weight, layer.parameters()[0]
    X, DY = batch(D, N, rng, dtype), batch(K, N, rng, dtype)

    def train():
        layer.forward(X)
        DX = layer.backward(DY, step=nerva.Momentum().at(0.125)).copy()
        return DX

    train()
    weight.state["second"] = rng.standard_normal(nnz).astype(dtype)
    before = {"value": W.values.copy(), **{name: vector.copy() for name, vector in weight.state.items()}}
    flat = flat_positions(W)
    dropped = distinct(rng, nnz, int(rng.integers(nnz + 1))) if nnz else np.empty(0, np.int64)
    grown = empty_positions(W, distinct(rng, K * D - nnz, count))
    first = rng.standard_normal(count).astype(dtype)
    layer.rewire(dropped, grown, first)
    assert layer.weight is W
    assert layer.nnz == nnz - len(dropped) + count == len(weight.values)
    assert np.shares_memory(weight.values, W.values) or layer.nnz == 0
    after = {"value": W.values, **weight.state}
    where = {int(p): i for i, p in enumerate(flat_positions(W))}
    kept = np.setdiff1d(np.arange(nnz), dropped)
    for name, vector in before.items():
        old = np.zeros(0 if not len(after[name]) else len(after[name]), dtype)
        for i in kept:
            old[where[int(flat[i])]] = vector[i]
        for p, value in zip(grown, first, strict=True):
            old[where[int(p)]] = value if name == "value" else 0
        np.testing.assert_array_equal(after[name], old)
    # Products, companion and handles are those of the new matrix.
    dense = W.to_dense()
    np.testing.assert_allclose(layer.forward(X), dense @ X, rtol=1e-4, atol=1e-4)
    del weight.state["second"]
    np.testing.assert_allclose(train(), dense.T @ DY, rtol=1e-4, atol=1e-4)
    assert W.values.shape == (layer.nnz,)


def test_where_the_count_is_the_same_nothing_is_allocated_anew(rng):
    layer = nerva.SparseLinear(30, 20, density=0.2, rng=rng)
    values, indices = layer.weight.values, layer.weight.indices
    layer.rewire(np.array([0, 5]), empty_positions(layer.weight, np.array([3, 17])))
    assert np.shares_memory(values, layer.weight.values)
    np.testing.assert_array_equal(indices, layer.weight.indices)
    assert not indices.flags.writeable


@pytest.mark.parametrize("values", [np.ones(3), np.array([np.nan]), np.inf])
def test_wrong_first_values_are_refused(rng, values):
    layer = nerva.SparseLinear(30, 20, density=0.2, rng=rng)
    with pytest.raises(ValueError, match="values"):
        layer.rewire(np.array([0]), empty_positions(layer.weight, np.array([3])), values)


def test_signals_are_the_factors_of_the_dense_gradient(rng):
    model = nerva.MLP([9, 8, 7, 4], density=[0.5] * 3, dtype=np.float64)
    X, y = rng.standard_normal((9, 6)), rng.integers(4, size=6)
    with pytest.raises(RuntimeError, match="factors"):
        _ = model.layers[0].dense_gradient_factors
    result = nerva.SoftmaxCrossEntropy()(model.forward(X), y)
    with pytest.raises(RuntimeError, match="factors"):
        _ = model.layers[0].dense_gradient_factors
    model.backward(result.gradient)
    for layer in model.layers:
        X, DZ = layer.dense_gradient_factors
        G = (DZ @ X.T)[np.repeat(np.arange(layer.out_features), np.diff(layer.weight.indptr)), layer.weight.indices]
        np.testing.assert_allclose(G, layer.weight_gradient, rtol=1e-10, atol=1e-12)


# ---- selection


@given(seed=st.integers(0, 2**32), n=st.integers(0, 60), kinds=st.integers(1, 60))
def test_the_lowest_and_the_first_of_equals(seed, n, kinds):
    rng = np.random.default_rng(seed)
    scores = rng.integers(kinds, size=n).astype(np.float32)
    count = int(rng.integers(n + 1))
    np.testing.assert_array_equal(lowest(scores, count), np.sort(np.lexsort((np.arange(n), scores))[:count]))


def test_no_choice_among_nan():
    with pytest.raises(ValueError, match="NaN"):
        lowest(np.array([1.0, np.nan]), 1)


@given(
    total=st.integers(0, 300),
    parts=st.lists(st.tuples(st.floats(0, 1e6), st.integers(0, 100)), min_size=1, max_size=6),
)
def test_shares_are_exact(total, parts):
    weights, most = zip(*parts, strict=True)
    shares = in_proportion(total, weights, most)
    assert sum(shares) == min(total, sum(most))
    assert all(0 <= share <= cap for share, cap in zip(shares, most, strict=True))


# ---- wide layers

WIDE = """
import json, resource, sys, time
import numpy as np
import nerva
from nerva._kernels.memory import empty_batch
from nerva.topology import TopologyUpdater

def status(name):
    for line in open("/proc/self/status"):
        if line.startswith(name):
            return int(line.split()[1]) * 1024

n, nnz, steps = int(sys.argv[1]), int(sys.argv[2]), 4
method = {"rigl": nerva.RigL(every=2, end=1.0), "set": nerva.SET(every=2, unit="step")}[sys.argv[3]]
rng = np.random.default_rng(0)
layer = nerva.SparseLinear(n, n, density=nnz / n / n, rng=0, backend="native")
optimizer = nerva.Momentum()
X, DY = empty_batch(n, 32, np.float32), empty_batch(n, 32, np.float32)
X[:], DY[:] = rng.standard_normal(X.shape), rng.standard_normal(DY.shape)
layer.forward(X)
layer.backward(DY, input_gradient=False, step=optimizer.at(0.01))
layer.weight_gradient
before = status("VmRSS")
seconds = []
moves = TopologyUpdater(method, [layer], steps, steps, rng)
for step in range(steps):
    started = time.perf_counter()
    learn = moves.before(step)
    layer.forward(X)
    layer.backward(DY, input_gradient=False, step=optimizer.at(0.01) if learn else None)
    moves.after(step, 0.01)
    seconds.append(time.perf_counter() - started)
print(json.dumps({"peak": status("VmHWM") - before, "nnz": layer.nnz, "seconds": seconds,
                  "grown": [record.grown for record in moves.records]}))
"""


def wide(n, nnz, method, folder):
    command = [sys.executable, "-W", "error", "-c", WIDE, str(n), str(nnz), method]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=True)
    return json.loads(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read as on Linux")
@pytest.mark.parametrize(("n", "nnz", "method"), [(20_000, 2_000_000, "rigl"), (1_000_000, 2_000_000, "set")])
def test_a_wide_layer_moves_in_the_memory_of_its_weights(n, nnz, method, tmp_path):
    """Dense, the gradient of the first would take 1.6 GB, the positions of the second 4 TB."""
    found = wide(n, nnz, method, tmp_path)
    print({**found, "MiB": found["peak"] / 2**20})
    assert found["nnz"] == nnz
    assert found["grown"][0] > 0
    assert found["peak"] < 150 * nnz + 2**25
