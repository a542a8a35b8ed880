"""Every kind of layer in a compiled network, against the same network layer by layer, which is its reference."""

import numpy as np
import pytest

import nerva
from nerva._kernels import mkl
from nerva.training.batches import Batches
from nerva.training.samples import Samples

BATCHES = [7, 64, 65, 100, 200, 513]
FEATURES, HIDDEN, CLASSES = 40, 48, 5


def sparse(inputs, outputs, seed, **settings):
    settings = {"density": 0.2, "backend": "native", "dtype": np.float64, **settings}
    return nerva.SparseLinear(inputs, outputs, rng=seed, **settings)


def network(*between, **settings):
    """A network of three linear layers, with other layers behind the first and the second."""
    return nerva.Sequential(
        [
            sparse(FEATURES, HIDDEN, 1, **settings),
            *(make() for make in between),
            sparse(HIDDEN, HIDDEN, 2, **settings),
            *(make() for make in between),
            nerva.Linear(HIDDEN, CLASSES, rng=3, dtype=np.float64),
        ],
        rng=0,
    )


def randomize(model):
    """Give biases and other parameters values that a network does not start with."""
    rng = np.random.default_rng(8)
    for parameter in model.parameters():
        if parameter.name != "weight":
            parameter.values += 0.2 * rng.standard_normal(parameter.values.size)
    return model


def samples(batch, steps=3):
    rng = np.random.default_rng(batch)
    X = rng.standard_normal((steps * batch, FEATURES))
    return X, rng.integers(0, CLASSES, steps * batch)


def arrays_of(model):
    return [array for layer in model.layers for array in layer.arrays().values()]


def trained(model, batch, optimizer=None, compiled=True, steps=3, rate=0.05):
    """Train a network for some steps; return their losses, all arrays, and outputs in evaluation."""
    randomize(model)
    X, y = samples(batch, steps)
    if not compiled:
        model.compiled = lambda batch: None
    else:
        assert model.compiled(batch) is not None
    optimizer = optimizer or nerva.Momentum(weight_decay=1e-3)
    losses = [
        model.train_step(X[i * batch : (i + 1) * batch], y[i * batch : (i + 1) * batch], optimizer, rate)
        for i in range(steps)
    ]
    return np.array(losses), arrays_of(model), outputs_of(model, X[:batch])


def outputs_of(model, X):
    """The outputs in evaluation, compiled where the network is."""
    batches = Batches(Samples(X, model.in_features, model.dtype), None, len(X), model.dtype)
    compiled = model.compiled(len(X))
    if compiled is None:
        return model.forward(np.ascontiguousarray(X.T), training=False).copy()
    return compiled.outputs(batches, batches.draw(0)).copy()


