"""A compiled step in bfloat16: loss, gradients and outputs against float64 with the same rounding of what is stored."""

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerva._kernels import isa, mkl
from nerva._kernels.activations import ACTIVATIONS
from nerva._kernels.csr import CSR
from nerva._kernels.operations import Product
from nerva._kernels.plan import Plan

from ..bfloat16_reference import Bfloat16Oracle, needs_bfloat16, rounded
from ..plan_reference import ARRAY, RULES, SOURCES, Case, gradients_of, plain_case, updates
from ..reference import PATTERNS, Frame, assert_same_bits, assert_within
from .test_ages import AGEING, births
from .test_plan import BATCHES, assert_gradients, assert_same, cases
from .test_plan_again import CASES, assert_less_memory_and_the_same_bits
from .test_plan_updates import assert_steps

pytestmark = needs_bfloat16


def assert_right(case, threads=(2,)):
    """Loss, gradients and outputs are within their bounds, and nothing but moments and outputs was written."""
    network = case.network(np.float32, bfloat16=True)
    wanted = Bfloat16Oracle().step(network)
    before = copy.deepcopy([network.vectors(), network.batch])
    for count in threads:
        mkl.set_num_threads(count)
        loss, correct, gradients = gradients_of(network)
        assert abs(loss - wanted.loss) <= wanted.loss_error
        assert wanted.correct[0] <= correct <= wanted.correct[1]
        assert_gradients(gradients, wanted.gradients)
        assert_same([network.vectors(), network.batch], before)
        if network.moves is None:
            out = Frame(np.full((case.sizes[-1], case.N), np.nan), np.float32, case.offset, case.offset)
            network.plan().forward(network.source, network.rows, out.array, scale=network.scale, shift=network.shift)
            assert_within(out.array, wanted.outputs.value, wanted.outputs.error, "outputs")
            out.assert_intact_outside("outputs")
        for frame in network.frames:
            frame.assert_unchanged("dense weights or biases")


@given(case=cases(), threads=st.integers(1, 3))
def test_loss_gradients_and_outputs(case, threads):
    assert_right(case, (threads,))


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("N", sorted({*BATCHES, 8, 15, 16, 17, 31, 32, 33, 47, 48, 49, 80, 97, 112}))
def test_every_shape_of_slices(N, source):
    for by_rows in (True, False):
        settings = {"source": source, "scaled": True, "shifted": source == "uint8", "by_rows": by_rows}
        assert_right(plain_case((70, 60, 15, 5), N, **settings), (1, 2, 3))


@pytest.mark.parametrize("pattern", [*PATTERNS, ARRAY])
def test_every_pattern(pattern):
    for source in ("uint8", "float32"):
        assert_right(plain_case((130, 90, 60, 10), 100, pattern, source=source, scaled=True))


@pytest.mark.parametrize("nnz", range(1, 35))
def test_rows_of_every_length(nnz, rng):
    """Positions of a row go 16 at a time, and the last ones of the matrix with none behind them."""
    case = Case((40, 12, 5), ("half", "full"), ("tanh", "identity"), (True, True), 50, source="uint8", scaled=True)
    network = case.network(np.float32, bfloat16=True)
    for rows in ([0], [11], [0, 5, 11]):
        W = np.zeros((12, 40), np.float32)
        for row in rows:
            W[row, rng.choice(40, nnz, replace=False)] = rng.standard_normal(nnz) / nnz
        network.weights[0] = CSR.from_dense(W)
        assert_gradients(gradients_of(network)[2], Bfloat16Oracle().step(network).gradients)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("pattern", ["half", ARRAY])
def test_every_activation_in_every_layer(activation, pattern):
    for biased in (True, False):
        for N in (5, 40, 70):
            assert_right(Case((20, 15, 10, 5), (pattern,) * 3, (activation,) * 3, (biased,) * 3, N))


def whole_numbers(source, N):
    """A network all of whose sums are exact, of far fewer bits than float32 has, but of more than bfloat16 has."""
    rng, case = np.random.default_rng(N), plain_case((40, 60, 50, 10), N, source=source, samples=N)
    network = case.network(np.float32, bfloat16=True)
    for i, largest in enumerate((7, 7, 900)):
        W = rng.integers(-largest, largest + 1, network.weights[i].shape) * (rng.random(network.weights[i].shape) < 0.5)
        network.weights[i] = CSR.from_dense(W.astype(np.float32))
        network.biases[i][:] = rng.integers(-9, 10, len(W))
    network.source = rng.integers(0 if source == "uint8" else -9, 10, network.source.shape).astype(source)
    network.rows = np.arange(N)
    return network


