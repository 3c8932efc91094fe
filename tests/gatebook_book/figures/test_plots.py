"""The house style: colours that can be read, bands, histograms, tables."""

import io
import itertools

import matplotlib.pyplot as plt
import numpy as np
import pytest
from gatebook import GATES
from gatebook_book.figures import plots
from matplotlib.colors import to_rgb
from matplotlib.text import Text

DARK = "#121212"
"""Background of the dark theme (sphinx-book-theme)."""


pytestmark = pytest.mark.usefixtures("house")


def linear(colour):
    """sRGB to linear light."""
    c = np.array(to_rgb(colour))
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def contrast(a, b):
    """WCAG 2 contrast ratio."""
    light = [linear(c) @ [0.2126, 0.7152, 0.0722] + 0.05 for c in (a, b)]
    return max(light) / min(light)


def lab(rgb):
    """Linear sRGB to CIELAB (D65)."""
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722]]
    xyz = np.array([*to_xyz, [0.0193, 0.1192, 0.9505]]) @ rgb
    f = np.cbrt(xyz / [0.9505, 1, 1.089])
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


# Machado et al. 2009, severity 1.0.
EYES = {
    "normal": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
}


def distance(a, b, eye):
    """Euclidean distance in CIELAB as the eye sees the two colours."""
    seen = [lab(np.clip(np.array(EYES[eye]) @ linear(c), 0, 1)) for c in (a, b)]
    return np.linalg.norm(seen[0] - seen[1])


def test_every_gate_has_a_colour_and_a_style():
    assert set(GATES) <= set(plots.COLOURS) == set(plots.STYLES)
    assert {"h-detach", "c-detach"} <= set(plots.COLOURS)
    assert len(set(plots.COLOURS.values())) == len(plots.COLOURS)


@pytest.mark.parametrize("colour", [*plots.COLOURS.values(), plots.INK, plots.ACCENT])
def test_colours_are_legible_on_both_themes(colour):
    assert contrast(colour, "white") >= 3
    assert contrast(colour, DARK) >= 3


def test_no_two_methods_share_line_and_marker():
    looks = [(s["linestyle"], s["marker"]) for s in plots.STYLES.values()]
    assert len(set(looks)) == len(looks)


@pytest.mark.parametrize("eye", EYES)
def test_any_two_colours_differ_for_every_eye(eye):
    """10 in CIELAB is about four times a just noticeable difference."""
    for a, b in itertools.combinations(plots.COLOURS, 2):
        assert distance(plots.COLOURS[a], plots.COLOURS[b], eye) > 10, (a, b)


def test_the_accent_is_like_no_methods_colour():
    colours = (*plots.COLOURS.values(), plots.INK)
    assert all(distance(plots.ACCENT, colour, "normal") > 20 for colour in colours)


def test_unknown_method_is_named_with_the_nearest():
    with pytest.raises(ValueError, match="unknown method 'ur'; did you mean 'UR'"):
        plots.style("ur")


def test_the_median_is_the_median_and_all_runs():
    _, ax = plt.subplots()
    plots.median_of_seeds(ax, [0, 1], [[1, 1], [2, 5], [4, 6]], "UR")
    drawn = [list(line.get_ydata()) for line in ax.lines]
    assert drawn == [[1, 1], [2, 5], [4, 6], [2, 5]]


def test_the_median_of_a_run_that_diverged_goes_on_without_it():
    _, ax = plt.subplots()
    nan = float("nan")
    plots.median_of_seeds(
        ax, [0, 1, 2], [[3, 2, 1], [3, nan, nan], [3, None, None]], "LSTM"
    )
    assert ax.lines[3].get_ydata() == pytest.approx([3, 2, 1])
    assert [line.get_xdata()[0] for line in ax.lines[4:]] == [0, 0]


def test_the_median_where_no_run_is_left_is_not_drawn():
    _, ax = plt.subplots()
    plots.median_of_seeds(ax, [0, 1], [[3, None], [2, None]], "LSTM")
    assert all(line.get_xdata() == pytest.approx([0]) for line in ax.lines)


def test_the_median_refuses_curves_of_another_length():
    _, ax = plt.subplots()
    with pytest.raises(ValueError, match=r"'UR' have shape \(1, 3\); allowed: \(runs"):
        plots.median_of_seeds(ax, [0, 1], [[1, 2, 3]], "UR")


def test_histogram_is_a_density():
    _, ax = plt.subplots()
    plots.histogram(ax, np.linspace(0, 1, 1000), "U", bins=10)
    assert sum(bar.get_height() * 0.1 for bar in ax.patches) == pytest.approx(1)


