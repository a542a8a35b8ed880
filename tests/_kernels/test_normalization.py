"""The kernels of batch normalization, against NumPy's float64 and finite differences."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nerva._kernels import mkl
from nerva._kernels.activations import ACTIVATIONS
from nerva._kernels.normalization import batch_norm, batch_norm_backward

from ..reference import (
    Call,
    Frame,
    activate,
    activation_slope,
    assert_refuses_wrong_arrays,
    assert_same_bits,
    assert_within,
    normalized,
)

EPSILON, MOMENTUM = 1e-5, 0.1
FRAMES = st.tuples(st.integers(0, 17), st.integers(0, 17))


def vectors(rng, K, dtype):
    """gamma, beta, mean, inverse, running_mean, running_variance."""
    parts = [rng.uniform(0.5, 1.5, K), *(rng.standard_normal(K) for _ in range(4)), rng.uniform(0.5, 1.5, K)]
    return [Frame(part, dtype, 3) for part in parts]


def statistics(vectors):
    """The statistics among the `vectors`, by name."""
    return dict(zip(("mean", "inverse", "running_mean", "running_variance"), vectors[2:], strict=True))


@given(
    size=st.tuples(st.integers(0, 35), st.integers(2, 140)),
    frames=st.tuples(FRAMES, FRAMES),
    shift=st.sampled_from([0.0, 100.0]),
    name=st.sampled_from(["identity", "relu", "tanh"]),
)
@example(size=(24, 2), frames=((0, 0), (0, 0)), shift=100.0, name="identity")  # two nearly equal samples in a row
def test_forward(instruction_set, dtype, size, frames, shift, name):
    rng, K = np.random.default_rng(size), size[0]
    X = Frame(rng.standard_normal(size) * 2 + shift, dtype, *frames[0])
    out, own = Frame(np.full(size, np.nan), dtype, *frames[1]), vectors(rng, K, dtype)
    gamma, beta, _, _, running_mean, running_variance = (frame.before[3 : 3 + K].astype(np.float64) for frame in own)
    exact = X.array.astype(np.float64)
    arrays = [frame.array for frame in own]
    batch_norm(X.array, *arrays[:2], EPSILON, MOMENTUM, ACTIVATIONS[name], 0.0, out.array, **statistics(arrays))
    tolerance = {"rtol": 1e-4, "atol": 1e-4} if dtype == np.float32 else {"rtol": 1e-11, "atol": 1e-11}
    wanted = activate(name, normalized(exact, gamma, beta))
    # The rounding of the mean is divided by the standard deviation.
    rounding = np.finfo(dtype).eps * np.abs(exact.mean(1) * gamma) / np.sqrt(exact.var(1) + EPSILON)
    bound = tolerance["atol"] + tolerance["rtol"] * np.abs(wanted) + rounding[:, None]
    assert_within(out.array, wanted, bound)
    np.testing.assert_allclose(arrays[2], exact.mean(1), **tolerance)
    np.testing.assert_allclose(arrays[3], 1 / np.sqrt(exact.var(1) + EPSILON), **tolerance)
    np.testing.assert_allclose(arrays[4], 0.9 * running_mean + 0.1 * exact.mean(1), **tolerance)
    unbiased = exact.var(1, ddof=1)
    np.testing.assert_allclose(arrays[5], 0.9 * running_variance + 0.1 * unbiased, **tolerance)
    for frame in (out, *own):
        frame.assert_intact_outside()
    X.assert_unchanged("X")
    kept = [array.copy() for array in arrays[4:]]
    batch_norm(
        X.array,
        *arrays[:2],
        EPSILON,
        MOMENTUM,
        ACTIVATIONS[name],
        0.0,
        out.array,
        **statistics([*arrays[:2], None, None, *arrays[4:]]),
    )
    wanted = activate(name, normalized(exact, gamma, beta, *(array.astype(np.float64) for array in kept)))
    np.testing.assert_allclose(out.array, wanted, **tolerance)
    for array, before in zip(arrays[4:], kept, strict=True):
        assert_same_bits(array, before, "running statistics in evaluation")


@pytest.mark.parametrize("first", [0.0, 1e4, -1e7])
def test_a_row_may_start_anywhere_and_have_any_mean(instruction_set, dtype, rng, first):
    """Neither a large mean nor an outlier in front costs the variance its digits."""
    X = (rng.standard_normal((20, 333)) + np.arange(20)[:, None] * 50).astype(dtype)
    X[::3, 0] = first
    exact, out = X.astype(np.float64), np.empty_like(X)
    own = [frame.array for frame in vectors(rng, 20, dtype)]
    batch_norm(X, *own[:2], EPSILON, MOMENTUM, 0, 0.0, out, **statistics(own))
    np.testing.assert_allclose(own[3], 1 / np.sqrt(exact.var(1) + EPSILON), rtol=100 * np.finfo(dtype).eps)
    np.testing.assert_allclose(own[2], exact.mean(1), rtol=100 * np.finfo(dtype).eps, atol=1e-6)


def test_constant_rows_and_nan(instruction_set, dtype, rng):
    X = np.full((17, 50), 3.7, dtype)
    X[4, 7] = np.nan
    out, own = np.empty_like(X), [frame.array for frame in vectors(rng, 17, dtype)]
    batch_norm(X, *own[:2], EPSILON, MOMENTUM, 0, 0.0, out, **statistics(own))
    assert np.isnan(out[4]).all()
    np.testing.assert_allclose(np.delete(out, 4, 0), np.repeat(np.delete(own[1], 4)[:, None], 50, 1), rtol=1e-6)


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("name", ["identity", "relu", "sigmoid"])
@pytest.mark.parametrize("size", [(1, 2), (5, 3), (19, 40), (40, 131)])
def test_backward_by_the_formulas_and_by_differences(instruction_set, rng, size, name, in_place):
    (K, N), code = size, ACTIVATIONS[name]
    X, DY, Y = rng.standard_normal(size), rng.standard_normal(size), np.empty(size)
    own = [frame.array for frame in vectors(rng, K, np.float64)]
    gamma, beta, mean, inverse = own[:4]
    batch_norm(X, gamma, beta, EPSILON, MOMENTUM, code, 0.0, Y, **statistics(own))
    given, DX, Dgamma, Dbeta = DY.copy(), np.full(size, np.nan), np.empty(K), np.empty(K)
    DX = given if in_place else DX
    batch_norm_backward(given, Y, X, gamma, mean, inverse, code, 0.0, DX=DX, Dgamma=Dgamma, Dbeta=Dbeta)
    D, normal = DY * activation_slope(name, Y), (X - mean[:, None]) * inverse[:, None]
    np.testing.assert_allclose(Dbeta, D.sum(1), atol=1e-12)
    np.testing.assert_allclose(Dgamma, (D * normal).sum(1), atol=1e-11)
    wanted = (gamma * inverse)[:, None] * (D - Dbeta[:, None] / N - normal * Dgamma[:, None] / N)
    np.testing.assert_allclose(DX, wanted, atol=1e-11)
    h = 1e-6
    for values, gradient in ((gamma, Dgamma), (beta, Dbeta), (X.reshape(-1), DX.reshape(-1))):
        for i in range(0, len(values), max(1, len(values) // 7)):
            before, ends = values[i], []
            for sign in (1, -1):
                values[i] = before + sign * h
                ends.append(np.sum(DY * activate(name, normalized(X, gamma, beta))))
            values[i] = before
            assert gradient[i] == pytest.approx((ends[0] - ends[1]) / (2 * h), rel=1e-5, abs=1e-7)
    without = np.empty(K), np.empty(K)
    batch_norm_backward(DY, Y, X, gamma, mean, inverse, code, 0.0, DX=None, Dgamma=without[0], Dbeta=without[1])
    assert_same_bits(without[0], Dgamma)
    assert_same_bits(without[1], Dbeta)


def test_the_same_bits_on_any_threads(instruction_set, dtype, rng):
    X, DY = (rng.standard_normal((203, 333)).astype(dtype) for _ in range(2))
    start, results = [frame.array for frame in vectors(rng, 203, dtype)], []
    for threads in (1, 2, 3):
        mkl.set_num_threads(threads)
        own, Y, DX = [array.copy() for array in start], np.empty_like(X), np.empty_like(X)
        Dgamma, Dbeta = np.empty(203, dtype), np.empty(203, dtype)
        batch_norm(X, *own[:2], EPSILON, MOMENTUM, 1, 0.0, Y, **statistics(own))
        batch_norm_backward(DY, Y, X, own[0], own[2], own[3], 1, 0.0, DX=DX, Dgamma=Dgamma, Dbeta=Dbeta)
        results.append([*own, Y, DX, Dgamma, Dbeta])
    for result in results[1:]:
        for array, first in zip(result, results[0], strict=True):
            assert_same_bits(array, first)


def right_calls(dtype):
    block = [np.ones((4, 5), dtype) + i for i in range(4)]
    v = [np.ones(4, dtype) + i for i in range(6)]
    names = ("gamma", "beta", "mean", "inverse", "running_mean", "running_variance")
    settings = {"epsilon": 1e-5, "momentum": 0.1, "activation": 1, "alpha": 0.0}
    back = {"DY": block[0], "Y": block[1], "X": block[2], "gamma": v[0], "mean": v[1], "inverse": v[2]}
    return {
        "forward": Call(
            batch_norm,
            {"X": block[0], "out": block[1], **dict(zip(names, v, strict=True)), **settings},
            ("out", *names[2:]),
        ),
        "backward": Call(
            batch_norm_backward,
            {**back, "activation": 1, "alpha": 0.0, "DX": block[3], "Dgamma": v[3], "Dbeta": v[4]},
            ("DX", "Dgamma", "Dbeta"),
        ),
    }


@pytest.mark.parametrize("way", ["forward", "backward"])
def test_wrong_arrays_are_refused(dtype, way):
    call = right_calls(dtype)[way]
    call()
    assert_refuses_wrong_arrays(call, optional=("DX",))


def test_wrong_settings_and_overlaps_are_refused():
    forward, backward = (right_calls(np.dtype(np.float64))[way] for way in ("forward", "backward"))
    with pytest.raises(ValueError, match="two samples"):
        forward(X=np.ones((4, 1)), out=np.ones((4, 1)))
    with pytest.raises(ValueError, match="epsilon"):
        forward(epsilon=-1.0)
    with pytest.raises(ValueError, match="activation"):
        forward(activation=6)
    shared = np.ones(4)
    with pytest.raises(ValueError, match="overlaps"):
        forward(mean=shared, inverse=shared)
    with pytest.raises(ValueError, match="overlaps"):
        backward(Dgamma=shared, Dbeta=shared)
    with pytest.raises(ValueError, match="overlaps"):
        backward(DX=backward.arguments["X"])
    with pytest.raises(ValueError, match="at least one sample"):
        backward(**{name: np.ones((4, 0)) for name in ("DY", "Y", "X", "DX")})
