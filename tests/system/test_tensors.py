"""Arrays and JSON in one file: what is read is what was written, or an error that names the file."""

import contextlib
import hashlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from nerva.system.tensors import DTYPES, read_tensors, write_tensors


def contents(dtype=np.float32):
    return {
        "0.values": np.linspace(-1, 1, 7).astype(dtype),
        "0.indptr": np.arange(5, dtype=np.int32),
        "empty": np.empty((0, 3)),
        "one": np.array(2.5),
        "flags": np.array([True, False]),
        "matrix": np.arange(6, dtype=np.uint64).reshape(2, 3).T,
    }


def assert_same_arrays(found, wanted):
    assert sorted(found) == sorted(wanted)
    for name, array in wanted.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert found[name].tobytes() == array.tobytes()


def test_there_and_back(tmp_path, dtype):
    metadata = {"a": [1, None, 2.5, float("inf")], "rng": 2**127 + 1, "ü": "€"}
    write_tensors(tmp_path / "a", contents(dtype), metadata)
    found, about = read_tensors(tmp_path / "a")
    assert_same_arrays(found, contents(dtype))
    assert about == metadata


@given(array=st.sampled_from(sorted(DTYPES.values())).flatmap(
    lambda dtype: arrays(dtype, array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5))))  # fmt: skip
def test_any_array_there_and_back(tmp_path_factory, array):
    path = tmp_path_factory.mktemp("any") / "a"
    write_tensors(path, {"": array}, None)
    assert_same_arrays(read_tensors(path)[0], {"": array})


def test_the_layout_is_that_of_safetensors(tmp_path):
    """Read by hand, as the specification of the format says."""
    write_tensors(tmp_path / "a", contents(), {})
    text = (tmp_path / "a").read_bytes()
    length = int.from_bytes(text[:8], "little")
    header, data = json.loads(text[8 : 8 + length]), text[8 + length :]
    assert length % 8 == 0
    assert all(isinstance(value, str) for value in header.pop("__metadata__").values())
    for name, array in contents().items():
        first, end = header[name]["data_offsets"]
        assert (first % array.itemsize, header[name]["shape"]) == (0, list(array.shape))
        assert data[first:end] == array.tobytes()


def test_arrays_that_the_layout_lacks_are_refused(tmp_path):
    for array in (np.array([object()]), np.array(["a"]), np.array([1j])):
        with pytest.raises(TypeError, match=r"x has dtype .*; a file takes bool, uint8"):
            write_tensors(tmp_path / "a", {"x": array}, {})
    assert not list(tmp_path.iterdir())


def test_every_truncation_is_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    write_tensors(path, contents(), {"epoch": 1})
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"a\.safetensors"):
            read_tensors(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(ValueError, match="cut short or too long"):
        read_tensors(path)


def test_every_flip_of_a_bit_is_refused_or_harmless(tmp_path):
    path = tmp_path / "a.safetensors"
    write_tensors(path, contents(), {"epoch": 1})
    whole, refused = bytearray(path.read_bytes()), 0
    for bit in range(0, 8 * len(whole), 3):
        whole[bit // 8] ^= 1 << bit % 8
        path.write_bytes(whole)
        with contextlib.suppress(ValueError):
            refused += 1
            found, about = read_tensors(path)
            refused -= 1
            assert_same_arrays(found, contents())
            assert about == {"epoch": 1}
        whole[bit // 8] ^= 1 << bit % 8
    assert refused > 0.99 * (8 * len(whole) // 3)


def forge(path, change):
    """Write a file whose header says something else, and whose hashes are right all the same."""
    entries = {"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
    data, text = np.ones(2, np.float32).tobytes(), "{}"
    hashes = {"x": hashlib.sha256(data).hexdigest()}
    change(entries)
    try:
        about = [[name, entries[name]["dtype"], entries[name]["shape"], hashes.get(name)] for name in sorted(entries)]
    except TypeError:
        about = []
    digest = hashlib.sha256(json.dumps([about, text]).encode()).hexdigest()
    header = json.dumps({"__metadata__": {"nerva": text, "sha256": json.dumps(hashes), "digest": digest}, **entries})
    path.write_bytes(len(header).to_bytes(8, "little") + header.encode() + data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e: e["x"].update(shape=[2**40]), "does not take 8 bytes"),
        (lambda e: e["x"].update(shape=[2**40], data_offsets=[0, 2**42]), "its arrays take .* bytes; it has 8"),
        (lambda e: e["x"].update(shape=[2**62, 4, 0], data_offsets=[0, 0]), "its arrays take 0 bytes"),
        (lambda e: e["x"].update(shape=[-2, -1]), "no shape"),
        (lambda e: e["x"].update(shape=[1] * 32 + [2]), "no shape"),
        (lambda e: e["x"].update(shape=[True, 2]), "no shape"),
        (lambda e: e["x"].update(shape="2"), "no shape"),
        (lambda e: e["x"].update(data_offsets=[8, 16]), "does not follow"),
        (lambda e: e["x"].update(data_offsets=[0, 8, 8]), "no place"),
        (lambda e: e["x"].update(dtype="BF16"), "of dtype 'BF16', which is unknown"),
        (lambda e: e["x"].update(dtype=["F32"]), "which is unknown"),
        (lambda e: e["x"].update(more=1), "not described rightly"),
        (lambda e: e.update(x=5), "not described rightly"),
        (lambda e: e.update(y=e["x"]), "does not follow"),
    ],
)  # fmt: skip
def test_headers_that_lie_are_refused(tmp_path, change, message):
    path = tmp_path / "a"
    forge(path, lambda entries: None)
    assert read_tensors(path)[0]["x"].tolist() == [1, 1]
    forge(path, change)
    with pytest.raises(ValueError, match=message):
        read_tensors(path)


@pytest.mark.parametrize("header", [b"[" * 100_000, b'{"a": 1, "a": 2}', b"{}", b"[]", b'{"__metadata__": {}}', b"\xff",
                                    b'{"__metadata__": {"nerva": 1, "sha256": 2, "digest": 3}}'])  # fmt: skip
def test_headers_of_something_else_are_refused(tmp_path, header):
    path = tmp_path / "a"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(ValueError, match="a: its"):
        read_tensors(path)


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="b: there is no such file"):
        read_tensors(tmp_path / "b")
    with pytest.raises(ValueError, match="not a file"):
        read_tensors(tmp_path)
    with pytest.raises(TypeError, match="path is 3"):
        read_tensors(3)
