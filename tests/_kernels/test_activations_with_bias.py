"""Bias and activation in one pass, forward and backward, against the formulas and finite differences."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerva._kernels import mkl
from nerva._kernels.activations import ACTIVATIONS, FROM_INPUTS, activation_backward, bias_activation

from ..reference import (
    Call,
    Frame,
    activate,
    activation_slope,
    assert_refuses_wrong_arrays,
    assert_same_bits,
    assert_within,
    subnormals_are_live,
)

SIZES = st.tuples(st.integers(0, 12), st.integers(0, 140))
FRAMES = st.tuples(st.integers(0, 17), st.integers(0, 17))
# More work than SERIAL in team.c, in rows that do not divide evenly among the threads.
LARGE = (101, 333)


def activated(activation, z, alpha=0.0):
    """f(z) as the kernel computes it, for a flat z."""
    out = z[None].copy()
    bias_activation(None, ACTIVATIONS[activation], alpha, out)
    return out[0]


def test_the_activations_are_these():
    assert list(ACTIVATIONS) == ["identity", "relu", "leaky_relu", "tanh", "sigmoid"]
    assert list(FROM_INPUTS) == ["gelu", "gelu_tanh", "silu", "all_relu", "trelu"]
    assert sorted((ACTIVATIONS | FROM_INPUTS).values()) == list(range(10))


@given(
    size=SIZES,
    frame=FRAMES,
    activation=st.sampled_from(list(ACTIVATIONS)),
    alpha=st.sampled_from([0.0, 0.01, 1.5]),
    biased=st.booleans(),
)
def test_forward(instruction_set, dtype, size, frame, activation, alpha, biased):
    rng = np.random.default_rng(size)
    out, bias = Frame(rng.standard_normal(size) * 3, dtype, *frame), Frame(rng.standard_normal(size[0]), dtype, 3)
    z = out.array + (bias.array[:, None] if biased else 0)
    wanted = activate(activation, z, dtype.type(alpha))
    bias_activation(bias.array if biased else None, ACTIVATIONS[activation], alpha, out.array)
    assert_within(out.array, wanted, 8 * np.finfo(dtype).eps * np.abs(wanted) + np.finfo(dtype).tiny)
    out.assert_intact_outside()
    bias.assert_unchanged()


@pytest.mark.parametrize("activation", ["tanh", "sigmoid"])
def test_they_are_accurate_from_end_to_end(instruction_set, dtype, rng, activation):
    sizes = np.concatenate([np.geomspace(1e-30, 1e4, 20000), rng.uniform(0, 1, 20000), rng.uniform(0, 100, 20000)])
    z = np.concatenate([sizes, -sizes, [0.0]]).astype(dtype)
    wanted = activate(activation, z)
    accuracy = 4 * np.finfo(dtype).eps if dtype == np.float32 else 1e-14
    assert_within(activated(activation, z), wanted, accuracy * np.abs(wanted) + np.finfo(dtype).tiny)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_extremes(instruction_set, dtype, activation):
    largest = np.finfo(dtype).max
    z = np.array([0.0, -0.0, 1e4, -1e4, largest, -largest, np.inf, -np.inf, np.nan], dtype)
    np.testing.assert_array_equal(activated(activation, z, 0.5), activate(activation, z, 0.5).astype(dtype))


@pytest.mark.parametrize("activation", ["tanh", "sigmoid"])
def test_they_rise_and_stay_within_their_range(instruction_set, dtype, activation):
    y = activated(activation, np.linspace(-30, 30, 100001).astype(dtype)).astype(np.float64)
    assert np.diff(y).min() >= -4 * np.finfo(dtype).eps
    assert y.min() >= (-1 if activation == "tanh" else 0)
    assert y.max() <= 1


@given(
    size=SIZES,
    frames=st.tuples(FRAMES, FRAMES),
    activation=st.sampled_from(list(ACTIVATIONS)),
    alpha=st.sampled_from([0.0, 0.01, 1.5]),
    in_place=st.booleans(),
    with_bias=st.booleans(),
)
def test_backward(instruction_set, dtype, size, frames, activation, alpha, in_place, with_bias):
    rng, (K, N) = np.random.default_rng(size), size
    DY = Frame(rng.standard_normal(size), dtype, *frames[0])
    Y = Frame(activate(activation, rng.standard_normal(size), alpha), dtype, *frames[1])
    DZ = DY if in_place else Frame(np.full(size, np.nan), dtype, *frames[1])
    Db = Frame(np.full(K, np.nan), dtype, 1)
    wanted = DY.array * activation_slope(activation, Y.array, dtype.type(alpha))
    eps, tiny = np.finfo(dtype).eps, np.finfo(dtype).tiny
    bound = 4 * eps * np.abs(DY.array) * max(1, alpha) + tiny
    activation_backward(DY.array, Y.array, ACTIVATIONS[activation], alpha, DZ.array, Db.array if with_bias else None)
    assert_within(DZ.array, wanted, bound, "DZ")
    DZ.assert_intact_outside("DZ")
    Y.assert_unchanged("Y")
    if not in_place:
        DY.assert_unchanged("DY")
    if with_bias:
        assert_within(Db.array, wanted.sum(1), N * eps * np.abs(wanted).sum(1) + bound.sum(1) + tiny, "Db")
        Db.assert_intact_outside("Db")


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_backward_is_the_slope_of_forward(instruction_set, rng, activation):
    z = rng.uniform(-4, 4, 1000)
    z, h = z[np.abs(z) > 1e-3], 1e-5
    differences = (activated(activation, z + h, 0.1) - activated(activation, z - h, 0.1)) / (2 * h)
    slope = np.empty((1, len(z)))
    activation_backward(np.ones_like(slope), activated(activation, z, 0.1)[None], ACTIVATIONS[activation], 0.1, slope)
    np.testing.assert_allclose(slope[0], differences, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_large_ones_give_the_same_bits_on_any_threads(instruction_set, dtype, rng, activation):
    start, DY = (rng.standard_normal(LARGE).astype(dtype) for _ in range(2))
    bias = rng.standard_normal(LARGE[0]).astype(dtype)
    results = []
    for threads in (1, 2, 3):
        mkl.set_num_threads(threads)
        Y, DZ, Db = start.copy(), np.full_like(DY, np.nan), np.full_like(bias, np.nan)
        bias_activation(bias, ACTIVATIONS[activation], 0.1, Y)
        activation_backward(DY, Y, ACTIVATIONS[activation], 0.1, DZ, Db)
        results.append((Y, DZ, Db))
    wanted = activate(activation, start + bias[:, None], 0.1)
    np.testing.assert_allclose(results[0][0], wanted, rtol=10 * np.finfo(dtype).eps)
    for result in results:
        for array, first in zip(result, results[0], strict=True):
            assert_same_bits(array, first)


def test_subnormals_are_flushed_inside_and_live_outside(instruction_set, dtype):
    tiny = np.full((3, 40), np.finfo(dtype).smallest_subnormal * 5, dtype)
    for threads, code in ((1, "identity"), (2, "tanh"), (3, "relu")):
        mkl.set_num_threads(threads)
        out, Db = np.repeat(tiny, 300, axis=0), np.ones(900, dtype)
        activation_backward(out, np.zeros_like(out), ACTIVATIONS[code], 0.0, np.ones_like(out), Db)
        bias_activation(np.zeros(900, dtype), ACTIVATIONS[code], 0.0, out)
        assert not out.any()
        assert not Db.any()
        assert subnormals_are_live()


# ---- refusals
def right_calls(dtype):
    K, N, one = 4, 5, np.ones((4, 5), dtype)
    forward = {"bias": np.ones(K, dtype), "activation": 1, "alpha": 0.0, "out": one}
    backward = {"DY": one, "Y": one + 1, "activation": 1, "alpha": 0.0, "DZ": one + 2, "Db": np.ones(K, dtype)}
    assert one.shape == (K, N)
    return {
        "forward": Call(bias_activation, forward, ("out",)),
        "backward": Call(activation_backward, backward, ("DZ", "Db")),
    }


@pytest.mark.parametrize("way", ["forward", "backward"])
def test_wrong_arrays_are_refused(dtype, way):
    call = right_calls(dtype)[way]
    call()
    # Without a second matrix, `out` may have any number of columns.
    assert_refuses_wrong_arrays(
        call, optional=("bias", "Db"), any_shape={"out": ("axis 1",)} if way == "forward" else {}
    )


@pytest.mark.parametrize("way", ["forward", "backward"])
@pytest.mark.parametrize("activation", [-1, 10, 2**31 - 1, "relu", None])
def test_unknown_activations_are_refused(way, activation):
    call = right_calls(np.dtype(np.float32))[way]
    before = {name: call.arguments[name].copy() for name in call.outputs}
    with pytest.raises((TypeError, ValueError), match=r"activation|integer"):
        call(activation=activation)
    for name, array in before.items():
        assert_same_bits(call.arguments[name], array)


@pytest.mark.parametrize("other", ["DY", "Y"])
@pytest.mark.parametrize("start", [3, 0])
def test_a_gradient_partly_on_an_input_is_refused(other, start):
    """DZ may be DY; in any other place, or with rows that lie otherwise, it would write what is yet to be read."""
    block, call = np.ones(100, np.float32), right_calls(np.dtype(np.float32))["backward"]
    DZ = block[start : start + 20].reshape(4, 5) if start else block.reshape(10, 10)[:4, :5]
    for activation in ("identity", "relu"):
        with pytest.raises(ValueError, match="DZ overlaps"):
            call(**{other: block[:20].reshape(4, 5), "activation": ACTIVATIONS[activation], "DZ": DZ})
    assert (block == 1).all()
