"""Files written atomically, and what cannot be written."""

import errno
import os

import numpy as np
import pytest

import nerva
from nerva.datasets import save_npz
from nerva.system.files import check_writable, read_npz, replacing


def test_a_file_appears_whole_at_the_end_or_not_at_all(tmp_path):
    path = tmp_path / "a"
    with replacing(path) as stream:
        stream.write(b"first")
        assert not path.exists()

    def fail():
        with replacing(path) as stream:
            stream.write(b"second")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["a"]


class Full:
    """A stream on a disk without room."""

    def __init__(self, stream):
        self._stream = stream

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def write(self, data):
        return os.write(os.open("/dev/full", os.O_WRONLY), data)


def test_a_full_disk_names_the_file(tmp_path, monkeypatch):
    path, model = tmp_path / "w.npz", nerva.MLP([4, 3])
    monkeypatch.setattr(os, "fdopen", lambda handle, mode, fdopen=os.fdopen: Opened(fdopen(handle, mode)))
    for write in (lambda: nerva.save_weights(model, path), lambda: save_npz(path, nerva.datasets.mini(5))):
        with pytest.raises(OSError, match=r"w\.npz: cannot be written \(No space left on device\)") as caught:
            write()
        assert caught.value.errno == errno.ENOSPC
    assert os.listdir(tmp_path) == []


class Opened:
    """A context of a `Full` stream."""

    def __init__(self, stream):
        self._stream = stream

    def __enter__(self):
        return Full(self._stream.__enter__())

    def __exit__(self, *error):
        return self._stream.__exit__(*error)


def test_arrays_are_read_by_their_names(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x=np.arange(3), y=np.ones(2))
    assert list(read_npz(path)) == ["x", "y"]
    np.testing.assert_array_equal(read_npz(path, ["x"])["x"], [0, 1, 2])
    with pytest.raises(ValueError, match=r"a.npz: lacks z; it holds x, y"):
        read_npz(path, ["z"])
    with pytest.raises(FileNotFoundError, match=r"b.npz: there is no such file"):
        read_npz(tmp_path / "b.npz")


def test_what_cannot_be_written_is_known_before(tmp_path, monkeypatch):
    check_writable(tmp_path / "new.npz")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path, error, message in (
        (tmp_path, IsADirectoryError, "a folder, not a file"),
        (tmp_path / "no" / "folder.npz", FileNotFoundError, "cannot be written"),
        (pipe, OSError, "a device or the like"),
        ("/dev/null", OSError, "a device or the like"),
        (3, TypeError, "path is 3; it must be a string or a path"),
    ):
        with pytest.raises(error, match=message):
            check_writable(path)
        with pytest.raises(error, match=message), replacing(path):
            pass
    assert os.listdir(tmp_path) == ["pipe"]
    with pytest.raises(TypeError, match="path is 3"):
        nerva.load_weights(3)
