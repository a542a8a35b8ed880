"""`nerva.save` and `nerva.load`: what is loaded goes on as what was saved would, and broken files are refused."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import nerva
from nerva.system.tensors import read_tensors, write_tensors

from ..training_reference import samples, state
from ..weights_reference import of_every_kind


def trained(function="srelu", dtype=np.float32):
    X, y = np.random.default_rng(1).standard_normal((50, 20)).astype(dtype), np.arange(50) % 4
    model = of_every_kind(function, dtype)
    model.fit(X, y, epochs=2, batch_size=10)
    return model, X, y


@pytest.mark.parametrize("function", ["srelu", "gelu", nerva.AllReLU(0.4, layer=2)], ids=str)
def test_a_loaded_model_trains_on_with_the_same_bits(tmp_path, dtype, function):
    model, X, y = trained(function, dtype)
    nerva.save(model, tmp_path / "m")
    found = nerva.load(tmp_path / "m")
    assert repr(found) == repr(model)
    assert found.predict_proba(X).tobytes() == model.predict_proba(X).tobytes()
    for one in (model, found):
        one.fit(X, y, epochs=2, batch_size=10, optimizer=nerva.Adam())
    assert state(found) == state(model)


def test_loss_backend_precision_and_generator_go_along(tmp_path):
    layer = nerva.SparseLinear(6, 2, density=0.5, backend="native", rng=0)
    model = nerva.Sequential([layer], rng=np.random.Generator(np.random.MT19937(3)))
    model.loss = nerva.LogisticCrossEntropy(positive_weights=[1.0, 2.0])
    nerva.save(model, tmp_path / "m")
    found = nerva.load(tmp_path / "m")
    assert (found.layers[0].backend, found.loss.positive_weights.tolist()) == ("native", [1, 2])
    assert found.rng.integers(2**60) == model.rng.integers(2**60)
    model.loss = nerva.LogisticCrossEntropy(positive_weights=[3.0])  # one for both outputs
    nerva.save(model, tmp_path / "m")
    assert nerva.load(tmp_path / "m").loss.positive_weights.tolist() == [3]


def test_a_loss_of_the_users_own_is_warned_of(tmp_path):
    class Own(nerva.SquaredError):
        pass

    model = nerva.MLP([4, 3])
    model.loss = Own()
    with pytest.warns(RuntimeWarning, match="the loss .* is not nerva's own") as caught:
        nerva.save(model, tmp_path / "m")
    assert caught[0].filename == __file__


def test_arrays_are_those_of_the_layers_by_name(tmp_path):
    model, _, _ = trained()
    nerva.save(model, tmp_path / "m")
    arrays = read_tensors(tmp_path / "m")[0]
    assert sorted(arrays) == sorted(model.state_dict())
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(arrays[name], array)


def test_every_truncation_is_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    nerva.save(nerva.MLP([6, 5, 2], density=0.5, batch_norm=True, dropout=0.1), path)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"m\.safetensors: "):
            nerva.load(path)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 7)), min_size=1, max_size=4))
def test_flips_are_refused_or_harmless(tmp_path, flips):
    path, model = tmp_path / "m.safetensors", nerva.MLP([6, 5, 2], density=0.5, batch_norm=True, dropout=0.1)
    nerva.save(model, path)
    changed = bytearray(path.read_bytes())
    for place, bit in flips:
        changed[int(place * len(changed))] ^= 1 << bit
    path.write_bytes(changed)
    try:
        found = nerva.load(path)
    except ValueError as error:
        assert str(path) in str(error)  # noqa: PT017 - either is right
    else:
        assert state(found) == state(model)


FORGERIES = {
    "indices": lambda a, s: a["0.indices"].__setitem__(0, 99),
    "indptr": lambda a, s: a.update({"0.indptr": np.zeros(2, np.int32)}),
    "a weight is NaN": lambda a, s: a["0.values"].__setitem__(0, np.nan),
    "lacks the array 0.values": lambda a, s: a.pop("0.values"),
    "7.values is no array of its layers": lambda a, s: a.update({"7.values": np.ones(2)}),
    "arrays that no layer has: header": lambda a, s: a.update(header=np.ones(2)),
    "no model of nerva.save": lambda a, s: s.update(format="nerva.checkpoint"),
    "its header is broken": lambda a, s: s.update(model=3),
    "generator is unknown": lambda a, s: s["rest"]["rng"].update(bit_generator="RandomState"),
    "generator": lambda a, s: s["rest"]["rng"].update(bit_generator="__builtins__"),
    "a backend is": lambda a, s: s["rest"]["layers"][0].update(backend="golden"),
    "masks": lambda a, s: s["rest"]["layers"][0].update(masks=[-1, 2]),
    "settings are broken": lambda a, s: s.pop("rest"),
    "shorter": lambda a, s: s["rest"]["layers"].pop(),
    "infinity": lambda a, s: s["model"]["layers"][1].update({"in": float("inf")}),
    "shape is": lambda a, s: s["model"]["layers"][0].update({"in": 10**12}),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_forged_files_are_refused(tmp_path, name):
    path = tmp_path / "m.safetensors"
    nerva.save(of_every_kind("gelu"), path)
    arrays, about = read_tensors(path)
    FORGERIES[name](arrays, about)
    write_tensors(path, arrays, about)
    with pytest.raises(ValueError, match=rf"m\.safetensors: .*{name.split(', ')[0]}"):
        nerva.load(path)


def test_names_of_classes_are_kept(tmp_path):
    X, y = samples()
    names = np.array(list("dcba"))[y]
    model = nerva.MLP([12, 4], seed=0)
    model.fit(X, names, epochs=1)
    nerva.save(model, tmp_path / "m")
    found = nerva.load(tmp_path / "m")
    assert found.classes == ("a", "b", "c", "d")
    np.testing.assert_array_equal(found.predict(X), model.predict(X))
    assert set(found.predict(X)) <= set(names)


def test_what_cannot_be_saved_is_refused(tmp_path):
    with pytest.raises(TypeError, match=r"model is int; it must be a nerva.Sequential"):
        nerva.save(3, tmp_path / "m")
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        nerva.load(tmp_path / "m")
    X, y = samples()
    model = nerva.MLP([12, 4])
    model.layers[0].weight[0, 0] = np.nan
    with pytest.raises(ValueError, match=r"model\.layers\[0\] is Linear, whose weight holds NaN or infinity"):
        nerva.save(model, tmp_path / "m")
    assert not list(tmp_path.iterdir())
    model.layers[0].weight[0, 0] = 0
    model.fit(X, y, epochs=1, checkpoint=tmp_path / "run")
    with pytest.raises(ValueError, match=r"step-1\.safetensors: no model of nerva\.save"):
        nerva.load(tmp_path / "run" / "step-1.safetensors")


def test_either_function_names_the_one_that_reads_a_file(tmp_path):
    model = nerva.MLP([3, 2])
    nerva.save(model, tmp_path / "a.npz")
    with pytest.raises(ValueError, match=r"a\.npz: .* of the safetensors layout: nerva\.load reads"):
        nerva.load_weights(tmp_path / "a.npz")
    nerva.save_weights(model, tmp_path / "b.safetensors")
    with pytest.raises(ValueError, match=r"b\.safetensors: .* a zip: nerva\.load_weights reads"):
        nerva.load(tmp_path / "b.safetensors")
    (tmp_path / "c.npz").write_bytes(b"")
    with pytest.raises(ValueError, match=r"c\.npz: not an \.npz file, or a truncated one"):
        nerva.load_weights(tmp_path / "c.npz")
