"""Data sets in .npz files: reading."""

import io

import numpy as np
import pytest

from nerva.datasets import npz


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return {
        "Xtrain": rng.standard_normal((6, 4)).astype(np.float32),
        "Ttrain": np.array([0, 1, 2, 2, 1, 0]),
        "Xtest": rng.standard_normal((3, 4)).astype(np.float32),
        "Ttest": np.array([2, 0, 1]),
    }


def save(path, arrays, **changes):
    np.savez(path, **(arrays | changes))
    return path


def test_npz_is_read(tmp_path, arrays):
    data = npz(str(save(tmp_path / "mine.npz", arrays)))
    assert (data.name, data.classes, data.image_shape) == ("mine", ("0", "1", "2"), None)
    for split, end in ((data.train, "train"), (data.test, "test")):
        np.testing.assert_array_equal(split.X, arrays["X" + end])
        np.testing.assert_array_equal(split.y, arrays["T" + end])
        assert split.X.dtype == np.float32
        assert split.y.dtype == np.int64
    np.savez_compressed(tmp_path / "small.npz", extra=1, **arrays)
    np.testing.assert_array_equal(npz(tmp_path / "small.npz").train.X, arrays["Xtrain"])


@pytest.mark.parametrize(
    ("stored", "read"), [("f8", "f8"), (">f4", "f4"), ("u1", "u1"), ("f2", "f4"), ("i8", "f4"), ("?", "f4")]
)
def test_npz_keeps_what_trains_and_converts_the_rest(tmp_path, arrays, stored, read):
    X = (arrays["Xtrain"] > 0).astype(stored)
    data = npz(save(tmp_path / "a.npz", arrays, Xtrain=np.asfortranarray(X)))
    assert data.train.X.dtype == np.dtype(read)
    assert data.train.X.dtype.isnative
    assert data.train.X.flags.c_contiguous
    np.testing.assert_array_equal(data.train.X, X)


def test_npz_flattens_images_and_takes_whole_float_labels(tmp_path, arrays):
    images = np.asfortranarray(np.arange(6 * 2 * 2).reshape(6, 2, 2).astype(np.float32))
    data = npz(save(tmp_path / "a.npz", arrays, Xtrain=images, Ttrain=arrays["Ttrain"].astype(np.float32)))
    np.testing.assert_array_equal(data.train.X, np.arange(24).reshape(6, 4))
    np.testing.assert_array_equal(data.train.y, arrays["Ttrain"])
    assert data.train.y.dtype == np.int64


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("Xtrain", np.zeros((5, 4)), "Xtrain has 5 samples, but Ttrain has 6 labels"),
        ("Ttest", [0, 1], "Xtest has 3 samples, but Ttest has 2 labels"),
        ("Xtest", np.zeros((3, 5)), "Xtrain has 4 features a sample, but Xtest has 5"),
        ("Xtest", np.zeros((0, 4)), r"Xtest is empty, its shape is \(0, 4\)"),
        ("Xtest", np.zeros((3, 0)), r"Xtest is empty, its shape is \(3, 0\)"),
        ("Xtest", np.zeros(3), r"Xtest must have the shape \(samples, features\), found \(3,\)"),
        ("Xtest", np.zeros((3, 4), complex), "Xtest must hold real numbers, found complex128"),
        ("Xtest", np.full((3, 4), "a"), "Xtest must hold real numbers, found <U1"),
        ("Xtest", np.full((3, 4), None), "Xtest cannot be read .*allow_pickle=False"),
        ("Xtrain", np.where(np.arange(24) == 9, np.nan, 0).reshape(6, 4), "Xtrain holds NaN or infinity.*sample 2"),
        ("Xtrain", np.where(np.arange(24) == 23, -np.inf, 0).reshape(6, 4), "Xtrain holds NaN or infinity.*sample 5"),
        ("Ttrain", [0, 1, 0.5, 1, 0, 1], "labels of Ttrain must be whole numbers, found 0.5 in sample 2"),
        ("Ttrain", [0, 1, np.nan, 1, 0, 1], "labels of Ttrain must be whole numbers, found nan in sample 2"),
        ("Ttrain", [0, 1, 1, np.inf, 0, 1], "labels of Ttrain must be below 1,000,000, found inf in sample 3"),
        ("Ttrain", [0, 1, 1, 10**12, 0, 1], "labels of Ttrain must be below 1,000,000, found 1000000000000"),
        ("Ttrain", np.full(6, 2**64 - 1, np.uint64), "labels of Ttrain must be below 1,000,000"),
        ("Ttest", [0, -1, 1], "labels of Ttest must not be negative, found -1 in sample 1"),
        ("Ttest", [0, 3, 1], "Ttest holds the label 3, but the labels of Ttrain end at 2"),
        ("Ttest", np.zeros((3, 3), int), r"Ttest must have the shape \(samples,\), one label each, found \(3, 3\)"),
        ("Ttest", [], "Ttest is empty"),
        ("Ttest", ["a", "b", "c"], "Ttest must hold whole numbers, found <U1"),
    ],
)
def test_npz_names_what_is_wrong(tmp_path, arrays, key, value, message):
    with pytest.raises(ValueError, match=rf"wrong.npz: .*{message}"):
        npz(save(tmp_path / "wrong.npz", arrays, **{key: np.asarray(value)}))


