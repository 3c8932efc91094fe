"""The drawn cell: each variant changes what it is meant to, in its own colour."""

import itertools
import xml.etree.ElementTree as ET

import pytest
from gatebook_book.figures import cell, narrow, plots
from gatebook_book.site.narrow import split


def words(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def forms(variant):
    """The drawing for wide screens, and that for phones."""
    wide = cell.draw(variant)
    return wide, narrow._BY_HAND[wide]


@pytest.mark.parametrize(
    "variant, there, gone",
    [
        ("LSTM", ["$f$", "$i$", "$u$", "$o$"], ["$r$"]),
        ("tied", ["$f$", "$1-f$"], ["$i$"]),
        ("refined", ["$f$", "$r$", "$g$", "$1-g$"], ["$i$"]),
        ("noisy", ["$f$", "$i$", "noise"], ["$r$"]),
        ("detached", ["no gradient with\nprobability $p$"], ["$r$"]),
    ],
)
def test_a_variant_has_its_gates(variant, there, gone):
    for figure in forms(variant):
        found = words(figure)
        assert set(there) <= set(found) and not set(gone) & set(found)


@pytest.mark.parametrize("variant", cell.ACCENTS)
def test_only_what_is_changed_is_in_the_variants_colour(variant):
    for figure in forms(variant):
        (axes,) = figure.axes
        texts = [text for text in axes.texts if text.get_text()]
        used = {str(artist.get_color()) for artist in (*texts, *axes.lines)}
        assert used == {plots.INK, cell.ACCENTS[variant]}


@pytest.mark.parametrize("variant", cell.ACCENTS)
def test_no_word_on_a_phone_lies_on_another_or_outside(variant, house):
    _, phone = forms(variant)
    phone.draw_without_rendering()
    boxes = [
        text.get_window_extent() for text in phone.axes[0].texts if text.get_text()
    ]
    assert not [(a, b) for a, b in itertools.combinations(boxes, 2) if a.overlaps(b)]
    assert all(phone.bbox.x0 <= box.x0 and box.x1 <= phone.bbox.x1 for box in boxes)


def test_a_phone_gets_a_drawing_that_fits_it(house):
    wide, phone = map(ET.fromstring, split(narrow.both_forms(cell.draw("tied"))))
    width, narrow_width = (
        float(svg.get("width").removesuffix("pt")) for svg in (wide, phone)
    )
    assert narrow_width <= 72 * narrow.WIDTH + 15 < width


def test_an_unknown_variant_is_named():
    with pytest.raises(ValueError, match="unknown variant 'refine'; did you mean"):
        cell.draw("refine")
