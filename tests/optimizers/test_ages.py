"""Weights that grow while others have long been trained: Adam corrects their moments for the steps of their own."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nerva
from nerva._kernels import mkl
from nerva._kernels.rewiring import flat_positions

OPTIMIZERS = {
    "adam": lambda: nerva.Adam(beta1=0.8, beta2=0.95, epsilon=1e-4, weight_decay=0.01),
    "adamw": lambda: nerva.AdamW(beta1=0.8, beta2=0.95, epsilon=1e-4, weight_decay=0.1),
    "defaults": lambda: nerva.Adam(epsilon=1e-4),
}
OTHERS = [nerva.SGD, nerva.Momentum, nerva.Nesterov, nerva.RMSprop, nerva.Lion]


def layer_of(dtype=np.float32, nnz=20, shape=(6, 9), seed=0):
    D, K = shape[1], shape[0]
    return nerva.SparseLinear(D, K, density=nnz / (K * D), bias=False, rng=seed, dtype=dtype, backend="native")


class PerWeight:
    """Adam in float64 with everything kept by position: weights, moments, and each weight's own count of steps."""

    def __init__(self, layer, how):
        self.how = how
        weights = zip(flat_positions(layer.weight).tolist(), layer.weight.values.tolist(), strict=True)
        self.kept = {position: [value, 0.0, 0.0, 0] for position, value in weights}

    def step(self, gradients, rate):
        how, decoupled = self.how, isinstance(self.how, nerva.AdamW)
        for position, (w, m, s, t) in self.kept.items():
            g, t = gradients[position], t + 1
            d = g if decoupled else g + how.weight_decay * w
            w = w * (1 - rate * how.weight_decay) if decoupled else w
            m, s = how.beta1 * m + (1 - how.beta1) * d, how.beta2 * s + (1 - how.beta2) * d**2
            w -= rate * m / (1 - how.beta1**t) / (np.sqrt(s / (1 - how.beta2**t)) + how.epsilon)
            self.kept[position] = [w, m, s, t]

    def rewire(self, dropped, grown, value):
        for position in dropped:
            del self.kept[int(position)]
        for position in grown:
            self.kept[int(position)] = [value, 0.0, 0.0, 0]

    def assert_as(self, layer, tolerance):
        positions, parameter = flat_positions(layer.weight).tolist(), layer.parameters()[0]
        assert positions == sorted(self.kept)
        vectors = parameter.values, parameter.state["momentum"], parameter.state["square"]
        for i, vector in enumerate(vectors):
            wanted = np.array([self.kept[p][i] for p in positions])
            np.testing.assert_allclose(vector, wanted, rtol=tolerance, atol=tolerance)
        born = parameter.state.get("born", np.zeros(len(positions), np.int32))
        np.testing.assert_array_equal(parameter.steps - born, [self.kept[p][3] for p in positions])


def move(layer, rng, most=6, regrow=True):
    """Drop and grow some weights; return the positions, with some that were dropped just before among those grown."""
    old = flat_positions(layer.weight)
    total = layer.in_features * layer.out_features
    dropped = np.sort(rng.choice(len(old), rng.integers(0, min(most, len(old)) + 1), replace=False))
    empty = np.setdiff1d(np.arange(total), old if not regrow else np.delete(old, dropped))
    grown = np.sort(rng.choice(empty, rng.integers(0, min(most, len(empty)) + 1), replace=False))
    value = float(layer.dtype.type(rng.standard_normal()))
    layer.rewire(dropped, grown, value)
    return old[dropped], grown, value


@pytest.mark.parametrize("name", OPTIMIZERS)
@given(
    moments=st.lists(st.sampled_from(["step", "step", "step", "many steps", "move", "move twice"]), max_size=12),
    threads=st.integers(1, 3),
    seed=st.integers(0, 999),
)
def test_any_sequence_of_steps_and_rewirings_follows_the_paper_weight_by_weight(
    instruction_set, dtype, name, moments, threads, seed
):
    mkl.set_num_threads(threads)
    rng, layer, how = np.random.default_rng(seed), layer_of(dtype, seed=seed), OPTIMIZERS[name]()
    reference, parameter = PerWeight(layer, how), layer.parameters()[0]
    total = layer.in_features * layer.out_features
    for moment in ["step", *moments, "step"]:
        for _ in range({"step": 1, "many steps": 30}.get(moment, 0)):
            gradients = rng.standard_normal(total).astype(dtype)
            parameter.gradient[:] = gradients[flat_positions(layer.weight)]
            how.step([parameter], 0.02)
            reference.step(gradients.astype(np.float64), 0.02)
        for _ in range({"move": 1, "move twice": 2}.get(moment, 0)):
            reference.rewire(*move(layer, rng))
    reference.assert_as(layer, 1e-3 if dtype == np.float32 else 1e-11)


