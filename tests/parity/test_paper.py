"""The experiments of the paper beside masked PyTorch: the same batches, the same numbers, and going on after a kill."""

import numpy as np
import pytest

import nerva

torch = pytest.importorskip("torch")

from nerva.experiments.paper.batches import batches, order_rng  # noqa: E402
from nerva.experiments.paper.masked import Masked  # noqa: E402
from nerva.experiments.paper.networks import network  # noqa: E402
from nerva.experiments.paper.training import run  # noqa: E402
from nerva.experiments.paper.trajectories import follow, trajectory  # noqa: E402
from nerva.experiments.paper.units import do  # noqa: E402
from nerva.system.tensors import read_tensors  # noqa: E402

from ..experiments.paper.runs import complete, kill, tiny  # noqa: E402

SIZES = (3072, 64, 32, 10)


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def twin(sparsity=0.9, way="erdos-renyi", dtype=np.float64):
    model = network(SIZES, sparsity, support_seed=1, weight_seed=1, way=way, dtype=dtype)
    return model, Masked(model, 0.9, 100)


@pytest.mark.parametrize("way", ["erdos-renyi", "twice"])
@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.9, 0.99])
def test_fifty_steps_in_float64_are_the_same(sparsity, way):
    model, masked = twin(sparsity, way)
    optimizer, epochs = nerva.Nesterov(0.9), batches(tiny().load().train, 100, order_rng(1), True, np.float64)
    steps, moved = 0, [np.array(layer.dense_weight()) for layer in model.layers]
    while steps < 50:
        for X, y in epochs:
            ours = model.train_step(np.ascontiguousarray(X.T), y, optimizer, 0.03)
            assert masked.step(X, y, 0.03) == pytest.approx(ours, rel=1e-10)
            steps += 1
    masked.check_support()
    for layer, theirs, start in zip(model.layers, masked.weights(), moved, strict=True):
        mine = layer.dense_weight()
        np.testing.assert_allclose(mine, theirs, atol=1e-10, rtol=0)
        assert way == "twice" or np.linalg.norm(mine - start) > 1e-3  # they were trained
    biases = [parameter for name, parameter in masked.model.named_parameters() if name.endswith("bias")]
    for layer, bias in zip(model.layers, biases, strict=True):
        np.testing.assert_allclose(layer.bias, bias.detach().numpy(), atol=1e-10, rtol=0)


def test_the_batches_of_fit_are_those_of_pytorch():
    """What `fit` gives the network, sample by sample, is what masked PyTorch gets: bit for bit, epoch after epoch."""
    data, seen = tiny().load(), []
    model = nerva.MLP([3072, 10], density=0.5)

    class Seen(nerva.Sequential):
        def forward(self, X, *, training=True):
            seen.append(np.array(X))
            return super().forward(X, training=training)

    Seen(model.layers).fit(*data.train, epochs=2, rng=order_rng(7), augment=nerva.Augment((3, 32, 32)))
    given = batches(data.train, 100, order_rng(7), True)
    others = [np.array(X) for _ in range(2) for X, _ in given]
    assert [X.shape for X in seen] == 2 * [(3072, 100), (3072, 100), (3072, 50)]
    assert all(np.array_equal(one, other) for one, other in zip(seen, others, strict=True))
    assert not np.array_equal(seen[0], seen[3])


@pytest.mark.parametrize("epochs", [4, 3])  # of three, neither a half nor three quarters is a whole number
def test_both_sides_have_the_same_epochs(epochs, tmp_path):
    ours, theirs = (do(run(tiny(), side, 0.9, 1, epochs), tmp_path)["result"] for side in ("nerva", "masked"))
    assert theirs["loss"] == pytest.approx(ours["loss"], rel=1e-5)
    assert theirs["accuracy"] == pytest.approx(ours["accuracy"], abs=2e-3)
    assert (theirs["weights"], theirs["nonzeros"]) == (ours["weights"], ours["nonzeros"])
    assert ours["loss"][0] - ours["loss"][-1] > 0.005
    assert torch.get_num_threads() == 1
    assert nerva.get_num_threads() == 1


def test_a_mask_drawn_twice_is_the_same_on_both_sides(tmp_path):
    ours, theirs = (do(run(tiny(), side, 0.9, 1, 4, "twice"), tmp_path)["result"] for side in ("nerva", "masked"))
    assert theirs["loss"] == pytest.approx(ours["loss"], rel=1e-4)
    assert 0 < sum(ours["nonzeros"]) < 0.3 * ours["weights"]


def test_masked_pytorch_that_was_killed_goes_on_to_the_same_bits(tmp_path):
    unit = run(tiny(sizes=(3072, 256, 10)), "masked", 0.9, 1, 40)
    folders = [tmp_path / name for name in ("whole", "killed")]
    for folder in folders:
        folder.mkdir()
    before = read_tensors(kill(unit, folders[1], "masked.safetensors"))[1]["rows"]
    # All in processes of the runner: PyTorch's bits are others where it was imported before nerva has loaded MKL.
    whole, resumed = (complete(unit, folder) for folder in folders)
    assert 0 < len(before) < 40
    assert resumed["seconds"][: len(before)] == [round(row[2], 3) for row in before]  # these were not run again
    assert (resumed["loss"], resumed["accuracy"]) == (whole["loss"], whole["accuracy"])


def test_a_state_holds_velocities():
    (_, one), (_, other), (_, bare) = twin(), twin(), twin()
    X, y = np.random.default_rng(0).standard_normal((3072, 100)), np.arange(100) % 10
    one.step(X, y, 0.1)
    state = {name: array.copy() for name, array in one.state().items()}
    other.restore(state)
    bare.restore({name: array for name, array in state.items() if not name.endswith("velocity")})
    losses = [[each.step(X, y, 0.1) for _ in range(3)] for each in (one, other, bare)]
    assert losses[0] == losses[1]
    assert losses[0][1:] != losses[2][1:]


def test_trajectories_are_the_same_but_for_rounding():
    protocol = tiny()
    for dtype, most in (("float32", 1e-5), ("float64", 1e-12)):
        unit = trajectory(protocol, 0.9, 1, dtype)
        found = follow(unit.settings | {"steps": 20}, None)
        assert [len(found[name]) for name in ("nerva", "masked", "apart", "moved")] == [20] * 4
        assert max(found["apart"]) < most < found["moved"][-1]
        assert found["masked"] == pytest.approx(found["nerva"], rel=most)


def test_a_weight_off_the_support_is_found():
    _, masked = twin()
    masked.check_support()
    with torch.no_grad():
        weight = masked.linears[0].weight
        row, column = np.argwhere(weight.numpy() == 0)[0]
        weight[row, column] = 1e-30
    with pytest.raises(RuntimeError, match="off the support"):
        masked.check_support()


@pytest.mark.parametrize(
    "layers",
    [
        [nerva.SparseLinear(8, 4, density=0.5, activation="tanh"), nerva.Linear(4, 2)],
        [nerva.SparseLinear(8, 4, density=0.5, activation="relu", bias=False), nerva.Linear(4, 2)],
        [nerva.SparseLinear(8, 4, density=0.5, activation="relu"), nerva.BatchNorm(4), nerva.Linear(4, 2)],
        [nerva.Linear(8, 2, activation="relu")],
    ],
)
def test_a_network_of_other_layers_has_no_twin(layers):
    with pytest.raises(ValueError, match=r"layers\[\d\] is .*; its twin is linear"):
        Masked(nerva.Sequential(layers), 0.9, 10)