@pytest.mark.parametrize("source", ["uint8", "float32"])
@pytest.mark.parametrize("N", [16, 32, 64, 128, 512])
def test_what_is_stored_is_rounded_and_nothing_else(source, N):
    """Logits of whole numbers lie so far apart that probabilities are 0 and 1, and the gradient by them is exact."""
    network = whole_numbers(source, N)
    W = [weight.to_dense().astype(np.float64) for weight in network.weights]
    b = [bias.astype(np.float64)[:, None] for bias in network.biases]
    inputs = [network.source.T.astype(np.float64)]
    for i in range(2):
        inputs.append(rounded(np.maximum(W[i] @ inputs[-1] + b[i], 0)))
    Z = W[2] @ inputs[2] + b[2]
    top = np.sort(Z, axis=0)
    assert (np.abs(Z) < 2**24).all()
    assert (top[-1] - top[-2] > 100).all()
    out = np.zeros((10, N), np.float32)
    network.plan().forward(network.source, network.rows, out)
    np.testing.assert_array_equal(out, Z)
    D = [None, None, (np.arange(10)[:, None] == Z.argmax(0)) / N - (np.arange(10)[:, None] == network.labels) / N]
    biases = [None, None, D[2].sum(1)]
    for i in (1, 0):
        D[i] = (W[i + 1].T @ D[i + 1]) * (inputs[i + 1] > 0)
        biases[i], D[i] = D[i].sum(1), rounded(D[i])
    for i, (weights, bias) in enumerate(gradients_of(network)[2]):
        G = (D[i] @ inputs[i].T)[W[i] != 0]
        np.testing.assert_allclose(weights, G, rtol=0, atol=2e-6 * np.abs(G).max())
        np.testing.assert_allclose(bias, biases[i], rtol=0, atol=2e-6 * np.abs(biases[i]).max())


def test_sums_are_rounded_to_the_nearest_and_halves_to_even():
    """With sums that are exact, and logits that show what was stored."""
    sums = np.array([1, 1.00390625, 1.01171875, 1.0039064, 3.0078125, 257, 259, -257, -259, 2.0**-100], np.float32)
    size = len(sums)
    operations = [
        Product(CSR.from_dense(np.diag(sums)), None),
        Product(CSR.from_dense(np.eye(size, dtype=np.float32)), None),
    ]
    out, X = np.zeros((size, 1), np.float32), np.ones((1, size), np.float32)
    Plan(operations, np.float32, bfloat16=True).forward(X, np.zeros(1, np.int64), out)
    assert_same_bits(out[:, 0], rounded(sums).astype(np.float32))
    assert out[:9, 0].tolist() == [1, 1, 1.015625, 1.0078125, 3, 256, 260, -256, -260]


def test_samples_of_float_are_rounded_and_bytes_are_exact():
    W = CSR.from_dense(np.eye(4, dtype=np.float32))
    plan, rows, out = (
        Plan([Product(W, None)], np.float32, bfloat16=True),
        np.zeros(1, np.int64),
        np.zeros((4, 1), np.float32),
    )
    plan.forward(np.array([[257, 1.0039064, -0.1, 3e38]]), rows, out)
    assert_same_bits(out[:, 0], rounded(np.array([257, 1.0039064, -0.1, 3e38])).astype(np.float32))
    scale, shift = np.array([1, 0.3, 1 / 255, -7], np.float32), np.array([0, -1, 0.5, 1000], np.float32)
    plan.forward(np.array([[255, 201, 129, 3]], np.uint8), rows, out, scale=scale, shift=shift)
    np.testing.assert_allclose(out[:, 0], scale * np.array([255, 201, 129, 3]) + shift, rtol=1e-6)


