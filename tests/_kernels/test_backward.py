"""The fused backward pass of a sparse layer: bit for bit the same as its parts one after another."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerva._kernels import mkl, products
from nerva._kernels.activations import ACTIVATIONS, activation_backward
from nerva._kernels.csr import CSR
from nerva._kernels.memory import empty_batch
from nerva._kernels.supports import draw_support
from nerva._kernels.updates import Update

UPDATES = {
    "none": None,
    "sgd": Update("sgd", 0.1, 0.0, 0.01),
    "momentum": Update("momentum", 0.1, 0.9, 0.0),
    "nesterov": Update("nesterov", 0.1, 0.9, 0.01, clip=0.5),
    "rmsprop": Update("rmsprop", 0.1, 0.0, 0.01, second=0.9, epsilon=1e-3),
    "rmsprop with momentum": Update("rmsprop", 0.1, 0.9, 0.01, second=0.9, epsilon=1e-3),
    "adam": Update("adam", 0.1, 0.9, 0.01, second=0.99, epsilon=1e-3, t=3),
    "adamw": Update("adamw", 0.1, 0.9, 0.01, second=0.99, epsilon=1e-3, t=1, clip=0.1),
    "lion": Update("lion", 0.1, 0.9, 0.01, second=0.99),
}


def batch(rng, rows, columns, dtype):
    array = empty_batch(rows, columns, dtype)
    array[:] = rng.standard_normal((rows, columns))
    return array


class Layer:
    """All arrays of a backward pass, the same for the same seed."""

    def __init__(self, K, D, N, count, dtype, seed):
        rng = np.random.default_rng(seed)
        self.W = CSR((K, D), *draw_support(K, D, count, rng), rng.standard_normal(count).astype(dtype))
        self.X, self.Y, self.DY = (batch(rng, rows, N, dtype) for rows in (D, K, K))
        self.DZ, self.DX = batch(rng, K, N, dtype), batch(rng, D, N, dtype)
        self.gradient, self.velocity = (rng.standard_normal(count).astype(dtype) for _ in range(2))
        self.Db, self.bias, self.bias_velocity = (rng.standard_normal(K).astype(dtype) for _ in range(3))
        self.second, self.bias_second = rng.random(count).astype(dtype), rng.random(K).astype(dtype)
        self.below_Db = rng.standard_normal(D).astype(dtype)

    def by_parts(self, code, alpha, update, below=None, delta=False):
        if delta:
            self.DZ = self.DY
        else:
            activation_backward(self.DY, self.Y, code, alpha, self.DZ, self.Db)
        products.spmm_t(self.W, self.DZ, self.DX)
        if below is not None:
            activation_backward(self.DX, self.X, below, 0.5, self.DX, self.below_Db)
        products.sddmm(self.W, self.DZ, self.X, self.gradient)
        if update is not None:
            update(self.gradient, self.velocity, self.W.values, self.second)
            update(self.Db, self.bias_velocity, self.bias, self.bias_second)

    def fused(self, code, alpha, update, gradient=True, input_gradient=True, below=None, delta=False):
        if delta:
            self.DZ = self.DY
        products.sparse_backward(
            self.W,
            self.X,
            self.Y,
            self.DY,
            code,
            alpha,
            self.DZ,
            self.DX if input_gradient else None,
            gradient=self.gradient if gradient else None,
            Db=self.Db,
            update=update,
            velocity=self.velocity,
            second=self.second,
            bias=self.bias,
            bias_velocity=self.bias_velocity,
            bias_second=self.bias_second,
            delta=delta,
            below=None if below is None else (below, 0.5, self.below_Db),
        )

    def results(self, update):
        names = ["DZ", "DX", "Db", "below_Db"]
        names += ["velocity", "second", "bias", "bias_velocity", "bias_second"] if update else ["gradient"]
        return {"W": self.W.values.copy(), **{name: getattr(self, name).copy() for name in names}}


def assert_equal(found, wanted):
    for name, array in wanted.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


LAYERS = {
    "K": st.integers(1, 40),
    "D": st.integers(1, 40),
    "N": st.one_of(st.integers(0, 2), st.integers(0, 40), st.sampled_from([63, 64, 65, 100, 127, 128, 129, 300])),
    "density": st.sampled_from([0.0, 0.05, 0.4, 1.0]),
    "name": st.sampled_from(sorted(ACTIVATIONS)),
}


@given(
    **LAYERS,
    threads=st.integers(1, 3),
    seed=st.integers(0, 99),
)
@pytest.mark.parametrize("rule", UPDATES)
def test_fused_equals_the_parts(instruction_set, dtype, rule, K, D, N, density, name, threads, seed):
    mkl.set_num_threads(threads)
    update = UPDATES[rule]
    apart, joined = (Layer(K, D, N, round(density * K * D), dtype, seed) for _ in range(2))
    apart.by_parts(ACTIVATIONS[name], 0.01, update)
    joined.fused(ACTIVATIONS[name], 0.01, update)
    assert_equal(joined.results(update), apart.results(update))


@given(
    **LAYERS,
    delta=st.booleans(),
    threads=st.integers(1, 3),
    seed=st.integers(0, 99),
)
@pytest.mark.parametrize("rule", ["sgd", "momentum", "adam"])
def test_with_the_activation_below(instruction_set, dtype, rule, K, D, N, density, name, delta, threads, seed):
    mkl.set_num_threads(threads)
    update, below = UPDATES[rule], ACTIVATIONS[name]
    apart, joined = (Layer(K, D, N, round(density * K * D), dtype, seed) for _ in range(2))
    apart.by_parts(ACTIVATIONS["tanh"], 0.0, update, below, delta)
    joined.fused(ACTIVATIONS["tanh"], 0.0, update, below=below, delta=delta)
    assert_equal(joined.results(update), apart.results(update))


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("heavy", [False, True])
@pytest.mark.parametrize("N", [100, 300])
def test_with_the_activation_below_in_shares(instruction_set, dtype, N, heavy, threads):
    """A heavy column is a heavy row of the transpose, whose product shares the batch: the activation comes after it."""
    update, below = Update("nesterov", 0.1, 0.9), ACTIVATIONS["relu"]
    alone, team = (Layer(900, 200, N, 9000, dtype, 7) for _ in range(2))
    if heavy:
        mask = np.random.default_rng(1).random((900, 200)) < 0.001
        mask[:, 17] = True
        for layer in (alone, team):
            layer.W = CSR.from_dense(np.where(mask, 0.5, 0).astype(dtype))
            layer.velocity = layer.second = np.zeros(layer.W.nnz, dtype)
            layer.gradient = np.zeros(layer.W.nnz, dtype)
    mkl.set_num_threads(1)
    alone.by_parts(ACTIVATIONS["relu"], 0.0, update, below)
    mkl.set_num_threads(threads)
    team.fused(ACTIVATIONS["relu"], 0.0, update, below=below)
    assert_equal(team.results(update), alone.results(update))


def test_the_layer_below_is_checked(dtype):
    layer = Layer(30, 20, 50, 200, dtype, 3)
    layer.below_Db = layer.below_Db[:-1].copy()
    with pytest.raises(ValueError, match="the Db of below"):
        layer.fused(ACTIVATIONS["relu"], 0.0, None, below=ACTIVATIONS["relu"])
    with pytest.raises(ValueError, match="activation"):
        layer.fused(ACTIVATIONS["relu"], 0.0, None, below=77)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("N", [100, 300])
def test_same_bits_for_any_number_of_threads(dtype, N, threads):
    update = Update("nesterov", 0.1, 0.9, 0.01)
    alone, team = (Layer(300, 200, N, 6000, dtype, 7) for _ in range(2))
    mkl.set_num_threads(1)
    alone.by_parts(ACTIVATIONS["relu"], 0.0, update)
    mkl.set_num_threads(threads)
    team.fused(ACTIVATIONS["relu"], 0.0, update)
    assert_equal(team.results(update), alone.results(update))


def test_a_batch_that_fits_needs_no_gradient_array(instruction_set, dtype):
    widest = products.widest_batch(np.dtype(dtype))
    update = Update("sgd", 0.1)
    with_array, without = (Layer(30, 20, widest, 200, dtype, 3) for _ in range(2))
    with_array.fused(ACTIVATIONS["relu"], 0.0, update)
    without.fused(ACTIVATIONS["relu"], 0.0, update, gradient=False)
    assert_equal(without.results(update), with_array.results(update))
    wider = Layer(30, 20, widest + 1, 200, dtype, 3)
    before = wider.W.values.copy()
    with pytest.raises(TypeError, match="gradient"):
        wider.fused(ACTIVATIONS["relu"], 0.0, update, gradient=False)
    np.testing.assert_array_equal(wider.W.values, before)


def test_the_input_gradient_is_not_written_where_it_is_not_needed(dtype):
    layer = Layer(30, 20, 50, 200, dtype, 3)
    before = layer.DX.copy()
    layer.fused(ACTIVATIONS["relu"], 0.0, None, input_gradient=False)
    np.testing.assert_array_equal(layer.DX, before)


@pytest.mark.parametrize("name", ["X", "Y", "DY", "DZ", "DX", "gradient", "Db", "velocity", "bias", "bias_velocity"])
def test_wrong_arrays_are_refused_before_anything_is_written(dtype, name):
    layer = Layer(30, 20, 50, 200, dtype, 3)
    before = layer.results(True)
    good = getattr(layer, name)
    update = Update("nesterov", 0.1, 0.9)
    for wrong in (good.astype(np.float16), good[..., :-1].copy(), [1.0]):
        setattr(layer, name, wrong)
        with pytest.raises((TypeError, ValueError), match="X|DY" if name == "X" else name):
            layer.fused(ACTIVATIONS["relu"], 0.0, update)
    setattr(layer, name, good)
    assert_equal(layer.results(True), before)


def test_outputs_must_not_overlap_inputs(dtype):
    layer = Layer(20, 20, 50, 200, dtype, 3)
    for out, given_ in (("DX", "X"), ("DX", "DZ"), ("DZ", "Y"), ("DZ", "X")):
        kept = getattr(layer, out)
        setattr(layer, out, getattr(layer, given_))
        with pytest.raises(ValueError, match=f"{out} overlaps {given_}"):
            layer.fused(ACTIVATIONS["relu"], 0.0, None)
        setattr(layer, out, kept)


def test_unknown_rule():
    with pytest.raises(ValueError, match="rule"):
        Update("newton", 0.1)