def test_histogram_refuses_what_is_no_gate():
    _, ax = plt.subplots()
    with pytest.raises(ValueError, match=r"allowed: \[0, 1\]"):
        plots.histogram(ax, [0.5, 1.5], "U")


def runs():
    """Two methods with two seeds; the last run ended early."""
    made = []
    for name, seed in itertools.product(("UR", "LSTM"), (0, 1)):
        last = (name, seed) == ("LSTM", 1)
        steps = [0, 10] if last else [0, 10, 20]
        made.append(
            {
                "name": name,
                "seed": seed,
                "curves": {"step": steps, "loss": [2.0, 1.5, 1.0][: len(steps)]},
                "histograms": {"before": [0.1, 0.9], "after": [0.99, 1.0]},
                "status": "diverged" if last else "finished",
            }
        )
    return made


def test_learning_curves_names_methods_and_counts_what_diverged():
    fig = plots.learning_curves(runs(), "loss", 2.08, "ln 8", "loss [nats]", log=True)
    (ax,) = fig.axes
    words = [text.get_text() for text in ax.texts]
    assert words == ["ln 8", "LSTM (1 of 2 diverged)", "UR"]
    assert ax.get_ylabel() == "loss [nats]" and ax.get_yscale() == "log"


def test_names_beside_lines_do_not_overlap_and_keep_the_order():
    heights = [0.5, 0.51, 0.98, 0.0, 0.02, 0.5]
    places = plots.spread_out(heights)
    ordered = sorted(places)
    assert min(b - a for a, b in itertools.pairwise(ordered)) >= plots.APART - 1e-6
    assert ordered[0] >= 0 and places[2] == heights[2]
    assert sorted(range(6), key=places.__getitem__) == [3, 4, 0, 5, 1, 2]


def test_some_methods_are_in_colour_and_the_medians_of_the_others_in_grey():
    _, ax = plt.subplots()
    (inked,) = plots.against_others(ax, runs(), "loss", ["UR", "no such run"])
    assert inked.get_label() == "UR" and inked.get_color() == plots.COLOURS["UR"]
    (other,) = [line for line in ax.lines if line.get_color() == plots.INK]
    assert list(other.get_ydata()) == [2.0, 1.5, 1.0]


def test_a_name_leads_to_the_last_point_that_the_axes_show():
    _, ax = plt.subplots()
    lines = ax.plot([0, 1, 2], [1.0, 0.5, -9.0], label="UR")
    ax.set_ylim(0, 1)
    plots.name_lines(ax, lines)
    assert tuple(ax.texts[0].xy) == (1.0, 0.5)


def test_accuracy_curves_are_learning_curves_beside_guessing():
    own = [
        {**run, "curves": {"step": [0, 5], "accuracy": [0.1, 0.6]}} for run in runs()
    ]
    (ax,) = plots.accuracy_curves(own, 0.5).axes
    assert ax.get_ylabel() == "accuracy"
    assert "guessing" in [text.get_text() for text in ax.texts]
    assert any(list(line.get_ydata()) == [0.5, 0.5] for line in ax.lines)


@pytest.mark.parametrize("end", [0.5, 0.54], ids=["on the line", "above it"])
def test_a_baselines_name_stands_where_no_curve_runs(end):
    steps = list(range(0, 101, 10))
    own = [{"curves": {"step": steps, "accuracy": [0.0] + [end] * 10}}]
    own = [run | {"name": "UR", "status": "finished"} for run in own]
    fig = plots.accuracy_curves(own, 0.5)
    fig.draw_without_rendering()
    (ax,) = fig.axes
    (name,) = [text for text in ax.texts if text.get_text() == "guessing"]
    box = name.get_window_extent()
    curve = ax.lines[0].get_transform().transform_path(ax.lines[0].get_path())
    assert not curve.intersects_bbox(box, filled=False)


@pytest.mark.parametrize("ylim", [None, (0.5, 3)])
def test_a_baseline_far_from_the_curves_is_taken_in_or_left_out(ylim):
    fig = plots.learning_curves(runs(), "loss", baseline=1e-3, log=True, ylim=ylim)
    fig.draw_without_rendering()  # a name outside would leave the axes no room
    (ax,) = fig.axes
    assert (ax.get_ylim()[0] <= 1e-3) == (ylim is None)


