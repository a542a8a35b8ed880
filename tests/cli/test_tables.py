"""Training on tables, .csv and .parquet, and on .npz files of other tasks; evaluation and prediction likewise."""

import re
import sys

import numpy as np
import pandas as pd
import pytest

import nerva
from nerva.training.training_data import split

from .running import SMALL, assert_refused, read

RNG = np.random.default_rng(0)
X = RNG.standard_normal((300, 4))
SCORES = X @ RNG.standard_normal((4, 3))
NAMES = np.array(["cat", "dog, wet", "eel"])[SCORES.argmax(axis=1)]
FRAME = pd.DataFrame(X, columns=["a", "b,c", "ü", "1st"])
TRAIN = ["--hidden", "16", "--density", "0.5", "--batch-size", "20", "--epochs", "5", "--learning-rate", "0.05"]


def write(path, header=True, place=4, **targets):
    """A table of the features and these targets, the first of which is the column of this number."""
    frame = FRAME.copy()
    for name, values in reversed(targets.items()):
        frame.insert(place, name, values)
    if path.suffix == ".csv":
        frame.to_csv(path, index=False, header=header)
    else:
        frame.to_parquet(path)
    return path


def trained(command, path, *options):
    """What `nerva train` says at last, and the file of the weights."""
    weights = path.with_name("weights.npz")
    code, out, errors = command("train", "--data", path, *TRAIN, *options, "--quiet", "--save-weights", weights)
    assert (code, errors, len(out)) == (0, [], 1)
    return out[0], weights


def held_out(y):
    return split(y, 0.2)[1]


@pytest.mark.parametrize("name", ["names.csv", "names.parquet"])
@pytest.mark.parametrize("place", [0, 2, 4])
def test_classes_by_name(command, tmp_path, name, place):
    path = write(tmp_path / name, place=place, kind=NAMES)
    said, weights = trained(command, path, "--target", "kind")
    model, rows = nerva.load_weights(weights), held_out(np.unique(NAMES, return_inverse=True)[1])
    assert model.classes == ("cat", "dog, wet", "eel")
    accuracy = model.evaluate(X[rows], NAMES[rows]).accuracy
    assert accuracy > 0.7
    assert said.startswith(f"test accuracy {accuracy:.2%} after 5 epochs")
    _, out, errors = command("evaluate", weights, "--data", path, "--target", "kind")
    assert (out[0], out[2], errors) == (
        "data      names: 60 of 300 rows (--test-fraction 1 for all)",
        f"accuracy  {accuracy:.2%}",
        [],
    )
    _, out, _ = command("evaluate", weights, "--data", path, "--target", "kind", "--test-fraction", 1)
    assert (out[0], out[2]) == ("data      names: 300 rows", f"accuracy  {model.evaluate(X, NAMES).accuracy:.2%}")
    code, _, errors = command("predict", weights, path, "--target", "kind", "-o", tmp_path / "out.npy")
    assert (code, errors) == (0, [])
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), model.predict(X))


def test_the_command_trains_on_a_table_as_the_library_does(command, tmp_path):
    path, y = write(tmp_path / "x.csv", label=SCORES.argmax(axis=1)), SCORES.argmax(axis=1)
    metrics = tmp_path / "m.jsonl"
    assert command("train", "--data", path, *TRAIN, "--metrics", metrics, "--test-fraction", 0.3)[0] == 0
    train, test = split(y, 0.3)
    model = nerva.MLP([4, 16, 3], density=0.5)
    settings = {"epochs": 5, "batch_size": 20, "schedule": 0.05}
    history = model.fit(X[train], y[train], validation=(X[test], y[test]), **settings)
    run, epochs = read(metrics)
    assert [epoch["test_loss"] for epoch in epochs] == history["test_loss"]
    assert (run["task"], run["loss"], run["classes"]) == ("classification", "softmax-cross-entropy", 3)


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("target", [[], ["--target", "5"]])
def test_the_last_column_is_the_target_and_columns_have_numbers(command, tmp_path, header, target):
    said, weights = trained(command, write(tmp_path / "x.csv", header, kind=NAMES), *target)
    assert nerva.load_weights(weights).classes == ("cat", "dog, wet", "eel")
    assert "test accuracy" in said
    trained(command, tmp_path / "x.csv", *target, "--load-weights", weights)  # goes on from weights with names


