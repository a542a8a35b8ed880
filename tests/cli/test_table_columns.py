"""Columns of tables: what is a header, an index or left out, which cells are refused, and what labels are called."""

import numpy as np
import pandas as pd
import pytest

import nerva

from .running import SMALL, assert_refused

RNG = np.random.default_rng(0)
X = RNG.standard_normal((300, 4))
Y = (X @ RNG.standard_normal((4, 3))).argmax(axis=1)
FRAME = pd.DataFrame(X, columns=list("abcd"))
TRAIN = ["--hidden", "16", "--density", "0.5", "--batch-size", "20", "--epochs", "5", "--learning-rate", "0.05"]


def write(path, frame, index=False, header=True):
    if path.suffix == ".csv":
        frame.to_csv(path, index=index, header=header)
    else:
        (frame.reset_index(names="Unnamed: 0") if index else frame).to_parquet(path)
    return path


def trained(command, path, *options):
    """The model of `nerva train`, and its lines of errors."""
    weights = path.with_name("weights.npz")
    code, _, errors = command("train", "--data", path, *TRAIN, *options, "--quiet", "--save-weights", weights)
    assert code == 0, errors
    return nerva.load_weights(weights), errors


def rows_of(command, path, *options):
    """The number of rows of a table, as `nerva evaluate` takes it."""
    code, out, errors = command("evaluate", path.with_name("weights.npz"), "--data", path, "--test-fraction", 1)
    assert code == 0, errors
    return int(out[0].removesuffix(" rows").split()[-1])


@pytest.mark.parametrize(("name", "whole"), [("x.csv", int), ("x.parquet", int), ("x.parquet", "boolean")])
def test_labels_may_be_numbers_in_one_column_and_booleans_in_another(command, tmp_path, name, whole):
    p = pd.Series((X[:, 0] > 0).astype(int)).astype(whole)
    path = write(tmp_path / name, FRAME.assign(p=p, q=X[:, 1] > 0))
    model, errors = trained(command, path, "--target", "p,q")
    assert errors == []
    assert (model.predict(X) == (X[:, :2] > 0)).mean() > 0.8


@pytest.mark.parametrize(
    ("head", "header"),
    [
        ("0,1,2,3,4", True),
        (",0,1,2,3,4", True),
        ("0,1,2,3,kind", True),
        ("0,1,2,4,3", False),
        ("1,2,3,4,0", False),
        ("0.5,1,2,3,1", False),
    ],
)
def test_a_header_of_numbers_counts_from_0(command, tmp_path, head, header):
    path = tmp_path / "x.csv"
    path.write_text(f"{head}\n" + FRAME.assign(y=Y).to_csv(index=head.startswith(","), header=False))
    assert trained(command, path)[0].in_features == 4
    assert rows_of(command, path) == 301 - header
    new = tmp_path / "new.csv"
    new.write_text("".join(line.rpartition(",")[0] + "\n" for line in path.read_text().splitlines()))
    code, out, _ = command("predict", tmp_path / "weights.npz", new)
    assert (code, len(out)) == (0, 302 - header)


def test_a_number_is_the_place_of_a_column_without_a_header(command, tmp_path):
    (tmp_path / "x.csv").write_text("5,2.5,1\n" + "".join(f"{k % 2},{k},{k / 7}\n" for k in range(60)))
    model, _ = trained(command, tmp_path / "x.csv", "--target", "3", "--task", "regression")
    assert model.out_features == 1
    (tmp_path / "y.csv").write_text("".join(f"{2 * (k % 2)},{k % 9},{'ab'[k % 2]}\n" for k in range(60)))
    assert trained(command, tmp_path / "y.csv", "--target", "3")[0].classes == ("a", "b")


@pytest.mark.parametrize(
    ("content", "options", "complaint"),
    [
        ("a,b,y\n1,2,0\n1,medium,1\n", [], "x.csv: column b holds 'medium' in row 3; every feature must be a number"),
        ("a,b,y\n1,x,0\n", [], "(--drop leaves columns out); the target is the last column unless --target names"),
        ("a,b,y\n1,x,0\n", ["--target", "y"], "must be a number (--drop leaves columns out)"),
        ("a,b,y\n1,2,0\n\n1,,1\n", [], "x.csv: column b is empty in row 4; every feature must be a number"),
        ("1,2,0\n1,,1\n", [], "x.csv: column 2 is empty in row 2; every feature must be a number"),
        ("1,,0\n1,2,1\n", [], "x.csv: column 2 is empty in row 1; every feature must be a number"),
        ("a,b,y\n1,2,0\n1,2\n", [], "x.csv: row 3 has 2 cells; the header has 3"),
        ("a,b,y\n1,2,0\n1,2,0,4\n", [], "x.csv: row 3 has 4 cells; the header has 3"),
        ("a,b,y\n1,2,0\n1,nan,1\n", [], "x.csv: column b holds nan in row 3; every feature must be finite"),
        ("a,y,y\n1,2,0\n", ["--target", "y"], "x.csv: has 2 columns named y, columns 2 and 3; rename them"),
        ("a,,y\n1,x,0\n", [], "x.csv: column 2, which has no name, holds 'x' in row 2"),
        ("a,b,y\n1,2,0\n", ["--drop", "a,b"], "x.csv: has 3 columns, none beside the targets"),
        ("a,b,y\n1,2,0\n", ["--drop", "z"], "x.csv: has no column z; there are 3: a, b, y"),
        ("a,b,y\n1,2,0\n", ["--drop", "y", "--target", "y"], "x.csv: column y is a target, and to be dropped"),
        ("a;b;y\n1;2;0\n", [], "x.csv: has one column; its cells must be separated by commas, not by ';'"),
        ("a,p,q\n1,0,1\n2,3,1\n", ["--target", "p,q", "--task", "multi-label"], "must be 0 or 1, found 3.0 in row 3"),
        ("a,b,y\n1,2,x\n1,2,y\n", ["--task", "regression"], "x.csv: the target y must be a number, found 'x' in row 2"),
    ],
)  # fmt: skip
def test_cells_that_cannot_be_taken_are_named(command, tmp_path, content, options, complaint):
    (tmp_path / "x.csv").write_text(content)
    code, out, errors = command("train", "--data", tmp_path / "x.csv", *SMALL, *options)
    assert (code, out, len(errors)) == (1, [], 1), errors
    assert complaint in errors[0]
    assert errors[0].endswith("(--drop leaves columns out)") or not complaint.endswith("(--drop leaves columns out)")