def test_npz_names_missing_arrays(tmp_path, arrays):
    del arrays["Ttrain"], arrays["Xtest"]
    with pytest.raises(ValueError, match=r"a.npz: lacks Ttrain, Xtest; it holds Xtrain, Ttest, y"):
        npz(save(tmp_path / "a.npz", arrays, y=np.zeros(1)))


def test_npz_names_an_unreadable_file(tmp_path, arrays):
    with pytest.raises(FileNotFoundError, match=r"none.npz: there is no such file"):
        npz(tmp_path / "none.npz")
    with pytest.raises(ValueError, match=": not a file"):
        npz(tmp_path)
    path = tmp_path / "bad.npz"
    np.savez_compressed(path, **arrays)
    good = path.read_bytes()
    single = io.BytesIO()
    np.save(single, arrays["Xtrain"])
    for data in (b"", b"hello", good[: len(good) // 2], single.getvalue()):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"bad.npz: not an .npz file, or a truncated one"):
            npz(path)
    corrupt = bytearray(good)
    corrupt[80] ^= 0xFF  # in the first array's data
    path.write_bytes(corrupt)
    with pytest.raises(ValueError, match=r"bad.npz: Xtrain cannot be read"):
        npz(path)


@pytest.mark.parametrize(("D", "K", "train", "test"), [(2, 2, 50, 10), (8, 5, 50, 10), (8, 5, 50, 50)])
def test_a_file_of_the_originals_writer_is_explained(tmp_path, D, K, train, test):
    """Its X has a sample a column, its T as many numbers as there are classes.

    Where both splits have equally many samples, and as many features as classes, nothing tells it from a good one.
    """
    rng = np.random.default_rng(0)
    arrays = {"Xtrain": rng.random((D, train)), "Xtest": rng.random((D, test))}
    arrays |= {"Ttrain": np.arange(K), "Ttest": np.arange(K)}
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError, match="looks like a file of the original Nerva's --save-dataset"):
        npz(tmp_path / "a.npz")


@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize(
    ("T", "task", "rows"),
    [
        ([0.5, 2.0, 1.0], "regression", [[0.5], [2.0], [1.0]]),
        ([[0.5, 2.0], [1.0, 3.0], [0.0, 0.0]], "regression", [[0.5, 2.0], [1.0, 3.0], [0.0, 0.0]]),
        ([[True, False], [True, True], [False, False]], "multi-label", [[1, 0], [1, 1], [0, 0]]),
        ([0, 1, 1], "classification", [0, 1, 1]),
    ],
)
def test_npz_of_other_tasks(tmp_path, arrays, T, task, rows, asked):
    path = save(tmp_path / "a.npz", arrays, Xtrain=arrays["Xtest"], Ttrain=np.array(T), Ttest=np.array(T))
    data = npz(path, task=task if asked else None)
    assert data.task == task
    np.testing.assert_array_equal(data.train.y, rows)
    assert data.test.y.dtype == (np.int64 if task == "classification" else np.float64)
    assert len(data.classes) == (2 if np.ndim(rows) == 1 else np.shape(rows)[1])


def test_npz_takes_integers_for_labels_however_few_there_are(tmp_path, arrays):
    few = {"Ttrain": np.array([0, 40, 7, 21, 0, 7]), "Ttest": np.array([40, 7, 0])}
    assert npz(save(tmp_path / "few.npz", arrays, **few), task=None).task == "classification"


@pytest.mark.parametrize(
    ("task", "changes", "message"),
    [
        ("regression", {"Ttest": [1.0, np.nan, 2.0]}, "Ttest: targets must be finite, found nan in sample 1"),
        ("multi-label", {}, "Ttrain: targets must be 0 or 1, found 2.0 in sample 2"),
        ("regression", {"Ttest": np.zeros((3, 2))}, "Ttrain has 1 targets a sample, but Ttest has 2"),
        ("regression", {"Ttest": np.zeros(2)}, "Xtest has 3 samples, but Ttest has 2 labels"),
        ("regression", {"Ttest": ["a", "b", "c"]}, "Ttest: targets must be numbers, found <U1"),
        (None, {"Ttrain": np.array([-1, 1, 1, 1, -1, -1])}, "Ttrain: whole numbers from -1 to 1 in 6 samples may be"),
        ("sorting", {}, "task is 'sorting'; it must be one of classification, regression, multi-label"),
    ],
)
def test_npz_names_targets_that_are_wrong(tmp_path, arrays, task, changes, message):
    path = save(tmp_path / "a.npz", arrays, **{key: np.asarray(value) for key, value in changes.items()})
    with pytest.raises(ValueError, match=message):
        npz(path, task=task)
