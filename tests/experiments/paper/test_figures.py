"""The figures of a report look alike, and can be told apart without colours."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from nerva.experiments.paper import figures

SPARSITIES = [0.0, 0.5, 0.9, 0.99, 0.999]


def drawn():
    figure, axes = figures.new("seconds an epoch", columns=2, width=8)
    figures.over_sparsity(axes[0], SPARSITIES)
    for name in figures.SERIES:
        y = np.arange(5) + figures.SERIES.index(name)
        figures.line(axes[0], SPARSITIES, y, name, low=y - 0.1, high=y + 0.1)
    figures.bars(axes[1], ["forward", "update"], {"nerva": [1, 2], "masked PyTorch": [3, 4]})
    figures.legend(axes[0])
    return figure, axes


def test_the_same_figure_gives_the_same_bytes():
    (first, _), (second, _) = drawn(), drawn()
    content = figures.svg(first)
    assert content == figures.svg(first) == figures.svg(second)
    assert b"<dc:date>" not in content
    assert ElementTree.fromstring(content).tag.endswith("svg")
    assert len(content) < 200_000


def test_series_differ_in_each_of_colour_line_and_marker():
    looks = [figures.look(name) for name in figures.SERIES]
    for property in ("color", "linestyle", "marker"):
        assert len({str(look[property]) for look in looks}) == len(looks)
    assert figures.look(1) == figures.look("masked PyTorch")


def test_a_series_without_a_look_is_refused():
    with pytest.raises(ValueError):
        figures.look("unknown")


def test_sparsity_is_logarithmic_in_density():
    figure, axes = drawn()
    axes = axes[0]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["dense", "50 %", "90 %", "99 %", "99.9 %"]
    figure.draw_without_rendering()
    places = [axes.transData.transform((sparsity, 0))[0] for sparsity in (0.0, 0.9, 0.99, 0.999)]
    assert np.diff(places) == pytest.approx(np.diff(places)[0])


def test_bars_stand_side_by_side_with_hatches():
    _, axes = drawn()
    bars = axes[1].patches
    assert [bar.get_height() for bar in bars] == [1, 2, 3, 4]
    assert [bar.get_hatch() or "" for bar in bars] == ["", "", "///", "///"]
    assert bars[0].get_x() + bars[0].get_width() == pytest.approx(bars[2].get_x())
    assert [text.get_text() for text in axes[1].get_xticklabels()] == ["forward", "update"]