@pytest.mark.parametrize("kind", [nerva.Adam, nerva.AdamW])
@pytest.mark.parametrize("steps", [1, 10, 1000])
def test_the_first_step_of_a_new_weight_has_the_length_of_the_rate(instruction_set, dtype, kind, steps):
    rng, layer, how = np.random.default_rng(1), layer_of(dtype), kind(epsilon=1e-20, weight_decay=0.0)
    parameter = layer.parameters()[0]
    for _ in range(steps):
        parameter.gradient[:] = rng.standard_normal(layer.nnz)
        how.step([parameter], 0.01)
    source = layer.rewire(np.arange(0, 20, 3), np.setdiff1d(np.arange(54), flat_positions(layer.weight))[:9], 0.0)
    parameter.gradient[:] = rng.standard_normal(layer.nnz) * 10.0 ** rng.integers(-5, 3, layer.nnz)
    how.step([parameter], 0.01)
    new = source < 0
    np.testing.assert_allclose(parameter.values[new], -0.01 * np.sign(parameter.gradient[new]), rtol=1e-5)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_ages_are_kept_only_where_a_weight_is_new(name):
    how, layer, rng = OPTIMIZERS[name](), layer_of(), np.random.default_rng(0)
    parameter = layer.parameters()[0]
    layer.rewire(np.array([0]), np.setdiff1d(np.arange(54), flat_positions(layer.weight))[:1])  # before the first step
    for dropped in ([], [0, 5], [3]):
        parameter.gradient[:] = rng.standard_normal(layer.nnz)
        how.step([parameter], 0.01)
        layer.rewire(np.array(dropped, np.int64), np.empty(0, np.int64))
        assert list(parameter.state) == ["momentum", "square"]
    bytes_before = layer.nbytes
    layer.rewire(np.array([0]), np.setdiff1d(np.arange(54), flat_positions(layer.weight))[:1])
    assert parameter.state["born"].dtype == np.int32
    assert np.count_nonzero(parameter.state["born"]) == 1
    assert layer.nbytes - bytes_before == 4 * layer.nnz
    other = copy.deepcopy(how)
    parameter.gradient[:] = 1
    other.step([parameter], 0.01)  # starts anew, with all weights
    assert list(parameter.state) == ["momentum", "square"]
    assert parameter.steps == 1


@pytest.mark.parametrize("kind", OTHERS)
def test_rules_without_a_correction_keep_no_ages(kind):
    how, layer, rng = kind(), layer_of(), np.random.default_rng(0)
    parameter = layer.parameters()[0]
    for _ in range(4):
        parameter.gradient[:] = rng.standard_normal(layer.nnz)
        how.step([parameter], 0.01)
        move(layer, rng)
        assert "born" not in parameter.state


def aged(dtype=np.float32):
    """A layer, its optimizer, and weights of several ages."""
    rng, layer, how = np.random.default_rng(5), layer_of(dtype), nerva.Adam()
    parameter = layer.parameters()[0]
    for _ in range(4):
        for _ in range(3):
            parameter.gradient[:] = rng.standard_normal(layer.nnz)
            how.step([parameter], 0.01)
        move(layer, rng)
    assert len(set(parameter.state["born"].tolist())) > 2
    return layer, how


def go_on(layer, how):
    rng, parameter = np.random.default_rng(8), layer.parameters()[0]
    for _ in range(3):
        parameter.gradient[:] = rng.standard_normal(layer.nnz)
        how.step([parameter], 0.01)
    return parameter.values.tobytes()


def test_state_by_name_and_pickles_hold_the_ages(dtype):
    layer, how = aged(dtype)
    state = how.state_dict(layer.parameters())
    assert list(state) == ["0.steps", "0.momentum", "0.square", "0.born"]
    other, another = nerva.SparseLinear.from_weight(layer.weight.copy()), nerva.Adam()
    another.load_state_dict(state, other.parameters())
    again, same = pickle.loads(pickle.dumps((layer, how)))
    wanted = go_on(layer, how)
    assert go_on(other, another) == wanted
    assert go_on(again, same) == wanted


def test_state_without_ages_is_that_of_weights_that_were_all_there_before_the_first_step(dtype):
    layer, how = aged(dtype)
    state = how.state_dict(layer.parameters())
    del state["0.born"]
    how.load_state_dict(state, layer.parameters())
    parameter = layer.parameters()[0]
    before, g = parameter.values.astype(np.float64), np.ones(layer.nnz)
    m, s = 0.9 * state["0.momentum"] + 0.1 * g, 0.999 * state["0.square"] + 0.001 * g**2
    parameter.gradient[:] = 1
    how.step([parameter], 0.01)
    wanted = before - 0.01 * m / (1 - 0.9**13) / (np.sqrt(s / (1 - 0.999**13)) + 1e-8)
    np.testing.assert_allclose(parameter.values, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("born", "message"),
    [
        (lambda born: born + 100, "born is from .* within 0 to 12 steps"),
        (lambda born: born - 1, "born is from -1"),
        (lambda born: born.astype(np.int64), "born is int64"),
        (lambda born: born.astype(np.float32), "born is float32"),
        (lambda born: born[1:], "born has shape"),
        (lambda born: born[None], "born is int32 of"),
        (lambda born: born.tolist(), "born is list"),
    ],
)
def test_ages_that_cannot_be_are_refused(born, message):
    layer, how = aged()
    state, parameter = how.state_dict(layer.parameters()), layer.parameters()[0]
    before = pickle.dumps(parameter.state)
    with pytest.raises((TypeError, ValueError), match=message):
        how.load_state_dict(state | {"0.born": born(state["0.born"])}, layer.parameters())
    assert pickle.dumps(parameter.state) == before