def test_the_house_style_starts_from_matplotlibs_defaults():
    plt.rcParams.update({"text.usetex": True, "lines.linestyle": ":"})
    plots.use_house_style()
    assert not plt.rcParams["text.usetex"] and plt.rcParams["lines.linestyle"] == "-"
    assert plt.rcParams["svg.hashsalt"] == "gatebook"


def test_a_methods_name_stands_right_of_the_axes_in_its_colour():
    fig = plots.learning_curves(runs(), "loss")
    fig.canvas.draw()
    (axes,) = fig.axes
    assert [text.get_color() for text in axes.texts] == [
        plots.COLOURS[text.get_text().split()[0]] for text in axes.texts
    ]
    for text in axes.texts:
        assert Text.get_window_extent(text).x0 > axes.get_window_extent().x1 - 1


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: plots.learning_curves(runs(), "los"), "did you mean 'loss'"),
        (lambda: plots.gate_histograms(runs(), ["U"]), "unknown method 'U'"),
        (lambda: plots.gate_timescales(runs(), ["U"]), "unknown method 'U'"),
        (lambda: plots.table([]), "rows is empty"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_gate_histograms_have_before_above_after():
    fig = plots.gate_histograms(runs(), ["LSTM", "UR"])
    assert len(fig.axes) == 4
    assert [ax.get_title() for ax in fig.axes] == ["LSTM", "UR", "", ""]
    assert [fig.axes[0].get_ylabel(), fig.axes[2].get_ylabel()] == ["before", "after"]


def test_the_share_of_units_steps_up_at_each_timescale():
    _, ax = plt.subplots()
    line = plots.timescales(ax, [0.9, 0.5, 1, 0.5], "U")
    assert list(line.get_xdata()) == pytest.approx([2, 2, 2, 10])
    assert list(line.get_ydata()) == [0, 0.25, 0.5, 0.75]
    assert ax.get_xscale() == "log"


def test_gate_timescales_have_both_moments_in_a_panel():
    fig = plots.gate_timescales(runs(), ["LSTM", "UR"])
    assert [ax.get_title() for ax in fig.axes] == ["LSTM", "UR"]
    for ax in fig.axes:
        assert [line.get_label() for line in ax.lines] == ["before", "after"]


@pytest.mark.parametrize(
    "draw",
    [
        lambda: plots.gate_timescales([], ["UR"]),
        lambda: plots.learning_curves([], "loss", 2.08),
        lambda: plots.gate_histograms([], ["UR", "LSTM"]),
        lambda: plots.gate_histograms([], []),
    ],
)
def test_a_figure_without_runs_says_so(draw):
    assert [text.get_text() for text in draw().texts] == ["no run stored yet"]


def svg():
    """One figure as SVG."""
    fig = plots.learning_curves(runs(), "loss")
    out = io.StringIO()
    fig.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()


def test_svg_is_transparent_needs_no_font_and_is_always_the_same():
    first = svg()
    assert first == svg()
    assert "<text" not in first and "font-family" not in first
    assert "fill: #ffffff" not in first and "<dc:date>" not in first


def test_table_has_all_heads_and_a_dash_where_a_row_lacks_one():
    made = plots.table([{"a": "x"}, {"a": "y", "b": 2}]).data
    assert made.count('<th scope="col"') == 2 and made.count("–") == 1


def test_table_is_escaped_captioned_and_scrolls():
    made = plots.table(
        [{"gate": "U<R", "loss": 0.123456}, {"gate": "C", "loss": None}], "A & b"
    ).data
    assert "<caption>A &amp; b</caption>" in made and "U&lt;R" in made
    assert "0.1235" in made and "–" in made
    assert "overflow-x: auto" in made and ">gate</th>" in made


def test_whole_numbers_of_a_table_have_a_comma_from_five_digits_on():
    made = plots.table([{"steps": 10_000, "year": 2018, "long": True}]).data
    assert ">10,000<" in made and ">2018<" in made and ">True<" in made


def test_a_table_with_sentences_names_each_cell_for_narrow_screens():
    made = plots.table([{"claim & quote": "U learns sooner than the rest. " * 3}]).data
    assert "gatebook-prose" in made and 'data-head="claim &amp; quote"' in made
    assert "gatebook-prose" not in plots.table([{"gate": "U"}]).data


def test_a_run_that_diverged_has_no_histogram_after_training():
    run = {"name": "UR", "histograms": {"before": [0.2, 0.4], "after": None}}
    figure = plots.gate_histograms([run], ["UR"])
    heights = [sum(p.get_height() for p in ax.patches) for ax in figure.axes]
    assert heights[0] > 0
    assert heights[1] == 0
