"""A Sphinx extension: a page's parameters are folded, so that the answer comes first.

They are those of the page's own run. Stored runs have others, which figures name.
"""

from docutils import nodes
from sphinx.application import Sphinx

TAG = "tag_parameters"
SHOWN = "Parameters of this page's own run, which is small"


def mark(page: nodes.document) -> None:
    """Hide the input of cells that hold parameters, as the tag `hide-input` does."""
    for cell in page.findall(nodes.container):
        if TAG in cell["classes"] and cell.get("nb_element") == "cell_code":
            cell["hide_mode"] = "input"
            cell["prompt_show"] = cell["prompt_hide"] = SHOWN


def fold(app: Sphinx, page: nodes.document) -> None:
    """Mark the cells of a page once it is read."""
    mark(page)


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls when it loads the extension."""
    app.connect("doctree-read", fold)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
