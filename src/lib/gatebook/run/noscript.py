"""A Sphinx extension: what a page says in place of a widget without JavaScript."""

from typing import Any

from sphinx.application import Sphinx

MARKER = '<script type="application/vnd.jupyter.widget-view+json">'
NOTE = (
    "<noscript><p>This interactive figure needs JavaScript. "
    "The text and the figures beside it say the same.</p></noscript>"
)


def add_note(
    app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: Any
) -> None:
    """Put the note before each place where the loader starts a widget."""
    if "body" in context:
        context["body"] = context["body"].replace(MARKER, NOTE + MARKER)


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls when it loads the extension."""
    app.connect("html-page-context", add_note)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
