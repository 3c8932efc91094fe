"""A Sphinx extension: each page's notebook for Colab, and a button that leads to it.

Colab opens what lies on a branch of a repository. The workflow that publishes the site
puts there what this leaves in the folder `FOLDER` beside the site.
"""

from pathlib import Path
from typing import Any

import nbformat
from gatebook.files import read_text
from nbformat import NotebookNode
from sphinx.application import Sphinx

from gatebook_book.site.downloads import executed_of

FOLDER = "colab"
"""Folder beside the site, also named in ``.github/workflows/pages.yml``."""

BRANCH = "notebooks"
"""The branch that has what is in it, and nothing else."""

SERVICE = "https://colab.research.google.com/github"

FIRST = """# Once, before all else: the library, and the checkout with the stored runs.
!git clone --quiet --depth 1 {url}
%pip install --quiet "./{name}[book]"
%cd {name}"""


def for_colab(executed: NotebookNode, url: str) -> NotebookNode:
    """A notebook without outputs whose first cell installs the library.

    Arguments:
        executed: as the builder leaves it; it stays as it is.
        url: the repository's address.
    """
    name = url.rstrip("/").rsplit("/", 1)[-1]
    cells = [nbformat.v4.new_code_cell(FIRST.format(url=url, name=name))]
    for cell in executed.cells:
        made = NotebookNode(cell | {"metadata": {}})
        if cell.cell_type == "code":
            made.update(outputs=[], execution_count=None)
        cells.append(made)
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


def offer(
    app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: Any
) -> None:
    """Write a page's notebook for Colab, and put a button into the page's header."""
    executed = executed_of(app, pagename)
    if executed is None:
        return
    url = app.config.html_theme_options["repository_url"]
    notebook = for_colab(nbformat.reads(read_text(executed), as_version=4), url)
    target = Path(app.outdir).parent / FOLDER / f"{pagename}.ipynb"
    target.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, target)
    place = url.removeprefix("https://github.com").rstrip("/")
    button = {
        "type": "link",
        "url": f"{SERVICE}{place}/blob/{BRANCH}/{pagename}.ipynb",
        "text": "Colab",
        "tooltip": "Run this page at Google Colab",
        "icon": "fas fa-play",
        "label": "colab-button",
    }
    context["header_buttons"].insert(0, button)


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls when it loads the extension."""
    # After the theme has made its buttons, at 501.
    app.connect("html-page-context", offer, priority=502)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
