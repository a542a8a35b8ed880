"""Samples in the columns of tables: .parquet by row groups, Arrow IPC files by record batches."""

import pickle
import subprocess
import sys

import numpy as np
import pytest

import nerva
from nerva.datasets import Chunked

pandas = pytest.importorskip("pandas")
pyarrow = pytest.importorskip("pyarrow")
KINDS = ("X.parquet", "X.arrow", "X.feather")


def write(path, columns, together=1000, compression="zstd"):
    """Write columns as a table, so many rows together."""
    table = columns if isinstance(columns, pyarrow.Table) else pyarrow.table(columns)
    if path.suffix == ".parquet":
        from pyarrow import parquet

        parquet.write_table(table, path, row_group_size=together)
    elif path.suffix == ".feather":
        from pyarrow import feather

        feather.write_feather(table, path, chunksize=together, compression=compression)
    else:
        options = pyarrow.ipc.IpcWriteOptions(compression=compression)
        with pyarrow.ipc.new_file(path, table.schema, options=options) as file:
            file.write_table(table, max_chunksize=together)


@pytest.fixture(params=KINDS)
def path(request, tmp_path):
    return tmp_path / request.param


def sizes(X):
    return np.diff(X.starts).tolist()


def test_columns_are_features(path):
    write(path, {"a": np.arange(1000.0), "word": ["x"] * 1000, "b": np.arange(1000), "c": [True] * 1000}, 300)
    X = Chunked(path, columns=["b", "c"])
    assert (X.shape, X.dtype, sizes(X)) == ((1000, 2), np.int64, [1000])
    assert X.source.starts.tolist() == [0, 300, 600, 900, 1000]
    assert X.source[250:650].tolist() == [[i, 1] for i in range(250, 650)]
    assert X.source[5:5].shape == X.source[1000:].shape == (0, 2)
    assert sizes(Chunked(path, columns=["b"], chunk=400)) == [400, 400, 200]
    assert Chunked(path, columns=["c", "a", "c"]).source[998:].tolist() == [[1, 998, 1], [1, 999, 1]]
    with pytest.raises(TypeError, match=rf"{path.name}: column 'word' is of (large_)?string; every feature must be"):
        Chunked(path)
    with pytest.raises(ValueError, match=rf"columns holds 'd', which .*{path.name} has not, or twice; it has a, word"):
        Chunked(path, columns=["a", "d"])


def test_groups_of_rows_are_read_together(path):
    wide = {str(j): np.zeros(4000) for j in range(128)}
    write(path, wide, 500)
    assert sizes(Chunked(path)) == [2000, 2000]
    write(path, wide, 3000)
    assert sizes(Chunked(path)) == [3000, 1000]


@pytest.mark.parametrize("compression", ["uncompressed", "lz4", "zstd"])
def test_only_what_is_asked_for_is_read(tmp_path, compression):
    """Of an Arrow file: the pages of other columns and record batches may be broken."""
    path, rng = tmp_path / "X.feather", np.random.default_rng(0)
    columns = {"a": rng.random(4000), "b": rng.random(4000)}
    write(path, columns, 1000, compression)
    whole = path.read_bytes()
    assert len(whole) > 50_000
    Chunked(path, columns=["a"])  # where its record batches are is known from it alone
    assert np.array_equal(Chunked(path).source[1500:2500], np.stack([*columns.values()], axis=1)[1500:2500])


def test_lists_of_as_many_numbers_are_as_many_features(path):
    rng = np.random.default_rng(0)
    pixels, extra = rng.integers(0, 256, (700, 12), np.uint8), rng.integers(0, 9, 700, np.uint8)
    lists = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(pixels.reshape(-1)), 12)
    write(path, {"pixels": lists, "extra": extra}, 100)
    X = Chunked(path, chunk=100, window=2)
    assert (X.shape, X.dtype) == ((700, 13), np.uint8)
    assert np.array_equal(X.source[150:320], np.column_stack([pixels, extra])[150:320])
    assert np.array_equal(Chunked(path, columns=["pixels"]).source[:], pixels)
    y = rng.integers(0, 3, 700)
    one, other = nerva.MLP([13, 20, 3], density=0.5, seed=1), nerva.MLP([13, 20, 3], density=0.5, seed=1)
    one.fit(X, y, epochs=2, rng=3)
    rng = np.random.default_rng(3)
    for _ in range(2):
        order = X.order(rng)
        other.fit(np.column_stack([pixels, extra])[order], y[order], epochs=1, shuffle=False)
    assert one.evaluate(X, y)[1] > 0
    assert pickle.loads(pickle.dumps(X)).source[5:9].tolist() == X.source[5:9].tolist()


def test_missing_values_are_refused(path):
    write(path, pyarrow.table({"a": pyarrow.array([1.0, None])}))
    with pytest.raises(ValueError, match=rf"X, samples 0 to 1 of .*{path.name}: column 'a' has 1 missing values"):
        nerva.MLP([1, 2]).fit(Chunked(path), [0, 1])
    lists = pyarrow.array([[1.0, 2.0], [3.0, None]], pyarrow.list_(pyarrow.float64(), 2))
    write(path, pyarrow.table({"a": lists}))
    with pytest.raises(ValueError, match=rf"{path.name}: the lists of column 'a' have 1 missing values"):
        nerva.MLP([2, 2]).fit(Chunked(path), [0, 1])


def test_lists_of_other_lengths_and_words_are_refused(path):
    write(path, pyarrow.table({"a": pyarrow.array([[1.0, 2.0], [3.0]])}))
    with pytest.raises(TypeError, match=rf"{path.name}: column 'a' is of list<"):
        Chunked(path)


def test_an_empty_table_is_refused(path):
    write(path, {"a": np.zeros(0)})
    with pytest.raises(ValueError, match=r"has shape \(0, 1\); it must be \(samples, features\), and not empty"):
        Chunked(path)


def test_a_broken_file_is_refused_or_its_samples_are_named(path):
    write(path, {"a": np.random.default_rng(0).random(4000)}, 500)
    whole = path.read_bytes()
    for size in [*range(0, len(whole), len(whole) // 50), len(whole) - 1]:
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=rf"{path.name}: is no "):
            Chunked(path)
    path.write_bytes(b"no table, this")
    with pytest.raises(ValueError, match=rf"{path.name}: is no (.parquet|Arrow IPC) file"):
        Chunked(path)


def test_without_pyarrow_the_extra_is_named(path):
    write(path, {"a": np.zeros(3)})
    program = f"import sys; sys.modules['pyarrow'] = None; import nerva; nerva.datasets.Chunked({str(path)!r})"
    command = [sys.executable, "-P", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert "needs pyarrow: pip install 'nerva-sparse[parquet]'" in done.stderr


def test_a_stream_is_told_from_a_file(tmp_path):
    """As data sets of the Hugging Face Hub are kept."""
    path, table = tmp_path / "X.arrow", pyarrow.table({"a": np.zeros(3)})
    with pyarrow.ipc.new_stream(path, table.schema) as stream:
        stream.write_table(table)
    with pytest.raises(ValueError, match=r"X.arrow: is no Arrow IPC file .*; one written as a stream has no index"):
        Chunked(path)