def test_names_may_have_spaces_around_them_and_lines_in_them(command, tmp_path):
    path = write(tmp_path / "x.csv", FRAME.rename(columns={"a": " a", "b": "b\nb "}).assign(**{" y ": Y, " z": "z"}))
    assert trained(command, path, "--target", "y", "--drop", "z")[0].in_features == 4
    assert trained(command, path, "--target", " y ", "--drop", " z,a")[0].in_features == 3


def test_booleans_may_begin_late(command, tmp_path):
    write(tmp_path / "x.csv", FRAME.assign(b=["1", "0", *(X[2:, 1] > 0)], y=Y))
    assert trained(command, tmp_path / "x.csv")[1] == []


@pytest.mark.parametrize("name", ["x.csv", "x.parquet"])
@pytest.mark.parametrize(
    ("labels", "classes"),
    [(Y + 1, ("1", "2", "3")), (2 * Y, ("0", "2", "4")), (Y + 9, ("9", "10", "11")), (Y - 1, ("-1", "0", "1"))],
)
def test_labels_of_a_table_are_names(command, tmp_path, name, labels, classes):
    path = write(tmp_path / name, FRAME.assign(y=labels))
    model, errors = trained(command, path, "--task", "classification")
    assert (model.classes, errors) == (classes, [])
    accuracy = np.mean(model.predict(X) == labels.astype(str))
    assert accuracy > 0.7
    some = write(tmp_path / f"some{path.suffix}", FRAME.assign(y=labels)[Y < 2])
    accuracy = np.mean(model.predict(X[Y < 2]) == labels[Y < 2].astype(str))
    _, out, errors = command("evaluate", tmp_path / "weights.npz", "--data", some, "--test-fraction", 1)
    assert (out[2], errors) == (f"accuracy  {accuracy:.2%}", [])


def test_some_labels_of_a_network_of_numbers(command, tmp_path):
    path = write(tmp_path / "x.csv", FRAME.assign(y=Y))
    model, _ = trained(command, path)
    assert model.classes is None
    some = write(tmp_path / "some.csv", FRAME.assign(y=Y)[Y > 0])
    _, out, errors = command("evaluate", tmp_path / "weights.npz", "--data", some, "--test-fraction", 1)
    assert (out[2], errors) == (f"accuracy  {np.mean(model.predict(X[Y > 0]) == Y[Y > 0]):.2%}", [])


@pytest.mark.parametrize(
    ("labels", "said"), [(Y, ""), (Y + 1, "the label 0; the network has 4"), (2 * Y + 1, "the labels 0, 2, 4; the")]
)
def test_labels_of_an_npz_file_with_gaps_are_told(command, tmp_path, labels, said):
    np.savez(tmp_path / "x.npz", Xtrain=X, Ttrain=labels, Xtest=X, Ttest=labels)
    model, errors = trained(command, tmp_path / "x.npz")
    assert model.out_features == labels.max() + 1
    assert len(errors) == bool(said)
    assert said in "".join(errors)


@pytest.mark.parametrize("name", ["x.csv", "x.parquet"])
@pytest.mark.parametrize("order", ["counts", "shuffled"])
def test_an_index_is_left_out(command, tmp_path, name, order):
    rows = np.arange(300) if order == "counts" else RNG.permutation(300)
    path = write(tmp_path / name, FRAME.assign(y=Y).loc[rows], index=True)
    line = f"nerva: {path}: the first column, which has no name, is an index, and left out"
    model, errors = trained(command, path, "--target", "y")
    assert (model.in_features, errors) == (4, [line])
    assert command("evaluate", tmp_path / "weights.npz", "--data", path)[2] == [line]
    new = write(tmp_path / f"new{path.suffix}", FRAME.loc[rows], index=True)
    for file, options in ((path, ["--target", "y"]), (new, [])):
        code, out, errors = command("predict", tmp_path / "weights.npz", file, *options)
        line = line.replace(str(path), str(file))
        assert (code, errors) == (0, [line])
        assert out[1:] == [str(label) for label in model.predict(X[rows])]


