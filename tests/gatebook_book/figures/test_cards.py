"""The first page's small figures."""

import re

import pytest
from gatebook_book.figures import cards, plots
from gatebook_book.paths import root

pytestmark = pytest.mark.usefixtures("house")


def words(fig):
    return [text.get_text() for text in fig.axes[0].texts]


def test_dots_have_the_median_beside_them_and_leave_out_what_was_not_run():
    found = {"UR": [1.0, 2.0, 9.0], "LSTM": [3.0], "C": []}
    fig = cards.dots(found, "steps", "{:.1f}", {"LSTM": "never"})
    assert words(fig) == ["UR", "2.0", "LSTM", "never"]
    assert fig.axes[0].get_title("left") == "steps"


def test_ranks_put_the_highest_on_top_on_both_sides():
    fig = cards.ranks([{"U": 0.9, "LSTM": 0.5}, {"U": 0.1, "LSTM": 0.2}], ["U"], "")
    ends = {tuple(line.get_ydata()): line.get_color() for line in fig.axes[0].lines}
    assert ends == {(0, 1): plots.COLOURS["U"], (1, 0): plots.INK}
    assert fig.axes[0].yaxis_inverted() and words(fig) == ["U", "U"]


def test_the_first_page_has_each_card_once():
    page = (root() / "book/index.md").read_text()
    assert re.findall(r"\{glue:figure\} (\S+)", page) == list(cards.CARDS)


@pytest.mark.parametrize("name", cards.CARDS)
def test_a_card_without_runs_is_drawn_all_the_same(name, monkeypatch):
    monkeypatch.setattr(cards, "load", lambda *_: [])
    cards.CARDS[name]().canvas.draw()
