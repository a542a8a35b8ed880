"""Every rule against the formulas of the papers: steps and state."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nerva
from nerva._kernels import mkl
from nerva._kernels.updates import Update

ALL = {
    "sgd": nerva.SGD(weight_decay=0.01),
    "nesterov": nerva.Nesterov(0.9, weight_decay=0.01),
    "rmsprop": nerva.RMSprop(alpha=0.9, weight_decay=0.01),
    "rmsprop with momentum": nerva.RMSprop(alpha=0.9, momentum=0.8, epsilon=1e-3),
    "adam": nerva.Adam(beta1=0.8, beta2=0.95, weight_decay=0.01),
    "adamw": nerva.AdamW(beta1=0.8, beta2=0.95, weight_decay=0.1),
    "lion": nerva.Lion(beta1=0.9, beta2=0.95, weight_decay=0.1),
}


def reference(how, rate, w, g, state, t):
    """The new w; state is changed. Written from the papers, in float64."""
    name, decay = type(how).__name__, how.weight_decay
    if how.clip_value is not None:
        g = np.clip(g, -how.clip_value, how.clip_value)
    d = g if name in ("AdamW", "Lion") else g + decay * w
    zero = np.zeros_like(w)
    if name == "SGD":
        return w - rate * d
    if name == "Nesterov":
        v = state["v"] = how.momentum * state.get("v", zero) + d
        return w - rate * (d + how.momentum * v)
    if name == "Lion":
        v = state.get("v", zero)
        state["v"] = how.beta2 * v + (1 - how.beta2) * g
        return w - rate * (np.sign(how.beta1 * v + (1 - how.beta1) * g) + decay * w)
    beta2 = how.alpha if name == "RMSprop" else how.beta2
    s = state["s"] = beta2 * state.get("s", zero) + (1 - beta2) * d**2
    if name == "RMSprop":
        q = d / (np.sqrt(s) + how.epsilon)
        state["v"] = how.momentum * state.get("v", zero) + q
        return w - rate * state["v"]
    v = state["v"] = how.beta1 * state.get("v", zero) + (1 - how.beta1) * d
    step = v / (1 - how.beta1**t) / (np.sqrt(s / (1 - how.beta2**t)) + how.epsilon)
    return (w * (1 - rate * decay) if name == "AdamW" else w) - rate * step


@pytest.mark.parametrize("clip", [None, 0.3])
@pytest.mark.parametrize("name", ALL)
@given(n=st.integers(0, 70), threads=st.integers(1, 3), seed=st.integers(0, 99))
def test_steps_follow_the_papers(instruction_set, dtype, name, clip, n, threads, seed):
    mkl.set_num_threads(threads)
    rng = np.random.default_rng(seed)
    how = copy.deepcopy(ALL[name])
    how.clip_value = clip
    parameter = nerva.Parameter("weight", rng.standard_normal(n).astype(dtype))
    wanted, state = parameter.values.astype(np.float64), {}
    for t in range(1, 6):
        parameter.gradient[:] = rng.standard_normal(n) * 10.0 ** rng.integers(-3, 2)
        wanted = reference(how, 0.1 / t, wanted, parameter.gradient.astype(np.float64), state, t)
        how.step([parameter], 0.1 / t)
        np.testing.assert_allclose(parameter.values, wanted, rtol=0, atol=3000 * np.finfo(dtype).eps)


def network(dtype=np.float32, seed=0):
    return nerva.MLP([30, 20, 20, 5], density=[0.2, 0.3, 1.0], dtype=dtype, seed=seed, backend="native")


def batch(dtype=np.float32, n=17, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, 30)).astype(dtype), rng.integers(0, 5, n)


@pytest.mark.parametrize("name", ALL)
def test_any_number_of_threads_gives_the_same_bits(name):
    results, (X, y) = [], batch(n=100)
    for threads in (1, 2, 3):
        mkl.set_num_threads(threads)
        model, how = nerva.MLP([30, 200, 5], density=[0.3, 0.9], backend="native"), copy.deepcopy(ALL[name])
        for _ in range(3):
            model.train_step(X, y, how, 0.01)
        results.append([parameter.values.copy() for parameter in model.parameters()])
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ALL)
def test_state_lies_beside_live_weights_only_and_survives_a_pickle(name):
    model, how, (X, y) = network(), copy.deepcopy(ALL[name]), batch()
    for _ in range(3):
        model.train_step(X, y, how, 0.01)
    layer = model.layers[0]
    weight = layer.parameters()[0]
    vectors = {"sgd": 0, "nesterov": 1, "lion": 1, "rmsprop": 1}.get(name, 2)
    assert [vector.shape for vector in weight.state.values()] == [(layer.nnz,)] * vectors
    gradient = weight.gradient  # which is allocated where no step needed it
    assert weight.nbytes - gradient.nbytes == (1 + vectors) * 4 * layer.nnz
    again, same = pickle.loads(pickle.dumps((model, how)))
    for one, optimizer in ((model, how), (again, same)):
        one.train_step(X, y, optimizer, 0.01)
    np.testing.assert_array_equal(again.layers[0].weight.values, layer.weight.values)


def test_another_optimizer_starts_anew():
    model, (X, y) = network(), batch()
    first, second = nerva.Adam(), nerva.Adam()
    for _ in range(3):
        model.train_step(X, y, first, 0.01)
    assert {parameter.steps for parameter in model.parameters()} == {3}
    model.train_step(X, y, second, 0.01)
    assert {parameter.steps for parameter in model.parameters()} == {1}


def test_not_a_number_stays_one(dtype, instruction_set):
    for rule in ("sgd", "adam", "adamw", "rmsprop", "lion"):
        w, v, s = np.ones(3, dtype), np.zeros(3, dtype), np.zeros(3, dtype)
        update = Update(rule, 0.1, 0.9 if rule != "sgd" else 0.0, second=0.9, epsilon=1e-8, clip=1.0)
        update(np.array([np.nan, 1, -1], dtype), v, w, s)
        assert np.isnan(w[0]), rule
        assert np.isfinite(w[1:]).all()


def test_missing_or_overlapping_state_is_refused(dtype):
    update = Update("adam", 0.1, 0.9, second=0.9, epsilon=1e-8)
    w, v, s, g = (np.ones(5, dtype) for _ in range(4))
    for arguments in ((g, None, w, s), (g, v, w, None), (g, v, w, s[:4]), (g, v, w, s.astype(np.int32))):
        with pytest.raises((TypeError, ValueError), match=r"velocity|second"):
            update(*arguments)
    for arguments in ((g, v, w, v), (g, v, w, w), (g, v, w, g)):
        with pytest.raises(ValueError, match="second"):
            update(*arguments)
    np.testing.assert_array_equal(w, 1)
