"""The drawn cell: each variant changes what it is meant to, in its own colour."""

import pytest
from gatebook_book.figures import cell, plots
from gatebook_book.figures.narrow import both_forms
from gatebook_book.site.narrow import fits


def words(figure):
    return [text.get_text() for text in figure.axes[0].texts]


@pytest.mark.parametrize(
    "variant, there, gone",
    [
        ("LSTM", ["$f$", "$i$", "$u$", "$o$"], ["$r$"]),
        ("tied", ["$f$", "$1-f$"], ["$i$"]),
        ("refined", ["$f$", "$r$", "$g$", "$1-g$"], ["$i$"]),
        ("noisy", ["$f$", "$i$", "noise"], ["$r$"]),
        ("detached", ["no gradient with probability $p$"], ["$r$"]),
    ],
)
def test_a_variant_has_its_gates(variant, there, gone):
    found = words(cell.draw(variant))
    assert set(there) <= set(found) and not set(gone) & set(found)


@pytest.mark.parametrize("variant", cell.ACCENTS)
def test_only_what_is_changed_is_in_the_variants_colour(variant):
    (axes,) = cell.draw(variant).axes
    texts = [text for text in axes.texts if text.get_text()]
    used = {str(artist.get_color()) for artist in (*texts, *axes.lines)}
    assert used == {plots.INK, cell.ACCENTS[variant]}


@pytest.mark.parametrize("variant", cell.ACCENTS)
def test_a_phone_shows_it_whole(variant, house):
    assert fits(both_forms(cell.draw(variant)))


def test_an_unknown_variant_is_named():
    with pytest.raises(ValueError, match="unknown variant 'refine'; did you mean"):
        cell.draw("refine")
