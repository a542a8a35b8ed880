"""Arrays of .npz files, one by one."""

import zipfile

import numpy as np
import pytest

from nerva.system.archive import NpzArchive


def test_arrays_are_known_before_they_are_read(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x=np.arange(6.0).reshape(2, 3), y=np.ones(2, np.uint8, order="F"))
    with NpzArchive(path) as arrays:
        assert list(arrays) == ["x", "y"]
        assert [(head.shape, head.dtype, head.nbytes) for head in arrays.heads.values()] == [
            ((2, 3), np.float64, 48),
            ((2,), np.uint8, 2),
        ]
        np.testing.assert_array_equal(arrays["x"], np.arange(6.0).reshape(2, 3))
        assert ("x" in arrays, "z" in arrays, len(arrays)) == (True, False, 2)
        with pytest.raises(KeyError):
            arrays["z"]


def test_what_is_no_array_is_refused(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x=np.array([None], object))
    with pytest.raises(ValueError, match="x cannot be read"):
        NpzArchive(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", b"golden")
    with pytest.raises(ValueError, match="x cannot be read"):
        NpzArchive(path)
    np.savez(path, x=np.ones(3))
    with zipfile.ZipFile(path) as archive:
        entry = archive.read("x.npy")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("x", entry)
    with pytest.raises(ValueError, match="two of its arrays have one name"):
        NpzArchive(path)
    with pytest.raises(ValueError, match="not a file"):
        NpzArchive(tmp_path)


def test_damage_is_found_when_an_array_is_read(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x=np.ones(1000))
    whole = bytearray(path.read_bytes())
    whole[4000] ^= 1
    path.write_bytes(whole)
    with NpzArchive(path) as arrays, pytest.raises(ValueError, match=r"x cannot be read .*CRC"):
        arrays["x"]
