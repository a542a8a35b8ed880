"""Pictures show what the records say."""

import sys

import numpy as np
import pytest
from scipy import sparse

import nerva
from nerva import plots


@pytest.fixture(scope="module")
def history():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((200, 30)), rng.integers(0, 3, 200)
    model = nerva.MLP([30, 20, 10, 3], density=0.3, distribution="uniform", seed=0)
    return model.fit(X, y, validation=(X, y), epochs=3, batch_size=20, topology=nerva.RigL(every=4))


def lines(axes):
    return {line.get_label(): line for line in axes.lines}


def test_every_panel_holds_its_records(history):
    figure = plots.topology(history, layers=[0, 2])
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == [*plots.PANELS, "accuracy"]
    for axes, columns in zip(figure.axes, plots.PANELS.values(), strict=False):
        assert len(axes.lines) == 2 * len(columns)
        for layer in (0, 2):
            own = [r for r in history.topology if r.layer == layer]
            line = lines(axes)[f"layer {layer}"]
            np.testing.assert_array_equal(line.get_xdata(), [r.step for r in own])
            np.testing.assert_array_equal(line.get_ydata(), [getattr(r, columns[-1]) for r in own])
    drawn = lines(figure.axes[-1])
    np.testing.assert_array_equal(drawn["test"].get_ydata(), history["test_accuracy"])
    np.testing.assert_array_equal(drawn["train"].get_ydata(), history["train_accuracy"])


def test_dropped_are_dashed(history):
    axes = plots.topology(history, layers=[1]).axes[3]
    own = [r for r in history.topology if r.layer == 1]
    (dashed,) = (line for line in axes.lines if line.get_linestyle() == "--")
    np.testing.assert_array_equal(dashed.get_ydata(), [r.dropped for r in own])


def test_degrees_show_the_spread(history):
    figure = plots.degrees(history, layer=1)
    for axes, column in zip(figure.axes, ("fan_in", "fan_out"), strict=True):
        spreads = [getattr(r, column) for r in history.topology if r.layer == 1]
        np.testing.assert_array_equal(axes.lines[0].get_ydata(), [s[2] for s in spreads])
        heights = axes.collections[0].get_paths()[0].vertices[:, 1]
        assert heights.max() == max(s[4] for s in spreads)


def bars(axes):
    """The heights of a histogram, by the middles of its bars."""
    return {patch.get_x() + patch.get_width() / 2: patch.get_height() for patch in axes.patches if patch.get_height()}


def test_fans_are_counted():
    sparse_layers = [nerva.SparseLinear(30, 20, density=0.2, rng=0), nerva.SparseLinear(20, 12, density=0.5, rng=1)]
    model = nerva.Sequential([sparse_layers[0], nerva.BatchNorm(20), sparse_layers[1], nerva.Linear(12, 3)])
    figure = plots.fans(model)
    assert [axes.get_title()[:7] for axes in figure.axes[::2]] == ["layer 0", "layer 2"]
    for layer, (into, out) in zip(sparse_layers, zip(figure.axes[::2], figure.axes[1::2], strict=True), strict=True):
        dense = layer.dense_weight() != 0
        for axes, degrees in ((into, dense.sum(axis=1)), (out, dense.sum(axis=0))):
            assert bars(axes) == {n: np.sum(degrees == n) for n in set(degrees.tolist())}
            assert axes.lines[0].get_xdata()[0] == degrees.mean()


def test_many_different_fans_share_bars():
    weight = nerva.CSR.from_dense(np.tri(300))
    axes = plots.fans(nerva.Sequential([nerva.SparseLinear(300, 300, weight=weight)])).axes[0]
    assert len(axes.patches) == plots.BARS
    assert sum(patch.get_height() for patch in axes.patches) == 300


@pytest.mark.parametrize("shape", [(7, 5), (300, 1000), (1, 2000), (257, 255)])
def test_cells_count_the_weights(shape):
    rng = np.random.default_rng(1)
    dense = (rng.random(shape) < 0.1).astype(float)
    counts = plots.cells(nerva.CSR.from_scipy(sparse.csr_array(dense)))
    rows, columns = (np.arange(n) * min(n, 256) // n for n in shape)
    expected = np.zeros(counts.shape)
    np.add.at(expected, (rows[:, None], columns), dense)
    np.testing.assert_array_equal(counts, expected)


def test_a_pattern_is_drawn_in_the_memory_of_its_weights():
    layer = nerva.SparseLinear(10**6, 10**5, density=1e-6, rng=0)
    figure = plots.pattern(layer.weight)
    assert figure.axes[0].images[0].get_array().sum() == layer.nnz
    assert figure.axes[0].get_xlim() == (0, 10**6)


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_figures_are_written(history, tmp_path, suffix):
    for i, draw in enumerate(
        (
            lambda path: plots.topology(history, path=path),
            lambda path: plots.degrees(history, layer=0, path=path),
            lambda path: plots.fans(nerva.MLP([9, 8, 3], density=0.4), path=path),
            lambda path: plots.pattern(nerva.CSR.from_dense(np.eye(3)), path=path),
        )
    ):
        draw(tmp_path / f"{i}.{suffix}")
        assert (tmp_path / f"{i}.{suffix}").stat().st_size > 1000


def test_what_cannot_be_drawn_is_named(history):
    with pytest.raises(TypeError, match="history is list"):
        plots.topology([])
    with pytest.raises(ValueError, match="history has no updates"):
        plots.topology(nerva.History())
    with pytest.raises(ValueError, match="layer 7 has no records; those with some are 0, 1, 2"):
        plots.degrees(history, layer=7)
    with pytest.raises(ValueError, match="layers is empty"):
        plots.topology(history, layers=[])
    with pytest.raises(TypeError, match="model is History"):
        plots.fans(history)
    with pytest.raises(ValueError, match="model has no sparse layers"):
        plots.fans(nerva.MLP([4, 3]))
    with pytest.raises(TypeError, match="weight is ndarray"):
        plots.pattern(np.eye(3))


def test_matplotlib_is_an_extra(monkeypatch, history):
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"nerva-sparse\[plot\]"):
        plots.topology(history)
