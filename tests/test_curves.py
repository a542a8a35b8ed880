"""Activations that are a pass of their own: the curves, SReLU and softmax, against formulas and finite differences."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from nerva._kernels import mkl
from nerva._kernels.activations import (
    ACTIVATIONS,
    CURVES,
    activation_backward,
    bias_activation,
    column_softmax,
    column_softmax_backward,
    curve,
    srelu,
    srelu_backward,
)

from .reference import Call, Frame, activate, assert_refuses_wrong_arrays, assert_same_bits, assert_within

CODES = ACTIVATIONS | CURVES
SIZES = st.tuples(st.integers(0, 9), st.integers(0, 140))
FRAMES = st.tuples(st.integers(0, 17), st.integers(0, 17))
LARGE = (101, 333)
H = 1e-6


def numbers_of(rng, sets, dtype=np.float64):
    """t_l, a_l, t_r, a_r for so many rows, t_l below t_r but once in a while."""
    left, left_slope, right, right_slope = rng.uniform(-1, 1, (4, sets))
    return np.concatenate([left - 0.3, left_slope, right + 0.3, right_slope]).astype(dtype)


def bent(Z, numbers):
    """SReLU in float64, as Jin et al. have it."""
    Z, (tl, al, tr, ar) = np.asarray(Z, np.float64), np.asarray(numbers, np.float64).reshape(4, -1, 1)
    return np.where(tl >= Z, tl + al * (Z - tl), np.where(tr > Z, Z, tr + ar * (Z - tr)))


def bent_back(DY, Z, numbers):
    """DZ, and the gradient of the numbers of each row, shape (4, K), in float64."""
    DY, Z = np.asarray(DY, np.float64), np.asarray(Z, np.float64)
    tl, al, tr, ar = np.asarray(numbers, np.float64).reshape(4, -1, 1)
    below, beyond = tl >= Z, (tl < Z) & (tr <= Z)
    DZ = DY * np.where(below, al, np.where(beyond, ar, 1.0))
    parts = (DY * below * (1 - al), DY * below * (Z - tl), DY * beyond * (1 - ar), DY * beyond * (Z - tr))
    return DZ, np.stack([part.sum(1) for part in parts])


# ---- curves
@given(size=SIZES, frames=st.tuples(FRAMES, FRAMES), name=st.sampled_from(list(CODES)), in_place=st.booleans())
def test_forward(instruction_set, dtype, size, frames, name, in_place):
    rng = np.random.default_rng(size)
    Z = Frame(rng.standard_normal(size) * 3, dtype, *frames[0])
    out = Z if in_place else Frame(np.full(size, np.nan), dtype, *frames[1])
    wanted = activate(name, Z.array, dtype.type(-0.3 if name in CURVES else 0.3))
    # The rounding of z^2 / 2 is in its exponential.
    bound = 30 * np.finfo(dtype).eps * np.abs(wanted) * (1 + Z.array**2) + np.finfo(dtype).tiny
    curve(Z.array, CODES[name], -0.3 if name in CURVES else 0.3, out.array)
    assert_within(out.array, wanted, bound)
    out.assert_intact_outside()
    if not in_place:
        Z.assert_unchanged()


@pytest.mark.parametrize("name", ["gelu", "gelu_tanh", "silu"])
def test_curves_are_accurate_from_end_to_end(instruction_set, dtype, rng, name):
    sizes = np.concatenate([np.geomspace(1e-30, 1e4, 20000), rng.uniform(0, 1, 20000), rng.uniform(0, 40, 20000)])
    z = np.concatenate([sizes, -sizes, [0.0]]).astype(dtype)
    got, wanted = np.empty((1, len(z)), dtype), activate(name, z)
    curve(z[None], CODES[name], 0.0, got)
    # Far below zero the relative error is that of the exponential of a large number; what is lost there is tiny.
    assert_within(got[0], wanted, 8 * np.finfo(dtype).eps * np.abs(wanted) * (1 + np.minimum(np.abs(z), 90.0)) ** 2
                  + (1e-35 if dtype == np.float32 else 1e-300))  # fmt: skip
    above = z > -3
    assert_within(got[0, above], wanted[above], 30 * np.finfo(dtype).eps * np.abs(wanted[above]) + 1e-37)


@pytest.mark.parametrize("name", CURVES)
def test_extremes(instruction_set, dtype, name):
    largest = np.finfo(dtype).max
    z = np.array([[0.0, -0.0, 1e4, -1e4, largest, -largest, np.inf, -np.inf, np.nan]], dtype)
    out = np.empty_like(z)
    curve(z, CODES[name], 0.5, out)
    np.testing.assert_array_equal(out, activate(name, z, 0.5).astype(dtype))
    if name not in ("all_relu", "trelu"):
        activation_backward(np.ones_like(z), z, CODES[name], 0.5, out)
        np.testing.assert_allclose(out, [[0.5, 0.5, 1, 0, 1, 0, 1, 0, np.nan]], atol=1e-6)


@pytest.mark.parametrize("name", CODES)
def test_backward_is_the_slope_of_forward(instruction_set, rng, name):
    z = rng.uniform(-6, 6, (5, 333))
    z[np.abs(z) < 1e-3] += 0.01
    alpha = 0.0123 if name in ACTIVATIONS else -0.4
    up, down, Y, DY, DZ, Db = (*(np.empty_like(z) for _ in range(3)), rng.standard_normal(z.shape), z * 0, np.empty(5))
    curve(z + H, CODES[name], alpha, up)
    curve(z - H, CODES[name], alpha, down)
    curve(z, CODES[name], alpha, Y)
    activation_backward(DY, z if name in CURVES else Y, CODES[name], alpha, DZ, Db)
    np.testing.assert_allclose(DZ, DY * (up - down) / (2 * H), rtol=1e-7, atol=2e-9)
    np.testing.assert_allclose(Db, DZ.sum(1), rtol=1e-12)


def test_a_curve_is_no_part_of_a_product():
    out = np.ones((3, 4))
    for code in CURVES.values():
        with pytest.raises(ValueError, match="activation"):
            bias_activation(None, code, 0.0, out)
    for code in (-1, 10):
        with pytest.raises(ValueError, match="activation"):
            curve(out, code, 0.0, np.ones((3, 4)))


# ---- SReLU
@given(size=SIZES, frames=st.tuples(FRAMES, FRAMES), per_row=st.booleans(), in_place=st.booleans())
def test_srelu_both_ways(instruction_set, dtype, size, frames, per_row, in_place):
    rng, (K, N) = np.random.default_rng(size), size
    sets = K if per_row else 1
    numbers = numbers_of(rng, sets, dtype)
    Z, DY = Frame(rng.standard_normal(size), dtype, *frames[0]), Frame(rng.standard_normal(size), dtype, *frames[1])
    Y = Frame(np.full(size, np.nan), dtype, *frames[1])
    DZ = DY if in_place else Frame(np.full(size, np.nan), dtype, *frames[0])
    eps = 8 * np.finfo(dtype).eps
    if K == 0 and per_row:
        return
    srelu(Z.array, numbers, Y.array)
    assert_within(Y.array, bent(Z.array, numbers), eps * (2 + np.abs(Z.array)))
    wanted, by_row = bent_back(DY.array, Z.array, numbers)
    gradient, Db = Frame(np.full(4 * sets, np.nan), dtype, 1), Frame(np.full(K, np.nan), dtype, 1)
    srelu_backward(DY.array, Z.array, numbers, DZ.array, gradient.array, np.empty(4 * K, dtype), Db.array)
    assert_within(DZ.array, wanted, eps * (1 + np.abs(wanted)), "DZ")
    assert_within(Db.array, wanted.sum(1), eps * (1 + N) * 4, "Db")
    total = by_row if per_row else by_row.sum(1, keepdims=True)
    assert_within(gradient.array.reshape(4, -1), total, eps * (1 + N) * (1 + K) * 16, "gradient")
    for frame in (Y, DZ, gradient, Db):
        frame.assert_intact_outside()
    Z.assert_unchanged("Z")


def test_srelu_by_central_differences(instruction_set, rng):
    Z, DY = rng.standard_normal((6, 40)), rng.standard_normal((6, 40))
    for sets in (1, 6):
        numbers = numbers_of(rng, sets)
        gradient, DZ = np.empty(4 * sets), np.empty_like(Z)
        srelu_backward(DY, Z, numbers, DZ, gradient, np.empty(24))
        for i in range(len(numbers)):
            up, down = numbers.copy(), numbers.copy()
            up[i] += H
            down[i] -= H
            outs = [np.empty_like(Z), np.empty_like(Z)]
            srelu(Z, up, outs[0])
            srelu(Z, down, outs[1])
            assert np.sum(DY * (outs[0] - outs[1])) / (2 * H) == pytest.approx(gradient[i], rel=1e-6, abs=1e-7)


def test_srelu_as_it_starts_is_the_relu_to_the_bit(instruction_set, dtype, rng):
    Z, Y, wanted = rng.standard_normal(LARGE).astype(dtype), np.empty(LARGE, dtype), np.empty(LARGE, dtype)
    srelu(Z, np.array([0, 0, 1, 1], dtype), Y)
    curve(Z, ACTIVATIONS["relu"], 0.0, wanted)
    np.testing.assert_allclose(Y, wanted, rtol=4 * np.finfo(dtype).eps, atol=np.finfo(dtype).eps)


# ---- softmax
@given(size=st.tuples(st.integers(1, 9), st.integers(0, 140)), frames=st.tuples(FRAMES, FRAMES),
       logarithm=st.booleans(), in_place=st.booleans(), scale=st.sampled_from([1.0, 30.0]))  # fmt: skip
def test_softmax_both_ways(instruction_set, dtype, size, frames, logarithm, in_place, scale):
    rng = np.random.default_rng(size)
    Z = Frame(rng.standard_normal(size) * scale, dtype, *frames[0])
    Y = Z if in_place else Frame(np.full(size, np.nan), dtype, *frames[1])
    wanted = (special.log_softmax if logarithm else special.softmax)(Z.array.astype(np.float64), axis=0)
    column_softmax(Z.array, logarithm, Y.array)
    eps = np.finfo(dtype).eps
    # Far below the largest, e^z has the rounding of a large z in it.
    assert_within(Y.array, wanted, (8 + 10 * scale) * eps * (np.abs(wanted) + logarithm) + 4 * np.finfo(dtype).tiny)
    Y.assert_intact_outside()
    DY = Frame(rng.standard_normal(size), dtype, *frames[0])
    DZ = DY if in_place else Frame(np.full(size, np.nan), dtype, *frames[1])
    y, dy = Y.array.astype(np.float64), DY.array.astype(np.float64)
    back = dy - np.exp(y) * dy.sum(0) if logarithm else y * (dy - (dy * y).sum(0))
    column_softmax_backward(DY.array, Y.array, logarithm, DZ.array)
    assert_within(DZ.array, back, 40 * scale * eps * (1 + size[0]) * np.abs(dy).max(initial=1))
    DZ.assert_intact_outside()


@pytest.mark.parametrize("logarithm", [False, True])
def test_softmax_has_its_whole_jacobian(instruction_set, rng, logarithm):
    Z, DY, Y, DZ = rng.standard_normal((5, 3)), rng.standard_normal((5, 3)), np.empty((5, 3)), np.empty((5, 3))
    column_softmax(Z, logarithm, Y)
    column_softmax_backward(DY, Y, logarithm, DZ)
    up, down = np.empty((5, 3)), np.empty((5, 3))
    for i, n in np.ndindex(5, 3):
        shift = np.zeros((5, 3))
        shift[i, n] = H
        column_softmax(Z + shift, logarithm, up)
        column_softmax(Z - shift, logarithm, down)
        assert np.sum(DY * (up - down)) / (2 * H) == pytest.approx(DZ[i, n], rel=1e-6, abs=1e-8)


def test_softmax_does_not_overflow(instruction_set, dtype):
    Z, Y = np.array([[1e4, -1e4, 0.0], [-1e4, -1e4, 0.0]], dtype), np.empty((2, 3), dtype)
    column_softmax(Z, False, Y)
    np.testing.assert_allclose(Y, [[1, 0.5, 0.5], [0, 0.5, 0.5]], atol=1e-30)
    column_softmax(Z, True, Y)
    np.testing.assert_allclose(Y, [[0, -np.log(2), -np.log(2)], [-2e4, -np.log(2), -np.log(2)]], rtol=1e-6)


# ---- all of them
def test_the_same_bits_on_any_threads(instruction_set, dtype, rng):
    Z, DY = (rng.standard_normal(LARGE).astype(dtype) for _ in range(2))
    numbers, results = numbers_of(rng, 1, dtype), []
    for threads in (1, 2, 3):
        mkl.set_num_threads(threads)
        outs = [np.empty(LARGE, dtype) for _ in range(8)]
        gradient, Db = np.empty(4, dtype), np.empty(LARGE[0], dtype)
        curve(Z, CURVES["gelu"], 0.0, outs[0])
        activation_backward(DY, Z, CURVES["silu"], 0.0, outs[1])
        srelu(Z, numbers, outs[2])
        srelu_backward(DY, Z, numbers, outs[3], gradient, np.empty(4 * LARGE[0], dtype), Db)
        column_softmax(Z, False, outs[4])
        column_softmax_backward(DY, outs[4], False, outs[5])
        column_softmax(Z, True, outs[6])
        column_softmax_backward(DY, outs[6], True, outs[7])
        results.append([*outs, gradient, Db])
    for result in results[1:]:
        for array, first in zip(result, results[0], strict=True):
            assert_same_bits(array, first)


def right_calls(dtype):
    one, four = np.ones((4, 5), dtype), np.array([-1, 0.1, 1, 0.9], dtype)
    Z, out, DZ = one + 1, one + 2, one + 3
    return {
        "curve": Call(curve, {"Z": Z, "activation": 6, "alpha": 0.0, "out": out}, ("out",)),
        "srelu": Call(srelu, {"Z": Z, "numbers": four, "out": out}, ("out",)),
        "srelu_backward": Call(
            srelu_backward,
            {
                "DY": one,
                "Z": Z,
                "numbers": four,
                "DZ": DZ,
                "gradient": four + 1,
                "scratch": np.zeros(16, dtype),
                "Db": np.zeros(4, dtype),
            },
            ("DZ", "gradient", "scratch", "Db"),
        ),
        "softmax": Call(column_softmax, {"Z": Z, "logarithm": False, "out": out}, ("out",)),
        "softmax_backward": Call(column_softmax_backward, {"DY": one, "Y": Z, "logarithm": True, "DZ": DZ}, ("DZ",)),
    }


@pytest.mark.parametrize("name", right_calls(np.dtype(np.float32)))
def test_wrong_arrays_are_refused(dtype, name):
    call = right_calls(dtype)[name]
    call()
    assert_refuses_wrong_arrays(call, optional=("Db",))


@pytest.mark.parametrize("name", right_calls(np.dtype(np.float32)))
def test_an_output_on_an_input_is_refused(name):
    call, block = right_calls(np.dtype(np.float32))[name], np.ones(60, np.float32)
    first = next(iter(call.arguments))
    with pytest.raises(ValueError, match="overlaps"):
        call(**{first: block[:20].reshape(4, 5), "DZ" if "DZ" in call.arguments else "out": block[3:23].reshape(4, 5)})
    assert (block == 1).all()