def assert_agree(make, batch, optimizer=nerva.Momentum, tolerance=1e-10):
    """The compiled network agrees with the layers."""
    losses, arrays, outputs = trained(make(), batch, optimizer())
    wanted_losses, wanted_arrays, wanted_outputs = trained(make(), batch, optimizer(), compiled=False)
    np.testing.assert_allclose(losses, wanted_losses, rtol=tolerance, atol=tolerance)
    for array, wanted in zip(arrays, wanted_arrays, strict=True):
        np.testing.assert_allclose(array, wanted, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(outputs, wanted_outputs, rtol=tolerance, atol=tolerance)


def assert_same_bits(make, batch):
    """A network has the same bits with any number of threads."""
    found = []
    for threads in (1, 2, 3, 5):
        mkl.set_num_threads(threads)
        losses, arrays, outputs = trained(make(), batch)
        found.append([losses, *arrays, outputs])
    for other in found[1:]:
        for array, wanted in zip(other, found[0], strict=True):
            np.testing.assert_array_equal(array, wanted)


def dropout(rate=0.3):
    return lambda: nerva.Dropout(rate, rng=5)


def function(activation):
    return lambda: nerva.Activation(activation)


def around(*layers):
    """A network whose first and last layers are these."""
    first, last = layers

    def make():
        middle = [
            sparse(FEATURES, HIDDEN, 1, activation="relu"),
            nerva.Linear(HIDDEN, CLASSES, rng=3, dtype=np.float64),
        ]
        return nerva.Sequential([first(), *middle, last()], rng=0)

    return make


DROPOUT = {
    "dropout": lambda: network(dropout(), activation="relu"),
    "dropout-of-rate-0": lambda: network(dropout(0.0), activation="relu"),
    "dropout-leaky": lambda: network(dropout(), activation=nerva.LeakyReLU(0.2)),
    "dropout-tanh": lambda: network(dropout(), activation="tanh"),
    "dropout-sigmoid": lambda: network(dropout(), activation="sigmoid"),
    "dropout-identity": lambda: network(dropout()),
    "dropout-twice": lambda: network(dropout(), dropout(0.1), activation="relu"),
    "dropout-gelu": lambda: network(dropout(), activation="gelu"),
    "dropout-srelu": lambda: network(dropout(), activation="srelu"),
    "dropout-before-activation": lambda: network(dropout(), function("tanh")),
    "dropout-no-bias": lambda: network(dropout(), activation="relu", bias=False),
    "dropout-first-and-last": around(dropout(), dropout(0.1)),
}
DROP_CONNECT = {
    "drop-connect": lambda: network(activation="relu", drop_connect=0.3),
    "drop-connect-no-bias": lambda: network(activation="tanh", drop_connect=0.3, bias=False),
    "drop-connect-dense": lambda: nerva.Sequential(
        [
            nerva.Linear(FEATURES, HIDDEN, rng=1, activation="relu", drop_connect=0.2, dtype=np.float64),
            nerva.Linear(HIDDEN, CLASSES, rng=2, drop_connect=0.2, dtype=np.float64),
        ]
    ),
    "drop-connect-and-dropout": lambda: network(dropout(), activation="srelu", drop_connect=0.3),
}
FUNCTIONS = [
    "relu", "sigmoid", "tanh", "gelu", "gelu_tanh", "silu", "all_relu", nerva.LeakyReLU(0.2), nerva.LeakyReLU(-0.2),
    nerva.AllReLU(0.4, layer=2), nerva.TReLU(0.2), "srelu", nerva.SReLU(-0.3, 0.1, 0.4, 0.7, per="neuron"),
    "softmax", "log_softmax",
]  # fmt: skip
ACTIVATIONS = {
    **{f"within-{f}": (lambda f=f: network(activation=f)) for f in FUNCTIONS},
    **{f"apart-{f}": (lambda f=f: network(function(f))) for f in FUNCTIONS},
    **{f"behind-tanh-{f}": (lambda f=f: network(function(f), activation="tanh")) for f in FUNCTIONS[1:4]},
    "identity-apart": lambda: network(function("identity"), activation="relu"),
    "srelu-behind-tanh": lambda: network(function("srelu"), activation="tanh"),
    "srelu-no-bias": lambda: network(activation="srelu", bias=False),
    "first-and-last": around(function("gelu"), function("tanh")),
    "softmax-dropout": lambda: network(function("softmax"), dropout(), activation="relu"),
    "softmax-as-output": around(function("log_softmax"), function("softmax")),
    "srelu-first-and-last": around(function(nerva.SReLU(per="neuron")), function("srelu")),
}


def normalization(features=HIDDEN, **settings):
    return lambda: nerva.BatchNorm(features, dtype=np.float64, **settings)


BATCH_NORM = {
    "batch-norm": lambda: network(normalization(), function("relu"), bias=False),
    "batch-norm-with-bias": lambda: network(normalization(activation="relu")),
    "batch-norm-tanh": lambda: network(normalization(activation="tanh", momentum=0.3, epsilon=0.01)),
    "batch-norm-srelu": lambda: network(normalization(activation="srelu"), activation="leaky_relu"),
    "batch-norm-gelu-dropout": lambda: network(normalization(activation="gelu"), dropout()),
    "batch-norm-relu-dropout": lambda: network(normalization(activation="relu"), dropout(), drop_connect=0.1),
    "batch-norm-tanh-dropout": lambda: network(normalization(activation="tanh"), dropout()),
    "batch-norm-behind-dropout": lambda: network(dropout(), normalization(), activation="relu"),
    "batch-norm-twice": lambda: network(normalization(), normalization(activation="relu")),
    "batch-norm-first-and-last": around(normalization(FEATURES), normalization(CLASSES)),
    "batch-norm-first-relu": around(normalization(FEATURES, activation="relu"), function("identity")),
}
NETWORKS = DROPOUT | DROP_CONNECT | ACTIVATIONS | BATCH_NORM


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_compiled_network_agrees_with_its_layers(name, batch, way, instruction_set):
    assert_agree(NETWORKS[name], batch)


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("name", NETWORKS)
def test_the_bits_do_not_depend_on_the_threads(name, batch, way, instruction_set):
    assert_same_bits(NETWORKS[name], batch)


@pytest.mark.parametrize("name", ["dropout", "drop-connect-and-dropout", "apart-srelu", "batch-norm"])
@pytest.mark.parametrize("optimizer", [nerva.SGD, nerva.Adam, lambda: nerva.Nesterov(clip_value=0.01)])
def test_every_vector_of_parameters_has_its_update(name, optimizer, way, instruction_set):
    assert_agree(NETWORKS[name], 100, optimizer, 1e-9)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_bits_of_float32_do_not_depend_on_the_threads(name, way, instruction_set):
    assert_same_bits(lambda: NETWORKS[name]().astype("float32"), 200)


def settings_of_a_step(make, change):
    """Losses of three steps, compiled and by layer, with a change of the network before the second."""
    found = []
    X, y = samples(100)
    for compiled in (True, False):
        model, optimizer = make(), nerva.Momentum()
        if not compiled:
            model.compiled = lambda batch: None
        losses = []
        for i in range(3):
            if i == 1:
                change(model)
            rows = slice(100 * i, 100 * (i + 1))
            losses.append(model.train_step(X[rows], y[rows], optimizer, 0.05))
        found.append(losses)
    return found


@pytest.mark.parametrize("rate", [0.0, 0.7])
def test_a_rate_may_change_between_steps(rate):
    def change(model):
        model.layers[1].rate = rate
        model.layers[0].drop_connect = 0.6

    compiled, by_layer = settings_of_a_step(lambda: network(dropout(), activation="tanh", drop_connect=0.1), change)
    np.testing.assert_allclose(compiled, by_layer, rtol=1e-10)


def test_weights_with_drop_connect_may_be_rewired_between_steps():
    def change(model):
        model.layers[0].rewire(np.array([0, 3]), np.setdiff1d(np.arange(30), flat_positions(model))[:2], 0.5)
        model.layers[1].remove_weights(np.array([2, 5, 9]))

    compiled, by_layer = settings_of_a_step(NETWORKS["drop-connect"], change)
    np.testing.assert_allclose(compiled, by_layer, rtol=1e-10)


def flat_positions(model):
    row, column, _ = model.layers[0].entries()
    return row * FEATURES + column


def test_layers_without_a_product_are_not_compiled():
    layers = [nerva.BatchNorm(4), nerva.Activation("srelu")]
    assert nerva.Sequential(layers).compiled(100) is None


@pytest.mark.parametrize("batch", BATCHES)
def test_batch_norm_of_large_means(batch, way, instruction_set):
    """Variances are not differences of large squares."""

    def make():
        model = network(normalization(), bias=True)
        for layer in (model.layers[0], model.layers[2]):
            layer.bias[:] = 1e5
        return model

    assert_agree(make, batch, nerva.SGD, 1e-7)


def test_batch_norm_of_more_slices_than_groups(way, instruction_set):
    """With 18 slices a group has two or three of them."""
    assert_agree(BATCH_NORM["batch-norm-with-bias"], 1100)
    assert_same_bits(BATCH_NORM["batch-norm-with-bias"], 1100)


def test_the_profile_has_a_row_for_each_layer_with_operations_of_its_own():
    model, (X, y) = network(dropout(), function("relu"), activation="gelu"), samples(100)
    with nerva.profile() as profile:
        model.train_step(X[:100], y[:100], nerva.SGD(), 0.1)
    forward = [row.layer.split()[0] for row in profile.rows if row.phase == "forward"]
    assert forward == [str(i) for i in range(len(model.layers))]
