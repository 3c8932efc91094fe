"""A Sphinx extension: each page's executed notebook among its downloads."""

import shutil
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

NOTEBOOKS = "notebooks"
"""Folder beside the site that the builder leaves executed notebooks in.

Those that myst-nb leaves in ``jupyter_execute`` have lost their outputs.
"""


def offer_notebook(
    app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: Any
) -> None:
    """Put a page's notebook into the site, and let the theme know that it is there."""
    executed = Path(app.outdir).parent / NOTEBOOKS / f"{pagename}.ipynb"
    if not executed.is_file():
        return
    target = Path(app.outdir) / "_sources" / f"{pagename}.ipynb"
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(executed, target)
    context["ipynb_source"] = f"{pagename}.ipynb"


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls when it loads the extension."""
    # Before the theme makes its buttons, at 501.
    app.connect("html-page-context", offer_notebook, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
