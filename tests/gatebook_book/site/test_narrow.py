"""Pages let the browser choose between a figure's two forms."""

import pytest
from gatebook.files import read_text
from gatebook_book.figures.narrow import CLOSE, OPEN
from gatebook_book.site.narrow import choosing, split_files

BOTH = f'<svg width="460pt">wide{OPEN}<svg>second</svg>{CLOSE}\n'


@pytest.fixture
def images(tmp_path):
    """A figure with both forms, a small one, and a wide one that is a drawing."""
    for name, text in {
        "both": BOTH,
        "small": '<svg height="99pt" width="368.5pt"></svg>',
        "drawing": '<svg width="460pt"></svg>',
    }.items():
        (tmp_path / f"{name}.svg").write_text(text)
    return tmp_path


def test_each_form_becomes_a_file(images):
    kinds = split_files(images)
    assert kinds == {"both": "narrow", "small": "fits"}
    assert read_text(images / "both.svg") == '<svg width="460pt">wide</svg>\n'
    assert read_text(images / "both-narrow.svg") == "<svg>second</svg>\n"
    assert len(list(images.iterdir())) == 4


def test_a_page_offers_the_second_form_to_phones():
    image = '<img alt="a figure" src="../../_images/both.svg" />'
    source = (
        '<source media="(max-width: 576px)" srcset="../../_images/both-narrow.svg">'
    )
    made = choosing(f"<figure>{image}</figure>", {"both": "narrow"})
    assert made == f"<figure><picture>{source}{image}</picture></figure>"


def test_a_small_figure_is_only_marked_and_others_are_left_alone():
    small, other = '<img src="_images/small.svg">', '<img src="_images/drawing.svg">'
    made = choosing(small + other, {"small": "fits"})
    assert made == f"<picture>{small}</picture>{other}"
