"""Data sets in .npz files: writing."""

import importlib
import os
import stat
import zipfile

import numpy as np
import pytest

from nerva.datasets import Dataset, Split, Standardized, npz, save_npz


def splits(X, y, test_X, test_y):
    return Dataset("mine", Split(X, y), Split(test_X, test_y), ("a", "b", "c"))


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (13, 6), dtype=np.uint8)


LABELS = np.arange(13) % 3


@pytest.mark.parametrize("piece", [1, 100, 1 << 22])
@pytest.mark.parametrize("kind", ["standardized", "uint8", "float32", "float64", "fortran"])
def test_what_is_saved_is_read_again(tmp_path, pixels, monkeypatch, piece, kind):
    monkeypatch.setattr(importlib.import_module("nerva.datasets.npz"), "PIECE", piece)
    X = {
        "standardized": Standardized(pixels, 0.4, 0.3),
        "fortran": np.asfortranarray(pixels.astype(np.float64)),
    }.get(kind)
    X = pixels.astype(kind) if X is None else X
    path = tmp_path / "saved.npz"
    save_npz(path, splits(X, LABELS.astype(np.int32), X[:4], LABELS[:4]))
    assert os.listdir(tmp_path) == ["saved.npz"]
    with np.load(path, allow_pickle=False) as file:
        assert sorted(file.files) == ["Ttest", "Ttrain", "Xtest", "Xtrain"]
        assert file["Xtrain"].dtype == (np.float64 if kind in ("float64", "fortran") else np.float32)
        assert file["Ttrain"].dtype == np.int64
        assert not file["Xtrain"].flags.f_contiguous
    data = npz(path)
    np.testing.assert_array_equal(data.train.X, np.asarray(X))
    np.testing.assert_array_equal(data.test.X, np.asarray(X[:4]))
    np.testing.assert_array_equal(data.train.y, LABELS)
    np.testing.assert_array_equal(data.test.y, LABELS[:4])


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, pixels, monkeypatch):
    path = tmp_path / "saved.npz"
    save_npz(path, splits(pixels, LABELS, pixels, LABELS))
    umask = os.umask(0o022)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask
    before = path.read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(zipfile.ZipFile, "open", full)
        with pytest.raises(OSError, match="No space left"):
            save_npz(path, splits(pixels[:5], LABELS[:5], pixels, LABELS))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["saved.npz"]
    path.chmod(0o600)
    save_npz(path, splits(pixels[:5], LABELS[:5], pixels, LABELS))
    assert len(npz(path).train.y) == 5
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(IsADirectoryError):
        save_npz(tmp_path, splits(pixels, LABELS, pixels, LABELS))
    with pytest.raises(FileNotFoundError):
        save_npz(tmp_path / "no" / "folder.npz", splits(pixels, LABELS, pixels, LABELS))


def test_a_link_leads_to_the_file_that_is_replaced(tmp_path, pixels):
    (tmp_path / "there").mkdir()
    link, file = tmp_path / "link.npz", tmp_path / "there" / "saved.npz"
    link.symlink_to(file)
    for count in (10, 5):  # where nothing is yet, and where something is
        save_npz(link, splits(pixels[:count], LABELS[:count], pixels, LABELS))
        assert link.is_symlink()
        assert len(npz(file).train.y) == count
    assert sorted(os.listdir(tmp_path)) == ["link.npz", "there"]
    assert os.listdir(tmp_path / "there") == ["saved.npz"]


def test_what_cannot_be_read_again_is_not_saved(tmp_path, pixels):
    for changes, error, message in (
        ({"X": pixels.astype(complex)}, ValueError, "the X of dataset.train is a ndarray of complex128"),
        ({"X": pixels[0]}, ValueError, r"uint8, \(6,\); it must be an array of numbers"),
        ({"X": pixels.tolist()}, ValueError, "the X of dataset.train is a list; it must be"),
        ({"X": np.where(pixels == pixels[7, 3], np.nan, 1.0)}, ValueError, "the X of dataset.train holds NaN"),
        ({"test_X": pixels[:, 1:]}, ValueError, "6 features a sample, but dataset.test has 5"),
        ({"y": LABELS[1:]}, ValueError, "the y of dataset.train must be 13 integer labels"),
        ({"y": LABELS.astype(float)}, ValueError, "the y of dataset.train must be 13 integer labels"),
        ({"test_y": LABELS - 1}, ValueError, "the y of dataset.test runs from -1"),
        ({"y": LABELS // 2}, ValueError, "dataset.test holds the label 2, but those of dataset.train end at 1"),
    ):
        data = splits(**({"X": pixels, "y": LABELS, "test_X": pixels, "test_y": LABELS} | changes))
        with pytest.raises(error, match=message):
            save_npz(tmp_path / "a.npz", data)
    with pytest.raises(TypeError, match="dataset is dict"):
        save_npz(tmp_path / "a.npz", {})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(("task", "y"), [("regression", [[0.5], [2.0]]), ("multi-label", [[1.0, 0.0], [1.0, 1.0]])])
def test_other_targets_are_saved(tmp_path, task, y):
    split = Split(np.ones((2, 3), np.float32), np.array(y))
    names = tuple(map(str, range(len(y[0]))))
    save_npz(tmp_path / "a.npz", Dataset("a", split, split, names, task=task))
    data = npz(tmp_path / "a.npz", task=None)
    assert (data.task, data.classes) == (task, names)
    np.testing.assert_array_equal(data.test.y, y)
    for wrong, message in [(np.array([0.5, 2.0]), r"shape \(2, "), (np.full_like(y, np.nan), "found nan in sample 0")]:
        broken = Dataset("a", split, Split(split.X, wrong), names, task=task)
        with pytest.raises(ValueError, match=rf"the y of dataset.test.*{message}"):
            save_npz(tmp_path / "b.npz", broken)
    assert not (tmp_path / "b.npz").exists()
