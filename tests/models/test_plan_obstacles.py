"""Whether steps are compiled is told, and so is what is in the way: by the summary, and by a profile."""

import numpy as np
import pytest
from scipy import sparse

import nerva
from nerva.layers import Layer

from ..compiled_reference import network, samples

STEP = "which a compiled step does not compute"


class Square(Layer):
    """A layer of one's own."""

    def forward(self, X, *, training=True):
        self.X = X
        return X * X

    def backward(self, DY, *, input_gradient=True):
        return 2 * self.X * DY if input_gradient else None

    def astype(self, dtype):
        return Square()

    def __repr__(self):
        return "Square()"


class Own(nerva.Linear):
    def forward(self, X, *, training=True):
        return super().forward(X, training=training)


class OwnModel(nerva.MLP):
    def backward(self, DY):
        super().backward(DY)


def layers(*between, last=nerva.Linear):
    first = nerva.SparseLinear(12, 10, density=0.5, rng=0, backend="native")
    return nerva.Sequential([first, *between, last(10, 4, rng=1)])


LAYER_BY_LAYER = {
    "a layer of one's own": (lambda: layers(Square()), f"layers[1] is Square(), {STEP}"),
    "passes of one's own": (
        lambda: layers(last=Own),
        f"layers[1] is Own(10, 4, density=1, activation='identity', dtype='float32'), {STEP}",
    ),
    "a backend": (
        lambda: nerva.Sequential([nerva.SparseLinear(12, 4, density=0.5, backend="mkl")]),
        "layers[0] is SparseLinear(12, 4, density=0.5, activation='identity', dtype='float32'), whose backend is mkl",
    ),
    "a large dense layer": (
        lambda: nerva.Sequential([nerva.Linear(300, 300)]),
        "layers[0] is Linear(300, 300, density=1, activation='identity', dtype='float32'), "
        "whose 90,000 weights gemm multiplies faster",
    ),
    "no product": (
        lambda: nerva.Sequential([nerva.Dropout(0.5), nerva.Activation("relu").build(4, np.dtype("f4"))]),
        "no layer is linear",
    ),
    "a network of one's own": (lambda: OwnModel([12, 4]), "OwnModel has passes of its own"),
}


@pytest.mark.parametrize("name", LAYER_BY_LAYER)
def test_the_summary_names_what_is_in_the_way(name):
    make, reason = LAYER_BY_LAYER[name]
    model = make()
    assert model.compiled(200) is None
    assert model.obstacle(200) == reason
    assert model.summary(200).splitlines()[-1] == f"steps on 200 samples: layer by layer, since {reason}"


@pytest.mark.parametrize("batch", [100, 77, 500])
def test_the_summary_of_a_compiled_network(batch):
    model = network()
    assert model.obstacle(batch) is None
    assert model.compiled(batch) is not None
    assert model.summary(batch).splitlines()[-1] == f"steps on {batch} samples: compiled"
    assert model.summary() == model.summary(100)


def test_an_obstacle_may_come_and_go():
    model = layers()
    assert model.obstacle(100) is None
    model.layers[0].backend = "dense"
    assert model.obstacle(100).endswith("whose backend is dense")
    assert model.compiled(100) is None
    model.layers[0].backend = "native"
    assert model.obstacle(100) is None
    assert model.compiled(100) is not None


def profiled(model, X=None, **settings):
    """The steps of an epoch of batches of 100, by the reason why they were not compiled."""
    own, y = samples(300)
    with nerva.profile() as profile:
        model.fit(own if X is None else X, y, **{"epochs": 1, "batch_size": 100} | settings)
    lines = str(profile).splitlines()
    for reason, count in reversed(profile.steps.items()):
        assert lines.pop() == f"{count} step{'s' * (count > 1)} " + (
            f"layer by layer, since {reason}" if reason else "compiled"
        )
    assert lines[-1].startswith("total")
    return profile.steps


def test_a_profile_counts_compiled_steps():
    assert profiled(network()) == {"": 3}


class Stepping(nerva.SGD):
    def step(self, parameters, rate):
        super().step(parameters, rate)


def test_a_profile_counts_the_others_by_their_reason():
    X, _ = samples(300)
    optimizer = Stepping()
    assert profiled(network(), optimizer=optimizer) == {f"the optimizer is {optimizer!r}": 3}
    assert profiled(network(), X=sparse.csr_matrix(X)) == {"": 3}
    model = network()
    model.layers[1].backend = "mkl"
    assert profiled(model) == {model.obstacle(100): 3}


def test_a_profile_counts_the_steps_in_which_gradients_are_read():
    steps = profiled(network(), topology=nerva.RigL(every=2, end=1.0))
    assert steps == {"": 2, "the method of dynamic sparse training reads gradients": 1}
