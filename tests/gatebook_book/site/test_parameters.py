"""Parameters of a page in the built site."""

from docutils import nodes
from docutils.frontend import get_default_settings
from docutils.utils import new_document
from gatebook_book.site.parameters import SHOWN, mark


def cell(*classes):
    return nodes.container(nb_element="cell_code", classes=["cell", *classes])


def test_parameters_are_marked_to_be_folded_and_other_code_is_not():
    page = new_document("page", get_default_settings())
    page += [
        cell("tag_parameters"),
        cell(),
        nodes.container(classes=["tag_parameters"]),
    ]
    mark(page)
    first, *others = page.findall(nodes.container)
    assert first["hide_mode"] == "input"
    assert first["prompt_show"] == first["prompt_hide"] == SHOWN
    assert not any("hide_mode" in other for other in others)
