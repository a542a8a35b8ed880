"""The command `nerva predict`: its kinds of files, and what it refuses."""

import sys

import numpy as np
import pandas as pd
import pytest

import nerva

from .running import assert_refused, finish, start

X = np.random.default_rng(0).standard_normal((300, 4)).astype(np.float32)


def saved(path, outputs=3, loss=None, classes=None):
    model = nerva.MLP([4, 6, outputs], density=0.5, seed=1)
    model.loss, model.classes = loss or nerva.SoftmaxCrossEntropy(), classes
    nerva.save(model, path)
    return model


def write(path, samples):
    """Write samples in the layout that the name of the file says."""
    match path.name.split(".", 1):
        case _, "npy":
            np.save(path, samples)
        case "only", _:
            np.savez(path, some=samples)
        case _, "npz":
            np.savez(path, Xtrain=samples[:1], Xtest=samples)
        case "bare", _:
            np.savetxt(path, samples, delimiter=",", fmt="%.9g")
        case _, "csv":
            pd.DataFrame(samples, columns=["a", "b,c", "ü", "1"]).to_csv(path, index=False)
        case _:
            pd.DataFrame(samples, columns=list("abcd")).to_parquet(path)
    return path


FILES = ["x.npy", "only.npz", "x.npz", "bare.csv", "x.csv", "x.parquet"]


@pytest.mark.parametrize("name", FILES)
def test_every_kind_of_file_holds_the_samples(command, tmp_path, name):
    model = saved(tmp_path / "model")
    path = write(tmp_path / name, X)
    code, _, errors = command("predict", tmp_path / "model", path, "-o", tmp_path / "out.npy", "--proba")
    assert (code, errors) == (0, [])
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), model.predict_proba(X))


@pytest.mark.parametrize("header", [True, False])
def test_booleans_as_a_data_frame_writes_them(command, tmp_path, header):
    model, frame = saved(tmp_path / "model"), pd.DataFrame(X, columns=list("abcd"))
    frame["b"] = frame["b"] > 0
    frame.to_csv(tmp_path / "x.csv", index=False, header=header)
    options = ["-o", tmp_path / "out.npy", "--proba"]
    code, _, errors = command("predict", tmp_path / "model", tmp_path / "x.csv", *options)
    assert (code, errors) == (0, [])
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), model.predict_proba(frame))


@pytest.mark.parametrize("suffix", ["csv", "npy", "parquet", None])
@pytest.mark.parametrize("proba", [False, True])
def test_every_kind_of_file_takes_the_predictions(command, tmp_path, suffix, proba):
    model = saved(tmp_path / "model", classes=("cat", "dog, wet", "eel"))
    out = None if suffix is None else tmp_path / f"out.{suffix}"
    options = ["--proba"] * proba + (["-o", out] if out else [])
    code, lines, errors = command("predict", tmp_path / "model", write(tmp_path / "x.npy", X), *options)
    assert (code, errors) == (0, [])
    expected = model.predict_proba(X) if proba else model.predict(X)[:, None]
    names = ["cat", "dog, wet", "eel"] if proba else ["prediction"]
    if out is None:
        out = tmp_path / "out.csv"
        out.write_text("\n".join(lines) + "\n")
    if suffix == "npy":
        found = np.load(out).reshape(len(X), -1)
    else:
        frame = pd.read_parquet(out) if suffix == "parquet" else pd.read_csv(out, dtype=np.float32 if proba else str)
        assert list(frame.columns) == names
        found = frame.to_numpy()
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("loss", "outputs", "classes", "options", "names"),
    [
        (nerva.SoftmaxCrossEntropy(), 3, None, ["--proba"], "0,1,2"),
        (nerva.LogisticCrossEntropy(), 1, ("no", "yes"), ["--proba"], "yes"),
        (nerva.LogisticCrossEntropy(), 1, ("no", "yes"), [], "prediction"),
        (nerva.LogisticCrossEntropy(), 2, None, [], "prediction_0,prediction_1"),
        (nerva.MeanSquaredError(), 1, None, [], "prediction"),
        (nerva.MeanSquaredError(), 2, None, [], "prediction_0,prediction_1"),
    ],
)
def test_columns_are_named_and_as_the_loss_says(command, tmp_path, loss, outputs, classes, options, names):
    model = saved(tmp_path / "model", outputs, loss, classes)
    code, out, _ = command("predict", tmp_path / "model", write(tmp_path / "x.npy", X), *options)
    expected = model.predict_proba(X) if options else model.predict(X)
    assert (code, out[0]) == (0, names)
    assert out[1:] == [",".join(map(str, np.atleast_1d(row))) for row in expected]