def test_a_first_column_without_a_name_that_is_no_index_is_a_feature(command, tmp_path):
    path = write(tmp_path / "x.csv", FRAME.rename(columns={"a": ""}).assign(y=Y))
    model, errors = trained(command, path)
    assert (model.in_features, errors) == (4, [])


@pytest.mark.parametrize("name", ["x.csv", "x.parquet"])
def test_columns_are_dropped(command, tmp_path, name):
    frame = FRAME.assign(id=[f"n{i}" for i in range(300)], y=Y, what="a")
    path = write(tmp_path / name, frame)
    model, errors = trained(command, path, "--drop", "id,what")
    assert (model.in_features, errors) == (4, [])
    code, out, _ = command("evaluate", tmp_path / "weights.npz", "--data", path, "--drop", "5,what")
    assert (code, out[0]) == (0, "data      x: 60 of 300 rows (--test-fraction 1 for all)")
    code, _, errors = command("predict", tmp_path / "weights.npz", path, "--drop", "id,what")
    assert (code, len(errors)) == (2, 1)
    assert errors[0].endswith("X has shape (300, 5); it must be (samples, 4); --target and --drop leave columns out")
    for options in (["--drop", "id,what", "--target", "y"], ["--drop", "y,id,7"], ["--drop", "5,7", "--target", "6"]):
        _, out, errors = command("predict", tmp_path / "weights.npz", path, *options)
        assert (out[1:], errors) == ([str(label) for label in model.predict(X)], [])


def test_columns_of_other_files_are_not_dropped(command, tmp_path):
    np.save(tmp_path / "x.npy", X)
    nerva.save(nerva.MLP([4, 3]), tmp_path / "model")
    argv = ["predict", tmp_path / "model", tmp_path / "x.npy", "--drop", "a"]
    assert_refused(command(*argv), argv, "--drop: goes with a .csv or .parquet file, not with")
    argv = ["train", "--drop", "a"]
    assert_refused(command(*argv), argv, "--drop: goes with --data FILE.csv or FILE.parquet only")


def test_a_table_without_its_targets_is_told_which_column_was_taken(command, tmp_path):
    trained(command, write(tmp_path / "x.csv", FRAME.assign(y=Y)))
    new = write(tmp_path / "new.csv", FRAME)
    code, _, errors = command("evaluate", tmp_path / "weights.npz", "--data", new)
    assert (code, len(errors)) == (1, 1)
    said = f"{new}: the labels, d, must be whole numbers or names, found {X[0, 3]:g} in row 2; d is the last column, --"
    assert said in errors[0]
    trained(command, write(tmp_path / "x.csv", FRAME.assign(y=X[:, 0] + 2 * X[:, 1])))
    code, _, errors = command("evaluate", tmp_path / "weights.npz", "--data", new)
    assert (code, len(errors)) == (2, 1)
    assert "the last column is taken as the target, --target names another" in errors[0]
    new = write(tmp_path / "new.csv", FRAME.assign(kind="medium"))
    code, _, errors = command("evaluate", tmp_path / "weights.npz", "--data", new)
    assert "the target kind must be a number, found 'medium' in row 2; kind is the last column" in errors[0]


@pytest.mark.parametrize("name", ["x.csv", "x.parquet"])
def test_defaults_suit_a_table(command, tmp_path, name):
    rng = np.random.default_rng(1)
    samples = rng.standard_normal((2000, 20))
    labels = (samples[:, :6] @ rng.standard_normal((6, 3))).argmax(axis=1)
    path = write(tmp_path / name, pd.DataFrame(samples).add_prefix("x").assign(y=labels))
    code, out, errors = command("train", "--data", path, "--quiet")
    assert (code, errors) == (0, [])
    assert float(out[0].split()[2].rstrip("%")) > 85
    assert "20-128-64-3" not in out[0]
    _, out, _ = command("train", "--data", path, "--epochs", 1, "--density", 0.5)
    assert any("batches of 32" in line for line in out)


@pytest.mark.parametrize(
    ("line", "broken"),
    [(1, 'a,"b,y'), (3, '1,2,"p'), (5, '1,2,"p"q'), (6, '"1,2,p')],
    ids=["header", "rest of the file", "behind a quote", "last line"],
)
def test_a_quote_that_is_left_open_is_refused_by_its_line(command, tmp_path, line, broken):
    lines = ["a,b,y", "1,2,p", "3,4,q", "5,6,p", "7,8,q", "9,0,p"]
    lines[line - 1] = broken
    (tmp_path / "x.csv").write_text("\n".join(lines) + "\n")
    argv = ["train", "--data", tmp_path / "x.csv"]
    code, out, errors = command(*argv)
    assert (code, len(errors), out) == (1, 1, []), errors
    assert f"x.csv: row {line}: " in errors[0]
