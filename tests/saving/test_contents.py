"""Files of weights that would fill the memory, and arrays that no layer has: refused unread."""

import io
import json
import tracemalloc
import zipfile

import numpy as np
import pytest

import nerva

from ..weights_reference import network, of_every_kind, rewrite


def head(shape, descr="<f4"):
    """The header of an .npy file."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": descr, "fortran_order": False, "shape": shape})
    return stream.getvalue()


def write(path, sizes, **entries):
    """A file of one linear layer, whose entries are written as they are, and compressed."""
    config = nerva.Linear(2, 2).config() | {"in": sizes[0], "out": sizes[1]}
    header = json.dumps({"nerva": 1, "layers": [{"kind": "Linear", **config}]}).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.npy", head((len(header),), "|u1") + header)
        for name, entry in entries.items():
            archive.writestr(f"0.{name}.npy", entry)


def refused(path, message, model=None):
    """Whether a file is refused with little memory."""
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=rf"w\.npz: .*{message}"):
            nerva.load_weights(path, model)
        return tracemalloc.get_traced_memory()[1] < 4e6
    finally:
        tracemalloc.stop()


def test_a_small_file_cannot_fill_the_memory(tmp_path):
    path, n = tmp_path / "w.npz", 9000
    write(path, (n, n), bias=head((n,)) + bytes(4 * n))
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive, archive.open("0.weight.npy", "w") as stream:
        stream.write(head((n, n)))
        for _ in range(n):
            stream.write(bytes(4 * n))
    assert path.stat().st_size < 1e6
    assert refused(path, r"its 0.\d MB would become 324 MB of arrays")


@pytest.mark.parametrize(
    ("shape", "message"),
    [((1 << 40,), "is not what it holds"), ((1 << 20, 1 << 31), "is not what it holds"), ((-4, -1), "its shape is")],
)
def test_shapes_that_are_not_those_of_the_data(tmp_path, shape, message):
    write(tmp_path / "w.npz", (2, 2), weight=head(shape) + bytes(16), bias=head((2,)) + bytes(8))
    assert refused(tmp_path / "w.npz", f"0.weight cannot be read .*{message}")


def test_headers_that_claim_to_be_long(tmp_path):
    long = b"\x93NUMPY\x02\x00" + (1 << 31).to_bytes(4, "little") + bytes(10_000_000)
    write(tmp_path / "w.npz", (2, 2), weight=long)
    assert refused(tmp_path / "w.npz", "0.weight cannot be read .its header has 2,147,483,648 characters")


def test_shapes_of_the_header_and_of_the_model_are_compared_before_anything_is_read(tmp_path):
    path, n = tmp_path / "w.npz", 4000
    arrays = {"weight": head((n, n)) + bytes(4 * n * n), "bias": head((n,)) + bytes(4 * n)}
    write(path, (n, n), **arrays)
    assert refused(path, r"layer 1 has shape \(4000, 4000\); in the model it has \(3, 4\)", nerva.MLP([4, 3]))
    write(path, (n, n + 1), **arrays)
    assert refused(path, r"arrays of layer 1 are not those of its header: 0.weight has shape \(4000, 4000\)")
    np.savez_compressed(path, W1=np.zeros((n, n), np.float32), b1=np.zeros(n, np.float32))
    assert refused(path, r"layer 1 has shape \(4000, 4000\); in the model it has \(3, 4\)", nerva.MLP([4, 3]))


@pytest.mark.parametrize("name", ["0.weight", "1.x", "6.weight", "x", "-1.weight", "00000000000.weight", "4.bias"])
def test_arrays_of_no_layer_are_refused_unread(tmp_path, name):
    path = tmp_path / "w.npz"
    nerva.save_weights(of_every_kind("relu"), path)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{name}.npy", head((20_000_000,)) + bytes(80_000_000))
    assert refused(path, f"{name} is no array of its layers")


def test_arrays_of_no_layer_in_the_layout_of_the_original(tmp_path):
    path = tmp_path / "w.npz"
    np.savez_compressed(path, W1=np.ones((3, 4)), b1=np.ones(3), W3=np.zeros(20_000_000, np.float32))
    assert refused(path, "it holds W3 beside W1 to W1")
    np.savez(path, W1=np.ones((3, 4)), W2=np.ones((3, 4)))
    assert refused(path, r"W1 has shape \(3, 4\), W2 \(3, 4\), which do not fit together")


def test_compressed_weights_are_read(tmp_path):
    path, model = tmp_path / "w.npz", network()
    nerva.save_weights(model, path)
    with np.load(path) as file:
        arrays = dict(file)
    np.savez_compressed(path, **arrays)
    assert repr(nerva.load_weights(path)) == repr(model)


def test_a_layer_that_is_described_wrongly_is_named_first(tmp_path):
    path = tmp_path / "w.npz"
    nerva.save_weights(nerva.Sequential([nerva.Linear(2, 2), nerva.Dropout(0.5)]), path)
    with np.load(path) as file:
        layers = json.loads(file["header"].tobytes())["layers"]
    strange = {"kind": "Activation", "in": 2, "out": 2, "activation": {"A": {}}}
    for second, message in (({"kind": "Dropout", "rate": 2}, "rate is 2"), (strange, "layer 2 is described wrongly")):
        rewrite(path, header={"layers": [layers[0], second]})
        with pytest.raises(ValueError, match=message):
            nerva.load_weights(path)