@pytest.mark.parametrize("by_rows", [False, True])
@pytest.mark.parametrize("source", ["uint8", "float32"])
@pytest.mark.parametrize("N", [1, 20, 64, 100, 200, 600])
def test_the_same_bits_on_any_number_of_threads(N, source, by_rows):
    case = plain_case((300, 200, 100, 10), N, source=source, scaled=True, by_rows=by_rows)
    network, found = case.network(np.float32, bfloat16=True), []
    for threads in (1, 2, 3, 5):
        mkl.set_num_threads(threads)
        found.append(gradients_of(network))
    for loss, correct, gradients in found[1:]:
        assert (loss, correct) == found[0][:2]
        assert_same(gradients, found[0][2])


def networks_of_every_way(source):
    """Networks in which weights take their steps in every way: with one group of slices and with several."""
    for N, by_rows, threads in ((1, True, 2), (50, True, 3), (128, True, 1), (200, True, 2), (200, False, 2)):
        mkl.set_num_threads(threads)
        case = plain_case((70, 60, 33, 10), N, source=source, scaled=True, by_rows=by_rows)
        yield case.network(np.float32, bfloat16=True)


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("source", ["uint8", "float32"])
def test_every_rule(rule, source):
    """Also where weights take their step as their gradient is computed: with one group of slices."""
    for network in networks_of_every_way(source):
        assert_steps(network, rule)


@pytest.mark.parametrize("rule", AGEING, ids=str)
@pytest.mark.parametrize("source", ["uint8", "float32"])
def test_weights_of_different_ages(rule, source):
    for network in networks_of_every_way(source):
        assert_steps(network, rule, 40, births(network.vectors(), 40))


def test_memory_is_about_half_of_that_in_float32():
    held = []
    for bfloat16 in (False, True):
        network = plain_case((300, 200, 100, 10), 128, by_rows=True).network(np.float32, bfloat16=bfloat16)
        plan, nothing = network.plan(), network.moments()
        plan.step(updates(RULES[0].at(0.1, 1), nothing, nothing), **network.batch)
        held.append(plan.nbytes)
    scratch = 5 * 304 * 4
    assert held[1] - scratch < 0.55 * (held[0] - scratch)


def test_a_nan_in_one_sample_leaves_the_outputs_of_others():
    network = plain_case((30, 40, 5), 200, "full", samples=200).network(np.float32, bfloat16=True)
    network.rows[:] = np.arange(200)
    outs = []
    for _ in range(2):
        outs.append(np.zeros((5, 200), np.float32))
        network.plan().forward(network.source, network.rows, outs[-1])
        network.source[70] = np.nan
    assert np.isnan(outs[1][:, 70]).all()
    assert_same_bits(np.delete(outs[1], 70, 1), np.delete(outs[0], 70, 1))


def test_what_was_not_finite_is_forgotten():
    """Padding that an earlier, larger batch has left with NaN is no part of a later sum."""
    network = plain_case((30, 40, 20, 5), 64).network(np.float32, bfloat16=True)
    plan, kept = network.plan(), copy.deepcopy([network.source, network.vectors()])
    for N in (1, 9, 17, 33, 48, 63):
        before = gradients_of(network, rows=network.rows[:N])
        network.source[:] = np.nan
        assert np.isnan(gradients_of(network, plan)[0])
        network.source[:] = kept[0]
        for pair, weights in zip(network.vectors(), kept[1], strict=True):
            for vector, right in zip(pair, weights, strict=True):
                vector[:] = right
        after = gradients_of(network, plan, rows=network.rows[:N])
        assert after[:2] == before[:2]
        assert_same(after[2], before[2])


def test_it_is_for_float32_alone():
    with pytest.raises(TypeError, match="dtype is float64; with bfloat16 it must be float32"):
        Plan([Product(CSR.from_dense(np.eye(3)), None)], np.float64, bfloat16=True)


def test_without_avx512_it_is_refused():
    network = plain_case((4, 5, 3), 7).network(np.float32, bfloat16=True)
    plan, before = network.plan(), isa.chosen()
    isa.choose("avx2")
    try:
        for call in (network.plan, lambda: gradients_of(network, plan)):
            with pytest.raises(RuntimeError, match="bfloat16 needs AVX-512, which is not in use: NERVA_ISA is 'avx2'"):
                call()
    finally:
        isa.choose(before)


@pytest.mark.parametrize("name", ["float32", "bytes", "few bytes"])
def test_samples_gathered_again(name, monkeypatch):
    assert_less_memory_and_the_same_bits(CASES[name], np.float32, True, monkeypatch)
