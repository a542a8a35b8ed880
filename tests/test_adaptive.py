"""The optimizers that adapt, groups of parameters, and clipping: formulas, state, and the fused step."""

import copy
import pickle
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

import nerva
from nerva._kernels import mkl
from nerva._kernels.updates import Update
from nerva.optimizers import clip_norm

ALL = {
    "sgd": nerva.SGD(weight_decay=0.01),
    "nesterov": nerva.Nesterov(0.9, weight_decay=0.01),
    "rmsprop": nerva.RMSprop(0.9, weight_decay=0.01),
    "rmsprop with momentum": nerva.RMSprop(0.9, momentum=0.8, epsilon=1e-3),
    "adam": nerva.Adam(0.8, 0.95, weight_decay=0.01),
    "adamw": nerva.AdamW(0.8, 0.95, weight_decay=0.1),
    "lion": nerva.Lion(0.9, 0.95, weight_decay=0.1),
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


def unfused(how):
    """The same optimizer, but gradients first and steps then."""
    how = copy.deepcopy(how)
    how.clip_norm = 1e30
    return how


@pytest.mark.parametrize("n", [1, 17, 200])
@pytest.mark.parametrize("name", ALL)
def test_the_step_on_the_way_back_is_the_step_afterwards(dtype, name, n):
    one, two, (X, y) = network(dtype), network(dtype), batch(dtype, n)
    hows = copy.deepcopy(ALL[name]), unfused(ALL[name])
    assert [how.fused for how in hows] == [True, False]
    for _ in range(4):
        for model, how in zip((one, two), hows, strict=True):
            model.train_step(X, y, how, 0.01)
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        np.testing.assert_array_equal(a.values, b.values)


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
    assert weight.nbytes == (1 + vectors) * 4 * layer.nnz  # no gradient: the step was taken in registers
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


@pytest.mark.parametrize("fused", [True, False])
def test_groups_step_each_by_its_own(fused):
    model, (X, y) = network(), batch()
    special = model.layers[1].parameters()[0]
    last = model.layers[2].parameters()
    groups = nerva.Groups(
        [
            (special, nerva.Adam(), 0.5),
            ("bias", nerva.SGD()),
            (lambda parameter: any(parameter is p for p in last), nerva.Momentum(0.5), 0.0),
        ],
        rest=nerva.Nesterov(0.9, weight_decay=0.1),
        clip_norm=None if fused else 1e30,
    )
    assert groups.fused == fused
    twin = copy.deepcopy(model)
    hows = {
        "0 weight": (nerva.Nesterov(0.9, weight_decay=0.1), 1.0),
        "1 weight": (nerva.Adam(), 0.5),
        "2 weight": (nerva.Momentum(0.5), 0.0),
        "bias": (nerva.SGD(), 1.0),
    }
    loss = nerva.SoftmaxCrossEntropy()
    for _ in range(3):
        model.train_step(X, y, groups, 0.1)
        twin.backward(loss(twin.forward(np.ascontiguousarray(X.T)), y).gradient)
        for i, layer in enumerate(twin.layers):
            for parameter in layer.parameters():
                how, scale = hows.get(f"{i} {parameter.name}") or hows["bias"]
                how.step([parameter], 0.1 * scale)
    for a, b in zip(model.parameters(), twin.parameters(), strict=True):
        np.testing.assert_allclose(a.values, b.values, rtol=1e-5, atol=1e-7)


def test_the_norm_of_all_gradients_is_clipped_together(dtype):
    model, (X, y) = network(dtype), batch(dtype)
    how, plain = nerva.SGD(clip_norm=0.01), nerva.SGD()
    twin = copy.deepcopy(model)
    before = [parameter.values.copy() for parameter in model.parameters()]
    model.train_step(X, y, how, 1.0)
    moved = np.concatenate([p.values - b for p, b in zip(model.parameters(), before, strict=True)])
    assert np.linalg.norm(moved) == pytest.approx(0.01, rel=1e-3)
    twin.train_step(X, y, plain, 1.0)
    whole = np.concatenate([p.values - b for p, b in zip(twin.parameters(), before, strict=True)])
    np.testing.assert_allclose(moved, whole * 0.01 / np.linalg.norm(whole), rtol=1e-3, atol=1e-6)
    parameter = nerva.Parameter("w", np.ones(2, dtype))
    parameter.gradient[:] = [3, 4]
    assert clip_norm([parameter], 10.0) == 5.0
    np.testing.assert_array_equal(parameter.gradient, [3, 4])


def test_the_norm_takes_no_memory_and_no_order_from_threads():
    parameter = nerva.Parameter("w", np.zeros(400_000))
    parameter.gradient[:] = np.random.default_rng(0).standard_normal(400_000)
    norms = set()
    for threads in (1, 2):
        with threadpool_limits(threads):
            norms.add(clip_norm([parameter], np.inf))
    tracemalloc.start()
    try:
        norms.add(clip_norm([parameter], np.inf))
        assert tracemalloc.get_traced_memory()[1] < 300_000
    finally:
        tracemalloc.stop()
    assert len(norms) == 1
    assert norms.pop() == pytest.approx(np.linalg.norm(parameter.gradient), rel=1e-14)


def test_not_a_number_stays_one(dtype, instruction_set):
    for rule in ("sgd", "adam", "adamw", "rmsprop", "lion"):
        w, v, s = np.ones(3, dtype), np.zeros(3, dtype), np.zeros(3, dtype)
        update = Update(rule, 0.1, 0.9 if rule != "sgd" else 0.0, second=0.9, epsilon=1e-8, clip=1.0)
        update(np.array([np.nan, 1, -1], dtype), v, w, s)
        assert np.isnan(w[0]), rule
        assert np.isfinite(w[1:]).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nerva.Adam(1.0), r"beta1 is 1\.0; it must be from 0 to below 1"),
        (lambda: nerva.Adam(beta2=-0.1), "beta2 is"),
        (lambda: nerva.AdamW(epsilon=0), r"epsilon is 0; it must be finite and above 0"),
        (lambda: nerva.RMSprop(alpha=2), "alpha is"),
        (lambda: nerva.RMSprop(momentum=1), "momentum is"),
        (lambda: nerva.Lion("slow"), "beta1 is 'slow'"),
        (lambda: nerva.SGD(clip_value=0), "clip_value is"),
        (lambda: nerva.Nesterov(clip_norm=-1), "clip_norm is"),
        (lambda: nerva.Groups(5), "groups is 5"),
        (lambda: nerva.Groups([nerva.SGD()]), r"groups\[0\] is SGD"),
        (lambda: nerva.Groups([(3, nerva.SGD())]), r"groups\[0\] selects by 3"),
        (lambda: nerva.Groups([("bias", "sgd")]), r"groups\[0\] has 'sgd'"),
        (lambda: nerva.Groups([("bias", nerva.SGD(), -1)]), r"the scale of groups\[0\] is -1"),
        (lambda: nerva.Groups([], rest=nerva.SGD(clip_norm=1)), "rest has SGD"),
        (lambda: Update("adam", 0.1, t=0), "t is 0"),
    ],
)
def test_wrong_settings_are_named(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make()


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