def test_a_header_of_numbers_is_one_where_it_names_the_target(command, tmp_path):
    pd.DataFrame(X).assign(y=SCORES[:, 0]).to_csv(tmp_path / "x.csv", index=False)
    assert (tmp_path / "x.csv").read_text().startswith("0,1,2,3,y\n")
    said, _ = trained(command, tmp_path / "x.csv")
    assert said.startswith("test RMSE")


@pytest.mark.parametrize("name", ["x.csv", "x.parquet", "x.npz"])
@pytest.mark.parametrize("targets", [1, 2])
def test_regression(command, tmp_path, name, targets):
    path, y = tmp_path / name, SCORES[:, :targets]
    columns = [f"y{k}" for k in range(targets)]
    if name == "x.npz":
        rows = np.arange(240, 300)
        T = y[:, 0] if targets == 1 else y
        np.savez(path, Xtrain=X[:240], Ttrain=T[:240], Xtest=X[240:], Ttest=T[240:])
    else:
        write(path, **dict(zip(columns, y.T, strict=True)))
        rows = held_out(y)
    options = [] if name == "x.npz" else ["--target", ",".join(columns)]
    said, weights = trained(command, path, *options, "--test-fraction", 0.2) if options else trained(command, path)
    model = nerva.load_weights(weights)
    assert type(model.loss) is nerva.MeanSquaredError
    found = model.predict(X[rows]).reshape(-1, targets)
    rmse = np.sqrt(np.mean((found - y[rows]) ** 2))
    r2 = 1 - ((found - y[rows]) ** 2).mean(axis=0) / y[rows].var(axis=0)
    assert r2.min() > 0.5
    match = re.fullmatch(r"test RMSE ([\d.e-]+), R2 ([\d.]+) after 5 epochs, .*", said)
    assert float(match[1]) == pytest.approx(rmse, rel=1e-4)
    assert float(match[2]) == pytest.approx(r2.mean(), abs=1e-4)
    _, out, errors = command("evaluate", weights, "--data", path, *options)
    assert errors == []
    assert out[2:] == [f"RMSE      {match[1]}", f"R2        {match[2]}"]
    assert out[1].endswith(", MeanSquaredError")


@pytest.mark.parametrize("name", ["x.csv", "x.parquet", "x.npz"])
def test_several_labels(command, tmp_path, name):
    path, y = tmp_path / name, SCORES > 0
    if name == "x.npz":
        rows, options = np.arange(240, 300), []
        np.savez(path, Xtrain=X[:240], Ttrain=y[:240], Xtest=X[240:], Ttest=y[240:])
    else:
        write(path, place=1, p=y[:, 0], q=y[:, 1], r=y[:, 2])
        rows, options = held_out(y.astype(float)), ["--target", "p,q,r"]
    said, weights = trained(command, path, *options)
    model = nerva.load_weights(weights)
    right = model.predict(X[rows]) == y[rows]
    assert right.mean() > 0.8
    told = f"subset accuracy {right.all(axis=1).mean():.2%}, F1 "
    assert said.startswith(f"test {told}")
    assert f", Hamming loss {1 - right.mean():.4f} after 5 epochs" in said
    _, out, _ = command("evaluate", weights, "--data", path, *options)
    assert out[2] == f"accuracy         {right.mean():.2%}"
    assert out[5] == f"Hamming loss     {1 - right.mean():.4f}"
    if options:
        _, out, _ = command("predict", weights, path, *options)
        assert out[1:] == [",".join(map(str, row)) for row in model.predict(X)]


