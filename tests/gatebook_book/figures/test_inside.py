"""Figures of gates: the right word stands at each value, and nothing is no error."""

import matplotlib.pyplot as plt
import pytest
from gatebook_book.figures import inside

SENTENCE = {"words": ["the", "seas", "."], "word_of": [0, 1, 1, 2]}
STEPS = [0.9, 0.1, 0.2, 0.4, 0.7]


@pytest.mark.parametrize(
    ("alignment", "wanted"),
    [("read", [".10", ".30", ".70"]), ("predicted", [".90", ".15", ".40"])],
)
def test_a_value_stands_at_its_word(alignment, wanted):
    fig = inside.heat(SENTENCE, {"G2, forget": STEPS}, alignment)
    ax = fig.axes[0]
    assert [t.get_text() for t in ax.texts] == wanted
    assert [t.get_text() for t in ax.get_xticklabels()] == SENTENCE["words"]
    plt.close(fig)


@pytest.mark.parametrize(
    "draw",
    [
        inside.histograms,
        inside.moves,
        inside.answers,
        lambda runs: inside.periods(runs, ["decoder 1"]),
    ],
)
def test_without_runs_a_figure_says_so(draw):
    fig = draw([])
    assert "no run stored yet" in [t.get_text() for t in fig.texts]
    plt.close(fig)