def test_images_are_flattened_and_batches_change_no_class(command, tmp_path):
    model = saved(tmp_path / "model")
    np.save(tmp_path / "x.npy", X.reshape(300, 2, 2))
    code, out, _ = command("predict", tmp_path / "model", tmp_path / "x.npy", "--batch-size", 7)
    assert (code, out[1:]) == (0, [str(k) for k in model.predict(X)])


@pytest.mark.parametrize(
    ("name", "content", "code", "complaint"),
    [
        ("x.csv", "", 1, "holds no samples"),
        ("x.csv", "a,b,c,d\n", 1, "holds no samples"),
        ("x.csv", "a,b,c,d\n1,2,3,x\n", 1, "'x'"),
        ("x.csv", "1,2,3,4\n1,2\n", 1, "row 2 has 2 cells; the first line has 4"),
        ("x.csv", "1,2,3\n", 2, "X has shape (1, 3)"),
        ("x.csv", "1,2,3,nan\n", 2, "nan"),
        ("x.csv", "True,2,3,4\n1,yes,3,4\n", 1, "'yes'"),
        ("x.csv", "1" * 200_000, 1, "field larger"),
        ("x.npy", "text", 1, "x.npy: "),
        ("x.npz", "text", 1, "not an .npz file"),
        ("x.parquet", "text", 1, "x.parquet"),
    ],
)
def test_samples_that_cannot_be_taken_are_one_line(command, tmp_path, name, content, code, complaint):
    saved(tmp_path / "model")
    (tmp_path / name).write_text(content)
    found, out, errors = command("predict", tmp_path / "model", tmp_path / name, "-o", tmp_path / "out.csv")
    assert (found, out, len(errors)) == (code, [], 1)
    assert complaint in errors[0]
    assert not (tmp_path / "out.csv").exists()


def test_an_npz_file_of_several_arrays_needs_the_test_samples(command, tmp_path):
    saved(tmp_path / "model")
    np.savez(tmp_path / "x.npz", a=X, b=X)
    code, _, errors = command("predict", tmp_path / "model", tmp_path / "x.npz")
    assert (code, errors) == (1, [f"nerva: {tmp_path}/x.npz: holds a, b; it must hold Xtest, or one array"])


def test_regression_has_no_probabilities(command, tmp_path):
    saved(tmp_path / "model", loss=nerva.MeanSquaredError())
    argv = [tmp_path / "model", write(tmp_path / "x.npy", X), "--proba"]
    assert_refused(command("predict", *argv), argv, "--proba: a network trained by MeanSquaredError")


@pytest.mark.parametrize("package", ["pandas", "pyarrow"])
@pytest.mark.parametrize("side", ["in", "out"])
def test_parquet_names_its_extra(command, tmp_path, monkeypatch, package, side):
    saved(tmp_path / "model")
    argv = [tmp_path / "model", write(tmp_path / ("x.parquet" if side == "in" else "x.npy"), X)]
    argv += ["-o", tmp_path / "out.parquet"] if side == "out" else []
    monkeypatch.setitem(sys.modules, package, None)
    assert_refused(command("predict", *argv), argv, "needs pandas and pyarrow: pip install 'nerva-sparse[parquet]'")
    assert not (tmp_path / "out.parquet").exists()


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        ([__file__], "required: X"),
        ([__file__, __file__], "does not end in .npy, .npz, .csv or .parquet"),
        ([__file__, "none.npy"], "nerva predict: X: there is no file none.npy"),
        ([__file__, "x.npy", "-o", "out.txt"], "out.txt does not end in .csv, .npy or .parquet"),
        ([__file__, "x.npy", "-o", "none/out.csv"], "none/out.csv is no file in a folder that exists"),
    ],
)
def test_words_that_are_no_options_are_refused(command, tmp_path, monkeypatch, argv, complaint):
    monkeypatch.chdir(tmp_path)
    if "-o" in argv:
        np.save("x.npy", X)
    assert_refused(command("predict", *argv), argv, complaint)


def test_a_full_disk_under_the_predictions(tmp_path):
    saved(tmp_path / "model")
    with open("/dev/full", "w") as full:
        argv = [tmp_path / "model", write(tmp_path / "x.npy", np.tile(X, (50, 1)))]
        code, _, errors = finish(start("predict", *argv, cwd=tmp_path, stdout=full))
    assert (code, errors) == (1, ["nerva: cannot write to standard output: No space left on device"])