def test_lines_of_a_regression_have_losses_and_no_accuracies(command, tmp_path):
    path = write(tmp_path / "x.csv", y=1e4 * SCORES[:, 0])
    code, out, _ = command("train", "--data", path, *TRAIN, "--learning-rate", 1e-9)
    assert code == 0
    assert out[0] == "data      x: 240 samples to train on, 60 to test on; 4 features, a number to predict"
    head = next(i for i, line in enumerate(out) if line.startswith("epoch"))
    assert out[head].split("  ")[2:] == ["train loss", " test loss", "seconds"]
    assert all(
        re.fullmatch(r" +\d  +1e-09  +\d\.\d+e\+\d+  +\d\.\d+e\+\d+  +\d\.\d\d", line)
        for line in out[head + 1 : head + 6]
    )


def test_whole_numbers_are_numbers_where_that_is_said(command, tmp_path):
    path = write(tmp_path / "x.csv", label=SCORES.argmax(axis=1))
    said, weights = trained(command, path, "--task", "regression", "--loss", "squared-error")
    assert said.startswith("test RMSE")
    assert nerva.load_weights(weights).loss.config() == {"classes": False}


def test_gradients_are_checked_and_networks_pruned_on_tables(command, tmp_path):
    tables = [write(tmp_path / "n.csv", kind=NAMES), write(tmp_path / "r.csv", y=SCORES[:, 0])]
    for path in tables:
        code, out, _ = command(
            "train", "--data", path, "--hidden", 8, "--activation", "tanh", "--density", 0.5, "--check-gradients"
        )
        assert code == 0
        assert "WRONG" not in "\n".join(out)
    code, _, errors = command("train", "--data", tables[0], *TRAIN, "--prune-at-start", "snip")
    assert (code, errors) == (0, [])


@pytest.mark.parametrize(
    ("content", "options", "code", "complaint"),
    [
        ("a,b,y\n", [], 1, "x.csv: holds no samples"),
        ("", [], 1, "x.csv: holds no samples"),
        ("a,b,y\n1,2,\n", [], 1, "x.csv: has no y in row 2"),
        ("a,b,y\n1,x,3\n", [], 1, "'x'"),
        ("a,b,y\n1,2,3.5\n1,2\n", [], 1, "x.csv: "),
        ("y\n1\n", [], 1, "has 1 columns, none beside the targets"),
        ("a,b,y\n1,2,3\n", ["--target", "z"], 1, "has no column z; there are 3: a, b, y"),
        ("a,b,y\n1,2,3\n", ["--target", "4"], 1, "has no column 4"),
        ("a,b,y\n1,2,3\n", ["--target", "y,y"], 1, "the targets y, y are not different columns"),
        ("a,b,y\n1,2,one\n", ["--target", "b,y"], 1, "holds 'one' as a target, y of row 2; where there are several"),
        ("a,b,y\n1,2,0.5\n1,2,NA\n", [], 1, "holds 'NA' as a target, y of row 3; others are numbers"),
        ("a,b,y\n1,2,-1\n1,2,1\n", [], 1, "from -1 to 1 in 2 samples may be labels or not: give --task c"),
        ("a,b,y\n1,2,0.5\n1,2,1\n", ["--task", "classification"], 1, "whole numbers or names, found 0.5 in row 2"),
        ("a,b,y\n1,2,0\n1,2,1\n", ["--target", "b,y", "--task", "classification"], 1, "has 2 targets"),
        ("a,b,y\n1,2,nan\n1,2,1\n", [], 1, "targets must be finite, found nan in row 2"),
        ("a,b,y\n1,2,0.5\n", [], 1, "x.csv: --test-fraction 0.2: of 1 samples that is 0"),
        ("a,b,y\n1,2,0.5\n1,2,1\n1,2,1\n", ["--loss", "cross-entropy"], 2, "cross-entropy: the targets are numbers"),
        ("a,b,y\n1,2,0.5\n1,2,1\n1,2,1\n", ["--class-weights", "1"], 2, "--class-weights: goes with classes"),
        ("a,b,y\n1,2,0.5\n1,2,1\n1,2,1\n", ["--label-smoothing", "0.1"], 2, "--label-smoothing: goes with classes"),
        ("a,b,y\n1,2,0.5\n1,2,1\n1,2,1\n", ["--prune-at-start", "snip"], 2, "--prune-at-start: goes with classes"),
    ],
)  # fmt: skip
def test_tables_that_cannot_be_taken_are_one_line(command, tmp_path, content, options, code, complaint):
    (tmp_path / "x.csv").write_text(content)
    found, out, errors = command("train", "--data", tmp_path / "x.csv", *SMALL, *options)
    assert (found, out, len(errors)) == (code, [], 1), errors
    assert complaint in errors[0]


