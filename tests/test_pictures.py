"""Pictures and tables for notebooks: what they show is what there is."""

import base64
import io
import re
import sys
import types
import xml.etree.ElementTree as ElementTree

import matplotlib.image
import numpy as np
import pytest
from scipy import sparse

import nerva
from nerva.pictures import cells, csr_html, curves_svg, pattern_html, png, show_in_notebooks, table_html
from nerva.training import curves


def pixels(html):
    """The grey levels of the picture in an HTML text."""
    (data,) = re.findall(r"data:image/png;base64,([\w+/=]+)", html)
    return np.rint(matplotlib.image.imread(io.BytesIO(base64.b64decode(data))) * 255).astype(int)


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (64, 1), (256, 256), (7, 300)])
def test_a_png_has_the_levels_it_is_made_of(shape):
    grey = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    found = matplotlib.image.imread(io.BytesIO(png(grey)))
    assert np.rint(found * 255).astype(np.uint8).tolist() == grey.tolist()


@pytest.mark.parametrize(
    ("shape", "density"), [((3, 5), 0.5), ((1, 9), 1), ((9, 1), 0.4), ((40, 30), 0), ((600, 300), 0.001)]
)
def test_a_cell_is_white_where_there_is_no_weight_and_darker_with_more(shape, density):
    dense = sparse.random_array(shape, density=density, rng=np.random.default_rng(1), format="csr")
    weight = nerva.CSR.from_scipy(dense)
    counts, grey = cells(weight), pixels(pattern_html(weight))
    assert counts.sum() == weight.nnz
    assert grey.shape == counts.shape == tuple(min(n, 256) for n in shape)
    assert (grey[counts == 0] == 255).all()
    assert (grey[counts > 0] <= 176).all()
    order = np.argsort(counts, axis=None)
    assert (np.diff(grey.ravel()[order]) <= 0).all()
    if weight.nnz:
        assert grey.min() == 0


def test_a_matrix_is_shown_with_its_figures():
    html = csr_html(nerva.CSR.from_dense(np.eye(3, 4, dtype=np.float32)))
    assert "CSR 3 x 4, 3 weights, density 0.25, float32" in html
    assert (pixels(html) == np.where(np.eye(3, 4), 0, 255)).all()
    assert "width:192px;height:144px" in html


def test_cells_of_a_table_are_text():
    html = table_html([("name", "<b>"), ("a & b", "1")])
    root = ElementTree.fromstring(html)
    assert [[cell.text for cell in row] for row in root] == [["name", "<b>"], ["a & b", "1"]]


def test_curves_are_drawn_from_left_to_right_and_rise_upwards():
    svg = ElementTree.fromstring(
        curves_svg("loss & co", {"up": [(1, 0.0), (2, 1.0), (3, 4.0)], "down": [(1, 4), (3, 0)]})
    )
    lines = [line.get("points") for line in svg.iter("{http://www.w3.org/2000/svg}polyline")]
    up, down = ([tuple(map(float, point.split(","))) for point in line.split()] for line in lines)
    assert [x for x, _ in up] == sorted(x for x, _ in up)
    assert [y for _, y in up] == sorted((y for _, y in up), reverse=True)
    assert (up[0], up[-1]) == ((down[0][0], down[1][1]), (down[1][0], down[0][1]))
    texts = [text.text for text in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert texts == ["loss & co", "4", "0", "1", "3", "up", "down"]


@pytest.mark.parametrize("points", [[], [(1, float("nan"))], [(1, 2.0)], [(1, 2.0), (2, float("inf"))]])
def test_few_points_and_such_that_are_not_finite_are_no_trouble(points):
    text = curves_svg("loss", {"train": points})
    ElementTree.fromstring(text)
    assert "nan" not in text
    assert "inf" not in text


# ---- what notebooks ask for


def test_networks_and_layers_show_their_patterns():
    model = nerva.Sequential([nerva.SparseLinear(6, 4, density=0.5), nerva.BatchNorm(4), nerva.Linear(4, 2)])
    html = model._repr_html_()
    assert html.count("<img") == 1
    assert (pixels(html) == np.where(model.layers[0].dense_weight(), 0, 255)).all()
    root = ElementTree.fromstring(re.sub(r"<img[^>]*>", "", html))
    rows = [[cell.text for cell in row] for row in root.iter("tr")]
    assert [row[0] for row in rows] == ["layer", "SparseLinear", "BatchNorm", "Linear", "total"]
    assert rows[1][1:6] == ["6", "4", "identity", "50.0000%", "12"]
    assert rows[-1][5] == "20"
    assert pixels(model.layers[0]._repr_html_()).shape == (4, 6)
    assert "<img" not in model.layers[2]._repr_html_()
    assert "Linear(4, 2, density=1" in model.layers[2]._repr_html_()


def test_a_notebook_is_told_how_to_show_a_matrix(monkeypatch):
    told = {}
    formatter = types.SimpleNamespace(for_type=lambda kind, function: told.update({kind: function}))
    shell = types.SimpleNamespace(display_formatter=types.SimpleNamespace(formatters={"text/html": formatter}))
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    show_in_notebooks()
    assert told == {nerva.CSR: csr_html}
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: None))
    show_in_notebooks()


class Formatter(dict):
    """What IPython shows objects of a class by, for one MIME type."""

    def for_type(self, kind, function):
        self[kind] = function


def test_a_notebook_shows_a_figure_as_a_picture_even_without_pyplot(monkeypatch):
    formatter = Formatter()
    monkeypatch.setattr(curves, "notebook_formatter", {"image/png": formatter}.get)
    history = nerva.MLP([4, 3], seed=0).fit(np.zeros((20, 4)), [0] * 20, epochs=2, rng=0)
    figure = history.plot()
    ((kind, show),) = formatter.items()
    assert kind is type(figure)
    assert show(figure).startswith(b"\x89PNG")
    formatter[kind] = str  # as the user wants it
    history.plot()
    assert formatter == {kind: str}
