"""Figures on a phone."""

import xml.etree.ElementTree as ET

import matplotlib.pyplot as plt
import pytest
from gatebook_book.figures.narrow import WIDTH, both_forms, has_narrow, narrow
from gatebook_book.site.narrow import split


@pytest.fixture
def pair(house):
    """Two panels that share a scale, with names, and a legend below them."""
    fig, axes = plt.subplots(1, 2, sharey=True, layout="constrained")
    for place, ax in enumerate(axes):
        ax.plot([0, 1], [place, 1], label=f"line {place}")
    axes[0].set_ylabel("loss")
    fig.legend(loc="outside lower center", ncols=2)
    return fig


def drawn(fig):
    """Where the panels lie, from the left and from below."""
    fig.draw_without_rendering()
    return [ax.get_window_extent() for ax in fig.axes]


def test_panels_lie_below_each_other_and_each_has_its_scale(pair):
    with narrow(pair):
        above, below = drawn(pair)
        assert pair.get_figwidth() == WIDTH
        assert above.y0 > below.y1 and above.width == pytest.approx(below.width)
        assert [ax.get_ylabel() for ax in pair.axes] == ["loss", "loss"]
        labels = pair.axes[1].get_yticklabels()
        assert any(label.get_text() and label.get_visible() for label in labels)
        (legend,) = [legend for legend in pair.legends if legend.get_visible()]
        assert legend.get_window_extent().x1 <= pair.bbox.x1


def test_afterwards_the_figure_is_as_it_was(pair):
    before = both_forms(pair)
    assert both_forms(pair) == before


def test_columns_of_many_panels_stay_pairs_of_rows(house):
    fig, axes = plt.subplots(2, 9, figsize=(11.7, 3.6), layout="constrained")
    for upper, lower in axes.T:
        upper.set_title("a method")
        lower.set_title(" ")  # which is as good as none
    with narrow(fig):
        drawn(fig)
        for k, (upper, lower) in enumerate(axes.T):
            first, second = (ax.get_subplotspec() for ax in (upper, lower))
            assert first.colspan == second.colspan == range(k % 3, k % 3 + 1)
            assert first.rowspan.start + 1 == second.rowspan.start == 2 * (k // 3) + 1


def test_panels_with_titles_follow_one_another_and_those_outside_have_scales(house):
    fig, axes = plt.subplots(2, 3, figsize=(6.4, 4.2), sharex=True, sharey=True)
    for k, ax in enumerate(axes.flat):
        ax.set_title(str(k))
    with narrow(fig):
        placed = [ax.get_subplotspec() for ax in axes.flat]
        cells = [(spec.rowspan.start, spec.colspan.start) for spec in placed]
        assert cells == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]
        left = [ax.yaxis.get_tick_params()["labelleft"] for ax in axes.flat]
        below = [ax.xaxis.get_tick_params()["labelbottom"] for ax in axes.flat]
    assert left == [True, False] * 3
    assert below == [True] * 6  # each is looked at alone


def test_a_blank_place_takes_no_room_and_a_row_has_one_name(house):
    fig, axes = plt.subplots(2, 2, figsize=(6.4, 4.2), layout="constrained")
    for ax in axes.flat[:3]:
        ax.set_title("a title")
    axes[0, 0].set_ylabel("loss")
    axes[1, 1].set_axis_off()
    with narrow(fig):
        fig.draw_without_rendering()
        assert axes[0, 1].get_ylabel() == "loss"
        assert axes[1, 0].get_subplotspec().get_gridspec().nrows == 3
        assert axes[1, 0].get_window_extent().y0 < 0.2 * fig.bbox.height
    assert axes[1, 1].get_in_layout() and axes[0, 1].get_ylabel() == ""


def test_both_forms_are_files_of_their_own(pair):
    wide, second = map(ET.fromstring, split(both_forms(pair)))
    width, narrow_width = (
        float(svg.get("width").removesuffix("pt")) for svg in (wide, second)
    )
    assert narrow_width < 72 * WIDTH + 10 < width


def test_a_single_panel_becomes_narrower_and_no_lower(house):
    fig, _ = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    with narrow(fig):
        assert tuple(fig.get_size_inches()) == (WIDTH, 3.6)


def drawing():
    fig, ax = plt.subplots(figsize=(6.4, 3))
    ax.set_axis_off()
    return fig


@pytest.mark.parametrize(
    "make",
    [lambda: plt.subplots(figsize=(4, 3))[0], drawing, lambda: plt.figure()],
    ids=["small", "drawing", "empty"],
)
def test_a_small_figure_a_drawing_and_an_empty_one_have_one_form(make, house):
    fig = make()
    assert not has_narrow(fig)
    assert split(both_forms(fig))[1] == ""


def test_panels_of_two_grids_stay_as_they_are(house):
    fig, _ = plt.subplots(1, 2)
    fig.add_subplot(3, 3, 5)
    assert not has_narrow(fig)
