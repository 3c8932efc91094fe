"""Where the papers change a gate: both forms say the same."""

from gatebook_book.figures import narrow, places


def test_the_column_of_a_phone_has_the_words_of_the_row(house):
    row = places.draw()
    said = [
        sorted(text.get_text() for text in figure.axes[0].texts)
        for figure in (row, narrow._BY_HAND[row])
    ]
    assert said[0] == said[1] and places.CUT in said[0]
