"""A Sphinx extension: each page's executed notebook among its downloads."""

import shutil
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

NOTEBOOKS = "notebooks"
"""Folder beside the site that the builder leaves executed notebooks in.

Those that myst-nb leaves in ``jupyter_execute`` have lost their outputs.
"""


def executed_of(app: Sphinx, pagename: str) -> Path | None:
    """Where a page's executed notebook lies; ``None`` for a page without code."""
    executed = Path(app.outdir).parent / NOTEBOOKS / f"{pagename}.ipynb"
    return executed if executed.is_file() else None


def offer_notebook(
    app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: Any
) -> None:
    """Put a page's notebook into the site, and let the theme know that it is there."""
    executed = executed_of(app, pagename)
    if executed is None:
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
