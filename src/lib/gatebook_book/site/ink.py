"""A Sphinx extension: the ink of figures is dark on a light page, light on a dark one.

A figure that has left the book, in a notebook or a reader's own page, keeps the grey
`INK`, which can be read on both. Within the site ``ink.js`` adds ``#dark`` to a
figure's address where the page is dark, and the figure answers to it.
"""

import re
from pathlib import Path

from gatebook.files import read_text
from sphinx.application import Sphinx

from gatebook_book.figures.plots import INK

LIGHT, DARK = "#4d4d4d", "#8f8f8f"
"""The ink on a light page, and on a dark one, where ``book.css`` lifts it further."""

ROOT = re.compile(r"<svg\b")
HEAD = f"<style>:root {{ --ink: {LIGHT} }} :root:target {{ --ink: {DARK} }}</style>"


def inked(figure: str) -> str:
    """An SVG with an ink for each scheme in place of `INK`.

    Example:
        >>> inked(f'<svg><path style="fill: {INK}"/></svg>').partition("</style>")[2]
        '<path style="fill: var(--ink)"/></svg>'
    """
    if INK not in figure:
        return figure
    start = figure.index(">", figure.index("<svg")) + 1
    head = ROOT.sub('<svg id="dark"', figure[:start], count=1)
    return head + HEAD + figure[start:].replace(INK, "var(--ink)")


def finish(app: Sphinx, exception: Exception | None) -> None:
    """Do so with all figures, once each form of a figure is a file of its own."""
    if exception is None and app.builder.format == "html":
        for file in sorted((Path(app.outdir) / "_images").glob("*.svg")):
            figure = read_text(file)
            file.write_text(inked(figure), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls when it loads the extension."""
    app.connect("build-finished", finish, priority=900)  # after `narrow`
    return {"parallel_read_safe": True, "parallel_write_safe": True}