def test_a_model_that_knows_other_names(command, tmp_path):
    path = write(tmp_path / "x.csv", kind=NAMES)
    nerva.save(nerva.MLP([4, 3], density=0.5), tmp_path / "model")
    argv = [tmp_path / "model", "--data", path]
    assert_refused(command("evaluate", *argv), argv, "holds names of classes, which the network does not know")
    _, weights = trained(command, path)
    (tmp_path / "y.csv").write_text(path.read_text().replace("eel", "owl"))
    argv = [weights, "--data", tmp_path / "y.csv"]
    assert_refused(command("evaluate", *argv), argv, "'owl', which is none of 'cat', 'dog, wet', 'eel'")


@pytest.mark.parametrize("column", [["a"] * 300, [None] + [1.5] * 299])
def test_a_feature_of_parquet_that_is_no_number_is_named(command, tmp_path, column):
    frame = FRAME.assign(what=column, y=SCORES[:, 0])
    frame.to_parquet(tmp_path / "x.parquet")
    code, _, errors = command("train", "--data", tmp_path / "x.parquet", *SMALL)
    assert (code, len(errors)) == (1, 1)
    assert ("['what'] holds 'a'" if column[0] else "x.parquet: column what holds nan in sample 0") in errors[0]


@pytest.mark.parametrize("package", ["pandas", "pyarrow"])
def test_parquet_names_its_extra(command, tmp_path, monkeypatch, package):
    argv = ["train", "--data", write(tmp_path / "x.parquet", y=SCORES[:, 0])]
    monkeypatch.setitem(sys.modules, package, None)
    assert_refused(command(*argv), argv, "needs pandas and pyarrow: pip install 'nerva-sparse[parquet]'")


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        (["train", "--target", "y"], "--target: goes with --data FILE.csv or FILE.parquet only"),
        (["train", "--data", "mini", "--test-fraction", "0.5"], "--test-fraction: goes with --data FILE.csv"),
        (["train", "--data", "x.csv", "--test-fraction", "1"], "--test-fraction: '1' is not a number above 0"),
        (["train", "--task", "regression"], "--task: goes with --data FILE only; shapes is classification"),
        (["train", "--data", "x.csv", "--target", "a,"], "--target: 'a,' has an empty name"),
        (["train", "--data", "x.csv", "--task", "regression", "--loss", "cross-entropy"], "--loss cross-entropy: does"),
        (["train", "--data", "x.csv", "--task", "sorting"], "--task: invalid choice: 'sorting'"),
        (["evaluate", __file__, "--data", "mini", "--target", "y"], "--target: goes with --data FILE.csv"),
        (["evaluate", __file__, "--task", "regression"], "unknown option --task"),
        (["predict", __file__, "x.npy", "--target", "y"], "--target: goes with a .csv or .parquet file, not"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_words_that_do_not_go_together_are_refused(command, tmp_path, monkeypatch, argv, complaint):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.csv").write_text("1,2\n")
    np.save("x.npy", X)
    if argv[0] == "predict":
        nerva.save(nerva.MLP([4, 3]), "model")
        argv = ["predict", "model", *argv[2:]]
    assert_refused(command(*argv), argv, complaint)
